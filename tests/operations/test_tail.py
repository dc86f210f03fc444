"""Following files: where it begins, when it stops, waiting and awaiting alike."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import tgmtool
from tests.operations.streams import append, buffered, pieces, piped, steps_of, streaming
from tgmtool import DataObject, Message, Notice, SourceError, TimeLimit
from tgmtool.operations.choices import Choices
from tgmtool.operations.tail import Tail

Collect = Callable[..., list[Any]]
SEVERAL = streaming(range(3)) + buffered(range(3, 5)) + streaming(range(5, 9), backfill=True) + buffered([9])
FOLLOWING: dict[str, Any] = {"follow": True, "last": None, "settle": 0.0}


def waiting(places: Any, on_found: Callable[[Any], object] = lambda _: None, **choices: Any) -> list[Any]:
    found = []
    for one in tgmtool.tail(places, **choices):
        found.append(one)
        on_found(one)
    return found


def awaiting(places: Any, on_found: Callable[[Any], object] = lambda _: None, **choices: Any) -> list[Any]:
    async def collected() -> list[Any]:
        found = []
        async for one in tgmtool.atail(places, **choices):
            found.append(one)
            on_found(one)
        return found

    return asyncio.run(collected())


@pytest.fixture(params=[waiting, awaiting], ids=["tail", "atail"])
def collect(request: pytest.FixtureRequest) -> Collect:
    found: Collect = request.param
    return found


@pytest.fixture(
    params=[{"notices": True, "poll": 1.0}, {"notices": False, "poll": 0.01}], ids=["notices", "polling"]
)
def how(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.tgm"


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def append_all(path: Path, parts: Iterator[bytes]) -> None:
    for part in parts:
        append(path, part)


def events_of(found: list[Any]) -> list[str]:
    return [one.event for one in found if isinstance(one, Notice)]


# ---- growth


@pytest.mark.parametrize("seed", range(4))
def test_growth_gives_every_object_once_and_in_order(
    collect: Collect, how: dict[str, Any], path: Path, seed: int
) -> None:
    path.write_bytes(b"")
    chance = random.Random(seed)
    sizes = [chance.randint(1, 400) for _ in range(40)]
    writer = in_background(lambda: append_all(path, pieces(SEVERAL, sizes)))
    found = collect(str(path), **FOLLOWING, **how, count=10)
    writer.join()
    assert steps_of(found) == list(range(10))
    assert events_of(found) == []


def test_each_object_is_handed_out_before_the_next_one_is_written(
    collect: Collect, how: dict[str, Any], path: Path
) -> None:
    parts = [buffered([step]) for step in range(6)]
    path.write_bytes(parts[0])

    def on_found(one: Any) -> None:
        step = one.metadata["mars"]["step"]
        if step < 5:
            append(path, parts[step + 1])

    assert steps_of(collect(str(path), on_found, **FOLLOWING, **how, count=6)) == list(range(6))


def test_a_replaced_file_is_gone_on_with(collect: Collect, how: dict[str, Any], path: Path) -> None:
    path.write_bytes(buffered([1]))
    other = path.with_name("other")

    def on_found(one: Any) -> None:
        if isinstance(one, DataObject) and one.metadata["mars"]["step"] == 1:
            other.write_bytes(buffered([2]))
            os.rename(other, path)

    found = collect(str(path), on_found, **FOLLOWING, **how, count=2)
    assert steps_of(found) == [1, 2]
    assert events_of(found) == ["replaced"]


def test_a_truncated_file_is_begun_anew(collect: Collect, how: dict[str, Any], path: Path) -> None:
    path.write_bytes(buffered([1]) + buffered([2]))

    def on_found(one: Any) -> None:
        if isinstance(one, DataObject) and one.metadata["mars"]["step"] == 2:
            path.write_bytes(buffered([3]))

    found = collect(str(path), on_found, **FOLLOWING, **how, count=3)
    assert steps_of(found) == [1, 2, 3]
    assert events_of(found) == ["truncated"]


def test_a_removed_file_that_comes_back_is_gone_on_with(
    collect: Collect, how: dict[str, Any], path: Path
) -> None:
    path.write_bytes(buffered([1]))

    def on_found(one: Any) -> None:
        if isinstance(one, DataObject) and one.metadata["mars"]["step"] == 1:
            path.unlink()
        elif isinstance(one, Notice) and one.event == "removed":
            path.write_bytes(buffered([2]))

    found = collect(str(path), on_found, **FOLLOWING, **how, count=2)
    assert steps_of(found) == [1, 2]
    assert events_of(found)[0] == "removed"


def test_several_files_are_followed_at_once(collect: Collect, how: dict[str, Any], tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.tgm" for number in range(3)]
    for number, one in enumerate(paths):
        one.write_bytes(buffered([number]))

    def grow() -> None:
        for number, one in enumerate(paths):
            append(one, buffered([10 + number]))

    writer = in_background(grow)
    found = collect([str(one) for one in paths], **FOLLOWING, **how, count=6)
    writer.join()
    steps = steps_of(found)
    assert sorted(steps) == [0, 1, 2, 10, 11, 12]
    for number in range(3):
        assert steps.index(number) < steps.index(10 + number)


def test_a_pipe_gives_every_object_while_it_is_open(collect: Collect) -> None:
    reader, writer = os.pipe()
    from tgmtool.endpoints.stdio import StreamSource

    source = StreamSource(reader, "<pipe>")
    parts = [buffered([step]) for step in range(5)]
    os.write(writer, parts[0])

    def on_found(one: Any) -> None:
        step = one.metadata["mars"]["step"]
        if step < 4:
            os.write(writer, parts[step + 1])
        else:
            os.close(writer)

    assert steps_of(collect(source, on_found, last=None, poll=10.0)) == list(range(5))
    source.close()


def test_the_last_of_a_pipe_are_known_at_its_end(collect: Collect) -> None:
    with piped(SEVERAL) as source:
        assert steps_of(collect(source, last=3)) == [7, 8, 9]


# ---- where it begins, without following


@pytest.mark.parametrize(
    ("choices", "steps"),
    [
        ({}, range(10)),
        ({"last": 3}, [7, 8, 9]),
        ({"last": 4}, [6, 7, 8, 9]),
        ({"last": 0}, []),
        ({"last": 10}, range(10)),
        ({"last": 99}, range(10)),
        ({"last": None}, range(10)),
        ({"last": None, "skip": 1}, range(1, 10)),
        ({"last": None, "skip": 4}, range(4, 10)),
        ({"last": None, "skip": 10}, []),
        ({"last": None, "skip": 99}, []),
        ({"start": "start"}, range(10)),
        ({"start": "end"}, []),
        ({"start": f"offset:{len(streaming(range(3)))}"}, range(3, 10)),
        ({"unit": "message", "last": 2}, range(5, 10)),
        ({"unit": "message", "last": 1}, [9]),
        ({"unit": "message", "last": None, "skip": 1}, range(3, 10)),
        ({"count": 2}, [0, 1]),
        ({"last": 3, "count": 2}, [7, 8]),
    ],
)
def test_where_it_begins(collect: Collect, path: Path, choices: Any, steps: Any) -> None:
    path.write_bytes(SEVERAL)
    found = collect(str(path), **choices)
    assert steps_of(found) == list(steps)
    assert events_of(found) == []


def test_numbers_do_not_depend_on_where_it_begins(collect: Collect, path: Path) -> None:
    path.write_bytes(SEVERAL)
    places = [
        [(o.span.message, o.span.number, o.span.offset) for o in collect(str(path), last=n)] for n in (10, 3)
    ]
    assert places[1] == places[0][-3:]


def test_from_the_end_gives_only_what_comes_then(path: Path) -> None:
    open_one = streaming(range(10, 12))
    half = len(open_one) // 2
    path.write_bytes(SEVERAL + open_one[:half])
    with closing(Tail([str(path)], Choices(follow=True, start="end", settle=0.0))) as steps:
        before = list(steps.look())
        append(path, open_one[half:] + buffered([12]))
        found = before + list(steps.look())
    assert steps_of(found) == [10, 11, 12]


# ---- when it stops


def test_until_hands_out_what_matched_and_stops(collect: Collect, path: Path) -> None:
    path.write_bytes(SEVERAL)
    assert steps_of(collect(str(path), **FOLLOWING, until=lambda one: steps_of([one]) == [4])) == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_a_cut_message_at_the_end_is_said(collect: Collect, path: Path) -> None:
    path.write_bytes(SEVERAL + streaming()[:-30])
    found = collect(str(path), last=2)
    assert events_of(found) == ["cut"]
    assert found[-1].offset == len(SEVERAL)


@pytest.mark.parametrize("limit", ["idle_timeout", "timeout"])
def test_a_time_limit_is_raised_after_what_was_there(collect: Collect, path: Path, limit: str) -> None:
    path.write_bytes(SEVERAL)
    found: list[Any] = []
    with pytest.raises(TimeLimit, match=limit.replace("_", "-")):
        collect(str(path), found.append, **FOLLOWING, **{limit: 0.1})
    assert steps_of(found) == list(range(10))


def test_it_stops_when_the_process_is_gone_and_everything_was_read(
    collect: Collect, how: dict[str, Any], path: Path
) -> None:
    path.write_bytes(buffered([0]))
    script = "import sys; sys.stdin.read(); open(sys.argv[1], 'ab').write(open(sys.argv[2], 'rb').read())"
    more = path.with_name("more")
    more.write_bytes(buffered([1]))
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path), str(more)], stdin=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        close = child.stdin.close

        def on_found(one: Any) -> None:
            if steps_of([one]) == [0]:
                close()

        found = collect(str(path), on_found, **FOLLOWING, **how, pid=child.pid)
    assert steps_of(found) == [0, 1]


def test_a_file_may_appear_later(collect: Collect, how: dict[str, Any], path: Path) -> None:
    begun = threading.Event()

    def appear() -> None:
        begun.wait()
        path.write_bytes(buffered([1]))

    writer = in_background(appear)
    begun.set()
    found = collect(str(path), **FOLLOWING, **how, wait_for=60.0, count=1)
    writer.join()
    assert steps_of(found) == [1]


@pytest.mark.parametrize("choices", [{}, {"wait_for": 0.05}, FOLLOWING, {**FOLLOWING, "wait_for": 0.05}])
def test_a_file_that_is_never_there_is_an_error(collect: Collect, path: Path, choices: Any) -> None:
    with pytest.raises(SourceError, match="no such file"):
        collect(str(path), **choices)


def test_a_missing_file_among_others_is_an_error_at_the_end(collect: Collect, path: Path) -> None:
    path.write_bytes(buffered([1]))
    found: list[Any] = []
    with pytest.raises(SourceError, match="no such file"):
        collect([str(path), str(path) + ".missing"], found.append)
    assert steps_of(found) == [1]


def test_retry_waits_for_a_file_as_long_as_it_takes(
    collect: Collect, how: dict[str, Any], path: Path
) -> None:
    other = path.with_name("other")
    other.write_bytes(buffered([0]))

    def on_found(one: Any) -> None:
        if steps_of([one]) == [0]:
            path.write_bytes(buffered([1]))

    found = collect([str(path), str(other)], on_found, **FOLLOWING, **how, retry=True, count=2)
    assert steps_of(found) == [0, 1]


@pytest.mark.parametrize(("unit", "kind"), [("object", DataObject), ("message", Message)])
def test_units_are_what_was_asked_for(collect: Collect, path: Path, unit: str, kind: type) -> None:
    path.write_bytes(SEVERAL)
    found = collect(str(path), unit=unit, last=None)
    assert {type(one) for one in found} == {kind}
    assert steps_of(found) == list(range(10))


@pytest.mark.parametrize("changes", [{"unit": "nonsense"}, {"start": "nonsense"}, {"start": "offset:x"}])
def test_choices_that_do_not_exist_are_refused(collect: Collect, path: Path, changes: Any) -> None:
    path.write_bytes(SEVERAL)
    with pytest.raises(ValueError, match="must be"):
        collect(str(path), **changes)


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(TypeError):
        next(tgmtool.tail("run.tgm", Choices(), nonsense=1))


# ---- what is left behind


def left_behind() -> tuple[set[str], set[threading.Thread]]:
    names = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            names.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue  # the listing's own
    return names, set(threading.enumerate())


@pytest.mark.parametrize(
    ("turns", "choices"),
    [
        (1000, {"notices": True}),
        (1000, {"notices": False}),
        (60, {"state": "state", "ack": "ack", "while_command": "sleep 1000", "pid": os.getpid()}),
        pytest.param(
            1000, {"state": "state", "ack": "ack", "while_command": "sleep 9"}, marks=pytest.mark.soak
        ),
    ],
)
def test_cancelling_leaves_no_descriptor_task_thread_or_process(
    path: Path, turns: int, choices: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    path.write_bytes(SEVERAL)
    children = Path("/proc/thread-self/children")
    others = children.read_text()  # servers that other tests share

    async def follow(begun: asyncio.Event) -> None:
        async for one in tgmtool.atail(str(path), **FOLLOWING, **choices, state_reset=True, poll=60.0):
            if steps_of([one]) == [9]:
                begun.set()

    async def cancel_often() -> None:
        for turn in range(turns):
            begun = asyncio.Event()
            task = asyncio.create_task(follow(begun))
            await begun.wait()
            for _ in range(turn % 3):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            if turn == 0:
                before = left_behind()
            assert asyncio.all_tasks() == {asyncio.current_task()}
        assert left_behind() == before
        assert children.read_text() == others

    asyncio.run(cancel_often())


def test_leaving_the_loop_leaves_no_descriptor_behind(path: Path) -> None:
    path.write_bytes(SEVERAL)
    before = left_behind()
    for _ in range(50):
        following: Iterator[Any] = tgmtool.tail(str(path), **FOLLOWING)
        next(following)
        following.close()  # type: ignore[attr-defined]  # it is a generator
    assert left_behind() == before
