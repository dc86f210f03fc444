"""Plain bytes: raw blocks of one shape, and framed streams that say what follows.

They are separate from other inputs because any language can print them, and share how
bytes become an array.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...codecs.dtypes import BY_NAME
from ...errors import EncodeError, SourceError
from .base import Block, Cursor, Item, Wishes


def read_raw(cursor: Cursor, wishes: Wishes) -> Iterator[Item]:
    """Every full block is an object."""
    if wishes.block is None:
        raise EncodeError(f"{cursor.name}: raw input needs --dtype and --shape")
    yield from _blocks(cursor, wishes.block)


def _blocks(cursor: Cursor, block: Block) -> Iterator[Item]:
    size, make = _block_maker(block, cursor.name)
    if not size:
        raise EncodeError(f"{cursor.name}: a raw block of shape {list(block.shape)} has no bytes")
    number = 0
    while True:
        start = cursor.offset
        data = cursor.upto(size)
        if not len(data):
            if not number:
                raise EncodeError(f"{cursor.name}: is empty, nothing to encode")
            return
        if len(data) < size:
            raise SourceError(
                f"byte {start}: block {number} ends short: expected {size} bytes, got {len(data)}; "
                f"the {number} blocks before it were written",
                uri=cursor.name,
            )
        number += 1
        yield make(data, {})


def _block_maker(block: Block, name: str) -> tuple[int, Callable[[memoryview, Mapping[str, Any]], Item]]:
    """Return the bytes of a block, and what makes an item of them."""
    import numpy as np

    count = 1
    for length in block.shape:
        if length < 0:
            raise EncodeError(f"{name}: shape {list(block.shape)} has a negative length")
        count *= length
    row = BY_NAME.get(block.dtype)
    if row is not None and row.numpy not in {"u1", "u2"}:
        dtype, said = np.dtype("<" + row.numpy), None
    elif row is not None:
        dtype, said = np.dtype("<" + row.numpy), row.name
    else:
        try:
            dtype, said = np.dtype(block.dtype), None
        except TypeError:
            raise EncodeError(
                f"{name}: dtype {block.dtype!r} is unknown, expected for example <f4, int16, bfloat16"
            ) from None
    if dtype.hasobject or dtype.itemsize == 0:
        raise EncodeError(f"{name}: dtype {block.dtype!r} cannot be read from bytes")
    if row is not None and row.name == "bitmask":
        size = row.payload_size(count)
        return size, lambda data, entry: Item(np.frombuffer(data, dtype), entry, said, block.shape)
    size = count * dtype.itemsize
    return size, lambda data, entry: Item(np.frombuffer(data, dtype).reshape(block.shape), entry, said)


def read_framed(cursor: Cursor, _wishes: Wishes) -> Iterator[Item]:
    """A JSON line with dtype, shape and metadata, then exactly that many bytes; repeated."""
    while True:
        start = cursor.offset
        line = cursor.line()
        if not line.strip():
            if not line and cursor.at_end:
                return
            continue
        entry = json_map(line, f"{cursor.name}: byte {start}")
        try:
            dtype, shape = entry.pop("dtype"), entry.pop("shape")
        except KeyError as error:
            raise EncodeError(
                f"{cursor.name}: byte {start}: the JSON line has no {error}, expected dtype and shape"
            ) from None
        if not isinstance(dtype, str) or not is_shape(shape):
            raise EncodeError(
                f"{cursor.name}: byte {start}: expected dtype as text and shape as a list of numbers, "
                f"found {dtype!r:.40} and {shape!r:.60}"
            )
        size, make = _block_maker(Block(dtype, tuple(shape)), cursor.name)
        yield make(cursor.exactly(size, "the array after the JSON line"), entry)


def is_shape(value: Any) -> bool:
    """Whether a JSON value says a shape."""
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


def json_map(line: bytes, where: str) -> dict[str, Any]:
    """Return the map that a line of JSON is.

    Raises:
        EncodeError: It is none; `where` begins the message.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EncodeError(f"{where}: expected a JSON line, found {line[:40]!r} ({error})") from None
    if not isinstance(found, dict):
        raise EncodeError(f"{where}: expected a JSON map, found {line[:40]!r}")
    return found
