"""Run pipelines in this process, and hold against them whatever they leave behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tgmtool
from tests.operations.streams import buffered, streaming
from tests.processes import PATIENCE
from tgmtool.messages.stream import Place
from tgmtool.operations.pipe.choices import PipeChoices
from tgmtool.operations.pipe.crew import Hooks
from tgmtool.operations.pipe.engine import Engine, PipeReport


def messages(count: int, size: int = 200) -> list[bytes]:
    """Messages that can be told apart, of `size` bytes of payload; every third is a streaming one."""
    make = (buffered, buffered, streaming)
    return [make[step % 3](range(step, step + 1), shape=(max(size // 4, 1),)) for step in range(count)]


def run(
    stages: Sequence[Any],
    *,
    source: Any = b"",
    sink: Any = None,
    heard: list[str] | None = None,
    noted: list[str] | None = None,
    **choices: Any,
) -> PipeReport:
    """Run a pipeline; the failure is in the report."""
    hooks = Hooks(
        said=lambda label, line: None if heard is None else heard.append(f"{label}: {line}"),
        noted=lambda text: None if noted is None else noted.append(text),
    )
    choices.setdefault("grace", 1.0)
    return Engine(stages, source=source, sink=sink, choices=PipeChoices(**choices), hooks=hooks).run()


def place_of(data: bytes) -> Place | None:
    """What a message says of its place in a stream."""
    found = tgmtool.decode(data)
    return Place.parse(found.metadata.extra, offset=0)


@contextmanager
def nothing_left(token: str = "") -> Iterator[None]:
    """Everything that the block begins has ended with it: threads, processes, descriptors."""
    threads, descriptors, known = set(threading.enumerate()), open_descriptors(), set(children())
    yield
    assert set(threading.enumerate()) - threads == set()
    assert open_descriptors() == descriptors
    assert set(children()) - known == set()
    if token:
        deadline = time.monotonic() + PATIENCE  # killed processes vanish when the system finds time for it
        while (left := processes_with(token)) and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert left == []


def open_descriptors() -> set[str]:
    """Our descriptors, apart from the one that lists them."""
    with os.scandir("/proc/self/fd") as found:
        names = {entry.name for entry in found}
    return {name for name in names if os.path.exists(f"/proc/self/fd/{name}") or name in {"0", "1", "2"}}


def children() -> list[str]:
    """Processes that we started and did not reap."""
    found: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        try:
            found += (task / "children").read_text().split()
        except OSError:
            continue  # the thread is gone
    return found


def processes_with(token: str) -> list[str]:
    """Command lines of all processes that have `token` in it and run."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdecimal() and int(each.name) != os.getpid():
            try:
                words = (each / "cmdline").read_bytes()
            except OSError:
                continue
            if token.encode() in words:
                found.append(words.replace(b"\0", b" ").decode())
    return found
