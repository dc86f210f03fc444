"""A whole message with its lengths filled in, as `backfill` would leave it.

It is separate because everything that writes local copies (`@tee`, `@split`) wants it, and because here
nothing has to be patched: the message is at hand, so its lengths are known before it is written.
"""

from __future__ import annotations

from ...endpoints.base import Bytes
from ...wire import layout
from ...wire.patches import length_patches
from .base import Unit


def filled(unit: Unit) -> list[Bytes]:
    """Return the message in pieces, both lengths filled in. The payload is not copied."""
    data = memoryview(unit.data)
    at = layout.PREAMBLE_TOTAL_AT
    end = len(data) - layout.POSTAMBLE_SIZE + layout.POSTAMBLE_TOTAL_AT
    head, tail = length_patches(0, len(data))
    if data[at : at + 8] == head.data and data[end : end + 8] == tail.data:
        return [data]
    return [data[:at], head.data, data[at + 8 : end], tail.data, data[end + 8 :]]
