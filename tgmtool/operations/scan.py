"""What is in it, and where: headers, metadata and descriptors, never a payload.

It is separate from read because it promises the opposite: it touches as few bytes as possible,
and it lists what is wrong instead of stopping there.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from itertools import chain, repeat
from typing import Any

from ..endpoints import open_source
from ..endpoints.base import Source
from ..errors import FormatError, FramingError, LimitExceeded, TruncatedError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.assembly import Assembler, Message
from ..messages.objects import DataObject, descriptor_place
from ..messages.spans import FrameSpan, Gap, MessageSpan, ObjectSpan
from ..wire import layout
from ..wire.decoder import Decoder
from ..wire.events import Damaged, Event, FrameBegan, FrameData, FrameEnded, MessageBegan, MessageEnded
from ..wire.frames import Preamble
from ..wire.walk import BOUNDARY_SIZE, Place, Walked, hop, walk
from .discovery import lookahead_of
from .drive import CHUNK, WINDOW, drive
from .gaps import gap_of, gap_of_cut

UNITS = ("object", "message", "frame")
_TAIL = 1024  # of a frame that is skipped: enough for most descriptors
_SMALL_MESSAGE = 64 << 10  # beyond it, hop from boundary to boundary instead of reading through
_SMALL_IN_FILE = 12 << 10  # the same where a look costs less than copying this
_AHEAD = 4 << 20  # bytes that are read by the system meanwhile, at least
_HOPS, _MOST_HOPS = 32, 128  # at a time: on a slow disk, nobody waits long for the first of them

Scanned = MessageSpan | ObjectSpan | FrameSpan | Gap


def scan(
    source: Any, *, unit: str = "object", assume_dead: bool = False, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Scanned]:
    """Iterate over what is in `source`, in the order in which it stands there.

    Args:
        source: A path, `-`, bytes, a binary file or a Source.
        unit: "object" (ObjectSpan with descriptor and metadata), "message" (MessageSpan; lengths
            only, the fastest) or "frame" (FrameSpan). In all of them Gap stands for bytes that
            belong to no whole message.
        assume_dead: A message that stops before its end is a gap too if whole ones stand behind its last
            whole frame: nobody writes it any more, and they are not its payload.
        limits: What the input may cost.

    Raises:
        LimitExceeded: The input costs more than `limits`.
        SourceError: The source failed.
    """
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}, not {unit!r}")
    batches = _batches(open_source(source), source, unit, limits, assume_dead=assume_dead)
    # A chain instead of a generator: per message it costs nothing but the message.
    return chain.from_iterable(batches)


def _batches(
    opened: Source, source: Any, unit: str, limits: Limits, *, assume_dead: bool
) -> Iterator[Iterable[Scanned]]:
    try:
        if unit == "message":
            yield from _messages(opened, limits, assume_dead=assume_dead)
        elif unit == "frame":
            yield _frames(opened, limits, assume_dead=assume_dead)
        else:
            found = Scanner(opened, limits, assume_dead=assume_dead).run()
            yield (one for one in found if not isinstance(one, Message))
    finally:
        if opened is not source:
            opened.close()


class Scanner:
    """Lists objects as `ObjectSpan`, each message after them as `Message`, and gaps.

    The objects of a message are held until it ends: its footer may have more to say about them, and
    only then it is sure that it is whole.

    Args:
        source: Where to read.
        limits: What it may cost.
        check_objects: An object that passes by whole and whose digest differs makes its message a gap;
            False leaves the digests of objects to the caller.
        assume_dead: See `scan`.
        start: Where to begin (bytes from the start of the source); a message must begin there.
        number: Of that message.
    """

    def __init__(
        self,
        source: Source,
        limits: Limits = DEFAULT_LIMITS,
        *,
        check_objects: bool = True,
        assume_dead: bool = False,
        start: int = 0,
        number: int = 0,
    ) -> None:
        self._source = source
        self._limits = limits
        self._assume_dead = assume_dead
        self._decoder = Decoder(offset=start, control_body_limit=limits.cbor_bytes)
        self._assembler = _Headers(source, limits, check_objects=check_objects)
        self._assembler.messages = number
        self._ahead = lookahead_of(source, limits)
        self._held: list[ObjectSpan] = []
        self._wrong: FormatError | LimitExceeded | None = None

    def run(self) -> Iterator[ObjectSpan | Message | Gap]:
        """Scan to the end."""
        window = WINDOW if self._source.seekable else CHUNK
        try:
            events = drive(
                self._source, self._decoder, resync=True, assume_dead=self._assume_dead, window=window
            )
            for event in events:
                if self._ahead is not None:
                    self._ahead.see(event)
                if isinstance(event, FrameBegan) and event.header.row.is_object:
                    self._skip(event)
                yield from self._take(event)
        except TruncatedError as error:
            yield from self._release("open")
            yield gap_of_cut(error, None if self._assume_dead else self._source)

    def _skip(self, event: FrameBegan) -> None:
        if event.header.flags & layout.CBOR_AFTER_PAYLOAD:
            keep = _TAIL if self._source.seekable else self._limits.cbor_bytes
            if self._ahead is not None:
                keep = self._ahead.tail
            self._decoder.skip_frame(keep)
        elif self._source.seekable:
            self._decoder.skip_frame()

    def _take(self, event: Event) -> Iterator[ObjectSpan | Message | Gap]:
        found: Any = None
        try:
            found = self._assembler.receive(event)
        except (FormatError, LimitExceeded) as error:
            self._wrong = self._wrong or error
        if isinstance(event, Damaged):
            yield from self._release("damaged")
            yield gap_of(event)
        elif isinstance(event, MessageEnded):
            if self._wrong is not None:
                yield from self._release("damaged")
                wrong, self._wrong = self._wrong, None
                if isinstance(wrong, LimitExceeded):
                    yield Gap(event.offset, event.length, "limit", f"limit_{wrong.limit}", str(wrong))
                else:
                    yield Gap(event.offset, event.length, "damaged", wrong.code, str(wrong))
                self._assembler.messages += not isinstance(found, Message)
            else:
                assert isinstance(found, Message)
                yield from self._release("ok", found)
                yield found
        elif isinstance(event, FrameEnded) and self._assembler.found is not None:
            self._held.append(self._assembler.found)
            self._assembler.found = None

    def _release(self, status: str, message: Message | None = None) -> Iterator[ObjectSpan]:
        held, self._held = self._held, []
        for span in held:
            metadata = span.metadata if message is None else message.metadata.of_object(span.number)
            yield span._replace(status=status, metadata=metadata)


class _Headers(Assembler):
    """An assembler that is shown only the ends of objects, and reads what it lacks itself."""

    def __init__(self, source: Source, limits: Limits, *, check_objects: bool) -> None:
        super().__init__(limits=limits)
        self._source = source
        self._check_objects = check_objects
        self._shown_from = 0
        self.found: ObjectSpan | None = None

    def receive(self, event: Event) -> DataObject | Message | None:
        if isinstance(event, FrameData) and self._body is None:
            self._shown_from = event.offset
        return super().receive(event)

    def _check_digest(self, event: FrameEnded) -> None:
        if self._check_objects or not event.header.row.is_object or event.stored_digest is None:
            super()._check_digest(event)

    def _object(
        self, event: FrameEnded, body: memoryview, index: int, entry: Mapping[str, Any] | None
    ) -> None:
        assert event.cbor_offset is not None
        self._limits.check("objects", index + 1, "the message holds more objects", offset=event.offset)
        head = b""
        if not event.header.flags & layout.CBOR_AFTER_PAYLOAD:
            head = self._bytes_at(event, body, layout.FRAME_HEADER_SIZE, self._limits.cbor_bytes)
        place = descriptor_place(event, head, limits=self._limits)
        self._limits.check(
            "cbor_bytes", place.size, f"descriptor has {place.size} bytes", offset=event.offset
        )
        packed = self._bytes_at(event, body, place.offset, place.size)
        self.found = ObjectSpan(
            event.offset,
            event.header.total_length,
            self.messages,
            index,
            self.message_offset,
            event.offset + place.payload_offset,
            place.payload_size,
            event.stored_digest,
            self._descriptor(packed, event.offset + place.offset),
            self.object_metadata(index, entry),
        )
        if entry is not None:
            self._preceders[index] = entry

    def _bytes_at(self, event: FrameEnded, body: memoryview, start: int, size: int) -> bytes:
        """Return up to `size` bytes of the frame's body from `start` (bytes from the frame's start)."""
        body_end = event.header.total_length - event.header.row.footer_size
        size = min(size, body_end - start)
        at = event.offset + start - self._shown_from
        if at >= 0 and at + size <= len(body):
            return bytes(body[at : at + size])
        pieces = bytearray()
        while len(pieces) < size:
            piece = self._source.read_at(event.offset + start + len(pieces), size - len(pieces))
            if not piece:
                raise FramingError("the file became shorter while it was read", offset=event.offset)
            pieces += piece[: size - len(pieces)]
        return bytes(pieces)


def _frames(source: Source, limits: Limits, *, assume_dead: bool) -> Iterator[FrameSpan | Gap]:
    decoder = Decoder(control_body_limit=limits.cbor_bytes)
    message, messages = 0, 0
    padding = 0
    window = WINDOW if source.seekable else CHUNK
    try:
        for event in drive(source, decoder, resync=True, assume_dead=assume_dead, window=window):
            if isinstance(event, FrameBegan):
                padding = event.padding
                if event.header.row.is_object:
                    decoder.skip_frame()
            elif isinstance(event, FrameEnded):
                header = event.header
                yield FrameSpan(
                    event.offset,
                    header.total_length,
                    header.type,
                    header.flags,
                    messages,
                    message,
                    padding,
                    event.stored_digest,
                )
            elif isinstance(event, MessageBegan):
                message = event.offset
            elif isinstance(event, MessageEnded):
                messages += 1
            elif isinstance(event, Damaged):
                yield gap_of(event)
    except TruncatedError as error:
        yield gap_of_cut(error, None if assume_dead else source)


def _messages(source: Source, limits: Limits, *, assume_dead: bool) -> Iterator[Iterable[MessageSpan | Gap]]:
    """Yield batches: by lengths where they can be trusted, frame by frame where not."""
    if not source.seekable:
        yield _walk_frames(source, limits, 0, 0, assume_dead=assume_dead)
        return
    offset = index = 0
    while head := source.read_at(offset, layout.PREAMBLE_SIZE):
        place = _place_of(bytes(head[: layout.PREAMBLE_SIZE]), offset, index)
        if place is not None:
            place = yield from _walk_lengths(source, place)
            offset, index = place.offset, place.number
            if not place.length:
                continue
        # One message, or what is no message, with a look at every frame.
        one = list(_walk_frames(source, limits, offset, index, assume_dead=assume_dead))
        if not one:
            return
        yield one
        offset = one[-1].offset + one[-1].length
        index += sum(isinstance(found, MessageSpan) for found in one)


def _place_of(head: bytes, offset: int, index: int) -> Place | None:
    """Return where to begin a walk by lengths; None if the message has none, or is none."""
    if len(head) < layout.PREAMBLE_SIZE:
        return None
    try:
        preamble = Preamble.parse(head, offset=offset)
    except FramingError:
        return None
    if preamble.is_streaming or not preamble.flags & (layout.HEADER_METADATA | layout.FOOTER_METADATA):
        return None
    return Place(offset, preamble.total_length, preamble.flags, index)


def _walk_lengths(source: Source, place: Place) -> Generator[Iterable[MessageSpan], None, Place]:
    """Yield messages whose ends agree, in batches; return the place of the first whose ends do not."""
    window_size, hops = WINDOW, _HOPS
    small = least = _SMALL_MESSAGE
    foreseen = 0
    while place.is_possible:
        # What is larger is not read ahead: most of it is not looked at.
        is_between = _SMALL_IN_FILE < place.length <= _SMALL_MESSAGE
        if is_between and place.offset + _AHEAD > foreseen:
            foreseen = max(foreseen, place.offset)
            is_near = source.foresee(foreseen, 2 * _AHEAD)
            foreseen += 2 * _AHEAD
            if is_near:
                small, least = _SMALL_IN_FILE, _SMALL_IN_FILE // 4  # to hop on costs less than to change over
        if place.length > small:
            rows, after = _hop(source, place, hops, least)
            window_size, hops = WINDOW, min(4 * hops, _MOST_HOPS)
        else:
            window_size = max(window_size, place.length + BOUNDARY_SIZE)
            window = source.read_at(place.offset, window_size)
            # Of a mapped file everything comes; bytes are looked into a little faster than views.
            seen = window if isinstance(window, bytes) else memoryview(window)[:CHUNK]
            rows, after = walk(seen, place.offset, place)
            if after is place:
                rows, after = _hop(source, place, 1, least)
            window_size, hops = min(4 * window_size, CHUNK), _HOPS
        if after is place:
            break
        # Not `MessageSpan(…)`: the `__new__` of a NamedTuple takes twice as long.
        yield map(tuple.__new__, repeat(MessageSpan), rows)
        place = after
    return place


def _hop(source: Source, place: Place, most: int, least: int) -> tuple[Iterator[Walked], Place]:
    hops = hop(place, least=least, most=most)
    read_at, send = source.read_at, hops.send
    try:
        offset = next(hops)
        while True:
            offset = send(read_at(offset, BOUNDARY_SIZE))
    except StopIteration as stopped:
        walked: tuple[Iterator[Walked], Place] = stopped.value
        return walked


def _walk_frames(
    source: Source, limits: Limits, offset: int, index: int, *, assume_dead: bool
) -> Iterator[MessageSpan | Gap]:
    """Yield what stands at `offset`: one message or gap of a seekable source, all of a pipe."""
    decoder = Decoder(offset=offset, control_body_limit=limits.cbor_bytes)
    window = WINDOW if source.seekable else CHUNK
    try:
        for event in drive(source, decoder, resync=True, assume_dead=assume_dead, window=window):
            if isinstance(event, FrameBegan) and event.header.row.is_object:
                decoder.skip_frame()
            elif isinstance(event, MessageEnded):
                streaming = event.preamble.is_streaming
                flags = event.preamble.flags
                yield MessageSpan(event.offset, event.length, flags, streaming, event.objects, index)
                index += 1
                if source.seekable:
                    return
            elif isinstance(event, Damaged):
                yield gap_of(event)
                if source.seekable:
                    return
    except TruncatedError as error:
        yield gap_of_cut(error, None if assume_dead else source)
