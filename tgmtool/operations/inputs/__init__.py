"""Arrays out of what people have: NumPy's files, plain bytes, text, GRIB, NetCDF, Zarr, other .tgm files.

It is separate so that a new input is one file and one line of THE table. Every input
yields one array at a time, as soon as it is whole, and nothing that is not whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ...endpoints import open_source
from ...errors import EncodeError, SourceError
from ...limits import DEFAULT_LIMITS, Limits
from .base import Block, Cursor, Item, Wishes
from .csv_text import read_csv
from .datasets import read_netcdf, read_zarr
from .grib import read_grib
from .json_text import read_json
from .kinds import kind_of, kind_of_store, store_of
from .npy import read_npy, read_npz
from .raw import json_map, read_framed, read_raw
from .tgm import read_tgm

__all__ = ["READERS", "Block", "Item", "items", "read_metadata", "split"]


class Reader(NamedTuple):
    """One kind of input.

    Attributes:
        read: Yields its items; is given a Cursor, or the path of a directory.
        directory: It is a directory, not a stream of bytes.
        splits: It makes the slices along `split_axis` itself, without having the whole array in memory.
    """

    read: Callable[[Any, Wishes], Iterator[Item]]
    directory: bool = False
    splits: bool = False


READERS: dict[str, Reader] = {
    "npy": Reader(read_npy),
    "npz": Reader(read_npz),
    "raw": Reader(read_raw),
    "framed": Reader(read_framed),
    "csv": Reader(read_csv),
    "json": Reader(read_json),
    "netcdf": Reader(read_netcdf, splits=True),
    "zarr": Reader(read_zarr, directory=True, splits=True),
    "grib": Reader(read_grib),
    "tgm": Reader(read_tgm),
}
"""THE table of inputs."""


def items(
    place: Any,
    kind: str = "auto",
    *,
    block: Block | None = None,
    variables: tuple[str, ...] | None = None,
    split_axis: int | None = None,
    passthrough: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    report: Callable[[str], None] = lambda _text: None,
) -> Iterator[Item]:
    """Yield the arrays of one input.

    Args:
        place: A path, `-`, bytes, a binary file or a Source.
        kind: A name in THE table, or "auto": by suffix, then by the first bytes.
        block: For "raw".
        variables: Only these, of inputs that hold several by name (npz, csv, netcdf, zarr).
        split_axis: Every slice along this axis is an item of its own, as `split` makes them; of NetCDF
            and Zarr the slices are read a few at a time.
        passthrough: GRIB payloads that the format can hold as they are come as `Item.payload`.
        limits: What the input may cost.
        report: Is told, in one line each, what was left out.

    Raises:
        EncodeError: The input is not what it is said to be, ends inside an array, or holds Python objects.
        SourceError: It cannot be read.
        CodecUnavailable: A package is missing that this kind of input needs.
    """
    wishes = Wishes(block, variables, split_axis, passthrough and split_axis is None, limits, report)
    if kind not in {"auto", *READERS}:
        raise EncodeError(f"input format {kind!r} does not exist, expected one of {', '.join(READERS)}")
    store = store_of(place)
    if store is not None:
        reader = READERS[kind_of_store(store) if kind == "auto" else kind]
        if not reader.directory:
            raise SourceError(f"is a directory, expected a {kind} file", uri=store)
        yield from _sliced(reader, store, wishes)
        return
    source = open_source(place, mapped=True)
    try:
        reader = READERS[kind_of(place, source, ", ".join(READERS)) if kind == "auto" else kind]
        if reader.directory:
            raise EncodeError(f"{source.name}: is no directory, expected a {kind} store")
        yield from _sliced(reader, Cursor(source), wishes)
    finally:
        if source is not place:
            source.close()


def _sliced(reader: Reader, place: Any, wishes: Wishes) -> Iterator[Item]:
    found = reader.read(place, wishes)
    if wishes.split_axis is None or reader.splits:
        yield from found
    else:
        for item in found:
            yield from split(item, wishes.split_axis)


def split(item: Item, axis: int) -> Iterator[Item]:
    """Yield the slices of an item along `axis`, each an item of its own.

    The name of the axis is taken out of `dim_names`.

    Raises:
        EncodeError: It has no such axis.
    """
    import numpy as np

    values, entry = item.values, item.entry
    if not -values.ndim <= axis < values.ndim:
        raise EncodeError(f"--split-axis {axis}: the array has {values.ndim} axes")
    if item.dtype == "bitmask":
        raise EncodeError("--split-axis: a bitmask has no axes to split, its bits are packed")
    dims = entry.get("dim_names")
    if isinstance(dims, list | tuple) and len(dims) == values.ndim:
        at = axis % values.ndim
        entry = {**entry, "dim_names": [*dims[:at], *dims[at + 1 :]]}
    for index in range(values.shape[axis]):
        part = np.asarray(values.take(index, axis) if axis else values[index])
        yield item._replace(values=part, entry=entry)


def read_metadata(place: str) -> Iterator[dict[str, Any]]:
    """Yield the maps of a metadata file: one JSON map, or one JSON line per object.

    Raises:
        EncodeError: Not JSON maps.
        SourceError: It cannot be read.
    """
    source = open_source(place)
    try:
        data = bytes(Cursor(source).upto(64 << 20))
        try:
            whole = json.loads(data)
        except ValueError:
            for number, line in enumerate(data.splitlines(), 1):
                if line.strip():
                    yield json_map(line, f"{source.name}: line {number}")
            return
        if not isinstance(whole, dict):
            raise EncodeError(f"{source.name}: expected a JSON map, or one per line")
        yield whole
    finally:
        source.close()
