"""`@split`: a file for each name that the metadata of messages makes.

It is separate from `tee` because here the names come from strangers, there may be thousands of them, and
only so many files can be open at a time.

Every file holds whole messages in their order, with their lengths filled in. Markers go into none of
them: an end says how many messages there were, how many bytes and with which digest, and of a part that
is wrong; a note or an error is about the whole stream. So a part is a plain file, and what passes on
has everything.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from ...endpoints.local import source_error, write_all
from ...errors import NameRefused, SourceError
from .base import Needs, Unit
from .filled import filled
from .names import MOST_NAMES, Folder, Template, check_count, values_of

OPEN_FILES = 64  # at a time; far below what a process may have, as there are other stages


class _Part(NamedTuple):
    """A file that was begun: which one it is, and the bytes of whole messages in it."""

    device: int
    inode: int
    size: int


class Split:
    """Writes every message that has objects to the file its metadata names, and lets everything pass.

    Args:
        template: `DIR/[mars.param]_[mars.step].tgm`, as `Template.parse` has it. DIR is created.
        force: Replace files that exist.
        most_names: How many files there may be.
        open_files: How many of them are open at a time; others are closed, and opened again when needed.
        durable: fsync every file before `finish` returns.

    Attributes:
        files: How many were begun.
        messages: That were written.

    Raises:
        ValueError: The template cannot be understood.
        SourceError: The folder cannot be opened.
    """

    name = "@split"
    needs: Needs = "metadata"

    def __init__(
        self,
        template: str,
        *,
        force: bool = False,
        most_names: int = MOST_NAMES,
        open_files: int = OPEN_FILES,
        durable: bool = True,
    ) -> None:
        self._template = Template.parse(template)
        self._folder = Folder(self._template.folder)
        self._force = force
        self._most_names = most_names
        self._open_files = max(open_files, 1)
        self._durable = durable
        self._parts: dict[str, _Part] = {}
        self._open: OrderedDict[str, int] = OrderedDict()  # descriptors, the one used last at the end
        self.messages = 0

    @property
    def files(self) -> int:
        """How many files were begun."""
        return len(self._parts)

    def message(self, unit: Unit) -> Iterable[Unit]:
        """Write the message to its file, and yield it.

        Raises:
            NameRefused: Its metadata makes no file name.
            LimitExceeded: One file more than may be.
            SourceError: The file exists, or failed; it is cut back to its last whole message.
            FormatError: The metadata cannot be read.
        """
        if not unit.is_marker:
            try:
                name = self._template.name(values_of(unit.keys(), self._template.keys))
            except NameRefused as error:
                raise NameRefused(f"{unit.name}: message {unit.number}: {error}") from None
            self._write(name, unit)
            self.messages += 1
        return (unit,)

    def _write(self, name: str, unit: Unit) -> None:
        descriptor = self._descriptor(name)
        part = self._parts[name]
        try:
            written = write_all(descriptor, filled(unit))
        except OSError as error:
            found = source_error(error, self._folder.shown(name))
            try:
                os.ftruncate(descriptor, part.size)
            except OSError:
                raise found from error
            text = str(found).removeprefix(f"{found.uri}: ")
            raise SourceError(f"{text}; it was cut back to its whole messages", uri=found.uri) from error
        self._parts[name] = part._replace(size=part.size + written)

    def _descriptor(self, name: str) -> int:
        if (found := self._open.get(name)) is not None:
            self._open.move_to_end(name)
            return found
        while len(self._open) >= self._open_files:
            os.close(self._open.popitem(last=False)[1])
        if name in self._parts:
            found = self._folder.open(name, os.O_WRONLY | os.O_APPEND)
        else:
            check_count(len(self._parts) + 1, self._most_names)
            found = self._begin(name)
        self._open[name] = found
        known, status = self._parts.get(name), os.fstat(found)
        if known is None:
            self._parts[name] = _Part(status.st_dev, status.st_ino, 0)
        elif known != (status.st_dev, status.st_ino, status.st_size):
            raise SourceError("was changed or replaced by somebody else", uri=self._folder.shown(name))
        return found

    def _begin(self, name: str) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        if self._force:
            # A new file under the old name: who reads the old one keeps it, and no link is written through.
            self._folder.remove(name)
        try:
            return self._folder.open(name, flags | os.O_EXCL)
        except SourceError as error:
            if isinstance(error.__cause__, FileExistsError):
                raise SourceError("already exists; use --force to replace it", uri=error.uri) from error
            raise

    def finish(self, *, failed: bool) -> Iterable[Unit]:
        """Close all files; after a failure too they hold whole messages.

        Raises:
            SourceError: One could not be made durable; all are closed nevertheless.
        """
        wrong: SourceError | None = None
        try:
            if self._durable:
                # All at the end: a file that is closed to make room would have to wait each time.
                for name in self._parts:
                    try:
                        self._sync(name)
                    except SourceError as error:
                        wrong = wrong or error
                if self._parts:
                    self._folder.sync()
        finally:
            while self._open:
                os.close(self._open.popitem()[1])
            self._folder.close()
        if wrong is not None:
            raise wrong
        return ()

    def _sync(self, name: str) -> None:
        try:
            os.fsync(self._descriptor(name))
        except SourceError:
            raise
        except OSError as error:
            raise source_error(error, self._folder.shown(name)) from error
