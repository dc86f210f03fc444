"""A process for each value of a key: who gets what, what comes back, and what a failure of one means."""

from __future__ import annotations

import random
import re
import shlex
import uuid
from pathlib import Path
from typing import Any

import pytest

import tgmtool
from tests.operations.pipelines import nothing_left, run
from tests.operations.test_pipe_faults import FAULTS, sh, whole_messages
from tgmtool.errors import EncodeError, FormatError, LimitExceeded
from tgmtool.messages.stream import END, Place, Sender
from tgmtool.operations.markers import marker
from tgmtool.operations.pipe.builtins import Settings
from tgmtool.operations.pipe.choices import PipeChoices
from tgmtool.operations.pipe.engine import Engine
from tgmtool.operations.pipe.failures import StageFailed

PARAMS = ("2t", "msl", "tp")


def message(param: object, step: int, size: int = 50) -> bytes:
    return tgmtool.encode([([float(step)] * size, {"mars": {"param": param, "step": step}})])


STREAM = [message(param, step) for step in range(6) for param in PARAMS]
DATA = b"".join(STREAM)
END_MARK = marker(Place(Sender("run"), 18, END, {"count": 18}))
NOTE = marker(Place(Sender("run"), 17, "data", {"msg": "half way"}))


def by(script: str, *words: str) -> str:
    return shlex.join(["@by", "mars.param", "sh", "-c", script, "sh", *words])


def of_each(data: list[bytes]) -> dict[str, list[int]]:
    """The steps of each parameter, in the order in which they came."""
    found: dict[str, list[int]] = {}
    for each in data:
        mars = tgmtool.decode(each).objects[0].metadata["mars"]
        found.setdefault(mars["param"], []).append(mars["step"])
    return found


def test_each_process_gets_the_messages_of_its_value_in_their_order(tmp_path: Path) -> None:
    with nothing_left():
        report = run([by('cat > "$1"', f"{tmp_path}/{{mars.param}}.tgm")], source=DATA)
    assert report.failure is None
    for at, param in enumerate(PARAMS):
        assert (tmp_path / f"{param}.tgm").read_bytes() == b"".join(STREAM[at::3])


@pytest.mark.parametrize("buffer", [4096, 64 << 20])
@pytest.mark.parametrize("size", [50, 30_000])
def test_what_they_give_goes_on_whole_and_each_in_its_order(buffer: int, size: int, tmp_path: Path) -> None:
    stream = [message(param, step, size) for step in range(4) for param in PARAMS]
    out = tmp_path / "out.tgm"
    with nothing_left():
        report = run(["@by mars.param cat", "@verify"], source=b"".join(stream), sink=out, buffer=buffer)
    assert report.failure is None
    found = whole_messages(out)
    assert sorted(found) == sorted(stream)
    assert of_each(found) == {param: list(range(4)) for param in PARAMS}


@pytest.mark.parametrize(("command", "times"), [("cat", 1), ("cat > /dev/null", 0)])
def test_markers_go_to_all_and_on_once(command: str, times: int, tmp_path: Path) -> None:
    script = f'tee "$1" | ( {command} )'
    out = tmp_path / "out"
    source = b"".join((*STREAM[:9], NOTE, *STREAM[9:], END_MARK))
    report = run([by(script, f"{tmp_path}/{{mars.param}}.tgm")], source=source, sink=out)
    assert report.failure is None
    for at, param in enumerate(PARAMS):
        mine = STREAM[at::3]
        assert (tmp_path / f"{param}.tgm").read_bytes() == b"".join((*mine[:3], NOTE, *mine[3:], END_MARK))
    data = out.read_bytes()
    assert data.count(END_MARK) == data.count(NOTE) == times
    assert data.endswith(END_MARK * times), "an end goes on when all before it did"


