"""NaN and Inf beside the payload: as the reference writes and reads them; nothing hostile gets through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tensogram

import tgmtool
from tests.conformance.oracle import Sample, bits, issues, sample_of
from tests.messages.frames import PAYLOAD, message, metadata, tensor
from tgmtool import DataObject, EncodeError, MemorySink, ObjectSpan, PayloadError, StreamWriter
from tgmtool.codecs.dtypes import BY_NAME, DTYPES
from tgmtool.codecs.masks import DEFAULT_METHOD, KINDS, METHODS, SMALL, Rules, take_out
from tgmtool.operations.prepare import Preparer, Stages

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOATS = [row.name for row in DTYPES if row.is_float]
ORDERED = [(name, big) for name in FLOATS for big in (False, True) if name != "bfloat16" or not big]
WRITTEN = [name for name, method in METHODS.items() if method.pack]
NONFINITE = {"nan": np.nan, "inf+": np.inf, "inf-": -np.inf}
ALLOWED = Rules(True, True)

each_dtype = pytest.mark.parametrize(("dtype", "big"), ORDERED, ids=str)
each_method = pytest.mark.parametrize("method", WRITTEN)


def rules(method: str, small: int = 0) -> Rules:
    return Rules(True, True, dict.fromkeys(KINDS, method), small)


def holed(dtype: str, shape: tuple[int, ...] = (1100,), *, big: bool = False, seed: int = 1) -> Sample:
    """Values with NaN, +Inf and -Inf, alone and in runs."""
    sample = sample_of(dtype, shape, seed, big=big)
    values = sample.values.copy()
    flat = values.reshape(-1)
    for at, value in ((3, np.nan), (slice(40, 300), np.nan), (5, np.inf), (slice(301, 350), np.inf)):
        flat[at] = value
    flat[[7, 400, len(flat) - 1]] = -np.inf
    return sample._replace(values=values)


def ours(sample: Sample, masks: Rules, **stages: Any) -> bytes:
    sink = MemorySink()
    writer = StreamWriter(sink, stages=Stages(masks=masks, **stages))
    writer.write(sample.values, dtype=sample.dtype)
    writer.finish()
    return bytes(sink.data)


def theirs(sample: Sample, masks: Rules) -> bytes:
    found: bytes = tensogram.encode(
        {},
        [sample.pair(Stages())],
        allow_nan=masks.allow_nan,
        allow_inf=masks.allow_inf,
        nan_mask_method=masks.methods.get("nan"),
        pos_inf_mask_method=masks.methods.get("inf+"),
        neg_inf_mask_method=masks.methods.get("inf-"),
        small_mask_threshold_bytes=masks.small,
    )
    return found


def only(data: bytes, **choices: Any) -> DataObject:
    (one,) = tgmtool.decode(data, **choices).objects
    return one


def native(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("="))


def words_of(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """The bits of every component: (elements, 1 or 2)."""
    flat = np.ascontiguousarray(native(array)).reshape(-1)
    return flat.view(f"u{BY_NAME[dtype].component}").reshape(len(flat), -1)


# ---- as the reference does


@each_method
@each_dtype
def test_what_we_mask_the_reference_restores_to_the_same_bits(dtype: str, big: bool, method: str) -> None:
    sample = holed(dtype, big=big)
    data = ours(sample, rules(method))
    ((_, array),) = tensogram.decode(data, verify_hash=True).objects
    assert bits(native(only(data).array)) == bits(array)
    assert issues(data) == set()
    kept = np.isfinite(sample.native().astype(np.complex128).reshape(-1))
    given, found = words_of(sample.values, dtype), words_of(array, dtype)
    assert np.array_equal(given[kept], found[kept])


@pytest.mark.parametrize("method", METHODS)
@each_dtype
def test_what_the_reference_masks_we_restore_to_the_same_bits(dtype: str, big: bool, method: str) -> None:
    data = theirs(holed(dtype, big=big), rules(method))
    one = only(data)
    assert one.descriptor.masks is not None
    assert {entry["method"] for entry in one.descriptor.masks.values()} == {method}
    assert bits(native(one.array)) == bits(tensogram.decode(data).objects[0][1])


@pytest.mark.parametrize("method", [name for name in WRITTEN if name != "lz4"])
@each_dtype
def test_payload_and_masks_are_the_bytes_of_the_reference(dtype: str, big: bool, method: str) -> None:
    sample = holed(dtype, big=big)
    mine, other = only(ours(sample, rules(method))), only(theirs(sample, rules(method)))
    assert bytes(mine.payload) == bytes(other.payload)
    assert mine.descriptor.pack() == other.descriptor.pack()


@pytest.mark.parametrize("kinds", [["nan"], ["inf+"], ["inf-"], ["nan", "inf-"], list(KINDS)], ids="+".join)
def test_only_kinds_that_occur_have_a_mask_in_their_order(kinds: list[str]) -> None:
    values = np.zeros(5000)
    for at, kind in enumerate(reversed(kinds)):
        values[at::50] = NONFINITE[kind]
    one = only(ours(Sample("float64", values, (5000,)), ALLOWED))
    assert one.descriptor.masks is not None
    assert set(one.descriptor.masks) == set(kinds)
    at = 40_000
    for kind in kinds:
        entry = one.descriptor.masks[kind]
        assert (entry["method"], entry["offset"]) == (DEFAULT_METHOD, at)
        at += entry["length"]
    assert at == one.span.payload_length
    assert np.array_equal(one.array, values, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_may_have_a_method_of_its_own(kind: str) -> None:
    sample = holed("float32")
    masks = Rules(True, True, {kind: "zstd"}, 0)
    mine, other = only(ours(sample, masks)), only(theirs(sample, masks))
    found: Any = mine.descriptor.masks
    assert {key: entry["method"] for key, entry in found.items()} == {
        **dict.fromkeys(KINDS, DEFAULT_METHOD),
        kind: "zstd",
    }
    assert bytes(mine.payload) == bytes(other.payload)


@pytest.mark.parametrize("small", [0, 1, 2, 127, SMALL, 1 << 40])
def test_masks_of_few_bytes_are_raw_as_the_reference_has_it(small: int) -> None:
    for elements in (1, 8, 9, 16, 17, 8 * SMALL - 8, 8 * SMALL, 8 * SMALL + 1):
        values = np.zeros(elements, np.float32)
        values[0] = np.nan
        masks = Rules(True, True, {}, small)
        mine, other = (made(Sample("float32", values, (elements,)), masks) for made in (ours, theirs))
        found: Any = only(mine).descriptor.masks
        raw = (elements + 7) // 8 <= small
        assert found["nan"]["method"] == ("none" if raw else DEFAULT_METHOD)
        assert found == only(other).descriptor.masks
        assert bytes(only(mine).payload) == bytes(only(other).payload)


def test_a_blosc2_mask_is_read_but_not_written() -> None:
    assert METHODS["blosc2"].pack is None
    with pytest.raises(EncodeError, match=r"read but not written: .*choose roaring, rle, zstd, lz4 or none"):
        Preparer(Stages(masks=rules("blosc2")))


@pytest.mark.parametrize("methods", [{"nan": "zip"}, {"nan": ""}, {"inf": "rle"}, {"NaN": "rle"}], ids=repr)
def test_a_mask_that_does_not_exist_cannot_be_written(methods: dict[str, str]) -> None:
    with pytest.raises(EncodeError, match=r"expected one of nan, inf\+, inf- by one of none, rle"):
        Preparer(Stages(masks=Rules(True, True, methods)))


# ---- what a mask stands for


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
def test_of_a_complex_value_nan_wins_over_inf_and_inf_over_its_negative(dtype: str, big: bool) -> None:
    parts = [1.0, np.nan, np.inf, -np.inf]
    pairs = [(real, imaginary) for real in parts for imaginary in parts]
    values = np.zeros(len(pairs), (">" if big else "<") + BY_NAME[dtype].numpy)
    values.real = [real for real, _ in pairs]
    values.imag = [imaginary for _, imaginary in pairs]
    _, found = take_out(values, BY_NAME[dtype])
    expected: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for at, pair in enumerate(pairs):
        if any(np.isnan(pair)):
            expected["nan"].append(at)
        elif np.inf in pair:
            expected["inf+"].append(at)
        elif -np.inf in pair:
            expected["inf-"].append(at)
    assert {kind: list(where) for kind, where in found.items()} == expected
    sample = Sample(dtype, values, (len(pairs),))
    data = ours(sample, ALLOWED)
    array = native(only(data).array)
    assert bits(array) == bits(tensogram.decode(data).objects[0][1])
    assert bits(array) == bits(native(only(theirs(sample, ALLOWED)).array))
    for kind, value in NONFINITE.items():
        assert np.array_equal(array.real[expected[kind]], np.full(len(expected[kind]), value), equal_nan=True)
        assert np.array_equal(array.imag[expected[kind]], np.full(len(expected[kind]), value), equal_nan=True)


CANONICAL = {
    "float16": (0x7E00, 0x7C00, 0xFC00),
    "bfloat16": (0x7FC0, 0x7F80, 0xFF80),
    "float32": (0x7FC00000, 0x7F800000, 0xFF800000),
    "float64": (0x7FF8000000000000, 0x7FF0000000000000, 0xFFF0000000000000),
    "complex64": (0x7FC00000, 0x7F800000, 0xFF800000),
    "complex128": (0x7FF8000000000000, 0x7FF0000000000000, 0xFFF0000000000000),
}


@each_dtype
def test_the_quiet_nan_and_inf_of_the_dtype_come_back_whatever_bits_were_there(dtype: str, big: bool) -> None:
    row = BY_NAME[dtype]
    values = sample_of(dtype, (20,), 1, big=big).values.copy()
    raw = values.view(f"{'>' if big else '<'}u{row.component}").reshape(20, -1)
    quiet, positive, negative = CANONICAL[dtype]
    sign = 1 << (8 * row.component - 1)
    for at, pattern in enumerate(
        [quiet, quiet | sign, positive | 1, negative | 1, quiet | 3, positive, negative]
    ):
        raw[at] = pattern
    found = words_of(only(ours(Sample(dtype, values, (20,)), ALLOWED)).array, dtype)
    expected = [quiet] * 5 + [positive, negative]
    assert [[int(part) for part in row] for row in found[:7]] == [[one] * raw.shape[1] for one in expected]
    assert np.array_equal(found[7:], words_of(values, dtype)[7:])


@each_dtype
def test_without_restoring_there_are_zeros(dtype: str, big: bool) -> None:
    sample = holed(dtype, big=big)
    data = ours(sample, ALLOWED)
    one = only(data, restore=False)
    masked = ~np.isfinite(sample.native().astype(np.complex128))
    assert (words_of(one.array, dtype)[masked] == 0).all()
    assert np.array_equal(words_of(one.array, dtype)[~masked], words_of(sample.values, dtype)[~masked])
    assert bits(native(one.array)) == bits(tensogram.decode(data, restore_non_finite=False).objects[0][1])


def test_the_callers_array_is_not_touched() -> None:
    values = np.array([1.0, np.nan, -np.inf])
    before = values.tobytes()
    values.flags.writeable = False
    found = only(ours(Sample("float64", values, (3,)), ALLOWED))
    assert values.tobytes() == before
    assert np.array_equal(found.array, values, equal_nan=True)
    assert not found.array.flags.writeable


def test_nothing_but_masks_comes_of_nothing_but_nan() -> None:
    values = np.full((3, 5), np.nan)
    assert np.array_equal(
        only(ours(Sample("float64", values, (3, 5)), ALLOWED)).array, values, equal_nan=True
    )
    scalar = np.array(np.inf, np.float32)
    assert only(ours(Sample("float32", scalar, ()), ALLOWED)).array == np.inf


def test_finite_values_have_no_masks_and_cost_no_copy() -> None:
    values = np.arange(9.0)
    made = Preparer(Stages(masks=ALLOWED)).prepare(values)
    assert made.template.descriptor.masks is None
    assert np.shares_memory(np.frombuffer(made.payload, np.uint8), values)


@pytest.mark.parametrize(
    "stages",
    [
        {"filter": "shuffle"},
        {"compression": "zstd"},
        {"compression": "lz4"},
        {"filter": "shuffle", "compression": "blosc2"},
        {"encoding": "simple_packing", "params": {"sp_bits_per_value": 24}},
        {"encoding": "simple_packing", "compression": "szip", "params": {"sp_bits_per_value": 16}},
        {"compression": "zfp", "params": {"zfp_rate": 64.0}},
        {"compression": "sz3", "params": {"sz3_error_bound": 0.0}},
    ],
    ids=lambda found: "-".join(str(one) for one in found.values() if isinstance(one, str)),
)
def test_masks_stand_behind_any_pipeline(stages: dict[str, Any]) -> None:
    values = np.random.default_rng(1).normal(280, 20, 3000)
    odd = {10: np.nan, 11: np.nan, 500: np.inf, 2999: -np.inf}
    for at, value in odd.items():
        values[at] = value
    data = ours(Sample("float64", values, (3000,)), rules("rle"), **stages)
    array = only(data).array
    assert bits(array) == bits(tensogram.decode(data).objects[0][1])
    for at, value in odd.items():
        assert np.array_equal(array[at], value, equal_nan=True)
    assert np.isfinite(array).sum() == 2996


# ---- masked arrays


@pytest.mark.parametrize("dtype", ["f4", ">f8", "c8", "f2"])
def test_masked_values_of_an_array_become_nan_masks(dtype: str) -> None:
    values: Any = np.ma.masked_equal(np.arange(12).reshape(3, 4).astype(dtype), 5)
    one = only(tgmtool_encode(values, Rules(allow_nan=True)))
    assert set(one.descriptor.masks or {}) == {"nan"}
    assert np.flatnonzero(np.isnan(one.array)).tolist() == [5]
    assert one.array.dtype == np.dtype(dtype)


def tgmtool_encode(values: Any, masks: Rules) -> bytes:
    sink = MemorySink()
    writer = StreamWriter(sink, stages=Stages(masks=masks))
    writer.write(values)
    writer.finish()
    return bytes(sink.data)


def test_masked_values_need_the_same_permission_as_nan() -> None:
    with pytest.raises(EncodeError, match=r"index \[1\] is NaN; --allow-nan"):
        tgmtool_encode(np.ma.masked_equal([1.0, 2.0], 2), Rules(allow_inf=True))


@pytest.mark.parametrize("dtype", ["i4", "u1", "?"])
def test_masked_values_of_integers_are_refused(dtype: str) -> None:
    values: Any = np.ma.array([0, 1], mask=[True, False], dtype=dtype)
    with pytest.raises(EncodeError, match=r"has masked values, and .* has no NaN .*\.filled"):
        tgmtool_encode(values, ALLOWED)


def test_a_masked_array_without_masked_values_is_any_array() -> None:
    assert only(tgmtool_encode(np.ma.array([1, 2], mask=[False, False]), Rules())).array.tolist() == [1, 2]


# ---- what cannot be


def plain(masks: Any, payload: bytes, **changes: Any) -> DataObject:
    (one,) = tgmtool.decode(message(metadata(), tensor(payload, masks=masks, **changes))).objects
    return one


def entry(**changes: Any) -> dict[str, Any]:
    return {"method": "none", "offset": 12, "length": 1, **changes}


HUGE = 1 << 80
NO_METHODS: list[Any] = [None, 1, "", "zip", "None", ["rle"], {}]
WRONG: dict[str, Any] = {
    "no map": 12,
    "nothing": None,
    "empty": {},
    "no offset": {"method": "none", "length": 1},
    "no length": {"method": "none", "offset": 12},
    "no method": {"offset": 12, "length": 1},
    **{
        f"offset {found!r:.20}": entry(offset=found) for found in (None, -1, 12.0, True, "12", 13, HUGE, [12])
    },
    **{f"length {found!r:.20}": entry(length=found) for found in (None, -1, 1.0, True, "1", 0, 2, HUGE)},
    **{f"method {found!r:.20}": entry(method=found) for found in NO_METHODS},
    "inside the payload": entry(offset=11),
    "at the start": entry(offset=0),
    "length beyond 2^63 together": entry(offset=1 << 63, length=1 << 63),
    **{f"no {found} blob": entry(method=found) for found in METHODS if found != "none"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_an_entry_that_cannot_be_is_an_error_with_a_place(wrong: Any, kind: str) -> None:
    one = plain({kind: wrong}, PAYLOAD + b"\x80")
    for use in (lambda: one.array, lambda: one.read([(0, 1)]), lambda: one[0]):
        with pytest.raises(PayloadError) as caught:
            use()
        assert caught.value.offset == one.span.payload_offset


@pytest.mark.parametrize(
    "kind", ["", "NaN", "inf", "nan ", "x" * 5000, 5, -1, None, True, 1.5, b"nan"], ids=repr
)
def test_a_kind_that_does_not_exist_is_an_error_of_ours(kind: Any) -> None:
    data = message(metadata(), tensor(PAYLOAD + b"\x80", masks={kind: entry()}))
    with pytest.raises(tgmtool.FormatError) as caught:
        _ = only(data).array
    assert caught.value.offset is not None
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("dtype", ["int32", "uint32"])
def test_a_dtype_without_nan_has_no_masks(dtype: str) -> None:
    with pytest.raises(PayloadError, match="neither NaN nor Inf"):
        _ = plain({"nan": entry()}, PAYLOAD + b"\x80", dtype=dtype).array


ODD = {
    "the same bytes twice": ({"nan": entry(), "inf+": entry()}, b"\x80", [np.inf, 2, 3]),
    "an element in two masks": (
        {"nan": entry(), "inf+": entry(offset=13)},
        b"\x80\x80",
        [np.inf, 2, 3],
    ),
    "another order": ({"nan": entry(offset=13), "inf+": entry()}, b"\x80\x40", [np.inf, np.nan, 3]),
    "a gap between them": ({"nan": entry(), "inf+": entry(offset=14)}, b"\x80\xff\x40", [np.nan, np.inf, 3]),
    "bytes behind them": ({"nan": entry()}, b"\x40\xff\xff", [1, np.nan, 3]),
    "bits behind the last element": ({"nan": entry()}, b"\x5f", [1, np.nan, 3]),
    "keys of a later version": ({"nan": entry(params={"a": 1}, more=2)}, b"\x20", [1, 2, np.nan]),
}


@pytest.mark.parametrize(("masks", "blob", "expected"), ODD.values(), ids=ODD)
def test_what_is_odd_and_harmless_is_read_as_the_reference_reads_it(
    masks: Any, blob: bytes, expected: list[float]
) -> None:
    data = message(metadata(), tensor(PAYLOAD + blob, masks=masks))
    array = only(data).array
    assert np.array_equal(array, expected, equal_nan=True)
    assert bits(array) == bits(tensogram.decode(data).objects[0][1])


@pytest.mark.parametrize("method", [name for name in METHODS if name != "none"])
def test_a_blob_that_is_cut_or_goes_on_is_refused(method: str) -> None:
    data = theirs(holed("float32"), rules(method))
    one = only(data)
    found: Any = one.descriptor.masks
    length = found["nan"]["length"]
    for other in {0, 1, 4, 5, length // 2, length - 1, length + 1} - {length}:
        descriptor = one.descriptor._replace(masks={"nan": {**found["nan"], "length": other}})
        with pytest.raises(PayloadError, match="mask nan: ") as caught:
            _ = DataObject(descriptor, {}, one.span, one.payload).array
        assert caught.value.offset == one.span.payload_offset


@pytest.mark.parametrize("method", METHODS)
def test_bits_that_flip_in_a_blob_give_other_masks_or_an_error_of_ours(method: str) -> None:
    one = only(theirs(holed("float32"), rules(method)))
    found: Any = one.descriptor.masks
    start, size = found["nan"]["offset"], sum(entry["length"] for entry in found.values())
    random = np.random.default_rng(7)
    places = set()
    for at in random.integers(8 * start, 8 * (start + size), 400):
        payload = bytearray(one.payload)
        payload[at // 8] ^= 1 << (at % 8)
        try:
            array = DataObject(one.descriptor, {}, one.span, memoryview(payload)).array
        except PayloadError as error:
            places.add(error.offset)
        else:
            assert array.shape == (1100,)
    assert places == (set() if method == "none" else {one.span.payload_offset})


@pytest.mark.parametrize("method", METHODS)
def test_a_mask_of_another_number_of_elements_is_refused(method: str) -> None:
    one = only(theirs(holed("float32"), rules(method)))
    # Roaring lists positions: of more elements it says the same.
    for elements in (8, 1000, *(() if method == "roaring" else (1200, 100_000))):
        payload = bytes(4 * elements) + bytes(one.payload)[4400:]
        masks = {
            kind: {**entry, "offset": entry["offset"] - 4400 + 4 * elements}
            for kind, entry in (one.descriptor.masks or {}).items()
        }
        descriptor = one.descriptor._replace(shape=(elements,), masks=masks)
        with pytest.raises(PayloadError):
            _ = DataObject(descriptor, {}, one.span, memoryview(payload)).array


@pytest.mark.parametrize("elements", [1 << 33, 1 << 40, 1 << 59])
def test_a_mask_of_more_elements_than_the_limit_is_refused_before_it_is_unpacked(elements: int) -> None:
    """Values packed to no bits take no bytes at all, and one run of a mask stands for any number."""
    blob = b"\0" + leb128(elements)
    masks = {"nan": {"method": "rle", "offset": 0, "length": len(blob)}}
    one = plain(masks, blob, dtype="float64", shape=[elements], **NO_BITS)
    for use in (lambda: one.array, lambda: one.read([(0, 1)]), lambda: one[5], lambda: one[: elements // 4]):
        with pytest.raises(tgmtool.LimitExceeded, match="--max-decoded-bytes"):
            use()


NO_BITS = {
    "encoding": "simple_packing",
    "sp_bits_per_value": 0,
    "sp_reference_value": 1.0,
    "sp_binary_scale_factor": 0,
    "sp_decimal_scale_factor": 0,
}


def leb128(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def test_a_span_of_an_object_counts_its_masks() -> None:
    data = ours(holed("float32"), ALLOWED)
    (span,) = [found for found in tgmtool.scan(data) if isinstance(found, ObjectSpan)]
    assert span.payload_length == len(only(data).payload) > 4400
