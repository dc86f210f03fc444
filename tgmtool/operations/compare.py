"""Two files, object by object: do they hold the same, and if not, what differs most and where?

It is separate because it looks at two sources at once, and at values, not at bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from ..errors import TgmError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.assembly import Message
from ..messages.objects import DataObject
from .checks import cbor_of
from .findings import Finding
from .read import read

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def differences(
    source: Any,
    reference: Any,
    *,
    atol: float = 0.0,
    rtol: float = 0.0,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Finding]:
    """Yield what differs between two files; nothing if they hold the same.

    Args:
        source: The file in question.
        reference: What it should be.
        atol: Absolute difference of values that is allowed.
        rtol: The same as a share of the reference's value; both together as in `numpy.isclose`.
        limits: What either may cost.

    Compared are messages, objects, dtypes, shapes, values (restored: NaN equals NaN) and metadata without
    `_reserved_`. How payloads are compressed does not matter.

    Raises:
        FormatError, SourceError: One of them cannot be read.
    """
    ours, theirs = (_messages(place, limits) for place in (source, reference))
    for number, (mine, other) in enumerate(zip_longest(ours, theirs)):
        if mine is None or other is None:
            longer, name = (reference, "missing") if mine is None else (source, "one too many")
            offset = None if mine is None else mine.span.offset
            yield Finding("metadata_differs", f"message {number} is {name} ({longer} has it)", offset, number)
            return
        if cbor_of(mine.metadata.extra) != cbor_of(other.metadata.extra):
            yield Finding("metadata_differs", "the message-level metadata differ", mine.span.offset, number)
        if len(mine.objects) != len(other.objects):
            text = f"{len(mine.objects)} objects, the reference has {len(other.objects)}"
            yield Finding("metadata_differs", text, mine.span.offset, number)
            continue
        for one, two in zip(mine.objects, other.objects, strict=True):
            for code, text in _of_objects(one, two, atol, rtol):
                yield Finding(code, text, one.span.offset, number, one.span.number)


def _messages(place: Any, limits: Limits) -> Iterator[Message]:
    return (found for found in read(place, limits=limits) if isinstance(found, Message))


def _of_objects(one: DataObject, two: DataObject, atol: float, rtol: float) -> Iterator[tuple[str, str]]:
    for key in sorted(one.metadata.keys() | two.metadata.keys()):
        if cbor_of(one.metadata.get(key)) != cbor_of(two.metadata.get(key)):
            yield "metadata_differs", f"the metadata differ in {key!r:.60}"
    kinds = [(found.descriptor.dtype.name, found.descriptor.shape) for found in (one, two)]
    if kinds[0] != kinds[1]:
        said = [f"{dtype} {list(shape)}" for dtype, shape in kinds]
        yield "metadata_differs", f"{said[0]}, the reference has {said[1]}"
        return
    try:
        yield from _of_values(one.array, two.array, one.descriptor.dtype.name, atol, rtol)
    except TgmError as error:
        yield "values_differ", f"the values cannot be compared: {error}"


def _of_values(
    one: NDArray[Any], two: NDArray[Any], dtype: str, atol: float, rtol: float
) -> Iterator[tuple[str, str]]:
    import numpy as np

    if dtype == "bfloat16":
        one, two = (_as_float32(values) for values in (one, two))
    if one.dtype.kind not in "fc":
        with np.errstate(all="ignore"):
            first, second = one.astype(np.float64), two.astype(np.float64)
            gap = np.where(one != two, np.maximum(np.abs(first - second), 1.0), 0.0)
            if dtype != "bitmask":  # its bytes are no values
                gap[gap <= atol + rtol * np.abs(second)] = 0.0
        if gap.any():
            yield "values_differ", _said(one, two, gap)
        return
    with np.errstate(all="ignore"):
        same = np.isclose(one, two, rtol=rtol, atol=atol, equal_nan=True)
        if not same.all():
            gap = np.where(same, 0.0, np.abs(one - two).astype(np.float64))
            yield "values_differ", _said(one, two, np.where(np.isnan(gap), np.inf, gap))


def _as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    import numpy as np

    return (values.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def _said(one: NDArray[Any], two: NDArray[Any], gap: NDArray[np.float64]) -> str:
    import numpy as np

    count = int((gap > 0).sum())
    at = int(np.argmax(gap))
    place = [int(i) for i in np.unravel_index(at, gap.shape)] if gap.shape else []
    return (
        f"{count} of {gap.size} values differ, most at {place}: {one.reshape(-1)[at]} "
        f"instead of {two.reshape(-1)[at]} (by {gap.reshape(-1)[at]:g})"
    )
