"""Which files of a folder are new: each once, by name, and without listing it for nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.processes import wait_until
from tgmtool import SourceError
from tgmtool.operations import inbox as module
from tgmtool.operations.inbox import Inbox


def names_of(inbox: Inbox) -> list[str]:
    return [name for name, _ in inbox.new()]


def taken(inbox: Inbox) -> list[str]:
    found = inbox.new()
    for name, identity in found:
        inbox.take(name, identity)
    return [name for name, _ in found]


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / ".tmp").write_bytes(name.encode())
        os.rename(folder / ".tmp", folder / name)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing may take all the time there is."""
    monkeypatch.setattr(module, "_SHARE", 0)


def test_files_are_new_once_and_by_name(tmp_path: Path) -> None:
    inbox = Inbox(str(tmp_path))
    put(tmp_path, "b.tgm", "a.tgm")
    assert names_of(inbox) == ["a.tgm", "b.tgm"]
    assert taken(inbox) == ["a.tgm", "b.tgm"]
    put(tmp_path, "c.tgm", "0.tgm")
    assert taken(inbox) == ["0.tgm", "c.tgm"]
    assert taken(inbox) == []


@pytest.mark.parametrize("name", [".hidden.tgm", "a.tmp", "a.tgm.done", "README", ".a.tgm.123.tmp"])
def test_what_is_private_or_something_else_is_not_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.tgm").mkdir()
    os.mkfifo(tmp_path / "pipe.tgm")
    (tmp_path / "dangling.tgm").symlink_to("nowhere")
    assert names_of(Inbox(str(tmp_path))) == []


def test_a_file_that_took_the_place_of_one_is_new_and_one_that_went_is_forgotten(tmp_path: Path) -> None:
    inbox = Inbox(str(tmp_path))
    put(tmp_path, "a.tgm", "b.tgm")
    taken(inbox)
    put(tmp_path, "a.tgm")
    assert taken(inbox) == ["a.tgm"]
    (tmp_path / "b.tgm").unlink()
    assert taken(inbox) == []
    assert list(inbox.to_map()) == ["a.tgm"]


@pytest.mark.parametrize(
    ("said", "there"),
    [
        (b"", True),
        (b"{}", True),
        (b'{"bytes": 5}', True),
        (b'{"bytes": 6}', False),
        (b'{"bytes": "many"}', True),
        (b"not JSON", True),
        (b"[" * 4000, True),
        (None, False),
    ],
)
def test_a_sentinel_says_that_a_file_is_whole(tmp_path: Path, said: bytes | None, there: bool) -> None:
    put(tmp_path, "a.tgm")
    if said is not None:
        (tmp_path / "a.tgm.done").write_bytes(said)
    assert names_of(Inbox(str(tmp_path), "sentinel")) == (["a.tgm"] if there else [])


def test_what_was_taken_is_remembered_across_a_restart(tmp_path: Path) -> None:
    first, second = Inbox(str(tmp_path)), Inbox(str(tmp_path))
    put(tmp_path, "a.tgm")
    taken(first)
    put(tmp_path, "b.tgm")
    second.resume(first.to_map())
    assert taken(second) == ["b.tgm"]
    for wrong in ({"a": 7}, {"a": [1]}, {"a": ["x", 2, 3]}):
        with pytest.raises((ValueError, TypeError)):
            second.resume(wrong)


def test_a_folder_in_which_nothing_happens_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_UNSETTLED", 0.0)
    inbox = Inbox(str(tmp_path))
    listed: list[Any] = []
    real = inbox._list

    def listing() -> Any:
        listed.append(1)
        return real()

    monkeypatch.setattr(inbox, "_list", listing)
    inbox.new()
    wait_until(lambda: inbox.new() == [], "the folder's time to be settled")
    before = len(listed)
    for _ in range(100):
        inbox.new()
    assert len(listed) <= before + 1
    put(tmp_path, "a.tgm")
    assert [name for name, _ in inbox.new()] == ["a.tgm"]


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        Inbox(str(tmp_path / "missing")).new()
