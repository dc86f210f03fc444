"""A folder of payloads named by their content: each is a .tgm file of its own, with one object.

It is separate from `refs`, which says in a message what was moved, because here is what must hold on
disk: a name appears only with all of its bytes, which are durable by then; whoever reads checks them.

Names are SHA-256, not the frames' xxh3-64. A name stands for the bytes here, so two payloads with the same
name would silently become one. With 64 bits that happens by accident among some 10^9 payloads, and on
purpose at once; with 256 bits neither is known to be possible. `sha256sum` checks a folder without us.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence

from ...endpoints.base import Bytes
from ...endpoints.local import source_error, write_all
from ...errors import ReferenceRefused, SourceError
from .names import MOST_NAMES, Folder, check_count

ALGORITHM = "sha256"
SUFFIX = ".tgm"
_NAME = re.compile(r"([0-9a-f]{64})\.tgm")
_PIECE = 1 << 20


def name_of(pieces: Sequence[Bytes]) -> str:
    """Return the name of these bytes."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest() + SUFFIX


def digest_in(name: str) -> str | None:
    """Return the digest that a name is made of; None if it is no name of ours."""
    found = _NAME.fullmatch(name)
    return None if found is None else found[1]


class Store:
    """The folder.

    Args:
        path: Of it.
        create: It need not be there.
        most_names: How many payloads may be put into it.
        durable: What was put is on the disk when `commit` returns.

    Attributes:
        written: Files that were new.

    Raises:
        SourceError: It cannot be opened.
    """

    def __init__(
        self, path: str, *, create: bool = True, most_names: int = MOST_NAMES, durable: bool = True
    ) -> None:
        self._folder = Folder(path, create=create)
        self._most_names = most_names
        self._durable = durable
        self._known: set[str] = set()  # put or checked by us
        self._uncommitted = False
        self.written = 0

    def put(self, name: str, pieces: Sequence[Bytes]) -> None:
        """Make sure that the file `name` holds these bytes, whose name it is. It is written once.

        Raises:
            LimitExceeded: One name more than may be.
            ReferenceRefused: There is a file of that name, which holds something else.
            SourceError: It cannot be written.
        """
        if name in self._known:
            return
        check_count(len(self._known) + 1, self._most_names)
        size = sum(map(len, pieces))
        if not self._is_there(name, size):
            self._write(name, pieces, size)
        self._known.add(name)

    def _is_there(self, name: str, size: int) -> bool:
        try:
            self.get(name, size)
        except ReferenceRefused as error:
            if error.reason != "missing":
                raise
            return False
        return True

    def _write(self, name: str, pieces: Sequence[Bytes], size: int) -> None:
        temporary = f".{name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
        descriptor = self._folder.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            try:
                write_all(descriptor, pieces)
                if self._durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if not self._folder.publish(temporary, name):
                self.get(name, size)  # somebody else was first: with the same bytes, or not
            self.written += 1
            self._uncommitted = True
        except OSError as error:
            if isinstance(error, SourceError):
                raise
            raise source_error(error, self._folder.shown(name)) from error
        finally:
            self._folder.remove(temporary)

    def commit(self) -> None:
        """Return when the names of what was put are durable too."""
        if self._durable and self._uncommitted:
            self._folder.sync()
        self._uncommitted = False

    def get(self, name: str, size: int) -> bytes:
        """Return what the file `name` holds, after comparing it with its name.

        It is read, not mapped: whoever cuts the file meanwhile must not end this process.

        Args:
            name: As `name_of` makes it.
            size: Its bytes.

        Raises:
            ReferenceRefused: It is not there, or holds something else.
            SourceError: It cannot be read, or is no regular file.
        """
        shown = self._folder.shown(name)
        try:
            descriptor = self._folder.open(name, os.O_RDONLY)
        except SourceError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise ReferenceRefused(f"{shown}: is not there", reason="missing") from error
            raise
        try:
            found = os.fstat(descriptor).st_size
            data = bytearray()
            if found == size:
                while piece := os.read(descriptor, min(_PIECE, size + 1 - len(data))):
                    data += piece
                found = len(data)
        except OSError as error:
            raise source_error(error, shown) from error
        finally:
            os.close(descriptor)
        if found != size:
            raise ReferenceRefused(f"{shown}: has {found} bytes, expected {size}", reason="changed")
        actual = name_of([data])
        if actual != name:
            raise ReferenceRefused(
                f"{shown}: its bytes have the digest {actual.removesuffix(SUFFIX)}, not the one it is named "
                "by: it changed after it was written",
                reason="changed",
            )
        return bytes(data)

    def close(self) -> None:
        """Let go of the folder. Closing twice is allowed."""
        self._folder.close()
