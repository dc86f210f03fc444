"""Every record is JSON that any reader takes: no NaN, no bytes, no integer that a float would change."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.oracle import budget
from tgmtool.operations.keys import MISSING
from tgmtool.operations.records import json_text, plain

EXACT = 1 << 53


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (MISSING, None),
        (True, True),
        ("text", "text"),
        (1.5, 1.5),
        (-0.0, -0.0),
        (math.nan, None),
        (-math.inf, None),
        (EXACT, EXACT),
        (-EXACT, -EXACT),
        (EXACT + 1, str(EXACT + 1)),
        ((1 << 64) - 1, str((1 << 64) - 1)),
        (-(1 << 64), "-0x10000000000000000"),
        (b"\x00\xff", "00ff"),
        (bytearray(b"a"), "61"),
        (memoryview(b""), ""),
        ((1, [math.nan, b"\x01"]), [1, [None, "01"]]),
        ({1: {None: math.inf}}, {"1": {"None": None}}),
    ],
    ids=repr,
)
def test_a_value_becomes_what_json_can_hold(value: Any, expected: Any) -> None:
    found = plain(value)
    assert (found, type(found)) == (expected, type(expected))
    assert json.loads(json_text(value)) == expected


def test_a_true_is_no_one_and_an_integer_no_float() -> None:
    assert json_text([True, 1, 1.0, "1"]) == '[true,1,1.0,"1"]'


def test_a_record_is_one_line_of_ascii() -> None:
    text = json_text({"é\n\u2028": "\x1b[31m\ud800"})
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == {"é\n\u2028": "\x1b[31m\ud800"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=10,
)


def refuse(word: str) -> None:
    raise AssertionError(word)


@budget(200)
@given(anything)
def test_anything_becomes_one_line_of_strict_json(value: Any) -> None:
    text = json_text(value)
    assert "\n" not in text
    json.loads(text, parse_constant=refuse)
