"""How fast do messages pass through `tgmtool pipe`, and what does it cost?

A source process writes 4 MiB messages into a pipe, a sink process reads them and notes the time between
its first byte and its last. Between them stand, in turns: ours, `pv`, `mbuffer` (where they are installed;
they are the peers here, and know nothing of messages), and nothing at all, which is the limit. Then a
pipeline of five stages, against the slowest of them alone; and a command that only computes, run for each
message by four workers, against one worker.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .harness import Contestant, Row, Scale, command, compare, main

_MESSAGE = 4 << 20
_SOURCE = """
import fcntl, os, sys
data = memoryview(open(sys.argv[1], "rb").read())
try: fcntl.fcntl(1, 1031, 1 << 20)
except OSError: pass
for _ in range(int(sys.argv[2])):
    at = 0
    while at < len(data): at += os.write(1, data[at : at + (1 << 20)])
"""
_SINK = """
import os, time
buffer = bytearray(1 << 20)
os.readv(0, [buffer])
start = time.perf_counter()
while os.readv(0, [buffer]): pass
print(time.perf_counter() - start)
"""
_SLOW = """
import hashlib, os
buffer = memoryview(bytearray(1 << 20))
digest = hashlib.sha256()
while size := os.readv(0, [buffer]):
    digest.update(buffer[:size])
    at = 0
    while at < size: at += os.write(1, buffer[at:size])
"""
_COMPUTE = "cat > /dev/null; i=0; while test $i -lt 40000; do i=$((i+1)); done"


def rows(scale: Scale, folder: Path) -> Iterator[Row]:
    """Measure throughput, memory, a pipeline and workers."""
    path = folder / "messages.tgm"
    _write(path, scale.choose(64, 4))
    times = scale.choose(8, 1, 16)
    rounds = scale.choose(5, 1)
    direct = _between(path, times, None)
    peers = {
        "pv": (["pv", "-q"], ">= 0.7 x pv"),
        "mbuffer": (["mbuffer", "-q", "-m", "64M"], ">= 1 x mbuffer"),
    }
    for words, name in (((), "verbatim"), (("-w", "mars.param=2t"), "-w")):
        for peer, (other, wanted) in peers.items():
            there = _between(path, times, other) if shutil.which(peer) else None
            ours = _between(path, times, command("pipe", *words))
            goal = "half of that" if words else wanted
            yield compare(
                f"pipe, {name}, against {peer}", goal, ours=ours, peer=there, limits=[direct], rounds=rounds
            )
        yield Row(f"pipe, {name}: peak RSS", _peak(path, times, words), "< 164 MiB", unit="B")
    yield from _small(folder / "small.tgm", scale, rounds)
    yield from _pipeline(path, scale, rounds)
    yield from _workers(path, scale, rounds)


def _small(path: Path, scale: Scale, rounds: int) -> Iterator[Row]:
    count = scale.choose(100_000, 10_000)
    _write(path, count, 1024)
    peer = _between(path, 1, ["pv", "-q"]) if shutil.which("pv") else None
    for words, goal in (
        ((), ">= 100 000 messages/s"),
        (("-w", "mars.param=2t"), ">= 20 000 messages/s"),
        (("--verify",), ">= 20 000 messages/s"),
    ):
        yield compare(
            f"pipe, {' '.join(words) or 'verbatim'}, {count} messages of 1 KiB, against pv",
            goal,
            ours=_between(path, 1, command("pipe", *words)),
            peer=peer,
            rounds=min(rounds, 3),
        )


def _write(path: Path, count: int, size: int = _MESSAGE) -> None:
    import numpy as np

    import tgmtool

    values = np.random.default_rng(1).standard_normal(size // 4, dtype=np.float32)
    data = tgmtool.encode([(values, {"mars": {"param": "2t"}})])
    with path.open("wb") as file:
        for _ in range(count):
            file.write(data)


def _script(text: str, *words: object) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", text, *map(str, words)]


def _between(path: Path, times: int, words: Sequence[str] | None) -> Contestant:
    """Return a contestant that stands between source and sink; None: they are connected directly."""

    def run() -> float:
        source = subprocess.Popen(_script(_SOURCE, path, times), stdout=subprocess.PIPE)
        last = source
        middle = None
        if words is not None:
            last = middle = subprocess.Popen(words, stdin=source.stdout, stdout=subprocess.PIPE)
        sink = subprocess.run(_script(_SINK), stdin=last.stdout, stdout=subprocess.PIPE, check=True)
        for process in (source, middle):
            if process is not None:
                assert process.stdout is not None
                process.stdout.close()
                assert process.wait() == 0
        return float(sink.stdout)

    return run


def _peak(path: Path, times: int, words: Sequence[str]) -> int:
    """Return the largest resident size of `tgmtool pipe` while messages pass, in bytes."""
    source = subprocess.Popen(_script(_SOURCE, path, times), stdout=subprocess.PIPE)
    with open(os.devnull, "wb") as nothing:
        pipe = subprocess.Popen(command("pipe", *words), stdin=source.stdout, stdout=nothing)
        _, status, usage = os.wait4(pipe.pid, 0)
    assert status == 0
    assert source.stdout is not None
    source.stdout.close()
    source.wait()
    return usage.ru_maxrss << 10


def _pipeline(path: Path, scale: Scale, rounds: int) -> Iterator[Row]:
    times = scale.choose(4, 1, 16)
    slow = _script(_SLOW)
    source = _script(_SOURCE, path, times)
    ours = command("pipe", "-B", "16MiB", *map(shlex.join, (source, ["cat"], slow, ["cat"], ["cat"])))
    yield compare(
        "pipe, five stages; limit: the slowest alone",
        "<= 1.1 x",
        ours=_timed(ours),
        limits=[_timed(["sh", "-c", f"{shlex.join(source)} | {shlex.join(slow)}"])],
        rounds=min(rounds, 3),
    )


def _workers(path: Path, scale: Scale, rounds: int) -> Iterator[Row]:
    count = scale.choose(40, 4)
    job = shlex.join(["sh", "-c", _COMPUTE])
    merge = shlex.join(["@merge", str(path)])
    ours, peer = (_timed(command("pipe", merge, f"@limit {count}", f"{runs}*{job}")) for runs in (4, 1))
    alone = f"j() {{ n=0; while test $n -lt {count // 2}; do {job} < /dev/null; n=$((n+1)); done; }}"
    yield compare(
        "pipe, '4*CMD'; peer: '1*CMD'; limit: two shells side by side",
        ">= 1.7 x (two cores)",
        ours=ours,
        peer=peer,
        limits=[_timed(["sh", "-c", f"{alone}; j & j & wait"])],
        rounds=min(rounds, 3),
    )


def _timed(words: Sequence[str]) -> Contestant:
    def run() -> float:
        start = time.perf_counter()
        subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start

    return run


if __name__ == "__main__":
    main(rows)
