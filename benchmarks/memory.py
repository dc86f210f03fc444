"""Does memory depend on how long a stream is?

Peak resident memory of whole commands on a long stream, less that of the same command on a stream of
one object; so what is shown should be near zero, and at most one object and the stated buffers. No
peer, no limit. Streams of 4 MiB objects, and one of 1 KB objects, which has many more of them:
- `tgmtool encode`, raw blocks on stdin to a file: a message each, and all in one message;
- `tgmtool tail --raw`, of a file and of a pipe, read by another process;
- `tgmtool scan`, into a pipe.
The column "peak RSS" is the whole of the long run, interpreter and imports included.

What is measured is `ru_maxrss` of the finished process, which Linux never lets be less than that of
the process that started it: so nothing heavy may be imported here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import IO

from .harness import MIB, Row, Scale, command, main, peak_in_bytes

_GOAL = "<= one object + buffers"
_OBJECT = 4 * MIB
_SMALL = 1024


def rows(scale: Scale, folder: Path) -> Iterator[Row]:
    """Measure the commands."""
    size = scale.choose(512 * MIB, 16 * MIB, 2048 * MIB)
    few = scale.choose(64 * MIB, 2 * MIB, 256 * MIB)
    long, short = folder / "long.tgm", folder / "short.tgm"
    for name, one, total, group in (
        (f"encode {size // MIB} MiB, a message each", _OBJECT, size, "1"),
        (f"encode {few // MIB} MiB of 1 KB, one message", _SMALL, few, "all"),
        (f"encode {size // MIB} MiB, one message", _OBJECT, size, "all"),
    ):
        yield _row(name, lambda n, one=one, g=group: _encode(long, n, one, g), one, total)  # type: ignore[misc]  # the defaults bind
    _encode(short, _OBJECT, _OBJECT, "all")
    of_size = {size: long, _OBJECT: short}
    for name, run in (
        (f"tail --raw of {size // MIB} MiB", lambda n: _tail(of_size[n])),
        (f"tail --raw of {size // MIB} MiB, from a pipe", lambda n: _tail_pipe(of_size[n])),
        (f"scan of {size // MIB} MiB", lambda n: _through(command("scan", "-j", str(of_size[n])))),
    ):
        yield _row(name, run, _OBJECT, size)


def _row(name: str, run: Callable[[int], int], one: int, total: int) -> Row:
    little, much = run(one), run(total)
    return Row(f"memory, {name}", max(much - little, 0), _GOAL, peak=much, unit="B")


def _encode(path: Path, size: int, one: int, group: str) -> int:
    words = command("encode", "--from", "raw", "--dtype", "f4", "--shape", str(one // 4), "--group", group)
    words += ["--fsync", "none", "--force", "-o", str(path), "-"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE)
    assert process.stdin is not None
    _feed(process.stdin, size)
    return _peak_of(process)


def _tail(path: Path) -> int:
    return _through(command("tail", "--raw", "-n", "+1", str(path)))


def _tail_pipe(path: Path) -> int:
    return _through(command("tail", "--raw", "-f", "-"), path)


def _through(words: list[str], source: Path | None = None) -> int:
    """Run a command whose output is read and dropped, and whose stdin is a pipe from `source`, if given."""
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    feeder = Thread(target=_copy, args=(source, process.stdin))
    feeder.start()
    buffer = bytearray(MIB)
    while os.readv(process.stdout.fileno(), [buffer]):
        pass
    feeder.join()
    process.stdout.close()
    return _peak_of(process)


def _feed(sink: IO[bytes], size: int) -> None:
    block = memoryview(bytes(range(64)) * (MIB // 64))  # no NaN among them
    with sink:
        while size:
            size -= sink.write(block[:size])


def _copy(source: Path | None, sink: IO[bytes]) -> None:
    with sink:
        if source is not None:
            with source.open("rb", buffering=0) as file:
                while block := file.read(MIB):
                    sink.write(block)


def _peak_of(process: subprocess.Popen[bytes]) -> int:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return peak_in_bytes(usage)


if __name__ == "__main__":
    main(rows)
