"""Messages that a stage failed on, kept in a file of their own.

It is separate because several workers may fail at once, and the file must hold whole messages all the same.
"""

from __future__ import annotations

import threading

from ...endpoints.base import Bytes
from ...endpoints.local import FileSink


class SetAside:
    """A file that is made when the first message comes.

    Args:
        path: Where; None counts only.

    Attributes:
        count: Messages so far.
    """

    def __init__(self, path: str | None) -> None:
        self.count = 0
        self._path = path
        self._sink: FileSink | None = None
        self._lock = threading.Lock()

    def add(self, data: Bytes) -> None:
        """Write a message.

        Raises:
            SourceError: It cannot be written.
        """
        with self._lock:
            self.count += 1
            if self._path is None:
                return
            if self._sink is None:
                self._sink = FileSink(self._path)
            self._sink.write([data])

    def close(self) -> None:
        """The file is complete."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None
