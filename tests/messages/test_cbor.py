"""CBOR out is deterministic; CBOR in is data, whatever it pretends to be."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import ipaddress
import re
import struct
import types
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import cbor2
import ml_dtypes
import numpy as np
import pytest

from tgmtool import EncodeError, LimitExceeded, Limits, MetadataError
from tgmtool.messages import cbor

if TYPE_CHECKING:
    from collections.abc import Mapping

AT = 1000  # where the tested items stand


def decode(body: bytes, limits: Limits | None = None) -> Any:
    return cbor.decode(body, what="metadata", offset=AT, limits=limits or Limits())


# ---- writing

# RFC 8949 appendix A, as far as metadata can hold it, and the boundaries of every width.
SPELLINGS: list[tuple[Any, str]] = [
    (0, "00"),
    (23, "17"),
    (24, "1818"),
    (255, "18ff"),
    (256, "190100"),
    (65535, "19ffff"),
    (65536, "1a00010000"),
    (1000000000000, "1b000000e8d4a51000"),
    ((1 << 64) - 1, "1bffffffffffffffff"),
    (-1, "20"),
    (-24, "37"),
    (-25, "3818"),
    (-1000, "3903e7"),
    (-(1 << 64), "3bffffffffffffffff"),
    (0.0, "f90000"),
    (-0.0, "f98000"),
    (1.0, "f93c00"),
    (1.5, "f93e00"),
    (65504.0, "f97bff"),
    (100000.0, "fa47c35000"),
    (3.4028234663852886e38, "fa7f7fffff"),
    (1.1, "fb3ff199999999999a"),
    (1.0e300, "fb7e37e43c8800759c"),
    (5.960464477539063e-8, "f90001"),
    (-4.1, "fbc010666666666666"),
    (float("inf"), "f97c00"),
    (float("-inf"), "f9fc00"),
    (float("nan"), "f97e00"),
    (False, "f4"),
    (True, "f5"),
    (None, "f6"),
    ("", "60"),
    ("IETF", "6449455446"),
    ("ü", "62c3bc"),
    ("水", "63e6b0b4"),
    ("𐅑", "64f0908591"),
    (b"", "40"),
    (bytes.fromhex("01020304"), "4401020304"),
    ([], "80"),
    ([1, [2, 3], [4, 5]], "8301820203820405"),
    ((1, 2), "820102"),
    ({}, "a0"),
    ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
    # Keys sort by their encoded bytes: shorter ones first, whatever order they were set in.
    ({"b": 1, "aa": 2, "a": 3, "": 4}, "a4600461610361620162616102"),
    ({"z": {"d": 1, "c": 2}, "é": 3}, "a2617aa261630261640162c3a903"),
]


@pytest.mark.parametrize(("value", "spelling"), SPELLINGS, ids=lambda found: repr(found)[:24])
def test_a_value_has_one_spelling(value: Any, spelling: str) -> None:
    assert cbor.encode(value).hex() == spelling


@pytest.mark.parametrize(("value", "spelling"), SPELLINGS, ids=lambda found: repr(found)[:24])
def test_a_spelling_is_read_back(value: Any, spelling: str) -> None:
    found = decode(bytes.fromhex(spelling))
    expected = list(value) if isinstance(value, tuple) else value
    assert repr(found) == repr(expected) or found == expected
    assert cbor.encode(found).hex() == spelling


@pytest.mark.parametrize(
    "mapping",
    [
        {"b": 1, "a": 2},
        collections.OrderedDict([("b", 1), ("a", 2)]),
        collections.defaultdict(int, {"b": 1, "a": 2}),
        types.MappingProxyType({"b": 1, "a": 2}),
        collections.ChainMap({"b": 1, "a": 2}),
    ],
    ids=lambda found: type(found).__name__,
)
def test_every_kind_of_map_is_written_with_sorted_keys(mapping: Mapping[str, Any]) -> None:
    assert cbor.encode(mapping).hex() == "a2616102616201"
    assert cbor.encode({"x": [mapping]}).hex() == "a1617881a2616102616201"


class Season(enum.IntEnum):
    WINTER = 1


class Count(int):
    pass


class Pair(NamedTuple):
    first: Any
    second: Any


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(-3), -3),
        (np.uint64((1 << 64) - 1), (1 << 64) - 1),
        (np.float32(1.5), 1.5),
        (np.float64(1.1), 1.1),
        (np.bool_(True), True),
        (np.str_("é"), "é"),
        (np.array([[1, 2], [3, 4]], ">i2"), [[1, 2], [3, 4]]),
        (np.array([0.5, np.nan]), [0.5, float("nan")]),
        (Season.WINTER, 1),
        (bytearray(b"x"), b"x"),
        (Count(300), 300),
        (Pair(1, {"b": 1, "a": [Pair(2, 3)]}), [1, {"a": [[2, 3]], "b": 1}]),
    ],
    ids=repr,
)
def test_what_holds_a_plain_value_is_written_as_that(value: Any, plain: Any) -> None:
    assert cbor.encode({"a": [value]}) == cbor.encode({"a": [plain]})


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def cycle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        {1: 2},
        {b"a": 1},
        {None: 1},
        {("a",): 1},
        {"a": [{"b": {3: 4}}]},
        1 << 64,
        -(1 << 64) - 1,
        [1 << 70],
        Count(1 << 70),
        Pair({1: 2}, 3),
        dt.date(2024, 2, 29),
        dt.datetime(2024, 2, 29, tzinfo=dt.UTC),
        dt.time(1),
        dt.timedelta(1),
        decimal.Decimal("1.5"),
        uuid.UUID(int=1),
        {1, 2},
        frozenset({1}),
        1j,
        object(),
        int,
        np.datetime64("2024-02-29"),
        np.complex64(1),
        ml_dtypes.bfloat16(1.5),
        np.array([{1: 2}], object),
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_network("10.0.0.0/8"),
        re.compile("a"),
        {"a": "\ud800"},
        {"\ud800": 1},
        nested(5_000),
        cycle(),
    ],
    ids=lambda value: (
        "deep" if isinstance(value, list) and value and value != [1 << 70] else repr(value)[:40]
    ),
)
def test_what_has_no_place_in_metadata_is_refused(value: Any) -> None:
    with pytest.raises(EncodeError):
        cbor.encode({"k": value})


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(EncodeError, match=r"date.*convert it to text or a number"):
        cbor.encode({"when": dt.date(2024, 2, 29)})


# ---- reading


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        ("9fff", []),
        ("9f0102ff", [1, 2]),
        ("bf616101ff", {"a": 1}),
        ("7f61616162ff", "ab"),
        ("5f41014102ff", b"\x01\x02"),
        ("1b0000000000000001", 1),  # longer than need be
        ("fb3ff0000000000000", 1.0),
        ("a2616201616102", {"b": 1, "a": 2}),  # not sorted
        ("c24101", 1),
        ("c349010000000000000000", -(1 << 64) - 1),
        ("fb7ff8000000000001", struct.unpack(">d", bytes.fromhex("7ff8000000000001"))[0]),
    ],
)
def test_what_is_not_deterministic_is_read_all_the_same(spelling: str, value: Any) -> None:
    assert repr(decode(bytes.fromhex(spelling))) == repr(value)


# Numbers that readers like to act on: dates, fractions, shared values, references, UUIDs, sets,
# addresses, URIs, regular expressions, MIME, CBOR in CBOR. And some without any meaning.
TAGS = (0, 1, 4, 5, 21, 24, 25, 28, 29, 30, 32, 35, 36, 37, 43, 52, 54, 100, 256, 258, 260, 261, 1004)
MORE_TAGS = (43000, 55799, 999, 1 << 63)
CONTENTS = ("00", "6161", "4101", "44c0000201", "820102", "8101", "a1616101")


@pytest.mark.parametrize("number", TAGS + MORE_TAGS)
def test_a_tag_is_data_never_an_instruction(number: int) -> None:
    head = cbor2.dumps(number)
    for content in CONTENTS:
        body = b"\xa1\x61k" + bytes([head[0] | 0xC0]) + head[1:] + bytes.fromhex(content)
        found = decode(body)["k"]
        assert type(found) is cbor2.CBORTag
        assert found.tag == number
        assert cbor.encode({"k": found}) == body


def test_a_shared_value_that_holds_itself_is_no_cycle() -> None:
    assert decode(bytes.fromhex("d81c81d81d00")) == cbor2.CBORTag(28, [cbor2.CBORTag(29, 0)])


@pytest.mark.parametrize("body", ["a2616101616102", "a16161a2616201616202", "bf616101616101ff"])
def test_a_key_that_stands_twice_is_refused(body: str) -> None:
    with pytest.raises(MetadataError, match=r"(?i)duplicate") as caught:
        decode(bytes.fromhex(body))
    assert (caught.value.code, caught.value.offset) == ("duplicate_cbor_key", AT)


def test_a_key_that_stands_twice_is_refused_whatever_its_name() -> None:
    key = cbor.encode("nesting depth")
    with pytest.raises(MetadataError) as caught:
        decode(b"\xa2" + (key + b"\x01") * 2)
    assert caught.value.code == "duplicate_cbor_key"


def test_bytes_after_the_item_are_refused_where_they_begin() -> None:
    with pytest.raises(MetadataError, match="2 more bytes") as caught:
        decode(bytes.fromhex("8201026162"))
    assert (caught.value.code, caught.value.offset) == ("trailing_cbor", AT + 3)


ILL_FORMED = [
    *("1c", "1f", "3c", "5c", "7e", "9d", "bc", "df", "fc", "fd", "fe", "ff"),
    *("61ff", "62c328", "63eda080", "64f4908080"),  # no UTF-8: bare, cut, a surrogate, beyond U+10FFFF
    *("7f4101ff", "5f6161ff", "5f5f4101ffff", "bf6161ff", "a1ff00", "82ff01", "f800", "f81f"),
    *("9b7fffffffffffffff", "bb7fffffffffffffff", "5b7fffffffffffffff", "7b7fffffffffffffff"),
]


@pytest.mark.parametrize("body", ILL_FORMED)
def test_what_is_not_well_formed_is_refused(body: str) -> None:
    with pytest.raises(MetadataError) as caught:
        decode(bytes.fromhex(body))
    assert (caught.value.code, caught.value.offset) == ("metadata_cbor_parse_failed", AT)


RICH = cbor.encode(
    {"base": [{"mars": {"param": "2t", "step": 1.5}, "é": [None, True, b"xy"]}], "n": [-1, 1 << 40, 1.1]}
)


def test_an_item_cut_at_any_length_is_refused() -> None:
    for size in range(len(RICH)):
        with pytest.raises(MetadataError):
            decode(RICH[:size])
        with pytest.raises(MetadataError):
            cbor.item_size(RICH[:size], what="metadata", offset=AT)


@pytest.mark.parametrize(
    ("limits", "within", "beyond"),
    [
        (Limits(cbor_bytes=20), bytes([0x53]) + bytes(19), bytes([0x54]) + bytes(20)),
        (Limits(cbor_depth=3), bytes.fromhex("81818101"), bytes.fromhex("8181818101")),
        (
            Limits(cbor_depth=3),
            bytes.fromhex("a16161a16161a1616101"),
            bytes.fromhex("a16161a16161a16161a1616101"),
        ),
        (Limits(cbor_depth=3), bytes.fromhex("c1c1c101"), bytes.fromhex("c1c1c1c101")),
        (Limits(cbor_items=5), bytes.fromhex("8401020304"), bytes.fromhex("850102030405")),
        (Limits(), b"\x81" * 128 + b"\x01", b"\x81" * 129 + b"\x01"),
        (Limits(), b"\x81" * 128 + b"\x01", b"\x81" * 100_000 + b"\x01"),
        (Limits(), b"\x9a\x00\x07\xa1\x1f" + bytes(499_999), b"\x9a\x00\x07\xa1\x20" + bytes(500_000)),
    ],
    ids=["bytes", "lists", "maps", "tags", "items", "default depth", "far too deep", "default items"],
)
def test_a_limit_is_kept_to_the_last_one_allowed(limits: Limits, within: bytes, beyond: bytes) -> None:
    decode(within, limits)
    with pytest.raises(LimitExceeded) as caught:
        decode(beyond, limits)
    assert caught.value.offset == AT
    assert getattr(limits, caught.value.limit) == caught.value.value


def test_a_map_is_told_from_what_is_none() -> None:
    for body, found in (("80", "an array"), ("01", "a number"), ("6161", "text"), ("40", "bytes")):
        with pytest.raises(MetadataError, match=f"must be a map, found {found}"):
            cbor.decode_map(bytes.fromhex(body), what="metadata", offset=AT)


@pytest.mark.parametrize("key", ["01", "f5", "4161", "8101", "f6", "c24101", "c2590800" + "ff" * 2048])
def test_a_key_that_is_no_text_is_refused(key: str) -> None:
    with pytest.raises(MetadataError, match="text keys"):
        cbor.decode_map(bytes.fromhex("a1" + key + "01"), what="metadata", offset=AT)


def test_the_size_of_an_item_is_told_whatever_follows_it() -> None:
    for spelling in [spelling for _, spelling in SPELLINGS] + ["9f01ff", "bf616101ff", "5f4101ff", "c24101"]:
        body = bytes.fromhex(spelling)
        for after in (b"", b"\0", b"\xff" * 9):
            assert cbor.item_size(body + after, what="descriptor", offset=AT) == len(body)