def test_markers_pass_where_there_is_no_process(tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = run(["@by mars.param cat"], source=NOTE + END_MARK, sink=out)
    assert (report.failure, out.read_bytes()) == (None, NOTE + END_MARK)


def test_a_value_is_a_whole_argument_and_never_an_option(tmp_path: Path) -> None:
    hostile = "a b; touch x $(touch y) {mars.step} *"
    script = 'cat > /dev/null; printf "%s\\n" "$@" > "$0"'
    stage = shlex.join(["@by", "mars.param", "sh", "-c", script, f"{tmp_path}/args", "--param={mars.param}"])
    report = run([stage], source=message(hostile, 1))
    assert report.failure is None
    assert (tmp_path / "args").read_text() == f"--param={hostile}\n"
    report = run(["@by mars.param cat {mars.param}"], source=message("--help", 1))
    assert isinstance(report.failure, StageFailed)
    assert "could take for an option" in str(report.failure)


def test_what_a_value_says_is_escaped_in_messages() -> None:
    report = run(["@by mars.param false"], source=message("\x1b[31m\u202e", 1))
    assert str(report.failure).startswith(r"stage 1 'false' (mars.param='\x1b[31m\u202e') exited 1")


def test_processes_are_bounded_and_the_option_is_named() -> None:
    settings = Settings(most_processes=2)
    with nothing_left():
        report = Engine(["@by mars.param cat"], source=DATA, sink=None, settings=settings).run()
    assert isinstance(report.failure, StageFailed)
    assert isinstance(report.failure.__cause__, LimitExceeded)
    assert "message 2: mars.param='tp'" in str(report.failure)
    assert "--max-processes" in str(report.failure)


def test_a_message_that_belongs_nowhere_may_be_set_aside(tmp_path: Path) -> None:
    other = tgmtool.encode([([1.0], {"mars": {"step": 1}})])
    aside, out = tmp_path / "aside.tgm", tmp_path / "out.tgm"
    report = run(["@by mars.param cat"], source=other + DATA)
    assert "message 0: it has no key 'mars.param', which says where it goes" in str(report.failure)
    report = run(["@by mars.param cat"], source=other + DATA, sink=out, keep_going=True, failed=str(aside))
    assert report.failure is None
    assert len(report.losses) == 1
    assert aside.read_bytes() == other
    assert sorted(whole_messages(out)) == sorted(STREAM)


def test_a_process_that_ends_early_loses_its_own_messages_and_says_so(tmp_path: Path) -> None:
    out, size = tmp_path / "out.tgm", len(STREAM[0])
    script = f'test "$1" = msl && exec head -c {size}; exec cat'
    report = run([by(script, "{mars.param}")], source=DATA, sink=out)
    assert report.failure is None
    assert any("'sh' (mars.param='msl')" in text for text in report.losses)
    found = of_each(whole_messages(out))
    assert found == {"2t": list(range(6)), "msl": [0], "tp": list(range(6))}


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("@by", "expected @by KEY CMD"),
        ("@by mars.param", "expected @by KEY CMD"),
        ("@by mars.param cat {x", "not closed"),
        ("@by mars.param {mars.param}", "must not come from the stream"),
    ],
)
def test_a_stage_that_cannot_be_understood(stage: str, said: str) -> None:
    with nothing_left(), pytest.raises(EncodeError, match=said):
        Engine([stage])


def test_a_command_that_does_not_exist_fails_before_the_first_message() -> None:
    report = run(["@by mars.param no-such-thing"], source=b"")
    assert str(report.failure) == "stage 1 '@by': no such command (no-such-thing)"


BAD_ONE = "msl"


def faulty(name: str, folder: Path, sizes: dict[str, Any]) -> None:
    """One process of three does something wrong: it is named, nothing is left, what came out is whole."""
    fault, token = FAULTS[name], f"tgm-{uuid.uuid4()}"
    stream = [message(param, step, 15_000) for step in range(6) for param in PARAMS]
    script = fault.script.replace("'", "'\\''")
    stage = by(f"test \"$1\" = {BAD_ONE} || exec cat; eval '{script}'", "{mars.param}", token)
    out, tee = folder / f"{token}.out", folder / f"{token}.tgm"
    with nothing_left(token):
        report = run(
            [sh("cat", token), stage, f"@tee {shlex.quote(str(tee))}"],
            source=b"".join(stream),
            sink=out,
            **{**fault.choices, **sizes},
        )
    label = f"stage 2 'sh' (mars.param='{BAD_ONE}')"
    if fault.error is None:
        assert report.failure is None, report.failure
    else:
        assert isinstance(report.failure, fault.error), report.failure
        assert re.search(fault.text.replace("STAGE", re.escape(label)), str(report.failure))
        assert report.stage == 2
    if fault.losses:
        assert label in report.losses[0]
    came, copied = whole_messages(out), whole_messages(tee)
    assert copied[: len(came)] == came
    for param, steps in of_each(copied).items():
        assert steps == list(range(len(steps))), param


# What stops after a number of bytes stops within a message of this stream: that is the other fault.
IN_BYTES = {"dies", "is killed", "writes half a message", "closes early", "leaves somebody at its input"}


@pytest.mark.parametrize("name", sorted(set(FAULTS) - IN_BYTES))
def test_a_fault_of_one_of_the_processes(name: str, tmp_path: Path) -> None:
    faulty(name, tmp_path, {"buffer": 500_000})


def test_a_cut_from_one_of_the_processes_is_named(tmp_path: Path) -> None:
    script = 'test "$1" = msl || exec cat; head -c 100; cat > /dev/null'
    with nothing_left():
        report = run([by(script, "{mars.param}")], source=DATA, sink=tmp_path / "out")
    assert isinstance(report.failure, FormatError)
    assert "(mars.param='msl')" in str(report.failure)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100))
def test_a_fault_of_one_with_any_bounds(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    sizes: dict[str, Any] = {"buffer": draw.choice([4096, 10_000, 61_000, 1 << 20, 64 << 20])}
    faulty(draw.choice(sorted(set(FAULTS) - IN_BYTES)), tmp_path, sizes)


def test_the_next_stage_may_want_no_more(tmp_path: Path) -> None:
    out = tmp_path / "out.tgm"
    with nothing_left():
        report = run(["@by mars.param cat", "@limit 4"], source=DATA * 50, sink=out)
    assert report.failure is None
    assert len(whole_messages(out)) == 4


def test_the_bounds_do_not_lock_up_when_one_process_is_slow() -> None:
    choices = PipeChoices(buffer=8192, depth=1)
    script = 'test "$1" = tp && sleep 0.2; exec cat'
    report = Engine([by(script, "{mars.param}"), "cat"], source=DATA * 5, sink=None, choices=choices).run()
    assert (report.failure, report.messages) == (None, 90)
