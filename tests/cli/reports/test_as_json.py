"""JSON and JSON lines say the same, and what their schemas say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.reports.samples import ALL, INVALID, UNREADABLE, VALID, WARNED, written
from tests.cli.test_schemas import check


def records(*reports: Any, **options: bool) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written("ndjson", *reports, **options).splitlines()]


@pytest.mark.parametrize("strict", [False, True])
def test_every_line_and_the_document_fit_their_schemas(strict: bool) -> None:
    for record in records(*ALL, strict=strict):
        check(f"validate-{record['type']}", record)
    check("validate-document", json.loads(written("json", *ALL, strict=strict)))
    check("validate-document", json.loads(written("json")))


def test_findings_come_before_the_report_of_their_file() -> None:
    found = records(VALID, INVALID)
    assert [(one["type"], one["_file"]) for one in found] == [
        ("report", "good.tgm"),
        *[("finding", "bad.tgm")] * 6,
        ("report", "bad.tgm"),
    ]
    assert found[3] == {
        "type": "finding",
        "_file": "bad.tgm",
        "code": "hash_mismatch",
        "level": "integrity",
        "severity": "error",
        "message": 3,
        "object": 2,
        "offset": 400,
        "length": 64,
        "text": "found 1, expected 2",
    }
    assert found[-1] == {
        "type": "report",
        "_file": "bad.tgm",
        "verdict": "invalid",
        "messages": 1,
        "objects": 2,
        "bytes": 999,
        "hash_verified": False,
        "errors": 3,
        "warnings": 1,
        "unreadable": None,
    }


def test_strict_turns_warnings_into_errors_and_the_verdict_with_them() -> None:
    finding, report = records(WARNED, strict=True)
    assert finding["severity"] == "error"
    assert (report["verdict"], report["errors"], report["warnings"]) == ("invalid", 1, 0)


def test_a_file_that_cannot_be_read_is_never_valid() -> None:
    (report,) = records(UNREADABLE)
    assert (report["verdict"], report["unreadable"]) == ("unreadable", "no such file")


def test_the_document_holds_what_the_lines_hold() -> None:
    document = json.loads(written("json", *ALL))
    lines = records(*ALL)
    files = [
        {key: value for key, value in line.items() if key != "type"}
        for line in lines
        if line["type"] == "report"
    ]
    assert [
        {key: value for key, value in one.items() if key != "findings"} for one in document["files"]
    ] == files
    inner = [
        {"type": "finding", "_file": one["_file"], **found}
        for one in document["files"]
        for found in one["findings"]
    ]
    assert inner == [line for line in lines if line["type"] == "finding"]
    assert document["summary"]["files"] == len(ALL)
    assert document["summary"]["errors"] == sum(one["errors"] for one in files)


def test_a_run_that_breaks_off_leaves_no_document() -> None:
    from tgmtool.cli.reports import FORMATS

    pieces: list[str] = []
    FORMATS["json"](pieces.append).add(VALID)
    with pytest.raises(ValueError, match="delimiter"):
        json.loads("".join(pieces))
