"""A file for each name: whole messages in order, in few open files, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import tensogram

import tgmtool
from tests.operations.streams import entry, field, steps_of
from tests.operations.transforms.messages import end, kinds, one, place, run, units
from tgmtool import LimitExceeded, SourceError
from tgmtool.errors import NameRefused
from tgmtool.operations.transforms.base import Unit
from tgmtool.operations.transforms.split import Split


def named(folder: Path) -> dict[str, list[int]]:
    return {path.name: steps_of(tgmtool.read(path)) for path in sorted(folder.iterdir())}


def stream(steps: list[int]) -> bytes:
    return b"".join(one(step, layout="streaming") for step in steps)


def test_every_name_has_its_messages_in_their_order(tmp_path: Path) -> None:
    data = stream([0, 6, 0, 12, 6, 0])
    stage = Split(f"{tmp_path}/out/[mars.param]_[mars.step].tgm")
    assert run(stage, data) == data
    assert named(tmp_path / "out") == {"2t_0.tgm": [0, 0, 0], "2t_12.tgm": [12], "2t_6.tgm": [6, 6]}
    assert (stage.files, stage.messages) == (3, 6)


def test_the_parts_are_backfilled_and_the_reference_reads_them(tmp_path: Path) -> None:
    run(Split(f"{tmp_path}/[mars.param].tgm"), stream([0, 1, 2]))
    with tensogram.TensogramFile.open(str(tmp_path / "2t.tgm")) as file:
        assert len(file) == 3


@pytest.mark.parametrize("most", [1, 2, 5])
def test_few_files_are_open_at_a_time(tmp_path: Path, most: int) -> None:
    stage = Split(f"{tmp_path}/[mars.step]", open_files=most)
    steps = [step for _ in range(3) for step in range(8)]
    before = len(os.listdir("/proc/self/fd"))
    for unit in units(stream(steps)):
        list(stage.message(unit))
        assert len(os.listdir("/proc/self/fd")) <= before + most
    stage.finish(failed=False)
    assert len(os.listdir("/proc/self/fd")) == before - 1  # the folder too
    assert named(tmp_path) == {str(step): [step] * 3 for step in range(8)}


def test_markers_go_into_no_part_and_pass_on(tmp_path: Path) -> None:
    data = one(0, place=place(0)) + end(1) + kinds()["no-objects"]
    assert run(Split(f"{tmp_path}/[mars.step]"), data) == data
    assert named(tmp_path) == {"0": [0]}


def test_a_message_without_the_key_says_which(tmp_path: Path) -> None:
    stage = Split(f"{tmp_path}/[mars.number]")
    with pytest.raises(NameRefused, match=r"in: message 0: it has no key 'mars.number'"):
        run(stage, one(0))


def test_a_message_whose_objects_differ_belongs_in_no_file(tmp_path: Path) -> None:
    with pytest.raises(NameRefused, match=r"differ in mars\.step"):
        run(Split(f"{tmp_path}/[mars.step]"), one(0, objects=2))


def test_names_are_counted(tmp_path: Path) -> None:
    stage = Split(f"{tmp_path}/[mars.step]", most_names=2)
    with pytest.raises(LimitExceeded, match="--max-names"):
        run(stage, stream([0, 1, 0, 2]))
    stage.finish(failed=True)
    assert named(tmp_path) == {"0": [0, 0], "1": [1]}


def hostile(value: object) -> bytes:
    return tgmtool.encode([(field(0), {**entry(0), "name": value})])


@pytest.mark.parametrize(
    "value", ["../up", "/etc/passwd", ".hidden", "-rf", "a/b", "x\0y", "\x1b[2J", ["..", "up"]]
)
def test_hostile_values_stay_in_the_folder(tmp_path: Path, value: object) -> None:
    run(Split(f"{tmp_path}/out/[name]"), hostile(value))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (made,) = (tmp_path / "out").iterdir()
    assert made.name[0] not in ".-"
    assert made.name.isprintable()


def test_a_link_in_the_place_of_a_part_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("keep")
    (tmp_path / "0").symlink_to("target")
    with pytest.raises(SourceError, match="already exists"):
        run(Split(f"{tmp_path}/[mars.step]"), one(0))
    run(Split(f"{tmp_path}/[mars.step]", force=True), one(0))
    assert (tmp_path / "target").read_text() == "keep"
    assert not (tmp_path / "0").is_symlink()


def test_a_part_that_was_replaced_meanwhile_is_not_written_to(tmp_path: Path) -> None:
    stage = Split(f"{tmp_path}/[mars.step]", open_files=1)
    first, second, third = units(stream([0, 1, 0]))
    list(stage.message(first))
    list(stage.message(second))
    (tmp_path / "0").unlink()
    (tmp_path / "0").write_text("of somebody else")
    with pytest.raises(SourceError, match="somebody else"):
        list(stage.message(third))
    assert (tmp_path / "0").read_text() == "of somebody else"


def test_an_existing_part_is_refused_or_replaced(tmp_path: Path) -> None:
    (tmp_path / "0").write_text("old")
    with pytest.raises(SourceError, match="--force"):
        run(Split(f"{tmp_path}/[mars.step]"), one(0))
    assert (tmp_path / "0").read_text() == "old"
    run(Split(f"{tmp_path}/[mars.step]", force=True), one(0))
    assert named(tmp_path) == {"0": [0]}


def test_after_a_failure_the_parts_hold_whole_messages(tmp_path: Path) -> None:
    run(Split(f"{tmp_path}/[mars.step]"), stream([0, 1]), failed=True)
    assert named(tmp_path) == {"0": [0], "1": [1]}


def test_damaged_metadata_makes_no_file(tmp_path: Path) -> None:
    data = bytearray(one(0))
    data[60] ^= 1
    with pytest.raises(tgmtool.FormatError):
        list(Split(f"{tmp_path}/[mars.step]").message(Unit(bytes(data))))
    assert list(tmp_path.iterdir()) == []
