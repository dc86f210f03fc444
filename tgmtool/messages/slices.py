"""Which elements a NumPy index asks for, as runs of neighbours in C order.

It is separate because it is pure arithmetic on shapes: nothing is read and nothing decoded here.
"""

from __future__ import annotations

from itertools import product
from math import prod
from operator import index
from typing import Any, NamedTuple

_MOST_RUNS = 1 << 16


class Selection(NamedTuple):
    """The runs that hold a part of an array, and how the part is cut out of them.

    Attributes:
        ranges: (first element, number of elements) of each run, in the order of the result.
        gathered: Shape of all runs together.
        steps: Index to apply to that.
        shape: Shape of the result.
        is_scalar: The result is a scalar: all axes are indexed by numbers, without an ellipsis.
    """

    ranges: list[tuple[int, int]]
    gathered: tuple[int, ...]
    steps: tuple[Any, ...]
    shape: tuple[int, ...]
    is_scalar: bool = False

    @property
    def elements(self) -> int:
        """Number of elements in the runs."""
        return sum(count for _, count in self.ranges)


def selection(key: Any, shape: tuple[int, ...]) -> Selection | None:
    """Return the runs for `array[key]`; None if it is cheaper, or only possible, to take all and index.

    Args:
        key: Whole numbers, slices and an ellipsis; anything else (masks, lists, newaxis) gives None.
        shape: Of the array.

    Raises:
        IndexError: More indices than axes, or one out of range.
    """
    axes = _axes(key, shape)
    if axes is None:
        return None
    result = tuple(len(chosen) for chosen, keep in axes if keep)
    if 0 in result or not shape:
        return Selection([], (0,), (...,), result) if 0 in result else None
    # Behind `last` every axis is taken whole: one run for each combination of the indices before it.
    last = max((i for i, (chosen, _) in enumerate(axes) if chosen != range(shape[i])), default=-1)
    if last < 0:
        return None
    outer, (chosen, _) = [found for found, _ in axes[:last]], axes[last]
    low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1
    inner = prod(shape[last + 1 :])
    runs = prod(len(found) for found in outer)
    if runs > _MOST_RUNS or runs * (high - low) * inner * 2 > prod(shape):
        return None
    strides = [prod(shape[axis + 1 :]) for axis in range(last + 1)]
    ranges = []
    for place in product(*outer):
        start = sum(i * stride for i, stride in zip(place, strides, strict=False)) + low * inner
        ranges.append((start, (high - low) * inner))
    gathered = (*(len(found) for found in outer), high - low, *shape[last + 1 :])
    steps = (*(slice(None) for _ in outer), slice(None, None, chosen.step))
    is_scalar = not result and key is not ... and not (isinstance(key, tuple) and any(k is ... for k in key))
    return Selection(ranges, gathered, steps, result, is_scalar)


def _axes(key: Any, shape: tuple[int, ...]) -> list[tuple[range, bool]] | None:
    """Return for each axis the indices taken and whether the axis stays, or None."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if not all(_is_basic(one) for one in keys):
        return None
    dots = [i for i, one in enumerate(keys) if one is ...]
    if len(dots) > 1:
        return None
    if dots:
        keys[dots[0] : dots[0] + 1] = [slice(None)] * (len(shape) - len(keys) + 1)
    if len(keys) > len(shape):
        raise IndexError(f"too many indices: {len(keys)} for an array with {len(shape)} axes")
    keys += [slice(None)] * (len(shape) - len(keys))
    axes = []
    for axis, (one, length) in enumerate(zip(keys, shape, strict=True)):
        if isinstance(one, slice):
            axes.append((range(*one.indices(length)), True))
            continue
        at = index(one)
        if not -length <= at < length:
            raise IndexError(f"index {at} is out of bounds for axis {axis} with size {length}")
        axes.append((range(at % length, at % length + 1), False))
    return axes


def _is_basic(one: Any) -> bool:
    """Return whether `one` is a slice, an ellipsis or a whole number (True is none, an array neither)."""
    if one is ... or isinstance(one, slice):
        return True
    kind = type(one).__name__
    return hasattr(one, "__index__") and not kind.startswith("bool") and getattr(one, "shape", ()) == ()
