"""What tgmtool writes the reference reads, and the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tensogram
from hypothesis import given
from hypothesis import strategies as st

import tgmtool
from tests.conformance.oracle import (
    LARGEST_INT,
    Sample,
    all_stages,
    bits,
    budget,
    entries,
    exact,
    issues,
    sample_of,
    samples,
    written_by_us,
)
from tgmtool import Message, MessageSpan, Style
from tgmtool.codecs.dtypes import DTYPES
from tgmtool.operations.prepare import Stages
from tgmtool.wire import layout

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PLAIN = Stages()
styles = st.builds(
    Style,
    layout=st.sampled_from(["buffered", "streaming"]),
    hashing=st.booleans(),
    preceder=st.sampled_from([None, True, False]),
    backfill=st.booleans(),
)
NO_HASH = {("no_hash_available", "warning")}


def user_keys(base: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in entry.items() if key != "_reserved_"} for entry in base]


# ---- ours, read by the reference


@budget(400)
@given(st.lists(samples, max_size=3), entries, styles, all_stages)
def test_what_we_write_the_reference_reads_to_equal_values_and_metadata(
    objects: list[Sample], extra: dict[str, Any], style: Style, stages: Stages
) -> None:
    message = written_by_us(objects, style, stages, extra)
    assert tensogram.scan(message) == [(0, len(message))]
    found = tensogram.decode(message, verify_hash=style.hashing)
    assert len(found.objects) == len(objects)
    for (descriptor, array), sample in zip(found.objects, objects, strict=True):
        assert bits(array) == bits(sample.native())
        assert (descriptor.dtype, tuple(descriptor.shape)) == (sample.dtype, sample.shape)
        assert descriptor.byte_order == sample.byte_order
    assert exact(user_keys(found.metadata.base)) == exact([sample.entry for sample in objects])
    assert exact(found.metadata.extra) == exact(extra)
    for sample, entry in zip(objects, found.metadata.base, strict=True):
        tensor = entry["_reserved_"]["tensor"]
        assert (tensor["dtype"], tuple(tensor["shape"])) == (sample.dtype, sample.shape)
    assert issues(message) == (set() if style.hashing or not objects else NO_HASH)


@budget(150)
@given(st.lists(samples, max_size=3), entries, styles, all_stages)
def test_what_we_write_we_read_to_equal_values_and_metadata(
    objects: list[Sample], extra: dict[str, Any], style: Style, stages: Stages
) -> None:
    found = tgmtool.decode(written_by_us(objects, style, stages, extra))
    for one, sample in zip(found.objects, objects, strict=True):
        assert bits(one.array) == bits(sample.values)
        assert exact(one.metadata) == exact(sample.entry)
        assert (one.descriptor.dtype.name, one.descriptor.shape) == (sample.dtype, sample.shape)
    assert exact(found.metadata.extra) == exact(extra)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (2, 3), (1, 1, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("dtype", [row.name for row in DTYPES])
@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
def test_every_dtype_in_every_shape_passes_to_the_reference(
    dtype: str, shape: tuple[int, ...], big: bool
) -> None:
    sample = sample_of(dtype, shape, 7, big=big)
    for stages in (PLAIN, Stages(filter="shuffle", compression="zstd", params={"zstd_level": 1})):
        message = written_by_us([sample], Style(), stages)
        ((_, array),) = tensogram.decode(message, verify_hash=True).objects
        assert bits(array) == bits(sample.native())
        assert issues(message) == set()


LEAVES: list[Any] = [
    *(0, 23, 24, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32, LARGEST_INT),
    *(-1, -24, -25, -256, -257, -65536, -65537, -(1 << 32), -(1 << 32) - 1, -LARGEST_INT - 1),
    *(
        0.0,
        -0.0,
        1.5,
        65504.0,
        65505.0,
        1.1,
        5e-324,
        2.0**-24,
        2.0**-149,
        1.7e308,
        float("inf"),
        -float("inf"),
    ),
    *(float("nan"), True, False, None, "", "é", "気温 🌡", "\x00", "a" * 23, "a" * 24, "a" * 256),
    *([], {}, [[], [{}]], {"": {"ß": [1, "ł", None]}}, list(range(30)), {str(i): i for i in range(30)}),
]


@pytest.mark.parametrize("layout_", ["buffered", "streaming"])
@pytest.mark.parametrize("value", LEAVES, ids=lambda value: repr(value)[:20])
def test_every_kind_of_metadata_passes_to_the_reference(value: Any, layout_: str) -> None:
    sample = sample_of("uint8", (2,), 1, entry={"mars": value})
    message = written_by_us([sample], Style(layout=layout_), PLAIN, {"run": value})
    found = tensogram.decode(message).metadata  # decode_metadata would read the header's alone
    assert exact(found.extra) == exact({"run": value})
    assert exact(user_keys(found.base)) == exact([{"mars": value}])
    assert issues(message) == set()


@pytest.mark.parametrize("value", [LARGEST_INT + 1, (1 << 64) - 1, -LARGEST_INT - 2, -(1 << 64)], ids=hex)
def test_integers_beyond_int64_are_legal_but_only_we_read_them(value: int) -> None:
    message = written_by_us([], Style(), PLAIN, {"run": value})
    assert tgmtool.decode(message).metadata.extra == {"run": value}
    assert tensogram.scan(message) == [(0, len(message))]
    with pytest.raises(ValueError, match="out of i64 range"):
        _ = tensogram.decode_metadata(message).extra


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize(
    "style",
    [Style(layout="buffered"), Style(), Style(backfill=False)],
    ids=["buffered", "streaming", "not backfilled"],
)
def test_the_reference_counts_our_messages_in_a_file(tmp_path: Path, style: Style, count: int) -> None:
    path = tmp_path / "several.tgm"
    parts = [written_by_us([sample_of("float32", (n, 3), n)], style, PLAIN) for n in range(count)]
    path.write_bytes(b"".join(parts))
    with tensogram.TensogramFile.open(str(path)) as file:
        assert file.message_count() == count
        assert file.messages() == parts
    assert tensogram.validate_file(str(path), level="full")["file_issues"] == []


# ---- the reference's, read by us


def assert_read(message: bytes, objects: list[Sample], extra: Mapping[str, Any], *, backfilled: bool) -> None:
    found = tgmtool.decode(message)
    for one, sample in zip(found.objects, objects, strict=True):
        assert bits(one.array) == bits(sample.values)
        assert exact(one.metadata) == exact(sample.entry)
        assert (one.descriptor.dtype.name, one.descriptor.shape) == (sample.dtype, sample.shape)
    assert exact(found.metadata.extra) == exact(extra)
    theirs = tensogram.decode(message).metadata
    assert exact(list(found.metadata.base)) == exact(theirs.base)
    assert exact(found.metadata.reserved) == exact(theirs.reserved)
    assert found.span == MessageSpan(0, len(message), found.span.flags, not backfilled, len(objects), 0)


@budget(250)
@given(st.lists(samples, max_size=3), entries, all_stages, st.booleans())
def test_what_the_reference_encodes_we_read(
    objects: list[Sample], extra: dict[str, Any], stages: Stages, hashing: bool
) -> None:
    metadata = {"base": [dict(sample.entry) for sample in objects], "_extra_": extra}
    pairs = [sample.pair(stages) for sample in objects]
    message = tensogram.encode(metadata, pairs, hash="xxh3" if hashing else None)
    assert_read(message, objects, extra, backfilled=True)
    assert tgmtool.decode(message).span.flags & layout.HASHES_PRESENT == layout.HASHES_PRESENT * hashing


@budget(250)
@given(
    st.lists(samples, max_size=3),
    entries,
    all_stages,
    st.booleans(),
    st.sampled_from(["finish", "finish_backfilled", "finish_and_reset", "finish_and_reset_backfilled"]),
)
def test_what_the_reference_streams_we_read(
    objects: list[Sample], extra: dict[str, Any], stages: Stages, hashing: bool, finish: str
) -> None:
    metadata = {"base": [dict(sample.entry) for sample in objects], "_extra_": extra}
    encoder = tensogram.StreamingEncoder(metadata, hash="xxh3" if hashing else None)
    for sample in objects:
        encoder.write_object(*sample.pair(stages))
    message = getattr(encoder, finish)()
    assert_read(message, objects, extra, backfilled=finish.endswith("backfilled"))


@pytest.mark.parametrize("finish", ["finish_and_reset", "finish_and_reset_backfilled"])
def test_a_stream_of_messages_of_one_reference_encoder_is_read_message_by_message(finish: str) -> None:
    encoder = tensogram.StreamingEncoder({"run": "é"})
    expected = [sample_of("float64", (n,), n) for n in range(5)]
    parts = []
    for sample in expected:
        encoder.write_object(*sample.pair(PLAIN))
        parts.append(getattr(encoder, finish)())
    found = [message for message in tgmtool.read(b"".join(parts)) if isinstance(message, Message)]
    assert [bits(message.objects[0].array) for message in found] == [bits(one.values) for one in expected]
    assert [message.metadata.extra for message in found] == [{"run": "é"}] * 5
    assert [message.span.length for message in found] == [len(part) for part in parts]


@pytest.mark.parametrize("policy", ["header", "footer", "both", "none", "auto"])
def test_the_references_hash_lists_are_read_wherever_they_stand(policy: str) -> None:
    pairs = [sample_of("int16", (n, 2), n).pair(PLAIN) for n in range(3)]
    found = tgmtool.decode(tensogram.encode({}, pairs, aggregate_hash=policy))
    if policy == "none":
        assert found.hash_frame is None
    else:
        assert found.hash_frame is not None
        assert found.hash_frame.hashes == tuple(f"{one.span.digest:016x}" for one in found.objects)


def test_numpy_arrays_given_to_the_reference_are_read_as_they_were() -> None:
    for dtype in ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"):
        array = np.arange(12).reshape(3, 4).astype(dtype)
        descriptor = {"type": "ntensor", "shape": [3, 4], "dtype": array.dtype.name}
        found = tgmtool.decode(tensogram.encode({}, [(descriptor, array)])).objects[0].array
        assert bits(found) == bits(array)
