"""Names of successors: numbered after the first file, never outside its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tgmtool import FormatError, SourceError
from tgmtool.operations.rotation import check_free, named_successor, successor_of


@pytest.mark.parametrize(
    ("path", "first", "expected"),
    [
        ("run.tgm", "run.tgm", "run.1.tgm"),
        ("run.1.tgm", "run.tgm", "run.2.tgm"),
        ("d/run.9.tgm", "d/run.tgm", "d/run.10.tgm"),
        ("run", "run", "run.1"),
        ("run.1", "run", "run.2"),
        ("run.7.tgm", "run.7.tgm", "run.7.1.tgm"),
        ("run.7.1.tgm", "run.7.tgm", "run.7.2.tgm"),
        ("a.b.tgm", "a.b.tgm", "a.b.1.tgm"),
        (".tgm", ".tgm", ".tgm.1"),
    ],
)
def test_a_successor_has_the_next_number(path: str, first: str, expected: str) -> None:
    assert successor_of(path, first) == expected


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\0b"])
def test_a_successor_that_leads_out_of_the_folder_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match="successor"):
        named_successor("d/run.tgm", name)
    assert named_successor("d/run.tgm", "run.1.tgm") == "d/run.1.tgm"


def test_a_file_that_would_be_in_the_way_is_found_at_once(tmp_path: Path) -> None:
    run = str(tmp_path / "run.tgm")
    (tmp_path / "run.1.tgm").touch()
    check_free(run, run)  # empty: a rotation that was cut off left it
    (tmp_path / "run.1.tgm").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"run\.1\.tgm: already exists"):
        check_free(run, run)
