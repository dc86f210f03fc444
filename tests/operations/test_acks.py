"""Acknowledgments: what they answer, and that nothing else is ever touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tgmtool
from tests.operations.producers import assert_clean, places_in
from tests.operations.streams import RUN, append, buffered, numbered, spoken
from tgmtool import EncodeError, SourceError
from tgmtool.messages.stream import Sender
from tgmtool.operations.acks import Acks
from tgmtool.operations.choices import Choices

A, B = Sender("run", sender="a"), Sender("run", "x", "b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ack.tgm"


def answers(path: Path) -> list[tuple[str, int]]:
    return [(place["in_reply_to"]["sender"], place["in_reply_to"]["seq"]) for place in places_in(path)]


def test_every_sender_is_answered_once_for_what_is_new(path: Path) -> None:
    acks = Acks(str(path))
    for numbers in ({A: 0}, {A: 0}, {A: 0, B: 5}, {A: 7, B: 5}, {}):
        acks.write(numbers)
    acks.close()
    assert answers(path) == [("a", 0), ("b", 5), ("a", 7)]
    assert [(place["chan"], place["seq"]) for place in places_in(path)] == [("sync", n) for n in range(3)]
    assert_clean(path, require_end=False)


def test_a_file_is_continued_with_its_own_numbers_and_an_unfinished_end_is_cut_away(path: Path) -> None:
    acks = Acks(str(path), "archive")
    acks.write({A: 3})
    acks.write({A: 4})
    acks.close()
    whole = path.read_bytes()
    for size in range(len(whole) // 2 + 1, len(whole) + 1, 7):
        path.write_bytes(whole[:size])
        acks = Acks(str(path), "archive")
        acks.write({A: 3})
        acks.write({A: 9})
        acks.close()
        assert answers(path)[0] == ("a", 3)
        assert answers(path)[-1] == ("a", 9)
        assert_clean(path, require_end=False)


@pytest.mark.parametrize(
    "data",
    [
        buffered([0]),
        numbered(0),
        spoken(0),
        b"a text",
        bytes(100),
        spoken(0, "note", Sender("x", "sync", "other"), in_reply_to={"seq": 1}),
        spoken(0, "note", Sender("x", "sync"), in_reply_to="nothing"),
        spoken(0, "note", Sender("x", "sync"), in_reply_to={"seq": 1})[:-1],
        spoken(0, "note", Sender("x", "sync"), in_reply_to={"seq": 1}) + b"garbage",
        spoken(0, "note", Sender("x", "sync"), in_reply_to={"seq": 1}) + buffered([1])[:-5],
    ],
    ids=[
        "data",
        "numbered",
        "end",
        "text",
        "zeros",
        "other",
        "no-answer",
        "cut",
        "garbage-behind",
        "data-behind",
    ],
)
def test_a_file_that_holds_anything_else_is_left_alone(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(SourceError, match="nothing was changed"):
        Acks(str(path))
    assert path.read_bytes() == data


def test_a_second_writer_and_a_place_that_cannot_be_written_are_refused(path: Path) -> None:
    first = Acks(str(path))
    with pytest.raises(SourceError, match="appending"):
        Acks(str(path))
    first.close()
    with pytest.raises(SourceError):
        Acks(str(path.parent / "missing" / "ack"))
    for name in ("/dev/full", str(path.parent)):
        with pytest.raises(SourceError, match="no regular file"):
            Acks(name)
    with pytest.raises(EncodeError):
        Acks(str(path), "a/b")


def test_following_acknowledges_whole_messages_after_they_were_taken(tmp_path: Path, path: Path) -> None:
    run = tmp_path / "run.tgm"
    run.write_bytes(numbered(0, range(3)) + numbered(1) + numbered(2, range(4))[:-60])
    flushed: list[Any] = []

    def flush() -> None:
        flushed.append(answers(path) if path.stat().st_size else [])

    choices = Choices(last=None, ack=str(path), ack_sender="me", flush=flush, state_period=60.0)
    list(tgmtool.tail(str(run), choices))
    assert answers(path) == [("0", 1)]
    assert flushed[0] == []  # before
    append(run, b"")
    run.write_bytes(numbered(0, range(3)) + numbered(1) + numbered(2, range(4)) + spoken(3))
    list(tgmtool.tail(str(run), choices, follow=True, timeout=60.0))
    assert answers(path) == [("0", 1), ("0", 3)]
    assert {place["sender"] for place in places_in(path)} == {"me"}
    assert_clean(path, require_end=False)


def test_what_was_not_flushed_is_not_acknowledged(tmp_path: Path, path: Path) -> None:
    run = tmp_path / "run.tgm"
    run.write_bytes(numbered(0) + spoken(1))

    def fail() -> None:
        raise SourceError("no space left", uri="out")

    with pytest.raises(SourceError, match="no space"):
        list(tgmtool.tail(str(run), last=None, ack=str(path), flush=fail, state=str(tmp_path / "state")))
    assert path.read_bytes() == b""
    assert RUN.id not in (tmp_path / "state").read_text()
