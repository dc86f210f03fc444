"""Workflow commands are escaped so that no file can give one, and the gravest come first."""

from __future__ import annotations

from tests.cli.reports.samples import (
    ALL,
    INCOMPLETE,
    INVALID,
    UNCHECKED,
    UNREADABLE,
    VALID,
    WARNED,
    written,
)
from tgmtool.operations.findings import Finding, Report


def commands(*reports: Report, **options: bool) -> list[str]:
    return [line for line in written("github", *reports, **options).splitlines() if line.startswith("::")]


def test_errors_stand_before_warnings_and_those_before_notes() -> None:
    assert commands(INVALID) == [
        "::error file=bad.tgm,title=hash_mismatch::byte 400, msg 3 obj 2: found 1, expected 2",
        "::error file=bad.tgm,title=hash_mismatch::byte 800, msg 3 obj 2: found 3, expected 4",
        "::error file=bad.tgm,title=too_few_messages::found 1, expected at least 2",
        "::warning file=bad.tgm,title=non_zero_padding::byte 100, msg 0: found 3 bytes",
        "::notice file=bad.tgm,title=length_not_backfilled::byte 0, msg 0: the lengths are 0",
        "::notice file=bad.tgm,title=suppressed::byte 900, msg 3: 7 more",
    ]


def test_what_is_not_sure_to_be_valid_is_an_error() -> None:
    for report in (INCOMPLETE, UNCHECKED, UNREADABLE):
        (command,) = commands(report)
        assert command.startswith("::error file=")
    assert commands(UNREADABLE) == ["::error file=gone.tgm,title=unreadable::no such file"]


def test_strict_and_quiet() -> None:
    assert commands(WARNED, strict=True)[0].startswith("::error ")
    assert commands(WARNED, quiet=True) == []
    assert written("github", VALID, quiet=True) == ""


def test_text_and_properties_are_escaped() -> None:
    found = Finding("framing", "100%: a,b\r\n::error::x")
    (line,) = commands(Report("a:b,c%\n::d.tgm", "invalid", (found,)))
    assert line == ("::error file=a%3Ab%2Cc%25%0A%3A%3Ad.tgm,title=framing::100%25: a,b%0D%0A::error::x")


def test_no_line_is_anything_but_a_command_and_the_summary() -> None:
    lines = written("github", *ALL).splitlines()
    assert all(line.startswith(("::error file=", "::warning file=", "::notice file=")) for line in lines[:-1])
    assert lines[-1].startswith("7 files: ")
