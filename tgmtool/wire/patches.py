"""Filling in the lengths of a finished streaming message, as a value.

It is separate so that a plan can be shown, counted and tested without a file; whoever owns
the file carries it out, in the order given: every prefix of the patches is readable.
"""

from __future__ import annotations

from typing import NamedTuple

from . import layout


class Patch(NamedTuple):
    """Bytes to be written over what stands at `offset` (bytes from the start of the sink)."""

    offset: int
    data: bytes


def length_patches(message_offset: int, length: int) -> tuple[Patch, Patch]:
    """Return the two 8-byte patches that fill in `length`: the preamble's first, then the postamble's.

    No digest covers these bytes. Source: Tensogram wire format v3, §9.4.
    """
    total = length.to_bytes(8, "big")
    postamble = message_offset + length - layout.POSTAMBLE_SIZE
    return (
        Patch(message_offset + layout.PREAMBLE_TOTAL_AT, total),
        Patch(postamble + layout.POSTAMBLE_TOTAL_AT, total),
    )
