"""Write a new file while it is still being planned, and compare it with what was planned.

It is separate from `copies`, which says what a new file is made of: here what is sure is copied while it
is still in the processor's cache, and a thread reads it again where it stands now, and lets the disk begin
with it. Planned, copied, looked at and made durable one after the other it would take twice as long.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TypeVar

from ..endpoints import local_path
from ..endpoints.base import Bytes, Source
from ..endpoints.local import FileSink, FileSource
from ..errors import FramingError, SourceError
from ..wire.digest import body_digest, new_digest
from .copies import (
    MIN_AGE,
    Range,
    Segment,
    mapped,
    same_as,
    same_file,
    seekable,
    settled,
    write_segments,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

Emit = Callable[[Segment], None]
"""Takes the segments of a new file, in order."""

Plan = TypeVar("Plan")

_PIECE = 1 << 20  # bytes that are copied at once
_ROOM = 64 << 20  # bytes that are asked of the file system at once
_LOOKED_AT = 16 << 20  # bytes that are compared, and sent to the disk, at once


class Carrier:
    """Writes segments to a new file, in order, and compares what stands there then with what should.

    Used as a context manager: leaving it waits for the thread that compares.

    Args:
        source: What ranges are of.
        whole: The same in memory.
        sink: The new file, from its beginning.
    """

    def __init__(self, source: FileSource, whole: Source, sink: FileSink) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._source = source
        self._whole = whole
        self._sink = sink
        self._next: list[Segment] = []
        self._next_size = 0
        self._written = self._looked_at = 0
        self._digest = new_digest()  # of what is written, and was not looked at
        self._looks: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(1)
        self._room = 0

    def __enter__(self) -> Self:
        """Use it as a context manager."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for what is being compared; the rest of it is not."""
        self._pool.shutdown(cancel_futures=True)

    def put(self, segment: Segment) -> None:
        """Take the next segment.

        Raises:
            SourceError: It, or one before it, cannot be copied.
            FramingError: What stands in the new file is not what was planned.
        """
        if isinstance(segment, bytes):
            self._take(segment, segment)
            return
        offset, left = segment
        while left:
            size = min(left, _PIECE - self._next_size)
            self._take(Range(offset, size), memoryview(self._whole.read_at(offset, size))[:size])
            offset, left = offset + size, left - size

    def finish(self) -> None:
        """Return when the new file is complete, and is what was planned. Errors as `put`."""
        self._write()
        if self._written > self._looked_at:
            self._have_looked_at()
        for look in self._looks:
            look.result()
        self._sink.truncate(self._written)

    def _take(self, segment: Segment, data: Bytes) -> None:
        self._next.append(segment)
        self._next_size += len(data)
        self._digest.update(data)
        if self._next_size >= _PIECE:
            self._write()

    def _write(self) -> None:
        if self._written + self._next_size > self._room:
            # Where there is less, writing says so. `finish` gives back what was too much.
            more = min(_ROOM, self._source.size() + _PIECE)
            self._sink.allocate(self._room, more)
            self._room += more
        write_segments(self._source, self._next, self._sink)
        self._written += self._next_size
        self._next, self._next_size = [], 0
        if self._written - self._looked_at >= _LOOKED_AT:
            self._have_looked_at()

    def _have_looked_at(self) -> None:
        at, size = self._looked_at, self._written - self._looked_at
        self._looks.append(self._pool.submit(self._look, at, size, self._digest.intdigest()))
        self._looked_at, self._digest = self._written, new_digest()
        while self._looks and self._looks[0].done():
            self._looks.pop(0).result()

    def _look(self, at: int, size: int, digest: int) -> None:
        with self._sink.mapped(at, size) as copied:
            if body_digest([copied]) != digest:
                raise FramingError(
                    f"the copy is not what was planned, within {size} bytes",
                    offset=at,
                    source=self._sink.path,
                )
        self._sink.send_on(at, size)


def write_copy(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    plan: Callable[[Source, Emit], Plan],
    check: Callable[[Source, Plan], None],
    *,
    min_age: float = MIN_AGE,
    force: bool = False,
) -> Plan:
    """Plan a new file, write it, check it, and let it have its name.

    Args:
        path: The source, or `-`. It is left as it is, and must stay so meanwhile.
        output: The new file.
        plan: Looks at the source, and hands over what the new file is made of as soon as it is sure.
        check: Looks at the new file, which is what was planned; raises if that is not whole.
        min_age: Seconds for which the source must have been as it is.
        force: Do not ask whether the source is in use; replace an existing `output`.

    Raises:
        SourceError: One of the two failed, the source is in use, or it changed meanwhile.
    """
    target = local_path(output)
    with FileSink(target, private=True, exclusive=not force, durable=True) as sink:
        source = seekable(local_path(path), target)
        try:
            if same_file(source, target):
                raise SourceError("is the input itself: a copy needs another name", uri=target)
            before = settled(source, min_age, force=force)

            def carried(whole: Source) -> Plan:
                with Carrier(source, whole, sink) as carrier:
                    made = plan(whole, carrier.put)
                    carrier.finish()
                return made

            made = mapped(source, carried)
            _checked(sink, lambda copy: check(copy, made))
            same_as(source, before)
        finally:
            source.close()
    return made


def _checked(sink: FileSink, check: Callable[[Source], None]) -> None:
    copy = FileSource(os.dup(sink.descriptor), sink.path)
    try:
        mapped(copy, check)
    finally:
        copy.close()
