"""What is swept over is what the decoder and every check would have passed without a word."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tensogram
from hypothesis import given
from hypothesis import strategies as st

import tgmtool
from tests.conformance.oracle import budget
from tgmtool import MemorySink, MemorySource, StreamWriter, Style
from tgmtool.endpoints.base import Bytes, Source
from tgmtool.operations.findings import Report
from tgmtool.operations.requirements import Policy
from tgmtool.operations.sweep import IN_PIECES, LARGEST, Memory, sweep
from tgmtool.operations.validate import validate


@pytest.fixture(autouse=True)
def _every_message_is_taken_note_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tgmtool.operations.sweep._SAMPLED", 1)


class Plain(Source):
    """Bytes that are not at hand as a whole: nothing is swept over."""

    seekable = True

    def __init__(self, data: bytes) -> None:
        self.name = "it"
        self._data = data

    def read_at(self, offset: int, size: int) -> Bytes:
        return self._data[offset : offset + size]

    def size(self) -> int:
        return len(self._data)

    def keep_from(self, offset: int) -> int:
        return 0

    def close(self) -> None:
        pass


def reports(data: bytes, level: str = "checksum") -> list[Report]:
    """Of the slow way, of the sweep, and of the sweep by several."""
    return [
        validate(Plain(data), level=level),
        validate(MemorySource(data, "it"), level=level),
        validate(MemorySource(data, "it"), level=level, jobs=2),
    ]


def ours(objects: int = 1, size: int = 5, **style: Any) -> bytes:
    sink = MemorySink()
    with StreamWriter(sink, style=Style(**style)) as writer:
        for number in range(objects):
            writer.write(np.arange(size, dtype=np.uint8), {"step": number})
    return bytes(sink.data)


def theirs(*, footer: bool) -> bytes:
    descriptor = {"type": "ntensor", "shape": [5], "dtype": "uint8"}
    values = np.arange(5, dtype=np.uint8)
    if not footer:
        return bytes(tensogram.encode({"base": [{"step": 1}]}, [(descriptor, values)]))
    encoder = tensogram.StreamingEncoder({})
    encoder.write_object(descriptor, values)
    return bytes(encoder.finish_backfilled())


USUAL = {
    "buffered": ours(layout="buffered"),
    "streaming": ours(2, preceder=False),
    "streaming with preceders": ours(2, preceder=True),
    "many objects": ours(100, size=3, layout="buffered"),
    "no object": ours(0, layout="buffered"),
    "the reference's": theirs(footer=False),
    "the reference's, streaming": theirs(footer=True),
}
UNUSUAL = {
    "without digests": ours(layout="buffered", hashing=False),
    "without lengths": ours(backfill=False),
    "nothing": b"",
    "foreign": b"this is no message at all, but long enough to look like one",
    "zeros": bytes(100),
}
MESSAGES = [*USUAL.values(), *UNUSUAL.values()]


@pytest.mark.parametrize("name", USUAL)
def test_a_message_that_is_usual_is_swept_over_however_many_there_are(name: str) -> None:
    message = USUAL[name]
    objects = len(tgmtool.decode(message).objects)
    for count in (1, 2, 3, 10):
        view = memoryview(message * count)
        for digests in (True, False):
            assert sweep(view, 0, len(view), digests=digests) == (len(view), count, count * objects)


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_not_usual_stops_the_sweep(name: str) -> None:
    usual = USUAL["buffered"]
    view = memoryview(usual * 3 + UNUSUAL[name] + usual)
    expected = (len(usual) * 3, 3, 3) if UNUSUAL[name] else (len(usual) * 4, 4, 4)
    assert sweep(view, 0, len(view), digests=True) == expected


def test_a_sweep_stops_at_the_end_of_a_message_when_it_has_passed_enough() -> None:
    message = USUAL["buffered"]
    view = memoryview(message * 5)
    assert sweep(view, 0, len(view), digests=True, most=len(message) + 1).messages == 2
    assert sweep(view, len(message), 3 * len(message), digests=True).stop == 3 * len(message)
    assert sweep(view, 0, len(message) - 1, digests=True) == (0, 0, 0)


def test_a_message_that_is_too_large_stops_the_sweep() -> None:
    message = USUAL["buffered"]
    view = memoryview(message * 3 + ours(2, layout="buffered"))
    for largest, expected in ((len(message) - 1, 0), (len(message), 3), (2 * len(message), 4)):
        assert sweep(view, 0, len(view), digests=True, largest=largest).messages == expected


@pytest.mark.parametrize("size", [IN_PIECES - 1000, IN_PIECES, LARGEST])
def test_messages_on_both_sides_of_a_limit_give_the_same_report(size: int) -> None:
    data = bytearray(ours(size=size, layout="buffered") + USUAL["buffered"])
    assert reports(bytes(data))[1:] == reports(bytes(data))[:1] * 2
    data[size // 2] ^= 1
    slow, *swept = reports(bytes(data))
    assert (slow.verdict, swept) == ("invalid", [slow, slow])


@pytest.mark.parametrize(("level", "copies"), [("quick", 1), ("checksum", 3)])
@pytest.mark.parametrize("name", [name for name in USUAL if name != "many objects"])
def test_a_change_of_any_byte_gives_the_same_report_as_without_sweeping(
    name: str, copies: int, level: str
) -> None:
    """With several copies the damage is in one that follows a model."""
    message = USUAL[name]
    before = message * (copies - 1)
    for at in range(len(message)):
        damaged = bytearray(before + message)
        damaged[len(before) + at] ^= 1 << (5 * at % 8)
        slow, *swept = reports(bytes(damaged), level)[:2]
        assert swept == [slow], at


@pytest.mark.parametrize("at", [200, -200, -60, -30])
def test_messages_that_differ_by_their_padding_only_have_models_of_their_own(at: int) -> None:
    kinds = [ours(size=size, layout="buffered") for size in (4, 3, 2)]
    assert len({message[: 24 + 16] for message in kinds}) == 1  # so long is the beginning of each
    data = bytearray(b"".join(kinds * 4))
    assert reports(bytes(data)) == reports(bytes(data))[:1] * 3
    assert tgmtool.validate(bytes(data), level="checksum").verdict == "valid"
    for number in range(len(kinds)):
        damaged = data.copy()
        start = sum(map(len, kinds * 3)) + sum(map(len, kinds[:number]))
        damaged[start + at % len(kinds[number])] ^= 1
        slow, *swept = reports(bytes(damaged))
        assert (slow.verdict, swept) == ("invalid", [slow, slow])


@pytest.mark.parametrize(("models", "frames", "turns"), [(1, 99, 99), (99, 5, 99), (1, 99, 2), (0, 0, 1)])
def test_what_cannot_be_remembered_is_passed_over_all_the_same(
    monkeypatch: pytest.MonkeyPatch, models: int, frames: int, turns: int
) -> None:
    for name, value in (("_MODELS", models), ("_MOST_FRAMES", frames), ("_TURNS", turns)):
        monkeypatch.setattr(f"tgmtool.operations.sweep.{name}", value)
    kinds = [ours(size=size, layout="buffered") for size in (3, 20, 40)]
    view = memoryview(b"".join(kinds * 5))
    memory, at = Memory(), 0
    while at < len(view):
        at = sweep(view, at, len(view), digests=True, most=300, memory=memory).stop
        assert len(memory.models) <= 2 * models + 1
    assert at == len(view)
    assert memory.is_open == (turns == 99)


cuts = st.lists(st.integers(0, 400), max_size=2)
changes = st.lists(st.tuples(st.integers(0, 2000), st.sampled_from([0, 1, 2, 7, 8, 9, 24, 255])), max_size=3)


@budget(150)
@given(st.lists(st.sampled_from(MESSAGES), max_size=8), changes, cuts, st.sampled_from(["quick", "checksum"]))
def test_any_file_gives_the_same_report_as_without_sweeping(
    messages: list[bytes], changed: list[tuple[int, int]], cut: list[int], level: str
) -> None:
    data = bytearray(b"".join(messages))
    for at, value in changed:
        if data:
            data[at % len(data)] = value
    for start, stop in pairwise(sorted(cut)):
        del data[start:stop]
    slow, *swept = reports(bytes(data), level)
    assert swept == [slow, slow]


@budget(100)
@given(st.sampled_from(list(USUAL.values())), st.data())
def test_frames_in_any_order_give_the_same_report_as_without_sweeping(
    message: bytes, data: st.DataObject
) -> None:
    """Frames are exchanged, repeated and left out, the lengths of the message set right again."""
    spans = [span for span in tgmtool.scan(message, unit="frame") if isinstance(span, tgmtool.FrameSpan)][:8]
    frames = [message[span.offset : span.offset + span.length + -span.length % 8] for span in spans]
    chosen = data.draw(st.lists(st.sampled_from(frames), max_size=6) | st.permutations(frames))
    flags = data.draw(st.sampled_from([int.from_bytes(message[10:12], "big"), 0x85, 0x95, 0xE3, 0x105]))
    length = 24 + sum(map(len, chosen)) + 24
    footer = data.draw(st.sampled_from([24 + sum(map(len, chosen[:n])) for n in range(len(chosen) + 1)]))
    made = (
        message[:10]
        + flags.to_bytes(2, "big")
        + bytes(4)
        + length.to_bytes(8, "big")
        + b"".join(chosen)
        + footer.to_bytes(8, "big")
        + length.to_bytes(8, "big")
        + b"39277777"
    )
    slow, *swept = reports(made * data.draw(st.sampled_from([1, 3])))
    assert swept == [slow, slow]


def test_a_policy_that_looks_at_messages_sees_all_of_them() -> None:
    seen: list[int] = []

    def look(one: Any, _read: Any) -> Any:
        seen.append(one.offset)
        return ()

    message = USUAL["buffered"]
    validate(MemorySource(message * 3), level="checksum", policy=Policy(messages=(look,)))
    assert seen == [0, len(message), 2 * len(message)]
