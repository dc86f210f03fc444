"""The encoder writes, byte for byte, what the builders pack by hand."""

from __future__ import annotations

from collections.abc import Sequence
from struct import unpack_from

import pytest
from xxhash import xxh3_64_intdigest

from tests.builders import (
    REFERENCE_ORDER,
    Data,
    events_of,
    frame,
    frames_of,
    message,
    message_of,
    messages_of,
    tensor,
    uint8_descriptor,
)
from tests.wire.strategies import SITUATIONS
from tgmtool.errors import FramingError
from tgmtool.wire import layout
from tgmtool.wire.encoder import Encoder, control_frame_size, tensor_frame_length

OBJECTS: list[list[bytes]] = [[], [b""], [b"payload"], [b"a" * 300, b"", b"39277777TENSOGRM"]]


def add_tensor(encoder: Encoder, payload: bytes, descriptor: bytes) -> bytes:
    head = encoder.tensor_head(len(payload), len(descriptor))
    return head + payload + encoder.tensor_tail(descriptor, xxh3_64_intdigest(payload + descriptor))


def encoded_again(data: bytes) -> bytes:
    """Read a message with struct, and write it with the encoder."""
    flags, total = unpack_from(">10xH4xQ", data)
    encoder = Encoder(flags, total)
    parts = [encoder.begin()]
    for place in frames_of(data):
        body = data[place.offset + 16 : place.offset + place.length - 12]
        if place.number == 9:
            body, cbor_offset = body[:-8], int.from_bytes(body[-8:], "big")
            parts.append(add_tensor(encoder, body[: cbor_offset - 16], body[cbor_offset - 16 :]))
        else:
            parts.append(encoder.control(place.number, body))
    parts.append(encoder.end())
    assert encoder.position == sum(map(len, parts))
    return b"".join(parts)


@pytest.mark.parametrize("objects", OBJECTS)
@pytest.mark.parametrize("preceders", [False, True])
@pytest.mark.parametrize("hashing", [True, False])
def test_a_buffered_message_is_the_one_packed_by_hand(
    objects: Sequence[bytes], preceders: bool, hashing: bool
) -> None:
    by_hand = message(objects, preceders=preceders, hashing=hashing)
    assert encoded_again(by_hand) == by_hand


@pytest.mark.parametrize("objects", OBJECTS)
@pytest.mark.parametrize("hashing", [True, False])
@pytest.mark.parametrize("footer_order", [REFERENCE_ORDER, (5, 6, 7), (7,)])
def test_a_streaming_message_is_the_one_packed_by_hand(
    objects: Sequence[bytes], hashing: bool, footer_order: Sequence[int]
) -> None:
    by_hand = message(objects, streaming=True, hashing=hashing, footer_order=footer_order)
    assert encoded_again(by_hand) == by_hand


def test_it_keeps_what_index_and_hash_list_need() -> None:
    encoder = Encoder(layout.HASHES_PRESENT)
    payloads, descriptors = [b"one", b"second"], [uint8_descriptor(3), uint8_descriptor(6)]
    data = encoder.begin() + encoder.control(1, b"\xa0")
    for payload, descriptor in zip(payloads, descriptors, strict=True):
        data += add_tensor(encoder, payload, descriptor)
    data += encoder.end()
    placed = [place for place in frames_of(data) if place.number == 9]
    assert encoder.offsets == [place.offset for place in placed]
    assert encoder.lengths == [place.length for place in placed]
    assert encoder.digests == [
        xxh3_64_intdigest(b"".join(pair)) for pair in zip(payloads, descriptors, strict=True)
    ]


def test_without_hashing_slots_are_zero_and_no_digest_is_kept() -> None:
    encoder = Encoder(layout.HEADER_METADATA)
    data = (
        encoder.begin() + encoder.control(1, b"\xa0") + add_tensor(encoder, b"abc", b"\xa0") + encoder.end()
    )
    assert data == message_of(
        [frame(1, hashing=False), tensor(b"abc", descriptor=b"\xa0", hashing=False)], streaming=True
    )
    assert encoder.digests == []


