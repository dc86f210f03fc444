"""Arrays as JSON: nested lists of numbers, alone or under "data" with their metadata beside them.

It is separate because lists have no shape until every one of them has been looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from ...codecs.dtypes import BY_NAME
from ...errors import EncodeError
from .base import Cursor, Item, Wishes
from .raw import is_shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DATA = ("data", "values")
_FORMATS_OWN = ("bfloat16", "bitmask")  # NumPy has no numbers of these


def read_json(cursor: Cursor, wishes: Wishes) -> Iterator[Item]:
    """One document, or JSON lines: those are yielded as they arrive.

    A document is a nested list, a map with "data" or "values", or a list of such maps.
    """
    limit = wishes.limits.decoded_bytes
    lines = False
    while True:
        start = cursor.offset
        line = cursor.line(limit)
        if not line.strip():
            if not line and cursor.at_end:
                break
            continue
        where = f"{cursor.name}: byte {start}"
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as error:
            if lines:
                raise _no_json(where, line, error) from None
            document = _whole(cursor, line, where, limit)
        lines = True
        yield from _documents(document, where, wishes)
    if not lines:
        raise EncodeError(f"{cursor.name}: is empty, nothing to encode")


def _whole(cursor: Cursor, line: bytes, where: str, limit: int) -> Any:
    """The first line is no document: all lines together may be one."""
    text = line + b"\n" + bytes(cursor.upto(limit - len(line)))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_json(where, line, error) from None


def _no_json(where: str, line: bytes, error: Exception) -> EncodeError:
    return EncodeError(f"{where}: expected JSON, found {line[:40]!r} ({error})")


def _documents(document: Any, where: str, wishes: Wishes) -> Iterator[Item]:
    if isinstance(document, list) and document and isinstance(document[0], dict):
        for number, one in enumerate(document):
            yield _item(one, f"{where}: [{number}]", wishes)
    else:
        yield _item(document, where, wishes)


def _item(document: Any, where: str, wishes: Wishes) -> Item:
    if not isinstance(document, dict):
        return Item(_array(document, where, "", wishes))
    entry = dict(document)
    key = next((key for key in _DATA if key in entry), None)
    if key is None:
        raise EncodeError(f'{where}: the map has no "data", found {", ".join(entry) or "nothing"}'[:200])
    values = _array(entry.pop(key), where, key, wishes)
    if (dtype := entry.pop("dtype", None)) is not None:
        values = _cast(values, dtype, where)
    if (shape := entry.pop("shape", None)) is not None:
        if not is_shape(shape) or prod(shape) != values.size:
            raise EncodeError(f"{where}: shape {shape!r:.60} does not fit {values.size} numbers")
        values = values.reshape(shape)
    return Item(values, entry)


def _array(data: Any, where: str, path: str, wishes: Wishes) -> NDArray[np.generic]:
    """Return nested lists as an array: bool, int64 (uint64 if needed), else float64 with null as NaN."""
    import numpy as np

    shape = _shape(data, where, wishes)
    flat: list[Any] = [data]
    for depth, length in enumerate(shape):
        for number, each in enumerate(flat):
            if not isinstance(each, list) or len(each) != length:
                found = f"{len(each)} values" if isinstance(each, list) else repr(each)[:40]
                raise EncodeError(
                    f"{where}: {_path(path, shape[:depth], number)}: "
                    f"expected a list of {length} values as in the first, found {found}"
                )
        flat = [one for each in flat for one in each]
    kinds = set(map(type, flat))
    allowed = {bool} if flat and type(flat[0]) is bool else {int, float, type(None)}
    if not kinds <= allowed:
        at = next(i for i, one in enumerate(flat) if type(one) not in allowed)
        expected = "true or false as in the first" if bool in allowed else "a number"
        raise EncodeError(f"{where}: {_path(path, shape, at)}: expected {expected}, found {flat[at]!r:.40}")
    try:
        values = _numbers(flat, kinds)
    except OverflowError:
        raise EncodeError(f"{where}: {path or 'the list'} has a number that 64 bits do not hold") from None
    return values.reshape(shape) if shape else np.asarray(values[0])


def _numbers(flat: list[Any], kinds: set[type]) -> NDArray[np.generic]:
    import numpy as np

    if kinds == {bool}:
        return np.array(flat, np.bool_)
    if kinds == {int}:
        return np.array(flat, np.uint64 if max(flat) >= 1 << 63 and min(flat) >= 0 else np.int64)
    return np.array(flat, np.float64)  # NumPy makes NaN of None


def _shape(data: Any, where: str, wishes: Wishes) -> tuple[int, ...]:
    """Return the shape that the first elements say."""
    shape = []
    while isinstance(data, list):
        shape.append(len(data))
        wishes.limits.check("ndim", len(shape), f"{where}: an array of {len(shape)} dimensions")
        if not data:
            break
        data = data[0]
    return tuple(shape)


def _path(path: str, shape: tuple[int, ...], number: int) -> str:
    found = ""
    for length in reversed(shape):
        number, index = divmod(number, length)
        found = f"[{index}]{found}"
    return f"{path}{found}" or "the document"


def _cast(values: NDArray[np.generic], dtype: Any, where: str) -> NDArray[np.generic]:
    import numpy as np

    row = BY_NAME.get(dtype) if isinstance(dtype, str) else None
    if not isinstance(dtype, str) or dtype in _FORMATS_OWN:
        raise EncodeError(f"{where}: dtype {dtype!r:.40} cannot be given as JSON numbers")
    try:
        wanted = np.dtype("<" + row.numpy if row is not None else dtype)
    except TypeError:
        raise EncodeError(
            f"{where}: dtype {dtype!r:.40} is unknown, expected for example <f4, int16"
        ) from None
    if wanted.kind not in "biufc":
        raise EncodeError(f"{where}: dtype {dtype!r:.40} cannot be given as JSON numbers")
    with np.errstate(invalid="ignore", over="ignore"):
        found = values.astype(wanted)
    if wanted.kind in "biu" and not np.array_equal(found, values):
        raise EncodeError(f"{where}: not every number is a {wanted.name}")
    return found
