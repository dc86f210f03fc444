"""The text format says file, place, code and reason, and no more than was asked for."""

from __future__ import annotations

import pytest

from tests.cli.reports.samples import (
    INCOMPLETE,
    INVALID,
    UNCHECKED,
    UNREADABLE,
    VALID,
    WARNED,
    written,
)
from tgmtool.operations.findings import Report

ERRORS = [
    "bad.tgm:400: error[hash_mismatch] msg 3 obj 2: found 1, expected 2",
    "bad.tgm:800: error[hash_mismatch] msg 3 obj 2: found 3, expected 4",
    "bad.tgm: error[too_few_messages]: found 1, expected at least 2",
]
WARNING = "bad.tgm:100: warning[non_zero_padding] msg 0: found 3 bytes"
NOTE = "bad.tgm:0: note[length_not_backfilled] msg 0: the lengths are 0"
SUPPRESSED = "bad.tgm:900: note[suppressed] msg 3: 7 more"
ONE_OF_EACH = "1 valid, 1 invalid, 1 incomplete, 1 unchecked, 1 unreadable"


def findings(*reports: Report, **options: bool) -> list[str]:
    return written("text", *reports, **options).splitlines()[:-1]


def test_a_line_per_finding_in_the_order_of_their_place() -> None:
    assert findings(INVALID) == [WARNING, *ERRORS, SUPPRESSED]


def test_notes_are_for_verbose_but_that_there_is_more_is_always_said() -> None:
    assert findings(INVALID, verbose=True) == [NOTE, WARNING, *ERRORS, SUPPRESSED]


def test_under_strict_a_warning_is_called_an_error() -> None:
    assert WARNING.replace("warning", "error") in findings(INVALID, strict=True)


def test_quiet_says_why_files_fail_and_nothing_else() -> None:
    text = written("text", VALID, INVALID, WARNED, INCOMPLETE, UNCHECKED, UNREADABLE, quiet=True)
    assert text.splitlines() == [
        *ERRORS,
        "cut.tgm:50: incomplete[incomplete_tail]: stops at 70",
        "big.tgm:24: unchecked[limit_exceeded] msg 0 obj 0: 5 GB, at most 4 GB",
        "gone.tgm: error: no such file",
    ]


def test_a_valid_file_is_named_when_asked_for() -> None:
    assert findings(VALID) == []
    line = "good.tgm: valid: 12 messages, 48 objects, 1.2 MB, every digest is right"
    assert findings(VALID, verbose=True) == [line]
    assert findings(VALID, verbose=True, quiet=True) == []


@pytest.mark.parametrize(
    ("reports", "line"),
    [
        ((), "0 files; 0 messages, 0 objects, 0 bytes"),
        ((WARNED,), "1 file: 1 valid; 1 message, 1 object, 500 bytes"),
        (
            (VALID, INVALID, INCOMPLETE, UNCHECKED, UNREADABLE),
            f"5 files: {ONE_OF_EACH}; 15 messages, 52 objects, 1.2 MB",
        ),
    ],
)
def test_the_last_line_sums_up(reports: tuple[Report, ...], line: str) -> None:
    assert written("text", *reports).splitlines()[-1] == line


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (5 * 10**21, "5000.0 EB"),
    ],
)
def test_sizes_are_decimal(size: int, text: str) -> None:
    assert written("text", VALID._replace(size=size)).endswith(f", {text}\n")


def test_colours_only_where_they_are_wanted() -> None:
    assert "\x1b" not in written("text", INVALID)
    assert "\x1b[1;31merror[hash_mismatch]\x1b[0m" in written("text", INVALID, color=True)
