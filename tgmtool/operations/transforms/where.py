"""`@where`: whole messages of which something is wanted.

It is separate from `select`, the language, because it decides about messages and that about objects.
A message passes as it is or not at all: no byte of it changes. Markers (messages without objects, ends,
errors) always pass: who waits for an end must see it. A stream that lost messages here says so by the
gaps in its numbers; `@stamp` after it makes a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..keys import Keys
from ..select import Condition
from .base import Needs, Unit

MATCHES = ("any", "all", "first")
_BY_MATCH: dict[str, Callable[[Sequence[Keys], Condition], bool]] = {
    "any": lambda keys, holds: any(map(holds, keys)),
    "all": lambda keys, holds: all(map(holds, keys)),
    "first": lambda keys, holds: holds(keys[0]),
}


class Where:
    """Lets messages pass that fulfil a condition.

    Args:
        condition: What `select.where` made of the expressions.
        match: Which of a message's objects must fulfil it: "any", "all" or the "first".

    Attributes:
        dropped: Messages that did not pass.

    Raises:
        ValueError: Another word for `match`.
    """

    name = "@where"
    needs: Needs = "metadata"
    only_looks = True

    def __init__(self, condition: Condition, match: str = "any") -> None:
        if match not in _BY_MATCH:
            raise ValueError(f"--match {match!r} does not exist, expected one of {', '.join(MATCHES)}")
        self._condition = condition
        self._matches = _BY_MATCH[match]
        self.dropped = 0

    def message(self, unit: Unit) -> Iterable[Unit]:
        """Yield the message if it is wanted. Errors as `Unit.place`."""
        if unit.is_marker or self._matches(unit.keys(), self._condition):
            return (unit,)
        self.dropped += 1
        return ()

    def finish(self, *, failed: bool) -> Iterable[Unit]:
        """Nothing is left."""
        return ()
