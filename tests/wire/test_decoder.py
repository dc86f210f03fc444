"""What the decoder says about messages, whole and damaged, delivered at once."""

from __future__ import annotations

from itertools import pairwise
from struct import unpack_from

import pytest
from xxhash import xxh3_64_intdigest

from tests.builders import (
    Data,
    Refused,
    Seen,
    deliver,
    drop,
    events_of,
    flip_bit,
    frame,
    frame_header,
    frames_of,
    message,
    message_of,
    messages_of,
    postamble,
    preamble,
    put,
    spans_of,
    tensor,
)
from tests.wire.strategies import SITUATIONS
from tgmtool.errors import FramingError
from tgmtool.wire.decoder import Decoder
from tgmtool.wire.events import END, NEED_DATA, FrameBegan, FrameData, FrameEnded, MessageBegan, MessageEnded
from tgmtool.wire.frames import FrameHeader, Preamble

METADATA = frame(1)
situations = pytest.mark.parametrize("name", list(SITUATIONS))


def expected_events(data: bytes, offset: int = 0, *, padded: bool = True, gap: int = 0) -> list[Seen]:
    """Read one whole message with struct; offsets are counted from `offset` before it."""
    flags, reserved, total = unpack_from(">10xHIQ", data)
    told: list[Seen] = [MessageBegan(offset, Preamble(flags, total, reserved))]
    before = 24
    for place in frames_of(data, padded=padded, gap=gap):
        version, frame_flags, length = unpack_from(">4xHHQ", data, place.offset)
        header = FrameHeader(place.number, frame_flags, length, version)
        end = place.offset + length
        body = data[place.offset + 16 : end - (20 if place.number == 9 else 12)]
        cbor_offset = unpack_from(">Q", data, end - 20)[0] if place.number == 9 else None
        (stored,) = unpack_from(">Q", data, end - 12)
        at = offset + place.offset
        told.append(FrameBegan(at, header, place.offset - before))
        told.append(Data(at + 16, body))
        told.append(
            FrameEnded(at, header, cbor_offset, stored if frame_flags & 2 else None, xxh3_64_intdigest(body))
        )
        before = end
    first_footer, mirrored = unpack_from(">QQ", data, len(data) - 24)
    objects = sum(place.number == 9 for place in frames_of(data, padded=padded, gap=gap))
    told.append(
        MessageEnded(offset, len(data), Preamble(flags, total, reserved), first_footer, mirrored, objects)
    )
    return told


def expected_of(name: str, offset: int = 0) -> list[Seen]:
    gap = 16 if "excess" in name else 0
    return expected_events(SITUATIONS[name], offset, padded="unaligned" not in name, gap=gap)


def refusal_of(data: bytes) -> Refused:
    last = events_of(data, resync=False)[-1]
    assert isinstance(last, Refused), last
    return last


@situations
def test_a_message_is_told_frame_by_frame(name: str) -> None:
    assert events_of(SITUATIONS[name]) == expected_of(name)


@situations
def test_offsets_count_from_the_start_of_the_source(name: str) -> None:
    data = SITUATIONS["streaming"] + SITUATIONS[name]
    start = len(SITUATIONS["streaming"])
    assert events_of(data) == expected_of("streaming") + expected_of(name, start)
    assert events_of(data, decoder=Decoder(offset=start)) == expected_of(name, start)


def test_messages_follow_one_another_without_a_separator() -> None:
    stream = b"".join(SITUATIONS.values())
    ended = messages_of(events_of(stream))
    assert [length for _, length in ended] == [len(data) for data in SITUATIONS.values()]
    assert all(offset + length == following for (offset, length), (following, _) in pairwise(ended))


def test_an_empty_input_has_no_events() -> None:
    assert events_of(b"") == []


def test_the_end_can_be_asked_for_again() -> None:
    decoder = Decoder()
    list(deliver(decoder, message()))
    assert decoder.next_event() is END
    assert decoder.next_event() is END


