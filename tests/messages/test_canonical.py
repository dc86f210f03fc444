"""Deterministic CBOR (RFC 8949 §4.2.1), head by head."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgmtool.messages import cbor
from tgmtool.messages.canonical import NON_CANONICAL, UNUSUAL, oddities

ITEMS = [
    ("00", set()),
    ("17", set()),
    ("1818", set()),
    ("1817", {NON_CANONICAL}),
    ("190100", set()),
    ("1900ff", {NON_CANONICAL}),
    ("1a00010000", set()),
    ("1a0000ffff", {NON_CANONICAL}),
    ("1b0000000100000000", set()),
    ("1b00000000ffffffff", {NON_CANONICAL}),
    ("3800", {NON_CANONICAL}),
    ("6161", set()),
    ("780161", {NON_CANONICAL}),
    ("5800", {NON_CANONICAL}),
    ("7f6161ff", {NON_CANONICAL}),
    ("9f00ff", {NON_CANONICAL}),
    ("bf616100ff", {NON_CANONICAL}),
    ("9800", {NON_CANONICAL}),
    ("b800", {NON_CANONICAL}),
    ("a2616100616200", set()),
    ("a2616200616100", {NON_CANONICAL}),
    ("a261620062616100", set()),
    ("a262616100616200", {NON_CANONICAL}),
    ("a2616100616100", {NON_CANONICAL}),
    ("82a16161a2616200616300a0", set()),
    ("a16161a2616300616200", {NON_CANONICAL}),
    ("c11a514b67b0", set()),
    ("d80100", {NON_CANONICAL}),
    ("f4", set()),
    ("f6", set()),
    ("f7", {UNUSUAL}),
    ("e5", {UNUSUAL}),
    ("f8ff", {UNUSUAL}),
    ("f93c00", set()),
    ("fa3f800000", set()),
    ("fb3ff0000000000000", set()),
    ("a26161f761621800", {NON_CANONICAL, UNUSUAL}),
]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.text(max_size=30)
    | st.binary(max_size=30) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.parametrize(("item", "expected"), ITEMS)
def test_an_item_is_judged_by_its_heads(item: str, expected: set[str]) -> None:
    assert oddities(bytes.fromhex(item)) == expected


@given(values)
def test_what_we_write_is_deterministic(value: object) -> None:
    assert oddities(cbor.encode(value)) == set()


@given(values)
def test_what_another_canonical_writer_writes_is_too(value: object) -> None:
    assert UNUSUAL not in oddities(cbor2.dumps(value))


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 9), min_size=2, max_size=5))
def test_keys_in_any_other_order_are_noticed(value: dict[str, int]) -> None:
    ordered = sorted(value, key=cbor.encode)
    for order, odd in ((ordered, set()), (ordered[::-1], {NON_CANONICAL})):
        packed = bytes([0xA0 + len(value)]) + b"".join(cbor.encode(key) + cbor.encode(0) for key in order)
        assert oddities(packed) == odd
