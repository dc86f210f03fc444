"""What is written by hand is what a general encoder writes, byte for byte."""

from __future__ import annotations

import math
from typing import Any

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tgmtool.messages import cbor
from tgmtool.messages.cbor_plain import NotPlain, map_of, plain

budget = settings(max_examples=400, deadline=None, derandomize=True, database=None)

_edges = st.sampled_from(
    [edge + step for edge in (24, 1 << 8, 1 << 16, 1 << 32, 1 << 63) for step in (-1, 0)]
)
_integers = _edges | _edges.map(lambda edge: -1 - edge) | st.integers(-(1 << 64), (1 << 64) - 1)
_texts = st.text(st.characters(exclude_categories=["Cs"]) | st.just("%"), max_size=9)
_long = st.sampled_from([23, 24, 63, 64, 65, 255, 256]).map("%".__mul__)
_leaves = st.none() | st.booleans() | _integers | st.floats() | st.floats(width=16) | _texts | _long
_trees = st.recursive(
    _leaves | st.binary(max_size=30),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=40,
)


def spelled(value: Any) -> bytes:
    return cbor2.dumps(value, canonical=True)


@budget
@given(_trees)
@example({f"{number}%": number for number in range(0x25)})  # their number is written as a percent sign
@example([0.0, -0.0, math.nan, -math.inf, 65504.0, 65520.0, 1e-8, 3.4e38, 3.5e38])
def test_a_plain_value_is_spelled_as_the_general_encoder_spells_it(value: Any) -> None:
    assert plain(value, 99) == spelled(value)


@budget
@given(st.dictionaries(_texts, _leaves, max_size=70))
def test_a_map_of_encoded_values_is_spelled_as_the_general_encoder_spells_it(value: dict[str, Any]) -> None:
    assert map_of({key: spelled(inner) for key, inner in value.items()}) == spelled(value)


def test_kinds_that_are_equal_and_not_the_same_are_told_apart() -> None:
    ones: list[Any] = [1, True, 1.0, "1"]
    assert [plain({"k": one}, 9) for one in ones] == [spelled({"k": one}) for one in ones]
    assert plain(-0.0, 9) != plain(0.0, 9)


@pytest.mark.parametrize("keys", [65, 3000])
def test_a_map_of_many_keys_is_for_the_general_encoder(keys: int) -> None:
    value = {f"{number:0100}": number for number in range(keys)}
    with pytest.raises(NotPlain):
        plain(value, 9)
    assert cbor.encode(value) == map_of({key: plain(n, 9) for key, n in value.items()}) == spelled(value)


@pytest.mark.parametrize("value", [{1: "a"}, 1 << 64, -(1 << 64) - 1, {1, 2}, bytearray(b"a"), [[[]]]])
def test_what_is_not_plain_is_for_the_general_encoder(value: Any) -> None:
    with pytest.raises(NotPlain):
        plain(value, 2)
