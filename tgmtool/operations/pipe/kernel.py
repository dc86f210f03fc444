"""Bytes that wait in pipes of our own instead of in memory: from one pipe to another without a copy.

It is separate because it is the fast way and never the only one: where the system does not have it, or has
none left, bytes are read and written as everywhere else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat

from ...endpoints.base import Bytes

LEAST = 256 << 10  # what is less is read: it costs more calls to pass it on than to copy it
_PIPE_SIZE = 1 << 20
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ
_MOST_PIPES = 16  # a user without privileges may have 64 MiB in pipes, and not only ours
_FLAGS = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


class KernelPiece:
    """Bytes in a pipe that only we know. They can be taken once."""

    __slots__ = ("_reader", "_ring", "_size", "_writer")

    def __init__(self, ring: Ring, reader: int, writer: int) -> None:
        self._ring = ring
        self._reader = reader
        self._writer = writer
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def is_full(self) -> bool:
        """Nothing more should be put into it."""
        return self._size >= _PIPE_SIZE

    def fill_from(self, descriptor: int, size: int) -> int | None:
        """Move up to `size` bytes here from a pipe that has some; 0 at its end, None if nothing fits."""
        try:
            found = os.splice(descriptor, self._writer, min(size, _PIPE_SIZE - self._size), flags=_FLAGS)
        except BlockingIOError:
            return None
        self._size += found
        return found

    def pour_into(self, descriptor: int) -> int:
        """Move what goes into a pipe that does not block; return how much.

        Raises:
            BlockingIOError: Nothing does now.
            BrokenPipeError: Nobody reads it any more.
        """
        moved = os.splice(self._reader, descriptor, self._size, flags=_FLAGS)
        self._size -= moved
        if not self._size:
            self._ring.give_back(self._reader, self._writer)
        return moved

    def bytes(self) -> Bytes:
        """Take them out, to be looked at."""
        found = bytearray()
        while len(found) < self._size:
            found += os.read(self._reader, self._size - len(found))
        self._size = 0
        self._ring.give_back(self._reader, self._writer)
        return memoryview(found)


class Ring:
    """Pipes of our own, used again and again.

    Args:
        capacity: Bytes that may wait in them.
    """

    def __init__(self, capacity: int) -> None:
        self._most = min(capacity // _PIPE_SIZE, _MOST_PIPES) if hasattr(os, "splice") else 0
        self._free: list[tuple[int, int]] = []
        self._all: list[int] = []

    def piece(self) -> KernelPiece | None:
        """Return an empty one; None if there is none left."""
        if not self._free and len(self._all) < 2 * self._most:
            self._make()
        try:
            return KernelPiece(self, *self._free.pop())
        except IndexError:
            return None

    def _make(self) -> None:
        try:
            reader, writer = os.pipe()
        except OSError:
            self._most = 0  # no descriptors left: those that there are have to do
            return
        self._all += (reader, writer)
        try:
            fcntl.fcntl(writer, _SET_PIPE_SIZE, _PIPE_SIZE)
        except OSError:
            self._most = 0  # no large ones for us
            return
        os.set_blocking(writer, False)
        self._free.append((reader, writer))

    def give_back(self, reader: int, writer: int) -> None:
        """Take back an empty pipe."""
        self._free.append((reader, writer))

    def close(self) -> None:
        """Let go of all of them, and of what still waits in them."""
        for descriptor in self._all:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._all.clear()
        self._free.clear()


def is_pipe(descriptor: int) -> bool:
    """Return whether bytes can be moved to or from it."""
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False
