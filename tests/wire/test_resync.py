"""Past proven damage the next whole message is found, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from tests.builders import (
    Cut,
    Lost,
    cut,
    drop,
    events_of,
    first_frame,
    flip_bit,
    frame,
    frame_header,
    frames_of,
    losses_of,
    message,
    message_of,
    messages_of,
    postamble,
    preamble,
    put,
    tensor,
)
from tests.wire.strategies import SITUATIONS

WHOLE = message([b"a whole message"])
STREAM = message([b"a whole stream"], streaming=True)
GARBAGE = b"these bytes belong to no message"
METADATA = frame(1)
HEADER = first_frame(WHOLE, 9).offset


# ---- what is found


@pytest.mark.parametrize("name", list(SITUATIONS))
def test_whole_messages_after_a_torn_one_are_found_wherever_it_was_torn(name: str) -> None:
    data = SITUATIONS[name]
    following = WHOLE + STREAM + WHOLE
    for size in range(1, len(data)):
        events = events_of(cut(data, size) + following)
        starts = [size, size + len(WHOLE), size + len(WHOLE) + len(STREAM)]
        if not (is_inside_a_frame_header(data, size) and isinstance(events[-1], Cut)):
            assert [offset for offset, _ in messages_of(events)[-3:]] == starts, f"torn after {size} bytes"


def is_inside_a_frame_header(data: bytes, size: int) -> bool:
    """What follows a tear there is read as a frame's length, and may claim more than there is."""
    return b"FR" in data[max(size - 15, 0) : size]


@pytest.mark.parametrize("size", [1, 7, 8, 9, 23, 24, 25, 4088, 4095, 4096, 4097, 9000])
@pytest.mark.parametrize("byte", [b"x", b"T", b"\0"])
def test_a_message_after_any_amount_of_garbage_is_found(size: int, byte: bytes) -> None:
    events = events_of(byte * size + WHOLE)
    assert losses_of(events) == [Lost(0, size, "foreign_bytes")]
    assert messages_of(events) == [(size, len(WHOLE))]


@pytest.mark.parametrize("size", [1, 2, 5, 31, 40])
def test_a_magic_that_arrives_in_pieces_is_found(size: int) -> None:
    for before in range(24, 24 + 2 * size):
        assert messages_of(events_of(b"x" * before + WHOLE, [size])) == [(before, len(WHOLE))]


def test_garbage_between_messages_is_told_with_its_place_and_size() -> None:
    events = events_of(WHOLE + GARBAGE + STREAM + GARBAGE + WHOLE)
    first, second = len(WHOLE), len(WHOLE + GARBAGE + STREAM)
    assert losses_of(events) == [
        Lost(first, len(GARBAGE), "foreign_bytes"),
        Lost(second, len(GARBAGE), "foreign_bytes"),
    ]
    assert len(messages_of(events)) == 3


def test_garbage_up_to_the_end_is_told() -> None:
    assert events_of(WHOLE + GARBAGE)[-1] == Lost(len(WHOLE), len(GARBAGE), "foreign_bytes")


def test_messages_of_writers_that_wrote_into_each_other_are_found_where_they_are_whole() -> None:
    events = events_of(cut(WHOLE, 200) * 2 + WHOLE[200:] * 2)
    assert messages_of(events) == [(200, len(WHOLE))]
    assert [(loss.offset, loss.size) for loss in losses_of(events)] == [
        (0, 200),
        (200 + len(WHOLE), len(WHOLE) - 200),
    ]


def test_after_garbage_a_message_that_is_not_finished_is_where_it_is() -> None:
    events = events_of(GARBAGE + cut(WHOLE, 150))
    assert losses_of(events) == [Lost(0, len(GARBAGE), "foreign_bytes")]
    assert events[-1] == Cut(len(GARBAGE), 150, len(WHOLE), zero_tail=False)


@pytest.mark.parametrize(
    "tail",
    [preamble(0), preamble(0) + bytes(30), b"TENSOGRM" + bytes(40), preamble(0) + b"F" + bytes(9)],
    ids=["preamble", "preamble and zeros", "magic and zeros", "half a frame magic and zeros"],
)
@pytest.mark.parametrize("chunks", [None, [1], [24], [33]], ids=["whole", "bytes", "24", "33"])
def test_after_garbage_space_that_was_not_written_is_incomplete_however_it_arrives(
    tail: bytes, chunks: list[int] | None
) -> None:
    events = events_of(GARBAGE + tail, chunks)
    assert losses_of(events) == [Lost(0, len(GARBAGE), "foreign_bytes")]
    assert isinstance(events[-1], Cut)
    assert (events[-1].offset, events[-1].available) == (len(GARBAGE), len(tail))


@pytest.mark.parametrize("chunks", [None, [1], [24]], ids=["whole", "bytes", "24"])
def test_a_message_with_excess_padding_after_its_preamble_is_found(chunks: list[int] | None) -> None:
    data = preamble(1) + bytes(8) + METADATA + bytes(3) + postamble(64)
    assert messages_of(events_of(data, chunks)) == [(0, len(data))]
    assert messages_of(events_of(GARBAGE + data, chunks)) == [(len(GARBAGE), len(data))]


