"""GRIB's simple packing: float64 as unsigned integers of 0 to 64 bits, a reference value and two scales.

It is separate because it is its own stage, the only one that changes values. Every operation and its
order is the reference's, so that the bits of both directions are too: powers by square and multiply,
halves rounded away from zero, the product rounded before the reference value is added.
Source: Tensogram wire format v3, §6.5 (`sp_…`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import EncodeError, PayloadError
from .base import Bytes, Job, Parts, Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BITS, _REFERENCE = "sp_bits_per_value", "sp_reference_value"
_BINARY, _DECIMAL = "sp_binary_scale_factor", "sp_decimal_scale_factor"
_ITEM = 8
_WORD = 64
_CHUNK = 32 * 1024  # values; as float64 they stay in the cache from one operation to the next
_LARGEST_SCALE = 256  # binary; beyond it the reference refuses to write
_LARGEST_FACTOR = (1 << 31) - 1  # the reference holds factors in 32 bits, and negates them
_EXACT = 1 << 53  # integers up to here are float64 without rounding
_EXPONENT = 0x4330_0000_0000_0000  # of 2^52: or-ed over a smaller integer it makes 2^52 + integer
_ORDER = {"little": "<f8", "big": ">f8"}


class _Packing(NamedTuple):
    """How values become integers.

    Attributes:
        bits: Of each integer.
        reference: The value that 0 stands for.
        binary: E; an integer counts in 2^E · 10^-D.
        decimal: D.
    """

    bits: int
    reference: float
    binary: int
    decimal: int

    @property
    def scale(self) -> float:
        return _power(10.0, self.decimal) * _power(2.0, -self.binary)

    @property
    def step(self) -> float:
        return _power(2.0, self.binary) * _power(10.0, -self.decimal)


def _power(base: float, exponent: int) -> float:
    """Return `base` to the power of `exponent`, rounded after each step as the reference's is."""
    result, left = 1.0, abs(exponent)
    while True:
        if left & 1:
            result *= base
        left >>= 1
        if not left:
            return 1.0 / result if exponent < 0 else result
        base *= base


# ---- parameters


def _problem(params: dict[str, Any]) -> str | None:
    """Return what is wrong with the parameters that are there."""
    bounds = {_BITS: (0, _WORD), _DECIMAL: (-_LARGEST_FACTOR, _LARGEST_FACTOR)}
    bounds[_BINARY] = bounds[_DECIMAL]
    for key, (low, high) in bounds.items():
        value = params.get(key, 0)
        if type(value) is not int or not low <= value <= high:
            shown = repr(value) if type(value) is int and abs(value) < 1 << 64 else type(value).__name__
            return f"{key} {shown} is out of range, expected an integer from {low} to {high}"
    value = params.get(_REFERENCE, 0.0)
    if type(value) is int and abs(value) <= _EXACT:
        return None
    if type(value) is not float or not math.isfinite(value):
        shown = repr(value) if type(value) is float else type(value).__name__
        return f"{_REFERENCE} {shown} is out of range, expected a finite number"
    return None


def _defaults(job: Job) -> dict[str, Any]:
    if job.dtype.name != "float64":
        raise EncodeError(f"simple_packing packs only float64, not {job.dtype.name}")
    params = {key: job.params[key] for key in _KEYS if key in job.params}
    params.setdefault(_DECIMAL, 0)
    if _BITS not in params:
        raise EncodeError(f"simple_packing needs {_BITS}")
    if (_REFERENCE in params) != (_BINARY in params):
        raise EncodeError(f"{_REFERENCE} and {_BINARY} go together: both, or neither to have them computed")
    if problem := _problem(params):
        raise EncodeError(problem)
    if _BINARY in params:
        _check_writable(_Packing(params[_BITS], float(params[_REFERENCE]), params[_BINARY], params[_DECIMAL]))
    return params


