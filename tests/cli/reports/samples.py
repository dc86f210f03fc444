"""Reports of files that are valid, invalid, incomplete, unchecked and unreadable, and hostile ones."""

from __future__ import annotations

from tests.cli.conftest import HOSTILE
from tgmtool.cli.reports import FORMATS
from tgmtool.operations.findings import CODES, Finding, Report

VALID = Report("good.tgm", "valid", (), 12, 48, 1_234_567, hash_verified=True)
INVALID = Report(
    "bad.tgm",
    "invalid",
    (
        Finding("length_not_backfilled", "the lengths are 0", 0, 0),
        Finding("non_zero_padding", "found 3 bytes", 100, 0, length=3),
        Finding("hash_mismatch", "found 1, expected 2", 400, 3, 2, length=64),
        Finding("hash_mismatch", "found 3, expected 4", 800, 3, 2, length=64),
        Finding("too_few_messages", "found 1, expected at least 2"),
        Finding("suppressed", "7 more", 900, 3),
    ),
    1,
    2,
    999,
)
WARNED = Report("odd.tgm", "valid", (Finding("reserved_flag", "flag 9 is set", 10, 0),), 1, 1, 500)
INCOMPLETE = Report("cut.tgm", "incomplete", (Finding("incomplete_tail", "stops at 70", 50),), 1, 1, 70)
UNCHECKED = Report(
    "big.tgm", "unchecked", (Finding("limit_exceeded", "5 GB, at most 4 GB", 24, 0, 0),), 1, 1, 70
)
UNREADABLE = Report("gone.tgm", "valid", unreadable="no such file")
STRANGE = Report(
    f"dir/{HOSTILE}.tgm",
    "invalid",
    tuple(Finding(name, f"{HOSTILE} {{0}} [a](http://b) 100%", 1, 2, 3) for name in CODES),
    hash_verified=False,
)
ALL = (VALID, INVALID, WARNED, INCOMPLETE, UNCHECKED, UNREADABLE, STRANGE)
FORBIDDEN = {chr(code) for code in (*range(32), *range(0x7F, 0xA0), 0x202E, 0x200B, 0xDC80)} - {"\n"}


def written(format_: str, *reports: Report, **options: bool) -> str:
    """What a format makes of reports."""
    pieces: list[str] = []
    writer = FORMATS[format_](pieces.append, **options)
    for report in reports:
        writer.add(report)
    writer.end()
    return "".join(pieces)
