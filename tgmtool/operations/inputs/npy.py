"""NumPy's own files: .npy, one after the other, and .npz.

They are separate from other inputs because their headers come from outside and are checked by hand:
NumPy would allocate what a header claims, and load pickles if it were allowed to.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...errors import EncodeError, SourceError
from .base import Cursor, Item, Wishes, chosen, seekable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGIC = b"\x93NUMPY"
_HEADER_LIMIT = 1 << 16


def read_npy(cursor: Cursor, _wishes: Wishes) -> Iterator[Item]:
    """One array after the other: concatenated .npy streams are delimited by their own headers."""
    while True:
        values = _one_npy(cursor)
        if values is None:
            return
        yield Item(values)


def _one_npy(cursor: Cursor) -> NDArray[np.generic] | None:
    import numpy as np
    from numpy.lib import format as npy

    start = cursor.offset
    head = cursor.upto(10)
    if not len(head):
        return None
    if bytes(head[:6]) != MAGIC[: len(head)] or len(head) < 10:
        raise EncodeError(f"{cursor.name}: byte {start}: expected a .npy array, found {bytes(head[:6])!r}")
    version = (head[6], head[7])
    more = b""
    if version == (1, 0):
        size = int.from_bytes(head[8:10], "little")
    else:
        more = bytes(cursor.exactly(2, "the .npy header"))
        size = int.from_bytes(bytes(head[8:10]) + more, "little")
    if size > _HEADER_LIMIT:
        raise EncodeError(f"{cursor.name}: byte {start}: a .npy header of {size} bytes")
    text = bytes(cursor.exactly(size, "the .npy header"))
    stream = io.BytesIO(bytes(head[8:10]) + more + text)
    try:
        reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = reader(stream)
    except ValueError as error:
        raise EncodeError(f"{cursor.name}: byte {start}: {error}") from None
    if any(length < 0 for length in shape):
        raise EncodeError(f"{cursor.name}: byte {start}: shape {shape} has a negative length")
    if dtype.hasobject:
        raise EncodeError(f"{cursor.name}: byte {start}: holds Python objects; they are never loaded")
    size = dtype.itemsize
    for length in shape:
        size *= length
    _check_claim(cursor, size)
    data = cursor.exactly(size, "the .npy array")
    flat = np.frombuffer(data, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def _check_claim(cursor: Cursor, size: int) -> None:
    """Refuse a size that a file of known size cannot hold, before anything is read."""
    total = cursor.source.size()
    if total is not None and cursor.source.seekable and size > total - cursor.offset:
        raise SourceError(
            f"byte {cursor.offset}: the array ends short: expected {size} bytes, got {total - cursor.offset}",
            uri=cursor.name,
        )


def read_npz(cursor: Cursor, wishes: Wishes) -> Iterator[Item]:
    """The arrays of an archive, with their names."""
    import zipfile
    import zlib

    import numpy as np

    with seekable(cursor.source) as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                for name in chosen(archive.files, wishes, cursor.name):
                    yield Item(archive[name], {"name": name})
        except (
            ValueError,
            KeyError,
            EOFError,
            OSError,
            RuntimeError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise EncodeError(f"{cursor.name}: not a readable .npz: {error}") from None
