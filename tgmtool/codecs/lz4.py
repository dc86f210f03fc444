"""LZ4 as one raw block after its size, which every LZ4 reader understands.

It is separate because it is the only home of the lz4 package. Which bytes an LZ4 encoder chooses is
its own affair: ours differ from the reference's, and each side reads the other's.
Source: LZ4 block format; the size before it is little-endian, four bytes.
"""

from __future__ import annotations

from typing import Any

from ..errors import EncodeError, PayloadError
from .base import Bytes, Job, Stage

_PREFIX = 4
_LARGEST = 0x7E00_0000  # what the LZ4 library takes at once
_EXPANSION = 255  # no byte of a block stands for more bytes than that


def _encode(data: Bytes, _job: Job) -> tuple[Bytes, dict[str, Any]]:
    from lz4 import block

    if len(data) > _LARGEST:
        raise EncodeError(f"lz4 cannot compress {len(data)} bytes, expected at most {_LARGEST}")
    compressed: bytes = block.compress(data, store_size=True)
    return compressed, {}


def _decode(data: Bytes, size: int, _job: Job) -> Bytes:
    from lz4 import block

    compressed = memoryview(data)[_PREFIX:]
    if len(data) <= _PREFIX:
        raise PayloadError(f"lz4: the payload has {len(data)} bytes, expected a size and a block")
    claimed = int.from_bytes(data[:_PREFIX], "little")
    if claimed != size:
        raise PayloadError(f"lz4: the payload says that it holds {claimed} bytes, expected {size}")
    if size > _LARGEST:
        raise PayloadError(f"lz4 cannot decompress {size} bytes, expected at most {_LARGEST}")
    if size > _EXPANSION * len(compressed):
        raise PayloadError(f"lz4: a block of {len(compressed)} bytes cannot hold {size}")
    try:
        out: bytes = block.decompress(compressed, uncompressed_size=size)
    except block.LZ4BlockError as error:
        raise PayloadError(f"lz4: {error}") from None
    if len(out) != size:
        raise PayloadError(f"lz4: the payload ends after {len(out)} bytes, expected {size}")
    return out


STAGE = Stage(_encode, _decode)
