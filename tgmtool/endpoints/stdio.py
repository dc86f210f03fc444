"""Streams that only go forward: stdin, stdout, pipes, and Python file objects.

It is separate because a pipe cannot be asked again: what may be needed once more is kept here,
within a stated bound.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_right
from collections.abc import Sequence
from typing import IO

from ..errors import SourceError
from ..limits import DEFAULT_LIMITS
from .base import Bytes, Sink, Source
from .local import FileSource, source_error, until_writable, write_all
from .readable import wait_readable

_PIPE_READ = 1 << 20


class StreamSource(Source):
    """A descriptor that is read forward.

    Args:
        descriptor: Open for reading; closed with the source.
        name: For messages.
        retain: Bytes that are kept at most for going back.
    """

    seekable = False

    def __init__(self, descriptor: int, name: str, *, retain: int = DEFAULT_LIMITS.retained_bytes) -> None:
        self.name = name
        self.descriptor = descriptor
        self.position = 0  # bytes read from the descriptor so far
        self.ended = False
        self.blocking = True  # otherwise `read_at` returns nothing while nothing has arrived
        self._retain = retain
        self._starts: list[int] = []  # of the chunks that are kept, from `_first` on
        self._chunks: list[Bytes] = []
        self._first = 0
        self._kept_size = 0
        self._keep_from = 0

    def read_at(self, offset: int, size: int) -> Bytes:
        """Return bytes at `offset`: kept ones at once, new ones as they arrive.

        Blocks until something arrives, unless `blocking` is False. What stands before `offset` is read
        and dropped.
        """
        while True:
            at = bisect_right(self._starts, offset, self._first) - 1
            if at >= self._first and offset < self._starts[at] + len(self._chunks[at]):
                return memoryview(self._chunks[at])[offset - self._starts[at] :]
            if not self.blocking and not self.is_ready():
                return b""
            if not self._receive(max(min(size, _PIPE_READ), 65_536)):
                return b""

    def is_ready(self, timeout: float = 0) -> bool:
        """Return whether reading would not block, after waiting up to `timeout` seconds for that."""
        if self.ended or self.descriptor < 0:
            return True
        import select

        poller = select.poll()
        poller.register(self.descriptor, select.POLLIN)
        return bool(poller.poll(timeout * 1000))

    async def wait_ready_async(self, timeout: float) -> None:
        """Return when reading would not block, at the latest after `timeout` seconds."""
        if not self.is_ready():
            await wait_readable(self.descriptor, timeout)

    def _receive(self, size: int) -> bool:
        chunk = self._read(size)
        if not chunk:
            self.ended = True
            return False
        self._starts.append(self.position)
        self._chunks.append(chunk)
        self._kept_size += len(chunk)
        self.position += len(chunk)
        self._drop()
        return True

    def _read(self, size: int) -> Bytes:
        try:
            while True:
                try:
                    return os.read(self.descriptor, size)
                except BlockingIOError:
                    import select

                    poller = select.poll()
                    poller.register(self.descriptor, select.POLLIN)
                    poller.poll()
        except OSError as error:
            raise source_error(error, self.name) from error

    @property
    def _kept(self) -> list[tuple[int, Bytes]]:
        return list(zip(self._starts, self._chunks, strict=True))[self._first :]

    def _drop(self) -> None:
        """Drop chunks that are not needed, and the oldest beyond the bound; the newest always stays."""
        while self._first < len(self._chunks) - 1:
            chunk = self._chunks[self._first]
            needed = self._starts[self._first] + len(chunk) > self._keep_from
            if needed and self._kept_size <= self._retain:
                break
            self._chunks[self._first] = b""
            self._kept_size -= len(chunk)
            self._first += 1
        if 2 * self._first > len(self._chunks):  # now and then: each chunk is moved once on average
            del self._starts[: self._first]
            del self._chunks[: self._first]
            self._first = 0

    def size(self) -> int | None:
        """Return where the stream ended, once it has."""
        return self.position if self.ended else None

    def keep_from(self, offset: int) -> int:
        """Drop what stands before `offset`; return the first byte that can still be had."""
        self._keep_from = offset
        self._drop()
        return self._starts[self._first] if self._starts else self.position

    def close(self) -> None:
        """Close the descriptor, except stdin's."""
        if self.descriptor > 2:
            os.close(self.descriptor)
        self.descriptor = -1


class FileObjectSource(StreamSource):
    """A Python binary file object, read forward with its own `read`."""

    def __init__(self, file: IO[bytes]) -> None:
        name = getattr(file, "name", None)
        super().__init__(-1, name if isinstance(name, str) else "<file>")
        self._file = file

    def _read(self, size: int) -> Bytes:
        read = getattr(self._file, "read1", self._file.read)
        found: bytes = read(size)
        return found

    def close(self) -> None:
        """The file belongs to the caller."""


def stdin_source() -> Source:
    """Return stdin: seekable when it is a regular file that stands at its start."""
    try:
        found = os.fstat(0)
        at_start = stat.S_ISREG(found.st_mode) and os.lseek(0, 0, os.SEEK_CUR) == 0
    except OSError as error:
        raise source_error(error, "<stdin>") from error
    if at_start:
        return FileSource(os.dup(0), "<stdin>")
    return StreamSource(0, "<stdin>")


class StreamSink(Sink):
    """A descriptor that is written forward; every write goes out at once.

    Args:
        descriptor: Open for writing; it stays open.
        name: For messages.
    """

    patchable = False

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self.descriptor = descriptor
        self._position = 0

    @property
    def position(self) -> int:
        """Bytes written so far."""
        return self._position

    def write(self, pieces: Sequence[Bytes]) -> None:
        """Write all the pieces."""
        try:
            self._position += write_all(self.descriptor, pieces, wait=self._wait_for_room)
        except (BrokenPipeError, SourceError):
            raise
        except OSError as error:
            raise source_error(error, self.name) from error

    def _wait_for_room(self, descriptor: int) -> None:
        until_writable(descriptor)

    def patch_at(self, offset: int, data: Bytes) -> None:
        """A stream cannot be patched."""
        raise SourceError("cannot be written twice: it is a stream", uri=self.name)

    def truncate(self, offset: int) -> None:
        """A stream cannot be cut."""
        raise SourceError("cannot be cut: it is a stream", uri=self.name)

    def sync(self) -> None:
        """What was written has left us; a pipe knows nothing more durable."""

    def count(self, written: int) -> None:
        """Take note of bytes that were written past this sink, straight to its descriptor."""
        self._position += written

    def close(self) -> None:
        """The descriptor belongs to the process."""

    def abort(self) -> None:
        """What was written cannot be taken back."""


class FileObjectSink(StreamSink):
    """A Python binary file object, written forward and flushed at each write."""

    def __init__(self, file: IO[bytes]) -> None:
        name = getattr(file, "name", None)
        super().__init__(-1, name if isinstance(name, str) else "<file>")
        self._file = file

    def write(self, pieces: Sequence[Bytes]) -> None:
        """Write all the pieces and flush."""
        for piece in pieces:
            waiting = memoryview(piece).cast("B")
            while waiting:
                waiting = waiting[self._file.write(waiting) :]
            self._position += memoryview(piece).nbytes
        if hasattr(self._file, "flush"):
            self._file.flush()


def stdout_sink() -> Sink:
    """Return stdout."""
    return StreamSink(1, "<stdout>")
