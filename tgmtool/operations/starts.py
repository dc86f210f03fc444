"""Where following begins: at the last so many units, behind some, at an offset, at the end.

It is separate from `tail` because it looks at what is there already, once, without waiting.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from typing import Any

from ..endpoints import STDIO, is_remote, open_source
from ..endpoints.base import Source
from ..messages.spans import FrameSpan, Gap, MessageSpan, ObjectSpan
from .choices import Choices
from .cursor import check_boundary
from .scan import scan


def check_start(start: str | None) -> None:
    """Refuse a `Choices.start` that means nothing.

    Raises:
        ValueError: It does.
    """
    word, colon, rest = (start or "start").partition(":")
    if not colon and word in {"start", "end"}:
        return
    number = rest.rpartition(":")[2] if word == "seq" else rest
    if word not in {"offset", "seq"} or not number.isdecimal():
        raise ValueError(
            f"start must be 'start', 'end', 'offset:N', 'seq:N' or 'seq:SENDER:N', not {start!r}"
        )


def begin_at(place: Any, choices: Choices) -> tuple[int, int, int]:
    """Return (message offset, end of what is passed over, whole messages before) for a place.

    Raises:
        CannotResume: No message begins at the offset that was asked for.
        SourceError: The place cannot be read.
    """
    start = choices.start
    if start is not None:
        if start == "end":
            offset, messages = _end_of(place, choices)
            return offset, offset, messages
        word, _, number = start.partition(":")
        if word != "offset":
            return 0, 0, 0  # of a number, every message is looked at
        if is_seekable(place):
            _check(place, int(number))
        return int(number), int(number), 0
    if (choices.last is not None or choices.skip) and not choices.chans and is_seekable(place):
        return _where_last_begin(place, choices)
    return 0, 0, 0


def _check(place: Any, offset: int) -> None:
    source = open_source(place)
    try:
        check_boundary(source, offset, f"{source.name}: --from offset:{offset}", hint="")
    finally:
        if source is not place:
            source.close()


def is_seekable(place: Any) -> bool:
    """Return whether a place can be looked at before it is followed."""
    if isinstance(place, Source):
        return place.seekable
    return place != STDIO and (is_remote(place) or os.path.isfile(place))


def _end_of(place: Any, choices: Choices) -> tuple[int, int]:
    """Return (offset, whole messages before it) of the end of what is whole."""
    if not is_seekable(place) and not isinstance(place, Source):
        return 0, 0
    end = messages = 0
    for found in scan(place, unit="message", limits=choices.limits):
        if isinstance(found, MessageSpan):
            end, messages = found.offset + found.length, messages + 1
        elif isinstance(found, Gap) and found.kind == "incomplete":
            break
        else:
            end = found.offset + found.length
    return end, messages


def _where_last_begin(place: Any, choices: Choices) -> tuple[int, int, int]:
    """Return (message offset, end of what is passed over, whole messages before) for last or skip."""
    unit = "message" if choices.unit in {"message", "piece", "whole"} else choices.unit
    before: deque[Any] = deque(maxlen=(choices.last or 0) + 1)
    # The unit just before those that are wanted: what ends with it is passed over.
    for number, found in enumerate(_units(place, unit, choices), 1):
        if choices.last is None and number > choices.skip:
            break
        before.append(found)
    boundary: Any = None
    if choices.last is None:
        boundary = before[-1] if before else None
    elif len(before) > choices.last:
        boundary = before[0]
    if boundary is None:
        return 0, 0, 0
    end = boundary.offset + boundary.length
    if isinstance(boundary, MessageSpan):
        return end, end, boundary.number + 1
    return boundary.message_offset, end, boundary.message


def _units(place: Any, unit: str, choices: Choices) -> Iterator[MessageSpan | ObjectSpan | FrameSpan]:
    is_dead = choices.assume_dead and not choices.follow  # whoever follows finds that out at the end
    for found in scan(place, unit=unit, assume_dead=is_dead, limits=choices.limits):
        if not isinstance(found, Gap):
            yield found
