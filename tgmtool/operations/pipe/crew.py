"""Start the stages of a pipeline, watch over them, and end them all, whatever happens.

It is separate because here is what nobody else may decide: which failure was the first, who has to stop
because of it and who may finish, and when it is over.

A failure ends what stands before it at once. What stands behind it finishes what it was given, then hears
of the failure by an error marker, and ends in its own way: as long as it moves.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import NamedTuple

from ...endpoints.base import Bytes
from ...errors import FramingError, TgmError
from ...messages.stream import Place
from ..transforms.base import Unit
from .choices import LinkState, PipeChoices
from .failures import Interrupted
from .goodbye import error_marker
from .links import Link
from .listener import Listener, Said
from .parcels import Parcel
from .process_stage import ProcessStage
from .reader import Reader, is_error
from .set_aside import SetAside
from .stages import Stage
from .tape import Feed, PlaceFeed
from .waker import Waker
from .watchdog import Watchdog

_KILLED_AFTER = 2.0  # seconds in which a thread ends whose processes were killed
_MOST_LOSSES = 100  # that are told one by one; a stream has no end, and a log should have one
_LOOK_AGAIN = 0.05  # seconds between two looks at how far those are who end


class Hooks(NamedTuple):
    """Whom to tell what.

    Attributes:
        said: Takes a stage's label and a line that it wrote to stderr.
        noted: Takes a sentence for the operator.
        ticked: Is called now and then while it runs.
        period: Seconds between two calls of that; None: never.
    """

    said: Said = lambda label, line: None
    noted: Callable[[str], None] = lambda text: None
    ticked: Callable[[Crew], None] = lambda crew: None
    period: float | None = None


class Failure(NamedTuple):
    """What went wrong first.

    Attributes:
        stage: Where; None: the whole pipeline was stopped.
        error: What.
        part: The part of the stage where; the stage itself if it has none.
    """

    stage: Stage | None
    error: Exception
    part: Stage | None = None


class Crew:
    """The stages of one pipeline.

    Args:
        choices: How it runs.
        hooks: Whom to tell what.
        stdin: Descriptor of what `-` means, and of what the first command inherits.

    Attributes:
        stages: In their order, input and output included.
        losses: What was skipped or lost, in words; the first of it, and how much more.
        producer_error: What a producer upstream said of its failure.
    """

    def __init__(self, choices: PipeChoices, hooks: Hooks, stdin: int) -> None:
        self.choices = choices
        self.hooks = hooks
        self.stdin = stdin
        self.stages: list[Stage] = []
        self.losses: list[str] = []
        self.failure: Failure | None = None
        self.producer_error: Place | None = None
        self.started = monotonic()
        self.clock = monotonic
        self._readers: list[Reader] = []
        self._lock = threading.Lock()
        self._listener = Listener(hooks.said, choices.stderr_limit)
        self._set_aside = SetAside(choices.failed) if choices.keep_going else None
        self._waker = Waker()
        self._lost = 0  # losses, also those that are only counted
        self._handled = False  # what has to end because of the failure was told so
        self._stopped_at: float | None = None
        self._moved = (0, 0.0)
        self._run_id = str(uuid.uuid4())

    # ---- what stages ask

    @property
    def has_failed(self) -> bool:
        """Something went wrong somewhere."""
        return self.failure is not None

    def wake(self) -> None:
        """Let the crew look at everything."""
        self._waker.ring()

    def fail(self, stage: Stage | None, error: Exception) -> None:
        """Take note of a failure. The first counts; of those who were told to stop none does."""
        with self._lock:
            if self.failure is None and (stage is None or stage.is_wanted):
                self.failure = Failure(stage and stage.whole, error, stage)
        self.wake()

    def lose(self, text: str) -> None:
        """Take note that data was lost."""
        with self._lock:
            self._lost += 1
            if self._lost > _MOST_LOSSES:
                return
            self.losses.append(text)
        self.hooks.noted(text)

    def reader_of(
        self,
        stage: Stage,
        feed: Feed | PlaceFeed,
        link: Link,
        may_be_foreign: Callable[[], bool] = lambda: False,
    ) -> Reader:
        """Return the reader of what a stage gives."""
        found = Reader(
            feed,
            link,
            on_error=self.choices.on_error,
            may_be_foreign=may_be_foreign,
            limits=self.choices.limits,
            marker=self._see_marker,
        )
        self._readers.append(found)
        return found

    def _see_marker(self, place: Place) -> None:
        if is_error(place) and self.producer_error is None and not self.has_failed:
            self.producer_error = place

    def allows_foreign(self, stage: Stage) -> bool:
        """Return whether what a process gives may be no messages: somebody who knows it takes it."""
        at = self.stages.index(stage.whole)
        before, after = self.stages[:at], self.stages[at + 1]
        if isinstance(after, ProcessStage):
            # As long as no message came before it: whoever is given messages gives messages.
            return isinstance(stage.whole, ProcessStage) and not any(
                not isinstance(each, ProcessStage) or each.gives_messages for each in before
            )
        is_last = after is self.stages[-1]
        return is_last and bool(before) and not getattr(before[-1], "is_foreign", False)

    def listen(self, descriptor: int, stage: Stage) -> None:
        """Listen to a stage's stderr."""
        self._listener.add(descriptor, stage.label)

    def heard(self, stage: Stage, text: bytes) -> None:
        """Take what a run of a stage wrote to stderr."""
        self._listener.heard(stage.label, text)

    def unit_of(self, parcel: Parcel, data: Bytes, offset: int | None = None) -> Unit:
        """Return a message as transforms know it."""
        start = parcel.offset if offset is None else offset
        return Unit(data, parcel.number, start, name="stream", limits=self.choices.limits)

    def busy(self, parcel: Parcel) -> tuple[int, float]:
        """Return what `Stage.busy` says while this is worked on."""
        return parcel.number, monotonic()

    def seq_of(self, unit: Unit) -> str:
        """Return ` (seq N)` for a message that has a place in a stream."""
        try:
            place = unit.place
        except TgmError:
            return ""
        return "" if place is None else f" (seq {place.seq})"

    def set_aside(self, data: Bytes, error: Exception) -> bool:
        """Keep a message that a stage failed on, if that was asked for; return whether it was."""
        if self._set_aside is None:
            return False
        self._set_aside.add(data)
        self.lose(f"{error}; set aside")
        return True

    def say_goodbye(self, stage: Stage) -> None:
        """A stage ends: if it is the one that failed, those behind it hear of it."""
        failure = self.failure
        if failure is None or failure.stage is not stage or stage.after is None or not stage.after.is_between:
            return
        if stage.after is self.stages[-1].before and not self.is_read_as_messages:
            return
        stage.after.put(self.error_marker())

    @property
    def is_read_as_messages(self) -> bool:
        """Whoever reads our output expects messages there, and may be told by one that we failed.

        What a command gives may be anything: a count, a log. It is not, once messages came.
        """
        link = self.stages[-1].before
        assert link is not None
        return link.messages > 0 or (not self.stages[-2].is_command and link.given == 0)

    def error_marker(self) -> Parcel:
        """Return the message that tells whoever reads that the pipeline failed."""
        assert self.failure is not None
        seen = next((reader.first_place for reader in self._readers if reader.first_place), None)
        return error_marker(self.failure.error, seen, self._run_id, self.choices.name)

    # ---- from the beginning to the end

    def run(self, stages: Sequence[Stage]) -> None:
        """Run all stages; nothing of them is left when this returns."""
        self.stages = list(stages)
        self._watchdog = Watchdog(self)
        try:
            self._start()
            self._watch()
        finally:
            self._close()

    def _start(self) -> None:
        for stage in self.stages:
            try:
                stage.start()
            except TgmError as error:
                self.fail(stage, error)
                break
        self._listener.start()

    def discard(self, stages: Sequence[Stage]) -> None:
        """They will not run: let go of everything."""
        self.stages = list(stages)
        self._close()

    def interrupt(self, number: int) -> None:
        """End everything now, as a signal asked for; may be called by its handler."""
        if self.failure is None:  # no lock: whoever holds it may be the one who was interrupted
            self.failure = Failure(None, Interrupted(number))
        self.wake()

    def kill(self) -> None:
        """Kill every process at once, without asking."""
        for stage in self.stages:
            stage.kill()

    def everyone(self) -> Iterator[Stage]:
        """Yield all stages, each followed by those that it is made of."""
        for stage in self.stages:
            yield from stage.members

    def _watch(self) -> None:
        while not all(stage.is_over or not stage.has_begun for stage in self.stages):
            processes = [stage for stage in self.everyone() if isinstance(stage, ProcessStage)]
            self._waker.wait(processes, self._patience())
            for stage in processes:
                stage.look_after()
            self._look()
            if self._is_hopeless():
                return

    def _patience(self) -> float:
        """Return the seconds until somebody has to look at something, whatever happens."""
        found = (self._watchdog.period, self.hooks.period or 1.0)
        return min(*found, _LOOK_AGAIN) if self.has_failed else min(found)

    def _look(self) -> None:
        self.hooks.ticked(self)
        if self.failure is None:
            if (passed := self._watchdog.look()) is not None:
                self.fail(*passed)
            elif (text := self._watchdog.warning()) is not None:
                self.hooks.noted(f"--warn-after: {text}")
        if self.failure is None:
            return
        if not self._handled:
            self._handled = True
            self._moved = (self._movement(), monotonic())
            self._carry_out(self.failure)
        elif self._stopped_at is None and not self._moves():
            self._stop_all()
        elif self._stopped_at is not None and monotonic() - self._stopped_at > self.choices.grace:
            self.kill()

    def _carry_out(self, failure: Failure) -> None:
        """Tell everybody what the failure means for him."""
        failed, part = failure.stage, failure.part
        if failed is None:
            self._stop_all()
            return
        for stage in self.stages:
            if stage.number < failed.number:
                stage.stop()
        failed.wind_down()
        if part is not None and part is not failed:
            part.wind_down()

    def _stop_all(self) -> None:
        self._stopped_at = monotonic()
        for stage in self.stages:
            stage.stop()

    def _movement(self) -> int:
        return sum(each.before.taken + each.before.passing for each in self.everyone() if each.before)

    def _moves(self) -> bool:
        """What is still on its way moves, or has moved within the grace."""
        moved, at = self._moved
        found = self._movement()
        if found != moved:
            self._moved = (found, monotonic())
            return True
        return monotonic() - at < self.choices.grace

    def _is_hopeless(self) -> bool:
        """Everything was killed, and some thread does not come back: it hangs in a call of the system."""
        stopped = self._stopped_at
        return stopped is not None and monotonic() - stopped > self.choices.grace + _KILLED_AFTER

    def _close(self) -> None:
        if not all(stage.is_over for stage in self.stages):
            for stage in self.stages:
                stage.stop()
            self.kill()
        deadline = monotonic() + _KILLED_AFTER
        for stage in self.stages:
            stage.join(max(deadline - monotonic(), 0.0))
        for stage in self.stages:
            stage.close()
        self._listener.close(_KILLED_AFTER)
        if self._set_aside is not None:
            self._set_aside.close()
        self._judge()
        self._waker.close()

    def _judge(self) -> None:
        """What can only be said at the end."""
        for reader in self._readers:
            if reader.losses and self.choices.on_error == "skip":
                text = f"{reader.name}: {reader.lost} bytes were skipped in {reader.losses} places"
                self.lose(f"{text}; the first: {reader.first_loss}")
            elif reader.losses:
                self.hooks.noted(
                    f"{reader.name}: {reader.losses} places are damaged, and were passed on; "
                    f"the first: {reader.first_loss}"
                )
        if self._lost > _MOST_LOSSES:
            text = f"and {self._lost - _MOST_LOSSES} more that are not told one by one"
            self.losses.append(text)
            self.hooks.noted(text)
        links = [stage.before for stage in self.stages if stage.before is not None]
        if (
            self.failure is None
            and any(each.given for each in links)
            and not any(each.messages for each in links)
        ):
            error = FramingError(
                "no stage gave messages: what came out is something else", offset=0, section="1"
            )
            self.fail(None, error)

    # ---- for whoever looks on

    def look(self) -> list[LinkState]:
        """Return what every link looks like now, in their order."""
        found = []
        for before, after in zip(self.stages, self.stages[1:], strict=False):
            if before.after is None:
                continue
            filling = before.after.look()
            found.append(
                LinkState(
                    before=before.label,
                    after=after.label,
                    messages=filling.messages,
                    bytes=filling.given,
                    held=filling.held,
                    peak=before.after.peak,
                    capacity=filling.capacity,
                    waiting=filling.waiting,
                    oldest=filling.oldest,
                    blocked=filling.blocked,
                    hungry=filling.hungry,
                )
            )
        return found
