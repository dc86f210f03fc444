"""Where following begins: at the last so many units, behind some, at an offset, at the end.

It is separate from `tail` because it looks at what is there already, once, without waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from ..limits import Limits
from ..messages.spans import FrameSpan, Gap, MessageSpan, ObjectSpan
from .choices import Choices
from .scan import scan


def start_of(place: Any, choices: Choices) -> tuple[int, int]:
    """Return (offset, whole messages before it) for `choices.start`."""
    start = choices.start or ""
    if start == "end":
        end = messages = 0
        for found in scan(place, unit="message", limits=choices.limits):
            if isinstance(found, MessageSpan):
                end, messages = found.offset + found.length, messages + 1
            elif isinstance(found, Gap) and found.kind == "incomplete":
                break
            else:
                end = found.offset + found.length
        return end, messages
    word, _, number = start.partition(":")
    if word == "offset" and number.isdecimal():
        return int(number), 0
    raise ValueError(f"start must be 'start', 'end' or 'offset:N', not {start!r}")


def where_last_begin(place: Any, choices: Choices) -> tuple[int, int, int]:
    """Return (message offset, end of what is passed over, whole messages before) for last or skip."""
    unit = "message" if choices.unit in {"message", "piece"} else choices.unit
    before: deque[Any] = deque(maxlen=(choices.last or 0) + 1)
    # The unit just before those that are wanted: what ends with it is passed over.
    for number, found in enumerate(_units(place, unit, choices.limits), 1):
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


def _units(place: Any, unit: str, limits: Limits) -> Iterator[MessageSpan | ObjectSpan | FrameSpan]:
    for found in scan(place, unit=unit, limits=limits):
        if not isinstance(found, Gap):
            yield found
