"""Which markers were given to several processes, and which of them came back from whom.

It is separate because it is bookkeeping alone: a marker that several processes pass on has to go on once,
and not before everything went on that any of them had been given before it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Generic, TypeVar

from .parcels import Parcel

MOST = 4096  # markers that are remembered; the oldest goes on as soon as there are more

Who = TypeVar("Who")


class _Sent(Generic[Who]):
    """A marker: who has not given it back yet, what was given back, and whether that went on."""

    __slots__ = ("came", "missing", "passed")

    def __init__(self, missing: Iterable[Who]) -> None:
        self.missing = set(missing)
        self.came: Parcel | None = None
        self.passed = False

    def due(self) -> list[Parcel]:
        """Return it, once, when nobody is missing; nothing if nobody gave it back."""
        if self.missing or self.passed or self.came is None:
            return []
        self.passed = True
        return [self.came]


class Returns(Generic[Who]):
    """What was given to all. An identical repetition of a marker goes on once, as the convention has it."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._sent: dict[bytes, _Sent[Who]] = {}
        self._sizes: set[int] = set()
        self._here: set[Who] = set()

    def joins(self, who: Who) -> None:
        """Somebody is there from now on."""
        with self._lock:
            self._here.add(who)

    def sent(self, data: bytes, to: Iterable[Who]) -> list[Parcel]:
        """A marker is given to all these; return older ones that cannot be waited for any longer."""
        with self._lock:
            self._sizes.add(len(data))
            self._sent.setdefault(data, _Sent(self._here.intersection(to)))
            if len(self._sent) <= self._most:
                return []
            oldest = self._sent.pop(next(iter(self._sent)))
            return [] if oldest.passed or oldest.came is None else [oldest.came]

    def knows(self, size: int) -> bool:
        """A marker of this size was given: it is worth to look."""
        return size in self._sizes

    def came(self, data: bytes, who: Who, parcel: Parcel) -> list[Parcel] | None:
        """Somebody gives a message; return the markers that are due, None if it is none of them."""
        with self._lock:
            found = self._sent.get(data)
            if found is None:
                return None
            found.came = parcel
            found.missing.discard(who)
            return found.due()

    def ended(self, who: Who) -> list[Parcel]:
        """Somebody gives nothing more; return the markers that waited for that, in their order."""
        with self._lock:
            self._here.discard(who)
            for each in self._sent.values():
                each.missing.discard(who)
            return [parcel for each in self._sent.values() for parcel in each.due()]
