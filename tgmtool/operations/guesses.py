"""Where could frames and messages be, in bytes whose framing is broken?

It is separate from `harvest`, which decides what is kept: these are only guesses, cheap ones, and every
one of them has to fit with what surrounds it before it is followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from ..endpoints.base import Bytes, Source
from ..errors import FramingError, LimitExceeded, TruncatedError
from ..wire import layout
from ..wire.decoder import Decoder
from ..wire.events import FrameEnded, MessageEnded
from ..wire.frames import FrameHeader, Postamble, Preamble
from ..wire.resync import READ_TIMES
from .drive import drive

_WINDOW = 1 << 20
_MOST_SEARCHED = 256 << 20  # bytes of a cut message, to tell whether it hides others: it is only a hint
_TAIL = 64 << 10  # of it, that is always looked at
_MOST_ENDS = 256  # end magics that are looked at: a payload may hold many, of messages inside it


def frame_at(source: Source, offset: int, end: int) -> FrameHeader | None:
    """Return the header of the frame that begins at `offset`, if one does that fits before `end`."""
    head = bytes(source.read_at(offset, layout.FRAME_HEADER_SIZE)[: layout.FRAME_HEADER_SIZE])
    if len(head) < layout.FRAME_HEADER_SIZE or offset + layout.FRAME_HEADER_SIZE > end:
        return None
    try:
        return FrameHeader.parse(head, offset=offset)
    except FramingError:
        return None


class Headed(Source):
    """A source from a place on that begins with a preamble which promises nothing, up to an end."""

    seekable = True

    def __init__(self, source: Source, offset: int, end: int) -> None:
        self.name = source.name
        self._source = source
        self._offset = offset
        self._end = end
        self._preamble = Preamble(0).pack()

    def read_at(self, offset: int, size: int) -> Bytes:
        """Return up to `size` bytes: of the preamble, then of the source."""
        inside = offset - self._offset
        if 0 <= inside < layout.PREAMBLE_SIZE:
            return self._preamble[inside:]
        if offset >= self._end:
            return b""
        return memoryview(self._source.read_at(offset, min(size, self._end - offset)))[: self._end - offset]

    def size(self) -> int:
        """Return where it ends."""
        return self._end

    def keep_from(self, offset: int) -> int:
        """Nothing is ever dropped."""
        return 0

    def close(self) -> None:
        """The source belongs to the caller."""


def places_of(source: Source, magic: bytes, start: int, end: int) -> Iterator[int]:
    """Yield where `magic` stands, from `start` on."""
    while start < end:
        size = min(_WINDOW, end - start)
        window = bytes(source.read_at(start, size)[:size])
        if not window:
            return
        at = window.find(magic)
        while at >= 0:
            yield start + at
            at = window.find(magic, at + 1)
        if len(window) < len(magic) or start + len(window) >= end:
            return
        start += len(window) - len(magic) + 1


class Refuted:
    """Places from which frames were walked in vain: none is walked twice, so that hostile bytes cost no more.

    Args:
        limit: How many may be known.
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        self._places: set[int] = set()
        self._limit = limit

    def __contains__(self, place: int) -> bool:
        return place in self._places

    def add(self, places: Iterable[int]) -> None:
        """Take note of them.

        Raises:
            LimitExceeded: There are too many.
        """
        self._places.update(places)
        if len(self._places) > self._limit:
            raise LimitExceeded(
                f"{len(self._places)} places look like frames and belong to no message",
                limit="resync_candidates",
                value=self._limit,
            )


def end_of_frames(
    source: Source, place: int, end: int, refuted: Refuted, message: int | None = None
) -> int | None:
    """Return where a run of frames and its postamble end, walked by lengths alone; None if they do not.

    Args:
        source: Seekable.
        place: Where the first of them begins.
        end: What they must not reach beyond.
        refuted: What was walked in vain before; added to.
        message: Where their message begins, if that is known: the postamble has to agree with it.
    """
    boundaries = set()
    start = place
    while place not in refuted and (header := frame_at(source, place, end)) is not None:
        boundaries.add(place)
        place += header.total_length
        place += layout.padding_after(place - start)
    tail = bytes(source.read_at(place, layout.POSTAMBLE_SIZE)[: layout.POSTAMBLE_SIZE])
    is_closed = place != start and place + layout.POSTAMBLE_SIZE <= end and tail[16:] == layout.END_MAGIC
    if is_closed and message is not None:
        footer = message + Postamble.parse(tail, offset=place).first_footer_offset
        is_closed = footer == place or footer in boundaries
    if not is_closed:
        refuted.add(boundaries)
        return None
    return place + layout.POSTAMBLE_SIZE


