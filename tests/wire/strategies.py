"""What hypothesis draws for the wire layer: messages, streams of them, damage, and how bytes arrive."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hypothesis import settings
from hypothesis import strategies as st

from tests.builders import cut, drop, flip_bit, insert, message, put

SITUATIONS = {
    "buffered": message(),
    "buffered_without_objects": message([]),
    "buffered_two_objects": message([b"x" * 40, b""]),
    "buffered_unhashed": message([b"y" * 11], hashing=False),
    "buffered_half_backfilled": message(mirrored=0),
    "buffered_with_preceders": message([b"a", b"bc"], preceders=True),
    "buffered_unaligned": message(padded=False),
    "buffered_with_excess_padding": message(excess=16),
    "buffered_descriptor_first": message(descriptor_first=True),
    "buffered_holding_a_message": message([message()]),
    "streaming": message(streaming=True),
    "streaming_without_objects": message([], streaming=True),
    "streaming_unhashed": message([b"z"], streaming=True, hashing=False, header_metadata=False),
    "streaming_holding_magics": message([b"39277777TENSOGRMFRENDF" * 3, b"q" * 9], streaming=True),
    "streaming_other_footer_order": message(streaming=True, header_metadata=False, footer_order=(5, 6, 7)),
    "streaming_holding_a_message": message([message([b"inner"])], streaming=True, preceders=True),
    "streaming_unaligned": message([b"odd"], streaming=True, padded=False),
    "streaming_zeros": message([bytes(50)], streaming=True),
}

MESSAGES = st.sampled_from(list(SITUATIONS.values()))


def hypothesis_settings(examples: int) -> settings:
    """The same examples every time, as many as are worth their time in every run of the suite."""
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


def chunkings() -> st.SearchStrategy[list[int] | None]:
    """Sizes of the pieces in which bytes arrive, over and over; None is all at once."""
    return st.none() | st.just([1]) | st.lists(st.integers(1, 400), min_size=1, max_size=6)


def streams() -> st.SearchStrategy[bytes]:
    return st.lists(MESSAGES, min_size=1, max_size=4).map(b"".join)


@st.composite
def damaged_streams(draw: st.DrawFn) -> bytes:
    """Messages one after another, with up to three faults anywhere."""
    data = draw(streams())
    for _ in range(draw(st.integers(0, 3))):
        if data:
            data = draw(faults(len(data)))(data)
    return data


@st.composite
def faults(draw: st.DrawFn, size: int) -> Callable[[bytes], bytes]:
    """One way to damage `size` bytes."""
    at = draw(st.integers(0, size - 1))
    few = st.integers(1, 60)
    fragment = st.builds(cut, MESSAGES, st.sampled_from([8, 10, 24, 30, 48, 100]))
    foreign = st.sampled_from([b"TENSOGRM", b"39277777", b"FR", b"ENDF"]) | st.binary(min_size=1, max_size=9)
    zeros = few.map(bytes)
    kind = draw(st.sampled_from(["flip", "drop", "insert", "put", "cut", "zero tail"]))
    if kind == "flip":
        return partial(flip_bit, at=at, bit=draw(st.integers(0, 7)))
    if kind == "drop":
        return partial(drop, at=at, size=draw(few))
    if kind == "insert":
        return partial(insert, at=at, new=draw(fragment | foreign | zeros))
    if kind == "put":
        return partial(put, at=at, new=draw(fragment | foreign | zeros)[: size - at])
    if kind == "cut":
        return partial(cut, size=at)
    return partial(insert, at=size, new=bytes(draw(st.integers(1, 100))))
