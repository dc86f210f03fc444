"""The table of codes, verdicts, and which findings are kept when there are too many."""

from __future__ import annotations

import re

import pytest

from tgmtool.operations.findings import (
    CODES,
    ERROR,
    INCOMPLETE,
    LEVELS,
    NOTE,
    SEVERITIES,
    TABLE,
    UNCHECKED,
    WARNING,
    Finding,
    Kept,
    verdict_of,
)

OF = {  # a code of each severity
    ERROR: "hash_mismatch",
    WARNING: "reserved_flag",
    NOTE: "no_hash_available",
    INCOMPLETE: "incomplete_tail",
    UNCHECKED: "limit_exceeded",
}


def test_every_code_stands_once_is_snake_case_and_says_what_it_means() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)
    for row in TABLE:
        assert re.fullmatch("[a-z]+(_[a-z]+)*", row.name)
        assert row.level in LEVELS
        assert row.severity in SEVERITIES
        assert row.text.endswith(".")
        assert len(row.text) < 80


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_finding_weighs_what_its_code_does_unless_it_says_otherwise(severity: str) -> None:
    found = Finding(OF[severity], "…")
    assert found.weight == severity
    assert found.level == CODES[found.code].level
    assert found._replace(severity=WARNING).weight == WARNING


@pytest.mark.parametrize(
    ("weights", "strict", "verdict"),
    [
        ([], False, "valid"),
        ([NOTE], True, "valid"),
        ([WARNING], False, "valid"),
        ([WARNING], True, "invalid"),
        ([INCOMPLETE], False, "incomplete"),
        ([INCOMPLETE, UNCHECKED], False, "unchecked"),
        ([INCOMPLETE, UNCHECKED, ERROR, NOTE], False, "invalid"),
        ([INCOMPLETE, WARNING], False, "incomplete"),
        ([INCOMPLETE, WARNING], True, "invalid"),
    ],
)
def test_the_heaviest_finding_makes_the_verdict(weights: list[str], strict: bool, verdict: str) -> None:
    assert verdict_of([Finding(OF[weight], "…") for weight in weights], strict=strict) == verdict


@pytest.mark.parametrize("weight", [ERROR, UNCHECKED, INCOMPLETE])
@pytest.mark.parametrize("place", [0, 9, 10, 15, 19])
def test_what_weighs_most_is_kept_wherever_it_stands(weight: str, place: int) -> None:
    kept = Kept(10, lambda finding: finding)
    for number in range(20):
        kept.add(Finding(OF[weight] if number == place else OF[WARNING], "…"))
    assert len(kept.findings) == kept.dropped == 10
    assert [found.weight for found in kept.findings].count(weight) == 1


def test_what_a_judge_leaves_out_takes_no_place() -> None:
    kept = Kept(2, lambda finding: None if finding.code == OF[NOTE] else finding)
    for _ in range(5):
        kept.add(Finding(OF[NOTE], "…"))
    kept.add(Finding(OF[WARNING], "…"))
    assert [found.code for found in kept.findings] == [OF[WARNING]]
    assert kept.dropped == 0
