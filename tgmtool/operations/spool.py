"""Holds the payloads of a buffered message until its header can be written.

It is separate because memory is a promise: what does not fit the bound waits in a temporary file.
"""

from __future__ import annotations

import mmap
import tempfile
from typing import IO

from .prepare import Prepared

IN_MEMORY = 64 << 20
_ELSEWHERE = memoryview(b"")


class Spool:
    """Payloads in memory up to `IN_MEMORY` bytes, then in a temporary file that has no name."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._room = in_memory
        self._file: IO[bytes] | None = None
        self._places: dict[int, tuple[int, int]] = {}  # of a held object: offset and size in the file
        self._count = 0
        self._map: mmap.mmap | None = None

    def hold(self, found: Prepared) -> Prepared:
        """Return `found`, without its payload if that went to the file."""
        number, size = self._count, len(found.payload)
        self._count += 1
        self._room -= size
        if self._room >= 0 or not size:
            return found._replace(payload=memoryview(bytes(found.payload)))
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="tgmtool-", buffering=0)  # noqa: SIM115  # until `close`
        start = self._file.tell()
        waiting = found.payload
        while waiting:
            waiting = waiting[self._file.write(waiting) :]
        self._places[number] = (start, size)
        return found._replace(payload=_ELSEWHERE)

    def recall(self, held: list[Prepared]) -> list[Prepared]:
        """Return what was held, every payload in place again (a view of the file)."""
        if self._file is None:
            return held
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        view = memoryview(self._map)
        return [
            found._replace(payload=view[self._places[i][0] : sum(self._places[i])])
            if i in self._places
            else found
            for i, found in enumerate(held)
        ]

    def close(self) -> None:
        """Let go of the file; views that are still held keep the mapping alive."""
        if self._file is not None:
            self._file.close()
            self._file = None
