"""Pass over the messages about which there is nothing to say, as fast as their digests allow.

It is separate from `inspection`, which finds out what is to be said about the others: a message
that is swept over here would have gone through there, at a level that reads no metadata, without
any finding. Whatever is not entirely usual stops the sweep, and is never judged here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from ..errors import FramingError
from ..wire import frametypes, layout
from ..wire.digest import body_digest, digest_functions
from ..wire.events import MessageEnded
from ..wire.frames import Preamble
from ..wire.order import check_step
from .checks import FRAME_CHECKS, KNOWN_FLAGS, Frame, Seen
from .inspection import FRAME_FLAGS

LARGEST = 16 << 20  # bytes; larger messages are left to the decoder, which takes them in pieces
IN_PIECES = 64 << 10  # bytes of a frame from which on other threads may run while it is digested
_MODELS, _MODELLED_FRAMES = 2048, 64  # that are remembered; of a message of which a model is made
_MOST_FRAMES = 16384  # of all models together: a few MiB
_SAMPLED = 4  # one of so many is taken note of: that takes a third as long as passing a message
_TURNS = 3  # times that too much was seen to be remembered; then remembering is not worth its time
_LARGEST_MODELLED = 1 << 20  # bytes; a larger message gains nothing by it
_DIGEST_SIZE = 8
_HEAD = layout.PREAMBLE_SIZE + layout.FRAME_HEADER_SIZE
_EMPTY_FRAME = 48  # bytes; where frames stand means nothing to the checks that are asked
_PADDED = tuple((1 << 8 * size) - 1 for size in range(layout.ALIGNMENT))  # bits of so much padding
_BYTE = tuple(bytes((number,)) for number in range(max(frametypes.BY_NUMBER) + 1))
_FOOTERS = frozenset(row.number for row in frametypes.FRAME_TYPES if row.phase == frametypes.FOOTER)
# Looked up once per frame, and faster here than in another module.
_PRECEDER, _TENSOR = frametypes.PRECEDER, frametypes.TENSOR
_MESSAGE_MAGIC, _END_MAGIC = layout.MESSAGE_MAGIC, layout.END_MAGIC
_FRAME_MAGIC, _FRAME_END, _HEADER_SIZE = layout.FRAME_MAGIC, layout.FRAME_END, layout.FRAME_HEADER_SIZE
_ALIGNMENT = layout.ALIGNMENT
_preamble, _postamble = layout.PREAMBLE.unpack_from, layout.POSTAMBLE.unpack_from
_frame_header = layout.FRAME_HEADER.unpack_from
_word, _words = Struct(">Q").unpack_from, Struct(">QQ").unpack_from
_frame_footer, _tensor_footer = layout.FRAME_FOOTER.unpack_from, layout.TENSOR_FOOTER.unpack_from
_STOP = 0, 0


def _may_follow(previous: int | None, number: int | None) -> bool:
    try:
        check_step(previous, number, offset=0)
    except FramingError:
        return False
    return True


def _beginning(number: int, flags: int) -> int:
    """Return what stands before the length in the header of a frame, as one number."""
    return int.from_bytes(layout.FRAME_HEADER.pack(_FRAME_MAGIC, number, layout.FRAME_VERSION, flags, 0)[:8])


# Type, flags and size of the footer by what may be: type of the frame before, beginning of a frame with a
# digest.
_STEPS = {
    previous: {
        _beginning(row.number, flags): (row.number, flags, row.footer_size)
        for row in frametypes.FRAME_TYPES
        for flags in {layout.HASH_PRESENT, FRAME_FLAGS[row.is_object]}
        if _may_follow(previous, row.number)
    }
    for previous in (None, *frametypes.BY_NUMBER)
}
_LAST = frozenset(number for number in frametypes.BY_NUMBER if _may_follow(number, None))


class Swept(NamedTuple):
    """What was passed over.

    Attributes:
        stop: Where the last of the messages ends.
        messages: How many.
        objects: In all of them.
    """

    stop: int
    messages: int = 0
    objects: int = 0


def sweep(
    view: memoryview,
    start: int,
    stop: int,
    *,
    digests: bool,
    most: int | None = None,
    largest: int = LARGEST,
    markers: bool = True,
    memory: Memory | None = None,
) -> Swept:
    """Pass over whole messages, every frame of which has a digest, that are unremarkable.

    Args:
        view: All bytes of the source.
        start: Where a message begins.
        stop: Where the bytes end that may be looked at, at most the length of `view`.
        digests: Compute them.
        most: Bytes after which to stop, at the end of a message; all if not given.
        largest: Bytes of a message that is passed over; a larger one stops the sweep.
        markers: Pass over messages that hold no object, too.
        memory: What was seen by an earlier sweep over the same source.
    """
    enough = stop if most is None else min(start + most, stop)
    number_of, bytes_of = digest_functions() if digests else (None, None)
    memory = memory or Memory()
    models, lasts = memory.models, memory.lasts
    model = _UNSEEN
    at, messages, objects = start, 0, 0
    while at < enough:
        if memory.is_open:
            head = bytes(view[at : at + _HEAD])
            last = at + lasts.get(head, 0)
            kind = head + view[last : last + _HEADER_SIZE]
            model = models.get(kind, _UNSEEN)
        if model.gaps and bytes_of is not None and _is_like(view, at, model, bytes_of, stop):
            length, tensors = model.length, model.objects
        else:
            length, tensors = _passed(view, at, min(stop, at + largest), number_of)
            if not length:
                break
            if memory.is_open:
                memory.add(kind, view[at : at + length], tensors)
        if not tensors and not markers:
            break
        at += length
        messages += 1
        objects += tensors
    return Swept(at, messages, objects)


class FramePlace(NamedTuple):
    """Where a frame of an unremarkable message stands.

    Attributes:
        place: Where it begins, from the message's start.
        length: Of it, in bytes.
        type: Its number.
        flags: Its flags.
        foot: Where its body ends, from the message's start.
        digest: That it holds.
        cbor_offset: Of a tensor frame, where its descriptor begins, from its own start.
    """

    place: int
    length: int
    type: int
    flags: int
    foot: int
    digest: int
    cbor_offset: int | None


def frames_of(message: memoryview) -> list[FramePlace]:
    """Return where the frames of an unremarkable message stand; nothing of any other.

    Its digests are not computed.
    """
    places: list[FramePlace] = []
    length, _ = _passed(message, 0, len(message), None, places)
    return places if length == len(message) else []


class _Model(NamedTuple):
    """A message that was passed, without what differs between messages of its kind.

    Attributes:
        length: Of the message.
        objects: In it.
        gaps: (where a body begins, where it ends, where the next one begins, what stands between them
            before the digest, what stands there after the digest), from the message's start.
    """

    length: int = 0
    objects: int = 0
    gaps: tuple[tuple[int, int, int, bytes, bytes], ...] = ()


_UNSEEN = _Model()


class Memory:
    """Models of the messages that were passed: most messages of a file may be of one kind, or no two.

    A message's kind is told by what stands before its first body and by the header of its last frame:
    the whole may be as long though an object is shorter, by the padding.

    Attributes:
        is_open: It is worth asking and telling.
        models: By kind; without gaps when a kind was seen once, and of large messages.
        lasts: Where the last frame stands, by what stands before the first body.
    """

    def __init__(self) -> None:
        self.is_open = True
        self.models: dict[bytes, _Model] = {}
        self.lasts: dict[bytes, int] = {}
        self._passed = self._frames = self._turns = 0

    def add(self, kind: bytes, message: memoryview, objects: int) -> None:
        """Take note of some of the messages that were passed; of the second of a kind a model is made."""
        self._passed += 1
        if self._passed % _SAMPLED:
            return
        head = kind[:_HEAD]
        if head not in self.lasts:
            last = self.lasts[head] = _last_frame(message)
            kind = head + message[last : last + _HEADER_SIZE]
        made = self.models[kind] = _modelled(message, objects) if kind in self.models else _UNSEEN
        self._frames += len(made.gaps)
        if len(self.lasts) + len(self.models) > 2 * _MODELS or self._frames > _MOST_FRAMES:
            self.lasts.clear()
            self.models.clear()
            self._frames = 0
            self._turns += 1
            self.is_open = self._turns < _TURNS


def _last_frame(message: memoryview) -> int:
    """Return where the last frame of a message that was passed stands; 0 if it has many."""
    end = len(message) - layout.POSTAMBLE_SIZE
    place = last = layout.PREAMBLE_SIZE
    for _ in range(_MODELLED_FRAMES):
        if place == end:
            return last
        last = place
        place += _words(message, place)[1]
        place += layout.padding_after(place)
    return 0


def _modelled(message: memoryview, objects: int) -> _Model:
    """Return the model of a message that was passed; none of a large one, which gains nothing by it."""
    length = len(message)
    if length > _LARGEST_MODELLED:
        return _UNSEEN
    end = length - layout.POSTAMBLE_SIZE
    place = layout.PREAMBLE_SIZE
    gaps: list[tuple[int, int, int, bytes, bytes]] = []
    while place < end and len(gaps) < _MODELLED_FRAMES:
        _, number, _, _, size = _frame_header(message, place)
        stop = place + size
        foot = stop - frametypes.BY_NUMBER[number].footer_size
        digest = stop - layout.FRAME_FOOTER_SIZE
        following = stop + layout.padding_after(stop)
        following += layout.POSTAMBLE_SIZE if following == end else _HEADER_SIZE
        between = bytes(message[foot:digest]), bytes(message[digest + _DIGEST_SIZE : following])
        gaps.append((place + _HEADER_SIZE, foot, following, *between))
        place = stop + layout.padding_after(stop)
    return _Model(length, objects, tuple(gaps)) if place == end else _UNSEEN


def _is_like(
    view: memoryview, start: int, model: _Model, digest_of: Callable[[memoryview], bytes], stop: int
) -> bool:
    """Return whether the message at `start`, which begins as the model does, is like it to the end.

    That is: all but the bodies is the same, and the digests are right.
    """
    if model.length > stop - start:
        return False
    for body, foot, following, before, after in model.gaps:
        digest = digest_of(view[start + body : start + foot])
        if view[start + foot : start + following] != before + digest + after:
            return False
    return True


def _passed(
    view: memoryview,
    start: int,
    stop: int,
    digest_of: Callable[[memoryview], int] | None,
    places: list[FramePlace] | None = None,
) -> tuple[int, int]:
    """Return length and objects of the message at `start`; length 0 if it is for others to judge.

    Where its frames stand is added to `places`.
    """
    if stop - start < layout.MIN_MESSAGE_SIZE:
        return _STOP
    magic, version, flags, reserved, total = _preamble(view, start)
    if magic != _MESSAGE_MAGIC or version != layout.VERSION or reserved:
        return _STOP
    if not layout.MIN_MESSAGE_SIZE <= total <= stop - start:
        return _STOP
    end = start + total - layout.POSTAMBLE_SIZE
    place = start + layout.PREAMBLE_SIZE
    first_footer, tensors = end, 0
    types = b""
    previous: int | None = None
    while place < end:
        beginning, length = _words(view, place)
        step = _STEPS[previous].get(beginning)
        if step is None:
            return _STOP
        number, frame_flags, size = step
        last = place + length
        foot = last - size
        if foot < place + _HEADER_SIZE or last > end:
            return _STOP
        cbor_offset = None
        if number == _TENSOR:
            cbor_offset, stored, mark = _tensor_footer(view, foot)
            if not _HEADER_SIZE <= cbor_offset <= length - size:
                return _STOP
            tensors += 1
        else:
            stored, mark = _frame_footer(view, foot)
            if number != _PRECEDER or number not in types:
                types += _BYTE[number]
            if number in _FOOTERS and first_footer == end:
                first_footer = place
        if mark != _FRAME_END:
            return _STOP
        if digest_of is not None:
            body = view[place + _HEADER_SIZE : foot]
            if (digest_of(body) if length < IN_PIECES else body_digest((body,))) != stored:
                return _STOP
        if places is not None:
            places.append(
                FramePlace(place - start, length, number, frame_flags, foot - start, stored, cbor_offset)
            )
        previous = number
        place = last
        if excess := (last - start) % _ALIGNMENT:
            place += _ALIGNMENT - excess
            # The last word of the frame with its padding, below which there is nothing but that.
            if _word(view, place - _ALIGNMENT)[0] & _PADDED[place - last]:
                return _STOP
    said, mirrored, magic = _postamble(view, end)
    if (
        place != end
        or previous not in _LAST
        or said != first_footer - start
        or mirrored != total
        or magic != _END_MAGIC
    ):
        return _STOP
    return (total, tensors) if _is_usual(flags, types, tensors > 0) else _STOP


@lru_cache(maxsize=256)
def _is_usual(flags: int, types: bytes, has_objects: bool) -> bool:
    """Return whether no check has anything against a message of these frames, all with digests.

    Its index of footers and its lengths are right; how many objects and preceders there are, and where
    among the other frames, means nothing to the checks.
    """
    if flags & ~KNOWN_FLAGS or not frametypes.METADATA_TYPES.intersection(types):
        return False
    kinds = [*types, *[_TENSOR] * has_objects]
    frames = [
        Frame(layout.PREAMBLE_SIZE + _EMPTY_FRAME * number, kind, _EMPTY_FRAME, 0)
        for number, kind in enumerate(kinds)
    ]
    place = layout.PREAMBLE_SIZE + _EMPTY_FRAME * len(frames)
    length = place + layout.POSTAMBLE_SIZE
    first_footer = next((frame.offset for frame in frames if frame.type in _FOOTERS), place)
    event = MessageEnded(0, length, Preamble(flags, length), first_footer, length, int(has_objects))
    seen = Seen(event, frames, {}, {})
    return not any(True for check in FRAME_CHECKS for _ in check(seen))
