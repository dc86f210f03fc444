"""Regular files: read with pread or mapped, written with writev.

It is separate because everything about descriptors, short writes, locks and durability is here
and nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence

from ..errors import SourceError
from .base import Bytes, Sink, Source
from .linux import allocate, write_back
from .naming import name_opened, nameless_beside, rename, temporary_name

_IOV_MAX = 512  # pieces per writev; the system allows at least this many everywhere
_LARGEST_WRITE = 1 << 30  # a single call moves at most 2 GiB - 4 KiB on Linux
_READAHEAD = 128 << 10  # bytes that the system reads ahead at a time; of a longer request it leaves the rest
_DEFAULT_MODE = 0o666


def describe(error: OSError) -> str:
    """Return what went wrong in plain words, without the path."""
    hints = {
        errno.ENOENT: "no such file",
        errno.EISDIR: "is a directory, expected a file",
        errno.EFBIG: "file too large for this file system or for `ulimit -f`",
    }
    return hints.get(error.errno or 0, error.strerror or str(error)).lower().removesuffix(".")


def source_error(error: OSError, name: str) -> SourceError:
    """Return `error` as ours, chained by the caller."""
    ours = SourceError(describe(error), uri=name)
    ours.errno = error.errno
    return ours


def open_file(path: str, *, mapped: bool = False) -> Source:
    """Open a path to read: a regular file seekable, a pipe or a device as a stream.

    Raises:
        SourceError: It is not there, is a directory, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise source_error(error, path) from error
    found = os.fstat(descriptor)
    if stat.S_ISDIR(found.st_mode):
        os.close(descriptor)
        raise SourceError("is a directory, expected a file", uri=path)
    if not stat.S_ISREG(found.st_mode):
        from .stdio import StreamSource

        return StreamSource(descriptor, path)
    if mapped and found.st_size:
        return MappedSource(descriptor, path)
    return FileSource(descriptor, path)


