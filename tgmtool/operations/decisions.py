"""What of a plan depends on where it is written: how the file appears, and whether its messages are numbered.

It is separate from carrying the plan out so that the rules can be read in one place: a file that
others may follow says when it is over, a file that appears whole need not.
"""

from __future__ import annotations

from typing import Any

from ..endpoints import STDIO
from ..errors import EncodeError
from .credit import check_handover
from .numbering import AUTO, Numbering, Stream
from .outputs import Opened, Output
from .production import Production
from .supply import comes_in_time, is_stream


def commit_of(inputs: list[Any], output: Output, plan: Production) -> str:
    """Return how the output gets its name: as asked, in place if its objects come live, else at the end."""
    live = any(is_stream(place) for place in inputs) or plan.pace or plan.handover is not None
    return output.commit or ("inplace" if live else "rename")


def is_numbered(inputs: list[Any], output: Output, commit: str, plan: Production) -> bool:
    """Return whether the messages are numbered whatever the file says that is continued.

    They are if anything of a stream is asked for, and where others may follow the output and would not
    know when it is over. A pipe that ends says so itself, a renamed file is whole when it appears,
    and what is reproducible has no run of its own.
    """
    if output.rotate or plan.handover is not None:
        return True
    if plan.stream is None:
        return False
    grows = commit != "rename" and output.path != STDIO
    live = plan.pace > 0 or any(comes_in_time(place) for place in inputs)
    followed = grows and live and plan.style.provenance.uuid is None
    return plan.stream.is_numbered(followed=followed)


def check_plan(plan: Production, commit: str) -> None:
    """Refuse what does not go together.

    Raises:
        EncodeError: It does not.
    """
    check_handover(plan.handover)
    if plan.stream is not None:
        plan.stream.check()
        if plan.stream.end == "inline" and plan.style.layout == "streaming":
            raise EncodeError(
                "--end inline says in the header of the last message that it is the last: in streaming "
                "layout the header leaves too early; use --layout buffered, or --end marker"
            )
    if plan.handover is not None and plan.handover.window is not None and commit == "rename":
        raise EncodeError(
            "--window needs a file that can be followed: it cannot be combined with --commit rename"
        )


def numbering_of(opened: Opened, plan: Production, *, numbered: bool) -> Numbering | None:
    """Return the numbers that go on in the file, or begin there; None for plain messages.

    Raises:
        EncodeError: The stream that is to go on has ended.
    """
    standing = opened.standing
    if not numbered and standing is None:
        return None
    stream = plan.stream or Stream(end=AUTO)
    provenance = plan.style.provenance
    last = standing.last if standing is not None else None
    if last is not None and last.closes and stream.asks_nothing:
        last = None  # it is over, and nobody asked for more of it: another run begins
    who = stream.who(last.who if last is not None else None, provenance)
    if standing is None:
        return Numbering(stream, who, opened.sink, provenance)
    seq = standing.next_of(who)
    # Of a file that begins, the end vouches for nothing that its predecessor holds.
    sent = standing.sent_by(who) if stream.end in {AUTO, "marker"} and opened.previous is None else None
    return Numbering(stream, who, opened.sink, provenance, seq=seq, sent=sent, previous=opened.previous)
