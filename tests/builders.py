"""Small verbs that make messages, damage them, and play them to a decoder.

They are separate from the code under test: everything is packed from the text of the format with
struct and xxhash alone, so that reader and writer are both held against something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from struct import pack, unpack_from
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from tgmtool.errors import FramingError, TruncatedError
from tgmtool.wire.decoder import Decoder
from tgmtool.wire.events import (
    END,
    NEED_DATA,
    Damaged,
    Event,
    FrameBegan,
    FrameData,
    FrameEnded,
    MessageBegan,
    MessageEnded,
    Signal,
)

HEADER_METADATA, HEADER_INDEX, HEADER_HASHES = 1, 2, 3
FOOTER_HASHES, FOOTER_INDEX, FOOTER_METADATA = 5, 6, 7
PRECEDER, TENSOR = 8, 9

END_MARKER = b"39277777"
REFERENCE_ORDER = (FOOTER_METADATA, FOOTER_HASHES, FOOTER_INDEX)
# Preamble bits 0 to 6.
ANNOUNCED = (
    HEADER_METADATA,
    FOOTER_METADATA,
    HEADER_INDEX,
    FOOTER_INDEX,
    HEADER_HASHES,
    FOOTER_HASHES,
    PRECEDER,
)
FLAG_OF = {number: 1 << bit for bit, number in enumerate(ANNOUNCED)}
ALL_HASHED = 1 << 7
HASHED, DESCRIPTOR_LAST = 1 << 1, 1 << 0


# ---- structures, every field overridable


def preamble(
    flags: int, total_length: int = 0, *, version: int = 3, reserved: int = 0, magic: bytes = b"TENSOGRM"
) -> bytes:
    return pack(">8sHHIQ", magic, version, flags, reserved, total_length)


def postamble(first_footer: int, total_length: int = 0, *, magic: bytes = END_MARKER) -> bytes:
    return pack(">QQ8s", first_footer, total_length, magic)


def frame_header(
    number: int, length: int, *, flags: int = HASHED, version: int = 1, magic: bytes = b"FR"
) -> bytes:
    return pack(">2sHHHQ", magic, number, version, flags, length)


def frame(
    number: int,
    body: bytes = b"\xa0",
    *,
    hashing: bool = True,
    flags: int | None = None,
    version: int = 1,
    length: int | None = None,
    cbor_offset: int | None = None,
    digest: int | None = None,
    magic: bytes = b"FR",
    end: bytes = b"ENDF",
) -> bytes:
    """Return a frame; a tensor frame is one whose `cbor_offset` is given."""
    if flags is None:
        flags = HASHED if hashing else 0
        flags |= 0 if cbor_offset is None else DESCRIPTOR_LAST
    if digest is None:
        digest = xxh3_64_intdigest(body) if hashing else 0
    footer = pack(">Q4s", digest, end)
    if cbor_offset is not None:
        footer = pack(">Q", cbor_offset) + footer
    if length is None:
        length = 16 + len(body) + len(footer)
    return frame_header(number, length, flags=flags, version=version, magic=magic) + body + footer


def tensor(
    payload: bytes = b"payload",
    *,
    descriptor: bytes | None = None,
    descriptor_first: bool = False,
    hashing: bool = True,
    digest: int | None = None,
    cbor_offset: int | None = None,
    length: int | None = None,
    end: bytes = b"ENDF",
) -> bytes:
    """Return a tensor frame that holds `payload` as uint8 elements."""
    if descriptor is None:
        descriptor = uint8_descriptor(len(payload))
    flags = (HASHED if hashing else 0) | (0 if descriptor_first else DESCRIPTOR_LAST)
    if cbor_offset is None:
        cbor_offset = 16 if descriptor_first else 16 + len(payload)
    body = descriptor + payload if descriptor_first else payload + descriptor
    return frame(
        TENSOR,
        body,
        hashing=hashing,
        flags=flags,
        digest=digest,
        cbor_offset=cbor_offset,
        length=length,
        end=end,
    )


def cbor(value: object) -> bytes:
    """Return the deterministic CBOR of maps, lists, texts and unsigned integers."""
    if isinstance(value, int):
        return _cbor_head(0, value)
    if isinstance(value, str):
        return _cbor_head(3, len(value.encode())) + value.encode()
    if isinstance(value, (list, tuple)):
        return _cbor_head(4, len(value)) + b"".join(map(cbor, value))
    if isinstance(value, dict):
        pairs = sorted((cbor(key), cbor(inner)) for key, inner in value.items())
        return _cbor_head(5, len(value)) + b"".join(key + inner for key, inner in pairs)
    raise TypeError(f"no CBOR for {value!r}")


def _cbor_head(major: int, number: int) -> bytes:
    for size, extra in enumerate((24, 1 << 8, 1 << 16, 1 << 32, 1 << 64)):
        if number < extra:
            if size == 0:
                return bytes([major << 5 | number])
            return bytes([major << 5 | 23 + size]) + number.to_bytes(1 << size - 1, "big")
    raise OverflowError(number)


def uint8_descriptor(elements: int) -> bytes:
    stages = dict.fromkeys(("encoding", "filter", "compression"), "none")
    values = {"ndim": 1, "shape": [elements], "strides": [1], "dtype": "uint8", "byte_order": "little"}
    return cbor({"type": "ntensor", **values, **stages})


# ---- messages


class Placed(NamedTuple):
    """Where a frame stands, bytes from the start of the source."""

    offset: int
    number: int
    length: int


def message_of(
    frames: Sequence[bytes],
    *,
    streaming: bool = False,
    padded: bool = True,
    excess: int = 0,
    flags: int | None = None,
    total_length: int | None = None,
    mirrored: int | None = None,
    first_footer: int | None = None,
) -> bytes:
    """Return the message of these frames; `excess` zeros stand after the padding of each."""
    body = bytearray(24)
    footers: list[int] = []
    announced = 0
    for one in frames:
        number, frame_flags = _type_and_flags(one)
        announced |= FLAG_OF.get(number, 0) | (ALL_HASHED if frame_flags & HASHED else 0)
        if number in {FOOTER_HASHES, FOOTER_INDEX, FOOTER_METADATA}:
            footers.append(len(body))
        body += one
        body += bytes((-len(body) % 8 if padded else 0) + excess)
    length = len(body) + 24
    sized = 0 if streaming else length
    body[:24] = preamble(
        announced if flags is None else flags, sized if total_length is None else total_length
    )
    if first_footer is None:
        first_footer = footers[0] if footers else len(body)
    return bytes(body) + postamble(first_footer, sized if mirrored is None else mirrored)


def _type_and_flags(one: bytes) -> tuple[int, int]:
    number, _, flags = unpack_from(">HHH", one, 2)
    return number, flags


def message(
    objects: Sequence[bytes] = (b"payload",),
    *,
    streaming: bool = False,
    hashing: bool = True,
    preceders: bool = False,
    header_metadata: bool = True,
    footer_order: Sequence[int] | None = None,
    descriptor_first: bool = False,
    padded: bool = True,
    excess: int = 0,
    total_length: int | None = None,
    mirrored: int | None = None,
) -> bytes:
    """Return a message of uint8 objects; a streaming one has its lists in the footer."""
    if footer_order is None:
        footer_order = REFERENCE_ORDER if streaming else ()
    payloads = [tensor(one, hashing=hashing, descriptor_first=descriptor_first) for one in objects]
    described = [
        frame(PRECEDER, cbor({"base": [{"step": at}]}), hashing=hashing) for at in range(len(objects))
    ]
    metadata = cbor({"base": [{} for _ in objects]})
    hashes = cbor({"algorithm": "xxh3", "hashes": [f"{_stored_digest(one):016x}" for one in payloads]})
    body = [one for pair in zip(described, payloads, strict=True) for one in pair] if preceders else payloads

    def frames(offsets: list[int]) -> list[bytes]:
        index = cbor({"offsets": offsets, "lengths": [len(one) for one in payloads]})
        contents = {1: metadata, 7: metadata, 2: index, 6: index, 3: hashes, 5: hashes}
        lists = [] if streaming else [HEADER_INDEX, *([HEADER_HASHES] if hashing else [])]
        header = [HEADER_METADATA] * header_metadata + lists
        footer = [number for number in footer_order if hashing or number != FOOTER_HASHES]
        made = {number: frame(number, contents[number], hashing=hashing) for number in header + footer}
        return [*(made[number] for number in header), *body, *(made[number] for number in footer)]

    offsets = [0] * len(payloads)
    while True:
        made = message_of(
            frames(offsets),
            streaming=streaming,
            padded=padded,
            excess=excess,
            total_length=total_length,
            mirrored=mirrored,
        )
        found = [
            place.offset for place in frames_of(made, gap=excess, padded=padded) if place.number == TENSOR
        ]
        if found == offsets:
            return made
        offsets = found


def _stored_digest(one: bytes) -> int:
    return int.from_bytes(one[-12:-4], "big")


def frames_of(data: bytes, *, padded: bool = True, gap: int = 0) -> list[Placed]:
    """Return the frames of the message that `data` begins with, walked by their lengths."""
    found = []
    at = 24
    while data[at : at + 2] == b"FR":
        number, length = unpack_from(">2xH4xQ", data, at)
        found.append(Placed(at, number, length))
        at += length
        at += (-at % 8 if padded else 0) + gap
    return found


def first_frame(data: bytes, number: int) -> Placed:
    return next(place for place in frames_of(data) if place.number == number)


# ---- damage


def flip_bit(data: bytes, at: int, bit: int = 0) -> bytes:
    return put(data, at, bytes([data[at] ^ 1 << bit]))


def cut(data: bytes, size: int) -> bytes:
    return data[:size]


def put(data: bytes, at: int, new: bytes) -> bytes:
    """Return `data` with `new` written over what stands at `at`."""
    return data[:at] + new + data[at + len(new) :]


def insert(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at:]


def drop(data: bytes, at: int, size: int) -> bytes:
    return data[:at] + data[at + size :]


# ---- playing bytes to a decoder


class Data(NamedTuple):
    """All of a frame's body."""

    offset: int
    data: bytes


