"""What holds for any damage at all: every byte is told once, no whole message is lost, work is linear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import (
    Cut,
    cut,
    deliver,
    drop,
    events_of,
    flip_bit,
    frame_header,
    message,
    messages_of,
    preamble,
    spans_of,
)
from tests.wire.strategies import SITUATIONS, chunkings, damaged_streams, hypothesis_settings
from tgmtool.errors import LimitExceeded, TruncatedError
from tgmtool.wire import resync
from tgmtool.wire.buffer import Bytes
from tgmtool.wire.decoder import Decoder
from tgmtool.wire.events import MessageEnded

WHOLE = message([b"a whole message"])
HASHED = [data for name, data in SITUATIONS.items() if "unhashed" not in name]


# ---- any damage


@given(damaged_streams(), chunkings())
@hypothesis_settings(400)
def test_messages_gaps_and_tail_are_the_whole_input(data: bytes, chunks: list[int] | None) -> None:
    at = 0
    for offset, size in spans_of(events_of(data, chunks)):
        assert offset == at
        assert size > 0
        at += size
    assert at == len(data)


@given(damaged_streams())
@hypothesis_settings(200)
def test_only_the_last_span_is_a_cut(data: bytes) -> None:
    events = events_of(data)
    assert [event for event in events[:-1] if isinstance(event, Cut)] == []


@given(damaged_streams(), st.sampled_from(HASHED), damaged_streams(), chunkings())
@hypothesis_settings(300)
def test_a_whole_message_between_any_damage_is_found_unless_an_unfinished_one_reaches_over_it(
    before: bytes, whole: bytes, after: bytes, chunks: list[int] | None
) -> None:
    events = events_of(before + whole + after, chunks)
    place = (len(before), len(whole))
    last = events[-1]
    covered = isinstance(last, Cut) and last.offset <= place[0]
    assert place in messages_of(events) or covered


@pytest.mark.parametrize("name", list(SITUATIONS))
def test_after_any_single_flipped_bit_the_messages_around_are_found(name: str) -> None:
    data = SITUATIONS[name]
    around = WHOLE * 4
    for at in range(len(data)):
        damaged = flip_bit(data, at, at % 8)
        events = events_of(WHOLE + damaged + around)
        found = [offset for offset, _ in messages_of(events)]
        if not isinstance(events[-1], Cut):
            start = len(WHOLE + damaged)
            assert found[-4:] == [start + number * len(WHOLE) for number in range(4)], f"byte {at}"
        assert found[0] == 0


# ---- the cost


class Counting(Decoder):
    """A decoder that counts what was delivered to it."""

    delivered = 0

    def receive_data(self, data: Bytes) -> None:
        self.delivered += len(data)
        super().receive_data(data)


FAKES = {
    "magics": b"TENSOGRM",
    "magics and versions": preamble(0)[:10],
    "preambles": preamble(0),
    "preambles and frame magics": preamble(0) + b"FR" + bytes(14),
    "metadata frames that claim all that follows": preamble(0) + frame_header(1, 50 << 20),
    "metadata frames that claim some of what follows": preamble(0) + frame_header(1, 50 << 10),
    "tensor frames that claim all that follows": preamble(0) + frame_header(9, 50 << 20),
    "tensor frames that claim some of what follows": preamble(0) + frame_header(9, 50 << 10),
    "messages without an end": drop(WHOLE, len(WHOLE) - 24, 24),
    "messages with a changed body": flip_bit(WHOLE, 40),
}
fakes = pytest.mark.parametrize("fake", list(FAKES.values()), ids=list(FAKES))


def played(data: bytes, chunk: int) -> tuple[list[tuple[int, int]], int, bool]:
    """Return the messages that were found, the bytes that were delivered, and whether a limit stopped it."""
    decoder = Counting()
    found: list[tuple[int, int]] = []
    events = deliver(decoder, data, [chunk])
    stopped = False
    try:
        found.extend((event.offset, event.length) for event in events if isinstance(event, MessageEnded))
    except TruncatedError:
        pass
    except LimitExceeded:
        stopped = True
    return found, decoder.delivered, stopped


@fakes
def test_many_fake_messages_cost_work_in_proportion_to_the_input(fake: bytes) -> None:
    data = b"x" + fake * (160_000 // len(fake)) + WHOLE
    _, delivered, _ = played(data, 65_536)
    # Candidates may be read 8 times over, each in pieces of which only the beginning may be needed.
    assert delivered < 16 * (len(data) + (1 << 20))


@fakes
def test_behind_many_fake_messages_a_whole_one_is_found_or_a_limit_is_named(fake: bytes) -> None:
    data = b"x" + fake * (160_000 // len(fake)) + WHOLE
    found, _, stopped = played(data, 65_536)
    assert (len(data) - len(WHOLE), len(WHOLE)) in found or stopped


def test_the_search_names_the_limit_that_stopped_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resync, "CANDIDATES_AT_LEAST", 10)
    monkeypatch.setattr(resync, "BYTES_PER_CANDIDATE", 1_000_000)
    with pytest.raises(LimitExceeded) as caught:
        events_of(b"x" + FAKES["preambles and frame magics"] * 20 + WHOLE)
    assert caught.value.limit == "resync_candidates"
    assert caught.value.offset is not None


def test_a_search_may_try_more_candidates_in_a_larger_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resync, "CANDIDATES_AT_LEAST", 10)
    data = b"x" + (preamble(0) + frame_header(4, 99)) * 1000
    assert messages_of(events_of(data + WHOLE)) == [(len(data), len(WHOLE))]


@pytest.mark.parametrize("size", [1 << 14, 1 << 16, 1 << 18])
def test_garbage_is_delivered_once(size: int) -> None:
    data = b"\xffgarbage" * (size // 8) + WHOLE
    _, delivered, _ = played(data, 4096)
    assert delivered <= len(data) + len(WHOLE) + 2 * 4096


def test_a_damaged_head_is_read_again_only_from_what_was_proven() -> None:
    head = message([b"proven" * 50_000, b"second"])
    data = cut(head, len(head) - 24) + WHOLE
    _, delivered, _ = played(data, 4096)
    assert delivered <= len(data) + len(WHOLE) + 2 * 4096
