"""Every check of a message and of a payload: one function each, and the tables that list them.

It is separate from `inspection`, which collects what the checks look at. A check yields what it
finds and raises nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import CodecUnavailable, EncodeError, FormatError, LimitExceeded, PayloadError
from ..messages import cbor
from ..messages.descriptor import Descriptor
from ..messages.hashes import ALGORITHM
from ..messages.metadata import RESERVED, Metadata
from ..messages.objects import DataObject
from ..wire import frametypes, layout
from ..wire.events import MessageEnded
from .findings import CODES, WARNING

_HEADER_ORDER = (frametypes.HEADER_METADATA, frametypes.HEADER_INDEX, frametypes.HEADER_HASH)
_FOOTERS = frozenset({frametypes.FOOTER_METADATA, frametypes.FOOTER_INDEX, frametypes.FOOTER_HASH})
_FLAG_OF = {
    frametypes.HEADER_METADATA: layout.HEADER_METADATA,
    frametypes.FOOTER_METADATA: layout.FOOTER_METADATA,
    frametypes.HEADER_INDEX: layout.HEADER_INDEX,
    frametypes.FOOTER_INDEX: layout.FOOTER_INDEX,
    frametypes.HEADER_HASH: layout.HEADER_HASHES,
    frametypes.FOOTER_HASH: layout.FOOTER_HASHES,
    frametypes.PRECEDER: layout.PRECEDER_METADATA,
}
KNOWN_FLAGS = layout.HASHES_PRESENT | sum(_FLAG_OF.values())


class Issue(NamedTuple):
    """What a check found.

    Attributes:
        code: Name in `findings.CODES`.
        text: What was found, and what was expected.
        offset: Where (bytes from the start of the source).
        severity: Instead of the code's, or "".
    """

    code: str
    text: str
    offset: int | None
    severity: str = ""


class Frame(NamedTuple):
    """A frame that passed: where it stood, its type, its length and the digest it holds."""

    offset: int
    type: int
    length: int
    digest: int | None


class Seen(NamedTuple):
    """Everything about a message that passed.

    Attributes:
        event: Its end.
        frames: All of them.
        bodies: What control frames say, by type, in order.
        descriptors: Of the objects that have a readable one, by number.
    """

    event: MessageEnded
    frames: list[Frame]
    bodies: dict[int, list[Any]]
    descriptors: dict[int, Descriptor]

    @property
    def tensors(self) -> list[Frame]:
        """The frames that are objects."""
        return [frame for frame in self.frames if frame.type == frametypes.TENSOR]

    def of_types(self, *types: int) -> list[tuple[Any, int]]:
        """Return (what the first frame of each type says, where it stands)."""
        found = []
        for number in types:
            if bodies := self.bodies.get(number):
                at = next(frame.offset for frame in self.frames if frame.type == number)
                found.append((bodies[0], at))
        return found

    def merged(self) -> Metadata:
        """Return header and footer metadata together, the footer's keys winning."""
        found = Metadata()
        for metadata, _ in self.of_types(frametypes.HEADER_METADATA, frametypes.FOOTER_METADATA):
            found = metadata.over(found)
        return found


def described(error: Exception) -> Issue:
    """Return an error as an issue."""
    if isinstance(error, LimitExceeded):
        return Issue("limit_exceeded", str(error), error.offset)
    if isinstance(error, CodecUnavailable):
        return Issue("codec_unavailable", str(error), None)
    assert isinstance(error, FormatError)
    section = f" (format §{error.section})" if error.section else ""
    return Issue(error.code if error.code in CODES else "framing", error.text + section, error.offset)


# ---- checks of a whole message, by its frames


