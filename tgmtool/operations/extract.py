"""One object as a message of its own: its frame byte for byte, and around it what a message needs.

It is separate because nothing is decoded or encoded here: what was written stays what it was, digest
included, whatever codec wrote it.
"""

from __future__ import annotations

from ..codecs.base import Bytes
from ..messages.descriptor import Descriptor
from ..messages.hashes import Hashes
from ..messages.index import Index
from ..messages.metadata import Metadata, with_tensor
from ..wire import frametypes, layout
from ..wire.encoder import Encoder, control_frame_size


def message_of(frame: Bytes, descriptor: Descriptor, metadata: Metadata, digest: int | None) -> list[Bytes]:
    """Return a whole message that holds one object, in pieces.

    Args:
        frame: The object's frame, through ENDF.
        descriptor: What it says about the payload.
        metadata: Of the message; `base` is the object's map.
        digest: The frame's stored digest, or None.
    """
    described = metadata._replace(base=(with_tensor(metadata.base[0], descriptor),)).pack()
    hashes = Hashes.of([digest]).pack() if digest is not None else b""
    flags = layout.HEADER_METADATA | layout.HEADER_INDEX
    if hashes:
        flags |= layout.HEADER_HASHES | layout.HASHES_PRESENT
    length = len(frame)
    around = layout.PREAMBLE_SIZE + control_frame_size(len(described))
    around += control_frame_size(len(hashes)) if hashes else 0
    index, at = _index(around, length)
    end = at + length + layout.padding_after(length)
    encoder = Encoder(flags, end + layout.POSTAMBLE_SIZE)
    pieces: list[Bytes] = [
        encoder.begin(),
        encoder.control(frametypes.HEADER_METADATA, described),
        encoder.control(frametypes.HEADER_INDEX, index),
    ]
    if hashes:
        pieces.append(encoder.control(frametypes.HEADER_HASH, hashes))
    assert encoder.position == at
    padding = encoder.resume(at + length, [at], [length], [] if digest is None else [digest])
    return [*pieces, frame, bytes(padding), encoder.end()]


def _index(around: int, length: int) -> tuple[bytes, int]:
    """Return the index frame's body, which stands before what it lists, and where the object begins."""
    body = b""
    while True:
        at = around + control_frame_size(len(body))
        packed = Index((at,), (length,)).pack()
        if len(packed) == len(body):
            return packed, at
        body = packed
