"""What a reader reports about bytes that belong to no whole message.

It is separate because every reader reports it, and listing a file should not import what writes one.
"""

from __future__ import annotations

from ..errors import TruncatedError
from ..messages.spans import Gap
from ..wire.events import Damaged


def gap_of(event: Damaged) -> Gap:
    """Return the gap that a Damaged event reports."""
    kind = "foreign" if event.reason.code == "foreign_bytes" else "damaged"
    return Gap(event.offset, event.size, kind, event.reason.code, str(event.reason))


def gap_of_cut(error: TruncatedError) -> Gap:
    """Return the gap that a cut message at the end of the input is."""
    return Gap(error.message_offset, error.available, "incomplete", error.code, error.text)