def _check_flags(seen: Seen) -> Iterator[Issue]:
    flags = seen.event.preamble.flags
    types = {frame.type for frame in seen.frames}
    at = seen.event.offset + 10
    for number, bit in _FLAG_OF.items():
        name = frametypes.BY_NUMBER[number].name
        if number in types and not flags & bit:
            severity = WARNING if number == frametypes.PRECEDER else ""
            yield Issue(
                "flag_mismatch", f"there is a {name} frame, and its flag is not set", at, severity=severity
            )
        elif number not in types and flags & bit:
            # The reference's streaming writer promises a preceder always, and hashes of no object.
            streamed = bool(types & _FOOTERS)
            if number == frametypes.PRECEDER:
                if not streamed:
                    yield Issue("flag_superfluous", "the flag of preceders is set, and there is none", at)
            elif number == frametypes.FOOTER_HASH:
                if seen.event.objects or not streamed:
                    yield Issue(
                        "flag_superfluous", "the flag of a footer hash frame is set, and there is none", at
                    )
            else:
                yield Issue("flag_mismatch", f"the flag of a {name} frame is set, and there is none", at)


def _check_digests_present(seen: Seen) -> Iterator[Issue]:
    promised = bool(seen.event.preamble.flags & layout.HASHES_PRESENT)
    without = [frame for frame in seen.frames if frame.digest is None]
    if promised:
        for frame in without:
            name = frametypes.BY_NUMBER[frame.type].name
            yield Issue(
                "hash_missing",
                f"the {name} frame has no digest, but its message says that all have one",
                frame.offset,
            )
    elif not without:
        yield Issue(
            "flag_superfluous",
            "all frames have a digest, and the message does not say so",
            seen.event.offset + 10,
        )
    elif len(without) < len(seen.frames):
        yield Issue(
            "hash_partial", f"{len(without)} of {len(seen.frames)} frames have no digest", without[0].offset
        )
    else:
        yield Issue("no_hash_available", "no frame has a digest", seen.event.offset)


def _check_duplicates(seen: Seen) -> Iterator[Issue]:
    passed: set[int] = set()
    before = 0
    for frame in seen.frames:
        row = frametypes.BY_NUMBER[frame.type]
        if row.is_object or frame.type == frametypes.PRECEDER:
            continue
        if frame.type in passed:
            yield Issue("duplicate_frame", f"a second {row.name} frame, expected one", frame.offset)
        elif frame.type in _HEADER_ORDER:
            if frame.type < before:
                yield Issue(
                    "frame_order_unusual",
                    f"a {row.name} frame after a {frametypes.BY_NUMBER[before].name} frame",
                    frame.offset,
                )
            before = max(before, frame.type)
        passed.add(frame.type)


def _check_postamble(seen: Seen) -> Iterator[Issue]:
    place = seen.event.length - layout.POSTAMBLE_SIZE
    footers = [frame.offset - seen.event.offset for frame in seen.frames if frame.type in _FOOTERS]
    expected = footers[0] if footers else place
    at = seen.event.offset + place
    # Without footers the reference writes the place of the postamble, with or without the padding before it.
    if seen.event.first_footer_offset != expected:
        code = (
            "footer_offset_mismatch"
            if seen.event.first_footer_offset <= place
            else "footer_offset_out_of_range"
        )
        yield Issue(code, f"first_footer_offset is {seen.event.first_footer_offset}, expected {expected}", at)
    preamble = seen.event.preamble.total_length
    if not preamble and seen.event.postamble_length:
        yield Issue(
            "backfill_incomplete", "the postamble has the length, the preamble has 0", seen.event.offset + 16
        )
    elif not preamble:
        yield Issue(
            "length_not_backfilled",
            "both lengths are 0; tgmtool backfill fills them in",
            seen.event.offset + 16,
        )


# ---- checks of a whole message, by its metadata


def _check_index(seen: Seen) -> Iterator[Issue]:
    offsets = [frame.offset - seen.event.offset for frame in seen.tensors]
    lengths = [frame.length for frame in seen.tensors]
    for index, at in seen.of_types(frametypes.HEADER_INDEX, frametypes.FOOTER_INDEX):
        if len(index.offsets) != len(offsets):
            yield Issue(
                "index_count_mismatch",
                f"the index lists {len(index.offsets)} objects, the message has {len(offsets)}",
                at,
            )
            continue
        for name, code, listed, there in (
            ("offset", "index_offset_mismatch", index.offsets, offsets),
            ("length", "index_length_mismatch", index.lengths, lengths),
        ):
            for number, (said, found) in enumerate(zip(listed, there, strict=True)):
                if said != found:
                    yield Issue(code, f"the index says {name} {said} of object {number}, found {found}", at)


