"""Going on after a restart: at least once, never a gap, and never silently from the start."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool
from tests.operations.streams import append, buffered, numbered, object_ends, spoken, steps_of, streaming
from tests.operations.test_tail import awaiting, events_of, waiting
from tests.operations.test_tail_streams import put
from tgmtool import CannotResume, DataObject, Message, Notice, SourceError
from tgmtool.endpoints.local import FileSource
from tgmtool.operations.choices import Choices
from tgmtool.operations.tail import Tail, follow

Collect = Callable[..., list[Any]]
SEVERAL = streaming(range(3)) + buffered(range(3, 5)) + streaming(range(5, 9), backfill=True) + buffered([9])


@pytest.fixture(params=[waiting, awaiting], ids=["tail", "atail"])
def collect(request: pytest.FixtureRequest) -> Collect:
    found: Collect = request.param
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.tgm"


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


def there(path: Path, state: str, **choices: Any) -> list[Any]:
    """Hand out what is there now and was not taken before."""
    return list(tgmtool.tail(str(path), Choices(last=None, state=state, state_period=0.0), **choices))


def refusal(path: Path, state: str, **choices: Any) -> str:
    with pytest.raises(CannotResume) as refused:
        there(path, state, **choices)
    assert "--state-reset" in str(refused.value)
    return refused.value.reason


@pytest.mark.parametrize("unit", ["object", "message"])
@pytest.mark.parametrize("seed", range(3))
def test_a_growing_file_is_handed_out_once_however_often_it_is_begun_again(
    collect: Collect, path: Path, state: str, seed: int, unit: str
) -> None:
    chance = random.Random(seed)
    found: list[Any] = []
    cuts = sorted(chance.sample(range(1, len(SEVERAL)), 12))
    for cut in (*cuts, len(SEVERAL)):
        path.write_bytes(SEVERAL[:cut])
        found += collect(str(path), last=None, unit=unit, state=state)
    assert steps_of(found) == list(range(10))
    places = [(one.span.offset, one.span.number) for one in found if not isinstance(one, Notice)]
    wanted = Message if unit == "message" else DataObject
    all_there = [one for one in tgmtool.tail(str(path), unit=unit, last=None) if isinstance(one, wanted)]
    assert places == [(one.span.offset, one.span.number) for one in all_there]


def test_lengths_that_are_filled_in_meanwhile_do_not_matter(path: Path, state: str) -> None:
    open_one, closed = streaming(range(4)), streaming(range(4), backfill=True)
    found: list[Any] = []
    for end in (*object_ends(open_one), len(open_one)):
        path.write_bytes(open_one[:end])
        found += there(path, state)
    path.write_bytes(closed + buffered([4]))
    assert steps_of(found + there(path, state)) == list(range(5))


@pytest.mark.parametrize("shape", [(n,) for n in (150, 156, 158, 160, 162, 164, 166, 170, 250)])
def test_a_length_at_the_edge_of_the_fingerprint_does_not_matter(
    path: Path, state: str, shape: tuple[int, ...]
) -> None:
    path.write_bytes(streaming([0], shape=shape) + buffered([1]))
    assert steps_of(there(path, state)) == [0, 1]
    path.write_bytes(streaming([0], shape=shape, backfill=True) + buffered([1, 2]))
    assert refusal(path, state) in {"not_a_boundary", "wrong_file"}  # the second message changed
    path.write_bytes(streaming([0], shape=shape, backfill=True) + buffered([1]) + buffered([2]))
    assert steps_of(there(path, state)) == [2]


def test_a_unit_that_was_not_taken_comes_again(path: Path, state: str) -> None:
    path.write_bytes(SEVERAL)
    found = []
    for one in tgmtool.tail(str(path), last=None, state=state, state_period=0.0):
        found.append(one)
        if len(found) == 4:
            break
    assert steps_of(found) == [0, 1, 2, 3]
    assert steps_of(there(path, state)) == list(range(3, 10))


def test_a_count_ends_with_a_unit_that_was_taken(path: Path, state: str) -> None:
    path.write_bytes(SEVERAL)
    assert [steps_of(there(path, state, count=3)) for _ in range(4)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


def test_senders_are_remembered(path: Path, state: str) -> None:
    path.write_bytes(numbered(0) + numbered(1))
    there(path, state)
    append(path, numbered(3) + spoken(4))
    found = there(path, state)
    assert [one.code for one in found if isinstance(one, tgmtool.Notice)] == ["seq_gap", ""]


def test_a_stream_that_had_ended_ends_at_once_and_what_follows_it_is_refused(path: Path, state: str) -> None:
    path.write_bytes(numbered(0) + spoken(1))
    follows: Any = {"follow": True, "timeout": 60.0}
    assert steps_of(there(path, state, **follows)) == [0]
    assert there(path, state, **follows) == []
    append(path, buffered([5]))
    assert refusal(path, state, **follows) == "ended"
    assert steps_of(there(path, state, **follows, forever=True, count=1)) == [5]


# ---- other files


def test_each_of_several_files_has_its_own_position(tmp_path: Path, state: str) -> None:
    paths = [tmp_path / "a.tgm", tmp_path / "b.tgm"]
    for number, path in enumerate(paths):
        path.write_bytes(buffered([number]))
    both = [str(path) for path in paths]
    assert steps_of(tgmtool.tail(both, last=None, state=state)) == [0, 1]
    append(paths[1], buffered([2]))
    assert steps_of(tgmtool.tail(both, last=None, state=state)) == [2]


def test_a_successor_is_gone_on_with(tmp_path: Path, state: str) -> None:
    first, second = tmp_path / "a.tgm", tmp_path / "b.tgm"
    first.write_bytes(numbered(0) + spoken(1, next="b.tgm"))
    second.write_bytes(numbered(2))
    choices: Any = {"follow": True, "until_exists": str(second)}
    assert steps_of(there(first, state, **choices)) == [0, 2]
    append(second, numbered(3) + spoken(4))
    found = there(first, state, follow=True, timeout=60.0)
    assert steps_of(found) == [3]
    assert events_of(found) == ["end"]


def test_a_successor_is_gone_on_with_however_often_and_without_the_files_before_it(
    tmp_path: Path, state: str
) -> None:
    first, second = tmp_path / "a.tgm", tmp_path / "b.tgm"
    first.write_bytes(numbered(0) + spoken(1, next="b.tgm"))
    second.write_bytes(numbered(2))
    choices: Any = {"follow": True, "until_exists": str(tmp_path)}
    assert steps_of(there(first, state, **choices)) == [0, 2]
    for number in (3, 4):
        append(second, numbered(number))
        assert steps_of(there(first, state, **choices)) == [number]
    first.unlink()
    append(second, numbered(5) + spoken(6))
    assert steps_of(there(first, state, follow=True, timeout=60.0)) == [5]


def test_a_successor_that_was_not_there_yet_is_waited_for_again(tmp_path: Path, state: str) -> None:
    first, second = tmp_path / "a.tgm", tmp_path / "b.tgm"
    first.write_bytes(numbered(0) + spoken(1, next="b.tgm"))
    choices: Any = {"follow": True, "until_exists": str(tmp_path)}
    assert steps_of(there(first, state, **choices)) == [0]
    assert there(first, state, **choices) == []
    second.write_bytes(numbered(2) + spoken(3))
    found = there(first, state, follow=True, timeout=60.0)
    assert (steps_of(found), events_of(found)) == ([2], ["end"])


def test_files_of_a_folder_are_taken_once_and_an_open_one_is_gone_on_with(tmp_path: Path, state: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    put(folder, "a.tgm", buffered([0]))
    put(folder, "b.tgm", buffered(range(1, 4)))
    assert steps_of(there(folder, state, count=2)) == [0, 1]
    put(folder, "0.tgm", buffered([9]))
    assert steps_of(there(folder, state)) == [2, 3, 9]
    assert there(folder, state) == []
    put(folder, "a.tgm", buffered([7]))
    assert steps_of(there(folder, state)) == [7]
    for file in folder.iterdir():
        file.unlink()
    put(folder, "z.tgm", buffered([8]))
    assert steps_of(there(folder, state)) == [8]
    (entry,) = json.loads(Path(state).read_text())["places"].values()
    assert list(entry["taken"]) == ["z.tgm"]


def test_a_file_of_a_folder_that_went_away_before_it_was_read_to_its_end_is_told(
    tmp_path: Path, state: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    put(folder, "a.tgm", buffered(range(3)))
    assert steps_of(there(folder, state, count=2)) == [0, 1]
    (folder / "a.tgm").unlink()
    put(folder, "b.tgm", buffered([3]))
    found = there(folder, state)
    assert (events_of(found), steps_of(found)) == (["removed"], [3])


def test_a_folder_of_very_many_files_is_taken_in_order(tmp_path: Path, state: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    data = buffered([0])
    for number in range(2000):
        (folder / f"{number:05}.tgm").write_bytes(data)
    found = list(tgmtool.tail(str(folder), last=None, state=state))
    assert len(steps_of(found)) == 2000
    assert list(tgmtool.tail(str(folder), last=None, state=state)) == []


# ---- what is refused


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.write_bytes(b""), "out_of_window"),
        (lambda path: os.truncate(path, len(SEVERAL) - 1), "out_of_window"),
        (lambda path: path.write_bytes(buffered(range(40))), "wrong_file"),
        (lambda path: path.write_bytes(SEVERAL[:-40] + bytes(40) + SEVERAL), "not_a_boundary"),
        (lambda path: append(path, b"something else"), "not_a_boundary"),
    ],
    ids=["empty", "shorter", "another", "other-bytes-before", "foreign-bytes-behind"],
)
def test_a_file_that_does_not_fit_is_refused_and_left_alone(
    path: Path, state: str, change: Callable[[Path], object], reason: str
) -> None:
    path.write_bytes(SEVERAL)
    there(path, state)
    before = Path(state).read_bytes()
    change(path)
    data = path.read_bytes()
    assert refusal(path, state) == reason
    assert refusal(path, state, follow=True) == reason
    assert path.read_bytes() == data
    assert json.loads(Path(state).read_bytes()) == json.loads(before)
    there(path, state, state_reset=True)


def test_the_state_of_other_files_is_refused_and_one_that_knows_some_of_them_is_not(
    tmp_path: Path, path: Path, state: str
) -> None:
    path.write_bytes(buffered([0]))
    there(path, state)
    before, other = Path(state).read_bytes(), tmp_path / "other.tgm"
    other.write_bytes(buffered([1]))
    assert refusal(other, state) == "wrong_file"
    assert Path(state).read_bytes() == before
    assert steps_of(tgmtool.tail([str(path), str(other)], last=None, state=state)) == [1]


def test_a_message_that_was_taken_back_is_gone_on_behind(path: Path, state: str) -> None:
    whole, torn = buffered([0]), streaming(range(1, 4))
    path.write_bytes(whole + torn[:-10])
    assert steps_of(there(path, state)) == [0, 1, 2, 3]
    os.truncate(path, len(whole))
    assert there(path, state) == []
    path.write_bytes(whole + torn[:-10])
    there(path, state)
    path.write_bytes(whole + buffered(range(5, 9)) * 3)
    assert steps_of(there(path, state)) == [*range(5, 9)] * 3


def test_a_first_message_of_which_nothing_was_taken_may_be_taken_back(path: Path, state: str) -> None:
    torn = streaming(range(1, 4))
    first_object = next(iter(object_ends(torn)))
    path.write_bytes(torn[: first_object - 1])
    assert steps_of(there(path, state)) == []
    path.write_bytes(b"")
    assert steps_of(there(path, state)) == []
    path.write_bytes(torn[: first_object - 1])
    assert steps_of(there(path, state)) == []
    path.write_bytes(buffered(range(5, 9)))
    assert steps_of(there(path, state)) == [5, 6, 7, 8]


def test_a_first_message_of_which_something_was_taken_may_not_be_another(path: Path, state: str) -> None:
    path.write_bytes(streaming(range(1, 4))[:-10])
    assert steps_of(there(path, state)) == [1, 2, 3]
    path.write_bytes(buffered(range(5, 9)) * 3)
    assert refusal(path, state) == "wrong_file"


GOOD: dict[str, Any] = {
    "file": "x",
    **dict.fromkeys(("message", "offset", "number", "objects"), 0),
    "head": ["", 0],
    **dict.fromkeys(("before", "start"), ""),
}

BAD: list[Any] = [
    None,
    7,
    [],
    {},
    {"cursor": None},
    {"cursor": 7, "senders": []},
    {"cursor": None, "senders": [7]},
    {"cursor": None, "senders": [{"id": "x", "chan": "m", "sender": "0", "seq": "1"}]},
    {"cursor": {**GOOD, "offset": -1}, "senders": []},
    {"cursor": {**GOOD, "offset": "7"}, "senders": []},
    {"cursor": {**GOOD, "offset": 1 << 70}, "senders": []},
    {"cursor": {**GOOD, "head": ["", 1 << 40]}, "senders": []},
    {"cursor": {**GOOD, "head": 7}, "senders": []},
    {"cursor": {**GOOD, "before": "xyz"}, "senders": []},
]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "\0" * 100,
        "\xff\xfe",
        '{"tgmtool_state":2,"places":{}}',
        '{"tgmtool_state":1}',
        '{"tgmtool_state":1,"places":[]}',
        "[" * 100_000,
        *(json.dumps({"tgmtool_state": 1, "places": {"PATH": entry}}) for entry in BAD),
    ],
)
def test_a_state_that_tail_did_not_write_is_refused(path: Path, state: str, text: str) -> None:
    path.write_bytes(SEVERAL)
    written = text.replace("PATH", str(path)).encode("latin-1")
    Path(state).write_bytes(written)
    assert refusal(path, state) == "unreadable"
    assert there(path, state, state_reset=True)


def test_every_cut_of_a_state_is_refused(path: Path, state: str) -> None:
    path.write_bytes(numbered(0) + spoken(1))
    there(path, state)
    whole = Path(state).read_bytes()
    for size in range(0, len(whole) - 1, 7):
        Path(state).write_bytes(whole[:size])
        assert refusal(path, state) == "unreadable"


def test_a_second_follower_is_refused_while_the_first_is_there(path: Path, state: str) -> None:
    path.write_bytes(SEVERAL)
    first = Tail([str(path)], Choices(state=state, last=None))
    with pytest.raises(SourceError, match="another tail"):
        Tail([str(path)], Choices(state=state))
    list(follow(first))
    first.close()
    assert there(path, state) == []


@pytest.mark.parametrize("place", ["missing/state", "."])
def test_a_state_that_cannot_be_written_is_an_error_before_anything_is_read(path: Path, place: str) -> None:
    path.write_bytes(SEVERAL)
    with pytest.raises(SourceError):
        there(path, str(path.parent / place))


def test_a_state_that_can_be_written_no_more_is_an_error_and_what_it_held_still_is(path: Path) -> None:
    path.write_bytes(SEVERAL)
    folder = path.with_name("states")
    folder.mkdir()
    kept = folder / "state"
    steps = Tail([str(path)], Choices(state=str(kept), last=None, state_period=0.0))
    looking = steps.look()
    next(looking)
    before = kept.read_bytes()
    os.rename(folder, path.with_name("elsewhere"))
    with pytest.raises(SourceError, match="no such file"):
        list(looking)
    with pytest.raises(SourceError, match="no such file"):
        steps.close()
    os.rename(path.with_name("elsewhere"), folder)
    assert kept.read_bytes() == before
    assert steps_of(there(path, str(kept))) == list(range(10))


def test_growth_by_one_object_costs_that_object_and_not_the_file(
    path: Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(tgmtool.encode([(np.zeros(4 << 20, "<f4"), {})]) * 4)
    read: list[int] = []
    real = FileSource.read_at

    def counted(self: FileSource, offset: int, size: int) -> Any:
        found = real(self, offset, size)
        read.append(len(found))
        return found

    with closing(
        Tail([str(path)], Choices(follow=True, start="end", state=state, state_period=0.0))
    ) as steps:
        assert list(steps.look()) == []
        monkeypatch.setattr(FileSource, "read_at", counted)
        append(path, buffered([1]))
        assert steps_of(steps.look()) == [1]
        assert sum(read) < 10_000
        read.clear()
        assert list(steps.look()) == []
        assert sum(read) < 1_000
    read.clear()
    append(path, buffered([2]))
    assert steps_of(there(path, state)) == [2]
    assert sum(read) < 20_000
