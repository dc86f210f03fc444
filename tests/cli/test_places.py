"""From words to files: directories, globs, lists of names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tgmtool import SourceError
from tgmtool.cli.exits import UsageError
from tgmtool.cli.places import expand, named_in


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.tgm", "a.tgm", "note.txt", "sub/c.tgm", "sub/deep/d.tgm", "sub/[x].tgm", ".hidden/e.tgm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(folder: Path, pattern: str) -> list[str]:
    return [str(Path(found).relative_to(folder)) for found in expand(str(folder / pattern))]


def test_a_file_is_itself_and_so_is_what_is_not_there(tree: Path) -> None:
    assert names(tree, "note.txt") == ["note.txt"]
    assert names(tree, "absent.tgm") == ["absent.tgm"]
    assert list(expand("-")) == ["-"]


def test_a_directory_is_its_tgm_files_in_order(tree: Path) -> None:
    assert names(tree, "sub") == ["sub/[x].tgm", "sub/c.tgm", "sub/deep/d.tgm"]
    assert names(tree, "") == [
        "a.tgm",
        "b.tgm",
        ".hidden/e.tgm",
        "sub/[x].tgm",
        "sub/c.tgm",
        "sub/deep/d.tgm",
    ]


def test_a_glob_is_what_it_matches_in_order(tree: Path) -> None:
    assert names(tree, "*.tgm") == ["a.tgm", "b.tgm"]
    assert names(tree, "**/d.tgm") == ["sub/deep/d.tgm"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tree: Path) -> None:
    assert names(tree, "sub/[x].tgm") == ["sub/[x].tgm"]


def test_a_glob_without_a_match_is_an_error(tree: Path) -> None:
    with pytest.raises(SourceError, match="no file matches"):
        list(expand(str(tree / "*.nothing")))


def test_a_folder_that_cannot_be_listed_is_an_error_after_all_others(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(place: Any) -> Any:
        if str(place).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    found: list[str] = []
    with pytest.raises(SourceError, match=r"sub/deep: permission denied"):
        found.extend(expand(str(tree / "sub")))
    assert [Path(name).name for name in found] == ["[x].tgm", "c.tgm"]


@pytest.mark.parametrize(
    ("text", "by_nul", "expected"),
    [
        (b"a.tgm\nb c.tgm\n", False, ["a.tgm", "b c.tgm"]),
        (b"a.tgm\n\n \nb.tgm", False, ["a.tgm", "b.tgm"]),
        (b"a\nb.tgm\0-\0", True, ["a\nb.tgm", "-"]),
        (b"\xff.tgm\n", False, ["\udcff.tgm"]),
        (b"", False, []),
    ],
)
def test_a_list_of_names_is_one_per_line_or_by_nul(
    tmp_path: Path, text: bytes, by_nul: bool, expected: list[str]
) -> None:
    (tmp_path / "list").write_bytes(text)
    assert named_in(str(tmp_path / "list"), by_nul=by_nul) == expected


def test_nul_in_a_list_of_lines_is_a_mistake_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"a\0b")
    with pytest.raises(UsageError, match="-0"):
        named_in(str(tmp_path / "list"), by_nul=False)
    with pytest.raises(SourceError):
        named_in(str(tmp_path / "absent"), by_nul=False)
