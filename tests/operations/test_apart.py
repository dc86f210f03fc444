"""What blocks is done beside the event loop, and nothing outlives the await."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

import tgmtool
from tests.operations.streams import buffered, steps_of
from tests.processes import PATIENCE
from tgmtool.operations.apart import apart


class Gate:
    """Work that blocks until somebody in the event loop lets it go on."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.passed: list[bool] = []

    def work(self) -> None:
        self.reached.set()
        self.passed.append(self.opened.wait(PATIENCE))

    async def wait_until_reached(self) -> None:
        while not self.reached.is_set():
            await asyncio.sleep(0.001)

    async def open(self) -> None:
        await self.wait_until_reached()
        self.opened.set()


def test_other_tasks_go_on_meanwhile() -> None:
    gate = Gate()

    async def both() -> None:
        await asyncio.gather(apart(gate.work), gate.open())

    asyncio.run(both())
    assert gate.passed == [True]


def test_what_goes_wrong_is_raised_where_it_is_awaited() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(apart(lambda: 1 / 0))


def test_cancelling_waits_for_the_end_of_the_work_and_leaves_no_thread() -> None:
    gate, before = Gate(), set(threading.enumerate())

    async def cancelled() -> None:
        task = asyncio.create_task(apart(gate.work))
        await gate.wait_until_reached()
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert gate.passed == [True]
    assert set(threading.enumerate()) == before


def test_following_holds_up_nobody_while_state_and_acknowledgments_are_written(tmp_path: Path) -> None:
    path, state = tmp_path / "run.tgm", tmp_path / "state"
    path.write_bytes(buffered([0]) + buffered([1]))
    gate = Gate()
    keeping: Any = {
        "state": str(state),
        "state_period": 0.0,
        "flush": gate.work,
        "ack": str(tmp_path / "ack"),
    }

    async def followed() -> list[Any]:
        return [one async for one in tgmtool.atail(str(path), last=None, **keeping)]

    async def both() -> list[Any]:
        opening = asyncio.create_task(gate.open())
        found = await followed()
        await opening
        return found

    assert steps_of(asyncio.run(both())) == [0, 1]
    assert len(gate.passed) > 1
    assert all(gate.passed)
    (entry,) = json.loads(state.read_text())["places"].values()
    assert entry["cursor"]["offset"] == path.stat().st_size
