"""Run the command line in this process: the same words, descriptors and exit status, without a start.

It is for tables of many command lines; signals, terminals and pipes need the real thing of
`tests.processes`.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from tests.processes import Ended, environment
from tgmtool.cli import main

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def tgmtool(*words: object, stdin: bytes = b"", env: Mapping[str, str] | None = None, cwd: Path) -> Ended:
    """Run a command line to its end."""
    with ExitStack() as stack:
        files: list[IO[bytes]] = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(stdin)
        files[0].seek(0)
        for number, file in enumerate(files):
            stack.enter_context(_descriptor(number, file.fileno()))
        stack.enter_context(_environment(environment(env)))
        stack.enter_context(_folder(cwd))
        stack.enter_context(_signals())
        status = main(list(map(str, words)))
        out, err = (os.pread(file.fileno(), 1 << 26, 0) for file in files[1:])
    return Ended(status, out, err.decode())


@contextmanager
def _descriptor(number: int, other: int) -> Iterator[None]:
    saved = os.dup(number)
    os.dup2(other, number)
    try:
        yield
    finally:
        os.dup2(saved, number)
        os.close(saved)


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    saved = dict(os.environ)
    os.environ.clear()
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


@contextmanager
def _folder(wanted: Path) -> Iterator[None]:
    saved = os.getcwd()
    os.chdir(wanted)
    try:
        yield
    finally:
        os.chdir(saved)


@contextmanager
def _signals() -> Iterator[None]:
    saved = [signal.getsignal(number) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, saved, strict=True):
            signal.signal(number, handler)
