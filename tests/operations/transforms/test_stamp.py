"""A stamped stream is one stream: numbered, ended, and otherwise the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensogram

import tgmtool
from tests.operations.transforms.messages import each_kind, end, kinds, one, place, run, theirs, units, wrong
from tgmtool import EncodeError, Provenance
from tgmtool.messages.stream import KEY, Place, Sender
from tgmtool.operations.markers import marker
from tgmtool.operations.transforms.base import Unit
from tgmtool.operations.transforms.reframe import frame_bytes, tensors
from tgmtool.operations.transforms.stamp import Stamp

US = Sender("r1", "fields", "7")


def stamp(**choices: Any) -> Stamp:
    return Stamp(US, clock=None, provenance=Provenance.reproducible(), **choices)


def places(data: bytes) -> list[Place | None]:
    return [unit.place for unit in units(data)]


def test_messages_are_numbered_and_the_end_counts_them() -> None:
    data = b"".join(one(step, layout=layout) for step, layout in enumerate(("buffered", "streaming") * 2))
    made = run(stamp(), data)
    found = places(made)
    assert [(p.who, p.seq, p.type) for p in found if p] == [
        *((US, seq, "data") for seq in range(4)),
        (US, 4, "end"),
    ]
    assert found[-1] is not None
    assert found[-1].rest["count"] == 4
    assert wrong(made, stream=True) == []


@each_kind()
def test_payload_frames_stay_byte_for_byte(data: bytes) -> None:
    (made,) = stamp(end=False).message(Unit(data))
    assert [bytes(frame_bytes(made, frame)) for frame in tensors(made)] == [
        bytes(frame_bytes(Unit(data), frame)) for frame in tensors(Unit(data))
    ]
    before, after = Unit(data).message.metadata, made.message.metadata
    assert after.base == before.base
    assert after.reserved == before.reserved
    assert {**after.extra, KEY: 0} == {**before.extra, KEY: 0}


def test_header_and_footer_say_the_same() -> None:
    made = run(stamp(), one(0, layout="streaming"))
    assert wrong(made, stream=True) == []
    assert made.count(KEY.encode()) == 3  # twice here, once in the end


def test_the_reference_reads_every_stamped_message_of_its_own() -> None:
    for name, data in theirs():
        (made,) = stamp(end=False).message(Unit(data))
        assert made.data != data, name
        found = tensogram.decode(bytes(made.data), verify_hash=b"xxh3" in data)
        assert found.metadata.extra[KEY] == Place(US, 0).to_map(), name
        for (_, before), (_, after) in zip(tensogram.decode(data).objects, found.objects, strict=True):
            assert np.asarray(before).tobytes() == np.asarray(after).tobytes(), name


def test_a_message_that_has_a_place_keeps_it() -> None:
    other = one(1, place=place(0)) + end(1)
    made = run(stamp(), one(0) + other)
    assert [(p.who.id, p.seq) for p in places(made) if p] == [("r1", 0), ("run", 0), ("run", 1), ("r1", 1)]
    assert other in made
    assert wrong(made, stream=True) == []


def test_numbers_go_on_after_messages_that_are_ours_already() -> None:
    data = one(0, place=Place(US, 0)) + one(1, place=Place(US, 1)) + one(2)
    made = run(stamp(), data)
    assert [p.seq for p in places(made) if p] == [0, 1, 2, 3]
    assert wrong(made, stream=True) == []


def test_a_stream_of_ours_that_ended_is_not_ended_again() -> None:
    data = run(stamp(), one(0))
    assert run(stamp(), data) == data


def test_forced_all_messages_become_one_stream() -> None:
    streams = [one(step, place=place(seq, who)) for who in "ab" for seq, step in enumerate((0, 1))]
    data = b"".join([*streams[:2], end(2, "a", count=2), *streams[2:], end(2, "b", count=2)])
    made = run(stamp(force=True), data)
    assert [(p.who, p.seq, p.type) for p in places(made) if p] == [
        *((US, seq, "data") for seq in range(4)),
        (US, 4, "end"),
    ]
    assert wrong(made, stream=True) == []


def test_forced_an_error_ends_the_stream_after_all_else_has_passed() -> None:
    error = marker(place(1, "a", "error", code="boom", msg="it broke"))
    later = marker(place(1, "b", "error", code="bang"))
    data = one(0, place=place(0, "a")) + error + one(1, place=place(0, "b")) + later
    made = places(run(stamp(force=True), data))
    assert [(p.seq, p.type, p.closes) for p in made if p] == [
        (0, "data", False),
        (1, "data", False),
        (2, "error", False),
        (3, "error", True),
    ]
    assert made[-1] is not None
    assert (made[-1].rest["code"], made[-1].rest["msg"]) == ("boom", "it broke")


def test_forced_an_answer_still_names_what_it_answers() -> None:
    (made,) = places(run(stamp(force=True, end=False), one(0, place=place(5, in_reply_to=3, note="x"))))
    assert made is not None
    assert made.rest == {
        "in_reply_to": {"id": "run", "chan": "main", "sender": "0", "seq": 3},
        "note": "x",
    }


def test_after_a_failure_nothing_claims_to_be_complete() -> None:
    made = run(stamp(), one(0), failed=True)
    assert [p.type for p in places(made) if p] == ["data"]


def test_an_empty_stream_has_an_end_too() -> None:
    (found,) = places(run(stamp(), b""))
    assert found is not None
    assert (found.seq, found.type, found.rest["count"]) == (0, "end", 0)


def test_messages_say_when_unless_told_not_to() -> None:
    (found, _) = places(run(Stamp(US, clock=lambda: "2026-01-01T00:00:00.000Z"), one(0)))
    assert found is not None
    assert found.rest == {"time": "2026-01-01T00:00:00.000Z"}


@pytest.mark.parametrize("who", [Sender("", "a", "b"), Sender("a/b"), Sender("r", "x\n")])
def test_names_that_cannot_be_written_are_refused(who: Sender) -> None:
    with pytest.raises(EncodeError):
        Stamp(who)


def test_metadata_that_changed_is_refused() -> None:
    data = bytearray(kinds()["buffered"])
    data[60] ^= 1
    with pytest.raises(tgmtool.FormatError):
        list(stamp().message(Unit(bytes(data))))