def _check_writable(packing: _Packing) -> None:
    if abs(packing.binary) > _LARGEST_SCALE:
        raise EncodeError(
            f"{_BINARY} {packing.binary} is out of range, expected -{_LARGEST_SCALE} to {_LARGEST_SCALE}: "
            "the values are too far apart, or too close together"
        )
    if packing.bits and not all(0.0 < factor < math.inf for factor in (packing.scale, packing.step)):
        # The reference writes this; what it then reads is NaN.
        raise EncodeError(
            f"{_DECIMAL} {packing.decimal} with {_BINARY} {packing.binary} is beyond what float64 can scale"
        )


def _stored(job: Job) -> _Packing:
    """Return the packing that the descriptor states."""
    if job.dtype.name != "float64":
        raise PayloadError(f"simple_packing packs only float64, not {job.dtype.name}")
    if missing := [key for key in _KEYS if key not in job.params]:
        raise PayloadError(f"{missing[0]} is missing")
    params = {key: job.params[key] for key in _KEYS}
    if problem := _problem(params):
        raise PayloadError(problem)
    return _Packing(params[_BITS], float(params[_REFERENCE]), params[_BINARY], params[_DECIMAL])


def _bits(job: Job) -> int:
    """Return the width alone: all that is known of it before the data is seen."""
    if problem := _problem({_BITS: job.params.get(_BITS)}):
        raise PayloadError(problem)
    bits: int = job.params[_BITS]
    return bits


# ---- what the data decides


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    if not len(values):
        return 0.0, 0.0
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise EncodeError("simple_packing cannot hold NaN or Inf")
    if low == 0.0:  # of -0.0 and 0.0 the reference takes what comes first, NumPy any
        for start in range(0, len(values), _CHUNK):
            zeros = values[start : start + _CHUNK] == 0.0
            first = int(zeros.argmax())
            if zeros[first]:
                return float(values[start + first]), high
    return low, high


def _fitted(values: NDArray[np.float64], limits: tuple[float, float], bits: int, decimal: int) -> _Packing:
    """Return the packing with the smallest step that reaches from the smallest value to the largest."""
    if not bits or not len(values):
        return _Packing(bits, float(values[0]) if len(values) else 0.0, 0, decimal)
    low, high = limits
    scaled = (high - low) * _power(10.0, decimal)
    steps = scaled / float((1 << bits) - 1)
    if scaled == 0.0 or math.isnan(scaled):
        return _Packing(bits, low, 0, decimal)
    if not 0.0 < steps < math.inf:
        raise EncodeError(
            f"the values lie between {low} and {high}, which {bits} bits cannot scale "
            f"with {_DECIMAL} {decimal}"
        )
    return _Packing(bits, low, math.ceil(math.log2(steps)), decimal)


# ---- values to integers and back, one chunk at a time


