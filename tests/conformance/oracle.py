"""The reference implementation as an oracle: the same objects for both sides, and exact comparison."""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
import tensogram
import zstandard
from hypothesis import settings
from hypothesis import strategies as st

from tgmtool import MemorySink, Provenance, StreamWriter, Style
from tgmtool.codecs.dtypes import BY_NAME, DTYPES
from tgmtool.operations.prepare import Stages

if TYPE_CHECKING:
    from numpy.typing import NDArray

REFERENCE = ("tensogram", "0.24.0")
LARGEST_INT = (1 << 63) - 1  # the reference's metadata integers are 64 bits with a sign
same_zstd = pytest.mark.skipif(
    zstandard.ZSTD_VERSION != (1, 5, 7),
    reason="the reference holds libzstd 1.5.7; another version may choose other bytes for the same data",
)


def budget(examples: int) -> settings:
    """The same examples at every run, no clock."""
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


class Sample(NamedTuple):
    """One object as both sides are given it.

    Attributes:
        dtype: Name of the format's dtype.
        values: The array; packed uint8 for a bitmask.
        shape: Elements along each axis.
        entry: The object's metadata.
    """

    dtype: str
    values: NDArray[Any]
    shape: tuple[int, ...]
    entry: Mapping[str, Any] = {}

    @property
    def byte_order(self) -> str:
        return "big" if self.values.dtype.byteorder == ">" else "little"

    def descriptor(self, stages: Stages) -> dict[str, Any]:
        """What the reference's encoder wants to be told."""
        params: dict[str, Any] = {}
        if stages.filter == "shuffle":
            params["shuffle_element_size"] = max(BY_NAME[self.dtype].bits // 8, 1)
        return {
            "type": "ntensor",
            "shape": list(self.shape),
            "dtype": self.dtype,
            "byte_order": self.byte_order,
            "encoding": stages.encoding,
            "filter": stages.filter,
            "compression": stages.compression,
            **params,
            **stages.params,
        }

    def pair(self, stages: Stages) -> tuple[dict[str, Any], bytes]:
        """A descriptor and bytes: the reference refuses some NumPy dtypes, but no bytes."""
        return self.descriptor(stages), self.values.tobytes()

    def native(self) -> NDArray[Any]:
        """The values as the reference's decoder returns them."""
        return self.values.astype(self.values.dtype.newbyteorder("="))


def sample_of(
    dtype: str,
    shape: tuple[int, ...],
    seed: int,
    *,
    big: bool = False,
    entry: Mapping[str, Any] | None = None,
) -> Sample:
    """Finite values of every size, -0.0 and the smallest and largest ones among them."""
    row, random = BY_NAME[dtype], np.random.default_rng(seed)
    count = int(np.prod(shape, dtype=np.int64))
    size = row.payload_size(count)
    if dtype == "bitmask":
        packed = np.packbits(random.integers(0, 2, count, np.uint8))
        return Sample(dtype, packed, shape, entry or {})
    raw = np.frombuffer(random.bytes(size), np.uint8).copy()
    if row.is_float:
        # Clear the lowest bit of the exponent's upper part: nothing is NaN or Inf then.
        raw[row.component - 1 :: row.component] &= 0xFB
        parts = raw.view(f"u{row.component}")
        parts[::5] = parts.dtype.type(1 << (8 * row.component - 1))  # -0.0
    kind = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype("<" + row.numpy)
    values = raw.view(kind).reshape(shape)
    if big and dtype != "bfloat16":
        values = values.astype(kind.newbyteorder(">"))
    return Sample(dtype, values, shape, entry or {})


def written_by_us(
    samples: list[Sample], style: Style, stages: Stages, metadata: Mapping[str, Any] | None = None
) -> bytes:
    sink = MemorySink()
    writer = StreamWriter(sink, metadata, style=style, stages=stages)
    for sample in samples:
        shape = sample.shape if sample.dtype == "bitmask" else None
        writer.write(sample.values, sample.entry or None, dtype=sample.dtype, shape=shape)
    writer.finish()
    return bytes(sink.data)


def same_provenance(reserved: Mapping[str, Any]) -> Provenance:
    """The `_reserved_` of a message of the reference, to be written again."""
    return Provenance(encoder=REFERENCE, time=reserved["time"], uuid=reserved["uuid"])


def exact(value: Any) -> Any:
    """`value` in a form in which only what is equal bit for bit compares equal."""
    if isinstance(value, Mapping):
        return {key: exact(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [exact(inner) for inner in value]
    if isinstance(value, float):
        return ("float", struct.pack(">d", value))
    return (type(value).__name__, value)


def bits(array: NDArray[Any]) -> tuple[str, tuple[int, ...], bytes]:
    """What must be equal of two arrays: dtype, shape, and every bit."""
    return array.dtype.name, array.shape, array.tobytes()


def issues(message: bytes) -> set[tuple[str, str]]:
    """Code and severity of what the reference finds at its deepest level."""
    report = tensogram.validate(message, level="full", check_canonical=True)
    return {(issue["code"], issue["severity"]) for issue in report["issues"]}


# ---- what is tried

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_words = _texts.filter(lambda text: text not in {"base", "_extra_", "_reserved_"})
_numbers = st.integers(-LARGEST_INT - 1, LARGEST_INT) | st.floats(allow_nan=False)
_leaves = st.none() | st.booleans() | _texts | _numbers
trees = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
entries = st.dictionaries(_words, trees, max_size=3)
shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
all_stages = st.builds(
    lambda chosen, filter_, level: Stages(
        filter=filter_,
        compression="none" if chosen is None else "zstd",
        params={} if chosen is None or level is None else {"zstd_level": level},
    ),
    st.sampled_from([None, "zstd"]),
    st.sampled_from(["none", "shuffle"]),
    st.none() | st.integers(-3, 19),
)
samples = st.builds(
    lambda row, shape, seed, big, entry: sample_of(row.name, shape, seed, big=big, entry=entry),
    st.sampled_from(DTYPES),
    shapes,
    st.integers(0, 1 << 32),
    st.booleans() if sys.byteorder == "little" else st.just(False),
    entries,
)
