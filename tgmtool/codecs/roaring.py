"""Roaring bitmaps: the set bits of each 65 536, listed, as runs, or as they are — whatever is smallest.

It is separate because it serves twice: as a compression of bitmasks, behind a count of bits, and as
the form of a NaN mask, without one. Written here with NumPy: it is as fast as the package would be.
Source: RoaringFormatSpec (portable serialisation), run-optimised as the reference does.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..errors import EncodeError, PayloadError
from .base import Bytes, Job, Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PREFIX = 4
_SLICE = 65_536 // 8  # bytes of one container's bits
_TOGETHER = 8  # containers that are counted at once: they stay in the cache
_PLAIN, _WITH_RUNS = 12_346, 12_347
_LONGEST_ARRAY = 4096  # set bits that are listed; more are kept as they are
_OFFSETS_FROM = 4  # containers from which on offsets stand before containers of runs
_LIMIT = (1 << 32) - 1  # bits that the keys can tell apart


def pack(bits: Bytes, n: int) -> bytes:
    """Return the set ones of `n` bits as a portable Roaring bitmap.

    Args:
        bits: ceil(n / 8) bytes, most significant bit first; what stands after bit `n` is ignored.
        n: Number of bits.

    Raises:
        EncodeError: There are more bits than Roaring can tell apart.
    """
    import numpy as np

    if n > _LIMIT:
        raise EncodeError(f"roaring cannot hold {n} bits, expected at most {_LIMIT}")
    data = np.frombuffer(bits, np.uint8)
    keys: list[int] = []
    counts: list[int] = []
    with_runs: list[bool] = []
    containers: list[bytes] = []
    for start in range(0, len(data), _SLICE * _TOGETHER):
        part = data[start : start + _SLICE * _TOGETHER]
        if start + len(part) == len(data) and (n % 8 or len(part) % _SLICE):
            part = np.concatenate((part, np.zeros(-len(part) % _SLICE, np.uint8)))
            if n % 8:
                part[len(data) - 1 - start] &= 0xFF << 8 - n % 8 & 0xFF
        slices = part.reshape(-1, _SLICE)
        ones, runs = _counts(slices)
        for place in np.flatnonzero(ones).tolist():
            count = int(ones[place])
            as_runs = 2 + 4 * int(runs[place]) < min(2 * count, _SLICE)
            keys.append(start // _SLICE + place)
            counts.append(count - 1)
            with_runs.append(as_runs)
            containers.append(_container(slices[place], count, as_runs=as_runs))
    header = np.array([keys, counts], "<u2").T.tobytes()
    head = _PLAIN.to_bytes(4, "little") + len(keys).to_bytes(4, "little") + header
    if any(with_runs):
        flags = np.packbits(with_runs, bitorder="little").tobytes()
        head = (_WITH_RUNS | len(keys) - 1 << 16).to_bytes(4, "little") + flags + header
        if len(keys) < _OFFSETS_FROM:
            return b"".join((head, *containers))
    offsets = np.cumsum([len(head) + 4 * len(keys), *map(len, containers)])[:-1].astype("<u4").tobytes()
    return b"".join((head, offsets, *containers))


def unpack(blob: Bytes, n: int) -> Bytes:
    """Return `n` bits as ceil(n / 8) bytes, most significant bit first, zeros after bit `n`.

    Raises:
        PayloadError: The bitmap is malformed, or has a bit at `n` or after it.
    """
    import numpy as np

    data = memoryview(blob).cast("B")
    size = (n + 7) // 8
    if n > _LIMIT:
        raise PayloadError(f"roaring cannot hold {n} bits, expected at most {_LIMIT}")
    keys, counts, with_runs, at = _header(data, n)
    out = np.zeros(size, np.uint8)
    for key, less, is_runs in zip(keys, counts, with_runs, strict=True):
        found, at = _bits(data, at, less + 1, is_runs=is_runs)
        target = out[key * _SLICE : (key + 1) * _SLICE]
        target[:] = found[: len(target)]
        if found[len(target) :].any():
            raise PayloadError(f"roaring: a bit is set after the {n} there are")
    if at != len(data):
        raise PayloadError(f"roaring: {len(data) - at} bytes stand after the last container")
    if n % 8 and out[-1] & 0xFF >> n % 8:
        raise PayloadError(f"roaring: a bit is set after the {n} there are")
    return out.data


def _counts(slices: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many bits of each slice are set, and how many runs they make."""
    import numpy as np

    begins: NDArray[np.uint8] = np.right_shift(slices, 1)
    begins[:, 1:] |= slices[:, :-1] << 7
    np.invert(begins, out=begins)
    begins &= slices
    return _ones(slices), _ones(begins)


def _ones(slices: NDArray[np.uint8]) -> NDArray[np.int64]:
    import numpy as np

    found: NDArray[np.int64] = np.bitwise_count(slices.view(np.uint64)).sum(axis=1, dtype=np.int64)
    return found


def _container(bits: NDArray[np.uint8], count: int, *, as_runs: bool) -> bytes:
    import numpy as np

    if as_runs:
        edges: NDArray[np.uint8] = np.right_shift(bits, 1)
        edges[1:] |= bits[:-1] << 7
        edges ^= bits
        places = np.flatnonzero(np.unpackbits(edges).view(np.bool_))
        if bits[-1] & 1:
            places = np.append(places, 8 * _SLICE)
        runs = places.reshape(-1, 2)
        runs[:, 1] -= runs[:, 0] + 1
        return (len(runs)).to_bytes(2, "little") + runs.astype("<u2").tobytes()
    if count <= _LONGEST_ARRAY:
        return np.flatnonzero(np.unpackbits(bits).view(np.bool_)).astype("<u2").tobytes()
    return _mirror()[bits].tobytes()


