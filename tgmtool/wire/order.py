"""Which frame may follow which: one pure step.

It is separate so that the decoder, the encoder and a salvage plan use the same rule.
Within a phase any order is accepted (the reference writes 7, 5, 6); phases may not go back,
and a preceder must be followed by the object that it describes (§5).
"""

from __future__ import annotations

from itertools import product

from ..errors import FramingError
from . import frametypes


def check_step(previous: int | None, following: int | None, *, offset: int) -> None:
    """Check that frame type `following` may come after `previous`.

    Args:
        previous: Type of the frame before, or None at the start of the message.
        following: Type of the next frame, or None for the postamble.
        offset: Where `following` stands, for the error (bytes from the start of the source).

    Raises:
        FramingError: If the order is not allowed.
    """
    if (previous, following) in _ALLOWED:
        return
    if previous == frametypes.PRECEDER and following != frametypes.TENSOR:
        found = "the end of the message" if following is None else frametypes.BY_NUMBER[following].name
        raise FramingError(
            f"a preceder must be followed by its object, found {found}",
            offset=offset,
            section="5",
            code="dangling_preceder" if following is None else "preceder_not_followed_by_object",
        )
    assert previous is not None
    assert following is not None
    before, after = frametypes.BY_NUMBER[previous], frametypes.BY_NUMBER[following]
    raise FramingError(
        f"a {after.name} frame belongs in the {frametypes.PHASE_NAMES[after.phase]}, "
        f"found after a {before.name} frame",
        offset=offset,
        section="5",
        code="frame_order_violation",
    )


def _may_follow(previous: int | None, following: int | None) -> bool:
    if previous == frametypes.PRECEDER:
        return following == frametypes.TENSOR
    if previous is None or following is None:
        return True
    return frametypes.BY_NUMBER[previous].phase <= frametypes.BY_NUMBER[following].phase


_PLACES = (None, *frametypes.BY_NUMBER)  # the start or the end of the message, and every frame
_ALLOWED = frozenset(step for step in product(_PLACES, _PLACES) if _may_follow(*step))
"""THE table of steps."""
