"""Show what is in growing files as it comes, and know when to stop.

It is separate from `follow` because this is where several files, the clock and the reasons to
stop come together. The loop exists twice, once waiting and once awaiting; both call the same steps.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, closing, contextmanager
from dataclasses import replace
from typing import Any

from ..endpoints import is_remote, shown
from ..endpoints.base import Source
from ..endpoints.stdio import StreamSource
from ..endpoints.watch import Watch, watch
from ..errors import SourceError, TgmError
from ..messages.spans import Notice
from .choices import UNITS, Choices
from .follow import Follower, Found
from .starts import start_of, where_last_begin


class TimeLimit(TgmError):
    """A time limit of `tail` passed: nothing new for too long, or too long in all."""


class Tail:
    """The steps of following; `tail` and `atail` are the loops around them.

    Args:
        places: Paths, `-`, or Sources.
        choices: How.

    Attributes:
        matched: `until` was true for a unit, or `until` was not given.
        lost_data: Gaps or invalid frames were passed over.
        cut: A message was not finished when following stopped.
        failed: Files that could not be read.
        current: Name of the file that what was yielded last comes from.
    """

    def __init__(self, places: Sequence[Any], choices: Choices) -> None:
        if choices.unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, not {choices.unit!r}")
        self.choices = choices
        self.matched = choices.until is None
        self.cut = False
        self.failed: list[SourceError] = []
        self.current = ""
        self._places = list(places)
        self._followers: list[Follower] = []
        self._waiting = list(places)  # not there yet
        self._began = self._newest = time.monotonic()
        self._shown = 0
        self._stop = False
        self._watch: Watch | None = None
        self._interruption: BaseException | None = None
        self._interruptible = False

    @property
    def lost_data(self) -> bool:
        """Gaps or invalid frames were passed over."""
        return any(follower.lost_data for follower in self._followers)

    @property
    def followers(self) -> Sequence[Follower]:
        """One per file that was opened."""
        return self._followers

    def interrupt(self, reason: BaseException) -> None:
        """Stop soon; from a signal handler. Raises `reason` at once only where nothing is half done."""
        if self._interruptible:
            raise reason
        self._interruption = reason

    def wait(self) -> None:
        """Wait for something new, as long as `pause` says."""
        pause = self.pause()
        with self._breakable():
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

    @contextmanager
    def _breakable(self) -> Iterator[None]:
        """What is done inside may be broken off by `interrupt`: no decoder is in the middle of a step."""
        self._interruptible = True
        try:
            if self._interruption is not None:
                reason, self._interruption = self._interruption, None
                raise reason
            yield
        finally:
            self._interruptible = False

    def start_watching(self) -> Watch:
        """Return the watch over the files, made when it is first needed."""
        if self._watch is None:
            paths = [os.fspath(p) for p in self._places if isinstance(p, str | os.PathLike) and p != "-"]
            self._watch = watch(paths, events=self.choices.notices)
        return self._watch

    def close(self) -> None:
        """Let go of files and watch."""
        for follower in self._followers:
            follower.close()
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    # ---- steps

    def look(self) -> Iterator[Found]:
        """Yield what is new in all files.

        Raises:
            SourceError: A file cannot be read and there is no other; with several it is noted in
                `failed`, and a Notice is yielded.
        """
        for place in self._appeared():
            yield from self._begin(place)
        for follower in list(self._followers):
            if self._stop:
                return
            try:
                yield from self._pass_on(follower, follower.poll())
            except SourceError as error:
                if self.choices.retry and self.choices.follow:
                    continue
                yield self._note_failure(error)
                follower.close()

    def gone(self) -> bool:
        """Return whether the process that was to be watched is gone. Asked before the last look."""
        pid = self.choices.pid
        if pid is None:
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False  # it lives, and belongs to somebody else
        return _is_zombie(pid)

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
        open_ends = [f for f in self._followers if not f.at_end]
        if not open_ends and not self._waiting:
            return True
        if not choices.follow and not any(not f.source or not f.source.seekable for f in open_ends):
            return not self._waiting
        if choices.timeout is not None and now - self._began >= choices.timeout:
            raise TimeLimit(f"--timeout: {choices.timeout:g} s passed")
        if choices.idle_timeout is not None and now - self._newest >= choices.idle_timeout:
            raise TimeLimit(f"--idle-timeout: nothing new for {choices.idle_timeout:g} s")
        return False

    def pause(self) -> float:
        """Return how many seconds to wait at most before the next look."""
        choices, now = self.choices, time.monotonic()
        pause = choices.poll
        if self._waiting and choices.wait_for:
            pause = min(pause, self._began + choices.wait_for - now)
        if choices.timeout is not None:
            pause = min(pause, self._began + choices.timeout - now)
        if choices.idle_timeout is not None:
            pause = min(pause, self._newest + choices.idle_timeout - now)
        if choices.pid is not None:
            pause = min(pause, 0.2)
        return max(pause, 0.001)

    def pipes(self) -> list[StreamSource]:
        """Return the sources that have to be waited for by themselves."""
        sources = (follower.source for follower in self._followers if not follower.at_end)
        return [source for source in sources if isinstance(source, StreamSource)]

    def finish(self) -> Iterator[Found]:
        """Yield what is left in all files, and "cut" notices for messages that are not finished."""
        for follower in self._followers:
            if self._stop:
                return
            for found in self._pass_on(follower, follower.finish()):
                if isinstance(found, Notice) and found.event == "cut":
                    self.cut = True
                yield found

    # ---- their parts

    def _pass_on(self, follower: Follower, found: Iterator[Found]) -> Iterator[Found]:
        self.current = follower.name
        for one in found:
            self._newest = time.monotonic()
            with self._breakable():
                yield one
            if isinstance(one, Notice):
                continue
            self._shown += 1
            if self.choices.until is not None and self.choices.until(one):
                self.matched = self._stop = True
            if self._shown == self.choices.count:
                self._stop = True
            if self._stop:
                return

    def _appeared(self) -> list[Any]:
        """Return the places that are there now and were not."""
        there = [place for place in self._waiting if _exists(place)]
        self._waiting = [place for place in self._waiting if place not in there]
        return there

    def _begin(self, place: Any) -> Iterator[Found]:
        """Open a place where `choices` say; yield what a pipe's last units are."""
        choices = self.choices
        try:
            follower = self._follower(place)
            follower.open()
        except SourceError as error:
            if choices.retry and choices.follow:
                self._waiting.append(place)
                return
            yield self._note_failure(error)
            return
        self._followers.append(follower)
        if isinstance(follower.source, StreamSource) and choices.last is not None and choices.start is None:
            held: deque[Found] = deque(maxlen=choices.last)
            notices: list[Found] = []
            for found in follower.finish():
                (notices if isinstance(found, Notice) else held).append(found)
            for found in (*notices, *held):
                if isinstance(found, Notice) and found.event == "cut":
                    self.cut = True
            yield from self._pass_on(follower, iter((*held, *notices)))

    def _follower(self, place: Any) -> Follower:
        choices = self.choices
        start = after = messages = 0
        if choices.start is not None and choices.start != "start":
            start, messages = start_of(place, choices)
            after = start
        elif choices.start is None and (choices.last is not None or choices.skip) and _is_seekable(place):
            start, after, messages = where_last_begin(place, choices)
        return Follower(
            place,
            unit=choices.unit,
            start=start,
            after=after,
            messages=messages,
            verify=choices.verify,
            restore=choices.restore,
            by_name=choices.by_name and choices.follow,
            settle=choices.settle if choices.follow else 0.0,
            limits=choices.limits,
        )

    def _still_waiting(self, now: float) -> bool:
        choices = self.choices
        if choices.follow and choices.retry:
            return True
        if now - self._began < choices.wait_for:
            return True
        for place in self._waiting:
            waited = f" after {choices.wait_for:g} s" if choices.wait_for else ""
            self.failed.append(SourceError(f"no such file{waited}", uri=_name_of(place)))
        self._waiting = []
        return bool(self._followers)

    def _note_failure(self, error: SourceError) -> Notice:
        self.failed.append(error)
        return Notice("failed", error.uri, reason=str(error))


