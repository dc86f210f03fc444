"""What to do about a message that a dead producer left unfinished at the end of a file.

It is separate from whoever carries it out: the plan is a value, made by reading only, so it can
be shown before anything is touched. Every object whose frame is whole is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..endpoints.base import Source
from ..errors import FormatError, FramingError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.assembly import Assembler
from ..messages.descriptor import Descriptor
from ..messages.hashes import Hashes
from ..messages.index import Index
from ..messages.metadata import Metadata, with_tensor
from ..messages.objects import DataObject
from ..messages.spans import Gap, MessageSpan
from ..wire import frametypes, layout
from ..wire.decoder import Decoder
from ..wire.encoder import Encoder
from ..wire.events import FrameEnded, MessageBegan
from ..wire.patches import Patch, length_patches
from .drive import drive
from .scan import scan


class Repair(NamedTuple):
    """What makes the end of a file whole again.

    Attributes:
        offset: Where the unfinished message begins (bytes from the start of the file).
        available: Bytes of it that are there.
        objects: Objects that are whole and kept.
        keep: Where the file is cut (bytes from its start).
        closing: What is appended then: index, hashes, metadata, postamble. Empty if nothing was whole.
        patches: What is written over the preamble and the postamble at last.
        set_aside: The message cannot be finished where it stands (its header promises more than
            arrived): its bytes must be kept elsewhere before the file is cut.
    """

    offset: int
    available: int
    objects: int
    keep: int
    closing: bytes = b""
    patches: tuple[Patch, ...] = ()
    set_aside: bool = False


def find_cut(source: Source, limits: Limits = DEFAULT_LIMITS) -> tuple[Gap | None, int, int]:
    """Return the cut message at the end of `source`, if any, the whole messages, and where they end.

    Raises:
        FramingError: The source ends in bytes that no message can begin with.
    """
    messages = end = 0
    last: Gap | None = None
    for found in scan(source, unit="message", limits=limits):
        end = found.offset + found.length
        last = None
        if isinstance(found, MessageSpan):
            messages += 1
        elif isinstance(found, Gap):
            last = found
    if last is None or last.kind == "incomplete":
        return last, messages, last.offset if last else end
    raise FramingError(
        f"the file ends in {last.length} bytes that are no message ({last.reason}); "
        "nothing can be appended after them safely",
        offset=last.offset,
        source=source.name,
        code=last.code,
    )


def plan_repair(source: Source, offset: int, *, limits: Limits = DEFAULT_LIMITS) -> Repair:
    """Return how to finish the cut message that begins at `offset` and ends with the source.

    Whole objects stay where they are; what follows the last of them is cut away, and the message is
    closed behind it. Stored digests are checked, never recomputed; no time or uuid is invented.
    """
    found = _Whole(source, offset, limits)
    available = (source.size() or offset) - offset
    if not found.objects or found.preamble_flags is None:
        return Repair(offset, available, 0, offset, set_aside=False)
    can_close = found.total_length == 0 and found.preamble_flags & layout.FOOTER_METADATA
    if not can_close:
        return Repair(offset, available, len(found.objects), offset, set_aside=True)
    encoder = Encoder(found.preamble_flags)
    closing = [bytes(encoder.resume(found.end - offset, found.offsets, found.lengths, found.digests))]
    if encoder.hashing and len(found.digests) == len(found.offsets):
        closing.append(encoder.control(frametypes.FOOTER_HASH, Hashes.of(found.digests).pack()))
    index = Index(tuple(found.offsets), tuple(found.lengths))
    closing.append(encoder.control(frametypes.FOOTER_INDEX, index.pack()))
    metadata = Metadata(tuple(found.entries()), found.extra, found.reserved)
    closing.append(encoder.control(frametypes.FOOTER_METADATA, metadata.pack()))
    closing.append(encoder.end())
    patches = length_patches(offset, encoder.position)
    return Repair(offset, available, len(found.objects), found.end, b"".join(closing), patches)


class _Whole:
    """What is whole and sound of a cut message."""

    def __init__(self, source: Source, offset: int, limits: Limits) -> None:
        self.objects: list[tuple[Mapping[str, Any], Descriptor]] = []
        self.offsets: list[int] = []
        self.lengths: list[int] = []
        self.digests: list[int] = []
        self.end = offset  # of the last whole object
        self.preamble_flags: int | None = None
        self.total_length = 0
        self.extra: Mapping[str, Any] = {}
        self.reserved: Mapping[str, Any] = {}
        self._metadata = Metadata()
        assembler = Assembler(limits=limits)
        decoder = Decoder(offset=offset, control_body_limit=limits.cbor_bytes)
        try:
            for event in drive(source, decoder):
                if isinstance(event, MessageBegan):
                    self.preamble_flags = event.preamble.flags
                    self.total_length = event.preamble.total_length
                found = assembler.receive(event)
                self._metadata = assembler.metadata
                if isinstance(event, FrameEnded) and isinstance(found, DataObject):
                    self._take(event, found, offset)
        except FormatError:
            pass  # the cut itself, or a frame from which on nothing can be trusted
        self.extra, self.reserved = self._metadata.extra, self._metadata.reserved

    def _take(self, event: FrameEnded, found: DataObject, message: int) -> None:
        self.objects.append((found.metadata, found.descriptor))
        self.offsets.append(event.offset - message)
        self.lengths.append(event.header.total_length)
        if event.stored_digest is not None:
            self.digests.append(event.stored_digest)
        self.end = event.offset + event.header.total_length

    def entries(self) -> list[dict[str, Any]]:
        """Return `base` for the objects that are whole."""
        return [with_tensor(metadata, descriptor) for metadata, descriptor in self.objects]
