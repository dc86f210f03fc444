"""Which frame may follow which, every pair of them."""

from __future__ import annotations

import pytest

from tgmtool.errors import FramingError
from tgmtool.wire.order import check_step

HEADER, BODY, FOOTER = {1, 2, 3}, {8, 9}, {5, 6, 7}
EVERY = HEADER | BODY | FOOTER
THE_END = None

MAY_FOLLOW: dict[int | None, set[int | None]] = {
    None: {*EVERY, THE_END},
    **{number: {*EVERY, THE_END} for number in HEADER},
    8: {9},
    9: {*BODY, *FOOTER, THE_END},
    **{number: {*FOOTER, THE_END} for number in FOOTER},
}
STEPS = [(before, after) for before in MAY_FOLLOW for after in (*sorted(EVERY), THE_END)]


@pytest.mark.parametrize(("before", "after"), [step for step in STEPS if step[1] in MAY_FOLLOW[step[0]]])
def test_a_step_that_the_phases_allow_is_allowed(before: int | None, after: int | None) -> None:
    check_step(before, after, offset=0)


@pytest.mark.parametrize(("before", "after"), [step for step in STEPS if step[1] not in MAY_FOLLOW[step[0]]])
def test_any_other_step_is_refused_where_the_later_frame_stands(
    before: int | None, after: int | None
) -> None:
    with pytest.raises(FramingError) as caught:
        check_step(before, after, offset=400)
    assert caught.value.offset == 400
    assert caught.value.section == "5"
    if before == 8:
        wrong = "dangling_preceder" if after is None else "preceder_not_followed_by_object"
    else:
        wrong = "frame_order_violation"
    assert caught.value.code == wrong


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        (9, 1, ("header_metadata", "ntensor")),
        (5, 9, ("ntensor", "footer_hash")),
        (8, 7, ("footer_metadata",)),
    ],
)
def test_a_refusal_names_what_was_found(before: int, after: int, names: tuple[str, ...]) -> None:
    with pytest.raises(FramingError) as caught:
        check_step(before, after, offset=0)
    assert all(name in str(caught.value) for name in names)