@pytest.mark.parametrize("zeros", range(8))
def test_a_refuted_postamble_with_zeros_behind_it_is_damage_however_it_arrives(zeros: int) -> None:
    refuted = message_of([METADATA, tensor()], streaming=True, first_footer=32) + bytes(zeros)
    assert events_of(refuted, [1])[-1] == Lost(0, len(refuted), "invalid_frame_header")
    assert events_of(refuted)[-1] == Lost(0, len(refuted), "invalid_frame_header")


# ---- what is not taken for a message

INNER = message([b"stored inside"])


def damaged_footer(data: bytes) -> bytes:
    return flip_bit(data, frames_of(data)[-1].offset)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("chunks", [None, [1], [50]], ids=["whole", "bytes", "pieces"])
def test_a_message_inside_a_verified_payload_is_not_a_lost_message(
    streaming: bool, chunks: list[int] | None
) -> None:
    data = message([INNER, b"second"], streaming=streaming)
    assert first_frame(data, 9).offset < data.index(INNER)
    events = events_of(damaged_footer(data) + WHOLE, chunks)
    assert messages_of(events) == [(len(data), len(WHOLE))]
    assert [(loss.offset, loss.size) for loss in losses_of(events)] == [(0, len(data))]


def test_a_message_inside_a_verified_payload_is_not_found_either_after_garbage() -> None:
    data = damaged_footer(message([INNER, b"second"]))
    events = events_of(GARBAGE + data + WHOLE)
    assert messages_of(events) == [(len(GARBAGE + data), len(WHOLE))]


def test_messages_inside_messages_inside_messages_are_payload() -> None:
    data = message([message([message([INNER])])])
    assert messages_of(events_of(data)) == [(0, len(data))]
    events = events_of(drop(data, len(data) - 24, 24) + WHOLE)
    assert messages_of(events) == [(len(data) - 24, len(WHOLE))]


def test_only_a_digest_proves_that_a_message_is_payload() -> None:
    data = message([INNER, b"second"], hashing=False)
    events = events_of(damaged_footer(data) + WHOLE)
    assert messages_of(events) == [(data.index(INNER), len(INNER)), (len(data), len(WHOLE))]


LIARS = [
    ("a magic", b"TENSOGRM"),
    ("a magic of another version", preamble(0, version=4) + METADATA),
    ("a preamble and no frame", preamble(0) + b"no frame at all, but text"),
    ("a preamble and a frame of type 4", preamble(0) + frame(4)),
    ("a frame that claims too much", preamble(0) + frame_header(9, 1 << 50) + b"x" * 50),
    ("a message that claims too much", preamble(0, 1 << 50) + METADATA),
    ("a body that was changed", flip_bit(WHOLE, HEADER + 16)),
    ("a metadata body that was changed", flip_bit(WHOLE, 24 + 16)),
    ("a digest that was changed", flip_bit(WHOLE, 24 + first_frame(WHOLE, 1).length - 5)),
    ("a length that was changed", flip_bit(WHOLE, 23, 3)),
    ("a mirrored length that was changed", flip_bit(WHOLE, len(WHOLE) - 9, 3)),
    ("an end magic that was changed", flip_bit(WHOLE, len(WHOLE) - 1)),
    ("frames out of order", message_of([METADATA, tensor(), METADATA])),
    ("no metadata", message_of([tensor()])),
    ("no frames", message_of([])),
    ("an end marker too early", cut(WHOLE, HEADER) + b"39277777"),
    ("a first footer that is nowhere", put(STREAM, len(STREAM) - 24, (33).to_bytes(8, "big"))),
]


@pytest.mark.parametrize("liar", [row[1] for row in LIARS], ids=[row[0] for row in LIARS])
@pytest.mark.parametrize("times", [1, 3])
def test_a_candidate_that_is_no_sound_message_is_passed_over(liar: bytes, times: int) -> None:
    lost = GARBAGE + liar * times
    events = events_of(lost + WHOLE + STREAM)
    assert losses_of(events) == [Lost(0, len(lost), "foreign_bytes")]
    assert messages_of(events) == [(len(lost), len(WHOLE)), (len(lost + WHOLE), len(STREAM))]


@pytest.mark.parametrize("data", [LIARS[6][1], LIARS[7][1], LIARS[8][1]])
def test_a_message_with_a_wrong_digest_is_a_message_while_nothing_else_is_wrong(data: bytes) -> None:
    assert messages_of(events_of(WHOLE + data + WHOLE)) == [
        (0, len(WHOLE)),
        (len(WHOLE), len(data)),
        (len(WHOLE + data), len(WHOLE)),
    ]


def test_an_unhashed_message_is_believed_when_it_holds_together() -> None:
    unhashed = message(hashing=False)
    assert messages_of(events_of(GARBAGE + unhashed)) == [(len(GARBAGE), len(unhashed))]
