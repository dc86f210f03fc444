"""Every `-j` record fits the schema that ships for it, also when a stranger wrote the metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import tgmtool
from tests.cli.conftest import HOSTILE
from tests.operations.streams import FIXED, append, buffered
from tgmtool.cli import main
from tgmtool.cli.reports.base import VERDICTS
from tgmtool.operations.findings import LEVELS, SEVERITIES

TOP = Path(__file__).parents[2]
FOLDER = TOP / "tgmtool" / "schemas"
NAMES = sorted(path.name.removesuffix(".schema.json") for path in FOLDER.iterdir())
SAMPLES = sorted((TOP / "sample-data").glob("*.tgm"))
DAMAGED = sorted((TOP / "tests" / "vectors").glob("invalid_*.tgm"))

# Every key that a record can have: metadata must not be taken for them.
SHADOWS = (
    "_file _msg _obj _offset _length _payload_offset _payload_length _hash _status _code _reason _extra "
    "_objects _mode _flags _type _name _padding dtype shape ndim byte_order encoding filter compression "
    "masks min mean max nan event offset length code reason type"
)
STRANGE: dict[str, Any] = {
    **{name: {"not": ["what", "you", "think"]} for name in SHADOWS.split()},
    "nan_inside": [float("nan"), {"deep": float("-inf")}],
    "bytes": b"\x00\xff",
    "large": [2**64 - 1, -(2**63), 2**53, -(2**53) - 1],
    "text": HOSTILE,
    HOSTILE: {HOSTILE: HOSTILE},
    "null": None,
    "yes": True,
    "mars": {"step": [1, 2]},
}


@cache
def schema_of(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))


def check(name: str, record: Any) -> None:
    """Assert that a record fits the schema `name`."""
    jsonschema.Draft202012Validator(schema_of(name)).validate(record)


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A file whose metadata is as strange as metadata can be."""
    path = tmp_path / "strange.tgm"
    kinds = [
        np.ones((2, 2), "<f4"),
        np.float64(3.5),
        np.zeros((0, 1 << 40), "<c8"),
        np.arange(3, dtype=">i8"),
    ]
    pairs = [(np.asarray(kind), STRANGE) for kind in kinds]
    tgmtool.write(path, pairs, metadata=STRANGE, layout="streaming", style=FIXED)
    return path


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def lines_of(capfd: pytest.CaptureFixture[str], *words: object) -> Iterator[Any]:
    capfd.readouterr()
    main(list(map(str, words)))
    out = capfd.readouterr().out
    assert out.isascii()
    for line in out.splitlines():
        yield json.loads(line, parse_constant=refuse)