@cache
def _mirror() -> NDArray[np.uint8]:
    """Each byte with its bits in the other order: a bitmap container has the least significant first."""
    import numpy as np

    return np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)), bitorder="little")


def _header(data: memoryview, n: int) -> tuple[list[int], list[int], list[bool], int]:
    """Return each container's key, set bits less one, is it made of runs; and where the first begins."""
    import numpy as np

    cookie = int.from_bytes(data[:4], "little")
    if cookie == _PLAIN:
        count, at, flags_size = int.from_bytes(data[4:8], "little"), 8, 0
    elif cookie & 0xFFFF == _WITH_RUNS:
        count, at = (cookie >> 16) + 1, 4
        flags_size = (count + 7) // 8
    else:
        raise PayloadError(f"roaring: the bitmap begins with {cookie:#010x}, which is no Roaring bitmap")
    if count > -(-n // (8 * _SLICE)):
        raise PayloadError(f"roaring: {count} containers are too many for {n} bits")
    has_offsets = not flags_size or count >= _OFFSETS_FROM
    end = at + flags_size + 4 * count + 4 * count * has_offsets
    if len(data) < end:
        raise PayloadError("roaring: the bitmap is cut short")
    flags = np.unpackbits(np.frombuffer(data[at : at + flags_size], np.uint8), bitorder="little")
    with_runs = flags[:count].astype(np.bool_).tolist() if flags_size else [False] * count
    at += flags_size
    pairs = np.frombuffer(data[at : at + 4 * count], "<u2").reshape(count, 2)
    keys: list[int] = pairs[:, 0].tolist()
    # The offsets are not needed to read everything, so nothing depends on whether they are right.
    if any(a >= b for a, b in pairwise(keys)) or (keys and keys[-1] * 8 * _SLICE >= n):
        raise PayloadError(f"roaring: the containers do not stand in order within {n} bits")
    return keys, pairs[:, 1].tolist(), with_runs, end


def _bits(data: memoryview, at: int, count: int, *, is_runs: bool) -> tuple[NDArray[np.uint8], int]:
    """Return the bits of the container at `at`, which shall have `count` set ones, and where it ends."""
    import numpy as np

    if is_runs:
        size = 4 * int.from_bytes(data[at : at + 2], "little")
        at += 2
    else:
        size = 2 * count if count <= _LONGEST_ARRAY else _SLICE
    end = at + size
    if len(data) < end:
        raise PayloadError("roaring: a container is cut short")
    body = data[at:end]
    if is_runs:
        runs = np.frombuffer(body, "<u2").reshape(-1, 2).astype(np.int64)
        stops = runs[:, 0] + runs[:, 1] + 1
        if not len(runs) or stops[-1] > 8 * _SLICE or (runs[1:, 0] < stops[:-1]).any():
            raise PayloadError("roaring: runs overlap, or leave their container")
        lengths = np.diff(np.column_stack((runs[:, 0], stops)).reshape(-1), prepend=0, append=8 * _SLICE)
        turns = np.zeros(len(lengths), np.uint8)
        turns[1::2] = 1
        bits = np.packbits(np.repeat(turns, lengths))
    elif count <= _LONGEST_ARRAY:
        places = np.frombuffer(body, "<u2")
        flags = np.zeros(8 * _SLICE, np.uint8)
        flags[places] = 1
        bits = np.packbits(flags)
    else:
        bits = _mirror()[np.frombuffer(body, np.uint8)]
    if int(_ones(bits.reshape(1, -1))[0]) != count:
        raise PayloadError(f"roaring: a container has not the {count} set bits that it claims")
    return bits, end


def _defaults(job: Job) -> dict[str, Any]:
    if job.dtype.name != "bitmask":
        raise EncodeError(f"roaring compresses only bitmask, not {job.dtype.name}")
    _prefix(job.dtype.payload_size(job.elements))
    return {}


def _prefix(size: int) -> bytes:
    if 8 * size > _LIMIT:
        raise EncodeError(f"roaring cannot hold {8 * size} bits, expected at most {_LIMIT}")
    return (8 * size).to_bytes(_PREFIX, "big")


def _encode(data: Bytes, _job: Job) -> tuple[Bytes, dict[str, Any]]:
    return _prefix(len(data)) + pack(data, 8 * len(data)), {}


def _decode(data: Bytes, size: int, job: Job) -> Bytes:
    if job.dtype.name != "bitmask":
        raise PayloadError(f"roaring compresses only bitmask, not {job.dtype.name}")
    if len(data) < _PREFIX:
        raise PayloadError(f"roaring: the payload has {len(data)} bytes, expected a count of bits")
    count = int.from_bytes(data[:_PREFIX], "big")
    if (count + 7) // 8 != size:
        raise PayloadError(f"roaring: the payload says that it holds {count} bits, expected {8 * size}")
    return unpack(memoryview(data)[_PREFIX:], count)


STAGE = Stage(_encode, _decode, _defaults)
