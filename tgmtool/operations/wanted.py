"""Which objects are meant: numbers, names, conditions and ranges, as a value.

It is separate because what is meant can be said, and read from text, before any source is open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .keys import Keys


class Wanted(NamedTuple):
    """Which objects are meant.

    Attributes:
        condition: Test of an object's keys; None takes all.
        messages: A message's number or a slice of them, from 0; negative counts from the end.
        object: An object's number in its message, or its name.
        ranges: (first element, the one behind the last) of what to take of each; None takes the whole.
    """

    condition: Callable[[Keys], bool] | None = None
    messages: int | slice | None = None
    object: int | str | None = None
    ranges: tuple[tuple[int, int], ...] | None = None


def can_follow(wanted: Wanted) -> bool:
    """Return whether what is meant can be told without knowing the end."""
    numbers = wanted.messages
    if isinstance(numbers, slice):
        ends = [end for end in (numbers.start, numbers.stop) if end is not None]
        return all(end >= 0 for end in ends)
    return all(number is None or number >= 0 for number in (numbers, _number(wanted.object)))


def _number(chosen: int | str | None) -> int | None:
    return chosen if isinstance(chosen, int) else None


def is_within(number: int, part: slice) -> bool:
    """Return whether a slice with no negative ends holds a number."""
    start = part.start or 0
    return (
        number >= start
        and (part.stop is None or number < part.stop)
        and (number - start) % (part.step or 1) == 0
    )


def parse_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Return the element ranges that `A:B[,A:B…]` names.

    Raises:
        ValueError: Not such a list.
    """
    found = []
    for part in text.split(","):
        start, colon, stop = part.partition(":")
        if not colon or not start.isdecimal() or not stop.isdecimal() or int(stop) < int(start):
            raise ValueError(f"{text!r}: expected element ranges as 0:100 or 0:10,50:60")
        found.append((int(start), int(stop)))
    return tuple(found)


def parse_messages(text: str) -> int | slice:
    """Return the message number, or the slice of them, that `I` or `I:J` names.

    Raises:
        ValueError: Neither.
    """
    parts: Sequence[str] = text.split(":")
    try:
        numbers = [int(part) if part else None for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] is not None:
        return numbers[0]
    if len(numbers) == 2:
        return slice(*numbers)
    raise ValueError(f"{text!r}: expected a message number as 0 or -1, or a range as 2:5")
