"""A stage that runs a command once for every message, several at once.

It is separate because order is its whole problem: runs end as they like, and what they gave goes on in
the order in which the messages came.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from ...endpoints.base import Bytes
from ...errors import FormatError, TimeLimit
from .cancel import Cancel
from .failures import StageFailed, ending, shell_status
from .held import Held
from .inner_stages import place_failed
from .job import Ended, run_job
from .links import Cancelled, Link
from .parcels import Kind, Parcel
from .process import Process
from .specs import Spec
from .stages import Stage
from .walking import messages_in

if TYPE_CHECKING:
    from .crew import Crew


class WorkerStage(Stage):
    """Up to `count` runs of a command at once, one for each message.

    Markers are not given to the command: they are about the stream, and go on when all before them did.
    """

    is_command = True

    def __init__(
        self,
        crew: Crew,
        number: int,
        label: str,
        before: Link,
        after: Link,
        *,
        spec: Spec,
        in_order: bool,
    ) -> None:
        super().__init__(crew, number, label, before, after)
        self._spec = spec
        self._in_order = in_order
        self._taking = threading.Lock()
        self._giving = threading.Lock()
        self._changed = threading.Condition()
        self._next_ticket = 0
        self._done: set[int] = set()  # tickets beyond `_passed`, when order does not matter
        self._passed = 0  # all tickets before it are done
        self._fail_at: int | None = None  # the first ticket that failed
        self._runs: dict[int, tuple[int, float, Cancel]] = {}  # by ticket: message, since when, what ends it
        self._running: set[Process] = set()
        self._active = spec.runs
        self._memory = max(crew.choices.buffer // spec.runs, 1 << 20)

    def start(self) -> None:
        """Begin all workers."""
        for _ in range(self._spec.runs):
            self._begin(self._serve)

    def oldest_run(self) -> tuple[int, float] | None:
        """Return message and starting time of the run that has lasted longest."""
        with self._changed:
            return min(
                ((run[0], run[1]) for run in self._runs.values()), key=lambda run: run[1], default=None
            )

    def failure(self, error: Exception) -> Exception:
        """What a place says of itself does not say who wanted it."""
        return place_failed(error, self) if isinstance(error, OSError) else error

    # ---- a worker

    def _serve(self) -> None:
        self._guard(self.work)
        with self._changed:
            self._active -= 1
            is_last = not self._active
        if is_last:
            self._end()

    def work(self) -> None:
        """Take a message, run the command, wait for its turn, pass on what came; until nothing comes."""
        assert self.before is not None
        while True:
            with self._taking:
                parcel = self.before.take()
                if parcel is None:
                    return
                ticket, self._next_ticket = self._next_ticket, self._next_ticket + 1
                held = self._gather(parcel) if parcel.kind is Kind.PART else None
            try:
                self._handle(ticket, parcel, held)
            except BaseException:
                self._note_failure(ticket)  # also that nothing more is wanted: others wait for their turn
                raise
            finally:
                if held is None:
                    self.before.done(parcel)
                else:
                    held.close()

    def _gather(self, parcel: Parcel) -> Held:
        """Put together a message that comes in parts."""
        assert self.before is not None
        held = Held(self._memory)
        part: Parcel | None = parcel
        while part is not None:
            for piece in part.bytes:
                held.add(bytes(piece))
            self.before.done(part)
            if part.ends:
                if part.broken:
                    held.close()
                    held = Held(self._memory)
                break
            part = self.before.take()
        return held

    def _handle(self, ticket: int, parcel: Parcel, held: Held | None) -> None:
        if parcel.is_marker or parcel.kind is Kind.FOREIGN or (held is not None and not held.size):
            whole = parcel.kind is not Kind.PART
            self._pass_on(ticket, [parcel] if whole else [], barrier=True)
            return
        pieces: Sequence[Bytes] = parcel.bytes if held is None else [held.data()]
        try:
            ended = self._run(ticket, parcel, pieces)
            try:
                found = self._look_at(ended, parcel, pieces)
                self._pass_on(ticket, found)
            finally:
                ended.output.close()
        except (StageFailed, TimeLimit) as error:
            if self.crew.set_aside(b"".join(pieces), error):
                self._pass_on(ticket, [])
                return
            raise

    def _run(self, ticket: int, parcel: Parcel, pieces: Sequence[Bytes]) -> Ended:
        with self._changed:
            if self._fail_at is not None and ticket > self._fail_at:
                raise Cancelled
            cancel = Cancel()
            self._runs[ticket] = (parcel.number, monotonic(), cancel)
        try:
            return run_job(
                self._spec.words,
                pieces,
                label=self.label,
                stage=self.number,
                cancel=cancel,
                seconds=self.crew.choices.item_timeout,
                grace=self.crew.choices.grace,
                in_memory=self._memory,
                running=self._running,
            )
        finally:
            with self._changed:
                del self._runs[ticket]
            cancel.close()

    def _look_at(self, ended: Ended, parcel: Parcel, pieces: Sequence[Bytes]) -> list[Parcel]:
        """Return the messages that a run gave."""
        if ended.errors:
            self.crew.heard(self, ended.errors)
        if not ended.status and not ended.timed_out:
            try:
                return messages_in(ended.output.data(), parcel.number, self.label)
            except FormatError as error:
                raise StageFailed(
                    f"{self.label} gave something else than whole messages on "
                    f"{self._named(parcel, pieces)}: {error.text}",
                    stage=self.number,
                ) from error
        where = self._named(parcel, pieces)
        if ended.timed_out:
            raise TimeLimit(f"--item-timeout: {self.label} took longer on {where}")
        raise StageFailed(
            f"{self.label} {ending(ended.status)} on {where}",
            stage=self.number,
            status=shell_status(ended.status),
        )

    def _named(self, parcel: Parcel, pieces: Sequence[Bytes]) -> str:
        unit = self.crew.unit_of(parcel, b"".join(pieces), parcel.offset)
        return f"message {parcel.number}{self.crew.seq_of(unit)}"

    # ---- whose turn it is

    def _pass_on(self, ticket: int, found: list[Parcel], *, barrier: bool = False) -> None:
        assert self.after is not None
        with self._changed:
            while (self._in_order or barrier) and self._passed != ticket:
                if self._fail_at is not None and ticket > self._fail_at:
                    raise Cancelled
                self._changed.wait()
        with (
            self._giving
        ):  # one at a time, also when order does not matter: the parts of a message stay together
            for parcel in found:
                self.after.put(parcel)
        with self._changed:
            self._done.add(ticket)
            while self._passed in self._done:
                self._done.discard(self._passed)
                self._passed += 1
            self.messages += 1
            self._changed.notify_all()

    # ---- ending

    def _note_failure(self, ticket: int) -> None:
        """What comes after it is not run any more; what was before it is finished."""
        with self._changed:
            self._fail_at = ticket if self._fail_at is None else min(ticket, self._fail_at)
            self._end_runs()

    def _end_runs(self) -> None:
        for ticket, (_, _, cancel) in self._runs.items():
            if self._fail_at is not None and ticket > self._fail_at:
                cancel.set()
        self._changed.notify_all()

    def kill(self) -> None:
        """End all runs without asking."""
        for process in list(self._running):
            process.send(signal.SIGKILL)

    def stop(self) -> None:
        """End now, all runs too."""
        super().stop()
        with self._changed:
            self._fail_at = -1
            self._end_runs()
