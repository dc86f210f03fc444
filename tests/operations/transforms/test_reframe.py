"""A message with some frames changed is a message again, and changing back gives the old bytes."""

from __future__ import annotations

import numpy as np
import pytest
import tensogram
from hypothesis import given
from hypothesis import strategies as st

import tgmtool
from tests import builders
from tests.operations.transforms.messages import each_kind, kinds, one, theirs, units, wrong
from tgmtool import EncodeError
from tgmtool.codecs.pipeline import Pipeline
from tgmtool.messages import cbor
from tgmtool.operations.transforms.base import Unit
from tgmtool.operations.transforms.reframe import TensorFrame, frame_bytes, metadata_maps, reframe, tensors

ODD = {"by-hand-unpadded", "by-hand-excess"}  # their padding is not kept


@pytest.mark.parametrize("name", [name for name in kinds() if ":" not in name])
def test_without_a_change_the_bytes_stay(name: str) -> None:
    data = kinds()[name]
    made = reframe(Unit(data))
    assert (made == data) == (name not in ODD)
    assert [found for found in wrong(made) if found not in wrong(data)] == []


def test_messages_of_the_reference_come_back_the_same() -> None:
    for name, data in theirs():
        assert reframe(Unit(data, 7, 12345)) == data, name


def longer(unit: Unit, size: int) -> bytes:
    """Every metadata frame with one more key."""
    return reframe(
        unit, bodies={at: cbor.encode({**said, "more": "x" * size}) for at, said in metadata_maps(unit)}
    )


@each_kind()
def test_longer_metadata_moves_everything_else_rightly(data: bytes) -> None:
    for size in (0, 1, 7, 23, 24, 255, 256, 70_000):
        made = longer(Unit(data), size)
        assert [found for found in wrong(made) if found not in wrong(data)] == []
        before, after = Unit(data).message, Unit(made).message
        assert after.metadata.extra["more"] == "x" * size
        assert [found.payload for found in after.objects] == [found.payload for found in before.objects]
        shorter = reframe(
            Unit(made),
            bodies={
                at: cbor.encode({key: value for key, value in said.items() if key != "more"})
                for at, said in metadata_maps(Unit(made))
            },
        )
        assert shorter == reframe(Unit(data))


@given(st.lists(st.integers(0, 300), min_size=1, max_size=30), st.integers(0, 40), st.booleans())
def test_the_index_is_right_whatever_the_sizes(sizes: list[int], more: int, streaming: bool) -> None:
    data = builders.message([b"p" * size for size in sizes], streaming=streaming)
    made = longer(Unit(data), more)
    found = Unit(made).looked
    assert found.message.index_frame is not None
    assert list(found.message.index_frame.offsets) == [frame.offset for frame in tensors(Unit(made))]
    assert list(found.message.index_frame.lengths) == [
        frame.header.total_length for frame in tensors(Unit(made))
    ]


@each_kind()
def test_an_object_is_exchanged_and_exchanged_back(data: bytes) -> None:
    unit = Unit(data)
    for number, frame in enumerate(tensors(unit)):
        kind = unit.message.objects[number].descriptor
        empty = kind._replace(shape=(0,), strides=(1,), pipeline=Pipeline(), masks=None)
        new = TensorFrame.make((b"",), empty, hashing=frame.stored_digest is not None)
        made = Unit(reframe(unit, objects={number: new}))
        assert made.message.objects[number].array.size == 0
        body = bytes(frame_bytes(unit, frame))
        back = TensorFrame((body,), builders_digest(body, frame.header.body_size))
        assert reframe(made, objects={number: back}) == reframe(unit)


def builders_digest(frame: bytes, size: int) -> int:
    from xxhash import xxh3_64_intdigest

    return xxh3_64_intdigest(frame[16 : 16 + size])


def test_a_length_that_was_not_filled_in_stays_so() -> None:
    made = longer(Unit(one(0, layout="streaming")), 5)
    assert made[16:24] == bytes(8) == made[-16:-8]
    made = longer(Unit(one(0, layout="streaming", backfill=True)), 5)
    assert int.from_bytes(made[16:24]) == int.from_bytes(made[-16:-8]) == len(made)


def test_the_reference_reads_what_was_changed() -> None:
    for layout in ("buffered", "streaming"):
        made = longer(Unit(one(4, objects=2, layout=layout)), 300)
        found = tensogram.decode(made, verify_hash=True)
        assert [int(values[0, 0]) for _, values in found.objects] == [400, 500]
        assert found.metadata.extra["more"] == "x" * 300


def test_digests_by_another_algorithm_cannot_be_made_for_another_object() -> None:
    listed = builders.cbor({"algorithm": "sha1", "hashes": ["00"]})
    plain = builders.message([b"one"])
    metadata = builders.frame(builders.HEADER_METADATA, builders.cbor({"base": [{}]}))
    data = builders.message_of(
        [metadata, builders.frame(builders.HEADER_HASHES, listed), builders.tensor(b"one")]
    )
    new = TensorFrame((bytes(frame_bytes(Unit(plain), tensors(Unit(plain))[0])),), 0)
    assert reframe(Unit(data)) == data
    with pytest.raises(EncodeError, match="sha1"):
        reframe(Unit(data), objects={0: new})


def test_large_payloads_are_kept_bit_for_bit() -> None:
    values = np.random.default_rng(1).random(300_000)
    unit = units(tgmtool.encode([values]))[0]
    assert np.array_equal(Unit(longer(unit, 3)).message.objects[0].array, values)
