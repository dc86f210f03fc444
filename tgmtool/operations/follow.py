"""Follow one growing file: every object at the moment its frame is whole, and nothing twice.

It is separate from `tail` because waiting, stopping and counting are about many files and a
clock; this is about one file and its bytes. A follower is polled: it says what is new and never waits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..endpoints import open_source, shown
from ..endpoints.base import Source
from ..endpoints.local import FileSource
from ..endpoints.stdio import StreamSource
from ..errors import FormatError, FramingError, LimitExceeded, SourceError, TruncatedError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.assembly import Assembler, Message
from ..messages.objects import DataObject
from ..messages.spans import FrameSpan, Notice, Piece
from ..wire import layout
from ..wire.decoder import Decoder
from ..wire.events import Damaged, Event, FrameBegan, FrameEnded, MessageBegan, MessageEnded
from ..wire.frametypes import HEADER_METADATA
from .drive import drive, named
from .gaps import gap_of, gap_of_cut
from .growing import GrowingFile
from .marks import MARK_SIZE, Mark, Point, holds, status_of_name
from .ordering import Order

_BEFORE = layout.POSTAMBLE_SIZE + MARK_SIZE  # before a message: what no filling in of lengths changes
_SETTLE_NEAR_END = 1 << 20  # damage further from the end than this is not a page in flight
_WHOLE = ("message", "whole")

Found = DataObject | Message | FrameSpan | Piece | Notice


class Follower:
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
        settle: Seconds for which damage at the end of the file is read again before it is believed:
            network file systems show stale bytes for a moment.
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
        order: Order | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.place = place
        self.name = place.name if isinstance(place, Source) else shown(os.fspath(place))
        self.source: Source | None = None
        self.is_path = isinstance(place, str | os.PathLike) and place != "-"
        self.lost_data = False  # gaps were passed over
        self._unit = unit
        self._verify = verify
        self._restore = restore
        self._by_name = by_name
        self._settle = settle
        self._limits = limits
        self.order = order or Order()
        self._removed = False
        self._opened_before = False
        self._objects = 0  # of whole messages
        self._restart(start, after, messages)

    def _restart(self, start: int = 0, after: int = 0, messages: int = 0, closed: Mark | None = None) -> None:
        self._decoder = Decoder(offset=start, control_body_limit=self._limits.cbor_bytes)
        self._assembler = Assembler(
            keep=self._unit == "message", verify=self._verify, restore=self._restore, limits=self._limits
        )
        self._assembler.messages = messages
        self._handed_out = after  # what ends at or before it was handed out, or is not wanted
        self._anchor: Mark | None = None  # of the last whole object
        self._latest: Mark | None = None  # of the last whole frame
        self._closed = closed  # of the last frame before the open message
        self._doubt: tuple[int | None, str, float] | None = None  # damage that is being read again
        self._wrong: FormatError | LimitExceeded | None = None
        self._message = start
        self._number = messages  # of the message that begins there
        self._streaming = False
        self._extra: Mapping[str, Any] = {}
        self.order.begin()
        self._padding = 0

    @property
    def position(self) -> int:
        """Where the next byte is awaited (bytes from the start of the file)."""
        return self._decoder.next_offset

    @property
    def point(self) -> Point:
        """Through where everything was handed out, and the caller came back for more."""
        offset = max(self._handed_out, self._message)
        return Point(self._message, offset, self._number, self._assembler.count)

    @property
    def is_between(self) -> bool:
        """No message is open, as far as was read."""
        return self.source is None or self._decoder.next_offset == self._message

    @property
    def counts(self) -> tuple[int, int]:
        """Whole messages and objects so far, with those that were passed over."""
        return self._assembler.messages, self._objects + self._assembler.count

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
        try:
            for event in drive(self.source, self._decoder, resync=True):
                yield from self._take(event)
        except TruncatedError as error:
            gap = gap_of_cut(error)
            yield Notice("cut", self.name, gap.offset, gap.length, gap.code, gap.reason)

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
            self._restart(begin, begin, self._number if begin else 0, self._closed if begin else None)
        elif size < self._decoder.next_offset or not holds(source, self._latest):
            # Only what stands after the last whole object went away: a writer that mends its own tail.
            self._rewind()

    def _rewind(self) -> None:
        """Read the open message again; what was handed out is not handed out again."""
        anchor, doubt = self._anchor, self._doubt
        objects_end = anchor.offset + MARK_SIZE if anchor else self._message
        after = self._handed_out if self._unit == "frame" else min(self._handed_out, objects_end)
        self._restart(self._message, after, self._assembler.messages, self._closed)
        self._anchor, self._doubt = anchor, doubt

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
        self._restart()
        if self.open():
            yield from self._read()

    # ---- what is in it

    def _read(self) -> Iterator[Found]:
        source = self.source
        while source is not None:
            try:
                for event in drive(source, self._decoder, to_end=False):
                    yield from self._take(event)
            except FramingError as error:
                if not self._believe(error):
                    return
                continue
            return

    def _believe(self, error: FramingError) -> bool:
        """Decide about damage: read again, wait (False), or go on after it.

        A writer may have cut an unfinished frame away and written on between two looks, and a
        network file system may show bytes that are not the file's yet. Reading once more tells.
        """
        now = time.monotonic()
        if not isinstance(self.source, FileSource):
            self._decoder.resync()
            return True
        if self._doubt is None or self._doubt[:2] != (error.offset, error.code):
            self._doubt = (error.offset, error.code, now)
            self._rewind()
            return True
        near_end = self.source.size() - (error.offset or 0) < _SETTLE_NEAR_END
        if near_end and now - self._doubt[2] < self._settle:
            self._rewind()
            return False
        self._doubt = None
        self._decoder.resync()
        return True

    def _take(self, event: Event) -> Iterator[Found]:
        repeated = isinstance(event, FrameEnded) and self.order.frame(event)
        if isinstance(event, FrameEnded) and self._passed_over(event):
            self._assembler.pass_over()
            if not self.order.shown:
                self._handed_out = max(self._handed_out, event.offset + event.header.total_length)
            return
        found: Any = None
        wrong: FormatError | LimitExceeded | None = None
        try:
            found = self._assembler.receive(event)
        except FormatError as error:
            wrong = self._wrong = error
            named(error, self.name)
        except LimitExceeded as error:
            wrong = self._wrong = error
        if isinstance(event, FrameEnded):
            if event.header.type == HEADER_METADATA and wrong is None:
                self._extra = self._assembler.metadata.extra
                yield from self.order.metadata(self._extra, self.name, self._message)
            yield from self._frame_ended(event, found, wrong, repeated=repeated)
        elif isinstance(event, FrameBegan):
            self._padding = event.padding
            if self._passed_over(event) and self.source is not None and self.source.seekable:
                self._decoder.skip_frame()
        elif isinstance(event, MessageBegan):
            self._message = event.offset
            self._number = self._assembler.messages
            self._streaming = event.preamble.is_streaming
            self._wrong = None
            self._extra = {}
            self.order.begin()
        elif isinstance(event, MessageEnded):
            yield from self._message_ended(event, found, wrong)
        elif isinstance(event, Damaged):
            self.lost_data = True
            self.order.damaged()
            gap = gap_of(event)
            yield Notice("gap", self.name, gap.offset, gap.length, gap.code, gap.reason)
            self._message = self._handed_out = event.offset + event.size
            self._closed = None
            self._number = self._assembler.messages

    def _passed_over(self, event: FrameBegan | FrameEnded) -> bool:
        """The frame is an object that was handed out before, or is not wanted."""
        header = event.header
        if not header.row.is_object:
            return False
        return not self.order.shown or event.offset + header.total_length <= self._handed_out

    # What is handed out counts as such after the caller came back for more: so `point` never covers
    # what the caller was still busy with when it stopped.

    def _frame_ended(
        self, event: FrameEnded, found: Any, wrong: FormatError | LimitExceeded | None, *, repeated: bool
    ) -> Iterator[Found]:
        end = event.offset + event.header.total_length
        self._latest = Mark(end - MARK_SIZE, self._footer_of(event))
        if event.header.row.is_object:
            self._anchor = self._latest
        if end <= self._handed_out or self._unit in _WHOLE:
            return
        if self.order.shown:
            if wrong is not None:
                yield self._invalid(event.offset, event.header.total_length, wrong)
            if self._unit == "frame":
                yield FrameSpan(
                    event.offset,
                    event.header.total_length,
                    event.header.type,
                    event.header.flags,
                    self._assembler.messages,
                    self._message,
                    self._padding,
                    event.stored_digest,
                )
            elif self._unit == "object" and isinstance(found, DataObject) and not repeated:
                yield found
            elif self._unit == "piece":
                yield self._piece(end, ends=False)
        self._handed_out = end

    def _message_ended(
        self, event: MessageEnded, found: Any, wrong: FormatError | LimitExceeded | None
    ) -> Iterator[Found]:
        end = event.offset + event.length
        if self._unit in _WHOLE:
            wrong = self._wrong
        said: list[Notice] = []
        if end > self._handed_out:
            extra = found.metadata.extra if isinstance(found, Message) else self._extra
            said = self.order.end(extra, self.name, event.offset, event.length, event.objects)
            if self.order.shown:
                if wrong is not None:
                    yield self._invalid(event.offset, event.length, wrong)
                elif self._unit == "message" and isinstance(found, Message) and not self.order.repeats:
                    yield found
                elif self._unit == "whole" and not self.order.repeats:
                    yield Piece(event.offset, event.length, True, True, self._streaming)
                if self._unit == "piece":
                    yield self._piece(end, ends=True)
            self._handed_out = end
        self.order.take()
        self._objects += event.objects
        self._message = end
        self._number = self._assembler.messages
        self._closed = self._latest
        yield from said

    def _piece(self, end: int, *, ends: bool) -> Piece:
        """Return what is whole and was not handed out yet, through `end`."""
        start = max(self._handed_out, self._message)
        return Piece(start, end - start, start == self._message, ends, self._streaming)

    def _footer_of(self, event: FrameEnded) -> bytes:
        if event.stored_digest is not None:
            return layout.FRAME_FOOTER.pack(event.stored_digest, layout.FRAME_END)
        if self.source is None or not self.source.seekable:
            return b""
        end = event.offset + event.header.total_length
        return bytes(self.source.read_at(end - MARK_SIZE, MARK_SIZE)[:MARK_SIZE])

    def _invalid(self, offset: int, length: int, error: FormatError | LimitExceeded) -> Notice:
        self.lost_data = True
        code = error.code if isinstance(error, FormatError) else f"limit_{error.limit}"
        return Notice("invalid", self.name, offset, length, code, str(error))