def test_a_decoder_goes_on_when_more_arrives_after_an_end() -> None:
    decoder, data = Decoder(), message()
    list(deliver(decoder, data))
    decoder.receive_data(data)
    assert decoder.next_event() == MessageBegan(len(data), Preamble.parse(data, offset=0))


def test_payloads_are_views_of_what_was_delivered() -> None:
    data = message([b"large" * 50_000])
    decoder = Decoder()
    decoder.receive_data(data)
    pieces = []
    while not isinstance(event := decoder.next_event(), MessageEnded):
        pieces.append(event)
    views = [event.data for event in pieces if isinstance(event, FrameData)]
    assert all(view.obj is data for view in views)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_control_frames_come_in_one_piece_however_they_arrive(size: int) -> None:
    events = list(deliver(Decoder(), message([b"x" * 500]), [size]))
    bodies = {event.offset for event in events if isinstance(event, FrameBegan) and event.header.type != 9}
    pieces = [event for event in events if isinstance(event, FrameData) and event.offset - 16 in bodies]
    assert len(pieces) == len(bodies) == 3


def test_a_control_frame_above_the_limit_comes_in_pieces_with_its_digest() -> None:
    body = bytes(range(200))
    data = message_of([frame(1, body), tensor()])
    held = list(deliver(Decoder(control_body_limit=200), data, [50]))
    passed = list(deliver(Decoder(control_body_limit=199), data, [50]))
    assert sum(isinstance(event, FrameData) for event in passed) > sum(
        isinstance(event, FrameData) for event in held
    )
    assert events_of(data, [50], decoder=Decoder(control_body_limit=199)) == events_of(data)


# ---- digests


@pytest.mark.parametrize("name", ["buffered_with_preceders", "streaming", "buffered_unaligned"])
def test_a_changed_byte_in_any_body_is_reported_and_not_raised(name: str) -> None:
    data = SITUATIONS[name]
    for place in frames_of(data, padded="unaligned" not in name):
        events = events_of(flip_bit(data, place.offset + 16))
        differing = [
            event.offset for event in events if isinstance(event, FrameEnded) and event.digest_differs
        ]
        assert differing == [place.offset]
        assert messages_of(events) == [(0, len(data))]


def test_a_changed_hash_slot_differs_too() -> None:
    data = message()
    place = frames_of(data)[0]
    events = events_of(flip_bit(data, place.offset + place.length - 12, 7))
    assert [event.digest_differs for event in events if isinstance(event, FrameEnded)] == [
        True,
        False,
        False,
        False,
    ]


def test_a_zero_in_a_slot_that_is_filled_is_a_digest() -> None:
    ended = [event for event in events_of(message_of([frame(1, digest=0)])) if isinstance(event, FrameEnded)]
    assert (ended[0].stored_digest, ended[0].digest_differs) == (0, True)


def test_a_slot_that_is_not_filled_is_not_looked_at() -> None:
    events = events_of(
        message_of([frame(1, hashing=False, digest=0xBAD), tensor(hashing=False, digest=0xBAD)])
    )
    ended = [event for event in events if isinstance(event, FrameEnded)]
    assert [(event.stored_digest, event.digest_differs) for event in ended] == [(None, False)] * 2


def test_without_verifying_there_is_no_actual_digest() -> None:
    data = flip_bit(message(), frames_of(message())[0].offset + 16)
    ended = [
        event for event in events_of(data, decoder=Decoder(verify=False)) if isinstance(event, FrameEnded)
    ]
    assert {(event.actual_digest, event.digest_differs) for event in ended} == {(None, False)}


def test_a_digest_that_is_known_is_told_and_not_computed_again() -> None:
    data = message_of([METADATA, tensor(b"first"), tensor(b"second")])
    first, second = [one.offset for one in frames_of(data) if one.number == 9]
    events = events_of(data, decoder=Decoder(digests={first: 1, 0: 2}))
    ended = {event.offset: event for event in events if isinstance(event, FrameEnded)}
    assert (ended[first].actual_digest, ended[first].digest_differs) == (1, True)
    assert not ended[second].digest_differs
    assert ended[second].actual_digest == ended[second].stored_digest


