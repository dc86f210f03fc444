"""A check in a process of its own: its report comes back whole, its death is a report."""

from __future__ import annotations

import mmap
import os
import signal
from pathlib import Path

import numpy as np
import pytest

import tgmtool
from tgmtool import Finding, Report
from tgmtool.operations.isolate import isolated

MEMORY, SECONDS = 1 << 30, 60


def of(make: object) -> Report:
    return isolated(make, "some.tgm", memory=MEMORY, seconds=SECONDS)  # type: ignore[arg-type]  # what dies returns nothing


def test_a_report_comes_back_as_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "two.tgm"
    path.write_bytes(tgmtool.encode([np.arange(9.0)]) + b"junk")
    here = tgmtool.validate(str(path))
    assert [found.code for found in here.findings] == ["foreign_bytes"]
    assert of(lambda: tgmtool.validate(str(path))) == here


def test_a_parent_with_a_large_address_space_has_its_files_checked_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "one.tgm"
    path.write_bytes(tgmtool.encode([np.arange(9.0)]))
    with mmap.mmap(-1, 4 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
        assert of(lambda: tgmtool.validate(str(path))).verdict == "valid"


def test_a_report_of_any_size_comes_back() -> None:
    findings = tuple(Finding("foreign_bytes", "x" * 1000, n, None, n, "error", n) for n in range(1000))
    report = Report("some.tgm", "invalid", findings, 3, 4, 5, hash_verified=True)
    assert of(lambda: report) == report


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_check_that_dies_is_unchecked_and_says_of_what(number: signal.Signals) -> None:
    found = of(lambda: os.kill(os.getpid(), number))
    assert found.verdict == "unchecked"
    assert [one.code for one in found.findings] == ["check_died"]
    assert number.name in found.findings[0].text


def test_a_check_that_wants_more_memory_than_allowed_is_unchecked() -> None:
    found = isolated(lambda: np.ones(1 << 30).sum(), "some.tgm", memory=1 << 20, seconds=SECONDS)
    assert [one.code for one in found.findings] == ["check_died"]


def test_a_check_that_takes_more_time_than_allowed_is_ended() -> None:
    def forever() -> Report:
        while True:
            pass

    found = isolated(forever, "some.tgm", memory=MEMORY, seconds=1)
    assert "processor time" in found.findings[0].text
