"""From the words on a command line to files: directories, globs, lists of names.

It is separate because every command that takes several files takes them in the same way.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator

from ..endpoints import is_remote, open_source
from ..errors import SourceError
from .exits import UsageError

_CHUNK = 1 << 20


def expand(pattern: str) -> Iterator[str]:
    """Yield the files that a name means: itself, the .tgm files of a directory, or what a glob matches.

    Raises:
        SourceError: The glob matches nothing; or, after everything else, a folder cannot be listed.
    """
    if pattern == "-" or is_remote(pattern) or os.path.isfile(pattern):
        yield pattern
    elif os.path.isdir(pattern):
        errors: list[OSError] = []
        for folder, folders, names in os.walk(pattern, onerror=errors.append):
            folders.sort()
            yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith(".tgm"))
        if errors:
            raise SourceError((errors[0].strerror or "").lower(), uri=str(errors[0].filename))
    elif glob.has_magic(pattern):
        found = sorted(glob.glob(pattern, recursive=True))
        if not found:
            raise SourceError("no file matches", uri=pattern)
        yield from found
    else:
        yield pattern


def named_in(place: str, *, by_nul: bool) -> list[str]:
    """Return the names that a file (or `-`) lists: one per line, or separated by NUL.

    Raises:
        SourceError: It cannot be read.
        UsageError: A name is no text.
    """
    source = open_source(place)
    held = bytearray()
    try:
        while chunk := source.read_at(len(held), _CHUNK):
            held += chunk
            source.keep_from(len(held))
    finally:
        source.close()
    separator = b"\0" if by_nul else b"\n"
    if not by_nul and b"\0" in held:
        raise UsageError(f"--files-from {place}: names are separated by NUL; say so with -0")
    return [os.fsdecode(bytes(name)) for name in held.split(separator) if name.strip()]