def _check_hash_lists(seen: Seen) -> Iterator[Issue]:
    for listed, at in seen.of_types(frametypes.HEADER_HASH, frametypes.FOOTER_HASH):
        if listed.algorithm != ALGORITHM:
            yield Issue(
                "unknown_hash_algorithm",
                f"the hash frame is of algorithm {cbor.brief(listed.algorithm)}, expected {ALGORITHM}",
                at,
            )
            continue
        if len(listed.hashes) != len(seen.tensors):
            yield Issue(
                "hash_frame_count_mismatch",
                f"the hash frame lists {len(listed.hashes)} objects, the message has {len(seen.tensors)}",
                at,
            )
            continue
        for number, (said, frame) in enumerate(zip(listed.hashes, seen.tensors, strict=True)):
            if frame.digest is None:
                continue
            found = f"{frame.digest:016x}"
            if said.lower() != found:
                yield Issue(
                    "hash_frame_mismatch",
                    f"the hash frame says {cbor.brief(said)} of object {number}, its frame says {found}",
                    at,
                )
            elif said != found:
                yield Issue("hash_frame_spelling", f"{said} of object {number}, expected lower case", at)


def _check_base(seen: Seen) -> Iterator[Issue]:
    found = seen.of_types(frametypes.HEADER_METADATA, frametypes.FOOTER_METADATA)
    last = 0
    for metadata, at in found:
        if len(metadata.base) > seen.event.objects:
            last = at
        elif metadata is found[-1][0]:
            last = 0
        for entry in metadata.base:
            reserved = entry.get(RESERVED)
            if reserved is not None and not isinstance(reserved, dict):
                yield Issue(
                    "reserved_not_a_map", f"{RESERVED} of an entry of base is {cbor.brief(reserved)}", at
                )
    if last and len(found[-1][0].base) > seen.event.objects:
        yield Issue(
            "base_count_exceeds_objects",
            f"base describes {len(found[-1][0].base)} objects, the message has {seen.event.objects}",
            found[-1][1],
        )
    if len(found) > 1:
        yield from _check_divergence(found[0][0], found[-1][0], found[-1][1])
    yield from _check_tensor_copies(seen, seen.merged())


def _check_divergence(header: Metadata, footer: Metadata, at: int) -> Iterator[Issue]:
    pairs: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [("", header.extra, footer.extra)]
    pairs += [
        (f"base[{i}].", one, other)
        for i, (one, other) in enumerate(zip(header.base, footer.base, strict=False))
    ]
    for where, one, other in pairs:
        for key in one.keys() & other.keys() - {RESERVED}:
            if cbor_of(one[key]) != cbor_of(other[key]):
                yield Issue(
                    "metadata_diverges",
                    f"{where}{cbor.brief(key)} is {cbor.brief(one[key])} in the header, "
                    f"{cbor.brief(other[key])} in the footer",
                    at,
                )


def _check_tensor_copies(seen: Seen, merged: Metadata) -> Iterator[Issue]:
    for index, entry in enumerate(merged.base):
        reserved = entry.get(RESERVED)
        tensor = reserved.get("tensor") if isinstance(reserved, dict) else None
        kind = seen.descriptors.get(index)
        if kind is None or not isinstance(tensor, dict):
            continue
        if tensor.get("dtype") != kind.dtype.name or tensor.get("shape") != list(kind.shape):
            yield Issue(
                "reserved_tensor_mismatch",
                f"base[{index}] says {cbor.brief(tensor.get('dtype'))} {cbor.brief(tensor.get('shape'))}, "
                f"the descriptor says {kind.dtype.name} {cbor.brief(list(kind.shape))}",
                seen.tensors[index].offset,
            )


