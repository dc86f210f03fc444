"""The buffer does what a long byte string with two marks in it does."""

from __future__ import annotations

from array import array
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import hypothesis_settings
from tgmtool.wire.buffer import Buffer

SOURCE = bytes(at * 7 % 251 for at in range(30_000))
Step = tuple[Literal["append", "peek", "piece", "consume", "move"], int]


def steps() -> st.SearchStrategy[list[Step]]:
    sizes = st.integers(0, 40) | st.integers(4000, 9000)
    reading = st.tuples(st.sampled_from(["peek", "piece"]), sizes)
    changing = st.tuples(st.sampled_from(["append", "append", "consume"]), sizes)
    moving = st.tuples(st.just("move"), st.integers(-60, 60))
    return st.lists(st.one_of(changing, reading, changing, moving), max_size=40)


def checked_peek(buffer: Buffer, size: int) -> None:
    known = SOURCE[buffer.offset : buffer.end]
    assert buffer.peek(size) == known[:size]
    assert buffer.peek(size) == known[:size]


def checked_piece(buffer: Buffer, limit: int) -> None:
    known = SOURCE[buffer.offset : buffer.end]
    piece = buffer.piece(limit)
    assert piece == known[: len(piece)]
    assert len(piece) <= limit
    assert bool(piece) == bool(known and limit)


@given(steps())
@hypothesis_settings(400)
def test_any_sequence_of_calls_shows_the_bytes_that_stand_at_the_offset(sequence: list[Step]) -> None:
    buffer = Buffer(100)
    offset = end = 100
    for verb, number in sequence:
        if verb == "append":
            buffer.append(SOURCE[end : end + number])
            end = min(end + number, max(end, len(SOURCE)))
        elif verb == "consume":
            buffer.consume(number)
            offset += number
            end = max(end, offset)
        elif verb == "move":
            target = max(offset + number, 0)
            buffer.move_to(target)
            assert buffer.end in ({max(end, target)} if target >= offset else {end, target})
            offset, end = target, buffer.end
        elif verb == "peek":
            checked_peek(buffer, number)
        else:
            checked_piece(buffer, number)
        assert (buffer.offset, buffer.end, len(buffer)) == (offset, end, end - offset)


def test_a_new_buffer_begins_and_ends_at_its_offset() -> None:
    assert (Buffer(7).offset, Buffer(7).end, len(Buffer(7))) == (7, 7, 0)


def test_peek_joins_what_arrived_in_pieces() -> None:
    buffer = Buffer()
    for piece in (b"TEN", b"SO", b"", b"GRM"):
        buffer.append(piece)
    assert bytes(buffer.peek(8)) == b"TENSOGRM"
    assert bytes(buffer.peek(2)) == b"TE"
    assert bytes(buffer.peek(99)) == b"TENSOGRM"


def test_a_piece_is_what_stands_together() -> None:
    buffer = Buffer()
    buffer.append(b"abc")
    buffer.append(b"defg")
    assert bytes(buffer.piece(99)) == b"abc"
    buffer.consume(3)
    assert bytes(buffer.piece(99)) == b"defg"
    assert bytes(buffer.piece(2)) == b"de"


def test_what_is_delivered_is_not_copied_while_it_stands_in_one_chunk() -> None:
    chunk = b"x" * 100_000
    buffer = Buffer()
    buffer.append(chunk)
    assert buffer.piece(100_000).obj is chunk
    assert buffer.peek(50).obj is chunk


def test_crossing_into_a_large_chunk_copies_only_what_is_looked_at() -> None:
    large = b"y" * 100_000
    buffer = Buffer()
    buffer.append(b"head")
    buffer.append(large)
    assert bytes(buffer.peek(24)) == b"head" + b"y" * 20
    buffer.consume(24)
    assert buffer.piece(100_000).obj is large
    assert len(buffer) == 99_980


@pytest.mark.parametrize("at_hand", [b"", b"abc", b"abcdefgh"])
def test_consuming_beyond_the_end_moves_the_end_too(at_hand: bytes) -> None:
    buffer = Buffer(1000)
    buffer.append(at_hand)
    buffer.consume(8)
    buffer.consume(92)
    assert (buffer.offset, buffer.end, len(buffer)) == (1100, 1100, 0)
    buffer.append(b"next")
    assert bytes(buffer.peek(9)) == b"next"


def test_moving_back_within_what_is_at_hand_needs_nothing_again() -> None:
    buffer = Buffer(10)
    buffer.append(b"abcdef")
    buffer.consume(5)
    buffer.move_to(12)
    assert (bytes(buffer.peek(9)), buffer.end) == (b"cdef", 16)


def test_moving_back_beyond_what_is_at_hand_starts_anew() -> None:
    buffer = Buffer(10)
    buffer.append(b"abcdef")
    buffer.move_to(4)
    assert (buffer.offset, buffer.end) == (4, 4)
    buffer.append(b"uvwxyz")
    assert bytes(buffer.peek(9)) == b"uvwxyz"


@pytest.mark.parametrize(
    "data", [b"12345678", bytearray(b"12345678"), memoryview(b"12345678"), memoryview(array("I", [1, 2]))]
)
def test_anything_that_holds_bytes_can_be_appended(data: bytes | bytearray | memoryview) -> None:
    buffer = Buffer()
    buffer.append(data)
    assert len(buffer) == 8
    assert buffer.peek(8) == bytes(data)
