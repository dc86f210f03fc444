"""How many round trips it takes to find things: asserted, because each costs as much as a megabyte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest

import tgmtool
from tests.builders import flip_bit
from tests.operations.streams import FIXED, buffered, entry, field, streaming
from tests.s3 import S3_ENVIRONMENT, fill
from tests.servers import HttpPlace, Sparse
from tgmtool import Gap, MemorySource, ObjectSpan
from tgmtool.endpoints import open_source
from tgmtool.endpoints.access import Access
from tgmtool.endpoints.ranges import Range
from tgmtool.endpoints.remote import RemoteSource, open_remote
from tgmtool.messages.index import Index
from tgmtool.operations.cat_remote import pick
from tgmtool.operations.discovery import Begin, batches, last_messages, tails
from tgmtool.operations.scan import scan
from tgmtool.operations.select import where
from tgmtool.operations.wanted import Wanted

LAYOUTS = ("buffered", "streaming")  # header-indexed, footer-indexed


@cache
def messages(count: int, size: int, layout: str) -> bytes:
    """So many messages of one object of `size` bytes."""
    return b"".join(
        tgmtool.encode([(field(i, (size // 4,)), entry(i))], layout=layout, style=FIXED) for i in range(count)
    )


@cache
def one_message(objects: int, size: int, layout: str, *, backfill: bool = True) -> bytes:
    """One message of objects whose sizes differ a little."""
    pairs = [(field(i, (size // 4 + i * 37 % 101,)), entry(i)) for i in range(objects)]
    return tgmtool.encode(pairs, layout=layout, style=FIXED._replace(backfill=backfill))


@contextmanager
def served(data: Any) -> Iterator[tuple[HttpPlace, RemoteSource]]:
    with HttpPlace(data) as place:
        source = open_source(place.url)
        assert isinstance(source, RemoteSource)
        try:
            yield place, source
        finally:
            source.close()


def requests_for(data: Any, job: Callable[[RemoteSource], Any]) -> tuple[int, int]:
    """Return how many requests and bytes it took."""
    with served(data) as (place, source):
        job(source)
        assert source.spent.requests == len(place.log)
        return len(place.log), source.spent.received


def listing(source: Any) -> list[Any]:
    return list(scan(source))


def fields(source: Any, wanted: Wanted, steps: list[int], shape: tuple[int, ...]) -> None:
    found = [(one.keys.get("mars.step"), one.values()) for one in pick(source, wanted, ahead=True)]
    assert [step for step, _ in found] == steps
    for step, values in found:
        assert np.array_equal(values, field(step, shape))


# ---- what was promised


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_thousand_small_messages_are_listed_in_five_requests(layout: str) -> None:
    data = messages(1000, 7_400, layout)
    assert 7_900 < len(data) / 1000 <= 8192
    assert requests_for(data, listing)[0] <= 5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_thousand_messages_are_listed_in_twenty_five_requests(layout: str) -> None:
    data = messages(1000, 60_000, layout)
    assert requests_for(data, listing)[0] <= 25


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_object_of_a_thousand_messages_takes_two_more(layout: str) -> None:
    data = messages(1000, 60_000, layout)
    wanted = Wanted(where(["mars.step=700"]))
    assert requests_for(data, lambda source: fields(source, wanted, [700], (15_000,)))[0] <= 27


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [7_400, 60_000, 100_000])
def test_the_last_message_is_found_in_two_requests(layout: str, size: int) -> None:
    data = messages(30, size, layout)
    requests, received = requests_for(data, lambda source: list(pick(source, Wanted(messages=-1))))
    assert (requests <= 2, received <= 128 << 10) == (True, True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sixteen_mebibytes_out_of_ten_gibibytes_take_little_more(layout: str) -> None:
    size, count = 16 << 20, 10
    payload = np.zeros(size, "u1")
    one = tgmtool.encode([(payload, {"mars": {"step": 0}})] * 64, layout=layout, style=FIXED)
    spans = [span for span in scan(one) if isinstance(span, ObjectSpan)]
    # What is not zero of a message, ten times: a file of ten gibibytes that takes no room.
    cuts = [0, *(at for span in spans for at in (span.payload_offset, span.payload_offset + size)), len(one)]
    kept = {at: one[at:stop] for at, stop in zip(cuts[::2], cuts[1::2], strict=True)}
    pieces = {number * len(one) + at: data for number in range(count) for at, data in kept.items()}
    whole = Sparse(count * len(one), pieces)
    assert len(whole) > 10 << 30

    def job(source: RemoteSource) -> None:
        (found,) = pick(source, Wanted(messages=7, object=33))
        assert (found.keys.get("_msg"), found.keys.get("_obj"), found.values().size) == (7, 33, size)

    received = requests_for(whole, job)[1]
    print(f"\n16 MiB out of 10 GiB, {layout}: {received - size} bytes more than the payload")
    assert received <= size + (512 << 10)


# ---- the answer is the one of a local file


@pytest.mark.parametrize(
    "data",
    [
        buffered(range(3)) + streaming(range(3, 6)) + buffered([7]),
        messages(50, 100_000, "buffered"),
        messages(50, 100_000, "streaming"),
        one_message(40, 100_000, "buffered"),
        one_message(40, 100_000, "streaming"),
        one_message(40, 100_000, "streaming", backfill=False),
        one_message(40, 100_000, "streaming")[:-200_000],
        b"foreign bytes" + one_message(3, 100_000, "buffered"),
        flip_bit(one_message(40, 100_000, "buffered"), 300, 2),
        b"",
    ],
    ids=lambda data: str(len(data)),
)
@pytest.mark.parametrize("unit", ["object", "message", "frame"])
def test_what_is_found_is_what_is_found_in_a_file(data: bytes, unit: str) -> None:
    def without_name(found: Any) -> Any:
        return found._replace(reason="") if isinstance(found, Gap) else found

    with served(data) as (_, source):
        found = [without_name(one) for one in scan(source, unit=unit)]
    assert found == [without_name(one) for one in scan(data, unit=unit)]


@pytest.mark.parametrize(("layout", "backfill"), [("buffered", True), ("streaming", True)])
def test_an_index_saves_looking_for_objects_of_different_sizes(layout: str, backfill: bool) -> None:
    data = one_message(60, 100_000, layout, backfill=backfill)
    requests, received = requests_for(data, listing)
    assert requests <= 63
    assert received < 200_000


def test_an_index_that_lies_costs_bytes_and_no_answer() -> None:
    data = bytearray(one_message(5, 100_000, "buffered"))
    spans = [one for one in scan(bytes(data)) if isinstance(one, ObjectSpan)]
    at = data.index(spans[3].offset.to_bytes(4, "big"))
    data[at : at + 4] = (spans[3].offset + 8000).to_bytes(4, "big")
    with served(bytes(data)) as (_, source):
        assert [type(one) for one in scan(source)] == [type(one) for one in scan(bytes(data))]


# ---- pure parts


def test_what_stands_between_two_objects_comes_in_one_range() -> None:
    index = Index((100, 1100), (900, 400))
    assert list(tails(index, 1000, 50)) == [Range(1000 + 930, 1000 + 1116), Range(1000 + 1430, 1000 + 1516)]


def test_many_ranges_come_in_batches() -> None:
    ranges = [Range(i * 1000, i * 1000 + 10) for i in range(600)]
    found = list(batches(iter(ranges), size=1000))
    assert [len(batch) for batch in found] == [256, 256, 88]
    assert [one for batch in found for one in batch] == ranges


@pytest.mark.parametrize(
    ("data", "count", "expected"),
    [
        (buffered([0]) * 3, 2, 2),
        (buffered([0]) * 3, 9, 3),
        (buffered([0]) + streaming([1]), 1, None),
        (streaming([1]) + buffered([0]), 1, 1),
        (streaming([1]) + buffered([0]), 2, None),
        (buffered([0]) + b"x", 1, None),
        (buffered([0])[1:], 1, None),
        (b"short", 1, None),
        (b"", 1, 0),
    ],
)
def test_messages_are_found_from_the_end_where_lengths_are_filled(
    data: bytes, count: int, expected: int | None
) -> None:
    found = last_messages(MemorySource(data), count)
    if expected is None:
        assert found is None
    else:
        spans = [
            Begin(one.offset, one.length) for one in scan(data, unit="message") if not isinstance(one, Gap)
        ]
        assert isinstance(found, list)
        assert found == spans[len(spans) - expected :]


# ---- the same on S3


@pytest.fixture(scope="module")
def s3(s3_server: str) -> str:
    objects = {
        f"{layout}{size}": messages(1000, size, layout) for layout in LAYOUTS for size in (7_400, 60_000)
    }
    return fill(s3_server, objects)


def requests_on_s3(endpoint: str, name: str, job: Callable[[RemoteSource], Any]) -> int:
    options = (
        ("key", S3_ENVIRONMENT["AWS_ACCESS_KEY_ID"]),
        ("secret", S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"]),
    )
    source = open_remote(f"s3://bucket/{name}", Access(endpoint_url=endpoint, options=options))
    try:
        job(source)
        return source.spent.requests
    finally:
        source.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_s3_takes_no_more_requests(s3: str, layout: str) -> None:
    wanted = Wanted(where(["mars.step=700"]))
    found = [
        requests_on_s3(s3, f"{layout}7400", listing),
        requests_on_s3(s3, f"{layout}60000", listing),
        requests_on_s3(s3, f"{layout}60000", lambda source: fields(source, wanted, [700], (15_000,))),
        requests_on_s3(s3, f"{layout}60000", lambda source: list(pick(source, Wanted(messages=-1)))),
    ]
    print(f"\nS3, {layout}: requests {found}")
    assert [number <= most for number, most in zip(found, (5, 25, 27, 2), strict=True)] == [True] * 4


@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=pytest.mark.soak)])
def test_the_reference_needs_ten_times_as_many_requests(count: int) -> None:
    import tensogram

    data = messages(count, 7_400, "buffered")
    ours, _ = requests_for(data, listing)
    with HttpPlace(data) as place:
        options = {"allow_http": "true"}
        remote = tensogram.TensogramFile.open_remote(place.url, options)
        for number in range(remote.message_count()):
            remote.file_decode_descriptors(number)
        theirs = len(place.log)
    print(
        f"\n{count} messages of 7400 bytes: {ours} requests, the reference {theirs} ({theirs / ours:.0f} x)"
    )
    assert theirs >= 10 * ours
