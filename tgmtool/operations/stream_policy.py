"""Are the messages of a file a stream in order? Numbers, ends, and what an end says was sent.

It is separate from the checks of a message because it looks at their sequence, and from the
convention itself because it reads bytes: an end may state how many there were, and their digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..endpoints.base import Bytes
from ..errors import LimitExceeded, MetadataError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.stream import DIGEST_NAME, END, Ledger, Place, Sender, Tally
from .inspection import Inspected

_CHUNK = 1 << 20

Read = Callable[[int, int], Bytes]


class StreamPolicy:
    """Looks at whole messages in their order.

    Args:
        require_end: A sender that did not end is held against the file.
        limits: How many senders there may be.
    """

    def __init__(self, *, require_end: bool = False, limits: Limits = DEFAULT_LIMITS) -> None:
        self._require_end = require_end
        self._limits = limits
        self._ledger = Ledger(limits)
        self._is_full = False  # that was said
        self._sent: dict[Sender, Tally] = {}

    def message(self, one: Inspected, read: Read) -> Iterator[tuple[str, str]]:
        """Yield (code, text) of what is wrong with the next message's place."""
        try:
            place = Place.parse(one.extra, offset=one.offset)
        except MetadataError as error:
            yield "stream_invalid", error.text
            return
        if place is None:
            return
        try:
            yield from self._ledger.receive(place)
        except LimitExceeded as error:
            if not self._is_full:
                yield "limit_exceeded", str(error)
            self._is_full = True
            return
        sent = self._sent.setdefault(place.who, Tally())
        if place.type == END:
            yield from _compare(place, sent)
        if place.successor is not None:  # what follows is of another file, and so is the next sum
            self._sent[place.who] = Tally()
            return
        count_in(sent, read, one.offset, one.length)

    def end(self) -> Iterator[tuple[str, str]]:
        """Yield what did not come. Ready for another file afterwards."""
        if self._require_end:
            for who in self._ledger.open_senders():
                if self._ledger.successor_of(who) is None:
                    yield "end_missing", f"{who} did not end"
            if not self._ledger.senders:
                yield "end_missing", "no message says that it belongs to a stream"
        self._ledger, self._sent, self._is_full = Ledger(self._limits), {}, False


def _compare(place: Place, sent: Tally) -> Iterator[tuple[str, str]]:
    stated = place.rest
    for key, there in sent.to_map().items():
        if key == "digest" and not str(stated.get(key, "")).startswith(DIGEST_NAME):
            continue
        if key in stated and stated[key] != there:
            yield "stream_end_mismatch", f"{place.who}: the end says {key} {stated[key]}, found {there}"


def count_in(sent: Tally, read: Read, offset: int, length: int) -> None:
    """Add the message of `length` bytes that stands at `offset` to what was sent."""
    at, end = offset, offset + length
    while at < end:
        chunk = memoryview(read(at, min(_CHUNK, end - at)))[: end - at]
        sent.data(chunk)
        at += len(chunk)
    sent.end()
