"""NetCDF files and Zarr stores, variable by variable.

They are separate from other inputs because xarray reads both, and says how missing and packed
values become numbers: NaN and unpacked, with times as the numbers they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ...errors import CodecUnavailable, EncodeError, TgmError
from ...limits import check_decoded_size
from .attributes import Whole, entry_of
from .base import Cursor, Item, Wishes, chosen, seekable
from .zarr_codecs import check_codecs

if TYPE_CHECKING:
    import xarray

_ENGINES = (("netCDF4", "netcdf4", b""), ("h5netcdf", "h5netcdf", b"\x89HDF"), ("scipy", "scipy", b"CDF"))
_AT_ONCE = 64 << 20  # bytes of slices that are read together: a chunk of the file holds several
_NUMERIC = "biufc"


def read_netcdf(cursor: Cursor, wishes: Wishes) -> Iterator[Item]:
    """The variables of the root group; a stream is spooled to a temporary file first."""
    with seekable(cursor.source) as file:
        engine = _engine(file.read(4))
        yield from _variables(os.path.abspath(file.name), cursor.name, wishes, engine=engine)


def read_zarr(path: str, wishes: Wishes) -> Iterator[Item]:
    """The arrays of the root group of a directory store, version 2 or 3."""
    if find_spec("zarr") is None:
        raise _unavailable("zarr", "reading a Zarr store needs zarr")
    check_codecs(path)
    # Consolidated metadata may be older than the arrays, and a local store does not need it.
    yield from _variables(os.path.abspath(path), path, wishes, engine="zarr", consolidated=False)


def _engine(head: bytes) -> str:
    """Return the name of the first engine that is installed and reads a file that begins like this."""
    for package, engine, magic in _ENGINES:
        if head.startswith(magic) and find_spec(package) is not None:
            return engine
    raise _unavailable("netcdf", "reading NetCDF needs netCDF4 or h5netcdf")


def _unavailable(kind: str, text: str) -> CodecUnavailable:
    return CodecUnavailable(f"{text}: pip install 'tgmtool[xarray]'", codec=kind, extra="xarray")


def _variables(path: str, place: str, wishes: Wishes, **how: Any) -> Iterator[Item]:
    try:
        import xarray as xr
    except ImportError:
        raise _unavailable(how["engine"], f"reading {place} needs xarray") from None
    with _errors_named(place):
        dataset = xr.open_dataset(
            path,
            chunks=None,
            mask_and_scale=True,
            decode_times=False,
            decode_timedelta=False,
            decode_coords=False,
            concat_characters=False,
            **how,
        )
    with dataset:
        yield from _items(dataset, place, wishes)


@contextmanager
def _errors_named(place: str) -> Iterator[None]:
    """The libraries raise what they like on bytes that they did not expect."""
    try:
        yield
    except (TgmError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  # see above
        text = " ".join(str(error).split())[:200]
        raise EncodeError(f"{place}: cannot be read: {type(error).__name__}: {text}") from None


def _items(dataset: xarray.Dataset, place: str, wishes: Wishes) -> Iterator[Item]:
    unlimited = {str(name) for name in dataset.encoding.get("unlimited_dims", ())}
    whole = Whole({str(name): size for name, size in dataset.sizes.items()}, unlimited, dataset.attrs)
    variables = {str(name): variable for name, variable in dataset.variables.items()}
    # Coordinates first: who reads a stream knows the axes before the values.
    names = sorted(variables, key=lambda name: variables[name].dims != (name,))
    found = 0
    for name in chosen(names, wishes, place):
        variable = variables[name]
        if variable.dtype.kind not in _NUMERIC:
            wishes.report(f"{place}: variable {name!r} was left out: {variable.dtype} is no type of numbers")
            continue
        found += 1
        yield from _of_variable(name, variable, whole, place, wishes)
    if not found:
        raise EncodeError(f"{place}: holds no variable of numbers, nothing to encode")


def _of_variable(
    name: str, variable: xarray.Variable, whole: Whole, place: str, wishes: Wishes
) -> Iterator[Item]:
    packed = bool({"scale_factor", "add_offset"} & variable.encoding.keys())
    axis = wishes.split_axis
    what = f"{place}: variable {name!r}"
    if axis is None:
        check_decoded_size(variable.dtype.itemsize * variable.size, wishes.limits, what)
        entry = entry_of(name, [str(dim) for dim in variable.dims], variable.attrs, whole, unpacked=packed)
        with _errors_named(what):
            values = variable.values
        yield Item(values, entry)
        return
    if not -variable.ndim <= axis < variable.ndim:
        raise EncodeError(f"--split-axis {axis}: {what} has {variable.ndim} axes; choose others by name")
    axis %= variable.ndim
    dim, length = variable.dims[axis], variable.shape[axis]
    rest = [str(one) for one in variable.dims if one != dim]
    slice_size = variable.dtype.itemsize * variable.size // max(length, 1)
    check_decoded_size(slice_size, wishes.limits, what)
    entry = entry_of(name, rest, variable.attrs, whole, unpacked=packed)
    step = max(1, _AT_ONCE // max(slice_size, 1))
    for start in range(0, length, step):
        with _errors_named(what):
            values = variable.isel({dim: slice(start, start + step)}).values
        for index in range(values.shape[axis]):
            yield Item(values.take(index, axis), entry)
