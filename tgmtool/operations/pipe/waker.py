"""Sleep until something happened that a crew has to look at, and tell the processes that ended so.

It is separate because who has to be watched changes while it runs, and where the system has no descriptor
that says that a process ended, somebody has to look again now and then.
"""

from __future__ import annotations

import select
from collections.abc import Iterable

from .bell import Bell
from .process_stage import ProcessStage

_PERIOD = 0.05  # seconds between two looks at a process that has no descriptor


class Waker:
    """Waits for a bell that anybody may ring, and for processes."""

    def __init__(self) -> None:
        self._bell = Bell()
        self._poller = select.poll()
        self._poller.register(self._bell.descriptor, select.POLLIN)
        self._watched: dict[ProcessStage, int] = {}
        self._ended: set[ProcessStage] = set()

    def ring(self) -> None:
        """Wake whoever waits; a signal handler may do so."""
        self._bell.ring()

    def wait(self, stages: Iterable[ProcessStage], seconds: float) -> None:
        """Return when the bell rang, a process ended, or so many seconds passed.

        Args:
            stages: Those whose processes are watched; each is told once, here, that it ended.
            seconds: At most.
        """
        alive = [each for each in stages if each.process is not None and each not in self._ended]
        blind = [each for each in alive if not self._watch(each)]
        for descriptor, _ in self._poller.poll((min(seconds, _PERIOD) if blind else seconds) * 1000):
            if descriptor == self._bell.descriptor:
                self._bell.silence()
        for each in alive:
            if each.process is not None and each.process.has_ended():
                self._ended.add(each)
                if (found := self._watched.pop(each, -1)) >= 0:
                    self._poller.unregister(found)
                each.ended()

    def _watch(self, stage: ProcessStage) -> bool:
        """Return whether the system will say when it ends."""
        assert stage.process is not None
        descriptor = stage.process.descriptor
        if descriptor >= 0 and stage not in self._watched:
            self._watched[stage] = descriptor
            self._poller.register(descriptor, select.POLLIN)
        return descriptor >= 0

    def close(self) -> None:
        """Let go of the bell."""
        self._bell.close()
