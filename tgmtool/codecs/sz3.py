"""SZ3: lossy compression of float64 values that keeps every error under a bound.

It is separate because it is the only home of the pysz package, which reads what the reference
writes. No package writes the data version of the reference, so what is written here is the
format's lossless variant: values rounded under the bound, as zstd; about twice the size, read by
the reference as its own. pysz checks what it reads, but takes the sizes of what it allocates from
the stream: those, and everything around the stream, are checked before it sees a payload.
Source: Tensogram wire format v3, §6.5 (`sz3_*`); SZ3, api/sz.hpp, utils/Config.hpp,
decomposition/*.hpp, quantizer/LinearQuantizer.hpp and encoder/HuffmanEncoder.hpp.
"""

from __future__ import annotations

import math
import struct
import sys
from typing import Any, NamedTuple

from ..errors import CodecUnavailable, EncodeError, PayloadError
from . import zstd
from .base import Bytes, Job, Stage

_MODE, _BOUND = "sz3_error_bound_mode", "sz3_error_bound"
_ABSOLUTE, _RELATIVE, _PSNR = "abs", "rel", "psnr"
_MODES = (_ABSOLUTE, _RELATIVE, _PSNR)
_HIGHEST_PSNR = 1000  # float64 ends long before
_EXACT = 1 << 53
_VALUE = 8

# Header, [u64 length + zstd frame], configuration: all little-endian.
_HEAD = struct.Struct("<4s4sQ")
_MAGIC, _VERSION = bytes.fromhex("10f342f3"), bytes.fromhex("00020303")
_LENGTH = struct.Struct("<Q")
_CONF_HEAD = struct.Struct("<3B")  # size of the configuration, dimensions, bits of the dimension
_CONF_TAIL = struct.Struct("<Q2Bd2B2iB")  # elements, algorithm, mode, bound, predictors, type, bins, block, 1
_LORENZO_REG, _INTERP, _LOSSLESS = 0, 2, 4
_BOUND_IS_ABSOLUTE, _FLOAT64 = 0, 1
_ALL_PREDICTORS, _LORENZO_PREDICTORS = 0xE0, 0xC0
_BINS, _FEW_BINS, _BLOCK, _PREDICTED = 65536, 16384, 128, 1
_LONGEST_CONF = _CONF_HEAD.size + 8 + _CONF_TAIL.size
# Before zstd a stream is smaller than the values, but for its Huffman tree.
_TREE = 4 << 20

# What stands in a stream, of which only sizes are looked at.
_INTERP_HEAD = struct.Struct("<Q36x")  # elements, how to interpolate
_QUANTIZER = struct.Struct("<13xQ")  # bounds, number of values that are stored as they are
_TREE_HEAD = struct.Struct(">4x2I")  # first state, nodes, half the number of states
_MOST_HALF_STATES = 1 << 16
_SPARE_BINS = 1024  # there is a bin for every value, as a rule
_NODE_REFERENCES = ((1 << 8, 1), (1 << 16, 2))  # at most so many nodes: bytes of a reference to one

_CHUNK = 64 * 1024  # values that are rounded at once: they stay in the cache
_ZSTD_LEVEL = 1  # faster than higher ones, and on smooth fields not larger


class _Payload(NamedTuple):
    """A payload whose lengths fit.

    Attributes:
        algorithm: How the stream is to be read.
        stream: The u64 length and the zstd frame.
    """

    algorithm: int
    stream: memoryview


# ---- parameters


def _defaults(job: Job) -> dict[str, Any]:
    if job.dtype.name != "float64":
        raise EncodeError(f"sz3 takes float64 values only, not {job.dtype.name}")
    if job.sample_bits != job.dtype.bits or job.packed:
        raise EncodeError("sz3 takes the values themselves: no encoding or filter can stand before it")
    if not job.elements:
        raise EncodeError("sz3 does not take an object without elements: the reference cannot read it")
    mode: Any = job.params.get(_MODE, _ABSOLUTE)
    bound: Any = job.params.get(_BOUND)
    if type(mode) is not str or mode not in _MODES:
        raise EncodeError(f"{_MODE} {mode!r} does not exist, expected one of {', '.join(_MODES)}")
    if bound is None:
        raise EncodeError(f"sz3 needs {_BOUND}")
    if type(bound) not in {int, float} or not -_EXACT <= bound < math.inf:
        raise EncodeError(f"{_BOUND} {bound!r} is out of range, expected a finite number")
    if bound < 0 or (type(bound) is int and bound > _EXACT):
        raise EncodeError(f"{_BOUND} {bound} is out of range")
    if mode == _PSNR and not 0 < bound <= _HIGHEST_PSNR:
        raise EncodeError(f"{_BOUND} {bound} dB is out of range, expected more than 0, to {_HIGHEST_PSNR}")
    return {_MODE: mode, _BOUND: bound}


