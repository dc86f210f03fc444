"""The keys of a GRIB message, as the reference's converter names and types them.

It is separate because which keys are kept is a table: `mars` as it is, and `grib_repro`, from which the
reference's `to-grib` builds a message again.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

_REBUILD_NAMESPACES = ("geography", "parameter", "time", "vertical")
_REBUILD_KEYS = (
    "edition",
    "discipline",
    "gridType",
    "packingType",
    "bitsPerValue",
    "decimalScaleFactor",
    "tablesVersion",
    "centre",
    "subCentre",
    "productionStatusOfProcessedData",
    "typeOfProcessedData",
    "typeOfGeneratingProcess",
    "generatingProcessIdentifier",
    "setLocalDefinition",
    "grib2LocalSectionNumber",
    "marsClass",
    "marsType",
    "marsStream",
    "experimentVersionNumber",
)
_MISSING_TEXT = {"MISSING", "not_found"}
_MISSING_INT = {2147483647, -2147483647}
_LONGEST = 8192  # elements: definitions (`pl`, `pv`) are kept, data are not


def keys_of(ec: Any, handle: Any, namespace: str) -> dict[str, Any]:
    """Return the keys of a namespace that have a value: text, int, float or a list of numbers."""
    iterator = ec.codes_keys_iterator_new(handle, namespace)
    try:
        names = []
        while ec.codes_keys_iterator_next(iterator):
            names.append(ec.codes_keys_iterator_get_name(iterator))
    finally:
        ec.codes_keys_iterator_delete(iterator)
    return _values_of(ec, handle, names)


def rebuild_keys_of(ec: Any, handle: Any) -> dict[str, Any]:
    """Return the keys that a message of this kind is built from."""
    found: dict[str, Any] = {}
    for namespace in _REBUILD_NAMESPACES:
        found |= keys_of(ec, handle, namespace)
    return found | _values_of(ec, handle, _REBUILD_KEYS)


def _values_of(ec: Any, handle: Any, names: Any) -> dict[str, Any]:
    found = {}
    for name in names:
        try:
            value = _value(ec, handle, name)
        except (ec.CodesInternalError, ValueError):
            continue  # a key that is computed from others, which this message does not have
        if value is not None:
            found[name] = value
    return found


def _value(ec: Any, handle: Any, name: str) -> Any:
    """Return the value of a key in its own type, or None if it says "missing"."""
    size = ec.codes_get_size(handle, name)
    if size > _LONGEST:
        return None
    if size > 1:
        values = ec.codes_get_array(handle, name)
        values = values if isinstance(values, list) else values.tolist()
        return (
            values
            if all(isinstance(v, int) or (isinstance(v, float) and isfinite(v)) for v in values)
            else None
        )
    value = ec.codes_get(handle, name)
    if isinstance(value, str):
        return None if value in _MISSING_TEXT else value
    if isinstance(value, int):
        return None if value in _MISSING_INT else value
    return value if isinstance(value, float) and isfinite(value) else None