class Lost(NamedTuple):
    """A Damaged event, comparable."""

    offset: int
    size: int
    code: str


class Refused(NamedTuple):
    """A FramingError, comparable."""

    offset: int | None
    code: str
    section: str


class Cut(NamedTuple):
    """A TruncatedError, comparable."""

    offset: int
    available: int
    expected: int | None
    zero_tail: bool


Seen = MessageBegan | FrameBegan | FrameEnded | MessageEnded | Data | Lost | Refused | Cut


def deliver(
    decoder: Decoder,
    data: bytes,
    chunks: Iterable[int] | None = None,
    *,
    resync: bool = True,
    assume_dead: bool = False,
) -> Iterator[Event]:
    """Yield the events of `data`, delivered in pieces of `chunks` bytes, over and over; whole if not given.

    Any error but damage that `resync` is to pass, or a cut that `assume_dead` is to, is raised. What the
    decoder promised never to ask for again is held against it.
    """
    sizes = cycle([max(len(data), 1)] if chunks is None else chunks)
    view = memoryview(data)
    lowest = 0
    while (event := _next_event(decoder, resync=resync, assume_dead=assume_dead)) is not END:
        if event is NEED_DATA:
            at = decoder.next_offset
            assert at >= lowest, f"byte {at} is wanted, but {lowest} was promised to be the lowest"
            lowest = max(lowest, decoder.keep_from)
            if piece := view[at : at + next(sizes)]:
                decoder.receive_data(piece)
            else:
                decoder.receive_eof(len(data))
        else:
            assert not isinstance(event, Signal)
            yield event


