"""Finishing what a dead producer left, at whatever length it died."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensogram

import tgmtool
from tests.operations.streams import buffered, field, object_ends, objects_in, steps_of, streaming
from tests.operations.test_encode import PLAN, made
from tgmtool import TruncatedError
from tgmtool.operations.encode import produce
from tgmtool.operations.outputs import Output

SMALL = (1,)
LAST = 77


def append_to(path: Path, *, repair_tail: bool = True) -> list[str]:
    """Append one object; return what the operator is told."""
    said: list[str] = []
    from tests.operations.streams import framed
    from tgmtool import MemorySource

    output = Output(str(path), append=True, repair_tail=repair_tail, fsync="none")
    list(produce([MemorySource(framed([LAST], SMALL))], output, PLAN, report=said.append))
    return said


def errors_of(path: Path) -> list[Any]:
    """What the reference calls an error at its deepest level."""
    report = tensogram.validate_file(str(path), level="full")
    issues = [issue for message in report["messages"] for issue in message["issues"]]
    return [*report["file_issues"], *(issue for issue in issues if issue["severity"] == "error")]


@pytest.fixture(autouse=True, scope="module")
def _no_waiting_for_disks() -> Any:
    """Thousands of repairs: that each is made durable is tested elsewhere."""
    patch = pytest.MonkeyPatch()
    patch.setattr("tgmtool.endpoints.local.os.fsync", lambda _descriptor: None)
    yield
    patch.undo()


FIRST = buffered([50], shape=SMALL)
OPEN = streaming(range(3), shape=SMALL)


@pytest.mark.parametrize("before", [b"", FIRST], ids=["alone", "after a whole message"])
@pytest.mark.parametrize("part", range(4))
def test_a_streaming_message_cut_at_any_length_keeps_every_whole_object(
    tmp_path: Path, before: bytes, part: int
) -> None:
    path = tmp_path / "a.tgm"
    ends = object_ends(OPEN)
    known = [50] if before else []
    for size in range(1 + part, len(OPEN), 4):
        path.write_bytes(before + OPEN[:size])
        append_to(path)
        whole = [step for step, end in enumerate(ends) if end <= size]
        assert steps_of(objects_in(path)) == [*known, *whole, LAST], size
        assert errors_of(path) == [], size
        assert path.read_bytes().startswith(before)


@pytest.mark.parametrize("hashing", [True, False])
@pytest.mark.parametrize("preceder", [True, False])
def test_whatever_the_style_the_message_is_closed_in_it(
    tmp_path: Path, hashing: bool, preceder: bool
) -> None:
    style = tgmtool.Style("streaming", hashing, preceder, False)
    data = tgmtool.encode([field(0), field(1)], layout="streaming", style=style)
    path = tmp_path / "a.tgm"
    path.write_bytes(data[: object_ends(data)[1] + 3])
    made(path, [5], append=True, repair_tail=True)
    found = [one.array.tolist() for one in objects_in(path)]
    assert found == [field(step).tolist() for step in (0, 1, 5)]
    assert errors_of(path) == []


def test_message_metadata_survives(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    data = tgmtool.encode([field(0)], metadata={"title": "run"}, layout="streaming", style=tgmtool.Style())
    streaming_one = tgmtool.encode(
        [field(0)], metadata={"title": "run"}, layout="streaming", style=tgmtool.Style(backfill=False)
    )
    assert len(data) == len(streaming_one)
    path.write_bytes(streaming_one[: object_ends(streaming_one)[0]])
    made(path, [5], append=True, repair_tail=True)
    first, _ = tgmtool.read(path)
    assert isinstance(first, tgmtool.Message)
    assert first.metadata.extra == {"title": "run"}


@pytest.mark.parametrize("size", range(1, len(OPEN), 37))
def test_a_cut_tail_is_refused_without_repair_and_nothing_is_changed(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(FIRST + OPEN[:size])
    with pytest.raises(TruncatedError, match="--repair-tail") as caught:
        append_to(path, repair_tail=False)
    assert (caught.value.message_offset, caught.value.available) == (len(FIRST), size)
    assert path.read_bytes() == FIRST + OPEN[:size]


BUFFERED = buffered(range(3), shape=SMALL)


@pytest.mark.parametrize("data", [BUFFERED, streaming(range(3), shape=SMALL, backfill=True)])
def test_a_cut_message_that_knows_its_length_is_set_aside_if_it_has_whole_objects(
    tmp_path: Path, data: bytes
) -> None:
    ends = object_ends(data)
    for size in range(1, len(data), 3):
        folder = tmp_path / str(size)
        folder.mkdir()
        path = folder / "a.tgm"
        path.write_bytes(FIRST + data[:size])
        said = append_to(path)
        assert steps_of(objects_in(path)) == [50, LAST]
        assert errors_of(path) == []
        aside = folder / f"a.tgm.torn-{len(FIRST)}"
        assert aside.exists() == (size >= ends[0]), size
        if aside.exists():
            assert aside.read_bytes() == data[:size]
            assert str(aside) in said[0]


def test_the_operator_is_told_what_was_kept_and_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    end = object_ends(OPEN)[1]
    path.write_bytes(OPEN[: end + 20])
    (said,) = append_to(path)
    assert "2 whole objects kept, 20 bytes of an unfinished frame dropped" in said


def test_a_file_repaired_once_is_whole_and_can_be_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(OPEN[:-30])
    append_to(path)
    assert append_to(path, repair_tail=False) == []
    assert steps_of(objects_in(path)) == [0, 1, 2, LAST, LAST]
