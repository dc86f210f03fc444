"""The index frame: where each object of a message stands.

It is separate because an index that stands before the objects contains its own size, and that
circle is closed here and nowhere else.
Source: Tensogram wire format v3, §6.2.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import MetadataError
from ..limits import DEFAULT_LIMITS, Limits
from . import cbor
from .cbor_plain import map_of


class Index(NamedTuple):
    """Offsets and lengths of the tensor frames of one message, in order.

    Attributes:
        offsets: Bytes from the start of the message.
        lengths: `total_length` of each frame, without padding.
    """

    offsets: tuple[int, ...]
    lengths: tuple[int, ...]

    def pack(self) -> bytes:
        """Return the frame's body."""
        return map_of(
            {"offsets": cbor.unsigned_array(self.offsets), "lengths": cbor.unsigned_array(self.lengths)}
        )

    @classmethod
    def parse(cls, body: bytes | memoryview, *, offset: int, limits: Limits = DEFAULT_LIMITS) -> Index:
        """Parse an index frame's body that stands at `offset` (bytes from the start of the source).

        Raises:
            MetadataError: Not two lists of the same number of unsigned integers.
        """
        value = cbor.decode_map(body, what="index", offset=offset, limits=limits)
        lists = []
        for name in ("offsets", "lengths"):
            numbers = value.get(name, [])
            if not isinstance(numbers, list) or any(type(n) is not int or n < 0 for n in numbers):
                raise MetadataError(
                    f"index: {name} must be a list of unsigned integers",
                    offset=offset,
                    section="6.2",
                    code="index_cbor_parse_failed",
                )
            lists.append(tuple(numbers))
        if len(lists[0]) != len(lists[1]):
            raise MetadataError(
                f"index: {len(lists[0])} offsets and {len(lists[1])} lengths, expected as many of each",
                offset=offset,
                section="6.2",
                code="index_cbor_parse_failed",
            )
        return cls(*lists)
