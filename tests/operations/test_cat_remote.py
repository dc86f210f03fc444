"""Objects and parts of them out of a file: the right ones, for few bytes, and checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tgmtool
from tests.builders import flip_bit
from tests.operations.streams import FIXED, buffered, entry, field, streaming
from tgmtool import DigestMismatch, Gap, MemorySource, ObjectSpan, SourceError
from tgmtool.endpoints.memory import MemorySource as Memory
from tgmtool.operations.cat_remote import AmbiguousName, Picked, pick
from tgmtool.operations.stored import OutsideRange
from tgmtool.operations.wanted import Wanted, parse_messages, parse_ranges

WHOLE = buffered(range(3)) + streaming(range(3, 6), backfill=True) + streaming([6]) + buffered([7])


def steps(found: Any) -> list[int]:
    return [one.found.metadata["mars"]["step"] for one in found]


EVERYTHING = Wanted()


def picked(wanted: Wanted = EVERYTHING, data: bytes = WHOLE, **choices: Any) -> list[Picked]:
    return list(pick(MemorySource(data), wanted, **choices))


class Counting(Memory):
    """A source that says what was asked of it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.asked: list[tuple[int, int]] = []

    def read_at(self, offset: int, size: int) -> Any:
        self.asked.append((offset, size))
        return super().read_at(offset, size)


# ---- which


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (None, range(8)),
        (0, [0, 1, 2]),
        (1, [3, 4, 5]),
        (3, [7]),
        (4, []),
        (-1, [7]),
        (-2, [6]),
        (-4, [0, 1, 2]),
        (-5, []),
        (slice(1, 3), [3, 4, 5, 6]),
        (slice(None, 1), [0, 1, 2]),
        (slice(2, None), [6, 7]),
        (slice(-2, None), [6, 7]),
        (slice(None, -3), [0, 1, 2]),
        (slice(1, -1), [3, 4, 5, 6]),
        (slice(3, 1), []),
        (slice(9, None), []),
        (slice(0, 9), range(8)),
        (slice(None, None, 2), [0, 1, 2, 6]),
    ],
    ids=str,
)
def test_messages_are_chosen_as_a_list_is_sliced(messages: Any, expected: Any) -> None:
    assert steps(picked(Wanted(messages=messages))) == list(expected)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, [0, 3, 6, 7]), (1, [1, 4]), (-1, [2, 5, 6, 7]), (-3, [0, 3]), (3, []), (-4, [])],
)
def test_objects_are_chosen_by_their_number_in_each_message(number: int, expected: list[int]) -> None:
    assert steps(picked(Wanted(object=number))) == expected


def named(*names: str) -> bytes:
    pairs = [(field(i), {**entry(i), "name": name}) for i, name in enumerate(names)]
    return tgmtool.encode(pairs, layout="buffered", style=FIXED)


def test_objects_are_chosen_by_their_name() -> None:
    data = named("a", "b") + named("b", "c")
    assert steps(picked(Wanted(object="b"), data)) == [1, 0]
    assert steps(picked(Wanted(object="d"), data)) == []
    assert steps(picked(Wanted(object="2t"), buffered([4]))) == [4]


def test_a_name_that_several_have_is_ambiguous_unless_a_condition_decides() -> None:
    data = named("a", "b", "a")
    with pytest.raises(
        AmbiguousName, match=r"message 0 has 2 objects named 'a' \(0, 2\); choose one by its number"
    ):
        picked(Wanted(object="a"), data)
    decided = Wanted(condition=lambda keys: keys.get("mars.step") == 2, object="a")
    assert steps(picked(decided, data)) == [2]


def test_a_condition_number_and_messages_must_all_hold() -> None:
    wanted = Wanted(condition=lambda keys: int(keys.get("mars.step")) > 3, messages=slice(0, 2), object=-1)
    assert steps(picked(wanted)) == [5]


def test_what_was_picked_knows_its_keys_and_values() -> None:
    (one,) = picked(Wanted(messages=1, object=1))
    assert (one.keys.get("mars.step"), one.keys.get("_msg"), one.keys.get("_obj")) == (4, 1, 1)
    assert np.array_equal(one.values(), field(4))
    assert (one.elements, one.name) == (6, "2t")


# ---- how much of it


def test_ranges_come_one_after_the_other() -> None:
    flat = field(0).reshape(-1)
    for ranges in [((1, 3),), ((1, 3), (0, 6)), ((5, 5),), ((4, 4), (2, 3))]:
        (one,) = picked(Wanted(messages=0, object=0, ranges=ranges))
        expected = np.concatenate([flat[start:stop] for start, stop in ranges])
        assert np.array_equal(one.values(), expected)
        assert one.elements == len(expected)


def test_a_range_beyond_the_elements_is_told_before_anything_is_read() -> None:
    for verify in (True, False):
        with pytest.raises(OutsideRange, match=r"object 0\.0 has 6 elements"):
            picked(Wanted(ranges=((0, 1), (5, 7))), verify=verify)


