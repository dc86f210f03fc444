"""Find what is in a remote object with the fewest round trips.

It is separate from `scan` because it may be wrong: it guesses, from lengths and indexes that nobody has
checked yet, which bytes the scan will want, and has them fetched together. The scan checks what it
reads as ever; a wrong guess costs bytes, never an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..endpoints.base import Source
from ..endpoints.ranges import Range, RangeSource, joined
from ..errors import FormatError, LimitExceeded, SourceError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.index import Index
from ..wire import frametypes, layout
from ..wire.events import Event, FrameBegan, FrameData, FrameEnded, MessageBegan, MessageEnded
from ..wire.frames import FrameHeader, Postamble, Preamble

_SMALL = 64 << 10  # messages up to here are read through
_THROUGH, _MOST_THROUGH = 8 << 20, 32 << 20
_FIRST_TAIL = 320  # of a frame: enough for most descriptors, until one was seen
_AT_ONCE = 32 << 20  # of what an index announces; less is held than the source remembers
_FOOTERS = 4 << 10
_HEAD = 4 << 10


class Lookahead:
    """Watches a scan of a remote source, and fetches what it will want next.

    Args:
        source: What is scanned.
        limits: What the input may cost.

    Attributes:
        tail: How much of the end of each object's body is worth reading for its descriptor, in bytes.
    """

    def __init__(self, source: RangeSource, limits: Limits = DEFAULT_LIMITS) -> None:
        self.tail = _FIRST_TAIL
        self._source = source
        self._limits = limits
        self._message = 0
        self._end: int | None = None  # of the open message, as its preamble says
        self._is_small = False  # the message before
        self._through, self._read_to = _THROUGH, 0
        self._is_index = False
        self._waiting: Iterator[list[Range]] = iter(())
        self._fetched_to = 0

    def see(self, event: Event) -> None:
        """Take note of what the scan sees; fetch what it makes likely.

        Raises:
            SourceError: The place failed.
        """
        if isinstance(event, FrameBegan):
            self._is_index = event.header.type == frametypes.HEADER_INDEX
            if event.header.row.is_object and event.offset >= self._fetched_to:
                self._fetch_next()
        elif isinstance(event, FrameData):
            if self._is_index:
                self._announce(event.data, event.offset)
        elif isinstance(event, FrameEnded):
            if event.cbor_offset is not None and event.header.flags & layout.CBOR_AFTER_PAYLOAD:
                size = event.header.total_length - layout.TENSOR_FOOTER_SIZE - event.cbor_offset
                self.tail = max(self.tail, min(size + size // 4, self._limits.cbor_bytes))
        elif isinstance(event, MessageBegan):
            self._begin(event)
        elif isinstance(event, MessageEnded):
            self._is_small = event.length <= _SMALL

    def _begin(self, event: MessageBegan) -> None:
        self._message, length = event.offset, event.preamble.total_length
        self._end = event.offset + length if length else None
        self._waiting, self._fetched_to = iter(()), 0
        if self._is_small and event.offset >= self._read_to:
            self._read_to = event.offset + self._through
            self._through = min(4 * self._through, _MOST_THROUGH)
            self._source.prefetch([Range(event.offset, self._read_to)])
        flags = event.preamble.flags
        if self._end is not None and length > _SMALL and not flags & layout.HEADER_INDEX:
            self._look_at_footers(self._end)

    def _look_at_footers(self, end: int) -> None:
        """Read the end of the message before its middle: the index may stand there."""
        size = self._source.size()
        if size is None or end > size:
            return
        first = max(end - _FOOTERS, self._message)
        ending = bytes(_exactly(self._source, first, end - first, more=_HEAD))
        try:
            postamble = Postamble.parse(ending[-layout.POSTAMBLE_SIZE :], offset=0)
            at = self._message + postamble.first_footer_offset
            if not self._message + layout.PREAMBLE_SIZE <= at < end or end - at > self._limits.cbor_bytes:
                return
            if at < first:
                ending = bytes(_exactly(self._source, at, first - at)) + ending
                first = at
            self._find_index(ending[at - first :], at)
        except FormatError:
            return  # the scan will say what is wrong

    def _find_index(self, footers: bytes, offset: int) -> None:
        at = 0
        while at + layout.FRAME_HEADER_SIZE <= len(footers) - layout.POSTAMBLE_SIZE:
            header = FrameHeader.parse(footers[at : at + layout.FRAME_HEADER_SIZE], offset=offset + at)
            if header.type == frametypes.FOOTER_INDEX:
                start = at + layout.FRAME_HEADER_SIZE
                self._announce(memoryview(footers)[start : start + header.body_size], offset + start)
                return
            at += header.total_length + layout.padding_after(header.total_length)

    def _announce(self, body: memoryview, offset: int) -> None:
        """Plan to fetch the ends of the objects that an index names, and what stands between them."""
        try:
            index = Index.parse(body, offset=offset, limits=self._limits)
        except (FormatError, LimitExceeded):
            return  # likewise
        if len(index.offsets) > 1:
            self._waiting = batches(tails(index, self._message, self.tail), size=_AT_ONCE)

    def _fetch_next(self) -> None:
        if batch := next(self._waiting, None):
            self._source.prefetch(batch)
            self._fetched_to = batch[-1].stop


def lookahead_of(source: Source, limits: Limits) -> Lookahead | None:
    """Return who looks ahead in this source; None where reading costs no round trip."""
    return Lookahead(source, limits) if isinstance(source, RangeSource) else None


def tails(index: Index, message: int, tail: int) -> Iterator[Range]:
    """Yield what a scan reads of the objects of a message: from the end of each to the head of the next."""
    ends = [message + at + length for at, length in zip(index.offsets, index.lengths, strict=True)]
    starts = [message + at for at in index.offsets]
    for start, end, following in zip(starts, ends, [*starts[1:], 0], strict=True):
        first = max(end - layout.TENSOR_FOOTER_SIZE - tail, start)
        yield Range(first, max(following, end) + layout.FRAME_HEADER_SIZE)


def batches(ranges: Iterator[Range], *, size: int) -> Iterator[list[Range]]:
    """Yield the ranges, joined where that is cheaper, as many at a time as make `size` bytes."""
    batch: list[Range] = []
    for one in ranges:
        batch.append(one)
        if len(batch) > 1 and batch[-1].stop - batch[0].start > size and len(batch) % 256 == 0:
            yield joined(batch, gap=0)
            batch = []
    if batch:
        yield joined(batch, gap=0)


class Begin(NamedTuple):
    """Where a message begins.

    Attributes:
        offset: Of its preamble (bytes from the start of the source).
        length: Of the message.
    """

    offset: int
    length: int


def last_messages(source: Source, count: int) -> list[Begin] | None:
    """Return the last `count` messages (all, if there are fewer), found from the end.

    None if lengths are missing or do not agree: then only a scan from the start can tell.
    """
    end = source.size()
    if end is None:
        return None
    found: list[Begin] = []
    try:
        while end and len(found) < count:
            if end < layout.MIN_MESSAGE_SIZE:
                return None
            ending = _exactly(source, end - layout.POSTAMBLE_SIZE, layout.POSTAMBLE_SIZE)
            length = Postamble.parse(ending, offset=0).total_length
            if not layout.MIN_MESSAGE_SIZE <= length <= end:
                return None
            start = end - length
            # With it comes the end of the message before, and most of the headers of this one.
            first = max(start - layout.POSTAMBLE_SIZE, 0)
            head = _exactly(source, first, start - first + layout.PREAMBLE_SIZE, more=_HEAD)
            if Preamble.parse(head[start - first :], offset=0).total_length != length:
                return None
            found.append(Begin(start, length))
            end = start
    except FormatError:
        return None
    return found[::-1]


def _exactly(source: Source, offset: int, size: int, *, more: int = 0) -> memoryview:
    """Return `size` bytes; where they have to be fetched, `more` behind them come along."""
    found = bytearray()
    while len(found) < size:
        piece = memoryview(source.read_at(offset + len(found), size - len(found) + more))
        if not piece:
            raise SourceError(f"byte {offset}: it became shorter while it was read", uri=source.name)
        found += piece[: size - len(found)]
    return memoryview(found)
