"""Cut short is not damaged: every prefix of valid bytes, and zeros that were never written."""

from __future__ import annotations

import pytest

from tests.builders import (
    Cut,
    Placed,
    Refused,
    Seen,
    cut,
    events_of,
    first_frame,
    frame,
    frame_header,
    frames_of,
    message,
    message_of,
    messages_of,
    postamble,
    preamble,
    put,
    tensor,
)
from tests.wire.strategies import SITUATIONS
from tgmtool.errors import FramingError, TruncatedError
from tgmtool.wire.decoder import Decoder
from tgmtool.wire.events import MessageBegan

situations = pytest.mark.parametrize("name", list(SITUATIONS))
METADATA = frame(1)
WHOLE = message([b"a whole message before"])


def last_of(data: bytes, chunks: list[int] | None = None) -> Seen:
    return events_of(data, chunks, resync=False)[-1]


def cut_of(data: bytes) -> Cut:
    last = last_of(data)
    assert isinstance(last, Cut), last
    return last


# ---- every length


@situations
@pytest.mark.parametrize("chunks", [None, [1], [24, 5]], ids=["whole", "bytes", "pieces"])
def test_a_message_cut_at_any_length_is_incomplete_and_never_damaged(
    name: str, chunks: list[int] | None
) -> None:
    data = SITUATIONS[name]
    for size in range(1, len(data)):
        last = last_of(cut(data, size), chunks)
        assert isinstance(last, Cut), f"{size} bytes: {last}"
        assert (last.offset, last.available) == (0, size)


@situations
def test_messages_before_the_cut_are_whole(name: str) -> None:
    data = SITUATIONS[name]
    for size in range(1, len(data), 5):
        events = events_of(WHOLE + cut(data, size))
        assert messages_of(events) == [(0, len(WHOLE))]
        assert isinstance(events[-1], Cut)
        assert (events[-1].offset, events[-1].available) == (len(WHOLE), size)


@situations
def test_what_was_told_before_the_cut_is_what_the_whole_message_tells(name: str) -> None:
    data = SITUATIONS[name]
    for size in range(24, len(data), 3):
        told = events_of(cut(data, size))[:-1]
        assert told[:-1] == events_of(data)[: len(told) - 1]


def test_a_cut_goes_on_being_raised() -> None:
    decoder = Decoder()
    decoder.receive_data(b"TENSO")
    decoder.receive_eof()
    for _ in range(3):
        with pytest.raises(TruncatedError):
            decoder.next_event()


# ---- how much is missing


@pytest.mark.parametrize("size", [24, 40, 100, 300, 375])
def test_a_sized_message_needs_its_length(size: int) -> None:
    assert cut_of(cut(message(), size)).expected == len(message())


@pytest.mark.parametrize("number", [1, 9, 7, 5, 6])
def test_a_streaming_message_needs_at_least_the_frame_under_way_and_a_postamble(number: int) -> None:
    data = message(streaming=True)
    place = first_frame(data, number)
    needed = {cut_of(cut(data, place.offset + size)).expected for size in range(16, place.length)}
    assert needed == {place.offset + place.length + 24}


@pytest.mark.parametrize("before", [message(), message(streaming=True)], ids=["sized", "streaming"])
@pytest.mark.parametrize("size", [1, 10, 23])
def test_a_cut_preamble_does_not_say_how_much_it_needs(before: bytes, size: int) -> None:
    assert cut_of(before + cut(message(), size)).expected is None


@pytest.mark.parametrize(
    ("size", "where"),
    [
        (10, "inside its preamble"),
        (30, "after its preamble"),
        (50, "inside its header_metadata frame at 24"),
        (62, "after a whole frame"),
        (100, "inside its ntensor frame at 64"),
        (210, "inside its ntensor frame at 64"),
        (219, "after a whole frame"),
    ],
)
def test_a_cut_says_where_it_is(size: int, where: str) -> None:
    data = message(streaming=True)
    assert frames_of(data)[:2] == [Placed(24, 1, 36), Placed(64, 9, 154)]
    with pytest.raises(TruncatedError, match=where):
        drive_to_the_end(cut(data, size))


def drive_to_the_end(data: bytes) -> None:
    decoder = Decoder()
    decoder.receive_data(data)
    decoder.receive_eof()
    while isinstance(decoder.next_event(), tuple):
        pass


# ---- zeros that were never written


@pytest.mark.parametrize("zeros", [1, 7, 8, 14, 16, 22, 24, 30, 31, 32, 100, 5000])
@pytest.mark.parametrize("chunks", [None, [1]], ids=["whole", "bytes"])
@pytest.mark.parametrize("streaming", [False, True])
def test_zeros_up_to_the_end_are_incomplete_wherever_they_begin(
    zeros: int, chunks: list[int] | None, streaming: bool
) -> None:
    data = message(streaming=streaming)
    for size in range(0, len(data), 1 if zeros == 32 else 13):
        last = last_of(cut(data, size) + bytes(zeros), chunks)
        assert isinstance(last, Cut), f"{size} bytes and {zeros} zeros: {last}"


