"""Arrays out of GRIB. The messages are made by eccodes from its own samples."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensogram

from tests.operations.streams import Array, piped
from tgmtool import CodecUnavailable, EncodeError, LimitExceeded, SourceError, TgmError
from tgmtool.endpoints.stdio import StreamSource
from tgmtool.limits import Limits
from tgmtool.operations.inputs import Item, items

eccodes = pytest.importorskip("eccodes")


def message(sample: str = "regular_ll_pl_grib2", values: Array | None = None, **keys: Any) -> bytes:
    """A message with these keys, then these values."""
    handle = eccodes.codes_grib_new_from_samples(sample)
    try:
        for key, value in keys.items():
            eccodes.codes_set(handle, key, value)
        if values is not None:
            eccodes.codes_set_values(handle, values.ravel())
        return bytes(eccodes.codes_get_message(handle))
    finally:
        eccodes.codes_release(handle)


def decoded(data: bytes) -> Array:
    """What eccodes says the values are."""
    handle = eccodes.codes_new_from_message(data)
    try:
        found: Array = eccodes.codes_get_values(handle)
        return found
    finally:
        eccodes.codes_release(handle)


def field(seed: int = 1, size: int = 496) -> Array:
    return np.random.default_rng(seed).normal(280, 10, size)


def read(data: bytes, **options: Any) -> list[Item]:
    return list(items(data, "grib", **options))


def with_offsets(*messages: bytes) -> list[int]:
    return [sum(map(len, messages[:i])) for i in range(len(messages))]


@pytest.mark.parametrize("sample", ["regular_ll_pl_grib1", "regular_ll_pl_grib2"])
@pytest.mark.parametrize("packing", ["grid_simple", "grid_ccsds", "grid_second_order", "grid_ieee"])
def test_the_values_are_those_of_eccodes(sample: str, packing: str) -> None:
    bits = {} if packing == "grid_ieee" else {"bitsPerValue": 12}
    data = message(sample, field(), packingType=packing, **bits)
    (found,) = read(data)
    assert found.values.dtype == np.float64
    assert found.values.shape == (31, 16)
    assert np.array_equal(found.values.ravel(), decoded(data))


def test_the_keys_are_those_of_the_references_converter() -> None:
    (found,) = read(message("regular_ll_pl_grib2", field(), level=600, shortName="t", dataDate=20260404))
    assert found.entry["name"] == "t"
    assert found.entry["dim_names"] == ["latitude", "longitude"]
    assert found.entry["mars"] == {
        "date": 20260404,
        "time": 1200,
        "step": 0,
        "levelist": 600,
        "levtype": "pl",
        "param": 130,
        "grid": "regular_ll",
        "area": [60.0, 0.0, 0.0, 30.0],
    }
    rebuild = found.entry["grib_repro"]
    assert {"Ni": 16, "Nj": 31, "gridType": "regular_ll", "edition": 2}.items() <= rebuild.items()
    assert (rebuild["iScansNegatively"], rebuild["jScansPositively"]) == (0, 0)


@pytest.mark.parametrize(
    ("sample", "shape", "dims"),
    [
        ("regular_gg_pl_grib1", (64, 128), ["latitude", "longitude"]),
        ("polar_stereographic_pl_grib2", (31, 16), ["y", "x"]),
        ("reduced_gg_pl_32_grib2", (6114,), ["values"]),
        ("sh_ml_grib2", (4160,), ["values"]),
    ],
)
def test_the_shape_is_that_of_the_grid(sample: str, shape: tuple[int, ...], dims: list[str]) -> None:
    (found,) = read(message(sample))
    assert (found.values.shape, found.entry["dim_names"]) == (shape, dims)
    assert "area" not in found.entry["mars"]


def test_columns_that_come_first_are_the_first_axis() -> None:
    (found,) = read(message(values=field(), jPointsAreConsecutive=1))
    assert (found.values.shape, found.entry["dim_names"]) == ((16, 31), ["longitude", "latitude"])


@pytest.mark.parametrize(
    ("keys", "area"),
    [
        (
            {"west": 180, "east": 157.5, "step": 22.5},
            [60.0, -180.0, 0.0, 157.5],
        ),  # a circle, from the date line
        ({"west": 170, "east": -175 + 360, "step": 1}, [60.0, 170.0, 0.0, 185.0]),
        ({"west": 350, "east": 5, "step": 1}, None),  # a region across Greenwich
        ({"jScansPositively": 1}, None),
    ],
)
def test_the_area_is_given_where_it_is_one(keys: dict[str, Any], area: list[float] | None) -> None:
    names = {
        "west": "longitudeOfFirstGridPointInDegrees",
        "east": "longitudeOfLastGridPointInDegrees",
        "step": "iDirectionIncrementInDegrees",
    }
    (found,) = read(message(values=field(), **{names.get(key, key): value for key, value in keys.items()}))
    assert found.entry["mars"].get("area") == area


@pytest.mark.parametrize("sample", ["regular_ll_pl_grib1", "regular_ll_pl_grib2"])
def test_missing_values_are_nan_and_9999_is_a_value(sample: str) -> None:
    values = field()
    values[::7] = 1e30
    values[1] = 9999
    data = message(sample, values, bitmapPresent=1, missingValue=1e30, bitsPerValue=24)
    (found,) = read(data)
    assert np.array_equal(np.isnan(found.values.ravel()), values == 1e30)
    assert found.values.ravel()[1] == pytest.approx(9999, abs=0.01)


@pytest.mark.parametrize("sample", ["regular_ll_pl_grib1", "regular_ll_pl_grib2"])
def test_of_a_bitmap_that_is_too_short_one_line_is_said(sample: str) -> None:
    """Eccodes reads on behind it, and returns values in places that mean nothing."""
    values = field()
    values[::7] = 1e30
    data = message(sample, values, bitmapPresent=1, missingValue=1e30)
    said: list[str] = []
    (found,) = items(shortened_bitmap(data), "grib", report=said.append)
    assert found.values.size
    assert len(said) == 1
    assert "byte 0: the GRIB field has 496 points, and a bitmap of 256" in said[0]


def shortened_bitmap(data: bytes) -> bytes:
    """The same message, whose bitmap section has 32 bytes of bits, and lengths that fit."""
    handle = eccodes.codes_new_from_message(data)
    one = eccodes.codes_get_long(handle, "edition") == 1
    at = eccodes.codes_get_long(handle, "offsetSection3" if one else "offsetSection6")
    size = eccodes.codes_get_long(handle, "section3Length" if one else "section6Length")
    eccodes.codes_release(handle)
    width = 3 if one else 4
    section = (38).to_bytes(width, "big") + data[at + width : at + 38]
    found = data[:at] + section + data[at + size :]
    if one:
        return found[:4] + len(found).to_bytes(3, "big") + found[7:]
    return found[:8] + len(found).to_bytes(8, "big") + found[16:]


# ---- messages in a stream


MESSAGES = [message(values=field(seed), level=100 * seed) for seed in (1, 2, 3)]
MIXED = [MESSAGES[0], message("regular_ll_pl_grib1", field(2)), MESSAGES[2]]


@pytest.mark.parametrize(
    "between", [b"", b"\r\r\n001\r\r\nHPFA88 ECMF 040000\r\r\n", bytes(70_000), b"GRI", b"G"]
)
def test_messages_follow_each_other_whatever_stands_between(between: bytes) -> None:
    with piped(between + between.join(MIXED) + between) as source:
        found = list(items(source, "grib"))
    assert len(found) == 3
    assert all(np.array_equal(a.values.ravel(), decoded(b)) for a, b in zip(found, MIXED, strict=True))


def test_what_was_passed_over_is_reported() -> None:
    notes: list[str] = []
    read(MESSAGES[0] + b"junk" + MESSAGES[1], report=notes.append)
    assert notes == [f"<bytes>: byte {len(MESSAGES[0])}: 4 bytes that are no GRIB were skipped"]


def test_a_field_comes_before_the_next_one_is_sent() -> None:
    reader, writer = os.pipe()
    source = StreamSource(reader, "<pipe>")
    found = items(source)
    for data in MESSAGES:
        os.write(writer, data)
        assert np.array_equal(next(found).values.ravel(), decoded(data))
    os.close(writer)
    assert next(found, None) is None
    source.close()


@pytest.mark.parametrize("name", ["a.grib", "a.grib2", "a.GRB", "a"])
def test_grib_is_told_by_suffix_or_magic(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"".join(MESSAGES))
    assert [item.entry["mars"]["levelist"] for item in items(path)] == [100, 200, 300]


def multi_field(*parts: bytes, repeat_from: int) -> bytes:
    """One message with the sections from `repeat_from` on of every part."""
    bodies = [parts[0][16:-4], *(part[16:-4] for part in parts[1:])]
    found = bodies[0]
    for body in bodies[1:]:
        at = 0
        while body[at + 4] < repeat_from:
            at += int.from_bytes(body[at : at + 4], "big")
        found += body[at:]
    return parts[0][:8] + (len(found) + 20).to_bytes(8, "big") + found + b"7777"


@pytest.mark.parametrize("repeat_from", [2, 3, 4])
def test_every_field_of_a_multi_field_message_is_an_object(repeat_from: int) -> None:
    found = read(multi_field(*MESSAGES, repeat_from=repeat_from) + MESSAGES[0])
    assert [item.entry["mars"]["levelist"] for item in found] == [100, 200, 300, 100]
    expected = [*MESSAGES, MESSAGES[0]]
    assert all(np.array_equal(a.values.ravel(), decoded(b)) for a, b in zip(found, expected, strict=True))


def test_a_bitmap_that_is_given_once_goes_for_the_fields_behind_it() -> None:
    values = field()
    values[::7] = 1e30
    parts = [message(values=values + k, bitmapPresent=1, missingValue=1e30, level=k) for k in (0, 0)]
    data = multi_field(*parts, repeat_from=4)
    second = data.rindex(parts[0][parts[0].index(b"\x06\x00", 100) - 4 :][:40])
    size = int.from_bytes(data[second : second + 4], "big")
    again = data[:second] + b"\x00\x00\x00\x06\x06\xfe" + data[second + size :]
    again = again[:8] + len(again).to_bytes(8, "big") + again[16:]
    found = read(again)
    assert [int(np.isnan(item.values).sum()) for item in found] == [71, 71]
    assert np.array_equal(found[0].values, found[1].values, equal_nan=True)


@pytest.mark.parametrize("columns", [3000, 6000])  # 9 MB: plain; 18 MB: in units of 120 bytes
def test_a_grib1_message_beyond_8_megabytes_is_read(columns: int) -> None:
    size = columns * 1500
    data = message(
        "regular_ll_pl_grib1", field(size=size), Ni=columns, Nj=1500, bitsPerValue=16, iDirectionIncrement=100
    )
    assert data[4] & 0x80
    found = read(data + MESSAGES[0])
    assert found[0].values.shape == (1500, columns)
    assert np.array_equal(found[0].values.ravel(), decoded(data))
    assert len(found) == 2


# ---- damage


def test_a_damaged_message_says_its_offset_and_comes_after_those_before_it() -> None:
    at = len(MESSAGES[0])
    for damaged, where in (
        (MESSAGES[1][:-4] + b"xxxx", at),
        (MESSAGES[1][:7] + b"\x09" + MESSAGES[1][8:], at),
        (MESSAGES[1][:16] + b"\xff\xff\xff\xff" + MESSAGES[1][20:], at + 16),
    ):
        found = items(MESSAGES[0] + damaged, "grib")
        assert np.array_equal(next(found).values.ravel(), decoded(MESSAGES[0]))
        with pytest.raises(EncodeError, match=f"byte {where}:"):
            next(found)


def test_a_cut_message_says_what_was_expected() -> None:
    found = items(MESSAGES[0] + MESSAGES[1][:300], "grib")
    next(found)
    with pytest.raises(SourceError, match=rf"ends short: expected {len(MESSAGES[1]) - 16} bytes, got 284"):
        next(found)


@pytest.mark.parametrize("data", [MESSAGES[0], MIXED[1]])
def test_grib_that_is_cut_or_damaged_is_an_error_of_ours_or_another_field(data: bytes) -> None:
    strange = set()
    for at in range(0, len(data), 5):
        for damaged in (data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]):
            try:
                list(items(damaged, "grib", limits=Limits(decoded_bytes=1 << 20)))
            except TgmError:
                pass
            except Exception as error:
                strange.add(f"{at}: {type(error).__name__}: {error}")
    assert not strange


@pytest.mark.parametrize("data", [b"no grib at all", b"GRIB", b"GRIB\0\0\0\x02"])
def test_what_holds_no_grib_is_an_error(data: bytes) -> None:
    with pytest.raises((EncodeError, SourceError)):
        read(data)


def test_a_field_beyond_the_limit_is_not_decoded() -> None:
    with pytest.raises(LimitExceeded, match="GRIB field"):
        read(MESSAGES[0], limits=Limits(decoded_bytes=1000))


def test_without_eccodes_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "eccodes", None)
    with pytest.raises(CodecUnavailable, match=r"tgmtool\[grib\]") as found:
        read(MESSAGES[0])
    assert found.value.extra == "grib"


# ---- pass-through


def packed(bits: int, **keys: Any) -> bytes:
    return message(values=field(), packingType="grid_ccsds", bitsPerValue=bits, **keys)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_a_payload_that_is_passed_through_decodes_to_the_values_of_eccodes(bits: int) -> None:
    data = packed(bits)
    (found,) = read(data, passthrough=True)
    assert found.payload is not None
    assert found.descriptor is not None
    assert found.descriptor["sp_bits_per_value"] == bits
    shape = found.descriptor["shape"]
    descriptor = {**found.descriptor, "ndim": 2, "strides": [shape[1], 1]}
    written = tensogram.encode_pre_encoded({"base": [{}]}, [(descriptor, found.payload)])
    ((_, values),) = tensogram.decode(written).objects
    assert values.dtype == np.float64
    assert np.array_equal(values, decoded(data).reshape(shape))
    assert found.payload in data


@pytest.mark.parametrize(
    "make",
    [
        lambda: packed(12),  # the reference reads such samples wrongly
        lambda: packed(16, decimalScaleFactor=2),
        lambda: packed(16, bitmapPresent=1),
        lambda: message(values=field(), packingType="grid_simple", bitsPerValue=16),
        lambda: message(values=np.full(496, 273.0), packingType="grid_ccsds", bitsPerValue=16),  # no bits
    ],
)
def test_other_messages_are_decoded(make: Callable[[], bytes]) -> None:
    data = make()
    (found,) = read(data, passthrough=True)
    assert (found.payload, found.descriptor) == (None, None)
    assert np.array_equal(found.values.ravel(), decoded(data))


def test_slices_are_decoded() -> None:
    found = read(packed(16), passthrough=True, split_axis=0)
    assert len(found) == 31
    assert all(item.payload is None and item.entry["dim_names"] == ["longitude"] for item in found)
