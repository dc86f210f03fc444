"""Tell a thread that waits for a descriptor to stop waiting.

It is separate because it is a descriptor itself: a poll that has it ends the moment it is set.
"""

from __future__ import annotations

import os
import select
from threading import Lock


class Cancel:
    """Set once; from then on its descriptor is readable."""

    def __init__(self) -> None:
        self.is_set = False
        self.descriptor, self._writer = os.pipe()
        self._lock = Lock()

    def set(self) -> None:
        """Let everybody who waits stop."""
        with self._lock:
            self.is_set = True
            if self._writer >= 0:
                os.close(self._writer)  # now the other end says so, for ever
                self._writer = -1

    def wait(self, seconds: float) -> bool:
        """Return True as soon as it is set, False after `seconds`."""
        poller = select.poll()
        poller.register(self.descriptor, select.POLLIN)
        return bool(poller.poll(max(seconds, 0.0) * 1000))

    def close(self) -> None:
        """Let go of the descriptors, when nobody waits any more."""
        self.set()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
