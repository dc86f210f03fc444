"""The built-in stages that change when messages pass and how many, never what they are.

They are separate from the transforms because they need a clock and no message: also a message that is
larger than its link passes, in parts.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import Protocol, runtime_checkable

from ...errors import FormatError
from ..transforms.base import Unit
from .links import Cancelled
from .parcels import Kind, Parcel

Pause = Callable[[float], bool]
"""Waits so many seconds; returns True if it was cancelled meanwhile."""


@runtime_checkable
class Flow(Protocol):
    """Decides about each parcel when it passes."""

    def admit(self, parcel: Parcel, pause: Pause) -> bool:
        """Return when the parcel may pass; False if nothing passes any more."""


def _sleep(seconds: float, pause: Pause) -> None:
    if seconds > 0 and pause(seconds):
        raise Cancelled


class Rate:
    """At most so many bytes in a second, on average.

    Args:
        rate: Bytes per second.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._next = 0.0

    def admit(self, parcel: Parcel, pause: Pause) -> bool:
        """Wait until the parcels before it have had their time."""
        now = monotonic()
        _sleep(self._next - now, pause)
        self._next = max(self._next, now) + parcel.size / self._rate
        return True


class Limit:
    """The first messages, and then no more.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self._left = count

    def admit(self, parcel: Parcel, pause: Pause) -> bool:
        """Count messages; a marker is no message to be counted."""
        if parcel.starts and not parcel.is_marker and parcel.kind is not Kind.FOREIGN:
            self._left -= 1
        return self._left >= 0

    @property
    def is_reached(self) -> bool:
        """Nothing more is wanted, not even to be looked at."""
        return self._left <= 0


class Pace:
    """As a live run would come: a pause before each message.

    Args:
        seconds: How long; None: as long as lay between the `time` of it and of the one before.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._next = 0.0
        self._last: datetime | None = None

    def admit(self, parcel: Parcel, pause: Pause) -> bool:
        """Wait for the message's time."""
        if not parcel.starts or parcel.kind is Kind.FOREIGN:
            return True
        gap = self._gap(parcel) if self._seconds is None else self._seconds
        now = monotonic()
        if self._next:
            self._next = max(self._next + gap, now)
            _sleep(self._next - now, pause)
        else:
            self._next = now
        return True

    def _gap(self, parcel: Parcel) -> float:
        if parcel.kind is not Kind.MESSAGE:
            return 0.0
        try:
            place = Unit(parcel.joined(), parcel.number, parcel.offset).place
            time = datetime.fromisoformat(place.rest["time"]) if place else None
        except (FormatError, KeyError, ValueError):
            return 0.0  # a message that does not say when comes at once
        if time is None:
            return 0.0
        try:
            gap = 0.0 if self._last is None else (time - self._last).total_seconds()
        except TypeError:
            return 0.0  # one of the two does not say in which zone
        self._last = time
        return max(gap, 0.0)
