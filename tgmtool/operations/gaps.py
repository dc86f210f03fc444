"""What a reader reports about bytes that belong to no whole message.

It is separate because every reader reports it, and listing a file should not import what writes one.
"""

from __future__ import annotations

from ..endpoints.base import Source
from ..errors import TruncatedError
from ..messages.spans import Gap
from ..wire.events import Damaged


def gap_of(event: Damaged) -> Gap:
    """Return the gap that a Damaged event reports."""
    kind = "foreign" if event.reason.code == "foreign_bytes" else "damaged"
    return Gap(event.offset, event.size, kind, event.reason.code, str(event.reason))


def gap_of_cut(error: TruncatedError, source: Source | None = None) -> Gap:
    """Return the gap that a cut message at the end of the input is.

    Args:
        error: Where it was cut.
        source: Is looked at for whole messages that may stand inside it; None if that was done.
    """
    text = error.text + (hint_of(error, source) if source is not None else "")
    return Gap(error.message_offset, error.available, "incomplete", error.code, text)


def hint_of(error: TruncatedError, source: Source) -> str:
    """Return the end of a sentence about a cut message that seems to hide whole ones; "" if none does."""
    from ..endpoints.local import FileSource, MappedSource
    from ..endpoints.memory import MemorySource
    from .guesses import hidden_in

    if not isinstance(source, FileSource | MappedSource | MemorySource):
        return ""  # looking would cost time or money there, or is not possible
    count = hidden_in(source, error.whole_until, error.message_offset + error.available)
    if not count:
        return ""
    what = "1 whole message" if count == 1 else f"{count} whole messages"
    return f"; {what} may stand inside it: --assume-dead takes the cut one for lost and shows the rest"
