"""A tee holds every whole message, backfilled, whatever happens after it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensogram

import tgmtool
from tests.operations.streams import steps_of
from tests.operations.transforms.messages import kinds, one, run, units
from tests.processes import LIMITED, environment
from tgmtool import SourceError, TruncatedError
from tgmtool.endpoints.memory import MemorySink
from tgmtool.operations.outputs import Output
from tgmtool.operations.transforms.base import Unit
from tgmtool.operations.transforms.filled import filled
from tgmtool.operations.transforms.tee import Tee


def streamed(count: int = 3) -> bytes:
    return b"".join(one(step, layout="streaming") for step in range(count))


def test_what_passes_is_unchanged_and_the_copy_is_what_backfill_makes(tmp_path: Path) -> None:
    data = streamed() + one(3)
    copy, direct = tmp_path / "copy.tgm", tmp_path / "direct.tgm"
    assert run(Tee(Output(str(copy))), data) == data
    direct.write_bytes(data)
    tgmtool.backfill(direct)
    assert copy.read_bytes() == direct.read_bytes()


def test_the_reference_reads_every_message_of_a_copy(tmp_path: Path) -> None:
    copy = tmp_path / "copy.tgm"
    run(Tee(Output(str(copy))), streamed(4))
    with tensogram.TensogramFile.open(str(copy)) as file:
        assert len(file) == 4
        assert [int(file.decode_message(n).objects[0][1][0, 0]) for n in range(4)] == [0, 100, 200, 300]


def test_a_copy_can_be_followed_message_by_message(tmp_path: Path) -> None:
    copy = tmp_path / "copy.tgm"
    stage = Tee(Output(str(copy)))
    for number, unit in enumerate(units(streamed())):
        list(stage.message(unit))
        assert steps_of(tgmtool.read(copy)) == list(range(number + 1))
    stage.finish(failed=False)


def test_after_a_failure_the_whole_messages_stay(tmp_path: Path) -> None:
    copy = tmp_path / "copy.tgm"
    run(Tee(Output(str(copy))), streamed(2), failed=True)
    assert steps_of(tgmtool.read(copy)) == [0, 1]


def test_a_copy_that_was_to_appear_whole_does_not_appear_after_a_failure(tmp_path: Path) -> None:
    copy = tmp_path / "copy.tgm"
    run(Tee(Output(str(copy), commit="rename")), streamed(2), failed=True)
    assert list(tmp_path.iterdir()) == []
    run(Tee(Output(str(copy), commit="rename")), streamed(2))
    assert steps_of(tgmtool.read(copy)) == [0, 1]


def test_several_copies_are_the_same(tmp_path: Path) -> None:
    stages = [Tee(Output(str(tmp_path / name))) for name in "ab"]
    for unit in units(streamed()):
        for stage in stages:
            list(stage.message(unit))
    for stage in stages:
        stage.finish(failed=False)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_existing_file_is_refused_or_replaced(tmp_path: Path) -> None:
    copy = tmp_path / "copy.tgm"
    copy.write_bytes(one(7))
    with pytest.raises(SourceError, match="already exists"):
        Tee(Output(str(copy)))
    run(Tee(Output(str(copy), force=True)), streamed(1))
    assert steps_of(tgmtool.read(copy)) == [0]


def test_a_file_is_continued_and_with_a_cut_end_only_when_told(tmp_path: Path) -> None:
    copy = tmp_path / "copy.tgm"
    copy.write_bytes(one(7))
    run(Tee(Output(str(copy), append=True)), streamed(1))
    assert steps_of(tgmtool.read(copy)) == [7, 0]
    copy.write_bytes(one(7) + one(8, layout="streaming")[:-30])
    with pytest.raises(TruncatedError):
        Tee(Output(str(copy), append=True))
    stage = Tee(Output(str(copy), append=True, repair_tail=True))
    assert any("finished" in warning for warning in stage.warnings)
    run(stage, streamed(1))
    assert steps_of(tgmtool.read(copy)) == [7, 8, 0]


def test_a_path_is_a_place_too(tmp_path: Path) -> None:
    run(Tee(tmp_path / "copy.tgm"), streamed(1))
    assert steps_of(tgmtool.read(tmp_path / "copy.tgm")) == [0]


def test_a_disk_that_is_full_is_named_and_the_copy_cut_back(tmp_path: Path) -> None:
    copy = tmp_path / "copy.tgm"
    first = units(streamed())
    limit = len(first[0].data) + 50
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from tests.operations.transforms.messages import run\n"
        "from tests.operations.transforms.test_tee import streamed\n"
        "from tgmtool.operations.outputs import Output\n"
        "from tgmtool.operations.transforms.tee import Tee\n"
        f"run(Tee(Output({str(copy)!r})), streamed())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(LIMITED),
    )
    assert "SourceError" in done.stderr
    assert "1 whole messages" in done.stderr
    assert steps_of(tgmtool.read(copy)) == [0]


def test_a_device_without_room_is_an_error_that_names_it() -> None:
    stage = Tee(Output("/dev/full"))
    with pytest.raises(SourceError, match=r"/dev/full: no space left"):
        list(stage.message(Unit(one(0))))
    stage.finish(failed=True)


def test_a_sink_of_the_caller_is_left_open() -> None:
    sink = MemorySink()
    run(Tee(sink), streamed(1))
    assert bytes(sink.data) == b"".join(filled(Unit(streamed(1))))


def test_a_pipe_whose_reader_went_away_says_so(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as file:
        stage = Tee(file)
        with pytest.raises(BrokenPipeError):
            list(stage.message(Unit(kinds()["buffered"])))
