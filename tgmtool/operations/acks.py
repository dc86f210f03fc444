"""Say how far everything is durable here: the stream of acknowledgments that a producer can wait for.

It is separate because it is a stream of its own, an ordinary `.tgm` with one writer: zero-object messages
on channel `sync`, each of which answers the last message of a sender that is safe.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping

from ..endpoints import open_source
from ..endpoints.local import FileSink
from ..errors import MetadataError, SourceError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.assembly import Message
from ..messages.spans import Gap
from ..messages.stream import DEFAULT_SENDER, Place, Sender, checked_name
from .markers import marker, now
from .scan import Scanner

CHAN = "sync"


class Acks:
    """Writes acknowledgments to the end of a file, which is locked meanwhile.

    The numbering of an existing file is continued, and what a killed writer left unfinished behind whole
    acknowledgments is cut away. Anything else in the file is somebody's, and is left alone. The stream has
    no end of its own: its last word is the answer to the end of what it answers.

    Args:
        path: Where; created if it is not there.
        sender: Who acknowledges.
        limits: What an existing file may cost.

    Attributes:
        warning: What the user should know, or None.

    Raises:
        SourceError: It cannot be written, another process writes to it, or it holds something else.
        EncodeError: A name that cannot be written.
    """

    def __init__(self, path: str, sender: str | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        name = checked_name(sender or DEFAULT_SENDER, "--ack-sender")
        self._who = Sender(str(uuid.uuid4()), CHAN, name)
        self._next = 0
        self._acked: dict[Sender, int] = {}
        if os.path.exists(path) and not os.path.isfile(path):
            raise _foreign(path, "it is no regular file")
        self._sink = FileSink(path, append=True, durable=True)
        self.warning = self._sink.warning
        try:
            self._sink.restart_at(self._continued(limits))
        except BaseException:
            self._sink.abort()
            raise

    def _continued(self, limits: Limits) -> int:
        """Read what is there; return where it ends."""
        path, end = self._sink.path, 0
        source = open_source(path)
        try:
            for found in Scanner(source, limits, check_objects=False, start=0).run():
                if isinstance(found, Message):
                    end = found.span.offset + found.span.length
                    self._take(found, path)
                elif not (isinstance(found, Gap) and found.kind == "incomplete" and end):
                    raise _foreign(path, f"at byte {found.offset} stands something else")
            return end
        finally:
            source.close()

    def _take(self, found: Message, path: str) -> None:
        where = f"the message at byte {found.span.offset}"
        try:
            place = Place.parse(found.metadata.extra, offset=found.span.offset)
        except MetadataError as error:
            raise _foreign(path, str(error)) from error
        reply = None if place is None else place.reply()
        if place is None or reply is None or found.span.objects or place.who.chan != CHAN:
            raise _foreign(path, f"{where} is no acknowledgment")
        if place.who.sender != self._who.sender:
            raise _foreign(path, f"{where} is of {place.who.sender!r}, we are {self._who.sender!r}")
        self._who, self._next = place.who, place.seq + 1
        whose, number = reply
        self._acked[whose] = max(number, self._acked.get(whose, -1))

    def write(self, numbers: Mapping[Sender, int]) -> None:
        """Acknowledge what is new among the last numbers of senders; durable when this returns.

        Raises:
            SourceError: It cannot be written.
        """
        new = {who: number for who, number in numbers.items() if number > self._acked.get(who, -1)}
        if not new:
            return
        pieces = []
        for who, number in new.items():
            rest = {"time": now(), "in_reply_to": {**who._asdict(), "seq": number}}
            pieces.append(marker(Place(self._who, self._next, rest=rest)))
            self._next += 1
        whole = self._sink.position
        try:
            self._sink.write([b"".join(pieces)])
            self._sink.sync()
        except SourceError:
            self._sink.truncate(whole)
            raise
        self._acked |= new

    def close(self) -> None:
        """Let go of the file."""
        self._sink.abort()  # in place: what was written stays


def _foreign(path: str, text: str) -> SourceError:
    return SourceError(
        f"is no file of acknowledgments that can be continued: {text}; nothing was changed, "
        "name another file for --ack",
        uri=path,
    )
