"""Pipelines: what comes out is what went in, changed by the stages and by nothing else."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import tgmtool
from tests.builders import flip_bit
from tests.operations.pipelines import messages, nothing_left, place_of, run
from tests.operations.streams import buffered, steps_of
from tests.processes import PATIENCE, wait_until
from tgmtool import Message
from tgmtool.endpoints.memory import MemorySink
from tgmtool.errors import EncodeError, FormatError, SourceError, TruncatedError
from tgmtool.messages.stream import END, ERROR, Place, Sender
from tgmtool.operations.markers import marker
from tgmtool.operations.pipe.choices import LEAST_BUDGET, PipeChoices, budget
from tgmtool.operations.pipe.engine import pipeline
from tgmtool.operations.pipe.failures import Interrupted, StageFailed
from tgmtool.operations.pipe.specs import BUILTIN, PROCESS, WORKERS, parse
from tgmtool.operations.transforms.base import Needs, Unit

STREAM = messages(9, 5000)
DATA = b"".join(STREAM)
END_MARK = marker(Place(Sender("run"), 9, END))
ERROR_MARK = marker(Place(Sender("run"), 9, ERROR, {"code": "full", "msg": "disk full"}))


def out_of(stages: Iterable[Any], source: Any = DATA, **choices: Any) -> bytes:
    sink = MemorySink()
    with nothing_left():
        report = run(list(stages), source=source, sink=sink, **choices)
    assert report.failure is None
    return bytes(sink.data)


def steps_in(data: bytes) -> list[int]:
    return steps_of(one for one in tgmtool.read(data) if isinstance(one, Message))


# ---- stages as they are written


@pytest.mark.parametrize(
    ("text", "kind", "words", "runs"),
    [
        ("cat", PROCESS, ("cat",), 1),
        ("archive  - 'a b'", PROCESS, ("archive", "-", "a b"), 1),
        ("4*compress-one --level 3", WORKERS, ("compress-one", "--level", "3"), 4),
        (" 2*cat ", WORKERS, ("cat",), 2),
        ("1*cat", WORKERS, ("cat",), 1),
        ("@where a=1,b=2", BUILTIN, ("@where", "a=1,b=2"), 1),
        ("./4*x", PROCESS, ("./4*x",), 1),
    ],
)
def test_a_stage_is_read(text: str, kind: str, words: tuple[str, ...], runs: int) -> None:
    found = parse(text)
    assert (found.kind, found.words, found.runs) == (kind, words, runs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("0*cat", "0 runs at once"),
        ("cat 'a", "no closing quotation"),
        ("2*@verify", "is built in"),
        ("@nothing", "there is no @nothing, expected one of @by, @limit, @merge, @pace"),
        ("@limit", "expected @limit N"),
        ("@limit many", "is no number"),
        ("@rate 0", "nothing would pass"),
        ("@rate fast", "'fast' is no size"),
        ("@pace slow", "'slow' is no duration"),
        ("@where", "expected @where EXPR"),
        ("@where param", "has no operator"),
        ("@verify twice", "expected @verify alone"),
        ("@tee --often x", "there is no --often"),
        ("@merge", "expected @merge PATH"),
        ("@refs --fsync=often x", "expected none or message"),
        ("@tee --append s3://bucket/x.tgm", "cannot be continued"),
        ("@recode gzip", "does not exist"),
    ],
)
def test_a_stage_that_cannot_be_understood_is_refused_before_anything_starts(text: str, said: str) -> None:
    with nothing_left(), pytest.raises(EncodeError, match=said):
        pipeline(["cat", text], source=DATA, sink=None)


def test_choices_that_make_no_sense_are_refused() -> None:
    for wrong in ({"on_error": "hope"}, {"buffer": 0}, {"failed": "x.tgm"}):
        with pytest.raises(EncodeError):
            pipeline([], source=DATA, sink=None, choices=PipeChoices(**wrong))


def test_a_budget_is_shared_by_the_links_and_has_a_floor() -> None:
    assert PipeChoices(memory_budget=1 << 30).capacity(2) == 64 << 20
    assert PipeChoices(memory_budget=100 << 20).capacity(4) == 25 << 20
    assert PipeChoices(memory_budget=1).capacity(2) == LEAST_BUDGET // 2
    assert PipeChoices(buffer=5000, memory_budget=1 << 30).capacity(2) == 5000
    assert budget(0.5) >= budget() >= LEAST_BUDGET


# ---- what passes


@pytest.mark.parametrize("buffer", [4096, 30_000, 64 << 20])
@pytest.mark.parametrize(
    "stages",
    [[], ["cat"], ["cat", "cat", "cat"], ["3*cat"], ["@verify"], ["@verify", "2*cat", "cat", "@rate 1G"]],
)
def test_bytes_pass_unchanged_and_in_order(stages: list[str], buffer: int) -> None:
    assert out_of(stages, buffer=buffer) == DATA


def test_all_places_that_can_be_read_and_written(tmp_path: Path) -> None:
    path, out = tmp_path / "in.tgm", tmp_path / "out.tgm"
    path.write_bytes(DATA)
    with nothing_left():
        assert pipeline([], source=path, sink=out).bytes == len(DATA)
        with path.open("rb") as file:
            assert pipeline([], source=file.fileno(), sink=None).messages == len(STREAM)
    assert out.read_bytes() == DATA
    with nothing_left(), pytest.raises(SourceError, match="no such file"):
        pipeline([], source=tmp_path / "missing.tgm", sink=None)


def test_every_link_reports_what_passed() -> None:
    report = run(["cat", "@limit 3", "2*cat"], source=DATA)
    assert [link.messages for link in report.links][-2:] == [3, 3]
    assert report.messages == 3
    assert report.links[1].after == "stage 2 '@limit'"
    assert all(link.peak <= link.capacity for link in report.links)


def test_order_is_kept_although_later_runs_end_first(tmp_path: Path) -> None:
    # The first run waits for a file that the second one makes.
    script = f"cat; if mkdir {tmp_path}/first 2>/dev/null; then while ! test -e {tmp_path}/done; do :; done; "
    script += f"else touch {tmp_path}/done; fi"
    stage = f"2*{shlex.join(['sh', '-c', script])}"
    assert out_of([stage], STREAM[0] + STREAM[1]) == STREAM[0] + STREAM[1]


def test_without_order_what_is_ready_passes_and_a_marker_waits_for_all_before_it(tmp_path: Path) -> None:
    script = (
        f"cat; if mkdir {tmp_path}/first 2>/dev/null; then while ! test -e {tmp_path}/done; do :; done; fi"
    )
    stage = f"2*{shlex.join(['sh', '-c', script])}"
    seen: list[bytes] = []

    class Last:
        name, needs = "last", "bytes"

        def message(self, unit: Unit) -> Iterable[Unit]:
            seen.append(bytes(unit.data))
            (tmp_path / "done").touch()
            return ()

        def finish(self, *, failed: bool) -> Iterable[Unit]:
            return ()

    run([stage, Last()], source=STREAM[0] + STREAM[1] + END_MARK, in_order=False)
    assert sorted(seen[:2]) == sorted(STREAM[:2])
    assert seen[2:] == [END_MARK]


def test_a_run_may_give_nothing_or_several_messages() -> None:
    assert out_of(["2*cat -"], b"") == b""
    assert out_of(["2*true"]) == b""
    twice = shlex.join(["sh", "-c", "tee /dev/stderr 2>&1"])
    assert out_of([f"2*{twice}"]) == b"".join(each * 2 for each in STREAM)


def test_markers_are_not_given_to_runs_and_pass_behind_everything() -> None:
    assert out_of(["3*true"], DATA + END_MARK) == END_MARK
    assert out_of(["@where mars.step=4"], DATA + END_MARK) == STREAM[4] + END_MARK


def test_whoever_speaks_something_else_at_the_head_and_at_the_end_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "in.gz"
    path.write_bytes(run_gzip(DATA))
    out = tmp_path / "count"
    with path.open("rb") as file, nothing_left():
        report = pipeline(["cat", "gzip -dc", "@limit 2", "wc -c"], source=file.fileno(), sink=out)
    assert int(out.read_text()) == len(STREAM[0]) + len(STREAM[1])
    assert report.losses == ()


def run_gzip(data: bytes) -> bytes:
    import gzip

    return gzip.compress(data)


def test_a_pipeline_without_any_messages_is_refused() -> None:
    for stages in (["echo text"], ["echo text", "cat"]):
        assert isinstance(run(stages, source=os.open(os.devnull, os.O_RDONLY)).failure, FormatError)


# ---- built-in stages


def test_limit_ends_everything_before_it(tmp_path: Path) -> None:
    assert steps_in(out_of(["@limit 4"])) == [0, 1, 2, 3]
    assert out_of(["@limit 0"]) == b""
    path = tmp_path / "in.tgm"
    path.write_bytes(DATA)
    endless = shlex.join(["sh", "-c", 'while cat "$0"; do :; done', str(path)])
    nothing = os.open(os.devnull, os.O_RDONLY)
    assert out_of([endless, "cat", "@limit 20", "cat"], nothing) == DATA * 2 + STREAM[0] + STREAM[1]
    os.close(nothing)


SMALL = [buffered(range(step, step + 1), shape=(4,)) for step in range(600)]


@pytest.mark.parametrize("buffer", [4096, 1 << 20])
@pytest.mark.parametrize(
    ("stages", "steps"),
    [
        (["@where mars.step>=100", "@verify", "@where mars.step<500"], range(100, 500)),
        (["@where mars.step=0/to/600/by/7", "@tee {}/copy.tgm", "cat"], range(0, 600, 7)),
        (["@verify", "@limit 50", "@where mars.step=1/49/50"], (1, 49)),
    ],
)
def test_small_messages_that_come_together_are_dealt_with_one_by_one(
    stages: list[str], steps: Iterable[int], buffer: int, tmp_path: Path
) -> None:
    found = out_of([stage.format(tmp_path) for stage in stages], b"".join(SMALL), buffer=buffer)
    assert found == b"".join(SMALL[step] for step in steps)


def test_of_small_messages_that_come_together_the_one_that_fails_is_named() -> None:
    damaged = flip_bit(SMALL[331], Unit(SMALL[331]).message.objects[0].span.payload_offset)
    sink = MemorySink()
    data = b"".join([*SMALL[:331], damaged, *SMALL[332:]])
    report = run(["@where mars.step!=5", "@verify"], source=data, sink=sink)
    assert "stage 2 '@verify': message 331" in str(report.failure)
    passed = b"".join([*SMALL[:5], *SMALL[6:331]])
    assert bytes(sink.data).startswith(passed)
    assert len(list(tgmtool.read(bytes(sink.data)[len(passed) :]))) == 1  # the error marker


def test_verify_stops_at_the_first_fault_and_says_where() -> None:
    damaged = flip_bit(STREAM[3], len(STREAM[3]) // 2)
    sink = MemorySink()
    report = run(["@verify"], source=b"".join(STREAM[:3]) + damaged + STREAM[4], sink=sink)
    assert isinstance(report.failure, StageFailed)
    assert "stage 1 '@verify': message 3" in str(report.failure)
    assert bytes(sink.data).startswith(b"".join(STREAM[:3]))
    mark = place_of(bytes(sink.data)[len(b"".join(STREAM[:3])) :])
    assert mark is not None
    assert (mark.type, mark.who.sender, mark.rest["code"]) == (ERROR, "pipe", "stage_failed")


def test_what_fails_is_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    failed = tmp_path / "failed.tgm"
    damaged = flip_bit(STREAM[3], len(STREAM[3]) // 2)
    source = b"".join([*STREAM[:3], damaged, *STREAM[4:]])
    sink = MemorySink()
    report = run(["@verify"], source=source, sink=sink, keep_going=True, failed=str(failed))
    assert bytes(sink.data) == b"".join(STREAM[:3] + STREAM[4:])
    assert failed.read_bytes() == damaged
    assert len(report.losses) == 1
    script = shlex.join(["sh", "-c", "cat > /dev/null; exit 3"])
    report = run([f"2*{script}"], source=DATA, keep_going=True, failed=str(failed))
    assert sorted(steps_in(failed.read_bytes())) == list(range(9))


def test_losses_beyond_a_number_are_counted() -> None:
    noted: list[str] = []
    report = run(["1*false"], source=messages(1, 4)[0] * 103, keep_going=True, noted=noted)
    assert (report.failure, len(report.losses)) == (None, 101)
    assert report.losses[-1] == noted[-1] == "and 3 more that are not told one by one"


def test_merge_keeps_every_message_whole_and_every_input_in_order(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.tgm", "b.tgm", "c.fifo")]
    streams = [[buffered([step], shape=(2000,)) for step in range(start, 40, 3)] for start in range(3)]
    for path, stream in zip(paths[:2], streams, strict=False):
        path.write_bytes(b"".join(stream))
    os.mkfifo(paths[2])

    def feed() -> None:
        paths[2].write_bytes(b"".join(streams[2]))

    feeder = threading.Thread(target=feed)
    feeder.start()
    sink = MemorySink()
    report = run([shlex.join(["@merge", *map(str, paths)])], sink=sink, buffer=10_000)
    feeder.join()
    assert report.failure is None
    found = steps_in(bytes(sink.data))
    assert sorted(found) == list(range(40))
    for start in range(3):
        assert [step for step in found if step % 3 == start] == list(range(start, 40, 3))


def test_pace_follows_the_times_of_the_messages() -> None:
    timed = [
        marker(Place(Sender("run"), seq, "note", {"time": f"2026-01-01T00:00:00.{seq:02}0Z"}))
        for seq in (0, 9)
    ]
    report = run(["@pace"], source=b"".join(timed))
    assert report.seconds >= 0.09
    assert run(["@pace 50ms"], source=b"".join(STREAM[:3])).seconds >= 0.1


def test_rate_keeps_to_it_on_average() -> None:
    assert run([f"@rate {len(DATA) * 5}"], source=DATA).seconds >= 0.1


def test_a_transform_of_ones_own_gets_whole_messages_also_those_larger_than_the_buffer() -> None:
    seen: list[bytes] = []

    class Own:
        name = "own"
        needs: Needs = "message"
        finished: bool | None = None

        def message(self, unit: Unit) -> Iterable[Unit]:
            seen.append(bytes(unit.data))
            yield unit
            yield unit.replaced(STREAM[0])

        def finish(self, *, failed: bool) -> Iterable[Unit]:
            self.finished = failed
            yield Unit(END_MARK)

    own = Own()
    found = out_of([own], b"".join(STREAM[:3]), buffer=4096)
    assert seen == STREAM[:3]
    assert found == b"".join(each + STREAM[0] for each in STREAM[:3]) + END_MARK
    assert own.finished is False


# ---- how it ends


def test_a_producer_that_said_error_is_told() -> None:
    sink = MemorySink()
    report = run(["2*cat"], source=DATA + ERROR_MARK, sink=sink)
    assert report.failure is None
    assert report.producer_error is not None
    assert report.producer_error.rest["msg"] == "disk full"
    assert bytes(sink.data) == DATA + ERROR_MARK


def test_a_cut_input_delivers_what_is_whole_and_says_so_downstream() -> None:
    sink = MemorySink()
    report = run(["cat"], source=DATA[:-5], sink=sink)
    assert isinstance(report.failure, TruncatedError)
    whole = b"".join(STREAM[:-1])
    assert bytes(sink.data).startswith(whole)
    place = place_of(bytes(sink.data)[len(whole) :])
    assert place is not None
    assert place.rest["code"] == "input_cut"


def test_the_library_raises_what_went_wrong() -> None:
    with nothing_left(), pytest.raises(StageFailed, match="stage 2 'false' exited 1"):
        pipeline(["cat", "false"], source=DATA, sink=None)
    with nothing_left(), pytest.raises(StageFailed, match="stage 1 'no-such-thing': no such command"):
        pipeline(["no-such-thing"], source=DATA, sink=None)


def test_an_interrupt_ends_everything_and_is_raised(tmp_path: Path) -> None:
    there = tmp_path / "there"

    def interrupt() -> None:
        wait_until(there.exists, "the stage to run")
        os.kill(os.getpid(), signal.SIGINT)

    script = shlex.join(["sh", "-c", f"touch {there}; sleep 1000"])
    thread = threading.Thread(target=interrupt)
    with nothing_left("sleep 1000000"):
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            pipeline([script], source=DATA, sink=None, choices=PipeChoices(grace=0.5))
        thread.join()


def test_a_stage_that_is_told_to_end_is_not_the_one_that_failed() -> None:
    report = run(["cat", "yes", "@verify"], source=DATA)
    assert isinstance(report.failure, FormatError)
    assert not isinstance(report.failure, Interrupted)


def test_a_warning_is_given_once_and_the_run_goes_on() -> None:
    noted: list[str] = []
    report = run([shlex.join(["sh", "-c", "sleep 0.5; cat"])], source=DATA, noted=noted, warn_after=0.1)
    assert report.failure is None
    assert len([text for text in noted if text.startswith("--warn-after")]) == 1


def test_stderr_is_passed_on_with_the_name_of_the_stage_and_bounded() -> None:
    heard: list[str] = []
    script = shlex.join(["sh", "-c", "echo first >&2; yes filler | head -c 1000000 >&2; echo last >&2; cat"])
    report = run([script], source=DATA, heard=heard, stderr_limit=1000)
    assert report.failure is None
    assert heard[0] == "stage 1 'sh': first"
    assert heard[-1].endswith("last")
    assert any("bytes left out" in line for line in heard)
    assert sum(map(len, heard)) < 10_000


# ---- large messages, which pass from pipe to pipe without coming to memory

LARGE = messages(6, 700_000)


def through_pipes(
    stages: list[Any], data: bytes, *, read: int | None = None, **choices: Any
) -> tuple[bytes, Any]:
    """Run between two real pipes; the reader leaves after `read` bytes if that is given."""
    (source, feed), (drain, sink) = os.pipe(), os.pipe()
    found = bytearray()

    def give() -> None:
        with os.fdopen(feed, "wb") as file, contextlib.suppress(BrokenPipeError):
            file.write(data)

    def take() -> None:
        with os.fdopen(drain, "rb") as file:
            while chunk := file.read1(min(1 << 20, (read or 1 << 40) - len(found))):
                found.extend(chunk)

    threads = [threading.Thread(target=give), threading.Thread(target=take)]
    for thread in threads:
        thread.start()
    report = run(stages, source=source, sink=sink, **choices)
    os.close(sink)
    os.close(source)
    for thread in threads:
        thread.join(PATIENCE)
    return bytes(found), report


@pytest.mark.parametrize("buffer", [4096, 300_000, 1 << 20, 3 << 20, 64 << 20])
@pytest.mark.parametrize("stages", [[], ["cat", "cat"], ["@limit 6"], ["cat", "2*cat", "cat"]])
def test_large_messages_pass_unchanged_between_pipes(stages: list[str], buffer: int) -> None:
    with nothing_left():
        found, report = through_pipes(stages, b"".join(LARGE), buffer=buffer)
    assert report.failure is None
    assert found == b"".join(LARGE)
    assert all(link.peak <= link.capacity for link in report.links)


@pytest.mark.parametrize("buffer", [300_000, 64 << 20])
@pytest.mark.parametrize("on_error", ["stop", "skip", "pass"])
def test_damage_among_large_messages(on_error: str, buffer: int) -> None:
    data = b"".join([*LARGE[:3], LARGE[3][:-30], b"garbage", *LARGE[4:]])
    with nothing_left():
        found, report = through_pipes([], data, on_error=on_error, buffer=buffer)
    if on_error == "stop":
        assert isinstance(report.failure, FormatError)
        assert found.startswith(b"".join(LARGE[:3]))
        return
    assert report.failure is None
    if on_error == "skip" and buffer > len(LARGE[3]):
        assert found == b"".join(LARGE[:3] + LARGE[4:])
    assert found.endswith(b"".join(LARGE[4:]))
    if on_error == "pass":
        assert found == data


@pytest.mark.parametrize("read", [1, 500_000, 1_000_000])
def test_a_reader_that_leaves_within_a_large_message(read: int) -> None:
    with nothing_left():
        found, report = through_pipes(["cat"], b"".join(LARGE * 5), read=read)
    assert isinstance(report.failure, BrokenPipeError)
    assert found == b"".join(LARGE)[:read]
