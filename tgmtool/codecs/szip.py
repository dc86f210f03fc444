"""CCSDS 121.0-B lossless compression (szip), byte for byte as the reference writes it.

It is separate because it is the only home of libaec, which is called through ctypes: the system's
library, or the one in the `eccodeslib` wheel. libaec's encoder counts block offsets wrongly where
values do not change: there they are mended (`szip_offsets`), and for the same reason stored
offsets are never used for reading: a part is had by decoding what stands before it.
Source: Tensogram wire format v3, §6.5 (`szip_*`); libaec.h 1.1.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from ..errors import CodecUnavailable, EncodeError, PayloadError
from .base import Bytes, Job, Parts, Stage
from .dtypes import BY_NAME
from .szip_offsets import Shape, doubtful, ends_of_blocks

_RSI, _BLOCK, _FLAGS, _OFFSETS = "szip_rsi", "szip_block_size", "szip_flags", "szip_block_offsets"
_USUAL = {_RSI: 128, _BLOCK: 16, _FLAGS: 8}
_SIGNED, _3BYTE, _MSB, _PREPROCESS, _RESTRICTED, _PAD_RSI, _NOT_ENFORCE = (1 << bit for bit in range(7))
_WRITABLE_FLAGS = _SIGNED | _3BYTE | _MSB | _PREPROCESS | _NOT_ENFORCE
_WRITABLE_BITS = (8, 16, 24, 32)
_BLOCKS = (8, 16, 32, 64)
_HIGHEST_RSI, _HIGHEST_BLOCK, _HIGHEST_BITS, _RESTRICTED_BITS = 4096, 4096, 32, 4
_OK, _FLUSH, _NO_FLUSH = 0, 1, 0
_WINDOW = 1 << 20  # of the payload, when it is read forward
_SCRATCH = 3 << 18  # whole samples of any size; stays in the cache


class _Stream(ctypes.Structure):
    """`struct aec_stream` of libaec.h."""

    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_size_t),
        ("total_in", ctypes.c_size_t),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_size_t),
        ("total_out", ctypes.c_size_t),
        ("bits_per_sample", ctypes.c_uint),
        ("block_size", ctypes.c_uint),
        ("rsi", ctypes.c_uint),
        ("flags", ctypes.c_uint),
        ("state", ctypes.c_void_p),
    )


_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "aec_encode_init": (),
    "aec_encode_enable_offsets": (),
    "aec_encode": (ctypes.c_int,),
    "aec_encode_count_offsets": (ctypes.POINTER(ctypes.c_size_t),),
    "aec_encode_get_offsets": (ctypes.POINTER(ctypes.c_size_t), ctypes.c_size_t),
    "aec_encode_end": (),
    "aec_decode_init": (),
    "aec_decode_enable_offsets": (),
    "aec_decode_count_offsets": (ctypes.POINTER(ctypes.c_size_t),),
    "aec_decode_get_offsets": (ctypes.POINTER(ctypes.c_size_t), ctypes.c_size_t),
    "aec_decode": (ctypes.c_int,),
    "aec_decode_end": (),
}


@cache
def _library() -> ctypes.CDLL:
    """Return libaec 1.1 or later: older ones cannot tell the offsets."""
    try:
        import findlibs
    except ImportError:
        raise _missing("findlibs") from None
    # Asked one after the other, because looking into the wheel loads everything that it depends on.
    for package in (None, "eccodeslib"):
        path = findlibs.find("aec", package)
        if path is None:
            continue
        try:
            library = ctypes.CDLL(path)
            for name, more in _SIGNATURES.items():
                function = getattr(library, name)
                function.argtypes = (ctypes.POINTER(_Stream), *more)
                function.restype = ctypes.c_int
        except (OSError, AttributeError):
            continue  # of another architecture, or too old
        return library
    raise _missing("libaec 1.1")


def _missing(what: str) -> CodecUnavailable:
    return CodecUnavailable(
        f"compression 'szip' needs {what}: pip install 'tgmtool[szip]'", codec="szip", extra="szip"
    )


# ---- parameters


def _problem(job: Job, params: dict[str, Any]) -> str | None:
    """Return why libaec must not see these parameters, for reading as for writing."""
    for key in _USUAL:
        if type(params.get(key)) is not int:
            return f"{key} is {'not an integer' if key in params else 'missing'}"
    rsi, block, flags = (params[key] for key in _USUAL)
    if not 1 <= rsi <= _HIGHEST_RSI:
        return f"{_RSI} {_shown(rsi)} is out of range, expected 1 to {_HIGHEST_RSI}"
    if not 0 <= flags < 1 << 32:
        return f"{_FLAGS} {_shown(flags)} is out of range, expected 0 to 2^32 - 1"
    if flags & _NOT_ENFORCE:
        if block % 2 or not 2 <= block <= _HIGHEST_BLOCK:
            return f"{_BLOCK} {_shown(block)} is out of range, expected an even one of 2 to {_HIGHEST_BLOCK}"
    elif block not in _BLOCKS:
        return f"{_BLOCK} {_shown(block)} is out of range, expected 8, 16, 32 or 64"
    bits = job.sample_bits
    if not 1 <= bits <= _HIGHEST_BITS or (bits == 1 and not job.packed):
        return f"szip takes samples of 1 to 32 bits, not {job.dtype.name}'s {bits}: shuffle them first"
    if flags & _RESTRICTED and bits > _RESTRICTED_BITS:
        return f"{_FLAGS} {flags} (restricted) takes samples of at most 4 bits, these have {bits}"
    return None


def _shown(number: int) -> str:
    return str(number) if abs(number) < 1 << 64 else "(huge)"


def _defaults(job: Job) -> dict[str, Any]:
    if _OFFSETS in job.params:
        raise EncodeError(f"{_OFFSETS} cannot be given: the data decides them")
    params = {key: job.params.get(key, usual) for key, usual in _USUAL.items()}
    if problem := _problem(job, params):
        raise EncodeError(problem)
    if job.sample_bits not in _WRITABLE_BITS:
        # The reference reads and writes garbage for these: its bit stream has no whole containers.
        raise EncodeError(f"szip after packing takes 8, 16, 24 or 32 bits, not {job.sample_bits}")
    if params[_FLAGS] & ~_WRITABLE_FLAGS:
        raise EncodeError(f"{_FLAGS} {params[_FLAGS]} cannot be written, expected a sum of 1, 2, 4, 8, 64")
    if params[_BLOCK] > _BLOCKS[-1]:
        raise EncodeError(f"{_BLOCK} {params[_BLOCK]} is out of range, expected at most 64")
    return params


def _checked(job: Job) -> dict[str, Any]:
    params = {key: job.params[key] for key in _USUAL if key in job.params}
    if problem := _problem(job, params):
        raise PayloadError(f"szip: {problem}")
    return params


def _stream(job: Job, params: dict[str, Any]) -> _Stream:
    # The flags that follow from the samples are not stored.
    flags = params[_FLAGS] | (_MSB if job.packed else 0) | (_3BYTE if 16 < job.sample_bits <= 24 else 0)
    return _Stream(bits_per_sample=job.sample_bits, block_size=params[_BLOCK], rsi=params[_RSI], flags=flags)


# ---- writing


def _encode(data: Bytes, job: Job) -> tuple[Bytes, dict[str, Any]]:
    import numpy as np

    params = {key: job.params.get(key, usual) for key, usual in _USUAL.items()}
    size, sample = len(data), job.sample_bits // 8
    if not size:
        return b"", {_OFFSETS: []}
    if size % sample:
        raise EncodeError(f"szip: {size} bytes are no whole number of samples of {sample} bytes")
    source = np.frombuffer(data, np.uint8)
    payload, offsets = encoded(source, job, params)
    intervals = -(-size // (params[_RSI] * params[_BLOCK] * sample))
    if intervals > 1:
        offsets = _mended(offsets, source, payload, job, params)
    return payload, {_OFFSETS: offsets[:intervals]}


def encoded(source: Any, job: Job, params: dict[str, Any]) -> tuple[memoryview, list[int]]:
    """Return the payload, and where its intervals begin as the encoder tells it: what libaec does."""
    import numpy as np

    library, stream = _library(), _stream(job, params)
    size = len(source)
    # Never filled: the worst block costs 5 bits and a reference sample, the last one is padded.
    out = np.empty(size + size // 2 + params[_BLOCK] * 8 + 256, np.uint8)
    stream.next_in, stream.avail_in = source.ctypes.data, size
    stream.next_out, stream.avail_out = out.ctypes.data, len(out)
    if code := library.aec_encode_init(stream):
        raise EncodeError(f"szip: libaec refuses the parameters (code {code})")
    library.aec_encode_enable_offsets(stream)
    code = library.aec_encode(stream, _FLUSH)
    offsets = _told(stream, library.aec_encode_count_offsets, library.aec_encode_get_offsets)
    ended = library.aec_encode_end(stream)
    if code or ended or stream.avail_in:
        raise EncodeError(f"szip: libaec cannot encode this (codes {code}, {ended})")
    return out[: stream.total_out].data, offsets


def _mended(
    offsets: list[int], source: Any, payload: memoryview, job: Job, params: dict[str, Any]
) -> list[int]:
    """Return where each interval begins, given what the encoder told."""
    import numpy as np

    shape = Shape(job.sample_bits, params[_BLOCK], params[_RSI], bool(params[_FLAGS] & _PREPROCESS))
    intervals = -(-len(source) // (shape.bits // 8 * shape.block * shape.rsi))
    after = doubtful(source, shape) + 1  # these may begin later than told
    after = after[after < intervals]
    if not len(after) or (len(offsets) >= intervals and not _tells_early()):
        return offsets
    if len(offsets) >= intervals:
        found = np.array(offsets, np.int64)
        ends = ends_of_blocks(np.frombuffer(payload, np.uint8), found[after], shape)
        if ends is not None:
            found[after] = ends
            return list(found.tolist())
    return _met(payload, len(source), job, params)  # it tells them wrong in another way


@cache
def _tells_early() -> bool:
    """Return whether this libaec takes the end of a run for the end of an interval."""
    import numpy as np

    data = np.array([*[7] * 8, *range(8), *range(16)], np.uint8)
    params = {_RSI: 2, _BLOCK: 8, _FLAGS: _PREPROCESS}
    job = Job(BY_NAME["uint8"], len(data), params)
    payload, told = encoded(data, job, params)
    return told[:2] != _met(payload, len(data), job, params)[:2]


def _met(payload: memoryview, size: int, job: Job, params: dict[str, Any]) -> list[int]:
    """Return the bit at which each reference sample interval begins, as the decoder meets them."""
    import numpy as np

    library, stream = _library(), _stream(job, params)
    source, scratch = np.frombuffer(payload, np.uint8), np.empty(min(size, _SCRATCH), np.uint8)
    stream.next_in, stream.avail_in = source.ctypes.data, len(source)
    library.aec_decode_init(stream)
    library.aec_decode_enable_offsets(stream)
    try:
        while stream.total_out < size:
            before = stream.total_out
            stream.next_out, stream.avail_out = scratch.ctypes.data, min(len(scratch), size - before)
            if library.aec_decode(stream, _FLUSH) or stream.total_out == before:
                raise EncodeError("szip: what libaec wrote cannot be read back")
        return _told(stream, library.aec_decode_count_offsets, library.aec_decode_get_offsets)
    finally:
        library.aec_decode_end(stream)


def _told(stream: _Stream, count: Any, get: Any) -> list[int]:
    """Return the offsets that the stream has collected."""
    number = ctypes.c_size_t()
    if count(stream, number):
        return []  # there is one interval only
    found = (ctypes.c_size_t * number.value)()
    get(stream, found, number.value)
    return list(found)


# ---- reading


class _Forward:
    """A payload decoded forward as far as needed; what was decoded is kept."""

    def __init__(self, encoded: Parts, size: int, job: Job) -> None:
        import numpy as np

        self._encoded, self._size = encoded, size
        # Memory that is not written to is not used.
        self._out = np.zeros(size, np.uint8)
        self._library, self._stream = _library(), _stream(job, _checked(job))
        self._sample = _container(self._stream)
        self._at = 0
        self._window: Any = None
        if code := self._library.aec_decode_init(self._stream):
            raise PayloadError(f"szip: libaec refuses the parameters (code {code})")
        self._is_open = True

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Give libaec's memory back."""
        if getattr(self, "_is_open", False):
            self._is_open = False
            self._library.aec_decode_end(self._stream)

    def upto(self, stop: int) -> memoryview:
        """Return the bytes, of which those before `stop` are decoded."""
        stop = min(-(-stop // self._sample) * self._sample, self._size)
        stream = self._stream
        while stream.total_out < stop:
            if not self._is_open:
                raise PayloadError("szip: the payload is damaged")
            if not stream.avail_in and self._at < self._encoded.size:
                self._feed()
            before, is_last = stream.total_out, self._at == self._encoded.size
            stream.next_out, stream.avail_out = self._out.ctypes.data + before, stop - before
            waiting = stream.avail_in
            code = self._library.aec_decode(stream, _FLUSH if is_last else _NO_FLUSH)
            if code:
                self.close()
                raise PayloadError(f"szip: the payload is damaged (libaec says {code})")
            if stream.total_out == before and stream.avail_in == waiting and is_last:
                self.close()
                raise PayloadError(f"szip: the payload ends after {before} bytes, expected {self._size}")
        return self._out.data

    def _feed(self) -> None:
        import numpy as np

        stop = min(self._at + _WINDOW, self._encoded.size)
        self._window = np.frombuffer(self._encoded.read(self._at, stop), np.uint8)
        self._stream.next_in, self._stream.avail_in = self._window.ctypes.data, len(self._window)
        self._at = stop


def _container(stream: _Stream) -> int:
    """Return the bytes that libaec writes per sample."""
    bits, flags = stream.bits_per_sample, stream.flags
    sizes = ((8, 1), (16, 2), (24, 3 if flags & _3BYTE else 4))
    return next((size for most, size in sizes if bits <= most), 4)


def _check_emptiness(encoded: int, size: int) -> None:
    if bool(encoded) != bool(size):
        raise PayloadError(f"szip: the payload of {encoded} bytes cannot hold {size}")


def _decode(data: Bytes, size: int, job: Job) -> Bytes:
    view = memoryview(data).cast("B")
    _check_emptiness(len(view), size)
    _checked(job)
    if not size:
        return b""
    forward = _Forward(Parts(len(view), lambda start, stop: view[start:stop]), size, job)
    try:
        return forward.upto(size)
    finally:
        forward.close()


def _parts(encoded: Parts, size: int, job: Job) -> Parts:
    _check_emptiness(encoded.size, size)
    _checked(job)
    forward: _Forward | None = None

    def read(start: int, stop: int) -> Bytes:
        nonlocal forward
        if start == stop:
            return b""
        if forward is None:
            forward = _Forward(encoded, size, job)
        return forward.upto(stop)[start:stop]

    return Parts(size, read, held=size)


STAGE = Stage(_encode, _decode, _defaults, parts=_parts, load=_library, params=(*_USUAL, _OFFSETS))
