"""Endpoints in memory: shipped, so that others can test with them too."""

from __future__ import annotations

import numpy as np
import pytest

import tgmtool
from tests.endpoints.descriptors import write_and_fail
from tgmtool import MemorySink, MemorySource, ObjectSpan, Provenance, ScriptedSource, Style
from tgmtool.endpoints.base import Sink, Source
from tgmtool.endpoints.memory import BytesSink


def test_they_are_sources_and_sinks() -> None:
    assert isinstance(MemorySource(b""), Source)
    assert isinstance(ScriptedSource([]), Source)
    assert isinstance(MemorySink(), Sink)
    assert not isinstance(MemorySource(b""), Sink)
    assert not isinstance(b"", Source)


# ---- bytes at hand


def test_bytes_at_hand_are_not_copied() -> None:
    data = bytearray(b"0123456789")
    source = MemorySource(data)
    assert source.seekable
    assert source.size() == 10
    view = source.read_at(4, 1)
    assert bytes(view) == b"456789"
    data[4] = ord("x")
    assert bytes(view) == b"x56789"
    assert isinstance(view, memoryview)
    assert view.readonly


@pytest.mark.parametrize("offset", [10, 11, 1 << 62])
def test_there_is_nothing_beyond_the_end(offset: int) -> None:
    assert bytes(MemorySource(b"0123456789").read_at(offset, 5)) == b""


def test_any_buffer_will_do() -> None:
    values = np.arange(4, dtype="<u2")
    for data in (values.tobytes(), values.data, bytearray(values.tobytes())):
        source = MemorySource(data)
        assert source.size() == 8
        assert bytes(source.read_at(2, 9)) == values.tobytes()[2:]


def test_bytes_at_hand_stay_whatever_is_said() -> None:
    source = MemorySource(b"0123", name="four")
    assert source.keep_from(3) == 0
    assert bytes(source.read_at(0, 4)) == b"0123"
    source.close()
    source.close()
    assert source.name == "four"


# ---- a script of what arrives


def test_each_chunk_arrives_when_nothing_more_is_there() -> None:
    source = ScriptedSource([b"ab", b"", b"cde"])
    seen = []
    while not source.ended:
        at = source.size()
        seen.append((bytes(source.read_at(at, 9)), source.size()))
    assert seen == [(b"", 2), (b"", 2), (b"", 5), (b"", 5)]
    assert bytes(source.read_at(0, 9)) == b"abcde"
    assert bytes(source.read_at(1, 2)) == b"bc"
    assert source.keep_from(4) == 0


def test_a_script_can_be_told_to_go_on() -> None:
    source = ScriptedSource(iter([b"a", b"b"]))
    assert [source.grow() for _ in range(4)] == [True, True, False, False]
    assert (source.size(), source.ended) == (2, True)


def test_a_script_may_be_longer_than_what_was_read_of_it() -> None:
    def endless() -> object:
        while True:
            yield b"x"

    source = ScriptedSource(endless())  # type: ignore[arg-type]  # a generator of bytes
    for _ in range(3):
        source.grow()
    assert bytes(source.read_at(0, 9)) == b"xxx"


# ---- what was written


def test_what_was_written_is_there_with_where_each_write_ended() -> None:
    sink = MemorySink()
    sink.write([b"ab", memoryview(b"c"), bytearray(b"d")])
    sink.write([])
    sink.write([b"e"])
    assert (bytes(sink.data), sink.writes, sink.position) == (b"abcde", [4, 4, 5], 5)
    sink.patch_at(1, b"XY")
    assert (bytes(sink.data), sink.position) == (b"aXYde", 5)
    sink.truncate(3)
    assert (bytes(sink.data), sink.position) == (b"aXY", 3)
    sink.sync()
    sink.close()
    assert bytes(sink.data) == b"aXY"


def test_after_an_error_what_was_written_stays_for_inspection() -> None:
    sink = MemorySink()
    with pytest.raises(KeyError):
        write_and_fail(sink, b"ab")
    assert bytes(sink.data) == b"ab"


@pytest.mark.parametrize("patchable", [True, False])
def test_whether_lengths_are_filled_in_depends_on_the_sink(patchable: bool) -> None:
    sink = MemorySink(patchable=patchable)
    tgmtool.write(sink, [np.ones(3)], layout="streaming")
    assert tgmtool.decode(sink.data).span.streaming is not patchable


def test_each_object_of_a_stream_leaves_in_one_write() -> None:
    sink = MemorySink()
    writer = tgmtool.StreamWriter(sink, style=Style(preceder=True))
    for number in range(3):
        writer.write(np.ones(3), {"n": number})
        assert len(sink.writes) == number + 1
    writer.finish()
    ends = [span.offset + span.length for span in tgmtool.scan(sink.data) if isinstance(span, ObjectSpan)]
    assert [0 <= written - end < 8 for written, end in zip(sink.writes, ends, strict=False)] == [True] * 3


# ---- bytes


def test_what_is_written_once_is_copied_once() -> None:
    sink = BytesSink()
    sink.write([b"ab", bytearray(b"cd"), memoryview(b"ef")])
    assert sink.taken() == b"abcdef"
    assert sink.taken() is sink.taken()
    sink.write([b"gh"])
    assert (sink.taken(), sink.position) == (b"abcdefgh", 8)


@pytest.mark.parametrize("layout", ["buffered", "streaming"])
def test_bytes_are_patched_and_cut_as_in_a_memory_sink(layout: str) -> None:
    one, other = BytesSink(), MemorySink()
    style = Style(layout=layout, provenance=Provenance(uuid="0" * 32, time="2026-01-01T00:00:00Z"))
    for sink in (one, other):
        tgmtool.write(sink, [np.arange(5), np.arange(3.0)], layout=layout, style=style)
        sink.write([b"rest"])
        sink.truncate(sink.position - 3)
        sink.patch_at(sink.position - 1, b"R")
        sink.write([b"end"])
    assert one.taken() == other.data
    assert one.position == len(other.data)
