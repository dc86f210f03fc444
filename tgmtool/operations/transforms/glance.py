"""What a usual message says of itself, found in one walk over its frames.

It is separate from `Unit.looked`, which takes every message apart and says what is wrong with it: here
only what most messages are is understood, and all others are left to that. Most messages of a stream
of small ones are looked at for a few keys, and that must not cost more than their metadata.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ...endpoints.base import Bytes
from ...errors import FormatError, LimitExceeded
from ...limits import Limits
from ...messages.descriptor import Descriptor
from ...messages.metadata import Metadata
from ...messages.spans import ObjectSpan
from ...wire import frametypes, layout
from ...wire.digest import digest_functions
from ..sweep import frames_of

_LONGEST_DESCRIPTOR = 4096  # bytes of one that is remembered


class Glance(NamedTuple):
    """What a message says.

    Attributes:
        metadata: Header and footer together.
        objects: Its data objects, with their descriptors and metadata; at least one.
    """

    metadata: Metadata
    objects: tuple[ObjectSpan, ...]


def glance(data: Bytes, *, number: int, offset: int, limits: Limits) -> Glance | None:
    """Return what a message says, as `Unit.looked` would; None if it has to be asked.

    The digests of control frames are checked, those of payloads are not.

    Args:
        data: The whole message.
        number: Of the message, for the places of its objects.
        offset: Where it stands (bytes from the start of the input).
        limits: What it may cost.
    """
    view = memoryview(data)
    digest_of, _ = digest_functions()
    metadata: Metadata | None = None
    found: list[tuple[int, int, int, int, Descriptor]] = []
    try:
        for frame in frames_of(view):
            body = view[frame.place + layout.FRAME_HEADER_SIZE : frame.foot]
            if frame.cbor_offset is not None:
                if not frame.flags & layout.CBOR_AFTER_PAYLOAD:
                    return None
                packed = bytes(view[frame.place + frame.cbor_offset : frame.foot])
                if len(packed) > _LONGEST_DESCRIPTOR:
                    return None
                size = frame.cbor_offset - layout.FRAME_HEADER_SIZE
                found.append((frame.place, frame.length, size, frame.digest, _descriptor(packed, limits)))
            elif frame.type == frametypes.PRECEDER or digest_of(body) != frame.digest:
                return None
            elif frame.type in frametypes.METADATA_TYPES:
                said = Metadata.parse(body, offset=offset, limits=limits)
                metadata = said if metadata is None else said.over(metadata)
            elif len(body) > limits.cbor_bytes:
                return None
    except (FormatError, LimitExceeded):
        return None
    if metadata is None or not 0 < len(found) <= limits.objects or len(metadata.base) > len(found):
        return None
    objects = tuple(
        ObjectSpan(
            offset + place,
            length,
            number,
            index,
            offset,
            offset + place + layout.FRAME_HEADER_SIZE,
            size,
            digest,
            descriptor,
            metadata.of_object(index),
        )
        for index, (place, length, size, digest, descriptor) in enumerate(found)
    )
    return Glance(metadata, objects)


@lru_cache(256)
def _descriptor(packed: bytes, limits: Limits) -> Descriptor:
    # Where it stands is of use in an error alone, and that is for others to tell.
    return Descriptor.parse(packed, offset=0, limits=limits)
