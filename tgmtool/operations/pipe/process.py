"""A process with a group of its own that can be watched, ended, and reaped without mistaking it.

It is separate because the order matters: a process that ended is not reaped before its whole group was
told to end, so that its number cannot have passed to somebody else meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

from ...endpoints.local import describe
from .failures import StageFailed


class Process:
    """A started command.

    Args:
        words: The command and its arguments.
        stdin: Descriptor.
        stdout: Descriptor.
        stderr: Descriptor.
        label: For messages.
        stage: Number of its stage.

    Raises:
        StageFailed: It cannot be started.
    """

    def __init__(
        self, words: Sequence[str], *, stdin: int, stdout: int, stderr: int, label: str, stage: int
    ) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603  # running the user's commands is the job; never a shell
                words, stdin=stdin, stdout=stdout, stderr=stderr, process_group=0, restore_signals=True
            )
        except FileNotFoundError:
            raise StageFailed(f"{label}: no such command ({words[0]})", stage=stage) from None
        except (OSError, ValueError) as error:
            text = describe(error) if isinstance(error, OSError) else str(error)
            is_file = os.path.isfile(words[0])
            hint = f"; a file is read with '@merge {words[0]}', or as stdin" if is_file else ""
            raise StageFailed(f"{label}: cannot be started: {text}{hint}", stage=stage) from None
        self.pid = self._process.pid
        self.status: int | None = None  # as `subprocess` has it, once it ended
        self._reaped = False
        self.descriptor = _descriptor_of(self.pid)  # readable when it ended; -1 where there is no such thing

    def has_ended(self) -> bool:
        """Return whether it ended; it is not reaped by asking."""
        if self.status is None and not self._reaped:
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                exited = found.si_code == os.CLD_EXITED
                self.status = found.si_status if exited else -found.si_status
        return self.status is not None

    def send(self, number: int) -> None:
        """Send a signal to its whole group."""
        if not self._reaped:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def close(self) -> None:
        """End whoever is left of its group, and reap it. It must have ended, or been told to."""
        if self._reaped:
            return
        self.send(signal.SIGKILL)
        self._process.wait()
        self._reaped = True
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _descriptor_of(pid: int) -> int:
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1  # an older kernel: whoever waits looks again now and then
