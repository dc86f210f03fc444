"""Where bytes come from and go to. Nothing here knows what a frame is.

`open_source` and `open_sink` are the one place that turns a name into an endpoint: THE scheme table.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..errors import SourceError
from .base import Sink, Source

if TYPE_CHECKING:
    from .access import Access

STDIO = "-"


def open_source(place: Any, *, mapped: bool = False, access: Access | None = None) -> Source:
    """Open a place to read from.

    Args:
        place: A path, `-` (stdin), `file://…`, another URL, bytes, a binary file object, or a Source
            (returned as it is).
        mapped: Map a regular file instead of reading it; arrays can then be views of it. The file
            must not be truncated while it is mapped.
        access: How remote places are reached.

    Raises:
        SourceError: It is not there, or cannot be read.
    """
    if isinstance(place, Source):
        return place
    if isinstance(place, bytes | bytearray | memoryview):
        from .memory import MemorySource

        return MemorySource(place)
    if place == STDIO:
        from .stdio import stdin_source

        return stdin_source()
    if is_remote(place):
        from .remote import open_remote

        return open_remote(place, access)
    if isinstance(place, str | os.PathLike):
        from .local import open_file

        return open_file(local_path(place), mapped=mapped)
    if hasattr(place, "read"):
        from .stdio import FileObjectSource

        return FileObjectSource(place)
    raise TypeError(
        f"a source is a path, a URL, bytes, a binary file or a Source, not {type(place).__name__}"
    )


def open_sink(place: Any) -> Sink:
    """Open a place to write to from its first byte.

    Args:
        place: A path (created or emptied), `-` (stdout), a binary file object, or a Sink (returned
            as it is). `local.FileSink` has the finer choices for files.

    Raises:
        SourceError: It cannot be written.
    """
    if isinstance(place, Sink):
        return place
    if place == STDIO:
        from .stdio import stdout_sink

        return stdout_sink()
    if isinstance(place, str | os.PathLike):
        from .local import FileSink

        return FileSink(local_path(place))
    if hasattr(place, "write"):
        from .stdio import FileObjectSink

        return FileObjectSink(place)
    raise TypeError(f"a sink is a path, a binary file or a Sink, not {type(place).__name__}")


def is_remote(place: Any) -> bool:
    """Return whether a name is a URL of a place that is not a local file."""
    if not isinstance(place, str):
        return False
    before, separator, _ = place.partition("://")
    scheme = before.rpartition("::")[2]  # fsspec's chains: simplecache::sftp://…
    return bool(separator) and scheme != "file" and scheme.replace("+", "").isalnum() and len(scheme) > 1


def shown(place: str) -> str:
    """Return a name as it may be printed: a URL without its secrets."""
    if not is_remote(place):
        return place
    from .secrets import redact_url

    return redact_url(place)


def local_path(place: str | os.PathLike[str]) -> str:
    """Return the path that a name stands for.

    Raises:
        SourceError: It is a URL of a place that this version cannot reach.
    """
    path = os.fspath(place)
    if path.startswith("file://"):
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(path)
        return unquote(parts.path)
    scheme, separator, _ = path.partition("://")
    if separator and scheme.isalnum():
        raise SourceError(
            f"{scheme}:// places can be read and not written by this version of tgmtool",
            uri=f"{scheme}://***",
        )
    return path