def tail(places: Any, choices: Choices | None = None, **changes: Any) -> Iterator[Found]:
    """Yield what is in growing files, as it becomes whole.

    Args:
        places: A path, `-` or a Source, or a list of them.
        choices: How.
        **changes: Replace single fields of `choices`: `tail("run.tgm", follow=True, last=None)`.

    Yields:
        DataObject, Message, FrameSpan or Piece, as `choices.unit` says, and Notice for everything
        else that happens to the file. An object of a message that is still open has the metadata
        that is known so far.

    Raises:
        TimeLimit: A time limit passed.
        SourceError: A file cannot be read; with several files, after all others ended.
        LimitExceeded: The input costs more than the limits allow.
    """
    steps = Tail(_listed(places), replace(choices or Choices(), **changes))
    with closing(steps):
        yield from follow(steps)
        if steps.failed:
            raise steps.failed[0]


def follow(steps: Tail) -> Iterator[Found]:
    """The loop of `tail`, for callers that want to ask `steps` how it ended."""
    if steps.choices.follow:
        steps.start_watching()  # before the first look: what changes during it is noticed
    while True:
        gone = steps.gone()
        yield from steps.look()
        if steps.is_over(gone=gone):
            break
        steps.wait()
    yield from steps.finish()


async def atail(places: Any, choices: Choices | None = None, **changes: Any) -> AsyncIterator[Found]:
    """As `tail`, awaiting. Cancelling, or leaving the loop, closes files and watches; nothing runs on."""
    steps = Tail(_listed(places), replace(choices or Choices(), **changes))
    with closing(steps):
        async with aclosing(afollow(steps)) as found:
            async for one in found:
                yield one
        if steps.failed:
            raise steps.failed[0]


async def afollow(steps: Tail) -> AsyncGenerator[Found, None]:
    """The loop of `atail`."""
    if steps.choices.follow:
        steps.start_watching()
    while True:
        gone = steps.gone()
        for one in steps.look():
            yield one
        if steps.is_over(gone=gone):
            break
        await steps.wait_async()
    for one in steps.finish():
        yield one


def _is_seekable(place: Any) -> bool:
    if isinstance(place, Source):
        return place.seekable
    return place != "-" and (is_remote(place) or os.path.isfile(place))


def _exists(place: Any) -> bool:
    if not isinstance(place, str | os.PathLike) or place == "-" or is_remote(place):
        return True
    return os.path.exists(place)


def _listed(places: Any) -> list[Any]:
    return list(places) if isinstance(places, list | tuple) else [places]


def _name_of(place: Any) -> str:
    return place.name if isinstance(place, Source) else shown(os.fspath(place))


def _is_zombie(pid: int) -> bool:
    """A process that ended but was not waited for by its parent writes no more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as status:
            return status.read().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False  # not Linux