def cbor_of(value: Any) -> bytes | str:
    """Return what tells two metadata values apart, bit for bit."""
    try:
        return cbor.encode(value)
    except EncodeError:
        return repr(value)


FRAME_CHECKS: tuple[Callable[[Seen], Iterator[Issue]], ...] = (
    _check_flags,
    _check_digests_present,
    _check_duplicates,
    _check_postamble,
)
METADATA_CHECKS: tuple[Callable[[Seen], Iterator[Issue]], ...] = (
    _check_index,
    _check_hash_lists,
    _check_base,
)


# ---- checks of a payload


def payload_issues(found: DataObject, *, values: bool) -> Iterator[tuple[str, str]]:
    """Yield (code, text) of everything that is wrong with an object's payload.

    Args:
        found: The object.
        values: Look at the values too, for NaN and Inf that no mask stands for.
    """
    try:
        yield from _mask_issues(found)
        yield from _offset_issues(found)
        if not found.descriptor.pipeline.is_plain or values or found.descriptor.dtype.name == "bitmask":
            bare = DataObject(
                found.descriptor, {}, found.span, found.payload, restore=False, limits=found.limits
            )
            yield from _value_issues(bare, values=values)
        else:
            found.check_size()
    except (PayloadError, LimitExceeded, CodecUnavailable) as error:
        issue = described(error)
        yield issue.code, issue.text


def _value_issues(bare: DataObject, *, values: bool) -> Iterator[tuple[str, str]]:
    import numpy as np

    from ..codecs.nonfinite import all_finite

    array = bare.array
    kind = bare.descriptor
    if kind.dtype.name == "bitmask":
        unused = 8 * array.size - kind.elements
        if unused and int(array[-1]) & ((1 << unused) - 1):
            yield "bitmask_tail", f"the last {unused} bits of the bitmask are not zero"
    flat = array.reshape(-1)
    if not values or not kind.dtype.is_float or all_finite(flat, kind.dtype):
        return
    from ..codecs.masks import NAN, take_out

    _, odd = take_out(flat, kind.dtype)
    for name, where in odd.items():
        place = [int(i) for i in np.unravel_index(int(where[0]), kind.shape)] if kind.shape else []
        code, word = ("nan_detected", "NaN") if name == NAN else ("inf_detected", name)
        yield code, f"{len(where)} of {flat.size} values are {word}, the first at {place}"


def _mask_issues(found: DataObject) -> Iterator[tuple[str, str]]:
    import numpy as np

    elements = found.descriptor.elements
    at = found.payload_size
    claimed: Any = None
    for mask in sorted(found.masks, key=lambda one: one.offset):
        if mask.offset != at:
            code = "mask_overlap" if mask.offset < at else "mask_invalid"
            yield code, f"mask {mask.kind} begins at byte {mask.offset} of the payload, expected {at}"
        at = max(at, mask.offset + mask.length)
        packed = mask.packed(found.parts(), elements)
        if elements % 8 and int(packed[-1]) & (0xFF >> elements % 8):
            yield "bitmask_tail", f"mask {mask.kind}: bits behind the last element are set"
        if claimed is not None and (both := packed & claimed).any():
            element = int(np.flatnonzero(np.unpackbits(both))[0])
            yield "mask_overlap", f"element {element} is in two masks"
        claimed = packed if claimed is None else packed | claimed
    if found.masks and at != found.span.payload_length:
        yield "mask_invalid", f"{found.span.payload_length - at} bytes of the payload are in no mask"


def _offset_issues(found: DataObject) -> Iterator[tuple[str, str]]:
    offsets = found.descriptor.pipeline.params.get("szip_block_offsets")
    if offsets is None:
        return
    end = 8 * found.span.payload_length
    if not isinstance(offsets, list) or any(type(n) is not int or not 0 <= n <= end for n in offsets):
        yield "descriptor_invalid", f"szip_block_offsets point outside the payload of {end} bits"
