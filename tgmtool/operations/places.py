"""A file of the system as `inplace` wants it: changed step by step, with sidecars beside it.

It is separate from `inplace` so that the steps can be recorded, replayed and cut off in memory.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence

from ..endpoints import local_path, open_source
from ..endpoints.base import Bytes, Source
from ..endpoints.edited import EditedFile, copy_range, lock
from ..endpoints.local import FileSink, source_error, sync_directory
from ..errors import SourceError
from ..limits import DEFAULT_LIMITS, Limits
from .backfill import keep_copy
from .copies import MIN_AGE, Segment, check_age, write_segments
from .inplace import Finish, Place, finish, plan_finish, undo

SUFFIX = ".dropped-"
"""Between the name of a file and the offset of a message: the name of its sidecar."""


class FilePlace(Place):
    """A regular file.

    Args:
        file: Open to be written over; it belongs to the caller.
    """

    def __init__(self, file: EditedFile) -> None:
        self._file = file
        self._path = os.path.realpath(file.name)

    def source(self) -> Source:
        """Return a source of the file as it is now."""
        return self._file.source()

    def write_at(self, offset: int, data: Bytes) -> None:
        """Write over what stands at `offset`, or behind the end."""
        self._file.write_at(offset, data)

    def copy_at(self, offset: int, sidecar: int, start: int, size: int) -> None:
        """Copy from a sidecar, in the kernel where it can."""
        try:
            os.lseek(self._file.descriptor, offset, os.SEEK_SET)
            descriptor = os.open(self._name(sidecar), os.O_RDONLY | os.O_CLOEXEC)
            try:
                copied = copy_range(descriptor, self._file.descriptor, start, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise source_error(error, self._file.name) from error
        if copied != size:
            raise SourceError("became shorter while it was read", uri=self._name(sidecar))

    def truncate(self, size: int) -> None:
        """Make the file `size` bytes long."""
        self._file.truncate(size)

    def sync(self) -> None:
        """Make all of it durable."""
        self._file.sync()

    def sidecars(self) -> Sequence[int]:
        """Return where the messages begin that have a sidecar."""
        start = len(self._path + SUFFIX)
        endings = [name[start:] for name in glob.glob(glob.escape(self._path + SUFFIX) + "*")]
        return [int(ending) for ending in endings if ending.isdecimal()]

    def sidecar(self, message: int) -> Source:
        """Return a source of a sidecar."""
        return open_source(self._name(message))

    def put_sidecar(self, message: int, segments: Sequence[Segment]) -> None:
        """Write it under another name first; it is durable when it gets its own."""
        source = self._file.source()
        try:
            with FileSink(self._name(message), private=True, durable=True) as sink:
                write_segments(source, segments, sink)
        finally:
            source.close()

    def drop_sidecar(self, message: int) -> None:
        """Remove a sidecar, durably."""
        try:
            os.unlink(self._name(message))
            sync_directory(self._path)
        except OSError as error:
            raise source_error(error, self._name(message)) from error

    def _name(self, message: int) -> str:
        return f"{self._path}{SUFFIX}{message}"


def salvage_in_place(
    path: str | os.PathLike[str],
    *,
    keep_unhashed: bool = False,
    dry_run: bool = False,
    backup_suffix: str | None = None,
    min_age: float = MIN_AGE,
    force: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Finish | None:
    """Finish the cut last message of a file where it stands; what is dropped is kept beside it.

    Killed at any moment, it leaves a state from which a second call makes the same file.

    Args:
        path: The file.
        keep_unhashed: Keep objects too that carry no digest.
        dry_run: Only return the plan.
        backup_suffix: Before the first write, keep a copy under the name with this behind it.
        min_age: Seconds for which the file must have been as it is.
        force: Do it although the file is in use or a link.
        limits: What the file may cost.

    Returns:
        The plan, carried out; None if the last message is whole.

    Raises:
        SourceError: It cannot be read or written, is in use, or changed meanwhile.
        FramingError: It cannot be finished where it stands; nothing was written.
    """
    file = _opened(path, force=force)
    try:
        place = FilePlace(file)
        before = file.identity()
        plan = plan_finish(place, keep_unhashed=keep_unhashed, limits=limits)
        if plan is None or dry_run:
            return plan
        # What we did ourselves a moment ago is no sign of a writer.
        if not (plan.is_begun or force):
            check_age(file.descriptor, file.name, min_age)
        if backup_suffix and not plan.is_begun:  # an earlier run did, and what it dropped stands beside
            keep_copy(file, file.name + backup_suffix, force=force, limits=limits)
        if file.identity() != before:
            raise SourceError("changed while it was read: somebody is writing to it", uri=file.name)
        finish(place, plan, limits)
        return plan
    finally:
        file.close()


def undo_in_place(
    path: str | os.PathLike[str], *, force: bool = False, limits: Limits = DEFAULT_LIMITS
) -> int:
    """Take a file back to what it was before `salvage_in_place`; return where its last message begins.

    Raises:
        SourceError: It cannot be read or written, is in use, was not changed so, or has grown since.
    """
    file = _opened(path, force=force)
    try:
        return undo(FilePlace(file), limits)
    finally:
        file.close()


def _opened(path: str | os.PathLike[str], *, force: bool) -> EditedFile:
    file = EditedFile(local_path(path), follow=force)
    try:
        if not force:
            lock(file.descriptor, file.name, exclusive=True)
    except BaseException:
        file.close()
        raise
    return file
