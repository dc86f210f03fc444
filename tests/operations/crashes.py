"""A file in memory whose writes are recorded, and every state that a crash could leave of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tgmtool import MemorySource
from tgmtool.endpoints.base import Bytes, Source
from tgmtool.operations.copies import Range, Segment
from tgmtool.operations.inplace import Place

SECTOR = 16  # bytes; real ones are larger, so that fewer states exist


class State(NamedTuple):
    """What is on the disk: the file, and its sidecars by message."""

    data: bytes
    sidecars: tuple[tuple[int, bytes], ...] = ()


class Write(NamedTuple):
    """A write, or with no data a cut at `offset`, that no sync has made durable yet."""

    offset: int
    data: bytes | None


class MemoryPlace(Place):
    """A file in memory; `steps` holds each durable state, and what was written after it."""

    def __init__(self, state: State) -> None:
        self.data = bytearray(state.data)
        self.sides = dict(state.sidecars)
        self.steps: list[tuple[State, Write]] = []

    @property
    def state(self) -> State:
        return State(bytes(self.data), tuple(self.sides.items()))

    def source(self) -> Source:
        return MemorySource(bytes(self.data), "a.tgm")

    def write_at(self, offset: int, data: Bytes) -> None:
        self.steps.append((self.state, Write(offset, bytes(data))))
        self._write(offset, bytes(data))

    def _write(self, offset: int, data: bytes) -> None:
        self.data += bytes(max(offset - len(self.data), 0))
        self.data[offset : offset + len(data)] = data

    def copy_at(self, offset: int, sidecar: int, start: int, size: int) -> None:
        self.write_at(offset, self.sides[sidecar][start : start + size])

    def truncate(self, size: int) -> None:
        self.steps.append((self.state, Write(size, None)))
        del self.data[size:]
        self.data += bytes(size - len(self.data))

    def sync(self) -> None:
        """Each write is cut off by itself: none is in flight together with another one."""

    def sidecars(self) -> Sequence[int]:
        return list(self.sides)

    def sidecar(self, message: int) -> Source:
        return MemorySource(self.sides[message], f"a.tgm.dropped-{message}")

    def put_sidecar(self, message: int, segments: Sequence[Segment]) -> None:
        self.steps.append((self.state, Write(0, b"")))  # it gets its name when it is durable
        parts = [
            bytes(self.data[one.offset : one.offset + one.length]) if isinstance(one, Range) else one
            for one in segments
        ]
        self.sides[message] = b"".join(parts)

    def drop_sidecar(self, message: int) -> None:
        self.steps.append((self.state, Write(0, b"")))
        del self.sides[message]


def crashes(steps: Sequence[tuple[State, Write]]) -> Iterator[State]:
    """Yield what each write could leave: any part of its bytes, sectors that are missing, its size alone."""
    for before, (offset, data) in steps:
        yield before
        if data is None:
            yield before._replace(data=before.data[:offset])
            continue
        old = before.data
        for size in range(1, len(data) + 1):
            yield before._replace(data=old[:offset] + data[:size] + old[offset + size :])
        if not data:
            continue
        end = offset + len(data)
        grown = old + bytes(max(end - len(old), 0))
        yield before._replace(data=grown)  # the size before the data
        written = grown[:offset] + data + grown[end:]
        for start in range(offset - offset % SECTOR, end, SECTOR):
            first, last = max(start, offset), min(start + SECTOR, end)
            missing = written[:first] + grown[first:last] + written[last:]
            yield before._replace(data=missing)
            yield before._replace(data=written[:first] + grown[first:])  # and all after it
