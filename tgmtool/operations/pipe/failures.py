"""What can go wrong in a pipeline that is nobody's bytes: a stage that failed, a clock that ran out.

It is separate because the library raises these, the command line turns them into exit statuses, and
neither should have to know the engine.
"""

from __future__ import annotations

import signal

from ...errors import TgmError


class StageFailed(TgmError):
    """A stage of a pipeline failed.

    Attributes:
        stage: Its number, from 1; 0 is the input, one more than there are stages is the output.
        status: The exit status of its process; 128 + N when signal N ended it; None if it has none.
    """

    def __init__(self, text: str, *, stage: int, status: int | None = None) -> None:
        super().__init__(text)
        self.stage = stage
        self.status = status


class Interrupted(TgmError):
    """Somebody asked the whole pipeline to stop.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def ending(status: int) -> str:
    """Return in words how a process ended, given what `subprocess` says of it."""
    if status >= 0:
        return f"exited {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def shell_status(status: int) -> int:
    """Return the exit status that a shell would report."""
    return status if status >= 0 else 128 - status
