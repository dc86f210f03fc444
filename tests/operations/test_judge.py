"""What stands at a place: whole, damaged or cut, and what was found out on the way."""

from __future__ import annotations

import pytest

from tests.builders import first_frame, flip_bit, frames_of
from tests.operations.streams import buffered, object_ends, streaming
from tgmtool import MemorySource
from tgmtool.limits import DEFAULT_LIMITS
from tgmtool.operations.judge import Judged, judge
from tgmtool.wire.digest import body_digest

BEFORE = buffered([7])


def judged(data: bytes) -> Judged:
    return judge(MemorySource(BEFORE + data), len(BEFORE), DEFAULT_LIMITS)


def bodies(data: bytes) -> dict[int, int]:
    """The digests of tensor frames, by where they begin."""
    return {
        len(BEFORE) + one.offset: body_digest([data[one.offset + 16 : one.offset + one.length - 20]])
        for one in frames_of(data)
        if one.number == 9
    }


@pytest.mark.parametrize("data", [buffered([0, 1]), streaming([0, 1]), streaming([0, 1], backfill=True)])
def test_a_whole_message_ends_where_the_next_begins(data: bytes) -> None:
    found = judged(data + buffered([3]))
    assert found == Judged(len(BEFORE) + len(data), True, found.proven, bodies(data))
    assert found.proven == len(BEFORE) + frames_of(data)[-1].offset + frames_of(data)[-1].length


def test_a_damaged_payload_is_no_whole_message_and_its_digest_is_that_of_its_bytes() -> None:
    data = buffered([0, 1])
    place = first_frame(data, 9)
    broken = flip_bit(data, place.offset + 20)
    found = judged(broken + buffered([3]))
    assert (found.end, found.is_whole) == (len(BEFORE) + len(data), False)
    assert found.proven < len(BEFORE) + place.offset + place.length
    assert found.digests == bodies(broken)


@pytest.mark.parametrize("layout", [buffered, streaming])
def test_a_cut_message_has_no_end_and_its_whole_objects_are_proven(layout: object) -> None:
    data = (buffered if layout is buffered else streaming)([0, 1])
    end = object_ends(data)[0]
    found = judged(data[: end + 40])
    assert (found.end, found.is_whole) == (None, False)
    assert found.proven == len(BEFORE) + end
    assert len(found.digests) == 1


def test_foreign_bytes_end_where_a_message_begins() -> None:
    found = judged(b"garbage in between" + buffered([3]))
    assert (found.end, found.is_whole) == (len(BEFORE) + 18, False)
    assert found.digests == {}
