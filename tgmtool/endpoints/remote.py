"""Objects behind a URL: read in ranges, several at once, and as few of them as will do.

It is separate from how they are reached: here is decided which ranges are asked for. What was read
is remembered for a while, and what reads show a stride gets its next places before it asks.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from ..errors import LimitExceeded
from .access import Access
from .base import Bytes
from .ranges import Range, RangeSource, Store, cut, joined
from .reach import Contact, Reach

SUFFIX = 64 << 10  # one read tells the size and shows the last messages
_HEAD = 64 << 10
GAP = 64 << 10  # to read so much in vain is cheaper than another round trip
PIECE = 4 << 20
_LEAST_PIECE = 1 << 20
_LARGE = 256 << 10  # what is read at once from here on is not remembered
_HELD = 64 << 20
_MOST_AHEAD = 64


class Spent(NamedTuple):
    """What reading has cost so far."""

    requests: int
    received: int
    seconds: float


class RemoteSource(RangeSource):
    """A remote object, pinned to the version that was met first.

    Args:
        reach: How it is reached.
        concurrency: Ranges that are on their way at once; each is at most 4 MiB.
        max_bytes: Bytes that may be read.

    Attributes:
        version: What tells this version of the object from others, as far as its place says.
        modified: When it was changed, in seconds since 1970; None where nobody says.

    Raises:
        SourceError: It is not there, or cannot be read in ranges.
    """

    seekable = True

    def __init__(self, reach: Reach, *, concurrency: int = 8, max_bytes: int | None = None) -> None:
        self.name = reach.name
        self._reach = reach
        self._concurrency = concurrency
        self._max_bytes = max_bytes
        self._asked = 0
        self._began = time.monotonic()
        self._lock = threading.RLock()
        self._pool: ThreadPoolExecutor | None = None
        self._turn_to(reach.contact(SUFFIX if max_bytes is None else min(SUFFIX, max_bytes)))

    def _turn_to(self, contact: Contact) -> None:
        """Begin with a version of which nothing else is known."""
        self.version, self.modified = contact.version, contact.modified
        self._store = Store(_HELD)
        self._stride = _Stride()
        self._end, self._ahead = 0, _HEAD
        self._size = contact.size
        self._asked += len(contact.data)
        self._tail = contact.offset, contact.data  # never forgotten: every search for the end begins here

    def renew(self) -> bool:
        """Turn to the version that is there now; return whether it is another one.

        Raises:
            MissingObject: There is none now.
            SourceError: It cannot be reached.
        """
        with self._lock:
            contact = self._reach.contact_again(SUFFIX)
            if contact is not None:
                self._turn_to(contact)
            return contact is not None

    @property
    def spent(self) -> Spent:
        """Requests, bytes and seconds so far."""
        return Spent(self._reach.requests, self._reach.received, time.monotonic() - self._began)

    def size(self) -> int:
        """Return the object's size."""
        return self._size

    def read_at(self, offset: int, size: int) -> Bytes:
        """Return up to `size` bytes at `offset`: what is here of them, or else all of them."""
        with self._lock:
            size = min(size, self._size - offset)
            if size <= 0:
                return b""
            if found := self._held(offset, size):
                return found
            if size >= _LARGE:
                self._end, self._ahead = offset + size, max(size, self._ahead)
                return self._read_large(offset, size)
            guess = self._guess(offset, size)
            if self._max_bytes is not None and self._asked + sum(one.size for one in guess) > self._max_bytes:
                guess = [Range(offset, offset + size)]  # what may not be wanted must not use up the limit
            self._get(guess, gap=0)
            return self._held(offset, size)

    def read_apart(self, offset: int, size: int) -> Bytes:
        """As `read_at`, all of it, and without a guess what comes next."""
        with self._lock:
            size = min(size, self._size - offset)
            found = self._held(offset, size) if size > 0 else b""
            if size <= 0 or len(found) == size:
                return found
            return self._read_large(offset, size)

    def prefetch(self, wanted: Iterable[Range]) -> None:
        """Get these ranges, several at once, and remember them; as many as may be read."""
        with self._lock:
            left = self._size if self._max_bytes is None else self._max_bytes - self._asked
            allowed = []
            for one in wanted:
                part = Range(one.start, min(one.stop, self._size))
                left -= part.size
                if left >= 0:
                    allowed.append(part)
            self._get(allowed, gap=GAP)

    def stream(self, wanted: Range) -> Iterator[Bytes]:
        """Yield the bytes of a range in order; as many pieces as may be are on their way.

        A piece is good until the next one is asked for: its room is used again.
        """
        pieces = cut([Range(wanted.start, min(wanted.stop, self._size))], size=PIECE)
        waiting: deque[tuple[Future[None], memoryview]] = deque()
        free: list[memoryview] = []  # at most as many as are on their way, and the one that was yielded
        try:
            for piece in pieces:
                self._allow(piece.size)
                room = (free.pop() if free else memoryview(bytearray(PIECE)))[: piece.size]
                waiting.append((self._threads().submit(self._reach.fill, piece.start, room), room))
                if len(waiting) > 2 * self._concurrency:
                    yield (room := _filled(waiting.popleft()))
                    free.append(room)
            while waiting:
                yield _filled(waiting.popleft())
        finally:
            for one, _ in waiting:
                one.cancel()
            wait([one for one, _ in waiting])

    def keep_from(self, offset: int) -> int:
        """Everything can be asked for again."""
        return 0

    def close(self) -> None:
        """Close the connections."""
        self._reach.close()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    # ---- which ranges

    def _held(self, offset: int, size: int) -> Bytes:
        at, data = self._tail
        if at <= offset < at + len(data):
            return memoryview(data)[offset - at : offset - at + size]
        return self._store.at(offset, size)

    def _guess(self, offset: int, size: int) -> list[Range]:
        """Return what to get when `size` bytes at `offset` are not here."""
        if self._end <= offset <= self._end + GAP:
            most = self._concurrency * PIECE
            self._ahead = min(max(size, self._ahead), most)
            self._end = min(offset + self._ahead, self._size)
            self._ahead = min(2 * self._ahead, most)
            return [Range(offset, self._end)]
        ranges = [
            Range(at, min(at + size, self._size))
            for at in self._stride.after(offset, most=_MOST_AHEAD)
            if at < self._size
        ]
        self._end, self._ahead = ranges[-1].stop if len(ranges) > 1 else offset + size, 2 * size
        return ranges

    def _get(self, wanted: Sequence[Range], *, gap: int) -> None:
        """Get what is missing of these ranges, and remember it."""
        missing = [part for one in wanted for part in self._missing(one)]
        pieces = list(cut(joined(missing, gap=gap), size=PIECE))
        for piece, data in zip(pieces, self._fetch(pieces), strict=True):
            self._store.add(piece.start, data)

    def _missing(self, wanted: Range) -> Iterator[Range]:
        at, data = self._tail
        yield from self._store.missing(Range(wanted.start, min(wanted.stop, max(at, wanted.start))))
        yield from self._store.missing(Range(max(wanted.start, at + len(data)), wanted.stop))

    def _read_large(self, offset: int, size: int) -> Bytes:
        """Return `size` bytes; what is here of them is not asked for, the rest is read into its place."""
        each = max(_LEAST_PIECE, min(PIECE, -(-size // self._concurrency)))
        missing = [part for part in self._missing(Range(offset, offset + size)) if part.size > 0]
        self._allow(sum(part.size for part in missing))
        whole = memoryview(bytearray(size))
        at = offset
        for part in [*missing, Range(offset + size, offset + size)]:
            while at < part.start:
                held = self._held(at, part.start - at)
                whole[at - offset :][: len(held)] = held
                at += len(held)
            at = part.stop
        self._fill(
            [(piece.start, whole[piece.start - offset :][: piece.size]) for piece in cut(missing, size=each)]
        )
        return whole

    def _fetch(self, pieces: Sequence[Range]) -> list[Bytes]:
        """Return the bytes of each piece."""
        self._allow(sum(piece.size for piece in pieces))
        rooms = [memoryview(bytearray(piece.size)) for piece in pieces]
        self._fill([(piece.start, room) for piece, room in zip(pieces, rooms, strict=True)])
        return list(rooms)

    def _fill(self, wanted: Sequence[tuple[int, memoryview]]) -> None:
        """Read into each room what stands at its offset, several at once."""
        fill = self._reach.fill
        if len(wanted) < 2 or self._concurrency < 2:
            for offset, room in wanted:
                fill(offset, room)
            return
        waiting = [self._threads().submit(fill, offset, room) for offset, room in wanted]
        try:
            for one in waiting:
                one.result()
        finally:
            for one in waiting:
                one.cancel()
            wait(waiting)  # nobody writes into a room, or counts a request, after this

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._concurrency, "tgmtool-ranges")
        return self._pool

    def _allow(self, size: int) -> None:
        """Count bytes that will be read; refuse them if they are too many."""
        asked = self._asked + size
        if self._max_bytes is not None and asked > self._max_bytes:
            raise LimitExceeded(
                f"{self.name}: this takes {asked} bytes of the object's {self._size}",
                limit="bytes",
                value=self._max_bytes,
            )
        self._asked = asked


def _filled(piece: tuple[Future[None], memoryview]) -> memoryview:
    future, room = piece
    future.result()
    return room


class _Stride:
    """Sees that reads are equally far apart, and how far it may be trusted."""

    def __init__(self) -> None:
        self._expected = self._last = self._step = -1
        self._trusted = 1

    def after(self, offset: int, *, most: int) -> list[int]:
        """Return `offset`, and the places that will be asked for next if the stride goes on."""
        if offset == self._expected:
            self._trusted = min(2 * self._trusted, most)
        else:
            step = offset - self._last
            self._trusted = 2 if self._last >= 0 and step == self._step and step > 0 else 1
            self._step = step
        self._last = offset + (self._trusted - 1) * self._step if self._trusted > 1 else offset
        self._expected = self._last + self._step if self._trusted > 1 else -1
        return [offset + i * self._step for i in range(self._trusted)]


def open_remote(url: str, access: Access | None = None) -> RemoteSource:
    """Open a URL.

    Raises:
        SourceError: It cannot be reached, is not there, or its scheme is not known.
    """
    from .reaches import reach_of

    access = access or Access()
    reach = reach_of(url, access)
    try:
        return RemoteSource(reach, concurrency=access.concurrency, max_bytes=access.max_bytes)
    except BaseException:
        reach.close()
        raise
