"""What a caller requires of objects: keys, values, a schema, an earlier listing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.here import tgmtool
from tests.operations.streams import buffered, streaming
from tgmtool import SourceError
from tgmtool.errors import EncodeError
from tgmtool.operations.policies import Expected, fits_schema, require
from tgmtool.operations.requirements import ObjectPolicy, Policy
from tgmtool.operations.validate import validate

WHOLE = buffered(range(3))


def texts(policy: ObjectPolicy, data: bytes = WHOLE) -> list[str]:
    return [one.text for one in validate(data, policy=Policy(objects=(policy,))).findings]


@pytest.mark.parametrize(
    ("expression", "failing"),
    [
        ("mars.step", 0),
        ("mars.number", 3),
        ("mars.step=0/1/2", 0),
        ("mars.step=0/1", 1),
        ("mars.step=0/to/2/by/1", 0),
        ("mars.param=2t", 0),
        ("mars.param=10u", 3),
        ("mars.step<2", 1),
        ("mars.step!=1", 1),
        ("dtype=float32", 0),
    ],
)
def test_every_object_must_have_the_key_or_one_of_the_values(expression: str, failing: int) -> None:
    assert len(texts(require(expression))) == failing


def test_what_is_required_and_what_is_there_are_named() -> None:
    assert texts(require("mars.number"))[0] == "mars.number is missing"
    assert texts(require("mars.step=0/1")) == ["mars.step is 2, required is mars.step=0/1"]


def test_an_expression_that_cannot_be_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="<"):
        require("a<1/2")


SCHEMA = {
    "type": "object",
    "required": ["mars", "dtype"],
    "properties": {
        "mars": {"type": "object", "properties": {"step": {"type": "integer", "maximum": 1}}},
        "dtype": {"enum": ["float32"]},
        "shape": {"const": [2, 3]},
    },
}


def schema(folder: Path, value: object = SCHEMA) -> str:
    path = folder / "schema.json"
    path.write_text(json.dumps(value))
    return str(path)


def test_metadata_and_descriptor_must_fit_a_schema(tmp_path: Path) -> None:
    assert texts(fits_schema(schema(tmp_path))) == ["mars.step: 2 is greater than the maximum of 1"]


def test_keys_of_the_message_are_looked_at_as_extra(tmp_path: Path) -> None:
    (one, *_) = texts(fits_schema(schema(tmp_path, {"properties": {"_extra": {"required": ["run"]}}})))
    assert one == "_extra: 'run' is a required property"


def test_of_many_violations_a_few_are_named_and_the_rest_is_counted(tmp_path: Path) -> None:
    many = {"required": list("abcdefg")}
    found = texts(fits_schema(schema(tmp_path, many)), buffered([0]))
    assert len(found) == 4
    assert found[-1] == "4 more violations"


def test_a_schema_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="is no JSON Schema"):
        fits_schema(schema(tmp_path, {"type": 5}))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(EncodeError, match="is no JSON"):
        fits_schema(str(tmp_path / "bad.json"))
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe")
    with pytest.raises(EncodeError, match="is no text"):
        fits_schema(str(tmp_path / "bad.json"))
    with pytest.raises(SourceError):
        fits_schema(str(tmp_path / "absent.json"))


# ---- an earlier listing


def listing(folder: Path, data: bytes) -> str:
    (folder / "old.tgm").write_bytes(data)
    path = folder / "old.ndjson"
    path.write_bytes(tgmtool("scan", "-j", "-m", "old.tgm", cwd=folder).out)
    return str(path)


def unexpected(path: str, data: bytes) -> list[str]:
    expected = Expected(path)
    policy = Policy(objects=(expected.policy,), ends=(expected.missing,))
    return [one.text for one in validate(data, policy=policy).findings if one.weight == "error"]


def test_a_file_matches_its_own_listing(tmp_path: Path) -> None:
    assert unexpected(listing(tmp_path, WHOLE), WHOLE) == []


def test_a_listing_does_not_depend_on_places_in_the_file(tmp_path: Path) -> None:
    assert unexpected(listing(tmp_path, streaming(range(3), backfill=True)), WHOLE) == []


def test_what_is_missing_one_too_many_or_another_is_named(tmp_path: Path) -> None:
    path = listing(tmp_path, WHOLE)
    assert unexpected(path, buffered(range(2))) == [f"2 objects, expected the 3 of {path}"]
    assert unexpected(path, buffered(range(4))) == [f"one more object than the 3 of {path}"]
    found = unexpected(path, buffered([0, 1, 7]))
    assert any('"step": 7' in one and "expected" in one for one in found)


@pytest.mark.parametrize("text", ["{", "[1]", "5"])
def test_a_listing_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(EncodeError, match="line 1"):
        Expected(str(tmp_path / "x"))
