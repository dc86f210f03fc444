"""The messages in bytes that are all at hand.

It is separate from the reader because there is nothing to wait for, and nothing to repair.
"""

from __future__ import annotations

from ...endpoints.base import Bytes
from ...endpoints.memory import MemorySource
from ...wire.decoder import Decoder
from ...wire.events import FrameBegan, MessageEnded
from ..drive import drive
from .parcels import Kind, Parcel


def messages_in(data: Bytes, number: int, name: str) -> list[Parcel]:
    """Return the messages that `data` consists of; views, nothing is copied.

    Args:
        data: Any number of whole messages.
        number: That they all are given: of the message that they were made from.
        name: For messages.

    Raises:
        FormatError: It is something else.
    """
    view = memoryview(data)
    decoder = Decoder(verify=False)
    found = []
    for event in drive(MemorySource(view, name), decoder):
        if isinstance(event, FrameBegan) and event.header.row.is_object:
            decoder.skip_frame()
        elif isinstance(event, MessageEnded):
            piece = view[event.offset : event.offset + event.length]
            found.append(
                Parcel(
                    Kind.MESSAGE,
                    (piece,),
                    number=number,
                    offset=event.offset,
                    size=event.length,
                    is_marker=not event.objects,
                )
            )
    return found
