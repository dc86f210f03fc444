"""What following is tied to: a process, a command that says "go on", a file that says "enough".

It is separate because these look at the system and not at the stream. Each is asked before a look, so
that whatever was written before it gave way is still read.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from typing import Protocol

from ..endpoints.local import describe
from ..errors import SourceError
from .choices import Choices

_SOON = 0.05  # seconds between two looks at a command that runs
_OFTEN = 0.2  # seconds between two looks at a process: nobody tells that it is gone


class Lifeline(Protocol):
    """Something that following ends with."""

    @property
    def pause(self) -> float:
        """Seconds after which it wants to be asked again."""

    def is_cut(self) -> bool:
        """Return whether it gave way."""

    def close(self) -> None:
        """Leave nothing behind."""


class Process:
    """A process, told from another one that got its number later by when it started."""

    pause = _OFTEN

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._started = _start_of(pid)

    def is_cut(self) -> bool:
        """Return whether the process is gone, or waits for its parent to take note."""
        try:
            os.kill(self._pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            pass  # it lives, and belongs to somebody else
        now = _start_of(self._pid)
        return now is not None and (now.is_zombie or (self._started is not None and now != self._started))

    def close(self) -> None:
        """Nothing is held."""


class FileThere:
    """A file that must not be there: following ends when it is."""

    def __init__(self, path: str, pause: float) -> None:
        self.pause = pause
        self._path = path

    def is_cut(self) -> bool:
        """Return whether the file is there."""
        return os.path.lexists(self._path)

    def close(self) -> None:
        """Nothing is held."""


class Command:
    """A command that is run again and again: following ends when it fails.

    It is split into words once and run without a shell, in a process group of its own, with nothing to
    read and nowhere to write. It never holds up following: while it runs, it counts as going on.

    Args:
        text: The command line.
        period: Seconds between two runs at least.

    Raises:
        ValueError: It cannot be split into words.
    """

    def __init__(self, text: str, period: float) -> None:
        self._words = shlex.split(text)
        if not self._words:
            raise ValueError("no command")
        self._period = period
        self._next = 0.0
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pause(self) -> float:
        """Seconds until it has to be run or looked at again."""
        if self._running is not None:
            return _SOON
        return max(self._next - time.monotonic(), 0.001)

    def is_cut(self) -> bool:
        """Run it if it is time to; return whether it failed.

        Raises:
            SourceError: It cannot be run.
        """
        if self._running is not None:
            status = self._running.poll()
            if status is None:
                return False
            self._running = None
            return status != 0
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._period
            try:
                self._running = subprocess.Popen(  # noqa: S603  # the user's own command, and no shell
                    self._words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    process_group=0,
                )
            except (OSError, ValueError) as error:
                reason = describe(error) if isinstance(error, OSError) else str(error)
                raise SourceError(f"cannot be run: {reason}", uri=f"--while {self._words[0]}") from error
        return False

    def close(self) -> None:
        """End it, if it runs."""
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)
            self._running.wait()
            self._running = None


class _Start:
    """When a process started, in the kernel's ticks, and whether it is a zombie now."""

    def __init__(self, ticks: bytes, *, is_zombie: bool) -> None:
        self.ticks = ticks
        self.is_zombie = is_zombie

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Start) and other.ticks == self.ticks

    __hash__ = None  # type: ignore[assignment]  # compared, never kept in a set


def _start_of(pid: int) -> _Start | None:
    """Return when a process started; None where that cannot be known, or if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as status:
            fields = status.read().rpartition(b")")[2].split()
            return _Start(fields[19], is_zombie=fields[0] == b"Z")
    except (OSError, IndexError):
        return None


def lifelines_of(choices: Choices) -> list[Lifeline]:
    """Return what following is tied to.

    Raises:
        ValueError: A command that cannot be split into words.
    """
    found: list[Lifeline] = []
    if choices.pid is not None:
        found.append(Process(choices.pid))
    if choices.until_exists is not None:
        found.append(FileThere(choices.until_exists, choices.poll))
    if choices.while_command is not None:
        found.append(Command(choices.while_command, choices.poll))
    return found
