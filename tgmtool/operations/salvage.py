"""A new file of everything that is whole in a damaged one, with every byte accounted for.

It is separate from `backfill`, which changes a sound file where it stands: this never touches its
source. Whole messages are copied as they are; of a torn or damaged one, its whole frames are, and what
described them is built anew around them. Digests are checked and kept, never made up over damage.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..endpoints.base import Source
from ..errors import FramingError, TruncatedError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.metadata import Metadata, with_tensor
from ..wire import layout
from ..wire.decoder import Decoder
from ..wire.events import FrameBegan, FrameEnded
from .carrier import Emit, write_copy
from .copies import MIN_AGE, Range, Segment, has_been_still
from .drive import WINDOW, drive, named
from .guesses import Refuted, fills, whole_message_in
from .harvest import Harvest, Loss, harvest
from .judge import Judged, judge
from .rebuild import rebuild
from .sweep import sweep

KEPT, REPLACED, LOST = "kept", "replaced", "lost"
_NAMED_IN_METADATA = 100  # lost ranges that are recorded in the message itself
_AT_ONCE = 4 << 20  # bytes of sound messages that are passed over before they are copied


class Part(NamedTuple):
    """What becomes of a range of the source.

    Attributes:
        offset: Where it begins (bytes from the start of the source).
        length: Bytes.
        fate: "kept" (copied as it is), "replaced" (lengths, index, digests, metadata: built anew) or "lost".
        code: Stable name of why, if it is lost, or was damaged or cut; of an object that is kept on
            trust, "payload_doubtful" if it cannot be decoded.
        reason: The same as a sentence.
    """

    offset: int
    length: int
    fate: str
    code: str = ""
    reason: str = ""


class SalvagePlan(NamedTuple):
    """What is left of a file, and the new file that is made of it.

    Attributes:
        name: The source.
        size: Its bytes.
        segments: What the new file is made of.
        parts: What becomes of every byte of the source, in order.
        messages: Whole messages, copied as they are.
        rebuilt: Where rebuilt messages begin in the new file, with the number of their objects.
        without_metadata: Where rebuilt messages begin in the source whose footer is gone, and with it
            metadata of objects that nothing else held.
    """

    name: str
    size: int
    segments: tuple[Segment, ...] = ()
    parts: tuple[Part, ...] = ()
    messages: int = 0
    rebuilt: tuple[tuple[int, int], ...] = ()
    without_metadata: tuple[int, ...] = ()

    @property
    def losses(self) -> tuple[Part, ...]:
        """The ranges that are lost."""
        return tuple(part for part in self.parts if part.fate == LOST)

    @property
    def doubtful(self) -> tuple[Part, ...]:
        """Objects that are kept without a digest, and cannot be decoded."""
        return tuple(part for part in self.parts if part.fate == KEPT and part.code)

    @property
    def is_lossless(self) -> bool:
        """Nothing was lost."""
        return not self.losses and not self.without_metadata


def plan_salvage(
    source: Source,
    *,
    keep_unhashed: bool = False,
    assume_dead: bool = False,
    is_stalled: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    emit: Emit | None = None,
) -> SalvagePlan:
    """Return what is whole in `source`. All of it is read, and every digest computed.

    Args:
        source: Seekable; fastest when mapped.
        keep_unhashed: Of a torn or damaged message, keep frames too that carry no digest.
        assume_dead: What looks like whole messages inside a cut one is such: its producer died, and
            another one went on.
        is_stalled: Nobody has written for long: the same, if these messages fill the file to its end.
        limits: What it may cost.
        emit: Called with each segment of the new file as soon as it is sure.

    Raises:
        TruncatedError: It is empty; or it ends in a cut message that seems to contain whole ones, and
            neither `assume_dead` nor `is_stalled` answers the question.
        FramingError: Nothing in it is whole.
        LimitExceeded: It costs more than `limits`.
    """
    return _Survey(source, keep_unhashed, assume_dead, is_stalled, limits, emit).plan()


class _Survey:
    def __init__(
        self,
        source: Source,
        keep_unhashed: bool,
        assume_dead: bool,
        is_stalled: bool,
        limits: Limits,
        emit: Emit | None,
    ) -> None:
        self._source = source
        self._keep_unhashed = keep_unhashed
        self._assume_dead = assume_dead
        self._is_stalled = is_stalled
        self._limits = limits
        self._emit = emit
        self._size = source.size() or 0
        self._segments: list[Segment] = []
        self._written = 0
        self._parts: list[Part] = []
        self._messages = 0
        self._rebuilt: list[tuple[int, int]] = []
        self._without: list[int] = []

    def plan(self) -> SalvagePlan:
        if not self._size:
            empty = TruncatedError("the file is empty", offset=0, message_offset=0, available=0)
            raise named(empty, self._source.name)
        view = memoryview(self._source.read_at(0, 1))
        at = 0
        while at < self._size:
            if len(view) == self._size:  # mapped: all of it at once
                swept = sweep(view, at, self._size, digests=True, most=_AT_ONCE)
                if swept.messages:
                    self._keep(at, swept.stop, swept.messages)
                    at = self._let_go(swept.stop)
                    continue
            at = self._let_go(self._one(at))
        assert sum(part.length for part in self._parts) == self._size
        if not self._segments:
            first = self._parts[0]
            raise FramingError(
                f"nothing in it is whole: {first.reason}", offset=first.offset, source=self._source.name
            )
        return SalvagePlan(
            self._source.name,
            self._size,
            tuple(self._segments),
            tuple(self._parts),
            self._messages,
            tuple(self._rebuilt),
            tuple(self._without),
        )

    def _let_go(self, at: int) -> int:
        self._source.keep_from(at)
        return at

    def _one(self, at: int) -> int:
        """Take in what stands at `at`: a message, or what is none; return where it ends."""
        found = judge(self._source, at, self._limits)
        if found.end is not None and found.is_whole:
            self._keep(at, found.end, 1)
            return found.end
        end = self._end_of_cut(at, found.proven) if found.end is None else found.end
        self._mend(at, end, found)
        return end

    def _end_of_cut(self, at: int, proven: int) -> int:
        """Return where the cut message at `at` ends: with the file, or before what came after it."""
        inside = whole_message_in(self._source, max(at + layout.PREAMBLE_SIZE, proven), self._size)
        if inside is None:
            return self._size
        is_dead = self._is_stalled and fills(self._source, inside, self._size, Refuted())
        if is_dead or self._assume_dead:
            return inside
        raise named(
            TruncatedError(
                f"the file ends in a cut message that seems to contain whole ones (at byte {inside}): "
                "if its producer died and another went on, say --assume-dead, or give --stall",
                offset=at,
                message_offset=at,
                available=self._size - at,
            ),
            self._source.name,
        )

    # ---- what is kept

    def _keep(self, start: int, end: int, messages: int) -> None:
        self._messages += messages
        self._add([Range(start, end - start)], end - start)
        self._part(Part(start, end - start, KEPT))

    def _add(self, segments: list[Segment], length: int) -> None:
        if self._emit is not None:
            for one in segments:
                self._emit(one)
        first, last = segments[0], self._segments[-1] if self._segments else None
        if isinstance(first, Range) and isinstance(last, Range) and last.offset + last.length == first.offset:
            self._segments[-1] = Range(last.offset, last.length + first.length)
            segments = segments[1:]
        self._segments += segments
        self._written += length

    def _part(self, part: Part) -> None:
        last = self._parts[-1] if self._parts else None
        if last is not None and (last.fate, last.code, last.reason) == part[2:]:
            self._parts[-1] = last._replace(length=last.length + part.length)
        elif part.length:
            self._parts.append(part)

    def _mend(self, start: int, end: int, found: Judged) -> None:
        for one in harvest(
            self._source,
            start,
            end,
            keep_unhashed=self._keep_unhashed,
            limits=self._limits,
            digests=found.digests,
            decode=True,
        ):
            if one.whole:
                self._rebuild(one)
            else:
                why = one.losses[0] if one.losses else Loss(0, 0, "no_object", "it holds no object")
                self._part(Part(one.offset, one.end - one.offset, LOST, why.code, why.reason))

    def _rebuild(self, one: Harvest) -> None:
        made = rebuild(one.whole, described(one))
        self._rebuilt.append((self._written, made.objects))
        self._add(list(made.segments), made.length)
        if one.lacks_metadata:
            self._without.append(one.offset)
        for part in _parts_of(one):
            self._part(part)


def described(one: Harvest) -> Metadata:
    """Return the metadata of the message that is made of what is left of another."""
    base = tuple(with_tensor(one.entry_of(each), each.descriptor) for each in one.whole)
    return Metadata(base, _with_record(one), one.metadata.reserved)


def _with_record(one: Harvest) -> Mapping[str, Any]:
    """Return the message's own keys, and under `tgmtool.salvaged` what was lost of it."""
    extra = one.metadata.extra
    ours = extra.get("tgmtool", {})
    if not isinstance(ours, Mapping):
        return extra  # the user's own key of that name stays
    record = {
        "objects": len(one.whole),
        "lost": [
            [each.offset - one.offset, each.length, each.code]
            for each in one.losses
            if not each.can_be_rebuilt
        ][:_NAMED_IN_METADATA],
    }
    return {**extra, "tgmtool": {**ours, "salvaged": record}}