@pytest.mark.parametrize("number", [1, 2, 3, 5, 6, 7])
def test_the_postamble_points_at_the_first_footer_or_at_itself(number: int) -> None:
    encoder = Encoder(0)
    encoder.begin()
    encoder.control(1, b"\xa0")
    place = encoder.position
    if number != 1:
        encoder.control(number, b"\xa0")
    end = encoder.position
    expected = place if number >= 5 else end
    assert unpack_from(">Q", encoder.end()) == (expected,)


@pytest.mark.parametrize(
    "numbers",
    [(1, 9, 1), (1, 5, 9), (7, 1), (1, 8, 7), (1, 8, 8)],
    ids=lambda numbers: "-".join(map(str, numbers)),
)
def test_frames_out_of_order_are_refused(numbers: Sequence[int]) -> None:
    encoder = Encoder(0)
    encoder.begin()

    def write(number: int) -> None:
        if number == 9:
            add_tensor(encoder, b"", b"\xa0")
        else:
            encoder.control(number, b"\xa0")

    for number in numbers[:-1]:
        write(number)
    with pytest.raises(FramingError):
        write(numbers[-1])


def test_a_preceder_without_its_object_cannot_be_ended() -> None:
    encoder = Encoder(0)
    encoder.begin()
    encoder.control(8, b"\xa0")
    with pytest.raises(FramingError, match="preceder"):
        encoder.end()


def test_a_plan_that_was_not_kept_is_not_written_down() -> None:
    encoder = Encoder(0, total_length=100)
    encoder.begin()
    encoder.control(1, b"\xa0")
    with pytest.raises(AssertionError, match="planned 100 bytes, wrote 80"):
        encoder.end()


@pytest.mark.parametrize("payload", [b"", b"1", b"1234", b"12345678"])
def test_resuming_after_a_tensor_frame_goes_on_as_if_nothing_had_happened(payload: bytes) -> None:
    whole = Encoder(layout.HASHES_PRESENT)
    begun = whole.begin() + whole.control(1, b"\xa0") + add_tensor(whole, payload, b"\xa0")
    stop = whole.offsets[0] + whole.lengths[0]
    later = Encoder(layout.HASHES_PRESENT)
    padding = later.resume(stop, list(whole.offsets), list(whole.lengths), list(whole.digests))
    resumed = begun[:stop] + bytes(padding)
    for encoder in (whole, later):
        rest = add_tensor(encoder, b"more", b"\xa0") + encoder.control(7, b"\xa0") + encoder.end()
        begun, resumed = (begun + rest, resumed) if encoder is whole else (begun, resumed + rest)
    assert resumed == begun
    assert (later.offsets, later.lengths, later.digests) == (whole.offsets, whole.lengths, whole.digests)


@pytest.mark.parametrize("size", range(20))
def test_sizes_can_be_planned_before_anything_is_written(size: int) -> None:
    encoder = Encoder(0)
    encoder.begin()
    assert control_frame_size(size) == len(encoder.control(1, bytes(size)))
    assert tensor_frame_length(size, 3) == len(tensor(bytes(size), descriptor=b"abc"))


@pytest.mark.parametrize(
    "data", [SITUATIONS["buffered_with_preceders"], SITUATIONS["streaming_holding_magics"]]
)
def test_the_decoder_reads_what_the_encoder_writes(data: bytes) -> None:
    events = events_of(encoded_again(data))
    assert messages_of(events) == [(0, len(data))]
    bodies = [event.data for event in events if isinstance(event, Data)]
    assert bodies == [
        data[place.offset + 16 : place.offset + place.length - (20 if place.number == 9 else 12)]
        for place in frames_of(data)
    ]


@pytest.mark.parametrize("hashing", [True, False])
@pytest.mark.parametrize("size", range(9))
def test_a_tensor_frame_made_at_once_is_the_one_made_in_parts(hashing: bool, size: int) -> None:
    flags = layout.HASHES_PRESENT if hashing else 0
    in_parts, at_once = Encoder(flags), Encoder(flags)
    payload, descriptor = bytes(range(size)), b"descriptor"
    for encoder in (in_parts, at_once):
        encoder.begin()
    for _ in range(2):
        assert at_once.tensor(memoryview(payload), descriptor) == add_tensor(in_parts, payload, descriptor)
    assert (at_once.position, at_once.offsets) == (in_parts.position, in_parts.offsets)
    assert (at_once.lengths, at_once.digests) == (in_parts.lengths, in_parts.digests)
