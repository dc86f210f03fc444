"""zfp: lossy compression of float64 values, byte for byte as the reference writes it.

It is separate because it is the only home of the zfpy package. zfp reads and writes values, not
bytes, and its decoder runs past the end of a payload that is too short: what it may read is made
sure of here. The payload is a one-dimensional raw stream without a header.
Source: Tensogram wire format v3, §6.5 (`zfp_*`); zfp 1.0, zfp.h and the manual's "Compression modes".
"""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

from ..errors import CodecUnavailable, EncodeError, PayloadError
from .base import Bytes, Job, Parts, Stage

_MODE, _RATE, _PRECISION, _TOLERANCE = "zfp_mode", "zfp_rate", "zfp_precision", "zfp_tolerance"
_FIXED_RATE, _FIXED_PRECISION, _FIXED_ACCURACY = "fixed_rate", "fixed_precision", "fixed_accuracy"
_KEY = {_FIXED_RATE: _RATE, _FIXED_PRECISION: _PRECISION, _FIXED_ACCURACY: _TOLERANCE}
_BLOCK, _WORD = 4, 64  # values of a block; bits of a word of the stream
_LEAST_BITS = 12  # of a block of float64: one for "not only zeros", eleven for the exponent
_MOST_BITS = 16_658  # ZFP_MAX_BITS
_MOST_WRITTEN, _HEADER = 12 + 3 + 4 * 64, 148  # of a block of float64, of a stream that may have a header
_HIGHEST_RATE = _MOST_BITS // _BLOCK
_FULL_PRECISION = 64
_EXACT = 1 << 53
_NEARLY_EXACT, _SMALLEST = 2.0**-52, 2.0**-900
_VALUE = 8


class _Mode(NamedTuple):
    """How the values are compressed.

    Attributes:
        name: The name in the descriptor.
        arguments: What zfpy is told.
        bits: Bits of every block, in the mode of fixed rate.
    """

    name: str
    arguments: dict[str, Any]
    bits: int = 0


def _package() -> Any:
    try:
        import zfpy
    except ImportError:
        raise CodecUnavailable(
            "compression 'zfp' needs the package zfpy: pip install 'tgmtool[zfp]'", codec="zfp", extra="zfp"
        ) from None
    return zfpy


# ---- parameters


def _mode(job: Job) -> _Mode | str:
    """Return the mode that the parameters name, or why there is none."""
    name: Any = job.params.get(_MODE)
    if type(name) is not str or name not in _KEY:
        what = f"{_MODE} is missing" if name is None else f"{_MODE} is not known"
        return f"{what}, expected one of {', '.join(_KEY)}"
    key = _KEY[name]
    value: Any = job.params.get(key)
    if type(value) is int and abs(value) > _EXACT:
        return f"{key} is out of range"
    if name == _FIXED_PRECISION:
        if type(value) is not int or not 0 <= value < 1 << 32:
            return f"{key} is {_absent(value)}, expected a whole number"
        # As zfp has it, 0 means everything.
        return _Mode(name, {"precision": min(value, _FULL_PRECISION) or _FULL_PRECISION})
    if type(value) not in {int, float} or not math.isfinite(value):
        return f"{key} is {_absent(value)}, expected a finite number"
    value = float(value)
    if name == _FIXED_ACCURACY:
        return _Mode(name, {"tolerance": value}) if value > 0 else f"{key} {value} is not above 0"
    if not 0 <= value <= _HIGHEST_RATE:
        return f"{key} {value} is out of range, expected 0 to {_HIGHEST_RATE}"
    bits = max(math.floor(_BLOCK * value + 0.5), _LEAST_BITS)
    # zfpy reserves for the rate that it is given, and zfp then writes the least that it can.
    return _Mode(name, {"rate": bits / _BLOCK}, bits)


def _absent(value: object) -> str:
    return "missing" if value is None else "not one"


def _defaults(job: Job) -> dict[str, Any]:
    if job.dtype.name != "float64":
        raise EncodeError(f"zfp takes float64 values only, not {job.dtype.name}")
    if job.sample_bits != job.dtype.bits or job.packed:
        raise EncodeError("zfp takes the values themselves: no encoding or filter can stand before it")
    params = dict(job.params)
    if _MODE not in params:
        given = [mode for mode, key in _KEY.items() if key in params]
        if len(given) != 1:
            raise EncodeError(f"zfp needs one of {', '.join(_KEY.values())}, or {_MODE}")
        params[_MODE] = given[0]
    mode = _mode(job._replace(params=params))
    if isinstance(mode, str):
        raise EncodeError(f"zfp: {mode}")
    if others := [key for name, key in _KEY.items() if key in params and name != mode.name]:
        raise EncodeError(f"{others[0]} does not go with {_MODE} {mode.name}")
    value = params[_KEY[mode.name]]
    if value == 0 or (mode.name == _FIXED_PRECISION and value > _FULL_PRECISION):
        raise EncodeError(f"{_KEY[mode.name]} {value} is out of range")
    return {_MODE: mode.name, _KEY[mode.name]: value}


def _checked(job: Job) -> _Mode:
    if job.dtype.bits != 8 * _VALUE:
        raise PayloadError(f"zfp: the payload holds float64 values, the descriptor says {job.dtype.name}")
    mode = _mode(job)
    if isinstance(mode, str):
        raise PayloadError(f"zfp: {mode}")
    return mode


