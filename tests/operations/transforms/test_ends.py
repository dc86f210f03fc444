"""Ends say what was sent after a change, if they said it rightly before."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operations.transforms.messages import end, one, place
from tgmtool.messages.stream import Place, Tally
from tgmtool.operations.transforms.base import Unit
from tgmtool.operations.transforms.ends import Ends


def tally_of(*messages: bytes) -> dict[str, Any]:
    tally = Tally()
    for message in messages:
        tally.data(message)
        tally.end()
    return tally.to_map()


def at_the_end(marker: bytes, *pairs: tuple[bytes, bytes]) -> bytes:
    """What becomes of an end after messages were changed from one thing into another."""
    ends = Ends()
    for old, new in pairs:
        assert ends.passed(Unit(old), Unit(new)).data == new
    return bytes(ends.passed(Unit(marker), Unit(marker)).data)


def stated(marker: bytes) -> dict[str, Any]:
    found = Unit(marker).place
    assert found is not None
    return dict(found.rest)


LONG, SHORT = (one(0, place=place(0), shape=shape) for shape in ((30, 30), (3, 3)))


def test_what_was_true_is_made_true_again() -> None:
    said = at_the_end(end(1, **tally_of(LONG)), (LONG, SHORT))
    assert stated(said) == tally_of(SHORT)


def test_and_back_to_the_same_bytes() -> None:
    marker = end(1, **tally_of(LONG), next="b.tgm")
    there = at_the_end(marker, (LONG, SHORT))
    assert there != marker
    assert at_the_end(there, (SHORT, LONG)) == marker


@pytest.mark.parametrize("wrong", [{"count": 2}, {"bytes": 1}, {"digest": "xxh3:" + "0" * 16}])
def test_what_was_wrong_stays_as_it_was(wrong: dict[str, Any]) -> None:
    said = stated(at_the_end(end(1, **{**tally_of(LONG), **wrong}), (LONG, SHORT)))
    assert said == {**tally_of(SHORT), **wrong}


def test_what_an_end_does_not_say_it_does_not_say_afterwards() -> None:
    assert at_the_end(end(1), (LONG, SHORT)) == end(1)
    assert stated(at_the_end(end(1, bytes=len(LONG)), (LONG, SHORT))) == {"bytes": len(SHORT)}


def test_without_a_change_an_end_stays_byte_for_byte() -> None:
    marker = end(1, **tally_of(LONG))
    assert at_the_end(marker, (LONG, LONG)) == marker


def test_every_sender_is_counted_by_itself() -> None:
    other: Place = place(0, "other")
    beside = one(5, place=other)
    marker = end(1, "other", **tally_of(beside))
    assert at_the_end(marker, (LONG, SHORT), (beside, beside)) == marker
