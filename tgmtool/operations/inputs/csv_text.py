"""Tables of numbers in text: comma, semicolon, tab or spaces between them, with or without a header.

It is separate because text needs guesses that no other input needs. They are few and stated here:
the delimiter is the first of tab, semicolon, comma and space that the first line has; the first line
is a header if a cell of it is neither a number nor missing; lines that begin with `#` are comments.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...errors import EncodeError
from ...limits import check_decoded_size
from .base import LINE_LIMIT, Cursor, Item, Wishes, chosen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MISSING = {"", "na", "n/a", "nan", "null", "none"}
_NAN = float("nan")
_INT64 = range(-(1 << 63), 1 << 63)
_CHECK_EVERY = 4096  # rows between two looks at the limit


def read_csv(cursor: Cursor, wishes: Wishes) -> Iterator[Item]:
    """With a header every column is an object, named by it; without, the table is one."""
    import numpy as np

    rows = _rows(cursor)
    _, first = next(rows, (0, None))
    if first is None:
        raise EncodeError(f"{cursor.name}: holds no table, nothing to encode")
    header = _names(first, cursor.name) if any(_number(cell) is None for cell in first) else None
    columns = [_Column() for _ in first]
    if header is None:
        for column, cell in zip(columns, first, strict=True):
            column.add(cell)
    for count, (line, cells) in enumerate(rows):
        if count % _CHECK_EVERY == 0:
            check_decoded_size(8 * len(columns) * count, wishes.limits, f"{cursor.name}: the table")
        where = f"{cursor.name}: line {line}"
        if len(cells) != len(columns):
            raise EncodeError(
                f"{where}: expected {len(columns)} cells as in the first line, got {len(cells)}"
            )
        for i, cell in enumerate(cells):
            if not columns[i].add(cell):
                name = repr(header[i]) if header else i + 1
                raise EncodeError(f"{where}: column {name}: expected a number, found {cell[:40]!r}")
    if header is None:
        if wishes.variables is not None:
            raise EncodeError(f"{cursor.name}: has no header, its columns cannot be chosen by name")
        whole = all(column.whole is not None for column in columns)
        yield Item(np.stack([column.values(whole=whole) for column in columns], axis=1))
        return
    by_name = dict(zip(header, columns, strict=True))
    for name in chosen(header, wishes, cursor.name):
        column = by_name[name]
        yield Item(column.values(whole=column.whole is not None), {"name": name})


class _Column:
    """Numbers as they come: as int64 for as long as all are whole, and as float64."""

    def __init__(self) -> None:
        self.whole: array[int] | None = array("q")
        self.numbers = array("d")

    def add(self, cell: str) -> bool:
        """Take a cell; return False if it is no number."""
        number = _number(cell)
        if number is None:
            return False
        self.numbers.append(number)
        if self.whole is not None:
            if isinstance(number, int) and number in _INT64:
                self.whole.append(number)
            else:
                self.whole = None
        return True

    def values(self, *, whole: bool) -> NDArray[np.generic]:
        import numpy as np

        if whole:
            return np.array(self.whole, np.int64)
        return np.array(self.numbers, np.float64)


def _number(cell: str) -> int | float | None:
    """Return what a cell says: NaN if it is missing, None if it is text."""
    text = cell.strip()
    if text.lower() in _MISSING:
        return _NAN
    if "_" in text:  # Python's own digit grouping, which no table means
        return None
    try:
        found = int(text)
        float(found)  # an int that no float64 holds is refused below
    except (ValueError, OverflowError):
        pass
    else:
        return found
    try:
        return float(text)
    except ValueError:
        return None


def _names(first: list[str], place: str) -> list[str]:
    names = [cell.strip() or f"column_{number}" for number, cell in enumerate(first, 1)]
    seen = set()
    for name in names:
        if name in seen:
            raise EncodeError(f"{place}: two columns are named {name[:40]!r}")
        seen.add(name)
    return names


def _rows(cursor: Cursor) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of every row."""
    lines = _Lines(cursor)
    first = next(lines, None)
    if first is None:
        return
    delimiter = next((mark for mark in "\t;," if mark in first), " ")
    lines.again = first
    if delimiter == " ":
        for line in lines:
            yield lines.number, line.split()
        return
    try:
        for cells in csv.reader(lines, delimiter=delimiter):
            yield lines.number, cells
    except csv.Error as error:
        raise EncodeError(f"{cursor.name}: line {lines.number}: {error}") from None


class _Lines:
    """Lines of text that are neither empty nor comments, with their numbers."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.number = 0
        self.again: str | None = None

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.again is not None:
            line, self.again = self.again, None
            return line
        while True:
            data = self._cursor.line(LINE_LIMIT, "a line of a table")
            self.number += 1
            if not data and self._cursor.at_end:
                raise StopIteration
            try:
                line = data.decode("utf-8-sig" if self.number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise EncodeError(
                    f"{self._cursor.name}: line {self.number}: expected text in UTF-8, found {data[:40]!r}"
                ) from None
            if line.strip(" \r") and not line.startswith("#"):
                return line