# ---- both directions


def _encode(data: Bytes, job: Job) -> tuple[Bytes, dict[str, Any]]:
    import numpy as np

    params = {**job.params, **_defaults(job)}
    mode = _mode(job._replace(params=params))
    assert isinstance(mode, _Mode)  # `_defaults` has refused all else
    if not len(data):
        return b"", {}
    values = np.frombuffer(data, ">f8" if job.byte_order == "big" else "<f8")
    # The stream is that of the values, whatever the byte order in the descriptor.
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    packed: bytes = _package().compress_numpy(native, **mode.arguments, write_header=False)
    return packed, {}


def _decode(data: Bytes, size: int, job: Job) -> Bytes:
    mode = _checked(job)
    count, view = size // _VALUE, memoryview(data).cast("B")
    _check_length(len(view), size, mode)
    if not size:
        return b""
    if mode.bits:
        return _values(view, count, mode, job)
    # After the payload the decoder finds zeros: it ends the block that it is in, and every other
    # block takes one bit, which says that it holds zeros.
    blocks = -(-count // _BLOCK)
    more = (_MOST_BITS + blocks) // 8 + 2 * _WORD
    padded = bytearray((len(view) + more) // _VALUE * _VALUE)
    padded[: len(view)] = view
    return _values(padded, count, mode, job)


def _check_length(length: int, size: int, mode: _Mode) -> None:
    """Refuse what cannot be a payload for `size` bytes."""
    if size % _VALUE:
        raise PayloadError(f"zfp: {size} bytes are no whole number of float64 values")
    if bool(length) != bool(size):
        raise PayloadError(f"zfp: the payload of {length} bytes cannot hold {size}")
    blocks = -(-size // _VALUE // _BLOCK)
    if mode.bits:
        expected = -(-blocks * mode.bits // _WORD) * (_WORD // 8)
        if length != expected:
            raise PayloadError(f"zfp: the payload has {length} bytes, fixed rate takes {expected}")
    elif not blocks <= length * 8 < blocks * _MOST_WRITTEN + _HEADER + _WORD:
        raise PayloadError(f"zfp: {length} bytes cannot be {blocks} blocks")


def _values(stream: Any, count: int, mode: _Mode, job: Job) -> memoryview:
    """Return the bytes of `count` values, from a stream that is long enough for them."""
    import numpy as np

    zfpy = _package()
    out = np.zeros(count, np.float64)
    try:
        # The only call that reads a stream without a header.
        zfpy._decompress(stream, zfpy.type_double, (count,), out, **mode.arguments)  # noqa: SLF001
    except (ValueError, TypeError) as error:
        raise PayloadError(f"zfp: the payload is damaged ({error})") from None
    if job.byte_order != sys.byteorder:
        out.byteswap(inplace=True)
    raw: memoryview = out.view(np.uint8).data
    return raw


def _parts(encoded: Parts, size: int, job: Job) -> Parts:
    mode = _checked(job)
    _check_length(encoded.size, size, mode)
    if not mode.bits:
        return _kept_whole(encoded, size, job)
    # Blocks begin at a word every so many blocks.
    step = _WORD // math.gcd(mode.bits, _WORD)

    def read(start: int, stop: int) -> Bytes:
        if start == stop:
            return b""
        first = start // (_VALUE * _BLOCK) // step * step
        last = -(-stop // (_VALUE * _BLOCK))
        begin, end = first * mode.bits // 8, -(-last * mode.bits // _WORD) * (_WORD // 8)
        count = min(last * _BLOCK, size // _VALUE) - first * _BLOCK
        values = _values(memoryview(encoded.read(begin, end)), count, mode, job)
        skip = start - first * _BLOCK * _VALUE
        return values[skip : skip + stop - start]

    return Parts(size, read)


def _kept_whole(encoded: Parts, size: int, job: Job) -> Parts:
    whole: memoryview | None = None

    def read(start: int, stop: int) -> Bytes:
        nonlocal whole
        if whole is None:
            whole = memoryview(_decode(encoded.whole(), size, job))
        return whole[start:stop]

    return Parts(size, read, held=size)


def _bounded(data: Bytes, bound: float, job: Job) -> dict[str, Any]:
    import numpy as np

    if not bound > 0:
        raise EncodeError(f"zfp cannot keep an error bound of {bound}, expected one above 0")
    params = {_MODE: _FIXED_ACCURACY, _TOLERANCE: bound}
    values = np.frombuffer(data, ">f8" if job.byte_order == "big" else "<f8")
    largest = max(float(values.max()), -float(values.min())) if len(values) else 0.0
    if bound < largest * _NEARLY_EXACT or largest < _SMALLEST:
        # As fine as float64: what zfp rounds while it transforms counts then, which it does not promise.
        # And its scaling overflows for the smallest numbers there are.
        at = job._replace(params={**job.params, **params})
        found = np.frombuffer(_decode(_encode(data, at)[0], len(data), at), values.dtype)
        with np.errstate(over="ignore"):
            if not np.abs(found - values).max() <= bound:
                raise EncodeError(f"zfp cannot keep an error bound of {bound} for values up to {largest}")
    return params


STAGE = Stage(
    _encode,
    _decode,
    _defaults,
    parts=_parts,
    bounded=_bounded,
    load=_package,
    params=(_MODE, *_KEY.values()),
)
