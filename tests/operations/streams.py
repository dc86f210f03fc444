"""Small streams with values that can be told apart, written by the library, and looked at by it."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tgmtool
from tgmtool import DataObject, Message, Provenance, Style
from tgmtool.endpoints.stdio import StreamSource
from tgmtool.messages.stream import KEY, Place, Sender
from tgmtool.operations.markers import marker

Array = NDArray[Any]
FIXED = Style(provenance=Provenance.reproducible())


def field(step: int, shape: tuple[int, ...] = (2, 3)) -> Array:
    """Values that only object `step` has."""
    return (np.arange(np.prod(shape), dtype="<f4") + 100 * step).reshape(shape)


def entry(step: int) -> dict[str, Any]:
    return {"mars": {"param": "2t", "step": step}}


def streaming(
    steps: Iterable[int] = range(3), *, backfill: bool = False, shape: tuple[int, ...] = (2, 3)
) -> bytes:
    """One streaming message; its lengths are 0 unless `backfill`."""
    pairs = [(field(step, shape), entry(step)) for step in steps]
    return tgmtool.encode(pairs, layout="streaming", style=FIXED._replace(backfill=backfill))


def buffered(steps: Iterable[int] = range(3), *, shape: tuple[int, ...] = (2, 3)) -> bytes:
    """One buffered message."""
    pairs = [(field(step, shape), entry(step)) for step in steps]
    return tgmtool.encode(pairs, layout="buffered", style=FIXED)


def framed(steps: Iterable[int], shape: tuple[int, ...] = (2, 3)) -> bytes:
    """What a model prints for `encode --from framed`."""
    found = b""
    for step in steps:
        values = field(step, shape)
        head = {"dtype": "<f4", "shape": list(shape), **entry(step)}
        found += json.dumps(head).encode() + b"\n" + values.tobytes()
    return found


def npy(values: Array) -> bytes:
    """What np.save writes."""
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def objects_in(place: Any) -> list[DataObject]:
    """All objects of all whole messages."""
    whole = [found for found in tgmtool.read(place) if isinstance(found, Message)]
    return [one for message in whole for one in message.objects]


def steps_of(found: Iterable[Any]) -> list[int]:
    """The steps of the objects among `found`; their values are checked."""
    steps = []
    for one in found:
        if isinstance(one, Message):
            steps += steps_of(one.objects)
        elif isinstance(one, DataObject):
            step = one.metadata["mars"]["step"]
            assert np.array_equal(one.array, field(step, one.descriptor.shape))
            steps.append(step)
    return steps


def object_ends(data: bytes) -> list[int]:
    """Where each object's frame ends."""
    return [found.offset + found.length for found in tgmtool.scan(data) if hasattr(found, "payload_offset")]


@contextmanager
def piped(data: bytes, name: str = "<pipe>") -> Iterator[StreamSource]:
    """A pipe that `data` comes out of, however large."""
    reader, writer = os.pipe()

    def feed() -> None:
        with os.fdopen(writer, "wb") as file:
            try:
                file.write(data)
            except BrokenPipeError:
                return

    feeder = threading.Thread(target=feed)
    feeder.start()
    source = StreamSource(reader, name)
    try:
        yield source
    finally:
        source.close()
        feeder.join()


def append(path: Any, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def pieces(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Cut `data` into pieces of these sizes, over and over."""
    at = number = 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        yield data[at : at + size]
        at, number = at + size, number + 1


RUN = Sender("run")


def numbered(
    seq: int, steps: Iterable[int] | None = None, who: Sender = RUN, *, layout: str = "streaming", **rest: Any
) -> bytes:
    """A message of a stream; its one object has its number as step, unless `steps` are given."""
    pairs = [(field(step), entry(step)) for step in ([seq] if steps is None else steps)]
    place = Place(who, seq, rest=rest)
    return tgmtool.encode(pairs, metadata={KEY: place.to_map()}, layout=layout, style=FIXED)


def spoken(seq: int, kind: str = "end", who: Sender = RUN, **rest: Any) -> bytes:
    """A message without objects: an end, an error, a note."""
    return marker(Place(who, seq, kind, rest), provenance=Provenance.reproducible())
