"""Past a message that only stops, nothing is searched unless somebody says that its writer died."""

from __future__ import annotations

import pytest

from tests.builders import (
    Cut,
    Lost,
    cut,
    events_of,
    first_frame,
    flip_bit,
    frames_of,
    losses_of,
    message,
    messages_of,
)
from tests.wire.strategies import SITUATIONS
from tgmtool.errors import TruncatedError
from tgmtool.wire.decoder import Decoder

WHOLE = message([b"a whole message"])
STREAM = message([b"a whole stream"], streaming=True)
BEHIND = WHOLE + STREAM + WHOLE
LONG = message([b"x" * 9000], streaming=True)
INNER = message([b"stored inside"])
TORN = cut(LONG, 300)
PIECES: list[list[int] | None] = [[1], [7], [64, 3], [4096]]


@pytest.mark.parametrize("name", list(SITUATIONS))
def test_whole_messages_behind_a_torn_one_are_found_wherever_it_was_torn(name: str) -> None:
    data = SITUATIONS[name]
    for size in range(1, len(data)):
        events = events_of(cut(data, size) + BEHIND, assume_dead=True)
        starts = [size, size + len(WHOLE), size + len(WHOLE) + len(STREAM)]
        assert [offset for offset, _ in messages_of(events)[-3:]] == starts, f"torn after {size} bytes"
        assert sum(loss.size for loss in losses_of(events)) + sum(n for _, n in messages_of(events)) == (
            size + len(BEHIND)
        )


@pytest.mark.parametrize("chunks", PIECES)
@pytest.mark.parametrize("size", range(1, 400, 13))
def test_any_pieces_give_the_same_events(size: int, chunks: list[int]) -> None:
    data = WHOLE + cut(LONG, size) + BEHIND + cut(LONG, 90) + STREAM
    assert events_of(data, chunks, assume_dead=True) == events_of(data, assume_dead=True)


def test_the_torn_message_is_told_with_its_place_and_size() -> None:
    events = events_of(WHOLE + TORN + BEHIND, assume_dead=True)
    assert losses_of(events) == [Lost(len(WHOLE), len(TORN), "torn_message")]
    assert len(messages_of(events)) == 4


def test_several_torn_messages_in_a_row_are_one_gap() -> None:
    events = events_of(TORN + TORN + cut(LONG, 150) + WHOLE, assume_dead=True)
    assert losses_of(events) == [Lost(0, 750, "torn_message")]
    assert messages_of(events) == [(750, len(WHOLE))]


@pytest.mark.parametrize("tail", [b"", TORN, b"TENSO", bytes(4000), b"any bytes"])
@pytest.mark.parametrize("chunks", [None, [1], [50]], ids=["whole", "bytes", "pieces"])
def test_a_cut_message_that_hides_nothing_is_cut_as_ever(tail: bytes, chunks: list[int] | None) -> None:
    data = WHOLE + TORN + tail
    assert events_of(data, chunks, assume_dead=True) == events_of(data)
    assert isinstance(events_of(data)[-1], Cut)


def test_the_last_of_several_torn_messages_is_cut() -> None:
    events = events_of(TORN + WHOLE + TORN, assume_dead=True)
    assert losses_of(events) == [Lost(0, len(TORN), "torn_message")]
    last = events[-1]
    assert isinstance(last, Cut)
    assert last.offset == len(TORN + WHOLE)


def test_a_hidden_message_with_a_wrong_digest_is_none() -> None:
    broken = flip_bit(WHOLE, first_frame(WHOLE, 9).offset + 20)
    assert messages_of(events_of(TORN + broken, assume_dead=True)) == []
    assert messages_of(events_of(TORN + broken + WHOLE, assume_dead=True)) == [(300 + len(WHOLE), len(WHOLE))]


@pytest.mark.parametrize("verify", [True, False])
def test_a_message_inside_a_proven_payload_is_payload(*, verify: bool) -> None:
    data = message([INNER, b"y" * 900], streaming=True)
    second = [place for place in frames_of(data) if place.number == 9][1]
    torn = cut(data, second.offset + 100)
    events = events_of(torn + WHOLE, decoder=Decoder(verify=verify), assume_dead=True)
    assert messages_of(events) == [(len(torn), len(WHOLE))]


def test_a_search_in_vain_is_not_made_twice_and_leaves_the_decoder_where_the_input_ends() -> None:
    decoder = Decoder()
    events_of(TORN, decoder=decoder, assume_dead=True)
    for _ in range(2):
        with pytest.raises(TruncatedError) as caught:
            decoder.resync(assume_dead=True)
        assert caught.value.message_offset == 0
        with pytest.raises(TruncatedError):
            decoder.next_event()
    assert decoder.next_offset == len(TORN)


def test_without_being_told_a_cut_is_no_damage() -> None:
    decoder = Decoder()
    events_of(TORN + WHOLE, decoder=decoder)
    with pytest.raises(RuntimeError):
        decoder.resync()


def test_a_cut_says_where_its_whole_frames_end() -> None:
    metadata, tensor = first_frame(LONG, 1), first_frame(LONG, 9).offset
    for size, end in (
        (10, 0),
        (24, 24),
        (30, 24),
        (tensor + 8, metadata.offset + metadata.length),
        (tensor + 100, tensor),
        (len(LONG) - 30, frames_of(LONG)[-1].offset),
    ):
        with pytest.raises(TruncatedError) as caught:
            _play(cut(LONG, size))
        assert caught.value.whole_until == end, size


def _play(data: bytes) -> None:
    decoder = Decoder()
    decoder.receive_data(data)
    while decoder.next_event() is not None:
        if decoder.next_offset == len(data):
            decoder.receive_eof()
