"""Attributes of NetCDF and Zarr as metadata, as the reference's converter lays them out.

It is separate because it knows names and types, and neither files nor arrays:
`netcdf` has every attribute, `_dims`, `_file`, `_global` and the types that CBOR does not tell apart;
`cf` has those of the CF conventions that tools look for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CF = (
    "standard_name",
    "long_name",
    "units",
    "calendar",
    "cell_methods",
    "coordinates",
    "axis",
    "positive",
    "valid_min",
    "valid_max",
    "valid_range",
    "bounds",
    "grid_mapping",
    "ancillary_variables",
    "flag_values",
    "flag_meanings",
)
_OF_PACKED_VALUES = ("valid_min", "valid_max", "valid_range")
_TYPES = {
    "float64": "double",
    "float32": "float",
    "int8": "byte",
    "uint8": "ubyte",
    "int16": "short",
    "uint16": "ushort",
    "int32": "int",
    "uint32": "uint",
    "int64": "int64",
    "uint64": "uint64",
}


class Whole(dict[str, Any]):
    """What all variables of one place share, made once: `_file`, `_global`, `_global_types`."""

    def __init__(self, sizes: Mapping[str, int], unlimited: set[str], attributes: Mapping[str, Any]) -> None:
        dims = [
            {"name": name, "len": int(size), "unlimited": name in unlimited} for name, size in sizes.items()
        ]
        super().__init__(_file={"dims": dims})
        if attributes:
            self["_global"] = plain(attributes)
            self["_global_types"] = types_of(attributes)


def entry_of(
    name: str, dims: Sequence[str], attributes: Mapping[str, Any], whole: Whole, *, unpacked: bool
) -> dict[str, Any]:
    """Return the metadata of a variable.

    Args:
        name: Of the variable.
        dims: Names of its axes.
        attributes: Without those that said how it was packed.
        whole: Of its file.
        unpacked: The values were packed: limits of what was packed are left out.
    """
    kept = {key: value for key, value in attributes.items() if not (unpacked and key in _OF_PACKED_VALUES)}
    found = plain(kept)
    own = {**found, "_dims": list(dims), **whole}
    if kept:
        own["_attr_types"] = types_of(kept)
    entry: dict[str, Any] = {"name": name, "dim_names": list(dims), "netcdf": own}
    if cf := {key: value for key, value in found.items() if key in CF}:
        entry["cf"] = cf
    return entry


def plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as text, numbers and lists of them; what is neither is left out."""
    found = {str(key): _plain(value) for key, value in attributes.items()}
    return {key: value for key, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    import numpy as np

    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, list | tuple):
        found = [_plain(each) for each in value]
        return None if None in found else found
    return None


def types_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the NetCDF type of every attribute that has one."""
    import numpy as np

    found = {}
    for key, value in attributes.items():
        if isinstance(value, np.ndarray | np.generic) and value.dtype.name in _TYPES:
            found[str(key)] = _TYPES[value.dtype.name]
        elif isinstance(value, str) or (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            found[str(key)] = "string"
    return found
