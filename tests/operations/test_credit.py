"""A producer with a window never runs further ahead, whatever the file of acknowledgments holds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool
from tests.operations.producers import ack, assert_clean, kinds_in
from tests.operations.streams import framed
from tests.processes import wait_until
from tgmtool import EncodeError, MemorySource, Message, Stream, TimeLimit
from tgmtool.messages.stream import Place, Sender
from tgmtool.operations.credit import Credit, Handover, check_handover
from tgmtool.operations.encode import Production, produce
from tgmtool.operations.interruption import Interruption
from tgmtool.operations.markers import marker
from tgmtool.operations.outputs import Output

ME = Sender("run")
POLL = 0.02


def credit_of(
    path: Path, *, window: int | None = 1000, seq: int = 0, **choices: Any
) -> tuple[Credit, list[str]]:
    """A credit that waits shortly, and what it reports."""
    said: list[str] = []
    handover = Handover(str(path), window, **{"patience": 0.05, "poll": POLL, **choices})
    return Credit(handover, ME, seq, Interruption(), said.append), said


def test_what_fits_into_the_window_passes_and_what_does_not_waits(tmp_path: Path) -> None:
    path = tmp_path / "a.ack"
    credit, said = credit_of(path)
    with closing(credit):
        credit.wait_for_room(1000)
        credit.sent(0, 600)
        credit.wait_for_room(400)
        with pytest.raises(TimeLimit, match=r"number 0 \(600 bytes\), acknowledged through nothing"):
            credit.wait_for_room(401)
        path.write_bytes(ack(0, ME))
        credit.wait_for_room(1000)
        assert (credit.in_flight, credit.acknowledged, said) == (0, 0, [])


def test_what_is_larger_than_the_window_passes_when_nothing_else_is_in_flight(tmp_path: Path) -> None:
    path = tmp_path / "a.ack"
    credit, _ = credit_of(path)
    with closing(credit):
        credit.wait_for_room(5000)
        credit.sent(0, 5000)
        with pytest.raises(TimeLimit):
            credit.wait_for_room(1)
        path.write_bytes(ack(0, ME))
        credit.wait_for_room(5000)


def test_one_acknowledgment_is_for_everything_through_it(tmp_path: Path) -> None:
    path = tmp_path / "a.ack"
    credit, _ = credit_of(path)
    with closing(credit):
        for seq in range(4):
            credit.sent(seq, 250)
        path.write_bytes(ack(2, ME) + ack(1, ME, number=1))  # one that goes back takes nothing away
        credit.wait_for_room(750)
        assert (credit.in_flight, credit.acknowledged) == (250, 2)


FOREIGN = {
    "of another run": ack(1, Sender("other")),
    "of another sender": ack(1, Sender("run", "main", "7")),
    "of another channel": ack(1, Sender("run", "sync")),
    "of what was not sent": ack(2, ME),
    "on no sync channel": ack(1, ME, chan="main"),
    "of itself": marker(Place(Sender("consumer", "sync"), 0, rest={"in_reply_to": 1})),
    "no reply": marker(Place(Sender("consumer", "sync"), 0)),
    "data": tgmtool.encode([np.zeros(3)]),
    "a wrong map": tgmtool.encode([np.zeros(3)], metadata={"tgmstream": {"v": 1, "seq": "x"}}),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_what_is_foreign_gives_no_credit_and_is_reported_once(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ack"
    credit, said = credit_of(path)
    with closing(credit):
        credit.sent(0, 600)
        credit.sent(1, 300)
        path.write_bytes(content * 3)
        with pytest.raises(TimeLimit):
            credit.wait_for_room(400)
        assert len(said) == 1
        assert "give no credit" in said[0]
        path.write_bytes(path.read_bytes() + ack(1, ME))
        credit.wait_for_room(1000)


def test_what_was_there_before_anything_was_sent_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "a.ack"
    path.write_bytes(b"".join(ack(seq, ME, number=seq) for seq in range(5)))
    credit, said = credit_of(path)
    with closing(credit):
        assert "not sent" in said[0]
        credit.sent(0, 900)
        with pytest.raises(TimeLimit):
            credit.wait_for_room(200)


def test_what_was_there_counts_for_a_stream_that_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "a.ack"
    path.write_bytes(ack(4, ME))
    credit, said = credit_of(path, seq=5, wait=True)
    with closing(credit):
        credit.wait_for_end()
        assert (credit.acknowledged, said) == (4, [])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(bytes(range(256)) * 12),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(ack(0, ME)[:-9]),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["garbage", "emptied", "cut", "lost", "a directory"],
)
def test_losing_the_file_changes_nothing_for_the_worse(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    path = tmp_path / "a.ack"
    credit, _ = credit_of(path)
    with closing(credit):
        credit.sent(0, 600)
        path.write_bytes(ack(0, ME))
        credit.wait_for_room(1000)
        damage(path)
        credit.wait_for_room(1000)  # what was confirmed stays so
        credit.sent(1, 600)
        with pytest.raises(TimeLimit, match="acknowledged through number 0"):
            credit.wait_for_room(1000)
        if path.is_dir():
            path.rmdir()
        replacement = tmp_path / "new"
        replacement.write_bytes(ack(1, ME))
        replacement.rename(path)
        credit.wait_for_room(1000)


def test_waiting_is_broken_off_by_an_interruption(tmp_path: Path) -> None:
    class Wish(BaseException):
        pass

    interruption = Interruption()
    handover = Handover(str(tmp_path / "a.ack"), 10, patience=None, poll=POLL)
    with closing(Credit(handover, ME, 0, interruption, lambda _text: None)) as credit:
        credit.sent(0, 10)
        interruption.wanted = Wish()
        with pytest.raises(Wish):
            credit.wait_for_room(1)


@pytest.mark.parametrize("handover", [Handover("a"), Handover("a", 0), Handover("a", -1)])
def test_a_handover_that_makes_no_sense_is_refused(handover: Handover) -> None:
    with pytest.raises(EncodeError):
        check_handover(handover)


# ---- with a consumer


@contextmanager
def consumer(path: Path, acks: Path, *, until: float) -> Iterator[list[int]]:
    """Acknowledge each message of `path`, once that has `until` bytes; tell how far behind that was."""
    ahead: list[int] = []
    number = 0

    def follow() -> None:
        nonlocal number
        through = 0
        for found in tgmtool.tail(path, follow=True, unit="message", last=None, wait_for=30, poll=POLL):
            if not isinstance(found, Message):
                continue
            wait_until(lambda: path.stat().st_size >= until, "a producer that is ahead")
            ahead.append(path.stat().st_size - through)
            through = found.span.offset + found.span.length
            place = Place.parse(found.metadata.extra, offset=0)
            assert place is not None
            with acks.open("ab", buffering=0) as file:
                file.write(ack(place.seq, place.who, number=number))
            number += 1
            if place.closes:
                return

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield ahead
    finally:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("group", "layout"), [(1, "buffered"), (1, "streaming"), (3, "streaming"), (3, "buffered")]
)
def test_a_producer_is_never_more_than_its_window_ahead(tmp_path: Path, group: int, layout: str) -> None:
    path, acks = tmp_path / "a.tgm", tmp_path / "a.ack"
    window, count = 40_000, 30
    plan = Production(
        kind="framed",
        group=group,
        style=tgmtool.Style(layout),
        stream=Stream("run"),
        handover=Handover(str(acks), window, wait=True, poll=POLL),
    )
    with consumer(path, acks, until=window / 2) as ahead:
        list(produce([MemorySource(framed(range(count), (1000,)))], Output(str(path)), plan))
    footers = 2000  # of a message, and the end marker: they always pass
    assert max(ahead) <= window + footers
    assert ahead[0] >= window / 2
    assert kinds_in(path)[-1] == (-(-count // group), "end")
    assert_clean(path)
    assert_clean(acks, require_end=False)


def test_the_end_is_waited_for(tmp_path: Path) -> None:
    path, acks = tmp_path / "a.tgm", tmp_path / "a.ack"
    plan = Production(
        kind="framed",
        group=1,
        stream=Stream("run"),
        handover=Handover(str(acks), wait=True, patience=None, poll=POLL),
    )
    done = threading.Event()

    def run() -> None:
        list(produce([MemorySource(framed(range(3)))], Output(str(path), commit="rename"), plan))
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(path.exists, "the file")
    acks.write_bytes(ack(2, ME))
    assert not done.wait(5 * POLL)
    with acks.open("ab") as file:
        file.write(ack(3, ME, number=1))
    assert done.wait(60)
    thread.join()


def test_a_consumer_that_is_gone_is_said_and_marked(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    handover = Handover(str(tmp_path / "a.ack"), 3000, patience=0.05, poll=POLL)
    plan = Production(kind="framed", group=1, stream=Stream("run"), handover=handover)
    with pytest.raises(TimeLimit, match="the window is 3000 bytes"):
        list(
            produce([MemorySource(framed(range(30), (100,)))], Output(str(path)), plan, status=lambda _e: 124)
        )
    assert path.stat().st_size <= 3500
    assert kinds_in(path)[-1][1] == "error"
    assert_clean(path)


def test_a_window_needs_a_file_that_can_be_followed(tmp_path: Path) -> None:
    plan = Production(kind="framed", stream=Stream("run"), handover=Handover(str(tmp_path / "a.ack"), 3000))
    with pytest.raises(EncodeError, match="rename"):
        list(produce([MemorySource(framed([1]))], Output(str(tmp_path / "a"), commit="rename"), plan))
    assert list(tmp_path.iterdir()) == []
