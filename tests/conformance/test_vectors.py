"""Every file of the reference is seen, read and decoded as its manifest says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tgmtool
from tests.vectors import Entry, Vector, invalid_vectors, valid_vectors, vectors
from tgmtool import (
    DataObject,
    DigestMismatch,
    FormatError,
    FrameSpan,
    FramingError,
    Gap,
    Message,
    MessageSpan,
    ObjectSpan,
    TgmError,
    TruncatedError,
    codecs,
)
from tgmtool.messages import cbor
from tgmtool.wire import frametypes, layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

each_valid = pytest.mark.parametrize("vector", valid_vectors(), ids=lambda found: found.name)
each_invalid = pytest.mark.parametrize("vector", invalid_vectors(), ids=lambda found: found.name)


def little_endian(array: NDArray[Any]) -> bytes:
    return (array.byteswap() if array.dtype.byteorder == ">" else array).tobytes()


def messages_of(source: Any, **choices: Any) -> list[Message]:
    found = list(tgmtool.read(source, **choices))
    assert all(isinstance(message, Message) for message in found)
    return found  # type: ignore[return-value]  # as was just asserted


def test_the_vectors_are_the_files_of_the_manifest() -> None:
    for vector in vectors():
        assert hashlib.sha256(vector.data).hexdigest() == vector.row["sha256"], vector.name


# ---- where things stand


@each_valid
def test_messages_stand_where_the_manifest_says(vector: Vector) -> None:
    found = list(tgmtool.scan(vector.path, unit="message"))
    assert all(isinstance(span, MessageSpan) for span in found)
    expected = [
        (entry["offset"], entry["length"], entry["flags"], entry["preamble_total_length"] == 0)
        for entry in vector.messages
    ]
    assert [
        (s.offset, s.length, s.flags, s.streaming) for s in found if isinstance(s, MessageSpan)
    ] == expected


@each_valid
def test_frames_stand_where_the_manifest_says(vector: Vector) -> None:
    found = list(tgmtool.scan(vector.path, unit="frame"))
    assert all(isinstance(span, FrameSpan) for span in found)
    expected = [
        (
            number,
            message["offset"] + frame["offset"],
            frame["length"],
            frame["type"],
            frame["flags"],
            int(frame["hash_slot"], 16) if frame["hash_present"] else None,
        )
        for number, message in enumerate(vector.messages)
        for frame in message["frames"]
    ]
    assert [
        (s.message, s.offset, s.length, s.type, s.flags, s.digest) for s in found if isinstance(s, FrameSpan)
    ] == expected


@each_valid
def test_objects_are_listed_as_the_manifest_says(vector: Vector) -> None:
    found = list(tgmtool.scan(vector.path, unit="object"))
    expected = [
        (number, index, message["offset"] + entry["frame_offset"], entry["payload_region_bytes"], "ok")
        for number, message in enumerate(vector.messages)
        for index, entry in enumerate(message["objects"])
    ]
    spans = [span for span in found if isinstance(span, ObjectSpan)]
    assert len(spans) == len(found)
    assert [(s.message, s.number, s.offset, s.payload_length, s.status) for s in spans] == expected
    for span, entry in zip(spans, vector.objects, strict=True):
        descriptor = span.descriptor
        assert descriptor is not None
        assert list(descriptor.shape) == entry["shape"]
        assert list(descriptor.strides) == entry["strides"]
        assert (descriptor.dtype.name, descriptor.byte_order) == (entry["dtype"], entry["byte_order"])
        assert descriptor.pipeline[:3] == (entry["encoding"], entry["filter"], entry["compression"])
        assert entry["params"].items() <= descriptor.pipeline.params.items()
        assert (descriptor.masks or {}) == entry.get("masks", {})


@each_valid
def test_index_and_hash_list_name_the_objects_that_are_there(vector: Vector) -> None:
    for message, entry in zip(messages_of(vector.path), vector.messages, strict=True):
        tensors = [frame for frame in entry["frames"] if frame["type"] == frametypes.TENSOR]
        assert (message.index_frame is not None) == bool(entry["index"])
        if message.index_frame is not None:
            assert message.index_frame.offsets == tuple(frame["offset"] for frame in tensors)
            assert message.index_frame.lengths == tuple(frame["length"] for frame in tensors)
        assert (message.hash_frame is not None) == bool(entry["aggregate_hash"])
        if message.hash_frame is not None:
            assert message.hash_frame.algorithm == "xxh3"
            assert message.hash_frame.hashes == tuple(frame["hash_slot"] for frame in tensors)


# ---- metadata


@each_valid
def test_metadata_is_what_the_manifest_says(vector: Vector) -> None:
    for message, entry in zip(messages_of(vector.path), vector.messages, strict=True):
        if "metadata" not in entry:  # NaN and Inf, which JSON has no words for: see the next test
            continue
        assert list(message.metadata.base) == entry["metadata"]["base"]
        assert message.metadata.extra == entry["metadata"]["extra"]
        assert message.metadata.reserved == entry["metadata"]["reserved"]
        for found, base in zip(message.objects, entry["metadata"]["base"], strict=True):
            assert found.metadata == {key: value for key, value in base.items() if key != "_reserved_"}


@each_valid
def test_metadata_frames_are_written_again_byte_for_byte(vector: Vector) -> None:
    for message in vector.messages:
        for frame in message["frames"]:
            if frame["type"] not in frametypes.METADATA_TYPES:
                continue
            start = message["offset"] + frame["offset"]
            end = start + frame["length"] - layout.FRAME_FOOTER_SIZE
            body = vector.data[start + layout.FRAME_HEADER_SIZE : end]
            assert hashlib.sha256(body).hexdigest() == message["metadata_cbor_sha256"][frame["name"]]
            assert cbor.encode(cbor.decode_map(body, what="metadata", offset=start)) == body


# ---- values


def objects_of(vector: Vector, **choices: Any) -> list[tuple[DataObject, Entry]]:
    found = [one for message in messages_of(vector.path, **choices) for one in message.objects]
    return list(zip(found, vector.objects, strict=True))


def digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(little_endian(array)).hexdigest()


@each_valid
def test_every_object_decodes_to_the_manifests_digest(vector: Vector) -> None:
    for one, entry in objects_of(vector):
        assert list(one.array.shape) == entry["decoded_shape"]
        assert digest(one.array) == entry["sha256"]
        assert not one.array.flags.writeable


@each_valid
def test_without_restoring_every_object_decodes_to_the_manifests_other_digest(vector: Vector) -> None:
    for one, entry in objects_of(vector, restore=False):
        assert list(one.array.shape) == entry["decoded_shape"]
        assert digest(one.array) == entry.get("sha256_without_restore", entry["sha256"])


@each_valid
def test_every_range_of_the_manifest_has_its_digest(vector: Vector) -> None:
    for one, entry in objects_of(vector):
        ranges = [(found["start"], found["count"]) for found in entry["ranges"]]
        for (start, count), found in zip(ranges, entry["ranges"], strict=True):
            (alone,) = fresh(one).read([(start, count)])
            assert digest(alone) == found["sha256"], (start, count)
        together = one.read(ranges)
        assert [digest(part) for part in together] == [found["sha256"] for found in entry["ranges"]]
        assert not any(part.flags.writeable for part in together)


def fresh(one: DataObject) -> DataObject:
    """The same object, of which nothing was decoded yet."""
    return DataObject(one.descriptor, one.metadata, one.span, one.payload)


def test_the_manifest_has_ranges_and_masks_to_be_compared() -> None:
    objects = [entry for vector in valid_vectors() for entry in vector.objects]
    assert sum(len(entry["ranges"]) for entry in objects) > 500
    assert sum("sha256_without_restore" in entry for entry in objects) > 30
    assert {entry["compression"] for entry in objects} == set(codecs.names(codecs.COMPRESSION))


def test_a_message_without_the_bf16_extra_still_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    vector = next(found for found in valid_vectors() if found.name == "scalar_bfloat16.tgm")
    array = tgmtool.decode(vector.data).objects[0].array
    assert array.dtype == np.uint16
    assert hashlib.sha256(array.tobytes()).hexdigest() == vector.objects[0]["sha256"]


# ---- files that must be refused

Wrong = tuple[type[FormatError], str, int]
# File: error, code, and the byte at fault.
INVALID: dict[str, Wrong | None] = {
    "invalid_truncated_tail.tgm": (TruncatedError, "incomplete_tail", 0),
    "invalid_truncated_preamble.tgm": (TruncatedError, "incomplete_tail", 0),
    "invalid_version_4.tgm": (FramingError, "unsupported_version", 8),
    "invalid_payload_bitflip.tgm": (DigestMismatch, "hash_mismatch", 784),
    "invalid_hash_slot_changed.tgm": (DigestMismatch, "hash_mismatch", 464),
    "invalid_frame_type_4.tgm": (FramingError, "invalid_frame_header", 466),
    "invalid_frame_type_10.tgm": (FramingError, "invalid_frame_header", 466),
    "invalid_cbor_offset_small.tgm": (FramingError, "cbor_offset_invalid", 764),
    "invalid_total_length_tiny.tgm": (FramingError, "total_length_too_small", 16),
    "invalid_frame_length_huge.tgm": (FramingError, "frame_length_overflow", 472),
    "invalid_empty_file.tgm": None,  # a stream of no message: nothing is wrong with it
    "invalid_two_preceders.tgm": (FramingError, "preceder_not_followed_by_object", 352),
    "invalid_dangling_preceder.tgm": (FramingError, "dangling_preceder", 512),
    "invalid_no_metadata.tgm": (FramingError, "no_metadata_frame", 0),
}


def test_every_invalid_file_stands_in_the_table() -> None:
    assert {vector.name for vector in invalid_vectors()} == INVALID.keys()


@each_invalid
def test_an_invalid_file_is_refused_for_the_right_reason(vector: Vector) -> None:
    wrong = INVALID[vector.name]
    if wrong is None:
        assert messages_of(vector.path) == []
        return
    kind, code, offset = wrong
    with pytest.raises(FormatError) as caught:
        messages_of(vector.path)
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.offset) == (code, offset)
    assert str(vector.path) in str(caught.value)


@each_invalid
def test_an_invalid_file_is_listed_as_a_gap_with_that_reason(vector: Vector) -> None:
    wrong = INVALID[vector.name]
    for unit in ("object", "message", "frame"):
        gaps = [found for found in tgmtool.scan(vector.path, unit=unit) if isinstance(found, Gap)]
        if wrong is None or (wrong[0] is DigestMismatch and unit != "object"):
            assert gaps == []  # digests of payloads are not looked at by lengths alone
            continue
        assert [(gap.offset, gap.length, gap.code) for gap in gaps] == [(0, vector.row["bytes"], wrong[1])]
        assert gaps[0].kind == ("incomplete" if wrong[0] is TruncatedError else "damaged")


USES: dict[str, Callable[[Any], object]] = {
    "decode": tgmtool.decode,
    "read": lambda source: list(tgmtool.read(source)),
    "read without digests": lambda source: list(tgmtool.read(source, verify=False)),
    "read past damage": lambda source: list(tgmtool.read(source, on_damage="skip")),
    "arrays": lambda source: [
        one.array for message in messages_of(source, verify=False) for one in message.objects
    ],
}


@each_invalid
@pytest.mark.parametrize("use", USES)
def test_an_invalid_file_never_gives_an_error_of_another_tree(vector: Vector, use: str) -> None:
    for source in (vector.path, vector.data):
        with suppress(TgmError):
            USES[use](source)


@pytest.mark.parametrize("unit", ["object", "message", "frame"])
@each_invalid
def test_listing_an_invalid_file_never_raises(vector: Vector, unit: str) -> None:
    list(tgmtool.scan(vector.data, unit=unit))
