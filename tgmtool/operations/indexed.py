"""Find objects by an index that somebody wrote, and believe none of it.

It is separate because the index only says where to look: what is found there is read and checked as
ever, by the same scanner, and what the index does not list is looked through. An index that is wrong
about anything it was needed for is given up before anything was handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ..endpoints.ranges import Range, RangeSource
from ..limits import Limits
from ..messages.assembly import Message
from ..messages.spans import Gap, ObjectSpan
from .index_lines import NO_OBJECT, BadIndex, Claims, Line, Unknown, by_message
from .keys import Keys, keys_of
from .scan import Scanner

_HEAD, _END = 4 << 10, 4 << 10  # of a message: enough for most headers, and for most footers
_SMALL = 64 << 10

Grouped = tuple[Message, list[ObjectSpan]]


def messages_by_index(
    source: RangeSource,
    lines: Sequence[Line],
    condition: Callable[[Keys], bool],
    limits: Limits,
    on_gap: Callable[[Gap], None],
) -> list[Grouped] | None:
    """Return the messages that may hold what is meant; None if the index is of no help.

    What it lists and is not meant is passed over unseen: that is what it is for.

    Args:
        source: What the index is about.
        lines: What the index says, by offset.
        condition: Which objects are meant.
        limits: What the input may cost.
        on_gap: Is told of bytes that belong to no whole message.

    Raises:
        BadIndex: Something else is there than it says; nothing was handed out yet.
        SourceError: The source failed.
    """
    listed = list(by_message(lines))
    wanted = [found for found in listed if any(_may_match(line, condition) is not False for line in found)]
    if not wanted or 2 * len(wanted) > len(listed) + 1:
        return None
    size = source.size()
    assert size is not None
    source.prefetch(part for found in wanted for part in _ends(found[0]))
    needed = {found[0].offset for found in wanted}
    parts = [_Part(found[0].offset, _end(found[0]), found) for found in listed]
    held: list[Grouped] = []
    gaps: list[Gap] = []
    matched = False
    number = 0  # of the next message: counted, whatever the index says
    for part in sorted([*parts, *_unlisted(listed, size)], key=lambda part: part.start):
        if any(line.number not in {None, number} for line in part.lines):
            raise BadIndex(f"byte {part.start}: it gives message {number} another number")
        if part.lines and part.start not in needed:
            number += 1
            continue
        found = list(_between(source, part, number, limits, gaps))
        number += len(found)
        real = {
            (message.span.offset, span.number): condition(keys_of(span, file=source.name))
            for message, objects in found
            for span in objects
        }
        if part.lines:
            _check(found, part.lines)
        for line in part.lines:
            if _may_match(line, condition) and real.get((line.offset, line.object or 0)) is False:
                raise BadIndex(f"byte {line.offset}: object {line.object or 0} has other keys than it says")
        matched = matched or any(real.values())
        held += found
    if not matched:
        return None
    for gap in gaps:
        on_gap(gap)
    return held


class _Part(NamedTuple):
    """A part of the source that has to be looked at: a message that is listed, or what is not.

    Attributes:
        start: Its first byte.
        stop: The one behind its last.
        lines: What the index says of it.
    """

    start: int
    stop: int
    lines: list[Line]


def _may_match(line: Line, condition: Callable[[Keys], bool]) -> bool | None:
    """Return what the line says, None if it does not say."""
    if line.object == NO_OBJECT:
        return False
    try:
        return condition(Claims(line))
    except Unknown:
        return None


def _end(line: Line) -> int:
    return line.offset + line.length


def _ends(line: Line) -> Iterator[Range]:
    stop = _end(line)
    if line.length <= _SMALL:
        yield Range(line.offset, stop)
    else:
        yield Range(line.offset, line.offset + _HEAD)
        yield Range(stop - _END, stop)


def _unlisted(listed: Sequence[list[Line]], size: int) -> Iterator[_Part]:
    """Yield what no line speaks of."""
    at = 0
    for lines in listed:
        if lines[0].offset > at:
            yield _Part(at, lines[0].offset, [])
        at = _end(lines[0])
    if at < size:
        yield _Part(at, size, [])


def _between(
    source: RangeSource, part: _Part, number: int, limits: Limits, gaps: list[Gap]
) -> Iterator[Grouped]:
    """Yield the messages that begin in a part of the source, the first of which has this number."""
    stop, expected = part.stop, part.lines
    objects: list[ObjectSpan] = []
    scanner = Scanner(source, limits, check_objects=False, start=part.start, number=number)
    for one in scanner.run():
        if isinstance(one, ObjectSpan):
            objects += [one] if one.status == "ok" else []
            continue
        if isinstance(one, Message):
            if one.span.offset >= stop:
                return
            if one.span.offset + one.span.length > stop:
                raise BadIndex(f"byte {one.span.offset}: a message is longer than the index says")
            yield one, objects
        else:
            if expected or one.offset + one.length > stop:
                raise BadIndex(f"byte {one.offset}: there is no whole message where the index says so")
            gaps.append(one)
        objects = []
        at = one.span if isinstance(one, Message) else one
        if at.offset + at.length >= stop:
            return


def _check(found: list[Grouped], expected: list[Line]) -> None:
    """Compare one message with what the index says of it."""
    first = expected[0]
    place = (first.offset, first.length)
    if len(found) != 1 or (found[0][0].span.offset, found[0][0].span.length) != place:
        raise BadIndex(f"byte {first.offset}: there is another message than the index says")
    objects = {span.number: (span.offset, span.length) for span in found[0][1]}
    for line in expected:
        if line.object is None:
            continue  # nobody said which
        if line.object not in objects:
            raise BadIndex(f"byte {first.offset}: the message has no object {line.object}")
        if line.place is not None and objects[line.object] != line.place:
            raise BadIndex(f"byte {first.offset}: object {line.object} is elsewhere than the index says")
