"""Arrays out of text: tables and JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.operations.streams import Array
from tgmtool import EncodeError, LimitExceeded, TgmError
from tgmtool.endpoints.stdio import StreamSource
from tgmtool.limits import Limits
from tgmtool.operations.inputs import Item, items

NAN = float("nan")


def same(found: Array, expected: Any) -> bool:
    wanted = np.asarray(expected)
    return (
        found.dtype == wanted.dtype
        and found.shape == wanted.shape
        and np.array_equal(found, wanted, equal_nan=wanted.dtype.kind == "f")
    )


def table(text: str | bytes, **options: Any) -> list[Item]:
    return list(items(text if isinstance(text, bytes) else text.encode(), "csv", **options))


# ---- csv


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("1,2\n3,4", [[1, 2], [3, 4]]),
        ("1;2\r\n3;4.5\r\n", [[1.0, 2.0], [3.0, 4.5]]),
        ("1\t2\n3\t\n", [[1.0, 2.0], [3.0, NAN]]),
        ("  1   2 \n 3  4\n", [[1, 2], [3, 4]]),
        ("7\n8\n", [[7], [8]]),
        ('"1","2"\n', [[1, 2]]),
        ("# a comment\n1,2\n\n# another\n3,4\n", [[1, 2], [3, 4]]),
        ("\ufeff1,2\n", [[1, 2]]),
        ("1e3,-inf\nNA,nan\n", [[1000.0, -np.inf], [NAN, NAN]]),
        ("9007199254740993,-1\n", [[9007199254740993, -1]]),
        ("99999999999999999999,1\n", [[1e20, 1.0]]),
    ],
)
def test_a_table_without_a_header_is_one_array(text: str, expected: Any) -> None:
    (found,) = table(text)
    assert same(found.values, expected)
    assert found.entry == {}


def test_columns_with_a_header_are_objects_with_its_names() -> None:
    found = table("step, t ,\n0,280.5,9007199254740993\n6,,2\n")
    assert [item.entry for item in found] == [{"name": "step"}, {"name": "t"}, {"name": "column_3"}]
    assert same(found[0].values, [0, 6])
    assert same(found[1].values, [280.5, NAN])
    assert same(found[2].values, [9007199254740993, 2])


def test_columns_are_chosen_by_name() -> None:
    (found,) = table("a,b\n1,2\n", variables=("b",))
    assert (found.entry, found.values.tolist()) == ({"name": "b"}, [2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t,u\n1,2\n3,x\n", "line 3: column 'u': expected a number, found 'x'"),
        ("1,2\n\n3,x\n", "line 3: column 2: expected a number, found 'x'"),
        ("1,1_000\n", None),
        ("1\n1_000\n", "found '1_000'"),
        ("1,2\n3\n", "line 2: expected 2 cells as in the first line, got 1"),
        ("1,2\n3,4,5\n", "line 2: expected 2 cells as in the first line, got 3"),
        ("a,a\n1,2\n", "two columns are named 'a'"),
        ("", "nothing to encode"),
        ("\n# only this\n", "nothing to encode"),
        (b"1,2\n\xff,3\n", "line 2: expected text in UTF-8"),
        ("1," + "9" * (3 << 20), "no line end within"),
        ('1,"' + "9" * 200_000 + '"\n', "field larger than field limit"),
        ('1,"2\n' + "3\n" * 200_000, "field larger than field limit"),
    ],
)
def test_a_table_that_is_none_says_where_and_what(text: str | bytes, message: str | None) -> None:
    if message is None:
        assert [item.entry["name"] for item in table(text)] == ["1", "1_000"]  # a header: not numbers
        return
    with pytest.raises(EncodeError, match=message):
        table(text)


def test_a_table_beyond_the_limit_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        table("1,2\n" * 20_000, limits=Limits(decoded_bytes=100_000))


def test_names_need_a_header() -> None:
    with pytest.raises(EncodeError, match="no header"):
        table("1,2\n", variables=("a",))
    with pytest.raises(EncodeError, match="no variable 'c', only a, b"):
        table("a,b\n1,2\n", variables=("c",))


# ---- json


def parsed(text: str, **options: Any) -> list[Item]:
    return list(items(text.encode(), "json", **options))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2]", [1, 2]),
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("[[1, null], [3, 4]]", [[1.0, NAN], [3.0, 4.0]]),
        ("[1, 2.5]", [1.0, 2.5]),
        ("[true, false]", [True, False]),
        ("7", 7),
        ("null", NAN),
        ("[]", np.zeros(0)),
        ("[[], []]", np.zeros((2, 0))),
        ("[18446744073709551615]", np.array([(1 << 64) - 1], np.uint64)),
        ("[\n  [1, 2],\n  [3, 4]\n]\n", [[1, 2], [3, 4]]),
    ],
)
def test_nested_lists_are_an_array(text: str, expected: Any) -> None:
    (found,) = parsed(text)
    assert same(found.values, expected)


def test_a_map_has_data_beside_its_metadata() -> None:
    (found,) = parsed(
        '{"data": [1, 2, 3, 4], "dtype": "<f4", "shape": [2, 2], "name": "t", "mars": {"step": 6}}'
    )
    assert same(found.values, np.array([[1, 2], [3, 4]], "<f4"))
    assert found.entry == {"name": "t", "mars": {"step": 6}}


def test_values_is_another_word_for_data() -> None:
    (found,) = parsed('{"values": [1], "dtype": "int16"}')
    assert same(found.values, np.array([1], "<i2"))


def test_a_list_of_maps_is_a_list_of_objects() -> None:
    found = parsed('[{"data": [1], "name": "a"},\n {"data": [2.5], "name": "b"}]')
    assert [(item.entry["name"], item.values.tolist()) for item in found] == [("a", [1]), ("b", [2.5])]


def test_a_json_line_comes_before_the_next_one_is_sent() -> None:
    reader, writer = os.pipe()
    source = StreamSource(reader, "<pipe>")
    found = items(source, "json")
    for step in range(3):
        os.write(writer, json.dumps({"data": [step], "step": step}).encode() + b"\n\n")
        item = next(found)
        assert (item.values.tolist(), item.entry) == ([step], {"step": step})
    os.close(writer)
    assert next(found, None) is None
    source.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing to encode"),
        ("[1, 2", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ("[" * 70 + "]" * 70, "65 dimensions"),
        ("[[1, 2], [3]]", r"\[1\]: expected a list of 2 values as in the first, found 1 values"),
        ('{"data": [[[1], [2]], [[3], 4]]}', r"data\[1\]\[1\]: expected a list of 1 values.*found 4"),
        ("[1, [2]]", r"\[1\]: expected a number, found \[2\]"),
        ('[[1, 2], [3, "x"]]', r"\[1\]\[1\]: expected a number, found 'x'"),
        ("[true, 2]", r"\[1\]: expected true or false"),
        ("[1, true]", r"\[1\]: expected a number, found True"),
        ('"text"', "the document: expected a number"),
        ("{}", 'no "data"'),
        ('{"dat": [1]}', 'no "data", found dat'),
        ('[{"data": [1]}, 2, {}]', None),
        ("[1" + "0" * 400 + "]", "64 bits"),
        ("[1" + "0" * 5000 + "]", "expected JSON"),
        ("[18446744073709551615, -1]", "64 bits"),
        ("[1.5, 1" + "0" * 400 + "]", "64 bits"),
        ('{"data": [1, 2], "shape": [3]}', r"shape \[3\] does not fit 2 numbers"),
        ('{"data": [1, 2], "shape": "2"}', "does not fit"),
        ('{"data": [1.5], "dtype": "int16"}', "not every number is a int16"),
        ('{"data": [300], "dtype": "uint8"}', "not every number"),
        ('{"data": [null], "dtype": "int16"}', "not every number"),
        ('{"data": [1], "dtype": "bfloat16"}', "cannot be given"),
        ('{"data": [1], "dtype": "O"}', "cannot be given"),
        ('{"data": [1], "dtype": "nonsense"}', "unknown"),
        ('{"data": [1], "dtype": 4}', "cannot be given"),
    ],
)
def test_json_that_is_no_array_says_where_and_what(text: str, message: str | None) -> None:
    with pytest.raises(TgmError, match=message):
        parsed(text)


def test_a_bad_json_line_says_where_it_begins() -> None:
    found = items(b"[1]\n[2\n", "json")
    assert next(found).values.tolist() == [1]
    with pytest.raises(EncodeError, match="byte 4: expected JSON"):
        next(found)


# ---- both


CSV = "step,t\n0,280.5\n6,\n12,3e2\n"
JSON = '{"data": [[1, 2.5], [null, 4]], "dtype": "<f4", "shape": [4]}'


@pytest.mark.parametrize(("kind", "text"), [("csv", CSV), ("json", JSON)])
def test_text_that_is_damaged_anywhere_is_an_error_of_ours_or_other_numbers(kind: str, text: str) -> None:
    data = text.encode()
    for at in range(len(data)):
        for flip in (0x01, 0x08, 0x20, 0x80):
            for damaged in (data[:at], data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]):
                try:
                    list(items(damaged, kind))
                except TgmError as error:
                    assert "\n" not in str(error)  # noqa: PT017  # most of them are no errors


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", CSV), ("a.TSV", "1\t2\n"), ("a.json", JSON), ("a.jsonl", "[1]\n[2]\n")]
)
def test_the_suffix_says_what_text_is(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert len(list(items(path))) in {1, 2}


def test_a_list_is_told_from_its_first_byte() -> None:
    (found,) = items(b"[1, 2]")
    assert found.values.tolist() == [1, 2]
