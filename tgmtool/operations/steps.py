"""The steps of following several places: look, wait, remember, and the reasons to stop.

It is separate from the two loops around them, which wait in different colours and are otherwise the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from ..endpoints import STDIO, is_remote, shown
from ..endpoints.base import Source
from ..endpoints.stdio import StreamSource
from ..endpoints.watch import Watch, watch
from ..errors import SourceError, TgmError, TimeLimit
from ..messages.spans import Notice
from ..messages.stream import Place
from .choices import UNITS, Choices
from .contents import Found
from .folders import track_of
from .interruption import Interruption
from .keeper import Keeper
from .lifelines import lifelines_of
from .starts import check_start
from .tracks import Track, is_pipe, key_of, successor_in


class Tail:
    """The steps of following; `tail` and `atail` are the loops around them.

    Args:
        places: Paths, folders, `-`, or Sources.
        choices: How.
        when_told: State and acknowledgments are written by `write` alone, not while looking: whoever
            awaits asks `must_write` before it hands out anything.

    Attributes:
        matched: `until` was true for a unit, or `until` was not given.
        cut: A message was not finished when following stopped.
        failed: Files that could not be read.
        current: Name of the file that what was yielded last comes from.
        interruption: Of `interrupt`: it stops at once only where no decoder is in the middle of a step,
            while it waits or the caller is busy with what was handed out.
        on_look: Called after every look, for whoever shows how it goes.

    Raises:
        SourceError: The state or the acknowledgments cannot be written.
        CannotResume: The state file holds no state, or that of other places.
        ValueError: A choice that does not exist.
    """

    def __init__(self, places: Sequence[Any], choices: Choices, *, when_told: bool = False) -> None:
        if choices.unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, not {choices.unit!r}")
        check_start(choices.start)
        self.choices = choices
        self.matched = choices.until is None
        self.cut = False
        self.failed: list[TgmError] = []
        self.current = ""
        self.on_look: Callable[[], object] = lambda: None
        self.interruption = Interruption()
        self._places = list(places)
        self._tracks: list[Track] = []
        self._waiting = list(places)  # not there yet
        self._began = self.newest = time.monotonic()
        self._shown = 0
        self._stop = False
        self._watch: Watch | None = None
        self._lifelines = lifelines_of(choices)
        self._keeper = Keeper(choices, [key_of(place) for place in places], when_told=when_told)

    @property
    def lost_data(self) -> bool:
        """Gaps or invalid frames were passed over, or messages are missing."""
        return any(track.has_lost() for track in self._tracks)

    @property
    def tracks(self) -> Sequence[Track]:
        """One per place that was opened."""
        return self._tracks

    @property
    def warnings(self) -> Sequence[str]:
        """What the user should know before it begins."""
        return self._keeper.warnings

    @property
    def stopped_early(self) -> bool:
        """It was `until`, `count` or the caller that ended it."""
        return self._stop

    @property
    def must_write(self) -> bool:
        """It is time for `write`; never true unless that was asked for."""
        return self._keeper.must_write

    def write(self) -> None:
        """Write down how far everything was taken.

        Raises:
            SourceError: It cannot be written; what was written before still holds.
        """
        self._keeper.write(self._tracks)

    def errors(self) -> list[Place]:
        """Return what producers ended with that failed: the first of each place."""
        found = (track.order.ledger.error() for track in self._tracks)
        return [place for place in found if place is not None]

    def missing_ends(self) -> list[str]:
        """Return who has not ended: the open senders, and places where nobody ever spoke."""
        found = []
        for track in self._tracks:
            senders = track.order.ledger.senders
            found += [str(who) for who in track.order.ledger.open_senders()]
            missing = (self.choices.producers or 1) - len(senders)
            if missing > 0:
                found.append(f"{missing} of {self.choices.producers or 1} producers in {track.key}")
        return found

    def stop(self) -> None:
        """End following after the unit that was handed out last."""
        self._stop = True

    def interrupt(self, reason: BaseException) -> None:
        """Stop soon; from a signal handler."""
        self.interruption.request(reason)

    def interrupt_now(self) -> None:
        """Stop wherever it is, after `interrupt` was in vain: much is read at once, or a pipe is silent.

        State and acknowledgments stay as they were written last.
        """
        if self.interruption.wanted is not None and not self.interruption.raised:
            self._keeper.abandon()
            self.interruption.raised = True
            raise self.interruption.wanted

    def wait(self) -> None:
        """Wait for something new, as long as `pause` says."""
        pause = self.pause()
        with self.interruption.breakable():
            if pipes := self.pipes():
                pipes[0].is_ready(pause)
            else:
                self.start_watching().wait(pause)

    async def wait_async(self) -> None:
        """As `wait`."""
        if pipes := self.pipes():
            await pipes[0].wait_ready_async(self.pause())
        else:
            await self.start_watching().wait_async(self.pause())

    def start_watching(self) -> Watch:
        """Return the watch over the files, made when it is first needed."""
        if self._watch is None:
            paths = [_watched(p) for p in self._places if isinstance(p, str | os.PathLike) and p != STDIO]
            if self.choices.until_exists is not None:
                paths.append(self.choices.until_exists)
            self._watch = watch(paths, events=self.choices.notices)
        return self._watch

    def close(self) -> None:
        """Write down how far everything was taken; let go of files, commands and watch."""
        with ExitStack() as stack:
            stack.callback(self._keeper.close)
            for track in self._tracks:
                stack.callback(track.close)
            for lifeline in self._lifelines:
                stack.callback(lifeline.close)
            if self._watch is not None:
                stack.callback(self._watch.close)
                self._watch = None
            self.write()

    # ---- steps

    def look(self) -> Iterator[Found]:
        """Yield what is new in all places.

        Raises:
            CannotResume: The state does not fit the data.
            SourceError: State or acknowledgments cannot be written. What cannot be read is noted in
                `failed`, and a Notice is yielded.
        """
        for place in self._appeared():
            yield from self._begin(place)
        for track in list(self._tracks):
            if self._stop:
                return
            watched, taken = track.watched, track.taken
            try:
                yield from self._pass_on(track, track.look())
            except SourceError as error:
                if self.choices.retry and self.choices.follow:
                    continue
                yield self._note_failure(error)
                self._tracks.remove(track)
                track.close()
            if track.taken != taken:
                self._keeper.took(self._tracks)
            if track.watched != watched and self._watch is not None:
                self._watch.add(track.watched)
            _check_sender(track)
        ended = any(track.has_ended() for track in self._tracks)
        self._keeper.looked(self._tracks, ended=ended)
        self.on_look()

    def gone(self) -> bool:
        """Return whether what following is tied to gave way. Asked before the last look.

        Raises:
            SourceError: A command cannot be run.
        """
        return any(lifeline.is_cut() for lifeline in self._lifelines)

    def is_over(self, *, gone: bool) -> bool:
        """Return whether there is nothing more to wait for.

        Raises:
            TimeLimit: A limit passed.
            SourceError: A file never appeared.
        """
        choices = self.choices
        if self._stop or gone:
            return True
        now = time.monotonic()
        if self._waiting and not self._still_waiting(now):
            return True
        tracks = [track for track in self._tracks if not track.at_end and not self._has_ended(track)]
        if not tracks and not self._waiting:
            return True
        if choices.any_end and any(self._has_ended(track) for track in self._tracks):
            return True
        if not choices.follow and not any(is_pipe(track) for track in tracks):
            return not self._waiting
        if choices.timeout is not None and now - self._began >= choices.timeout:
            raise TimeLimit(f"--timeout: {choices.timeout:g} s passed")
        if choices.idle_timeout is not None and now - self.newest >= choices.idle_timeout:
            raise TimeLimit(f"--idle-timeout: nothing new for {choices.idle_timeout:g} s")
        return False

    def pause(self) -> float:
        """Return how many seconds to wait at most before the next look."""
        choices, now = self.choices, time.monotonic()
        pauses = [choices.poll]
        if self._waiting and choices.wait_for:
            pauses.append(self._began + choices.wait_for - now)
        if choices.timeout is not None:
            pauses.append(self._began + choices.timeout - now)
        if choices.idle_timeout is not None:
            pauses.append(self.newest + choices.idle_timeout - now)
        if self._keeper.is_needed:
            pauses.append(self._keeper.pause(idle=True))
        pauses += [lifeline.pause for lifeline in self._lifelines]
        pauses += [track.pause for track in self._tracks if track.pause is not None]
        return max(min(pauses), 0.001)

    def pipes(self) -> list[StreamSource]:
        """Return the sources that have to be waited for by themselves."""
        sources = (track.source for track in self._tracks if not track.at_end)
        return [source for source in sources if isinstance(source, StreamSource)]

    def finish(self) -> Iterator[Found]:
        """Yield what is left in all places, and "cut" notices for messages that are not finished."""
        for track in self._tracks:
            if self._stop:
                return
            yield from self._pass_on(track, track.finish())
            if not track.order.begun and not self._stop:
                wanted = track.order.wanted
                self.failed.append(
                    SourceError(f"no message with number {wanted.seq} or higher", uri=track.name)
                )

    def pending(self) -> Iterator[Notice]:
        """Yield "cut" notices for open messages, for who stops at once: what is not read is not taken."""
        for track in self._tracks:
            yield from track.pending()

    # ---- their parts

    def _has_ended(self, track: Track) -> bool:
        # A pipe ends by itself, and what is still in it when a stream has ended would be lost.
        return self.choices.follow and not self.choices.forever and not is_pipe(track) and track.has_ended()

    def _pass_on(self, track: Track, found: Iterator[Found]) -> Iterator[Found]:
        taken = False
        for one in found:
            if taken:  # asking for this one said so
                self._keeper.took(self._tracks)
            self.newest = time.monotonic()
            self.current = track.name
            if isinstance(one, Notice) and one.event == "cut":
                self.cut = True
            with self.interruption.breakable():
                yield one
            taken = True
            if isinstance(one, Notice):
                if one.event in {"replaced", "truncated"}:
                    self._keeper.hurry()  # what is remembered is of a file that is not there any more
            else:
                self._shown += 1
                if self.choices.until is not None and self.choices.until(one):
                    self.matched = self._stop = True
                if self._shown == self.choices.count:
                    self._stop = True
            if self._stop:
                break
        if self._stop and self._keeper.is_active:
            with suppress(TgmError):  # what comes next is not ours any more
                next(found, None)
        if taken:
            self._keeper.took(self._tracks)

    def _appeared(self) -> list[Any]:
        """Return the places that are there now and were not."""
        there = [place for place in self._waiting if _exists(place) or self._has_moved_on(place)]
        self._waiting = [place for place in self._waiting if place not in there]
        return there

    def _has_moved_on(self, place: Any) -> bool:
        """Return whether a successor is what is to be read: the first file may have been cleared away."""
        return successor_in(self._keeper.entry_of(key_of(place)), place) is not None

    def _begin(self, place: Any) -> Iterator[Found]:
        """Open a place where state and choices say; yield what a pipe's last units are."""
        choices = self.choices
        track = track_of(place, choices, self._keeper.entry_of(key_of(place)))
        try:
            track.open()
        except SourceError as error:
            if choices.retry and choices.follow:
                self._waiting.append(place)
                return
            yield self._note_failure(error)
            return
        self._tracks.append(track)
        self._keeper.took(self._tracks)
        if track.must_hold_back():
            yield from self._pass_on(track, track.held_back())

    def _still_waiting(self, now: float) -> bool:
        choices = self.choices
        if choices.follow and choices.retry and not choices.wait_for:
            return True
        if now - self._began < choices.wait_for:
            return True
        for place in self._waiting:
            waited = f" after {choices.wait_for:g} s" if choices.wait_for else ""
            self.failed.append(SourceError(f"no such file{waited}", uri=_name_of(place)))
        self._waiting = []
        return bool(self._tracks)

    def _note_failure(self, error: SourceError) -> Notice:
        self.failed.append(error)
        return Notice("failed", error.uri, reason=str(error))


def _exists(place: Any) -> bool:
    if not isinstance(place, str | os.PathLike) or place == "-" or is_remote(place):
        return True
    return os.path.exists(place)


def _name_of(place: Any) -> str:
    return place.name if isinstance(place, Source) else shown(os.fspath(place))


def _watched(place: Any) -> str:
    path = os.fspath(place)
    return os.path.join(path, "") if os.path.isdir(path) else path


def _check_sender(track: Track) -> None:
    """Refuse to begin at a number that several senders have."""
    senders = track.order.ambiguous
    if len(senders) > 1 and track.order.wanted.sender is None:
        names = ", ".join(sorted(who.sender for who in senders)[:10])
        raise SourceError(
            f"a number of which sender? {names} are in it; say --from seq:SENDER:N", uri=track.name
        )
