"""The traps of the format that concern framing: one fact each, where others fall in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest

from tests.builders import (
    END_MARKER,
    REFERENCE_ORDER,
    Cut,
    Lost,
    Refused,
    Seen,
    cut,
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
from tgmtool.wire.buffer import Buffer
from tgmtool.wire.events import FrameBegan, FrameEnded, MessageBegan, MessageEnded
from tgmtool.wire.patches import length_patches

WHOLE = message([b"a whole message"])
METADATA = frame(1)


def last_of(data: bytes) -> Seen:
    return events_of(data, resync=False)[-1]


# ---- 1: the end marker is no end


@pytest.mark.parametrize("before", range(9))
def test_an_end_marker_inside_a_payload_does_not_end_a_streaming_message(before: int) -> None:
    data = message([bytes(before) + END_MARKER * 20, END_MARKER], streaming=True)
    assert messages_of(events_of(data)) == [(0, len(data))]


def test_a_postamble_inside_a_payload_does_not_end_a_streaming_message() -> None:
    payload = b"".join(postamble(24, length) for length in range(0, 400, 8))
    data = message([payload], streaming=True)
    assert messages_of(events_of(data)) == [(0, len(data))]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_message_inside_a_payload_does_not_begin_a_message(streaming: bool) -> None:
    data = message([WHOLE, WHOLE * 2], streaming=streaming)
    assert [event.offset for event in events_of(data) if isinstance(event, MessageBegan)] == [0]


def test_a_cut_streaming_message_does_not_swallow_the_message_after_it() -> None:
    for place in frames_of(torn := message([b"torn"], streaming=True))[1:]:
        events = events_of(cut(torn, place.offset) + WHOLE)
        assert messages_of(events) == [(place.offset, len(WHOLE))]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_cut_message_that_carries_a_message_yields_no_phantom(streaming: bool) -> None:
    data = message([WHOLE * 3], streaming=streaming)
    size = data.index(WHOLE) + 2 * len(WHOLE)
    events = events_of(cut(data, size))
    assert (messages_of(events), losses_of(events)) == ([], [])
    assert isinstance(events[-1], Cut)


# ---- 2, 3: cut short and corrupt


def test_a_message_longer_than_the_file_is_incomplete_and_not_searched() -> None:
    data = preamble(1, 1 << 40) + METADATA + bytes(3) + frame_header(9, 1 << 30) + WHOLE * 5
    assert events_of(data)[-1] == Cut(0, len(data), 1 << 40, zero_tail=False)


@pytest.mark.parametrize("first", [b"FX" + bytes(14), frame_header(4, 100), frame_header(1, 27), WHOLE[:16]])
def test_a_huge_length_is_not_believed_before_the_first_frame_header(first: bytes) -> None:
    data = preamble(1, 1 << 40) + first + bytes(100) + b"\x01"
    assert isinstance(last_of(data), Refused)
    assert messages_of(events_of(data + WHOLE)) == [(len(data), len(WHOLE))]


# ---- 4: padding by alignment


@pytest.mark.parametrize("size", range(9))
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("streaming", [True, False])
def test_the_zeros_that_begin_a_postamble_are_not_padding(size: int, padded: bool, streaming: bool) -> None:
    data = message_of([METADATA, tensor(bytes(size))], padded=padded, streaming=streaming)
    assert messages_of(events_of(data)) == [(0, len(data))]


@pytest.mark.parametrize("size", range(9))
@pytest.mark.parametrize("padded", [True, False])
def test_frames_are_found_with_their_padding_and_without(size: int, padded: bool) -> None:
    data = message_of([METADATA, tensor(bytes(size)), tensor(b"next")], padded=padded, streaming=True)
    found = [(event.offset, event.header.type) for event in events_of(data) if isinstance(event, FrameBegan)]
    assert found == [(place.offset, place.number) for place in frames_of(data, padded=padded)]


def test_an_unaligned_message_counts_its_alignment_from_its_own_start() -> None:
    odd = message(padded=False)
    assert len(odd) % 8
    assert [offset for offset, _ in messages_of(events_of(odd + WHOLE + odd))] == [
        0,
        len(odd),
        len(odd + WHOLE),
    ]


# ---- 5: which postamble is believed

SPAN = 24 + len(METADATA) + 3
BELIEVED = [
    ("all filled in", SPAN + 24, postamble(SPAN, SPAN + 24), True),
    ("no mirrored length", SPAN + 24, postamble(SPAN, 0), True),
    ("nothing filled in", 0, postamble(SPAN, 0), True),
    ("only the mirrored length", 0, postamble(SPAN, SPAN + 24), True),
    ("footers at a frame", 0, postamble(24, 0), True),
    ("another magic", 0, postamble(SPAN, 0, magic=b"39277778"), False),
    ("another length", 0, postamble(SPAN, SPAN + 23), False),
    ("another length in a sized message", SPAN + 24, postamble(SPAN, SPAN + 23), False),
    ("footers between frames", 0, postamble(25, 0), False),
    ("footers in the preamble", 0, postamble(0, 0), False),
    ("footers beyond the postamble", 0, postamble(SPAN + 1, 0), False),
]


@pytest.mark.parametrize(
    ("total", "end", "believed"), [row[1:] for row in BELIEVED], ids=[row[0] for row in BELIEVED]
)
def test_a_postamble_is_believed_only_when_everything_in_it_fits(
    total: int, end: bytes, believed: bool
) -> None:
    data = preamble(1, total) + METADATA + bytes(3) + end
    assert isinstance(last_of(data), MessageEnded if believed else Refused)


# ---- 6, 7: zeros, and going on after damage


@pytest.mark.parametrize("zeros", [32, 4096])
def test_zeros_for_a_frame_are_incomplete_at_the_end_and_damage_in_the_middle(zeros: int) -> None:
    data = message(streaming=True)
    for place in frames_of(data)[1:]:
        reserved = cut(data, place.offset) + bytes(zeros)
        assert last_of(reserved) == Cut(0, len(reserved), None, zero_tail=True)
        assert isinstance(last_of(reserved + WHOLE), Refused)
        assert messages_of(events_of(reserved + WHOLE)) == [(len(reserved), len(WHOLE))]


def test_after_damage_the_range_that_was_skipped_is_told() -> None:
    damaged = flip_bit(WHOLE, first_frame(WHOLE, 9).offset)
    events = events_of(WHOLE + damaged + b"and noise" + WHOLE)
    assert losses_of(events) == [Lost(len(WHOLE), len(damaged) + len(b"and noise"), "invalid_frame_header")]
    assert len(messages_of(events)) == 2


# ---- 8: nothing is looked at again and again


@pytest.mark.parametrize("objects", [[b"x" * 2000], [b"y"] * 12], ids=["one large", "many small"])
def test_bytes_that_arrive_one_by_one_are_not_looked_at_from_the_start_each_time(
    objects: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = 0
    peek = Buffer.peek

    def counted(self: Buffer, size: int) -> memoryview:
        nonlocal seen
        seen += min(size, len(self))
        return peek(self, size)

    monkeypatch.setattr(Buffer, "peek", counted)
    data = message(objects, streaming=True)
    assert messages_of(events_of(data, [1])) == [(0, len(data))]
    assert seen < 32 * len(data)


# ---- 9: what the reference writes is accepted


def test_a_preceder_bit_without_a_preceder_is_accepted() -> None:
    data = message_of([METADATA, tensor()], flags=0xFF, streaming=True)
    assert messages_of(events_of(data)) == [(0, len(data))]


@pytest.mark.parametrize("objects", [[], [b"payload"]])
@pytest.mark.parametrize("order", [REFERENCE_ORDER, *permutations((5, 6, 7))])
def test_footers_may_come_in_any_order(order: Sequence[int], objects: list[bytes]) -> None:
    data = message(objects, streaming=True, footer_order=order)
    assert messages_of(events_of(data)) == [(0, len(data))]


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
def test_headers_may_come_in_any_order(order: Sequence[int]) -> None:
    data = message_of([frame(number) for number in order])
    assert messages_of(events_of(data)) == [(0, len(data))]


# ---- 10a: every digest counts


@pytest.mark.parametrize("streaming", [False, True])
def test_every_flipped_bit_in_the_body_of_any_frame_is_noticed(streaming: bool) -> None:
    data = message(streaming=streaming, preceders=True)
    for place in frames_of(data):
        end = place.offset + place.length - (20 if place.number == 9 else 12)
        for at in range(place.offset + 16, end):
            ended = [
                event for event in events_of(flip_bit(data, at, at % 8)) if isinstance(event, FrameEnded)
            ]
            assert [event.offset for event in ended if event.digest_differs] == [place.offset]


def test_clearing_the_preamble_bit_switches_no_digest_off() -> None:
    data = flip_bit(message(), 11, 7)
    assert data[11] & 0x80 == 0
    place = first_frame(data, 9)
    ended = [event for event in events_of(flip_bit(data, place.offset + 16)) if isinstance(event, FrameEnded)]
    assert [event.digest_differs for event in ended] == [False, False, False, True]


# ---- 10b, 10c: lengths that cannot be


@pytest.mark.parametrize(("number", "smallest"), [(1, 28), (7, 28), (8, 28), (9, 36)])
def test_a_frame_length_below_the_minimum_is_damage_and_not_a_loop(number: int, smallest: int) -> None:
    for length in range(smallest):
        data = message_of([METADATA, frame_header(number, length) + bytes(40)])
        last = last_of(data)
        assert isinstance(last, Refused)
        assert last.code == "frame_too_small"


@pytest.mark.parametrize(
    "claimed", [WHOLE + WHOLE, bytes(1 << 16)], ids=["the next message too", "much more"]
)
def test_a_postamble_that_comes_before_the_length_says_so_proves_the_length_wrong(claimed: bytes) -> None:
    data = put(WHOLE, 16, len(claimed).to_bytes(8, "big"))
    assert last_of(data + WHOLE) == Refused(16, "total_length_invalid", "3.2")
    events = events_of(data + WHOLE)
    assert messages_of(events) == [(len(data), len(WHOLE))]


# ---- 12, 13: messages whose lengths were not filled in


def test_of_three_streaming_messages_three_are_seen() -> None:
    data = message([b"one"], streaming=True)
    assert messages_of(events_of(data * 3)) == [(at * len(data), len(data)) for at in range(3)]


def test_an_interrupted_backfill_is_readable_and_can_be_completed() -> None:
    streaming = message(streaming=True)
    half = message(streaming=True, total_length=len(streaming))
    ended = events_of(half)[-1]
    assert isinstance(ended, MessageEnded)
    assert (ended.preamble.total_length, ended.postamble_length) == (len(streaming), 0)
    for patch in length_patches(0, ended.length):
        half = put(half, patch.offset, patch.data)
    completed = events_of(half)[-1]
    assert isinstance(completed, MessageEnded)
    assert completed.postamble_length == completed.preamble.total_length == len(half)
