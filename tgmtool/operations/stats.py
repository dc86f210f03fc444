"""Minimum, mean, maximum and the number of NaN of an object's values.

It is separate because it is the one thing about an object that has to look at every value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def statistics(values: NDArray[np.generic]) -> dict[str, Any]:
    """Return `min`, `mean`, `max` (of what is finite or infinite, NaN left out) and `nan` (a count).

    Complex values are looked at by their magnitude. None stands for what does not exist: of an
    empty array, or of one that is all NaN.
    """
    import numpy as np

    found = np.asarray(values)
    if found.dtype.kind == "c":
        found = np.abs(found)
    elif found.dtype.kind == "V" or found.dtype.name == "bfloat16":
        found = found.astype(np.float32)
    missing = int(np.isnan(found).sum()) if found.dtype.kind == "f" else 0
    if found.size == missing:
        return {"min": None, "mean": None, "max": None, "nan": missing}
    if missing:
        found = found[~np.isnan(found)]
    with np.errstate(all="ignore"):
        mean = float(found.mean(dtype=np.float64))
    low, high = found.min().item(), found.max().item()
    return {"min": low, "mean": mean, "max": high, "nan": missing}
