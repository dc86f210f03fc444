"""SARIF is what its specification says: rules, results, places as URIs, and texts that are no links."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli.reports.samples import (
    ALL,
    INCOMPLETE,
    INVALID,
    STRANGE,
    UNCHECKED,
    UNREADABLE,
    VALID,
    WARNED,
    written,
)
from tgmtool.cli.reports.as_sarif import uri_of
from tgmtool.operations.findings import CODES, Report

# The published schema is not part of this repository: its licence does not let us ship it.
PUBLISHED = os.environ.get("TGMTOOL_TEST_SARIF_SCHEMA", "")

TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
LEVEL = {"enum": ["error", "warning", "note"]}
LOCATIONS = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["physicalLocation"],
        "additionalProperties": False,
        "properties": {
            "physicalLocation": {
                "type": "object",
                "required": ["artifactLocation"],
                "additionalProperties": False,
                "properties": {
                    "artifactLocation": {
                        "type": "object",
                        "required": ["uri"],
                        "additionalProperties": False,
                        "properties": {"uri": {"type": "string", "pattern": "^[!-~]+$"}},
                    },
                    "region": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["byteOffset", "byteLength"],
                        "properties": {
                            "byteOffset": {"type": "integer", "minimum": 0},
                            "byteLength": {"type": "integer", "minimum": 0},
                        },
                    },
                },
            }
        },
    },
}
# What we use of SARIF 2.1.0, restated from its specification; nothing else may appear.
USED: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "additionalProperties": False,
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "additionalProperties": False,
                                "properties": {
                                    "name": {"const": "tgmtool"},
                                    "version": {"type": "string"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "additionalProperties": False,
                                            "properties": {
                                                "id": {"type": "string"},
                                                "shortDescription": TEXT,
                                                "defaultConfiguration": {
                                                    "type": "object",
                                                    "additionalProperties": False,
                                                    "properties": {"level": LEVEL},
                                                },
                                                "properties": {"type": "object"},
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"enum": list(CODES)},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": LEVEL,
                                "message": TEXT,
                                "locations": LOCATIONS,
                                "partialFingerprints": {
                                    "type": "object",
                                    "additionalProperties": {"type": "string"},
                                },
                                "properties": {"type": "object"},
                            },
                        },
                    },
                    "invocations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["executionSuccessful"],
                            "additionalProperties": False,
                            "properties": {
                                "executionSuccessful": {"type": "boolean"},
                                "toolExecutionNotifications": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "required": ["message"],
                                        "additionalProperties": False,
                                        "properties": {
                                            "level": LEVEL,
                                            "message": TEXT,
                                            "locations": LOCATIONS,
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
DOCUMENTS = [(), (VALID,), (UNREADABLE,), ALL]


def run(*reports: Report, **options: bool) -> dict[str, Any]:
    (found,) = json.loads(written("sarif", *reports, **options))["runs"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("reports", DOCUMENTS)
def test_it_is_what_the_specification_says(reports: tuple[Report, ...]) -> None:
    for strict in (False, True):
        jsonschema.validate(json.loads(written("sarif", *reports, strict=strict)), USED)


@pytest.mark.skipif(not PUBLISHED, reason="TGMTOOL_TEST_SARIF_SCHEMA names no copy of the published schema")
@pytest.mark.parametrize("reports", DOCUMENTS)
def test_it_fits_the_published_schema(reports: tuple[Report, ...]) -> None:
    schema = json.loads(Path(PUBLISHED).read_text())
    jsonschema.validate(json.loads(written("sarif", *reports)), schema)


def test_the_rules_are_the_table_of_codes() -> None:
    rules = run()["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(CODES)
    rule = next(rule for rule in rules if rule["id"] == "incomplete_tail")
    assert rule["defaultConfiguration"] == {"level": "error"}
    assert rule["properties"] == {"level": "structure", "severity": "incomplete", "ours": True}
    for result in run(STRANGE)["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


@pytest.mark.parametrize(
    ("report", "strict", "levels"),
    [
        (INVALID, False, ["note", "warning", "error", "error", "error", "note"]),
        (INVALID, True, ["note", "error", "error", "error", "error", "note"]),
        (WARNED, False, ["warning"]),
        (INCOMPLETE, False, ["error"]),
        (UNCHECKED, False, ["error"]),
    ],
)
def test_the_level_of_a_result(report: Report, strict: bool, levels: list[str]) -> None:
    assert [result["level"] for result in run(report, strict=strict)["results"]] == levels


def test_where_a_result_is() -> None:
    results = run(INVALID)["results"]
    assert results[2]["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "bad.tgm"},
        "region": {"byteOffset": 400, "byteLength": 64},
    }
    assert results[2]["properties"] == {"severity": "error", "message": 3, "object": 2}
    assert "region" not in results[4]["locations"][0]["physicalLocation"]


def test_fingerprints_differ_and_stay_when_the_findings_move() -> None:
    def prints(report: Report) -> list[str]:
        return [one["partialFingerprints"]["tgmtoolFinding/v1"] for one in run(report)["results"]]

    moved = tuple(found._replace(offset=(found.offset or 0) + 8) for found in INVALID.findings)
    assert len(set(prints(INVALID))) == len(INVALID.findings)
    assert prints(INVALID) == prints(INVALID._replace(findings=moved))
    assert not set(prints(INVALID)) & set(prints(INVALID._replace(source="other.tgm")))


def test_a_file_that_cannot_be_read_makes_the_run_fail() -> None:
    (invocation,) = run(VALID, UNREADABLE)["invocations"]
    assert invocation["executionSuccessful"] is False
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification["message"]["text"] == "no such file"
    assert run(INVALID)["invocations"] == [{"executionSuccessful": True}]


def test_no_text_of_a_file_is_a_placeholder_or_a_link() -> None:
    text = run(STRANGE)["results"][0]["message"]["text"]
    assert "{{0}}" in text
    assert "](" not in text


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("a/b.tgm", "a/b.tgm"),
        ("./a.tgm", "a.tgm"),
        ("../a.tgm", "../a.tgm"),
        ("a b%é.tgm", "a%20b%25%C3%A9.tgm"),
        ("c:x.tgm", "c%3Ax.tgm"),
        ("a#b?c.tgm", "a%23b%3Fc.tgm"),
        ("/data/a b.tgm", "file:///data/a%20b.tgm"),
        ("raw\udcff.tgm", "raw%FF.tgm"),
        ("s3://bucket/a b[1]%20.tgm", "s3://bucket/a%20b%5B1%5D%20.tgm"),
        ("https://[::1]:8080/a.tgm", "https://[::1]:8080/a.tgm"),
        ("-", "-"),
        ("<stdin>", "%3Cstdin%3E"),
    ],
)
def test_names_become_uris(name: str, uri: str) -> None:
    assert uri_of(name) == uri
