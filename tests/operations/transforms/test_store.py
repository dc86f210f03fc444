"""A file in the store has all the bytes that its name stands for, or is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgmtool import LimitExceeded, SourceError
from tgmtool.errors import ReferenceRefused
from tgmtool.operations.transforms.store import Store, digest_in, name_of


def put(store: Store, data: bytes) -> str:
    name = name_of([data])
    store.put(name, [data[:3], data[3:]])
    return name


def test_a_name_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    name = put(store, b"payload")
    store.commit()
    assert name == hashlib.sha256(b"payload").hexdigest() + ".tgm"
    assert (tmp_path / name).read_bytes() == b"payload"
    assert store.get(name, 7) == b"payload"


def test_the_same_bytes_are_written_once(tmp_path: Path) -> None:
    first, second = Store(str(tmp_path)), Store(str(tmp_path))
    name = put(first, b"payload")
    inode = (tmp_path / name).stat().st_ino
    put(first, b"payload")
    put(second, b"payload")
    assert (first.written, second.written) == (1, 0)
    assert (tmp_path / name).stat().st_ino == inode
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("found", "says"), [(b"payloaX", "its bytes have the digest"), (b"pay", "has 3 bytes")]
)
def test_a_file_that_is_not_what_it_is_named_is_refused_and_left_alone(
    tmp_path: Path, found: bytes, says: str
) -> None:
    name = name_of([b"payload"])
    (tmp_path / name).write_bytes(found)
    store = Store(str(tmp_path))
    for act in (lambda: store.get(name, 7), lambda: put(store, b"payload")):
        with pytest.raises(ReferenceRefused, match=says) as caught:
            act()
        assert caught.value.reason == "changed"
    assert (tmp_path / name).read_bytes() == found


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ReferenceRefused, match="is not there") as caught:
        Store(str(tmp_path)).get(name_of([b"x"]), 1)
    assert caught.value.reason == "missing"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"payload")
    (tmp_path / name_of([b"payload"])).symlink_to("target")
    store = Store(str(tmp_path))
    with pytest.raises(SourceError):
        store.get(name_of([b"payload"]), 7)
    with pytest.raises(SourceError):
        put(store, b"payload")


def test_a_folder_that_is_not_there_is_made_only_to_write(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        Store(str(tmp_path / "a"), create=False)
    Store(str(tmp_path / "a")).close()
    assert (tmp_path / "a").is_dir()


def test_nothing_half_written_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))

    def fails(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(SourceError, match="no space left"):
        put(store, b"payload")
    assert list(tmp_path.iterdir()) == []


def test_who_comes_second_takes_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    link = os.link

    def late(source: str, target: str, **choices: int) -> None:
        (tmp_path / target).write_bytes(b"payload")
        link(source, target, **choices)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(os, "link", late)
    name = put(store, b"payload")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_names_are_counted(tmp_path: Path) -> None:
    store = Store(str(tmp_path), most_names=2)
    for data in (b"a", b"b", b"a"):
        put(store, data)
    with pytest.raises(LimitExceeded, match="--max-names"):
        put(store, b"c")


@given(st.text(max_size=80))
def test_only_names_of_the_store_hold_a_digest(text: str) -> None:
    assert digest_in(text) is None
    assert digest_in("a" * 64 + ".tgm" + text) == (None if text else "a" * 64)
