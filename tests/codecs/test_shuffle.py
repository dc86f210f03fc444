"""The byte shuffle, against a model that is slow and plainly right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tgmtool import EncodeError, PayloadError
from tgmtool.codecs.base import Job
from tgmtool.codecs.dtypes import BY_NAME
from tgmtool.codecs.shuffle import STAGE

KEY = "shuffle_element_size"
CHUNK = 16 * 1024  # elements that the stage takes at once


def job(element: Any, dtype: str = "uint8") -> Job:
    return Job(BY_NAME[dtype], 0, {KEY: element}, sample_bits=BY_NAME[dtype].bits)


def model(data: bytes, element: int) -> bytes:
    return b"".join(data[byte::element] for byte in range(element))


def some_bytes(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


COUNTS = (0, 1, 2, 3, 7, 8, 9, 1000)


@pytest.mark.parametrize("element", range(1, 17))
def test_bytes_are_sorted_by_their_place_in_the_element(element: int) -> None:
    for count in COUNTS:
        data = some_bytes(element * count)
        shuffled = bytes(STAGE.encode(data, job(element))[0])
        assert shuffled == model(data, element)
        assert bytes(STAGE.decode(shuffled, len(data), job(element))) == data


@pytest.mark.parametrize("element", [1, 2, 3, 4, 8, 12, 16])
@pytest.mark.parametrize("count", [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5])
def test_pieces_of_a_large_payload_fit_together(element: int, count: int) -> None:
    data = some_bytes(element * count)
    shuffled = bytes(STAGE.encode(data, job(element))[0])
    assert shuffled == model(data, element)
    assert bytes(STAGE.decode(shuffled, len(data), job(element))) == data


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 64), st.binary(max_size=300), st.integers(0, 9))
def test_any_element_size_and_any_place_in_memory(element: int, data: bytes, shift: int) -> None:
    data = data[: len(data) // element * element]
    view = memoryview(bytes(shift) + data)[shift:]
    shuffled, _ = STAGE.encode(view, job(element))
    assert bytes(shuffled) == model(data, element)
    moved = memoryview(bytes(shift) + bytes(shuffled))[shift:]
    assert bytes(STAGE.decode(moved, len(data), job(element))) == data


def test_the_whole_buffer_may_be_one_element() -> None:
    data = some_bytes(100)
    assert bytes(STAGE.encode(data, job(100))[0]) == data


@pytest.mark.parametrize("row", BY_NAME.values(), ids=lambda row: row.name)
def test_the_element_size_is_the_items_unless_it_is_given(row: Any) -> None:
    assert STAGE.defaults(Job(row, 1, {}, sample_bits=row.bits)) == {KEY: max(row.bits // 8, 1)}
    assert STAGE.defaults(Job(row, 1, {KEY: 3}, sample_bits=row.bits)) == {KEY: 3}


def test_the_element_size_is_the_stages_own_parameter_and_the_size_stays() -> None:
    assert STAGE.params == (KEY,)
    assert STAGE.encoded_size(1000, job(8)) == 1000


@pytest.mark.parametrize("element", [0, -1, (1 << 31) + 1, 1 << 64, 2.0, "2", True, None, [2]], ids=repr)
def test_an_element_size_that_cannot_be_is_refused(element: Any) -> None:
    with pytest.raises(EncodeError, match=KEY):
        STAGE.encode(bytes(8), job(element))
    with pytest.raises(PayloadError, match=KEY):
        STAGE.decode(bytes(8), 8, job(element))


def test_a_missing_element_size_is_refused_when_reading() -> None:
    with pytest.raises(PayloadError, match=KEY):
        STAGE.decode(bytes(8), 8, Job(BY_NAME["float64"], 1, {}))


@pytest.mark.parametrize(("element", "size"), [(3, 8), (8, 12), (16, 8), (1 << 31, 8)])
def test_an_element_size_that_does_not_divide_the_payload_is_refused(element: int, size: int) -> None:
    with pytest.raises(EncodeError, match="does not divide"):
        STAGE.encode(bytes(size), job(element))
    with pytest.raises(PayloadError, match="does not divide"):
        STAGE.decode(bytes(size), size, job(element))


@pytest.mark.parametrize("size", [0, 4, 12, 16])
def test_a_payload_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(PayloadError, match=f"has {size} bytes, expected 8"):
        STAGE.decode(bytes(size), 8, job(4))


def test_nothing_stays_nothing() -> None:
    for element in (1, 4, 16):
        assert bytes(STAGE.encode(b"", job(element))[0]) == b""
        assert bytes(STAGE.decode(b"", 0, job(element))) == b""
