"""The 15 dtypes of the format, and how each looks in NumPy and back."""

from __future__ import annotations

import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tgmtool
from tgmtool import EncodeError, MemorySink, StreamWriter
from tgmtool.codecs.dtypes import BY_NAME, DTYPES, DType, from_numpy, numpy_dtype

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FOREIGN = "big" if sys.byteorder == "little" else "little"

each = pytest.mark.parametrize("row", DTYPES, ids=lambda row: row.name)


@pytest.fixture
def without_ml_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)


def test_the_table_holds_the_dtypes_of_the_format_once() -> None:
    assert {row.name for row in DTYPES} == {
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128", "bitmask"),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    }
    assert len(BY_NAME) == len(DTYPES) == 15


@each
def test_a_row_says_the_same_as_numpy(row: DType) -> None:
    found = np.dtype(row.numpy)
    assert row.bits == (1 if row.name == "bitmask" else 8 * found.itemsize)
    assert row.component == found.itemsize // (2 if found.kind == "c" else 1)
    assert row.is_float == (found.kind in "fc" or row.name == "bfloat16")


@each
@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_a_dtype_goes_to_numpy_and_back(row: DType, byte_order: str) -> None:
    found = numpy_dtype(row, byte_order)
    assert found.itemsize == np.dtype(row.numpy).itemsize
    if row.component > 1 and found != BFLOAT16:
        assert found == np.dtype({"little": "<", "big": ">"}[byte_order] + row.numpy)
    name, order = from_numpy(found)
    as_bits = {"bitmask": "uint8", "bfloat16": "bfloat16" if found == BFLOAT16 else "uint16"}
    assert name.name == as_bits.get(row.name, row.name)
    assert order == ("little" if row.component == 1 else byte_order)


@pytest.mark.parametrize(
    ("dtype", "name", "byte_order"),
    [
        ("?", "uint8", "little"),
        ("i1", "int8", "little"),
        ("u1", "uint8", "little"),
        ("=i4", "int32", sys.byteorder),
        ("<i4", "int32", "little"),
        (">i4", "int32", "big"),
        ("<f2", "float16", "little"),
        (">c16", "complex128", "big"),
        ("q", "int64", sys.byteorder),
        ("Q", "uint64", sys.byteorder),
        ("p", "int64", sys.byteorder),
    ],
)
def test_a_numpy_dtype_has_its_name_and_byte_order(dtype: str, name: str, byte_order: str) -> None:
    assert from_numpy(np.dtype(dtype)) == (BY_NAME[name], byte_order)


@pytest.mark.parametrize(
    "dtype",
    [
        *("g", "G", "V2", "S3", "U3", "O", "M8[s]", "m8[s]", [("a", "f4")]),
        *(ml_dtypes.float8_e4m3fn, ml_dtypes.int4, ml_dtypes.float8_e5m2),
    ],
    ids=str,
)
def test_a_dtype_that_the_format_does_not_have_is_refused(dtype: Any) -> None:
    with pytest.raises(EncodeError, match="expected one of float16, bfloat16"):
        from_numpy(np.dtype(dtype))


@pytest.mark.parametrize(("count", "size"), [(0, 0), (1, 1), (7, 1), (8, 1), (9, 2), (1003, 126)])
def test_a_bitmask_takes_whole_bytes(count: int, size: int) -> None:
    assert BY_NAME["bitmask"].payload_size(count) == size


@each
def test_other_dtypes_take_what_their_elements_take(row: DType) -> None:
    if row.name != "bitmask":
        assert [row.payload_size(count) for count in (0, 1, 3)] == [0, row.bits // 8, 3 * row.bits // 8]


# ---- booleans and bits


def test_booleans_are_written_as_bytes_0_and_1() -> None:
    found = tgmtool.decode(tgmtool.encode([np.array([[True, False], [False, True]])])).objects[0]
    assert found.descriptor.dtype.name == "uint8"
    assert found.array.tolist() == [[1, 0], [0, 1]]


def test_a_bitmask_is_packed_the_first_element_in_the_most_significant_bit() -> None:
    bits = np.array([1, 0, 0, 0, 0, 0, 0, 1, 1, 1], bool)
    sink = MemorySink()
    with StreamWriter(sink) as writer:
        writer.write(np.packbits(bits), dtype="bitmask", shape=(2, 5))
    found = tgmtool.decode(sink.data).objects[0]
    assert (found.descriptor.dtype.name, found.descriptor.shape) == ("bitmask", (2, 5))
    packed = found.array
    assert (packed.dtype.name, packed.shape) == ("uint8", (2,))
    assert packed.tolist() == [0b10000001, 0b11000000]
    assert np.unpackbits(packed.view(np.uint8), count=10).astype(bool).tolist() == bits.tolist()


# ---- bfloat16

VALUES = [0.0, 1.0, -2.5, 3.0e38, 1e-40]


def written(array: Any, dtype: str | None = None) -> tgmtool.DataObject:
    sink = MemorySink()
    with StreamWriter(sink) as writer:
        writer.write(array, dtype=dtype)
    return tgmtool.decode(sink.data).objects[0]


def test_bfloat16_is_a_numpy_dtype_where_its_package_is_installed() -> None:
    array = np.array(VALUES, BFLOAT16)
    found = written(array)
    assert found.descriptor.dtype.name == "bfloat16"
    assert found.array.dtype == BFLOAT16
    assert found.array.tobytes() == array.tobytes()


@pytest.mark.usefixtures("without_ml_dtypes")
def test_bfloat16_is_its_bits_where_the_package_is_not_installed() -> None:
    bits = np.array(VALUES, BFLOAT16).view("u2")
    found = written(bits, "bfloat16")
    assert found.descriptor.dtype.name == "bfloat16"
    assert found.array.dtype == np.uint16
    assert found.array.tolist() == bits.tolist()
    # The recipe for whoever needs values: the bits are the upper half of a float32.
    widened = (found.array.astype("u4") << 16).view("f4")
    assert widened.tolist() == np.array(VALUES, BFLOAT16).astype("f4").tolist()


def test_bfloat16_in_the_other_byte_order_is_its_bits() -> None:
    bits = np.array(VALUES, BFLOAT16).view("u2")
    swapped = bits.astype(bits.dtype.newbyteorder())
    found = written(swapped, "bfloat16")
    assert (found.descriptor.dtype.name, found.descriptor.byte_order) == ("bfloat16", FOREIGN)
    assert found.array.dtype == swapped.dtype
    assert found.array.tolist() == bits.tolist()


def test_a_bfloat16_array_in_the_other_byte_order_keeps_its_values_or_is_refused() -> None:
    """NumPy has no name for this dtype, and makes it all the same."""
    swapped = np.array(VALUES, BFLOAT16).astype(BFLOAT16.newbyteorder())
    try:
        found = written(swapped)
    except EncodeError:
        return
    order = {"little": "<u2", "big": ">u2"}[found.descriptor.byte_order]
    payload = np.frombuffer(found.payload, order)
    assert payload.tolist() == np.array(VALUES, BFLOAT16).view("u2").tolist()


# ---- both byte orders


PLAIN = [row for row in DTYPES if row.name not in {"bfloat16", "bitmask"}]  # those are bits: see above


@pytest.mark.parametrize("row", PLAIN, ids=lambda row: row.name)
@pytest.mark.parametrize("order", ["<", ">"])
def test_values_survive_in_either_byte_order(row: DType, order: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(order + row.numpy)
    found = written(array)
    assert np.array_equal(found.array, array)
    assert found.array.dtype == array.dtype
    native = found.array.astype(found.array.dtype.newbyteorder("="))
    assert native.tolist() == array.tolist()
