"""Wake a thread that waits for descriptors, as often as need be.

It is separate because whoever waits cannot see what changed meanwhile: a bell is a descriptor that he
waits for, too. What is set once and for all is a `Cancel`.
"""

from __future__ import annotations

import os

_READ = 4096


class Bell:
    """Its descriptor is readable from when it was rung until it is silenced."""

    def __init__(self) -> None:
        self.descriptor, self._writer = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._writer, False)

    def ring(self) -> None:
        """Wake whoever waits; a signal handler may do so."""
        try:
            os.write(self._writer, b"!")
        except OSError:
            return  # it rings already, or nobody waits any more

    def silence(self) -> None:
        """Let it be still until it is rung again."""
        try:
            while os.read(self.descriptor, _READ):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        """Let go of the descriptors, when nobody waits any more."""
        reader, writer = self.descriptor, self._writer
        self.descriptor = self._writer = -1
        os.close(writer)
        os.close(reader)
