"""A new message around frames that stay as they are: lengths, index, digests and metadata come first.

It is separate because several operations want such a message (`salvage`, `reindex`), and because it is
only planned here: what stays is a range of the old file, and nobody reads a payload.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..messages.hashes import Hashes
from ..messages.index import Index
from ..messages.metadata import Metadata
from ..wire import frametypes, layout
from ..wire.encoder import Encoder, control_frame_size
from ..wire.events import FrameEnded
from ..wire.frames import FrameFooter
from .copies import Range, Segment
from .harvest import Whole


class Rebuilt(NamedTuple):
    """A planned message.

    Attributes:
        segments: What it is made of.
        length: Bytes.
        objects: How many it holds.
    """

    segments: tuple[Segment, ...]
    length: int
    objects: int


def rebuild(whole: Sequence[Whole], metadata: Metadata, *, rehash: bool = False) -> Rebuilt:
    """Plan a message that holds `whole`, in that order, header-indexed.

    Args:
        whole: Its objects. Stored digests stay; none is made up, except with `rehash`.
        metadata: What it shall say.
        rehash: Give every frame that has no digest the one of its bytes as they are.
    """
    frames = [frame for one in whole for frame in (one.preceder, one.frame) if frame is not None]
    tensors = [one.frame for one in whole]
    digests = [_digest(one, rehash=rehash) for one in tensors]
    listed = [digest for digest in digests if digest is not None]
    flags = layout.HEADER_METADATA | layout.HEADER_INDEX
    if all(_digest(one, rehash=rehash) is not None for one in frames):
        flags |= layout.HASHES_PRESENT
    hashes = Hashes.of(listed).pack() if listed and len(listed) == len(digests) else b""
    if hashes:
        flags |= layout.HEADER_HASHES
    if len(frames) > len(tensors):
        flags |= layout.PRECEDER_METADATA
    body = metadata.pack()
    before = layout.PREAMBLE_SIZE + control_frame_size(len(body))
    after = control_frame_size(len(hashes)) if hashes else 0
    index, end = _plan_index(frames, before, after)
    encoder = Encoder(flags, end + layout.POSTAMBLE_SIZE)
    head = [
        encoder.begin(),
        encoder.control(frametypes.HEADER_METADATA, body),
        encoder.control(frametypes.HEADER_INDEX, index.pack()),
    ]
    if hashes:
        head.append(encoder.control(frametypes.HEADER_HASH, hashes))
    if frames:
        encoder.resume(end, list(index.offsets), list(index.lengths), listed)
    segments = _merged([b"".join(head), *_bodies(frames, rehash=rehash), encoder.end()])
    return Rebuilt(tuple(segments), encoder.position, len(whole))


def _digest(frame: FrameEnded, *, rehash: bool) -> int | None:
    return frame.actual_digest if rehash and frame.stored_digest is None else frame.stored_digest


def _plan_index(frames: Sequence[FrameEnded], before: int, after: int) -> tuple[Index, int]:
    """Return the index, and where the postamble will stand: the index moves what it lists, so repeat."""
    lengths = tuple(one.header.total_length for one in frames if one.header.row.is_object)
    size = control_frame_size(len(Index((), ()).pack()) + 4 * len(lengths))
    while True:
        position = before + size + after
        offsets = []
        for one in frames:
            if one.header.row.is_object:
                offsets.append(position)
            position += one.header.total_length + layout.padding_after(one.header.total_length)
        index = Index(tuple(offsets), lengths)
        needed = control_frame_size(len(index.pack()))
        if needed == size:
            return index, position
        size = needed


def _bodies(frames: Sequence[FrameEnded], *, rehash: bool) -> Iterator[Segment]:
    for number, one in enumerate(frames):
        length = one.header.total_length
        padding = layout.padding_after(length)
        if rehash and one.stored_digest is None:
            yield from _hashed(one)
            yield bytes(padding)
        elif number + 1 < len(frames) and frames[number + 1].offset == one.offset + length + padding:
            yield Range(one.offset, length + padding)  # the padding stays too: long runs are copied at once
        else:
            yield Range(one.offset, length)
            yield bytes(padding)


def _hashed(one: FrameEnded) -> Iterator[Segment]:
    """The frame with its digest filled in: its body stays."""
    assert one.actual_digest is not None
    header = one.header._replace(flags=one.header.flags | layout.HASH_PRESENT)
    yield header.pack()
    yield Range(one.offset + layout.FRAME_HEADER_SIZE, one.header.body_size)
    yield FrameFooter(one.actual_digest, one.cbor_offset).pack()


def _merged(segments: list[Segment]) -> list[Segment]:
    """Return the same bytes in as few segments as possible."""
    found: list[Segment] = []
    for one in segments:
        last = found[-1] if found else None
        if isinstance(one, Range) and isinstance(last, Range) and last.offset + last.length == one.offset:
            found[-1] = Range(last.offset, last.length + one.length)
        elif isinstance(one, bytes) and isinstance(last, bytes):
            found[-1] = last + one
        elif not isinstance(one, bytes) or one:
            found.append(one)
    return found
