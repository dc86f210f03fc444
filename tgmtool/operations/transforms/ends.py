"""End markers after messages were changed: what they say of what was sent is said anew.

It is separate because a transform that changes bytes (`@recode`) makes every later end wrong, though
nothing was lost. What an end said wrongly before is left as it is: a loss upstream must stay visible.
"""

from __future__ import annotations

from ...messages.stream import END, Sender, Tally
from .base import Unit
from .stamp import with_place


class Ends:
    """Counts what every sender sent, before and after the change."""

    def __init__(self) -> None:
        self._sent: dict[Sender, tuple[Tally, Tally]] = {}

    def passed(self, old: Unit, new: Unit) -> Unit:
        """Take note of a message and of what was made of it; return what shall go on in its place.

        Raises:
            MetadataError: It says its place wrongly.
            EncodeError: As `with_place`.
        """
        place = old.place
        if place is None:
            return new
        before, after = self._sent.setdefault(place.who, (Tally(), Tally()))
        if place.type == END and before.digest != after.digest:
            true, now = before.to_map(), after.to_map()
            said = {key: now[key] for key in true if place.rest.get(key) == true[key]}
            if said:
                new = new.replaced(with_place(new, place._replace(rest={**place.rest, **said})))
        for tally, unit in ((before, old), (after, new)):
            tally.data(memoryview(unit.data))
            tally.end()
        return new
