"""What the file says that is continued: which streams are in it, how far they are, and which have ended.

It is separate from opening the file because it reads what messages say. It begins with the last
message, which is nearly always the one that is asked for: continuing costs what is new, not the
file. Only an end marker that vouches for all that was sent has to see all of it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from ..endpoints import open_source
from ..endpoints.base import Source
from ..errors import EncodeError, FormatError, LimitExceeded
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.metadata import Metadata
from ..messages.spans import MessageSpan
from ..messages.stream import KEY, Place, Sender, Tally
from ..wire import frametypes, layout
from ..wire.frames import FrameHeader
from .scan import scan
from .stream_policy import count_in

_HEAD = layout.PREAMBLE_SIZE + layout.FRAME_HEADER_SIZE
_WINDOW = 1024  # bytes that hold the header of most messages
_KEY = KEY.encode()


class Standing:
    """How far the senders of a file are.

    Args:
        path: The file; it ends with a whole message.
        limits: What reading it may cost.

    Attributes:
        path: The file.
        last: What the last of its numbered messages says of its place; None if none is numbered.
    """

    def __init__(self, path: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self.path = path
        self._limits = limits
        self._offsets, self._lengths = array("q"), array("q")
        for found in scan(path, unit="message", limits=limits):
            if isinstance(found, MessageSpan):
                self._offsets.append(found.offset)
                self._lengths.append(found.length)
        self.last = self._latest(None)

    def next_of(self, who: Sender) -> int:
        """Return the number that the next message of `who` must have.

        Raises:
            EncodeError: It has ended.
        """
        place = self.last if self.last is not None and self.last.who == who else self._latest(who)
        if place is None:
            return 0
        if place.closes:
            raise EncodeError(
                f"{self.path}: the stream {who} has ended with number {place.seq}: whoever follows it has "
                "left; begin another one with a new --id, or another --sender"
            )
        return place.seq + 1

    def sent_by(self, who: Sender) -> Tally:
        """Return what `who` has sent, since an end marker of it that named another file.

        All its messages are read once more.
        """
        sent = Tally()
        source = open_source(self.path)
        try:
            for at, place in self._places(source, range(len(self._offsets))):
                if place.who == who and place.successor is not None:
                    sent = Tally()
                elif place.who == who:
                    count_in(sent, source.read_at, self._offsets[at], self._lengths[at])
        finally:
            source.close()
        return sent

    def _latest(self, who: Sender | None) -> Place | None:
        source = open_source(self.path)
        try:
            backwards = self._places(source, range(len(self._offsets) - 1, -1, -1))
            return next((place for _, place in backwards if who in {None, place.who}), None)
        finally:
            source.close()

    def _places(self, source: Source, messages: Iterable[int]) -> Iterator[tuple[int, Place]]:
        for at in messages:
            place = place_at(source, self._offsets[at], self._limits)
            if place is not None:
                yield at, place


def place_at(source: Source, offset: int, limits: Limits = DEFAULT_LIMITS) -> Place | None:
    """Return what the whole message at `offset` says of its place, in its header where it has to."""
    try:
        head = source.read_at(offset, _WINDOW)
        start = offset + layout.PREAMBLE_SIZE
        header = FrameHeader.parse(bytes(head[layout.PREAMBLE_SIZE : _HEAD]), offset=start)
        if header.type != frametypes.HEADER_METADATA or header.total_length > limits.cbor_bytes:
            return None
        size = header.body_size
        body = bytes(head[_HEAD : _HEAD + size])
        if len(body) < size:
            body = bytes(source.read_at(offset + _HEAD, size)[:size])
        if _KEY not in body:
            return None
        return Place.parse(Metadata.parse(body, offset=start, limits=limits).extra, offset=offset)
    except (FormatError, LimitExceeded):  # no place that anybody could act on
        return None
