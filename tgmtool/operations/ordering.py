"""Follow what messages say of their stream: who sent them, in which order, who has ended.

It is separate from following bytes because it is free-form metadata: a file without it is read all
the same, and everything here then says nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import MetadataError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.spans import Notice
from ..messages.stream import END, ERROR, KEY, VERSION, Ledger, Place, Sender
from ..wire.events import FrameEnded
from ..wire.frametypes import HEADER_METADATA, PRECEDER

_REMEMBERED = 4096
"""Frames of past messages whose digests are remembered, to tell a repeat from another message."""

_MOST_NAMED = 11  # senders of whom one has to be chosen

Fingerprint = tuple[int | None, ...]


class Wanted(NamedTuple):
    """Which messages are to be shown.

    Attributes:
        chans: Only these channels; all if empty. Messages that say nothing of a stream pass.
        seq: Begin with the first message of this number or a higher one; None: with any.
        sender: Whose number that is; None: of the only sender there is.
        whole: The numbers are looked at from the first on. False where following begins in the middle:
            what was sent before is not missing.
    """

    chans: frozenset[str] = frozenset()
    seq: int | None = None
    sender: str | None = None
    whole: bool = True


EVERYTHING = Wanted()


class Order:
    """The senders of one file and of its successors.

    A follower says what it sees: `begin`, `frame` for every whole frame, `metadata` as soon as the
    message's own are known, `end`. A message that is torn never ends here, so it does not count.

    Args:
        wanted: Which messages.
        limits: How many senders there may be.

    Attributes:
        shown: The message that is open is wanted; true until its metadata say otherwise.
        lost_data: Numbers are missing, or came after the end.
        repeats: The message that ended last came before, with the same bytes.
        ambiguous: The senders that `wanted.seq` may be about; more than one cannot be answered.
    """

    def __init__(self, wanted: Wanted = EVERYTHING, limits: Limits = DEFAULT_LIMITS) -> None:
        self.wanted = wanted
        self.ledger = Ledger(limits)
        self.shown = True
        self.lost_data = False
        self.begun = wanted.seq is None
        self.repeats = False
        self.ambiguous: list[Sender] = []
        self._told: int | None = None  # the message whose place was judged; it may be read again
        self._seen: OrderedDict[tuple[Sender, int], Sequence[Fingerprint]] = OrderedDict()
        self._size = 0
        self.begin()

    # ---- what a follower sees

    def begin(self) -> None:
        """A message begins."""
        self.shown = True
        self._known = False
        self._ended: Place | None = None
        self._frames: list[Fingerprint] = []
        self._before: int | None = None  # the digest of the preceder before the next object
        self._earlier: Sequence[Fingerprint] | None = None  # the message that this may repeat
        self._same = True
        self._deferred: list[tuple[str, str]] = []  # told at the end, if it is no mere repeat

    def frame(self, event: FrameEnded) -> bool:
        """Take note of a whole frame; return whether it is an object of a message that came before."""
        row = event.header.row
        digest = event.stored_digest if event.actual_digest is None else event.actual_digest
        if row.number == PRECEDER:
            self._before = digest
        if not row.is_object and row.number != HEADER_METADATA:
            return False
        if len(self._frames) > _REMEMBERED:
            return False
        print_ = (digest, self._before, event.header.total_length)
        self._before = None
        self._frames.append(print_)
        if self._earlier is None:
            return False
        at = len(self._frames) - 1
        same = digest is not None and at < len(self._earlier) and self._earlier[at] == print_
        self._same = self._same and same  # equal values in another message are no repeat
        return self._same and row.is_object

    def metadata(self, extra: Mapping[str, Any], name: str, offset: int) -> Iterator[Notice]:
        """Take the metadata of the open message; yield what is wrong with its place.

        Args:
            extra: Message-level metadata.
            name: Of the file.
            offset: Where the message begins (bytes from the start of the file).
        """
        if self._known:
            return
        self._known = True
        place, wrong = _place_of(extra, offset)
        self.shown = self._is_wanted(place)
        if place is not None and self._is_chosen(place):
            problems = self._problems(place)
            self._earlier = self._seen.get((place.who, place.seq))
            if self._earlier is not None:
                self._deferred = problems
                self._same = self._frames == list(self._earlier[: len(self._frames)])
            elif problems:
                self.lost_data = True
                wrong += problems
        if offset == self._told:
            return
        self._told = offset
        for code, text in wrong:
            yield Notice("order", name, offset, 0, code, text, _map_of(extra))

    def end(
        self, extra: Mapping[str, Any], name: str, offset: int, length: int, objects: int
    ) -> list[Notice]:
        """The open message is whole: return what it says of its stream, and whether it came before."""
        found = list(self.metadata(extra, name, offset))
        self._told = None
        self.repeats = False
        place, _ = _place_of(extra, offset)
        if place is None or not self._is_chosen(place):
            return found
        if self._earlier is not None:
            self.repeats = self._same and len(self._earlier) == len(self._frames)
            found += self._repeated(place, name, offset, length)
            if self.repeats:
                return found
        self._ended = place
        if not objects or place.is_marker:
            event = place.type if place.type in {END, ERROR} else "note"
            code = str(place.rest.get("code", ""))
            said = str(place.rest.get("msg", ""))
            found.append(Notice(event, name, offset, length, code, said, place.to_map()))
        return found

    def take(self) -> None:
        """The message that ended was handed out: now it counts."""
        self.shown = True
        place, self._ended = self._ended, None
        if place is not None:
            self.ledger.take(place)
            self._remember(place)

    def damaged(self) -> None:
        """The open message was given up."""
        self._told = None
        self.begin()

    # ---- what it comes to

    def has_ended(self, producers: int | None) -> bool:
        """Return whether all senders have ended.

        Args:
            producers: So many must have; None: those that were seen.
        """
        senders = self.ledger.senders
        return len(senders) >= (producers or 1) and not self.ledger.open_senders()

    def successors(self) -> list[str]:
        """Return the files in which senders go on, in their order; empty while others still write here."""
        names = [self.ledger.successor_of(who) for who in self.ledger.open_senders()]
        if not names or any(name is None for name in names):
            return []
        return list(dict.fromkeys(name for name in names if name is not None))

    def last_numbers(self) -> dict[Sender, int]:
        """Return the number of every sender's last whole message."""
        return {who: self.ledger.next_seq(who) - 1 for who in self.ledger.senders}

    def to_list(self) -> list[dict[str, Any]]:
        """Return the senders as a state file keeps them."""
        found = []
        for who, last in self.last_numbers().items():
            entry: dict[str, Any] = {**who._asdict(), "seq": last}
            closing = self.ledger.close_of(who)
            if closing is not None:
                entry["closed"] = closing.to_map()
            successor = self.ledger.successor_of(who)
            if successor is not None:
                entry["next"] = successor
            found.append(entry)
        return found

    def resume(self, senders: Sequence[Mapping[str, Any]]) -> None:
        """Go on where `to_list` was made.

        Raises:
            ValueError, KeyError, TypeError, MetadataError: It was not made so.
        """
        for entry in senders:
            who = Sender(*(str(entry[key]) for key in Sender._fields))
            if type(entry["seq"]) is not int:
                raise TypeError("seq is no number")
            place: Place | None = Place(who, entry["seq"])
            if "closed" in entry:
                place = Place.parse({KEY: entry["closed"]}, offset=0)
            elif "next" in entry:
                place = Place(who, entry["seq"], END, {"next": str(entry["next"])})
            if place is None:
                raise ValueError("a sender is said to have ended with nothing")
            self.ledger.take(place)

    # ---- their parts

    def _problems(self, place: Place) -> list[tuple[str, str]]:
        found = list(self.ledger.problems(place))
        if not self.wanted.whole and place.who not in self.ledger.senders:
            found = [one for one in found if one[0] != "seq_gap"]
        return found

    def _is_chosen(self, place: Place) -> bool:
        return not self.wanted.chans or place.who.chan in self.wanted.chans

    def _is_wanted(self, place: Place | None) -> bool:
        if place is not None and not self._is_chosen(place):
            return False
        if self.begun:
            return True
        if place is None or (self.wanted.sender is not None and place.who.sender != self.wanted.sender):
            return False
        if len(self.ambiguous) < _MOST_NAMED and place.who not in self.ambiguous:
            self.ambiguous.append(place.who)
        if len(self.ambiguous) > 1 and self.wanted.sender is None:
            return False
        self.begun = place.seq >= (self.wanted.seq or 0)
        return self.begun

    def _repeated(self, place: Place, name: str, offset: int, length: int) -> list[Notice]:
        if self.repeats:
            text = f"{place.who}: number {place.seq} came once more with the same bytes, and was dropped"
            return [Notice("order", name, offset, length, "seq_duplicate", text, place.to_map())]
        self.lost_data = True
        return [
            Notice("order", name, offset, length, code, f"{text}, with other contents", place.to_map())
            for code, text in self._deferred
        ]

    def _remember(self, place: Place) -> None:
        key = place.who, place.seq
        if len(self._frames) > _REMEMBERED or key in self._seen:
            return
        self._seen[key] = tuple(self._frames)
        self._size += 1 + len(self._frames)
        while self._size > _REMEMBERED:
            _, dropped = self._seen.popitem(last=False)
            self._size -= 1 + len(dropped)


def _place_of(extra: Mapping[str, Any], offset: int) -> tuple[Place | None, list[tuple[str, str]]]:
    """Return a message's place, and (code, text) of what is wrong with what it says of it."""
    try:
        place = Place.parse(extra, offset=offset)
    except MetadataError as error:
        return None, [(error.code, f"{error.text}; the message passes as data")]
    said = extra.get(KEY)
    if place is None and isinstance(said, Mapping):
        version = said.get("v")
        if type(version) is int and version != VERSION:
            text = f"{KEY} version {version}, this reads version {VERSION}; the message passes as data"
            return None, [("stream_version", text)]
    return place, []


def _map_of(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    said = extra.get(KEY)
    return said if isinstance(said, Mapping) else {}
