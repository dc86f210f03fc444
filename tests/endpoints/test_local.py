"""Regular files are read where they are, growing or mapped; the rest is a stream."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.endpoints.descriptors import no_descriptor_left
from tgmtool import SourceError
from tgmtool.endpoints.base import Source
from tgmtool.endpoints.local import FileSource, MappedSource, describe, open_file, write_all
from tgmtool.endpoints.stdio import StreamSource

if TYPE_CHECKING:
    from pathlib import Path

linux_only = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="looks at what Linux tells")


@pytest.fixture
def path(tmp_path: Path) -> str:
    found = tmp_path / "file"
    found.write_bytes(b"0123456789")
    return str(found)


# ---- opening


def test_a_missing_file_is_told_with_its_path_and_its_cause(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(SourceError, match="no such file") as caught:
        open_file(missing)
    assert (caught.value.uri, caught.value.errno) == (missing, errno.ENOENT)
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert isinstance(caught.value, OSError)


@linux_only
def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with no_descriptor_left(), pytest.raises(SourceError, match="is a directory"):
        open_file(str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(path: str) -> None:
    os.chmod(path, 0)
    with pytest.raises(SourceError, match="permission denied") as caught:
        open_file(path)
    assert caught.value.errno == errno.EACCES


def test_a_path_below_a_file_is_told(path: str) -> None:
    with pytest.raises(SourceError, match="not a directory"):
        open_file(path + "/below")


def test_a_named_pipe_is_a_stream(tmp_path: Path) -> None:
    name = str(tmp_path / "pipe")
    os.mkfifo(name)
    writer = os.open(name, os.O_RDWR)
    source = open_file(name, mapped=True)
    os.write(writer, b"abc")
    assert isinstance(source, StreamSource)
    assert not source.seekable
    assert bytes(source.read_at(0, 9)) == b"abc"
    source.close()
    os.close(writer)


@linux_only
@pytest.mark.parametrize("mapped", [False, True])
def test_nothing_stays_open_after_close(path: str, mapped: bool) -> None:
    with no_descriptor_left():
        source = open_file(path, mapped=mapped)
        assert bytes(source.read_at(0, 3)[:3]) == b"012"
        source.close()
        source.close()
        del source


def test_errors_are_plain_words() -> None:
    for code, words in {
        errno.ENOSPC: "no space left on",
        errno.EDQUOT: "disk quota exceeded",
        errno.EFBIG: "file too large",
        errno.EIO: "input/output error",
    }.items():
        assert describe(OSError(code, os.strerror(code))).startswith(words)


# ---- reading


def test_any_part_of_a_file_can_be_read_at_any_time(path: str) -> None:
    source = open_file(path)
    assert isinstance(source, FileSource)
    assert isinstance(source, Source)
    assert source.seekable
    for offset, size, expected in ((5, 2, b"56"), (0, 3, b"012"), (8, 9, b"89"), (10, 5, b""), (99, 5, b"")):
        assert bytes(source.read_at(offset, size)) == expected
    assert source.keep_from(9) == 0
    assert bytes(source.read_at(0, 1)) == b"0"
    source.close()


def test_a_file_may_grow_and_shrink_while_it_is_open(path: str) -> None:
    source = open_file(path)
    assert source.size() == 10
    with open(path, "ab") as file:
        file.write(b"abc")
    assert source.size() == 13
    assert bytes(source.read_at(10, 9)) == b"abc"
    os.truncate(path, 4)
    assert source.size() == 4
    assert bytes(source.read_at(2, 9)) == b"23"
    source.close()


def test_reading_after_close_is_an_error_of_ours(path: str) -> None:
    source = open_file(path)
    source.close()
    with pytest.raises(SourceError) as caught:
        source.read_at(0, 1)
    assert caught.value.errno == errno.EBADF


def test_a_mapped_file_is_views_that_outlive_the_source(path: str) -> None:
    source = open_file(path, mapped=True)
    assert isinstance(source, MappedSource)
    view = source.read_at(4, 1)
    again = source.read_at(0, 1)
    assert (bytes(view), bytes(again)) == (b"456789", b"0123456789")
    assert np.shares_memory(np.frombuffer(view, "u1"), np.frombuffer(again, "u1"))
    assert isinstance(view, memoryview)
    assert view.readonly
    source.close()
    os.unlink(path)
    assert bytes(view) == b"456789"


@linux_only
def test_pages_of_a_mapped_file_that_are_let_go_leave_memory_and_come_back(tmp_path: Path) -> None:
    def resident() -> int:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    size = 64 << 20
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(4096)
        file.write(b"here")
    source = open_file(str(path), mapped=True)
    view = memoryview(source.read_at(0, size))
    assert not np.frombuffer(view, np.uint8)[8192:].any()
    before = resident()
    assert source.keep_from(size + 1) == source.keep_from(10) == 0
    assert before - resident() > size // 2
    assert bytes(view[4095:4101]) == bytes(source.read_at(4095, 6)[:6]) == b"\0here\0"
    source.close()


def test_a_mapping_has_the_size_that_the_file_had(path: str) -> None:
    source = open_file(path, mapped=True)
    with open(path, "ab") as file:
        file.write(b"abc")
    assert source.size() == 10
    assert bytes(source.read_at(8, 9)) == b"89"
    assert bytes(source.read_at(10, 9)) == b""
    assert source.keep_from(9) == 0
    source.close()


# ---- writing all of it


def test_all_pieces_are_written_whatever_their_number_and_kind(tmp_path: Path) -> None:
    pieces: list[bytes | bytearray | memoryview] = [b"", b"ab", memoryview(b"cd"), bytearray(b"e")]
    pieces += [np.arange(3, dtype="<u2").data]
    pieces += [bytes([n % 256]) for n in range(2000)] + [b""]
    expected = b"".join(bytes(piece) for piece in pieces)
    path = tmp_path / "out"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    assert write_all(descriptor, pieces) == len(expected)
    assert write_all(descriptor, []) == 0
    os.close(descriptor)
    assert path.read_bytes() == expected


def test_a_pipe_that_is_not_ready_is_waited_for() -> None:
    import threading

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    pieces = [os.urandom(70_001) for _ in range(20)]  # more than a pipe holds, in odd pieces
    received = bytearray()

    def drain() -> None:
        while chunk := os.read(reader, 3_001):
            received.extend(chunk)

    thread = threading.Thread(target=drain)
    thread.start()
    total = write_all(writer, pieces)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert total == 20 * 70_001
    assert received == b"".join(pieces)
