"""A regular file that is changed where it stands, and copies of parts of it.

It is separate from `local`, which writes what is new: here every byte that is not named stays, nobody
is locked out who only reads, and bytes move from file to file without passing through Python.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import NamedTuple

from ..errors import SourceError
from .base import Bytes
from .local import FileSource, lock_holder, source_error

_PIECE = 1 << 30  # bytes; a single call moves at most 2 GiB - 4 KiB on Linux
_BUFFER = 1 << 20
_LOOK = 0.2  # seconds between two looks at a file that is watched
_NOT_BETWEEN_THESE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY}


class Identity(NamedTuple):
    """What tells that a file is the one that was looked at, and is as it was."""

    device: int
    inode: int
    size: int
    changed_ns: int


def identity_of(descriptor: int) -> Identity:
    """Return the identity of an open file now."""
    found = os.fstat(descriptor)
    return Identity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def seconds_since_change(identity: Identity) -> float:
    """Return for how long the file has been as it is; negative if its clock is ahead of ours."""
    return time.time() - identity.changed_ns / 1e9


def stays(descriptor: int, before: Identity, seconds: float) -> bool:
    """Watch a file by a clock that nobody sets; return whether it stays what it was for so long."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK))
        if identity_of(descriptor) != before:
            return False
    return True


class EditedFile:
    """A regular file, open to be read and written over.

    Args:
        path: Where it stands.
        follow: It may be a symbolic link.

    Raises:
        SourceError: It is not there, is no regular file, is a link, or cannot be written.
    """

    def __init__(self, path: str, *, follow: bool = False) -> None:
        self.name = path
        if not follow and os.path.islink(path):
            target = os.path.realpath(path)
            raise SourceError(
                f"is a symbolic link to {target}: name that file, or insist with --force", uri=path
            )
        try:
            # O_NONBLOCK: a pipe in its place must not hold us; on a regular file it means nothing.
            self.descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise source_error(error, path) from error
        if not stat.S_ISREG(os.fstat(self.descriptor).st_mode):
            os.close(self.descriptor)
            raise SourceError("is no regular file: it cannot be changed in place", uri=path)

    def source(self) -> FileSource:
        """Return a source of the same file, closed by its own."""
        return FileSource(os.dup(self.descriptor), self.name)

    def identity(self) -> Identity:
        """Return what the file is now."""
        return identity_of(self.descriptor)

    def write_at(self, offset: int, data: Bytes) -> None:
        """Write `data` over what stands at `offset` (bytes from the start of the file)."""
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self.descriptor, view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            raise source_error(error, self.name) from error

    def truncate(self, size: int) -> None:
        """Make the file `size` bytes long."""
        try:
            os.ftruncate(self.descriptor, size)
        except OSError as error:
            raise source_error(error, self.name) from error

    def sync(self) -> None:
        """Return when all of it is on the disk; never retried after a failure."""
        try:
            os.fsync(self.descriptor)
        except OSError as error:
            raise source_error(error, self.name) from error

    def close(self) -> None:
        """Let go of it, and of a lock on it. Closing twice is allowed."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def lock(descriptor: int, name: str, *, exclusive: bool) -> None:
    """Lock an open file against appenders until it is closed; nothing happens where there are no locks.

    Raises:
        SourceError: Another process holds it.
    """
    import fcntl

    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = lock_holder(descriptor)
        raise SourceError(
            f"another process{holder} writes to it: wait for it, or insist with --force", uri=name
        ) from error
    except OSError:
        return  # a file system without locks: its age is what is left to go by


def copy_range(source: int, sink: int, offset: int, size: int) -> int:
    """Copy `size` bytes at `offset` of one file to the position of another, in the kernel where it can.

    Args:
        source: Descriptor of a regular file.
        sink: Descriptor to be written.
        offset: Bytes from the start of `source`.
        size: How many.

    Returns:
        How many there were: fewer if the file ends before.

    Raises:
        OSError: It cannot be read or written.
    """
    left = size
    for move in (_by_reference, _by_sendfile, _through_memory):
        while left:
            try:
                moved = move(source, sink, offset, min(left, _PIECE))
            except OSError as error:
                if move is not _through_memory and error.errno in _NOT_BETWEEN_THESE:
                    break  # the next way works everywhere
                raise
            if not moved:
                break
            offset, left = offset + moved, left - moved
    return size - left


def _by_reference(source: int, sink: int, offset: int, size: int) -> int:
    return os.copy_file_range(source, sink, size, offset)


def _by_sendfile(source: int, sink: int, offset: int, size: int) -> int:
    return os.sendfile(sink, source, offset, size)


def _through_memory(source: int, sink: int, offset: int, size: int) -> int:
    chunk = os.pread(source, min(size, _BUFFER), offset)
    view = memoryview(chunk)
    while view:
        view = view[os.write(sink, view) :]
    return len(chunk)
