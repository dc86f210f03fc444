"""Validate in a process of its own, with bounds on memory and time, for files nobody vouches for.

It is separate because it forks: codecs are native code, and what a hostile payload makes of one must
end in a report, not in the end of the batch. The report comes back as JSON, never as pickles.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

from .findings import Finding, Report

_SPARE = 1 << 30  # bytes of address space that Python, NumPy and the codecs take besides
_CHUNK = 1 << 16


def isolated(validate: Callable[[], Report], name: str, *, memory: int, seconds: int) -> Report:
    """Return the report that `validate` makes in a child process.

    Args:
        validate: Makes the report; runs in the child alone.
        name: Of the file, for a report about a child that died.
        memory: Bytes of objects that it may hold; its address space is limited to a little more.
        seconds: Of processor time that it may take.

    Call it where no other thread runs: the process is forked.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(validate, writing, memory, seconds)
    os.close(writing)
    held = bytearray()
    try:
        while chunk := os.read(reading, _CHUNK):
            held += chunk
    finally:
        os.close(reading)
        _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        why = "took more processor time than allowed" if number == signal.SIGXCPU else _name(number)
        return _died(name, f"the check {why}; the file may be hostile")
    try:
        return _report(json.loads(held))
    except (ValueError, KeyError, TypeError):
        return _died(
            name, f"the check ended with status {os.waitstatus_to_exitcode(status)} and said nothing"
        )


def _be_the_child(validate: Callable[[], Report], writing: int, memory: int, seconds: int) -> None:
    """Validate, say it, and leave without the parent's clean-up. Never returns."""
    import faulthandler
    import resource

    faulthandler.disable()  # the parent says what happened
    try:
        space = _address_space() + _SPARE + memory
        for kind, limit in ((resource.RLIMIT_AS, space), (resource.RLIMIT_CPU, seconds)):
            _, hard = resource.getrlimit(kind)
            resource.setrlimit(kind, (limit if hard < 0 else min(limit, hard), hard))
        report = validate()
        view = memoryview(json.dumps(report).encode())
        while view:
            view = view[os.write(writing, view) :]
        os._exit(0)
    except BaseException:  # noqa: BLE001  # whatever it is, the parent says that the check failed
        os._exit(1)


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


def _name(number: int) -> str:
    return f"was ended by {signal.Signals(number).name}"


def _died(name: str, text: str) -> Report:
    return Report(name, "unchecked", (Finding("check_died", text),))
