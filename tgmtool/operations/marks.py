"""By what a place in a growing file is known again, and whether the file still has it.

It is separate from following because these are plain values and questions to the system.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from ..endpoints.local import FileSource
from ..wire import layout

MARK_SIZE = layout.FRAME_FOOTER_SIZE


class Mark(NamedTuple):
    """Bytes by which a place is recognised: the digest and the ENDF of a whole frame."""

    offset: int
    data: bytes


def status_of_name(path: str) -> os.stat_result:
    """Return what the name stands for now.

    It is opened for that: network file systems keep what `stat` says for seconds, and ask again at
    an open. That freshens the size of the file that is held open, too.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError:
        return os.stat(path)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


class Point(NamedTuple):
    """A place between two units, from which a follower can go on.

    Attributes:
        message: Where the open message begins, or the next one will (bytes from the start of the file).
        offset: What ends at or before it was handed out (bytes from the start of the file).
        number: Whole messages before `message`.
        objects: Objects of the open message so far.
    """

    message: int = 0
    offset: int = 0
    number: int = 0
    objects: int = 0


def holds(source: FileSource, mark: Mark | None) -> bool:
    """Return whether the file has these bytes there; true if there is nothing to look for."""
    return mark is None or bytes(source.read_at(mark.offset, MARK_SIZE)) == mark.data
