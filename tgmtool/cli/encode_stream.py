"""What the stream options of `encode` say, as the values that the operation takes.

It is separate from the command because these options stand and fall together: which of them need
each other is said here, in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import EncodeError
from ..operations.credit import Handover, check_handover
from ..operations.numbering import ENDS, Stream
from . import options
from .exits import UsageError


def stream_of(
    *, end: str, in_reply_to: str | None, note: str | None, error: str | None, **names: str | None
) -> Stream:
    """Return the stream that is asked for.

    Args:
        end: A word of ENDS.
        in_reply_to: As it was given.
        note: Text of a message.
        error: Text of a marker.
        **names: `id`, `chan`, `sender`, `mode` and `code`.
    """
    if end not in ENDS:
        raise UsageError(f"--end {end!r} does not exist, expected one of {', '.join(ENDS)}")
    reply = None if in_reply_to is None else _reply(in_reply_to)
    found = Stream(end=end, in_reply_to=reply, note=note, error=error, **names)
    try:
        found.check()
    except EncodeError as wrong:
        raise UsageError(str(wrong)) from None
    return found


def _reply(text: str) -> int | Mapping[str, Any]:
    sender, found, seq = text.rpartition(":")
    if not (seq.isascii() and seq.isdecimal()) or (found and not sender):
        raise UsageError(f"--in-reply-to {text!r}: expected a number, or SENDER:NUMBER")
    return {"sender": sender, "seq": int(seq)} if found else int(seq)


def handover_of(ack: str | None, window: str | None, timeout: str, *, wait: bool) -> Handover | None:
    """Return how to wait for the consumer, or None."""
    if ack is None:
        for given, option in ((window, "--window"), (wait, "--wait-ack")):
            if given:
                raise UsageError(f"{option} needs --ack FILE: there the consumer acknowledges")
        return None
    patience = options.duration(timeout)
    found = Handover(ack, None if window is None else options.size(window), wait, patience or None)
    try:
        check_handover(found)
    except EncodeError as wrong:
        raise UsageError(str(wrong)) from None
    return found
