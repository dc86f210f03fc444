"""A command for each unit: values are whole arguments, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import wait_until
from tgmtool.operations.commands import CommandFailed, CommandLine
from tgmtool.operations.interruption import Interruption
from tgmtool.operations.keys import Keys


class Interrupted(BaseException):
    pass


HOSTILE = "; rm -rf $HOME `id` $(id) | & > x '\" \\ *\n\t\u202e"


def keys(**values: object) -> Keys:
    return Keys({"_file": "run.tgm", "_msg": 3, "_obj": 1}, None, values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("meter --step={a} {b}", ["meter", "--step=1", HOSTILE]),
        ("meter '{a} {b}' x{b}", ["meter", f"1 {HOSTILE}", f"x{HOSTILE}"]),
        ("meter {{a}} {missing}", ["meter", "{a}", ""]),
        ("meter {nested}", ["meter", "{b}"]),
        ("meter -{a} -- {_file}", ["meter", "-1", "--", "run.tgm"]),
    ],
)
def test_a_value_fills_its_place_and_nothing_more(text: str, words: list[str]) -> None:
    assert CommandLine(text).words(keys(a=1, b=HOSTILE, nested="{b}")) == words


@pytest.mark.parametrize("value", ["-rf", "--force", "-", -5, "-\n"])
@pytest.mark.parametrize("text", ["rm {a}", "rm {a}.tgm", "rm x {empty}{a}"])
def test_a_value_that_would_be_an_option_is_refused(text: str, value: object) -> None:
    with pytest.raises(CommandFailed, match="option"):
        CommandLine(text).run(keys(a=value, empty=""))


def test_a_value_that_cannot_be_an_argument_is_refused() -> None:
    with pytest.raises(CommandFailed, match="NUL"):
        CommandLine("echo {a}").run(keys(a="x\0y"))
    with pytest.raises(CommandFailed, match="cannot be run"):
        CommandLine("echo {a}").run(keys(a="\ud800"))
    with pytest.raises(CommandFailed, match="cannot be run"):
        CommandLine("echo {a}").run(keys(a="x" * (1 << 22)))


@pytest.mark.parametrize("text", ["", "  ", "'", "echo {a", "echo a}", "{a} x", "x{a} y"])
def test_what_is_no_command_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        CommandLine(text)


def test_it_runs_with_nothing_to_read_in_a_group_of_its_own(tmp_path: Path) -> None:
    script = (
        "import os, sys; text = sys.stdin.read() + str(os.getpgid(0) - os.getpid()); "
        "open(sys.argv[1], 'w').write(text)"
    )
    CommandLine(f'{sys.executable} -c "{script}" {tmp_path}/out').run(keys())
    assert (tmp_path / "out").read_text() == "0"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("false", "'false' ended with status 1 for message 3, object 1 of run.tgm"),
        ("sh -c 'exit 200'", "status 200"),
        ("sh -c 'kill -9 $$'", "signal 9"),
        ("no-such-program-at-all", "no such file"),
        ("/dev/null", "permission denied"),
    ],
)
def test_a_failure_names_the_command_how_it_ended_and_for_what(text: str, reason: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        CommandLine(text).run(keys())
    assert reason in str(failed.value)


def test_what_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    out = tmp_path / "pid"
    with pytest.raises(CommandFailed, match="did not end within"):
        CommandLine(f"sh -c 'sleep 1000 & echo $! > {out}; wait'", 0.2).run(keys())
    assert_ended(int(out.read_text()))


def test_an_interruption_ends_it(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    out = tmp_path / "pid"
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Interrupted):
            CommandLine(f"sh -c 'echo $$ > {out}; exec sleep 1000'").run(keys())
    finally:
        signal.signal(signal.SIGALRM, before)
    assert_ended(int(out.read_text()))


def test_an_interruption_while_it_begins_ends_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, interruption, begin = tmp_path / "pid", Interruption(), subprocess.Popen

    def slow(*words: Any, **how: Any) -> Any:
        process = begin(*words, **how)
        wait_until(lambda: out.exists() and out.read_text(), "the command")
        interruption.request(Interrupted())
        return process

    monkeypatch.setattr(subprocess, "Popen", slow)
    with pytest.raises(Interrupted), interruption.breakable():
        CommandLine(f"sh -c 'echo $$ > {out}; exec sleep 1000'").run(keys(), interruption.held)
    assert_ended(int(out.read_text()))


def assert_ended(pid: int) -> None:
    def is_gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with open(f"/proc/{pid}/stat", "rb") as status:
            return status.read().rpartition(b")")[2].split()[0] == b"Z"

    wait_until(is_gone, f"the end of {pid}")
