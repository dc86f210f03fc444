"""Tells what an input is: by its suffix, then by its first bytes.

It is separate from the readers because both tables stand side by side here, and neither imports a reader.
"""

from __future__ import annotations

import os
from typing import Any

from ...endpoints import STDIO, local_path
from ...endpoints.base import Source
from ...errors import EncodeError
from ...wire.layout import MESSAGE_MAGIC

_SUFFIXES = {
    ".npy": "npy",
    ".npz": "npz",
    ".tgm": "tgm",
    ".raw": "raw",
    ".bin": "raw",
    ".dat": "raw",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".nc": "netcdf",
    ".nc4": "netcdf",
    ".cdf": "netcdf",
    ".grib": "grib",
    ".grib1": "grib",
    ".grib2": "grib",
    ".grb": "grib",
    ".grb1": "grib",
    ".grb2": "grib",
}
_MAGICS = (
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "npz"),
    (MESSAGE_MAGIC, "tgm"),
    (b"GRIB", "grib"),
    (b"CDF\x01", "netcdf"),
    (b"CDF\x02", "netcdf"),
    (b"CDF\x05", "netcdf"),
    (b"\x89HDF\r\n\x1a\n", "netcdf"),
    (b"{", "framed"),  # JSON lines that are not framed look the same, and are told by suffix or --from
    (b"[", "json"),
)
_STORE_MARKS = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")


def store_of(place: Any) -> str | None:
    """Return the path of the directory that `place` names, or None if it names none."""
    if not isinstance(place, str | os.PathLike) or place == STDIO:
        return None
    path = local_path(place)
    return path if os.path.isdir(path) else None


def kind_of_store(path: str) -> str:
    """Return the kind of input that a directory is.

    Raises:
        EncodeError: None that is known.
    """
    suffix = os.path.splitext(path.rstrip("/"))[1].lower()
    if suffix == ".zarr" or any(os.path.exists(os.path.join(path, mark)) for mark in _STORE_MARKS):
        return "zarr"
    raise EncodeError(f"{path}: is a directory, and no zarr store: it has none of {', '.join(_STORE_MARKS)}")


def kind_of(place: Any, source: Source, known: str) -> str:
    """Return the kind of input that a source is.

    Args:
        place: What the caller called it.
        source: The open place.
        known: All kinds, for the message.

    Raises:
        EncodeError: It is empty, or cannot be told.
    """
    if isinstance(place, str | os.PathLike) and place != STDIO:
        suffix = os.path.splitext(os.fspath(place))[1].lower()
        if suffix in _SUFFIXES:
            return _SUFFIXES[suffix]
    head = bytes(source.read_at(0, 16)[:16])
    if not head:
        raise EncodeError(f"{source.name}: is empty, nothing to encode")
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    raise EncodeError(f"{source.name}: cannot tell what it is from {head!r}; say it with --from ({known})")
