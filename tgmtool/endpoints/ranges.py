"""Ranges of bytes: joined, cut in pieces, and remembered.

It is separate because it is arithmetic and bookkeeping: nothing here knows where bytes come from.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .base import Bytes, Source


class Range(NamedTuple):
    """Bytes `start` to `stop` (not included) of a source."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.stop - self.start


class RangeSource(Source):
    """A source where every read is a round trip: it pays to say what will be wanted."""

    @abstractmethod
    def prefetch(self, wanted: Iterable[Range]) -> None:
        """Get these ranges, several at once, and remember them for a while.

        It is advice: what is beyond a limit is left out.

        Raises:
            SourceError: The place failed.
        """

    @abstractmethod
    def read_apart(self, offset: int, size: int) -> Bytes:
        """As `read_at`, for bytes that say nothing about which will be wanted next."""

    @abstractmethod
    def stream(self, wanted: Range) -> Iterator[Bytes]:
        """Yield the bytes of a range in order, in pieces; several are on their way while one is used.

        Raises:
            SourceError: The place failed.
            LimitExceeded: They are more than may be read.
        """


def joined(ranges: Iterable[Range], *, gap: int) -> list[Range]:
    """Return the ranges in order, those with at most `gap` bytes between them as one."""
    found: list[Range] = []
    for one in sorted(ranges):
        if one.size <= 0:
            continue
        if found and one.start - found[-1].stop <= gap:
            found[-1] = Range(found[-1].start, max(found[-1].stop, one.stop))
        else:
            found.append(one)
    return found


def cut(ranges: Iterable[Range], *, size: int) -> Iterator[Range]:
    """Yield the ranges in pieces of at most `size` bytes."""
    for one in ranges:
        for start in range(one.start, one.stop, size):
            yield Range(start, min(start + size, one.stop))


class Store:
    """What was read and may be wanted again.

    Args:
        limit: Bytes it holds; beyond that, what came first is forgotten first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._starts: list[int] = []
        self._held: dict[int, Bytes] = {}
        self._order: deque[int] = deque()
        self._size = 0

    def add(self, offset: int, data: Bytes) -> None:
        """Remember `data`, which stands at `offset`; what is here already is not kept twice."""
        for part in list(self.missing(Range(offset, offset + len(data)))):
            piece = data[part.start - offset : part.stop - offset]
            self._starts.insert(bisect_right(self._starts, part.start), part.start)
            self._order.append(part.start)
            self._held[part.start] = piece
            self._size += len(piece)
        while self._size > self._limit and len(self._order) > 1:
            self._forget(self._order.popleft())

    def _forget(self, offset: int) -> None:
        self._size -= len(self._held.pop(offset))
        del self._starts[bisect_right(self._starts, offset) - 1]

    def at(self, offset: int, size: int) -> memoryview:
        """Return up to `size` bytes that stand at `offset`; nothing if they are not here."""
        place = bisect_right(self._starts, offset) - 1
        if place < 0:
            return memoryview(b"")
        start = self._starts[place]
        return memoryview(self._held[start])[offset - start : offset - start + size]

    def missing(self, wanted: Range) -> Iterator[Range]:
        """Yield the parts of `wanted` that are not here; none if it is empty."""
        at = wanted.start
        while at < wanted.stop:
            if held := len(self.at(at, wanted.stop - at)):
                at += held
                continue
            following = bisect_right(self._starts, at)
            end = self._starts[following] if following < len(self._starts) else wanted.stop
            end = min(end, wanted.stop)
            yield Range(at, end)
            at = end