def _absolute(job: Job, values: Any) -> float:
    """Return a bound on every error that keeps the bound of the parameters.

    Relative is to the range of the values, as SZ3 has it. For PSNR, SZ3 trusts in errors being
    evenly spread; here no error is larger than their root mean square may be, which is certain.
    """
    params = _defaults(job)
    bound = float(params[_BOUND])
    if params[_MODE] == _ABSOLUTE:
        return bound
    width = float(values.max()) - float(values.min())
    if not math.isfinite(width):
        raise EncodeError(f"sz3: {_MODE} {params[_MODE]} means nothing for values whose range is not finite")
    if params[_MODE] == _RELATIVE:
        return bound * width
    return width * math.pow(10, -bound / 20)


# ---- writing


def _encode(data: Bytes, job: Job) -> tuple[Bytes, dict[str, Any]]:
    import numpy as np
    import zstandard

    values = np.frombuffer(data, ">f8" if job.byte_order == "big" else "<f8")
    bound = _absolute(job, values)
    # A power of two: what is rounded to it ends in zeros, which zstd makes use of.
    step = math.ldexp(1, min(math.frexp(bound)[1], 1023)) if bound else 0.0
    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj(size=len(data))
    out = bytearray(_HEAD.size + _LENGTH.size)
    for start in range(0, len(values), _CHUNK):
        out += compressor.compress(_rounded(values[start : start + _CHUNK], bound, step))
    out += compressor.flush()
    _HEAD.pack_into(out, 0, _MAGIC, _VERSION, len(out) - _HEAD.size)
    _LENGTH.pack_into(out, _HEAD.size, len(data))
    out += _configuration(len(values), bound)
    return out, {}


def _rounded(values: Any, bound: float, step: float) -> Any:
    """Return the values as little-endian bytes, each at most `bound` away from what it was."""
    import numpy as np

    exact = values.astype("<f8")
    if not step:
        return exact.data.cast("B")
    with np.errstate(over="ignore", invalid="ignore"):
        near = np.rint(exact / step)
        near *= step
        # Too far away where the quotient has overflowed: those stay what they are.
        far = ~(np.abs(near - exact) <= bound)
    if far.any():
        near[far] = exact[far]
    return near.data.cast("B")


