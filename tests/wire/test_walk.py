"""From message to message by their lengths: never further than the decoder would go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import events_of, flip_bit, message, messages_of, preamble, put
from tests.wire.strategies import damaged_streams, hypothesis_settings
from tgmtool.wire import layout
from tgmtool.wire.frames import Preamble
from tgmtool.wire.walk import BOUNDARY_SIZE, Place, Walked, hop, walk

ONE, TWO, STREAMING = message([b"one"]), message([b"two", b"objects"]), message(streaming=True)
OTHER = put(ONE, 10, (Preamble.parse(ONE, offset=0).flags ^ layout.HASHES_PRESENT).to_bytes(2, "big"))


def place_at(data: bytes, offset: int = 0, number: int = 0) -> Place:
    parsed = Preamble.parse(data[offset:], offset=offset)
    return Place(offset, parsed.total_length, parsed.flags, number)


def walked(data: bytes) -> tuple[list[tuple[int, int]], Place]:
    found, place = walk(data, 0, place_at(data))
    return [(row[0], row[1]) for row in found], place


def test_every_message_but_the_last_is_passed_and_the_last_is_where_it_stands() -> None:
    data = ONE + TWO + ONE
    found, place = walked(data)
    assert found == [(0, len(ONE)), (len(ONE), len(TWO))]
    assert place == place_at(data, len(ONE) + len(TWO), number=2)


def test_a_row_has_the_fields_of_a_message_span() -> None:
    found, _ = walk(ONE + TWO, 0, place_at(ONE)._replace(number=40))
    assert list(found) == [(0, len(ONE), Preamble.parse(ONE, offset=0).flags, False, -1, 40)]


@pytest.mark.parametrize("count", [1, 2, 8, 9, 10, 17, 18, 19, 100])
def test_runs_of_equal_messages_are_counted_right(count: int) -> None:
    data = ONE * count + TWO * 2 + ONE * count + TWO
    found, place = walked(data)
    events = messages_of(events_of(data))
    assert found == events[:-1]
    assert (place.offset, place.length) == events[-1]
    assert place.number == len(found)


@pytest.mark.parametrize("broken_at", [3, 12, 25, 39])
@pytest.mark.parametrize(
    ("part", "position"),
    [("preamble", 5), ("preamble", 9), ("preamble", 20), ("postamble", 12), ("postamble", 20)],
)
def test_it_stops_in_a_run_before_the_message_whose_ends_do_not_agree(
    broken_at: int, part: str, position: int
) -> None:
    start = len(ONE) * broken_at + (0 if part == "preamble" else len(ONE) - 24)
    found, place = walked(flip_bit(ONE * 40, start + position))
    stop = broken_at - 1 if part == "preamble" and position != 20 else broken_at
    assert len(found) == stop
    assert place.offset == stop * len(ONE)


@pytest.mark.parametrize(
    "following",
    [
        STREAMING,
        b"",
        ONE[:47],
        b"garbage between messages".ljust(60),
        preamble(1, 48) + bytes(48),
        preamble(0, 400) + ONE[24:],
        preamble(1, 400, version=4) + ONE[24:],
    ],
    ids=["streaming", "end", "cut", "foreign", "too short", "no metadata", "version 4"],
)
def test_it_leaves_to_the_decoder_what_it_does_not_like(following: bytes) -> None:
    found, place = walked(ONE + TWO + following)
    assert found[:1] == [(0, len(ONE))]
    assert place.offset <= len(ONE) + len(TWO)


def test_an_unfilled_postamble_is_left_to_the_decoder() -> None:
    found, place = walked(message(mirrored=0) + ONE)
    assert (found, place.offset) == ([], 0)


@pytest.mark.parametrize("start", [0, 1, 100])
def test_the_window_may_begin_anywhere_before_the_end_of_the_first_message(start: int) -> None:
    data = ONE + TWO + ONE
    found, place = walk(data[start:], start, place_at(data))
    assert [row[0] for row in found] == [0, len(ONE)]
    assert place.offset == len(ONE) + len(TWO)


def test_a_window_that_begins_too_late_shows_nothing() -> None:
    found, place = walk((ONE + TWO)[len(ONE) :], len(ONE), place_at(ONE))
    assert (list(found), place) == ([], place_at(ONE))


def test_a_walk_goes_on_where_it_stood() -> None:
    data = ONE * 30 + TWO * 30
    half = len(ONE) * 20 + 10
    first, place = walk(data[:half], 0, place_at(data))
    second, _ = walk(data[place.offset :], place.offset, place)
    rows = [*first, *second]
    assert rows == list(walk(data, 0, place_at(data))[0])
    assert [row[5] for row in rows] == list(range(59))


def test_messages_with_other_flags_are_passed_with_theirs() -> None:
    data = ONE * 3 + OTHER + ONE * 20 + OTHER * 20 + ONE
    found, place = walk(data, 0, place_at(data))
    rows = list(found)
    assert [row[0] for row in rows] == [offset for offset, _ in messages_of(events_of(data))][:-1]
    assert [row[2] for row in rows] == [Preamble.parse(data[row[0] :], offset=0).flags for row in rows]
    assert len({row[2] for row in rows}) == 2
    assert place == place_at(data, len(data) - len(ONE), number=44)


@pytest.mark.parametrize("position", range(-16, 10))
@pytest.mark.parametrize("broken_at", [1, 2, 17, 18, 200, 273, 274, 290])
def test_no_byte_of_a_boundary_in_a_long_run_goes_unseen(broken_at: int, position: int) -> None:
    data = flip_bit(ONE * 300, len(ONE) * broken_at + position)
    found, place = walked(data)
    assert place.number == len(found) == broken_at - 1


# ---- hops


def hopped(
    data: bytes, *, least: int = 0, most: int = 1000, number: int = 0
) -> tuple[list[Walked], Place, int]:
    """Rows, the place after them, and how many bytes were looked at."""
    hops = hop(place_at(data, number=number), least=least, most=most)
    looked_at = 0
    try:
        at = next(hops)
        while True:
            boundary = data[at : at + BOUNDARY_SIZE]
            looked_at += len(boundary)
            at = hops.send(boundary)
    except StopIteration as stopped:
        rows, place = stopped.value
        return list(rows), place, looked_at


def test_hops_pass_what_a_walk_passes_and_the_last_message_too() -> None:
    data = ONE + TWO * 3 + ONE
    rows, place, looked_at = hopped(data)
    assert rows[:-1] == list(walk(data, 0, place_at(data))[0])
    assert [(row[0], row[1]) for row in rows] == messages_of(events_of(data))
    assert (place.offset, place.length, place.number) == (len(data), 0, 5)
    assert looked_at == 4 * BOUNDARY_SIZE + 24


def test_hops_leave_a_message_that_is_alone_to_the_decoder() -> None:
    assert hopped(ONE)[:2] == ([], place_at(ONE))
    assert [row[5] for row in hopped(ONE, number=7)[0]] == [7]


def test_hops_stop_after_so_many_and_at_a_shorter_message() -> None:
    assert [len(hopped(ONE * 9, most=most)[0]) for most in (1, 4, 8, 9, 20)] == [1, 4, 8, 9, 9]
    rows, place, _ = hopped(TWO * 3 + ONE * 3, least=len(TWO))
    assert (len(rows), place.length) == (3, len(ONE))


def test_hops_pass_into_messages_with_other_flags() -> None:
    rows, place, _ = hopped(ONE + OTHER * 2)
    assert (len(rows), place) == (1, place_at(ONE + OTHER * 2, len(ONE), number=1))
    assert place.flags != rows[0][2]


@pytest.mark.parametrize("position", [*range(-16, 10), *range(16, 24)])
def test_hops_stop_where_the_ends_do_not_agree(position: int) -> None:
    data = flip_bit(ONE * 3 + TWO, 2 * len(ONE) + position)
    rows, place, _ = hopped(data, most=2)
    # A preamble whose length is wrong is found out at its own end.
    assert len(rows) == (2 if position >= 16 else 1)
    assert place.number == len(rows)


@pytest.mark.parametrize("length", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_length_beyond_any_file_is_no_place_to_go(length: int) -> None:
    liar = put(ONE, 16, length.to_bytes(8, "big"))
    for place in (walk(ONE + liar, 0, place_at(ONE))[1], hopped(ONE + liar)[1]):
        assert (place.offset, place.length) == (len(ONE), length)
        assert not place.is_possible


def test_a_length_that_claims_the_whole_file_swallows_nothing() -> None:
    liar = put(ONE, len(ONE) - 16, (len(ONE) * 2).to_bytes(8, "big"))
    found, _ = walked(ONE + liar + ONE)
    assert found == [(0, len(ONE))]


@given(damaged_streams(), st.booleans())
@hypothesis_settings(150)
def test_in_a_damaged_stream_it_passes_only_messages_whose_both_ends_agree(
    data: bytes, as_view: bool
) -> None:
    try:
        start = place_at(data)
    except Exception:
        return
    found, place = walk(memoryview(data) if as_view else data, 0, start)
    at = 0
    for offset, length, *_ in found:
        assert offset == at
        assert data[offset + length - 16 :][:16] == length.to_bytes(8, "big") + b"39277777"
        at += length
        assert data[at : at + 8] == b"TENSOGRM"
    assert place.offset == at
