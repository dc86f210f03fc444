"""Our buffered messages are the reference's, byte for byte, once time, uuid and encoder are the same."""

from __future__ import annotations

from typing import Any

import pytest
import tensogram
from hypothesis import given
from hypothesis import strategies as st

import tgmtool
from tests.conformance.oracle import (
    Sample,
    all_stages,
    budget,
    entries,
    same_provenance,
    same_zstd,
    sample_of,
    samples,
    written_by_us,
)
from tgmtool import FrameSpan, Style
from tgmtool.codecs.dtypes import DTYPES
from tgmtool.operations.prepare import Stages
from tgmtool.wire import frametypes, layout

PLAIN = Stages()


def both_ways(
    objects: list[Sample],
    stages: Stages = PLAIN,
    extra: dict[str, Any] | None = None,
    *,
    hashing: bool = True,
) -> tuple[bytes, bytes]:
    """The same message as we write it and as the reference does."""
    metadata: dict[str, Any] = {"base": [dict(sample.entry) for sample in objects], "_extra_": extra or {}}
    pairs = [sample.pair(stages) for sample in objects]
    theirs = tensogram.encode(metadata, pairs, hash="xxh3" if hashing else None)
    provenance = same_provenance(tgmtool.decode(theirs).metadata.reserved)
    style = Style(layout="buffered", hashing=hashing, provenance=provenance)
    return written_by_us(objects, style, stages, extra), theirs


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (0,), (4, 0), (2, 3, 4), (1,) * 9], ids=str)
@pytest.mark.parametrize("dtype", [row.name for row in DTYPES])
def test_every_dtype_in_every_shape_is_written_as_the_reference_does(
    dtype: str, shape: tuple[int, ...], big: bool
) -> None:
    ours, theirs = both_ways([sample_of(dtype, shape, 3, big=big)])
    assert ours == theirs


STAGES = [
    Stages(filter="shuffle"),
    *(Stages(filter="shuffle", params={"shuffle_element_size": size}) for size in (1, 2, 3, 4, 8, 12)),
    Stages(compression="zstd"),
    *(Stages(compression="zstd", params={"zstd_level": level}) for level in (-7, 1, 3, 9, 19)),
    Stages(filter="shuffle", compression="zstd"),
]


@same_zstd
@pytest.mark.parametrize(
    "stages", STAGES, ids=lambda stages: f"{stages.filter}-{stages.compression}-{stages.params}"
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128", "int16", "uint8", "bitmask"])
def test_every_stage_is_written_as_the_reference_does(dtype: str, stages: Stages) -> None:
    ours, theirs = both_ways([sample_of(dtype, (2, 96), 5)], stages)
    assert ours == theirs


@pytest.mark.parametrize("level", [3, 19])
@same_zstd
def test_a_large_compressed_payload_is_written_as_the_reference_does(level: int) -> None:
    stages = Stages(filter="shuffle", compression="zstd", params={"zstd_level": level})
    ours, theirs = both_ways([sample_of("float64", (3, 20_000), 5)], stages)
    assert ours == theirs


@same_zstd
@budget(250)
@given(st.lists(samples, min_size=1, max_size=3), entries, all_stages, st.booleans())
def test_any_message_with_objects_is_written_as_the_reference_does(
    objects: list[Sample], extra: dict[str, Any], stages: Stages, hashing: bool
) -> None:
    ours, theirs = both_ways(objects, stages, extra, hashing=hashing)
    assert ours == theirs


@pytest.mark.parametrize("count", [1, 2, 23, 24, 25, 100, 200, 255, 256, 257])
def test_any_number_of_objects_is_written_as_the_reference_does(count: int) -> None:
    ours, theirs = both_ways([sample_of("int8", (n % 5,), n) for n in range(count)])
    assert ours == theirs


def test_a_message_without_objects_has_an_index_where_the_reference_has_none() -> None:
    """The known exception: the reference's own remote reader refuses a message without an index."""
    ours, theirs = both_ways([], extra={"run": 1})
    spans = [
        [span for span in tgmtool.scan(message, unit="frame") if isinstance(span, FrameSpan)]
        for message in (ours, theirs)
    ]
    metadata, index = spans[0]
    assert [span.type for span in spans[1]] == [frametypes.HEADER_METADATA]
    assert (metadata.type, index.type) == (frametypes.HEADER_METADATA, frametypes.HEADER_INDEX)
    assert tgmtool.decode(ours).span.flags == tgmtool.decode(theirs).span.flags | layout.HEADER_INDEX
    # All else is the same: the metadata frame, and what is there without the index frame.
    end = metadata.offset + metadata.length
    assert ours[metadata.offset : end] == theirs[metadata.offset : end]
    assert len(ours) - len(theirs) == index.length + layout.padding_after(index.length)
    assert tensogram.scan(ours) == [(0, len(ours))]
    assert tensogram.validate(ours, level="full")["issues"] == []
