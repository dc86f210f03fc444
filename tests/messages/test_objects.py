"""One object: decoded when asked for, without a copy where there is nothing to decode."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tgmtool
from tests.messages.frames import PAYLOAD, message, metadata, tensor, whole
from tgmtool import (
    DataObject,
    LimitExceeded,
    Limits,
    MetadataError,
    ObjectSpan,
    PayloadError,
    Style,
    TgmError,
)
from tgmtool.codecs.base import Parts
from tgmtool.codecs.masks import Rules
from tgmtool.messages.objects import decode_range
from tgmtool.operations.prepare import Stages
from tgmtool.wire import layout

if TYPE_CHECKING:
    from pathlib import Path
HUGE = 1 << 20_000  # more digits than Python likes to print


def only(data: bytes, **choices: Any) -> DataObject:
    (found,) = whole(data, **choices).objects
    return found


def masked(masks: Any, payload: bytes = PAYLOAD + b"\xe0", **choices: Any) -> DataObject:
    return only(message(metadata(), tensor(payload, masks=masks)), **choices)


# ---- without a copy


@pytest.mark.parametrize("hashing", [True, False])
@pytest.mark.parametrize("layout_", ["buffered", "streaming"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<c16", "u1", ">i8"])
def test_an_array_without_stages_is_a_view_of_the_source(dtype: str, layout_: str, hashing: bool) -> None:
    values = np.arange(1000).astype(dtype)
    data = bytearray(tgmtool.encode([values], style=Style(layout=layout_, hashing=hashing)))
    source = np.frombuffer(data, np.uint8)
    array = tgmtool.decode(data).objects[0].array
    assert np.shares_memory(array, source)
    assert np.array_equal(array, values)
    assert array.dtype == np.dtype(dtype)


def test_arrays_of_a_file_are_views_of_one_mapping(tmp_path: Path) -> None:
    path = tmp_path / "two.tgm"
    tgmtool.write(path, [np.arange(5000.0), np.arange(3)], layout="buffered")
    first, second = tgmtool.decode(path).objects
    mapping = first.payload.obj
    assert isinstance(mapping, mmap.mmap)
    assert second.payload.obj is mapping
    for one in (first, second):
        assert np.shares_memory(one.array, np.frombuffer(mapping, np.uint8))


@pytest.mark.parametrize("stages", [{}, {"filter": "shuffle"}, {"compression": "zstd"}])
def test_no_array_can_be_written_to(stages: dict[str, Any]) -> None:
    one = tgmtool.decode(bytearray(tgmtool.encode([np.arange(9)], **stages))).objects[0]
    assert not one.array.flags.writeable
    assert one.payload.readonly
    with pytest.raises(ValueError, match="read-only"):
        one.array[0] = 1


def test_an_array_is_decoded_once_and_kept() -> None:
    one = tgmtool.decode(tgmtool.encode([np.arange(9)], compression="zstd")).objects[0]
    assert one.array is one.array
    assert list(one[2:4]) == [2, 3]
    assert one[8] == 8


def test_nothing_is_decoded_that_is_not_asked_for() -> None:
    data = message(metadata(), tensor(b"not zstd at all", compression="zstd"), tensor())
    broken, good = whole(data).objects
    assert list(good.array) == [1, 2, 3]
    with pytest.raises(PayloadError):
        _ = broken.array


def test_an_object_says_what_it_is() -> None:
    one = tgmtool.decode(tgmtool.encode([np.zeros((2, 3), ">i2")])).objects[0]
    assert repr(one) == "<DataObject 0.0 int16[2, 3]>"


# ---- where the descriptor stands


def test_a_descriptor_may_come_before_the_payload() -> None:
    data = message(metadata(), tensor(first=True), tensor())
    for one in whole(data).objects:
        assert list(one.array) == [1, 2, 3]
        assert data[one.span.payload_offset :][: one.span.payload_length] == PAYLOAD
    spans = [span for span in tgmtool.scan(data) if isinstance(span, ObjectSpan)]
    assert [(s.payload_offset, s.payload_length) for s in spans] == [
        (one.span.payload_offset, one.span.payload_length) for one in whole(data).objects
    ]


@pytest.mark.parametrize("cbor_offset", [17, 28])
def test_a_descriptor_that_comes_first_begins_the_body(cbor_offset: int) -> None:
    with pytest.raises(MetadataError) as caught:
        whole(message(metadata(), tensor(first=True, cbor_offset=cbor_offset)))
    assert caught.value.code == "cbor_offset_invalid"


@pytest.mark.parametrize("cbor_offset", [16, 27, 29])
def test_a_descriptor_that_begins_elsewhere_than_said_is_refused(cbor_offset: int) -> None:
    with pytest.raises(MetadataError):
        whole(message(metadata(), tensor(cbor_offset=cbor_offset)))


def test_a_descriptor_without_an_end_is_refused() -> None:
    frame = bytearray(tensor(b"", first=True, hashed=False))
    frame[layout.FRAME_HEADER_SIZE] = 0xBF  # a map without a length; nothing ends it
    with pytest.raises(MetadataError):
        whole(message(metadata(hashed=False), bytes(frame), flags=layout.HEADER_METADATA))


# ---- what the descriptor promises


@pytest.mark.parametrize("payload", [b"", PAYLOAD[:-1], PAYLOAD + b"\0"])
def test_a_payload_of_another_size_is_refused_where_it_stands(payload: bytes) -> None:
    one = only(message(metadata(), tensor(payload)))
    with pytest.raises(PayloadError, match=rf"has {len(payload)} bytes.*takes 12") as caught:
        _ = one.array
    assert (caught.value.code, caught.value.offset) == ("decoded_size_mismatch", one.span.payload_offset)


HUGE_SHAPES = [[1 << 62], [1 << 40, 1 << 20], [(1 << 63) - 1]]


@pytest.mark.parametrize("shape", HUGE_SHAPES, ids=str)
@pytest.mark.parametrize(
    "stages", [{}, {"filter": "shuffle", "shuffle_element_size": 4}, {"compression": "zstd"}]
)
def test_a_claimed_size_is_refused_before_anything_is_allocated(
    shape: list[int], stages: dict[str, Any]
) -> None:
    one = only(message(metadata(), tensor(ndim=len(shape), shape=shape, strides=[1] * len(shape), **stages)))
    with pytest.raises((PayloadError, LimitExceeded)) as caught:
        _ = one.array
    assert isinstance(caught.value, PayloadError) == (not stages)


def test_the_limit_on_decoded_bytes_names_its_option() -> None:
    data = tgmtool.encode([np.zeros(1000)], compression="zstd")
    fits, short = Limits(decoded_bytes=8000), Limits(decoded_bytes=7999)
    assert tgmtool.decode(data, limits=fits).objects[0].array.nbytes == 8000
    with pytest.raises(LimitExceeded, match="--max-decoded-bytes") as caught:
        _ = tgmtool.decode(data, limits=short).objects[0].array
    assert (caught.value.limit, caught.value.value) == ("decoded_bytes", 7999)


def test_an_uncompressed_payload_is_there_already_and_has_no_limit() -> None:
    data = tgmtool.encode([np.zeros(1000)])
    assert tgmtool.decode(data, limits=Limits(decoded_bytes=1)).objects[0].array.nbytes == 8000


@pytest.mark.parametrize(
    "shape", [[0, (1 << 64) - 1], [1 << 63, 0], [0, 1 << 62, 1 << 62], [0] * 65], ids=str
)
def test_a_shape_that_numpy_cannot_hold_is_a_limit(shape: list[int]) -> None:
    data = message(metadata(), tensor(b"", ndim=len(shape), shape=shape, strides=[1] * len(shape)))
    with pytest.raises(LimitExceeded):
        _ = only(data, limits=Limits(ndim=100)).array


def test_a_payload_error_says_where_the_payload_stands() -> None:
    one = only(message(metadata(), tensor(b"junk", compression="zstd")))
    with pytest.raises(PayloadError) as caught:
        _ = one.array
    assert caught.value.offset == one.span.payload_offset


SIZES: dict[str, Any] = {
    "none": None,
    "float": 1.0,
    "text": "4",
    "bool": True,
    "list": [4],
    "map": {},
    "list of huge": [HUGE],
}
SIZES |= {"0": 0, "-1": -1, "5": 5, "2^32": 1 << 32, "2^64": 1 << 64, "huge": HUGE}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_shuffle_parameter_that_cannot_be_is_refused(size: Any) -> None:
    one = only(message(metadata(), tensor(filter="shuffle", shuffle_element_size=size)))
    with pytest.raises(PayloadError):
        _ = one.array


# ---- masks (their methods and all that is hostile: tests/codecs/test_masks.py)


def test_masks_are_restored_unless_that_is_not_wanted() -> None:
    masks = {
        "nan": {"method": "none", "offset": 12, "length": 1},
        "inf-": {"method": "none", "offset": 13, "length": 1},
    }
    one = masked(masks, PAYLOAD + b"\x80\x20")
    assert np.array_equal(one.array, [np.nan, 2, -np.inf], equal_nan=True)
    assert not one.array.flags.writeable
    assert list(masked(masks, PAYLOAD + b"\x80\x20", restore=False).array) == [1, 2, 3]


def test_without_restoring_masks_may_be_of_any_bytes_and_the_array_is_a_view() -> None:
    masks = {"nan": {"method": "rle", "offset": 12, "length": 1}}
    one = masked(masks, PAYLOAD + b"\xff", restore=False)
    assert np.shares_memory(one.array, np.frombuffer(one.payload, np.uint8))
    with pytest.raises(PayloadError, match="mask nan"):
        _ = masked(masks, PAYLOAD + b"\xff").array


def test_an_empty_map_of_masks_masks_nothing() -> None:
    assert list(masked({}, PAYLOAD).array) == [1, 2, 3]


@pytest.mark.parametrize(
    "masks",
    [
        {"nan": {}},
        {"nan": 12},
        {"nan": {"offset": True}},
        {"nan": {"offset": 14}},
        {"nan": {"offset": 1 << 80}},
        {"nan": {"method": "none", "offset": 11, "length": 1}},
        {"nan": {"method": "none", "offset": 12, "length": 1}, "inf+": {}},
    ],
    ids=repr,
)
@pytest.mark.parametrize("restore", [True, False])
def test_masks_that_cannot_be_are_refused_also_if_nobody_wants_them(masks: Any, restore: bool) -> None:
    one = masked(masks, restore=restore)
    with pytest.raises(PayloadError) as caught:
        _ = one.array
    assert caught.value.offset == one.span.payload_offset


def test_masks_of_no_known_name_never_give_an_error_of_another_tree() -> None:
    for restore in (True, False):
        with pytest.raises(TgmError):
            _ = masked({5: {"offset": 0}}, restore=restore).array


# ---- parts


def cube(**stages: Any) -> DataObject:
    return only_of(np.arange(24_000.0).reshape(20, 30, 40), **stages)


def only_of(values: Any, *, dtype: str | None = None, shape: Any = None, **stages: Any) -> DataObject:
    sink = tgmtool.MemorySink()
    writer = tgmtool.StreamWriter(sink, stages=Stages(**stages))
    writer.write(values, dtype=dtype, shape=shape)
    writer.finish()
    return tgmtool.decode(bytes(sink.data)).objects[0]


PACKED: dict[str, Any] = {"encoding": "simple_packing", "params": {"sp_bits_per_value": 16}}
FIXED_RATE: dict[str, Any] = {"compression": "zfp", "params": {"zfp_rate": 16.0}}
IN_PARTS = {"none": {}, "packed": PACKED, "zfp fixed rate": FIXED_RATE}


@pytest.mark.parametrize("stages", IN_PARTS.values(), ids=IN_PARTS)
@pytest.mark.parametrize("ranges", [[(0, 1)], [(23_999, 1)], [(100, 50)], [(3, 5), (9000, 20)], []], ids=str)
def test_few_elements_cost_few_bytes(stages: dict[str, Any], ranges: list[tuple[int, int]]) -> None:
    one = cube(**stages)
    found = decode_range(one, ranges)
    assert found.payload_bytes == len(one.payload)
    count = sum(n for _, n in ranges)
    assert found.bytes_read <= 8 * count + 64 * len(ranges)
    assert found.bytes_read >= 2 * count
    for part, (start, n) in zip(found.values, ranges, strict=True):
        assert np.array_equal(part, one.array.reshape(-1)[start : start + n])


@pytest.mark.parametrize(
    "stages",
    [
        {"compression": "zstd"},
        {"filter": "shuffle", "compression": "lz4"},
        {"compression": "zfp", "params": {"zfp_tolerance": 0.5}},
        {"compression": "sz3", "params": {"sz3_error_bound": 0.5}},
    ],
    ids=str,
)
def test_a_codec_that_is_undone_as_a_whole_is_read_once_for_all_ranges(stages: dict[str, Any]) -> None:
    one = cube(**stages)
    found = decode_range(one, [(0, 3), (500, 3), (23_000, 1000)])
    assert found.bytes_read == found.payload_bytes == len(one.payload)
    assert [len(part) for part in found.values] == [3, 3, 1000]


def test_what_is_read_is_counted_each_time_and_for_the_array_as_well() -> None:
    one = cube()
    assert one.bytes_read == 0
    one.read([(0, 2), (1, 2)])
    assert one.bytes_read == 32
    assert one[3, 4, 5] == 3 * 1200 + 4 * 40 + 5
    assert one.bytes_read == 40
    _ = one.array
    assert one.bytes_read == 40 + 192_000
    _ = one[0], one[:, 3]
    assert one.bytes_read == 40 + 192_000


def test_masks_are_counted_when_they_are_read() -> None:
    values = np.zeros(10_000)
    values[::2] = np.nan
    rules = Rules(allow_nan=True, methods={"nan": "none"})
    one = only_of(values, masks=rules)
    found = decode_range(one, [(10, 4)])
    assert np.array_equal(found.values[0], values[10:14], equal_nan=True)
    assert found.bytes_read == 32 + 1250


def test_szip_is_decoded_forward_and_no_further_than_needed() -> None:
    values = np.random.default_rng(1).integers(0, 1 << 30, 2_000_000, np.int32)
    one = only_of(values, compression="szip")
    assert len(one.payload) > 4 << 20
    found = decode_range(one, [(0, 10), (1000, 10)])
    assert np.array_equal(found.values[1], values[1000:1010])
    assert found.bytes_read <= 1 << 20
    assert np.array_equal(decode_range(one, [(1_999_990, 10)]).values[0], values[-10:])


def test_blosc2_reads_the_chunks_that_are_touched() -> None:
    one = only_of(np.arange(100_000.0), compression="blosc2")
    found = decode_range(one, [(50_000, 3)])
    assert found.values[0].tolist() == [50_000, 50_001, 50_002]
    assert found.bytes_read <= 2 * found.payload_bytes


@pytest.mark.parametrize(
    "ranges", [[(-1, 2)], [(0, -1)], [(0, 24_001)], [(24_000, 1)], [(0, 1), (30_000, 0)]]
)
@pytest.mark.parametrize("stages", [{}, {"compression": "zstd"}, PACKED], ids=str)
def test_a_range_outside_is_an_index_error_and_nothing_is_read(
    ranges: list[tuple[int, int]], stages: dict[str, Any]
) -> None:
    one = cube(**stages)
    with pytest.raises(IndexError, match="24000 elements"):
        one.read(ranges)
    assert one.bytes_read == 0


def test_empty_ranges_are_empty_arrays_of_the_dtype() -> None:
    for stages in ({}, PACKED, FIXED_RATE, {"compression": "zstd"}):
        first, last = cube(**stages).read([(0, 0), (24_000, 0)])
        assert (first.shape, last.shape, first.dtype.name) == ((0,), (0,), "float64")


@pytest.mark.parametrize("stages", [{}, {"compression": "rle"}, {"compression": "zstd"}], ids=str)
def test_ranges_of_a_bitmask_begin_at_the_most_significant_bit(stages: dict[str, Any]) -> None:
    bits = np.random.default_rng(1).integers(0, 2, 1003, np.uint8)
    one = only_of(np.packbits(bits), dtype="bitmask", shape=(17, 59), **stages)
    for start, count in [(0, 0), (0, 1), (0, 1003), (1, 8), (7, 9), (995, 8), (1002, 1), (1003, 0), (64, 64)]:
        (part,) = one.read([(start, count)])
        assert part.dtype == np.uint8
        assert np.array_equal(part, np.packbits(bits[start : start + count])), (start, count)


def test_few_bits_of_a_bitmask_cost_few_bytes() -> None:
    one = only_of(np.zeros(10_000, np.uint8), dtype="bitmask", shape=(80_000,))
    assert decode_range(one, [(4001, 10)]).bytes_read == 2


def test_parts_cannot_be_written_to() -> None:
    for stages in ({}, PACKED, {"compression": "zstd"}):
        one = cube(**stages)
        for part in (*one.read([(0, 3)]), one[0, 0, :3], one[::2, 3, 4]):
            assert not part.flags.writeable


@pytest.mark.parametrize(
    "stages",
    [{"compression": "zstd"}, {"compression": "zfp", "params": {"zfp_tolerance": 0.5}}],
    ids=str,
)
def test_what_must_be_decoded_as_a_whole_has_the_limit_of_the_whole(stages: dict[str, Any]) -> None:
    whole = cube(**stages)
    one = DataObject(
        whole.descriptor, {}, whole.span, whole.payload, limits=Limits(decoded_bytes=24_000 * 8 - 1)
    )
    for use in (lambda: one.read([(0, 1)]), lambda: one[0, 0, 0], lambda: one.array):
        with pytest.raises(LimitExceeded, match="--max-decoded-bytes"):
            use()
    assert one.bytes_read <= 2 * len(whole.payload)


def test_what_is_decoded_in_parts_has_the_limit_of_what_is_asked() -> None:
    whole = cube(**PACKED)
    one = DataObject(whole.descriptor, {}, whole.span, whole.payload, limits=Limits(decoded_bytes=80))
    assert len(one.read([(5, 4), (9000, 6)])[1]) == 6
    for use in (lambda: one.read([(5, 4), (9000, 7)]), lambda: one[0, 0, :11], lambda: one.array):
        with pytest.raises(LimitExceeded):
            use()


def test_parts_of_what_szip_claims_to_hold_are_refused_before_anything_is_allocated() -> None:
    params: dict[str, Any] = {"szip_rsi": 128, "szip_block_size": 16, "szip_flags": 8}
    one = only(message(metadata(), tensor(b"junk" * 9, shape=[1 << 50], compression="szip", **params)))
    for use in (lambda: one.read([(0, 1)]), lambda: one[0]):
        with pytest.raises(LimitExceeded):
            use()


@pytest.mark.parametrize("payload", [b"", PAYLOAD[:-1], PAYLOAD + b"\0"])
def test_parts_of_a_payload_of_another_size_are_refused(payload: bytes) -> None:
    one = only(message(metadata(), tensor(payload)))
    for use in (lambda: one.read([(0, 1)]), lambda: one[0]):
        with pytest.raises(PayloadError) as caught:
            use()
        assert caught.value.offset == one.span.payload_offset


def test_a_payload_may_be_a_source_that_is_read_in_parts() -> None:
    whole = cube()
    asked: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> memoryview:
        asked.append((start, stop))
        return whole.payload[start:stop]

    one = DataObject(whole.descriptor, {}, whole.span, Parts(len(whole.payload), read))
    assert one[1, 0, 0] == 1200
    assert asked == [(9600, 9608)]
    assert np.array_equal(one.array, whole.array)
    assert bytes(one.payload) == bytes(whole.payload)
