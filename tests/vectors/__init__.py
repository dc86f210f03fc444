"""Files written by the reference implementation, and what its manifest says about each."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
Entry = dict[str, Any]  # an object of the manifest; its keys are listed in README.md


class Vector(NamedTuple):
    """One file and its row."""

    name: str
    group: str
    row: Entry

    @property
    def path(self) -> Path:
        return FOLDER / self.name

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()

    @property
    def messages(self) -> list[Entry]:
        found: list[Entry] = self.row["messages"]
        return found

    @property
    def objects(self) -> list[Entry]:
        return [found for message in self.messages for found in message["objects"]]


@cache
def vectors() -> tuple[Vector, ...]:
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    return tuple(Vector(row["file"], row["group"], row) for row in manifest["files"])


def valid_vectors() -> tuple[Vector, ...]:
    return tuple(found for found in vectors() if found.group != "invalid")


def invalid_vectors() -> tuple[Vector, ...]:
    return tuple(found for found in vectors() if found.group == "invalid")
