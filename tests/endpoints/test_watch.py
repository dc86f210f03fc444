"""A watch tells that files changed, or that the time is up; it leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.endpoints.descriptors import PATIENCE, no_descriptor_left, open_descriptors, returns
from tgmtool.endpoints.watch import Inotify, Polling, Watch, watch

LONG = 100 * PATIENCE  # nobody waits for that long: whoever comes back was told something

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems tell through a package")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "growing.tgm"
    found.write_bytes(b"0123")
    return found


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def patch(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"X")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"another one")
    other.replace(path)


def create(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"new")


CHANGES: dict[str, Callable[[Path], object]] = {
    "appended": append,
    "written over": patch,
    "cut": lambda path: os.truncate(path, 1),
    "replaced": replace,
    "removed": Path.unlink,
    "created again": create,
    "moved away": lambda path: path.rename(path.with_name("elsewhere")),
    "touched": os.utime,
    "closed by its writer": lambda path: path.open("ab").close(),
}


# ---- notices


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_before_the_wait_is_noticed(path: Path, change: str) -> None:
    found = Inotify([str(path)])
    CHANGES[change](path)
    assert returns(lambda: found.wait(LONG))
    found.close()


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_during_the_wait_is_noticed(path: Path, change: str) -> None:
    async def change_while_waiting() -> None:
        found = Inotify([str(path)])
        waiting = asyncio.create_task(found.wait_async(LONG))
        await asyncio.sleep(0)
        CHANGES[change](path)
        await asyncio.wait_for(waiting, PATIENCE)
        found.close()

    asyncio.run(change_while_waiting())


def test_a_file_that_does_not_exist_yet_is_noticed_when_it_appears_and_when_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "later.tgm"
    found = watch([str(path)])
    assert isinstance(found, Inotify)
    path.write_bytes(b"0")
    assert returns(lambda: found.wait(LONG))
    append(path)
    assert returns(lambda: found.wait(LONG))
    found.close()


def test_a_file_that_took_the_place_of_another_is_noticed_when_it_grows(path: Path) -> None:
    found = Inotify([str(path)])
    replace(path)
    assert returns(lambda: found.wait(LONG))
    append(path)
    assert returns(lambda: found.wait(LONG))
    found.close()


def test_any_of_several_files_is_noticed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    other = tmp_path / "sub" / "other.tgm"
    other.write_bytes(b"")
    found = Inotify([str(path), str(other)])
    for changed in (path, other, path):
        append(changed)
        assert returns(lambda: found.wait(LONG))
    found.close()


def test_a_path_without_a_folder_is_in_the_current_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    found = Inotify([path.name])
    append(path)
    assert returns(lambda: found.wait(LONG))
    found.close()


def test_a_name_that_is_no_utf8_is_watched_too(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.tgm"
    with open(name, "wb"):
        pass
    found = Inotify([os.fsdecode(name)])
    with open(name, "ab") as file:
        file.write(b"x")
    assert returns(lambda: found.wait(LONG))
    found.close()


# ---- or the time is up


@pytest.mark.parametrize("events", [True, False], ids=["inotify", "polling"])
def test_without_a_change_the_wait_ends_with_its_time(path: Path, events: bool) -> None:
    found = watch([str(path)], events=events)
    assert isinstance(found, Inotify if events else Polling)
    for timeout in (0, 0.001, 0.01, -1):
        found.wait(timeout)
        asyncio.run(_wait_async(found, timeout))
    found.close()


async def _wait_async(found: Watch, timeout: float) -> None:
    await found.wait_async(timeout)


def test_a_notice_is_told_once(path: Path) -> None:
    found = Inotify([str(path)])
    append(path)
    found.wait(LONG)
    poller = found._poller
    assert poller.poll(0) == []
    found.close()


def test_a_thousand_changes_are_one_notice(path: Path) -> None:
    found = Inotify([str(path)])
    for _ in range(1000):
        append(path)
        patch(path)
    assert returns(lambda: found.wait(LONG))
    assert found._poller.poll(0) == []
    found.close()


# ---- what there is when nobody tells


def test_polling_is_all_there_is_where_it_is_asked_for_or_nothing_can_be_watched(tmp_path: Path) -> None:
    assert isinstance(watch([]), Polling)
    assert isinstance(watch([str(tmp_path / "x")], events=False), Polling)
    assert isinstance(watch([str(tmp_path / "missing" / "x")]), Polling)


def test_polling_is_all_there_is_when_the_system_has_no_watch_left(path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with no_descriptor_left():
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            found = watch([str(path)])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert isinstance(found, Polling)
        found.close()


# ---- nothing left behind


def test_no_descriptor_stays_open(path: Path) -> None:
    with no_descriptor_left():
        for _ in range(3):
            found = Inotify([str(path)])
            assert len(open_descriptors()) > 0
            append(path)
            found.wait(LONG)
            found.close()
            found.close()
        with pytest.raises(OSError, match="missing"):
            Inotify([str(path.parent / "missing" / "x")])


def test_a_cancelled_wait_leaves_no_reader_behind(path: Path) -> None:
    async def cancel() -> bool:
        found = Inotify([str(path)])
        waiting = asyncio.create_task(found.wait_async(LONG))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        left = asyncio.get_running_loop().remove_reader(found._descriptor)
        append(path)
        await asyncio.wait_for(found.wait_async(LONG), PATIENCE)
        found.close()
        return left

    with no_descriptor_left():
        assert asyncio.run(cancel()) is False


def test_a_cancelled_poll_ends_at_once() -> None:
    async def cancel() -> None:
        waiting = asyncio.create_task(Polling().wait_async(LONG))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(asyncio.wait_for(cancel(), PATIENCE))


# ---- folders, and what is followed later


def test_a_file_that_gets_its_name_in_a_folder_is_noticed_and_so_is_one_written_there(tmp_path: Path) -> None:
    found = Inotify([f"{tmp_path}/"])
    (tmp_path / ".tmp").write_bytes(b"x")
    assert returns(lambda: found.wait(LONG))
    (tmp_path / ".tmp").rename(tmp_path / "a.tgm")
    assert returns(lambda: found.wait(LONG))
    append(tmp_path / "a.tgm")
    assert returns(lambda: found.wait(LONG))
    found.close()


def test_a_file_that_is_added_is_noticed_when_it_grows(path: Path) -> None:
    folder = path.parent / "sub"
    folder.mkdir()
    found = Inotify([str(path)])
    found.add([str(path.parent / "missing" / "x"), str(folder / "later.tgm")])
    (folder / "later.tgm").write_bytes(b"0")
    assert returns(lambda: found.wait(LONG))
    append(folder / "later.tgm")
    assert returns(lambda: found.wait(LONG))
    found.close()
    Polling().add([str(path)])


def test_a_folder_that_went_away_and_came_back_is_watched_again(tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    path = folder / "a.tgm"
    path.write_bytes(b"0")
    found = Inotify([str(path)])
    path.unlink()
    folder.rmdir()
    found.wait(0)
    folder.mkdir()
    found.wait(0)  # in the turn of a poll it is found again
    path.write_bytes(b"1")
    assert returns(lambda: found.wait(LONG))
    append(path)
    assert returns(lambda: found.wait(LONG))
    found.close()
