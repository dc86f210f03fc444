"""What waits on the stdin of the first command, which reads it for itself.

It is separate because no link stands before that command: whether it takes anything can only be seen from
outside, by looking at the descriptor that it shares with us.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import termios
from time import monotonic


def unread_of(descriptor: int) -> int:
    """Return the bytes in a pipe or socket that nobody has read yet, from either end."""
    found: int = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))[0]
    return found


class Unread:
    """Looks now and then at a descriptor that somebody else reads.

    Args:
        descriptor: It stays open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen = (0, 0)
        self._since = monotonic()

    def look(self) -> tuple[int, float]:
        """Return the bytes that wait, and since when (`monotonic`) nothing of them was taken, or came."""
        try:
            seen = self._look()
        except OSError:
            seen = 0, 0  # closed, or of a kind that cannot be asked
        if seen != self._seen or not seen[0]:
            self._seen, self._since = seen, monotonic()
        return seen[0], self._since

    def _look(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        if stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode):
            return unread_of(self._descriptor), 0
        if stat.S_ISREG(status.st_mode):
            offset = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            return max(status.st_size - offset, 0), offset
        return 0, 0
