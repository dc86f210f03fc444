"""Arrays out of NetCDF files and Zarr stores, written by the packages that own these formats."""

from __future__ import annotations

import base64
import json
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool
from tests.operations.streams import Array, piped
from tgmtool import CodecUnavailable, EncodeError, LimitExceeded, SourceError, TgmError
from tgmtool.limits import Limits
from tgmtool.operations import inputs
from tgmtool.operations.inputs import Item, items

xr = pytest.importorskip("xarray")
netCDF4 = pytest.importorskip("netCDF4")

T = np.arange(24, dtype="<f8").reshape(2, 3, 4)
FORMATS = ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]


def netcdf(path: Path, form: str = "NETCDF4") -> Path:
    """A file with what files have: an unlimited axis, packed and missing values, text, attributes."""
    with netCDF4.Dataset(path, "w", format=form) as file:
        file.title = "a test"
        file.version = np.int16(3)
        file.createDimension("time", None)
        file.createDimension("lat", 3)
        file.createDimension("lon", 4)
        file.createDimension("letters", 5)
        t = file.createVariable("t", "f8", ("time", "lat", "lon"), fill_value=-999.0)
        t.setncatts({"units": "K", "valid_range": np.array([0, 400], "f4"), "flags": np.array([1, 2], "i2")})
        masked = np.ma.array(T, mask=T == 5)
        t[:] = masked
        packed = file.createVariable("packed", "i2", ("lat", "lon"), fill_value=-1)
        packed.set_auto_maskandscale(False)
        packed.setncatts({"scale_factor": 0.5, "add_offset": 10.0, "valid_min": np.int16(0), "units": "m"})
        packed[:] = np.arange(-1, 11, dtype="i2").reshape(3, 4)
        count = file.createVariable("count", "i4", ("lat",))
        count[:] = [1, 2, 3]
        text = file.createVariable("station", "S1", ("lat", "letters"))
        text[:] = np.full((3, 5), b"a")
        scalar = file.createVariable("scalar", "f4", ())
        scalar[...] = 7.5
        for name, values in (("time", [0.0, 6.0]), ("lat", [10.0, 20.0, 30.0])):
            axis = file.createVariable(name, "f8", (name,))
            axis[:] = values
        file["time"].setncatts({"units": "hours since 2026-01-01", "calendar": "noleap"})
    return path


def by_name(found: Any) -> dict[str, Item]:
    return {item.entry["name"]: item for item in found}


def same(found: Array, expected: Any, dtype: str) -> bool:
    wanted = np.asarray(expected, dtype)
    nan = wanted.dtype.kind == "f"
    return (
        found.dtype == dtype and found.shape == wanted.shape and np.array_equal(found, wanted, equal_nan=nan)
    )


@pytest.mark.parametrize("form", FORMATS)
def test_every_variable_of_numbers_is_an_object_coordinates_first(tmp_path: Path, form: str) -> None:
    notes: list[str] = []
    found = by_name(items(netcdf(tmp_path / "a.nc", form), report=notes.append))
    assert list(found) == ["time", "lat", "t", "packed", "count", "scalar"]
    assert same(found["t"].values, np.where(T == 5, np.nan, T), "f8")
    unpacked = np.arange(-1, 11).reshape(3, 4) * 0.5 + 10
    unpacked[0, 0] = np.nan
    assert same(found["packed"].values, unpacked, "f8")
    assert same(found["count"].values.astype("<i4"), [1, 2, 3], "<i4")
    assert found["count"].values.dtype.kind == "i"
    assert same(found["scalar"].values.astype("<f4"), 7.5, "<f4")
    assert len(notes) == 1
    assert "'station' was left out" in notes[0]


def test_the_metadata_is_laid_out_as_the_reference_does(tmp_path: Path) -> None:
    found = by_name(items(netcdf(tmp_path / "a.nc")))
    assert found["t"].entry == {
        "name": "t",
        "dim_names": ["time", "lat", "lon"],
        "netcdf": {
            "units": "K",
            "valid_range": [0.0, 400.0],
            "flags": [1, 2],
            "_dims": ["time", "lat", "lon"],
            "_file": {
                "dims": [
                    {"name": "time", "len": 2, "unlimited": True},
                    {"name": "lat", "len": 3, "unlimited": False},
                    {"name": "lon", "len": 4, "unlimited": False},
                    {"name": "letters", "len": 5, "unlimited": False},
                ]
            },
            "_global": {"title": "a test", "version": 3},
            "_global_types": {"title": "string", "version": "short"},
            "_attr_types": {"units": "string", "valid_range": "float", "flags": "short"},
        },
        "cf": {"units": "K", "valid_range": [0.0, 400.0]},
    }


