"""Following streams that say who sent what, and when they end; waiting and awaiting alike."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool
from tests.operations.streams import FIXED, RUN, append, buffered, entry, numbered, piped, spoken, steps_of
from tests.operations.test_tail import awaiting, events_of, in_background, waiting
from tgmtool import DataObject, Message, Notice, SourceError, TimeLimit
from tgmtool.errors import CannotResume
from tgmtool.messages.stream import KEY, Place, Sender
from tgmtool.operations import inbox
from tgmtool.operations.choices import Choices
from tgmtool.operations.tail import Tail, follow

Collect = Callable[..., list[Any]]
FOLLOW: dict[str, Any] = {"follow": True, "last": None, "settle": 0.0, "timeout": 60.0}
A, B = Sender("run", sender="a"), Sender("run", sender="b")


@pytest.fixture(params=[waiting, awaiting], ids=["tail", "atail"])
def collect(request: pytest.FixtureRequest) -> Collect:
    found: Collect = request.param
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.tgm"


def codes_of(found: list[Any]) -> list[str]:
    return [one.code for one in found if isinstance(one, Notice) and one.event == "order"]


def ended(places: Any, **choices: Any) -> tuple[list[Any], Tail]:
    """Follow to the end; return what came, and what is known then."""
    steps = Tail(places if isinstance(places, list) else [places], Choices(**{**FOLLOW, **choices}))
    try:
        return list(follow(steps)), steps
    finally:
        steps.close()


# ---- ends


def test_following_stops_when_every_sender_has_ended(collect: Collect, path: Path) -> None:
    path.write_bytes(numbered(0, who=A) + numbered(0, [1], who=B) + spoken(1, who=A))

    def on_found(one: Any) -> None:
        if isinstance(one, Notice) and one.stream["sender"] == "a":
            append(path, numbered(1, [2], who=B) + spoken(2, who=B))

    found = collect(str(path), on_found, **FOLLOW)
    assert steps_of(found) == [0, 1, 2]
    assert [(one.event, one.stream["sender"]) for one in found if isinstance(one, Notice)] == [
        ("end", "a"),
        ("end", "b"),
    ]


def test_data_that_says_it_is_the_last_ends_its_sender(collect: Collect, path: Path) -> None:
    path.write_bytes(numbered(0) + numbered(1, last=True))
    assert steps_of(collect(str(path), **FOLLOW)) == [0, 1]


@pytest.mark.parametrize(
    ("data", "choices"),
    [
        (numbered(0, who=A) + spoken(1, who=A), {"producers": 2}),
        (numbered(0) + spoken(1), {"forever": True}),
        (numbered(0) + spoken(1) + numbered(0, who=B)[:-9], {}),
        (numbered(0) + spoken(1, "error", fatal=False), {}),
        (numbered(0) + spoken(1, "note"), {}),
        (buffered([0]), {}),
        (numbered(0, who=Sender("run", "x")) + spoken(1, who=Sender("run", "y")), {"chans": frozenset("x")}),
        (
            tgmtool.encode(
                [([0.0], {"mars": {"step": 0}})], metadata={KEY: {"v": 2, "id": "x", "seq": 0, "type": "end"}}
            ),
            {},
        ),
    ],
    ids=[
        "fewer-producers",
        "forever",
        "half-a-message",
        "warning",
        "note",
        "no-stream",
        "other-channel",
        "later-version",
    ],
)
def test_these_do_not_end_it(collect: Collect, path: Path, data: bytes, choices: Any) -> None:
    path.write_bytes(data)
    with pytest.raises(TimeLimit):
        collect(str(path), **{**FOLLOW, "timeout": 0.05, **choices})


def test_any_stops_with_the_first_of_several_files_and_all_with_the_last(
    collect: Collect, tmp_path: Path
) -> None:
    ends, goes_on = tmp_path / "a.tgm", tmp_path / "b.tgm"
    ends.write_bytes(numbered(0) + spoken(1))
    goes_on.write_bytes(numbered(0, [1], who=B))
    both = [str(ends), str(goes_on)]
    assert steps_of(collect(both, **FOLLOW, any_end=True)) == [0, 1]
    with pytest.raises(TimeLimit):
        collect(both, **{**FOLLOW, "timeout": 0.05})
    append(goes_on, spoken(1, who=B))
    assert steps_of(collect(both, **FOLLOW)) == [0, 1]


def test_an_error_ends_it_after_everything_before_it_was_handed_out(path: Path) -> None:
    path.write_bytes(numbered(0) + spoken(1, "error", code="oom", msg="no memory"))
    found, steps = ended(str(path))
    assert steps_of(found) == [0]
    assert [(place.who, place.rest["msg"]) for place in steps.errors()] == [(RUN, "no memory")]
    (notice,) = (one for one in found if isinstance(one, Notice))
    assert (notice.event, notice.code, notice.reason) == ("error", "oom", "no memory")


def test_a_missing_end_is_known_when_something_else_stopped_it(path: Path) -> None:
    path.write_bytes(numbered(0, who=A) + spoken(1, who=A) + numbered(0, who=B))
    _, steps = ended(str(path), until_exists=str(path))
    assert steps.missing_ends() == [str(B)]
    _, steps = ended(str(path), until_exists=str(path), producers=3)
    assert len(steps.missing_ends()) == 2


# ---- order


@pytest.mark.parametrize("unit", ["object", "message"])
def test_a_repeat_with_the_same_bytes_is_dropped_and_told(collect: Collect, path: Path, unit: str) -> None:
    again = numbered(1, [1, 2])
    path.write_bytes(numbered(0) + again + again + numbered(2, [3]) + again + spoken(3) + spoken(3))
    found = collect(str(path), **FOLLOW, unit=unit)
    assert steps_of(found) == [0, 1, 2, 3]
    assert codes_of(found) == ["seq_duplicate"] * 3
    assert not ended(str(path), unit=unit)[1].lost_data


def test_a_repeat_with_other_bytes_is_shown_and_held_against_the_stream(path: Path) -> None:
    path.write_bytes(numbered(0) + numbered(1) + numbered(1, [7]) + numbered(2) + spoken(3))
    found, steps = ended(str(path))
    assert steps_of(found) == [0, 1, 7, 2]
    assert codes_of(found) == ["seq_duplicate"]
    assert steps.lost_data


@pytest.mark.parametrize("unit", ["object", "message"])
def test_equal_values_in_another_message_of_the_same_number_are_shown(path: Path, unit: str) -> None:
    values = np.zeros(4, "<f4")  # whose frame is the same bytes wherever it stands
    place = {KEY: Place(RUN, 0).to_map()}
    data = [tgmtool.encode([(values, entry(step))], metadata=place, style=FIXED) for step in range(3)]
    path.write_bytes(b"".join(data))
    found, steps = ended(str(path), unit=unit, follow=False)
    objects = [each for one in found for each in (one.objects if isinstance(one, Message) else [one])]
    assert [one.metadata["mars"]["step"] for one in objects if isinstance(one, DataObject)] == [0, 1, 2]
    assert codes_of(found) == ["seq_duplicate"] * 2
    assert steps.lost_data


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (numbered(0) + numbered(2) + spoken(3), ["seq_gap"]),
        (numbered(1) + spoken(2), ["seq_gap"]),
        (numbered(0) + spoken(1) + numbered(2), ["after_end"]),
        (numbered(0) + numbered(1) + numbered(2) + numbered(0, [9]) + spoken(3), ["seq_reversed"]),
    ],
)
def test_what_is_out_of_order_is_told_once_and_counts_as_lost(
    path: Path, data: bytes, codes: list[str]
) -> None:
    path.write_bytes(data)
    found, steps = ended(str(path))
    assert codes_of(found) == codes
    assert steps.lost_data


def test_a_file_that_continues_another_begins_with_any_number(path: Path) -> None:
    path.write_bytes(numbered(5, prev="run-0.tgm") + spoken(6))
    found, steps = ended(str(path))
    assert codes_of(found) == []
    assert not steps.lost_data


def test_what_was_sent_before_the_last_so_many_is_not_missing(collect: Collect, path: Path) -> None:
    path.write_bytes(b"".join(map(numbered, range(5))) + spoken(5))
    found = collect(str(path), **{**FOLLOW, "last": 2})
    assert steps_of(found) == [3, 4]
    assert codes_of(found) == []


def test_a_torn_message_does_not_count_when_its_number_comes_again(path: Path) -> None:
    torn = numbered(1, range(10, 14), layout="buffered")
    path.write_bytes(
        numbered(0) + torn[: len(torn) // 2] + numbered(1) + numbered(2, range(20, 40)) + spoken(3)
    )
    found, _ = ended(str(path))
    assert [step for step in steps_of(found) if step < 10 or step >= 20] == [0, 1, *range(20, 40)]
    assert codes_of(found) == []


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"v": 2, "id": "x", "seq": 0}, "stream_version"),
        ({"v": 1, "id": 7, "seq": 0}, "stream_invalid"),
        ({"v": 1, "id": "x", "seq": 1 << 63}, "stream_invalid"),
        ({"v": 1, "id": "x", "seq": -1}, "stream_invalid"),
        ({"v": 1, "id": "x"}, "stream_invalid"),
    ],
)
def test_what_cannot_be_understood_is_told_and_the_data_passes(
    collect: Collect, path: Path, said: Any, code: str
) -> None:
    path.write_bytes(tgmtool.encode([([1.0], {})], metadata={KEY: said}) + numbered(0) + spoken(1))
    found = collect(str(path), **FOLLOW)
    assert codes_of(found) == [code]
    assert sum(isinstance(one, DataObject) for one in found) == 2


@pytest.mark.parametrize("said", ["text", 7, [], {}, {"v": "1"}, {"v": True}, None])
def test_what_is_no_place_at_all_is_nothing(path: Path, said: Any) -> None:
    path.write_bytes(tgmtool.encode([([1.0], {})], metadata={KEY: said}))
    (only,) = tgmtool.tail(str(path))
    assert isinstance(only, DataObject)


# ---- channels, and where to begin


@pytest.mark.parametrize("unit", ["object", "message", "frame", "piece", "whole"])
def test_only_the_chosen_channel_is_handed_out_and_counted(collect: Collect, path: Path, unit: str) -> None:
    x, y = Sender("run", "x"), Sender("run", "y")
    mine = [numbered(0, who=x), numbered(1, who=x), spoken(2, who=x), buffered([7])]
    path.write_bytes(mine[0] + numbered(0, [5], who=y) + mine[1] + spoken(1, who=y) + mine[3] + mine[2])
    found = collect(str(path), **FOLLOW, unit=unit, chans=frozenset({"x"}))
    assert {one.stream["chan"] for one in found if isinstance(one, Notice)} == {"x"}
    if unit in {"object", "message"}:
        assert steps_of(found) == [0, 1, 7]
    if unit in {"piece", "whole"}:
        passed = b"".join(path.read_bytes()[one.offset : one.offset + one.length] for one in found[:-1])
        assert passed == mine[0] + mine[1] + mine[3] + mine[2]


@pytest.mark.parametrize(
    ("choices", "steps"),
    [({"last": 2}, [2, 3]), ({"last": 0}, []), ({"last": None, "skip": 3}, [3]), ({"last": 9}, [0, 1, 2, 3])],
)
@pytest.mark.parametrize("follow", [False, True])
def test_the_last_so_many_are_counted_on_the_chosen_channel(
    collect: Collect, path: Path, choices: Any, steps: list[int], follow: bool
) -> None:
    x, y = Sender("run", "x"), Sender("run", "y")
    path.write_bytes(
        b"".join(numbered(seq, who=x) + numbered(seq, [seq + 50], who=y) for seq in range(4))
        + spoken(4, who=x)
    )
    found = collect(str(path), follow=follow, chans=frozenset({"x"}), timeout=60.0, **choices)
    assert steps_of(found) == steps


def test_a_pipe_is_read_to_its_end_whoever_has_ended_in_it(collect: Collect) -> None:
    data = numbered(0) + spoken(1) + numbered(0, [1], Sender("other")) + spoken(1, who=Sender("other"))
    with piped(data) as source:
        assert steps_of(collect(source, **FOLLOW)) == [0, 1]


def test_markers_are_events_and_hold_no_objects(collect: Collect, path: Path) -> None:
    path.write_bytes(numbered(0) + spoken(1, "note", msg="half way") + spoken(2, count=2))
    found = collect(str(path), **FOLLOW)
    assert [type(one) for one in found] == [DataObject, Notice, Notice]
    assert [(one.event, one.reason) for one in found[1:]] == [("note", "half way"), ("end", "")]
    assert found[2].stream["count"] == 2
    found = collect(str(path), **FOLLOW, unit="message")
    assert [type(one) for one in found] == [Message, Message, Notice, Message, Notice]


@pytest.mark.parametrize(("start", "steps"), [("seq:0", [0, 1, 2]), ("seq:1", [1, 2]), ("seq:run:2", None)])
def test_it_begins_with_the_number_that_was_asked_for(
    collect: Collect, path: Path, start: str, steps: list[int] | None
) -> None:
    who = Sender("run", sender="run")
    path.write_bytes(b"".join(numbered(seq, who=who) for seq in range(3)) + spoken(3, who=who))
    assert steps_of(collect(str(path), **{**FOLLOW, "start": start})) == (steps or [2])


def test_a_number_that_is_not_there_is_an_error_or_waited_for(collect: Collect, path: Path) -> None:
    path.write_bytes(numbered(0) + numbered(1))
    with pytest.raises(SourceError, match="no message with number 2"):
        collect(str(path), start="seq:2")
    writer = in_background(lambda: append(path, numbered(2) + spoken(3)))
    assert steps_of(collect(str(path), **{**FOLLOW, "start": "seq:2"})) == [2]
    writer.join()


def test_a_number_that_two_senders_have_is_refused(collect: Collect, path: Path) -> None:
    path.write_bytes(numbered(0, who=A) + numbered(0, who=B) + numbered(1, who=B))
    with pytest.raises(SourceError, match="which sender"):
        collect(str(path), start="seq:1")
    assert steps_of(collect(str(path), start="seq:b:1")) == [1]


@pytest.mark.parametrize(
    ("offset", "reason"), [(1, "not_a_boundary"), (200, "not_a_boundary"), (1 << 40, "out_of_window")]
)
def test_an_offset_where_no_message_begins_is_refused(
    collect: Collect, path: Path, offset: int, reason: str
) -> None:
    path.write_bytes(numbered(0) + numbered(1))
    with pytest.raises(CannotResume, match=reason):
        collect(str(path), start=f"offset:{offset}")
    assert collect(str(path), start=f"offset:{path.stat().st_size}") == []


# ---- successors


def test_an_end_that_names_a_successor_leads_there_and_numbers_go_on(
    collect: Collect, tmp_path: Path
) -> None:
    first, second, third = (tmp_path / f"run-{number}.tgm" for number in range(3))
    first.write_bytes(numbered(0) + spoken(1, next=second.name))

    def on_found(one: Any) -> None:
        if isinstance(one, Notice) and one.source == str(first):
            second.write_bytes(numbered(2, prev=first.name) + spoken(3, next=third.name))
        elif isinstance(one, Notice):
            third.write_bytes(numbered(5) + spoken(6))

    found = collect(str(first), on_found, **FOLLOW, poll=0.05)
    assert steps_of(found) == [0, 2, 5]
    assert codes_of(found) == ["seq_gap"]
    assert {one.source for one in found if isinstance(one, Notice)} == {str(first), str(second), str(third)}


@pytest.mark.parametrize("name", ["../x.tgm", "/etc/passwd", ".hidden", "", "..", "run.tgm/", "a\nb", "link"])
def test_a_successor_that_is_no_plain_file_beside_it_is_not_followed(path: Path, name: str) -> None:
    path.with_name("link").symlink_to("/dev/zero")
    path.write_bytes(numbered(0) + spoken(1, next=name))
    found, steps = ended(str(path))
    assert steps_of(found) == [0]
    assert found[-1].code == "next_invalid"
    assert steps.lost_data


def test_a_ring_of_successors_is_left(tmp_path: Path) -> None:
    one, other = tmp_path / "a.tgm", tmp_path / "b.tgm"
    one.write_bytes(numbered(0) + spoken(1, next="b.tgm"))
    other.write_bytes(numbered(2) + spoken(3, next="a.tgm"))
    found, steps = ended(str(one))
    assert steps_of(found) == [0, 2]
    assert found[-1].code == "next_invalid"
    assert steps.lost_data


# ---- folders


def put(folder: Path, name: str, data: bytes) -> None:
    (folder / f".{name}.tmp").write_bytes(data)
    os.rename(folder / f".{name}.tmp", folder / name)


def test_files_that_get_their_name_in_a_folder_are_taken_once_each_in_order(
    collect: Collect, tmp_path: Path
) -> None:
    put(tmp_path, "b.tgm", numbered(1))
    put(tmp_path, "a.tgm", numbered(0))
    (tmp_path / ".private.tgm").write_bytes(numbered(9))
    (tmp_path / "README").write_text("no stream")

    def on_found(one: Any) -> None:
        if steps_of([one]) == [1]:
            put(tmp_path, "0.tgm", numbered(2))
            put(tmp_path, "c.tgm", spoken(3))

    found = collect(str(tmp_path), on_found, **FOLLOW)
    assert steps_of(found) == [0, 1, 2]
    assert codes_of(found) == []


def test_with_a_sentinel_a_file_is_taken_when_that_is_there(collect: Collect, tmp_path: Path) -> None:
    data = numbered(0) + spoken(1)
    (tmp_path / "a.tgm").write_bytes(data)
    assert collect(str(tmp_path), commit="sentinel") == []
    (tmp_path / "a.tgm.done").write_text(f'{{"bytes":{len(data) + 1}}}')
    assert collect(str(tmp_path), commit="sentinel") == []
    (tmp_path / "a.tgm.done").write_text(f'{{"bytes":{len(data)}}}')
    assert steps_of(collect(str(tmp_path), **FOLLOW, commit="sentinel")) == [0]


def test_a_file_in_a_folder_that_was_cut_is_told_and_the_next_is_read(tmp_path: Path) -> None:
    put(tmp_path, "a.tgm", numbered(0) + numbered(1)[:-9])
    put(tmp_path, "b.tgm", numbered(1) + spoken(2))
    found, steps = ended(str(tmp_path))
    assert steps_of(found) == [0, 1, 1]  # of the cut message the object was whole
    assert events_of(found) == ["cut", "end"]
    assert steps.cut


def test_a_file_that_takes_the_place_of_one_that_is_being_read_comes_after_it_once(
    collect: Collect, tmp_path: Path
) -> None:
    put(tmp_path, "a.tgm", numbered(0, [0, 1, 2]))

    def on_found(one: Any) -> None:
        if steps_of([one]) == [0]:
            put(tmp_path, "a.tgm", numbered(1, [3]))
            put(tmp_path, "b.tgm", spoken(2))

    found = collect(str(tmp_path), on_found, **FOLLOW)
    assert steps_of(found) == [0, 1, 2, 3]
    assert events_of(found) == ["end"]


def test_files_that_came_before_it_stopped_are_read_however_seldom_it_lists_them(
    collect: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "_SHARE", 1 << 60)
    folder, flag = tmp_path / "in", tmp_path / "flag"
    folder.mkdir()
    put(folder, "a.tgm", buffered([0]))

    def on_found(one: Any) -> None:
        if not flag.exists():
            put(folder, "b.tgm", buffered([1]))
            flag.touch()

    assert steps_of(collect(str(folder), on_found, **FOLLOW, until_exists=str(flag))) == [0, 1]


def test_a_folder_that_goes_away_is_an_error(collect: Collect, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    put(folder, "a.tgm", numbered(0))

    def on_found(one: Any) -> None:
        if folder.exists():
            (folder / "a.tgm").unlink()
            folder.rmdir()

    with pytest.raises(SourceError, match="no such file"):
        collect(str(folder), on_found, **FOLLOW)


# ---- what it is tied to


def test_it_stops_when_a_file_is_there_and_everything_was_read(collect: Collect, path: Path) -> None:
    path.write_bytes(buffered([0]))
    flag = path.with_name("flag")

    def on_found(one: Any) -> None:
        if steps_of([one]) == [0]:
            append(path, buffered([1]))
            flag.touch()

    assert steps_of(collect(str(path), on_found, **FOLLOW, until_exists=str(flag))) == [0, 1]


def test_it_stops_when_a_command_fails_and_everything_was_read(collect: Collect, path: Path) -> None:
    path.write_bytes(buffered([0]))
    flag = path.with_name("flag")
    flag.touch()

    def on_found(one: Any) -> None:
        if steps_of([one]) == [0]:
            append(path, buffered([1]))
            flag.unlink()

    found = collect(str(path), on_found, **FOLLOW, poll=0.02, while_command=f"test -e '{flag}'")
    assert steps_of(found) == [0, 1]
