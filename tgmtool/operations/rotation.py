"""The names of the files that continue a file: run.tgm, run.1.tgm, run.2.tgm and so on.

It is separate because names come from files too: what an end marker calls its successor is looked
at before it becomes a path.
"""

from __future__ import annotations

import os
import re

from ..errors import FormatError, SourceError

_NUMBERED = re.compile(r"(?P<stem>.*)\.(?P<number>[1-9]\d{0,17})(?P<suffix>\.[^.]*)?")


def successor_of(path: str, first: str) -> str:
    """Return the file that continues `path`.

    Args:
        path: The file that is full.
        first: The file that all began with: its name is never taken for a numbered one.
    """
    folder, name = os.path.split(path)
    stem, suffix = os.path.splitext(os.path.basename(first))
    number = 0
    found = _NUMBERED.fullmatch(name)
    if found and name != os.path.basename(first) and found["stem"] == stem:
        number = int(found["number"])
    return os.path.join(folder, f"{stem}.{number + 1}{suffix}")


def check_free(path: str, first: str) -> None:
    """Refuse to begin where files stand that a rotation would come upon hours later.

    Args:
        path: The file that is written first.
        first: The file that all began with.

    Raises:
        SourceError: A file of a higher number exists, and is not empty.
    """
    successor = successor_of(path, first)
    if _is_taken(successor):
        raise SourceError(
            f"already exists, and would be the successor of {os.path.basename(path)}; "
            "use --force to replace it, or another name",
            uri=successor,
        )


def _is_taken(path: str) -> bool:
    try:
        return os.path.lexists(path) and os.stat(path).st_size > 0
    except OSError:
        return True


def named_successor(path: str, name: str) -> str:
    """Return the path of the successor that the end marker in `path` names.

    Raises:
        FormatError: It leads out of the folder.
    """
    if not name or "/" in name or "\0" in name or name in {".", ".."}:
        raise FormatError(
            f"the end marker names the successor {name!r}: expected a name in the same folder",
            code="stream_invalid",
            source=path,
        )
    return os.path.join(os.path.dirname(path), name)
