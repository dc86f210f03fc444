"""The message by which whoever reads hears that the pipeline failed, and why.

It is separate because it is made of metadata alone, and knows nothing of stages.
"""

from __future__ import annotations

from ...errors import FormatError, TimeLimit, TruncatedError
from ...messages.stream import ERROR, Place, Sender
from ..markers import marker, now
from .failures import Interrupted, StageFailed
from .parcels import Kind, Parcel

_LONGEST_TEXT = 500


def error_marker(error: Exception, seen: Place | None, run: str, name: str) -> Parcel:
    """Return an error marker under a sender name of our own.

    Args:
        error: What went wrong.
        seen: What a message of the stream said of its place; the marker belongs to the same run and channel.
        run: The run, where no message said.
        name: Of the sender.
    """
    who = seen.who._replace(sender=name) if seen else Sender(run, sender=name)
    text = str(error)[:_LONGEST_TEXT].encode("ascii", "backslashreplace").decode()
    rest: dict[str, object] = {"time": now(), "code": _code_of(error), "msg": text}
    if isinstance(error, StageFailed) and error.status is not None:
        rest["exit"] = error.status
    return Parcel(Kind.MESSAGE, (marker(Place(who, 0, ERROR, rest)),), is_marker=True)


def _code_of(error: Exception) -> str:
    """Return the token for `code` of an error marker."""
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (TruncatedError, "input_cut"),
        (FormatError, "input_damaged"),
        (TimeLimit, "time_limit"),
        (Interrupted, "interrupted"),
        (StageFailed, "stage_failed"),
    )
    return next((code for kind, code in kinds if isinstance(error, kind)), "failed")