def _next_event(decoder: Decoder, *, resync: bool, assume_dead: bool) -> Event | Signal:
    while True:
        try:
            return decoder.next_event()
        except FramingError as error:
            if not (assume_dead if isinstance(error, TruncatedError) else resync):
                raise
            decoder.resync(assume_dead=assume_dead)


def events_of(
    data: bytes,
    chunks: Iterable[int] | None = None,
    *,
    decoder: Decoder | None = None,
    resync: bool = True,
    assume_dead: bool = False,
) -> list[Seen]:
    """Return what a decoder says about `data`, comparable: pieces of a body joined, errors as the last."""
    found: list[Seen] = []
    try:
        for event in deliver(decoder or Decoder(), data, chunks, resync=resync, assume_dead=assume_dead):
            found.append(_comparable(event))
            if len(found) > 1 and isinstance(found[-1], Data) and isinstance(found[-2], Data):
                later = found.pop()
                earlier = found.pop()
                assert isinstance(later, Data)
                assert isinstance(earlier, Data)
                assert later.offset == earlier.offset + len(earlier.data)
                found.append(Data(earlier.offset, earlier.data + later.data))
    except TruncatedError as error:
        found.append(Cut(error.message_offset, error.available, error.expected, error.zero_tail))
    except FramingError as error:
        found.append(Refused(error.offset, error.code, error.section))
    return found


def _comparable(event: Event) -> Seen:
    if isinstance(event, FrameData):
        return Data(event.offset, bytes(event.data))
    if isinstance(event, Damaged):
        return Lost(event.offset, event.size, event.reason.code)
    return event


def spans_of(events: Iterable[Seen]) -> list[tuple[int, int]]:
    """Return (offset, size) of every message, loss and cut, in the order in which they were told."""
    told = [event for event in events if isinstance(event, (MessageEnded, Lost, Cut))]
    return [(event.offset, event[1]) for event in told]


def messages_of(events: Iterable[Seen]) -> list[tuple[int, int]]:
    """Return (offset, length) of every whole message."""
    return [(event.offset, event.length) for event in events if isinstance(event, MessageEnded)]


def losses_of(events: Iterable[Seen]) -> list[Lost]:
    return [event for event in events if isinstance(event, Lost)]
