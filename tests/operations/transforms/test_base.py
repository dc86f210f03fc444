"""A message is taken apart once, when asked, and says where it stands in the whole input."""

from __future__ import annotations

import pytest

from tests import builders
from tests.operations.transforms.messages import end, kinds, one, place, theirs, units
from tgmtool import DigestMismatch, FramingError, LimitExceeded, Limits, MetadataError
from tgmtool.messages.stream import KEY
from tgmtool.operations.transforms.base import Unit
from tgmtool.wire import frametypes


def test_offsets_are_those_of_the_input() -> None:
    data = one(0) + one(1, objects=2)
    second = units(data)[1]
    spans = [found.span for found in second.message.objects]
    assert second.message.span.offset == len(one(0))
    assert [span.message for span in spans] == [1, 1]
    assert all(data[span.offset : span.offset + 2] == b"FR" for span in spans)
    listed = second.keys()
    assert [key.get("_offset") for key in listed] == [span.offset for span in spans]


def test_a_message_is_looked_into_once() -> None:
    unit = Unit(one(0))
    assert unit.looked is unit.looked


def test_keys_of_every_object_and_of_the_message_where_there_is_none() -> None:
    unit = Unit(one(3, objects=2, metadata={"run": "a"}))
    listed = unit.keys()
    assert [found.get("mars.step") for found in listed] == [3, 4]
    assert [found.get("run") for found in listed] == ["a", "a"]
    (alone,) = Unit(kinds()["no-objects"]).keys()
    assert alone.get("_objects") == 0


@pytest.mark.parametrize(
    ("data", "is_marker"),
    [
        (one(0), False),
        (one(0, place=place(0)), False),
        (end(1), True),
        (kinds()["no-objects"], True),
        (one(0, place=place(0, kind="error")), True),
    ],
)
def test_markers_are_told_from_data(data: bytes, is_marker: bool) -> None:
    assert Unit(data).is_marker is is_marker


def test_every_message_of_the_reference_is_taken_apart() -> None:
    for name, data in theirs():
        found = Unit(data).looked
        tensors = [frame for frame in found.frames if frame.header.row.is_object]
        assert len(tensors) == len(found.message.objects), name


def test_metadata_that_changed_is_refused_and_says_where() -> None:
    data = one(0)
    place_ = builders.first_frame(data, frametypes.HEADER_METADATA)
    with pytest.raises(DigestMismatch) as caught:
        _ = Unit(builders.flip_bit(data, place_.offset + 30), 4, 1000).message
    assert caught.value.offset == 1000 + place_.offset


def test_a_payload_that_changed_is_not_looked_at() -> None:
    data = one(0)
    payload = Unit(data).message.objects[0].span.payload_offset
    assert Unit(builders.flip_bit(data, payload)).keys()


@pytest.mark.parametrize("data", [b"", one(0)[:-1], one(0) + one(1), b"GRIB" * 20])
def test_what_is_not_one_whole_message_is_refused(data: bytes) -> None:
    with pytest.raises(FramingError):
        _ = Unit(data).message


def test_limits_are_kept() -> None:
    with pytest.raises(LimitExceeded):
        _ = Unit(one(0), limits=Limits(cbor_bytes=10)).message


def test_a_place_of_the_wrong_kind_is_refused() -> None:
    data = one(0, metadata={KEY: {"v": 1, "id": 5, "seq": 0}})
    with pytest.raises(MetadataError, match="id is 5"):
        _ = Unit(data).place
    assert not Unit(data).is_marker  # nothing but its type makes it one
    wrong = {"v": 1, "id": 5, "seq": 0, "type": "end"}
    with pytest.raises(MetadataError, match="id is 5"):
        _ = Unit(one(0, metadata={KEY: wrong})).is_marker
