"""Write what comes out of a link to a descriptor, as long as somebody reads there.

It is separate because writing may have to stop at any moment, even while nobody reads, and then
somebody has to know whether it stopped between two messages.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
from time import monotonic

from ...endpoints.local import source_error
from ...errors import SourceError
from .cancel import Cancel
from .kernel import KernelPiece
from .links import Cancelled, Link
from .parcels import Parcel

_IOV_MAX = 512
_PIPE_SIZE = 1 << 20
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ


class Writer:
    """Takes parcels and writes them.

    Args:
        descriptor: Open for writing, and not blocking where that is possible; it stays open.
        name: For messages.
        link: Where the parcels come from.
        cancel: Ends the waiting.
        grace: Seconds for which a message that was begun may be finished after that.

    Attributes:
        between: What was written ends with a whole message.
        messages: Whole ones that were written.
    """

    def __init__(self, descriptor: int, name: str, link: Link, cancel: Cancel, *, grace: float = 0.0) -> None:
        self.name = name
        self.between = True
        self.messages = 0
        self._descriptor = descriptor
        self._link = link
        self._cancel = cancel
        self._grace = grace
        self._deadline: float | None = None

    def run(self) -> None:
        """Write to the end of the link.

        Raises:
            BrokenPipeError: Nobody reads any more.
            SourceError: It cannot be written.
            Cancelled: The stage is to end.
        """
        link = self._link
        while (parcel := link.take()) is not None:
            self.write(parcel)
            link.done(parcel)

    def write(self, parcel: Parcel) -> None:
        """Write one parcel. Errors as `run`."""
        self.between = False
        waiting: list[memoryview] = []
        for piece in parcel.pieces:
            if isinstance(piece, KernelPiece):
                self._write(waiting)
                waiting = []
                self._pour(piece)
            else:
                waiting.append(memoryview(piece))
        self._write(waiting)
        if parcel.ends and not parcel.broken:
            self.between = True
            self.messages += parcel.count

    def _pour(self, piece: KernelPiece) -> None:
        while len(piece):
            try:
                self._link.advanced(piece.pour_into(self._descriptor))
            except BlockingIOError:
                self._wait()

    def _write(self, waiting: list[memoryview]) -> None:
        while waiting:
            try:
                written = os.writev(self._descriptor, waiting[:_IOV_MAX])
            except BlockingIOError:
                self._wait()
                continue
            except BrokenPipeError:
                raise
            except OSError as error:
                raise source_error(error, self.name) from error
            self._link.advanced(written)
            while waiting and written >= len(waiting[0]):
                written -= len(waiting.pop(0))
            if written:
                waiting[0] = waiting[0][written:]

    def _wait(self) -> None:
        poller = select.poll()
        poller.register(self._descriptor, select.POLLOUT)
        if self._deadline is None:
            poller.register(self._cancel.descriptor, select.POLLIN)
            poller.poll()
            if self._cancel.is_set:
                self._deadline = monotonic() + self._grace
        elif not poller.poll(max(self._deadline - monotonic(), 0.0) * 1000):
            raise Cancelled


def unblocked(descriptor: int) -> int:
    """Return a descriptor for the same pipe that does not block, and is ours alone to close.

    Making `descriptor` itself so would do it to everybody who shares it. What is no pipe, or cannot be
    opened again, is returned as a plain duplicate, whose writing may block.

    Raises:
        SourceError: It is not open.
    """
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(kind):
            with contextlib.suppress(OSError):
                return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return os.dup(descriptor)
    except OSError as error:
        raise SourceError("cannot be written: it is closed", uri=f"descriptor {descriptor}") from error


def widen(descriptor: int) -> None:
    """Make a pipe hold more, where the system lets us: fewer turns between its two ends."""
    import fcntl

    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            fcntl.fcntl(descriptor, _SET_PIPE_SIZE, _PIPE_SIZE)
