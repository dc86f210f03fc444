"""`@tee`: everything that passes is written to a file too, which comes out backfilled.

It is separate from `split` because here is one file, which may be followed while it grows: it is
written in place, a message per write, and at no time holds less than what it held before.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import Any, NoReturn

from ...endpoints import STDIO, local_path, open_sink
from ...endpoints.base import Sink
from ...endpoints.local import FileSink
from ...errors import SourceError
from .base import Needs, Unit
from .filled import filled


class Tee:
    """Writes every message to a place, and lets it pass.

    Args:
        place: A path, or what else `open_sink` takes. A Sink is used as it stands (a file that is continued,
            say); whoever opened it closes it.
        force: Replace an existing file.
        private: The file appears when it is complete, instead of growing under its name.
        durable: fsync before `finish` returns.

    Attributes:
        messages: That were written.

    Raises:
        SourceError: It cannot be written, or it exists.
    """

    name = "@tee"
    needs: Needs = "bytes"

    def __init__(
        self, place: Any, *, force: bool = False, private: bool = False, durable: bool = True
    ) -> None:
        self.messages = 0
        self._owned = not isinstance(place, Sink)
        self._private = private
        if isinstance(place, str | os.PathLike) and place != STDIO:
            path = local_path(place)
            exclusive = not force and not _is_device(path)
            self._sink: Sink = FileSink(path, private=private, exclusive=exclusive, durable=durable)
        else:
            self._sink = open_sink(place)

    def message(self, unit: Unit) -> Iterable[Unit]:
        """Write the message, and yield it.

        Raises:
            SourceError: The place failed. A file is cut back to its last whole message.
            BrokenPipeError: The reader of a pipe went away.
        """
        before = self._sink.position
        try:
            self._sink.write(filled(unit))
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
        if failed and self._private:
            self._sink.abort()
        else:
            self._sink.close()
        return ()


def _is_device(path: str) -> bool:
    """It is there to be written to: a pipe, /dev/null, a terminal."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
