"""Every single-bit flip of six messages of different kinds is noticed: an error, or at least a warning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

import tgmtool
from tests import builders
from tests.operations.streams import FIXED, entry, field
from tgmtool.codecs.masks import Rules
from tgmtool.endpoints.memory import MemorySink
from tgmtool.operations.findings import WARNING, Finding
from tgmtool.operations.prepare import Stages
from tgmtool.operations.validate import validate
from tgmtool.operations.writer import StreamWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _buffered() -> bytes:
    return tgmtool.encode([(field(0), entry(0))], layout="buffered", style=FIXED)


def _streaming_with_preceders() -> bytes:
    pairs = [(field(step, (2, 5)), entry(step)) for step in range(2)]
    return tgmtool.encode(pairs, layout="streaming", style=FIXED._replace(backfill=False, preceder=True))


def _masked() -> bytes:
    values = np.array([1, np.nan, 3, np.inf, -np.inf, 6, np.nan, 8, 9], "<f8")
    return _staged(values, Stages(masks=Rules(allow_nan=True, allow_inf=True)))


def _packed() -> bytes:
    stages = Stages("simple_packing", compression="zstd", params={"sp_bits_per_value": 12})
    return _staged(np.linspace(250, 300, 40), stages)


def _staged(values: NDArray[np.float64], stages: Stages) -> bytes:
    sink = MemorySink()
    writer = StreamWriter(sink, style=FIXED._replace(layout="buffered"), stages=stages)
    writer.write(values)
    writer.finish()
    return bytes(sink.data)


def _footer_index() -> bytes:
    return builders.message([b"first", b"the second one", b""], streaming=True)


def _bitmask() -> bytes:
    values = {"ndim": 1, "shape": [13], "strides": [1], "dtype": "bitmask", "byte_order": "little"}
    stages = dict.fromkeys(("encoding", "filter", "compression"), "none")
    packed = builders.cbor({"type": "ntensor", **values, **stages})
    first = builders.tensor(b"\xa5\xf8", descriptor=packed)
    last = builders.tensor(b"\xa5\xf8", descriptor=packed, descriptor_first=True)
    metadata = builders.frame(builders.HEADER_METADATA, builders.cbor({"base": [{}, {}]}))
    return builders.message_of([metadata, first, last])


KINDS: dict[str, Callable[[], bytes]] = {
    "buffered": _buffered,
    "streaming with preceders": _streaming_with_preceders,
    "masked": _masked,
    "packed and compressed": _packed,
    "three objects, lists in the footer": _footer_index,
    "bitmasks": _bitmask,
}

# The reference's streaming writer sets this flag whether or not a preceder comes, so that neither its
# presence nor its absence says anything in a message with a footer and without preceders.
PRECEDER_FLAG = (11, 6)
# Whether a descriptor stands before or after a payload of no bytes is the same thing.
DESCRIPTOR_LAST_FLAG_OF_THE_EMPTY_OBJECT = (391, 0)
UNNOTICEABLE = {
    "three objects, lists in the footer": {PRECEDER_FLAG, DESCRIPTOR_LAST_FLAG_OF_THE_EMPTY_OBJECT}
}

# What is no more than a warning: padding, and fields without a meaning.
HARMLESS = {
    "non_zero_padding", "reserved_flag", "reserved_nonzero", "frame_version", "flag_superfluous",
    "flag_mismatch", "backfill_incomplete",
}  # fmt: skip


def flips(data: bytes) -> Iterator[tuple[int, int]]:
    return ((at, bit) for at in range(len(data)) for bit in range(8))


def weighs(found: Finding) -> bool:
    return found.weight != "note"


@pytest.mark.parametrize("kind", KINDS)
def test_every_bit_that_flips_is_noticed(kind: str) -> None:
    data = KINDS[kind]()
    assert len(data) <= 1500
    # From such a length one flip leads to 0, and a length in one of two places is valid (V27).
    assert len(data) & (len(data) - 1)
    before = validate(data, level="full")
    assert before.verdict == "valid"
    assert not any(map(weighs, before.findings))
    silent = set()
    for at, bit in flips(data):
        report = validate(builders.flip_bit(data, at, bit))
        if report.verdict == "valid":
            warnings = {found.code for found in report.findings if found.weight == WARNING}
            assert warnings <= HARMLESS, (at, bit)
            if not warnings:
                silent.add((at, bit))
    assert silent == UNNOTICEABLE.get(kind, set())


@pytest.mark.parametrize("kind", KINDS)
def test_no_flip_of_a_payload_or_of_metadata_is_a_mere_warning(kind: str) -> None:
    data = KINDS[kind]()
    for place in builders.frames_of(data):
        for at in range(place.offset + 16, place.offset + place.length, 5):
            assert validate(builders.flip_bit(data, at, at % 8)).verdict != "valid", at