def _configuration(count: int, bound: float) -> bytes:
    dimension = count.to_bytes(-(-count.bit_length() // 8), "little")
    size = _CONF_HEAD.size + len(dimension) + _CONF_TAIL.size
    return (
        _CONF_HEAD.pack(size, 1, count.bit_length())
        + dimension
        + _CONF_TAIL.pack(
            count,
            _LOSSLESS,
            _BOUND_IS_ABSOLUTE,
            bound,
            _ALL_PREDICTORS,
            _FLOAT64,
            _BINS,
            _BLOCK,
            _PREDICTED,
        )
    )


# ---- reading


def _opened(view: memoryview, count: int) -> _Payload:
    """Return the parts of a payload that says of itself what the descriptor says.

    Raises:
        PayloadError: It does not.
    """
    if len(view) < _HEAD.size + _LENGTH.size + _CONF_HEAD.size + _CONF_TAIL.size:
        raise PayloadError(f"sz3: the payload of {len(view)} bytes is too short")
    magic, version, length = _HEAD.unpack_from(view)
    if magic != _MAGIC or version != _VERSION:
        raise PayloadError("sz3: the payload is not of SZ3's data version 3.3.2")
    end = _HEAD.size + length
    if not _LENGTH.size <= length <= len(view) - _HEAD.size or len(view) - end > _LONGEST_CONF:
        raise PayloadError(f"sz3: the stream of {length} bytes does not fit into the payload")
    conf = view[end:]
    if len(conf) <= _CONF_HEAD.size + _CONF_TAIL.size:
        raise PayloadError("sz3: the configuration is cut short")
    size, dimensions, bits = _CONF_HEAD.unpack_from(conf)
    dimension = conf[_CONF_HEAD.size : -_CONF_TAIL.size]
    tail = _CONF_TAIL.unpack_from(conf, len(conf) - _CONF_TAIL.size)
    elements, algorithm, mode, _bound, predictors, kind, bins, block, predicted = tail
    if size != len(conf) or dimensions != 1 or -(-bits // 8) != len(dimension):
        raise PayloadError("sz3: the configuration is not that of one dimension")
    if elements != count or int.from_bytes(dimension, "little") != count:
        raise PayloadError(f"sz3: the payload says {elements} elements, expected {count}")
    if algorithm not in {_LORENZO_REG, _INTERP, _LOSSLESS}:
        raise PayloadError(f"sz3: algorithm {algorithm} is not one that is written")
    wanted = (_BOUND_IS_ABSOLUTE, _FLOAT64, _BLOCK, _PREDICTED)
    if (mode, kind, block, predicted) != wanted or bins not in {_BINS, _FEW_BINS}:
        raise PayloadError("sz3: the configuration is not one that is written")
    if predictors != _LORENZO_PREDICTORS and (predictors != _ALL_PREDICTORS or algorithm == _LORENZO_REG):
        raise PayloadError("sz3: the configuration has predictors that are not written")
    return _Payload(algorithm, view[_HEAD.size : end])


def _decode(data: Bytes, size: int, job: Job) -> Bytes:
    import numpy as np

    if job.dtype.bits != 8 * _VALUE or size % _VALUE or not size:
        raise PayloadError(f"sz3: the payload holds float64 values, which {size} bytes cannot be")
    view = memoryview(data).cast("B")
    payload = _opened(view, size // _VALUE)
    (length,) = _LENGTH.unpack_from(payload.stream)
    if payload.algorithm == _LOSSLESS:
        if length != size:
            raise PayloadError(f"sz3: the stream says {length} bytes, expected {size}")
        values = np.frombuffer(zstd.STAGE.decode(payload.stream[_LENGTH.size :], size, job), "<f8")
    else:
        if length > size + _TREE:
            raise PayloadError(f"sz3: a stream of {length} bytes is too long for {size} decoded ones")
        stream = memoryview(zstd.STAGE.decode(payload.stream[_LENGTH.size :], length, job))
        _check_stream(stream, payload.algorithm, size // _VALUE)
        del stream  # not held while pysz makes its own
        values = _by_package(view, size // _VALUE)
    if job.byte_order != "little":
        values = values.byteswap()
    raw: memoryview = values.view(np.uint8).data
    return raw


def _check_stream(stream: memoryview, algorithm: int, count: int) -> None:
    """Refuse a stream whose sizes are not those of `count` values."""
    try:
        if algorithm == _INTERP:
            at = _INTERP_HEAD.size
            (known,) = _INTERP_HEAD.unpack_from(stream)
        else:
            (choices,) = _LENGTH.unpack_from(stream)
            known, at = max(count, choices), _LENGTH.size
            if choices:
                at, is_leaf = _after_tree(stream, at)
                (length,) = _LENGTH.unpack_from(stream, at)
                if is_leaf and length:
                    # pysz would not skip them, and would go on reading elsewhere than here.
                    raise PayloadError("sz3: a Huffman tree without branches has codes")
                at += _LENGTH.size + length
        (kept,) = _QUANTIZER.unpack_from(stream, at)
        at, _ = _after_tree(stream, at + _QUANTIZER.size + kept * _VALUE)
        (bins,) = _LENGTH.unpack_from(stream, at)
    except (struct.error, OverflowError):
        raise PayloadError("sz3: the stream is cut short") from None
    if known != count or bins > 2 * count + _SPARE_BINS:
        raise PayloadError(f"sz3: the stream is not that of {count} values")


def _after_tree(stream: memoryview, at: int) -> tuple[int, bool]:
    """Return where the Huffman tree at `at` ends, and whether its root is a leaf."""
    nodes, half_states = _TREE_HEAD.unpack_from(stream, at)
    if not 1 <= nodes <= 4 * half_states + 1 or half_states > _MOST_HALF_STATES:
        raise PayloadError(f"sz3: a Huffman tree of {nodes} nodes is out of range")
    reference = next((size for most, size in _NODE_REFERENCES if nodes <= most), 4)
    leaves = at + _TREE_HEAD.size + 1 + nodes * (2 * reference + 4)
    if leaves + nodes > len(stream):
        raise PayloadError("sz3: a Huffman tree is cut short")
    return leaves + nodes, bool(stream[leaves])


def _by_package(view: memoryview, count: int) -> Any:
    """Return the values of a checked payload; pysz checks what is in the stream."""
    import numpy as np

    if sys.byteorder != "little":
        raise PayloadError("sz3: this payload can be decoded on little-endian machines only")
    sz = _package()
    try:
        values, _ = sz.decompress(np.frombuffer(view, np.uint8), np.float64, (count,))
    except (ValueError, IndexError, RuntimeError, MemoryError, OverflowError) as error:
        raise PayloadError(f"sz3: the payload is damaged ({error})") from None
    return values


def _package() -> Any:
    try:
        from pysz import sz
    except ImportError:
        raise CodecUnavailable(
            "compression 'sz3' needs the package pysz: pip install 'tgmtool[sz3]'", codec="sz3", extra="sz3"
        ) from None
    return sz


def _bounded(_data: Bytes, bound: float, _job: Job) -> dict[str, Any]:
    return {_MODE: "abs", _BOUND: bound}


STAGE = Stage(_encode, _decode, _defaults, bounded=_bounded, load=_package, params=(_MODE, _BOUND))
