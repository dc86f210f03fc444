"""Could these bytes grow into something valid? One answer per structure.

It is separate from parsing because the question is another one: a file that stops here is
*incomplete* when the answer is yes and *damaged* when it is no, and that difference decides
whether an operator waits or raises the alarm. Each function takes the bytes that are there
(fewer than the structure needs, or with the zeros of unwritten space stripped off).
"""

from __future__ import annotations

from collections.abc import Callable

from . import layout
from .frametypes import BY_NUMBER

_FRAME_TYPE_BYTES = tuple(number.to_bytes(2, "big") for number in BY_NUMBER)


def preamble_may_follow(head: bytes) -> bool:
    """`head` can be the beginning of a preamble."""
    return (
        layout.MESSAGE_MAGIC.startswith(head[:8])
        and layout.VERSION.to_bytes(2, "big").startswith(head[8:10])
        and (len(head) <= layout.PREAMBLE_TOTAL_AT or head[layout.PREAMBLE_TOTAL_AT] < 0x80)
    )


def frame_header_may_follow(head: bytes) -> bool:
    """`head` can be the beginning of a frame header."""
    return (
        layout.FRAME_MAGIC.startswith(head[:2])
        and any(number.startswith(head[2:4]) for number in _FRAME_TYPE_BYTES)
        and (len(head) <= 8 or head[8] < 0x80)
    )


def frame_end_may_follow(tail: bytes, footer_size: int) -> bool:
    """`tail`, the footer's bytes so far, can still end in ENDF."""
    return layout.FRAME_END.startswith(tail[footer_size - 4 :])


def postamble_may_follow(head: bytes, *, span: int) -> bool:
    """`head` can be the beginning of a postamble that stands `span` bytes after the message's start."""
    length = (span + layout.POSTAMBLE_SIZE).to_bytes(8, "big")
    return (
        head[:8] <= span.to_bytes(8, "big")[: len(head)]
        and (bytes(8).startswith(head[8:16]) or length.startswith(head[8:16]))
        and layout.END_MAGIC.startswith(head[16:24])
    )


def boundary_may_follow(
    head: bytes,
    *,
    span: int,
    padding: int,
    total: int = 0,
    is_boundary: Callable[[int, int], bool] = lambda _offset, _span: True,
) -> bool:
    """`head`, which stands right after a frame, can be padding and what comes after it.

    Args:
        head: The bytes after the frame's ENDF.
        span: Bytes from the message's start to `head`.
        padding: Bytes of `head` that padding takes when there is any.
        total: The message's length as its preamble says, or 0.
        is_boundary: Whether a first_footer_offset can be right for a postamble at a span.
    """
    for skipped, after in ((padding, head[padding:]), (0, head)):
        here = span + skipped
        due = total == here + layout.POSTAMBLE_SIZE
        if not after or (not any(after[: layout.MAX_EXCESS_PADDING]) and not due):
            return True
        if not due and frame_header_may_follow(after):
            return True
        if (due or not total) and postamble_may_follow(after, span=here):
            offset = int.from_bytes(after[:8], "big")
            if len(after) < layout.ALIGNMENT or due or is_boundary(offset, here):
                return True
    return False
