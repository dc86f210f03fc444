"""THE table of frame types: a new type is one row here.

It is separate because the decoder, the encoder, the order rules and every listing read it.
"""

from __future__ import annotations

from typing import NamedTuple

from . import layout

HEADER, BODY, FOOTER = 0, 1, 2
PHASE_NAMES = ("header", "body", "footer")


class FrameType(NamedTuple):
    """One frame type.

    Attributes:
        number: The type number on the wire (§4).
        name: The name that listings use.
        phase: HEADER, BODY or FOOTER; phases come in this order.
        footer_size: Bytes after the body: hash and ENDF, and for tensors cbor_offset before them (§2.2).
        preamble_flag: The preamble bit that announces it; 0 when none does.
        is_object: It holds a data object: its body has a payload and it stands in the index.
    """

    number: int
    name: str
    phase: int
    footer_size: int
    preamble_flag: int
    is_object: bool = False


HEADER_METADATA, HEADER_INDEX, HEADER_HASH = 1, 2, 3
FOOTER_HASH, FOOTER_INDEX, FOOTER_METADATA = 5, 6, 7
PRECEDER, TENSOR = 8, 9

_CONTROL = layout.FRAME_FOOTER_SIZE

FRAME_TYPES = (
    FrameType(HEADER_METADATA, "header_metadata", HEADER, _CONTROL, layout.HEADER_METADATA),
    FrameType(HEADER_INDEX, "header_index", HEADER, _CONTROL, layout.HEADER_INDEX),
    FrameType(HEADER_HASH, "header_hash", HEADER, _CONTROL, layout.HEADER_HASHES),
    FrameType(PRECEDER, "preceder_metadata", BODY, _CONTROL, layout.PRECEDER_METADATA),
    FrameType(TENSOR, "ntensor", BODY, layout.TENSOR_FOOTER_SIZE, 0, is_object=True),
    FrameType(FOOTER_HASH, "footer_hash", FOOTER, _CONTROL, layout.FOOTER_HASHES),
    FrameType(FOOTER_INDEX, "footer_index", FOOTER, _CONTROL, layout.FOOTER_INDEX),
    FrameType(FOOTER_METADATA, "footer_metadata", FOOTER, _CONTROL, layout.FOOTER_METADATA),
)

BY_NUMBER = {row.number: row for row in FRAME_TYPES}
METADATA_TYPES = frozenset({HEADER_METADATA, FOOTER_METADATA})
