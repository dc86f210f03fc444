"""Recoded messages hold the same values, bit for bit, compressed otherwise."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tensogram
from hypothesis import given, settings
from hypothesis import strategies as st

import tgmtool
from tests import builders
from tests.operations.streams import FIXED
from tests.operations.transforms.messages import each_kind, end, kinds, one, place, run, theirs, units, wrong
from tgmtool import DigestMismatch, EncodeError, LimitExceeded, Limits, PayloadError
from tgmtool.messages.objects import DataObject
from tgmtool.messages.stream import Tally
from tgmtool.operations.transforms.base import Unit
from tgmtool.operations.transforms.recode import Recode, target_of
from tgmtool.operations.transforms.reframe import frame_body

METADATA = {1, 7, 8}
WORDS = (
    "none",
    "shuffle",
    "zstd",
    "zstd:3",
    "shuffle+zstd:1",
    "lz4",
    "shuffle+lz4",
    "blosc2:5",
    "shuffle+szip",
)


def recode(words: str) -> Recode:
    return Recode(target_of(words))


def bits(found: DataObject) -> bytes:
    """What the values are, with what stands for NaN beside them."""
    return np.ascontiguousarray(found.array).tobytes()


def values(data: bytes) -> list[bytes]:
    return [bits(found) for unit in units(data) for found in unit.message.objects]


def metadata(data: bytes) -> list[bytes]:
    """What the metadata frames of all messages say, as it stands there."""
    return [
        bytes(frame_body(unit, frame))
        for unit in units(data)
        for frame in unit.looked.frames
        if frame.header.type in METADATA
    ]


def recoded(words: str, data: bytes) -> bytes | None:
    """What comes out, or None if a stage does not take one of the objects."""
    try:
        return run(recode(words), data)
    except EncodeError:
        return None


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("zstd", ("none", "zstd", {})),
        ("zstd:19", ("none", "zstd", {"zstd_level": 19})),
        ("zstd:-3", ("none", "zstd", {"zstd_level": -3})),
        ("shuffle+zstd:3", ("shuffle", "zstd", {"zstd_level": 3})),
        ("shuffle", ("shuffle", "none", {})),
        ("none", ("none", "none", {})),
        ("none+lz4", ("none", "lz4", {})),
    ],
)
def test_words_name_a_filter_and_a_compression(text: str, stages: tuple[str, str, dict[str, int]]) -> None:
    found = target_of(text)
    assert (found.filter, found.compression, dict(found.params)) == stages


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gzip", "compression 'gzip' does not exist"),
        ("round+zstd", "filter 'round' does not exist"),
        ("a+b+zstd", "one filter before it"),
        ("zfp", "would lose something"),
        ("sz3", "would lose something"),
        ("simple_packing+zstd", "stay packed"),
        ("simple_packing", "stay packed"),
        ("lz4:3", "has no level"),
        ("zstd:fast", "no number"),
        ("", "does not exist"),
        ("zstd:", "no number"),
    ],
)
def test_what_cannot_be_meant_or_would_lose_something_is_refused(text: str, says: str) -> None:
    with pytest.raises(EncodeError, match=re.escape(says)):
        target_of(text)


@pytest.mark.parametrize("words", WORDS)
def test_every_message_of_ours_keeps_its_values_and_metadata(words: str) -> None:
    for name, data in kinds().items():
        if ":" in name:
            continue
        made = run(recode(words), data)
        assert values(made) == values(data), name
        assert metadata(made) == metadata(data), name
        assert [found for found in wrong(made) if found not in wrong(data)] == [], name


@pytest.mark.parametrize("words", ["none", "zstd:1", "shuffle+lz4"])
def test_every_message_of_the_reference_keeps_its_values(words: str) -> None:
    refused = 0
    for name, data in theirs():
        made = recoded(words, data)
        if made is None:
            refused += 1
            continue
        before, after = Unit(data).message, Unit(made).message
        assert values(made) == values(data), name
        assert metadata(made) == metadata(data), name
        for old, new in zip(before.objects, after.objects, strict=True):
            assert new.descriptor.pipeline.encoding == old.descriptor.pipeline.encoding, name
            assert sorted(new.descriptor.masks or ()) == sorted(old.descriptor.masks or ()), name
    assert refused <= {"none": 0, "zstd:1": 0, "shuffle+lz4": 20}[words]


def test_the_reference_reads_what_was_recoded() -> None:
    read = 0
    for name, data in theirs():
        made = run(recode("zstd:1"), data)
        expected = tensogram.decode(data)
        found = tensogram.decode(made, verify_hash=b"xxh3" in made)
        for (_, old), (_, new) in zip(expected.objects, found.objects, strict=True):
            assert np.asarray(old).tobytes() == np.asarray(new).tobytes(), name
        read += 1
    assert read == len(list(theirs()))


def packed(**choices: Any) -> bytes:
    params = {"sp_bits_per_value": 16}
    rows = np.sin(np.arange(4000.0)).reshape(40, 100)
    return tgmtool.encode([rows], encoding="simple_packing", params=params, style=FIXED, **choices)


@pytest.mark.parametrize("source", ["none", "zstd", "szip"])
@pytest.mark.parametrize("words", ["none", "zstd:3", "szip", "shuffle+zstd", "lz4"])
def test_what_is_packed_stays_packed_and_exact(source: str, words: str) -> None:
    data = packed(compression=source)
    made = run(recode(words), data)
    pipeline = Unit(made).message.objects[0].descriptor.pipeline
    old = Unit(data).message.objects[0].descriptor.pipeline
    assert pipeline.encoding == "simple_packing"
    assert {k: v for k, v in pipeline.params.items() if k.startswith("sp_")} == {
        k: v for k, v in old.params.items() if k.startswith("sp_")
    }
    assert values(made) == values(data)
    assert np.asarray(tensogram.decode(made).objects[0][1]).tobytes() == values(data)[0]


def test_lossy_compression_is_undone_to_what_readers_see() -> None:
    rows = np.sin(np.arange(4096.0)).reshape(64, 64)
    data = tgmtool.encode([rows], compression="zfp", params={"zfp_rate": 16.0})
    made = run(recode("shuffle+zstd"), data)
    assert values(made) == values(data) != [rows.tobytes()]


def test_masks_stay_byte_for_byte_behind_the_new_payload() -> None:
    data = kinds()["masked"]
    made = run(recode("zstd:9"), data)
    old, new = Unit(data).message.objects[0], Unit(made).message.objects[0]
    assert bytes(new.payload[new.payload_size :]) == bytes(old.payload[old.payload_size :])
    assert bits(new) == bits(old)
    assert wrong(made) == []


@given(st.lists(st.floats(width=32), max_size=50), st.sampled_from(WORDS[:7]), st.sampled_from(WORDS[:7]))
@settings(max_examples=40, deadline=None)
def test_any_values_go_there_and_back(numbers: list[float], there: str, back: str) -> None:
    array = np.array(numbers, "<f4")
    data = tgmtool.encode([np.nan_to_num(array)], style=FIXED)
    made = run(recode(back), run(recode(there), data))
    assert values(made) == values(data)
    assert run(recode("none"), made) == data


def test_bits_of_a_nan_that_no_mask_stands_for_are_kept() -> None:
    raw = np.array([0x7FC00001, 0xFFC12345, 0x3F800000], "<u4").tobytes()
    kind = {"type": "ntensor", "ndim": 1, "shape": [3], "strides": [1], "dtype": "float32"}
    kind |= {"byte_order": "little", "encoding": "none", "filter": "none", "compression": "none"}
    data = builders.message_of(
        [
            builders.frame(builders.HEADER_METADATA, builders.cbor({"base": [{}]})),
            builders.tensor(raw, descriptor=builders.cbor(kind)),
        ]
    )
    made = run(recode("shuffle+zstd"), data)
    assert Unit(made).message.objects[0].array.tobytes() == raw


def test_keys_of_a_descriptor_that_nobody_knows_are_kept() -> None:
    kind = {"type": "ntensor", "ndim": 1, "shape": [3], "strides": [1], "dtype": "uint8", "mine": [1]}
    kind |= {"byte_order": "little", "encoding": "none", "filter": "none", "compression": "none"}
    data = builders.message_of(
        [
            builders.frame(builders.HEADER_METADATA, builders.cbor({"base": [{}]})),
            builders.tensor(b"abc", descriptor=builders.cbor(kind)),
        ]
    )
    made = Unit(run(recode("zstd:3"), data)).message.objects[0].descriptor.pipeline
    assert made.params == {"mine": [1], "zstd_level": 3}


def test_what_is_so_already_stays_byte_for_byte() -> None:
    data = run(recode("zstd:3"), one(0, objects=2, shape=(50, 50)))
    stage = recode("zstd:3")
    assert run(stage, data) == data
    assert stage.objects == 0


def test_an_object_without_elements_stays_as_it_is() -> None:
    data = tgmtool.encode([np.empty((0, 3)), np.ones(500)], style=FIXED)
    made = run(recode("blosc2"), data)
    stages = [found.descriptor.pipeline.compression for found in Unit(made).message.objects]
    assert stages == ["none", "blosc2"]


@each_kind()
def test_a_message_without_digests_gets_none(data: bytes) -> None:
    made = Unit(run(recode("zstd"), data))
    before = [frame.stored_digest is None for frame in Unit(data).looked.frames]
    assert [frame.stored_digest is None for frame in made.looked.frames] == before


def test_ends_say_anew_what_was_sent() -> None:
    sent = [one(step, place=place(step), shape=(60, 60)) for step in range(3)]
    tally = Tally()
    for message in sent:
        tally.data(message)
        tally.end()
    data = b"".join([*sent, end(3, **tally.to_map())])
    made = run(recode("zstd"), data)
    assert len(made) < len(data)
    assert wrong(made, stream=True) == []


def test_an_end_that_was_wrong_stays_wrong() -> None:
    data = one(0, place=place(0), shape=(60, 60)) + end(1, count=5, bytes=1)
    found = wrong(run(recode("zstd"), data), stream=True)
    assert sorted(line.split(":")[0] for line in found) == ["stream_end_mismatch"] * 2


def test_an_object_that_the_target_does_not_take_is_named() -> None:
    with pytest.raises(EncodeError, match=r"in: message 0, object 0: cannot be recoded: rle compresses only"):
        run(recode("rle"), one(0))


def test_a_payload_that_changed_is_refused_before_it_is_decoded() -> None:
    data = one(0, compression="zstd")
    at = Unit(data).message.objects[0].span.payload_offset
    with pytest.raises(DigestMismatch) as caught:
        run(recode("none"), [Unit(builders.flip_bit(data, at), 3, 5000)])
    assert (caught.value.offset or 0) > 5000


def test_a_payload_that_is_not_what_it_says_is_refused() -> None:
    data = one(0, compression="zstd", hashing=False)
    at = Unit(data).message.objects[0].span.payload_offset
    with pytest.raises(PayloadError, match=f"byte {at}"):
        run(recode("none"), [Unit(builders.flip_bit(data, at + 1))])


def test_an_object_beyond_the_limit_is_refused() -> None:
    data = one(0, compression="zstd", shape=(100, 100))
    with pytest.raises(LimitExceeded, match="--max-decoded-bytes"):
        run(recode("none"), [Unit(data, limits=Limits(decoded_bytes=1000))])
