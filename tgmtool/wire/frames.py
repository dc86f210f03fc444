"""The four fixed structures: preamble, frame header, frame footer, postamble.

Reading and writing of one structure are neighbours, so that they cannot drift apart.
Each parse checks its own fields and nothing else; how structures follow one another is
the decoder's and `order.py`'s business.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import FramingError
from . import layout
from .frametypes import BY_NUMBER, FrameType

Bytes = bytes | bytearray | memoryview


class Preamble(NamedTuple):
    """The first 24 bytes of a message (§3).

    Attributes:
        flags: Bits of `layout.PREAMBLE_FLAG_NAMES`; advisory, never trusted over the frames.
        total_length: Bytes of the whole message; 0 while a streaming producer does not know it.
        reserved: Should be 0.
    """

    flags: int
    total_length: int = 0
    reserved: int = 0

    @property
    def is_streaming(self) -> bool:
        """The producer did not know the length (and nobody filled it in since)."""
        return self.total_length == 0

    def pack(self) -> bytes:
        """Return the 24 bytes."""
        return layout.PREAMBLE.pack(
            layout.MESSAGE_MAGIC, layout.VERSION, self.flags, self.reserved, self.total_length
        )

    @classmethod
    def parse(cls, data: Bytes, *, offset: int) -> Preamble:
        """Parse a preamble that stands at `offset` (bytes from the start of the source).

        Raises:
            FramingError: Wrong magic, another version, or an impossible length.
        """
        magic, version, flags, reserved, total = layout.PREAMBLE.unpack_from(data)
        if magic != layout.MESSAGE_MAGIC:
            raise FramingError(
                f"expected the message magic TENSOGRM, found {bytes(data[:8])!r}",
                offset=offset,
                section="3",
                code="invalid_magic",
            )
        if version != layout.VERSION:
            raise FramingError(
                f"message version {version} is not supported, expected {layout.VERSION}",
                offset=offset + 8,
                section="3",
                code="unsupported_version",
            )
        if total and not layout.MIN_MESSAGE_SIZE <= total <= layout.MAX_LENGTH:
            raise FramingError(
                f"total_length {total} is impossible, expected 0 or {layout.MIN_MESSAGE_SIZE} to 2^63-1",
                offset=offset + layout.PREAMBLE_TOTAL_AT,
                section="3.2",
                code="total_length_too_small" if total < layout.MIN_MESSAGE_SIZE else "total_length_overflow",
            )
        return cls(flags, total, reserved)


class FrameHeader(NamedTuple):
    """The 16 bytes that begin a frame (§2.1).

    Attributes:
        type: Frame type number, one of `frametypes.FRAME_TYPES`.
        flags: Bits `layout.CBOR_AFTER_PAYLOAD` (tensor frames) and `layout.HASH_PRESENT`.
        total_length: Bytes from `FR` through `ENDF`, without padding.
        version: 1; another value is remarkable but readable.
    """

    type: int
    flags: int
    total_length: int
    version: int = layout.FRAME_VERSION

    @property
    def row(self) -> FrameType:
        """The type's row in THE table."""
        return BY_NUMBER[self.type]

    @property
    def has_hash(self) -> bool:
        """The hash slot holds a digest; otherwise it means nothing and must not be looked at."""
        return bool(self.flags & layout.HASH_PRESENT)

    @property
    def body_size(self) -> int:
        """Bytes between header and footer."""
        return self.total_length - layout.FRAME_HEADER_SIZE - BY_NUMBER[self.type].footer_size

    def pack(self) -> bytes:
        """Return the 16 bytes."""
        return layout.FRAME_HEADER.pack(
            layout.FRAME_MAGIC, self.type, self.version, self.flags, self.total_length
        )

    @classmethod
    def parse(cls, data: Bytes, *, offset: int) -> FrameHeader:
        """Parse a frame header that stands at `offset` (bytes from the start of the source).

        Raises:
            FramingError: Wrong magic, a type that does not exist, or an impossible length.
        """
        magic, number, version, flags, length = layout.FRAME_HEADER.unpack_from(data)
        if magic != layout.FRAME_MAGIC:
            raise FramingError(
                f"expected a frame (FR), found {magic!r}",
                offset=offset,
                section="2.1",
                code="invalid_frame_header",
            )
        row = BY_NUMBER.get(number)
        if row is None:
            known = ", ".join(map(str, sorted(BY_NUMBER)))
            raise FramingError(
                f"frame type {number} does not exist in version 3, expected one of {known}",
                offset=offset + 2,
                section="4",
                code="invalid_frame_header",
            )
        smallest = layout.FRAME_HEADER_SIZE + row.footer_size
        if length < smallest:
            raise FramingError(
                f"frame length {length} is below the minimum of {smallest} for {row.name}",
                offset=offset + 8,
                section="2.1",
                code="frame_too_small",
            )
        if length > layout.MAX_LENGTH - offset:
            raise FramingError(
                f"frame length {length} is beyond any file, expected less than 2^63",
                offset=offset + 8,
                section="2.1",
                code="frame_length_overflow",
            )
        return cls(number, flags, length, version)


