"""Views of results: table, TSV, CSV, JSON lines, JSON. One record, several spellings.

It is separate because no command should know how a record looks, and because what a stranger's
file holds must not reach a terminal unescaped.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..operations.keys import Keys, text_of
from ..operations.records import json_text
from .console import Console, safe

FORMATS = ("table", "tsv", "csv", "ndjson", "json")
_CELL = 40
_UNCUT = 10_000  # columns of a table that is not looked at but read


class Listing:
    """Prints records as they come, in one of `FORMATS`.

    Args:
        console: Where to.
        format: One of `FORMATS`, or None: a table on a terminal, else TSV.
        columns: Names of the columns; or None to take `default` of the first record.
        default: Gives the columns that suit a record.
        live: Records come slowly: a table is printed line by line, with the widths of the first.
    """

    def __init__(
        self,
        console: Console,
        format: str | None,  # noqa: A002  # the option's own name
        *,
        columns: Sequence[str] | None = None,
        default: Callable[[Keys], Sequence[str]] = lambda _keys: (),
        live: bool = False,
    ) -> None:
        self.format = format or ("table" if console.is_terminal else "tsv")
        self._console = console
        self._columns = list(columns) if columns else None
        self._chosen = columns is not None
        self._default = default
        self._live = live
        self._rows: list[list[str]] = []
        self._widths: list[int] = []
        self._count = 0

    def set_columns(self, columns: Sequence[str]) -> None:
        """Show these columns, whatever was chosen."""
        self._columns = list(columns)
        self._chosen = True

    def add(self, keys: Keys) -> None:
        """Print a record (a table that is not live waits for `end`)."""
        self._count += 1
        if self.format in {"ndjson", "json"}:
            record = self._record(keys)
            if self.format == "ndjson":
                self._console.line(json_text(record))
            else:
                self._console.write(("[\n" if self._count == 1 else ",\n") + json_text(record))
            return
        if self._columns is None:
            self._columns = list(self._default(keys))
        if self._count == 1:
            self._head(keys)
        row = [text_of(keys.get(name)) for name in self._columns]
        if self.format == "table":
            cells = [safe(cell, _CELL) for cell in row]
            if self._live:
                self._console.line(self._aligned(cells))
            else:
                self._rows.append(cells)
        else:
            self._console.write(self._delimited([safe(cell) for cell in row]))

    def add_event(self, record: Mapping[str, Any]) -> None:
        """Print a record whole, whatever columns were chosen (JSON formats only)."""
        chosen, self._chosen = self._chosen, False
        self.add(Keys(record))
        self._chosen = chosen

    def add_map(self, record: Mapping[str, Any]) -> None:
        """Print a record that is a plain map."""
        self.add(Keys(record))

    def end(self) -> None:
        """Print what is left."""
        if self.format == "json":
            self._console.write("[]\n" if not self._count else "\n]\n")
        elif self.format == "table" and self._rows:
            self._table()

    def _record(self, keys: Keys) -> dict[str, Any]:
        if not self._chosen:
            return keys.record()
        assert self._columns is not None
        return {name: keys.get(name) for name in self._columns}

    def _head(self, keys: Keys) -> None:
        assert self._columns is not None
        if self.format == "table":
            if self._live:
                shown = [safe(name) for name in self._columns]
                first = [safe(text_of(keys.get(name)), _CELL) for name in self._columns]
                pairs = zip(shown, first, strict=True)
                self._widths = [max(len(name), len(cell)) for name, cell in pairs]
                self._console.line(self._aligned(shown))
        else:
            self._console.write(self._delimited(map(safe, self._columns)))

    def _aligned(self, cells: Sequence[str]) -> str:
        pairs = zip(cells, self._widths, strict=True)
        return "  ".join(cell.ljust(width) for cell, width in pairs).rstrip()

    def _delimited(self, cells: Iterable[str]) -> str:
        import csv

        out = io.StringIO()
        delimiter = "\t" if self.format == "tsv" else ","
        csv.writer(out, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_MINIMAL).writerow(cells)
        return out.getvalue()

    def _table(self) -> None:
        from rich.console import Console as Rich
        from rich.table import Table
        from rich.text import Text

        assert self._columns is not None
        table = Table(box=None, pad_edge=False, header_style="bold")
        for number, name in enumerate(self._columns):
            numeric = all(_is_number(row[number]) for row in self._rows)
            table.add_column(
                Text(safe(name)), justify="right" if numeric else "left", no_wrap=True, overflow="ellipsis"
            )
        for row in self._rows:
            table.add_row(*(Text(cell) for cell in row))
        out = io.StringIO()
        console = Rich(
            file=out,
            width=self._console.width if self._console.is_terminal else _UNCUT,
            force_terminal=self._console.colored(),
            no_color=not self._console.colored(),
            highlight=False,
            markup=False,
            emoji=False,
        )
        console.print(table)
        self._console.write(out.getvalue())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return not text
    return True
