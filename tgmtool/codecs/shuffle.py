"""Byte shuffle: the first byte of every element, then every second byte, and so on.

It is separate because it is its own stage; it makes what follows compress better.
Source: Tensogram wire format v3, §6.5 (`shuffle_element_size`).
"""

from __future__ import annotations

from typing import Any

from ..errors import EncodeError, PayloadError
from .base import Bytes, Job, Stage

_KEY = "shuffle_element_size"
# Shifting whole words and narrowing them is several times faster than a strided copy; a chunk
# of words and its planes stay in the cache.
_CHUNK = 16 * 1024
_WORDS = {2: "<u2", 4: "<u4", 8: "<u8"}


def _defaults(job: Job) -> dict[str, Any]:
    # Packed samples of a whole number of bytes are as good as elements of that size.
    whole = job.sample_bits % 8 == 0 or not job.packed
    return {_KEY: job.params.get(_KEY, max(job.sample_bits // 8, 1) if whole else 1)}


def _check(element: object, size: int) -> str | None:
    if type(element) is not int or not 1 <= element <= 1 << 31:
        shown = element if type(element) is int and abs(element) < 1 << 64 else type(element).__name__
        return f"{_KEY} {shown} is out of range, expected 1 to 2^31"
    if size % element:
        return f"{_KEY} {element} does not divide the payload of {size} bytes"
    return None


def _after(job: Job) -> Job:
    # After packing a sample stays what packing made of it: so the reference tells the compressors.
    return job if job.packed else job._replace(sample_bits=8)


def _encode(data: Bytes, job: Job) -> tuple[Bytes, dict[str, Any]]:
    import numpy as np

    element = _defaults(job)[_KEY]
    if problem := _check(element, len(data)):
        raise EncodeError(problem)
    out = np.empty(len(data), np.uint8)
    count = len(data) // element
    planes = out.reshape(element, count)
    if element in _WORDS:
        words = np.frombuffer(data, _WORDS[element])
        for start in range(0, count, _CHUNK):
            chunk = words[start : start + _CHUNK]
            for byte in range(element):
                planes[byte, start : start + _CHUNK] = chunk >> (8 * byte)
    else:
        planes[:] = np.frombuffer(data, np.uint8).reshape(count, element).T
    return out.data, {}


def _decode(data: Bytes, size: int, job: Job) -> Bytes:
    import numpy as np

    element = job.params.get(_KEY)
    problem = _check(element, size)
    if problem is None and len(data) != size:
        problem = f"the shuffled payload has {len(data)} bytes, expected {size}"
    if problem or type(element) is not int:
        raise PayloadError(problem or f"{_KEY} is missing")
    count = size // element
    planes = np.frombuffer(data, np.uint8).reshape(element, count)
    out = np.empty(size, np.uint8)
    if element in _WORDS:
        words = out.view(_WORDS[element])
        for start in range(0, count, _CHUNK):
            chunk = words[start : start + _CHUNK]
            chunk[:] = planes[element - 1, start : start + _CHUNK]
            for byte in range(element - 2, -1, -1):
                chunk <<= 8
                chunk |= planes[byte, start : start + _CHUNK]
    else:
        out.reshape(count, element)[:] = planes.T
    return out.data


STAGE = Stage(_encode, _decode, _defaults, after=_after, params=(_KEY,))
