"""Every fault at every position: the right failure, nothing left running, no whole message lost in a copy."""

from __future__ import annotations

import os
import random
import re
import shlex
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

import tgmtool
from tests.operations.pipelines import messages, nothing_left, run
from tgmtool import Message
from tgmtool.errors import FormatError, SourceError, TimeLimit
from tgmtool.operations.pipe.engine import PipeReport
from tgmtool.operations.pipe.failures import StageFailed

STREAM = messages(12, 60_000)
DATA = b"".join(STREAM)
TWO = len(STREAM[0]) + len(STREAM[1])
POSITIONS = (1, 2, 3)


class Fault(NamedTuple):
    """What a stage does wrong.

    Attributes:
        script: For sh; it reads and writes the stream.
        error: What the failure has to be; None if there must be none.
        text: What it has to say; STAGE stands for the stage.
        losses: What has to be said to be lost.
        choices: What the engine has to be told.
    """

    script: str
    error: type[Exception] | None
    text: str = ""
    losses: str = ""
    choices: Mapping[str, Any] = MappingProxyType({})


QUICK = {"grace": 0.3}
WATCHED = {"stall_timeout": 0.4, "idle_timeout": 0.4, "grace": 0.3}
FAULTS = {
    "dies": Fault(f"head -c {TWO}; exit 3", StageFailed, r"STAGE exited 3"),
    "dies at once": Fault("exit 7", StageFailed, r"STAGE exited 7"),
    "is killed": Fault(f"head -c {TWO}; kill -9 $$", StageFailed, r"STAGE was killed by SIGKILL"),
    "fails at its end": Fault("cat; exit 5", StageFailed, r"STAGE exited 5"),
    "writes garbage": Fault("cat; echo garbage and more of it", FormatError, r"STAGE: byte \d+: "),
    "writes half a message": Fault(
        f"head -c {TWO - 9}; cat > /dev/null", FormatError, r"STAGE: .*stops after"
    ),
    "closes early": Fault(f"head -c {TWO}", None, losses=r"STAGE ended and left input unread"),
    "floods stderr": Fault("yes noise | head -c 3000000 >&2; cat", None),
    "hangs": Fault("sleep 1000", TimeLimit, r"--(stall|idle)-timeout: .*STAGE", choices=WATCHED),
    "never ends": Fault("cat; exec >&-; sleep 1000", TimeLimit, r"--stall-timeout: STAGE", choices=WATCHED),
    "ignores SIGTERM": Fault(
        "trap '' TERM; sleep 1000 & wait; sleep 1000",
        TimeLimit,
        r"--(stall|idle)-timeout: .*STAGE",
        choices=WATCHED,
    ),
    "leaves somebody behind": Fault("cat; sleep 1000 >&- 2>&- <&- &", None, choices=QUICK),
    "leaves somebody at its output": Fault("cat; sleep 1000 2>&- &", None, choices=QUICK),
    "leaves a deaf one at its output": Fault("cat; (trap '' TERM; sleep 1000; :) &", None, choices=QUICK),
    "leaves somebody of another group": Fault("cat; setsid sleep 5 &", None, choices=QUICK),
    "leaves somebody at its input": Fault(
        f"exec 3<&0; head -c {TWO}; sleep 1000 <&3 >&- &",
        None,
        losses=r"STAGE ended and left input unread",
        choices=QUICK,
    ),
}


def sh(script: str, token: str) -> str:
    return shlex.join(["sh", "-c", script, token])


def stages_with(fault: Fault, position: int, source: Path, tee: Path, token: str) -> list[str]:
    """Three processes, the faulty one among them, then a copy."""
    found = [sh("cat", token) for _ in POSITIONS]
    found[position - 1] = sh(fault.script, token)
    return [*found, f"@tee {shlex.quote(str(tee))}"]


def whole_messages(path: Path) -> list[bytes]:
    """The messages of a file that must hold nothing but whole ones, markers left out."""
    found = list(tgmtool.read(path))
    assert all(isinstance(one, Message) for one in found)
    data = path.read_bytes()
    return [
        data[one.span.offset : one.span.offset + one.span.length]
        for one in found
        if isinstance(one, Message) and one.objects
    ]


def with_lengths(data: bytes) -> bytes:
    """A message as a copy has it: both lengths filled in."""
    length = len(data).to_bytes(8, "big")
    return data[:16] + length + data[24:-16] + length + data[-8:]


def check_copy(tee: Path, out: list[bytes], times: int = 1) -> None:
    """The copy is a beginning of the stream, and holds all that came out."""
    copied = whole_messages(tee)
    assert copied == [with_lengths(each) for each in STREAM * times][: len(copied)]
    assert len(copied) >= len(out)


