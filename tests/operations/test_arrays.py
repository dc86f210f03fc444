"""Arrays come out as .npy, .npz, raw bytes and JSON, and are the arrays that went in."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest

import tgmtool
from tests.conformance.oracle import Sample, sample_of
from tgmtool import MemorySink, MemorySource, StreamWriter
from tgmtool.codecs.dtypes import DTYPES
from tgmtool.codecs.masks import Rules
from tgmtool.operations.arrays import FORMATS
from tgmtool.operations.cat_remote import pick
from tgmtool.operations.prepare import Stages
from tgmtool.operations.wanted import Wanted

ALL = Wanted()
NUMBERS = [row.name for row in DTYPES if row.name not in {"bfloat16", "bitmask"}]


def stream_of(*samples: Sample) -> bytes:
    sink = MemorySink()
    writer = StreamWriter(sink, stages=Stages(masks=Rules(True, True)))
    for sample in samples:
        shape = sample.shape if sample.dtype == "bitmask" else None
        writer.write(sample.values, sample.entry or None, dtype=sample.dtype, shape=shape)
    writer.finish()
    return bytes(sink.data)


def named(*names: Any) -> bytes:
    return stream_of(
        *(Sample("float64", np.arange(3.0) + i, (3,), {"name": name}) for i, name in enumerate(names))
    )


def written(data: bytes, form: str, wanted: Wanted = ALL) -> bytes:
    sink = MemorySink()
    FORMATS[form].write(pick(MemorySource(data), wanted), sink)
    return bytes(sink.data)


def each_npy(data: bytes) -> list[Any]:
    file, found = io.BytesIO(data), []
    while file.tell() < len(data):
        found.append(np.load(file, allow_pickle=False))
    return found


@pytest.mark.parametrize("shape", [(), (0,), (4,), (2, 0, 3), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("dtype", NUMBERS)
def test_npy_npz_and_raw_hold_dtype_shape_and_every_bit(dtype: str, shape: tuple[int, ...]) -> None:
    samples = [sample_of(dtype, shape, 1), sample_of(dtype, shape, 2, big=True)]
    data = stream_of(*samples)
    for found in (
        each_npy(written(data, "npy")),
        list(np.load(io.BytesIO(written(data, "npz")), allow_pickle=False).values()),
    ):
        for array, sample in zip(found, samples, strict=True):
            assert (array.dtype, array.shape) == (sample.values.dtype, sample.shape)
            assert array.tobytes() == sample.values.tobytes()
    assert written(data, "raw") == b"".join(sample.values.tobytes() for sample in samples)


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("with_package", [True, False], ids=["ml_dtypes", "no ml_dtypes"])
def test_bfloat16_comes_as_float32_whatever_its_byte_order_and_what_is_installed(
    monkeypatch: pytest.MonkeyPatch, big: bool, with_package: bool
) -> None:
    values = np.array([1.0, -2.5, 0.0, 3e38, np.nan], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(">u2" if big else "<u2")
    data = stream_of(Sample("bfloat16", bits, (5,)))
    if not with_package:
        monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    expected = (bits.astype(np.uint32) << 16).view(np.float32)
    (array,) = each_npy(written(data, "npy"))
    assert array.dtype == np.float32
    assert np.array_equal(array, expected, equal_nan=True)
    (record,) = json.loads(written(data, "json"))
    assert record["values"] == [*expected[:4].tolist(), None]


def test_json_is_a_list_and_ndjson_a_line_for_each() -> None:
    data = named("a", "b")
    records = json.loads(written(data, "json"))
    assert [(one["name"], one["values"]) for one in records] == [("a", [0, 1, 2]), ("b", [1, 2, 3])]
    assert [json.loads(line) for line in written(data, "ndjson").splitlines()] == records
    for empty in (Wanted(object=9), Wanted(messages=5)):
        assert json.loads(written(data, "json", empty)) == []
        assert written(data, "ndjson", empty) == written(data, "npy", empty) == b""


def test_json_holds_every_dtype() -> None:
    samples = {
        "nan": Sample("float64", np.array([[1.5, np.nan], [np.inf, -np.inf]]), (2, 2)),
        "complex": Sample("complex64", np.array([1 + 2j, complex(np.nan, 0)], ">c8"), (2,)),
        "bits": Sample("bitmask", np.packbits([1, 0, 1, 1, 0, 0]), (2, 3)),
        "big": Sample("int64", np.array([-(1 << 63), (1 << 63) - 1], ">i8"), (2,)),
        "scalar": Sample("float32", np.array(0.5, np.float32), ()),
        "nothing": Sample("uint8", np.empty((0, 3), np.uint8), (0, 3)),
        "cubes": Sample("int8", np.arange(8, dtype="i1").reshape(2, 2, 2), (2, 2, 2)),
    }
    found = json.loads(written(stream_of(*samples.values()), "json"))
    assert [one["values"] for one in found] == [
        [[1.5, None], [None, None]],
        [[1.0, 2.0], [None, None]],
        [[1, 0, 1], [1, 0, 0]],
        [-(1 << 63), (1 << 63) - 1],
        0.5,
        [],
        [[[0, 1], [2, 3]], [[4, 5], [6, 7]]],
    ]
    assert [one["dtype"] for one in found] == [sample.dtype for sample in samples.values()]


def test_ranges_come_one_after_the_other_in_every_format() -> None:
    data = stream_of(sample_of("int16", (4, 5), 1), sample_of("bitmask", (30,), 1))
    values = sample_of("int16", (4, 5), 1).values.reshape(-1)
    bits = np.unpackbits(sample_of("bitmask", (30,), 1).values, count=30)
    wanted = Wanted(ranges=((3, 6), (15, 20), (0, 1)))
    chosen = np.r_[3:6, 15:20, 0:1]
    numbers, packed = each_npy(written(data, "npy", wanted))
    assert np.array_equal(numbers, values[chosen])
    assert np.array_equal(packed, np.packbits(bits[chosen]))
    assert [one["values"] for one in json.loads(written(data, "json", wanted))] == [
        values[chosen].tolist(),
        bits[chosen].tolist(),
    ]


# ---- names in an archive

HOSTILE = ["../../etc/passwd", "/abs", "..", ".", "", "a/b\\c", "a\0b", "..\\..\\x", "C:\\x", "x" * 100_000]


def members(data: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(data)).namelist()


def test_no_name_leads_out_of_a_folder() -> None:
    found = members(written(named(*HOSTILE), "npz"))
    assert len(set(found)) == len(HOSTILE)
    for name in found:
        assert not set(name) & {"/", "\\", "\0", ":"}
        assert not name.startswith(".")
        assert name.endswith(".npy")
        assert len(name) < 255


def test_hostile_names_do_not_lose_an_array(tmp_path: Any) -> None:
    archive = zipfile.ZipFile(io.BytesIO(written(named(*HOSTILE), "npz")))
    archive.extractall(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert len(list((tmp_path / "folder").iterdir())) == len(HOSTILE)


@pytest.mark.parametrize(
    "names",
    [["t"] * 4, ["t", "t.2", "t", "t.2"], [".t", "t", "..t"], ["a/b", "a_b", "a\\b"], ["t.2", "t", "t"]],
    ids=str,
)
def test_arrays_of_equal_names_are_all_there(names: list[str]) -> None:
    archive = np.load(io.BytesIO(written(named(*names), "npz")))
    assert len(archive.files) == len(set(archive.files)) == len(names)
    assert [array[0] for array in archive.values()] == list(range(len(names)))


def test_an_array_is_called_by_its_name_its_parameter_or_its_numbers() -> None:
    entries: list[dict[str, Any]] = [
        {"name": "t", "mars": {"param": "2t"}},
        {"mars": {"param": "2t"}},
        {"mars": {"param": 167}},
        {"cf": {"standard_name": "air_temperature"}},
        {"name": True},
        {"name": ["a"]},
        {},
    ]
    data = stream_of(*(Sample("float64", np.zeros(1), (1,), entry) for entry in entries))
    assert members(written(data, "npz")) == [
        *("t.npy", "2t.npy", "167.npy", "air_temperature.npy"),
        *("m0o4.npy", "m0o5.npy", "m0o6.npy"),
    ]


def test_the_table_of_outputs_knows_its_suffixes_once() -> None:
    suffixes = [suffix for row in FORMATS.values() for suffix in row.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert {name for name, row in FORMATS.items() if row.is_text} == {"json", "ndjson"}


def test_an_archive_is_written_forward_only_and_reads_back_as_npz(tmp_path: Any) -> None:
    values = np.random.default_rng(1).normal(size=200_000)
    data = tgmtool.encode([(values, {"name": "a"})], compression="zstd")
    assert np.array_equal(np.load(io.BytesIO(written(data, "npz")))["a"], values)
