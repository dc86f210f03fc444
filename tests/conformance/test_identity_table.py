"""The table of byte identity that is shown to users is what is so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.identity import EQUAL, FILE, NO_SUCH, REFUSED, SAME, rows, versions
from tgmtool import codecs
from tgmtool.codecs.dtypes import DTYPES
from tgmtool.codecs.masks import METHODS

ROOT = Path(__file__).parents[2]


def cells() -> dict[str, dict[str, str]]:
    """The table in the file, by stage and dtype."""
    lines = [line.strip("|").split("|") for line in FILE.read_text().splitlines() if line.startswith("|")]
    head, _, *body = [[cell.strip() for cell in line] for line in lines]
    return {line[0]: dict(zip(head[1:], line[1:], strict=True)) for line in body}


def test_the_table_is_what_is_so() -> None:
    made_with = next(line for line in FILE.read_text().splitlines() if line.startswith("Made with: "))
    if versions() not in made_with:
        pytest.skip(f"other libraries may choose other bytes: {made_with.lower()}; here: {versions()}")
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance.identity", "--print"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == FILE.read_text()


def test_the_table_has_every_dtype_stage_and_mask() -> None:
    found = cells()
    assert list(found) == [row.name for row in rows()]
    for line in found.values():
        assert list(line) == [dtype.name for dtype in DTYPES]
        assert set(line.values()) <= {SAME, EQUAL, REFUSED, NO_SUCH}
    words = " ".join(found)
    assert all(name in words for name in (*codecs.names(codecs.COMPRESSION), "shuffle", "packing"))
    assert {f"masks ({name})" for name in METHODS} <= set(found)


@pytest.mark.parametrize(
    "name", ["none", "shuffle", "zstd", "shuffle + zstd", "shuffle + szip", "zfp (rate)"]
)
def test_what_the_design_promises_is_identical(name: str) -> None:
    assert set(cells()[name].values()) <= {SAME, REFUSED}
    assert SAME in cells()[name].values()


def test_only_other_encoders_make_other_bytes() -> None:
    other = {name for name, line in cells().items() if EQUAL in line.values()}
    assert {
        name
        for name in other
        if not {"lz4", "blosc2", "sz3"} & set(name.replace("(", " ").replace(")", " ").split())
    } == set()
