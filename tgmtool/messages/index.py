"""The index frame: where each object of a message stands.

It is separate because an index that stands before the objects contains its own size, and that
circle is closed here and nowhere else.
Source: Tensogram wire format v3, §6.2.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ..errors import MetadataError
from ..limits import DEFAULT_LIMITS, Limits
from ..wire.encoder import control_frame_size
from ..wire.layout import padding_after
from . import cbor
from .cbor_plain import map_of

_FEW = 16  # objects of a message whose index is remembered


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


def planned(lengths: tuple[int, ...], steps: tuple[int, ...], before: int, after: int) -> tuple[bytes, int]:
    """Return the body of an index frame that stands before the objects, and where the postamble will stand.

    Args:
        lengths: Of the tensor frames.
        steps: Bytes that stand right before each of them, its preceder.
        before: Bytes of the message before the index frame.
        after: Bytes between the index frame and the first object.
    """
    # Of few objects: the next message is likely to have as many, of the same lengths.
    return (_planned if len(lengths) <= _FEW else _planned.__wrapped__)(lengths, steps, before, after)


@lru_cache(64)
def _planned(lengths: tuple[int, ...], steps: tuple[int, ...], before: int, after: int) -> tuple[bytes, int]:
    size = control_frame_size(len(Index((), ()).pack()) + 4 * len(lengths))
    while True:  # its own size moves what it lists: repeat until it is stable
        position = before + size + after
        offsets = []
        for step, length in zip(steps, lengths, strict=True):
            offsets.append(position + step)
            position += step + length + padding_after(length)
        body = Index(tuple(offsets), lengths).pack()
        needed = control_frame_size(len(body))
        if needed == size:
            return body, position
        size = needed
