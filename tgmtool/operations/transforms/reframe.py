"""A message like another one, with some frames changed: same frames, same order, same flags.

It is separate because `@stamp`, `@recode`, `@refs` and `@resolve` all make such messages, and what follows
from a change must be right in all of them: index, hash lists, lengths, padding, the postamble. What is not
changed is copied byte for byte. A length that was not filled in stays so, and so does a frame without a
digest: for messages without oddities, changing back gives the same bytes again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...endpoints.base import Bytes
from ...errors import EncodeError
from ...messages import cbor
from ...messages.descriptor import Descriptor
from ...messages.hashes import ALGORITHM
from ...wire import frametypes, layout
from ...wire.digest import body_digest
from ...wire.encoder import tensor_frame_length
from ...wire.events import FrameEnded
from ...wire.frames import FrameFooter, FrameHeader, Postamble, Preamble
from .base import Unit

INDEXES = frozenset({frametypes.HEADER_INDEX, frametypes.FOOTER_INDEX})
HASH_LISTS = frozenset({frametypes.HEADER_HASH, frametypes.FOOTER_HASH})


class TensorFrame(NamedTuple):
    """A tensor frame to stand in a message.

    Attributes:
        pieces: All of it, FR through ENDF.
        digest: xxh3-64 of its body, whether it stands in the frame or not.
    """

    pieces: tuple[Bytes, ...]
    digest: int

    @property
    def length(self) -> int:
        """Bytes, without padding."""
        return sum(map(len, self.pieces))

    @classmethod
    def make(cls, payload: Sequence[Bytes], descriptor: Descriptor, *, hashing: bool) -> TensorFrame:
        """Return the frame of a payload (with its masks), the descriptor after it, hashed or not."""
        packed = descriptor.pack()
        digest = body_digest((*payload, packed))
        size = sum(map(len, payload))
        flags = layout.CBOR_AFTER_PAYLOAD | (layout.HASH_PRESENT if hashing else 0)
        head = FrameHeader(frametypes.TENSOR, flags, tensor_frame_length(size, len(packed))).pack()
        tail = FrameFooter(digest if hashing else 0, layout.FRAME_HEADER_SIZE + size).pack()
        return cls((head, *payload, packed + tail), digest)

    @classmethod
    def of(cls, unit: Unit, frame: FrameEnded) -> TensorFrame:
        """Return a frame of another message as it stands there."""
        stored = frame.stored_digest
        return cls(
            (frame_bytes(unit, frame),),
            body_digest((frame_body(unit, frame),)) if stored is None else stored,
        )


def frame_bytes(unit: Unit, frame: FrameEnded) -> memoryview:
    """Return a frame of a message, FR through ENDF."""
    at = frame.offset - unit.offset
    return memoryview(unit.data)[at : at + frame.header.total_length]


def frame_body(unit: Unit, frame: FrameEnded) -> memoryview:
    """Return what a frame's digest is about: all between header and footer."""
    return frame_bytes(unit, frame)[layout.FRAME_HEADER_SIZE :][: frame.header.body_size]


def tensors(unit: Unit) -> list[FrameEnded]:
    """Return the frames that are objects, in order."""
    return [frame for frame in unit.looked.frames if frame.header.row.is_object]