def run_with(fault: Fault, position: int, folder: Path, sizes: dict[str, Any]) -> None:
    token = f"tgm-{uuid.uuid4()}"
    source, out, tee = folder / "in.tgm", folder / f"{token}.out", folder / f"{token}.tgm"
    source.write_bytes(DATA)
    with nothing_left(token), source.open("rb") as stdin:
        stages = stages_with(fault, position, source, tee, token)
        report = run(stages, source=stdin.fileno(), sink=out, **{**fault.choices, **sizes})
    check_report(report, fault, position)
    delivered = whole_messages(out) if out.exists() else []
    assert delivered == STREAM[: len(delivered)]
    check_copy(tee, delivered)
    if fault.error is None and not fault.losses:
        assert delivered == STREAM


def check_report(report: PipeReport, fault: Fault, position: int) -> None:
    stage = f"stage {position} 'sh'"
    # The first one reads for itself: what it leaves unread nobody of ours knows.
    losses = fault.losses if position > 1 else ""
    if fault.error is None:
        assert report.failure is None
    else:
        assert isinstance(report.failure, fault.error), report.failure
        assert re.search(fault.text.replace("STAGE", stage), str(report.failure)), str(report.failure)
        assert report.stage == position
    assert bool(report.losses) == bool(losses) or fault.error is not None, report.losses
    if losses:
        assert re.search(losses.replace("STAGE", stage), report.losses[0])


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault(name: str, position: int, tmp_path: Path) -> None:
    run_with(FAULTS[name], position, tmp_path, {"buffer": 100_000})


@pytest.mark.parametrize("bytes_read", [0, 1000, TWO, TWO + 1])
@pytest.mark.parametrize("stages", [(), ("cat",), ("2*cat",), ("@verify", "cat")])
def test_a_reader_that_goes_away(stages: tuple[str, ...], bytes_read: int, tmp_path: Path) -> None:
    tee = tmp_path / "tee.tgm"
    with nothing_left():
        reader, writer = os.pipe()

        def read() -> None:
            left = bytes_read
            while left:
                left -= len(os.read(reader, left))
            os.close(reader)

        thread = threading.Thread(target=read)
        thread.start()
        report = run([*stages, f"@tee {shlex.quote(str(tee))}"], source=DATA * 4, sink=writer, buffer=100_000)
        thread.join()
        os.close(writer)
    assert isinstance(report.failure, BrokenPipeError)
    check_copy(tee, [], times=4)  # more than the pipe takes that nobody reads


WORKER_FAULTS: dict[str, tuple[str, type[Exception], str, dict[str, Any]]] = {
    "exits": ("exit 3", StageFailed, r"stage 1 'sh' exited 3 on message \d", {}),
    "writes garbage": ("echo no message", StageFailed, r"stage 1 'sh' gave something else .* message \d", {}),
    "writes half": ("head -c 300", StageFailed, r"stage 1 'sh' gave something else", {}),
    "hangs": ("sleep 1000", TimeLimit, r"--item-timeout: stage 1 'sh' .* message \d", {"item_timeout": 0.3}),
    "floods and fails": ("yes | head -c 300000 >&2; exit 4", StageFailed, r"exited 4 on message \d", {}),
    "ignores SIGTERM": (
        "trap '' TERM; sleep 1000; sleep 1000",
        TimeLimit,
        r"--item-timeout: stage 1",
        {"item_timeout": 0.3, "grace": 0.3},
    ),
}


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("name", WORKER_FAULTS)
def test_a_fault_of_a_run(name: str, runs: int, in_order: bool, tmp_path: Path) -> None:
    script, error, text, choices = WORKER_FAULTS[name]
    token, out = f"tgm-{uuid.uuid4()}", tmp_path / "out.tgm"
    stage = f"{runs}*{sh(script, token)}"
    with nothing_left(token):
        report = run([stage], source=DATA, sink=out, in_order=in_order, **choices)
    assert isinstance(report.failure, error), report.failure
    assert re.search(text, str(report.failure)), str(report.failure)
    assert report.stage == 1


def test_a_run_that_fails_late_leaves_the_messages_before_it_alone(tmp_path: Path) -> None:
    out, count = tmp_path / "out.tgm", tmp_path / "count"
    script = f"cat; echo x >> {count}; test $(wc -l < {count}) -lt 6 || exit 9"
    report = run([f"1*{sh(script, 'x')}"], source=DATA, sink=out)
    assert str(report.failure) == "stage 1 'sh' exited 9 on message 5"
    assert whole_messages(out) == STREAM[:5]


