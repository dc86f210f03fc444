"""The descriptor of one object: what its payload is and how it was made.

It is separate because it is the one part of a frame that decides how much memory a reader
takes; everything in it is checked before it is used.
Source: Tensogram wire format v3, §6.5.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

from .. import codecs
from ..codecs.dtypes import BY_NAME, DType
from ..codecs.pipeline import Pipeline
from ..errors import MetadataError
from ..limits import DEFAULT_LIMITS, Limits
from . import cbor

TENSOR_TYPE = "ntensor"
_OWN_KEYS = (
    "type",
    "ndim",
    "shape",
    "strides",
    "dtype",
    "byte_order",
    "encoding",
    "filter",
    "compression",
    "masks",
)
_LARGEST_COUNT = (1 << 63) - 1
_CODES = {
    "ndim": "ndim_shape_mismatch",
    "strides": "strides_shape_mismatch",
    "encoding": "unknown_encoding",
    "filter": "unknown_filter",
    "compression": "unknown_compression",
}


class Descriptor(NamedTuple):
    """What stands in the CBOR of a tensor frame.

    Attributes:
        shape: Elements along each axis; `()` is a scalar.
        dtype: Row of THE table of dtypes.
        byte_order: "little" or "big".
        strides: In elements; informational, arrays are always read in C order.
        pipeline: The stages, with their parameters.
        masks: The mask map as it stands, or None.
        type: "ntensor".
        byte_order_given: False when the key was absent, which means native.
    """

    shape: tuple[int, ...]
    dtype: DType
    byte_order: str = "little"
    strides: tuple[int, ...] = ()
    pipeline: Pipeline = Pipeline()
    masks: Mapping[str, Any] | None = None
    type: str = TENSOR_TYPE
    byte_order_given: bool = True

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes of the values, decoded."""
        return self.dtype.payload_size(self.elements)

    def to_map(self) -> dict[str, Any]:
        """Return the map as it stands in the frame."""
        value: dict[str, Any] = {
            "type": self.type,
            "ndim": len(self.shape),
            "shape": list(self.shape),
            "strides": list(self.strides),
            "dtype": self.dtype.name,
            "encoding": self.pipeline.encoding,
            "filter": self.pipeline.filter,
            "compression": self.pipeline.compression,
            **self.pipeline.params,
        }
        if self.byte_order_given:
            value["byte_order"] = self.byte_order
        if self.masks is not None:
            value["masks"] = dict(self.masks)
        return value

    def pack(self) -> bytes:
        """Return the descriptor as CBOR."""
        return cbor.encode(self.to_map())

    @classmethod
    def parse(cls, body: bytes | memoryview, *, offset: int, limits: Limits = DEFAULT_LIMITS) -> Descriptor:
        """Parse a descriptor that stands at `offset` (bytes from the start of the source).

        Raises:
            MetadataError: A key is missing, has the wrong type or an impossible value.
            LimitExceeded: More dimensions than `limits` allow.
        """
        value = cbor.decode_map(body, what="descriptor", offset=offset, limits=limits)
        read = _Reader(value, offset)
        shape = read.unsigned_list("shape")
        limits.check("ndim", len(shape), f"the object has {len(shape)} dimensions", offset=offset)
        ndim = read.get("ndim", int)
        if ndim != len(shape):
            raise read.error("ndim", f"{cbor.brief(ndim)}, but the shape has {len(shape)} dimensions")
        strides = read.unsigned_list("strides")
        if len(strides) != len(shape):
            raise read.error("strides", f"{len(strides)} numbers, but the shape has {len(shape)} dimensions")
        if 0 not in shape and prod(shape) > _LARGEST_COUNT:
            raise read.error("shape", f"{cbor.brief(list(shape))}, more than 2^63 elements", "shape_overflow")
        kind = read.get("type", str)
        if not kind:
            raise read.error("type", "empty", "empty_obj_type")
        dtype = BY_NAME.get(name := read.get("dtype", str))
        if dtype is None:
            raise read.error("dtype", f"{cbor.brief(name)}, expected one of {', '.join(BY_NAME)}")
        byte_order = value.get("byte_order", sys.byteorder)
        if byte_order not in ("little", "big"):
            raise read.error("byte_order", f"{cbor.brief(byte_order)}, expected little or big")
        stages = {}
        for stage_kind in (codecs.ENCODING, codecs.FILTER, codecs.COMPRESSION):
            stages[stage_kind] = stage_name = read.get(stage_kind, str)
            if not codecs.is_known(stage_kind, stage_name):
                expected = ", ".join(codecs.names(stage_kind))
                raise read.error(stage_kind, f"{cbor.brief(stage_name)}, expected one of {expected}")
        masks = value.get("masks")
        if masks is not None and not isinstance(masks, dict):
            raise read.error("masks", "not a map")
        params = {key: inner for key, inner in value.items() if key not in _OWN_KEYS}
        return cls(
            shape,
            dtype,
            byte_order,
            strides,
            Pipeline(stages["encoding"], stages["filter"], stages["compression"], params),
            masks,
            kind,
            "byte_order" in value,
        )


def c_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides, in elements, of an array in C order (as the reference writes them)."""
    strides: list[int] = []
    step = 1
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


class _Reader:
    """Takes keys out of an untrusted map, with errors that name the key."""

    def __init__(self, value: Mapping[str, Any], offset: int) -> None:
        self._value = value
        self._offset = offset

    def error(self, key: str, found: str, code: str = "") -> MetadataError:
        return MetadataError(
            f"descriptor: {key} is {found}",
            offset=self._offset,
            section="6.5",
            code=code or _CODES.get(key, "descriptor_invalid"),
        )

    def get(self, key: str, kind: type) -> Any:
        found = self._value.get(key)
        if type(found) is not kind:
            said = "missing" if key not in self._value else f"{cbor.brief(found)}, expected {kind.__name__}"
            raise self.error(key, said)
        return found

    def unsigned_list(self, key: str) -> tuple[int, ...]:
        found = self.get(key, list)
        for number in found:
            if type(number) is not int or not 0 <= number <= (1 << 64) - 1:
                raise self.error(key, f"{cbor.brief(found)}, expected unsigned integers")
        return tuple(found)
