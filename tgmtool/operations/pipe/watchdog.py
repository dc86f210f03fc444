"""Which clock ran out, and whose fault that is.

It is separate because it only looks: it never waits, and ends nothing itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING

from ...errors import TimeLimit
from .process_stage import ProcessStage
from .stages import Stage
from .worker_stage import WorkerStage

if TYPE_CHECKING:
    from .crew import Crew

_LOOKS_PER_LIMIT = 10
_MOST, _LEAST = 1.0, 0.01


class Watchdog:
    """Looks at a crew now and then.

    Args:
        crew: Whom to watch.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._start = monotonic()
        self._warned = False
        choices = crew.choices
        limits = (
            *(choices.idle_timeout, choices.stall_timeout, choices.item_timeout),
            *(choices.timeout, choices.warn_after),
        )
        given = [limit for limit in limits if limit is not None]
        self.period = max(min([_MOST, *(limit / _LOOKS_PER_LIMIT for limit in given)]), _LEAST)

    def look(self) -> tuple[Stage | None, TimeLimit] | None:
        """Return the limit that passed, and the stage whose fault it is; None while all is well."""
        choices, now = self._crew.choices, monotonic()
        if choices.timeout is not None and now - self._start >= choices.timeout:
            return None, TimeLimit(f"--timeout: not done after {choices.timeout:g} s{self._where()}")
        for stage, seconds, text in self._stuck():
            if choices.stall_timeout is not None and seconds >= choices.stall_timeout:
                return stage, TimeLimit(f"--stall-timeout: {text} for {choices.stall_timeout:g} s")
        for stage, number, seconds in self._busy():
            if choices.item_timeout is not None and seconds >= choices.item_timeout:
                text = f"{stage.label} took longer than {choices.item_timeout:g} s on message {number}"
                return stage, TimeLimit(f"--item-timeout: {text}")
        idle = self._idle()
        if idle is not None and choices.idle_timeout is not None and idle[1] >= choices.idle_timeout:
            text = f"nothing came in from {idle[0].label} for {choices.idle_timeout:g} s"
            return idle[0], TimeLimit(f"--idle-timeout: {text}")
        return None

    def warning(self) -> str | None:
        """Return what to warn of, once for each time that it stands still."""
        limit = self._crew.choices.warn_after
        if limit is None:
            return None
        for _, seconds, text in self._stuck():
            if seconds >= limit:
                return self._once(f"{text} for {limit:g} s")
        idle = self._idle()
        if idle is not None and idle[1] >= limit:
            return self._once(f"nothing came in from {idle[0].label} for {limit:g} s")
        self._warned = False
        return None

    def _once(self, text: str) -> str | None:
        if self._warned:
            return None
        self._warned = True
        return text

    def _stuck(self) -> Iterator[tuple[Stage, float, str]]:
        """Yield every stage that something waits for and that takes nothing, the last of them first.

        Those before it may be held up by it: so it is the one to name.
        """
        for stage in reversed(list(self._crew.everyone())):
            ahead = None if stage.after is None else stage.after.look()
            if stage.is_over or (ahead is not None and ahead.blocked):
                continue  # it waits for the next one itself
            free = math.inf if ahead is None else ahead.free
            filling = None if stage.before is None else stage.before.look()
            if filling is not None and filling.held and filling.waiting:
                text = f"{stage.label} has taken nothing, while {filling.held} bytes were waiting,"
                yield stage, min(filling.still, free), text
            elif isinstance(stage, ProcessStage):
                if (since := stage.silent_since) is not None:
                    text = f"{stage.label} has nothing more to do, and has not ended"
                    yield stage, min(monotonic() - since, free), text
                elif (found := stage.ignored()) is not None:
                    text = (
                        f"{stage.label} has given nothing and taken nothing, while {found[0]} bytes were "
                        "waiting on its stdin (< /dev/null, if it does not read),"
                    )
                    yield stage, min(monotonic() - found[1], free), text

    def _busy(self) -> Iterator[tuple[Stage, int, float]]:
        now = monotonic()
        for stage in self._crew.stages:
            # Runs of commands end themselves; what is written to somebody is a matter of stalling.
            if isinstance(stage, WorkerStage) or stage.after is None or stage.after.look().blocked:
                continue
            if (busy := stage.busy) is not None:
                yield stage, busy[0], now - busy[1]

    def _idle(self) -> tuple[Stage, float] | None:
        """Return whoever gives nothing at the head of the pipeline, and for how long."""
        stage = self._crew.stages[0]
        feed = getattr(stage, "feed", None)
        if feed is None or stage.is_over or not feed.is_waiting:
            return None
        return stage, monotonic() - feed.arrived_at

    def _where(self) -> str:
        for stage, seconds, _ in self._stuck():
            if seconds > self.period:
                return f"; {stage.label} is the one that is waited for"
        return ""
