"""What following is tied to: whether it gave way, and that it leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import wait_until
from tgmtool import SourceError
from tgmtool.operations import lifelines
from tgmtool.operations.lifelines import Command, FileThere, Process


def test_a_process_is_gone_when_it_has_ended_even_before_anybody_took_note() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    line = Process(child.pid)
    assert not line.is_cut()
    assert child.stdin is not None
    child.stdin.close()
    wait_until(line.is_cut, "its end")  # a zombie now
    child.wait()
    assert line.is_cut()
    assert Process(child.pid).is_cut()


def test_another_process_with_its_number_is_not_it(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Process(os.getpid())
    assert not line.is_cut()
    other = lifelines._Start(b"7", is_zombie=False)
    monkeypatch.setattr(lifelines, "_start_of", lambda _: other)
    assert line.is_cut()


def test_a_process_that_belongs_to_somebody_else_lives() -> None:
    assert not Process(1).is_cut()
    assert Process(1 << 62).is_cut()


def test_a_file_is_there_or_not(tmp_path: Path) -> None:
    line = FileThere(str(tmp_path / "flag"), 1.0)
    assert not line.is_cut()
    (tmp_path / "flag").symlink_to("nowhere")
    assert line.is_cut()


def test_a_command_is_run_again_until_it_fails_and_never_more_often_than_it_may(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    line = Command(f"sh -c 'echo >> {runs}; ! test -e {tmp_path}/stop'", 0.05)
    for _ in range(200):
        assert not line.is_cut()
    wait_until(lambda: not line.is_cut() and runs.exists() and len(runs.read_text()) >= 3, "three runs")
    assert len(runs.read_text()) < 20
    (tmp_path / "stop").touch()
    wait_until(line.is_cut, "its failure")
    line.close()


def test_a_command_that_hangs_holds_nothing_up_and_is_ended() -> None:
    line = Command("sleep 1000", 0.01)
    assert not line.is_cut()
    assert not line.is_cut()
    child = line._running
    assert child is not None
    assert 0 < line.pause < 1
    line.close()
    assert child.returncode is not None


def test_a_command_that_cannot_be_run_is_an_error() -> None:
    with pytest.raises(SourceError, match="no-such-program"):
        Command("no-such-program", 1.0).is_cut()
    for text in ("", "'"):
        with pytest.raises(ValueError, match=r"."):
            Command(text, 1.0)
