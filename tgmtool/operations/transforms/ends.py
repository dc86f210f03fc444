"""End markers after messages were changed: what they say of what was sent is said anew.

It is separate because every transform that changes bytes (`@recode`, `@refs`, `@resolve`) makes the ends
after it wrong, though nothing was lost. What an end said wrongly before is left as it is: a loss upstream
must stay visible. What is said anew can be said back: after `@resolve` an end is the one it was.
"""

from __future__ import annotations

from ...errors import EncodeError
from ...messages.stream import END, Place, Sender, Tally
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
        """
        place = old.place
        if place is None:
            return new
        before, after = self._sent.setdefault(place.who, (Tally(), Tally()))
        if place.type == END and before.digest != after.digest:
            new = _said_anew(new, place, before, after)
        for tally, unit in ((before, old), (after, new)):
            tally.data(memoryview(unit.data))
            tally.end()
        return new


def _said_anew(end: Unit, place: Place, before: Tally, after: Tally) -> Unit:
    """Return the end with what was true before the change, and is not any more, as it is now."""
    true, now = before.to_map(), after.to_map()
    said = {key: now[key] for key in true if place.rest.get(key) == true[key]}
    try:
        made = end.replaced(with_place(end, place._replace(rest={**place.rest, **said})))
        back = with_place(made, place)
    except EncodeError:  # CBOR that is read and never written
        return end
    return made if back == memoryview(end.data) else end
