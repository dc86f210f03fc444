"""An object that is looked at again: what happened to it since, and never bytes of two versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers import HttpPlace, dropped, status
from tgmtool import SourceError
from tgmtool.endpoints.access import Access, Patience
from tgmtool.endpoints.polled import CHANGED, GONE, GROWN, SAME, PolledObject

QUICK = Patience(retries=0)
DATA = bytes(i * 7 % 251 for i in range(300_000))


@pytest.fixture
def place() -> Iterator[HttpPlace]:
    with HttpPlace(DATA[:200_000]) as found:
        yield found


@pytest.fixture
def polled(place: HttpPlace) -> Iterator[PolledObject]:
    found = PolledObject(place.url, Access(patience=QUICK), reconnect=0.0)
    yield found
    found.close()


def put(place: HttpPlace, data: Any) -> None:
    place.data, place.etag = data, f'"{len(place.log)}-{len(data)}"'


def test_nothing_is_asked_before_it_is_needed(place: HttpPlace, polled: PolledObject) -> None:
    assert len(place.log) == 0
    assert (polled.size(), polled.refresh(), len(place.log)) == (200_000, SAME, 1)


def test_an_object_that_stays_costs_one_request_and_no_bytes(place: HttpPlace, polled: PolledObject) -> None:
    polled.refresh()
    before = polled.spent.received
    assert [polled.refresh() for _ in range(3)] == [SAME] * 3
    assert (len(place.log), polled.spent.received) == (4, before)
    assert place.log[-1].headers["Cache-Control"] == "no-cache"
    assert place.log[-1].headers["If-None-Match"] == '"first"'


def test_a_server_without_etags_is_believed_by_size(place: HttpPlace, polled: PolledObject) -> None:
    place.etag = None
    polled.refresh()
    assert polled.refresh() == SAME
    place.data = DATA
    assert (polled.refresh(), polled.size()) == (GROWN, len(DATA))


def test_what_grows_goes_on_where_it_was(place: HttpPlace, polled: PolledObject) -> None:
    assert polled.read_at(0, 200_000) == DATA[:200_000]
    assert polled.read_at(200_000, 10) == b""
    put(place, DATA)
    polled.refresh()
    assert polled.refresh() == GROWN
    assert polled.read_at(200_000, 1 << 20) == DATA[200_000:]


@pytest.mark.parametrize(
    "data",
    [DATA[:199_999], DATA[::-1], b"x" + DATA[1:], DATA[:199_990] + b"x" * 200_000, b""],
    ids=["shorter", "another", "another beginning", "another end", "empty"],
)
def test_what_does_not_go_on_as_it_was_read_is_told(
    place: HttpPlace, polled: PolledObject, data: bytes
) -> None:
    polled.read_at(0, 200_000)
    polled.refresh()
    put(place, data)
    assert polled.refresh() == CHANGED
    assert polled.read_at(0, 1 << 20) == data
    assert polled.refresh() == SAME


def test_bytes_of_the_next_version_do_not_come_before_it_was_looked_at(
    place: HttpPlace, polled: PolledObject
) -> None:
    polled.refresh()
    put(place, DATA[::-1])
    assert polled.read_at(10, 10) == b""
    assert polled.read_at(10, 10) == b""
    assert polled.refresh() == GROWN  # nothing was read of the first
    assert polled.read_at(10, 10) == DATA[::-1][10:20]


def test_an_object_that_is_gone_may_come_back(place: HttpPlace, polled: PolledObject) -> None:
    polled.read_at(0, 100)
    polled.refresh()
    place.every = status(404)
    assert (polled.refresh(), polled.size(), polled.read_at(100, 9)) == (GONE, 0, b"")
    assert polled.refresh() == GONE
    place.every = None
    assert (polled.refresh(), polled.read_at(100, 9)) == (GROWN, DATA[100:109])


def test_a_server_that_is_away_for_a_while_is_waited_for(place: HttpPlace) -> None:
    polled = PolledObject(place.url, Access(patience=QUICK), reconnect=60.0)
    polled.refresh()
    place.every = dropped(0)
    assert [polled.refresh() for _ in range(3)] == [SAME] * 3
    place.every = None
    put(place, DATA)
    assert polled.refresh() == GROWN
    polled.close()


def test_a_server_that_is_away_for_too_long_is_an_error(place: HttpPlace, polled: PolledObject) -> None:
    polled.refresh()
    place.every = status(503)
    with pytest.raises(SourceError, match="503"):
        polled.refresh()


def test_what_is_forbidden_is_an_error_at_once(place: HttpPlace) -> None:
    polled = PolledObject(place.url, Access(patience=QUICK), reconnect=60.0)
    polled.refresh()
    place.every = status(403)
    with pytest.raises(SourceError, match="403"):
        polled.refresh()
    polled.close()


def test_what_only_fsspec_knows_is_looked_at_again() -> None:
    import fsspec

    system = fsspec.filesystem("memory")
    system.pipe("/polled.tgm", DATA[:1000])
    polled = PolledObject("memory://polled.tgm", Access(patience=QUICK))
    assert polled.read_at(0, 1000) == DATA[:1000]
    assert [polled.refresh(), polled.refresh()] == [SAME, SAME]
    system.pipe("/polled.tgm", DATA)
    assert (polled.refresh(), polled.read_at(1000, 1000)) == (GROWN, DATA[1000:2000])
    system.rm("/polled.tgm")
    assert polled.refresh() == GONE
    polled.close()
