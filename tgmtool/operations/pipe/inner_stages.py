"""Stages that are no processes: flow control, and transforms of whole messages.

They are separate from what they run so that what they run has no threads, no links and no queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from ...errors import EncodeError, FormatError, LimitExceeded, NameRefused, ReferenceRefused, TgmError
from ..transforms.base import Transform, Unit
from .failures import StageFailed
from .flow import Flow, Limit
from .held import Held
from .links import Link
from .parcels import Kind, Parcel
from .stages import Stage

if TYPE_CHECKING:
    from .crew import Crew


_LONGEST_DELAY = 0.01  # seconds for which a message that passed waits for others to go on with it

OF_THIS_MESSAGE = FormatError, LimitExceeded, NameRefused, EncodeError, ReferenceRefused
"""What is wrong with one message, and says nothing of the next."""


class FlowStage(Stage):
    """Lets parcels pass when a Flow says so."""

    def __init__(self, crew: Crew, number: int, label: str, before: Link, after: Link, flow: Flow) -> None:
        super().__init__(crew, number, label, before, after)
        self._flow = flow

    def work(self) -> None:
        """Pass parcels on."""
        assert self.before is not None
        assert self.after is not None
        flow = self._flow
        while (parcel := self.before.take()) is not None:
            if not flow.admit(parcel, self.cancel.wait):
                return
            self.after.put(parcel)
            self.before.done(parcel)
            self.messages += parcel.ends
            if isinstance(flow, Limit) and flow.is_reached and parcel.ends:
                return


class WholeStage(Stage):
    """Takes whole messages, one after the other.

    A message that came in parts is put together first: in memory, or beyond a bound in a file.
    """

    def __init__(self, crew: Crew, number: int, label: str, before: Link, after: Link) -> None:
        super().__init__(crew, number, label, before, after)
        self._held: Held | None = None

    def message(self, unit: Unit, parcel: Parcel | None) -> None:
        """Deal with a message; `parcel` is what it came in, None if it came in parts."""
        raise NotImplementedError

    def failure(self, error: Exception) -> Exception:
        """What a place says of itself does not say who wanted it."""
        return place_failed(error, self) if isinstance(error, OSError) else error

    def pass_on(self, parcel: Parcel) -> None:
        """Pass on what is no message."""
        assert self.after is not None
        self.after.put(parcel)

    def work(self) -> None:
        """Take messages to the end."""
        assert self.before is not None
        while (parcel := self.before.take()) is not None:
            if parcel.kind is Kind.FOREIGN:
                self.pass_on(parcel)
            elif parcel.kind is Kind.PART:
                self._take_part(parcel)
            elif parcel.count > 1:
                self.take_run(parcel)
            else:
                self.take_single(parcel)
            self.before.done(parcel)

    def take_run(self, run: Parcel) -> None:
        """Deal with several messages that came in one parcel."""
        for parcel in run.singles():
            self.take_single(parcel)

    def take_single(self, parcel: Parcel) -> None:
        """Deal with a message that came whole."""
        self._take(self.crew.unit_of(parcel, parcel.joined()), parcel)

    def _take_part(self, parcel: Parcel) -> None:
        if parcel.starts:
            self._held = Held(self.crew.choices.buffer)
        assert self._held is not None
        for piece in parcel.bytes:
            self._held.add(piece)
        if parcel.ends:
            held, self._held = self._held, None
            try:
                if not parcel.broken:
                    data = held.data()
                    self._take(self.crew.unit_of(parcel, data, parcel.offset + parcel.size - len(data)), None)
            finally:
                held.close()

    def _take(self, unit: Unit, parcel: Parcel | None) -> None:
        self.busy = (unit.number, self.crew.clock())
        try:
            self.message(unit, parcel)
        except OF_THIS_MESSAGE as error:
            text = str(error).removeprefix(f"{unit.name}: message {unit.number}: ")  # it is said once
            failed = StageFailed(
                f"{self.label}: message {unit.number}{self.crew.seq_of(unit)}: {text}", stage=self.number
            )
            failed.__cause__ = error
            if not self.crew.set_aside(unit.data, failed):
                raise failed from error
        self.messages += 1
        self.busy = None


class TransformStage(WholeStage):
    """Hands whole messages to a Transform, and passes on what it gives."""

    def __init__(
        self, crew: Crew, number: int, label: str, before: Link, after: Link, transform: Transform
    ) -> None:
        super().__init__(crew, number, label, before, after)
        self._transform = transform
        self._only_looks = getattr(transform, "only_looks", False)
        self._together: list[Parcel] | None = None  # small messages that pass as they came, to go on as one
        self._size = 0  # of them, in bytes
        before.takes_several = True

    def message(self, unit: Unit, parcel: Parcel | None) -> None:
        """Pass a message through the transform."""
        self._put(self._transform.message(unit), unit, parcel)

    def _put(self, found: Iterable[Unit], given: Unit | None, parcel: Parcel | None) -> None:
        assert self.after is not None
        for unit in found:
            if unit is not given or parcel is None:
                self._pass_together()
                self.after.put(parcel_of(unit))
            elif self._together is not None:
                if self._size + parcel.size > self.after.capacity:
                    self._pass_together()
                self._together.append(parcel)
                self._size += parcel.size
            else:
                self.after.put(parcel)  # as it came: nothing has to be looked at again

    def take_run(self, run: Parcel) -> None:
        """Pass each of the messages through the transform; what passes unchanged may go on together.

        Not where the transform does anything that somebody may wait for: then each goes on at once.
        """
        assert self.before is not None
        assert self.after is not None
        if self._only_looks and self.after.takes_runs:
            self._together = []
        due = monotonic() + _LONGEST_DELAY
        try:
            for parcel in run.singles():
                self.take_single(parcel)
                self.before.advanced(parcel.size)
                if self._together and monotonic() >= due:
                    self._pass_together()
                    due = monotonic() + _LONGEST_DELAY
        finally:
            # What passed before something failed is on its way all the same.
            self._pass_together()
            self._together = None

    def _pass_together(self) -> None:
        if not self._together:
            return
        assert self.after is not None
        together, self._together = self._together, []
        self._size = 0
        self.after.put(Parcel.of(together))

    def clean_up(self, *, failed: bool) -> None:
        """The transform closes what it opened."""
        for unit in self._transform.finish(failed=failed):
            if not failed:
                self._put((unit,), None, None)

    def wind_down(self) -> None:
        """Take nothing more, and wait for nobody outside."""
        super().wind_down()
        if callable(stop := getattr(self._transform, "stop", None)):
            stop()

    def close(self) -> None:
        """Also a transform that was never used has opened something."""
        if not self.has_begun:
            self._guard(lambda: self.clean_up(failed=True))
        super().close()


def place_failed(error: OSError, stage: Stage) -> StageFailed:
    """Return the failure of a stage that is the failure of a place that it writes to."""
    text = "nobody reads its output any more" if isinstance(error, BrokenPipeError) else str(error)
    found = StageFailed(f"{stage.label}: {text}", stage=stage.number)
    found.__cause__ = error
    return found


def parcel_of(unit: Unit) -> Parcel:
    """Return what a message travels in."""
    is_marker = False
    with suppress(TgmError):
        is_marker = unit.is_marker
    return Parcel(Kind.MESSAGE, (unit.data,), number=unit.number, offset=unit.offset, is_marker=is_marker)
