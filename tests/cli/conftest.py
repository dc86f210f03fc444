"""Small files for the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import tgmtool
from tests.operations.streams import FIXED, buffered, field, streaming

HOSTILE = "\x1b[31mred\x07\x1b]0;title\x07\r\n\u202eevil\u200b [bold]markup[/bold] \udc80".encode(
    "utf-8", "replace"
).decode()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with one file of each kind."""
    whole = buffered(range(3)) + streaming(range(3, 6), backfill=True)
    contents = {
        "whole.tgm": whole,
        "cut.tgm": whole + streaming(range(6, 9))[:-40],
        "garbage.tgm": buffered(range(2)) + b"garbage in between" + buffered(range(2, 4)),
        "empty.tgm": b"",
        "text.tgm": b"This is a text, and no stream at all.\n" * 5,
        "short.raw": bytes(40),
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    hostile = tgmtool.encode(
        [(field(0), {"name": HOSTILE, "mars": {"param": HOSTILE, HOSTILE: 1}})],
        metadata={"title": HOSTILE},
        layout="streaming",
        style=FIXED,
    )
    (tmp_path / "hostile.tgm").write_bytes(hostile)
    nan = field(1)
    nan[0, 1] = float("nan")
    nan.tofile(tmp_path / "nan.raw")
    (tmp_path / "folder").mkdir()
    return tmp_path
