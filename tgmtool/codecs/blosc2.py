"""Blosc2: one contiguous frame per object, with the recipe of the reference.

It is separate because it is the only home of the blosc2 package. The frame around the chunks is
read here, and every chunk's header is checked, before the library sees a chunk: its decoder takes
sizes from the chunk, and would start a program to find the plug-in that a hostile header names.
Source: Tensogram wire format v3, §6.5 (`blosc2_*`); c-blosc2, README_CFRAME_FORMAT and
README_CHUNK_FORMAT.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any, NamedTuple

from ..errors import CodecUnavailable, EncodeError, PayloadError
from .base import Bytes, Job, Parts, Stage

_CODEC, _LEVEL = "blosc2_codec", "blosc2_clevel"
_DEFAULT_CODEC, _DEFAULT_LEVEL, _HIGHEST_LEVEL = "lz4", 5, 9
_CODECS = ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
_CHUNK = 256 << 20  # the library takes at most 2 GiB at once; the reference splits here
_SMALLEST_CHUNK = 1 << 16  # of several: a list of smaller ones could be larger than the values
_LARGEST_BLOCK = 32 << 20  # the decoder holds three of them

# The frame's header as far as it is needed: msgpack with every field at a fixed place.
_FRAME = struct.Struct(">10sx i x Q x 4s x q x q x i x i x i x h x h ? 18s")
_FRAME_MAGIC = b"\x9e\xa8b2frame\x00"
_CONTIGUOUS = 0
# A chunk's header: little-endian.
_HEADER = struct.Struct("<4B 3i 6s 2B 6s 2B")
_HEADER_FORMAT, _EXTENDED, _INNER = 5, 0b101, (0, 1, 3, 4)  # inner: blosclz, lz4, zlib, zstd
_KNOWN_FILTERS = frozenset((0, 1, 2))  # none, shuffle, bitshuffle: none of them a plug-in
_ORDINARY, _ZEROS, _NANS, _REPEATED = 0, 1, 2, 3


class _Place(NamedTuple):
    """One chunk of a checked frame.

    Attributes:
        start: Where it is in the payload; None for zeros, which have no chunk.
        most: Bytes that it has at most.
        first: Its first decoded byte.
        last: One past its last decoded byte.
    """

    start: int | None
    most: int
    first: int
    last: int


def _package() -> Any:
    try:
        import blosc2
    except ImportError:
        raise CodecUnavailable(
            "compression 'blosc2' needs the package blosc2: pip install 'tgmtool[blosc2]'",
            codec="blosc2",
            extra="blosc2",
        ) from None
    return blosc2


# ---- writing


def _typesize(job: Job) -> int:
    return -(-job.sample_bits // 8)


def _defaults(job: Job) -> dict[str, Any]:
    codec: Any = job.params.get(_CODEC, _DEFAULT_CODEC)
    level: Any = job.params.get(_LEVEL, _DEFAULT_LEVEL)
    if type(codec) is not str or codec not in _CODECS:
        raise EncodeError(f"{_CODEC} {codec!r} does not exist, expected one of {', '.join(_CODECS)}")
    if type(level) is not int or not 0 <= level <= _HIGHEST_LEVEL:
        raise EncodeError(f"{_LEVEL} {level!r} is out of range, expected 0 to {_HIGHEST_LEVEL}")
    if job.sample_bits == 1 and not job.packed:
        raise EncodeError("blosc2 does not take a bitmask: the reference cannot; shuffle it first")
    if not job.elements:
        raise EncodeError("blosc2 does not take an object without elements: the reference cannot read it")
    if job.sample_bits == 0:
        raise EncodeError("blosc2 does not take values packed to 0 bits: nothing is left of them")
    return {}


def _encode(data: Bytes, job: Job) -> tuple[Bytes, dict[str, Any]]:
    import numpy as np

    blosc2 = _package()
    typesize = _typesize(job)
    view = memoryview(data).cast("B")
    if len(view) % typesize and not np.frombuffer(view, np.uint8).any():
        # Nothing but zeros (a constant field, packed) that are no whole elements: the reference writes this
        # as elements, and its process dies when it reads it.
        typesize = 1
    chunk = _CHUNK // typesize * typesize
    schunk = blosc2.SChunk(
        chunksize=min(chunk, len(view)),
        # The frame is made at the end: one that grows says another block size and thread count.
        contiguous=False,
        cparams={
            "codec": getattr(blosc2.Codec, job.params.get(_CODEC, _DEFAULT_CODEC).upper()),
            "clevel": job.params.get(_LEVEL, _DEFAULT_LEVEL),
            "typesize": typesize,
            # More threads write the blocks in the order in which they get ready.
            "nthreads": 1,
            "filters": [blosc2.Filter.NOFILTER] * 5 + [blosc2.Filter.SHUFFLE],
            "filters_meta": [0] * 6,
            "splitmode": blosc2.SplitMode.FORWARD_COMPAT_SPLIT,
        },
        dparams={"nthreads": 1},
    )
    for start in range(0, len(view), chunk):
        schunk.append_data(view[start : start + chunk])
    return schunk.to_cframe(), {}


# ---- reading


def _places(encoded: Parts, size: int) -> list[_Place]:
    """Return the chunks of a frame that holds `size` bytes by its own account.

    Raises:
        PayloadError: It does not, or it is no frame that the reference writes.
    """
    if encoded.size < _FRAME.size:
        raise PayloadError(f"blosc2: the payload of {encoded.size} bytes is too short for a frame")
    head = bytes(encoded.read(0, _FRAME.size))
    magic, head_size, frame_size, flags, nbytes, cbytes, _type, _block, chunk, *_ = _FRAME.unpack(head)
    if magic != _FRAME_MAGIC or flags[1] != _CONTIGUOUS:
        raise PayloadError("blosc2: the payload is no contiguous frame")
    if frame_size != encoded.size:
        raise PayloadError(f"blosc2: the frame says {frame_size} bytes, the payload has {encoded.size}")
    if nbytes != size:
        raise PayloadError(f"blosc2: the frame says {nbytes} decoded bytes, expected {size}")
    end = head_size + cbytes
    if head_size < _FRAME.size or cbytes < 0 or end > frame_size:
        raise PayloadError("blosc2: the frame's lengths do not fit into it")
    if not size:
        return []
    if not min(size, _SMALLEST_CHUNK) <= chunk < 1 << 31:
        raise PayloadError(f"blosc2: chunks of {chunk} bytes are out of range")
    index = _index(encoded, end, -(-size // chunk))
    bounds = [*range(0, size, chunk), size]
    places = []
    for offset, (start, stop) in zip(index, pairwise(bounds), strict=True):
        if offset < 0:
            if offset >> 56 & 7 != _ZEROS:
                raise PayloadError("blosc2: a chunk is of a kind that is not written")
            places.append(_Place(None, 0, start, stop))
        elif offset + _HEADER.size > cbytes:
            raise PayloadError(f"blosc2: a chunk at {offset} is outside of the frame's {cbytes} bytes")
        else:
            places.append(_Place(head_size + offset, cbytes - offset, start, stop))
    return places


def _index(encoded: Parts, start: int, count: int) -> tuple[int, ...]:
    """Return the offset of every chunk; the index is a chunk itself."""
    chunk = _chunk(encoded, start, encoded.size - start, 8 * count)
    out = bytearray(8 * count)
    _decompress(chunk, out, 1)
    return struct.unpack(f"<{count}q", out)


def _chunk(encoded: Parts, start: int, most: int, size: int) -> bytes:
    """Return one chunk of at most `most` bytes that decodes to `size`, checked.

    Raises:
        PayloadError: Its header says otherwise, or names what the library must not be asked for.
    """
    if most < _HEADER.size:
        raise PayloadError("blosc2: a chunk is cut short")
    head = bytes(encoded.read(start, start + _HEADER.size))
    version, _, flags, typesize, nbytes, block, cbytes, filters, _codec, *_ = _HEADER.unpack(head)
    more = head[-1]
    if version != _HEADER_FORMAT or flags & _EXTENDED != _EXTENDED or flags >> 5 not in _INNER:
        raise PayloadError("blosc2: a chunk is of a form or codec that is not written")
    if not _KNOWN_FILTERS.issuperset(filters):
        raise PayloadError("blosc2: a chunk has a filter that is not written")
    if nbytes != size:
        raise PayloadError(f"blosc2: a chunk says {nbytes} decoded bytes, expected {size}")
    if not _HEADER.size <= cbytes <= most:
        raise PayloadError(f"blosc2: a chunk says {cbytes} bytes, there are {most}")
    if not typesize or not 0 < block <= min(size, _LARGEST_BLOCK):
        raise PayloadError(f"blosc2: blocks of {block} bytes are out of range")
    special = more >> 4
    if more & 0xF or special > _REPEATED:
        raise PayloadError("blosc2: a chunk is of a kind that is not written")
    if special and cbytes != _HEADER.size + (typesize if special == _REPEATED else 0):
        raise PayloadError("blosc2: a chunk without blocks has bytes of blocks")
    return bytes(encoded.read(start, start + cbytes))


def _decompress(chunk: bytes, out: Any, jobs: int) -> None:
    """Fill `out`, which has the size that the checked chunk says."""
    blosc2 = _package()
    try:
        blosc2.decompress2(chunk, dst=out, nthreads=jobs)
    except (ValueError, RuntimeError) as error:
        raise PayloadError(f"blosc2: a chunk is damaged ({error})") from None


def _decode(data: Bytes, size: int, job: Job) -> Bytes:
    view = memoryview(data).cast("B")
    parts = _parts(Parts(len(view), lambda start, stop: view[start:stop]), size, job)
    return parts.whole()


def _parts(encoded: Parts, size: int, job: Job) -> Parts:
    """The header, the index and whole touched chunks are read; touched blocks are decoded."""
    places: list[_Place] | None = None
    opened: dict[int, Any] = {}  # the chunk that was touched last

    def read(start: int, stop: int) -> Bytes:
        nonlocal places
        import numpy as np

        if places is None:
            places = _places(encoded, size)
        # Zeros: what a hostile chunk leaves out must not be what the memory held before.
        out = np.zeros(stop - start, np.uint8)
        target = out.data
        if start == stop:
            return target
        for at, most, first, last in places:
            if at is None or last <= start or stop <= first:
                continue
            begin, end = max(first, start), min(last, stop)
            part = target[begin - start : end - start]
            if (begin, end) == (first, last):
                _decompress(_chunk(encoded, at, most, last - first), part, job.jobs)
            else:
                if at not in opened:
                    opened.clear()
                    opened[at] = _Touched(_chunk(encoded, at, most, last - first), last - first, job.jobs)
                part[:] = opened[at].read(begin - first, end - first)
        return target

    return Parts(size, read)


class _Touched:
    """One chunk of which parts are wanted."""

    def __init__(self, chunk: bytes, size: int, jobs: int) -> None:
        self._typesize = chunk[3]
        self._whole: bytearray | None = None
        if size % self._typesize or chunk[-1]:
            # The library counts in items, and cannot get at what is left after the last.
            self._whole = bytearray(size)
            _decompress(chunk, self._whole, jobs)
            return
        blosc2 = _package()
        cparams = {"typesize": self._typesize, "nthreads": 1}
        self._schunk = blosc2.SChunk(chunksize=size, cparams=cparams, dparams={"nthreads": jobs})
        try:
            self._schunk.append_chunk(chunk)
        except (ValueError, RuntimeError) as error:
            raise PayloadError(f"blosc2: a chunk is damaged ({error})") from None

    def read(self, start: int, stop: int) -> Bytes:
        if self._whole is not None:
            return memoryview(self._whole)[start:stop]
        first, last = start // self._typesize, -(-stop // self._typesize)
        out = bytearray((last - first) * self._typesize)
        try:
            self._schunk.get_slice(first, last, out)
        except (ValueError, RuntimeError) as error:
            raise PayloadError(f"blosc2: a chunk is damaged ({error})") from None
        skip = start - first * self._typesize
        return memoryview(out)[skip : skip + stop - start]


STAGE = Stage(_encode, _decode, _defaults, parts=_parts, load=_package, params=(_CODEC, _LEVEL), level=_LEVEL)
