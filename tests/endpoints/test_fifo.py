"""A named pipe is written to when somebody reads it, and nobody is waited for who is not wanted any more."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tgmtool.endpoints.fifo import FifoSink
from tgmtool.errors import SourceError


@pytest.fixture
def path(tmp_path: Path) -> str:
    found = str(tmp_path / "pipe")
    os.mkfifo(found)
    return found


class Reading(threading.Thread):
    """Reads a pipe to its end."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self._path = path
        self.data = b""
        self.start()

    def run(self) -> None:
        self.data = Path(self._path).read_bytes()


def test_a_reader_that_comes_late_gets_everything(path: str) -> None:
    sink = FifoSink(path)
    reading = Reading(path)
    data = bytes(range(256)) * 2000  # more than a pipe holds
    sink.write([data[:5], b"", data[5:]])
    assert sink.position == len(data)
    sink.close()
    reading.join()
    assert reading.data == data


def test_a_reader_sees_the_end_although_nothing_was_written(path: str) -> None:
    sink = FifoSink(path)
    reading = Reading(path)
    sink.close()
    reading.join()
    assert reading.data == b""


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_the_waiting_for_a_reader_can_be_ended(path: str, size: int) -> None:
    sink = FifoSink(path)
    idle = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if size > 10 else -1  # comes, and takes nothing
    threading.Timer(0.05, sink.stop).start()
    with pytest.raises(SourceError, match="read"):
        sink.write([bytes(size)])
    sink.abort()
    if idle >= 0:
        os.close(idle)


def test_a_reader_that_leaves_is_noticed(path: str) -> None:
    sink = FifoSink(path)
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink.write([b"x"])
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        sink.write([b"x"])
    sink.abort()


def test_what_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        FifoSink(str(tmp_path / "pipe"))
