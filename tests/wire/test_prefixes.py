"""Could these bytes grow into something valid?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import frame_header, postamble, preamble
from tests.wire.strategies import hypothesis_settings
from tgmtool.wire.prefixes import (
    boundary_may_follow,
    frame_end_may_follow,
    frame_header_may_follow,
    postamble_may_follow,
    preamble_may_follow,
)

SPAN = 0x160


def postamble_at_span(head: bytes) -> bool:
    return postamble_may_follow(head, span=SPAN)


def boundary_with_padding(head: bytes) -> bool:
    return boundary_may_follow(head, span=SPAN - 5, padding=5)


VALID = [
    ("streaming preamble", preamble_may_follow, preamble(0xAB)),
    ("sized preamble", preamble_may_follow, preamble(0x95, 376)),
    ("largest preamble", preamble_may_follow, preamble(0xFFFF, (1 << 63) - 1)),
    *((f"frame type {n}", frame_header_may_follow, frame_header(n, 99)) for n in (1, 2, 3, 5, 6, 7, 8, 9)),
    ("largest frame", frame_header_may_follow, frame_header(9, (1 << 63) - 1)),
    ("open postamble", postamble_at_span, postamble(24)),
    ("postamble of no footers", postamble_at_span, postamble(SPAN)),
    ("filled postamble", postamble_at_span, postamble(24, SPAN + 24)),
    ("frame after padding", boundary_with_padding, bytes(5) + frame_header(9, 99)),
    ("frame without padding", boundary_with_padding, frame_header(9, 99)),
    ("frame after odd padding", boundary_with_padding, b"paddi" + frame_header(9, 99)),
    ("postamble after padding", boundary_with_padding, bytes(5) + postamble(SPAN, SPAN + 24)),
    ("postamble without padding", boundary_with_padding, postamble(SPAN - 5, SPAN + 19)),
    ("too much padding", boundary_with_padding, bytes(5 + 24)),
]


@pytest.mark.parametrize(("may_follow", "whole"), [row[1:] for row in VALID], ids=[row[0] for row in VALID])
def test_every_prefix_of_something_valid_may_grow_into_it(
    may_follow: Callable[[bytes], bool], whole: bytes
) -> None:
    assert [size for size in range(len(whole) + 1) if not may_follow(whole[:size])] == []


INVALID = [
    ("no magic", preamble_may_follow, b"TENSOGRX"),
    ("one wrong byte", preamble_may_follow, b"X"),
    ("version 4", preamble_may_follow, preamble(0, version=4)[:10]),
    ("version 256 and more", preamble_may_follow, b"TENSOGRM\x01"),
    ("length of 2^63", preamble_may_follow, preamble(0, 1 << 63)[:17]),
    ("no frame", frame_header_may_follow, b"FX"),
    ("type 0", frame_header_may_follow, frame_header(0, 99)[:4]),
    ("type 4", frame_header_may_follow, frame_header(4, 99)[:4]),
    ("type 10", frame_header_may_follow, frame_header(10, 99)[:4]),
    ("type 256 and more", frame_header_may_follow, b"FR\x01"),
    ("frame length of 2^63", frame_header_may_follow, frame_header(9, 1 << 63)[:9]),
    ("footer beyond the postamble", postamble_at_span, postamble(SPAN + 1)[:8]),
    ("footer far beyond", postamble_at_span, b"\x01"),
    ("another length", postamble_at_span, postamble(24, SPAN + 23)[:16]),
    ("no end magic", postamble_at_span, postamble(24, magic=b"39277778")),
    ("neither frame nor postamble", boundary_with_padding, bytes(5) + b"XY"),
]


@pytest.mark.parametrize(
    ("may_follow", "head"), [row[1:] for row in INVALID], ids=[row[0] for row in INVALID]
)
def test_what_cannot_grow_into_anything_valid_is_told_by_its_last_byte(
    may_follow: Callable[[bytes], bool], head: bytes
) -> None:
    assert not may_follow(head)


@pytest.mark.parametrize(
    ("tail", "footer_size", "expected"),
    [
        (b"", 12, True),
        (bytes(8), 12, True),
        (bytes(8) + b"EN", 12, True),
        (bytes(8) + b"ENDF", 12, True),
        (bytes(8) + b"EX", 12, False),
        (bytes(12), 12, False),
        (bytes(15), 20, True),
        (bytes(16) + b"END", 20, True),
        (bytes(16) + b"F", 20, False),
    ],
)
def test_a_footer_may_still_end_in_endf_until_its_last_four_bytes_say_otherwise(
    tail: bytes, footer_size: int, expected: bool
) -> None:
    assert frame_end_may_follow(tail, footer_size) is expected


@given(st.sampled_from([row[1:] for row in VALID]), st.integers(0, 40), st.binary(min_size=1, max_size=12))
@hypothesis_settings(300)
def test_what_cannot_be_mended_is_not_mended_by_more_bytes(
    row: tuple[Callable[[bytes], bool], bytes], at: int, noise: bytes
) -> None:
    may_follow, whole = row
    head = whole[:at] + noise
    answers = [may_follow(head[:size]) for size in range(len(head) + 1)]
    assert answers == sorted(answers, reverse=True)
