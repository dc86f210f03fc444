"""Turn frames into bytes, without doing any I/O.

The mirror of `decoder.py`: it knows where every frame of the message stands and refuses what
`order.py` refuses, so that nothing unreadable can be written. Buffered and streaming messages
differ only in whether the length is known at the start.
"""

from __future__ import annotations

from functools import lru_cache

from . import frametypes, layout
from .digest import body_digest, digest_functions
from .frames import Postamble, Preamble
from .order import check_step

Bytes = bytes | bytearray | memoryview

SMALL = 16 << 10  # bytes of a frame whose digest is computed in one call
_REPEATED = frozenset({frametypes.HEADER_INDEX, frametypes.PRECEDER})  # may be the same in each message
_SHORT = 4096  # bytes of a body that is remembered
_PADDING = tuple(bytes(size) for size in range(layout.ALIGNMENT))

_tensor_header, _tensor_footer = layout.FRAME_HEADER.pack, layout.TENSOR_FOOTER.pack


def control_frame_size(body_size: int) -> int:
    """Return the bytes that a CBOR frame takes with its padding, when it begins aligned."""
    size = layout.MIN_FRAME_SIZE + body_size
    return size + layout.padding_after(size)


def tensor_frame_length(payload_size: int, descriptor_size: int) -> int:
    """Return the `total_length` of a tensor frame (without its padding)."""
    return layout.FRAME_HEADER_SIZE + payload_size + descriptor_size + layout.TENSOR_FOOTER_SIZE


def _control(number: int, body: bytes, hashing: bool) -> bytes:
    length = layout.MIN_FRAME_SIZE + len(body)
    digest, flags = 0, 0
    if hashing:
        flags = layout.HASH_PRESENT
        digest = digest_functions()[0](body) if length <= SMALL else body_digest((body,))
    header = layout.FRAME_HEADER.pack(layout.FRAME_MAGIC, number, layout.FRAME_VERSION, flags, length)
    footer = layout.FRAME_FOOTER.pack(digest, layout.FRAME_END)
    return b"".join((header, body, footer, _PADDING[layout.padding_after(length)]))


_again = lru_cache(64)(_control)  # the same preceder, the same index, message after message


class Encoder:
    """The sans-IO writer of one message.

    Args:
        flags: Preamble flags; HASHES_PRESENT decides whether frames carry digests.
        total_length: The length of the whole message, or 0 for a streaming message.

    Attributes:
        position: Bytes of the message so far.
        offsets: Where each tensor frame begins, bytes from the start of the message.
        lengths: `total_length` of each tensor frame.
        digests: Digest of each tensor frame; empty without hashing.

    Source: Tensogram wire format v3, §1-§7.
    """

    def __init__(self, flags: int, total_length: int = 0) -> None:
        self.hashing = bool(flags & layout.HASHES_PRESENT)
        self.position = 0
        self.offsets: list[int] = []
        self.lengths: list[int] = []
        self.digests: list[int] = []
        self._tensor_flags = layout.CBOR_AFTER_PAYLOAD | (layout.HASH_PRESENT if self.hashing else 0)
        self._preamble = Preamble(flags, total_length)
        self._previous: int | None = None
        self._first_footer: int | None = None

    def begin(self) -> bytes:
        """Return the preamble."""
        self.position = layout.PREAMBLE_SIZE
        return self._preamble.pack()

    def resume(self, position: int, offsets: list[int], lengths: list[int], digests: list[int]) -> int:
        """Go on with a message whose last tensor frame ends `position` bytes after its start.

        Returns:
            The padding that has to be written before the next frame.
        """
        padding = layout.padding_after(position)
        self.position = position + padding
        self.offsets, self.lengths, self.digests = offsets, lengths, digests
        self._previous = frametypes.TENSOR
        return padding

    def control(self, number: int, body: bytes) -> bytes:
        """Return a whole frame of type `number` whose body is the CBOR `body`, with its padding."""
        self._step(number)
        if self._first_footer is None and frametypes.BY_NUMBER[number].phase == frametypes.FOOTER:
            self._first_footer = self.position
        made = (_again if number in _REPEATED and len(body) <= _SHORT else _control)(
            number, body, self.hashing
        )
        self.position += len(made)
        return made

    def tensor(self, payload: Bytes, descriptor: bytes) -> bytes:
        """Return a whole tensor frame, with its padding: of a small payload, which is copied."""
        self._step(frametypes.TENSOR)
        body = b"".join((payload, descriptor))
        digest = 0
        if self.hashing:
            digest = digest_functions()[0](body)
            self.digests.append(digest)
        length = layout.FRAME_HEADER_SIZE + len(body) + layout.TENSOR_FOOTER_SIZE
        cbor_offset = layout.FRAME_HEADER_SIZE + len(payload)
        header = _tensor_header(
            layout.FRAME_MAGIC, frametypes.TENSOR, layout.FRAME_VERSION, self._tensor_flags, length
        )
        footer = _tensor_footer(cbor_offset, digest, layout.FRAME_END)
        made = b"".join((header, body, footer, _PADDING[-length % layout.ALIGNMENT]))
        self.offsets.append(self.position)
        self.lengths.append(length)
        self.position += len(made)
        return made

    def tensor_head(self, payload_size: int, descriptor_size: int) -> bytes:
        """Return what stands before the payload of a tensor frame, whose descriptor comes after it.

        The payload (with its masks) follows, then what `tensor_tail` returns.
        """
        self._step(frametypes.TENSOR)
        length = tensor_frame_length(payload_size, descriptor_size)
        self.offsets.append(self.position)
        self.lengths.append(length)
        return layout.FRAME_HEADER.pack(
            layout.FRAME_MAGIC, frametypes.TENSOR, layout.FRAME_VERSION, self._tensor_flags, length
        )

    def tensor_tail(self, descriptor: bytes, digest: int) -> bytes:
        """Return what stands after the payload: descriptor, footer, padding.

        Args:
            descriptor: CBOR, of the size that was announced.
            digest: xxh3-64 over payload and descriptor; ignored without hashing.
        """
        length = self.lengths[-1]
        cbor_offset = length - layout.TENSOR_FOOTER_SIZE - len(descriptor)
        if self.hashing:
            self.digests.append(digest)
        padding = layout.padding_after(length)
        self.position += length + padding
        footer = layout.TENSOR_FOOTER.pack(cbor_offset, digest if self.hashing else 0, layout.FRAME_END)
        return descriptor + footer + _PADDING[padding]

    def repeat(self, count: int, digests: list[int]) -> None:
        """Take note of `count` more tensor frames, as long as the last one; they were made elsewhere."""
        length = self.lengths[-1]
        step = length + layout.padding_after(length)
        self.offsets += range(self.position, self.position + count * step, step)
        self.lengths += [length] * count
        self.digests += digests
        self.position += count * step

    def end(self) -> bytes:
        """Return the postamble."""
        check_step(self._previous, None, offset=self.position)
        first_footer = self.position if self._first_footer is None else self._first_footer
        self.position += layout.POSTAMBLE_SIZE
        total = self._preamble.total_length
        if total and total != self.position:
            raise AssertionError(f"planned {total} bytes, wrote {self.position}")
        return Postamble(first_footer, total).pack()

    def _step(self, number: int) -> None:
        check_step(self._previous, number, offset=self.position)
        self._previous = number
