"""Are the messages of a file a stream in order? Numbers, ends, and what an end says was sent.

It is separate from the checks of a message because it looks at their sequence, and from the
convention itself because it reads bytes: an end may state how many there were, and their digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..errors import MetadataError
from ..messages.stream import END, Ledger, Place, Sender
from ..wire import layout
from ..wire.digest import Digest, new_digest
from .inspection import Inspected

_CHUNK = 1 << 20
_DIGEST_NAME = "xxh3:"

Read = Callable[[int, int], bytes | memoryview]


class StreamPolicy:
    """Looks at whole messages in their order.

    Args:
        require_end: A sender that did not end is held against the file.
    """

    def __init__(self, *, require_end: bool = False) -> None:
        self._require_end = require_end
        self._ledger = Ledger()
        self._sent: dict[Sender, tuple[int, int, Digest]] = {}  # messages, bytes, digest of each sender

    def message(self, one: Inspected, read: Read) -> Iterator[tuple[str, str]]:
        """Yield (code, text) of what is wrong with the next message's place."""
        try:
            place = Place.parse(one.extra, offset=one.offset)
        except MetadataError as error:
            yield "stream_invalid", error.text
            return
        if place is None:
            return
        yield from self._ledger.receive(place)
        count, size, digest = self._sent.get(place.who) or (0, 0, new_digest())
        if place.type == END:
            yield from _compare(place, count, size, digest)
        _add(digest, one, read)
        self._sent[place.who] = count + 1, size + one.length, digest

    def end(self) -> Iterator[tuple[str, str]]:
        """Yield what did not come. Ready for another file afterwards."""
        if self._require_end:
            for who in self._ledger.open_senders():
                yield "end_missing", f"{who} did not end"
            if not self._ledger.senders:
                yield "end_missing", "no message says that it belongs to a stream"
        self._ledger, self._sent = Ledger(), {}


def _compare(place: Place, count: int, size: int, digest: Digest) -> Iterator[tuple[str, str]]:
    stated = place.rest
    found = f"{_DIGEST_NAME}{digest.intdigest():016x}"
    for key, there in (("count", count), ("bytes", size), ("digest", found)):
        if key == "digest" and not str(stated.get(key, "")).startswith(_DIGEST_NAME):
            continue
        if key in stated and stated[key] != there:
            yield "stream_end_mismatch", f"{place.who}: the end says {key} {stated[key]}, found {there}"


def _add(digest: Digest, one: Inspected, read: Read) -> None:
    """Take a message's bytes in, its two lengths as zeros: filling them in later changes nothing."""
    end = one.offset + one.length - layout.POSTAMBLE_SIZE
    head = bytes(read(one.offset, layout.PREAMBLE_SIZE))
    digest.update(head[: layout.PREAMBLE_TOTAL_AT] + bytes(8))
    at = one.offset + layout.PREAMBLE_SIZE
    while at < end:
        chunk = memoryview(read(at, min(_CHUNK, end - at)))[: end - at]
        digest.update(chunk)
        at += len(chunk)
    tail = bytes(read(end, layout.POSTAMBLE_SIZE))
    digest.update(tail[:8] + bytes(8) + tail[16:])
