"""A descriptor decides how much memory a reader takes: nothing in it is believed unchecked."""

from __future__ import annotations

import sys
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vectors import Vector, valid_vectors
from tgmtool import LimitExceeded, Limits, MetadataError, TgmError
from tgmtool.codecs import COMPRESSION, ENCODING, FILTER, names
from tgmtool.codecs.dtypes import DTYPES
from tgmtool.codecs.pipeline import Pipeline
from tgmtool.messages import cbor
from tgmtool.messages.descriptor import Descriptor, c_strides
from tgmtool.wire import frametypes, layout

AT = 500
GOOD: dict[str, Any] = {
    "type": "ntensor",
    "ndim": 2,
    "shape": [3, 4],
    "strides": [4, 1],
    "dtype": "float32",
    "byte_order": "little",
    "encoding": "none",
    "filter": "none",
    "compression": "none",
}
HUGE = 1 << 20_000  # more digits than Python likes to print


def parse(limits: Limits | None = None, /, **changes: Any) -> Descriptor:
    """Parse the good descriptor with changes; a key set to `...` is left out."""
    value = {key: inner for key, inner in {**GOOD, **changes}.items() if inner is not ...}
    return Descriptor.parse(cbor2.dumps(value, canonical=True), offset=AT, limits=limits or Limits())


def test_a_good_descriptor_says_what_it_says() -> None:
    found = parse()
    assert (found.shape, found.strides, found.dtype.name) == ((3, 4), (4, 1), "float32")
    assert (found.byte_order, found.byte_order_given, found.type) == ("little", True, "ntensor")
    assert (found.ndim, found.elements, found.size) == (2, 12, 48)
    assert found.pipeline == Pipeline()
    assert found.masks is None
    assert found.pack() == cbor.encode(GOOD)


# ---- what is wrong


def code_of(key: str) -> str:
    return {
        "ndim": "ndim_shape_mismatch",
        "strides": "strides_shape_mismatch",
        "encoding": "unknown_encoding",
        "filter": "unknown_filter",
        "compression": "unknown_compression",
    }.get(key, "descriptor_invalid")


@pytest.mark.parametrize("key", [key for key in GOOD if key != "byte_order"])
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(MetadataError, match=f"{key} is missing") as caught:
        parse(**{key: ...})
    assert (caught.value.code, caught.value.offset, caught.value.section) == (code_of(key), AT, "6.5")


def test_a_missing_byte_order_is_native_and_stays_missing() -> None:
    found = parse(byte_order=...)
    assert (found.byte_order, found.byte_order_given) == (sys.byteorder, False)
    assert "byte_order" not in cbor.decode_map(found.pack(), what="descriptor", offset=0)


WRONG_VALUES: dict[str, list[Any]] = {
    "type": [None, 1, "", b"ntensor", ["ntensor"]],
    "ndim": [None, -1, 1, 3, 2.0, "2", True, 1 << 64],
    "shape": [
        None,
        12,
        "34",
        {"0": 3},
        [[3, 4]],
        [3, -4],
        [3, 4.0],
        [3, "4"],
        [3, None],
        [3, True],
        [3, 1 << 64],
    ],
    "strides": [None, 4, [4], [4, 1, 1], [4, -1], [4, 1.5], [4, False], [4, 1 << 64]],
    "dtype": [None, 4, "", "f4", "FLOAT32", "float128", "object", b"float32"],
    "byte_order": [None, 1, "", "Little", "middle", b"little", True],
    "encoding": [None, 1, "", "zstd", "shuffle", "grib", b"none"],
    "filter": [None, 1, "", "zstd", "bitshuffle", True],
    "compression": [None, 1, "", "gzip", "shuffle", "simple_packing", ["zstd"]],
    "masks": [1, [], "nan", True],
}
WRONG = [(key, value) for key, values in WRONG_VALUES.items() for value in values]


@pytest.mark.parametrize(("key", "value"), WRONG, ids=repr)
def test_a_key_of_the_wrong_type_or_value_is_named(key: str, value: Any) -> None:
    with pytest.raises(MetadataError, match=rf"descriptor: {key} is") as caught:
        parse(**{key: value})
    code = "empty_obj_type" if (key, value) == ("type", "") else code_of(key)
    assert (caught.value.code, caught.value.offset) == (code, AT)


@pytest.mark.parametrize("shape", [[], [3], [3, 4, 5]])
def test_shape_and_ndim_must_agree(shape: list[int]) -> None:
    with pytest.raises(MetadataError, match="the shape has"):
        parse(shape=shape)


@pytest.mark.parametrize("shape", [[1 << 62, 3], [1 << 32, 1 << 31], [(1 << 64) - 1, 1]])
def test_more_elements_than_can_be_counted_are_refused(shape: list[int]) -> None:
    with pytest.raises(MetadataError, match="more than 2\\^63 elements"):
        parse(shape=shape)


