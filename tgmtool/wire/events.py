"""What the decoder says: a message or a frame began, went on, ended; bytes were lost.

It is separate so that consumers can match on events without importing the machinery.
Every `offset` is in bytes from the start of the source.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from ..errors import FormatError
from .frames import FrameHeader, Preamble


class Signal(enum.Enum):
    """What is no event: the decoder wants something from its driver."""

    NEED_DATA = enum.auto()
    """Give more bytes, from `Decoder.next_offset` on, or say that there are none."""
    END = enum.auto()
    """The input ended between two messages: nothing is missing."""


NEED_DATA = Signal.NEED_DATA
END = Signal.END


class MessageBegan(NamedTuple):
    """A preamble was read."""

    offset: int
    preamble: Preamble


class FrameBegan(NamedTuple):
    """A frame header was read. `padding` bytes stand before it, 0-7 by the format."""

    offset: int
    header: FrameHeader
    padding: int


class FrameData(NamedTuple):
    """A piece of a frame's body, in order. Control frames (CBOR) always come in one piece.

    `data` is a view of what the driver delivered; it stays valid while it is referenced.
    """

    offset: int
    data: memoryview


class FrameEnded(NamedTuple):
    """A frame is whole, through ENDF.

    Attributes:
        offset: Where the frame begins.
        header: Its header.
        cbor_offset: Where the descriptor begins, bytes from `offset`; None for control frames.
        stored_digest: The digest in the frame; None if it holds none.
        actual_digest: The digest of the body that passed; None if it was skipped or not asked for.
    """

    offset: int
    header: FrameHeader
    cbor_offset: int | None
    stored_digest: int | None
    actual_digest: int | None

    @property
    def digest_differs(self) -> bool:
        """Both digests are known and differ: the bytes changed after they were written."""
        return (
            self.stored_digest is not None
            and self.actual_digest is not None
            and self.stored_digest != self.actual_digest
        )


class MessageEnded(NamedTuple):
    """A message is whole, through the end magic.

    Attributes:
        offset: Where the message begins.
        length: Its bytes, from TENSOGRM through the end magic.
        preamble: Its preamble.
        first_footer_offset: As the postamble says, bytes from `offset`.
        postamble_length: The length in the postamble; 0 when it was not filled in.
        objects: Tensor frames in it.
    """

    offset: int
    length: int
    preamble: Preamble
    first_footer_offset: int
    postamble_length: int
    objects: int


class Damaged(NamedTuple):
    """Bytes that belong to no whole message were passed over.

    Attributes:
        offset: The first byte that was lost.
        size: Bytes lost.
        reason: What was found wrong first.
    """

    offset: int
    size: int
    reason: FormatError


Event = MessageBegan | FrameBegan | FrameData | FrameEnded | MessageEnded | Damaged
