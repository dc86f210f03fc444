"""Any bytes at all give a value or our own error, and any value comes back."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.messages.test_cbor import AT, RICH
from tgmtool import LimitExceeded, MetadataError
from tgmtool.messages import cbor

budget = settings(max_examples=400, deadline=None, derandomize=True, database=None)


def assert_harmless(body: bytes) -> None:
    whole = False
    with suppress(MetadataError, LimitExceeded):
        cbor.decode(body, what="metadata", offset=AT)
        whole = True
    if whole:
        assert cbor.item_size(body, what="metadata", offset=AT) == len(body)
    for use in (cbor.decode_map, cbor.item_size):
        with suppress(MetadataError, LimitExceeded):
            use(body, what="metadata", offset=AT)


_heads = st.sampled_from([bytes([head]) for head in range(256)])


@budget
@given(st.binary(max_size=40) | st.lists(_heads | st.binary(max_size=3), max_size=20).map(b"".join))
def test_any_bytes_give_a_value_or_our_own_error(body: bytes) -> None:
    assert_harmless(body)


@budget
@given(st.data())
def test_any_change_to_good_bytes_gives_a_value_or_our_own_error(data: st.DataObject) -> None:
    body = bytearray(RICH)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert_harmless(bytes(body))


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
_numbers = st.integers(-(1 << 64), (1 << 64) - 1) | st.floats(allow_nan=False)
_trees = st.recursive(
    st.none() | st.booleans() | _numbers | st.binary(max_size=9) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)


@budget
@given(_trees)
def test_any_value_comes_back_and_is_spelled_the_same_again(value: Any) -> None:
    body = cbor.encode(value)
    found = cbor.decode(body, what="metadata", offset=AT)
    assert found == value
    assert cbor.encode(found) == body
    assert cbor.item_size(body, what="metadata", offset=AT) == len(body)