HOSTILE: dict[str, Any] = {
    "list": [],
    "map": {},
    "list in list": [[]],
    "huge": HUGE,
    "minus huge": -HUGE,
    "list of huge": [HUGE],
    "tag": cbor2.CBORTag(999, [1]),
    "map with a number": {1: 2},
    "undefined": cbor2.undefined,
    "nan": float("nan"),
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("key", [*GOOD, "masks"])
def test_a_hostile_value_never_gives_an_error_of_another_tree(key: str, value: Any) -> None:
    if key == "masks" and isinstance(value, dict):
        assert parse(masks=value).masks == value
        return
    with pytest.raises(TgmError) as caught:
        parse(**{key: value})
    assert len(str(caught.value)) < 1000


def test_the_number_of_dimensions_has_a_limit() -> None:
    axes = [1] * 64
    assert parse(ndim=64, shape=axes, strides=axes).ndim == 64
    with pytest.raises(LimitExceeded, match="--max-ndim") as caught:
        parse(ndim=65, shape=[*axes, 1], strides=[*axes, 1])
    assert (caught.value.limit, caught.value.value, caught.value.offset) == ("ndim", 64, AT)
    assert parse(Limits(ndim=65), ndim=65, shape=[*axes, 1], strides=[*axes, 1]).ndim == 65


@pytest.mark.parametrize("shape", [[(1 << 63) - 1, 1], [1 << 62, 1], [0, (1 << 64) - 1], [1 << 63, 0]])
def test_as_many_elements_as_can_be_counted_are_accepted(shape: list[int]) -> None:
    """Nothing is allocated for them here: see the objects."""
    assert parse(shape=shape).elements == shape[0] * shape[1]


def test_a_scalar_and_an_empty_dimension_are_legal() -> None:
    scalar = parse(ndim=0, shape=[], strides=[])
    assert (scalar.shape, scalar.elements, scalar.size) == ((), 1, 4)
    empty = parse(shape=[3, 0])
    assert (empty.shape, empty.elements, empty.size) == ((3, 0), 0, 0)


def test_strides_are_information_only() -> None:
    assert parse(strides=[0, 99]).strides == (0, 99)


def test_another_type_than_ntensor_is_kept() -> None:
    assert parse(type="mesh").type == "mesh"


# ---- what is right


@pytest.mark.parametrize("row", DTYPES, ids=lambda row: row.name)
def test_every_dtype_has_its_size(row: Any) -> None:
    found = parse(dtype=row.name, shape=[3, 3])
    assert found.dtype is row
    assert found.size == (2 if row.name == "bitmask" else 9 * row.bits // 8)


@pytest.mark.parametrize("kind", [ENCODING, FILTER, COMPRESSION])
def test_every_known_stage_may_stand_there_whether_it_runs_or_not(kind: str) -> None:
    for name in names(kind):
        assert getattr(parse(**{kind: name}).pipeline, kind) == name


def test_unknown_keys_are_kept_as_parameters() -> None:
    found = parse(zstd_level=3, compression="zstd", **{"x-new": {"a": [1]}})
    assert found.pipeline.params == {"zstd_level": 3, "x-new": {"a": [1]}}
    assert Descriptor.parse(found.pack(), offset=AT) == found


def test_masks_are_kept_as_they_stand() -> None:
    masks = {"nan": {"method": "roaring", "offset": 48, "length": 9}, "other": {}}
    assert parse(masks=masks).masks == masks
    assert Descriptor.parse(parse(masks=masks).pack(), offset=AT).masks == masks


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.integers(0, 9), max_size=5).map(tuple),
    st.sampled_from(DTYPES),
    st.sampled_from(["little", "big"]),
    st.sampled_from(names(COMPRESSION)),
    st.dictionaries(st.sampled_from(["zstd_level", "szip_rsi", "é"]), st.integers()),
)
def test_what_is_packed_is_parsed_to_the_same(
    shape: tuple[int, ...], dtype: Any, byte_order: str, compression: str, params: dict[str, int]
) -> None:
    params = {key: value % (1 << 64) for key, value in params.items()}
    whole = Descriptor(
        shape, dtype, byte_order, c_strides(shape), Pipeline(compression=compression, params=params)
    )
    assert Descriptor.parse(whole.pack(), offset=AT) == whole


@pytest.mark.parametrize(
    ("shape", "strides"),
    [
        ((), ()),
        ((7,), (1,)),
        ((2, 3, 4), (12, 4, 1)),
        ((1, 1), (1, 1)),
        ((4, 0), (0, 1)),
        ((3, 0, 2), (0, 2, 1)),
    ],
)
def test_strides_count_elements_in_c_order(shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    assert c_strides(shape) == strides


@pytest.mark.parametrize("vector", valid_vectors(), ids=lambda found: found.name)
def test_the_references_descriptors_are_written_again_byte_for_byte(vector: Vector) -> None:
    for message in vector.messages:
        for frame in message["frames"]:
            if frame["type"] == frametypes.TENSOR and frame["flags"] & layout.CBOR_AFTER_PAYLOAD:
                end = message["offset"] + frame["offset"] + frame["length"]
                at = int.from_bytes(vector.data[end - 20 : end - 12], "big")
                packed = vector.data[end - frame["length"] + at : end - layout.TENSOR_FOOTER_SIZE]
                assert Descriptor.parse(packed, offset=0).pack() == packed
