"""Driver and decoder: pieces of any size, jumps, and bytes that cannot be had again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given

from tests.builders import (
    Cut,
    Data,
    Lost,
    Seen,
    deliver,
    events_of,
    first_frame,
    flip_bit,
    frames_of,
    message,
    messages_of,
    spans_of,
)
from tests.wire.strategies import (
    SITUATIONS,
    chunkings,
    damaged_streams,
    hypothesis_settings,
    streams,
)
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
    MessageEnded,
)

LARGE = message([bytes(range(256)) * 400])
STREAM = b"".join(SITUATIONS.values())


# ---- any chunking gives the same events


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 16, 23, 24, 25, 31, 32, 100])
def test_pieces_of_one_size_give_the_events_of_the_whole(size: int) -> None:
    assert events_of(STREAM, [size]) == events_of(STREAM)


@given(streams(), chunkings())
@hypothesis_settings(100)
def test_pieces_of_any_size_give_the_events_of_the_whole(data: bytes, chunks: list[int] | None) -> None:
    assert events_of(data, chunks) == events_of(data)


@given(damaged_streams(), chunkings())
@hypothesis_settings(400)
def test_pieces_of_any_size_give_the_same_damage(data: bytes, chunks: list[int] | None) -> None:
    assert events_of(data, chunks) == events_of(data)


@pytest.mark.parametrize("name", list(SITUATIONS))
def test_two_pieces_cut_anywhere_give_the_events_of_the_whole(name: str) -> None:
    data = SITUATIONS[name]
    expected = events_of(data)
    assert [at for at in range(1, len(data)) if events_of(data, [at]) != expected] == []


@pytest.mark.parametrize("data", [STREAM, LARGE], ids=["small frames", "large payload"])
def test_what_is_wanted_is_enough_to_go_on_and_never_too_much(data: bytes) -> None:
    decoder = Decoder()
    told: list[Event] = []
    while (event := decoder.next_event()) is not END:
        if event is NEED_DATA:
            assert decoder.wanted >= 1
            assert decoder.next_offset + decoder.wanted <= len(data) or decoder.next_offset == len(data)
            piece = data[decoder.next_offset :][: decoder.wanted]
            if piece:
                decoder.receive_data(piece)
            else:
                decoder.receive_eof()
        else:
            assert isinstance(event, tuple)
            told.append(event)
    assert [event for event in told if isinstance(event, MessageEnded)] == [
        event for event in events_of(data) if isinstance(event, MessageEnded)
    ]


def test_more_may_arrive_after_an_end_was_announced() -> None:
    data = message()
    decoder = Decoder()
    decoder.receive_data(data[:100])
    while decoder.next_event() is not NEED_DATA:
        pass
    decoder.receive_eof()
    decoder.receive_data(data[100:])
    events = []
    while isinstance(event := decoder.next_event(), tuple):
        events.append(event)
    assert isinstance(events[-1], MessageEnded)


# ---- skipping payloads


def skipping(
    decoder: Decoder, data: bytes, chunks: list[int] | None = None, keep: int = 0
) -> Iterator[Event]:
    for event in deliver(decoder, data, chunks):
        if isinstance(event, FrameBegan) and event.header.row.is_object:
            decoder.skip_frame(keep)
        yield event


def spans_when_skipping(data: bytes, chunks: list[int] | None, keep: int = 0) -> list[tuple[int, int]]:
    spans = []
    try:
        for event in skipping(Decoder(), data, chunks, keep):
            if isinstance(event, MessageEnded):
                spans.append((event.offset, event.length))
            elif isinstance(event, Damaged):
                spans.append((event.offset, event.size))
    except TruncatedError as error:
        spans.append((error.message_offset, error.available))
    return spans


@pytest.mark.parametrize("chunks", [None, [1], [50]])
def test_a_skipped_payload_is_not_told_and_has_no_digest(chunks: list[int] | None) -> None:
    data = message([b"x" * 200])
    events = list(skipping(Decoder(), data, chunks))
    place = first_frame(data, 9)
    assert not [event for event in events if isinstance(event, FrameData) and event.offset > place.offset]
    ended = [event for event in events if isinstance(event, FrameEnded)]
    assert [event.actual_digest is None for event in ended] == [False, False, False, True]
    assert ended[-1].stored_digest is not None
    assert not ended[-1].digest_differs


@pytest.mark.parametrize("keep", [1, 8, 111])
def test_the_last_bytes_of_a_skipped_payload_can_be_kept(keep: int) -> None:
    data = message([b"x" * 200])
    place = first_frame(data, 9)
    body_end = place.offset + place.length - 20
    kept = [
        (event.offset, bytes(event.data))
        for event in skipping(Decoder(), data, keep=keep)
        if isinstance(event, FrameData) and event.offset > place.offset
    ]
    assert kept == [(body_end - keep, data[body_end - keep : body_end])]


def test_a_payload_that_is_kept_whole_is_verified() -> None:
    data = message([b"x" * 200])
    ended = [event for event in skipping(Decoder(), data, keep=10_000) if isinstance(event, FrameEnded)]
    assert ended[-1].actual_digest == ended[-1].stored_digest


@pytest.mark.parametrize("keep", [0, 64])
def test_skipping_jumps_over_bytes_that_were_not_delivered(keep: int) -> None:
    place = first_frame(LARGE, 9)
    decoder = Decoder()
    wanted = []
    decoder.receive_data(LARGE[: place.offset + 16])
    while (event := decoder.next_event()) is not NEED_DATA:
        if isinstance(event, FrameBegan) and event.header.row.is_object:
            decoder.skip_frame(keep)
            wanted.append(decoder.next_offset)
    assert wanted == [place.offset + place.length - 20 - keep]
    decoder.receive_data(LARGE[wanted[0] :])
    told = [decoder.next_event() for _ in range(3 if keep else 2)]
    assert isinstance(told[-1], MessageEnded)


def test_a_frame_that_reaches_beyond_the_end_is_cut_short_when_it_is_skipped() -> None:
    data = LARGE[:1000]
    with pytest.raises(TruncatedError) as caught:
        list(skipping(Decoder(), data))
    assert (caught.value.available, caught.value.expected) == (1000, len(LARGE))


@given(damaged_streams(), chunkings())
@hypothesis_settings(200)
def test_skipping_finds_the_messages_and_the_losses_that_reading_finds(
    data: bytes, chunks: list[int] | None
) -> None:
    assert spans_when_skipping(data, chunks) == spans_of(events_of(data))
    assert spans_when_skipping(data, chunks, keep=40) == spans_of(events_of(data))


@given(damaged_streams())
@hypothesis_settings(100)
def test_without_verifying_the_same_messages_are_found(data: bytes) -> None:
    assert spans_of(events_of(data, decoder=Decoder(verify=False))) == spans_of(events_of(data))


# ---- what may be asked for again


def test_while_all_is_sound_only_the_frame_under_way_is_kept() -> None:
    decoder = Decoder()
    second = frames_of(LARGE)[1]
    for event in deliver(decoder, LARGE, [64]):
        if isinstance(event, FrameEnded):
            assert decoder.keep_from == event.offset + event.header.total_length
        elif isinstance(event, FrameData) and event.offset > second.offset:
            assert decoder.keep_from >= second.offset - 8


@pytest.mark.parametrize("keep", [0, 8])
def test_what_was_promised_not_to_be_needed_is_not_needed_after_a_skip(keep: int) -> None:
    data = message([b"a" * 200, b"b" * 200])
    data = flip_bit(data, frames_of(data)[-1].offset) + message()
    list(skipping(Decoder(), data, [16], keep))


class Forgetful:
    """A source that keeps the last `size` bytes it gave, as a pipe with a small buffer does."""

    def __init__(self, data: bytes, size: int) -> None:
        self.data = data
        self.size = size
        self.given = 0

    @property
    def first(self) -> int:
        return max(self.given - self.size, 0)

    def read(self, offset: int, size: int) -> bytes:
        assert offset >= self.first
        self.given = max(self.given, min(offset + size, len(self.data)))
        return self.data[offset : offset + size]


def events_from_pipe(data: bytes, *, retained: int) -> list[Seen]:
    source, decoder = Forgetful(data, retained), Decoder()
    found: list[Seen] = []
    while True:
        try:
            event = decoder.next_event()
        except TruncatedError as error:
            return [*found, Cut(error.message_offset, error.available, error.expected, error.zero_tail)]
        except FramingError:
            decoder.resync()
            continue
        if event is END:
            return found
        if event is not NEED_DATA:
            if isinstance(event, Damaged):
                found.append(Lost(event.offset, event.size, event.reason.code))
            elif isinstance(event, MessageEnded):
                found.append(event)
        elif source.first > decoder.next_offset:
            decoder.receive_loss(source.first)
        elif piece := source.read(decoder.next_offset, 50):
            decoder.receive_data(piece)
        else:
            decoder.receive_eof()


TORN_AND_WHOLE = LARGE[:5000] + LARGE + message([b"last"])


@pytest.mark.parametrize(("retained", "found_again"), [(0, False), (50, False), (200, True), (4000, True)])
def test_bytes_that_cannot_be_had_again_cost_only_what_stood_in_them(
    retained: int, found_again: bool
) -> None:
    found = events_from_pipe(TORN_AND_WHOLE, retained=retained)
    assert spans_of(found)[0][0] == 0
    assert sum(size for _, size in spans_of(found)) == len(TORN_AND_WHOLE)
    assert [length for _, length in messages_of(found)] == [len(message([b"last"]))] * found_again


def test_after_a_loss_a_message_is_found_though_it_is_larger_than_what_is_retained() -> None:
    found = events_from_pipe(LARGE[:5000] + LARGE * 3, retained=200)
    assert messages_of(found) == [(5000 + at * len(LARGE), len(LARGE)) for at in (1, 2)]


def test_with_enough_retained_nothing_is_lost_but_the_torn_message() -> None:
    found = events_from_pipe(TORN_AND_WHOLE, retained=len(TORN_AND_WHOLE))
    assert spans_of(found) == spans_of(events_of(TORN_AND_WHOLE))
    assert messages_of(found) == [(5000, len(LARGE)), (5000 + len(LARGE), len(message([b"last"])))]


def test_a_loss_without_damage_is_told_as_one() -> None:
    data = message([b"first"]) + message([b"second"])
    decoder = Decoder()
    decoder.receive_data(data[:100])
    while decoder.next_event() is not NEED_DATA:
        pass
    decoder.receive_loss(200)
    assert decoder.next_event() is NEED_DATA
    assert decoder.next_offset == 200
    decoder.receive_data(data[200:])
    decoder.receive_eof()
    rest = []
    while isinstance(event := decoder.next_event(), tuple):
        rest.append(event)
    first = rest[0]
    assert isinstance(first, Damaged)
    assert (first.offset, first.size) == (0, len(message([b"first"])))
    assert isinstance(rest[-1], MessageEnded)


def test_pieces_of_a_payload_are_told_in_order_and_without_gaps() -> None:
    told = [event for event in events_of(LARGE, [333]) if isinstance(event, Data)]
    place = first_frame(LARGE, 9)
    assert told[-1] == Data(place.offset + 16, LARGE[place.offset + 16 : place.offset + place.length - 20])
