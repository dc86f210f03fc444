"""JUnit XML is well-formed, counts right, and has what the schema `junit-10` of CI tools allows."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

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
from tgmtool.operations.findings import Report

# Element: its attributes (required, optional) and its children, restated from that schema.
RULES: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name"},
        {"time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}
TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


def suite(*reports: Report, **options: bool) -> ET.Element:
    root = ET.fromstring(written("junit", *reports, **options))
    assert root.tag == "testsuites"
    (found,) = root
    return found


def obeys(element: ET.Element) -> None:
    required, optional, children = RULES[element.tag]
    assert required <= set(element.attrib) <= required | optional
    assert {child.tag for child in element} <= children
    assert TIME.fullmatch(element.get("time", "0"))
    if children:
        assert not (element.text or "").strip()
    for child in element:
        obeys(child)


@pytest.mark.parametrize("options", [{}, {"strict": True}, {"verbose": True}, {"quiet": True}])
def test_elements_attributes_and_counts(options: dict[str, bool]) -> None:
    obeys(ET.fromstring(written("junit", *ALL, **options)))
    found = suite(*ALL, **options)
    assert int(found.attrib["tests"]) == len(found) == len(ALL)
    for kind in ("failure", "error"):
        assert int(found.attrib[f"{kind}s"]) == len(found.findall(f"testcase/{kind}"))


@pytest.mark.parametrize(
    ("report", "strict", "element", "type_"),
    [
        (VALID, True, None, None),
        (WARNED, False, "system-out", None),
        (WARNED, True, "failure", "reserved_flag"),
        (INVALID, False, "failure", "hash_mismatch"),
        (INCOMPLETE, False, "failure", "incomplete_tail"),
        (UNCHECKED, False, "error", "limit_exceeded"),
        (UNREADABLE, False, "error", "unreadable"),
    ],
)
def test_how_a_file_comes_out(report: Report, strict: bool, element: str | None, type_: str | None) -> None:
    (case,) = suite(report, strict=strict)
    assert case.attrib["classname"] == "tgmtool.validate"
    assert case.attrib["name"] == report.source
    assert next((child.tag for child in case), None) == element
    if type_ is not None:
        assert case[0].attrib["type"] == type_


def test_the_text_lists_all_that_is_wrong() -> None:
    (case,) = suite(INVALID)
    assert case[0].attrib["message"] == "found 1, expected 2 (and 2 more)"
    assert (case[0].text or "").splitlines() == [
        "byte 400: error[hash_mismatch] msg 3 obj 2: found 1, expected 2",
        "byte 800: error[hash_mismatch] msg 3 obj 2: found 3, expected 4",
        "error[too_few_messages]: found 1, expected at least 2",
    ]
    assert case[1].text == "byte 100: warning[non_zero_padding] msg 0: found 3 bytes"


def test_what_xml_forbids_is_shown_by_its_number() -> None:
    every = "".join(map(chr, (*range(0x300), 0xD800, 0xDFFF, 0xFFFE, 0xFFFF, 0x1F600)))
    name = f'{every}<&>"]]>'
    (case,) = suite(VALID._replace(source=name))
    assert case.attrib["name"].endswith('\U0001f600<&>"]]>')
    assert case.attrib["name"].startswith(r"\x00\x01")
    assert r"\ud800\udfff\ufffe\uffff" in case.attrib["name"]


def test_it_is_the_same_in_every_encoding() -> None:
    assert written("junit", VALID._replace(source="größe.tgm")).isascii()
