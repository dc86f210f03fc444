"""The main job, end to end: a model writes, others see every object while the message is still open."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
import tensogram

from tests.operations.streams import field, framed, objects_in, steps_of
from tests.processes import Running, tgmtool
from tgmtool import Gap, scan

COUNT = 8


@pytest.mark.parametrize("watch", ["auto", "off"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_every_object_appears_while_the_message_is_still_open(
    tmp_path: Path, watch: str, compression: str
) -> None:
    path = tmp_path / "run.tgm"
    follow = ("tail", "-f", "-n", "+1", "-j", "--wait-for", "60s", "-s", "50ms", "--watch", watch, path)
    options = ("--from", "framed", "--group", "all", "--layout", "streaming", "--compression", compression)
    with Running(*follow, "--count", COUNT) as tail:  # noqa: SIM117  # the follower is there first
        with Running("encode", *options, "-j", "-o", path) as encode:
            for step in range(COUNT):
                encode.send(framed([step], (30, 40)))
                record = json.loads(tail.line())
                assert record["mars"] == {"param": "2t", "step": step}
                assert (record["_msg"], record["_obj"], record["shape"]) == (0, step, [30, 40])
                (*_, last) = scan(path)
                assert isinstance(last, Gap)
                assert last.kind == "incomplete"
            assert tail.wait() == 0
            encode.close_stdin()
            written = [json.loads(line)["_objects"] for line in encode.rest()]
            assert encode.wait() == 0
            assert written == [COUNT, 0]  # the second says that it is over
    assert steps_of(objects_in(path)) == list(range(COUNT))
    report = tensogram.validate_file(str(path), level="full")
    assert report["file_issues"] == []
    assert [message["issues"] for message in report["messages"]] == [[], []]


def test_a_pipeline_of_both_passes_every_object_on_at_once() -> None:
    script = (
        f"{sys.executable} -m tgmtool encode --from framed --group all -o - | {sys.executable} -m tgmtool"
    )
    script += " tail -n +1 --template '{mars.step} {_obj}' -"
    with Running(script, program=("bash", "-c")) as both:
        for step in range(4):
            both.send(framed([step]))
            assert both.line().decode() == f"{step} {step}"
        both.close_stdin()
        assert both.rest() == []
        assert both.wait() == 0


def test_a_follower_ends_with_the_stream_and_says_how_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    for number, status in ((signal.SIGTERM, 6), (None, 0)):
        path.unlink(missing_ok=True)
        with (
            Running("encode", "--from", "framed", "-o", path) as encode,
            Running("tail", "-f", "-n", "+1", "--wait-for", "60s", "-p", "mars.step", path) as tail,
        ):
            encode.send(framed(range(3)))
            assert [tail.line() for _ in range(4)] == [b"mars.step", b"0", b"1", b"2"]
            if number is None:
                encode.close_stdin()
            else:
                encode.signal(number)
            assert encode.wait() == (0 if number is None else 143)
            assert tail.wait() == status


def test_a_follower_that_starts_late_sees_the_same(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    with Running("encode", "--from", "framed", "--group", "all", "-o", path) as encode:
        encode.send(framed(range(3)))
        early = ("tail", "-f", "-n", "+1", "--wait-for", "60s", "--count", 3, "-p", "mars.step", "-j", path)
        first = tgmtool(*early)
        late = tgmtool(*early)
        assert first.out == late.out
        assert [json.loads(line)["mars.step"] for line in first.lines] == [0, 1, 2]
        encode.close_stdin()
        assert encode.wait() == 0


def test_until_ends_a_batch_job_and_pid_ends_with_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    with Running("encode", "--from", "framed", "--group", "all", "-o", path) as encode:
        words = ("tail", "-F", "-n", "+1", "--pid", encode.pid, "-j", path)
        with (
            Running(*words, "--until", "mars.step=2", "--idle-timeout", "60s") as until,
            Running(*words) as pid,
        ):
            encode.send(framed(range(4)))
            assert len(until.rest()) == 3
            assert until.wait() == 0
            encode.close_stdin()
            assert encode.wait() == 0
            *objects, end = map(json.loads, pid.rest())
            assert [row["mars"]["step"] for row in objects] == [0, 1, 2, 3]
            assert end["event"] == "end"
            assert pid.wait() == 0


def test_values_come_through_the_whole_way(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    done = tgmtool("encode", "--from", "framed", "-o", path, stdin=framed(range(3)))
    assert done.status == 0
    rows = tgmtool("tail", "-n", "+1", "--stats", "-p", "mars.step", path).lines[1:]
    assert [float(row.split("\t")[3]) for row in rows] == [float(field(step).max()) for step in range(3)]
