"""`@by KEY CMD`: a process for each value of a key, and each message goes to the process of its value.

It is separate because the processes are begun while the pipeline runs, by what stands in the messages:
how many there may be, what becomes of markers, which all of them get, and when all is over.

One process that is slow holds back the others as soon as its own link is full: memory is bounded.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import LimitExceeded, NameRefused
from ..commands import CommandFailed, CommandLine
from ..transforms.base import Unit
from ..transforms.names import values_of
from .choices import LEAST_BUFFER
from .failures import StageFailed
from .inner_stages import WholeStage, parcel_of
from .links import Abandoned, Cancelled, Link
from .parcels import Kind, Parcel
from .process_stage import ProcessStage
from .returns import Returns
from .specs import PROCESS, Spec
from .stages import Stage

if TYPE_CHECKING:
    from .crew import Crew

MOST_PROCESSES = 64  # option --max-processes


class ByStage(WholeStage):
    """Begins a process when a value comes for the first time, and ends all of them with the stream.

    What a process gives goes on: whole messages, each process's in its own order. Markers go to all, and on
    from here once.

    Args:
        crew: As every stage.
        number: As every stage.
        label: As every stage.
        before: As every stage.
        after: As every stage.
        key: Whose values tell messages apart. All objects of a message have to agree.
        command: What to run; `{key}` in its words is filled in from the first message of a value.
        most: Processes at most.
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
        key: str,
        command: CommandLine,
        most: int = MOST_PROCESSES,
    ) -> None:
        super().__init__(crew, number, label, before, after)
        self._key = key
        self._command = command
        self._most = most
        self._share = max(after.capacity // most, LEAST_BUFFER)
        self._branches: dict[str, ProcessStage] = {}
        self._growing = threading.Lock()  # a process is begun, or everything is to end
        self._is_stopped = False
        self._giving = threading.Lock()
        self._returns: Returns[ProcessStage] = Returns()
        self._refused: dict[ProcessStage, int] = {}  # the first message that came too late for it
        self._left = 1  # threads: ours, and one for each process
        self._numbers = 0

    @property
    def is_foreign(self) -> bool:
        """Something that is no message comes from one of the processes, and that is all right."""
        return any(each.is_foreign for each in list(self._branches.values()))

    @property
    def members(self) -> Sequence[Stage]:
        """Itself, and a stage for each process."""
        return (self, *list(self._branches.values()))

    # ---- what comes in

    def start(self) -> None:
        """Begin to take messages.

        Raises:
            StageFailed: There is no such command.
        """
        program = self._command.program
        if shutil.which(program) is None:
            raise StageFailed(f"{self.label}: no such command ({program})", stage=self.number)
        self._begin(self._serve)

    def _serve(self) -> None:
        assert self.before is not None
        self._guard(self.work)
        self.busy = None
        self.before.abandon()
        for each in list(self._branches.values()):
            assert each.before is not None
            each.before.close()
        self._end_one()

    def message(self, unit: Unit, parcel: Parcel | None) -> None:
        """Give a message to the process of its value, or a marker to all."""
        given = parcel or parcel_of(unit)
        if unit.is_marker:
            self.busy = None
            self._give_marker(given)
            return
        value = values_of(unit.keys(), (self._key,))[self._key]
        branch = self._branches.get(value) or self._begin_branch(value, unit)
        self.busy = None  # from here on it is the process that takes its time
        self._give(branch, given)

    def _give(self, branch: ProcessStage, parcel: Parcel) -> None:
        assert branch.before is not None
        try:
            branch.before.put(parcel)
        except Abandoned:
            if not self.is_wanted:
                raise
            self._refused.setdefault(branch, parcel.number)

    def _give_marker(self, parcel: Parcel) -> None:
        data = bytes(parcel.joined())
        branches = list(self._branches.values())
        for late in self._returns.sent(data, branches):
            self._pass(late)
        if not branches:
            self._pass(parcel)
            return
        for branch in branches:
            assert branch.before is not None
            try:
                branch.before.put(parcel)
            except Abandoned:
                continue  # it has ended: it does not have to know

    def _begin_branch(self, value: str, unit: Unit) -> ProcessStage:
        if len(self._branches) >= self._most:
            text = f"{self._key}={value[:60]!a} would need one process more than may run"
            raise LimitExceeded(text, limit="processes", value=self._most)
        try:
            words = tuple(self._command.words(unit.keys()[0]))
        except CommandFailed as error:
            raise NameRefused(str(error)) from error
        spec = Spec(self.label, PROCESS, words)
        label = f"stage {self.number} {spec.name!r} ({self._key}={value[:60]!a})"
        links = Link(self._share), Link(self._share)
        with self._growing:
            if self._is_stopped:
                raise Cancelled
            branch = ProcessStage(self.crew, self.number, label, *links, spec=spec, stdin=-1)
            branch.whole = self
            try:
                branch.start()
            except BaseException:
                branch.close()
                raise
            self._branches[value] = branch
            self._returns.joins(branch)
        with self._lock:
            self._left += 1
        self._begin(lambda: self._collect(branch))
        self.crew.wake()
        return branch

    # ---- what comes out

    def _collect(self, branch: ProcessStage) -> None:
        self._guard(lambda: self._pass_on(branch))
        assert branch.after is not None
        branch.after.abandon()
        self._end_one()

    def _pass_on(self, branch: ProcessStage) -> None:
        link = branch.after
        assert link is not None
        try:
            while (parcel := link.take()) is not None:
                is_whole = parcel.kind is Kind.MESSAGE
                if is_whole and self._returns.knows(parcel.size) and self._is_marker(branch, parcel):
                    link.done(parcel)
                else:
                    self._pass_whole(link, parcel)
        finally:
            for late in self._returns.ended(branch):
                self._pass(late)

    def _is_marker(self, branch: ProcessStage, parcel: Parcel) -> bool:
        found = self._returns.came(bytes(parcel.joined()), branch, parcel)
        if found is None:
            return False
        for each in found:
            self._pass(each)
        return True

    def _pass_whole(self, link: Link, parcel: Parcel | None) -> None:
        """Pass a message on; nobody else's stands between its parts."""
        with self._giving:
            while parcel is not None:
                self._put(parcel)
                link.done(parcel)
                if parcel.ends:
                    return
                parcel = link.take()

    def pass_on(self, parcel: Parcel) -> None:
        """What is no message is for none of the processes."""
        self._pass(parcel)

    def _pass(self, parcel: Parcel) -> None:
        with self._giving:
            self._put(parcel)

    def _put(self, parcel: Parcel) -> None:
        assert self.after is not None
        parcel.number = self._numbers
        self.after.put(parcel)
        self._numbers += parcel.ends

    # ---- ending

    def _end_one(self) -> None:
        with self._lock:
            self._left -= 1
            is_last = not self._left
        if is_last:
            for branch, number in self._refused.items():
                if not self.crew.has_failed:
                    self.crew.lose(f"{branch.label} ended before message {number} came, which was for it")
            self._end()

    @property
    def is_over(self) -> bool:
        """Its own threads, and all processes, have ended."""
        return super().is_over and all(each.is_over for each in list(self._branches.values()))

    def stop(self) -> None:
        """End now, all processes too."""
        super().stop()
        with self._growing:
            self._is_stopped = True
        for each in list(self._branches.values()):
            each.stop()
            assert each.before is not None
            assert each.after is not None
            each.before.cancel_giver()
            each.after.cancel_taker()

    def kill(self) -> None:
        """End all processes without asking."""
        for each in list(self._branches.values()):
            each.kill()

    def join(self, seconds: float) -> None:
        """Wait for all threads, so long at most."""
        super().join(seconds)
        for each in list(self._branches.values()):
            each.join(seconds)

    def close(self) -> None:
        """Reap all processes."""
        super().close()
        for each in self._branches.values():
            each.close()
