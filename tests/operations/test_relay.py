"""Passing whole bytes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.operations.streams import append, buffered, streaming
from tgmtool import MemorySink, MemorySource, SourceError
from tgmtool.endpoints import open_source
from tgmtool.endpoints.stdio import StreamSink
from tgmtool.messages.spans import Piece
from tgmtool.operations.follow import Follower
from tgmtool.operations.relay import Relay

OPEN, CLOSED = streaming(range(3)), streaming(range(3), backfill=True)


def whole(data: bytes, *, is_streaming: bool = False) -> Piece:
    return Piece(0, len(data), True, True, is_streaming)


@pytest.mark.parametrize("data", [OPEN, CLOSED, buffered()])
def test_a_whole_message_comes_out_verbatim(data: bytes) -> None:
    sink = MemorySink()
    Relay(sink).pass_on(MemorySource(data), whole(data))
    assert bytes(sink.data) == data


def test_a_file_goes_to_a_pipe_verbatim_and_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(CLOSED)
    reader, writer = os.pipe()
    sink = StreamSink(writer, "<pipe>")
    Relay(sink).pass_on(open_source(str(path)), whole(CLOSED))
    assert sink.position == len(CLOSED)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == CLOSED


def test_a_file_goes_to_a_file_verbatim(tmp_path: Path) -> None:
    (tmp_path / "a.tgm").write_bytes(CLOSED)
    with open(tmp_path / "b.tgm", "wb") as file:
        Relay(StreamSink(file.fileno(), "b")).pass_on(open_source(str(tmp_path / "a.tgm")), whole(CLOSED))
    assert (tmp_path / "b.tgm").read_bytes() == CLOSED


@pytest.mark.parametrize("step", [1, 7, 64, 500])
def test_pieces_of_a_growing_file_make_what_a_pipe_would_have_carried(tmp_path: Path, step: int) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(b"")
    follower, sink = Follower(str(path), unit="piece"), MemorySink()
    relay = Relay(sink)

    def look() -> None:
        for found in follower.poll():
            assert isinstance(found, Piece)
            assert follower.source is not None
            relay.pass_on(follower.source, found)

    for at in range(0, len(OPEN), step):
        append(path, OPEN[at : at + step])
        if at + step >= len(OPEN):  # the producer fills the lengths in before anybody looks again
            path.write_bytes(CLOSED)
        look()
    append(path, buffered())
    look()
    assert bytes(sink.data) == OPEN + buffered()
    follower.close()


def test_a_source_that_becomes_shorter_is_said(tmp_path: Path) -> None:
    piece = Piece(0, len(OPEN), True, True, True)
    with pytest.raises(SourceError, match="became shorter"):
        Relay(MemorySink()).pass_on(MemorySource(OPEN[:-10]), piece)


def test_a_reader_that_went_away_is_a_broken_pipe(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(CLOSED)
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        Relay(StreamSink(writer, "<pipe>")).pass_on(open_source(str(path)), whole(CLOSED))
    os.close(writer)
