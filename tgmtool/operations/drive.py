"""The two loops that feed a decoder: one that waits, one that awaits.

They are separate from everything that reads because they must stay twins: what differs
between a file, a pipe and a task is here, and it is ten lines.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from ..endpoints.base import Bytes, Source
from ..errors import FormatError, FramingError, TruncatedError
from ..wire.decoder import Decoder
from ..wire.events import Event, Signal

CHUNK = 1 << 20
WINDOW = 4096  # of sources that can be asked again: enough for a message's head


def drive(
    source: Source,
    decoder: Decoder,
    *,
    resync: bool = False,
    assume_dead: bool = False,
    to_end: bool = True,
    window: int = CHUNK,
) -> Iterator[Event]:
    """Yield the events of `source` until it ends.

    Args:
        source: Where the bytes come from.
        decoder: Fresh, or where an earlier call left it.
        resync: Go on after damage with the next whole message; otherwise raise.
        assume_dead: After a message that is cut, too, if a whole one stands behind its last whole frame.
        to_end: What is there is all there will be. Otherwise return when there is nothing more
            *now*, in a state in which a later call goes on.
        window: Bytes to read at least, in one go.

    Raises:
        FramingError: Damage, without `resync`.
        TruncatedError: With `to_end`, the source stops inside a message; with `assume_dead`, behind
            which there is no whole one.
        SourceError: The source failed.
    """
    reading = _Reading(window)
    while (event := _next_event(decoder, source, resync, assume_dead)) is not Signal.END:
        if event is Signal.NEED_DATA:
            offset = decoder.next_offset
            if chunk := source.read_at(offset, reading.size_at(offset, decoder.wanted)):
                decoder.receive_data(chunk)
                reading.expected = offset + len(chunk)
            elif to_end:
                decoder.receive_eof(_end_of(source, offset))
            else:
                return
        else:
            yield event


class AsyncSource(Protocol):
    """What `adrive` reads from: a Source whose reading is awaited."""

    name: str
    seekable: bool

    async def read_at_async(self, offset: int, size: int) -> Bytes:
        """As `Source.read_at`."""

    def size(self) -> int | None:
        """As `Source.size`."""

    def keep_from(self, offset: int) -> int:
        """As `Source.keep_from`."""


async def adrive(
    source: AsyncSource,
    decoder: Decoder,
    *,
    resync: bool = False,
    assume_dead: bool = False,
    to_end: bool = True,
    window: int = CHUNK,
) -> AsyncIterator[Event]:
    """As `drive`, for sources that are awaited. Cancelling leaves the decoder between two events."""
    reading = _Reading(window)
    while (event := _next_event(decoder, source, resync, assume_dead)) is not Signal.END:
        if event is Signal.NEED_DATA:
            offset = decoder.next_offset
            if chunk := await source.read_at_async(offset, reading.size_at(offset, decoder.wanted)):
                decoder.receive_data(chunk)
                reading.expected = offset + len(chunk)
            elif to_end:
                decoder.receive_eof(_end_of(source, offset))
            else:
                return
        else:
            yield event


def _next_event(
    decoder: Decoder,
    source: Source | AsyncSource,
    resync: bool,
    assume_dead: bool,
) -> Event | Signal:
    while True:
        try:
            event = decoder.next_event()
        except TruncatedError as error:
            named(error, source.name)
            if not assume_dead:
                raise
            decoder.resync(assume_dead=True)  # raises it again when there is nothing behind it
            continue
        except FramingError as error:
            named(error, source.name)
            if not resync:
                raise
            decoder.resync()
            continue
        if event is Signal.NEED_DATA and not source.seekable:
            first = source.keep_from(decoder.keep_from)
            if first > decoder.next_offset:
                decoder.receive_loss(first)
                continue
        return event


def _end_of(source: Source | AsyncSource, offset: int) -> int:
    """Return where a source ends that has nothing at `offset`."""
    size = source.size()
    return offset if size is None else min(size, offset)


class _Reading:
    """How much to read: little after a jump, twice as much each time that reading goes straight on."""

    def __init__(self, window: int) -> None:
        self.expected = -1
        self._window = self._size = window

    def size_at(self, offset: int, wanted: int) -> int:
        straight_on = offset == self.expected
        self._size = min(2 * self._size, CHUNK) if straight_on else self._window
        return max(self._size, min(wanted, CHUNK))


def named(error: FormatError, name: str) -> FormatError:
    """Return `error` with the name of its source, if it had none."""
    if error.source is None:
        error.source = name
    return error
