"""A glance at a usual message tells what taking it apart would tell, and leaves all others to that."""

from __future__ import annotations

from typing import Any

import pytest

from tests import builders
from tests.operations.transforms.messages import kinds, one, place, theirs
from tgmtool import Limits, TgmError
from tgmtool.limits import DEFAULT_LIMITS
from tgmtool.operations.transforms import base
from tgmtool.operations.transforms.base import Unit
from tgmtool.operations.transforms.glance import glance

OURS = [("ours", one(2, objects=2, metadata={"run": "a"}, place=place(3))), *kinds().items()]


def told(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Any:
    """What a message says of itself when it is asked for its keys first."""
    unit = Unit(data, 7, 1000, limits=limits)
    try:
        listed = unit.keys()
        return [found.record() for found in listed], unit.is_marker, unit.place
    except TgmError as error:
        return type(error), str(error)


def told_by_taking_apart(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "glance", lambda *_, **__: None)
        return told(data, limits=limits)


def test_both_tell_the_same() -> None:
    for name, data in [*OURS, *theirs()]:
        assert repr(told(data)) == repr(told_by_taking_apart(data)), name  # a NaN is not equal to itself


def test_usual_messages_are_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_look", None)
    assert len(told(OURS[0][1])[0]) == 2


def test_both_tell_the_same_of_every_damaged_byte() -> None:
    data = one(0, place=place(0))
    for at in range(len(data)):
        damaged = builders.flip_bit(data, at, at % 8)
        assert told(damaged) == told_by_taking_apart(damaged), at


def test_what_is_not_one_whole_message_is_left_to_others() -> None:
    for data in (b"", one(0)[:-1], one(0) + one(1), bytes(200)):
        assert glance(data, number=0, offset=0, limits=DEFAULT_LIMITS) is None


@pytest.mark.parametrize("limits", [Limits(cbor_bytes=10), Limits(objects=1), Limits(ndim=0)])
def test_limits_are_kept(limits: Limits) -> None:
    data = OURS[0][1]
    assert told(data, limits=limits) == told_by_taking_apart(data, limits=limits)
    assert isinstance(told(data, limits=limits)[0], type)
