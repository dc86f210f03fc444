"""What all stages have in common: two links, a way to be stopped, and one end.

It is separate so that the crew that starts and ends stages knows one kind of thing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from .cancel import Cancel
from .links import Abandoned, Cancelled, Link

if TYPE_CHECKING:
    from .crew import Crew


class Stage:
    """One stage.

    Args:
        crew: Whom to tell what happens.
        number: From 1; 0 is the input, one more than there are stages the output.
        label: What it is called in messages.
        before: Where messages come from; None if it has no input that we see.
        after: Where they go; None if it is the last.

    Attributes:
        busy: Number of the message that is being worked on, and since when; None while it waits.
        messages: Whole ones that it was given so far.
        is_wanted: Nobody asked it to stop: how it ends is its own doing.
        is_command: What it gives comes from commands of the user.
        whole: The stage of the pipeline that it is: itself, or that of which it is a part.
    """

    is_command = False

    def __init__(self, crew: Crew, number: int, label: str, before: Link | None, after: Link | None) -> None:
        self.crew = crew
        self.number = number
        self.label = label
        self.before = before
        self.after = after
        self.cancel = Cancel()
        self.busy: tuple[int, float] | None = None
        self.messages = 0
        self.is_wanted = True
        self.whole: Stage = self
        self._threads: list[threading.Thread] = []
        self._alive = 0  # of them
        self._lock = threading.Lock()

    # ---- what a stage says about itself

    def work(self) -> None:
        """Do everything, from the first message to the last; runs in a thread of its own."""
        raise NotImplementedError

    def clean_up(self, *, failed: bool) -> None:
        """Close what was opened; runs after `work`, whatever happened, in the same thread."""

    # ---- what the crew does with it

    def start(self) -> None:
        """Begin."""
        self._begin(self._whole_work)

    def _begin(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            finally:
                with self._lock:
                    self._alive -= 1
                self.crew.wake()

        thread = threading.Thread(target=run, name=self.label, daemon=True)
        with self._lock:
            self._alive += 1
        self._threads.append(thread)
        thread.start()

    @property
    def has_begun(self) -> bool:
        """It was started."""
        return bool(self._threads)

    @property
    def members(self) -> Sequence[Stage]:
        """Itself, and the stages that it is made of."""
        return (self,)

    @property
    def is_over(self) -> bool:
        """Everything it began has ended."""
        return not self._alive

    def wind_down(self) -> None:
        """It failed: take nothing more; what it gave, and what it says about its failure, goes on."""
        self.is_wanted = False
        self.cancel.set()
        if self.before is not None:
            self.before.cancel_taker()

    def stop(self) -> None:
        """End now."""
        self.wind_down()
        if self.after is not None:
            self.after.cancel_giver()

    def kill(self) -> None:
        """End without being asked any more."""

    def close(self) -> None:
        """Let go of everything, when it is over."""
        self.cancel.close()

    def join(self, seconds: float) -> None:
        """Wait for its threads, so long at most."""
        deadline = monotonic() + seconds
        for thread in self._threads:
            thread.join(max(deadline - monotonic(), 0.0))

    # ---- the thread

    def _whole_work(self) -> None:
        self._guard(self.work)
        self._guard(lambda: self.clean_up(failed=self.crew.has_failed))
        self._end()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Cancelled:
            pass
        except Abandoned:
            self.is_wanted = False
        except Exception as error:  # noqa: BLE001  # whatever it is, it ends the pipeline and is told
            self.crew.fail(self, self.failure(error))

    def failure(self, error: Exception) -> Exception:
        """Return what it means for the pipeline that the stage raised this."""
        return error

    def _end(self) -> None:
        """Tell both neighbours."""
        self.busy = None
        if self.before is not None:
            self.before.abandon()
        if self.after is not None:
            self._guard(lambda: self.crew.say_goodbye(self))
            self.after.close()
