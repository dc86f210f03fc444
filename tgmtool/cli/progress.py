"""How far long work has come, on a terminal: files, bytes, rate, time left. Nothing in a pipe.

It is separate so that all commands show the same line, and so that nobody prints it twice.
"""

from __future__ import annotations

import os
import time

_PATIENCE = 1.0  # seconds: what is done sooner needs no progress
_PERIOD = 0.2
_LINE_PERIOD = 10.0  # where lines stay: a log


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
        self._stays = not _is_terminal()
        self._shown = when == "always" or (when == "auto" and not self._stays)
        self._start = time.monotonic()
        self._next = self._start + _PATIENCE
        self._width = 0

    def update(self, done: int, files_done: int) -> None:
        """Show that `done` bytes and `files_done` files are behind us, if it is time to."""
        now = time.monotonic()
        if not self._shown or now < self._next:
            return
        self._next = now + (_LINE_PERIOD if self._stays else _PERIOD)
        rate = done / (now - self._start)
        text = f"{files_done}/{self._files} files, {done / 1e6:.0f} MB, {rate / 1e6:.0f} MB/s"
        if self._total > done and rate > 0:
            text += f", {_clock((self._total - done) / rate)} left"
        self._print(text)

    def clear(self) -> None:
        """Take the line away, before something else is printed."""
        if self._width:
            self._print("")
            self._width = 0

    def _print(self, text: str) -> None:
        if self._stays:
            line = f"{text}\n"
        else:
            line = "\r" + text.ljust(self._width) + ("\r" if not text else "")
            self._width = len(text)
        try:
            os.write(2, line.encode())
        except OSError:
            self._shown = False  # nobody looks any more


def _is_terminal() -> bool:
    try:
        return os.isatty(2)
    except OSError:
        return False


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