@pytest.mark.parametrize("zeros", range(1, 41))
@pytest.mark.parametrize("number", [1, 9])
def test_zeros_beyond_the_padding_of_a_frame_are_told_as_space_that_was_not_written(
    zeros: int, number: int
) -> None:
    data = message(streaming=True)
    place = first_frame(data, number)
    end = place.offset + place.length
    assert cut_of(cut(data, end) + bytes(zeros)).zero_tail == (zeros > -end % 8)


@pytest.mark.parametrize("zeros", [1, 23, 24, 25, 4096])
@pytest.mark.parametrize("before", [b"", WHOLE], ids=["alone", "after a message"])
def test_zeros_where_a_message_is_expected_are_space_that_was_not_written(zeros: int, before: bytes) -> None:
    assert cut_of(before + bytes(zeros)) == Cut(len(before), zeros, None, zero_tail=True)


@pytest.mark.parametrize("name", ["buffered", "streaming"])
@pytest.mark.parametrize("zeros", [32, 100, 5000])
def test_zeros_between_frames_are_damage_when_something_follows_them(name: str, zeros: int) -> None:
    data = SITUATIONS[name]
    for place in frames_of(data)[1:]:
        last = last_of(cut(data, place.offset) + bytes(zeros) + data[place.offset :])
        assert isinstance(last, Refused), last
        assert last.offset is not None
        assert place.offset <= last.offset < place.offset + 32


@pytest.mark.parametrize("zeros", [1, 24, 100, 5000])
def test_zeros_between_messages_are_damage(zeros: int) -> None:
    events = events_of(WHOLE + bytes(zeros) + WHOLE)
    assert messages_of(events) == [(0, len(WHOLE)), (len(WHOLE) + zeros, len(WHOLE))]
    assert last_of(WHOLE + bytes(zeros) + WHOLE) == Refused(len(WHOLE), "foreign_bytes", "9.1")


def test_zeros_in_place_of_endf_are_damage_when_the_message_goes_on() -> None:
    data = message()
    place = first_frame(data, 9)
    last = last_of(put(data, place.offset + place.length - 12, bytes(12)))
    assert last == Refused(place.offset + place.length - 4, "missing_end_marker", "2.2")


def test_a_payload_of_zeros_is_a_payload() -> None:
    data = message([bytes(5000)])
    assert messages_of(events_of(data)) == [(0, len(data))]


@pytest.mark.parametrize("written", [1, 8, 9, 15, 16, 17, 20, 23])
def test_a_preamble_that_was_partly_written_is_incomplete(written: int) -> None:
    last = cut_of(WHOLE + cut(message(), written) + bytes(4096))
    assert (last.offset, last.zero_tail) == (len(WHOLE), True)


# ---- few bytes, and already wrong

MISFITS = [
    ("no magic", b"TENSOX", "foreign_bytes"),
    ("version 4", preamble(0, version=4)[:10], "unsupported_version"),
    ("version 4 and more", preamble(0, version=4)[:23], "unsupported_version"),
    ("length of 2^63", preamble(0, 1 << 63)[:17], "total_length_overflow"),
    ("no frame", preamble(0) + b"FX", "invalid_frame_header"),
    ("type 4", preamble(0) + frame_header(4, 99)[:4], "invalid_frame_header"),
    ("frame length of 2^63", preamble(0) + frame_header(1, 1 << 63)[:9], "frame_length_overflow"),
    (
        "neither frame nor postamble",
        message_of([METADATA], streaming=True)[:56] + b"XY",
        "invalid_frame_header",
    ),
    (
        "footers beyond the postamble",
        message_of([METADATA], streaming=True)[:56] + postamble(99)[:8],
        "invalid_frame_header",
    ),
    (
        "footers at no boundary",
        message_of([METADATA], streaming=True)[:56] + postamble(25)[:23],
        "invalid_frame_header",
    ),
    ("a frame where the postamble is due", message_of([METADATA])[:56] + tensor()[:4], "postamble_invalid"),
    (
        "a postamble that comes too early",
        message_of([METADATA], total_length=999)[:56] + postamble(56)[:20],
        "",
    ),
]


@pytest.mark.parametrize(("data", "code"), [row[1:] for row in MISFITS], ids=[row[0] for row in MISFITS])
def test_what_no_continuation_can_mend_is_damage_however_few_bytes_there_are(data: bytes, code: str) -> None:
    last = last_of(data)
    assert isinstance(last, Refused), last
    assert code in {last.code, ""}


@pytest.mark.parametrize("row", MISFITS, ids=[row[0] for row in MISFITS])
def test_damage_is_final(row: tuple[str, bytes, str]) -> None:
    for more in (b"FR" * 12, METADATA, bytes(100) + b"\x01", message()):
        assert isinstance(last_of(row[1].ljust(24, b"\1") + more), Refused)


def test_nothing_after_a_message_that_is_not_finished_is_searched() -> None:
    events = events_of(message([b"x" * 9000])[:300] + WHOLE)
    assert [type(event) for event in events if isinstance(event, MessageBegan)] == [MessageBegan]
    assert events[-1] == Cut(0, 300 + len(WHOLE), len(message([b"x" * 9000])), zero_tail=False)


def test_a_cut_is_a_framing_error_and_an_end_of_file() -> None:
    with pytest.raises(EOFError):
        drive_to_the_end(b"TENSOGRM")
    with pytest.raises(FramingError):
        drive_to_the_end(b"TENSOGRM")
