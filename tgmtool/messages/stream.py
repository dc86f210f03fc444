"""The stream convention: which run, channel and sender a message belongs to, its number, and the end.

It is separate because it is free-form metadata (`_extra_.tgmstream`) that the format knows nothing of:
any reader still reads the file, and a file without it is just a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import EncodeError, MetadataError
from ..limits import DEFAULT_LIMITS, Limits
from ..wire import layout
from ..wire.digest import new_digest
from . import cbor

KEY = "tgmstream"
VERSION = 1
DATA, END, ERROR = "data", "end", "error"
DEFAULT_CHAN, DEFAULT_SENDER = "main", "0"
DIGEST_NAME = "xxh3:"
_LARGEST_SEQ = (1 << 63) - 1
_TEXTS = ("id", "chan", "sender", "type", "time", "mode", "digest", "next", "prev", "code", "msg")
_COUNTS = ("seq", "count", "bytes")
_FLAGS = ("last", "fatal")


class Sender(NamedTuple):
    """Whose sequence it is.

    Attributes:
        id: The run.
        chan: The channel in it.
        sender: The producer in that.
    """

    id: str
    chan: str = DEFAULT_CHAN
    sender: str = DEFAULT_SENDER

    def __str__(self) -> str:
        return f"{self.id}/{self.chan}/{self.sender}"


class Place(NamedTuple):
    """What a message says of its place in a stream.

    Attributes:
        who: Whose sequence.
        seq: Its number there, from 0, markers counted.
        type: "data", "end", "error"; anything else flows as data.
        rest: The other keys, unknown ones too.
    """

    who: Sender
    seq: int
    type: str = DATA
    rest: Mapping[str, Any] = {}

    @property
    def closes(self) -> bool:
        """Nothing of this sender may follow: an end, a fatal error, or data that says it is the last.

        An end that names a successor ends the file and not the sender: its numbers go on there.
        """
        if self.type == ERROR:
            return self.rest.get("fatal", True) is not False
        if self.type == END:
            return self.successor is None
        return self.rest.get("last") is True

    @property
    def successor(self) -> str | None:
        """The file in which this sender goes on, as its name relative to this one; None if it does not."""
        return self.rest.get("next") if self.type == END else None

    def reply(self) -> tuple[Sender, int] | None:
        """Return the message that this one answers: whose, and its number; None if it answers none.

        What `in_reply_to` leaves out is as in the message itself. What is no answer at all is None too.
        """
        said = self.rest.get("in_reply_to")
        value = said if isinstance(said, Mapping) else {"seq": said}
        given = (value.get(key, own) for key, own in zip(Sender._fields, self.who, strict=True))
        names = [name for name in given if isinstance(name, str)]
        seq = value.get("seq")
        if type(seq) is not int or not 0 <= seq <= _LARGEST_SEQ or len(names) < len(Sender._fields):
            return None
        return Sender(*names), seq

    @property
    def is_marker(self) -> bool:
        """It is about the stream, and holds no data."""
        return self.type in {END, ERROR}

    def to_map(self) -> dict[str, Any]:
        """Return the map that stands at `_extra_.tgmstream`; what is the default is left out."""
        value: dict[str, Any] = {"v": VERSION, "id": self.who.id, "seq": self.seq}
        if self.who.chan != DEFAULT_CHAN:
            value["chan"] = self.who.chan
        if self.who.sender != DEFAULT_SENDER:
            value["sender"] = self.who.sender
        if self.type != DATA:
            value["type"] = self.type
        return {**self.rest, **value}

    @classmethod
    def parse(cls, extra: Mapping[str, Any], *, offset: int) -> Place | None:
        """Return what a message's `_extra_` says, or None if it says nothing, or nothing that we know.

        Args:
            extra: The message-level metadata.
            offset: Where the message begins (bytes from the start of the source).

        Raises:
            MetadataError: A map of our version in which a key has the wrong type.
        """
        value = extra.get(KEY)
        if not isinstance(value, dict) or type(value.get("v")) is not int:
            return None
        if value["v"] != VERSION:
            return None  # a later convention: data, as far as we know
        for keys, kind in ((_TEXTS, str), (_COUNTS, int), (_FLAGS, bool)):
            for key in keys:
                if key in value and type(value[key]) is not kind:
                    raise _error(f"{key} is {cbor.brief(value[key])}, expected {kind.__name__}", offset)
        for key in _COUNTS:
            if not 0 <= value.get(key, 0) <= _LARGEST_SEQ:
                raise _error(f"{key} {cbor.brief(value[key])} is out of range, expected 0 to 2^63-1", offset)
        for key in ("id", "seq"):
            if key not in value:
                raise _error(f"{key} is missing", offset)
        who = Sender(value["id"], value.get("chan", DEFAULT_CHAN), value.get("sender", DEFAULT_SENDER))
        own = {"v", "id", "chan", "sender", "seq", "type"}
        rest = {key: inner for key, inner in value.items() if key not in own}
        return cls(who, value["seq"], value.get("type", DATA), rest)


def _error(text: str, offset: int) -> MetadataError:
    return MetadataError(f"{KEY}: {text}", offset=offset, code="stream_invalid")


class Ledger:
    """What every sender has sent so far, and what is wrong with the order of it.

    Messages without a place are not in it: they pass as data and end nothing.

    Args:
        limits: How many senders there may be.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._next: dict[Sender, int] = {}
        self._closed: dict[Sender, Place] = {}
        self._moved: dict[Sender, str] = {}  # what was heard last named a successor

    def receive(self, place: Place) -> Iterator[tuple[str, str]]:
        """Take the next message's place; yield (code, text) of what is wrong with it. Errors as `take`."""
        yield from self.problems(place)
        self.take(place)

    def problems(self, place: Place) -> Iterator[tuple[str, str]]:
        """Yield (code, text) of what is wrong with a message's place, without taking it."""
        # The numbers of a file that continues another one go on from there, wherever that is.
        first = place.seq if "prev" in place.rest else 0
        expected = self._next.get(place.who, first)
        if place.who in self._closed:
            yield (
                "after_end",
                f"{place.who} had ended with number {self._closed[place.who].seq}, found {place.seq}",
            )
        if place.seq > expected:
            yield (
                "seq_gap",
                f"{place.who}: number {place.seq}, expected {expected}: {place.seq - expected} missing",
            )
        elif place.seq == expected - 1:
            yield "seq_duplicate", f"{place.who}: number {place.seq} once more"
        elif place.seq < expected:
            yield "seq_reversed", f"{place.who}: number {place.seq} after {expected - 1}"

    def take(self, place: Place) -> None:
        """The message at this place has come.

        Raises:
            LimitExceeded: It has one sender too many: what every sender said is remembered.
        """
        if place.who not in self._next:
            count = len(self._next) + 1
            self._limits.check("senders", count, f"{count} senders in one stream")
        self._next[place.who] = max(self._next.get(place.who, 0), place.seq + 1)
        self._moved.pop(place.who, None)
        if place.successor is not None:
            self._moved[place.who] = place.successor
        if place.closes:
            self._closed.setdefault(place.who, place)

    @property
    def senders(self) -> list[Sender]:
        """All that were seen, in their order."""
        return list(self._next)

    def open_senders(self) -> list[Sender]:
        """Return those that have not ended."""
        return [who for who in self._next if who not in self._closed]

    def next_seq(self, who: Sender) -> int:
        """Return the number that the next message of `who` must have."""
        return self._next.get(who, 0)

    def close_of(self, who: Sender) -> Place | None:
        """Return what `who` ended with, or None if it did not."""
        return self._closed.get(who)

    def successor_of(self, who: Sender) -> str | None:
        """Return the file in which `who` goes on, if that was the last it said."""
        return self._moved.get(who)

    def error(self) -> Place | None:
        """Return the first fatal error that a sender ended with, or None."""
        return next((place for place in self._closed.values() if place.type == ERROR), None)


