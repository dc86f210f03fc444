"""GRIB fields, one by one, with what the reference's converter keeps of their keys.

It is separate because it is the only module that knows eccodes. Values stand in the order of the
message; how that scans the globe is in the metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING, Any

from ...errors import CodecUnavailable, EncodeError
from ...limits import check_decoded_size
from .base import Cursor, Item, Wishes
from .grib_keys import keys_of, rebuild_keys_of
from .grib_messages import fields_of, find_messages

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MISSING_VALUE = 1.7976931348623157e308  # no field has it: the value that eccodes shall give for "missing"
_ON_SPHERE = {"regular_ll", "regular_gg", "rotated_ll", "rotated_gg"}
_READABLE_BITS = {8, 16, 24, 32}  # of samples: of others the reference reads garbage after szip
_BITMAP_HEAD = 6  # bytes of the bitmap section before its bits, in both editions
_MSB, _THREE_BYTES, _PREPROCESS = 4, 2, 8  # flags of libaec


def read_grib(cursor: Cursor, wishes: Wishes) -> Iterator[Item]:
    """Every field as float64, missing values as NaN; messages are read as they arrive."""
    ec = _eccodes()
    for message in find_messages(cursor, wishes.report):
        where = f"{cursor.name}: byte {message.offset}"
        for data in fields_of(message, cursor.name):
            try:
                with _open(ec, data) as handle:
                    item = _field(ec, handle, data, where, wishes)
            except ec.CodesInternalError as error:
                raise EncodeError(f"{where}: eccodes cannot read the GRIB message: {error}") from None
            yield item


def _eccodes() -> Any:
    try:
        import eccodes
    except (ImportError, RuntimeError) as error:  # RuntimeError: the C library is missing
        raise CodecUnavailable(
            f"reading GRIB needs eccodes ({error}): pip install 'tgmtool[grib]'", codec="grib", extra="grib"
        ) from None
    return eccodes


@contextmanager
def _open(ec: Any, data: bytes) -> Iterator[Any]:
    handle = ec.codes_new_from_message(data)
    try:
        yield handle
    finally:
        ec.codes_release(handle)


def _field(ec: Any, handle: Any, data: bytes, where: str, wishes: Wishes) -> Item:
    import numpy as np

    entry = _entry(ec, handle)
    size = _whole(ec, handle, "numberOfDataPoints") or 0
    check_decoded_size(8 * size, wishes.limits, f"{where}: the GRIB field")
    _check_bitmap(ec, handle, size, where, wishes.report)
    if wishes.passthrough and (found := _payload(ec, handle, data, size)) is not None:
        payload, params = found
        shape, dims = _shape(ec, handle, size)
        return Item(
            np.empty(0),
            {**entry, "dim_names": dims},
            payload=payload,
            descriptor={"type": "ntensor", "shape": list(shape), "dtype": "float64", **params},
        )
    values = _values(ec, handle)
    shape, dims = _shape(ec, handle, values.size)
    return Item(values.reshape(shape), {**entry, "dim_names": dims})


def _check_bitmap(ec: Any, handle: Any, size: int, where: str, report: Callable[[str], None]) -> None:
    """Tell of a bitmap that is too short: eccodes takes the bytes behind it for bits, and does not raise."""
    if not _whole(ec, handle, "bitmapPresent"):
        return
    edition = _whole(ec, handle, "edition")
    length = _whole(ec, handle, "section6Length" if edition == 2 else "section3Length") or 0
    bits = 8 * (length - _BITMAP_HEAD)
    if bits < size:
        report(
            f"{where}: the GRIB field has {size} points, and a bitmap of {max(bits, 0)}: the values are what "
            "ecCodes reads, which may be missing values in the wrong places"
        )


def _values(ec: Any, handle: Any) -> NDArray[np.float64]:
    import numpy as np

    ec.codes_set(handle, "missingValue", _MISSING_VALUE)
    values: NDArray[np.float64] = ec.codes_get_values(handle)
    values[values == _MISSING_VALUE] = np.nan
    return values


def _entry(ec: Any, handle: Any) -> dict[str, Any]:
    mars = keys_of(ec, handle, "mars")
    grid = ec.codes_get(handle, "gridType", str)
    mars["grid"] = grid
    if grid == "regular_ll" and (area := _area(ec, handle)) is not None:
        mars["area"] = area
    entry: dict[str, Any] = {"mars": mars, "grib_repro": rebuild_keys_of(ec, handle)}
    name = ec.codes_get(handle, "shortName", str)
    if name not in {"unknown", "~"}:
        entry["name"] = name
    return entry


def _shape(ec: Any, handle: Any, size: int) -> tuple[tuple[int, ...], list[str]]:
    """Return the shape and the names of the dimensions, in the order of the values."""
    along, down = _whole(ec, handle, "Ni"), _whole(ec, handle, "Nj")
    if not along or not down or along * down != size:
        return (size,), ["values"]
    names = ["latitude", "longitude"] if ec.codes_get(handle, "gridType", str) in _ON_SPHERE else ["y", "x"]
    if _whole(ec, handle, "jPointsAreConsecutive"):
        return (along, down), names[::-1]
    return (down, along), names


def _whole(ec: Any, handle: Any, key: str) -> int | None:
    if not ec.codes_is_defined(handle, key) or ec.codes_is_missing(handle, key):
        return None
    return int(ec.codes_get_long(handle, key))


def _number(ec: Any, handle: Any, key: str) -> float:
    if not ec.codes_is_defined(handle, key) or ec.codes_is_missing(handle, key):
        return float("nan")
    return float(ec.codes_get_double(handle, key))


def _area(ec: Any, handle: Any) -> list[float] | None:
    """Return [north, west, south, east], or None if the rows do not run east and the columns south.

    A full circle that begins at 180 is said to begin at -180, as the reference does.
    """
    north, west = (
        _number(ec, handle, f"{axis}OfFirstGridPointInDegrees") for axis in ("latitude", "longitude")
    )
    south, east = (
        _number(ec, handle, f"{axis}OfLastGridPointInDegrees") for axis in ("latitude", "longitude")
    )
    step = _number(ec, handle, "iDirectionIncrementInDegrees")
    along = _whole(ec, handle, "Ni") or 0
    scans = [_whole(ec, handle, key) for key in ("iScansNegatively", "jScansPositively")]
    if scans != [0, 0] or along < 2 or not all(map(isfinite, (north, west, south, east, step))) or step <= 0:
        return None
    if west > east:
        west -= 360.0
        circle, span = abs(along * step - 360.0), abs(east - west - (along - 1) * step)
        if max(circle, span) >= step / 2:
            return None  # a region across the date line has no west below its east
    return [north, west, south, east] if north > south and west < east else None


def _payload(ec: Any, handle: Any, data: bytes, size: int) -> tuple[bytes, Mapping[str, Any]] | None:
    """Return the packed values and what they are, or None if only decoding gives the same values.

    With a decimal scale the two formats multiply in another order, and the last bit may differ.
    """
    bits = _whole(ec, handle, "bitsPerValue")
    flags = _whole(ec, handle, "ccsdsFlags")
    if (
        ec.codes_get(handle, "packingType", str) != "grid_ccsds"
        or bits not in _READABLE_BITS
        or flags is None
        or flags & ~(_MSB | _THREE_BYTES) != _PREPROCESS
        or _whole(ec, handle, "bitmapPresent")
        or _whole(ec, handle, "decimalScaleFactor")
        or _whole(ec, handle, "numberOfValues") != size
    ):
        return None
    start, length = _whole(ec, handle, "offsetSection7"), _whole(ec, handle, "section7Length")
    if start is None or length is None:
        return None
    return data[start + 5 : start + length], {
        "byte_order": "little",
        "encoding": "simple_packing",
        "filter": "none",
        "compression": "szip",
        "sp_reference_value": _number(ec, handle, "referenceValue"),
        "sp_binary_scale_factor": _whole(ec, handle, "binaryScaleFactor"),
        "sp_decimal_scale_factor": 0,
        "sp_bits_per_value": bits,
        "szip_rsi": _whole(ec, handle, "ccsdsRsi"),
        "szip_block_size": _whole(ec, handle, "ccsdsBlockSize"),
        # How a decoder lays out the samples is not in the payload, and packing wants them so.
        "szip_flags": _PREPROCESS | _MSB | _THREE_BYTES,
    }
