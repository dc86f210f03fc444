"""End what a command started and left behind, once the command itself has ended.

It is separate because long-lived stages and runs of one message need the same: a process in the
background that keeps the pipes of its parent open would otherwise hold up everything, for ever, and
nobody would be to blame. As long as it does something it may go on; then it is asked, then killed,
and what has left its group is not waited for any longer.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from time import monotonic

from .process import Process

_LAST = 0.5  # seconds in which the pipes of killed processes close


class Leftover:
    """Watches over the pipes of a command that has ended.

    Args:
        process: The command.
        grace: Seconds of silence before they are asked to end, and again before they are killed.
        give_up: Is called when nothing helped: nobody waits for them any longer.

    Attributes:
        was_ended: Somebody was there, and had to be told to end.
    """

    def __init__(self, process: Process, grace: float, give_up: Callable[[], None]) -> None:
        self.was_ended = False
        steps: tuple[tuple[float, Callable[[], None]], ...] = (
            (grace, lambda: process.send(signal.SIGTERM)),
            (grace, lambda: process.send(signal.SIGKILL)),
            (_LAST, give_up),
        )
        self._steps = iter(steps)
        self._step = next(self._steps, None)
        self._since = monotonic()

    def look(self, moved_at: float) -> None:
        """Somebody still holds a pipe; do what is due.

        Args:
            moved_at: When something last passed through them (`monotonic`).
        """
        if self._step is None:
            return
        seconds, act = self._step
        if monotonic() - max(self._since, moved_at) >= seconds:
            self.was_ended = True
            act()
            self._step = next(self._steps, None)
            self._since = monotonic()
