"""Two files hold the same, or it is said what differs most, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tgmtool
from tests.operations.streams import FIXED, buffered, streaming
from tgmtool.endpoints.memory import MemorySink
from tgmtool.operations.compare import differences
from tgmtool.operations.prepare import Stages
from tgmtool.operations.writer import StreamWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray


def of(values: NDArray[Any], metadata: dict[str, Any] | None = None, **extra: Any) -> bytes:
    return tgmtool.encode([(values, metadata or {})], metadata=extra, style=FIXED)


def texts(one: bytes, other: bytes, **options: Any) -> list[str]:
    return [found.text for found in differences(one, other, **options)]


def test_a_file_holds_the_same_as_itself_however_it_is_laid_out() -> None:
    assert texts(buffered(), streaming()) == []


def test_how_a_payload_is_compressed_does_not_matter() -> None:
    sink = MemorySink()
    writer = StreamWriter(sink, style=FIXED, stages=Stages(filter="shuffle", compression="zstd"))
    writer.write(np.arange(6.0))
    writer.finish()
    assert texts(bytes(sink.data), of(np.arange(6.0))) == []


def test_the_largest_difference_is_named_with_its_place_and_both_values() -> None:
    values = np.arange(6.0).reshape(2, 3)
    other = values.copy()
    other[0, 1], other[1, 2] = 1.5, 9
    assert texts(values_of := of(values), of(other)) == [
        "2 of 6 values differ, most at [1, 2]: 5.0 instead of 9.0 (by 4)"
    ]
    assert texts(values_of, of(other), atol=0.5) == [
        "1 of 6 values differ, most at [1, 2]: 5.0 instead of 9.0 (by 4)"
    ]
    assert texts(values_of, of(other), rtol=0.5) == []


def test_nan_equals_nan_and_differs_from_everything_else() -> None:
    def written(*values: float) -> bytes:
        from tgmtool.codecs.masks import Rules

        sink = MemorySink()
        writer = StreamWriter(sink, style=FIXED, stages=Stages(masks=Rules(allow_nan=True, allow_inf=True)))
        writer.write(np.array(values, float))
        writer.finish()
        return bytes(sink.data)

    nan, inf = float("nan"), float("inf")
    assert texts(written(1, nan, inf), written(1, nan, inf)) == []
    assert "1 of 2 values differ, most at [1]: nan instead of 2.0 (by inf)" in texts(
        written(1, nan), written(1, 2), atol=9
    )
    assert "instead of inf" in texts(written(1, -inf), written(1, inf), atol=9)[0]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_integers_are_compared_exactly_but_for_the_tolerance(dtype: str) -> None:
    one, other = np.array([1, 100], dtype), np.array([3, 100], dtype)
    assert texts(of(one), of(other)) == ["1 of 2 values differ, most at [0]: 1 instead of 3 (by 2)"]
    assert texts(of(one), of(other), atol=2) == []
    assert texts(of(one), of(other), rtol=0.7) == []


def test_large_integers_that_are_one_float_differ_all_the_same() -> None:
    big = 2**60
    found = texts(of(np.array([big])), of(np.array([big + 1])))
    assert found == [f"1 of 1 values differ, most at [0]: {big} instead of {big + 1} (by 1)"]


def test_complex_numbers_and_scalars_are_compared_too() -> None:
    assert texts(of(np.array([1 + 2j])), of(np.array([1 + 2j]))) == []
    assert "instead of" in texts(of(np.array([1 + 2j])), of(np.array([1 + 3j])))[0]
    assert texts(of(np.array(5.0)), of(np.array(6.0))) == [
        "1 of 1 values differ, most at []: 5.0 instead of 6.0 (by 1)"
    ]


def test_metadata_is_compared_without_what_a_library_put_there() -> None:
    values = np.arange(3.0)
    assert texts(of(values, {"a": 1}), of(values, {"a": 2})) == ["the metadata differ in 'a'"]
    assert texts(of(values, {"a": 1}), of(values, {"b": 1})) == [
        "the metadata differ in 'a'",
        "the metadata differ in 'b'",
    ]
    assert texts(of(values, run=1), of(values, run=2)) == ["the message-level metadata differ"]
    assert texts(of(values, {"a": 1}), of(values, {"a": 1.0})) == ["the metadata differ in 'a'"]


def test_shapes_dtypes_and_numbers_of_objects_and_messages_are_compared() -> None:
    assert texts(of(np.zeros((2, 3))), of(np.zeros((3, 2)))) == [
        "float64 [2, 3], the reference has float64 [3, 2]"
    ]
    assert "float32" in texts(of(np.zeros(2, "f4")), of(np.zeros(2)))[0]
    assert texts(buffered(range(2)), buffered(range(3))) == ["2 objects, the reference has 3"]
    assert "message 1 is one too many" in texts(buffered() * 2, buffered())[0]
    assert "message 1 is missing" in texts(buffered(), buffered() * 2)[0]


def test_a_difference_names_message_and_object() -> None:
    one, other = buffered([0]) + buffered([1, 2]), buffered([0]) + buffered([1, 3])
    found = [f for f in differences(one, other) if f.code == "values_differ"]
    assert [(f.message_index, f.object_index) for f in found] == [(1, 1)]
