"""Number the messages of a sender as they are written, add up what was sent, and say that it is over.

It is separate from `encode` because the library's `write` numbers too, and from `markers` because
it has a state: who sends, which number is next, and what an end will vouch for.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..endpoints.base import Bytes, Sink
from ..errors import EncodeError, FormatError, LimitExceeded
from ..messages.metadata import NIL_UUID, Provenance, random_uuid
from ..messages.spans import MessageSpan
from ..messages.stream import (
    DATA,
    DEFAULT_CHAN,
    DEFAULT_SENDER,
    END,
    ERROR,
    KEY,
    Place,
    Sender,
    Tally,
    checked_name,
)
from ..wire import layout
from .markers import marker, now
from .writer import StreamWriter

AUTO = "auto"
ENDS = (AUTO, "marker", "inline", "none")
MODES = ("append", "replace")
NOTE = "note"
RANK = "SLURM_PROCID"
_LONGEST = 1000  # characters of an error's text


class Stream(NamedTuple):
    """Which run, channel and sender the messages belong to, and how they end.

    Attributes:
        id: The run; None: that of the file that is continued, else a random one.
        chan: The channel; None: that of the file that is continued, else "main".
        sender: The producer; None: `$SLURM_PROCID`, that of the file that is continued, or "0".
        end: "marker" (a message of its own says that it is over, and what was sent), "inline" (the
            last data message says so; each message waits for the next one), "none", or "auto": a
            marker if others may follow the file, or anything else is said here; else plain messages.
            With "none" or "auto" alone a file that is numbered is continued so; if its last stream
            has ended, another run begins.
        mode: Of the data: "append" (the default) or "replace" (each message supersedes the last).
        in_reply_to: The message that is answered: its number, or a map with `seq` and what differs
            of `id`, `chan` and `sender`.
        note: A message without objects that says this, before the data.
        error: In place of an end: an error marker that says this.
        code: A token for `error`.
    """

    id: str | None = None
    chan: str | None = None
    sender: str | None = None
    end: str = "marker"
    mode: str | None = None
    in_reply_to: int | Mapping[str, Any] | None = None
    note: str | None = None
    error: str | None = None
    code: str | None = None

    def check(self) -> None:
        """Refuse what cannot be written.

        Raises:
            EncodeError: A name, or a word that does not exist.
        """
        for text, what in ((self.id, "--id"), (self.chan, "--chan"), (self.sender, "--sender")):
            if text is not None:
                checked_name(text, what)
        for text, what, known in ((self.end, "end", ENDS), (self.mode, "mode", (None, *MODES))):
            if text not in known:
                expected = ", ".join(word for word in known if word)
                raise EncodeError(f"{what} {text!r} does not exist, expected one of {expected}")
        if self.code is not None and self.error is None:
            raise EncodeError("--code belongs to --error")
        if self.in_reply_to is not None and Place(Sender(""), 0, rest=self.answers).reply() is None:
            raise EncodeError(f"in_reply_to {self.in_reply_to!r} is no number from 0 to 2^63-1 of a sender")

    @property
    def asks_nothing(self) -> bool:
        """Nothing is said here but whether there is an end."""
        return self in (Stream(end=AUTO), Stream(end="none"))

    def is_numbered(self, *, followed: bool) -> bool:
        """Return whether a file that begins is numbered.

        Args:
            followed: The file grows while others may read it, and nothing else tells them its end.
        """
        return not self.asks_nothing or (followed and self.end == AUTO)

    @property
    def answers(self) -> dict[str, Any]:
        """The `in_reply_to` of its messages, as a map; empty if they answer none."""
        return {} if self.in_reply_to is None else {"in_reply_to": self.in_reply_to}

    def who(self, last: Sender | None, provenance: Provenance) -> Sender:
        """Return whose messages they are.

        Args:
            last: Who wrote last into the file that is continued.
            provenance: A fixed one fixes an id that was not given.

        Raises:
            EncodeError: `$SLURM_PROCID` is no name.
        """
        self.check()
        if self.id not in {None, last and last.id}:
            last = None
        fresh = NIL_UUID if provenance.uuid is not None else random_uuid()
        rank = os.environ.get(RANK)
        return Sender(
            self.id or (last.id if last else fresh),
            self.chan or (last.chan if last else DEFAULT_CHAN),
            self.sender
            or (checked_name(rank, f"${RANK}") if rank else last.sender if last else DEFAULT_SENDER),
        )


class Numbering:
    """The numbers of one sender in one file.

    Args:
        stream: What was asked for.
        who: Whose numbers.
        sink: Where the file is written.
        provenance: `_reserved_` of the markers; with a fixed time no `time` is said.
        seq: The next number.
        sent: What was sent before, as far as the file holds it.
        previous: The file that this one continues, by its relative name.

    Attributes:
        sink: Where messages are to be written: it adds up what passes.
        seq: The number of the next message.
        is_over: It has ended; nothing may follow.
        said: What the last message says of its place; None before the first.
    """

    def __init__(
        self,
        stream: Stream,
        who: Sender,
        sink: Sink,
        provenance: Provenance,
        *,
        seq: int = 0,
        sent: Tally | None = None,
        previous: str | None = None,
    ) -> None:
        self.stream = stream._replace(end="marker") if stream.end == AUTO else stream
        self.who = who
        self.seq = seq
        self.is_over = False
        self.said: Mapping[str, Any] | None = None
        self._provenance = provenance
        self._plain = sink
        self._sent = sent or Tally()
        self._is_first = seq == 0
        self._previous = previous
        self.sink: Sink = _Counted(sink, self._sent) if self.stream.end == "marker" else sink

    def continued(self, sink: Sink, previous: str) -> Numbering:
        """Return the numbering of the file that continues this one's."""
        found = Numbering(self.stream, self.who, sink, self._provenance, seq=self.seq, previous=previous)
        found._is_first = self._is_first
        return found

    def number(self, writer: StreamWriter, *, last: bool = False) -> None:
        """Give the next number to a message of which nothing has been written.

        Args:
            writer: Of the message.
            last: It says that it is the last.
        """
        rest: dict[str, Any] = {"last": True} if last else {}
        if self._is_first and self.stream.mode is not None:
            rest["mode"] = self.stream.mode
        if self.stream.note is None and self.stream.error is None:  # else those are the answer
            rest.update(self.stream.answers)
        self.said = self._place(DATA, rest).to_map()
        writer.describe({KEY: self.said})

    def finished(self, *, last: bool = False) -> None:
        """Take note that the message that was numbered is whole."""
        self._is_first = False
        self.is_over = last
        self._counted()

    def end(self, successor: str | None = None) -> MessageSpan:
        """Write the end marker: what was sent, and the file that goes on.

        Raises:
            SourceError: The sink failed.
        """
        self.is_over = successor is None
        sums = self._sent.to_map() if self.stream.end == "marker" else {}
        return self._mark(END, {**sums, **({"next": successor} if successor else {})})

    def close(self) -> MessageSpan | None:
        """Write how it ended, if a marker has to say it: `Stream.error`, or the end."""
        if self.stream.error is not None:
            return self.error(self.stream.error, self.stream.code)
        return None if self.is_over or self.stream.end == "none" else self.end()

    def note(self, text: str) -> MessageSpan:
        """Write a message without objects that says something."""
        return self._mark(NOTE, {"msg": text, **self.stream.answers})

    def error(self, text: str, code: str | None = None, status: int | None = None) -> MessageSpan:
        """Write the error marker: the stream is over, and has failed."""
        self.is_over = True
        stated = {"code": code, "msg": text[:_LONGEST], "exit": status}
        said = {key: value for key, value in stated.items() if value is not None}
        return self._mark(ERROR, {**said, **self.stream.answers})

    def failure(self, error: BaseException, status: int | None = None) -> MessageSpan:
        """Write the error marker that an exception calls for."""
        text = str(error) or type(error).__name__
        if "://" in text:
            from ..endpoints.secrets import redact

            text = redact(text)
        text = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()  # a path may hold anything
        return self.error(text, code_of(error), status)

    def _mark(self, kind: str, rest: dict[str, Any]) -> MessageSpan:
        place = self._place(kind, rest)
        data = marker(place, provenance=self._provenance)
        offset = self._plain.position
        self.sink.write([data])
        self.said = place.to_map()
        self._counted()
        flags = layout.PREAMBLE.unpack_from(data)[2]
        return MessageSpan(offset, len(data), flags, objects=0)

    def _counted(self) -> None:
        self.seq += 1
        self._previous = None
        if self.stream.end == "marker":
            self._sent.end()

    def _place(self, kind: str, rest: dict[str, Any]) -> Place:
        if self._provenance.time is None:
            rest = {**rest, "time": now()}
        if self._previous is not None:
            rest = {**rest, "prev": self._previous}
        return Place(self.who, self.seq, kind, rest)


def code_of(error: BaseException) -> str:
    """Return a token for what went wrong, as `code` of an error marker."""
    if isinstance(error, FormatError):
        return error.code
    if isinstance(error, LimitExceeded):
        return f"limit_{error.limit}"
    if isinstance(error, OSError) and (name := errno.errorcode.get(error.errno or 0)):
        return name.lower()
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()


class _Counted(Sink):
    """Passes everything on, and adds it up."""

    def __init__(self, sink: Sink, sent: Tally) -> None:
        self.name = sink.name
        self.patchable = sink.patchable
        self._sink = sink
        self._sent = sent

    @property
    def position(self) -> int:
        return self._sink.position

    def write(self, pieces: Sequence[Bytes]) -> None:
        self._sink.write(pieces)
        for piece in pieces:
            self._sent.data(memoryview(piece))

    def patch_at(self, offset: int, data: Bytes) -> None:
        self._sink.patch_at(offset, data)  # lengths: they count as zeros

    def truncate(self, offset: int) -> None:
        self._sink.truncate(offset)

    def sync(self) -> None:
        self._sink.sync()

    def close(self) -> None:
        self._sink.close()

    def abort(self) -> None:
        self._sink.abort()