# ---- unusual and valid


def test_an_object_may_have_no_bytes_at_all() -> None:
    data = message_of([METADATA, tensor(b"", descriptor=b"")])
    ended = [event for event in events_of(data) if isinstance(event, FrameEnded)]
    assert ended[1].cbor_offset == 16
    assert ended[1].actual_digest == xxh3_64_intdigest(b"")


def test_a_control_frame_may_have_an_empty_body() -> None:
    assert Data(40, b"") in events_of(message_of([frame(1, b"")]))


@pytest.mark.parametrize("flags", [0, 0xFF, 0xFFFF])
def test_the_preamble_flags_are_told_and_not_trusted(flags: int) -> None:
    frames = [METADATA, tensor(), frame(7)]
    events = events_of(message_of(frames, flags=flags))
    assert len(events) == 2 + 3 * len(frames)
    assert isinstance(events[0], MessageBegan)
    assert events[0].preamble.flags == flags


@pytest.mark.parametrize("version", [0, 2, 65535])
def test_another_frame_version_is_readable(version: int) -> None:
    assert messages_of(events_of(message_of([frame(1, version=version)])))


@pytest.mark.parametrize("excess", [8, 16, 24])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_little_too_much_zero_padding_is_tolerated_and_told(excess: int, streaming: bool) -> None:
    events = events_of(message([b"12345678"], excess=excess, streaming=streaming))
    paddings = [event.padding for event in events if isinstance(event, FrameBegan)]
    assert paddings[0] == 0
    assert all(excess <= padding <= excess + 7 for padding in paddings[1:])
    assert len(messages_of(events)) == 1


@pytest.mark.parametrize("excess", [32, 40, 4096])
@pytest.mark.parametrize("streaming", [False, True])
def test_as_many_zeros_as_a_frame_has_are_damage(excess: int, streaming: bool) -> None:
    data = message([b"12345678"], excess=excess, streaming=streaming)
    refused = refusal_of(data)
    assert (refused.code, refused.section) == ("invalid_frame_header", "2.3")


def test_padding_need_not_be_zeros() -> None:
    data = message()
    first = frames_of(data)[0]
    events = events_of(put(data, first.offset + first.length, b"\xffFR!"))
    assert messages_of(events) == [(0, len(data))]


@pytest.mark.parametrize("first_footer", [0, 25, 1 << 40])
def test_where_a_sized_message_says_its_footers_are_is_passed_on(first_footer: int) -> None:
    events = events_of(message_of([METADATA, tensor()], first_footer=first_footer))
    assert isinstance(events[-1], MessageEnded)
    assert events[-1].first_footer_offset == first_footer


# ---- damaged

