"""NaN and Inf are found wherever they stand, and nothing else is taken for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tgmtool
from tgmtool import EncodeError, MemorySink, StreamWriter
from tgmtool.codecs.dtypes import BY_NAME, DTYPES
from tgmtool.codecs.masks import Rules, take_out
from tgmtool.codecs.nonfinite import CHUNK, all_finite
from tgmtool.operations.prepare import Preparer, Stages

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOATS = [row for row in DTYPES if row.is_float]
HALVES = {"float16": (0x7C00, 0x7BFF), "bfloat16": (0x7F80, 0x7F7F)}  # exponent, largest finite value

each_float = pytest.mark.parametrize("row", FLOATS, ids=lambda row: row.name)
each_order = pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])


def array_of(row: Any, order: str, count: int) -> NDArray[Any]:
    """Finite values that are awkward: the largest, the smallest, both zeros."""
    if row.name == "bfloat16":
        bits = np.resize([0x0000, 0x8000, 0x7F7F, 0xFF7F, 0x0001, 0x3F80, 0x807F], count)
        return bits.astype(order + "u2")
    part = np.dtype(f"f{row.component}")
    largest, smallest = np.finfo(part).max, np.finfo(part).smallest_subnormal
    values = np.resize(np.array([0, -0.0, largest, -largest, smallest, 1], part), count)
    array = values.astype(order + row.numpy)
    if row.numpy.startswith("c"):
        array.imag = values[::-1]
    return array


def put(array: NDArray[Any], at: int, what: str, row: Any) -> None:
    if row.name == "bfloat16":
        array[at] = {"nan": 0x7FC1, "inf": 0x7F80, "-inf": 0xFF80}[what]
    elif row.numpy.startswith("c") and at % 2:
        array[at] = complex(0, float(what))
    else:
        array[at] = float(what)


@each_order
@each_float
@pytest.mark.parametrize("count", [0, 1, 2, 7, 1000, CHUNK - 1, CHUNK, CHUNK + 1])
def test_awkward_values_are_finite(row: Any, order: str, count: int) -> None:
    assert all_finite(array_of(row, order, count), row)


@each_order
@each_float
@pytest.mark.parametrize("what", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("count", [1, 2, 7, 1000, CHUNK + 3])
def test_one_that_is_not_is_found_at_the_first_the_last_and_in_the_middle(
    row: Any, order: str, what: str, count: int
) -> None:
    for at in sorted({0, count // 2, count - 1}):
        array = array_of(row, order, count)
        put(array, at, what, row)
        assert not all_finite(array, row)
        _, where = take_out(array, row)
        assert [list(found) for found in where.values()] == [[at]]


@each_order
@each_float
def test_all_of_several_are_found_in_order(row: Any, order: str) -> None:
    array = array_of(row, order, 100)
    for at in (99, 40, 41):
        put(array, at, "nan", row)
    assert take_out(array, row)[1]["nan"].tolist() == [40, 41, 99]


@each_order
@pytest.mark.parametrize("name", HALVES)
def test_every_bit_pattern_of_half_precision_is_judged_right(name: str, order: str) -> None:
    row, (exponent, _) = BY_NAME[name], HALVES[name]
    patterns = np.arange(1 << 16).astype(order + "u2")
    values = patterns.view(order + "f2") if name == "float16" else patterns
    finite = (np.arange(1 << 16) & exponent) != exponent
    assert all_finite(values[finite], row)
    for pattern in (exponent, exponent | 0x8000, exponent + 1, 0xFFFF):
        assert not all_finite(values[pattern : pattern + 1], row)


def test_integers_and_bits_are_always_finite() -> None:
    for row in DTYPES:
        if not row.is_float:
            assert all_finite(np.full(9, -1, np.int64).view(row.numpy), row)


OPTIONS = {"nan": ("NaN", "--allow-nan"), "inf": ("Inf", "--allow-inf"), "-inf": ("-Inf", "--allow-inf")}


@each_order
@each_float
@pytest.mark.parametrize("what", OPTIONS)
def test_a_writer_refuses_it_and_says_where_it_stands_and_what_would_allow_it(
    row: Any, order: str, what: str
) -> None:
    array = array_of(row, order, 12)
    put(array, 7, what, row)
    writer = StreamWriter(MemorySink())
    said, option = OPTIONS[what]
    with pytest.raises(EncodeError, match=rf"value at index \[1, 3\] is {said}; {option} "):
        writer.write(array.reshape(3, 4), dtype=row.name)
    assert writer.sink.position == 0


def test_the_place_is_counted_in_c_order_whatever_the_strides() -> None:
    array = np.zeros((3, 4)).T
    array[1, 2] = np.nan
    with pytest.raises(EncodeError, match=r"index \[1, 2\] is NaN"):
        tgmtool.encode([array])
    with pytest.raises(EncodeError, match=r"index \[\] is Inf"):
        tgmtool.encode([np.float32("inf")])


def test_the_first_value_that_is_refused_is_named_not_the_first_that_is_not_finite() -> None:
    array = np.zeros(6)
    array[[1, 3, 4]] = np.nan, -np.inf, np.inf
    with pytest.raises(EncodeError, match=r"index \[1\] is NaN; --allow-nan"):
        tgmtool.encode([array])
    for rules, text in (
        (Rules(allow_nan=True), r"index \[3\] is -Inf; --allow-inf \(allow_inf=True\)"),
        (Rules(allow_inf=True), r"index \[1\] is NaN; --allow-nan \(allow_nan=True\)"),
    ):
        with pytest.raises(EncodeError, match=text):
            Preparer(Stages(masks=rules)).prepare(array)
