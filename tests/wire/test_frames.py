"""The four fixed structures: what is written is what is read, and what is wrong is said where it stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.builders import frame, frame_header, postamble, preamble, tensor
from tgmtool.errors import FramingError
from tgmtool.wire.frames import FrameFooter, FrameHeader, Postamble, Preamble

CONTROL = FrameHeader(1, 2, 100)
TENSOR = FrameHeader(9, 3, 100)
LARGEST = (1 << 63) - 1


def parse_footer_of(header: FrameHeader) -> Callable[..., FrameFooter]:
    def parse(data: bytes | memoryview, *, offset: int) -> FrameFooter:
        return FrameFooter.parse(data, header, offset=offset)

    return parse


ROUND_TRIPS = [
    ("streaming preamble", Preamble(0xAB), preamble(0xAB), Preamble.parse),
    ("sized preamble", Preamble(0x95, 376), preamble(0x95, 376), Preamble.parse),
    ("largest preamble", Preamble(0, LARGEST), preamble(0, LARGEST), Preamble.parse),
    ("smallest preamble", Preamble(0, 48), preamble(0, 48), Preamble.parse),
    ("reserved bits", Preamble(0xFF00, 0, 9), preamble(0xFF00, reserved=9), Preamble.parse),
    ("control header", FrameHeader(1, 2, 28), frame_header(1, 28), FrameHeader.parse),
    ("tensor header", FrameHeader(9, 3, 36), frame_header(9, 36, flags=3), FrameHeader.parse),
    ("frame version 7", FrameHeader(8, 0, 99, 7), frame_header(8, 99, flags=0, version=7), FrameHeader.parse),
    (
        "largest header",
        FrameHeader(9, 3, LARGEST - 1000),
        frame_header(9, LARGEST - 1000, flags=3),
        FrameHeader.parse,
    ),
    ("control footer", FrameFooter(7), frame(1, digest=7)[-12:], parse_footer_of(CONTROL)),
    ("zero digest", FrameFooter(0), frame(1, digest=0)[-12:], parse_footer_of(CONTROL)),
    ("tensor footer", FrameFooter(7, 16), tensor(cbor_offset=16, digest=7)[-20:], parse_footer_of(TENSOR)),
    ("no descriptor", FrameFooter(7, 80), tensor(cbor_offset=80, digest=7)[-20:], parse_footer_of(TENSOR)),
    ("postamble", Postamble(352, 376), postamble(352, 376), Postamble.parse),
    ("open postamble", Postamble(352), postamble(352), Postamble.parse),
]
round_trips = pytest.mark.parametrize(
    ("value", "data", "parse"), [row[1:] for row in ROUND_TRIPS], ids=[row[0] for row in ROUND_TRIPS]
)


@round_trips
def test_a_structure_is_written_as_the_format_says(
    value: Any, data: bytes, parse: Callable[..., Any]
) -> None:
    assert value.pack() == data


@round_trips
def test_a_structure_is_read_as_it_was_written(value: Any, data: bytes, parse: Callable[..., Any]) -> None:
    assert parse(data, offset=1000) == value
    assert parse(memoryview(data), offset=1000) == value


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        (Preamble.parse, preamble(1, 376)),
        (FrameHeader.parse, frame_header(9, 149)),
        (Postamble.parse, postamble(352, 376)),
    ],
)
def test_bytes_after_a_structure_are_not_looked_at(parse: Callable[..., Any], data: bytes) -> None:
    assert parse(data + b"after", offset=0) == parse(data, offset=0)


AT = 1000
FAULTS = [
    ("no message", Preamble.parse, preamble(0, magic=b"TENSOGRN"), "invalid_magic", AT, "3"),
    ("version 2", Preamble.parse, preamble(0, version=2), "unsupported_version", AT + 8, "3"),
    ("version 4", Preamble.parse, preamble(0, version=4), "unsupported_version", AT + 8, "3"),
    ("length 1", Preamble.parse, preamble(0, 1), "total_length_too_small", AT + 16, "3.2"),
    ("length 47", Preamble.parse, preamble(0, 47), "total_length_too_small", AT + 16, "3.2"),
    ("length 2^63", Preamble.parse, preamble(0, 1 << 63), "total_length_overflow", AT + 16, "3.2"),
    ("no frame", FrameHeader.parse, frame_header(1, 28, magic=b"RF"), "invalid_frame_header", AT, "2.1"),
    ("type 0", FrameHeader.parse, frame_header(0, 100), "invalid_frame_header", AT + 2, "4"),
    ("type 4", FrameHeader.parse, frame_header(4, 100), "invalid_frame_header", AT + 2, "4"),
    ("type 10", FrameHeader.parse, frame_header(10, 100), "invalid_frame_header", AT + 2, "4"),
    ("type 65535", FrameHeader.parse, frame_header(65535, 100), "invalid_frame_header", AT + 2, "4"),
    ("control length 0", FrameHeader.parse, frame_header(1, 0), "frame_too_small", AT + 8, "2.1"),
    ("control length 27", FrameHeader.parse, frame_header(1, 27), "frame_too_small", AT + 8, "2.1"),
    ("tensor length 35", FrameHeader.parse, frame_header(9, 35), "frame_too_small", AT + 8, "2.1"),
    (
        "frame length 2^63",
        FrameHeader.parse,
        frame_header(9, 1 << 63),
        "frame_length_overflow",
        AT + 8,
        "2.1",
    ),
    (
        "frame beyond 2^63",
        FrameHeader.parse,
        frame_header(9, LARGEST - 999),
        "frame_length_overflow",
        AT + 8,
        "2.1",
    ),
    ("no ENDF", parse_footer_of(CONTROL), frame(1, end=b"ENDG")[-12:], "missing_end_marker", AT + 96, "2.2"),
    (
        "tensor without ENDF",
        parse_footer_of(TENSOR),
        tensor(end=b"ENDX")[-20:],
        "missing_end_marker",
        AT + 96,
        "2.2",
    ),
    (
        "descriptor in header",
        parse_footer_of(TENSOR),
        tensor(cbor_offset=15)[-20:],
        "cbor_offset_invalid",
        AT + 80,
        "6.5",
    ),
    (
        "descriptor in footer",
        parse_footer_of(TENSOR),
        tensor(cbor_offset=81)[-20:],
        "cbor_offset_invalid",
        AT + 80,
        "6.5",
    ),
    ("no end magic", Postamble.parse, postamble(0, magic=b"39277778"), "postamble_invalid", AT + 16, "7"),
]


@pytest.mark.parametrize(
    ("parse", "data", "code", "offset", "section"),
    [row[1:] for row in FAULTS],
    ids=[row[0] for row in FAULTS],
)
def test_a_fault_names_its_place_and_its_section(
    parse: Callable[..., Any], data: bytes, code: str, offset: int, section: str
) -> None:
    with pytest.raises(FramingError) as caught:
        parse(data, offset=AT)
    assert (caught.value.code, caught.value.offset, caught.value.section) == (code, offset, section)
    assert str(caught.value).startswith(f"byte {offset}: ")
    assert str(caught.value).endswith(f"(format §{section})")


def test_a_preamble_without_a_length_is_a_streaming_one() -> None:
    assert Preamble(0).is_streaming
    assert not Preamble(0, 48).is_streaming


@pytest.mark.parametrize(
    ("flags", "has_hash"), [(0, False), (1, False), (2, True), (3, True), (0xFFFF, True)]
)
def test_bit_1_of_the_frame_flags_says_that_the_hash_slot_is_filled(flags: int, has_hash: bool) -> None:
    assert FrameHeader(9, flags, 100).has_hash is has_hash


@pytest.mark.parametrize(("number", "smallest"), [(1, 28), (9, 36)])
def test_the_body_is_what_stands_between_header_and_footer(number: int, smallest: int) -> None:
    assert FrameHeader(number, 0, smallest).body_size == 0
    assert FrameHeader(number, 0, smallest + 5).body_size == 5