class Tally:
    """What a sender has sent: how many messages, their bytes, and one digest over all of them.

    Both length fields of a message count as zeros, so that filling them in later changes nothing.
    A message may be given in any pieces: `data` as often as needed, then `end`.

    Attributes:
        count: Whole messages.
        size: Their bytes.
    """

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        self._digest = new_digest()
        self._open = 0  # bytes of the message that is not ended
        self._held = b""  # its preamble as far as it came; then its latest bytes: they may be the postamble

    def data(self, piece: bytes | memoryview) -> None:
        """Take the next bytes of a message."""
        piece = memoryview(piece).cast("B")
        if missing := max(layout.PREAMBLE_SIZE - self._open, 0):
            self._held += bytes(piece[:missing])
            self._open += len(piece[:missing])
            piece = piece[missing:]
            if self._open < layout.PREAMBLE_SIZE:
                return
            self._digest.update(self._held[: layout.PREAMBLE_TOTAL_AT] + bytes(8))
            self._held = b""
        self._open += len(piece)
        if len(piece) >= layout.POSTAMBLE_SIZE:
            self._digest.update(self._held)
            self._digest.update(piece[: -layout.POSTAMBLE_SIZE])
            self._held = bytes(piece[-layout.POSTAMBLE_SIZE :])
        else:
            held = self._held + bytes(piece)
            self._digest.update(held[: -layout.POSTAMBLE_SIZE])
            self._held = held[-layout.POSTAMBLE_SIZE :]

    def end(self) -> None:
        """The message is whole: what was given last is its postamble."""
        at = layout.POSTAMBLE_TOTAL_AT
        self._digest.update(self._held[:at] + bytes(8) + self._held[at + 8 :])
        self.count += 1
        self.size += self._open
        self._open, self._held = 0, b""

    def to_map(self) -> dict[str, Any]:
        """Return what an end marker says of the messages before it: `count`, `bytes` and `digest`."""
        return {"count": self.count, "bytes": self.size, "digest": self.digest}

    @property
    def digest(self) -> str:
        """The digest over all whole messages, as an end marker states it."""
        return f"{DIGEST_NAME}{self._digest.intdigest():016x}"


def checked_name(text: str, what: str) -> str:
    """Return a run, channel or sender name that may be written.

    Raises:
        EncodeError: It is empty, or has characters that cannot stand on a command line or in a listing.
    """
    if not text or not text.isprintable() or "/" in text:
        raise EncodeError(f"{what} {text!r} must be printable, not empty, and without /")
    return text
