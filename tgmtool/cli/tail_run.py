"""Follow until it is over, and say how it ended: the loop of `tail` with its signals and exit status.

It is separate from the command because it knows no options, and from the views because it shows nothing.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from contextlib import closing

from ..errors import SourceError, TgmError
from ..messages.stream import Place
from ..operations.commands import CommandFailed
from ..operations.tail import Tail, TimeLimit, follow
from ..operations.tracks import Track
from . import exits
from .console import Console
from .exits import Stopped
from .progress import StatusLine, is_terminal
from .tail_views import Raw, Show, notice_text

_PATIENCE = 1.0  # seconds in which a good place to stop should come
_OFTEN, _SELDOM = 0.2, 10.0  # seconds between two lines of progress: on a terminal, and in a log


def run(
    console: Console, steps: Tail, show: Show, *, count: int | None, require_end: bool, progress: bool
) -> int:
    """Follow until it is over; return the exit status."""
    shown = 0
    exits.on_signals(lambda stopped: _stop(steps, stopped))
    signal.signal(signal.SIGUSR1, lambda *_: _say_status(console, steps))
    meter = Meter(console, steps, shown=progress)
    steps.on_look = meter.update
    for warning in steps.warnings:
        console.note(warning)
    with closing(steps):
        try:
            for found in follow(steps):
                meter.clear()
                shown += show.take(found, steps)
                meter.update()
                if shown == count:
                    steps.stop()
            show.end()
        except BrokenPipeError:
            return exits.BROKEN_PIPE if isinstance(show, Raw) else exits.OK
        except TimeLimit as limit:
            _end_quietly(show)
            console.error(str(limit))
            return exits.TIME_LIMIT
        except CommandFailed as error:
            console.error(str(error))
            return exits.FAILED
        except Stopped as stopped:
            _say_what_is_pending(console, steps)
            return stopped.status
        finally:
            meter.end()
        return _status(console, steps, require_end=require_end)


def _stop(steps: Tail, stopped: Stopped) -> None:
    """Stop at the next good place; if none comes soon, stop where it is."""
    signal.signal(signal.SIGALRM, lambda *_: steps.interrupt_now())
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    steps.interrupt(stopped)


def make_stdout_durable() -> None:
    """Bring what was written to stdout to the disk, if it is a file.

    Raises:
        SourceError: The disk did not take it.
    """
    from ..endpoints.local import source_error

    try:
        if stat.S_ISREG(os.fstat(1).st_mode):
            os.fsync(1)
    except OSError as error:
        raise source_error(error, "<stdout>") from error


def _end_quietly(show: Show) -> None:
    try:
        show.end()
    except BrokenPipeError:
        return


def _status(console: Console, steps: Tail, *, require_end: bool) -> int:
    found = [exits.OK]
    for error in steps.failed:
        console.error(exits.text_of(error))
        found.append(exits.status_of(error))
    for place in steps.errors():
        console.error(_error_text(place))
        found.append(exits.PRODUCER_ERROR)
    if steps.cut:
        found.append(exits.INCOMPLETE)
    if require_end and not steps.stopped_early and (missing := steps.missing_ends()):
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        console.error(f"--require-end: no end came from {', '.join(missing[:3])}{more}")
        found.append(exits.INCOMPLETE)
    if steps.lost_data:
        found.append(exits.LOSS)
    if not steps.matched:
        console.error("--until: nothing matched before the end")
        found.append(exits.NO)
    return exits.highest(found)


def _error_text(place: Place) -> str:
    code = f" ({place.rest['code']})" if place.rest.get("code") else ""
    return f"the producer {place.who} ended with an error{code}: {place.rest.get('msg', 'no reason given')}"


def _say_what_is_pending(console: Console, steps: Tail) -> None:
    """One line about an unfinished message, when a signal ends following."""
    try:
        for found in steps.pending():
            console.note(notice_text(found))
    except (TgmError, BrokenPipeError):
        return


def _say_status(console: Console, steps: Tail) -> None:
    """Tell where following is: on SIGUSR1, between two steps of the interpreter, so nothing is changed."""
    idle = time.monotonic() - steps.newest
    for track in list(steps.tracks):
        messages, objects = track.counts
        ledger = track.order.ledger
        console.error(
            f"{track.name}: byte {_position(track)} of {_size(track)}, messages: {messages}, "
            f"objects: {objects}, senders: {len(ledger.senders)} ({len(ledger.open_senders())} open), "
            f"idle for {idle:.1f} s"
        )
    if not steps.tracks:
        console.error(f"nothing is there yet; waiting for {idle:.1f} s")


def _position(track: Track) -> int:
    return 0 if track.follower is None else track.follower.position


def _size(track: Track) -> int | str:
    try:
        size = None if track.source is None else track.source.size()
    except (OSError, SourceError):
        size = None
    return "?" if size is None else size


class Meter:
    """Says on stderr how following goes: bytes, messages, rate, and how far it is behind.

    Args:
        console: Where.
        steps: What is followed.
        shown: At all.
    """

    def __init__(self, console: Console, steps: Tail, *, shown: bool) -> None:
        self._console = console
        self._steps = steps
        self._shown = shown
        self._live = shown and is_terminal()
        self._began = self._then = time.monotonic()
        self._next = self._began + (_OFTEN if self._live else _SELDOM)
        self._first: int | None = None
        self._before = 0
        self._line = StatusLine()

    def update(self) -> None:
        """Say it, if it is time to."""
        now = time.monotonic()
        if not (self._shown and self._line.is_seen) or now < self._next:
            return
        text = self._text(now)
        self._next = now + (_OFTEN if self._live else _SELDOM)
        if not self._live:
            self._console.error(text)
            return
        self._line.show(text)

    def clear(self) -> None:
        """Take the line away, before something else is printed."""
        if self._line.clear():
            self._next = 0.0

    def end(self) -> None:
        """Say it for the last time."""
        self.clear()
        if self._shown:
            self._before, self._then = self._first or 0, self._began
            self._console.error(self._text(time.monotonic()))

    def _text(self, now: float) -> str:
        tracks = list(self._steps.tracks)
        done = sum(track.taken for track in tracks)
        pairs = [track.counts for track in tracks]
        behind = sum(
            max(size - _position(track), 0) for track in tracks if isinstance(size := _size(track), int)
        )
        if self._first is None:
            self._first = self._before = done
        rate = (done - self._before) / max(now - self._then, 1e-3)
        self._before, self._then = done, now
        messages, objects = (sum(values) for values in zip(*pairs, strict=True)) if pairs else (0, 0)
        return (
            f"{done / 1e6:.1f} MB, {messages} messages, {objects} objects, {rate / 1e6:.1f} MB/s, "
            f"{behind / 1e6:.1f} MB behind"
        )
