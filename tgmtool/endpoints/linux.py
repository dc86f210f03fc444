"""Calls of Linux that Python has no name for: hints to a file system, which may know nothing of them.

It is separate because they go through the C library: each of them is loaded when it is called.
"""

from __future__ import annotations

import os

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE: whoever follows the file must not see zeros
_WRITE_ONLY = 2  # SYNC_FILE_RANGE_WRITE: it waits for nothing, and takes no error away from `fsync`


def allocate(descriptor: int, offset: int, size: int) -> None:
    """Reserve room for `size` bytes at `offset` of an open file, whose size stays.

    Raises:
        OSError: The file system cannot, or has no room.
        AttributeError: The system cannot.
    """
    _call("fallocate", descriptor, _KEEP_SIZE, offset, size)


def write_back(descriptor: int, offset: int, size: int) -> None:
    """Let the disk begin with `size` bytes at `offset` of an open file. Errors as `allocate`."""
    _call("sync_file_range", descriptor, offset, size, _WRITE_ONLY)


def _call(name: str, *words: int) -> None:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    # Descriptor and flags are narrower than offsets: on all systems they may be passed as wide.
    if library[name](*map(ctypes.c_int64, words)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
