"""Messages of every kind that a transform may meet: ours, the reference's, and made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import tensogram

import tgmtool
from tests import builders
from tests.operations.streams import FIXED, entry, field
from tests.vectors import valid_vectors
from tgmtool import MessageSpan, Style
from tgmtool.messages.stream import KEY, Place, Sender
from tgmtool.operations.markers import marker
from tgmtool.operations.requirements import Policy
from tgmtool.operations.stream_policy import StreamPolicy
from tgmtool.operations.transforms.base import Transform, Unit
from tgmtool.operations.validate import validate


def units(data: bytes, name: str = "in") -> list[Unit]:
    """The whole messages of a stream, as the engine hands them on."""
    spans = [found for found in tgmtool.scan(data, unit="message") if isinstance(found, MessageSpan)]
    return [
        Unit(data[one.offset : one.offset + one.length], number, one.offset, name=name)
        for number, one in enumerate(spans)
    ]


def run(transform: Transform, given: bytes | Iterable[Unit], *, failed: bool = False) -> bytes:
    """What comes out of a transform, all of it."""
    taken = units(given) if isinstance(given, bytes) else given
    out = [bytes(unit.data) for one in taken for unit in transform.message(one)]
    out += [bytes(unit.data) for unit in transform.finish(failed=failed)]
    return b"".join(out)


def wrong(data: bytes, *, stream: bool = False, level: str = "full") -> list[str]:
    """What `validate` has against it, warnings included; with `stream`, against its order and its ends."""
    policy = Policy()
    if stream:
        checks = StreamPolicy(require_end=True)
        policy = Policy(messages=(checks.message,), ends=(checks.end,))
    found = validate(data, level=level, policy=policy)
    return [f"{one.code}: {one.text}" for one in found.findings if one.weight != "note"]


def one(
    step: int = 0,
    *,
    objects: int = 1,
    layout: str = "buffered",
    place: Place | None = None,
    shape: tuple[int, ...] = (2, 3),
    hashing: bool = True,
    preceder: bool | None = None,
    backfill: bool = False,
    metadata: dict[str, Any] | None = None,
    **choices: Any,
) -> bytes:
    """A message of ours whose values say which one it is."""
    style = Style(hashing=hashing, preceder=preceder, backfill=backfill, provenance=FIXED.provenance)
    pairs = [(field(step + i, shape), entry(step + i)) for i in range(objects)]
    extra = dict(metadata or {})
    if place is not None:
        extra[KEY] = place.to_map()
    return tgmtool.encode(pairs, metadata=extra, layout=layout, style=style, **choices)


def place(seq: int, sender: str = "0", kind: str = "data", **rest: Any) -> Place:
    return Place(Sender("run", "main", sender), seq, kind, rest)


def end(seq: int, sender: str = "0", **rest: Any) -> bytes:
    return marker(place(seq, sender, "end", **rest), provenance=FIXED.provenance)


def _theirs() -> bytes:
    meta = {"base": [{"mars": {"param": "2t", "step": 0}}]}
    kind = {"type": "ntensor", "shape": [40, 50], "dtype": "float64", "compression": "zstd"}
    data: bytes = tensogram.encode(meta, [(kind, np.arange(2000, dtype="<f8").reshape(40, 50))])
    return data


def _masked() -> bytes:
    values = np.linspace(0, 1, 3000, dtype="<f4")
    values[::7], values[5] = np.nan, np.inf
    meta = {"base": [{"mars": {"param": "sst", "step": 0}}]}
    kind = {"type": "ntensor", "shape": [3000], "dtype": "float32", "compression": "lz4"}
    data: bytes = tensogram.encode(meta, [(kind, values)], allow_nan=True, allow_inf=True)
    return data


@cache
def kinds() -> dict[str, bytes]:
    """One message of each kind, by name."""
    found = {
        "buffered": one(1, objects=2),
        "streaming": one(1, objects=2, layout="streaming"),
        "backfilled": one(1, objects=2, layout="streaming", backfill=True),
        "preceders": one(1, objects=2, layout="streaming", preceder=True),
        "buffered-preceders": one(1, objects=2, preceder=True),
        "no-hash": one(1, objects=2, hashing=False),
        "streaming-no-hash": one(1, objects=2, layout="streaming", hashing=False),
        "zstd": one(1, objects=2, shape=(30, 40), compression="zstd"),
        "placed": one(1, place=place(0)),
        "theirs": _theirs(),
        "masked": _masked(),
        "end": end(1),
        "no-objects": tgmtool.encode([], style=FIXED),
        "by-hand": builders.message([b"one", b"three"], descriptor_first=True),
        "by-hand-unpadded": builders.message([b"one", b"three"], padded=False),
        "by-hand-excess": builders.message([b"one", b"three"], excess=16),
        "by-hand-streaming": builders.message([b"one", b"three"], streaming=True, preceders=True),
    }
    for vector in valid_vectors():
        for number, unit in enumerate(units(vector.data)):
            found[f"{vector.name}:{number}"] = bytes(unit.data)
    return found


def each_kind() -> pytest.MarkDecorator:
    """A parameter `data` that is a message of each kind of ours."""
    own = {name: data for name, data in kinds().items() if ":" not in name}
    return pytest.mark.parametrize("data", own.values(), ids=own.keys())


def theirs() -> Iterator[tuple[str, bytes]]:
    """Every message of the reference's files."""
    return ((name, data) for name, data in kinds().items() if ":" in name)
