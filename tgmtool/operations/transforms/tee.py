"""`@tee`: everything that passes is written to a file too, which comes out backfilled.

It is separate from `split` because here is one file, which may be followed while it grows: it is
written in place, a message per write, and at no time holds less than what it held before.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import Any, NoReturn

from ...endpoints import is_remote, open_sink, shown
from ...endpoints.base import Sink
from ...endpoints.fifo import FifoSink
from ...endpoints.local import FileSink
from ...errors import EncodeError, SourceError
from ..outputs import Output, check, open_output
from .base import Needs, Unit
from .filled import filled


class Tee:
    """Writes every message to a place, and lets it pass.

    Args:
        place: An Output, which is written in place unless it says otherwise, by the rules that `encode` has;
            or what `open_sink` takes. Whoever hands in a Sink closes it.

    Attributes:
        messages: That were written.
        warnings: What had to be said when the place was opened (a mended tail, missing locks).

    Raises:
        EncodeError: An Output that contradicts itself.
        SourceError: It cannot be written, or it exists.
        TruncatedError: It is to be continued, and its end is cut.
    """

    name = "@tee"
    needs: Needs = "bytes"

    def __init__(self, place: Any) -> None:
        self.messages = 0
        self.warnings: list[str] = []
        self._owned = not isinstance(place, Sink)
        self._private = self._syncs = False
        if isinstance(place, Output):
            check(place)
            self._private = place.commit == "rename"
            self._syncs = place.fsync in {"object", "message"}
            self._sink = self._opened(place)
        else:
            self._sink = open_sink(place)

    def _opened(self, place: Output) -> Sink:
        if is_remote(place.path):
            if place.append or place.commit == "sentinel":
                raise EncodeError(
                    f"{shown(place.path)}: a remote object appears whole, and cannot be continued"
                )
            from ...endpoints.remote_sink import RemoteSink

            return RemoteSink(place.path, exclusive=not place.force)
        if _is_fifo(place):
            return FifoSink(place.path)
        sink = open_output(_usable(place), place.commit or "inplace", self.warnings.append).sink
        if isinstance(sink, FileSink) and sink.warning:
            self.warnings.append(sink.warning)
        return sink

    def stop(self) -> None:
        """End the waiting for whoever reads a named pipe; another thread may say so."""
        if isinstance(self._sink, FifoSink):
            self._sink.stop()

    def message(self, unit: Unit) -> Iterable[Unit]:
        """Write the message, and yield it.

        Raises:
            SourceError: The place failed. A file is cut back to its last whole message.
            BrokenPipeError: The reader of a pipe went away.
        """
        before = self._sink.position
        try:
            self._sink.write(filled(unit))
            if self._syncs:
                self._sink.sync()
        except SourceError as error:
            self._cut_back(before, error)
        self.messages += 1
        return (unit,)

    def _cut_back(self, before: int, error: SourceError) -> NoReturn:
        """Drop the piece of a message that was written, if that can be done, and raise what happened."""
        if not self._sink.patchable:
            raise error
        try:
            self._sink.truncate(before)
        except SourceError:
            raise error from None
        text = str(error).removeprefix(f"{error.uri}: ")
        found = SourceError(f"{text}; it holds the {self.messages} whole messages before", uri=error.uri)
        found.errno = error.errno
        raise found from error

    def finish(self, *, failed: bool) -> Iterable[Unit]:
        """Close the file. After a failure it keeps what is in it; one that was to appear whole does not.

        Raises:
            SourceError: It could not be made durable.
        """
        if not self._owned:
            return ()
        if failed and (self._private or isinstance(self._sink, FifoSink)):
            self._sink.abort()
        else:
            self._sink.close()
        return ()


def _is_fifo(output: Output) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(output.path).st_mode)
    except OSError:
        return False


def _usable(output: Output) -> Output:
    """Return the output; what is there to be written to (a pipe, a device) need not be absent."""
    try:
        mode = os.stat(output.path).st_mode
    except OSError:
        return output
    return output if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else output._replace(force=True)
