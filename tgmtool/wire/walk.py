"""From message to message by their lengths alone, where both ends of each agree.

It is separate from the decoder because it answers less and costs far less: at each boundary
one look at 48 bytes sees the end of a message and the beginning of the next. Whatever it does
not like, it leaves to the decoder, which looks at every frame.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import accumulate, chain, count, repeat
from struct import Struct
from typing import NamedTuple

from . import layout
from .buffer import Bytes

# Postamble of one message, preamble of the next: mirrored length; both magics, version, flags; length.
_BOUNDARY = Struct(">8xQ20s4xQ")
BOUNDARY_SIZE = _BOUNDARY.size
_MARK = layout.END_MAGIC + layout.MESSAGE_MAGIC + layout.VERSION.to_bytes(2, "big")
_LEAST_LENGTH = layout.MIN_MESSAGE_SIZE + layout.MIN_FRAME_SIZE
_METADATA = layout.HEADER_METADATA | layout.FOOTER_METADATA
_FARTHEST = layout.MAX_LENGTH - BOUNDARY_SIZE  # systems refuse to read beyond it
_LEAST_RUN = 8
_WORD = 8
_GROWTH = 16

Walked = tuple[int, int, int, bool, int, int]


class Place(NamedTuple):
    """Where a walk stands: a message whose preamble was seen and whose end was not.

    Attributes:
        offset: Where it begins (bytes from the start of the source).
        length: What its preamble says; 0 if that was not seen.
        flags: Its preamble flags.
        number: Its number, from 0.
    """

    offset: int
    length: int
    flags: int
    number: int

    @property
    def end_offset(self) -> int:
        """Where its postamble has to stand."""
        return self.offset + self.length - layout.POSTAMBLE_SIZE

    @property
    def is_possible(self) -> bool:
        """Its length was seen, and a file can be as long as that."""
        return self.length > 0 and self.end_offset <= _FARTHEST

    @property
    def mark(self) -> bytes:
        """What has to stand between the lengths of this message and of another one of the same kind."""
        return _MARK + self.flags.to_bytes(2, "big")

    def passed(self, lengths: list[int]) -> Iterator[Walked]:
        """Return a row for each of the messages of these lengths that begin here, all of the same kind."""
        offsets = accumulate(lengths, initial=self.offset)
        return zip(  # numbers that wait in a list are cheaper than rows
            offsets, lengths, repeat(self.flags), repeat(False), repeat(-1), count(self.number), strict=False
        )

    def after(self, lengths: list[int], length: int, flags: int | None = None) -> Place:
        """Return the place after these messages."""
        flags = self.flags if flags is None else flags
        return Place(self.offset + sum(lengths), length, flags, self.number + len(lengths))


def walk(window: Bytes, window_offset: int, place: Place) -> tuple[Iterator[Walked], Place]:
    """Walk over the messages whose ends stand in `window`.

    A message is passed when its postamble mirrors its length and another message of version 3
    with a length and with metadata begins right after it.

    Args:
        window: Bytes of the source.
        window_offset: Where they stand (bytes from the start of the source).
        place: The message to begin with.

    Returns:
        (offset, length, flags, streaming=False, objects=-1, number) of each message that was
        passed, in the order of `MessageSpan`'s fields; and the place of the first that was not.
    """
    rows: list[Iterator[Walked]] = []
    while (at := place.end_offset - window_offset) >= 0:
        lengths, length, flags = _pass(window, at, place)
        if not lengths:
            break
        rows.append(place.passed(lengths))
        place = place.after(lengths, length, flags)
    return chain.from_iterable(rows), place


def hop(place: Place, *, least: int, most: int) -> Generator[int, Bytes, tuple[Iterator[Walked], Place]]:
    """As `walk`, but looking at nothing except boundaries, which pays where messages are large.

    The last of several messages is passed too; the place after it has no length. A message that
    is alone in its source is left to the decoder, whose look at every frame costs little there.

    Args:
        place: The message to begin with.
        least: Stop at a message that is shorter.
        most: Stop after this many messages.

    Yields:
        Where `BOUNDARY_SIZE` bytes are wanted; what stands there (less, if there is less) is to be sent.
    """
    lengths: list[int] = []
    unpack, size = _BOUNDARY.unpack_from, BOUNDARY_SIZE
    length, end, mark = place.length, place.end_offset, place.mark
    for _ in range(most):
        boundary = yield end
        if len(boundary) < size:
            if (lengths or place.number) and _ends_message(boundary, length):
                lengths.append(length)
                length = 0
            break
        mirrored, found, following = unpack(boundary)
        if mirrored != length or found != mark or following < _LEAST_LENGTH:
            if not lengths:  # a message with other flags may follow
                return walk(boundary[:size], end, place)
            break
        lengths.append(length)
        length = following
        end += length
        if length < least or end > _FARTHEST:
            break
    return place.passed(lengths), place.after(lengths, length) if lengths else place


def _ends_message(postamble: Bytes, length: int) -> bool:
    if len(postamble) != layout.POSTAMBLE_SIZE:
        return False
    _, mirrored, magic = layout.POSTAMBLE.unpack(postamble)
    return bool(mirrored == length and magic == layout.END_MAGIC)


def _pass(window: Bytes, at: int, place: Place) -> tuple[list[int], int, int]:
    """Pass messages of the same kind as the first, which has its postamble at `at`.

    Returns:
        Their lengths; length and flags of the first that was not passed.
    """
    lengths: list[int] = []
    unpack, append = _BOUNDARY.unpack_from, lengths.append
    length, mark = place.length, place.mark
    last = len(window) - BOUNDARY_SIZE
    equal = _LEAST_RUN  # as before this window, perhaps
    while at <= last:
        if equal == _LEAST_RUN:
            run = _equal_run(window, at, length, mark)
            lengths += repeat(length, run)
            at += run * length
            equal = 0
            continue
        mirrored, found, following = unpack(window, at)
        if mirrored != length or following < _LEAST_LENGTH:
            break
        if found != mark:
            flags = int.from_bytes(found[-2:], "big")
            if found[:-2] != _MARK or not flags & _METADATA:
                break
            append(length)
            return lengths, following, flags
        append(length)
        at += following
        if following == length:
            equal += 1
        else:
            length = following
            equal = 0
    return lengths, length, place.flags


def _equal_run(window: Bytes, at: int, length: int, mark: bytes) -> int:
    """Return how many messages of one length surely end from `at` on, each followed by another one.

    Each word of the boundary is compared across many boundaries at once: many more each time, so
    that a run that ends soon costs no more than it was long.
    """
    if length % _WORD:
        return 0
    view = memoryview(window)
    packed = length.to_bytes(_WORD, "big")
    model = packed + mark + bytes(4) + packed  # a boundary without first_footer_offset
    most = (len(window) - BOUNDARY_SIZE - at) // length + 1
    run, step = 0, 1
    while run < most:
        step = min(_GROWTH * step, most - run)
        for position in range(0, len(model), _WORD):
            start = at + run * length + _WORD + position
            words = view[start : start + (step - 1) * length + _WORD].cast("Q")[:: length // _WORD]
            if words != memoryview(model[position : position + _WORD] * step).cast("Q"):
                return run
        run += step
    return run
