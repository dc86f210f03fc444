"""`obj[key]` is `obj.array[key]`, whatever the key, the shape and the codec."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tgmtool
from tests.conformance.oracle import budget
from tgmtool import DataObject, MemorySink, StreamWriter
from tgmtool.codecs.masks import Rules
from tgmtool.messages.slices import selection
from tgmtool.operations.prepare import Stages

ALLOWED = Rules(True, True)
CODECS = {
    "none": Stages(masks=ALLOWED),
    "packing": Stages("simple_packing", params={"sp_bits_per_value": 12}, masks=ALLOWED),
    "packing to bytes": Stages("simple_packing", params={"sp_bits_per_value": 16}, masks=ALLOWED),
    "szip": Stages(compression="szip", params={"szip_rsi": 2}, masks=ALLOWED),
    "packing + szip": Stages("simple_packing", "none", "szip", {"sp_bits_per_value": 24}, masks=ALLOWED),
    "blosc2": Stages(compression="blosc2", masks=ALLOWED),
    "zfp fixed rate": Stages(compression="zfp", params={"zfp_rate": 7.5}, masks=ALLOWED),
    "zfp fixed accuracy": Stages(compression="zfp", params={"zfp_tolerance": 0.5}, masks=ALLOWED),
    "zstd": Stages(compression="zstd", masks=ALLOWED),
    "shuffle + lz4": Stages(filter="shuffle", compression="lz4", masks=ALLOWED),
}


def written(values: Any, stages: Stages) -> bytes:
    sink = MemorySink()
    writer = StreamWriter(sink, stages=stages)
    writer.write(values)
    writer.finish()
    return bytes(sink.data)


def object_of(values: Any, stages: Stages = CODECS["none"]) -> DataObject:
    return tgmtool.decode(written(values, stages)).objects[0]


# ---- any key of any shape

lengths = st.integers(0, 9) | st.integers(20, 60)
shapes = st.lists(lengths, max_size=4).map(tuple).filter(lambda found: prod(found) <= 20_000)


@st.composite
def keys_for(draw: Any, shape: tuple[int, ...]) -> Any:
    """A basic index; now and then one out of range, or one too many."""
    count = draw(st.integers(0, len(shape) + (draw(st.integers(0, 9)) == 0)))
    keys: list[Any] = []
    for axis in range(count):
        length = shape[axis] if axis < len(shape) else 3
        number = st.integers(-length - 1, length)
        step = st.none() | st.integers(-5, 5).filter(bool) | st.sampled_from([100, -100])
        keys.append(
            draw(
                st.integers(-length, max(length - 1, 0))
                | st.builds(slice, st.none() | number, st.none() | number, step)
            )
        )
    if draw(st.booleans()):
        keys.insert(draw(st.integers(0, len(keys))), ...)
    if draw(st.integers(0, 19)) == 0:
        keys.append(...)
    return keys[0] if len(keys) == 1 and draw(st.booleans()) else tuple(keys)


@st.composite
def cases(draw: Any) -> tuple[str, tuple[int, ...], list[Any], bool, bool, int]:
    codec = draw(st.sampled_from(list(CODECS)))
    shape = draw(shapes.filter(lambda found: codec != "blosc2" or 0 not in found))
    keys = draw(st.lists(keys_for(shape), min_size=1, max_size=6))
    return codec, shape, keys, draw(st.booleans()), draw(st.booleans()), draw(st.integers(0, 1 << 30))


def outcome(make: Any) -> Any:
    """What comes out, comparable bit for bit; of an IndexError only that it is one."""
    try:
        found = make()
    except IndexError:
        return IndexError
    return type(found) is np.ndarray, found.dtype, found.shape, found.tobytes()


@budget(400)
@given(cases())
def test_a_part_is_what_numpy_cuts_out_of_the_array(
    case: tuple[str, tuple[int, ...], list[Any], bool, bool, int],
) -> None:
    codec, shape, keys, masked, big, seed = case
    random = np.random.default_rng(seed)
    values = np.asarray(random.normal(280.0, 20.0, shape)).astype(">f8" if big else "<f8")
    if codec == "szip":
        values = values.astype(">f4" if big else "<f4")
    if masked and values.size:
        flat = values.reshape(-1)
        flat[random.integers(0, values.size, 1 + values.size // 5)] = np.nan
        flat[random.integers(0, values.size, 1 + values.size // 9)] = -np.inf
    data = written(values, CODECS[codec])
    array = tgmtool.decode(data).objects[0].array
    one = tgmtool.decode(data).objects[0]
    for key in keys:
        expected = outcome(lambda key=key: array[key])
        assert outcome(lambda key=key: one[key]) == expected, key
        assert outcome(lambda key=key: tgmtool.decode(data).objects[0][key]) == expected, key


@pytest.mark.parametrize("dtype", ["i1", ">u2", "<f2", ">c8", "c16", ">i8", "?"])
def test_every_dtype_and_byte_order_stays_what_it_is(dtype: str) -> None:
    values = (np.arange(6000) % 100).reshape(50, 120).astype(dtype)
    array: Any = object_of(values).array
    keys: list[Any] = [(3, 4), (slice(2, 5), 7), np.s_[::-9, ::-50], np.s_[-1], np.s_[4:2], np.s_[..., 1]]
    for key in keys:
        found, expected = object_of(values)[key], array[key]
        assert (type(found), found.dtype, found.shape) == (type(expected), expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()


def test_bfloat16_comes_in_parts_too() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.arange(4000).astype(ml_dtypes.bfloat16).reshape(40, 100)
    found = object_of(values)[7, ::20]
    assert found.dtype == values.dtype
    assert found.tobytes() == values[7, ::20].tobytes()


@pytest.mark.parametrize(
    "key",
    [
        np.array([1, 3]),
        [1, 3],
        (slice(None), [0, 2]),
        np.newaxis,
        (0, None),
        True,
        False,
        np.True_,
        np.arange(12).reshape(3, 4) > 5,
        (np.array([0, 1]), np.array([2, 3])),
        (),
        ...,
        slice(None),
        (..., ...),
        "field",
        1.0,
        (0, 0, 0),
        (0, 0, ..., 0),
        3,
        -4,
        (0, 4),
        slice(None, None, 0),
    ],
    ids=repr,
)
def test_any_other_key_does_what_it_does_to_the_array(key: Any) -> None:
    values = np.arange(12.0).reshape(3, 4)
    try:
        expected = values[key]
    except Exception as error:
        with pytest.raises(type(error)):
            _ = object_of(values)[key]
        return
    found = object_of(values)[key]
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("key", [np.int64(1), np.uint8(2), np.array(1), (np.int8(-1), np.array(2))], ids=repr)
def test_numbers_of_numpy_are_numbers(key: Any) -> None:
    values = np.arange(12.0).reshape(3, 4)
    found = object_of(values)
    assert np.array_equal(found[key], values[key])


def test_a_scalar_object_is_indexed_as_a_scalar_array() -> None:
    values = np.float32(7).reshape(())
    one = object_of(values)
    assert (one[()], one[...]) == (7, 7)
    assert one[...].shape == ()
    with pytest.raises(IndexError):
        _ = object_of(values)[0]


def test_a_bitmask_is_indexed_as_the_packed_bytes_that_its_array_is() -> None:
    sink = MemorySink()
    writer = StreamWriter(sink)
    writer.write(np.packbits(np.arange(40) % 3 == 0), dtype="bitmask", shape=(5, 8))
    writer.finish()
    one = tgmtool.decode(bytes(sink.data)).objects[0]
    assert one[1] == one.array[1]
    assert one[1:3].tolist() == one.array[1:3].tolist()


# ---- what it costs

FIELD = np.random.default_rng(3).normal(280.0, 20.0, (100, 200, 50))
SMALL = [np.s_[5], np.s_[5, 6], np.s_[5, 6, 7], np.s_[2:4, 100:103], np.s_[::40, 7, :], np.s_[-1, ..., 3:9]]


@pytest.mark.parametrize("codec", ["none", "packing", "packing to bytes", "zfp fixed rate"])
@pytest.mark.parametrize("key", SMALL, ids=str)
def test_a_small_part_costs_a_small_part_of_the_payload(codec: str, key: Any) -> None:
    one = object_of(FIELD, CODECS[codec])
    found = one[key]
    share = max(found.size, 1) / FIELD.size
    runs = len(selection(key, FIELD.shape).ranges)  # type: ignore[union-attr]  # small enough to be one
    around = 160 if codec.startswith("zfp") else 8  # zfp begins at a word every 32 blocks of 30 bits
    assert one.bytes_read <= 1.1 * share * len(one.payload) + around * runs


def test_the_whole_is_decoded_where_that_is_cheaper_than_its_runs() -> None:
    for key in (np.s_[:, :, ::3], np.s_[:60], np.s_[...], np.s_[:, 3:190]):
        assert selection(key, FIELD.shape) is None
    one = object_of(FIELD)
    assert np.array_equal(one[:, :, ::3], FIELD[:, :, ::3])
    assert one.bytes_read == FIELD.nbytes


def test_an_empty_part_costs_nothing() -> None:
    for codec in ("none", "packing", "zfp fixed rate", "blosc2"):
        one = object_of(FIELD, CODECS[codec])
        assert one[4:4].shape == (0, 200, 50)
        assert one[:, 7:3, 1].shape == (100, 0)
        assert one.bytes_read == 0


def test_once_the_array_is_there_parts_are_views_of_it() -> None:
    one = object_of(FIELD, CODECS["packing"])
    array = one.array
    assert np.shares_memory(one[3:5, 2], array)


# ---- the runs themselves


@pytest.mark.parametrize(
    ("key", "ranges"),
    [
        (np.s_[2], [(40, 20)]),
        (np.s_[2, 1], [(45, 5)]),
        (np.s_[2, 1, 3], [(48, 1)]),
        (np.s_[1:3, 1], [(25, 5), (45, 5)]),
        (np.s_[-1, -1, -1], [(79, 1)]),
        (np.s_[::-3, 0, :2], [(60, 2), (0, 2)]),
        (np.s_[1, 3:0:-2, :], [(25, 15)]),
        (np.s_[..., 2:1], []),
    ],
    ids=str,
)
def test_runs_are_neighbours_in_c_order(key: Any, ranges: list[tuple[int, int]]) -> None:
    found = selection(key, (4, 4, 5))
    assert found is not None
    assert found.ranges == ranges
    assert found.elements == sum(count for _, count in ranges)


@pytest.mark.parametrize("key", [(0, 0, 0), (..., 0, 0, 0), 4, -5, (0, 5), (slice(None), 9)], ids=str)
def test_an_index_that_is_too_many_or_out_of_range_is_an_index_error(key: Any) -> None:
    with pytest.raises(IndexError):
        selection(key, (4, 5))
    with pytest.raises(IndexError):
        _ = object_of(np.zeros((4, 5)))[key]
