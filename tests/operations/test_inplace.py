"""Finishing the last message where it stands: from any crash, the same end; and back again."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

import tgmtool
from tests.builders import first_frame, flip_bit
from tests.operations.crashes import MemoryPlace, State, crashes
from tests.operations.streams import (
    FIXED,
    buffered,
    entry,
    field,
    object_ends,
    objects_in,
    steps_of,
    streaming,
)
from tests.operations.test_repair import errors_of
from tgmtool import FramingError, MemorySource, SourceError
from tgmtool.operations.inplace import finish, plan_finish, undo
from tgmtool.operations.places import salvage_in_place, undo_in_place

BEFORE = buffered([50], shape=(1,))


def finished(state: State) -> MemoryPlace:
    """Finish what a state holds; the place knows each step."""
    place = MemoryPlace(state)
    plan = plan_finish(place, keep_unhashed=True)
    if plan is not None:
        finish(place, plan)
    return place


def message(
    objects: int,
    *,
    hashing: bool = True,
    preceder: bool = True,
    sized: bool = False,
    layout: str = "streaming",
) -> bytes:
    style = FIXED._replace(backfill=sized, hashing=hashing, preceder=preceder)
    pairs = [(field(step, (2,)), entry(step)) for step in range(objects)]
    return tgmtool.encode(pairs, layout=layout, style=style, metadata={"run": "x"})


def check_cut(data: bytes, size: int) -> int:
    """Try every crash of finishing a file that is cut at `size`, and of undoing it; return how many."""
    torn = State(BEFORE + data[:size])
    whole = [step for step, end in enumerate(object_ends(data)) if end <= size]
    place = finished(torn)
    expected = place.state
    assert len(objects_in(MemorySource(expected.data))) == 1 + len(whole)
    assert finished(expected).steps == []
    count = 0
    for state in crashes(place.steps):
        count += 1
        again = finished(state).state
        assert again == expected, (size, count)
    back = MemoryPlace(expected)
    undo(back)
    assert back.state == torn
    for state in crashes(back.steps):
        count += 1
        if state == torn or not state.sidecars:
            continue
        assert finished(state).state == expected, (size, count)
        other = MemoryPlace(state)
        undo(other)
        assert other.state == torn
    return count


@pytest.mark.parametrize("part", range(4))
def test_a_crash_at_any_moment_leaves_what_a_second_run_finishes_to_the_same_bytes(part: int) -> None:
    data = message(2)
    sizes = range(1 + 17 * part, len(data), 131)
    assert sum(check_cut(data, size) for size in sizes) > 1000


def test_a_message_with_a_length_is_finished_as_well_from_any_crash() -> None:
    streamed, indexed = message(2, sized=True), message(2, layout="buffered")
    assert sum(check_cut(streamed, size) for size in range(30, len(streamed), 97)) > 1000
    assert sum(check_cut(indexed, size) for size in range(object_ends(indexed)[1], len(indexed), 5)) > 100


def test_a_message_with_a_length_ends_up_as_if_it_had_ended_there(path: Path) -> None:
    data = buffered(range(3), shape=(1,))
    for size in range(object_ends(data)[-1], len(data)):
        path.write_bytes(BEFORE + data[:size])
        salvage_in_place(path, min_age=0)
        assert path.read_bytes() == BEFORE + data, size
        undo_in_place(path)
        assert path.read_bytes() == BEFORE + data[:size], size
    backfilled = streaming(range(3), backfill=True)
    for size in (object_ends(backfilled)[1], object_ends(backfilled)[1] + 60, len(backfilled) - 1):
        path.write_bytes(BEFORE + backfilled[:size])
        salvage_in_place(path, min_age=0)
        assert steps_of(objects_in(path)) == [50, 0, 1, 2][: 4 if size == len(backfilled) - 1 else 3]
        assert errors_of(path) == []
        undo_in_place(path)


@pytest.mark.soak
@pytest.mark.parametrize("objects", [1, 3])
@pytest.mark.parametrize("hashing", [True, False])
@pytest.mark.parametrize("preceder", [True, False])
@pytest.mark.parametrize("sized", [False, True])
def test_every_crash_of_every_cut(objects: int, hashing: bool, preceder: bool, sized: bool) -> None:
    data = message(objects, hashing=hashing, preceder=preceder, sized=sized)
    tried = sum(check_cut(data, size) for size in range(1, len(data), 13))
    print(f"{tried} states")
    assert tried > 10_000


# ---- on a disk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.tgm"
    path.write_bytes(BEFORE + streaming(range(3))[:-40])
    os.utime(path, (1, 1))
    return path


def test_what_is_dropped_stands_beside_the_file_and_can_be_put_back(path: Path) -> None:
    torn = path.read_bytes()
    plan = salvage_in_place(path)
    assert plan is not None
    assert steps_of(objects_in(path)) == [50, 0, 1, 2]
    assert errors_of(path) == []
    assert path.with_name(f"a.tgm.dropped-{len(BEFORE)}").exists()
    done = path.read_bytes()
    assert salvage_in_place(path) is None
    assert path.read_bytes() == done
    assert undo_in_place(path) == len(BEFORE)
    assert path.read_bytes() == torn
    assert os.listdir(path.parent) == ["a.tgm"]
    with pytest.raises(SourceError, match="nothing to undo"):
        undo_in_place(path)


def test_it_makes_what_append_with_repair_tail_would_make(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tgm"
    other.write_bytes(path.read_bytes())
    salvage_in_place(path)
    from tests.operations.test_repair import append_to

    append_to(other)
    assert other.read_bytes().startswith(path.read_bytes())


def test_a_file_that_went_on_is_not_undone_and_its_next_torn_message_is_another_matter(path: Path) -> None:
    salvage_in_place(path)
    with path.open("ab") as file:
        file.write(streaming([7], backfill=True))
    with pytest.raises(SourceError, match="grown since"):
        undo_in_place(path)
    with path.open("ab") as file:
        file.write(streaming([8, 9])[:-3])
    salvage_in_place(path, min_age=0)
    assert steps_of(objects_in(path)) == [50, 0, 1, 2, 7, 8, 9]
    undo_in_place(path)
    assert path.read_bytes().endswith(streaming([8, 9])[:-3])


def test_a_message_that_was_added_after_a_crash_is_never_cut_away() -> None:
    torn = State(BEFORE + message(2)[:-1])
    place = finished(torn)
    added = streaming([7], backfill=True)
    for state, _ in place.steps[2:]:
        went_on = State(state.data + added, state.sidecars)
        try:
            end = finished(went_on).state
        except (SourceError, FramingError):
            continue  # refused: nothing was written
        assert added in end.data or added in dict(end.sidecars)[len(BEFORE)]


def test_a_message_of_which_nothing_was_whole_is_cut_away_and_the_file_may_go_on(path: Path) -> None:
    path.write_bytes(BEFORE + streaming([0])[:60])
    salvage_in_place(path, min_age=0)
    assert path.read_bytes() == BEFORE
    added = streaming([7], backfill=True)
    path.write_bytes(BEFORE + added)
    assert salvage_in_place(path, min_age=0) is None
    assert path.read_bytes() == BEFORE + added
    with pytest.raises(SourceError, match="grown since"):
        undo_in_place(path)


def test_what_cannot_be_finished_in_place_is_refused_and_left_as_it_is(path: Path) -> None:
    sized = buffered(range(3))
    place = first_frame(streaming(range(3)), 9)
    damaged = flip_bit(streaming(range(3)), place.offset + 20)[:-9]
    for data in (sized[:-30], damaged):
        path.write_bytes(BEFORE + data)
        with pytest.raises(FramingError, match="--salvage -o OUT"):
            salvage_in_place(path, min_age=0)
        assert path.read_bytes() == BEFORE + data
    unhashed = message(2, hashing=False)[:-30]
    path.write_bytes(unhashed)
    with pytest.raises(FramingError, match="--keep-unhashed"):
        salvage_in_place(path, min_age=0)
    salvage_in_place(path, min_age=0, keep_unhashed=True)
    assert len(objects_in(path)) == 2
    assert os.listdir(path.parent).count("a.tgm") == 1


def test_a_file_in_use_is_refused(path: Path) -> None:
    before = path.read_bytes()
    with path.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SourceError, match="another process"):
            salvage_in_place(path)
    os.utime(path)
    with pytest.raises(SourceError, match="--min-age"):
        salvage_in_place(path)
    assert path.read_bytes() == before
    assert salvage_in_place(path, dry_run=True) is not None
    assert path.read_bytes() == before
    salvage_in_place(path, force=True)


def test_a_sidecar_of_another_file_stops_it(path: Path) -> None:
    salvage_in_place(path)
    data = buffered(range(9), shape=(40,))
    path.write_bytes(data)
    with pytest.raises(SourceError, match="does not belong"):
        salvage_in_place(path, min_age=0)
    assert path.read_bytes() == data