class FrameFooter(NamedTuple):
    """The bytes that end a frame (§2.2).

    Attributes:
        digest: The hash slot; it means something only if the header says so.
        cbor_offset: Where the descriptor begins, bytes from the first byte of the frame; None
            when the frame is not a tensor frame.
    """

    digest: int
    cbor_offset: int | None = None

    def pack(self) -> bytes:
        """Return the 12 or, with a cbor_offset, 20 bytes."""
        if self.cbor_offset is None:
            return layout.FRAME_FOOTER.pack(self.digest, layout.FRAME_END)
        return layout.TENSOR_FOOTER.pack(self.cbor_offset, self.digest, layout.FRAME_END)

    @classmethod
    def parse(cls, data: Bytes, header: FrameHeader, *, offset: int) -> FrameFooter:
        """Parse the footer of the frame whose header is `header`.

        Args:
            data: Exactly the footer's bytes.
            header: The frame's header.
            offset: Where the frame begins (bytes from the start of the source).

        Raises:
            FramingError: No ENDF, or a cbor_offset outside the body.
        """
        cbor_offset: int | None = None
        if header.row.is_object:
            cbor_offset, digest, end = layout.TENSOR_FOOTER.unpack(data)
        else:
            digest, end = layout.FRAME_FOOTER.unpack(data)
        frame_end = offset + header.total_length
        if end != layout.FRAME_END:
            raise FramingError(
                f"expected ENDF at the end of the {header.row.name} frame that begins at {offset}, "
                f"found {end!r}",
                offset=frame_end - 4,
                section="2.2",
                code="missing_end_marker",
            )
        if cbor_offset is not None:
            last = header.total_length - layout.TENSOR_FOOTER_SIZE
            if not layout.FRAME_HEADER_SIZE <= cbor_offset <= last:
                raise FramingError(
                    f"cbor_offset {cbor_offset} is outside the frame's body, "
                    f"expected {layout.FRAME_HEADER_SIZE} to {last}",
                    offset=frame_end - layout.TENSOR_FOOTER_SIZE,
                    section="6.5",
                    code="cbor_offset_invalid",
                )
        return cls(digest, cbor_offset)


class Postamble(NamedTuple):
    """The last 24 bytes of a message (§7).

    Attributes:
        first_footer_offset: Where the first footer frame begins, or this postamble if there is
            none; bytes from the start of the message.
        total_length: The preamble's length mirrored, or 0.
    """

    first_footer_offset: int
    total_length: int = 0

    def pack(self) -> bytes:
        """Return the 24 bytes."""
        return layout.POSTAMBLE.pack(self.first_footer_offset, self.total_length, layout.END_MAGIC)

    @classmethod
    def parse(cls, data: Bytes, *, offset: int) -> Postamble:
        """Parse a postamble that stands at `offset` (bytes from the start of the source).

        Raises:
            FramingError: No end magic.
        """
        first_footer, total, magic = layout.POSTAMBLE.unpack_from(data)
        if magic != layout.END_MAGIC:
            raise FramingError(
                f"expected the end magic 39277777, found {magic!r}",
                offset=offset + 16,
                section="7",
                code="postamble_invalid",
            )
        return cls(first_footer, total)
