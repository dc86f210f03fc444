"""What is whole in a message that is not: its frames that a digest proves, and the metadata that is left.

It is separate because everybody who mends a message needs it: finishing it where it stands (`repair`),
and building it anew (`salvage`, `reindex`). Nothing is decoded, and nothing is believed that no digest
proves, unless that is asked for. The preamble is not needed: its length and flags prove nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..endpoints.base import Source
from ..errors import CodecUnavailable, FormatError, FramingError, LimitExceeded, TruncatedError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.assembly import Assembler
from ..messages.descriptor import Descriptor
from ..messages.hashes import ALGORITHM, Hashes
from ..messages.index import Index
from ..messages.metadata import Metadata, parse_preceder
from ..messages.objects import DataObject
from ..wire import frametypes, layout
from ..wire.decoder import Decoder
from ..wire.events import FrameBegan, FrameData, FrameEnded, MessageBegan, MessageEnded
from ..wire.frames import Preamble
from .drive import drive
from .guesses import Headed, Refuted, end_of_frames, fills, frame_at, places_of

_WINDOW = 1 << 20
_INDEXES = frozenset({frametypes.HEADER_INDEX, frametypes.FOOTER_INDEX})
_HASHES = frozenset({frametypes.HEADER_HASH, frametypes.FOOTER_HASH})
_TYPED = 4  # bytes of a frame that tell its type
_END = 0  # no type: the end of the message, or padding before it
_MADE_ANEW = _INDEXES | _HASHES | {_END}


class Whole(NamedTuple):
    """A tensor frame that is whole.

    Attributes:
        frame: Where it stands, and its digests.
        number: Of the object in its message; None if that is not known any more.
        descriptor: What the payload is.
        entry: What its preceder says.
        preceder: The preceder's frame, if there is one that is whole.
        doubt: Why its payload cannot be decoded, if that was tried and failed.
    """

    frame: FrameEnded
    number: int | None
    descriptor: Descriptor
    entry: Mapping[str, Any] = {}
    preceder: FrameEnded | None = None
    doubt: str = ""


class Loss(NamedTuple):
    """Bytes that are not kept, and why.

    Attributes:
        offset: Where they begin (bytes from the start of the source).
        length: How many.
        code: Stable name of why.
        reason: The same as a sentence.
        can_be_rebuilt: They said nothing that what is kept does not say too: an index, a list of
            digests, a footer that repeats the header, the end of the message.
    """

    offset: int
    length: int
    code: str
    reason: str
    can_be_rebuilt: bool = False


class Harvest(NamedTuple):
    """What is left of one message.

    Attributes:
        offset: Where it begins (bytes from the start of the source).
        end: Where it ends, or is cut, or the next one begins.
        whole: Its objects that are whole, in order.
        losses: Everything in it that is not, in order.
        metadata: What its header and footer say, as far as they are whole.
        has_footer: A footer metadata frame is among them.
        is_closed: Its postamble is there.
        preamble: As it stands there, if it can be read.
        index_frame: What an index frame of it says, if there is one that is whole.
        hashes: What its list of digests says, if there is one that is whole.
    """

    offset: int
    end: int
    whole: tuple[Whole, ...] = ()
    losses: tuple[Loss, ...] = ()
    metadata: Metadata = Metadata()
    has_footer: bool = False
    is_closed: bool = False
    preamble: Preamble | None = None
    index_frame: Index | None = None
    hashes: Hashes | None = None

    @property
    def lacks_metadata(self) -> bool:
        """The footer did not arrive, and what it was to say of the message or an object nothing else says."""
        flags = layout.FOOTER_METADATA if self.preamble is None else self.preamble.flags
        if self.has_footer or self.is_closed or not flags & layout.FOOTER_METADATA:
            return False
        if not flags & layout.HEADER_METADATA:
            return True
        described = len(self.metadata.base)
        return not all(
            one.preceder or (one.number is not None and one.number < described) for one in self.whole
        )

    def entry_of(self, one: Whole) -> Mapping[str, Any]:
        """Return all that is still known of an object: its preceder's keys over the others'."""
        known = {} if one.number is None else self.metadata.of_object(one.number)
        return {**known, **one.entry}


def harvest(
    source: Source,
    offset: int,
    end: int,
    *,
    keep_unhashed: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    digests: Mapping[int, int] = {},
    decode: bool = False,
) -> list[Harvest]:
    """Return what is whole between two places: of the message there, or of several.

    Args:
        source: Seekable.
        offset: Where a message begins, or is thought to (bytes from the start of the source).
        end: Where there is another one, or nothing.
        keep_unhashed: Take frames that carry no digest on trust.
        limits: What it may cost.
        digests: See `Decoder`.
        decode: Try to decode payloads that no digest proves.
    """
    found = []
    while offset < end:
        reaper = _Reaper(source, offset, end, keep_unhashed, limits, digests, decode)
        one = reaper.run()
        found.append(one)
        offset = one.end
    return found


class _Reaper:
    """Walks one message, frame by frame, past what is broken."""

    def __init__(
        self,
        source: Source,
        offset: int,
        end: int,
        keep_unhashed: bool,
        limits: Limits,
        digests: Mapping[int, int],
        decode: bool,
    ) -> None:
        self._source = source
        self._offset = offset
        self._end = end
        self._keep_unhashed = keep_unhashed
        self._limits = limits
        self._digests = digests
        self._decode = decode
        # At the end of the file, what looks like a message may be payload that is still being written.
        self._look_beyond = end < (source.size() or 0)
        self._refuted, self._not_cut = Refuted(), Refuted()
        self._whole: list[Whole] = []
        self._losses: list[Loss] = []
        self._assembler = Assembler(verify=False, limits=limits)
        self._has_footer = self._is_closed = self._cut_footer = False
        self._index: Index | None = None
        self._hashes: Hashes | None = None
        self._preceder: FrameEnded | None = None  # of the object that comes next
        self._entry: Mapping[str, Any] = {}  # what it says
        self._in_order = True  # every object so far was seen: numbers are known
        self._after_break: list[int] = []  # of `_whole`: the first one after each break

    def run(self) -> Harvest:
        place = self._offset
        preamble = self._preamble()
        if preamble is None and frame_at(self._source, place + layout.PREAMBLE_SIZE, self._end) is None:
            # Not even the beginning of a message: all of it is lost, up to what may be another one.
            place = self._next_message(place + 1, may_be_cut=True)
            if place - self._offset > 0:
                self._lose(self._offset, place, "foreign_bytes", "no message, or one cut inside its header")
            return self._result(place, None)
        if preamble is None:
            end = min(place + layout.PREAMBLE_SIZE, self._end)
            self._lose(place, end, "invalid_magic", "the preamble is damaged")
        at = place
        while True:
            at, reason = self._chain(at)
            if reason is None or at >= self._end:
                break
            is_cut = isinstance(reason, TruncatedError)
            following = self._end
            if not is_cut or self._look_beyond:
                following = self._next_message(at + 1, may_be_cut=not is_cut)
            resumed = self._resume(at + 1, following)
            if resumed is None:
                cut = self._type_at(self._padded(at), following) if is_cut else None
                self._lose(at, following, reason.code, reason.text, can_be_rebuilt=cut in _MADE_ANEW)
                self._cut_footer = cut == frametypes.FOOTER_METADATA
                at = following
                break
            self._lose(at, resumed, reason.code, reason.text)
            self._in_order = False
            self._preceder = None
            self._after_break.append(len(self._whole))
            at = resumed - layout.PREAMBLE_SIZE
        return self._result(at, preamble)

    def _preamble(self) -> Preamble | None:
        head = bytes(self._source.read_at(self._offset, layout.PREAMBLE_SIZE)[: layout.PREAMBLE_SIZE])
        try:
            return Preamble.parse(head.ljust(layout.PREAMBLE_SIZE, b"\0"), offset=self._offset)
        except FramingError:
            return None

    # ---- the frames that follow one another

    def _chain(self, at: int) -> tuple[int, FormatError | None]:
        """Walk frames from `at` + the size of a preamble on; return where that ended, and why."""
        view = Headed(self._source, at, self._end)
        decoder = Decoder(offset=at, control_body_limit=self._limits.cbor_bytes, digests=self._digests)
        sound = at + layout.PREAMBLE_SIZE
        body = memoryview(b"")
        try:
            for event in drive(view, decoder, window=_WINDOW):
                if isinstance(event, MessageEnded):
                    self._is_closed = True
                    return event.offset + event.length, None
                if isinstance(event, FrameBegan):
                    sound = event.offset
                elif isinstance(event, FrameData):
                    body = event.data
                if isinstance(event, FrameEnded):
                    self._take(event, body)
                    body = memoryview(b"")
                    sound = event.offset + event.header.total_length
                elif not isinstance(event, MessageBegan) or at == self._offset:
                    self._assembler.receive(event)
        except TruncatedError as error:
            # Its traceback would keep the source open, with all that was read of it.
            return min(sound, self._end), error.with_traceback(None)
        except LimitExceeded as error:
            return sound, FramingError(str(error), offset=sound, code=f"limit_{error.limit}")
        except FormatError as error:
            sound = self._padded(sound)
            if ended := self._postamble_at(sound):
                self._is_closed = True
                return ended, None
            return sound, error.with_traceback(None)
        return self._end, None

    def _type_at(self, place: int, end: int) -> int | None:
        """Return the type of the frame that is cut at `place`, or _END; None if that cannot be told."""
        head = bytes(self._source.read_at(place, _TYPED)[: max(min(end - place, _TYPED), 0)])
        if not layout.FRAME_MAGIC.startswith(head[:2]) or not head:
            return _END
        return int.from_bytes(head[2:], "big") if len(head) == _TYPED else None

    def _padded(self, place: int) -> int:
        return place + layout.padding_after(place - self._offset)

    def _postamble_at(self, place: int) -> int | None:
        """Return where the postamble at `place` ends: one of a message whose beginning is not here."""
        tail = bytes(self._source.read_at(place, layout.POSTAMBLE_SIZE)[: layout.POSTAMBLE_SIZE])
        end = place + layout.POSTAMBLE_SIZE
        return end if tail[16:] == layout.END_MAGIC and end <= self._end else None

    def _take(self, event: FrameEnded, body: memoryview) -> None:
        number = event.header.type
        count = self._assembler.count
        error = self._distrust(event)
        found: Any = None
        if error is None:
            try:
                if number == frametypes.PRECEDER:
                    self._entry = parse_preceder(body, offset=event.offset, limits=self._limits)
                else:
                    found = self._assembler.receive(event)
            except FormatError as wrong:
                error = wrong
        elif event.header.row.is_object:
            self._assembler.pass_over()
        preceder, self._preceder = self._preceder, None
        entry = self._entry if preceder else {}
        if error is not None:
            end = event.offset + event.header.total_length
            self._lose(event.offset, end, error.code, error.text, can_be_rebuilt=number in _MADE_ANEW)
        elif isinstance(found, DataObject):
            known = count if self._in_order else None
            doubt = _doubt(found) if self._decode and event.stored_digest is None else ""
            self._whole.append(Whole(event, known, found.descriptor, entry, preceder, doubt))
        elif number == frametypes.PRECEDER:
            self._preceder = event
        elif number == frametypes.FOOTER_METADATA:
            self._has_footer = True
        elif number in _INDEXES:
            self._index = Index.parse(body, offset=event.offset, limits=self._limits)
        elif number in _HASHES:
            self._hashes = Hashes.parse(body, offset=event.offset, limits=self._limits)

    def _distrust(self, event: FrameEnded) -> FormatError | None:
        """Return what speaks against a frame."""
        name = event.header.row.name
        if event.stored_digest is None:
            if self._keep_unhashed or not event.header.row.is_object:
                return None
            return FramingError(
                f"the {name} frame has no digest: nothing proves it", offset=event.offset, code="hash_missing"
            )
        if event.digest_differs:
            return FramingError(
                f"the {name} frame's bytes changed after they were written",
                offset=event.offset,
                code="hash_mismatch",
            )
        return None

    # ---- past what is broken

    def _next_message(self, place: int, *, may_be_cut: bool) -> int:
        """Return where the next message begins, from `place` on; the end if there is none.

        It is believed if it, and all after it, fill everything up to the end: it could be a payload.
        """
        for at in places_of(self._source, layout.MESSAGE_MAGIC, place, self._end):
            if fills(self._source, at, self._end, self._refuted, self._not_cut if may_be_cut else None):
                return at
        return self._end

    def _resume(self, place: int, end: int) -> int | None:
        """Return where frames of this message go on, from `place` on.

        Its index says so, or they go on to a postamble that agrees with where the message begins:
        frames of a message that is payload do not.
        """
        if self._index:
            for each in self._index.offsets:
                if (at := self._offset + each) >= place and frame_at(self._source, at, end):
                    return at
        refuted = Refuted()
        for at in places_of(self._source, layout.FRAME_MAGIC, place, end):
            is_aligned = (at - self._offset) % layout.ALIGNMENT == 0
            if is_aligned and end_of_frames(self._source, at, end, refuted, self._offset) == end:
                return at
        return None

    # ---- what it comes to

    def _lose(self, start: int, end: int, code: str, reason: str, *, can_be_rebuilt: bool = False) -> None:
        if end > start:
            self._losses.append(Loss(start, end - start, code, reason, can_be_rebuilt))

    def _result(self, end: int, preamble: Preamble | None) -> Harvest:
        found = Harvest(
            self._offset,
            end,
            tuple(self._numbered()),
            tuple(self._losses),
            self._assembler.metadata,
            self._has_footer,
            self._is_closed,
            preamble,
            self._index,
            self._hashes,
        )
        if self._cut_footer and not found.lacks_metadata:  # what it said stands elsewhere too
            *others, last = found.losses
            found = found._replace(losses=(*others, last._replace(can_be_rebuilt=True)))
        return found

    def _numbered(self) -> Iterator[Whole]:
        """Yield the objects, numbered as the list of digests, the index or their count tells."""
        index = self._index.offsets if self._index else ()
        hashes = self._hashes.hashes if self._hashes and self._hashes.algorithm == ALGORITHM else ()
        by_digest = _unique(hashes)
        by_place = {offset: at for at, offset in enumerate(index)}
        total = len(index) or len(self._assembler.metadata.base)
        last_break = self._after_break[-1] if self._after_break else len(self._whole)
        for position, one in enumerate(self._whole):
            number = by_digest.get(f"{one.frame.actual_digest:016x}")
            if number is None:
                number = by_place.get(one.frame.offset - self._offset)
            if number is None and not by_digest and not by_place:
                number = one.number
                from_end = total - (len(self._whole) - position)
                if number is None and self._is_closed and position >= last_break and from_end >= 0:
                    number = from_end
            if one.number is not None and number != one.number:
                # Bytes are missing though frame follows frame: the preceder may be another object's.
                one = one._replace(entry={}, preceder=None)  # noqa: PLW2901  # the same object, known better
            yield one._replace(number=number)


def _doubt(found: DataObject) -> str:
    try:
        found.array  # noqa: B018  # decodes
    except (FormatError, LimitExceeded, CodecUnavailable) as error:
        return str(error)
    return ""


def _unique(hashes: tuple[str, ...]) -> dict[str, int]:
    counted = Counter(hashes)
    return {digest: number for number, digest in enumerate(hashes) if counted[digest] == 1}
