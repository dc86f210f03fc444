"""Work on hostile bytes in a process of its own, with bounds on memory and time.

It is separate because it forks: codecs are native code, and what a hostile payload makes of one must
end in a report, not in the end of the batch. What the child says comes back as plain bytes, never as
pickles: a child that was taken over can lie about the file, and do nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from .findings import Finding, Report

_SPARE = 1 << 30  # bytes of address space that Python, NumPy and the codecs take besides
_CHUNK = 1 << 16
SECONDS = 600  # of processor time that isolated work may take


class Child:
    """A process that does one piece of work and answers by a socket.

    Args:
        work: Does it, given the socket; runs in the child alone.
        memory: Bytes that it may hold; its address space is limited to a little more.
        seconds: Of processor time that it may take.

    Attributes:
        channel: The socket, at our end. Its end of file is the child's.

    Other threads may run: the child has only the one that forked, and must not need what others hold.
    """

    def __init__(self, work: Callable[[socket.socket], None], *, memory: int, seconds: int) -> None:
        self.channel, theirs = socket.socketpair()
        with theirs:
            self._pid = os.fork()
            if self._pid == 0:
                self.channel.close()
                _be_the_child(work, theirs, memory, seconds)

    def end(self, *, kill: bool = False) -> str | None:
        """Wait until it ended; return of what it died, or None if it ended as it should.

        Args:
            kill: Nobody wants its answer any more.
        """
        self.channel.close()
        if kill:
            os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU:
                return "took more processor time than allowed"
            return f"was ended by {signal.Signals(number).name}"
        code = os.waitstatus_to_exitcode(status)
        return f"ended with status {code} and said nothing" if code else None


def isolated(validate: Callable[[], Report], name: str, *, memory: int, seconds: int) -> Report:
    """Return the report that `validate` makes in a child process.

    Args:
        validate: Makes the report; runs in the child alone.
        name: Of the file, for a report about a child that died.
        memory: See `Child`.
        seconds: See `Child`.

    Call it where no other thread runs: the child may need any lock.
    """

    def work(channel: socket.socket) -> None:
        channel.sendall(json.dumps(validate()).encode())

    child = Child(work, memory=memory, seconds=seconds)
    held = bytearray()
    try:
        while chunk := child.channel.recv(_CHUNK):
            held += chunk
    except BaseException:
        child.end(kill=True)
        raise
    if died := child.end():
        return _died(name, died if "status" in died else f"{died}; the file may be hostile")
    try:
        return _report(json.loads(held))
    except (ValueError, KeyError, TypeError):
        return _died(name, "said nothing that can be understood")


def _be_the_child(
    work: Callable[[socket.socket], None], channel: socket.socket, memory: int, seconds: int
) -> None:
    """Work, and leave without the parent's clean-up. Never returns."""
    import faulthandler
    import resource

    faulthandler.disable()  # the parent says what happened
    try:
        _set_limit(resource.RLIMIT_AS, _address_space() + _SPARE + memory)
        allow_seconds(seconds)
        work(channel)
        os._exit(0)
    except BaseException:  # noqa: BLE001  # whatever it is, the parent says that the work failed
        os._exit(1)


def allow_seconds(seconds: int) -> None:
    """This process may take so many seconds of processor time from now on."""
    import resource

    _set_limit(resource.RLIMIT_CPU, int(time.process_time()) + seconds)


def _set_limit(kind: int, limit: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit if hard < 0 else min(limit, hard), hard))


def _address_space() -> int:
    """Return the bytes of address space that were inherited: those of the parent do not count."""
    try:
        with open("/proc/self/statm", "rb") as sizes:
            return int(sizes.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0  # not Linux


def _report(value: list[Any]) -> Report:
    fields = dict(zip(Report._fields, value, strict=True))
    fields["findings"] = tuple(Finding(*each) for each in fields["findings"])
    return Report(**fields)


def _died(name: str, text: str) -> Report:
    return Report(name, "unchecked", (Finding("check_died", f"the check {text}"),))
