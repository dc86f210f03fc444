"""The stream convention: what a message says of its place, and what order is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.oracle import budget
from tgmtool import EncodeError, LimitExceeded, Limits, MetadataError
from tgmtool.messages.stream import KEY, Ledger, Place, Sender, Tally, checked_name

RUN = Sender("run")


def parsed(**value: Any) -> Place | None:
    return Place.parse({KEY: {"v": 1, "id": "run", "seq": 0, **value}}, offset=400)


@pytest.mark.parametrize(
    "extra",
    [{}, {KEY: 1}, {KEY: []}, {KEY: {}}, {KEY: {"v": "1"}}, {KEY: {"v": True}}, {KEY: {"v": 2, "seq": "x"}}],
)
def test_what_is_no_map_of_our_version_says_nothing(extra: dict[str, Any]) -> None:
    assert Place.parse(extra, offset=0) is None


def test_channel_sender_and_type_have_defaults() -> None:
    assert parsed() == Place(Sender("run", "main", "0"), 0, "data", {})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"seq": -1}, "seq -1 is out of range"),
        ({"seq": 1 << 63}, "out of range"),
        ({"seq": True}, "seq is True, expected int"),
        ({"seq": 1.0}, "seq is 1.0"),
        ({"id": 7}, "id is 7, expected str"),
        ({"chan": None}, "chan is None"),
        ({"last": 1}, "last is 1, expected bool"),
        ({"bytes": "9"}, "bytes is '9'"),
    ],
)
def test_a_key_of_the_wrong_type_is_named_where_the_message_begins(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(MetadataError, match=says) as caught:
        parsed(**wrong)
    assert (caught.value.code, caught.value.offset) == ("stream_invalid", 400)


@pytest.mark.parametrize("key", ["id", "seq"])
def test_a_missing_key_is_named(key: str) -> None:
    value = {"v": 1, "id": "run", "seq": 0}
    del value[key]
    with pytest.raises(MetadataError, match=f"{key} is missing"):
        Place.parse({KEY: value}, offset=0)


names = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=5)
places = st.builds(
    Place,
    st.builds(Sender, names, names, names),
    st.integers(0, (1 << 63) - 1),
    st.sampled_from(["data", "end", "error", "note"]),
    st.dictionaries(st.sampled_from(["future", "x"]), st.integers(0, 9)),
)


@budget(200)
@given(places)
def test_a_place_is_read_as_it_was_written_unknown_keys_too(place: Place) -> None:
    assert Place.parse({KEY: place.to_map()}, offset=0) == place


@pytest.mark.parametrize(
    ("place", "closes"),
    [
        (Place(RUN, 0), False),
        (Place(RUN, 0, rest={"last": True}), True),
        (Place(RUN, 0, "end"), True),
        (Place(RUN, 0, "error"), True),
        (Place(RUN, 0, "error", {"fatal": False}), False),
        (Place(RUN, 0, "error", {"fatal": False, "last": True}), False),
        (Place(RUN, 0, "note"), False),
    ],
)
def test_an_end_a_fatal_error_and_the_last_data_close_a_sender(place: Place, closes: bool) -> None:
    assert place.closes == closes


def codes(*seqs: int, types: dict[int, str] | None = None) -> list[list[str]]:
    ledger = Ledger()
    found = []
    for number, seq in enumerate(seqs):
        place = Place(RUN, seq, (types or {}).get(number, "data"))
        found.append([code for code, _ in ledger.receive(place)])
    return found


def test_consecutive_numbers_are_in_order() -> None:
    assert codes(0, 1, 2, 3, types={3: "end"}) == [[], [], [], []]


def test_what_is_missing_repeated_or_goes_back_is_told_once() -> None:
    assert codes(0, 2, 3) == [[], ["seq_gap"], []]
    assert codes(0, 1, 1, 2) == [[], [], ["seq_duplicate"], []]
    assert codes(0, 1, 2, 0, 3) == [[], [], [], ["seq_reversed"], []]
    assert codes(5, 6) == [["seq_gap"], []]


def test_nothing_may_follow_an_end_but_another_run_may() -> None:
    assert codes(0, 1, 2, types={1: "end"}) == [[], [], ["after_end"]]
    ledger = Ledger()
    for who in (RUN, Sender("other"), Sender("run", "sync"), Sender("run", sender="1")):
        assert [*ledger.receive(Place(who, 0)), *ledger.receive(Place(who, 1, "end"))] == []
    assert ledger.open_senders() == []
    assert ledger.error() is None


def test_no_more_senders_are_remembered_than_the_limit_says() -> None:
    ledger = Ledger(Limits(senders=3))
    for number in range(3):
        for seq in range(2):
            assert list(ledger.receive(Place(Sender("run", sender=str(number)), seq))) == []
    for extra in (Sender("run", sender="3"), Sender("other"), Sender("run", "sync")):
        with pytest.raises(LimitExceeded, match=r"4 senders in one stream.* 3, raise it with --max-senders"):
            ledger.take(Place(extra, 0))
    assert len(ledger.senders) == 3


def test_an_end_that_names_a_successor_ends_a_file_and_not_its_sender() -> None:
    ledger = Ledger()
    moved = Place(RUN, 1, "end", {"next": "run.1.tgm"})
    assert [*ledger.receive(Place(RUN, 0)), *ledger.receive(moved)] == []
    assert (moved.closes, ledger.open_senders(), ledger.successor_of(RUN)) == (False, [RUN], "run.1.tgm")
    assert list(ledger.receive(Place(RUN, 2, rest={"prev": "run.tgm"}))) == []
    assert (ledger.successor_of(RUN), ledger.next_seq(RUN), ledger.close_of(RUN)) == (None, 3, None)


def test_the_numbers_of_a_successor_begin_where_it_says_and_go_on_from_there() -> None:
    ledger = Ledger()
    assert list(ledger.receive(Place(RUN, 7, rest={"prev": "run.tgm"}))) == []
    assert list(ledger.receive(Place(RUN, 8))) == []
    assert [code for code, _ in ledger.receive(Place(RUN, 10, rest={"prev": "x"}))] == ["seq_gap"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (0, (RUN, 0)),
        ({"sender": "3", "seq": 4}, (Sender("run", "main", "3"), 4)),
        ({"id": "r", "chan": "c", "sender": "s", "seq": 1}, (Sender("r", "c", "s"), 1)),
        (None, None),
        (-1, None),
        (True, None),
        ({"seq": "1"}, None),
        ({"id": 5, "seq": 1}, None),
        (1 << 63, None),
    ],
)
def test_a_reply_names_the_message_that_it_answers(said: Any, expected: Any) -> None:
    assert Place(RUN, 9, rest={} if said is None else {"in_reply_to": said}).reply() == expected


def test_the_first_fatal_error_is_remembered_and_a_warning_is_not() -> None:
    ledger = Ledger()
    first = Place(RUN, 1, "error", {"msg": "disk"})
    for place in (Place(RUN, 0, "error", {"fatal": False}), first, Place(Sender("b"), 0, "error")):
        list(ledger.receive(place))
    assert ledger.error() == first


@pytest.mark.parametrize("text", ["", "a/b", "a\nb", "\x1b[2J"])
def test_a_name_that_would_confuse_a_listing_is_not_written(text: str) -> None:
    with pytest.raises(EncodeError, match="--chan"):
        checked_name(text, "--chan")
    assert checked_name("main", "--chan") == "main"


@pytest.mark.parametrize("step", [1, 7, 23, 24, 25, 100_000])
def test_a_tally_is_the_same_for_every_cut_and_with_lengths_or_without(step: int) -> None:
    from xxhash import xxh3_64

    messages = [bytes(range(256)) * 3, b"\x01" * 48]
    tally = Tally()
    for message in messages:
        for at in range(0, len(message), step):
            tally.data(message[at : at + step])
        tally.end()
    expected = xxh3_64()
    for message in messages:
        expected.update(message[:16] + bytes(8) + message[24:-16] + bytes(8) + message[-8:])
    assert tally.to_map() == {"count": 2, "bytes": 816, "digest": f"xxh3:{expected.intdigest():016x}"}
