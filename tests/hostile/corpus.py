"""The corpus of `make_hostile`, typed: rows with verdicts, and bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.hostile import make_hostile

_hostile: Any = make_hostile
LARGEST = 1 << 20  # bytes of the files of a normal run; `pytest -m soak` takes all
# Those that are larger, and that need not be made to know it.
_LARGER = ("S02", "S03", "S04", "S05", "S06", "S07", "S08", "S09", "S10", "C37", "C38", "Z09-lz4-bomb")


def is_soak(expression: str) -> bool:
    """Return whether the expression behind pytest's -m asks for the long runs."""
    return "soak" in expression and "not soak" not in expression


class Row(NamedTuple):
    """What the generator says about a file.

    Attributes:
        id: Its name without suffix; the first letter is its group.
        verdict: "ok", "warn", "error", "incomplete" or "limit".
        code: An issue code to expect, or its closest relative.
        messages: Whole messages that a strict reader lists.
        decodes: Everything in it decodes.
        tags: "full" (only seen at that level), "bomb", "print", "name".
        megabytes: Ceiling of memory.
        seconds: Ceiling of time.
    """

    id: str
    verdict: str
    code: str
    messages: int
    decodes: bool
    tags: tuple[str, ...]
    megabytes: int
    seconds: float

    @property
    def name(self) -> str:
        return f"{self.id}.tgm"


class Case(NamedTuple):
    """A file that can be made."""

    id: str
    tags: tuple[str, ...]
    make: Callable[[], bytes]


def cases(largest: int = LARGEST) -> Iterator[Case]:
    """Yield the cases that may give files of at most `largest` bytes."""
    for one in _hostile.cases():
        if largest > LARGEST or not one.id.startswith(_LARGER):
            yield Case(one.id, tuple(one.tags), one.make)


def generate(folder: Path, largest: int) -> list[Row]:
    """Write all files of at most `largest` bytes, and return their rows."""
    rows = []
    for one in _hostile.cases():
        if largest <= LARGEST and one.id.startswith(_LARGER):
            continue
        data = one.make()
        if len(data) > largest:
            continue
        row = _hostile.manifest_entry(one, data)
        (folder / row["file"]).write_bytes(data)
        rows.append(
            Row(
                row["id"],
                row["verdict"],
                row["code"],
                row["messages"],
                row["decode"] == "ok",
                tuple(row["tags"]),
                row["max_rss_mb"],
                row["max_seconds"],
            )
        )
    return rows
