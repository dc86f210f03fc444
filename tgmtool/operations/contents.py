"""Hand out what is in one file as its frames become whole: objects, messages, frames or bytes, each once.

It is separate from following, which decides when to read, to read again and to begin anew: this knows
what came, and through where it was handed out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..endpoints.base import Source
from ..errors import FormatError, LimitExceeded
from ..limits import Limits
from ..messages.assembly import Assembler, Message
from ..messages.objects import DataObject
from ..messages.spans import FrameSpan, Notice, Piece
from ..wire import layout
from ..wire.decoder import Decoder
from ..wire.events import Damaged, Event, FrameBegan, FrameEnded, MessageBegan, MessageEnded
from ..wire.frametypes import HEADER_METADATA
from .drive import named
from .gaps import gap_of
from .marks import MARK_SIZE, Mark, Point
from .ordering import Order

_WHOLE = ("message", "whole")

Found = DataObject | Message | FrameSpan | Piece | Notice


class Contents:
    """What was read of one file.

    Args:
        name: Of the file.
        unit: See `Follower`; so are the others.

    Attributes:
        source: What is read, if it is open.
        lost_data: Gaps were passed over.
    """

    def __init__(
        self, name: str, unit: str, *, verify: bool, restore: bool, order: Order, limits: Limits
    ) -> None:
        self.name = name
        self.source: Source | None = None
        self.lost_data = False
        self.order = order
        self._unit = unit
        self._verify = verify
        self._restore = restore
        self._limits = limits
        self._objects = 0  # of whole messages

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

    # ---- what is handed out

    def _check_belief(self, error: FormatError) -> None:
        """Pass if a frame whose content seems wrong is wrong; otherwise raise what `_take` lets through."""

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
            named(error, self.name)
            if isinstance(event, FrameEnded):
                self._check_belief(error)
            wrong = self._wrong = error
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
