"""What the file says that is continued: which streams are in it, how far, and which have ended.

It is separate from opening the file because it reads what messages say, and from the order of a
stream because the file may hold several.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..endpoints.base import Source
from ..errors import EncodeError, MetadataError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.assembly import Message
from ..messages.spans import MessageSpan
from ..messages.stream import Ledger, Place, Sender, Tally
from .scan import Scanner
from .stream_policy import count_in


class Standing(NamedTuple):
    """How far the senders of a file are.

    Attributes:
        last: Who sent the numbered message that stands last.
        ledger: How far each of them is.
        spans: The messages of each of them, since its end marker that named another file.
    """

    last: Sender
    ledger: Ledger
    spans: dict[Sender, list[MessageSpan]]

    def check_open(self, who: Sender, path: str) -> None:
        """Refuse to go on with a sender that has ended.

        Raises:
            EncodeError: It has.
        """
        closed = self.ledger.close_of(who)
        if closed is not None:
            raise EncodeError(
                f"{path}: the stream {who} has ended with number {closed.seq}: whoever follows it has left; "
                "begin another one with a new --id, or another --sender"
            )


def place_at(source: Source, offset: int, limits: Limits = DEFAULT_LIMITS) -> Place | None:
    """Return what the whole message at `offset` says of its place."""
    return next((place for _, place in _places(source, offset, limits)), None)


def standing_of(source: Source, limits: Limits = DEFAULT_LIMITS) -> Standing | None:
    """Return how far the senders in `source` are; None if nothing in it is numbered."""
    ledger = Ledger()
    spans: dict[Sender, list[MessageSpan]] = {}
    last: Sender | None = None
    for span, place in _places(source, 0, limits):
        if place is None:
            continue
        last = place.who
        list(ledger.receive(place))
        own = spans.setdefault(place.who, [])
        if place.successor is None:
            own.append(span)
        else:
            own.clear()
    return None if last is None else Standing(last, ledger, spans)


def sent_by(who: Sender, standing: Standing, source: Source) -> Tally:
    """Return what `who` has sent, for an end marker to vouch for: its messages are read once more."""
    sent = Tally()
    for span in standing.spans.get(who, []):
        count_in(sent, source.read_at, span.offset, span.length)
    return sent


def _places(source: Source, start: int, limits: Limits) -> Iterator[tuple[MessageSpan, Place | None]]:
    for found in Scanner(source, limits, check_objects=False, start=start).run():
        if isinstance(found, Message):
            try:
                yield found.span, Place.parse(found.metadata.extra, offset=found.span.offset)
            except MetadataError:  # no place that anybody could act on
                yield found.span, None
