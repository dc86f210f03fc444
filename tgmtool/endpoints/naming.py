"""How a new file that is complete gets its name, and what it is called before.

It is separate from `local`, which writes: a file that has no name yet is gone with whoever is killed, and
where a system has no such files, a hidden name that tells whose it was is all that stays.
"""

from __future__ import annotations

import errno
import os

_OPEN_FILE = "/proc/self/fd/{}"
_APPEARED = "already exists: it appeared meanwhile, and was left alone"


def nameless_beside(path: str, mode: int) -> int | None:
    """Open a file without a name where `path` shall be: whoever is killed leaves nothing behind.

    Returns:
        Its descriptor; None where the system cannot open one, or cannot name it later.
    """
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None:
        return None
    try:
        descriptor = os.open(os.path.dirname(path) or ".", flag | os.O_RDWR | os.O_CLOEXEC, mode)
    except OSError:
        return None
    if os.path.exists(_OPEN_FILE.format(descriptor)):
        return descriptor
    os.close(descriptor)
    return None


def name_opened(descriptor: int, temporary: str, path: str, *, exclusive: bool) -> None:
    """Give a file that has no name one: where there is a file already, in its place unless `exclusive`."""
    # A descriptor of a folder, though no name is relative to it: only then the link is followed.
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        opened = _OPEN_FILE.format(descriptor)
        try:
            os.link(opened, path, src_dir_fd=folder)
        except FileExistsError:
            if exclusive:
                raise FileExistsError(errno.EEXIST, _APPEARED) from None
            os.link(opened, temporary, src_dir_fd=folder)
            os.replace(temporary, path)
    finally:
        os.close(folder)


def rename(temporary: str, path: str, *, exclusive: bool) -> None:
    """Rename the finished file; if `exclusive`, only where no file has that name by now."""
    if exclusive:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise FileExistsError(errno.EEXIST, _APPEARED) from None
        except OSError:  # a file system without hard links: look, then rename
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, _APPEARED) from None
        else:
            os.unlink(temporary)
            return
    os.replace(temporary, path)


def temporary_name(path: str) -> str:
    """Return a hidden name beside `path` that nobody else has."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name[:200]}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
