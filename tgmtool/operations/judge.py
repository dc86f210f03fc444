"""Where does what begins here end, and is it a whole message, with every digest sound?

It is separate because whoever makes a new file of an old one asks it first (`salvage`, `reindex`); what
was found out on the way, digests above all, is told too, so that nobody has to compute it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..endpoints.base import Source
from ..errors import TruncatedError
from ..limits import Limits
from ..wire import layout
from ..wire.decoder import Decoder
from ..wire.events import Damaged, FrameEnded, MessageBegan, MessageEnded
from .drive import drive
from .guesses import end_of_message


class Judged(NamedTuple):
    """What stands at a place.

    Attributes:
        end: Where it ends (bytes from the start of the source); None for a cut message.
        is_whole: It is a message of which every frame is whole, and proven where it says so.
        proven: Every frame of it that ends before here is proven by its digest: what looks like a
            message, or the end of one, before here is a payload.
        digests: Of the tensor frames' bodies as they are, by where the frames begin.
    """

    end: int | None
    is_whole: bool
    proven: int
    digests: Mapping[int, int]


def judge(source: Source, at: int, limits: Limits) -> Judged:
    """Look at the message or gap that begins at `at`; every digest is computed."""
    decoder = Decoder(offset=at, control_body_limit=limits.cbor_bytes)
    is_sound, all_hashed = True, False
    proven, size = at, source.size() or 0
    digests: dict[int, int] = {}

    def ended(otherwise: int | None) -> Judged:
        return Judged(end_of_message(source, at, size, proven) or otherwise, False, proven, digests)

    try:
        for event in drive(source, decoder, resync=True):
            if isinstance(event, MessageBegan):
                all_hashed = bool(event.preamble.flags & layout.HASHES_PRESENT)
            elif isinstance(event, FrameEnded):
                is_sound &= not event.digest_differs and not (all_hashed and event.stored_digest is None)
                proven = decoder.sound_end
                if event.header.row.is_object and event.actual_digest is not None:
                    digests[event.offset] = event.actual_digest
            elif isinstance(event, MessageEnded):
                return Judged(event.offset + event.length, is_sound, proven, digests)
            elif isinstance(event, Damaged):
                return ended(event.offset + event.size)
    except TruncatedError as error:
        error.with_traceback(None)  # it would keep the source open
        # After damage, what comes is another message; it is looked at next.
        return ended(None if error.message_offset == at else error.message_offset)
    return Judged(size, False, proven, digests)
