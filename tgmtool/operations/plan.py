"""What taking objects out of a source would read: ranges, requests and bytes, as a value.

It is separate because a plan is made from headers alone: who only wants to know pays for no payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..endpoints.ranges import Range, cut, joined
from ..wire import layout
from .cat_remote import Picked

_PIECE = 4 << 20  # as `endpoints.remote` cuts them
_GAP = 64 << 10


class Plan(NamedTuple):
    """What would be read.

    Attributes:
        ranges: Of each object, in order; of a part of a compressed object the most it can be.
        requests: In which all of it would come.
        size: Bytes of the objects; what stands between ranges that come together is not counted.
    """

    ranges: tuple[tuple[Range, ...], ...]
    requests: int
    size: int


def ranges_of(picked: Picked, *, verify: bool) -> tuple[Range, ...]:
    """Return the bytes of the source that an object, or the wanted part of it, takes."""
    span, kind = picked.found.span, picked.found.descriptor
    if picked.ranges is None:
        if verify and span.digest is not None:
            end = span.offset + span.length - layout.TENSOR_FOOTER_SIZE
            return (Range(span.offset + layout.FRAME_HEADER_SIZE, end),)
    elif kind.pipeline.is_plain and not kind.masks and kind.elements and kind.size % kind.elements == 0:
        each, start = kind.size // kind.elements, span.payload_offset
        return tuple(Range(start + each * low, start + each * high) for low, high in picked.ranges)
    return (Range(span.payload_offset, span.payload_offset + span.payload_length),)


def plan_of(ranges: Sequence[tuple[Range, ...]]) -> Plan:
    """Return the plan for objects that take these ranges."""
    every = [one for found in ranges for one in found]
    pieces = list(cut(joined(every, gap=_GAP), size=_PIECE))
    return Plan(tuple(ranges), len(pieces), sum(one.size for one in joined(every, gap=0)))
