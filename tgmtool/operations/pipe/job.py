"""One run of a command over one message: everything in, everything out, and its exit status.

It is separate because it waits for four things at once, and none of them may keep it from ending.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

from ...endpoints.base import Bytes
from .cancel import Cancel
from .held import Held
from .leftover import Leftover
from .links import Cancelled
from .process import Process
from .writer import widen

_READ = 1 << 20
_WIDE = 64 << 10  # bytes of a message from which on its pipes are made wider: fewer turns of two processes
_ERRORS_KEPT = 64 << 10
_LOOK_AGAIN = 0.02  # seconds, where the system has no descriptor that says that a process ended


class Ended(NamedTuple):
    """How a run ended.

    Attributes:
        status: As `subprocess` has it.
        output: All of its stdout; to be closed.
        errors: What it wrote to stderr, the first of it.
        timed_out: It was killed because it took too long.
    """

    status: int
    output: Held
    errors: bytes
    timed_out: bool


def run_job(
    words: Sequence[str],
    pieces: Sequence[Bytes],
    *,
    label: str,
    stage: int,
    cancel: Cancel,
    seconds: float | None,
    grace: float,
    in_memory: int,
    running: set[Process],
) -> Ended:
    """Run a command with `pieces` as its stdin.

    Args:
        words: The command and its arguments.
        pieces: What it reads.
        label: For messages.
        stage: Number of the stage.
        cancel: Ends it.
        seconds: For how long it may run; None for ever.
        grace: Seconds between asking it to end and killing it.
        in_memory: Bytes of its output that are held in memory; the rest in a file.
        running: The process is in it as long as it runs.

    Raises:
        StageFailed: It cannot be started.
        Cancelled: It was ended because of `cancel`.
    """
    ends = [os.pipe() for _ in range(3)]
    childs = [ends[0][0], ends[1][1], ends[2][1]]
    ours = [ends[0][1], ends[1][0], ends[2][0]]
    for descriptor in ours:
        os.set_blocking(descriptor, False)
    if sum(map(len, pieces)) > _WIDE:
        widen(ends[0][1])
        widen(ends[1][1])
    try:
        process = Process(
            words, stdin=childs[0], stdout=childs[1], stderr=childs[2], label=label, stage=stage
        )
    except BaseException:
        for descriptor in ours:
            os.close(descriptor)
        raise
    finally:
        for descriptor in childs:
            os.close(descriptor)
    running.add(process)
    talk = _Talk(process, ours, pieces, in_memory)
    try:
        return talk.run(cancel, seconds, grace)
    except BaseException:
        talk.output.close()
        raise
    finally:
        talk.close()
        running.discard(process)


class _Talk:
    def __init__(self, process: Process, ours: list[int], pieces: Sequence[Bytes], in_memory: int) -> None:
        self.output = Held(in_memory)
        self._process = process
        self._stdin, self._stdout, self._stderr = ours
        self._open = set(ours)
        self._moved_at = monotonic()  # when something of its output came
        self._waiting = [memoryview(piece) for piece in pieces]
        self._errors = bytearray()
        self._poller = select.poll()
        self._poller.register(self._stdin, select.POLLOUT)
        self._poller.register(self._stdout, select.POLLIN)
        self._poller.register(self._stderr, select.POLLIN)
        if process.descriptor >= 0:
            self._poller.register(process.descriptor, select.POLLIN)

    def run(self, cancel: Cancel, seconds: float | None, grace: float) -> Ended:
        self._poller.register(cancel.descriptor, select.POLLIN)
        deadline = None if seconds is None else monotonic() + seconds
        stopping = timed_out = False
        leftover: Leftover | None = None
        while self._stdout in self._open or not self._process.has_ended():
            left = None if deadline is None else deadline - monotonic()
            if (cancel.is_set or (left is not None and left <= 0)) and not stopping:
                timed_out = not cancel.is_set
                stopping = True
                self._process.send(signal.SIGTERM)
                if cancel.is_set:
                    self._poller.unregister(cancel.descriptor)
                deadline = monotonic() + grace
                continue
            if stopping and left is not None and left <= 0:
                self._process.send(signal.SIGKILL)
                break
            if self._process.has_ended() and not stopping:
                leftover = leftover or Leftover(self._process, grace, lambda: self._forget(self._stdout))
                leftover.look(self._moved_at)
                left = _LOOK_AGAIN if left is None else min(left, _LOOK_AGAIN)
            self._step(left)
        if stopping and not timed_out:
            raise Cancelled
        while not self._process.has_ended():
            self._step(_LOOK_AGAIN)
        self._drain(self._stderr, self._keep_error)
        status = self._process.status
        assert status is not None
        return Ended(status, self.output, bytes(self._errors), timed_out)

    def _step(self, left: float | None) -> None:
        patience = None if left is None else max(left, 0.0)
        if self._process.descriptor < 0:
            patience = _LOOK_AGAIN if patience is None else min(patience, _LOOK_AGAIN)
        for descriptor, _ in self._poller.poll(None if patience is None else patience * 1000):
            if descriptor == self._stdin:
                self._feed()
            elif descriptor == self._stdout:
                self._drain(descriptor, self.output.add)
            elif descriptor == self._stderr:
                self._drain(descriptor, self._keep_error)
            elif descriptor == self._process.descriptor:
                self._poller.unregister(descriptor)

    def _feed(self) -> None:
        try:
            written = os.writev(self._stdin, self._waiting[:512]) if self._waiting else 0
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._waiting.clear()  # it has read what it wanted; whether that was enough its exit status says
            written = 0
        while self._waiting and written >= len(self._waiting[0]):
            written -= len(self._waiting.pop(0))
        if written:
            self._waiting[0] = self._waiting[0][written:]
        if not self._waiting:
            self._forget(self._stdin)

    def _drain(self, descriptor: int, keep: object) -> None:
        while descriptor in self._open:
            try:
                chunk = os.read(descriptor, _READ)
            except BlockingIOError:
                return
            if chunk:
                self._moved_at = monotonic()
                keep(chunk)  # type: ignore[operator]  # one of two methods that take bytes
            else:
                self._forget(descriptor)

    def _keep_error(self, chunk: bytes) -> None:
        self._errors += chunk[: max(_ERRORS_KEPT - len(self._errors), 0)]

    def _forget(self, descriptor: int) -> None:
        self._poller.unregister(descriptor)
        self._open.discard(descriptor)
        os.close(descriptor)

    def close(self) -> None:
        self._process.close()
        for descriptor in self._open:
            os.close(descriptor)
        self._open.clear()