class _Quantizer:
    """Makes integers of values, a chunk at a time, in a scratch array.

    Args:
        packing: What they shall become.
        limits: The smallest and the largest of all values.
        most: Number of values there are.
    """

    def __init__(self, packing: _Packing, limits: tuple[float, float], most: int) -> None:
        import numpy as np

        self._packing = packing
        self._scale = packing.scale
        low, high = ((edge - packing.reference) * self._scale for edge in limits)
        self._has_less = low < 0.0
        self._has_more = not high < float((1 << packing.bits) - 1)
        self._scratch = np.empty(min(most, _CHUNK), np.float64)

    def whole(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        """Return numbers whose whole part is the integer, and which of them stand for the largest.

        That one may be no float64. The arrays hold until the next call.
        """
        import numpy as np

        scratch = self._scratch[: len(values)]
        np.subtract(values, self._packing.reference, out=scratch)
        scratch *= self._scale
        # Half away from zero: one less than half, in the last place, is right for every float64 >= 0.
        scratch += 0.49999999999999994
        if self._has_less:
            np.maximum(scratch, 0.0, out=scratch)
        if not self._has_more:
            return scratch, None
        above = 2.0**self._packing.bits
        over = scratch >= above
        np.minimum(scratch, math.nextafter(above, 0.0), out=scratch)
        return scratch, over


def _pack_bytes(values: NDArray[np.float64], quantizer: _Quantizer, bits: int) -> NDArray[np.uint8]:
    """Pack into 1, 2, 4 or 8 bytes each."""
    import numpy as np

    out = np.empty(len(values), f">u{bits // 8}")
    for start in range(0, len(values), _CHUNK):
        whole, over = quantizer.whole(values[start : start + _CHUNK])
        target = out[start : start + _CHUNK]
        if bits <= 16:  # by way of int32, which has fast instructions; of uint8 and uint16 it has none
            target[:] = whole.astype(np.int32)
        else:
            np.copyto(target, whole, casting="unsafe")
        if over is not None:
            target[over] = (1 << bits) - 1
    return out.view(np.uint8)


def _pack_any(values: NDArray[np.float64], quantizer: _Quantizer, bits: int) -> NDArray[np.uint8]:
    """Pack into any width: the shortest group of values that fills whole words is the unit.

    Each place in the group is a row of all groups, so that a row is shifted and or-ed at once.
    """
    import numpy as np

    group, words = _WORD // math.gcd(bits, _WORD), bits // math.gcd(bits, _WORD)
    count = -(-len(values) // group)
    out = np.zeros((count, words), ">u8")
    groups = min(_CHUNK // group, count)
    rows = np.empty((group, groups), np.uint64)
    packed = np.empty((words, groups), np.uint64)
    shifted = np.empty(groups, np.uint64)
    for start in range(0, count, groups):
        chunk = values[start * group : (start + groups) * group]
        whole, over = quantizer.whole(chunk)
        if len(chunk) < groups * group:
            m = -(-len(chunk) // group)
            flat = np.zeros(m * group, np.uint64)
            np.copyto(flat[: len(chunk)], whole, casting="unsafe")
            if over is not None:
                flat[: len(chunk)][over] = (1 << bits) - 1
            rows, packed, shifted = flat.reshape(m, group).T.copy(), packed[:, :m], shifted[:m]
        else:
            np.copyto(rows, whole.reshape(groups, group).T, casting="unsafe")
            if over is not None:
                rows[over.reshape(groups, group).T] = (1 << bits) - 1
        for place, row in enumerate(rows):
            word, begin = divmod(place * bits, _WORD)
            free = _WORD - begin - bits  # bits of the word after the value; negative: it goes on in the next
            if free >= 0:
                if begin:
                    packed[word] |= np.left_shift(row, free, out=shifted)
                else:
                    np.left_shift(row, free, out=packed[word])
                continue
            packed[word] |= np.right_shift(row, -free, out=shifted)
            np.left_shift(row, _WORD + free, out=packed[word + 1])
        out[start : start + groups] = packed.T
    return out.view(np.uint8).reshape(-1)[: (len(values) * bits + 7) // 8]


def _unpack_bytes(data: NDArray[np.uint8], values: NDArray[np.float64], packing: _Packing) -> None:
    import numpy as np

    stored = data.view(f">u{packing.bits // 8}")
    step = packing.step
    scratch = np.empty(min(_CHUNK, len(values)), np.float64)
    for start in range(0, len(values), _CHUNK):
        target = values[start : start + _CHUNK]
        here = target if values.dtype.isnative else scratch[: len(target)]
        here[:] = stored[start : start + _CHUNK]
        here *= step
        here += packing.reference
        if here is not target:
            target[:] = here


def _unpack_any(data: NDArray[np.uint8], values: NDArray[np.float64], packing: _Packing) -> None:
    """Unpack from any width: eight values are as many bytes as one has bits.

    All values at one place among eight begin in the same bit of a byte, so that they are read at once,
    from as many overlapping words, and moved to where float64 can be made of them.
    """
    import numpy as np

    bits, step = packing.bits, packing.step
    # A value of up to 25 bits is within 32 wherever it begins, and int32 becomes float64 fast.
    word, signed, size = (">u4", "i4", 4) if bits <= 25 else (">u8", "u8", 8)
    found = np.empty((min(_CHUNK, len(values) + 7) // 8, 8), np.float64)
    for start in range(0, len(values), _CHUNK):
        target = values[start : start + _CHUNK]
        count = (len(target) + 7) // 8
        needed = count * bits + size + 1  # the last words reach beyond the last value
        piece = data[start * bits // 8 :][:needed]
        if len(piece) < needed:
            piece = np.concatenate((piece, np.zeros(needed - len(piece), np.uint8)))
        for place in range(8):
            byte, begin = divmod(place * bits, 8)
            row = np.ndarray(count, word, piece, byte, (bits,)).astype(word.replace(">", "="))
            if begin:
                row <<= begin
            if begin + bits > 8 * size:
                row |= np.ndarray(count, np.uint8, piece, byte + size, (bits,)) >> (8 - begin)
            row >>= 8 * size - bits
            if 25 < bits <= 52:  # there is no fast instruction from int64 to float64, but there is this
                row |= _EXPONENT
                np.subtract(row.view(np.float64), 2.0**52, out=found[:count, place])
            else:
                found[:count, place] = row.view(signed)
        flat = found.reshape(-1)[: len(target)]
        flat *= step
        np.add(flat, packing.reference, out=target)


_IN_BYTES = {8, 16, 32, 64}


# ---- the stage


def _encode(data: Bytes, job: Job) -> tuple[Bytes, dict[str, Any]]:
    import numpy as np

    params = _defaults(job)
    if len(data) % _ITEM:
        raise EncodeError(f"{len(data)} bytes are no float64 values")
    values = np.frombuffer(data, _ORDER[job.byte_order])
    limits = _limits(values)
    decided: dict[str, Any] = {}
    with np.errstate(all="ignore"):
        if _REFERENCE in params:
            packing = _Packing(params[_BITS], float(params[_REFERENCE]), params[_BINARY], params[_DECIMAL])
        else:
            packing = _fitted(values, limits, params[_BITS], params[_DECIMAL])
            _check_writable(packing)
            decided = {_REFERENCE: packing.reference, _BINARY: packing.binary}
        if not packing.bits or not len(values):
            return b"", decided
        pack = _pack_bytes if packing.bits in _IN_BYTES else _pack_any
        return pack(values, _Quantizer(packing, limits, len(values)), packing.bits).data, decided


def _encoded_size(size: int, job: Job) -> int:
    return (size // _ITEM * _bits(job) + 7) // 8


def _decode(data: Bytes, size: int, job: Job) -> Bytes:
    packing = _stored(job)
    if size % _ITEM:
        raise PayloadError(f"{size} bytes are no float64 values")
    count = size // _ITEM
    _check_size(len(data), count, packing.bits)
    return _unpacked(data, count, packing, job).data


def _check_size(size: int, count: int, bits: int) -> None:
    expected = (count * bits + 7) // 8
    if size != expected:
        raise PayloadError(
            f"the packed payload has {size} bytes, expected {expected}: {count} times {bits} bits"
        )


def _unpacked(data: Bytes, count: int, packing: _Packing, job: Job) -> NDArray[np.uint8]:
    import numpy as np

    values: NDArray[np.float64] = np.empty(count, _ORDER[job.byte_order])
    if not packing.bits:
        values[:] = packing.reference
    elif count:
        unpack = _unpack_bytes if packing.bits in _IN_BYTES else _unpack_any
        with np.errstate(all="ignore"):  # a hostile scale overflows: that is a value like any other
            unpack(np.frombuffer(data, np.uint8), values, packing)
    return values.view(np.uint8)


def _parts(encoded: Parts, size: int, job: Job) -> Parts:
    packing = _stored(job)
    if size % _ITEM:
        raise PayloadError(f"{size} bytes are no float64 values")
    _check_size(encoded.size, size // _ITEM, packing.bits)
    bits = packing.bits

    def read(start: int, stop: int) -> Bytes:
        if start == stop:
            return b""
        first, last = start // _ITEM, -(-stop // _ITEM)
        begin = first * bits // 8
        data = encoded.read(begin, (last * bits + 7) // 8) if bits else b""
        # Eight values are whole bytes: what stands before the first up to there is made up, then dropped.
        before = first % 8
        if made_up := begin - (first - before) * bits // 8:
            data = bytes(made_up) + data
        found = _unpacked(data, before + last - first, packing, job)
        return found.data[start - (first - before) * _ITEM : stop - (first - before) * _ITEM]

    return Parts(size, read)


def _after(job: Job) -> Job:
    return job._replace(sample_bits=_bits(job), packed=True)


_KEYS = (_BITS, _REFERENCE, _BINARY, _DECIMAL)


def _bounded(data: Bytes, bound: float, job: Job) -> dict[str, Any]:
    import numpy as np

    if job.dtype.name != "float64":
        raise EncodeError(f"simple_packing packs only float64, not {job.dtype.name}")
    decimal: Any = job.params.get(_DECIMAL, 0)
    return {_BITS: fewest_bits(np.frombuffer(data, _ORDER[job.byte_order]), bound, decimal)}


def _finer(params: dict[str, Any]) -> dict[str, Any] | None:
    return {_BITS: params[_BITS] + 1} if params[_BITS] < _WORD else None


STAGE = Stage(
    _encode,
    _decode,
    _defaults,
    encoded_size=_encoded_size,
    after=_after,
    parts=_parts,
    bounded=_bounded,
    finer=_finer,
    params=_KEYS,
)


def fewest_bits(values: NDArray[np.float64], bound: float, decimal_scale: int = 0) -> int:
    """Return the fewest bits (0-64) with which no value moves by more than `bound`.

    Each width is tried on the values themselves, with the arithmetic of the stage, and given up at the
    first chunk that moves too far; where one width failed the next is tried first.

    Args:
        values: Finite values.
        bound: Largest absolute difference, of a value from what is read back.
        decimal_scale: D, as it will be written.

    Raises:
        EncodeError: No width does, or the values or the arguments are such that nothing can be packed.
    """
    import numpy as np

    if not bound >= 0.0:
        raise EncodeError(f"the bound {bound} is out of range, expected 0 or more")
    if problem := _problem({_DECIMAL: decimal_scale}):
        raise EncodeError(problem)
    values = np.ascontiguousarray(values, np.float64).reshape(-1)
    if not len(values):
        return 0
    limits = _limits(values)
    starts = list(range(0, len(values), _CHUNK))
    with np.errstate(all="ignore"):
        for bits in range(_WORD + 1):
            try:
                packing = _fitted(values, limits, bits, decimal_scale)
                _check_writable(packing)
            except EncodeError:
                continue
            quantizer = _Quantizer(packing, limits, len(values))
            failed = next(
                (s for s in starts if not _moved(values[s : s + _CHUNK], quantizer, packing) <= bound), None
            )
            if failed is None:
                return bits
            starts.remove(failed)
            starts.insert(0, failed)
    raise EncodeError(f"no width of up to {_WORD} bits keeps every value within {bound}")


def _moved(values: NDArray[np.float64], quantizer: _Quantizer, packing: _Packing) -> float:
    """Return by how much the value that moves most does."""
    import numpy as np

    if not packing.bits:
        return float(np.abs(values - packing.reference).max())
    whole, over = quantizer.whole(values)
    found = np.floor(whole)
    if over is not None:
        found[over] = float((1 << packing.bits) - 1)
    found *= packing.step
    found += packing.reference
    found -= values
    return float(np.abs(found).max())
