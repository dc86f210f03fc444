"""The live table of a pipeline fits the terminal, whatever its width, and no figure is cut."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console as RichConsole

from tgmtool.cli.console import Console
from tgmtool.cli.pipe_meter import Meter
from tgmtool.operations.pipe.choices import LinkState

LINKS = [
    LinkState("<stdin>", "stage 1 'compress-one'", 1234567, 98765400000, 50, 90, 100, 3, 1234.5, True, False),
    LinkState("stage 1 'compress-one'", "<stdout>", 7, 4_200_000, 0, 90, 100, 0, 0.0, False, True),
]


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (200, ["stage 1 'compress-one'", "1234567", "98765.4", "######......", "1234.5 s"]),
        (80, ["<stdin>", "1234567", "98765.4", "######......", "1234.5 s"]),
        (60, ["<stdin>", "1234567", "98765.4", "50%", "1234.5 s"]),
        (40, ["<std", "1234567", "50%", "1234.5 s"]),
        (20, []),
    ],
)
def test_figures_are_never_cut(width: int, shown: list[str]) -> None:
    terminal = RichConsole(file=io.StringIO(), width=width, force_terminal=False)
    meter: Any = Meter(Console(), "never", title="pipe", period=1.0, total=None)
    meter._live = SimpleNamespace(console=terminal, stop=lambda: None)
    terminal.print(meter._table(LINKS, meter._start + 1000.0))
    lines = terminal.file.getvalue().splitlines()  # type: ignore[attr-defined]  # StringIO, as was given
    assert len(lines) == 4
    assert all(len(line) <= width for line in lines)
    first = lines[2]
    assert all(word in first for word in shown), first
