"""Frame events to objects and messages.

It is separate because this is where framing gets meaning: the assembler is fed the decoder's
events and hands out every object at the moment its frame is whole, and every message at its end.
It does no I/O and keeps one object in memory, or one message if asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..errors import DigestMismatch, MetadataError
from ..limits import DEFAULT_LIMITS, Limits
from ..wire import frametypes, layout
from ..wire.events import Damaged, Event, FrameBegan, FrameData, FrameEnded, MessageBegan, MessageEnded
from .descriptor import Descriptor
from .hashes import Hashes
from .index import Index
from .metadata import Metadata, parse_preceder
from .objects import DataObject, descriptor_place
from .spans import MessageSpan, ObjectSpan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NOTHING = Metadata()


class Message(NamedTuple):
    """A whole message.

    Attributes:
        metadata: Header and footer together, preceders included.
        objects: Its data objects, in order; empty if the assembler was not asked to keep them.
        span: Where it stands.
        index_frame: The index (the footer's if both exist), or None.
        hash_frame: The list of digests (the footer's if both exist), or None.
    """

    metadata: Metadata
    objects: tuple[DataObject, ...]
    span: MessageSpan
    index_frame: Index | None = None
    hash_frame: Hashes | None = None

    def arrays(self, *, jobs: int = 1) -> list[NDArray[np.generic]]:
        """Return the values of all objects, in order, `jobs` of them decoded at once.

        Raises:
            PayloadError, CodecUnavailable, LimitExceeded: As `DataObject.array`; of the first that fails.
        """
        if jobs == 1:
            return [found.array for found in self.objects]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(lambda found: found.array, self.objects))


class Assembler:
    """Builds objects and messages from events.

    Args:
        keep: Keep the objects of a message and hand them out with it. Without it memory is one object.
        verify: Raise DigestMismatch when a frame's digest differs.
        restore: See `DataObject`.
        jobs: See `DataObject`.
        limits: Bounds on what is built.
    """

    def __init__(
        self,
        *,
        keep: bool = False,
        verify: bool = True,
        restore: bool = True,
        jobs: int = 1,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._keep = keep
        self._verify = verify
        self._restore = restore
        self._jobs = jobs
        self._limits = limits
        self.messages = 0  # whole ones so far
        self._body: memoryview | bytearray | None = None
        self._header: FrameBegan | None = None
        self._last_descriptor: tuple[bytes, Descriptor] | None = None
        self._begin(0)

    def _begin(self, offset: int, flags: int = 0) -> None:
        self.message_offset = offset
        self._all_hashed = bool(flags & layout.HASHES_PRESENT)
        self._seen: set[int] = set()  # types of control frames that may stand once
        self.metadata = _NOTHING  # of the open message so far
        self._described = 0  # objects in the base of the metadata frame that came last
        self._preceder: Mapping[str, Any] | None = None
        self._preceders: dict[int, Mapping[str, Any]] = {}
        self._objects: list[DataObject] = []
        self.count = 0  # objects of the open message so far
        self._index: Index | None = None
        self._hashes: Hashes | None = None

    def receive(self, event: Event) -> DataObject | Message | None:
        """Take the decoder's next event; return what it completes.

        Raises:
            DigestMismatch: With `verify`. The decoder can go on: the framing is sound.
            MetadataError: A metadata, index or hash frame or a descriptor is wrong. Likewise.
            LimitExceeded: More than the limits allow.
        """
        return self._RECEIVERS[type(event)](self, event)

    def _begin_message(self, event: MessageBegan) -> None:
        self._begin(event.offset, event.preamble.flags)

    def _begin_frame(self, event: FrameBegan) -> None:
        self._header, self._body = event, None

    def _give_up(self, event: Damaged) -> None:
        self._begin(event.offset + event.size)

    def _take(self, event: FrameData) -> None:
        """Keep a piece of the body: by reference while it is the only one."""
        if self._header is not None and not self._header.header.row.is_object:
            header = self._header.header
            what = f"{header.row.name} frame has {header.body_size} bytes"
            self._limits.check("cbor_bytes", header.body_size, what, offset=self._header.offset)
        if self._body is None:
            self._body = event.data
            return
        if not isinstance(self._body, bytearray):
            self._body = bytearray(self._body)
        self._body += event.data

    def _end_frame(self, event: FrameEnded) -> DataObject | None:
        body = memoryview(b"" if self._body is None else self._body)
        self._body = None
        row = event.header.row
        if row.is_object:
            index = self.count
            self.count += 1
            entry, self._preceder = self._preceder, None
            self._check_digest(event)
            return self._object(event, body, index, entry)
        self._check_digest(event)
        if row.number in self._seen:
            raise MetadataError(
                f"a second {row.name} frame, expected one",
                offset=event.offset,
                section="5",
                code="duplicate_frame",
            )
        if row.number != frametypes.PRECEDER:
            self._seen.add(row.number)
        self._TAKERS[row.number](self, body, event.offset + layout.FRAME_HEADER_SIZE)
        return None

    def _check_digest(self, event: FrameEnded) -> None:
        if self._verify and self._all_hashed and event.stored_digest is None:
            raise MetadataError(
                f"the {event.header.row.name} frame has no digest, but its message says that all have one",
                offset=event.offset,
                section="2.5",
                code="hash_missing",
            )
        if self._verify and event.digest_differs:
            assert event.stored_digest is not None
            assert event.actual_digest is not None
            raise DigestMismatch(
                f"{event.header.row.name} frame",
                expected=event.stored_digest,
                actual=event.actual_digest,
                offset=event.offset,
            )

    def _object(
        self, event: FrameEnded, body: memoryview, index: int, entry: Mapping[str, Any] | None
    ) -> DataObject | None:
        self._limits.check("objects", index + 1, "the message holds more objects", offset=event.offset)
        place = descriptor_place(event, body[: self._limits.cbor_bytes], limits=self._limits)
        start = layout.FRAME_HEADER_SIZE
        packed = bytes(body[place.offset - start : place.offset - start + place.size])
        payload = body[place.payload_offset - start : place.payload_offset - start + place.payload_size]
        descriptor = self._descriptor(packed, event.offset + place.offset)
        found = DataObject(
            descriptor,
            self.object_metadata(index, entry),
            ObjectSpan(
                event.offset,
                event.header.total_length,
                self.messages,
                index,
                self.message_offset,
                event.offset + place.payload_offset,
                len(payload),
                event.stored_digest,
            ),
            payload,
            restore=self._restore,
            jobs=self._jobs,
            limits=self._limits,
        )
        if entry is not None:
            self._preceders[index] = entry
        if self._keep:
            self._objects.append(found)
        return found

    def _descriptor(self, packed: bytes, offset: int) -> Descriptor:
        """Parse it, unless it is the one before: most objects of a stream have the same."""
        if self._last_descriptor is None or self._last_descriptor[0] != packed:
            self._last_descriptor = packed, Descriptor.parse(packed, offset=offset, limits=self._limits)
        return self._last_descriptor[1]

    def object_metadata(self, index: int, preceder: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return what is known so far of object `index`: its preceder's keys over the header's."""
        known = self.metadata.of_object(index)
        return known if preceder is None else {**known, **preceder}

    def pass_over(self) -> None:
        """Count the object that just ended without looking at it; its FrameEnded is not received."""
        if self._preceder is not None:
            self._preceders[self.count] = self._preceder
        self.count += 1
        self._preceder = None
        self._body = None

    def _end_message(self, event: MessageEnded) -> Message:
        if self._described > self.count:
            raise MetadataError(
                f"metadata: base describes {self._described} objects, the message has {self.count}",
                offset=event.offset,
                section="6.1",
                code="base_count_exceeds_objects",
            )
        # A streaming producer that stopped early may have announced more in the header.
        metadata = self.metadata
        if len(metadata.base) > self.count:
            metadata = metadata._replace(base=metadata.base[: self.count])
        if self._preceders:
            base = [dict(entry) for entry in metadata.base]
            base += [{} for _ in range(self.count - len(base))]
            for index, entry in self._preceders.items():
                base[index].update(entry)
            metadata = metadata._replace(base=tuple(base))
        for found in self._objects:
            found.metadata = metadata.of_object(found.span.number)
        span = MessageSpan(
            event.offset,
            event.length,
            event.preamble.flags,
            event.preamble.is_streaming,
            event.objects,
            self.messages,
        )
        whole = Message(metadata, tuple(self._objects), span, self._index, self._hashes)
        self.messages += 1
        self._begin(event.offset + event.length)
        return whole

    # ---- control frames

    def _take_metadata(self, body: memoryview, offset: int) -> None:
        # Header first, footer later: what comes later wins.
        found = Metadata.parse(body, offset=offset, limits=self._limits)
        self.metadata = found if self.metadata is _NOTHING else found.over(self.metadata)
        self._described = len(found.base)

    def _take_preceder(self, body: memoryview, offset: int) -> None:
        self._preceder = parse_preceder(body, offset=offset, limits=self._limits)

    def _take_index(self, body: memoryview, offset: int) -> None:
        self._index = Index.parse(body, offset=offset, limits=self._limits)

    def _take_hashes(self, body: memoryview, offset: int) -> None:
        self._hashes = Hashes.parse(body, offset=offset, limits=self._limits)

    # Functions, not bound methods: an assembler that held these would be a cycle, and keep its objects.
    _RECEIVERS: ClassVar[Mapping[type, Callable[[Assembler, Any], DataObject | Message | None]]] = {
        MessageBegan: _begin_message,
        FrameBegan: _begin_frame,
        FrameData: _take,
        FrameEnded: _end_frame,
        MessageEnded: _end_message,
        Damaged: _give_up,
    }
    _TAKERS: ClassVar[Mapping[int, Callable[[Assembler, memoryview, int], None]]] = {
        frametypes.HEADER_METADATA: _take_metadata,
        frametypes.FOOTER_METADATA: _take_metadata,
        frametypes.PRECEDER: _take_preceder,
        frametypes.HEADER_INDEX: _take_index,
        frametypes.FOOTER_INDEX: _take_index,
        frametypes.HEADER_HASH: _take_hashes,
        frametypes.FOOTER_HASH: _take_hashes,
    }
