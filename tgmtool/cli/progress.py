"""How far long work has come, on a terminal: files, bytes, rate, time left. Nothing in a pipe.

It is separate so that all commands show the same line, and so that nobody prints it twice.
"""

from __future__ import annotations

import os
import time

_PATIENCE = 1.0  # seconds: what is done sooner needs no progress
_PERIOD = 0.2
_LINE_PERIOD = 10.0  # where lines stay: a log


class StatusLine:
    """A line on stderr that is written over.

    Attributes:
        is_seen: Nobody has closed stderr.
    """

    def __init__(self) -> None:
        self.is_seen = True
        self._width = 0

    def show(self, text: str) -> None:
        """Write it over the one before."""
        self._write("\r" + text.ljust(self._width))
        self._width = len(text)

    def clear(self) -> bool:
        """Take the line away, before something else is printed; return whether there was one."""
        if not self._width:
            return False
        self._write("\r" + " " * self._width + "\r")
        self._width = 0
        return True

    def stay(self, text: str) -> None:
        """Write a line that stays."""
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        try:
            os.write(2, text.encode())
        except OSError:
            self.is_seen = False  # nobody looks any more


class Progress:
    """One line on stderr that is written over; where that is no terminal, a line now and then.

    Args:
        total: Bytes of work in all; 0 if that is not known.
        files: Number of files.
        when: "auto" (if stderr is a terminal), "always" or "never".
    """

    def __init__(self, total: int, files: int, when: str = "auto") -> None:
        self._total = total
        self._files = files
        self._stays = not is_terminal()
        self._shown = when == "always" or (when == "auto" and not self._stays)
        self._start = time.monotonic()
        self._next = self._start + _PATIENCE
        self._line = StatusLine()

    def update(self, done: int, files_done: int) -> None:
        """Show that `done` bytes and `files_done` files are behind us, if it is time to."""
        now = time.monotonic()
        if not (self._shown and self._line.is_seen) or now < self._next:
            return
        self._next = now + (_LINE_PERIOD if self._stays else _PERIOD)
        rate = done / (now - self._start)
        text = f"{files_done}/{self._files} files, {done / 1e6:.0f} MB, {rate / 1e6:.0f} MB/s"
        if self._total > done and rate > 0:
            text += f", {_clock((self._total - done) / rate)} left"
        (self._line.stay if self._stays else self._line.show)(text)

    def clear(self) -> None:
        """Take the line away, before something else is printed."""
        self._line.clear()


def is_terminal() -> bool:
    """Return whether stderr is one."""
    try:
        return os.isatty(2)
    except OSError:
        return False


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
