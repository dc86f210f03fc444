"""Exit status: one table for all commands, and the way from an error to a line and a number.

It is separate because scripts depend on it more than on anything that is printed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from types import FrameType

from ..errors import (
    CannotResume,
    CodecUnavailable,
    EncodeError,
    FormatError,
    LimitExceeded,
    ReferenceRefused,
    SourceError,
    TgmError,
    TimeLimit,
    TruncatedError,
)

OK, NO, USAGE, LOSS, FAILED, INCOMPLETE, PRODUCER_ERROR, CANNOT_RESUME = range(8)
TIME_LIMIT = 124
BROKEN_PIPE = 141

TABLE = (
    (OK, "done, and the answer is yes"),
    (NO, "done, and the answer is no: invalid content, a condition not met"),
    (USAGE, "usage error"),
    (LOSS, "done, but data was skipped or lost on the way"),
    (
        FAILED,
        "could not do it: unreadable, disk full, network, permission, a codec that is not installed, a limit",
    ),
    (INCOMPLETE, "incomplete: input stops inside a message"),
    (PRODUCER_ERROR, "the producer said error"),
    (
        CANNOT_RESUME,
        "cannot resume: the saved state does not match the data; or a reference names what is not there",
    ),
    (TIME_LIMIT, "a time limit passed; stderr says which"),
    (129, "SIGHUP, after cleaning up"),
    (130, "SIGINT, after cleaning up"),
    (BROKEN_PIPE, "the reader of a byte output went away"),
    (143, "SIGTERM, after cleaning up"),
)
_RANK = (FAILED, CANNOT_RESUME, NO, PRODUCER_ERROR, INCOMPLETE, LOSS, OK)


class Stopped(BaseException):
    """A signal asked us to stop.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status that says so."""
        return 128 + self.number


class Carried(Exception):
    """Carries an error past the parser, which has ideas of its own about EOFError and broken pipes.

    Attributes:
        error: What was raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class UsageError(Exception):
    """The command line cannot be understood; one sentence."""


def highest(statuses: Iterable[int]) -> int:
    """Return the status that several inputs have together."""
    found = set(statuses)
    return next((status for status in _RANK if status in found), max(found, default=OK))


def status_of(error: BaseException) -> int:
    """Return the exit status for an error."""
    kinds: tuple[tuple[type[BaseException], int], ...] = (
        (UsageError, USAGE),
        (TimeLimit, TIME_LIMIT),
        (CannotResume, CANNOT_RESUME),
        (ReferenceRefused, CANNOT_RESUME),
        (TruncatedError, INCOMPLETE),
        (FormatError, NO),
        (EncodeError, NO),
        (CodecUnavailable, FAILED),
        (LimitExceeded, FAILED),
        (SourceError, FAILED),
        (TgmError, FAILED),
        (BrokenPipeError, BROKEN_PIPE),
        (MemoryError, FAILED),
        (OSError, FAILED),
    )
    return next((status for kind, status in kinds if isinstance(error, kind)), FAILED)


def text_of(error: BaseException) -> str:
    """Return the one line that says what happened."""
    if isinstance(error, MemoryError):
        return "not enough memory; a smaller --max-decoded-bytes refuses earlier"
    if isinstance(error, OSError) and not isinstance(error, TgmError):
        name = f"{error.filename}: " if error.filename else ""
        return name + (error.strerror or str(error)).lower()
    return " ".join(str(error).split())


def raise_interrupts() -> None:
    """Let SIGINT raise KeyboardInterrupt again, where it was made to end the process at once."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def on_signals(handler: Callable[[Stopped], None]) -> None:
    """Let SIGHUP, SIGINT and SIGTERM call `handler`; a second one ends the process at once."""

    def received(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        handler(Stopped(number))

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, received)
