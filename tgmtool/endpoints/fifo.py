"""A named pipe that is written to: it is opened when somebody reads it, and given up when it is to end.

It is separate because opening a named pipe waits for its reader, inside the system, where nothing can
end the waiting; here whoever waits looks up now and then.
"""

from __future__ import annotations

import errno
import os
import select
import threading
from collections.abc import Sequence

from ..errors import SourceError
from .base import Bytes
from .local import source_error
from .stdio import StreamSink

_LOOK_UP = 0.05  # seconds


class FifoSink(StreamSink):
    """Writes to a named pipe. Waits for its reader at the first write, and at the end if there was none.

    Args:
        path: Of the pipe.

    Raises:
        SourceError: It cannot be opened.
    """

    def __init__(self, path: str) -> None:
        super().__init__(-1, path)
        self._stopped = threading.Event()
        self._open()

    def stop(self) -> None:
        """Let whoever waits here wait no longer; another thread may say so."""
        self._stopped.set()

    def _open(self) -> bool:
        try:
            self.descriptor = os.open(self.name, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise source_error(error, self.name) from error
            return False  # nobody reads it yet
        return True

    def _wait_for_reader(self) -> None:
        while self.descriptor < 0 and not self._open():
            if self._stopped.wait(_LOOK_UP):
                raise SourceError("nobody came to read it", uri=self.name)

    def write(self, pieces: Sequence[Bytes]) -> None:
        """Write all the pieces.

        Raises:
            SourceError: It cannot be written, or it was told to stop.
            BrokenPipeError: Its reader is gone.
        """
        self._wait_for_reader()
        super().write(pieces)

    def _wait_for_room(self, descriptor: int) -> None:
        poller = select.poll()
        poller.register(descriptor, select.POLLOUT)
        poller.poll(_LOOK_UP * 1000)
        if self._stopped.is_set():
            raise SourceError("its reader takes nothing", uri=self.name)

    def close(self) -> None:
        """Let the reader see the end; one who has not come yet, too."""
        self._wait_for_reader()
        self.abort()

    def abort(self) -> None:
        """Let go of it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
