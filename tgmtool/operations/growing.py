"""A regular file that is being written: zeros at its end are not there yet.

It is separate from following because it is a source like any other, that only reads less.
"""

from __future__ import annotations

from ..endpoints.base import Bytes
from ..endpoints.local import FileSource
from .drive import CHUNK


class GrowingFile(FileSource):
    """A regular file that is being written: zeros at its end are not there yet.

    Preallocated files and network file systems show zeros before the bytes arrive. No frame
    and no message ends in a zero, so nothing whole is ever held back.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, name)
        self.is_final = False  # nothing more will come: zeros are what they are
        self._held_back: tuple[int, int, int] | None = None  # offset, size and mtime when zeros were seen

    def read_at(self, offset: int, size: int) -> Bytes:
        """Return bytes at `offset` up to the last that is not zero, if the file ends in zeros."""
        data = super().read_at(offset, size)
        if not data or data[-1] or self.is_final:
            return data
        found = self.status()
        seen = (offset, found.st_size, found.st_mtime_ns)
        written = bytes(data).rstrip(b"\0")
        if not written and seen == self._held_back:
            return b""
        if self._more_is_written(offset + len(data)):
            return data
        self._held_back = seen
        return written

    def _more_is_written(self, offset: int) -> bool:
        """Return whether anything but zeros stands at `offset` or after it."""
        while chunk := super().read_at(offset, CHUNK):
            if bytes(chunk).count(0) != len(chunk):
                return True
            offset += len(chunk)
        return False
