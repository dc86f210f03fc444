"""Where does the next message begin? Asked only after damage is proven.

It is separate because it is a search with a budget, not a parse: a candidate is a place where
`TENSOGRM` stands, and it is believed only when a whole message with sound digests follows.
Bytes that a digest has proven to belong to a frame are not searched: a message stored inside a
payload is not a lost message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import FramingError, LimitExceeded, TruncatedError
from . import layout
from .buffer import Buffer
from .events import NEED_DATA, FrameEnded, MessageEnded, Signal

if TYPE_CHECKING:
    from .decoder import Decoder

CANDIDATES_AT_LEAST = 65_536
BYTES_PER_CANDIDATE = 16
READ_TIMES = 8
_FIRST_WINDOW = 4096
_LARGEST_WINDOW = 1 << 20
_LEAST_PIECE = 64
_STEP = len(layout.MESSAGE_MAGIC)


def torn(message: int, found: int) -> FramingError:
    """Return what is wrong with a message that only stopped, when another one stands behind it.

    Args:
        message: Where it begins (bytes from the start of the source).
        found: Where the other one does.
    """
    return FramingError(
        f"the message that begins here was not finished, and another one begins at {found}",
        offset=message,
        section="3.2",
        code="torn_message",
    )


class Hunt:
    """A search for the next whole message.

    Args:
        scout_at: Makes a decoder that starts at an offset.
        lost_from: The first byte that is lost (bytes from the start of the source).
        origin: Where to begin to search.
        recheck: `origin` is a message that was walked without digests: walk it again with
            them first, to know which of its frames are proven.

    Attributes:
        has_found: The message that `advance` found is whole.
    """

    def __init__(
        self, scout_at: Callable[[int], Decoder], *, lost_from: int, origin: int, recheck: bool
    ) -> None:
        self.lost_from = lost_from
        self.wanted = 1
        self.has_found = False
        self._scout_at = scout_at
        self._origin = origin
        self._next = origin  # where the search goes on
        self._scout: Decoder | None = None
        self._candidate = origin
        self._first_incomplete: int | None = None
        self._window = _FIRST_WINDOW
        self._hasty = False
        self._candidates = 0
        self._read = 0
        self._furthest = origin
        if recheck:
            self._scout = scout_at(origin)

    @property
    def keep_from(self) -> int:
        """The lowest offset that may be needed again."""
        if self._first_incomplete is not None:
            return self._first_incomplete
        return self._next if self._scout is None else self._candidate

    def search_from(self, offset: int) -> None:
        """Go on at `offset`: what stands before it cannot be read again.

        From now on a message is believed at its first frame with a sound digest: waiting for its end
        would lose its beginning.
        """
        self._scout = None
        self._first_incomplete = None
        self._next = max(offset, self._next)
        self._hasty = True

    def advance(self, buffer: Buffer, eof: int | None) -> int | Signal:
        """Search on with the bytes at hand.

        Args:
            buffer: The decoder's buffer; it is moved to where bytes are needed.
            eof: Where the input ends, if that is known.

        Returns:
            The offset of the next message: whole and sound, or at the end of the input the first
            that is cut short, or the end itself. NEED_DATA when bytes are needed first.
        """
        while True:
            found = self._search(buffer, eof) if self._scout is None else self._probe(buffer, eof)
            if found is not None:
                return found

    def _search(self, buffer: Buffer, eof: int | None) -> int | Signal | None:
        buffer.move_to(self._next)
        window = bytes(buffer.peek(self._window))
        self._furthest = max(self._furthest, self._next + len(window))
        at = window.find(layout.MESSAGE_MAGIC)
        if at >= 0:
            self._window = _FIRST_WINDOW
            self._next += at + _STEP
            if _worth_a_probe(window[at:]):
                self._candidate = self._next - _STEP
                self._count_candidate()
                self._scout = self._scout_at(self._candidate)
            return None
        if len(window) == self._window:
            self._next += len(window) - _STEP + 1
            self._window = min(2 * self._window, _LARGEST_WINDOW)
            return None
        if eof is None or buffer.end < eof:
            self.wanted = self._window
            # Only the last bytes could still be the beginning of the magic.
            self._next += max(len(window) - _STEP + 1, 0)
            return NEED_DATA
        return eof if self._first_incomplete is None else self._first_incomplete

    def _probe(self, buffer: Buffer, eof: int | None) -> int | Signal | None:
        scout = self._scout
        assert scout is not None
        try:
            while True:
                event = scout.next_event()
                if event is NEED_DATA:
                    buffer.move_to(scout.next_offset)
                    # No more than it asks for: what a refuted candidate was shown counts as work.
                    piece = buffer.piece(min(max(scout.wanted, _LEAST_PIECE), _LARGEST_WINDOW))
                    if piece:
                        scout.receive_data(piece)
                        buffer.consume(len(piece))
                        self._count_bytes(len(piece), buffer.offset)
                    elif eof is not None and buffer.end >= eof:
                        scout.receive_eof(eof)
                    else:
                        self.wanted = scout.wanted
                        return NEED_DATA
                elif isinstance(event, FrameEnded):
                    if event.digest_differs:
                        break
                    if self._hasty and event.stored_digest is not None:
                        self.has_found = True
                        return self._candidate
                elif isinstance(event, MessageEnded):
                    self.has_found = True
                    return self._candidate
        except TruncatedError:
            if self._first_incomplete is None:
                self._first_incomplete = self._candidate
        except FramingError:
            pass  # refuted: this is no message
        self._next = max(self._next, self._candidate + _STEP, scout.sound_end)
        self._scout = None
        return None

    def _count_candidate(self) -> None:
        self._candidates += 1
        limit = CANDIDATES_AT_LEAST + (self._furthest - self._origin) // BYTES_PER_CANDIDATE
        if self._candidates > limit:
            raise LimitExceeded(
                f"{self._candidates} places look like messages and none is one",
                limit="resync_candidates",
                value=limit,
                offset=self._candidate,
            )

    def _count_bytes(self, size: int, end: int) -> None:
        self._read += size
        self._furthest = max(self._furthest, end)
        limit = READ_TIMES * (self._furthest - self._origin + _LARGEST_WINDOW)
        if self._read > limit:
            raise LimitExceeded(
                f"{self._read} bytes were read again to find the next message",
                limit="resync_bytes",
                value=limit,
                offset=self._candidate,
            )


def _worth_a_probe(head: bytes) -> bool:
    """Turn away the cheap fakes: another version, or no frame where the first one must be."""
    written = head.rstrip(b"\0")  # zeros may be space that was not written
    version = written[8:10]
    first = written[layout.PREAMBLE_SIZE : layout.PREAMBLE_SIZE + 2]
    return layout.VERSION.to_bytes(2, "big").startswith(version) and (
        layout.FRAME_MAGIC.startswith(first) or not any(first)
    )
