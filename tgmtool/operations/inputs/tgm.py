"""Objects of other .tgm files, decoded.

It is separate because it is the one input that is read with our own decoder.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...codecs.dtypes import BY_NAME, numpy_dtype
from ...messages.assembly import Assembler
from ...messages.objects import DataObject
from ...wire.decoder import Decoder
from ..drive import drive
from .base import Cursor, Item, Wishes


def read_tgm(cursor: Cursor, wishes: Wishes) -> Iterator[Item]:
    """Objects of messages; whole or not at all."""
    assembler = Assembler(limits=wishes.limits)
    for event in drive(cursor.source, Decoder(control_body_limit=wishes.limits.cbor_bytes)):
        found = assembler.receive(event)
        if isinstance(found, DataObject):
            kind = found.descriptor
            if kind.dtype.name == "bitmask":
                yield Item(found.array, found.metadata, "bitmask", kind.shape)
            elif kind.dtype.name == "bfloat16":
                bits = found.array.view(numpy_dtype(BY_NAME["uint16"], kind.byte_order))
                yield Item(bits, found.metadata, "bfloat16")
            else:
                yield Item(found.array, found.metadata)