def metadata_maps(unit: Unit) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (position among the frames, map as it stands there) of the header's and the footer's metadata."""
    for position, frame in enumerate(unit.looked.frames):
        if frame.header.type in frametypes.METADATA_TYPES:
            yield position, _map_of(unit, frame, "metadata")


def reframe(
    unit: Unit, *, bodies: Mapping[int, bytes] | None = None, objects: Mapping[int, TensorFrame] | None = None
) -> bytes:
    """Return the message with some frames changed.

    Args:
        unit: The message as it is.
        bodies: What control frames say instead, by their position among the frames.
        objects: Other frames for objects, by the object's number.

    Raises:
        EncodeError: A list of digests by another algorithm than ours, beside other objects.
        FormatError, LimitExceeded: The message cannot be read.
    """
    bodies, objects = bodies or {}, objects or {}
    frames = unit.looked.frames
    made: list[tuple[Bytes, ...]] = []
    number = 0
    for position, frame in enumerate(frames):
        kind = frame.header.type
        if frame.header.row.is_object:
            found = objects.get(number)
            made.append((frame_bytes(unit, frame),) if found is None else found.pieces)
            number += 1
        elif position in bodies:
            made.append((_control(frame.header, bodies[position]),))
        elif kind in HASH_LISTS and objects:
            made.append((_control(frame.header, _listed(unit, frame, objects)),))
        else:
            made.append((frame_bytes(unit, frame),))
    return _laid_out(unit, made)


def _laid_out(unit: Unit, made: list[tuple[Bytes, ...]]) -> bytes:
    """Return the message that these frames make, its index saying where they are."""
    frames = unit.looked.frames
    indexes = {
        position: (frame.header, _map_of(unit, frame, "index"))
        for position, frame in enumerate(frames)
        if frame.header.type in INDEXES
    }
    while True:  # an index moves what it lists: repeat until it is stable
        places, end = _places(made)
        offsets, lengths = [], []
        for position, frame in enumerate(frames):
            if frame.header.row.is_object:
                offsets.append(places[position])
                lengths.append(sum(map(len, made[position])))
        moved = False
        for position, (header, said) in indexes.items():
            again = _control(header, cbor.encode({**said, "offsets": offsets, "lengths": lengths}))
            moved = moved or len(again) != sum(map(len, made[position]))
            made[position] = (again,)
        if not moved:
            break
    footers = [places[at] for at, frame in enumerate(frames) if frame.header.row.phase == frametypes.FOOTER]
    length = end + layout.POSTAMBLE_SIZE
    before = Preamble.parse(memoryview(unit.data)[: layout.PREAMBLE_SIZE], offset=unit.offset)
    tail = memoryview(unit.data)[-layout.POSTAMBLE_SIZE :]
    after = Postamble.parse(tail, offset=unit.offset + len(unit.data) - layout.POSTAMBLE_SIZE)
    pieces: list[Bytes] = [before._replace(total_length=length if before.total_length else 0).pack()]
    for each in made:
        pieces += each
        pieces.append(bytes(layout.padding_after(sum(map(len, each)))))
    pieces.append(Postamble(footers[0] if footers else end, length if after.total_length else 0).pack())
    return b"".join(pieces)


def _places(made: list[tuple[Bytes, ...]]) -> tuple[list[int], int]:
    """Return where each frame begins, and where the postamble does, from the message's start."""
    places, at = [], layout.PREAMBLE_SIZE
    for each in made:
        places.append(at)
        length = sum(map(len, each))
        at += length + layout.padding_after(length)
    return places, at


def _listed(unit: Unit, frame: FrameEnded, objects: Mapping[int, TensorFrame]) -> bytes:
    said = _map_of(unit, frame, "hash list")
    if said.get("algorithm") != ALGORITHM:
        raise EncodeError(
            f"{unit.name}: message {unit.number} lists digests by {cbor.brief(said.get('algorithm'))}, "
            f"expected {ALGORITHM}: they cannot be made for other objects"
        )
    hashes = list(said.get("hashes", ()))
    for number, found in objects.items():
        if number < len(hashes):
            hashes[number] = f"{found.digest:016x}"
    return cbor.encode({**said, "hashes": hashes})


def _control(header: FrameHeader, body: bytes) -> bytes:
    digest = body_digest((body,)) if header.has_hash else 0
    made = header._replace(total_length=layout.MIN_FRAME_SIZE + len(body))
    return made.pack() + body + FrameFooter(digest).pack()


def _map_of(unit: Unit, frame: FrameEnded, what: str) -> dict[str, Any]:
    at = frame.offset + layout.FRAME_HEADER_SIZE
    return cbor.decode_map(frame_body(unit, frame), what=what, offset=at, limits=unit.limits)
