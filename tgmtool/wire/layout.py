"""Every magic, size, struct format and flag bit of the wire format, once.

It is separate so that a number can be checked against the format's text in one place.
All integers are big-endian. Source: Tensogram wire format v3, §2, §3, §7.
"""

from __future__ import annotations

from struct import Struct

VERSION = 3

MESSAGE_MAGIC = b"TENSOGRM"
END_MAGIC = b"39277777"
FRAME_MAGIC = b"FR"
FRAME_END = b"ENDF"

PREAMBLE = Struct(">8sHHIQ")  # magic, version, flags, reserved, total_length
FRAME_HEADER = Struct(">2sHHHQ")  # magic, type, version, flags, total_length
FRAME_FOOTER = Struct(">Q4s")  # hash, ENDF
TENSOR_FOOTER = Struct(">QQ4s")  # cbor_offset, hash, ENDF
POSTAMBLE = Struct(">QQ8s")  # first_footer_offset, total_length, end magic

PREAMBLE_SIZE = PREAMBLE.size
FRAME_HEADER_SIZE = FRAME_HEADER.size
FRAME_FOOTER_SIZE = FRAME_FOOTER.size
TENSOR_FOOTER_SIZE = TENSOR_FOOTER.size
POSTAMBLE_SIZE = POSTAMBLE.size

PREAMBLE_TOTAL_AT = 16  # total_length, bytes from the start of the preamble
POSTAMBLE_TOTAL_AT = 8  # total_length, bytes from the start of the postamble

ALIGNMENT = 8
MIN_FRAME_SIZE = FRAME_HEADER_SIZE + FRAME_FOOTER_SIZE
MIN_MESSAGE_SIZE = PREAMBLE_SIZE + POSTAMBLE_SIZE
MAX_LENGTH = (1 << 63) - 1  # a length beyond this cannot be a file offset anywhere
# Zeros beyond the 0-7 alignment bytes are tolerated while they are too few to have been a frame.
MAX_EXCESS_PADDING = MIN_FRAME_SIZE // ALIGNMENT * ALIGNMENT

# Preamble flags, §3.1.
HEADER_METADATA = 1 << 0
FOOTER_METADATA = 1 << 1
HEADER_INDEX = 1 << 2
FOOTER_INDEX = 1 << 3
HEADER_HASHES = 1 << 4
FOOTER_HASHES = 1 << 5
PRECEDER_METADATA = 1 << 6
HASHES_PRESENT = 1 << 7

# Frame flags, §2.5.
CBOR_AFTER_PAYLOAD = 1 << 0
HASH_PRESENT = 1 << 1

FRAME_VERSION = 1

PREAMBLE_FLAG_NAMES = (
    (HEADER_METADATA, "header_metadata"),
    (FOOTER_METADATA, "footer_metadata"),
    (HEADER_INDEX, "header_index"),
    (FOOTER_INDEX, "footer_index"),
    (HEADER_HASHES, "header_hashes"),
    (FOOTER_HASHES, "footer_hashes"),
    (PRECEDER_METADATA, "preceder_metadata"),
    (HASHES_PRESENT, "hashes_present"),
)


def padding_after(size: int) -> int:
    """Return how many padding bytes (0-7) bring `size` to a multiple of 8 (§2.3)."""
    return -size % ALIGNMENT