DAMAGES = [
    ("foreign bytes", b"GRIB" + bytes(20) + b"7777", "foreign_bytes", 0),
    ("foreign bytes, few", b"GRIB", "foreign_bytes", 0),
    ("version 2", preamble(0, version=2) + METADATA, "unsupported_version", 8),
    ("length 47", preamble(0, 47) + METADATA, "total_length_too_small", 16),
    ("no frame first", preamble(0) + b"XX" + METADATA[2:] + bytes(24), "invalid_frame_header", 24),
    ("type 4", message_of([METADATA, frame(4)]), "invalid_frame_header", 56 + 2),
    ("frame length 0", message_of([METADATA, frame(2, length=0)]), "frame_too_small", 56 + 8),
    ("tensor length 35", message_of([METADATA, tensor(length=35)]), "frame_too_small", 56 + 8),
    ("no ENDF", message_of([frame(1, b"", end=b"ENDX")]), "missing_end_marker", 24 + 24),
    (
        "descriptor nowhere",
        message_of([METADATA, tensor(b"", descriptor=b"", cbor_offset=99)]),
        "cbor_offset_invalid",
        72,
    ),
    (
        "metadata after an object",
        message_of([METADATA, tensor(b"", descriptor=b""), METADATA]),
        "frame_order_violation",
        96,
    ),
    ("dangling preceder", message_of([METADATA, frame(8)]), "dangling_preceder", 88),
    ("two preceders", message_of([METADATA, frame(8), frame(8)]), "preceder_not_followed_by_object", 88),
    ("no frames", message_of([]), "no_metadata_frame", 0),
    ("no metadata", message_of([frame(2), tensor()]), "no_metadata_frame", 0),
    (
        "frame beyond the message",
        message_of([METADATA, frame(2, length=999)]),
        "frame_exceeds_message",
        56 + 8,
    ),
    (
        "message too short for its frame",
        message_of([METADATA], total_length=72),
        "frame_exceeds_message",
        24 + 8,
    ),
    ("postamble too early", message_of([METADATA, tensor()], total_length=999), "total_length_invalid", 16),
    ("postamble missing", drop(message_of([METADATA]), 56, 24) + message(), "postamble_invalid", 56),
    ("end magic broken", put(message_of([METADATA]), 72, b"39277778"), "postamble_invalid", 56),
    (
        "end magic of a stream",
        put(message_of([METADATA], streaming=True), 72, b"39277778"),
        "invalid_frame_header",
        56,
    ),
    ("another mirrored length", message_of([METADATA], mirrored=81), "postamble_invalid", 56 + 8),
    (
        "stream of another length",
        message_of([METADATA], streaming=True, mirrored=81),
        "invalid_frame_header",
        56,
    ),
    (
        "stream without a boundary",
        message_of([METADATA], streaming=True, first_footer=25),
        "invalid_frame_header",
        56,
    ),
]


@pytest.mark.parametrize(
    ("data", "code", "offset"), [row[1:] for row in DAMAGES], ids=[row[0] for row in DAMAGES]
)
def test_damage_is_named_where_it_stands(data: bytes, code: str, offset: int) -> None:
    whole = message()
    start = len(whole)
    refused = refusal_of(whole + data)
    assert (refused.code, refused.offset) == (code, start + offset)
    assert refused.section


@pytest.mark.parametrize("data", [row[1] for row in DAMAGES], ids=[row[0] for row in DAMAGES])
def test_past_damage_the_next_message_is_found_and_the_loss_has_the_size_of_the_damage(data: bytes) -> None:
    stream = message() + data + message([b"after"], streaming=True)
    events = events_of(stream)
    assert (
        len(stream) - len(message([b"after"], streaming=True)),
        len(message([b"after"], streaming=True)),
    ) in (messages_of(events))
    assert sum(size for _, size in spans_of(events)) == len(stream)


def test_an_error_is_raised_again_until_resync() -> None:
    decoder = Decoder()
    decoder.receive_data(b"no message, but enough bytes to see that")
    for _ in range(3):
        with pytest.raises(FramingError, match="TENSOGRM"):
            decoder.next_event()
    decoder.resync()
    assert decoder.next_event() is NEED_DATA


def test_resync_is_refused_where_nothing_is_damaged() -> None:
    decoder = Decoder()
    with pytest.raises(RuntimeError):
        decoder.resync()
    decoder.receive_data(message()[:100])
    decoder.receive_eof()
    while not refused(decoder):
        pass
    with pytest.raises(RuntimeError):
        decoder.resync()


def refused(decoder: Decoder) -> bool:
    try:
        decoder.next_event()
    except FramingError:
        return True
    return False


def test_a_frame_header_that_claims_a_huge_length_allocates_nothing() -> None:
    decoder = Decoder()
    decoder.receive_data(preamble(0) + frame_header(9, 1 << 62) + postamble(24))
    events = [decoder.next_event() for _ in range(3)]
    assert isinstance(events[2], FrameData)
    assert decoder.next_event() is NEED_DATA
    assert decoder.next_offset == 24 + 16 + 24