class FileSource(Source):
    """A regular file, read with pread; it may grow meanwhile.

    Args:
        descriptor: Open for reading; closed with the source.
        name: The path, for messages.
    """

    seekable = True

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self.descriptor = descriptor

    def read_at(self, offset: int, size: int) -> Bytes:
        """Return up to `size` bytes that stand at `offset`."""
        try:
            return os.pread(self.descriptor, size, offset)
        except OSError as error:
            raise source_error(error, self.name) from error

    def foresee(self, offset: int, size: int) -> bool:
        """Let the system read ahead, which it does not by itself for somebody who skips."""
        with contextlib.suppress(OSError, AttributeError):  # not on this file system; not on this system
            for at in range(offset, offset + size, _READAHEAD):
                os.posix_fadvise(self.descriptor, at, _READAHEAD, os.POSIX_FADV_WILLNEED)
        return True

    def status(self) -> os.stat_result:
        """Return fstat of the open file."""
        return os.fstat(self.descriptor)

    def size(self) -> int:
        """Return the file's size now."""
        return self.status().st_size

    def keep_from(self, offset: int) -> int:
        """Nothing is ever dropped."""
        return 0

    def close(self) -> None:
        """Close the descriptor."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class MappedSource(Source):
    """A regular file mapped into memory, of the size it has now: views instead of copies.

    As with `numpy.memmap`, the file must not be truncated while arrays of it are in use.
    """

    seekable = True

    def __init__(self, descriptor: int, name: str) -> None:
        import mmap

        self.name = name
        try:
            self._map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise source_error(error, name) from error
        finally:
            os.close(descriptor)
        self._view = memoryview(self._map)
        self._page = mmap.PAGESIZE
        self._advice = getattr(mmap, "MADV_DONTNEED", None)  # not on every system
        self._let_go = 0

    def read_at(self, offset: int, size: int) -> Bytes:
        """Return everything from `offset` on: nothing is copied, so `size` saves nothing."""
        return self._view[offset : offset + max(size, len(self._view))]

    def size(self) -> int:
        """Return the size that was mapped."""
        return len(self._view)

    def keep_from(self, offset: int) -> int:
        """Let the pages before `offset` go; they come back if they are looked at all the same."""
        stop = min(offset, len(self._view)) // self._page * self._page
        if self._advice is not None and stop > self._let_go:
            with contextlib.suppress(OSError):  # pages that somebody has locked
                self._map.madvise(self._advice, self._let_go, stop - self._let_go)
            self._let_go = stop
        return 0

    def close(self) -> None:
        """Let go; the mapping ends with the last array that views it."""


def until_writable(descriptor: int) -> None:
    """Return when writing would not block."""
    import select

    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    poller.poll()


def write_all(
    descriptor: int, pieces: Sequence[Bytes], *, wait: Callable[[int], object] = until_writable
) -> int:
    """Write all the pieces, looping over short writes; return the number of bytes.

    Args:
        descriptor: Where to.
        pieces: In order.
        wait: Called where the descriptor is not ready (a non-blocking pipe), and then it is tried again;
            what it raises ends the writing.
    """
    waiting = [memoryview(piece).cast("B") for piece in pieces if len(piece)]
    total = 0
    while waiting:
        batch = waiting[:_IOV_MAX]
        if len(batch[0]) > _LARGEST_WRITE:
            batch = [batch[0][:_LARGEST_WRITE]]
        try:
            written = os.writev(descriptor, batch)
        except BlockingIOError:
            wait(descriptor)
            continue
        total += written
        while waiting and written >= len(waiting[0]):
            written -= len(waiting.pop(0))
        if written:
            waiting[0] = waiting[0][written:]
    return total


class FileSink(Sink):
    """A regular file written in place, or under a temporary name that becomes the real one at `close`.

    Args:
        path: Where the result shall stand.
        private: Write to a file in the same directory that has no name, or a temporary one where that
            cannot be, and give it its own at `close`; nobody sees a part of it.
        append: Continue an existing file. It is locked against a second appender.
        exclusive: Fail if the file exists.
        durable: fsync before `close` returns (the file, then its directory).
        continues: Whoever writes has `--append`: errors say where it helps.

    Raises:
        SourceError: It cannot be written, exists (`exclusive`), or is being appended to by another
            process (`append`).
    """

    patchable = True

    def __init__(
        self,
        path: str,
        *,
        private: bool = False,
        append: bool = False,
        exclusive: bool = False,
        durable: bool = False,
        continues: bool = False,
    ) -> None:
        self.name = path
        self.path = path
        self.start = 0  # where this sink's first byte stands in the file
        self._position = 0
        self.warning: str | None = None
        self._durable = durable
        self._exclusive = exclusive
        self._temporary: str | None = None
        self._is_nameless = False
        self._remove_on_abort = False
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_CREAT
        target = path
        try:
            existed = os.path.lexists(path)
            if existed and exclusive:
                ways = "--force to replace it" + (" or --append" if continues else "")
                raise FileExistsError(errno.EEXIST, f"already exists; use {ways}")
            if private and not (existed and not os.path.isfile(path)):
                target = self._temporary = temporary_name(path)
                flags |= os.O_EXCL
            elif exclusive:
                flags |= os.O_EXCL
            nameless = nameless_beside(path, _DEFAULT_MODE) if self._temporary else None
            self._is_nameless = nameless is not None
            self.descriptor = os.open(target, flags, _DEFAULT_MODE) if nameless is None else nameless
        except OSError as error:
            raise source_error(error, path) from error
        try:
            if append:
                self._lock()
                self.start = os.lseek(self.descriptor, 0, os.SEEK_END)
            else:
                self._remove_on_abort = self._temporary is not None
                if existed and self._temporary is None and stat.S_ISREG(os.fstat(self.descriptor).st_mode):
                    os.ftruncate(self.descriptor, 0)
                if existed and self._temporary is not None:
                    os.fchmod(self.descriptor, stat.S_IMODE(os.stat(path).st_mode))
        except OSError as error:
            os.close(self.descriptor)
            raise source_error(error, path) from error
        except SourceError:
            os.close(self.descriptor)
            raise
        self.patchable = stat.S_ISREG(os.fstat(self.descriptor).st_mode)
        # What was written under a temporary name is removed: there is nothing to continue.
        self._continues = continues and self._temporary is None

    @property
    def position(self) -> int:
        """Bytes written so far."""
        return self._position

    def _lock(self) -> None:
        import fcntl

        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = lock_holder(self.descriptor)
            raise SourceError(
                f"another process{holder} is appending to it; wait for it, or write to another file",
                uri=self.path,
            ) from error
        except OSError as error:
            self.warning = (
                f"{self.path}: this file system has no locks ({describe(error)}): "
                "make sure that nobody else appends"
            )

    def write(self, pieces: Sequence[Bytes]) -> None:
        """Write all the pieces at the end."""
        try:
            self._position += write_all(self.descriptor, pieces)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> SourceError:
        if self._continues and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            error = OSError(error.errno, f"{describe(error)}; free some space and continue with --append")
        return source_error(error, self.path)

    def patch_at(self, offset: int, data: Bytes) -> None:
        """Write `data` over what stands at `offset` (bytes from where this sink began)."""
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self.descriptor, view, self.start + offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            raise self._failed(error) from error

    def truncate(self, offset: int) -> None:
        """Drop everything from `offset` on."""
        try:
            os.ftruncate(self.descriptor, self.start + offset)
            os.lseek(self.descriptor, self.start + offset, os.SEEK_SET)
        except OSError as error:
            raise self._failed(error) from error
        self._position = offset

    def restart_at(self, start: int, *, keep: int | None = None) -> None:
        """Make this sink begin at `start`, and cut the file at `keep` (`start` if not given).

        Both are in bytes from the start of the file; what stands between them counts as written.
        """
        self.start = start
        self.truncate((start if keep is None else keep) - start)

    def allocate(self, offset: int, size: int) -> None:
        """Reserve room for `size` bytes at `offset` (bytes from where this sink began), if that can be."""
        # ENOTSUP and its kin mean slower, not wrong; ENOSPC will be said by the write.
        with contextlib.suppress(OSError, AttributeError):
            allocate(self.descriptor, self.start + offset, size)

    @contextlib.contextmanager
    def mapped(self, offset: int, size: int) -> Iterator[memoryview]:
        """Give what was written there, in memory.

        Raises:
            SourceError: So much was not written, or it cannot be read.
        """
        import mmap

        at = self.start + offset
        before = at % mmap.ALLOCATIONGRANULARITY
        try:
            held = mmap.mmap(self.descriptor, before + size, offset=at - before, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            text = f"cannot be read again at byte {offset}: {error}"
            raise SourceError(text, uri=self.path) from error
        with held, memoryview(held) as view, view[before:] as wanted:
            yield wanted

    def send_on(self, offset: int, size: int) -> None:
        """Let the disk begin with what was written there: `sync` will have the less to wait for.

        It says nothing of a disk that fails: `sync` does.
        """
        with contextlib.suppress(OSError, AttributeError):  # not on this file system; not on this system
            write_back(self.descriptor, self.start + offset, size)

    def sync(self) -> None:
        """Return when everything that was written is on the disk; never retried after a failure."""
        try:
            os.fsync(self.descriptor)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # a device that cannot be synced
                raise self._failed(error) from error

    def close(self) -> None:
        """Finish: the file has its name, and is durable if that was asked for."""
        if self.descriptor < 0:
            return
        try:
            if self._durable:
                self.sync()
            if self._temporary is not None and self._is_nameless:
                name_opened(self.descriptor, self._temporary, self.path, exclusive=self._exclusive)
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)
            if self._temporary is not None and not self._is_nameless:
                rename(self._temporary, self.path, exclusive=self._exclusive)
            if self._durable:
                sync_directory(self.path)
        except SourceError:
            self.abort()
            raise
        except OSError as error:
            self.abort()
            raise self._failed(error) from error

    def abort(self) -> None:
        """Give up: a private file is removed; a file written in place keeps what is in it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        if self._remove_on_abort and self._temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._temporary)


def sync_directory(path: str) -> None:
    """Make durable that `path` has its name, or has it no longer."""
    descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_holder(descriptor: int) -> str:
    """Return " N" for the process that holds the lock, as far as the system tells."""
    found = os.fstat(descriptor)
    wanted = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    try:
        with open("/proc/locks", encoding="ascii") as locks:
            for line in locks:
                fields = line.split()
                if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == wanted:
                    return f" {fields[4]}"
    except OSError:
        pass  # not Linux
    return ""