def end_of_message(source: Source, start: int, size: int, proven: int) -> int | None:
    """Return where the message that begins at `start` surely ends, though it cannot be walked.

    Either its two ends agree about its length, or there is a postamble whose first_footer_offset,
    counted from `start`, leads to frames that lead back to it: that of a message inside a payload does not.
    What stands before `proven` belongs to frames that are proven: the message does not end there.
    """
    head = bytes(source.read_at(start, layout.PREAMBLE_SIZE)[: layout.PREAMBLE_SIZE])
    total = int.from_bytes(head[layout.PREAMBLE_TOTAL_AT :], "big")
    if layout.MIN_MESSAGE_SIZE <= total <= size - start:
        place = start + total - layout.POSTAMBLE_SIZE
        tail = bytes(source.read_at(place, layout.POSTAMBLE_SIZE)[: layout.POSTAMBLE_SIZE])
        if tail[layout.POSTAMBLE_TOTAL_AT :] == head[layout.PREAMBLE_TOTAL_AT :] + layout.END_MAGIC:
            return start + total
    refuted = Refuted()
    candidates = places_of(source, layout.END_MAGIC, max(start + layout.PREAMBLE_SIZE, proven), size)
    for at in islice(candidates, _MOST_ENDS):
        place = at + len(layout.END_MAGIC) - layout.POSTAMBLE_SIZE
        tail = bytes(source.read_at(place, layout.POSTAMBLE_SIZE)[: layout.POSTAMBLE_SIZE])
        footer = start + Postamble.parse(tail, offset=place).first_footer_offset
        end = place + layout.POSTAMBLE_SIZE
        if footer == place or (footer < place and end_of_frames(source, footer, size, refuted, start) == end):
            return end
    return None


def is_cut_run(source: Source, place: int, end: int, refuted: Refuted) -> bool:
    """Return whether frames follow one another from `place` on, by their lengths, until `end` cuts one."""
    start = place
    seen: list[int] = []
    while place < end:
        header = None if place in refuted else frame_at(source, place, end)
        if header is None:
            refuted.add(seen)
            return False
        seen.append(place)
        place += header.total_length
        place += layout.padding_after(place - start)
    return True


def fills(source: Source, at: int, end: int, refuted: Refuted, not_cut: Refuted | None = None) -> bool:
    """Return whether messages follow one another from `at` on, by their lengths, exactly to `end`.

    Args:
        source: Seekable.
        at: Where the first of them begins.
        end: Where the last of them ends.
        refuted: What was walked in vain before; added to.
        not_cut: The last of them may be cut at `end`; what was walked in vain before for that; added to.
    """
    seen = []
    while at < end:
        frames = at + layout.PREAMBLE_SIZE
        seen.append(at)
        is_message = bytes(source.read_at(at, 8)[:8]) == layout.MESSAGE_MAGIC
        if at in refuted or not is_message:
            break
        ended = end_of_frames(source, frames, end, refuted)
        if ended is None:
            if not_cut is not None and frames < end:
                return is_cut_run(source, frames, end, not_cut)
            break
        at = ended
    else:
        return True
    refuted.add(seen)
    return False


def whole_message_in(source: Source, start: int, end: int) -> int | None:
    """Return where the first whole message with sound digests begins between two places, if there is one.

    Raises:
        LimitExceeded: It costs more to find out than bytes may.
    """
    refuted = Refuted()
    hashed = 0
    for at in places_of(source, layout.MESSAGE_MAGIC, start, end):
        ended = end_of_frames(source, at + layout.PREAMBLE_SIZE, end, refuted)
        if ended is None:
            continue
        if _is_whole(source, at):
            return at
        hashed += ended - at
        limit = READ_TIMES * (end - start)
        if hashed > limit:
            text = f"{hashed} bytes were read again to find a message"
            raise LimitExceeded(text, limit="resync_bytes", value=limit, offset=at)
    return None


def hidden_in(source: Source, start: int, end: int) -> int:
    """Return how many whole messages seem to follow one another between two places; 0 if it is dear to tell.

    The digests of the first are computed, the others are walked by their lengths. Where no message ends
    near the end, nothing is searched: a message that is still written is what it looks like.
    """
    tail = max(start, end - _TAIL)
    if next(places_of(source, layout.END_MAGIC, tail, end), None) is None:
        return 0
    end = min(end, start + _MOST_SEARCHED)
    try:
        at = whole_message_in(source, start, end)
    except LimitExceeded:
        return 0
    count, refuted = 0, Refuted()
    while at is not None and bytes(source.read_at(at, 8)[:8]) == layout.MESSAGE_MAGIC:
        at = end_of_frames(source, at + layout.PREAMBLE_SIZE, end, refuted)
        count += at is not None
    return count


def _is_whole(source: Source, at: int) -> bool:
    try:
        for event in drive(source, Decoder(offset=at)):
            if isinstance(event, FrameEnded) and event.digest_differs:
                return False
            if isinstance(event, MessageEnded):
                return True
    except (FramingError, TruncatedError):
        pass  # refuted
    return False
