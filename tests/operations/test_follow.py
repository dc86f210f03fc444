"""Following one file: every object once, in order, whatever happens to the file."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.operations.streams import append, buffered, object_ends, pieces, steps_of, streaming
from tgmtool import DataObject, FrameSpan, Message, MessageSpan, Notice, ObjectSpan, scan
from tgmtool.messages.spans import Piece
from tgmtool.operations.follow import Follower

OPEN, CLOSED = streaming(range(4)), streaming(range(4), backfill=True)
SEVERAL = streaming(range(3)) + buffered(range(3, 5)) + streaming(range(5, 9), backfill=True) + buffered([9])


def follower(path: Path, **choices: Any) -> Follower:
    return Follower(str(path), settle=choices.pop("settle", 0.0), **choices)


def events_of(found: list[Any]) -> list[str]:
    return [one.event for one in found if isinstance(one, Notice)]


@pytest.mark.parametrize("seed", range(20))
def test_growth_in_any_pieces_gives_every_object_once_and_in_order(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    largest = chance.choice([5, 50, 500, 5000])
    path = tmp_path / "a.tgm"
    path.write_bytes(b"")
    following, found = follower(path), []
    for piece in pieces(SEVERAL, [chance.randint(1, largest) for _ in range(50)]):
        append(path, piece)
        found += list(following.poll())
    assert steps_of(found) == list(range(10))
    assert events_of(found + list(following.finish())) == []
    assert not following.lost_data
    following.close()


def test_an_object_comes_with_the_last_byte_of_its_frame_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(b"")
    ends = object_ends(OPEN)
    following = follower(path)
    for at in range(len(OPEN)):
        append(path, OPEN[at : at + 1])
        found = list(following.poll())
        assert steps_of(found) == ([ends.index(at + 1)] if at + 1 in ends else []), at
    following.close()


@pytest.mark.parametrize(
    ("unit", "kind", "count"), [("message", Message, 4), ("frame", FrameSpan, None), ("piece", Piece, None)]
)
def test_every_unit_comes_once(tmp_path: Path, unit: str, kind: type, count: int | None) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(b"")
    following = follower(path, unit=unit)
    found: list[Any] = []
    for piece in pieces(SEVERAL, [100, 3, 777]):
        append(path, piece)
        found += list(following.poll())
    following.close()
    assert all(isinstance(one, kind) for one in found)
    if unit == "frame":
        count = len(list(scan(SEVERAL, unit="frame")))
        assert [one.offset for one in found] == [one.offset for one in scan(SEVERAL, unit="frame")]
    if unit == "piece":
        at = 0
        for one in found:
            assert one.offset == at
            at += one.length
        assert at == len(SEVERAL)
        assert [one.offset for one in found if one.starts] == [
            one.offset for one in scan(SEVERAL, unit="message") if isinstance(one, MessageSpan)
        ]
    if count is not None:
        assert len(found) == count


def test_lengths_that_are_filled_in_meanwhile_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(OPEN[: object_ends(OPEN)[1]])
    following = follower(path)
    found = list(following.poll())
    path.write_bytes(CLOSED)
    found += list(following.poll())
    append(path, buffered([4]))
    found += list(following.poll())
    assert steps_of(found) == [0, 1, 2, 3, 4]
    assert events_of(found) == []
    following.close()


# ---- what happens to the file


def test_a_file_that_is_replaced_by_rename_is_read_to_its_end_and_begun_anew(tmp_path: Path) -> None:
    path, other = tmp_path / "a.tgm", tmp_path / "b.tgm"
    path.write_bytes(buffered([1]))
    following = follower(path)
    found = list(following.poll())
    append(path, buffered([2]))
    other.write_bytes(buffered([3]))
    os.rename(other, path)
    found += list(following.poll())
    assert steps_of(found) == [1, 2, 3]
    assert events_of(found) == ["replaced"]
    following.close()


def test_a_replaced_file_that_was_cut_is_a_gap(tmp_path: Path) -> None:
    path, other = tmp_path / "a.tgm", tmp_path / "b.tgm"
    path.write_bytes(OPEN[:-30])
    following = follower(path)
    found = list(following.poll())
    other.write_bytes(buffered([7]))
    os.rename(other, path)
    found += list(following.poll())
    assert steps_of(found) == [0, 1, 2, 3, 7]
    assert events_of(found) == ["gap", "replaced"]
    assert following.lost_data
    following.close()


def test_following_the_descriptor_keeps_to_the_file(tmp_path: Path) -> None:
    path, other = tmp_path / "a.tgm", tmp_path / "b.tgm"
    path.write_bytes(buffered([1]))
    following = follower(path, by_name=False)
    found = list(following.poll())
    os.rename(path, other)
    path.write_bytes(buffered([9]))
    append(other, buffered([2]))
    found += list(following.poll())
    assert steps_of(found) == [1, 2]
    assert events_of(found) == []
    following.close()


def test_a_removed_file_is_said_once_and_its_successor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(buffered([1]))
    following = follower(path)
    found = list(following.poll())
    path.unlink()
    found += [*following.poll(), *following.poll()]
    assert events_of(found) == ["removed"]
    path.write_bytes(buffered([2]))
    found += [*following.poll(), *following.poll()]
    assert steps_of(found) == [1, 2]
    assert events_of(found) == ["removed", "replaced"]
    following.close()


@pytest.mark.parametrize("unit", ["object", "message", "frame", "piece"])
def test_a_truncated_file_is_begun_anew(tmp_path: Path, unit: str) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(buffered([1]) + buffered([2]))
    following = follower(path, unit=unit)
    before = len(list(following.poll()))
    path.write_bytes(buffered([3]))
    found = list(following.poll())
    assert events_of(found) == ["truncated"]
    assert len(found) - 1 == before / 2
    if unit in {"object", "message"}:
        assert steps_of(found) == [3]
    following.close()


def test_a_file_rewritten_with_more_bytes_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(buffered([1]))
    following = follower(path)
    found = list(following.poll())
    path.write_bytes(buffered([2]) + buffered([3]))
    found += list(following.poll())
    assert steps_of(found) == [1, 2, 3]
    assert events_of(found) == ["truncated"]
    following.close()


@pytest.mark.parametrize("seed", range(10))
def test_preallocated_zeros_are_not_there_yet(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "a.tgm"
    path.write_bytes(bytes(len(SEVERAL) + 4096))
    following, found, at = follower(path), [], 0
    with open(path, "r+b", buffering=0) as file:
        while at < len(SEVERAL):
            size = chance.randint(1, 300)
            file.seek(at)
            file.write(SEVERAL[at : at + size])
            at += size
            found += list(following.poll())
        assert steps_of(found) == list(range(10))
        file.truncate(len(SEVERAL))
    found += [*following.poll(), *following.finish()]
    assert events_of(found) == []
    assert steps_of(found) == list(range(10))
    following.close()


def in_a_length(size: int) -> bool:
    headers = [one.offset for one in scan(OPEN, unit="frame") if isinstance(one, FrameSpan)]
    return any(4 <= size - offset <= 14 for offset in headers)


TORN = range(1, len(OPEN), 61)


@pytest.mark.parametrize("size", [size for size in TORN if in_a_length(size)])
def test_a_message_torn_inside_a_length_cannot_be_told_from_one_that_is_being_written(
    tmp_path: Path, size: int
) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(OPEN[:size] + buffered([7]))
    following = follower(path)
    found = [*following.poll(), *following.finish()]
    whole = [step for step, end in enumerate(object_ends(OPEN)) if end <= size]
    assert steps_of(found) == whole
    assert events_of(found) == ["cut"]
    following.close()


@pytest.mark.parametrize("size", [size for size in TORN if not in_a_length(size)])
def test_a_torn_message_followed_by_a_good_one_is_a_gap(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(OPEN[:size])
    following = follower(path)
    found = list(following.poll())
    append(path, buffered([7]) + buffered([8]))
    for _ in range(3):
        found += list(following.poll())
    whole = [step for step, end in enumerate(object_ends(OPEN)) if end <= size]
    assert steps_of(found) == [*whole, 7, 8]
    (gap,) = [one for one in found if isinstance(one, Notice)]
    assert gap.event == "gap"
    assert gap.offset + gap.length == size
    assert following.lost_data
    following.close()


@pytest.mark.parametrize("number", range(4))
def test_a_writer_that_cuts_its_own_tail_and_goes_on_loses_and_repeats_nothing(
    tmp_path: Path, number: int
) -> None:
    path = tmp_path / "a.tgm"
    ends = object_ends(OPEN)
    for torn in (1, 9, 30, 100):
        path.write_bytes(OPEN[: ends[number] + torn])
        following = follower(path)
        found = list(following.poll())
        os.truncate(path, ends[number])
        if torn != 9:  # a look between the cut and what follows, or none
            found += list(following.poll())
        append(path, OPEN[ends[number] :])
        for _ in range(3):
            found += list(following.poll())
        assert steps_of(found) == [0, 1, 2, 3]
        assert events_of(found) == []
        following.close()


def test_damage_is_believed_only_when_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    end = object_ends(OPEN)[0]
    path.write_bytes(OPEN[:end] + b"\x01stale page" + bytes(200) + b"\x01")
    following = follower(path, settle=3600.0)
    found = [*following.poll(), *following.poll()]
    path.write_bytes(OPEN)
    found += [*following.poll(), *following.poll()]
    assert steps_of(found) == [0, 1, 2, 3]
    assert events_of(found) == []
    following.close()


def test_a_frame_whose_content_changed_is_invalid_and_the_next_ones_come(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    spans = [one for one in scan(OPEN) if isinstance(one, ObjectSpan)]
    at = spans[1].payload_offset
    path.write_bytes(OPEN[:at] + b"\xff" + OPEN[at + 1 :])
    following = follower(path)
    found = list(following.poll())
    assert steps_of(found) == [0, 2, 3]
    (notice,) = [one for one in found if isinstance(one, Notice)]
    assert (notice.event, notice.code, notice.offset) == ("invalid", "hash_mismatch", spans[1].offset)
    following.close()


def test_without_verifying_a_changed_frame_is_handed_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    at = next(one for one in scan(OPEN) if isinstance(one, ObjectSpan)).payload_offset
    path.write_bytes(OPEN[:at] + b"\xff" + OPEN[at + 1 :])
    following = follower(path, verify=False)
    assert sum(isinstance(one, DataObject) for one in following.poll()) == 4
    following.close()


# ---- the end


@pytest.mark.parametrize("size", range(1, len(OPEN), 53))
def test_a_message_that_is_not_finished_is_a_cut_at_the_end(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(buffered([9]) + OPEN[:size])
    following = follower(path)
    list(following.poll())
    (cut,) = following.finish()
    assert isinstance(cut, Notice)
    assert (cut.event, cut.offset, cut.length) == ("cut", len(buffered([9])), size)
    following.close()


def test_a_file_that_is_not_there_yields_nothing_until_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    following = follower(path)
    assert list(following.poll()) == []
    path.write_bytes(buffered([1]))
    assert steps_of(list(following.poll())) == [1]
    following.close()


def test_start_and_after_pass_over_what_is_before(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(buffered([9]) + OPEN)
    start = len(buffered([9]))
    following = follower(path, start=start, after=start + object_ends(OPEN)[1], messages=1)
    found = [one for one in following.poll() if isinstance(one, DataObject)]
    assert steps_of(found) == [2, 3]
    assert [(one.span.message, one.span.number) for one in found] == [(1, 2), (1, 3)]
    following.close()
