"""A file that may still be written: what looks wrong is read again, and silence is not death at once."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool
from tests.builders import flip_bit
from tests.operations.streams import FIXED, append, buffered, field, object_ends, steps_of, streaming
from tgmtool import DataObject, Notice, ObjectSpan, scan
from tgmtool.messages.spans import Piece
from tgmtool.operations import doubts
from tgmtool.operations.follow import Follower

LARGE = streaming([0, 1], shape=(40, 40))
TORN = LARGE[: object_ends(LARGE)[0] + 200]
BEHIND = streaming([5]) + buffered([6]) + streaming([7, 8], backfill=True)


class Clock:
    """A monotonic clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(doubts, "time", found)
    return found


def begun(path: Path, data: bytes, **choices: Any) -> Follower:
    path.write_bytes(data)
    return Follower(str(path), **{"settle": 0.0, **choices})


def gaps_of(found: list[Any]) -> list[tuple[int, int, str]]:
    return [(one.offset, one.length, one.code) for one in found if isinstance(one, Notice)]


# ---- a torn message that hides whole ones


@pytest.mark.parametrize("part", range(8))
def test_messages_behind_a_torn_one_come_wherever_it_was_torn(tmp_path: Path, part: int) -> None:
    before = buffered([9])
    message = streaming([0, 1], shape=(4, 4))
    for size in range(1 + part, len(message), 8):
        following = begun(tmp_path / "a.tgm", before + message[:size] + BEHIND, stall=0.0)
        found = list(following.poll())
        assert steps_of(found)[-4:] == [5, 6, 7, 8], f"torn after {size} bytes"
        gaps = [one for one in found if isinstance(one, Notice) and one.event == "gap"]
        assert [(one.offset, one.length) for one in gaps] == [(len(before), size)]
        assert following.lost_data
        append(tmp_path / "a.tgm", streaming([10]))
        assert steps_of(list(following.poll())) == [10]
        following.close()


