"""One line on a terminal, written over; nothing in a pipe. The clock is the test's."""

from __future__ import annotations

import os
import pty
import time
from collections.abc import Callable

import pytest

from tgmtool.cli import progress
from tgmtool.cli.progress import Progress


class Clock:
    """Says what time it is."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(time, "monotonic", found)
    return found


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda _number: True)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(os, "write", lambda _number, data: found.append(data.decode()))
    return found


def test_files_bytes_rate_and_time_left_are_shown(clock: Clock, written: list[str]) -> None:
    meter = Progress(1_000_000_000, 10, "always")
    clock.now += 2
    meter.update(200_000_000, 3)
    assert written == ["\r3/10 files, 200 MB, 100 MB/s, 0:08 left"]


def test_what_is_done_soon_shows_nothing(clock: Clock, written: list[str]) -> None:
    meter = Progress(10, 1, "always")
    clock.now += 0.9
    meter.update(5, 0)
    meter.clear()
    assert written == []


def test_it_is_not_shown_more_often_than_can_be_read(clock: Clock, written: list[str]) -> None:
    meter = Progress(1000, 1, "always")
    clock.now += 1
    for done in range(100):
        clock.now += 0.01
        meter.update(done, 0)
    assert len(written) == 5


def test_a_shorter_line_covers_a_longer_one_and_clearing_leaves_nothing(
    clock: Clock, written: list[str]
) -> None:
    meter = Progress(100_000_000, 1, "always")
    clock.now += 1
    meter.update(50_000_000, 0)
    clock.now += 1
    meter.update(100_000_000, 1)
    meter.clear()
    meter.clear()
    assert len(written) == 3
    assert len(written[1]) == len(written[0])
    assert written[2].strip() == ""


def test_where_lines_stay_there_are_few_of_them(
    clock: Clock, written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "isatty", lambda _number: False)
    meter = Progress(100_000_000, 1, "always")
    for _ in range(25):
        clock.now += 1
        meter.update(50_000_000, 0)
    meter.clear()
    assert len(written) == 3
    assert all(line.endswith(" left\n") and "\r" not in line for line in written)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (60, "1:00"), (3599, "59:59"), (3661, "1:01:01")]
)
def test_time_left_reads_like_a_clock(seconds: float, text: str) -> None:
    assert progress._clock(seconds) == text


@pytest.mark.parametrize(
    ("when", "terminal", "shown"),
    [("auto", True, True), ("auto", False, False), ("always", False, True), ("never", True, False)],
)
def test_it_is_shown_on_a_terminal_or_when_asked_for(
    clock: Clock, written: list[str], monkeypatch: pytest.MonkeyPatch, when: str, terminal: bool, shown: bool
) -> None:
    monkeypatch.setattr(os, "isatty", lambda _number: terminal)
    meter = Progress(10, 1, when)
    clock.now += 5
    meter.update(5, 0)
    assert bool(written) == shown


def test_nobody_looking_any_more_is_no_error_and_not_tried_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def fail(*given: object) -> None:
        tries.append(given)
        raise OSError

    monkeypatch.setattr(os, "write", fail)
    meter = Progress(10, 1, "always")
    for _ in range(3):
        clock.now += 60
        meter.update(5, 0)
    assert len(tries) == 1


def test_a_closed_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_number: int) -> bool:
        raise OSError

    monkeypatch.setattr(os, "isatty", fail)
    assert progress.is_terminal() is False


def test_a_terminal_is_known_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = pty.openpty()
    isatty: Callable[[int], bool] = os.isatty
    monkeypatch.setattr(os, "isatty", lambda _number: isatty(follower))
    assert progress.is_terminal()
    os.close(leader)
    os.close(follower)
