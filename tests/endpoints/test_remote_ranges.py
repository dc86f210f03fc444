"""Ranges are joined, cut and remembered; redirects are judged by their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgmtool import SourceError
from tgmtool.endpoints.ranges import Range, Store, cut, joined
from tgmtool.endpoints.redirects import redirected

DATA = bytes(range(256)) * 4


@pytest.mark.parametrize(
    ("ranges", "gap", "expected"),
    [
        ([], 0, []),
        ([(0, 10), (10, 20)], 0, [(0, 20)]),
        ([(0, 10), (11, 20)], 0, [(0, 10), (11, 20)]),
        ([(0, 10), (11, 20)], 1, [(0, 20)]),
        ([(30, 40), (0, 50), (5, 6)], 0, [(0, 50)]),
        ([(3, 3), (9, 4)], 100, []),
    ],
)
def test_ranges_are_joined_where_little_stands_between(
    ranges: list[tuple[int, int]], gap: int, expected: list[tuple[int, int]]
) -> None:
    assert joined((Range(*one) for one in ranges), gap=gap) == expected


def test_ranges_are_cut_in_pieces() -> None:
    assert list(cut([Range(0, 25), Range(30, 31)], size=10)) == [(0, 10), (10, 20), (20, 25), (30, 31)]


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 200)), max_size=12), st.integers(50, 2000))
def test_a_store_returns_what_stands_there_or_nothing(pieces: list[tuple[int, int]], limit: int) -> None:
    store = Store(limit)
    for offset, size in pieces:
        store.add(offset, DATA[offset : offset + size])
        for at in (offset, offset + size // 2, offset + size, 500):
            found = bytes(store.at(at, 100))
            assert found == DATA[at : at + len(found)]
        missing = list(store.missing(Range(0, 1024)))
        there = set(range(1024)) - {i for part in missing for i in range(*part)}
        assert all(len(store.at(i, 1)) == 1 for i in there)
        assert all(len(store.at(part.start, 1)) == 0 for part in missing)


def test_a_store_forgets_what_came_first() -> None:
    store = Store(100)
    for offset in range(0, 300, 50):
        store.add(offset, DATA[offset : offset + 50])
    assert len(store.at(0, 50)) == 0
    assert len(store.at(250, 50)) == 50


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://h/a", "/b", "https://h/b"),
        ("https://h/a", "https://h:443/b?x=1", "https://h:443/b?x=1"),
        ("http://127.0.0.1/a", "https://127.0.0.2/b", "https://127.0.0.2/b"),
        ("http://127.0.0.1/a", "http://127.0.0.2/b", "http://127.0.0.2/b"),
    ],
)
def test_a_redirect_that_may_be_followed(url: str, location: str, target: str) -> None:
    assert redirected(url, location, cross_origin=True, name="n") == target


@pytest.mark.parametrize(
    ("url", "location", "cross_origin"),
    [
        ("https://h/a", "http://h/a", True),
        ("https://8.8.8.8/a", "https://127.0.0.1/a", True),
        ("https://8.8.8.8/a", "https://10.0.0.1/a", True),
        ("https://8.8.8.8/a", "https://169.254.169.254/latest", True),
        ("https://8.8.8.8/a", "https://[::1]/a", True),
        ("http://127.0.0.1/a", "http://127.0.0.2/a", False),
        ("http://h/a", "http://h:8080/a", False),
        ("http://h/a", "file:///etc/passwd", True),
    ],
)
def test_a_redirect_that_may_not_be_followed(url: str, location: str, cross_origin: bool) -> None:
    with pytest.raises(SourceError, match=r"^n: redirected "):
        redirected(url, location, cross_origin=cross_origin, name="n")
