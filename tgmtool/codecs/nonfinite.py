"""Is every value finite? Asked of each array before it is written.

It is separate because a payload may hold NaN and Inf only as masks, and because the plain check
(`np.isfinite(...).all()`) costs more than writing the array does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .dtypes import DType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Elements. From 10 001 on OpenBLAS wakes up other threads to help, which takes a hundred times longer
# than the sum itself when the processors are busy.
CHUNK = 8 * 1024


def all_finite(values: NDArray[np.generic], dtype: DType) -> bool:
    """Return whether a flat array of `dtype` holds neither NaN nor Inf.

    Args:
        values: One-dimensional, contiguous, of the NumPy dtype that `codecs.dtypes` names.
        dtype: The format's dtype.
    """
    import numpy as np

    if not dtype.is_float or not len(values):
        return True
    if dtype.numpy in {"f4", "f8"} and len(values) <= CHUNK:
        # Of few values: neither setting an error state aside nor NumPy's `all` is worth its call.
        return 0 not in np.isfinite(values).tobytes()
    if dtype.component == 2:  # half precision has no fast arithmetic: look at the exponent bits
        return not bool(_all_ones(values, dtype).any())
    parts = values.view(np.dtype(f"f{dtype.component}").newbyteorder(values.dtype.byteorder))
    if parts.dtype.byteorder == ">":
        return bool(np.isfinite(parts).all())
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(parts), CHUNK):
            chunk = parts[start : start + CHUNK]
            # A finite sum of squares is one of finite values; otherwise it may only have overflowed.
            if not math.isfinite(chunk.dot(chunk)) and not np.isfinite(chunk).all():
                return False
    return True


def _all_ones(values: NDArray[np.generic], dtype: DType) -> NDArray[np.bool_]:
    """Return where the exponent of half precision values is all ones: NaN and Inf."""
    exponent = 0x7C00 if dtype.name == "float16" else 0x7F80
    order = ">" if values.dtype.byteorder == ">" else "="
    found: NDArray[np.bool_] = (values.view(order + "u2") & exponent) == exponent
    return found