def test_times_stay_numbers_and_what_was_packed_leaves_no_trace(tmp_path: Path) -> None:
    found = by_name(items(netcdf(tmp_path / "a.nc")))
    assert same(found["time"].values, [0.0, 6.0], "f8")
    assert found["time"].entry["cf"] == {"units": "hours since 2026-01-01", "calendar": "noleap"}
    assert found["packed"].entry["cf"] == {"units": "m"}
    assert (
        not {"scale_factor", "add_offset", "_FillValue", "valid_min"} & found["packed"].entry["netcdf"].keys()
    )


def test_the_metadata_can_be_written(tmp_path: Path) -> None:
    found = list(items(netcdf(tmp_path / "a.nc"), variables=("time", "lat", "count")))
    message = tgmtool.decode(tgmtool.encode([(item.values, item.entry) for item in found]))
    for written, item in zip(message.objects, found, strict=True):
        assert {key: written.metadata[key] for key in item.entry} == item.entry


@pytest.mark.parametrize("form", FORMATS)
def test_netcdf_on_a_pipe_is_told_by_its_magic(tmp_path: Path, form: str) -> None:
    with piped(netcdf(tmp_path / "a.nc", form).read_bytes()) as source:
        assert "t" in by_name(items(source))


def test_a_name_that_looks_like_a_url_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:" / "localhost:9").mkdir(parents=True)
    netcdf(tmp_path / "http:" / "localhost:9" / "a.nc")
    assert "t" in by_name(items("./http://localhost:9/a.nc"))


def test_variables_are_chosen_by_name(tmp_path: Path) -> None:
    path = netcdf(tmp_path / "a.nc")
    assert list(by_name(items(path, variables=("count", "time")))) == ["time", "count"]
    with pytest.raises(EncodeError, match="no variable 'u', only time, lat, t"):
        list(items(path, variables=("u",)))
    with pytest.raises(EncodeError, match="no variable of numbers"):
        list(items(path, variables=("station",)))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_slices_along_an_axis_have_one_dimension_less(tmp_path: Path, axis: int) -> None:
    found = list(items(netcdf(tmp_path / "a.nc"), variables=("t",), split_axis=axis))
    dims = ["time", "lat", "lon"]
    del dims[axis]
    expected = np.where(T == 5, np.nan, T)
    assert len(found) == T.shape[axis]
    for index, item in enumerate(found):
        assert same(item.values, expected.take(index, axis), "f8")
        assert (item.entry["dim_names"], item.entry["netcdf"]["_dims"]) == (dims, dims)


def test_an_axis_that_a_variable_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match=r"--split-axis 1: .* variable 'time' has 1 axes"):
        list(items(netcdf(tmp_path / "a.nc"), split_axis=1))


def test_slices_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.nc"
    xr.Dataset({"v": (("n", "x"), np.arange(1 << 20, dtype="f8").reshape(64, -1))}).to_netcdf(path)
    monkeypatch.setattr(inputs.datasets, "_AT_ONCE", 1 << 18)
    total = 0.0
    next(items(path, split_axis=0))  # what the libraries keep is not counted
    tracemalloc.start()
    try:
        for item in items(path, split_axis=0, limits=Limits(decoded_bytes=1 << 20)):
            total += float(item.values.sum())
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert total == float(np.arange(1 << 20, dtype="f8").sum())


def test_a_variable_beyond_the_limit_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(LimitExceeded, match="variable 't'"):
        list(items(netcdf(tmp_path / "a.nc"), limits=Limits(decoded_bytes=100)))


