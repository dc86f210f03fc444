"""Take some objects, or parts of them, out of a source, reading what they need and no more.

It is separate from `read`, which decodes everything in order: here the headers decide first what
is wanted, and only then payloads are touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..codecs.base import Bytes, Parts
from ..endpoints.base import Source
from ..errors import DigestMismatch, SourceError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.assembly import Message
from ..messages.objects import DataObject
from ..messages.spans import Gap, ObjectSpan
from ..wire import layout
from ..wire.digest import new_digest
from .keys import MISSING, Keys, keys_of
from .scan import Scanner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NAMES = ("name", "mars.param", "param", "mars.shortName", "shortName", "cf.standard_name")


class Wanted(NamedTuple):
    """Which objects are meant.

    Attributes:
        condition: Test of an object's keys; None takes all.
        messages: A message's number or a slice of them, from 0; negative counts from the end.
        object: An object's number in its message, or its name.
        ranges: (first element, the one behind the last) of what to take of each; None takes the whole.
    """

    condition: Callable[[Keys], bool] | None = None
    messages: int | slice | None = None
    object: int | str | None = None
    ranges: tuple[tuple[int, int], ...] | None = None


class AmbiguousName(ValueError):
    """A message has several objects of the wanted name."""


class OutsideRange(ValueError):
    """An object ends before a wanted range of elements does."""


class Picked(NamedTuple):
    """One object that was meant.

    Attributes:
        keys: Its keys, as `scan` lists them.
        found: The object; its payload is read when it is asked for.
        ranges: As in Wanted.
    """

    keys: Keys
    found: DataObject
    ranges: tuple[tuple[int, int], ...] | None = None

    def values(self) -> NDArray[np.generic]:
        """Return the values; of several ranges one after the other, one-dimensional.

        Raises:
            IndexError: A range outside of the object.
            PayloadError, CodecUnavailable, LimitExceeded: As `DataObject.array`.
            DigestMismatch: The bytes changed since they were written (whole objects only).
        """
        import numpy as np

        if self.ranges is None:
            return self.found.array
        parts = self.found.read([(start, stop - start) for start, stop in self.ranges])
        if len(parts) == 1:
            return parts[0]
        if self.found.descriptor.dtype.name == "bitmask":
            counts = [stop - start for start, stop in self.ranges]
            pairs = zip(parts, counts, strict=True)
            return np.packbits(
                np.concatenate([np.unpackbits(part.view(np.uint8), count=n) for part, n in pairs])
            )
        return np.concatenate(parts)

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
) -> Iterator[Picked]:
    """Yield the objects of `source` that are meant, in order.

    Args:
        source: Seekable: payloads are read after the headers decided.
        wanted: Which.
        verify: Compare whole objects with their digest.
        restore: See `DataObject`.
        jobs: Threads that decoding may use.
        limits: What the input may cost.
        on_gap: Is told of bytes that belong to no whole message.

    Raises:
        AmbiguousName, OutsideRange: See there.
        SourceError, LimitExceeded: As `scan`.
    """
    for number, objects in _messages(source, wanted.messages, limits, on_gap):
        for span, keys in _of_message(objects, wanted, source.name, number):
            assert span.descriptor is not None
            elements = span.descriptor.elements
            if wanted.ranges and max(stop for _, stop in wanted.ranges) > elements:
                raise OutsideRange(
                    f"{source.name}: object {span.message}.{span.number} has {elements} elements: "
                    "the range reaches beyond them"
                )
            payload = _payload(source, span, verify=verify and wanted.ranges is None)
            found = DataObject(
                span.descriptor, span.metadata, span, payload, restore=restore, jobs=jobs, limits=limits
            )
            yield Picked(keys, found, wanted.ranges)


def _messages(
    source: Source, chosen: int | slice | None, limits: Limits, on_gap: Callable[[Gap], None]
) -> Iterator[tuple[int, list[ObjectSpan]]]:
    """Yield the wanted messages: number and objects."""
    counted = _grouped(Scanner(source, limits, check_objects=False).run(), on_gap)
    if chosen is None:
        yield from counted
        return
    if isinstance(chosen, int):
        chosen = slice(chosen, chosen + 1 or None)
    start, stop, step = chosen.start or 0, chosen.stop, chosen.step or 1
    if start < 0 or step < 1 or (stop is not None and stop < 0):
        yield from list(counted)[chosen]
        return
    for number, objects in counted:
        if stop is not None and number >= stop:
            return
        if number >= start and (number - start) % step == 0:
            yield number, objects


def _grouped(
    found: Iterator[ObjectSpan | Message | Gap], on_gap: Callable[[Gap], None]
) -> Iterator[tuple[int, list[ObjectSpan]]]:
    objects: list[ObjectSpan] = []
    for one in found:
        if isinstance(one, ObjectSpan):
            if one.status == "ok":
                objects.append(one)
        elif isinstance(one, Message):
            yield one.span.number, objects
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


def _payload(source: Source, span: ObjectSpan, *, verify: bool) -> Parts:
    """Return the payload of an object, read when it is asked for."""
    verified = not verify or span.digest is None

    def read(start: int, stop: int) -> Bytes:
        nonlocal verified
        if not verified:
            body = _exactly(source, span.offset + layout.FRAME_HEADER_SIZE, _body_size(span))
            digest = new_digest()
            digest.update(body)
            if digest.intdigest() != span.digest:
                assert span.digest is not None
                raise DigestMismatch(
                    f"object {span.message}.{span.number}",
                    expected=span.digest,
                    actual=digest.intdigest(),
                    offset=span.offset,
                )
            verified = True
            if start == 0 and stop == span.payload_length:
                at = span.payload_offset - span.offset - layout.FRAME_HEADER_SIZE
                return body[at : at + span.payload_length]
        return _exactly(source, span.payload_offset + start, stop - start)

    return Parts(span.payload_length, read)


def _body_size(span: ObjectSpan) -> int:
    return span.length - layout.FRAME_HEADER_SIZE - layout.TENSOR_FOOTER_SIZE


def _exactly(source: Source, offset: int, size: int) -> memoryview:
    """Return exactly `size` bytes from `offset`, in one piece; a view where the source has one."""
    found = memoryview(source.read_at(offset, size))[:size]
    if len(found) == size:
        return found
    joined = bytearray(found)
    while len(joined) < size:
        more = memoryview(source.read_at(offset + len(joined), size - len(joined)))
        if not more:
            raise SourceError(
                f"byte {offset}: ends short: expected {size} bytes, got {len(joined)}; it became shorter",
                uri=source.name,
            )
        joined += more[: size - len(joined)]
    return memoryview(joined)


def parse_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Return the element ranges that `A:B[,A:B…]` names.

    Raises:
        ValueError: Not such a list.
    """
    found = []
    for part in text.split(","):
        start, colon, stop = part.partition(":")
        if not colon or not start.isdecimal() or not stop.isdecimal() or int(stop) < int(start):
            raise ValueError(f"{text!r}: expected element ranges as 0:100 or 0:10,50:60")
        found.append((int(start), int(stop)))
    return tuple(found)


def parse_messages(text: str) -> int | slice:
    """Return the message number, or the slice of them, that `I` or `I:J` names.

    Raises:
        ValueError: Neither.
    """
    parts: Sequence[str] = text.split(":")
    try:
        numbers = [int(part) if part else None for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] is not None:
        return numbers[0]
    if len(numbers) == 2:
        return slice(*numbers)
    raise ValueError(f"{text!r}: expected a message number as 0 or -1, or a range as 2:5")
