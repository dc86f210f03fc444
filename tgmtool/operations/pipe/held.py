"""Bytes that have to be held whole: in memory up to a bound, then in a file without a name.

It is separate from the writer's spool because that holds objects, and this does not know what it holds.
"""

from __future__ import annotations

import mmap
import tempfile
from typing import IO

from ...endpoints.base import Bytes
from ...endpoints.local import source_error
from ..spool import IN_MEMORY


class Held:
    """Grows, and is then looked at.

    Args:
        in_memory: Bytes that are held in memory at most.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self.size = 0
        self._in_memory = in_memory
        self._pieces: list[Bytes] = []
        self._file: IO[bytes] | None = None

    def add(self, data: Bytes) -> None:
        """Take bytes; they must not change.

        Raises:
            SourceError: The temporary file cannot be written.
        """
        self.size += len(data)
        self._pieces.append(data)
        if self.size > self._in_memory or self._file is not None:
            try:
                self._to_file()
            except OSError as error:
                raise source_error(error, tempfile.tempdir or "a temporary file") from error

    def _to_file(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="tgmtool-", buffering=0)  # noqa: SIM115  # until `close`
        for piece in self._pieces:
            view = memoryview(piece)
            while view:
                view = view[self._file.write(view) :]
        self._pieces.clear()

    def data(self) -> Bytes:
        """Return all of it; what stands in the file is mapped, and stays as long as it is looked at."""
        if self._file is None:
            return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        return memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))

    def close(self) -> None:
        """Let go of the file."""
        self._pieces.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
