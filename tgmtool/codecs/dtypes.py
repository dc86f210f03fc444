"""THE table of the 15 dtypes, and how each looks in NumPy.

It is separate because descriptors, stages and inputs all ask, and only some of them need NumPy.
Source: Tensogram wire format v3, §6.5 and §8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..errors import EncodeError

if TYPE_CHECKING:
    import numpy as np


class DType(NamedTuple):
    """One dtype of the format.

    Attributes:
        name: The name in the descriptor.
        numpy: Kind and size of the NumPy dtype that holds its bytes, without byte order.
        bits: Bits of one element.
        component: Bytes of what byte order applies to: half of a complex element.
        is_float: It has NaN and Inf.
    """

    name: str
    numpy: str
    bits: int
    component: int
    is_float: bool = False

    def payload_size(self, count: int) -> int:
        """Return the bytes that `count` elements take before any stage."""
        return (count * self.bits + 7) // 8


DTYPES = (
    DType("float16", "f2", 16, 2, is_float=True),
    DType("bfloat16", "u2", 16, 2, is_float=True),
    DType("float32", "f4", 32, 4, is_float=True),
    DType("float64", "f8", 64, 8, is_float=True),
    DType("complex64", "c8", 64, 4, is_float=True),
    DType("complex128", "c16", 128, 8, is_float=True),
    DType("int8", "i1", 8, 1),
    DType("int16", "i2", 16, 2),
    DType("int32", "i4", 32, 4),
    DType("int64", "i8", 64, 8),
    DType("uint8", "u1", 8, 1),
    DType("uint16", "u2", 16, 2),
    DType("uint32", "u4", 32, 4),
    DType("uint64", "u8", 64, 8),
    DType("bitmask", "u1", 1, 1),
)
BY_NAME = {row.name: row for row in DTYPES}
_ORDER = {"little": "<", "big": ">"}


def numpy_dtype(row: DType, byte_order: str) -> np.dtype[np.generic]:
    """Return the NumPy dtype that views the decoded bytes.

    bfloat16 is `ml_dtypes.bfloat16` where that package is installed (native byte order only),
    otherwise uint16 with the same bits. bitmask is uint8, eight elements each, first element
    in the most significant bit.
    """
    import numpy as np

    if row.name == "bfloat16" and _is_native(byte_order):
        try:
            import ml_dtypes
        except ImportError:
            pass  # the extra is not installed: the bits, as uint16
        else:
            found: np.dtype[np.generic] = np.dtype(ml_dtypes.bfloat16)
            return found
    return np.dtype(_ORDER[byte_order] + row.numpy)


def from_numpy(dtype: np.dtype[np.generic]) -> tuple[DType, str]:
    """Return the format's dtype and byte order for arrays of NumPy dtype `dtype`.

    bool becomes uint8. Single-byte dtypes are said to be little-endian, as the reference does.

    Raises:
        EncodeError: The format has no such dtype (text, objects, dates, long double …).
    """
    import sys

    if dtype.name == "bfloat16":
        if not dtype.isnative:
            raise EncodeError("bfloat16 in the other byte order cannot be written; convert it first")
        return BY_NAME["bfloat16"], sys.byteorder
    name = "uint8" if dtype.kind == "b" else dtype.newbyteorder("=").name
    row = BY_NAME.get(name)
    if row is None or dtype.kind not in "fciub":
        raise EncodeError(
            f"dtype {dtype} cannot be written, expected one of {', '.join(r.name for r in DTYPES)}"
        )
    order = {"<": "little", ">": "big"}.get(dtype.byteorder, sys.byteorder)
    return row, "little" if row.component == 1 else order


def _is_native(byte_order: str) -> bool:
    import sys

    return byte_order == sys.byteorder