@pytest.mark.parametrize("left", ["sleep 1000", "(trap '' TERM; sleep 1000; :)", "setsid sleep 5"])
def test_a_run_whose_output_is_kept_open_ends_all_the_same(left: str, tmp_path: Path) -> None:
    token, out = f"tgm-{uuid.uuid4()}", tmp_path / "out.tgm"
    with nothing_left(token):
        report = run([f"3*{sh(f'cat; {left} &', token)}"], source=b"".join(STREAM[:3]), sink=out, grace=0.1)
    assert report.failure is None
    assert whole_messages(out) == STREAM[:3]


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(200))
def test_a_fault_anywhere_with_any_bounds(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    sizes: dict[str, Any] = {"buffer": draw.choice([4096, 10_000, 61_000, 100_000, 64 << 20])}
    if draw.random() < 0.5:
        sizes["depth"] = draw.choice([1, 2, 100])
    run_with(FAULTS[draw.choice(list(FAULTS))], draw.choice(POSITIONS), tmp_path, sizes)


def test_a_copy_into_a_pipe_that_nobody_reads_is_a_stage_that_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with nothing_left():
        report = run([f"@tee {shlex.quote(str(path))}"], source=DATA, stall_timeout=0.3, grace=30.0)
    assert isinstance(report.failure, TimeLimit)
    assert "--stall-timeout: stage 1 '@tee' has taken nothing" in str(report.failure)


def test_a_copy_into_a_pipe_waits_for_its_reader(tmp_path: Path) -> None:
    path, out = tmp_path / "pipe", tmp_path / "out.tgm"
    os.mkfifo(path)
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(path.read_bytes()))
    with nothing_left():
        threading.Timer(0.2, thread.start).start()
        report = run([f"@tee {shlex.quote(str(path))}"], source=DATA, sink=out)
        thread.join()
    assert report.failure is None
    assert found == [b"".join(map(with_lengths, STREAM))]
    assert whole_messages(out) == STREAM


def test_the_place_that_fails_is_named_with_its_stage(tmp_path: Path) -> None:
    report = run(["cat", "@tee --force /dev/full"], source=DATA)
    assert str(report.failure).startswith("stage 2 '@tee': /dev/full: no space left on device")
    assert isinstance(report.failure, StageFailed)
    assert isinstance(report.failure.__cause__, SourceError)


def test_a_first_command_that_leaves_what_waits_for_it_is_stuck(tmp_path: Path) -> None:
    token = f"tgm-{uuid.uuid4()}"
    source = tmp_path / "in.tgm"
    source.write_bytes(DATA)
    reader, writer = os.pipe()
    os.write(writer, DATA[:5000])
    with source.open("rb") as file, nothing_left(token):
        for descriptor in (file.fileno(), reader):
            stage = sh("dd bs=100 count=1 2> /dev/null | cat > /dev/null; sleep 1000", token)
            report = run([stage], source=descriptor, stall_timeout=0.3, grace=0.3)
            assert isinstance(report.failure, TimeLimit)
            assert "--stall-timeout: stage 1 'sh' has given nothing and taken nothing" in str(report.failure)
            assert report.stage == 1
    os.close(reader)
    os.close(writer)
    with open(os.devnull, "rb") as nothing:  # a producer may think as long as it likes
        producer = sh(f"sleep 0.5; cat {source}", token)
        assert run([producer], source=nothing.fileno(), stall_timeout=0.2).failure is None


@pytest.mark.parametrize("runs", [2, 4])
@pytest.mark.parametrize("stage", ["@limit 2", f"sh -c 'head -c {TWO}'"])
def test_runs_that_wait_for_their_turn_hear_that_nothing_more_is_wanted(runs: int, stage: str) -> None:
    with nothing_left():
        report = run([f"{runs}*cat", stage], source=DATA * 4, buffer=4096, depth=1, stall_timeout=20.0)
    assert report.failure is None
    assert report.messages == 2


@pytest.mark.parametrize("buffer", [4096, 1 << 20])
def test_whoever_is_given_messages_and_gives_something_else_is_refused(buffer: int, tmp_path: Path) -> None:
    out = tmp_path / "out"
    late = shlex.join(["sh", "-c", "head -c 1000 > /dev/null; echo garbage, and more of it; cat"])
    with nothing_left():
        report = run(["cat", late, "cat", "cat"], source=DATA, sink=out, buffer=buffer)
    assert isinstance(report.failure, FormatError)
    assert "stage 2 'sh': byte 0: expected a message" in str(report.failure)
    assert report.stage == 2
