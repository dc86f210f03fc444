"""Payloads moved to a folder and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.operations.transforms.messages import run, units
from tgmtool import Limits
from tgmtool.operations.transforms.base import Unit
from tgmtool.operations.transforms.refs import KEY, Refs
from tgmtool.operations.transforms.resolve import Resolve


def moved(data: bytes, folder: Path, *, threshold: int = 0) -> bytes:
    return run(Refs(str(folder), threshold=threshold, durable=False), data)


def resolved(data: bytes, folder: Path, **limits: int) -> bytes:
    taken = [Unit(u.data, u.number, u.offset, name="in", limits=Limits(**limits)) for u in units(data)]
    return run(Resolve(str(folder)), taken)


def refs_in(data: bytes) -> list[Any]:
    return [found.metadata.get(KEY) for unit in units(data) for found in unit.message.objects]
