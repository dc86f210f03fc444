"""The numbers of the format, held against the format's text."""

from __future__ import annotations

from struct import Struct

import pytest

from tests.builders import frame, frame_header, postamble, preamble, tensor
from tgmtool.wire import layout


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (layout.PREAMBLE_SIZE, 24),
        (layout.FRAME_HEADER_SIZE, 16),
        (layout.FRAME_FOOTER_SIZE, 12),
        (layout.TENSOR_FOOTER_SIZE, 20),
        (layout.POSTAMBLE_SIZE, 24),
        (layout.MIN_FRAME_SIZE, 28),
        (layout.MIN_MESSAGE_SIZE, 48),
        (layout.ALIGNMENT, 8),
    ],
)
def test_sizes_are_those_of_the_text(size: int, expected: int) -> None:
    assert size == expected


@pytest.mark.parametrize(
    ("structure", "fields", "expected"),
    [
        (layout.PREAMBLE, (b"TENSOGRM", 3, 0x95, 0, 376), preamble(0x95, 376)),
        (layout.FRAME_HEADER, (b"FR", 9, 1, 3, 149), frame_header(9, 149, flags=3)),
        (layout.FRAME_FOOTER, (7, b"ENDF"), frame(1, b"", digest=7)[16:]),
        (layout.TENSOR_FOOTER, (16, 7, b"ENDF"), tensor(b"", descriptor=b"", digest=7)[16:]),
        (layout.POSTAMBLE, (352, 376, b"39277777"), postamble(352, 376)),
    ],
    ids=["preamble", "frame header", "frame footer", "tensor footer", "postamble"],
)
def test_structures_are_big_endian_and_without_gaps(
    structure: Struct, fields: tuple[int | bytes, ...], expected: bytes
) -> None:
    assert structure.pack(*fields) == expected


def test_magics_are_those_of_the_text() -> None:
    magics = (layout.MESSAGE_MAGIC, layout.FRAME_MAGIC, layout.FRAME_END, layout.END_MAGIC)
    assert magics == (b"TENSOGRM", b"FR", b"ENDF", b"39277777")


def test_preamble_flags_are_bits_0_to_7_in_the_order_of_the_text() -> None:
    assert layout.PREAMBLE_FLAG_NAMES == (
        (1, "header_metadata"),
        (2, "footer_metadata"),
        (4, "header_index"),
        (8, "footer_index"),
        (16, "header_hashes"),
        (32, "footer_hashes"),
        (64, "preceder_metadata"),
        (128, "hashes_present"),
    )


def test_frame_flags_are_bits_0_and_1() -> None:
    assert (layout.CBOR_AFTER_PAYLOAD, layout.HASH_PRESENT) == (1, 2)


def test_the_lengths_stand_where_a_patch_would_write_them() -> None:
    marked = (0x0102030405060708).to_bytes(8, "big")
    assert preamble(0, 0x0102030405060708)[layout.PREAMBLE_TOTAL_AT :][:8] == marked
    assert postamble(0, 0x0102030405060708)[layout.POSTAMBLE_TOTAL_AT :][:8] == marked


@pytest.mark.parametrize("size", range(40))
def test_padding_brings_any_size_to_a_multiple_of_8_with_at_most_7_bytes(size: int) -> None:
    padding = layout.padding_after(size)
    assert 0 <= padding <= 7
    assert (size + padding) % 8 == 0


def test_excess_padding_is_tolerated_only_while_it_is_too_small_to_have_been_a_frame() -> None:
    assert layout.MAX_EXCESS_PADDING == 24
    assert layout.MAX_EXCESS_PADDING < layout.MIN_FRAME_SIZE
