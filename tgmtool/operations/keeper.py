"""Write down how far everything was taken: the state file, and the acknowledgments.

It is separate from following because it must come last: what is written here is only true once the
output is safe. An interruption leaves the state of a moment ago, never one that is ahead.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..messages.stream import Sender
from .choices import Choices
from .cursor import StateFile, refused
from .tracks import Track

if TYPE_CHECKING:
    from .acks import Acks

_EVERY_BYTES = 64 << 20  # taken at most between two acknowledgments
_IDLE_PERIOD = 0.01  # seconds between two acknowledgments when there is nothing else to do


class Keeper:
    """Keeps state and acknowledgments, as far as they are asked for.

    Args:
        choices: How.
        keys: Of the places that are followed.
        when_told: Nothing is written but by `write`: the caller asks `must_write` before anything is handed
            out, and writes where that holds up nobody.

    Attributes:
        must_write: It is time for `write`; only if `when_told`.

    Raises:
        SourceError: A file cannot be written, is in use, or holds something else.
        CannotResume: The state file holds no state, or that of other places.
    """

    def __init__(self, choices: Choices, keys: Sequence[str], *, when_told: bool = False) -> None:
        self._choices = choices
        self._state: StateFile | None = None
        self._acks: Acks | None = None
        self._when_told = when_told
        self.must_write = False
        self._is_abandoned = False
        self._dirty = False
        self._written = time.monotonic()
        self._size = 0  # bytes that were taken when it was written
        self._period = choices.state_period
        if choices.state is not None:
            self._state = StateFile(choices.state, reset=choices.state_reset)
        try:
            self._check_places(keys)
            if choices.ack is not None:
                from .acks import Acks

                self._acks = Acks(choices.ack, choices.ack_sender, choices.limits)
        except BaseException:
            self.close()
            raise

    def _check_places(self, keys: Sequence[str]) -> None:
        """Refuse the state of another follower; one that knows some of these places may learn more."""
        if self._state is None or not self._state.entries or any(key in self._state.entries for key in keys):
            return
        known, given = next(iter(self._state.entries)), ", ".join(keys)
        text = f"it remembers {known[:200]}, and nothing of {given[:200]}: give each tail a state of its own"
        raise refused(text, "wrong_file", self._state.path)

    @property
    def warnings(self) -> list[str]:
        """What the user should know."""
        return [self._acks.warning] if self._acks is not None and self._acks.warning else []

    def entry_of(self, key: str) -> Any:
        """Return what is remembered of a place, or None.

        Raises:
            CannotResume: It is no entry.
        """
        if self._state is None or key not in self._state.entries:
            return None
        entry = self._state.entries[key]
        if not isinstance(entry, dict):
            raise refused("this is no state that tail wrote", "unreadable", self._state.path)
        return entry

    @property
    def is_active(self) -> bool:
        """Anything is kept at all."""
        return self._state is not None or self._acks is not None

    @property
    def is_needed(self) -> bool:
        """There is something to write."""
        return self._dirty and self.is_active and not self._is_abandoned

    def took(self, tracks: Iterable[Track]) -> None:
        """Something was taken; write it down if it is time to."""
        self._dirty = True
        if not self.is_active:
            return
        if self.pause() <= 0 or (self._acks is not None and _size_of(tracks) - self._size >= _EVERY_BYTES):
            self._due(tracks)

    def looked(self, tracks: Iterable[Track], *, ended: bool) -> None:
        """Everything that is there was taken; write it down if it is time to, or all have ended."""
        if self.is_needed and (ended or self.pause(idle=True) <= 0):
            self._due(tracks)

    def _due(self, tracks: Iterable[Track]) -> None:
        if self._when_told:
            self.must_write = True
        else:
            self.write(tracks)

    def hurry(self) -> None:
        """It is time to write, whenever that was done last."""
        self._written = -self._period

    def pause(self, *, idle: bool = False) -> float:
        """Return the seconds until it is time to write.

        Args:
            idle: Everything was read. Whoever wrote it may wait for our word before there is more.
        """
        soon = idle and self._acks is not None
        period = min(self._period, _IDLE_PERIOD) if soon else self._period
        return self._written + period - time.monotonic()

    def write(self, tracks: Iterable[Track]) -> None:
        """Write down how far all places are, if anything was taken since the last time.

        Raises:
            SourceError: It cannot be written; what was written before still holds.
        """
        self.must_write = False
        if not self.is_needed:
            return
        if self._choices.flush is not None:
            self._choices.flush()
        numbers: dict[Sender, int] = {}
        for track in tracks:
            numbers |= track.order.last_numbers()
            entry = None if self._state is None else track.entry()
            if entry is not None and self._state is not None:
                self._state.entries[track.key] = entry
        if self._state is not None:
            self._state.save(self._state.entries)
        if self._acks is not None:
            self._acks.write(numbers)
        self._dirty = False
        self._written = time.monotonic()
        self._size = _size_of(tracks)

    def abandon(self) -> None:
        """Write nothing more: what would be said may be ahead of what was taken."""
        self._is_abandoned = True

    def close(self) -> None:
        """Let go of the files."""
        if self._state is not None:
            self._state.close()
        if self._acks is not None:
            self._acks.close()


def _size_of(tracks: Iterable[Track]) -> int:
    return sum(track.taken for track in tracks)