def test_only_headers_and_what_is_wanted_are_read() -> None:
    values = np.arange(100_000.0)
    data = tgmtool.encode([(values + i, {"name": str(i)}) for i in range(5)], layout="buffered")
    source = Counting(data)
    (one,) = pick(source, Wanted(object="3", ranges=((50_000, 50_010),)))
    headers = sum(size for _, size in source.asked)
    source.asked.clear()
    assert np.array_equal(one.values(), values[50_000:50_010] + 3)
    assert [size for _, size in source.asked] == [80]
    assert headers < len(data) / 2


def test_nothing_is_read_of_what_is_only_listed() -> None:
    data = tgmtool.encode([np.arange(100_000.0)], layout="buffered")
    source = Counting(data)
    (one,) = pick(source, Wanted())
    assert one.found.bytes_read == 0
    assert all(offset + size <= len(data) for offset, size in source.asked if size < 1000)


# ---- checked


def flipped(data: bytes, number: int) -> bytes:
    spans = [found for found in tgmtool.scan(data) if isinstance(found, ObjectSpan)]
    return flip_bit(data, spans[number].payload_offset + 5, 3)


@pytest.mark.parametrize("number", [0, 2, 4])
def test_a_flipped_bit_is_found_when_the_object_is_looked_at(number: int) -> None:
    data = flipped(WHOLE, number)
    found = picked(data=data)
    for at, one in enumerate(found):
        if at != number:
            assert np.array_equal(one.values(), field(at))
            continue
        with pytest.raises(DigestMismatch) as caught:
            one.values()
        assert caught.value.offset == one.found.span.offset
        assert caught.value.expected == one.found.span.digest


def test_without_verifying_the_bit_stays_flipped() -> None:
    one = picked(Wanted(messages=0, object=0), flipped(WHOLE, 0), verify=False)[0]
    assert (one.values() != field(0)).sum() == 1


def test_parts_are_not_verified_because_the_digest_is_of_the_whole() -> None:
    data = flipped(WHOLE, 0)
    (one,) = picked(Wanted(messages=0, object=0, ranges=((4, 6),)), data)
    assert np.array_equal(one.values(), field(0).reshape(-1)[4:])


def test_an_object_without_a_digest_is_taken_as_it_is() -> None:
    data = tgmtool.encode([field(0)], style=FIXED._replace(hashing=False))
    assert np.array_equal(picked(data=data)[0].values(), field(0))


def test_masks_are_restored_unless_that_is_not_wanted() -> None:
    from tests.conformance.oracle import Sample
    from tests.operations.test_arrays import stream_of

    values = np.array([1.0, np.nan, 3.0])
    data = stream_of(Sample("float64", values, (3,)))
    assert np.array_equal(picked(data=data)[0].values(), values, equal_nan=True)
    assert picked(data=data, restore=False)[0].values().tolist() == [1, 0, 3]


def test_gaps_are_told_and_what_is_whole_around_them_is_taken() -> None:
    gaps: list[Gap] = []
    data = buffered([0]) + b"garbage!" * 3 + buffered([1]) + streaming([2])[:-30]
    assert steps(picked(data=data, on_gap=gaps.append)) == [0, 1]
    assert [(gap.offset, gap.kind) for gap in gaps] == [
        (len(buffered([0])), "foreign"),
        (2 * len(buffered([0])) + 24, "incomplete"),
    ]


def test_a_source_that_becomes_shorter_meanwhile_is_an_error_of_the_source() -> None:
    source = Counting(WHOLE)
    (one,) = pick(source, Wanted(messages=0, object=0), verify=False)
    cut = Memory(WHOLE[: one.found.span.payload_offset + 10])
    source.read_at = cut.read_at  # type: ignore[method-assign]
    with pytest.raises(SourceError, match="expected 24 bytes, got 10"):
        one.values()


# ---- words


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0:1", ((0, 1),)), ("5:5", ((5, 5),)), ("0:10,50:60,3:4", ((0, 10), (50, 60), (3, 4)))],
)
def test_ranges_are_read(text: str, expected: Any) -> None:
    assert parse_ranges(text) == expected


@pytest.mark.parametrize(
    "text", ["", "1", ":", "1:", ":1", "-1:2", "2:1", "a:b", "0:1,", "0:1;2:3", "0:1:2", "1.0:2"]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected element ranges as"):
        parse_ranges(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("-1", -1),
        ("2:5", slice(2, 5)),
        (":5", slice(None, 5)),
        ("-3:", slice(-3, None)),
        (":", slice(None, None)),
    ],
)
def test_messages_are_read(text: str, expected: Any) -> None:
    assert parse_messages(text) == expected


@pytest.mark.parametrize("text", ["", "x", "1:2:3", "1.5", "0,1", "a:b"])
def test_what_is_no_message_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a message number as"):
        parse_messages(text)
