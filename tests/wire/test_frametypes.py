"""The table of frame types, held against the format's text."""

from __future__ import annotations

import pytest

from tests import builders
from tgmtool.wire import frametypes
from tgmtool.wire.frametypes import BODY, BY_NUMBER, FOOTER, HEADER


@pytest.mark.parametrize(
    ("number", "name", "phase"),
    [
        (1, "header_metadata", HEADER),
        (2, "header_index", HEADER),
        (3, "header_hash", HEADER),
        (5, "footer_hash", FOOTER),
        (6, "footer_index", FOOTER),
        (7, "footer_metadata", FOOTER),
        (8, "preceder_metadata", BODY),
        (9, "ntensor", BODY),
    ],
)
def test_a_type_has_its_name_and_phase(number: int, name: str, phase: int) -> None:
    assert BY_NUMBER[number].name == name
    assert BY_NUMBER[number].phase == phase


@pytest.mark.parametrize("number", [0, 4, 10, 11, 255, 65535])
def test_types_that_the_text_does_not_define_do_not_exist(number: int) -> None:
    assert number not in BY_NUMBER


def test_every_row_is_found_by_its_number() -> None:
    assert [BY_NUMBER[row.number] for row in frametypes.FRAME_TYPES] == list(frametypes.FRAME_TYPES)
    assert len(BY_NUMBER) == len(frametypes.FRAME_TYPES) == 8


def test_only_tensor_frames_hold_an_object_and_have_the_longer_footer() -> None:
    assert [row.number for row in frametypes.FRAME_TYPES if row.is_object] == [9]
    assert {row.number: row.footer_size for row in frametypes.FRAME_TYPES if row.footer_size != 12} == {9: 20}


def test_every_frame_but_the_tensor_is_announced_by_its_own_preamble_flag() -> None:
    announced = {row.number: row.preamble_flag for row in frametypes.FRAME_TYPES if row.preamble_flag}
    assert announced == builders.FLAG_OF


def test_a_message_may_have_its_metadata_in_the_header_or_in_the_footer() -> None:
    assert {1, 7} == frametypes.METADATA_TYPES