def _parts_of(one: Harvest) -> Iterator[Part]:
    """Yield what becomes of every byte of a message that is rebuilt."""
    known = []
    for each in one.whole:
        why = ("payload_doubtful", each.doubt) if each.doubt else ()
        if each.preceder is not None:
            known.append(Part(each.preceder.offset, each.preceder.header.total_length, KEPT))
        known.append(Part(each.frame.offset, each.frame.header.total_length, KEPT, *why))
    for loss in one.losses:
        fate = REPLACED if loss.can_be_rebuilt else LOST
        known.append(Part(loss.offset, loss.length, fate, loss.code, loss.reason))
    at = one.offset
    for part in sorted(known):
        if part.offset > at:
            yield Part(at, part.offset - at, REPLACED)
        yield part
        at = part.offset + part.length
    if one.end > at:
        yield Part(at, one.end - at, REPLACED)


def salvage(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    keep_unhashed: bool = False,
    assume_dead: bool = False,
    stall: float | None = None,
    min_age: float = MIN_AGE,
    force: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> SalvagePlan:
    """Write a new file of everything that is whole in another, which is left as it is.

    The new file is checked before it gets its name; it appears complete, or not at all.

    Args:
        path: The damaged file, or `-`.
        output: The new one.
        keep_unhashed: See `plan_salvage`.
        assume_dead: See `plan_salvage`.
        stall: Seconds after which a file that did not change is stalled; see `plan_salvage`.
        min_age: Seconds for which the file must have been as it is.
        force: Do it although the file is locked or changed a moment ago; replace an existing `output`.
        limits: What the file may cost.

    Returns:
        The plan, carried out.

    Raises:
        SourceError: It cannot be read or written; it is in use; it changed meanwhile.
        TruncatedError, FramingError, LimitExceeded: As `plan_salvage`.
    """

    def plan(source: Source, emit: Emit) -> SalvagePlan:
        return plan_salvage(
            source,
            keep_unhashed=keep_unhashed,
            assume_dead=assume_dead,
            is_stalled=stall is not None and has_been_still(path, stall),
            limits=limits,
            emit=emit,
        )

    return write_copy(path, output, plan, check_copy, min_age=min_age, force=force)


def check_copy(copy: Source, plan: SalvagePlan, *, payloads: bool = False) -> None:
    """Make sure that what was built anew in a new file is whole, index and metadata included.

    All of the file was compared with what was planned: what stays as it was is as whole as it was.

    Args:
        copy: The new file.
        plan: What it was made by.
        payloads: Compute the digests of objects, too: some were not there before.

    Raises:
        FormatError: It is not.
    """
    from ..messages.assembly import Assembler, Message

    for offset, objects in plan.rebuilt:
        assembler = Assembler()
        decoder = Decoder(offset=offset)
        for event in drive(copy, decoder, window=WINDOW):
            is_object = isinstance(event, FrameBegan | FrameEnded) and event.header.row.is_object
            if is_object and not payloads and isinstance(event, FrameBegan):
                decoder.skip_frame()
            if is_object and not payloads and isinstance(event, FrameEnded):
                assembler.pass_over()
                continue
            made = assembler.receive(event)
            if isinstance(made, Message):
                index = made.index_frame
                if index is None or len(index.offsets) != objects or len(made.metadata.base) != objects:
                    raise FramingError("the copy's index is wrong", offset=offset, source=copy.name)
                break