@pytest.mark.parametrize("form", FORMATS[:2])
def test_netcdf_that_is_cut_is_an_error_of_ours_or_other_values(tmp_path: Path, form: str) -> None:
    data = netcdf(tmp_path / "a.nc", form).read_bytes()
    strange = set()
    for size in range(4, len(data), max(1, len(data) // 60)):
        try:
            list(items(data[:size], "netcdf", limits=Limits(decoded_bytes=1 << 20)))
        except TgmError as error:
            assert "\n" not in str(error)  # noqa: PT017  # not all of them are errors
        except Exception as error:
            strange.add(f"{size}: {type(error).__name__}: {error}")
    assert not strange


def test_without_xarray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = netcdf(tmp_path / "a.nc")
    monkeypatch.setattr(inputs.datasets, "find_spec", lambda _name: None)
    with pytest.raises(CodecUnavailable, match=r"tgmtool\[xarray\]"):
        list(items(path))


@pytest.mark.parametrize("data", [b"", b"nothing", b"CDF\x01", b"\x89HDF\r\n\x1a\n"])
def test_what_is_no_netcdf_is_an_error(data: bytes) -> None:
    with pytest.raises(EncodeError):
        list(items(data, "netcdf"))


# ---- zarr


def zarr_store(path: Path, version: int) -> Path:
    pytest.importorskip("zarr")
    dataset = xr.Dataset(
        {
            "t": (("y", "x"), np.array([[1.0, np.nan], [3.0, 4.0]]), {"units": "K"}),
            "a": ("x", np.array([5, 6])),
        },
        coords={"x": [10, 20]},
        attrs={"title": "a test"},
    )
    dataset.to_zarr(path, zarr_format=version, consolidated=False)
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", ["a.zarr", "store"])
def test_a_zarr_store_gives_its_arrays(tmp_path: Path, version: int, name: str) -> None:
    found = by_name(items(zarr_store(tmp_path / name, version)))
    assert set(found) == {"x", "t", "a"}
    assert next(iter(found)) == "x"
    assert same(found["t"].values, [[1, np.nan], [3, 4]], "f8")
    assert same(found["a"].values, [5, 6], "i8")
    assert found["t"].entry["cf"] == {"units": "K"}
    assert found["t"].entry["dim_names"] == ["y", "x"]
    assert found["t"].entry["netcdf"]["_global"] == {"title": "a test"}


def test_a_directory_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="no zarr store"):
        list(items(tmp_path))
    with pytest.raises(SourceError, match="is a directory, expected a csv file"):
        list(items(tmp_path, "csv"))
    with pytest.raises(EncodeError, match="is no directory"):
        list(items(b"12", "zarr"))
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(EncodeError, match="cannot be read"):
        list(items(tmp_path / "a.zarr"))


def test_the_pickle_codec_of_zarr_is_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.mkdir, (tmp_path / "loaded",))

    bomb = pickle.dumps(Trap())
    store = tmp_path / "a.zarr"
    (store / "v").mkdir(parents=True)
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    metadata = {
        "zarr_format": 2,
        "shape": [1],
        "chunks": [1],
        "dtype": "|O",
        "order": "C",
        "compressor": None,
    }
    filters = {"filters": [{"id": "pickle", "protocol": 5}], "fill_value": base64.b64encode(bomb).decode()}
    (store / "v" / ".zarray").write_text(json.dumps(metadata | filters))
    (store / "v" / ".zattrs").write_text('{"_ARRAY_DIMENSIONS": ["x"]}')
    (store / "v" / "0").write_bytes(bomb)
    with pytest.raises(EncodeError, match="pickles are never loaded"):
        list(items(store))
    assert not (tmp_path / "loaded").exists()


@pytest.mark.parametrize("version", [2, 3])
def test_a_damaged_zarr_store_is_an_error_of_ours_or_other_values(tmp_path: Path, version: int) -> None:
    store = zarr_store(tmp_path / "a.zarr", version)
    for path in sorted(one for one in store.rglob("*") if one.is_file()):
        whole = path.read_bytes()
        for size in range(0, len(whole), max(1, len(whole) // 8)):
            path.write_bytes(whole[:size])
            try:
                list(items(store))
            except TgmError as error:
                assert "\n" not in str(error)  # noqa: PT017  # not all of them are errors
        path.write_bytes(whole)


# ---- read by the reference's users


def test_the_references_xarray_engine_opens_what_was_a_netcdf_file(tmp_path: Path) -> None:
    pytest.importorskip("tensogram_xarray")
    source, path = tmp_path / "a.nc", tmp_path / "a.tgm"
    values = np.arange(24, dtype="<f4").reshape(2, 3, 4)
    coords = {"time": [0.0, 6.0], "latitude": [10.0, 20.0, 30.0], "longitude": [1.0, 2.0, 3.0, 4.0]}
    given = xr.Dataset({"t": (("time", "latitude", "longitude"), values, {"units": "K"})}, coords=coords)
    given.to_netcdf(source)
    tgmtool.write(path, ((item.values, item.entry) for item in items(source)), layout="buffered")
    with xr.open_dataset(path, engine="tensogram") as found:
        assert set(found.variables) == set(given.variables)
        assert found["t"].dims == given["t"].dims
        for name in given.variables:
            assert np.array_equal(found[name].values, given[name].values)
        assert found["t"].attrs["cf"] == {"units": "K"}
