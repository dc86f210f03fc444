"""What to do about a message that a dead producer left unfinished at the end of a file.

It is separate from whoever carries it out: the plan is a value, made by reading only, so it can
be shown before anything is touched. Every object whose frame is whole is kept.
"""

from __future__ import annotations

from typing import NamedTuple

from ..endpoints.base import Source
from ..errors import FramingError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.hashes import Hashes
from ..messages.index import Index
from ..messages.metadata import Metadata, with_tensor
from ..messages.spans import Gap, MessageSpan
from ..wire import frametypes, layout
from ..wire.encoder import Encoder
from ..wire.patches import Patch, length_patches
from .harvest import Harvest, harvest
from .scan import scan

_FLAGS_AT = 10  # of a preamble: behind magic and version


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
        unproven: Objects among those kept that carry no digest.
        reopening: What is written over the preamble first: its length promised more than arrived.
        lost: Bytes that are dropped, and said what nothing says any more.
        lacks_metadata: The footer did not arrive, and with it metadata that nothing else held.
    """

    offset: int
    available: int
    objects: int
    keep: int
    closing: bytes = b""
    patches: tuple[Patch, ...] = ()
    set_aside: bool = False
    unproven: int = 0
    reopening: tuple[Patch, ...] = ()
    lost: int = 0
    lacks_metadata: bool = False


class End(NamedTuple):
    """How a file ends.

    Attributes:
        cut: The message at its end that is not finished, if there is one.
        messages: Whole messages.
        offset: Where they end (bytes from the start of the file).
        last: The last of them.
    """

    cut: Gap | None
    messages: int
    offset: int
    last: MessageSpan | None


def find_end(source: Source, limits: Limits = DEFAULT_LIMITS) -> End:
    """Return how `source` ends.

    Raises:
        FramingError: In bytes that no message can begin with.
    """
    messages = end = 0
    last: Gap | None = None
    whole: MessageSpan | None = None
    for found in scan(source, unit="message", limits=limits):
        end = found.offset + found.length
        last = None
        if isinstance(found, MessageSpan):
            messages += 1
            whole = found
        elif isinstance(found, Gap):
            last = found
    if last is None or last.kind == "incomplete":
        return End(last, messages, last.offset if last else end, whole)
    raise FramingError(
        f"the file ends in {last.length} bytes that are no message ({last.reason}); "
        "nothing can be appended after them safely",
        offset=last.offset,
        source=source.name,
        code=last.code,
    )


def find_cut(source: Source, limits: Limits = DEFAULT_LIMITS) -> tuple[Gap | None, int, int]:
    """Return the first three of `find_end`: what is cut, the whole messages, and where they end."""
    return find_end(source, limits)[:3]


def plan_repair(
    source: Source, offset: int, *, reopen: bool = False, limits: Limits = DEFAULT_LIMITS
) -> Repair:
    """Return how to finish the cut message that begins at `offset` and ends with the source.

    Whole objects stay where they are; what follows the last of them is cut away, and the message is
    closed behind it. Stored digests are checked, never recomputed; no time or uuid is invented.

    Args:
        source: Seekable.
        offset: Where the message begins (bytes from the start of the source).
        reopen: A length that promises more than arrived may be taken back, as long as nothing else in
            the message's header promises more.
        limits: What it may cost.
    """
    end = source.size() or offset
    found, *others = harvest(source, offset, end, keep_unhashed=True, limits=limits)
    available = end - offset
    if others:
        return Repair(offset, available, len(found.whole), offset, set_aside=True)
    if not found.whole or found.preamble is None:
        return Repair(offset, available, 0, offset, lost=available)
    frames = [one.frame for one in found.whole]
    keep = frames[-1].offset + frames[-1].header.total_length
    total = found.preamble.total_length
    has_hole = any(loss.offset < keep for loss in found.losses)
    if has_hole or (total and not reopen) or not _keeps_its_word(found):
        return Repair(offset, available, len(frames), offset, set_aside=True)
    reopening = (Patch(offset + layout.PREAMBLE_TOTAL_AT, bytes(8)),) if total else ()
    closing, patches = _closed(found, keep)
    return Repair(
        offset,
        available,
        len(frames),
        keep,
        closing,
        patches,
        unproven=sum(one.stored_digest is None for one in frames),
        reopening=reopening,
        lost=sum(loss.length for loss in found.losses if not loss.can_be_rebuilt),
        lacks_metadata=found.lacks_metadata,
    )


def _keeps_its_word(found: Harvest) -> bool:
    """Return whether the header of a cut message is right about the objects that arrived."""
    assert found.preamble is not None
    flags, count = found.preamble.flags, len(found.whole)
    if len(found.metadata.base) > count:
        return False
    if flags & layout.FOOTER_METADATA:
        return not flags & (layout.HEADER_INDEX | layout.HEADER_HASHES)
    if flags & (layout.FOOTER_INDEX | layout.FOOTER_HASHES) or not flags & layout.HEADER_METADATA:
        return False
    is_hashed = bool(flags & layout.HEADER_HASHES)
    listed = found.hashes.hashes if found.hashes else ()
    return found.index_frame == _index_of(found) and (not is_hashed or len(listed) == count)


def _index_of(found: Harvest) -> Index:
    frames = [one.frame for one in found.whole]
    offsets = tuple(one.offset - found.offset for one in frames)
    return Index(offsets, tuple(one.header.total_length for one in frames))


def _closed(found: Harvest, keep: int) -> tuple[bytes, tuple[Patch, ...]]:
    """Return what closes the message behind `keep`, with lengths 0, and the patches that come last."""
    assert found.preamble is not None
    flags = found.preamble.flags
    encoder = Encoder(flags)
    index = _index_of(found)
    digests = [one.frame.stored_digest for one in found.whole if one.frame.stored_digest is not None]
    padding = encoder.resume(keep - found.offset, list(index.offsets), list(index.lengths), digests)
    closing = [bytes(padding)]
    announced = 0
    if flags & layout.FOOTER_METADATA:
        announced = layout.FOOTER_INDEX | layout.FOOTER_METADATA
        if encoder.hashing and len(digests) == len(found.whole):
            announced |= layout.FOOTER_HASHES
            closing.append(encoder.control(frametypes.FOOTER_HASH, Hashes.of(digests).pack()))
        closing.append(encoder.control(frametypes.FOOTER_INDEX, index.pack()))
        base = tuple(with_tensor(found.entry_of(one), one.descriptor) for one in found.whole)
        metadata = Metadata(base, found.metadata.extra, found.metadata.reserved)
        closing.append(encoder.control(frametypes.FOOTER_METADATA, metadata.pack()))
    closing.append(encoder.end())
    patches: tuple[Patch, ...] = length_patches(found.offset, encoder.position)
    if flags & announced != announced:  # a footer that was not announced would be an error
        patches = (Patch(found.offset + _FLAGS_AT, (flags | announced).to_bytes(2, "big")), *patches)
    return b"".join(closing), patches
