"""Take some objects, or parts of them, out of a source, reading what they need and no more.

It is separate from `read`, which decodes everything in order: here the headers decide first what
is wanted, and only then payloads are touched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ..codecs.base import Bytes, Parts
from ..endpoints.base import Source
from ..endpoints.ranges import Range, RangeSource
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.assembly import Message
from ..messages.metadata import Metadata
from ..messages.objects import DataObject
from ..messages.spans import Gap, MessageSpan, ObjectSpan
from .discovery import last_messages
from .keys import MISSING, Keys, keys_of
from .scan import Scanner, scan
from .stored import OutsideRange, Stored
from .wanted import Wanted, is_within

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .decoding import Decoder
    from .index_lines import Line

_TOGETHER, _MOST_TOGETHER = 4 << 20, 256  # bytes and objects that are fetched at once
_NAMES = ("name", "mars.param", "param", "mars.shortName", "shortName", "cf.standard_name")


class AmbiguousName(ValueError):
    """A message has several objects of the wanted name."""


class Picked(NamedTuple):
    """One object that was meant.

    Attributes:
        keys: Its keys, as `scan` lists them.
        found: The object; its payload is read when it is asked for.
        ranges: As in Wanted.
        message: Metadata of its message; of `base` only what is this object's.
        frame: Returns its frame as it stands in the source, digest checked if that was asked for.
        decoder: Keeps what native codecs make of a stranger's bytes away from us; None to decode here.
    """

    keys: Keys
    found: DataObject
    ranges: tuple[tuple[int, int], ...] | None = None
    message: Metadata = Metadata()
    frame: Callable[[], Bytes] = bytes
    decoder: Decoder | None = None

    def values(self) -> NDArray[np.generic]:
        """Return the values; of several ranges one after the other, one-dimensional.

        Raises:
            IndexError: A range outside of the object.
            PayloadError, CodecUnavailable, LimitExceeded: As `DataObject.array`.
            DigestMismatch: The bytes changed since they were written (whole objects only).
            TgmError: A native codec died of it, in its process.
        """
        import numpy as np

        parts = self._parts()
        if self.ranges is None or len(parts) == 1:
            return parts[0]
        if self.found.descriptor.dtype.name == "bitmask":
            counts = [stop - start for start, stop in self.ranges]
            pairs = zip(parts, counts, strict=True)
            return np.packbits(
                np.concatenate([np.unpackbits(part.view(np.uint8), count=n) for part, n in pairs])
            )
        return np.concatenate(parts)

    def _parts(self) -> list[NDArray[np.generic]]:
        found = self.found
        ranges = None if self.ranges is None else [(start, stop - start) for start, stop in self.ranges]
        if self.decoder is not None:
            return self.decoder.values(found, ranges)
        return [found.array] if ranges is None else found.read(ranges)

    @property
    def elements(self) -> int:
        """How many elements are meant."""
        if self.ranges is None:
            return self.found.descriptor.elements
        return sum(stop - start for start, stop in self.ranges)

    @property
    def name(self) -> str:
        """What the object is called, or its numbers."""
        return name_of(self.keys) or f"m{self.found.span.message}o{self.found.span.number}"


def name_of(keys: Keys) -> str | None:
    """Return what an object is called by its metadata: its name, parameter or standard name."""
    for key in _NAMES:
        found = keys.get(key)
        if found is not MISSING and isinstance(found, str | int) and not isinstance(found, bool):
            return str(found)
    return None


def pick(
    source: Source,
    wanted: Wanted,
    *,
    verify: bool = True,
    restore: bool = True,
    jobs: int = 1,
    limits: Limits = DEFAULT_LIMITS,
    on_gap: Callable[[Gap], None] = lambda _gap: None,
    on_message: Callable[[Message], None] = lambda _message: None,
    ahead: bool = False,
    index: Sequence[Line] = (),
    on_bad_index: Callable[[str], None] = lambda _why: None,
) -> Iterator[Picked]:
    """Yield the objects of `source` that are meant, in order.

    Of a remote source, a message that is chosen by its number from the end has a negative one in its keys:
    nobody counted those before it.

    Args:
        source: Seekable: payloads are read after the headers decided.
        wanted: Which.
        verify: Compare whole objects with their digest.
        restore: See `DataObject`.
        jobs: Threads that decoding may use.
        limits: What the input may cost.
        on_gap: Is told of bytes that belong to no whole message.
        on_message: Is told of every message that was looked at.
        ahead: All payloads will be read whole: small ones of a remote source come together.
        index: What an index says of a remote source; used to find what a condition means, if it can tell.
        on_bad_index: Is told why an index is not used after all.

    Raises:
        AmbiguousName, OutsideRange: See there.
        SourceError, LimitExceeded: As `scan`.
    """
    by_index = _by_index(source, wanted, index, limits, on_gap, on_bad_index)
    messages = _messages(source, wanted.messages, limits, on_gap) if by_index is None else by_index
    if not isinstance(source, RangeSource):
        yield from _picked(source, wanted, messages, verify, restore, jobs, limits, on_message)
        return
    with decoder_of() as decoder:
        found = _picked(source, wanted, messages, verify, restore, jobs, limits, on_message, decoder)
        yield from _together(source, found) if ahead and wanted.ranges is None else found


@contextmanager
def decoder_of() -> Iterator[Decoder | None]:
    """Yield who decodes the bytes of strangers; None where there is no other process to be had."""
    if not hasattr(os, "fork"):
        yield None
        return
    from .decoding import Decoder  # needed for what is remote alone

    decoder = Decoder()
    try:
        yield decoder
    finally:
        decoder.close()


def _picked(
    source: Source,
    wanted: Wanted,
    messages: Iterable[tuple[Message, list[ObjectSpan]]],
    verify: bool,
    restore: bool,
    jobs: int,
    limits: Limits,
    on_message: Callable[[Message], None],
    decoder: Decoder | None = None,
) -> Iterator[Picked]:
    for message, objects in messages:
        on_message(message)
        for span, keys in _of_message(objects, wanted, source.name, message.span.number):
            assert span.descriptor is not None
            _check_ranges(wanted, source.name, span, span.descriptor.elements)
            stored = Stored(source, span, verify=verify and wanted.ranges is None)
            found = DataObject(
                span.descriptor,
                span.metadata,
                span,
                Parts(span.payload_length, stored.payload),
                restore=restore,
                jobs=jobs,
                limits=limits,
            )
            own: Mapping[str, Any] = span.metadata
            yield Picked(
                keys,
                found,
                wanted.ranges,
                message.metadata._replace(base=(own,)),
                stored.frame,
                decoder=decoder,
            )


def _by_index(
    source: Source,
    wanted: Wanted,
    index: Sequence[Line],
    limits: Limits,
    on_gap: Callable[[Gap], None],
    on_bad_index: Callable[[str], None],
) -> list[tuple[Message, list[ObjectSpan]]] | None:
    """Return the messages in which an index finds what is wanted; None if it is of no help."""
    if not index or wanted.condition is None or wanted.messages is not None:
        return None
    if not isinstance(source, RangeSource):
        return None
    from .index_lines import BadIndex
    from .indexed import messages_by_index

    try:
        return messages_by_index(source, index, wanted.condition, limits, on_gap)
    except BadIndex as error:
        on_bad_index(str(error))
        return None


def _together(source: RangeSource, found: Iterator[Picked]) -> Iterator[Picked]:
    """Yield the same; the frames of small objects are fetched many at a time."""
    held: list[Picked] = []
    size = 0

    def fetched() -> list[Picked]:
        nonlocal held, size
        spans = [one.found.span for one in held]
        source.prefetch(Range(span.offset, span.offset + span.length) for span in spans)
        held, size, ready = [], 0, held
        return ready

    for picked in found:
        held.append(picked)
        size += picked.found.span.length
        if size > _TOGETHER or len(held) == _MOST_TOGETHER:
            if len(held) == 1:  # a large one, which comes in pieces by itself
                held, size = [], 0
                yield picked
            else:
                yield from fetched()
    yield from fetched()


def _messages(
    source: Source, chosen: int | slice | None, limits: Limits, on_gap: Callable[[Gap], None]
) -> Iterator[tuple[Message, list[ObjectSpan]]]:
    """Yield the wanted messages with their objects."""
    if chosen is None:
        yield from _from(source, 0, 0, limits, on_gap)
        return
    if isinstance(chosen, int):
        chosen = slice(chosen, chosen + 1 or None)
    start, stop, step = chosen.start or 0, chosen.stop, chosen.step or 1
    begin = (0, 0)
    if isinstance(source, RangeSource):
        found = _begin(source, start, stop, limits, on_gap)
        if found is None:
            return
        begin = found
    # A negative number was found from the end, and the limits count from there too.
    if begin[1] >= 0 and (start < 0 or step < 1 or (stop is not None and stop < 0)):
        yield from list(_from(source, 0, 0, limits, on_gap))[chosen]
        return
    for message, objects in _from(source, *begin, limits, on_gap):
        number = message.span.number
        if stop is not None and number >= stop:
            return
        if number >= start and (number - start) % step == 0:
            yield message, objects
            if begin[1] < 0 and number == -1:
                return


def _begin(
    source: Source, start: int, stop: int | None, limits: Limits, on_gap: Callable[[Gap], None]
) -> tuple[int, int] | None:
    """Return offset and number of the first wanted message, found by lengths alone; None if there is none."""
    if start < 0 and (stop is None or stop < 0):
        found = last_messages(source, -start)
        return (found[0].offset, start) if found and len(found) == -start else (0, 0)
    if start <= 0:
        return 0, 0
    for one in scan(source, unit="message", limits=limits):
        if isinstance(one, Gap):
            on_gap(one)
        elif isinstance(one, MessageSpan) and one.number == start:
            return one.offset, start
    return None


def _from(
    source: Source, offset: int, number: int, limits: Limits, on_gap: Callable[[Gap], None]
) -> Iterator[tuple[Message, list[ObjectSpan]]]:
    scanner = Scanner(source, limits, check_objects=False, start=offset, number=number)
    return _grouped(scanner.run(), on_gap)


def _grouped(
    found: Iterator[ObjectSpan | Message | Gap], on_gap: Callable[[Gap], None]
) -> Iterator[tuple[Message, list[ObjectSpan]]]:
    objects: list[ObjectSpan] = []
    for one in found:
        if isinstance(one, ObjectSpan):
            if one.status == "ok":
                objects.append(one)
        elif isinstance(one, Message):
            yield one, objects
            objects = []
        else:
            objects = []
            on_gap(one)


def _of_message(
    objects: list[ObjectSpan], wanted: Wanted, file: str, message: int
) -> Iterator[tuple[ObjectSpan, Keys]]:
    chosen = []
    for span in objects:
        if isinstance(wanted.object, int) and span.number != wanted.object % max(len(objects), 1):
            continue
        keys = keys_of(span, file=file)
        if isinstance(wanted.object, str) and name_of(keys) != wanted.object:
            continue
        if wanted.condition is None or wanted.condition(keys):
            chosen.append((span, keys))
    if isinstance(wanted.object, int) and not -len(objects) <= wanted.object < len(objects):
        return
    if isinstance(wanted.object, str) and len(chosen) > 1:
        numbers = ", ".join(str(span.number) for span, _ in chosen)
        raise AmbiguousName(
            f"{file}: message {message} has {len(chosen)} objects named {wanted.object!r} ({numbers}); "
            "choose one by its number, or by -w"
        )
    yield from chosen


def picked_of(found: object, file: str, wanted: Wanted, decoder: Decoder | None = None) -> Iterator[Picked]:
    """Yield an object that came while it was followed, if it is meant and `can_follow`.

    Raises:
        OutsideRange: The object ends before a wanted range does.
    """
    if not isinstance(found, DataObject):
        return
    span, numbers = found.span, wanted.messages
    if isinstance(numbers, int) and span.message != numbers:
        return
    if isinstance(numbers, slice) and not is_within(span.message, numbers):
        return
    keys = keys_of(found, file=file)
    if isinstance(wanted.object, int) and span.number != wanted.object:
        return
    if isinstance(wanted.object, str) and name_of(keys) != wanted.object:
        return
    if wanted.condition is not None and not wanted.condition(keys):
        return
    _check_ranges(wanted, file, span, found.descriptor.elements)
    message = Metadata()._replace(base=(found.metadata,))
    yield Picked(keys, found, wanted.ranges, message, decoder=decoder)


def _check_ranges(wanted: Wanted, file: str, span: ObjectSpan, elements: int) -> None:
    if wanted.ranges and max(stop for _, stop in wanted.ranges) > elements:
        raise OutsideRange(
            f"{file}: object {span.message}.{span.number} has {elements} elements: "
            "the range reaches beyond them"
        )
