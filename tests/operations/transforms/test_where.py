"""Whole messages pass as they are, or not at all; markers always pass."""

from __future__ import annotations

import pytest

from tests.operations.transforms.messages import each_kind, end, kinds, one, place, run, theirs
from tgmtool.operations.select import Condition, where
from tgmtool.operations.transforms.where import Where


def condition(text: str) -> Condition:
    found = where([text])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("match", "text", "passes"),
    [
        ("any", "mars.step=2", True),
        ("all", "mars.step=2", False),
        ("first", "mars.step=2", False),
        ("first", "mars.step=1", True),
        ("all", "mars.step=1/2,mars.param=2t", True),
        ("any", "mars.step=7", False),
        ("any", "dtype=float32", True),
        ("any", "_objects=2", False),
    ],
)
def test_objects_decide_about_their_message(match: str, text: str, passes: bool) -> None:
    data = one(1, objects=2)
    stage = Where(condition(text), match)
    assert run(stage, data) == (data if passes else b"")
    assert stage.dropped == (not passes)


def test_markers_pass_whatever_is_asked() -> None:
    data = one(0, place=place(0)) + end(1) + kinds()["no-objects"]
    assert run(Where(condition("mars.step=9")), data) == end(1) + kinds()["no-objects"]


@each_kind()
def test_what_passes_is_not_changed(data: bytes) -> None:
    assert run(Where(condition("no.such!=key")), data) == data


def test_messages_of_the_reference_pass_unchanged() -> None:
    for name, data in theirs():
        assert run(Where(condition("no.such!=key")), data) == data, name


def test_another_word_for_match_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of any, all, first"):
        Where(condition("a=b"), "some")
