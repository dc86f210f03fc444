"""Cut what a stage gives into whole messages and put them into its link.

It is separate because this is where the input may be damaged, cut, or something else altogether, and
where what to do about that is decided.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from ...errors import FormatError, FramingError, TruncatedError
from ...limits import DEFAULT_LIMITS, Limits
from ...messages.stream import ERROR, Place
from ...wire.decoder import Decoder
from ...wire.events import Damaged, FrameBegan, MessageBegan, MessageEnded
from ..drive import drive, named
from ..sweep import sweep
from ..transforms.base import Unit
from .kernel import KernelPiece, is_pipe
from .links import Link
from .parcels import Kind, Parcel, Piece, is_message_start
from .tape import Feed, PlaceFeed, Tape

ON_ERROR = ("stop", "skip", "pass")
_WINDOW = 4096  # read after a payload was passed over: enough for the next one's head
_MAGIC_SIZE = 8
_SMALL = 64 << 10  # bytes of a message below which several of them may pass as one
_WIDE = 256 << 10  # read where messages are small


class Damage(FramingError):
    """Bytes that belong to no message were met; with `skip` and `pass` the stream went on behind them."""


class Reader:
    """Walks over the messages of a feed by their lengths; payloads pass without being looked at.

    Args:
        feed: Where the bytes come from.
        link: Where the messages go.
        on_error: What to do at damage: "stop", "skip" it, or "pass" it on.
        may_be_foreign: What does not begin with a message passes as it is: it is for somebody who knows it.
        limits: What the input may cost.
        marker: Is told what every marker says.

    Attributes:
        messages: Whole ones so far.
        lost: Bytes that belonged to no message.
        losses: How often that was so.
        first_loss: What was wrong first.
        is_foreign: It does not consist of messages, and that is all right.
        first_place: What the first message that says so says of its place in a stream.
    """

    def __init__(
        self,
        feed: Feed | PlaceFeed,
        link: Link,
        *,
        on_error: str = "stop",
        may_be_foreign: Callable[[], bool] = lambda: False,
        limits: Limits = DEFAULT_LIMITS,
        marker: Callable[[Place], None] = lambda place: None,
    ) -> None:
        self.messages = 0
        self.lost = 0
        self.losses = 0
        self.first_loss: FormatError | None = None
        self.is_foreign = False
        self.first_place: Place | None = None
        self._link = link
        self._on_error = on_error
        self._may_be_foreign = may_be_foreign
        self._limits = limits
        self._marker = marker
        self._can_splice = is_pipe(feed.descriptor)
        self._is_run = False  # the last message was small: what comes next is read in larger pieces
        self._starting = True  # the next part is the first of its message
        self._tape = Tape(
            feed,
            link,
            foreign=self._pass_foreign,
            overflow=self._pass_part,
            retain=limits.retained_bytes,
        )

    @property
    def name(self) -> str:
        """Of the feed."""
        return self._tape.name

    def close(self) -> None:
        """Let go of what was read and not passed on."""
        self._tape.close()

    def run(self) -> None:
        """Read to the end; every whole message was given when this returns or raises.

        Raises:
            FormatError: Damage (with "stop"), or the end is cut. Whole messages before it were given.
            LimitExceeded: The input costs more than the limits.
            SourceError: The feed failed.
            Cancelled, Abandoned: As the link says.
        """
        if not self._begins_with_message() and self._may_be_foreign():
            self.is_foreign = True
            self._pass_everything()
            return
        self._tape.undecided = 0
        decoder = self._decoder(0)
        while True:
            try:
                resumed = self._walk(decoder)
            except TruncatedError as error:
                self._give_up_message()
                if self._on_error == "pass":
                    self._tape.keep_from(self._tape.position)
                raise named(error, self.name) from None
            except FramingError as error:
                self._give_up_message()
                if self._on_error == "stop":
                    raise named(error, self.name) from None
                self.losses += 1
                self.first_loss = self.first_loss or named(error, self.name)
                self._tape.hunting = True
                decoder.resync()
            else:
                if resumed is None:
                    return
                decoder = self._decoder(resumed)

    def _decoder(self, offset: int) -> Decoder:
        return Decoder(offset=offset, verify=False, control_body_limit=self._limits.cbor_bytes)

    def _walk(self, decoder: Decoder) -> int | None:
        """Pass on messages; return where the next begins if some were passed without the decoder."""
        tape = self._tape
        window = _WIDE if self._is_run else _WINDOW
        for event in drive(tape, decoder, window=window):
            if isinstance(event, FrameBegan):
                if event.header.row.is_object:
                    decoder.skip_frame()
            elif isinstance(event, MessageBegan):
                tape.keep_from(event.offset)  # what was passed over on the way here
                tape.hunting = False
                tape.message, tape.total = event.offset, event.preamble.total_length
            elif isinstance(event, MessageEnded):
                self._end_message(event)
                was_run, self._is_run = self._is_run, event.length < _SMALL
                if self._is_run and (self._pass_run() or not was_run):
                    return tape.first
            elif isinstance(event, Damaged):
                self.lost += event.size
        return None

    def _pass_run(self) -> bool:
        """Pass on the small messages that stand together at hand, as one parcel; False if there are none."""
        tape = self._tape
        view = tape.at_hand()
        found = sweep(view, 0, len(view), digests=True, largest=_SMALL, markers=False)
        if not found.messages:
            return False
        start = tape.first
        run = Parcel(
            Kind.MESSAGE,
            (tape.take_seen(found.stop),),
            number=self.messages,
            offset=start,
            size=found.stop,
            count=found.messages,
        )
        for parcel in (run,) if self._link.takes_runs else run.singles():
            self._link.put(parcel, counted=True)
        self.messages += found.messages
        tape.undecided = start + found.stop
        return True

    def _end_message(self, event: MessageEnded) -> None:
        tape = self._tape
        end = event.offset + event.length
        if tape.flowing:
            self._part(tape.first, tape.take(tape.first, end - tape.first), ends=True)
        else:
            pieces = tape.take(event.offset, event.length)
            parcel = Parcel(
                Kind.MESSAGE,
                pieces,
                number=self.messages,
                offset=event.offset,
                size=event.length,
                is_marker=not event.objects,
            )
            if parcel.is_marker or not self.messages:
                self._look_at(parcel)
                # From now on nobody looks at payloads.
                self._tape.may_splice = self._can_splice
            self._link.put(parcel, counted=True)
        self.messages += 1
        tape.undecided = end
        tape.message, tape.total, tape.flowing = None, 0, False

    def _look_at(self, parcel: Parcel) -> None:
        """See what a message says of its place. What it says wrongly is not for us to judge."""
        with contextlib.suppress(FormatError):
            place = Unit(parcel.joined(), parcel.number, parcel.offset, limits=self._limits).place
            if place is not None:
                self.first_place = self.first_place or place
                if parcel.is_marker:
                    self._marker(place)

    def _give_up_message(self) -> None:
        """What was being read is no message."""
        tape = self._tape
        if tape.flowing:
            self._part(tape.first, [], ends=True, broken=True)
        tape.message, tape.total, tape.flowing = None, 0, False

    # ---- what is no whole message

    def _pass_part(self, offset: int, pieces: list[Piece]) -> None:
        self._part(offset, pieces)

    def _part(self, offset: int, pieces: list[Piece], *, ends: bool = False, broken: bool = False) -> None:
        parcel = Parcel(
            Kind.PART,
            pieces,
            number=self.messages,
            offset=offset,
            starts=self._starting,
            ends=ends,
            broken=broken,
        )
        self._starting = ends
        self._link.put(parcel)

    def _pass_foreign(self, offset: int, pieces: list[Piece]) -> None:
        if self._on_error == "pass":
            self._link.put(Parcel(Kind.FOREIGN, pieces, offset=offset))
            return
        for piece in pieces:
            if isinstance(piece, KernelPiece):
                piece.bytes()

    def _begins_with_message(self) -> bool:
        """Wait for the first bytes; nothing at all counts as messages."""
        head = b""
        while len(head) < _MAGIC_SIZE and is_message_start(head):
            piece = self._tape.read_at(len(head), _WINDOW)
            if not piece:
                return is_message_start(head)
            head += bytes(piece[: _MAGIC_SIZE - len(head)])
        return is_message_start(head)

    def _pass_everything(self) -> None:
        tape = self._tape
        while tape.kept or tape.read_at(tape.position, 1 << 20):
            start = tape.first
            self._link.put(Parcel(Kind.FOREIGN, tape.take(start, tape.kept), offset=start))


def is_error(place: Place) -> bool:
    """A marker says that its producer failed for good."""
    return place.type == ERROR and place.closes
