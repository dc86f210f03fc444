"""Get the index that belongs to a remote object, if it can be about that.

It is separate because this decides, from sizes and times alone, whether an index is worth asking.
"""

from __future__ import annotations

from collections.abc import Callable

from ..endpoints import open_source, shown
from ..endpoints.access import Access
from ..endpoints.base import Source
from ..endpoints.reach import MissingObject
from ..endpoints.remote import RemoteSource
from ..errors import SourceError
from .index_lines import BadIndex, Line, parse_lines

AUTO = "auto"
SUFFIX = ".index"
_CHUNK = 4 << 20


def index_for(
    source: Source, url: str, index: str, access: Access, on_bad_index: Callable[[str], None]
) -> list[Line]:
    """Return what the index of a remote object says; nothing if there is none that can be right.

    Args:
        source: The object.
        url: Its URL.
        index: Where the index is; "auto" for the URL with `.index` behind it.
        access: How both are reached.
        on_bad_index: Is told why an index is not used.

    Raises:
        SourceError: An index that was named cannot be read.
    """
    if not isinstance(source, RemoteSource):
        return []
    try:
        place = index_of(url) if index == AUTO else index
        opened = open_source(place, access=access)
    except SourceError as error:
        if index != AUTO:
            raise
        if not isinstance(error, MissingObject):
            on_bad_index(str(error))
        return []
    try:
        text = _all_of(opened)
        modified = opened.modified if isinstance(opened, RemoteSource) else None
    finally:
        opened.close()
    if modified is not None and source.modified is not None and modified < source.modified:
        on_bad_index(f"{shown(place)} is older than the object")
        return []
    size = source.size()
    try:
        return parse_lines(text, size=size, version=source.version)
    except BadIndex as error:
        on_bad_index(f"{shown(place)}: {error}")
        return []


def index_of(url: str) -> str:
    """Return where the index of a URL is looked for: the path with `.index` behind it, same query."""
    plain = url.partition("#")[0]
    path, mark, query = plain.partition("?")
    return f"{path}{SUFFIX}{mark}{query}"


def _all_of(source: Source) -> bytes:
    found = bytearray()
    while piece := source.read_at(len(found), _CHUNK):
        found += piece
        source.keep_from(len(found))
    return bytes(found)
