"""Metadata: what stands where, what wins over what, and what is the library's own."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tgmtool
from tgmtool import EncodeError, LimitExceeded, Limits, Metadata, MetadataError, Provenance
from tgmtool.codecs.dtypes import BY_NAME
from tgmtool.messages import cbor
from tgmtool.messages.descriptor import Descriptor
from tgmtool.messages.metadata import (
    Entry,
    checked_entry,
    entry_of,
    parse_preceder,
    split_global,
    with_tensor,
)

AT = 40


def parse(value: dict[str, Any]) -> Metadata:
    return Metadata.parse(cbor.encode(value), offset=AT)


# ---- reading


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, Metadata()),
        ({"base": []}, Metadata()),
        ({"base": [{"a": 1}, {}]}, Metadata(base=({"a": 1}, {}))),
        ({"_extra_": {"run": 1}}, Metadata(extra={"run": 1})),
        ({"run": 1}, Metadata(extra={"run": 1})),
        ({"run": 1, "_extra_": {"mode": "a"}}, Metadata(extra={"run": 1, "mode": "a"})),
        ({"_reserved_": {"time": "t"}}, Metadata(reserved={"time": "t"})),
        ({"version": 3, "_other_": None}, Metadata(extra={"version": 3, "_other_": None})),
    ],
)
def test_what_is_not_known_at_the_top_is_about_the_whole_message(
    value: dict[str, Any], expected: Metadata
) -> None:
    assert parse(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        {"base": {}},
        {"base": None},
        {"base": [1]},
        {"base": [{}, []]},
        {"_extra_": []},
        {"_extra_": None},
        {"_reserved_": "x"},
        {"_reserved_": [{}]},
        {"_extra_": {"k": 1}, "k": 2},
        {"_extra_": {"k": 1}, "k": 1},
    ],
    ids=repr,
)
def test_a_known_key_of_the_wrong_type_or_standing_twice_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(MetadataError) as caught:
        parse(value)
    assert (caught.value.code, caught.value.offset) == ("metadata_cbor_parse_failed", AT)


@pytest.mark.parametrize("body", ["80", "01", "a10102", "a1", "a0a0", ""])
def test_what_is_no_map_with_text_keys_is_refused(body: str) -> None:
    with pytest.raises(MetadataError):
        Metadata.parse(bytes.fromhex(body), offset=AT)


def test_the_limits_on_cbor_hold_for_metadata() -> None:
    with pytest.raises(LimitExceeded):
        Metadata.parse(cbor.encode({"a": "x" * 99}), offset=AT, limits=Limits(cbor_bytes=99))


def test_what_is_unknown_inside_is_kept() -> None:
    body = bytes.fromhex("a2616bc100616e82f7f863")  # a tag, undefined, a simple value
    assert Metadata.parse(body, offset=AT).pack() == b"\xa1\x67_extra_" + body


# ---- writing


def test_empty_parts_are_left_out() -> None:
    assert Metadata().pack() == b"\xa0"
    assert Metadata(extra={"a": 1}).pack() == cbor.encode({"_extra_": {"a": 1}})
    whole = Metadata(({"a": 1}, {}), {"b": 2}, {"time": "t"})
    assert whole.pack() == cbor.encode(
        {"base": [{"a": 1}, {}], "_extra_": {"b": 2}, "_reserved_": {"time": "t"}}
    )


_keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
_maps = st.dictionaries(_keys, st.integers(-9, 9) | st.lists(_keys, max_size=2), max_size=3)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(_maps, max_size=3), _maps, _maps)
def test_what_is_packed_is_parsed_to_the_same(
    base: list[dict[str, Any]], extra: dict[str, Any], reserved: dict[str, Any]
) -> None:
    whole = Metadata(tuple(base), extra, reserved)
    assert Metadata.parse(whole.pack(), offset=AT) == whole


def test_a_callers_map_is_divided_into_objects_and_message() -> None:
    given_map = {"base": [{"a": 1}, {}], "_extra_": {"run": 1}, "mode": "x"}
    assert split_global(given_map) == ([{"a": 1}, {}], {"run": 1, "mode": "x"})
    assert split_global({"base": ({"a": 1},)}) == ([{"a": 1}], {})
    assert split_global(None) == ([], {})
    assert given_map.keys() == {"base", "_extra_", "mode"}  # the caller's map is left alone


@pytest.mark.parametrize(
    "metadata",
    [
        {"_reserved_": {}},
        {"base": [{}, {"_reserved_": {}}]},
        {"base": {}},
        {"base": [1]},
        {"base": "ab"},
        {"_extra_": []},
        {"_extra_": {"k": 1}, "k": 2},
    ],
    ids=repr,
)
def test_what_a_caller_may_not_set_is_refused(metadata: dict[str, Any]) -> None:
    with pytest.raises(EncodeError):
        split_global(metadata)
    with pytest.raises(EncodeError):
        tgmtool.encode([[1.0], [2.0]], metadata=metadata)


def test_an_objects_entry_may_not_be_reserved_and_is_copied() -> None:
    entry = {"mars": 1}
    assert checked_entry(entry) == entry
    assert checked_entry(entry) is not entry
    assert checked_entry(None) == {}
    with pytest.raises(EncodeError, match="managed by the library"):
        checked_entry({"_reserved_": {}})


def test_the_shape_of_an_object_stands_in_its_metadata_too() -> None:
    descriptor = Descriptor((2, 3), BY_NAME["int16"], strides=(3, 1))
    assert with_tensor({"mars": 1}, descriptor) == {
        "mars": 1,
        "_reserved_": {"tensor": {"ndim": 2, "shape": [2, 3], "strides": [3, 1], "dtype": "int16"}},
    }


@pytest.mark.parametrize("depth", [1, 100, 120, 124, 125, 126, 127, 128, 129, 200])
def test_what_is_nested_too_deeply_to_be_read_is_not_written(depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    for places in ({"a": value}, {"base": [{"a": value}]}):
        try:
            written = tgmtool.encode([[1.0]], metadata=places)
        except EncodeError:
            assert depth > 120
        else:
            tgmtool.decode(written)


# ---- what wins


def test_one_frame_wins_over_another_key_by_key() -> None:
    header = Metadata(({"a": 1, "b": 1}, {"c": 1}), {"run": 1, "mode": "h"}, {"time": "h"})
    footer = Metadata(({"b": 2, "d": 2},), {"run": 2}, {"uuid": "f"})
    assert footer.over(header) == Metadata(
        ({"a": 1, "b": 2, "d": 2}, {"c": 1}), {"run": 2, "mode": "h"}, {"time": "h", "uuid": "f"}
    )
    longer = Metadata(({}, {}, {"e": 1}))
    assert longer.over(header).base == ({"a": 1, "b": 1}, {"c": 1}, {"e": 1})


def test_a_key_wins_whole_maps_are_not_mixed() -> None:
    assert Metadata(extra={"mars": {"step": 2}}).over(Metadata(extra={"mars": {"param": "2t"}})).extra == {
        "mars": {"step": 2}
    }


def test_nothing_over_something_is_that() -> None:
    something = Metadata(({"a": 1},), {"b": 2}, {"time": "t"})
    assert Metadata().over(something) == something.over(Metadata()) == something


def test_an_objects_map_is_without_the_librarys_part() -> None:
    whole = Metadata(({"a": 1, "_reserved_": {"tensor": {}}}, {"b": 2}))
    assert [whole.of_object(index) for index in range(3)] == [{"a": 1}, {"b": 2}, {}]


# ---- preceders


def test_a_preceder_is_read_back() -> None:
    for entry in ({}, {"mars": {"step": 1}, "a": None}):
        body = Entry(entry).preceder()
        assert parse_preceder(body, offset=AT) == entry
        assert body == cbor.encode({"base": [entry]})


def test_maps_that_come_again_are_written_as_at_the_first_time() -> None:
    alike: list[Any] = [1, True, 1.0, 0, 0.0, -0.0, False, None, "1", [1], [True], b"\0\0\x80?", b"1", "é"]
    alike += [np.float32(1), np.str_("1"), np.int64(1), np.bool_(True), np.array([1]), {"b": 1}, {"b": 1.0}]
    for value in alike * 4:
        entry = {"a": {"deep": [value]}}
        body = cbor.encode({"base": [entry]})
        assert entry_of(entry).preceder() == Entry(entry).preceder() == body
        for tensor in (b"\x01", b"\x02"):
            assert entry_of(entry).with_tensor(tensor) == Entry(entry).with_tensor(tensor)


def test_a_map_that_changed_since_is_another_one() -> None:
    entry: dict[str, Any] = {"mars": {"step": 0}}
    for step in (0, 0, 0, 6, 0, 6, 6):
        entry["mars"]["step"] = step
        assert entry_of(entry).preceder() == cbor.encode({"base": [{"mars": {"step": step}}]})


def test_what_cannot_be_written_is_refused_every_time() -> None:
    cycle: dict[str, Any] = {}
    cycle["a"] = cycle
    wrong: list[Any] = [
        {1: 2},
        {"a": {1: 2}},
        {"a": {1, 2}},
        {"a": 1 << 70},
        {"a": object()},
        {"a": "\ud800"},
    ]
    for entry in [*wrong, cycle] * 3:
        with pytest.raises(EncodeError):
            entry_of(entry)


@pytest.mark.parametrize(
    ("value", "entry"),
    [
        ({"base": [{}]}, {}),
        ({"base": [{"a": 1, "_reserved_": {"tensor": {}}}]}, {"a": 1}),
        ({"base": [{"a": 1}], "_reserved_": {"x": 1}, "_extra_": {"y": 1}, "z": 1}, {"a": 1}),
    ],
    ids=repr,
)
def test_only_the_entry_of_a_preceder_counts(value: dict[str, Any], entry: dict[str, Any]) -> None:
    assert parse_preceder(cbor.encode(value), offset=AT) == entry


@pytest.mark.parametrize("value", [{}, {"base": []}, {"base": [{}, {}]}, {"a": 1}], ids=repr)
def test_a_preceder_describes_exactly_one_object(value: dict[str, Any]) -> None:
    with pytest.raises(MetadataError) as caught:
        parse_preceder(cbor.encode(value), offset=AT)
    assert (caught.value.code, caught.value.offset, caught.value.section) == (
        "preceder_base_count_wrong",
        AT,
        "6.4",
    )


# ---- provenance

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_a_message_says_who_wrote_it_and_when() -> None:
    reserved = [tgmtool.decode(tgmtool.encode([1.0])).metadata.reserved for _ in range(2)]
    for found in reserved:
        assert found["encoder"] == {"name": "tgmtool", "version": tgmtool.__version__}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["time"])
        assert UUID4.fullmatch(found["uuid"])
    assert reserved[0]["uuid"] != reserved[1]["uuid"]


@pytest.mark.parametrize(
    ("epoch", "time"),
    [
        (None, "1970-01-01T00:00:00Z"),
        ("0", "1970-01-01T00:00:00Z"),
        ("1709164799", "2024-02-28T23:59:59Z"),
    ],
)
def test_a_reproducible_message_is_the_same_at_every_run(
    monkeypatch: pytest.MonkeyPatch, epoch: str | None, time: str
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    if epoch is not None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    style = tgmtool.Style(provenance=Provenance.reproducible())
    written = tgmtool.encode([1.0], style=style)
    found = tgmtool.decode(written).metadata.reserved
    assert (found["time"], found["uuid"]) == (time, "00000000-0000-0000-0000-000000000000")
    assert tgmtool.encode([1.0], style=style) == written


@pytest.mark.parametrize("epoch", ["", "today", "1.5", "1" * 30, "0x10"])
def test_an_epoch_that_is_no_number_of_seconds_is_refused(
    monkeypatch: pytest.MonkeyPatch, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(EncodeError, match="SOURCE_DATE_EPOCH"):
        Provenance.reproducible()
