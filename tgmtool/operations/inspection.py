"""Take in a message while its frames pass, and hand it to every check. Nothing is raised.

It is separate from `validate`, which decides what is looked at, in which order and by whom, and from
`checks`, which know nothing of how a message comes by.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from ..errors import EncodeError, FormatError, LimitExceeded, MetadataError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages import cbor
from ..messages.canonical import NON_CANONICAL, UNUSUAL, oddities
from ..messages.descriptor import Descriptor
from ..messages.hashes import Hashes
from ..messages.index import Index
from ..messages.metadata import RESERVED, Metadata, parse_preceder
from ..messages.objects import DataObject, descriptor_place
from ..messages.spans import ObjectSpan
from ..wire import frametypes, layout
from ..wire.events import Event, FrameBegan, FrameData, FrameEnded, MessageBegan, MessageEnded
from .checks import FRAME_CHECKS, KNOWN_FLAGS, METADATA_CHECKS, Frame, Seen, described, payload_issues
from .findings import Finding, Kept

MOST_OF_A_MESSAGE = 100  # findings that are kept
_MAYBE_UNUSUAL = re.compile(rb"[\xe0-\xf3\xf7\xf8]")  # heads of such values; often just text
# By `is_object`.
FRAME_FLAGS = {False: layout.HASH_PRESENT, True: layout.HASH_PRESENT | layout.CBOR_AFTER_PAYLOAD}


class Depth(NamedTuple):
    """How closely to look.

    Attributes:
        digests: Compute the digest of every frame.
        metadata: Read all CBOR.
        payloads: Decode payloads.
        values: Look at the values for NaN and Inf.
        limits: What a file may cost.
    """

    digests: bool = True
    metadata: bool = True
    payloads: bool = True
    values: bool = False
    limits: Limits = DEFAULT_LIMITS


DEPTHS = {
    "quick": Depth(digests=False, metadata=False, payloads=False),
    "checksum": Depth(metadata=False, payloads=False),
    "default": Depth(),
    "full": Depth(values=True),
}
# The reference's names for the same.
DEPTHS |= {"structure": DEPTHS["quick"], "integrity": DEPTHS["default"], "fidelity": DEPTHS["full"]}


class Inspected(NamedTuple):
    """A whole message that was looked at.

    Attributes:
        offset: Where it begins (bytes from the start of the source).
        length: Bytes.
        objects: How many it holds.
        hashed: Every frame has a digest, and every one that was computed is right.
        findings: What is wrong with it.
        contents: Its objects with their final metadata, for policies; only if they were asked for.
        extra: Its own keys, likewise.
    """

    offset: int
    length: int
    objects: int
    hashed: bool
    findings: tuple[Finding, ...]
    contents: tuple[DataObject, ...] = ()
    extra: Mapping[str, Any] = {}


class Inspection:
    """Takes the decoder's events; every message that ends gives an Inspected.

    Args:
        read: `(offset, size) -> bytes` of the source, to look at padding.
        depth: How closely to look.
        keep: Hand out the objects, for policies.
        number: Of the first message.
        judge: What is made of a finding before it counts, as of `Kept`.
    """

    def __init__(
        self,
        read: Callable[[int, int], bytes | memoryview],
        depth: Depth,
        *,
        keep: bool = False,
        number: int = 0,
        judge: Callable[[Finding], Finding | None] = lambda finding: finding,
    ) -> None:
        self._read = read
        self._judge = judge
        self._depth = depth
        self._keep = keep
        self.number = number
        self._begin_message(MessageBegan(0, _NO_PREAMBLE))

    def receive(self, event: Event) -> Inspected | None:
        """Take the next event; return the message that it ends."""
        if type(event) is MessageEnded:
            return self._end_message(event)
        self._RECEIVERS[type(event)](self, event)
        return None

    @property
    def wants_payload(self) -> bool:
        """The frame that began last must pass through, not be skipped."""
        return self._depth.digests or self._depth.payloads

    # ---- the message

    def _begin_message(self, event: MessageBegan) -> None:
        self._offset = event.offset
        self._kept = Kept(MOST_OF_A_MESSAGE, self._judge)
        self._differs = False  # a digest
        self._frames: list[Frame] = []
        self._bodies: dict[int, list[Any]] = {}  # parsed control frames by type
        self._objects: list[DataObject] = []  # for policies
        self._descriptors: dict[int, Descriptor] = {}
        self._entries: dict[int, Mapping[str, Any]] = {}  # by preceders
        self._preceder: Mapping[str, Any] | None = None
        self._tensors = 0
        self._frame = FrameBegan(event.offset, _NO_HEADER, 0)
        self._body: Any = None
        preamble = event.preamble
        if preamble.flags & ~KNOWN_FLAGS:
            self._add(
                "reserved_flag",
                f"preamble flags 0x{preamble.flags:04x}, known are 0x{KNOWN_FLAGS:04x}",
                event.offset + 10,
            )
        if preamble.reserved:
            self._add("reserved_nonzero", f"0x{preamble.reserved:08x}, expected 0", event.offset + 12)

    def _end_message(self, event: MessageEnded) -> Inspected:
        self._check_padding(event.offset + event.length - layout.POSTAMBLE_SIZE)
        seen = Seen(event, self._frames, self._bodies, self._descriptors)
        checks = (*FRAME_CHECKS, *METADATA_CHECKS) if self._depth.metadata else FRAME_CHECKS
        for check in checks:
            for issue in check(seen):
                self._add(*issue[:3], severity=issue.severity)
        extra: Mapping[str, Any] = {}
        if self._keep:
            merged = seen.merged()
            extra = merged.extra
            for found in self._objects:
                index = found.span.number
                found.metadata = {**merged.of_object(index), **self._entries.get(index, {})}
        findings = self._kept.findings
        if dropped := self._kept.dropped:
            text = f"{dropped} more issues in this message"
            findings.append(Finding("suppressed", text, self._offset, self.number))
        done = Inspected(
            event.offset,
            event.length,
            event.objects,
            not self._differs and all(frame.digest is not None for frame in self._frames),
            tuple(findings),
            tuple(self._objects),
            extra,
        )
        self.number += 1
        return done

    def _add(
        self, code: str, text: str, offset: int | None, *, severity: str = "", at_object: bool = False
    ) -> None:
        index = self._tensors - 1 if at_object else None
        self._kept.add(Finding(code, text, offset, self.number, index, severity))

    def _add_error(self, error: Exception, offset: int, *, at_object: bool = False) -> None:
        issue = described(error)
        self._add(
            issue.code, issue.text, offset if issue.offset is None else issue.offset, at_object=at_object
        )

    # ---- frames

    def _begin_frame(self, event: FrameBegan) -> None:
        self._frame, self._body = event, None
        header = event.header
        if header.version != layout.FRAME_VERSION:
            self._add("frame_version", f"{header.version}, expected {layout.FRAME_VERSION}", event.offset + 4)
        if header.flags & ~FRAME_FLAGS[header.row.is_object]:
            self._add("reserved_flag", f"frame flags 0x{header.flags:04x}", event.offset + 6)
        if (event.offset - self._offset) % layout.ALIGNMENT:
            self._add(
                "unaligned_frame",
                f"a {header.row.name} frame begins {event.offset - self._offset} bytes after its message",
                event.offset,
            )
        self._check_padding(event.offset)

    def _check_padding(self, end: int) -> None:
        """Look at the bytes between the frame before and `end`."""
        start = self._frame_end
        if end - start <= 0 or not self._frames:
            return
        if end - start >= layout.ALIGNMENT:
            self._add("excess_padding", f"{end - start} bytes, expected at most 7", start)
        if any(self._read(start, min(end - start, layout.MAX_EXCESS_PADDING + layout.ALIGNMENT))):
            self._add("non_zero_padding", f"{end - start} bytes of padding are not all zero", start)

    @property
    def _frame_end(self) -> int:
        """Where the frame before this one ends."""
        return self._frames[-1].offset + self._frames[-1].length if self._frames else self._offset

    def _take(self, event: FrameData) -> None:
        header = self._frame.header
        if header.row.is_object:
            if not self._depth.metadata:
                return
        elif header.body_size > self._depth.limits.cbor_bytes:
            return  # said when it ends
        if self._body is None:
            self._body = event.data
            return
        if not isinstance(self._body, bytearray):
            self._body = bytearray(self._body)
        self._body += event.data

    def _end_frame(self, event: FrameEnded) -> None:
        header, row = event.header, event.header.row
        frame = Frame(event.offset, row.number, header.total_length, event.stored_digest)
        self._frames.append(frame)
        if row.is_object:
            self._tensors += 1
        if event.digest_differs:
            assert event.stored_digest is not None
            self._differs = True
            self._add(
                "hash_mismatch",
                f"{row.name} frame: the bytes have digest {event.actual_digest:016x}, "
                f"the frame says {event.stored_digest:016x}",
                event.offset,
                at_object=row.is_object,
            )
        body, self._body = self._body, None
        if not self._depth.metadata:
            return
        try:
            if row.is_object:
                self._check_object(event, memoryview(b"" if body is None else body))
            else:
                what = f"{row.name} frame has {header.body_size} bytes"
                self._depth.limits.check("cbor_bytes", header.body_size, what, offset=event.offset)
                self._check_control(row.number, memoryview(b"" if body is None else body))
        except (FormatError, LimitExceeded) as error:
            self._add_error(error, event.offset, at_object=row.is_object)

    def _check_control(self, number: int, body: memoryview) -> None:
        offset = self._frame.offset + layout.FRAME_HEADER_SIZE
        parse, what, code = _CONTROLS[number]
        try:
            self._check_canonical(body, what, code, offset)
            parsed = parse(body, offset=offset, limits=self._depth.limits)
        except MetadataError as error:
            if error.code == MetadataError.default_code:
                error.code = code.replace("non_canonical", "parse_failed")
            raise
        self._bodies.setdefault(number, []).append(parsed)
        if number == frametypes.PRECEDER:
            self._preceder = parsed
            if RESERVED in _first_entry(body, offset, self._depth.limits):
                self._add("preceder_reserved", f"a preceder has {RESERVED}, which is ignored", offset)

    def _check_canonical(self, body: memoryview, what: str, code: str, offset: int) -> None:
        value = cbor.decode(body, what=what, offset=offset, limits=self._depth.limits)
        try:
            if cbor.encode(value) == body and not _MAYBE_UNUSUAL.search(body):
                return
        except EncodeError:
            pass  # a value that is read and never written: look closer
        odd = oddities(body)
        at_object = what == "descriptor"
        if NON_CANONICAL in odd:
            text = f"the {what} is not what a deterministic writer makes of it"
            self._add(code, text, offset, at_object=at_object)
        if UNUSUAL in odd:
            text = f"the {what} holds undefined, or a simple value without a meaning"
            self._add("unusual_cbor", text, offset, at_object=at_object)

    # ---- objects

    def _check_object(self, event: FrameEnded, body: memoryview) -> None:
        limits = self._depth.limits
        index = self._tensors - 1
        limits.check("objects", index + 1, "the message holds more objects", offset=event.offset)
        entry, self._preceder = self._preceder, None
        if entry is not None:
            self._entries[index] = entry
        place = descriptor_place(event, body[: limits.cbor_bytes], limits=limits)
        start = layout.FRAME_HEADER_SIZE
        packed = body[place.offset - start : place.offset - start + place.size]
        at = event.offset + place.offset
        descriptor = Descriptor.parse(packed, offset=at, limits=limits)
        self._check_canonical(packed, "descriptor", "descriptor_cbor_non_canonical", at)
        payload = body[place.payload_offset - start : place.payload_offset - start + place.payload_size]
        span = ObjectSpan(
            event.offset,
            event.header.total_length,
            self.number,
            index,
            self._offset,
            event.offset + place.payload_offset,
            len(payload),
            event.stored_digest,
        )
        self._descriptors[index] = descriptor
        found = DataObject(descriptor, entry or {}, span, payload, limits=limits)
        if self._keep:
            self._objects.append(found)
        if self._depth.payloads:
            for code, text in payload_issues(found, values=self._depth.values):
                self._add(code, text, span.payload_offset, at_object=True)

    # Functions, not bound methods: an inspection that held these would be a cycle, and keep what it saw.
    _RECEIVERS: ClassVar[Mapping[type, Callable[[Inspection, Any], None]]] = {
        MessageBegan: _begin_message,
        FrameBegan: _begin_frame,
        FrameData: _take,
        FrameEnded: _end_frame,
    }


class _NoPreamble(NamedTuple):
    flags: int = 0
    reserved: int = 0


_NO_PREAMBLE: Any = _NoPreamble()
_NO_HEADER: Any = None


def _first_entry(body: memoryview, offset: int, limits: Limits) -> Mapping[str, Any]:
    base = cbor.decode_map(body, what="preceder", offset=offset, limits=limits).get("base")
    return base[0] if isinstance(base, list) and base and isinstance(base[0], dict) else {}


def _parse_preceder(body: memoryview, *, offset: int, limits: Limits) -> Mapping[str, Any]:
    return parse_preceder(body, offset=offset, limits=limits)


_METADATA_PARSER = (Metadata.parse, "metadata", "metadata_cbor_non_canonical")
_INDEX_PARSER = (Index.parse, "index", "index_cbor_non_canonical")
_HASH_PARSER = (Hashes.parse, "hash list", "hash_frame_cbor_non_canonical")
_CONTROLS: dict[int, tuple[Callable[..., Any], str, str]] = {
    frametypes.HEADER_METADATA: _METADATA_PARSER,
    frametypes.FOOTER_METADATA: _METADATA_PARSER,
    frametypes.HEADER_INDEX: _INDEX_PARSER,
    frametypes.FOOTER_INDEX: _INDEX_PARSER,
    frametypes.HEADER_HASH: _HASH_PARSER,
    frametypes.FOOTER_HASH: _HASH_PARSER,
    frametypes.PRECEDER: (_parse_preceder, "preceder", "preceder_cbor_non_canonical"),
}
