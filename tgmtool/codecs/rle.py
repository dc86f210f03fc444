"""Run lengths of bits: the first bit, then how many are alike, by turns.

It is separate because it serves twice: as a compression of bitmasks, behind a count of bits, and as
the form of a NaN mask, without one. A run is found as a bit that differs from the one before it, and
put back by adding those up modulo two, 64 bits at a time: nothing here takes a byte per bit of the
whole.
Source: Tensogram wire format v3, §6.5.2; the runs are ULEB128.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import EncodeError, PayloadError
from .base import Bytes, Job, Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PREFIX = 4
_CHUNK = 32 * 1024  # bytes, of either side; a chunk and a byte for each of its bits stay in the cache
_WORD = 8
_LONGEST = 9  # bytes of a run: 63 bits


def pack(bits: Bytes, n: int) -> bytes:
    """Return the runs of `n` bits.

    Args:
        bits: ceil(n / 8) bytes, most significant bit first; what stands after bit `n` is ignored.
        n: Number of bits.
    """
    import numpy as np

    if not n:
        return b""
    data = np.frombuffer(bits, np.uint8)
    pieces = [bytes([data[0] >> 7])]
    begin, before = 0, int(data[0] >> 7)
    for start in range(0, len(data), _CHUNK):
        chunk = data[start : start + _CHUNK]
        shifted: NDArray[np.uint8] = np.right_shift(chunk, 1)
        shifted[1:] |= chunk[:-1] << 7
        shifted[0] |= before << 7
        before = int(chunk[-1] & 1)
        shifted ^= chunk
        if not shifted.any():
            continue
        edges = np.flatnonzero(
            np.unpackbits(shifted, count=min(8 * len(chunk), n - 8 * start)).view(np.bool_)
        )
        if len(edges):
            edges += 8 * start
            pieces.append(_uleb128(np.diff(edges, prepend=begin)).tobytes())
            begin = int(edges[-1])
    pieces.append(_uleb128(np.array([n - begin])).tobytes())
    return b"".join(pieces)


def unpack(blob: Bytes, n: int) -> Bytes:
    """Return `n` bits as ceil(n / 8) bytes, most significant bit first, zeros after bit `n`.

    Raises:
        PayloadError: The runs are malformed, or do not sum up to `n`.
    """
    import numpy as np

    data = np.frombuffer(blob, np.uint8)
    if not n or not len(data):
        if n or len(data):
            raise PayloadError(f"rle: the runs have {len(data)} bytes, which cannot stand for {n} bits")
        return b""
    if data[0] > 1:
        raise PayloadError(f"rle: the first bit is {data[0]}, expected 0 or 1")
    if data[-1] & 0x80:
        raise PayloadError("rle: the last run is cut short")
    if len(data) - 1 > _LONGEST * n:
        raise PayloadError(f"rle: {len(data)} bytes are too many for runs of {n} bits")
    size = (n + 7) // 8
    out = np.zeros((size + _WORD - 1) // _WORD * _WORD, np.uint8)
    out[0] = data[0] << 7
    at, filled = 1, 0
    while at < len(data):
        runs, taken = _runs(data[at : at + _CHUNK])
        at += taken
        shortest, longest = int(runs.min()), int(runs.max())
        if not shortest or longest > n - filled:
            wrong = longest if shortest else 0
            raise PayloadError(f"rle: a run of {wrong} bits, expected 1 to the {n - filled} that are left")
        edges = np.cumsum(runs)
        edges += filled
        filled = int(edges[-1])
        if filled > n:
            raise PayloadError(f"rle: the runs sum up to more than {n} bits")
        _set(out, edges[:-1] if filled == n else edges)
    if filled != n:
        raise PayloadError(f"rle: the runs sum up to {filled} bits, expected {n}")
    _sum_up(out)
    if n % 8:
        out[size - 1] &= 0xFF << 8 - n % 8 & 0xFF
    return out[:size].data


def _uleb128(runs: NDArray[np.int64]) -> NDArray[np.uint8]:
    import numpy as np

    if runs.max() < 0x80:
        return runs.astype(np.uint8)
    sizes = np.ones(len(runs), np.int64)
    for byte in range(1, (int(runs.max()).bit_length() + 6) // 7):
        sizes += runs >> 7 * byte != 0
    begins = np.cumsum(sizes)
    out = np.empty(int(begins[-1]), np.uint8)
    begins -= sizes
    out[begins] = runs & 0x7F | (sizes > 1) << 7
    longer = np.flatnonzero(sizes > 1)
    byte = 1
    while len(longer):
        out[begins[longer] + byte] = runs[longer] >> 7 * byte & 0x7F | (sizes[longer] > byte + 1) << 7
        byte += 1
        longer = longer[sizes[longer] > byte]
    return out


def _runs(data: NDArray[np.uint8]) -> tuple[NDArray[np.int64], int]:
    """Return the whole runs in `data` and the bytes they take."""
    import numpy as np

    ends = np.flatnonzero(data < 0x80)
    if not len(ends):
        raise PayloadError(f"rle: a run of more than {_LONGEST} bytes")
    taken = int(ends[-1]) + 1
    if len(ends) == taken:
        return data[:taken].astype(np.int64), taken
    begins = np.empty_like(ends)
    begins[0] = 0
    begins[1:] = ends[:-1] + 1
    sizes = ends - begins + 1
    if sizes.max() > _LONGEST:
        raise PayloadError(f"rle: a run of more than {_LONGEST} bytes")
    places = np.arange(taken) - np.repeat(begins, sizes)
    return np.add.reduceat((data[:taken] & 0x7F).astype(np.int64) << 7 * places, begins), taken


def _set(out: NDArray[np.uint8], edges: NDArray[np.int64]) -> None:
    """Flip the bits at `edges`, which ascend."""
    import numpy as np

    at = 0
    while at < len(edges):
        start = int(edges[at]) // 8
        stop = int(np.searchsorted(edges, 8 * (start + _CHUNK)))
        here = edges[at:stop] - 8 * start
        flags = np.zeros(int(here[-1]) + 1, np.uint8)
        flags[here] = 1
        packed = np.packbits(flags)
        out[start : start + len(packed)] ^= packed
        at = stop


def _sum_up(out: NDArray[np.uint8]) -> None:
    """Make each bit the sum, modulo two, of all bits up to it."""
    import numpy as np

    odd = 0
    for start in range(0, len(out), _CHUNK):
        stored = out[start : start + _CHUNK].view(">u8")
        words = stored.astype(np.uint64)
        if words.any():
            for shift in (1, 2, 4, 8, 16, 32):
                words ^= words >> shift
            carried = np.bitwise_xor.accumulate(words & 1)
            words[1:] ^= -carried[:-1]
            last = int(carried[-1])
        else:
            last = 0
        if odd:
            words ^= ~np.uint64(0)
        odd ^= last
        stored[:] = words


def _defaults(job: Job) -> dict[str, Any]:
    if job.dtype.name != "bitmask":
        raise EncodeError(f"rle compresses only bitmask, not {job.dtype.name}")
    _prefix(job.dtype.payload_size(job.elements))
    return {}


def _prefix(size: int) -> bytes:
    if 8 * size >= 1 << 32:
        raise EncodeError(f"rle cannot compress {8 * size} bits, expected fewer than 2^32")
    return (8 * size).to_bytes(_PREFIX, "big")


def _encode(data: Bytes, _job: Job) -> tuple[Bytes, dict[str, Any]]:
    return _prefix(len(data)) + pack(data, 8 * len(data)), {}


def _decode(data: Bytes, size: int, job: Job) -> Bytes:
    if job.dtype.name != "bitmask":
        raise PayloadError(f"rle compresses only bitmask, not {job.dtype.name}")
    if len(data) < _PREFIX:
        raise PayloadError(f"rle: the payload has {len(data)} bytes, expected a count of bits")
    count = int.from_bytes(data[:_PREFIX], "big")
    if (count + 7) // 8 != size:
        raise PayloadError(f"rle: the payload says that it holds {count} bits, expected {8 * size}")
    return unpack(memoryview(data)[_PREFIX:], count)


STAGE = Stage(_encode, _decode, _defaults)
