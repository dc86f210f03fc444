"""A link holds no more than it may, never locks up, and lets everybody end."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest

from tests.processes import PATIENCE, wait_until
from tgmtool.operations.pipe.links import Abandoned, Cancelled, Link
from tgmtool.operations.pipe.parcels import Kind, Parcel


def parcel(size: int, number: int = 0) -> Parcel:
    return Parcel(Kind.MESSAGE, (bytes(size),), number=number)


class Side(threading.Thread):
    """Does something in a thread; `result` is what it raised."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.result: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.result = error

    def end(self) -> BaseException | None:
        self.join(PATIENCE)
        assert not self.is_alive(), "it waits for ever"
        return self.result


def test_what_is_given_is_taken_in_order() -> None:
    link = Link(100)
    for number in range(3):
        link.put(parcel(10, number))
    link.close()
    taken = []
    while (found := link.take()) is not None:
        taken.append(found.number)
        link.done(found)
    assert taken == [0, 1, 2]
    assert (link.messages, link.given, link.taken) == (3, 30, 30)


def test_what_the_taker_has_in_its_hand_counts_until_it_is_done_with_it() -> None:
    link = Link(100)
    link.put(parcel(60))
    first = link.take()
    assert first is not None
    giver = Side(lambda: link.put(parcel(60)))
    wait_until(lambda: link.look().blocked, "the giver to be held up")
    assert link.look().held == 60
    link.done(first)
    assert giver.end() is None
    assert link.peak == 60


def test_a_link_takes_so_many_messages_and_no_more() -> None:
    link = Link(1000, depth=2)
    link.put(parcel(1))
    link.put(parcel(1))
    giver = Side(lambda: link.put(parcel(1)))
    wait_until(lambda: link.look().blocked, "the giver to be held up")
    first = link.take()
    assert first is not None
    link.done(first)
    assert giver.end() is None


def test_a_parcel_larger_than_the_link_passes_in_parts_that_fit() -> None:
    link = Link(100)
    large = Parcel(Kind.MESSAGE, (b"x" * 150, b"y" * 130))
    giver = Side(lambda: [link.put(each) for each in (parcel(5), large)])  # type: ignore[func-returns-value]
    sizes, ends, kinds = [], [], []
    for _ in range(5):
        found = link.take()
        assert found is not None
        sizes.append(found.size)
        ends.append((found.starts, found.ends))
        kinds.append(found.kind)
        link.done(found)
    assert giver.end() is None
    assert sum(sizes) == 285
    assert max(sizes) <= 100
    assert link.peak <= 100
    assert kinds == [Kind.MESSAGE, *[Kind.PART] * 4]
    assert ends == [(True, True), (True, False), (False, False), (False, False), (False, True)]


def test_whoever_waits_hears_that_the_other_is_gone_or_that_it_is_to_end() -> None:
    link = Link(10)
    link.put(parcel(10))
    giver = Side(lambda: link.put(parcel(10)))
    wait_until(lambda: link.look().blocked, "the giver to be held up")
    link.abandon()
    assert isinstance(giver.end(), Abandoned)

    link = Link(10)
    taker = Side(link.take)
    wait_until(lambda: link.look().hungry, "the taker to wait")
    link.cancel_taker()
    assert isinstance(taker.end(), Cancelled)

    link = Link(10)
    link.put(parcel(10))
    giver = Side(lambda: link.room(0, 5))
    wait_until(lambda: link.look().blocked, "the giver to be held up")
    link.cancel_giver()
    assert isinstance(giver.end(), Cancelled)


def test_a_parcel_in_hand_may_be_done_after_the_link_was_abandoned() -> None:
    link = Link(10)
    link.put(parcel(5))
    found = link.take()
    assert found is not None
    link.abandon()
    link.done(found)
    assert link.look().held == 0


@pytest.mark.parametrize("depth", [None, 1, 2])
def test_no_chain_of_links_locks_up_whatever_the_sizes(depth: int | None) -> None:
    sizes_of_links = (1, 2, 5)
    for count in (1, 2, 3):
        for capacities in itertools.product(sizes_of_links, repeat=count):
            for sizes in itertools.product((1, 4, 7), repeat=3):
                assert sum(passed(capacities, sizes, depth)) == sum(sizes)


def passed(capacities: tuple[int, ...], sizes: tuple[int, ...], depth: int | None) -> list[int]:
    """The sizes of what comes out of a chain of links, each emptied by a thread into the next."""
    links = [Link(capacity, depth) for capacity in capacities]

    def give() -> None:
        for number, size in enumerate(sizes):
            links[0].put(parcel(size, number))
        links[0].close()

    def move(before: Link, after: Link) -> None:
        while (found := before.take()) is not None:
            after.put(found)
            before.done(found)
        after.close()

    sides = [Side(give)]
    for before, after in itertools.pairwise(links):
        sides.append(Side(lambda before=before, after=after: move(before, after)))  # type: ignore[misc]
    out = []
    while (found := links[-1].take()) is not None:
        out.append(found.size)
        links[-1].done(found)
    assert [side.end() for side in sides] == [None] * len(sides)
    assert all(link.peak <= link.capacity for link in links)
    return out
