"""What is to be believed of a file that somebody may still be writing: what looks wrong, and silence.

It is separate from following because these are the questions that only the clock and the system can
answer; a follower asks them and reads on, reads again, or waits.
"""

from __future__ import annotations

import enum
import time

from ..endpoints.local import FileSource, lock_holder
from ..errors import FormatError, LimitExceeded
from ..wire import layout
from .guesses import Refuted, end_of_frames, whole_message_in

_MOST_TORN = 16  # torn messages among whole ones
_NEAR_END = 1 << 20  # damage further from the end than this is not a page in flight


class Belief(enum.Enum):
    """What to do about bytes that seem wrong."""

    YES = enum.auto()
    """They are wrong."""
    READ_AGAIN = enum.auto()
    """They may have been written over between two looks."""
    WAIT = enum.auto()
    """Read them again at the next look: network file systems show stale bytes for a moment."""


class Doubts:
    """What one file is suspected of.

    Args:
        settle: Seconds for which what is wrong near the end is read again before it is believed.
        stall: Seconds after which a file that did not change is left by its writer; None: never.
    """

    def __init__(self, settle: float, stall: float | None) -> None:
        self._settle = settle
        self._stall = stall
        self.clear()

    def clear(self) -> None:
        """Forget all of it: other bytes stand there now."""
        self._doubt: tuple[int, str, float, int] | None = None  # offset, code, since when, size then
        # What ends before it was given its time. Otherwise a thousand bad frames would take a thousand times.
        self._settled_until = 0
        self._still: tuple[tuple[int, int], float] | None = None  # size and mtime, since when
        self._answered: tuple[int, int] | None = None  # the size and mtime for which the answer was no

    def belief(self, source: FileSource, error: FormatError) -> Belief:
        """Return what to do about an error that reading the file gave."""
        now, offset = time.monotonic(), error.offset or 0
        if offset < self._settled_until:
            return Belief.YES
        if self._doubt is None or self._doubt[:2] != (offset, error.code):
            self._doubt = (offset, error.code, now, source.size())
            return Belief.READ_AGAIN
        _, _, since, size = self._doubt
        if source.size() - offset < _NEAR_END:
            if now - since < self._settle:
                return Belief.WAIT
            self._settled_until = max(offset + 1, size)
        else:
            self._settled_until = max(offset + 1, size - _NEAR_END)
        self._doubt = None
        return Belief.YES

    def message_behind(self, source: FileSource, start: int, *, is_left: bool = False) -> int | None:
        """Return where the first whole message behind a torn one begins, if that is surely torn.

        That is so when no writer holds the file, it did not change for `stall`, and messages fill it from
        there to its end, the last of them whole: if they were the payload of a message that is still
        written, this would be chance.

        Args:
            source: The file.
            start: Where the last whole frame of the torn message ends (bytes from the start of the file).
            is_left: Nobody will look at the file again: there is no time to wait.
        """
        if self._stall is None:
            return None
        status, now = source.status(), time.monotonic()
        seen = (status.st_size, status.st_mtime_ns)
        if self._still is None or self._still[0] != seen:
            self._still = (seen, now)
        is_due = is_left or now - self._still[1] >= self._stall
        if not is_due or seen == self._answered or lock_holder(source.descriptor):
            return None
        try:
            found = whole_message_in(source, start, status.st_size)
            if found is not None and _is_filled(source, found, status.st_size):
                return found
        except LimitExceeded:
            pass  # too dear to find out; at the end it is told as a cut message
        self._answered = seen
        return None


def _is_filled(source: FileSource, at: int, end: int) -> bool:
    """Return whether messages, the last of them whole, follow one another from `at` exactly to `end`."""
    refuted = Refuted()
    for _ in range(_MOST_TORN):
        while at < end and bytes(source.read_at(at, 8)) == layout.MESSAGE_MAGIC:
            ended = end_of_frames(source, at + layout.PREAMBLE_SIZE, end, refuted)
            if ended is None:
                break
            at = ended
        else:
            return at == end
        found = whole_message_in(source, at + layout.PREAMBLE_SIZE, end)
        if found is None:
            return False
        at = found
    return False
