"""How long after the last write of a frame does a follower have it?

A writer process appends prepared objects (float32, 64 KiB each, in a streaming message with digests),
each in two writes, one every few milliseconds, and notes with the system-wide monotonic clock when
the second write began. Ours, as a library: `tgmtool.tail(path, follow=True)` in another process, until
the object's array is decoded. As a command: `tgmtool tail -f -j`, until its line has been read from
its stdout; once with the system's notices, once polling every 50 ms. There is no peer; the limit is the
goal itself, so none is shown. The rows of idle following
give the share of one processor that is used while nothing happens.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .harness import ROOT, Row, Scale, command, main

_ELEMENTS = 16 * 1024
_PAUSE = 0.008  # seconds between two objects


def rows(scale: Scale, folder: Path) -> Iterator[Row]:
    """Measure latency and idle load of library and command."""
    count = scale.choose(500, 40)
    data, steps = _stream(count)
    ways: tuple[tuple[str, Callable[[Path, bytes, list[int]], list[float]], str, str], ...] = (
        ("library", _library, "<= 0.5 ms", "<= 2 ms"),
        ("command", _command, "<= 5 ms", "<= 20 ms"),
        ("command, polling 50 ms", _polling, "<= 70 ms", "<= 70 ms"),
    )
    for name, follow, goal, goal_99 in ways:
        path = folder / f"{name}.tgm"
        path.write_bytes(data[: steps[0]])
        waits = follow(path, data, steps)
        yield Row(f"tail, {name}: median", statistics.median(waits), goal, samples={"ours": waits})
        yield Row(f"tail, {name}: 99th percentile", statistics.quantiles(waits, n=100)[98], goal_99)
    idle = folder / "idle.tgm"
    idle.write_bytes(data[: steps[0]])
    seconds = scale.choose(10.0, 1.0)
    yield Row("tail, library, idle", _idle_library(idle, seconds), "< 1 %", unit="share")
    yield Row("tail, command, idle", _idle_command(idle, seconds), "< 1 %", unit="share")


def _stream(count: int) -> tuple[bytes, list[int]]:
    """Return a streaming message of `count` + 1 objects, and where each of them ends."""
    import numpy as np

    import tgmtool

    sink = tgmtool.MemorySink(patchable=False)
    values = np.random.default_rng(1).standard_normal((count + 1, _ELEMENTS), dtype=np.float32)
    writer = tgmtool.StreamWriter(sink)
    ends = []
    for number, row in enumerate(values):
        writer.write(row, {"name": "t2m", "mars": {"param": "2t", "step": number}})
        ends.append(sink.position)
    writer.finish()
    return bytes(sink.data), ends


def _start_writer(path: Path, data: bytes, steps: list[int]) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "benchmarks.paced_writer", str(path), json.dumps(steps), str(_PAUSE)]
    writer = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdin is not None
    writer.stdin.write(data[: steps[-1]])
    writer.stdin.close()
    return writer


def _waits(writer: subprocess.Popen[bytes], arrivals: list[int]) -> list[float]:
    """Return the seconds from each write to its arrival."""
    assert writer.stdout is not None
    written: list[int] = json.loads(writer.stdout.read())
    writer.stdout.close()
    writer.wait()
    return [(arrived - at) / 1e9 for at, arrived in zip(written, arrivals, strict=True)]


def _library(path: Path, data: bytes, steps: list[int]) -> list[float]:
    import tgmtool

    arrivals: list[int] = []
    writer: subprocess.Popen[bytes] | None = None
    for found in tgmtool.tail(path, follow=True, last=None, count=len(steps)):
        assert isinstance(found, tgmtool.DataObject)
        _ = found.array
        arrivals.append(time.monotonic_ns())
        writer = writer or _start_writer(path, data, steps)
    assert writer is not None
    return _waits(writer, arrivals[1:])


def _polling(path: Path, data: bytes, steps: list[int]) -> list[float]:
    return _command(path, data, steps, "--watch", "off", "-s", "50ms")


def _command(path: Path, data: bytes, steps: list[int], *more: str) -> list[float]:
    words = command("tail", "-f", "-j", "-n", "+1", "--count", str(len(steps)), *more, str(path))
    arrivals: list[int] = []
    writer: subprocess.Popen[bytes] | None = None
    with subprocess.Popen(words, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        for _ in reader.stdout:
            arrivals.append(time.monotonic_ns())
            writer = writer or _start_writer(path, data, steps)
    assert writer is not None
    return _waits(writer, arrivals[1:])


def _idle_library(path: Path, seconds: float) -> float:
    import tgmtool

    seen: list[Any] = []
    start = 0.0
    try:
        for found in tgmtool.tail(path, follow=True, last=None, timeout=seconds):
            seen.append(found)
            start = time.process_time()
    except tgmtool.TimeLimit:
        pass  # it followed for as long as it was to
    return (time.process_time() - start) / seconds


def _idle_command(path: Path, seconds: float) -> float:
    """The difference between following long and following briefly: starting up is in both."""
    brief = 0.1
    times = [_processor_time(path, limit) for limit in (brief, brief + seconds)]
    return max(times[1] - times[0], 0.0) / seconds


def _processor_time(path: Path, limit: float) -> float:
    words = command("tail", "-f", "-j", "--timeout", f"{limit}s", str(path))
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0  # it has been waited for here, for its usage
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(rows)
