"""`@stamp`: every message gets a place in one stream, and the stream an end.

It is separate because it is the one transform that says who sent what. Only metadata frames are written
anew (header and footer alike), and what follows from their sizes; payload frames stay byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ...messages import cbor
from ...messages.metadata import EXTRA, Provenance
from ...messages.stream import END, ERROR, KEY, Place, Sender, Tally, checked_name
from ..markers import marker, now
from .base import Needs, Unit
from .reframe import metadata_maps, reframe

# What of another stream's place stays true in ours.
_NOT_OURS = frozenset({"last", "count", "bytes", "digest", "next"})


def with_place(unit: Unit, place: Place) -> bytes:
    """Return the message with another place in its metadata, in the header and in the footer alike.

    Raises:
        EncodeError: Its metadata holds something that is read and never written (a CBOR tag).
        FormatError, LimitExceeded: It cannot be read.
    """
    bodies = {}
    for position, said in metadata_maps(unit):
        said.pop(KEY, None)  # at the top it means the same
        said[EXTRA] = {**said.get(EXTRA, {}), KEY: place.to_map()}
        bodies[position] = cbor.encode(said)
    return reframe(unit, bodies=bodies)


class Stamp:
    """Numbers messages, and ends the stream.

    A message that has a place keeps it, unless `force`. Then every message becomes ours: ends of others are
    left out, for this stream goes on; a fatal error is held back until everything else has passed, and
    is what the stream ends with.

    Args:
        who: Whose the messages become.
        force: Also those that have a place.
        end: Write an end marker after the last message, with count, bytes and digest.
        clock: Gives `time` to messages that have none; None leaves it out.
        provenance: `_reserved_` of the end marker; the clock and a random uuid if None.

    Attributes:
        stamped: Messages that got a place.

    Raises:
        EncodeError: A name that cannot be written.
    """

    name = "@stamp"
    needs: Needs = "message"

    def __init__(
        self,
        who: Sender,
        *,
        force: bool = False,
        end: bool = True,
        clock: Callable[[], str] | None = now,
        provenance: Provenance | None = None,
    ) -> None:
        for text, what in zip(who, ("id", "chan", "sender"), strict=True):
            checked_name(text, what)
        self._who = who
        self._force = force
        self._end = end
        self._clock = clock
        self._provenance = provenance
        self._tally = Tally()
        self._seq = 0
        self._closed = False
        self._fatal: tuple[Unit, Place] | None = None
        self._number = 0  # of the next message that we make ourselves
        self.stamped = 0

    def message(self, unit: Unit) -> Iterable[Unit]:
        """Yield the message with its place. Errors as `with_place`."""
        self._number = unit.number + 1
        if KEY in unit.message.metadata.extra and not self._force:
            self._keep(unit)
            return (unit,)
        old = unit.place
        if old is None:
            return (self._stamped(unit, Place(self._who, self._seq, rest=self._timed({}))),)
        if old.type == END:
            return ()
        rest: dict[str, Any] = {key: value for key, value in old.rest.items() if key not in _NOT_OURS}
        if type(answered := rest.get("in_reply_to")) is int:  # of its own stream, which is not ours
            rest["in_reply_to"] = {**old.who._asdict(), "seq": answered}
        if old.type == ERROR and old.closes:
            if self._fatal is None:
                self._fatal = unit, Place(self._who, 0, ERROR, self._timed(rest))
                return ()
            rest["fatal"] = False  # the first one ends the stream
        return (self._stamped(unit, Place(self._who, self._seq, old.type, self._timed(rest))),)

    def _keep(self, unit: Unit) -> None:
        """Note what a message says that is ours already: numbers go on after it."""
        place = unit.place
        if place is not None and place.who == self._who:
            self._seq = max(self._seq, place.seq + 1)
            self._closed = self._closed or place.closes
            self._count(unit)

    def _timed(self, rest: dict[str, Any]) -> dict[str, Any]:
        if self._clock is not None:
            rest.setdefault("time", self._clock())
        return rest

    def _stamped(self, unit: Unit, place: Place) -> Unit:
        made = unit.replaced(with_place(unit, place))
        self._seq += 1
        self.stamped += 1
        self._count(made)
        return made

    def _count(self, unit: Unit) -> None:
        self._tally.data(memoryview(unit.data))
        self._tally.end()

    def finish(self, *, failed: bool) -> Iterable[Unit]:
        """Yield the error that was held back, or the end marker if all went well."""
        if self._fatal is not None:
            unit, place = self._fatal
            return (self._stamped(unit, place._replace(seq=self._seq)),)
        if failed or self._closed or not self._end:
            return ()
        place = Place(self._who, self._seq, END, self._timed(self._tally.to_map()))
        return (Unit(marker(place, provenance=self._provenance), self._number, name=self.name),)
