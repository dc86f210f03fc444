"""Streams go forward; going back costs memory, within a bound that is kept and told."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool
from tests.endpoints.descriptors import no_descriptor_left, returns
from tgmtool import Gap, MemorySink, MessageSpan, SourceError
from tgmtool.endpoints.base import Source
from tgmtool.endpoints.stdio import StreamSource

READ = 65_536  # a stream is read in pieces of at least this size, and a pipe holds no more


@contextmanager
def pipe_of(data: bytes = b"", *, closed: bool = True, **choices: Any) -> Iterator[tuple[StreamSource, int]]:
    """A stream that holds `data`, and where to write more; small enough for the pipe."""
    reader, writer = os.pipe()
    source = StreamSource(reader, "<pipe>", **choices)
    os.write(writer, data)
    if closed:
        os.close(writer)
    try:
        yield source, writer
    finally:
        source.close()
        if not closed:
            os.close(writer)


@contextmanager
def fed(data: bytes, **choices: Any) -> Iterator[StreamSource]:
    """A stream of any size, fed by a thread."""
    reader, writer = os.pipe()

    def feed() -> None:
        with open(writer, "wb", buffering=0) as file:
            view = memoryview(data)
            while view:
                try:
                    view = view[file.write(view) :]
                except BrokenPipeError:
                    return

    thread = threading.Thread(target=feed)
    thread.start()
    source = StreamSource(reader, "<pipe>", **choices)
    try:
        yield source
    finally:
        source.close()
        thread.join()


def read_all(source: Source, start: int = 0) -> bytes:
    found = bytearray()
    while piece := source.read_at(start + len(found), READ):
        found += piece
    return bytes(found)


# ---- forward


def test_a_stream_is_read_to_its_end_and_knows_its_size_then() -> None:
    with pipe_of(b"0123456789") as (source, _):
        assert isinstance(source, Source)
        assert not source.seekable
        assert source.size() is None
        assert read_all(source) == b"0123456789"
        assert source.size() == 10
        assert bytes(source.read_at(10, 5)) == b""


def test_a_large_stream_is_read_whole() -> None:
    data = np.random.default_rng(1).bytes(3_000_001)
    with fed(data) as source:
        assert read_all(source) == data
        assert source.size() == len(data)


def test_what_stands_before_the_wanted_offset_is_read_and_dropped() -> None:
    data = np.random.default_rng(2).bytes(1_000_000)
    with fed(data, retain=1) as source:
        assert read_all(source, 900_001) == data[900_001:]


# ---- back, as far as that was allowed


def test_going_back_works_within_what_is_kept() -> None:
    data = np.random.default_rng(3).bytes(300_000)
    with fed(data) as source:
        assert source.keep_from(1_000) == 0
        assert read_all(source) == data
        first = source.keep_from(1_000)
        assert first <= 1_000
        assert read_all(source, 1_000) == data[1_000:]
        assert read_all(source, 299_999) == data[299_999:]
        assert read_all(source, first) == data[first:]


def test_what_will_not_be_asked_for_again_is_let_go() -> None:
    data = bytes(10 * READ)
    with fed(data) as source:
        read_all(source)
        assert source.keep_from(9 * READ) > 7 * READ
        kept = sum(len(chunk) for _, chunk in source._kept)
        assert kept <= 3 * READ


def test_a_stream_that_is_only_read_forward_keeps_next_to_nothing() -> None:
    data = bytes(30 * READ)
    most = 0
    with fed(data) as source:
        at = 0
        while piece := source.read_at(at, READ):
            at += len(piece)
            source.keep_from(at)
            most = max(most, sum(len(chunk) for _, chunk in source._kept))
        assert at == len(data)
    assert most <= 2 * READ


@pytest.mark.parametrize("retain", [1, READ, 4 * READ])
def test_no_more_is_kept_than_the_bound_allows_and_the_loss_is_told(retain: int) -> None:
    data = np.random.default_rng(4).bytes(20 * READ)
    with fed(data, retain=retain) as source:
        assert source.keep_from(0) == 0
        read_all(source)
        first = source.keep_from(0)
        assert first >= len(data) - retain - READ
        assert sum(len(chunk) for _, chunk in source._kept) <= max(retain, READ)
        assert read_all(source, first) == data[first:]


def test_nothing_is_lost_while_the_bound_holds() -> None:
    data = np.random.default_rng(5).bytes(5 * READ)
    with fed(data, retain=len(data)) as source:
        source.keep_from(0)
        read_all(source)
        assert source.keep_from(0) == 0
        assert read_all(source) == data


def damaged_stream(count: int) -> tuple[list[MessageSpan], bytes]:
    """Messages of 800 kB, the second without its end marker."""
    sink = MemorySink()
    spans = [tgmtool.write(sink, [np.arange(100_000 + n)])[0] for n in range(count)]
    sink.data[spans[1].offset + spans[1].length - 3] ^= 0xFF
    return spans, bytes(sink.data)


def scanned(data: bytes, retain: int) -> tuple[list[int], list[tuple[int, int]]]:
    with fed(data, retain=retain) as source:
        found = list(tgmtool.scan(source, unit="message"))
    places = [(span.offset, span.length) for span in found]
    assert [at for at, _ in places] == [0, *(at + size for at, size in places[:-1])]  # nothing is left out
    assert sum(places[-1]) == len(data)
    whole = [span.offset for span in found if isinstance(span, MessageSpan)]
    return whole, [(span.offset, span.length) for span in found if isinstance(span, Gap)]


def test_a_scan_of_a_pipe_goes_on_after_damage_as_that_of_a_file_does() -> None:
    spans, data = damaged_stream(4)
    expected = [spans[n].offset for n in (0, 2, 3)], [(spans[1].offset, spans[1].length)]
    assert scanned(data, 1 << 20) == expected
    assert scanned(data, 1 << 30) == expected


def test_a_message_too_large_to_be_kept_is_lost_after_damage_but_not_all_that_follow() -> None:
    spans, data = damaged_stream(6)
    whole, _ = scanned(data, READ)
    assert whole[0] == 0
    assert {spans[n].offset for n in (3, 4, 5)} <= set(whole)


# ---- waiting


def test_a_stream_need_not_wait_for_bytes() -> None:
    with pipe_of(closed=False) as (source, writer):
        source.blocking = False
        assert not source.is_ready()
        assert bytes(source.read_at(0, 5)) == b""
        assert source.size() is None  # not the end: nothing yet
        os.write(writer, b"abc")
        assert source.is_ready()
        assert bytes(source.read_at(0, 5)) == b"abc"
        assert bytes(source.read_at(3, 5)) == b""


def test_a_stream_waits_until_bytes_arrive() -> None:
    with pipe_of(closed=False) as (source, writer):
        found = []
        thread = threading.Thread(target=lambda: found.append(bytes(source.read_at(0, 5))))
        thread.start()
        os.write(writer, b"abc")
        thread.join()
        assert found == [b"abc"]


def test_a_descriptor_that_does_not_block_is_waited_for() -> None:
    with pipe_of(closed=False) as (source, writer):
        os.set_blocking(source.descriptor, False)
        found = []
        thread = threading.Thread(target=lambda: found.append(bytes(source.read_at(0, 5))))
        thread.start()
        os.write(writer, b"abc")
        thread.join()
        assert found == [b"abc"]


def test_the_end_of_a_stream_is_ready_too() -> None:
    with pipe_of() as (source, _):
        assert returns(lambda: source.is_ready(10_000))
        assert bytes(source.read_at(0, 5)) == b""
        assert source.is_ready()
        assert source.size() == 0


def test_a_task_waits_for_bytes_or_its_time_and_leaves_no_reader_behind() -> None:
    async def wait() -> list[bool]:
        loop = asyncio.get_running_loop()
        with pipe_of(closed=False) as (source, writer):
            await source.wait_ready_async(0.001)
            left = [loop.remove_reader(source.descriptor)]
            waiting = asyncio.create_task(source.wait_ready_async(10_000))
            await asyncio.sleep(0)
            os.write(writer, b"abc")
            await waiting
            left.append(loop.remove_reader(source.descriptor))
            assert bytes(source.read_at(0, 5)) == b"abc"
            cancelled = asyncio.create_task(source.wait_ready_async(10_000))
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            left.append(loop.remove_reader(source.descriptor))
        return left

    assert asyncio.run(wait()) == [False] * 3


def test_a_stream_that_fails_is_an_error_of_ours(tmp_path: Path) -> None:
    source = StreamSource(os.open(tmp_path, os.O_RDONLY), "<folder>")
    with pytest.raises(SourceError, match="<folder>: is a directory") as caught:
        source.read_at(0, 1)
    assert caught.value.errno == errno.EISDIR
    source.close()
    with pytest.raises(SourceError):
        source.read_at(0, 1)


def test_closing_closes_the_descriptor_once() -> None:
    with no_descriptor_left():
        reader, writer = os.pipe()
        source = StreamSource(reader, "<pipe>")
        source.close()
        source.close()
        with pytest.raises(BrokenPipeError):
            os.write(writer, b"x")
        os.close(writer)