def test_only_a_file_that_did_not_change_for_long_is_left_by_its_writer(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "a.tgm"
    following = begun(path, TORN, stall=10.0)
    for number in range(5, 8):
        append(path, streaming([number]))
        for _ in range(3):
            assert steps_of(list(following.poll())) in ([], [0])
            clock.now += 4.0  # less than 10 since it grew
    assert steps_of(list(following.poll())) == [5, 6, 7]
    following.close()


def test_several_torn_messages_among_whole_ones_are_passed_at_once(tmp_path: Path) -> None:
    following = begun(tmp_path / "a.tgm", TORN + BEHIND + TORN[:300] + buffered([9]), stall=0.0)
    found = list(following.poll())
    assert steps_of(found) == [0, 5, 6, 7, 8, 9]
    places = [(0, len(TORN)), (len(TORN + BEHIND), 300)]
    assert [gap[:2] for gap in gaps_of(found)] == places
    following.close()


def test_nothing_is_passed_over_where_damage_and_a_torn_message_meet(tmp_path: Path) -> None:
    longer = streaming([3], shape=(200, 200))[:400]
    data = (
        LARGE[:300] + longer + 5 * BEHIND
    )  # the first claims to end inside of a whole one, the second behind
    following = begun(tmp_path / "a.tgm", data, stall=0.0)
    found = [*following.poll(), *following.poll()]
    assert steps_of(found) == 5 * [5, 6, 7, 8]
    assert [gap[:2] for gap in gaps_of(found)] == [(0, 300 + len(longer))]
    following.close()


def test_a_file_whose_lock_is_held_has_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    following = begun(path, TORN + BEHIND, stall=0.0)
    with path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert steps_of(list(following.poll())) == [0]
        assert steps_of(list(following.poll())) == []
    assert steps_of(list(following.poll())) == [5, 6, 7, 8]
    following.close()


@pytest.mark.parametrize("rest", [b"T", b"TENSOGRM", b"\0", LARGE[:100], b"any bytes"])
def test_what_does_not_fill_the_file_to_its_end_may_be_payload(tmp_path: Path, rest: bytes) -> None:
    following = begun(tmp_path / "a.tgm", TORN + BEHIND + rest, stall=0.0)
    found = [*following.poll(), *following.poll()]
    assert steps_of(found) == [0]
    assert gaps_of(found) == []
    [cut] = gaps_of(list(following.finish()))
    assert cut[2] == "incomplete_tail"
    following.close()


def test_messages_inside_a_payload_that_is_being_written_are_payload(tmp_path: Path) -> None:
    inner = buffered([1]) + streaming([2])
    data = tgmtool.encode([np.frombuffer(inner, np.uint8), field(3)], layout="streaming", style=FIXED)
    for size in (data.index(inner) + len(inner) - 10, object_ends(data)[0], object_ends(data)[1] - 30):
        following = begun(tmp_path / "a.tgm", data[:size], stall=0.0)
        found = [*following.poll(), *following.poll()]
        assert gaps_of(found) == []
        append(tmp_path / "a.tgm", data[size:])
        found += list(following.poll())
        assert [one.array.nbytes for one in found if isinstance(one, DataObject)] == [len(inner), 24]
        following.close()


def test_without_being_told_a_torn_message_is_waited_for(tmp_path: Path) -> None:
    following = begun(tmp_path / "a.tgm", TORN + BEHIND)
    assert steps_of(list(following.poll())) == [0]
    [cut] = [one for one in following.finish() if isinstance(one, Notice)]
    assert cut.event == "cut"
    assert "3 whole messages may stand inside it: --assume-dead" in cut.reason
    following.close()


def test_at_the_end_what_stands_behind_it_comes_if_its_writer_is_said_to_be_dead(tmp_path: Path) -> None:
    following = begun(tmp_path / "a.tgm", TORN + BEHIND + streaming([9])[:200], assume_dead=True)
    assert steps_of(list(following.poll())) == [0]
    found = list(following.finish())
    assert steps_of(found) == [5, 6, 7, 8]
    assert [one.event for one in found if isinstance(one, Notice)] == ["gap", "cut"]
    assert "whole message" not in [one for one in found if isinstance(one, Notice)][-1].reason
    following.close()


@pytest.mark.parametrize("unit", ["message", "frame", "piece", "whole"])
def test_every_unit_goes_on_behind_it(tmp_path: Path, unit: str) -> None:
    following = begun(tmp_path / "a.tgm", TORN + BEHIND, stall=0.0, unit=unit)
    found: list[Any] = [one for one in following.poll() if not isinstance(one, Notice)]
    places = [one.span.offset if unit == "message" else one.offset for one in found]
    assert places == sorted(set(places))
    wanted = "frame" if unit in {"frame", "piece"} else "message"
    expected = [one.offset for one in scan(BEHIND, unit=wanted)]
    if unit == "piece":
        assert b"".join((TORN + BEHIND)[one.offset :][: one.length] for one in found).endswith(BEHIND)
    else:
        assert [place - len(TORN) for place in places if place >= len(TORN)] == expected
    following.close()


def test_a_file_that_is_replaced_is_not_waited_for(tmp_path: Path) -> None:
    path, other = tmp_path / "a.tgm", tmp_path / "b.tgm"
    following = begun(path, TORN + BEHIND, stall=3600.0)
    assert steps_of(list(following.poll())) == [0]
    other.write_bytes(buffered([20]))
    os.rename(other, path)
    assert steps_of(list(following.poll())) == [5, 6, 7, 8, 20]
    following.close()


# ---- a digest that differs

GOOD = streaming(range(4))
AT = [one.offset for one in scan(GOOD) if isinstance(one, ObjectSpan)]
WRONG = flip_bit(GOOD, AT[1] + 20)


def put(path: Path, data: bytes) -> None:
    with path.open("rb+") as file:
        file.write(data)


def test_a_frame_that_is_written_over_between_two_looks_is_handed_out(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "a.tgm"
    following = begun(path, WRONG, settle=1.0)
    found = list(following.poll())
    clock.now += 0.5
    found += list(following.poll())
    put(path, GOOD)
    found += list(following.poll())
    assert steps_of(found) == [0, 1, 2, 3]
    assert gaps_of(found) == []
    assert not following.lost_data
    following.close()


def test_a_digest_that_differs_is_believed_when_it_stays_so(tmp_path: Path, clock: Clock) -> None:
    following = begun(tmp_path / "a.tgm", WRONG, settle=1.0)
    found = [*following.poll(), *following.poll()]
    assert steps_of(found) == [0]
    clock.now += 1.0
    found += list(following.poll())
    assert steps_of(found) == [0, 2, 3]
    assert [gap[0] for gap in gaps_of(found)] == [AT[1]]
    assert [gap[2] for gap in gaps_of(found)] == ["hash_mismatch"]
    following.close()


def test_at_the_end_there_is_no_time_to_wait(tmp_path: Path, clock: Clock) -> None:
    following = begun(tmp_path / "a.tgm", WRONG, settle=1.0)
    found = [*following.poll(), *following.finish()]
    assert steps_of(found) == [0, 2, 3]
    assert [gap[2] for gap in gaps_of(found)] == ["hash_mismatch"]
    following.close()


def test_many_that_differ_are_waited_for_once(tmp_path: Path, clock: Clock) -> None:
    data = streaming(range(50))
    for one in scan(data):
        if isinstance(one, ObjectSpan):
            data = flip_bit(data, one.offset + 20)
    following = begun(tmp_path / "a.tgm", data + data, settle=1.0)
    found = list(following.poll())
    clock.now += 1.0
    found += list(following.poll())
    assert [gap[2] for gap in gaps_of(found)] == ["hash_mismatch"] * 100
    following.close()


@pytest.mark.parametrize("wrong", [1, 3])
def test_verbatim_bytes_come_once_however_often_they_are_read(
    tmp_path: Path, clock: Clock, wrong: int
) -> None:
    following = begun(tmp_path / "a.tgm", flip_bit(GOOD, AT[wrong] + 20), settle=1.0, unit="piece")
    found = list(following.poll())
    clock.now += 0.5
    found += list(following.poll())
    put(tmp_path / "a.tgm", GOOD)
    found += list(following.poll())
    assert b"".join(GOOD[one.offset :][: one.length] for one in found if isinstance(one, Piece)) == GOOD
    following.close()
