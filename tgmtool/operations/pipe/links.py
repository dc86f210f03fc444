"""A bounded link between two stages: bytes and messages that were given and not yet dealt with.

It is separate because the promise of `pipe` is here: nothing grows, whoever is slow holds back
whoever is before it, and nobody waits for somebody who is gone.

The bound counts what the taker still has in its hand, and what the giver has read of a message that is
not whole yet. There is room for something whenever nothing is held: so a chain of links cannot lock up.
"""

from __future__ import annotations

from collections import deque
from threading import Condition
from time import monotonic
from typing import NamedTuple

from .parcels import Kind, Parcel

PART = 1 << 20  # largest piece of a message that passes in parts
_BYTES_PER_MESSAGE = 4096  # what a waiting message counts for at least: it costs memory beside its bytes
_LEAST_DEPTH = 64


class Cancelled(Exception):
    """This stage is to end now."""


class Abandoned(Exception):
    """The next stage wants nothing more."""


class Filling(NamedTuple):
    """What a link looks like at one moment.

    Attributes:
        held: Bytes in it.
        capacity: Bytes that it may hold.
        waiting: Messages in it.
        messages: Messages that were given so far.
        given: Bytes that were given so far.
        taken: Bytes that were dealt with so far.
        oldest: Seconds for which the first has been waiting; 0 when nothing does.
        still: Seconds since something was dealt with, or since something is waiting; 0 when nothing is.
        blocked: The giver waits for room.
        hungry: The taker waits for something.
        closed: Nothing more is given.
        free: Seconds since the giver last waited for room.
    """

    held: int
    capacity: int
    waiting: int
    messages: int
    given: int
    taken: int
    oldest: float
    still: float
    blocked: bool
    hungry: bool
    closed: bool
    free: float


