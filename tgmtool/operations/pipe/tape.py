"""What was read from a stage and is not on its way to the next one yet.

It is separate because it is the one place where bytes wait before anybody knows whether they are a
message: the decoder looks at them here, and they leave as whole messages, without being copied.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from sys import getrefcount
from time import monotonic

from ...endpoints import open_source
from ...endpoints.base import Bytes, Source
from ...endpoints.local import source_error
from ...errors import LimitExceeded
from ...limits import DEFAULT_LIMITS
from .cancel import Cancel
from .kernel import LEAST, KernelPiece, Ring
from .links import Cancelled, Link
from .parcels import Piece

BIG = 256 << 10  # a message of this size gets a buffer of its own, so that it stands together
_LEAST_READ = 4096
_HEAD = 64  # bytes after which it is known whether a message begins here, and more
_SLACK = 8192  # behind it, for what is read beyond its end
_CHUNK = 1 << 20
_NOBODY = 2  # references to a buffer that only the pool holds: its list, and getrefcount's own


class Feed:
    """A descriptor that is read forward, until it ends or the reading is cancelled.

    Args:
        descriptor: Open for reading; it stays open.
        name: For messages.
        cancel: Ends the waiting.
    """

    def __init__(self, descriptor: int, name: str, cancel: Cancel) -> None:
        self.name = name
        self.descriptor = descriptor
        self.arrived = 0  # bytes so far
        self.arrived_at = monotonic()  # when the last of them came
        self.is_waiting = False  # nothing is there to be read
        self.has_ended = False
        self._cancel = cancel
        self._is_given_up = False
        self._poller = select.poll()
        self._poller.register(descriptor, select.POLLIN)
        self._poller.register(cancel.descriptor, select.POLLIN)

    def give_up(self) -> None:
        """Let it end here: whoever still holds the other end is not waited for."""
        self._is_given_up = True
        self._cancel.set()

    def wait(self) -> bool:
        """Return True when reading would not block, False if there will be nothing to read.

        Raises:
            Cancelled: The stage is to end.
        """
        self.is_waiting = True
        ready = self._poller.poll()
        self.is_waiting = False
        if self._is_given_up:
            return False
        if self._cancel.is_set or any(descriptor == self._cancel.descriptor for descriptor, _ in ready):
            raise Cancelled
        return True

    def read_into(self, view: memoryview) -> int:
        """Read what is there, at least a byte; 0 at the end."""
        while True:
            if not self.wait():
                self.count(0)
                return 0
            try:
                found = os.readv(self.descriptor, [view])
            except BlockingIOError:
                continue
            except OSError as error:
                raise source_error(error, self.name) from error
            self.count(found)
            return found

    def count(self, found: int) -> None:
        """Take note of bytes that arrived; 0: the end."""
        self.has_ended = not found
        self.arrived += found
        self.arrived_at = monotonic()


class PlaceFeed:
    """A place that is not read through a descriptor of its own: bytes in memory, a URL, a Source."""

    descriptor = -1

    def __init__(self, place: object, cancel: Cancel) -> None:
        self._source = open_source(place)
        self._mine = self._source is not place
        self.name = self._source.name
        self.arrived = 0
        self.arrived_at = monotonic()
        self.is_waiting = False
        self.has_ended = False
        self._cancel = cancel

    def wait(self) -> bool:
        """Raise Cancelled if the stage is to end."""
        if self._cancel.is_set:
            raise Cancelled
        return True

    def read_into(self, view: memoryview) -> int:
        """As `Feed.read_into`."""
        self.wait()
        self.is_waiting = True
        found = self._source.read_at(self.arrived, len(view))[: len(view)]
        view[: len(found)] = found
        self.is_waiting = False
        self.has_ended = not found
        self.arrived += len(found)
        self.arrived_at = monotonic()
        self._source.keep_from(self.arrived)
        return len(found)

    def count(self, found: int) -> None:
        """A place has no pipe."""

    def close(self) -> None:
        """Let go of the place."""
        if self._mine:
            self._source.close()


class Waiting:
    """Several feeds, seen as one by whoever asks whether anything comes."""

    def __init__(self) -> None:
        self._feeds: list[Feed | PlaceFeed] = []

    def add(self, feed: Feed | PlaceFeed) -> Feed | PlaceFeed:
        """Take one more; return it."""
        self._feeds.append(feed)
        return feed

    @property
    def is_waiting(self) -> bool:
        """One of them has nothing to be read, and the others neither."""
        return all(feed.is_waiting or feed.has_ended for feed in self._feeds) and any(
            feed.is_waiting for feed in self._feeds
        )

    @property
    def arrived_at(self) -> float:
        """When something came last."""
        return max(feed.arrived_at for feed in self._feeds)


class Pool:
    """Buffers that are used again as soon as nobody looks at them: fresh memory is dear."""

    def __init__(self) -> None:
        self._buffers: list[bytearray] = []

    def take(self, size: int) -> memoryview:
        """Return a buffer of at least `size` bytes, and not of many more."""
        size = -(-size // _CHUNK) * _CHUNK
        for buffer in self._buffers:
            if size <= len(buffer) <= 2 * size and getrefcount(buffer) == _NOBODY + 1:  # and ours
                return memoryview(buffer)
        self._buffers = [each for each in self._buffers if getrefcount(each) > _NOBODY + 1]
        self._buffers.append(bytearray(size))
        return memoryview(self._buffers[-1])


class Tape(Source):
    """A source over a feed that keeps what was not taken from it, within the bounds of a link.

    Args:
        feed: Where the bytes come from.
        link: Where they will go: it says how much may be kept here.
        foreign: Takes bytes that turned out to belong to no message: (offset, pieces).
        overflow: Takes bytes of a message that is too large for the link: (offset, pieces).
        retain: Bytes that may be kept after damage, however small the link is.
    """

    seekable = False

    def __init__(
        self,
        feed: Feed | PlaceFeed,
        link: Link,
        *,
        foreign: Callable[[int, list[Piece]], None],
        overflow: Callable[[int, list[Piece]], None],
        retain: int = DEFAULT_LIMITS.retained_bytes,
    ) -> None:
        self.name = feed.name
        self.position = 0  # bytes read so far
        self.first = 0  # where the first byte stands that is kept
        self.ended = False
        self.message: int | None = None  # where the message begins that is being read
        self.total = 0  # its length, if it says so
        self.hunting = False  # after damage: a message is believed when all of it is at hand
        self.undecided: int | None = None  # where begins what may still become a message, or padding
        self.flowing = False  # it is larger than the link: what comes of it goes on at once
        self._feed = feed
        self._link = link
        self._foreign = foreign
        self._overflow = overflow
        self._retain = retain
        self.may_splice = False  # what nobody looks at need not come to memory
        self._pieces: list[memoryview | KernelPiece] = []
        self._ring = Ring(link.capacity)
        self._pool = Pool()
        self._buffer = memoryview(b"")  # what is being filled
        self._filled = 0
        self._grows = False  # the newest piece ends where the buffer is filled to

    # ---- what the decoder's driver asks

    def read_at(self, offset: int, size: int) -> Bytes:
        """Return bytes at `offset`, waiting for them; nothing at the end."""
        while offset >= self.position:
            # The last bytes may be skipped over; what is read beyond them is what was asked for.
            if not self._more(offset - self.position, size):
                return b""
        at = self.first
        for number, piece in enumerate(self._pieces):
            if offset < at + len(piece):
                return self._seen(number)[offset - at :]
            at += len(piece)
        raise AssertionError("a byte that is kept and not there")

    def _seen(self, number: int) -> memoryview:
        """Return a piece that is to be looked at, or cut."""
        piece = self._pieces[number]
        if isinstance(piece, KernelPiece):
            piece = self._pieces[number] = memoryview(piece.bytes())
            self._grows = self._grows and number < len(self._pieces) - 1
        return piece

    def size(self) -> int | None:
        """Return where the input ended, once it has."""
        return self.position if self.ended else None

    def keep_from(self, offset: int) -> int:
        """Hand out what stands before `offset`: nobody took it as a message."""
        if offset > self.first and self._pieces:
            start = self.first
            pieces = self.take(start, min(offset, self.position) - start)
            self._foreign(start, pieces)
        return self.first

    def close(self) -> None:
        """Let go of what waits outside of memory. The feed belongs to its owner."""
        self._ring.close()

    # ---- what the reader asks

    def take(self, offset: int, size: int) -> list[Piece]:
        """Return and forget `size` bytes at `offset`, which is where the kept bytes begin."""
        assert offset == self.first
        found: list[Piece] = []
        left = size
        while left:
            piece = self._pieces[0]
            if len(piece) <= left:
                del self._pieces[0]
            else:
                whole = self._seen(0)
                piece, self._pieces[0] = whole[:left], whole[left:]
            found.append(piece)
            left -= len(piece)
        self.first += size
        in_memory = [piece for piece in found if not isinstance(piece, KernelPiece)]
        if size < BIG and len(in_memory) == len(found):
            # Small messages must not hold the large buffer that they happened to be read into.
            return [b"".join(in_memory)] if size else []
        return found

    def at_hand(self) -> memoryview:
        """Return what is kept and stands together, from the first byte on."""
        return self._seen(0) if self._pieces else memoryview(b"")

    def take_seen(self, size: int) -> bytes:
        """Return and forget the first `size` bytes of what is at hand; they hold no larger buffer."""
        return b"".join(piece for piece in self.take(self.first, size) if not isinstance(piece, KernelPiece))

    @property
    def kept(self) -> int:
        """Bytes that are kept."""
        return self.position - self.first

    # ---- reading

    def _more(self, gap: int, size: int) -> bool:
        """Read something; False at the end.

        Args:
            gap: Bytes that nobody wants to look at.
            size: Bytes after them that somebody does.
        """
        if self.ended:
            return False
        if self.message is None and self.undecided is not None and not self.hunting:
            self._check_undecided(self.undecided)
        if self.flowing:
            self._flow()
        most = max(self._retain, self._link.capacity) if self.hunting else max(self._link.capacity, _HEAD)
        free = most - self.kept
        if free <= 0:
            self._link.room(self.kept, 1)  # nothing is held before us afterwards
            self._make_room()
            free = most
        if gap >= LEAST and self.may_splice and self._link.takes_kernel and not self.hunting:
            moved = self._splice(min(gap, free))
            if moved is not None:
                return moved
        room = self._target(gap + size)[:free]
        if not self.hunting:
            self._link.room(self.kept, len(room))
        found = self._feed.read_into(room)
        if not found:
            self.ended = True
            return False
        start, self._filled = self._filled, self._filled + found
        if self._grows and self._pieces and not isinstance(self._pieces[-1], KernelPiece):
            self._pieces[-1] = self._buffer[start - len(self._pieces[-1]) : self._filled]
        else:
            self._pieces.append(self._buffer[start : self._filled])
            self._grows = True
        self.position += found
        return True

    def _check_undecided(self, start: int) -> None:
        # Zeros may be a message that is not written yet, for ever: a file of them has an end, a pipe has not.
        if self.position - start > self._retain:
            raise LimitExceeded(
                f"{self.position - start} zeros, and no message begins",
                limit="retained_bytes",
                value=self._retain,
                offset=start,
            )

    def _splice(self, size: int) -> bool | None:
        """Move bytes past memory; False at the end, None if they have to be read after all."""
        last = self._pieces[-1] if self._pieces else None
        if not isinstance(last, KernelPiece) or last.is_full:
            last = self._ring.piece()
            if last is None:
                return None
            self._pieces.append(last)
        self._link.room(self.kept, size)
        is_there = self._feed.wait()
        found = last.fill_from(self._feed.descriptor, size) if is_there else 0
        if found is None and len(last):  # its slots are taken: small pieces came
            last = self._ring.piece()
            if last is None:
                return None
            self._pieces.append(last)
            found = last.fill_from(self._feed.descriptor, size)
        if found is None:
            return None
        self._feed.count(found)
        self.ended = not found
        self.position += found
        return bool(found)

    def _target(self, wanted: int) -> memoryview:
        """Return where to read to: behind what was read last, or into another buffer."""
        left = self.total - self.kept if self.message == self.first else 0
        if left > 0 and BIG <= self.total <= self._link.capacity and not self._link.takes_kernel:
            if len(self._buffer) - self._filled < left or len(self._pieces) > 1 or not self._grows:
                self._move(self._pool.take(self.total + _SLACK))
            most = min(wanted, left + _SLACK)
        else:
            if self._filled == len(self._buffer):
                self._buffer, self._filled, self._grows = self._pool.take(_CHUNK), 0, False
            most = min(max(wanted, _LEAST_READ), self._link.part)
        return self._buffer[self._filled : self._filled + most]

    def _move(self, buffer: memoryview) -> None:
        """Go on in another buffer, and take along what is kept."""
        at = 0
        for number in range(len(self._pieces)):
            piece = self._seen(number)
            buffer[at : at + len(piece)] = piece
            at += len(piece)
        self._pieces = [buffer[:at]] if at else []
        self._buffer, self._filled, self._grows = buffer, at, True

    def _make_room(self) -> None:
        """What is kept fills the link alone: it has to go."""
        if self.message == self.first:
            self.flowing = True
            self._flow()
        else:
            self.keep_from(self.position)

    def _flow(self) -> None:
        if self.kept:
            start = self.first
            self._overflow(start, self.take(start, self.kept))
