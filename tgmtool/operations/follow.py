"""Follow one growing file: every object at the moment its frame is whole, and nothing twice.

It is separate from `tail` because waiting, stopping and counting are about many files and a
clock; this is about one file and its bytes. A follower is polled: it says what is new and never waits.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Any

from ..endpoints import open_source, shown
from ..endpoints.base import Source
from ..endpoints.local import FileSource
from ..endpoints.stdio import StreamSource
from ..errors import FormatError, FramingError, SourceError, TruncatedError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.spans import Notice
from ..wire import layout
from ..wire.events import Damaged, Event, Signal
from ..wire.resync import torn
from .contents import Contents, Found
from .doubts import Belief, Doubts
from .drive import drive
from .gaps import gap_of_cut
from .growing import GrowingFile
from .marks import MARK_SIZE, Mark, holds, status_of_name
from .ordering import Order

_BEFORE = layout.POSTAMBLE_SIZE + MARK_SIZE  # before a message: what no filling in of lengths changes
_VERBATIM = ("frame", "piece")  # not only objects are handed out, and none of it twice


class _UnsureError(Exception):
    """What was read may not be what the file says."""

    def __init__(self, belief: Belief) -> None:
        super().__init__(belief)
        self.belief = belief


class Follower(Contents):
    """Reads one file as it grows.

    Args:
        place: A path, `-`, or a Source. Only paths can be replaced or appear later.
        unit: "object", "message", "frame", "piece" (verbatim bytes as soon as they are whole) or "whole"
            (verbatim bytes of whole messages).
        start: Where to begin (bytes from the start of the file); a message must begin there.
        after: What ends at or before this offset is passed over (bytes from the start of the file).
        messages: Number of whole messages before `start`.
        verify: Check every frame's digest; what differs is a gap.
        restore: See `DataObject`.
        by_name: Follow whatever file has the name; otherwise the file that was opened first.
        settle: Seconds for which what is wrong at the end of the file is read again before it is believed:
            network file systems show stale bytes for a moment.
        stall: Seconds after which a file that did not change is left by its writer: then whole messages
            behind one that was not finished are handed out, if they fill the file to its end and
            nobody holds its lock. None: never.
        assume_dead: At the end, when there is nothing more to wait for, whatever is whole behind a
            message that was not finished is handed out.
        order: What its messages say of their stream; shared with its successors.
        limits: What the input may cost.
    """

    def __init__(
        self,
        place: Any,
        *,
        unit: str = "object",
        start: int = 0,
        after: int = 0,
        messages: int = 0,
        verify: bool = True,
        restore: bool = True,
        by_name: bool = True,
        settle: float = 1.0,
        stall: float | None = None,
        assume_dead: bool = False,
        order: Order | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        name = place.name if isinstance(place, Source) else shown(os.fspath(place))
        order = order or Order(limits=limits)
        super().__init__(name, unit, verify=verify, restore=restore, order=order, limits=limits)
        self.place = place
        self.is_path = isinstance(place, str | os.PathLike) and place != "-"
        self._doubts = Doubts(settle, stall)
        self._assume_dead = assume_dead
        self._by_name = by_name
        self._removed = False
        self._opened_before = False
        self._is_final = False  # nothing more will come: what seems wrong is wrong
        self._restart(start, after, messages)

    def marks_hold(self) -> bool:
        """Return whether what was read last still stands in the file."""
        source = self.source
        if not isinstance(source, FileSource):
            return True
        return holds(source, self._anchor) and holds(source, self._latest)

    def open(self) -> bool:
        """Open the file if it is there; return whether it is open.

        Raises:
            SourceError: It is there and cannot be read.
        """
        if self.source is not None:
            return True
        try:
            opened = open_source(self.place)
        except SourceError as error:
            if self.is_path and isinstance(error.__cause__, FileNotFoundError):
                return False
            raise
        if isinstance(opened, FileSource):
            growing = GrowingFile(os.dup(opened.descriptor), opened.name)
            opened.close()
            opened = growing
        elif isinstance(opened, StreamSource):
            opened.blocking = False
        self.source = opened
        if isinstance(opened, FileSource) and self._message >= _BEFORE and self._closed is None:
            at = self._message - _BEFORE
            self._closed = Mark(at, bytes(opened.read_at(at, MARK_SIZE)[:MARK_SIZE]))
        return True

    def poll(self) -> Iterator[Found]:
        """Yield what is new since the last time; return when there is nothing more now.

        Raises:
            SourceError: The file cannot be read.
            LimitExceeded: The input costs more than `limits`.
        """
        if self.source is None:
            if not self.open():
                return
            if self._opened_before:
                yield Notice("appeared", self.name)
        self._opened_before = True
        yield from self._check_rewound()
        yield from self._read()
        if self.is_path and self._by_name:
            yield from self._check_name()

    @property
    def at_end(self) -> bool:
        """The source has ended for good: a pipe whose writers are gone."""
        return isinstance(self.source, StreamSource) and self.source.ended

    def finish(self) -> Iterator[Found]:
        """Take what is there as all there will be: yield the rest, and a "cut" notice if a message is open.

        Raises:
            As `poll`.
        """
        if self.source is None:
            return
        if isinstance(self.source, StreamSource):
            self.source.blocking = True
        elif isinstance(self.source, GrowingFile):
            self.source.is_final = True
        self._is_final = True
        try:
            for event in drive(self.source, self._decoder, resync=True, assume_dead=self._assume_dead):
                yield from self._take(event)
        except TruncatedError as error:
            yield self._cut(error)

    def pending(self) -> Iterator[Notice]:
        """Yield a "cut" notice if a message is open, as far as was read. Only `close` may come after it."""
        if self.source is None or self.is_between:
            return
        self._decoder.receive_eof()
        try:
            while self._decoder.next_event() not in (Signal.END, Signal.NEED_DATA):
                pass  # whole, and not handed out: it is for the next time
        except TruncatedError as error:
            yield self._cut(error)
        except FormatError:
            return  # damage that is being read again

    def _cut(self, error: TruncatedError) -> Notice:
        gap = gap_of_cut(error, None if self._assume_dead else self.source)
        return Notice("cut", self.name, gap.offset, gap.length, gap.code, gap.reason)

    def close(self) -> None:
        """Close the file."""
        if self.source is not None and self.source is not self.place:
            self.source.close()
        self.source = None

    # ---- what happened to the file

    def _check_rewound(self) -> Iterator[Notice]:
        """See whether the bytes that were read are still there."""
        source = self.source
        if not isinstance(source, FileSource):
            return
        size = source.size()
        whole = self._anchor.offset + MARK_SIZE if self._anchor else self._message
        if size < whole or not holds(source, self._anchor):
            # A writer that takes back a message it could not finish leaves those before it.
            begin = self._message if size >= self._message > 0 and self._closed else 0
            if begin and not holds(source, self._closed):
                begin = 0
            code = "message_withdrawn" if begin else ""
            yield Notice("truncated", self.name, size, max(whole - size, 0), code)
            self.order.damaged()
            self._doubts.clear()
            self._restart(begin, begin, self._number if begin else 0, self._closed if begin else None)
        elif size < self._decoder.next_offset or not holds(source, self._latest):
            # Only what stands after the last whole object went away: a writer that mends its own tail.
            self._doubts.clear()
            self._rewind()

    def _rewind(self) -> None:
        """Read the open message again; what was handed out is not handed out again."""
        anchor = self._anchor
        objects_end = anchor.offset + MARK_SIZE if anchor else self._message
        after = self._handed_out if self._unit in _VERBATIM else min(self._handed_out, objects_end)
        self._restart(self._message, after, self._number, self._closed)
        self._anchor = anchor

    def _check_name(self) -> Iterator[Found]:
        """See whether the name means another file now; the old one was read to its end before."""
        source = self.source
        if not isinstance(source, FileSource):
            return
        try:
            named_now = status_of_name(self.name)
        except OSError:
            if not self._removed:
                self._removed = True
                yield Notice("removed", self.name)
            return
        self._removed = False
        held = source.status()
        if (named_now.st_dev, named_now.st_ino) == (held.st_dev, held.st_ino):
            return
        yield from self._read()  # what was written between the last read and the replacement
        yield from self._pass_torn(source, is_left=True)
        for found in self.finish():
            if isinstance(found, Notice) and found.event == "cut":
                self.lost_data = True
                yield found._replace(event="gap")
            else:
                yield found
        yield Notice("replaced", self.name)
        source.close()
        self.source = None
        self.order.damaged()
        self._doubts.clear()
        self._is_final = False
        self._restart()
        if self.open():
            yield from self._read()

    # ---- what is in it

    def _read(self) -> Iterator[Found]:
        while (source := self.source) is not None:
            try:
                for event in self._events(source):
                    yield from self._take(event)
            except _UnsureError as unsure:
                self._rewind()
                if unsure.belief is Belief.WAIT:
                    return
                continue
            if isinstance(source, GrowingFile) and (yield from self._pass_torn(source)):
                continue
            return

    def _events(self, source: Source) -> Iterator[Event]:
        while True:
            try:
                yield from drive(source, self._decoder, to_end=False)
            except FramingError as error:
                self._check_belief(error)
                self._decoder.resync()
            else:
                return

    def _check_belief(self, error: FormatError) -> None:
        """Pass if what seems wrong is wrong.

        A writer may have cut an unfinished frame away and written on between two looks, and a
        network file system may show bytes that are not the file's yet. Reading again tells.

        Raises:
            _UnsureError: It is to be read again.
        """
        if self._is_final or not isinstance(self.source, FileSource):
            return
        belief = self._doubts.belief(self.source, error)
        if belief is not Belief.YES:
            raise _UnsureError(belief)

    def _pass_torn(self, source: FileSource, *, is_left: bool = False) -> Generator[Found, None, bool]:
        """Go on behind a message whose writer died, if that is sure; return whether it was."""
        if self.is_between:
            return False
        found = self._doubts.message_behind(source, self._decoder.whole_until, is_left=is_left)
        if found is None:
            return False
        reason = torn(self._message, found)
        yield from self._take(Damaged(self._message, found - self._message, reason))
        self._restart(found, found, self._number)
        return True