class Link:
    """From one giving stage to one taking stage.

    Args:
        capacity: Bytes that it holds at most.
        depth: Messages that it holds at most; None for as many as their bookkeeping allows.
    """

    def __init__(self, capacity: int, depth: int | None = None) -> None:
        self.capacity = max(capacity, 1)
        self.depth = depth or max(capacity // _BYTES_PER_MESSAGE, _LEAST_DEPTH)
        self._counts = depth is not None
        self.part = min(PART, self.capacity)
        self.takes_kernel = False  # the taker only passes bytes on, to a pipe: they need not come to memory
        self.takes_several = False  # the taker knows that small messages may come several in one parcel
        self.messages = 0
        self.given = 0
        self.taken = 0
        self.peak = 0
        self.passing = 0  # bytes that left the taker's hand, of parcels that it is not done with or was
        self.is_between = True  # what was given ends with a whole message
        self._changed = Condition()
        self._queue: deque[tuple[Parcel, float]] = deque()
        self._held = 0
        self._open = 0  # of a message that the giver has read some of
        self._waiting = 0
        self._in_hand: deque[float] = deque()
        self._since = 0.0  # something was dealt with, or nothing was held
        self._closed = False
        self._abandoned = False
        self._giver_cancelled = False
        self._taker_cancelled = False
        self._blocked = False
        self._unblocked_at = 0.0
        self._hungry = 0  # takers that wait

    # ---- the giver

    @property
    def takes_runs(self) -> bool:
        """Several messages may be given as one parcel: the taker knows it, and nobody counts them."""
        return self.takes_several and not self._counts

    def room(self, opened: int, more: int) -> bool:
        """Wait for room for `more` bytes of a message of which `opened` bytes were read already.

        Returns:
            True when there is. False if nothing is held and there still is none: what was read has to go on
            in parts.
        """
        with self._changed:
            self._open = opened
            while self._held and self._held + opened + more > self.capacity:
                self._wait_as_giver()
            self._check_giver()
            self._open = min(opened + more, self.capacity)
            return opened + more <= self.capacity

    def put(self, parcel: Parcel, *, counted: bool = False) -> None:
        """Give a parcel; wait until there is room. One that is larger than the link goes in parts.

        Args:
            parcel: What to give.
            counted: `room` was asked for its bytes.
        """
        if parcel.size > self.capacity and not counted:
            for part in parcel.parts(self.part):
                self._put(part, counted=False)
        else:
            self._put(parcel, counted=counted)

    def _put(self, parcel: Parcel, *, counted: bool) -> None:
        size = parcel.size
        with self._changed:
            while self._waiting >= self.depth or (
                not counted and self._held and self._held + size > self.capacity
            ):
                self._wait_as_giver()
            self._check_giver()
            now = monotonic()
            if not self._held:
                self._since = now
            self._open = 0
            self._held += size
            self._waiting += parcel.count
            self.peak = max(self.peak, self._held)
            self.given += size
            self.is_between = parcel.ends and not parcel.broken
            if parcel.ends and not parcel.broken and parcel.kind is not Kind.FOREIGN:
                self.messages += parcel.count
            self._queue.append((parcel, now))
            if self._hungry:
                self._changed.notify_all()

    def _wait_as_giver(self) -> None:
        self._check_giver()
        self._blocked = True
        self._changed.wait()
        self._blocked = False
        self._unblocked_at = monotonic()

    def _check_giver(self) -> None:
        if self._giver_cancelled:
            raise Cancelled
        if self._abandoned:
            raise Abandoned

    def close(self) -> None:
        """Say that nothing more comes. May be said twice."""
        with self._changed:
            self._closed = True
            self._open = 0
            self._changed.notify_all()

    def cancel_giver(self) -> None:
        """Let the giver end now: its waiting raises Cancelled."""
        with self._changed:
            self._giver_cancelled = True
            self._changed.notify_all()

    # ---- the taker

    def take(self) -> Parcel | None:
        """Wait for the next parcel and return it; None when there will be none. `done` has to follow."""
        with self._changed:
            while not self._queue:
                if self._taker_cancelled:
                    raise Cancelled
                if self._closed:
                    return None
                self._hungry += 1
                self._changed.wait()
                self._hungry -= 1
            if self._taker_cancelled:
                raise Cancelled
            parcel, when = self._queue.popleft()
            self._in_hand.append(when)
            return parcel

    def done(self, parcel: Parcel) -> None:
        """Say that a parcel was dealt with: its bytes are free."""
        with self._changed:
            self.taken += parcel.size
            if not self._abandoned:
                self._held -= parcel.size
                self._waiting -= parcel.count
            self._in_hand.popleft()
            self._since = monotonic()
            if self._blocked:
                self._changed.notify_all()

    def abandon(self) -> None:
        """Say that nothing more is wanted: the giver's next waiting raises Abandoned."""
        with self._changed:
            self._abandoned = True
            self._queue.clear()
            self._held = self._waiting = 0
            self._changed.notify_all()

    def cancel_taker(self) -> None:
        """Let the taker end now: its waiting raises Cancelled."""
        with self._changed:
            self._taker_cancelled = True
            self._changed.notify_all()

    # ---- whoever watches

    def advanced(self, size: int) -> None:
        """The taker got rid of `size` bytes of what it has in hand: it is slow, not stuck."""
        self._since = monotonic()
        self.passing += size

    def look(self) -> Filling:
        """Return what it looks like now."""
        with self._changed:
            now = monotonic()
            first = self._in_hand[0] if self._in_hand else self._queue[0][1] if self._queue else now
            return Filling(
                held=self._held + self._open,
                capacity=self.capacity,
                waiting=self._waiting,
                messages=self.messages,
                given=self.given,
                taken=self.taken,
                oldest=now - first,
                still=now - max(self._since, 0.0) if self._held else 0.0,
                blocked=self._blocked,
                hungry=self._hungry > 0,
                closed=self._closed,
                free=now - self._unblocked_at,
            )
