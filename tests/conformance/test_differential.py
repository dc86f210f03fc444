"""Random cases both ways, in child processes: a crash of the reference is a failed test, not a dead suite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = 100
QUICK, LONG = 300, 20_000
PATIENCE = 600.0


def run(first: int, cases: int) -> subprocess.CompletedProcess[str]:
    words = ("-m", "tests.conformance.differential", "--first", str(first), "--cases", str(cases))
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def check(first: int, cases: int) -> None:
    done = run(first, cases)
    # A negative number is the signal that ended it; the stack says in which of the two libraries.
    assert done.returncode == 0, f"status {done.returncode}\n{done.stderr[-4000:]}"
    assert done.stdout.endswith(f"{cases} cases, no difference\n")


@pytest.mark.parametrize("first", range(0, QUICK, BLOCK))
def test_random_cases_do_not_differ(first: int) -> None:
    check(first, BLOCK)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(QUICK, QUICK + LONG, 1000))
def test_many_random_cases_do_not_differ(first: int, request: pytest.FixtureRequest) -> None:
    if "soak" not in request.config.getoption("-m"):
        pytest.skip("some minutes; pytest -m soak runs it")
    check(first, 1000)


def test_a_difference_is_told_with_its_case() -> None:
    script = (
        "from tests.conformance import differential as d\n"
        "def differs(one): raise AssertionError('they differ')\n"
        "d.check = differs\n"
        "d.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--first", "7", "--cases", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "case 7: " in done.stderr
    assert "they differ" in done.stderr
