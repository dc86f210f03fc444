"""What holds for every format."""

from __future__ import annotations

import pytest

from tests.cli.reports.samples import (
    ALL,
    FORBIDDEN,
    INCOMPLETE,
    INVALID,
    UNREADABLE,
    VALID,
    WARNED,
    written,
)
from tgmtool.cli.reports import FORMATS
from tgmtool.operations.findings import Report

STREAMED = ("text", "json", "ndjson", "sarif", "github")


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_that_steers_a_terminal_passes(name: str) -> None:
    for options in ({}, {"verbose": True}, {"strict": True}):
        assert not set(written(name, *ALL, **options)) & FORBIDDEN


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_without_files_is_a_document_too(name: str) -> None:
    assert written(name).isascii()


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_reports_make_the_same_bytes(name: str) -> None:
    assert written(name, *ALL) == written(name, *ALL)


@pytest.mark.parametrize("name", STREAMED)
def test_a_file_is_reported_before_the_next_is_read(name: str) -> None:
    pieces: list[str] = []
    writer = FORMATS[name](pieces.append)
    writer.add(INVALID)
    assert "expected at least 2" in "".join(pieces)


@pytest.mark.parametrize("name", FORMATS)
def test_a_reader_that_goes_away_is_noticed(name: str) -> None:
    def broken(_text: str) -> None:
        raise BrokenPipeError

    def whole() -> None:
        writer = FORMATS[name](broken)
        writer.add(INVALID)
        writer.end()

    with pytest.raises(BrokenPipeError):
        whole()


@pytest.mark.parametrize(
    ("report", "strict", "verdict"),
    [
        (VALID, True, "valid"),
        (WARNED, False, "valid"),
        (WARNED, True, "invalid"),
        (INCOMPLETE, True, "incomplete"),
        (UNREADABLE, False, "unreadable"),
    ],
)
def test_the_verdict_of_a_file(report: Report, strict: bool, verdict: str) -> None:
    for kind in FORMATS.values():
        assert kind(lambda _text: None, strict=strict).verdict(report) == verdict
