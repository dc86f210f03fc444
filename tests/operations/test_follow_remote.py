"""Following an object that is replaced by longer ones: every object once, none of two versions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.operations.streams import buffered, object_ends, steps_of, streaming
from tests.servers import HttpPlace, status
from tgmtool import Notice
from tgmtool.endpoints.access import Access, Patience
from tgmtool.endpoints.polled import PolledObject
from tgmtool.operations.follow_remote import RemoteFollower

QUICK = Patience(connect=2, stall=2, retries=1, first_delay=0.01, longest_delay=0.02, total=5)
OPEN, CLOSED = streaming(range(4)), streaming(range(4), backfill=True)
SEVERAL = streaming(range(3)) + buffered(range(3, 5)) + streaming(range(5, 9), backfill=True) + buffered([9])


@contextmanager
def followed(place: HttpPlace, **choices: Any) -> Iterator[RemoteFollower]:
    with_access = PolledObject(place.url, Access(patience=QUICK))
    following = RemoteFollower(with_access, settle=0.0, **choices)
    try:
        yield following
    finally:
        following.close()
        with_access.close()


def put(place: HttpPlace, data: bytes) -> None:
    place.data, place.etag = data, f'"{random.getrandbits(64):x}"'


def events_of(found: list[Any]) -> list[str]:
    return [one.event for one in found if isinstance(one, Notice)]


@pytest.mark.parametrize("seed", range(5))
def test_growth_in_any_pieces_gives_every_object_once_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(len(SEVERAL)), 12))
    with HttpPlace(SEVERAL[: cuts[0]]) as place, followed(place) as following:
        found = list(following.poll())
        for cut in [*cuts[1:], len(SEVERAL)]:
            put(place, SEVERAL[:cut])
            found += list(following.poll())
        assert steps_of(found) == list(range(10))
        assert events_of(found + list(following.finish())) == []


def test_an_object_comes_when_its_frame_is_whole_and_not_before() -> None:
    ends = object_ends(OPEN)
    with HttpPlace(b"") as place, followed(place) as following:
        for number, end in enumerate(ends):
            put(place, OPEN[: end - 1])
            assert steps_of(following.poll()) == []
            put(place, OPEN[:end])
            assert steps_of(following.poll()) == [number]


def test_lengths_that_are_filled_in_bring_nothing_again() -> None:
    with HttpPlace(OPEN) as place, followed(place) as following:
        assert steps_of(following.poll()) == list(range(4))
        put(place, CLOSED + buffered([4]))
        found = list(following.poll())
        assert (steps_of(found), events_of(found)) == ([4], [])


def test_an_object_that_is_replaced_is_begun_anew() -> None:
    with HttpPlace(SEVERAL) as place, followed(place) as following:
        list(following.poll())
        put(place, buffered(range(20, 23)))
        found = list(following.poll())
        assert (steps_of(found), events_of(found)) == ([20, 21, 22], ["replaced"])


def test_a_half_that_is_replaced_by_another_half_is_never_put_together() -> None:
    one, other = buffered(range(2), shape=(40, 40)), buffered(range(7, 9), shape=(40, 40))
    assert len(one) == len(other)
    cut = object_ends(one)[0] + 2000
    with HttpPlace(one[:cut]) as place, followed(place) as following:
        found = list(following.poll())
        put(place, other)
        found += list(following.poll())
        assert (steps_of(found), events_of(found)) == ([0, 7, 8], ["replaced"])


def test_an_object_that_goes_away_and_comes_back_is_told() -> None:
    with HttpPlace(SEVERAL[:-100]) as place, followed(place) as following:
        list(following.poll())
        place.every = status(404)
        assert events_of(list(following.poll())) == ["removed"]
        assert list(following.poll()) == []
        place.every = None
        put(place, SEVERAL)
        found = list(following.poll())
        assert (steps_of(found), events_of(found)) == ([9], ["appeared"])


def test_damage_in_it_is_passed_over_and_told() -> None:
    data = bytearray(buffered([0]) + buffered([1]) + buffered([2]))
    data[object_ends(bytes(data))[1] - 30] ^= 1
    with HttpPlace(bytes(data)) as place, followed(place) as following:
        found = list(following.poll())
        assert steps_of(found) == [0, 2]
        assert following.lost_data
