"""Zstandard, byte for byte as the reference writes it.

It is separate because it is the only home of the zstandard package. The streaming form is used
for writing (no content size, no checksum in the frame), because that is what the reference does;
reading is bounded by the descriptor, never by what the frame claims.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from ..errors import EncodeError, PayloadError
from .base import Bytes, Job, Stage

if TYPE_CHECKING:
    import zstandard

_KEY = "zstd_level"
_DEFAULT_LEVEL = 3
_LOWEST, _HIGHEST = -131_072, 22
_WINDOW_LIMIT = 128 << 20
_MAGIC, _SKIPPABLE, _SKIPPABLE_MASK = 0xFD2FB528, 0x184D2A50, 0xFFFFFFF0
_RLE_BLOCK = 1
_LARGE = 1 << 20  # bytes
_HIGHEST_KEPT = 5  # level whose compressor is used again: those of higher ones hold much memory
_kept = threading.local()


def _defaults(job: Job) -> dict[str, Any]:
    level: Any = job.params.get(_KEY, _DEFAULT_LEVEL)
    if type(level) is not int or not _LOWEST <= level <= _HIGHEST:
        raise EncodeError(f"{_KEY} {level!r} is out of range, expected {_LOWEST} to {_HIGHEST}")
    return {}


def _encode(data: Bytes, job: Job) -> tuple[Bytes, dict[str, Any]]:
    import zstandard

    level: Any = job.params.get(_KEY, _DEFAULT_LEVEL)
    if len(data) > _LARGE:
        # The same bytes, with fewer and larger pieces to be put together.
        chunks = zstandard.ZstdCompressor(level=level).chunker(chunk_size=_LARGE)
        made = list(chunks.compress(data))
        made += chunks.finish()  # type: ignore[no-untyped-call]  # its package says nothing of it
        return b"".join(made), {}
    form = _compressor(level).compressobj()
    return form.compress(data) + form.flush(), {}


def _compressor(level: int) -> zstandard.ZstdCompressor:
    """Return a compressor of this thread: to make one takes longer than to compress a small object."""
    import zstandard

    if level > _HIGHEST_KEPT:
        return zstandard.ZstdCompressor(level=level)
    found: tuple[int, zstandard.ZstdCompressor] | None = getattr(_kept, "found", None)
    if found is None or found[0] != level:
        found = _kept.found = (level, zstandard.ZstdCompressor(level=level))
    return found[1]


def _decode(data: Bytes, size: int, job: Job) -> Bytes:
    import numpy as np
    import zstandard

    if not _is_whole(memoryview(data)):
        raise PayloadError("zstd: the payload is cut short, or something stands after it")
    out = np.empty(size, np.uint8)
    target = out.data
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT)
    try:
        with decompressor.stream_reader(data, read_across_frames=True) as reader:
            filled = 0
            while filled < size:
                step = reader.readinto(target[filled:])
                if not step:
                    raise PayloadError(f"zstd: the payload ends after {filled} bytes, expected {size}")
                filled += step
            if reader.read(1):
                raise PayloadError(f"zstd: the payload holds more than the expected {size} bytes")
    except zstandard.ZstdError as error:
        raise PayloadError(f"zstd: {error}") from None
    return out.data


def _is_whole(data: memoryview) -> bool:
    """Return whether `data` is one or more frames, by their own lengths, and nothing else.

    The reader stops when it has what was asked for: it does not see a checksum that was cut off,
    or half a frame after the last. Source: RFC 8878, §3.1.
    """
    at = 0
    while at < len(data):
        magic = int.from_bytes(data[at : at + 4], "little")
        if magic & _SKIPPABLE_MASK == _SKIPPABLE:
            at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            continue
        if magic != _MAGIC or at + 5 > len(data):
            return False
        flags = data[at + 4]
        single = flags >> 5 & 1
        at += 5 + (1 - single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
        is_last = False
        while not is_last:
            if at + 3 > len(data):
                return False
            block = int.from_bytes(data[at : at + 3], "little")
            is_last = bool(block & 1)
            at += 3 + (1 if block >> 1 & 3 == _RLE_BLOCK else block >> 3)
        at += 4 * (flags >> 2 & 1)  # checksum
    return at == len(data) > 0


STAGE = Stage(_encode, _decode, _defaults, params=(_KEY,), level=_KEY)
