"""New files made of parts of an old one: ranges that stay as they are, and bytes between them.

It is separate because several operations plan such files (`salvage`, `reindex`), and because the bytes
that stay never pass through Python where the source is a regular file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from ..endpoints import STDIO, local_path, open_source
from ..endpoints.base import Source
from ..endpoints.edited import Identity, copy_range, identity_of, lock, seconds_since_change, stays
from ..endpoints.local import FileSink, FileSource, MappedSource, source_error
from ..errors import SourceError

MIN_AGE = 10.0  # seconds: what changed since is perhaps still being written
_CHUNK = 1 << 20


class Range(NamedTuple):
    """Bytes of the source that stay as they are."""

    offset: int
    length: int


Segment = Range | bytes
"""A part of a new file: copied, or written."""


def size_of(segments: Iterable[Segment]) -> int:
    """Return how many bytes the segments make."""
    return sum(one.length if isinstance(one, Range) else len(one) for one in segments)


def same_file(source: Source, path: str) -> bool:
    """Return whether `path` is the file that `source` reads."""
    if not isinstance(source, FileSource):
        return False
    try:
        return os.path.samestat(os.stat(path), source.status())
    except OSError:
        return False  # it does not exist


def write_segments(source: Source, segments: Iterable[Segment], sink: FileSink) -> None:
    """Write a new file.

    Raises:
        SourceError: The source became shorter, or one of the two failed.
    """
    for one in segments:
        if isinstance(one, Range):
            _copy(source, one, sink)
        else:
            sink.write([one])


def copy_all(source: Source, sink: FileSink) -> None:
    """Copy everything there is in `source`. Errors as `write_segments`."""
    size = source.size() if source.seekable else None
    if size is not None:
        _copy(source, Range(0, size), sink)
        return
    at = 0
    while chunk := source.read_at(at, _CHUNK):
        sink.write([chunk])
        at += len(chunk)
        source.keep_from(at)


def _copy(source: Source, one: Range, sink: FileSink) -> None:
    at, left = one
    if isinstance(source, FileSource):
        try:
            copied = copy_range(source.descriptor, sink.descriptor, at, left)
        except OSError as error:
            raise source_error(error, sink.path) from error
        at, left = at + copied, left - copied
    while left:
        chunk = memoryview(source.read_at(at, min(left, _CHUNK)))[:left]
        if not chunk:
            raise SourceError(f"became shorter while it was copied: nothing at byte {at}", uri=source.name)
        sink.write([chunk])
        at, left = at + len(chunk), left - len(chunk)


_Found = TypeVar("_Found")
_STDIN = "<stdin>"


def look_at(path: str | os.PathLike[str], plan: Callable[[Source], _Found]) -> _Found:
    """Return what `plan` says of a file; nothing is written.

    Raises:
        SourceError: It cannot be read.
    """
    name = local_path(path)
    check_regular(name)
    source = open_source(name)
    try:
        return mapped(source, plan) if isinstance(source, FileSource) else plan(source)
    finally:
        source.close()


def settled(source: FileSource, min_age: float, *, force: bool) -> Identity:
    """Make sure that nobody is writing to a file, as far as can be seen; return what it is.

    It stays locked against appenders until the source is closed.

    Raises:
        SourceError: It is locked, or changed less than `min_age` seconds ago (unless `force`).
    """
    found = identity_of(source.descriptor)
    if force or source.name == _STDIN:
        return found
    lock(source.descriptor, source.name, exclusive=False)
    check_age(source.descriptor, source.name, min_age)
    return found


def check_age(descriptor: int, name: str, min_age: float) -> None:
    """Make sure that a file has been as it is for `min_age` seconds.

    Where its clock is ahead of ours, as on a file server, it is watched for so long instead.

    Raises:
        SourceError: It was changed since.
    """
    before = identity_of(descriptor)
    age = seconds_since_change(before)
    if age < 0:
        age = min_age if stays(descriptor, before, min_age) else 0.0
    if age < min_age:
        raise SourceError(
            f"changed {age:.1f} seconds ago, less than --min-age {min_age:g}: perhaps it is still being "
            "written; wait, or insist with --force",
            uri=name,
        )


def has_been_still(path: str | os.PathLike[str], seconds: float) -> bool:
    """Return whether a file has been as it is for so long; never of stdin."""
    name = local_path(path)
    if name == STDIO:
        return False
    with open(name, "rb", buffering=0) as file:
        return seconds_since_change(identity_of(file.fileno())) >= seconds


def same_as(source: FileSource, before: Identity) -> None:
    """Make sure that a file is as it was.

    Raises:
        SourceError: It changed.
    """
    if identity_of(source.descriptor) != before:
        raise SourceError("changed while it was read: somebody is writing to it", uri=source.name)


def mapped(source: FileSource, look: Callable[[Source], _Found]) -> _Found:
    """Return what `look` says of a file in memory; of one that is empty, of the file."""
    if not source.size():
        return look(source)
    whole = MappedSource(os.dup(source.descriptor), source.name)
    try:
        return look(whole)
    finally:
        whole.close()


def seekable(path: str, target: str) -> FileSource:
    """Open a source; what can be read only once is kept in a nameless file beside `target`."""
    check_regular(path)
    opened = open_source(path)
    if isinstance(opened, FileSource):
        return opened
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=os.path.dirname(target) or ".") as held:
            at = 0
            while chunk := opened.read_at(at, _CHUNK):
                held.write(chunk)
                at += len(chunk)
                opened.keep_from(at)
            held.flush()
            return FileSource(os.dup(held.fileno()), opened.name)
    except OSError as error:
        raise source_error(error, opened.name) from error
    finally:
        opened.close()


def check_regular(path: str) -> None:
    """Refuse what opening could wait for: a pipe, a device.

    Raises:
        SourceError: It is such, or is not there.
    """
    import stat

    if path == STDIO:
        return
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise source_error(error, path) from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise SourceError("is no regular file", uri=path)