# ---- the schemas themselves


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_says_what_it_is_and_is_open_for_more(name: str) -> None:
    schema = schema_of(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:tgmtool:schema:{name}:1"
    assert schema["title"]
    assert schema["description"]
    for inner in (schema, *schema.get("$defs", {}).values()):
        assert inner["additionalProperties"] is True
        assert set(inner["required"]) <= set(inner["properties"])
        for key, rule in inner["properties"].items():
            assert rule.get("description") or "$ref" in rule, key


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_refuses_a_record_that_lacks_a_key_or_has_another_type(name: str) -> None:
    schema = schema_of(name)
    assert not jsonschema.Draft202012Validator(schema).is_valid({})
    for key in schema["required"]:
        if "type" in schema["properties"][key]:
            alone = {**schema, "required": [key]}
            assert not jsonschema.Draft202012Validator(alone).is_valid({key: object()})


def test_the_words_of_the_schemas_are_those_of_the_tables() -> None:
    finding, report = schema_of("validate-finding"), schema_of("validate-report")
    assert tuple(finding["properties"]["level"]["enum"]) == LEVELS
    assert tuple(finding["properties"]["severity"]["enum"]) == SEVERITIES
    assert tuple(report["properties"]["verdict"]["enum"]) == VERDICTS


def test_the_document_of_validate_is_made_of_the_same_parts_as_its_lines() -> None:
    parts = schema_of("validate-document")["$defs"]
    for name, added in (("finding", set()), ("report", {"findings"})):
        line = dict(schema_of(f"validate-{name}")["properties"])
        del line["type"]
        if name == "finding":
            del line["_file"]
        inner = {key: rule for key, rule in parts[name]["properties"].items() if key not in added}
        assert inner == line


# ---- what the commands print


def kind_of(command: str, unit: str, record: Any) -> str:
    """The schema of a line, told as the schemas' descriptions say."""
    key = {"object": "_obj", "message": "_msg", "frame": "_type"}[unit]
    if command == "scan":
        return f"scan-{unit}" if key in record else "scan-gap"
    return f"tail-{unit}" if "_status" in record else "tail-event"


@pytest.mark.parametrize("unit", ["object", "message", "frame"])
@pytest.mark.parametrize("command", ["scan", "tail"])
def test_scan_and_tail(
    command: str, unit: str, strange: Path, files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = set()
    append(strange, b"between" + buffered(range(1)) + buffered(range(1))[:-9])
    for place in (*SAMPLES, *DAMAGED, *sorted(files.glob("*.tgm"))):
        for record in lines_of(capfd, command, "-j", "--unit", unit, place):
            kind = kind_of(command, unit, record)
            check(kind, record)
            seen.add(kind)
    assert seen == {f"{command}-{unit}", "scan-gap" if command == "scan" else "tail-event"}


def test_tail_with_statistics(strange: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = list(lines_of(capfd, "tail", "-j", "--stats", strange))
    assert len(found) == 4
    for record in found:
        check("tail-object", record)
        assert isinstance(record["nan"], int)


def test_events_of_tail(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, event in (("missing.tgm", None), ("cut.tgm", "cut"), ("garbage.tgm", "gap")):
        found = list(lines_of(capfd, "tail", "-j", "-n", "+1", files / name, files / "whole.tgm"))
        events = [record for record in found if "_status" not in record]
        assert event is None or event in {record["event"] for record in events}
        for record in events:
            check("tail-event", record)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("--summary", "scan-summary"),
        ("--summary --unit message", "scan-summary"),
        ("--group-by mars.param,missing", "scan-group"),
        ("--values", "scan-values"),
        ("--values -p mars.step,_offset", "scan-values"),
    ],
)
def test_totals_of_scan(
    words: str, name: str, strange: Path, files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = list(lines_of(capfd, "scan", "-j", *words.split(), *SAMPLES, strange, files / "garbage.tgm"))
    assert found
    for record in found:
        check(name, record)


def test_cat_remote_lists_and_values(strange: Path, files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("encode", "--from", "raw", "--dtype", "<f4", "--shape", "2,3", "--allow-nan", "-o")
    assert main([*words, str(files / "nan.tgm"), str(files / "nan.raw")]) == 0
    (with_nan,) = lines_of(capfd, "cat-remote", "--as", "ndjson", files / "nan.tgm")
    check("cat-remote-values", with_nan)
    assert with_nan["masks"] == ["nan"]
    assert with_nan["values"][0][1] is None
    listed = list(lines_of(capfd, "cat-remote", "--list", "-j", *SAMPLES, strange))
    taken = list(lines_of(capfd, "cat-remote", "--as", "ndjson", *SAMPLES, strange))
    assert len(listed) == len(taken) > 30
    for record in listed:
        check("cat-remote-object", record)
    for record in taken:
        check("cat-remote-values", record)
    main(["cat-remote", "--as", "json", str(strange)])
    assert json.loads(capfd.readouterr().out, parse_constant=refuse) == taken[-4:]


def test_encode_reports_messages(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for layout in ("buffered", "streaming"):
        words = ("encode", "--from", "raw", "--dtype", "<f4", "--shape", "1,5", "--layout", layout)
        out = files / f"{layout}.tgm"
        found = list(lines_of(capfd, *words, "--extra", "_status=1", "-j", "-o", out, files / "short.raw"))
        assert found
        for record in found:
            check("encode-message", record)
            assert record["_file"] == str(out)


def test_the_version(capfd: pytest.CaptureFixture[str]) -> None:
    (found,) = lines_of(capfd, "--version", "--json")
    check("version", found)
