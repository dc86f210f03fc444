"""Where things stand in a source: messages, objects, frames, and the gaps between them.

It is separate because listings, plans and readers all speak of places, and a place is a plain
value: every `offset` is in bytes from the start of the source, every `length` in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .descriptor import Descriptor


class MessageSpan(NamedTuple):
    """A whole message.

    Attributes:
        offset: Where TENSOGRM stands.
        length: Through the end magic.
        flags: Preamble flags.
        streaming: Its lengths were not filled in: a reader has to walk it.
        objects: How many it holds; -1 when only its lengths were read.
        number: Of the message in the source, from 0, among the whole ones.
    """

    offset: int
    length: int
    flags: int = 0
    streaming: bool = False
    objects: int = -1
    number: int = 0


class FrameSpan(NamedTuple):
    """A whole frame.

    Attributes:
        offset: Where FR stands.
        length: Through ENDF, without padding.
        type: Frame type number.
        flags: Frame flags.
        message: Number of its message, from 0.
        message_offset: Where its message begins.
        padding: Bytes between the frame before and this one.
        digest: The stored digest, or None.
    """

    offset: int
    length: int
    type: int
    flags: int
    message: int
    message_offset: int
    padding: int = 0
    digest: int | None = None


class ObjectSpan(NamedTuple):
    """A data object.

    Attributes:
        offset: Where its frame begins.
        length: Of the frame, without padding.
        message: Number of its message, from 0.
        number: Of the object in the message, from 0.
        message_offset: Where its message begins.
        payload_offset: Where the encoded payload begins.
        payload_length: Of the payload with its masks.
        digest: The frame's stored digest, or None.
        descriptor: What the payload is; None where only places are wanted.
        metadata: The keys of the object, without the library-managed ones.
        status: "ok", or of a message that is not whole: "open" (cut short) or "damaged".
    """

    offset: int
    length: int
    message: int
    number: int
    message_offset: int
    payload_offset: int
    payload_length: int
    digest: int | None = None
    descriptor: Descriptor | None = None
    metadata: Mapping[str, Any] = {}
    status: str = "ok"


class Gap(NamedTuple):
    """Bytes that belong to no whole message.

    Attributes:
        offset: The first of them.
        length: How many.
        kind: "damaged", "foreign" (between messages), "incomplete" (a cut message at the end) or
            "limit" (whole, but it costs more than the limits allow).
        code: Stable snake_case name of what was found wrong.
        reason: The same as a sentence.
    """

    offset: int
    length: int
    kind: str
    code: str
    reason: str


class Notice(NamedTuple):
    """Something about the file that is no data.

    Attributes:
        event: "appeared", "removed", "replaced" or "truncated" (the file); "gap" (bytes that belong to
            no whole message), "invalid" (a frame or message whose framing is sound and whose content
            is not), "cut" (the end: a message that is not finished); "end", "error", "note" (a producer
            says something about its stream) and "order" (`code` says how messages are out of order).
        source: The file's name.
        offset: Where (bytes from the start of the file).
        length: How many bytes.
        code: Stable snake_case name of the reason, for "gap", "invalid" and "cut".
        reason: The same as a sentence; what the producer said, for "error" and "note".
        stream: The message's place in its stream, as it says itself (see `messages/stream.py`).
    """

    event: str
    source: str
    offset: int = 0
    length: int = 0
    code: str = ""
    reason: str = ""
    stream: Mapping[str, Any] = {}


class Piece(NamedTuple):
    """Bytes of the file that are whole: they may be passed on verbatim.

    Attributes:
        offset: Where they stand (bytes from the start of the file).
        length: How many.
        starts: A message begins with them.
        ends: A message ends with them.
        streaming: The message's preamble has no length.
    """

    offset: int
    length: int
    starts: bool
    ends: bool
    streaming: bool
