"""A wish to stop, taken note of where nothing is half done.

It is separate because a signal comes at any time, and only two moments are good for it: while
nothing is being written, and while something is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Interruption:
    """Waiting can be broken off; writing an object cannot.

    Attributes:
        wanted: The reason to stop, once somebody wants it.
        waiting: Nothing is half done now.
        raised: The reason was raised: what it ends is being cleaned up.
    """

    def __init__(self) -> None:
        self.wanted: BaseException | None = None
        self.waiting = False
        self.raised = False

    def request(self, reason: BaseException) -> None:
        """Stop soon; from a signal handler. Raises `reason` if nothing is being written."""
        self.wanted = reason
        if self.waiting:
            self.raised = True
            raise reason

    @contextmanager
    def breakable(self) -> Iterator[None]:
        """What is done inside may be broken off."""
        self.waiting = True
        try:
            if self.wanted is not None:
                self.raised = True
                raise self.wanted
            yield
        finally:
            self.waiting = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is done inside is not broken off; what came meanwhile is raised behind it."""
        before, self.waiting = self.waiting, False
        try:
            yield
        finally:
            self.waiting = before
        if before and self.wanted is not None:
            self.raised = True
            raise self.wanted

    def next_of(self, source: Iterator[T]) -> T | None:
        """Return the next item, or None at the end; may be broken off."""
        with self.breakable():
            return next(source, None)

    def pause(self, seconds: float) -> None:
        """Wait; may be broken off."""
        with self.breakable():
            time.sleep(seconds)
