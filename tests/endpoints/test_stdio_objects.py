"""Python file objects, sinks that only go forward, and what stdin turns out to be."""

from __future__ import annotations

import errno
import gzip
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool
from tgmtool import MemorySink, SourceError
from tgmtool.endpoints.base import Sink
from tgmtool.endpoints.local import FileSink
from tgmtool.endpoints.stdio import FileObjectSink, FileObjectSource, StreamSink

# ---- file objects


class Dribble(io.RawIOBase):
    """Gives and takes three bytes at a time."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        found = bytes(self.data[:3])
        del self.data[:3]
        return found

    def write(self, data: Any, /) -> int:
        taken = bytes(data)[:3]
        self.data += taken
        return len(taken)


def test_any_binary_file_object_is_a_source(tmp_path: Path) -> None:
    message = tgmtool.encode([np.arange(500)])
    path = tmp_path / "file"
    path.write_bytes(message)
    packed = io.BytesIO(gzip.compress(message))
    with open(path, "rb") as buffered, open(path, "rb", buffering=0) as raw, gzip.open(packed) as unpacking:
        for file in (io.BytesIO(message), buffered, raw, unpacking, Dribble(message)):
            assert tgmtool.decode(file).objects[0][-1] == 499
            assert not file.closed


class Counted(bytes):
    """Counts how often anybody looks how long a piece is."""

    looks = 0

    def __len__(self) -> int:
        Counted.looks += 1
        return super().__len__()


class Pieces(io.RawIOBase):
    """Gives pieces of 500 bytes, whatever is asked for."""

    def __init__(self, data: bytes) -> None:
        self._pieces = iter([Counted(data[at : at + 500]) for at in range(0, len(data), 500)])

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return next(self._pieces, b"")


@pytest.mark.parametrize("pieces", [200, 2000])
def test_a_piece_costs_the_same_however_many_came_before_it(pieces: int) -> None:
    """A message that is not whole yet is kept, and a pipe may bring it in small pieces."""
    Counted.looks = 0
    data = tgmtool.encode([np.zeros(500 * pieces, np.uint8)])
    assert len(tgmtool.decode(Pieces(data)).objects) == 1
    assert Counted.looks < 50 * pieces


def test_a_file_object_belongs_to_its_owner_and_lends_its_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with open(path, "rb") as file:
        source = FileObjectSource(file)
        assert (source.name, source.seekable) == (str(path), False)
        assert bytes(source.read_at(1, 9)) == b"bc"
        source.close()
        assert not file.closed
        assert FileObjectSource(open(file.fileno(), "rb", closefd=False)).name == "<file>"  # noqa: SIM115
    assert FileObjectSource(io.BytesIO()).name == "<file>"


def test_any_binary_file_object_is_a_sink() -> None:
    for file in (io.BytesIO(), Dribble()):
        sink = FileObjectSink(file)  # type: ignore[arg-type]  # a raw file will do
        assert isinstance(sink, Sink)
        assert not sink.patchable
        sink.write([b"abcd", memoryview(b"efgh"), bytearray(b"i")])
        assert sink.position == 9
        sink.close()
        sink.abort()
        assert not file.closed
        written = file.getvalue() if isinstance(file, io.BytesIO) else file.data
        assert bytes(written) == b"abcdefghi"


def test_a_buffered_file_is_flushed_at_each_write(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with open(path, "wb") as file:
        sink = FileObjectSink(file)
        sink.write([b"abc"])
        assert path.read_bytes() == b"abc"


# ---- sinks

WIDE = np.arange(3, dtype="<u4").data  # three items, twelve bytes


@pytest.mark.parametrize("kind", ["memory", "file", "file object", "stream"])
def test_a_position_is_in_bytes_whatever_the_pieces_items_are(tmp_path: Path, kind: str) -> None:
    reader, writer = os.pipe()
    sinks: dict[str, Callable[[], Sink]] = {
        "memory": MemorySink,
        "file": lambda: FileSink(str(tmp_path / "out")),
        "file object": lambda: FileObjectSink(io.BytesIO()),
        "stream": lambda: StreamSink(writer, "<pipe>"),
    }
    sink = sinks[kind]()
    sink.write([WIDE, b"x"])
    assert sink.position == 13
    sink.close()
    os.close(reader)
    os.close(writer)


def test_a_stream_can_be_neither_patched_nor_cut_and_stays_open() -> None:
    reader, writer = os.pipe()
    sink = StreamSink(writer, "<pipe>")
    assert isinstance(sink, Sink)
    sink.write([b"ab", b"", memoryview(b"c")])
    assert (os.read(reader, 9), sink.position, sink.patchable) == (b"abc", 3, False)
    with pytest.raises(SourceError, match="<pipe>"):
        sink.patch_at(0, b"x")
    with pytest.raises(SourceError, match="<pipe>"):
        sink.truncate(0)
    sink.sync()
    sink.close()
    sink.abort()
    os.write(writer, b"still open")
    os.close(writer)
    os.close(reader)


def test_a_reader_that_went_away_is_no_failure_of_the_place() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError) as caught:
        StreamSink(writer, "<pipe>").write([b"abc"])
    assert not isinstance(caught.value, SourceError)
    os.close(writer)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_stream_that_is_full_is_an_error_of_ours() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(SourceError, match="<stdout>: no space left"):
        StreamSink(descriptor, "<stdout>").write([b"abc"])
    os.close(descriptor)


# ---- stdin

ON_STDIN = """
import os
from tgmtool import SourceError
from tgmtool.endpoints import open_source
try:
    source = open_source("-")
    print(type(source).__name__, source.seekable, source.name, bytes(source.read_at(0, 9)).decode())
    source.close()
    os.fstat(0)
except SourceError as error:
    print("SourceError", error.errno)
"""


def on_stdin(**where: Any) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ON_STDIN], capture_output=True, text=True, check=True, **where
    )
    return str(done.stdout).strip()


def test_stdin_is_seekable_when_it_is_a_file_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123")
    with open(path, "rb", buffering=0) as file:
        assert on_stdin(stdin=file) == "FileSource True <stdin> 0123"
        file.seek(2)
        assert on_stdin(stdin=file) == "StreamSource False <stdin> 23"
    assert on_stdin(input="0123") == "StreamSource False <stdin> 0123"


def test_a_closed_stdin_is_an_error_of_ours() -> None:
    command = f"exec \"{sys.executable}\" -c '{ON_STDIN}' <&-"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"SourceError {errno.EBADF}"
