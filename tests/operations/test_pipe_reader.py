"""The reader gives whole messages as they came, whatever the pieces, the bounds and the damage."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tgmtool
from tests.builders import flip_bit, message
from tests.processes import PATIENCE
from tgmtool.endpoints.base import Bytes, Source
from tgmtool.errors import FramingError, LimitExceeded, TgmError, TruncatedError
from tgmtool.limits import Limits
from tgmtool.messages.stream import ERROR, Place, Sender
from tgmtool.operations.markers import marker
from tgmtool.operations.pipe import reader as reader_module
from tgmtool.operations.pipe.cancel import Cancel
from tgmtool.operations.pipe.links import Link
from tgmtool.operations.pipe.parcels import Kind, Parcel
from tgmtool.operations.pipe.reader import Reader
from tgmtool.operations.pipe.tape import BIG, PlaceFeed
from tgmtool.operations.sweep import Swept


class Pieces(Source):
    """Bytes that arrive in pieces of these sizes, over and over."""

    name = "<pieces>"
    seekable = False

    def __init__(self, data: bytes, sizes: Sequence[int]) -> None:
        self._data = data
        self._sizes = cycle(sizes)

    def read_at(self, offset: int, size: int) -> Bytes:
        return self._data[offset : offset + min(size, next(self._sizes))]

    def size(self) -> int | None:
        return None

    def keep_from(self, offset: int) -> int:
        return offset

    def close(self) -> None:
        pass


class Read(NamedTuple):
    """What came out of a reader."""

    parcels: list[Parcel]
    reader: Reader
    error: BaseException | None
    peak: int

    @property
    def data(self) -> bytes:
        return b"".join(bytes(piece) for parcel in self.parcels for piece in parcel.bytes)

    @property
    def whole(self) -> list[bytes]:
        """Every whole message; parts are joined, broken ones left out."""
        found, open_parts = [], b""
        for parcel in self.parcels:
            if parcel.kind is Kind.FOREIGN:
                continue
            open_parts = b"" if parcel.starts else open_parts
            open_parts += b"".join(map(bytes, parcel.bytes))
            if parcel.ends and not parcel.broken:
                found.append(open_parts)
        return found

    @property
    def foreign(self) -> list[tuple[int, int]]:
        """Where bytes stood that belonged to no message, neighbours joined."""
        found: list[tuple[int, int]] = []
        for parcel in self.parcels:
            if parcel.kind is Kind.FOREIGN:
                if found and sum(found[-1]) == parcel.offset:
                    found[-1] = (found[-1][0], found[-1][1] + parcel.size)
                else:
                    found.append((parcel.offset, parcel.size))
        return found


def read(
    data: bytes,
    sizes: Sequence[int] = (1 << 20,),
    capacity: int = 64 << 20,
    on_error: str = "stop",
    *,
    takes_several: bool = False,
    **more: object,
) -> Read:
    cancel, link = Cancel(), Link(capacity)
    link.takes_several = takes_several
    found = Reader(PlaceFeed(Pieces(data, sizes), cancel), link, on_error=on_error, **more)  # type: ignore[arg-type]
    errors: list[BaseException] = []

    def work() -> None:
        try:
            found.run()
        except TgmError as error:
            errors.append(error)
        finally:
            link.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    parcels = list(drained(link))
    thread.join(PATIENCE)
    assert not thread.is_alive()
    cancel.close()
    return Read(parcels, found, errors[0] if errors else None, link.peak)


def drained(link: Link) -> Iterator[Parcel]:
    while (parcel := link.take()) is not None:
        # What is looked at later must not be what somebody reads over meanwhile.
        copied = [bytes(piece) for piece in parcel.bytes]
        yield Parcel(
            parcel.kind,
            copied,
            number=parcel.number,
            offset=parcel.offset,
            starts=parcel.starts,
            ends=parcel.ends,
            broken=parcel.broken,
            is_marker=parcel.is_marker,
            count=parcel.count,
        )
        link.done(parcel)


SMALL, MIDDLE, STREAMING = (
    message((b"a" * 10,)),
    message((b"b" * 5000, b"c")),
    message((b"d" * 3000,), streaming=True),
)
HUGE = message((b"e" * (BIG + 12345),))
ANY = (SMALL, MIDDLE, STREAMING, HUGE)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(ANY), max_size=6),
    st.lists(st.sampled_from([1, 7, 24, 100, 4096, 65536, 1 << 20]), min_size=1, max_size=4),
    st.sampled_from([1000, 4000, 20_000, BIG, 64 << 20]),
)
def test_what_comes_out_is_what_came_in_message_by_message(
    messages: list[bytes], sizes: list[int], capacity: int
) -> None:
    if HUGE in messages:
        sizes = [max(size, 4096) for size in sizes]  # byte by byte it only takes long
    found = read(b"".join(messages), sizes, capacity)
    assert found.error is None
    assert found.whole == messages
    assert found.data == b"".join(messages)
    assert found.peak <= capacity
    assert found.reader.messages == len(messages)


@pytest.mark.parametrize("size", [len(SMALL) - 1, len(SMALL), len(SMALL) + 1])
def test_a_message_is_whole_as_soon_as_it_fits(size: int) -> None:
    kinds = {parcel.kind for parcel in read(SMALL * 3, capacity=size).parcels}
    assert kinds == {Kind.PART if size < len(SMALL) else Kind.MESSAGE}


def test_a_large_message_stands_in_one_piece() -> None:
    cancel, link = Cancel(), Link(64 << 20)
    Reader(PlaceFeed(Pieces(SMALL + HUGE * 2 + SMALL, [65536]), cancel), link).run()
    pieces = []
    for _ in range(4):
        parcel = link.take()
        assert parcel is not None
        pieces.append(len(parcel.pieces))
    cancel.close()
    assert pieces == [1, 1, 1, 1]


def test_every_cut_gives_the_whole_messages_before_it() -> None:
    data = SMALL + STREAMING
    for size in range(0, len(data), 5):
        found = read(data[:size])
        assert found.whole == ([SMALL] if size >= len(SMALL) else [])
        assert isinstance(found.error, TruncatedError) == (size not in {0, len(SMALL)})


@pytest.mark.parametrize("capacity", [1000, 1 << 20])
@pytest.mark.parametrize("on_error", ["stop", "skip", "pass"])
def test_damage_in_the_middle(on_error: str, capacity: int) -> None:
    damaged = flip_bit(MIDDLE, 24)  # the magic of its first frame
    data = SMALL + damaged + b"between" + STREAMING
    found = read(data, [100], capacity, on_error)
    if on_error == "stop":
        assert found.whole == [SMALL]
        assert isinstance(found.error, FramingError)
        return
    assert found.error is None
    assert found.whole == [SMALL, STREAMING]
    assert found.reader.losses == 1
    assert found.reader.lost == len(damaged) + len(b"between")
    assert found.foreign == ([(len(SMALL), found.reader.lost)] if on_error == "pass" else [])
    if on_error == "pass":
        assert found.data == data


def test_a_message_that_breaks_after_some_of_it_went_on_is_said_to_be_broken() -> None:
    broken = HUGE[:-30] + b"x" * 30
    found = read(broken + SMALL, capacity=10_000, on_error="skip")
    assert found.whole == [SMALL]
    assert [parcel.broken for parcel in found.parcels if parcel.kind is Kind.PART and parcel.ends] == [True]
    assert found.peak <= 10_000


def test_a_cut_end_passes_where_everything_passes() -> None:
    found = read(SMALL + STREAMING[:-3], on_error="pass")
    assert found.data == SMALL + STREAMING[:-3]
    assert isinstance(found.error, TruncatedError)


def test_what_is_no_stream_passes_where_somebody_knows_it() -> None:
    text = b"this is a text, and a long one\n" * 1000
    found = read(text, [100], 5000, may_be_foreign=lambda: True)
    assert found.error is None
    assert found.reader.is_foreign
    assert found.data == text
    assert isinstance(read(text).error, FramingError)


def test_markers_are_told_and_pass() -> None:
    told: list[Place] = []
    place = Place(Sender("run"), 0, ERROR, {"msg": "disk full"})
    found = read(SMALL + marker(place) + SMALL, marker=told.append)
    assert [one.rest["msg"] for one in told] == ["disk full"]
    assert [parcel.is_marker for parcel in found.parcels] == [False, True, False]
    assert found.reader.first_place == place


TINY = tuple(
    tgmtool.encode([([float(step)] * (step % 3 + 1), {"step": step})], layout=layout)
    for step in range(4)
    for layout in ("buffered", "streaming")
)
NO_HASH = message(hashing=False)
SAID = marker(Place(Sender("run"), 3, "data", {"msg": "a note"}))
FAILED = marker(Place(Sender("run"), 9, ERROR, {"msg": "full"}))
LARGER = tgmtool.encode([([1.0] * 10_000, {})])
KINDS = (
    *(*TINY, TINY[0], TINY[2], NO_HASH, SAID, FAILED, LARGER),
    *(b"garbage", bytes(9), TINY[0][:-9], TINY[0][:30]),
    *(flip_bit(each, at, at % 8) for each in (TINY[0], TINY[1], SAID) for at in range(0, len(each), 11)),
)
SOUND = len(TINY) + 6


def told(found: Read, places: list[Place]) -> tuple[object, ...]:
    """All that a reader says, whatever it passed at once."""
    reader = found.reader
    return (
        *(b"".join(found.whole), found.data, found.foreign, reader.messages, reader.lost, reader.losses),
        *(str(reader.first_loss), str(found.error), type(found.error), reader.first_place, places),
        sum(parcel.count for parcel in found.parcels if parcel.ends and parcel.kind is Kind.MESSAGE),
    )


@given(
    kinds=st.lists(
        st.one_of(st.integers(0, SOUND - 1), st.integers(0, SOUND - 1), st.integers(0, len(KINDS) - 1)),
        min_size=1,
        max_size=25,
    ),
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=4),
    on_error=st.sampled_from(("stop", "skip", "pass")),
    capacity=st.sampled_from((300, 5000, 64 << 20)),
)
@settings(max_examples=120, deadline=None)
def test_small_messages_that_pass_together_are_those_that_the_decoder_finds(
    kinds: list[int], sizes: list[int], on_error: str, capacity: int
) -> None:
    data = b"".join(KINDS[each] for each in kinds)
    slow: list[Place] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader_module, "sweep", lambda view, start, stop, **_: Swept(start))
        expected = read(data, sizes, capacity, on_error, marker=slow.append)
    for takes_several in (False, True):
        fast: list[Place] = []
        found = read(data, sizes, capacity, on_error, takes_several=takes_several, marker=fast.append)
        assert told(found, fast) == told(expected, slow)
        if not takes_several:
            assert found.whole == expected.whole
            assert all(parcel.count == 1 for parcel in found.parcels)


def test_small_messages_at_hand_pass_together_where_nobody_looks_at_them() -> None:
    found = read(TINY[0] * 500, takes_several=True)
    assert found.whole[0] == TINY[0]
    assert b"".join(found.whole) == TINY[0] * 500
    assert len(found.parcels) < 20
    assert found.reader.messages == sum(parcel.count for parcel in found.parcels) == 500


def test_zeros_without_an_end_are_not_waited_for_for_ever() -> None:
    limits = Limits(retained_bytes=100_000)
    found = read(TINY[0] + bytes(1_000_000), (5000,), limits=limits)
    assert isinstance(found.error, LimitExceeded)
    assert "--max-retained-bytes" in str(found.error)
    assert found.whole == [TINY[0]]
    assert isinstance(read(TINY[0] + bytes(90_000), limits=limits).error, TruncatedError)
