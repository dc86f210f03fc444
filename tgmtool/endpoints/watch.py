"""Notice that files grow: a hint that saves waiting, never the truth.

It is separate because every system has its own way of telling. Whoever waits here looks at the
file itself afterwards, and looks again when the time is up: on a network file system nobody
tells, and polling is all there is.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import sys
import threading
import time
from collections.abc import Iterable
from typing import Protocol

from .readable import wait_readable

_IN_MODIFY, _IN_ATTRIB, _IN_CLOSE_WRITE = 0x2, 0x4, 0x8
_IN_MOVED_TO, _IN_CREATE, _IN_DELETE_SELF, _IN_MOVE_SELF = 0x80, 0x100, 0x400, 0x800
_FILE_EVENTS = _IN_MODIFY | _IN_ATTRIB | _IN_CLOSE_WRITE | _IN_DELETE_SELF | _IN_MOVE_SELF
_FOLDER_EVENTS = _IN_MOVED_TO | _IN_CREATE
_IN_IGNORED = 0x8000
_TURN_MS = 50
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


class Watch(Protocol):
    """Something that may tell that one of its files changed."""

    def wait(self, timeout: float) -> None:
        """Return when something may have changed, at the latest after `timeout` seconds."""

    async def wait_async(self, timeout: float) -> None:
        """As `wait`. Cancelling leaves nothing behind."""

    def add(self, paths: Iterable[str]) -> None:
        """Watch these files too; those that cannot be watched are left to polling."""

    def close(self) -> None:
        """Stop watching."""


def watch(paths: Iterable[str], *, events: bool = True) -> Watch:
    """Return a watch over `paths`, which need not exist yet.

    Args:
        paths: Files; with a `/` at the end, folders into which files are put.
        events: False to poll only.
    """
    names = list(paths)
    if events and names:
        if sys.platform == "linux":
            with contextlib.suppress(OSError, AttributeError):  # none to be had: too many watches, no inotify
                return Inotify(names)
        else:
            with contextlib.suppress(ImportError):
                return WatchFiles(names)
    return Polling()


class Polling:
    """No notices: every wait takes its time."""

    def wait(self, timeout: float) -> None:
        """Sleep."""
        threading.Event().wait(timeout)

    async def wait_async(self, timeout: float) -> None:
        """Sleep."""
        import asyncio

        await asyncio.sleep(timeout)

    def add(self, paths: Iterable[str]) -> None:
        """Nothing to add to."""

    def close(self) -> None:
        """Nothing to stop."""


class Inotify:
    """Notices of the Linux kernel, without a library: 0.1 ms where a portable one takes 2.

    Raises:
        OSError: The system gives no instance or no watch.
    """

    def __init__(self, paths: list[str]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(_NONBLOCK_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._paths = list(paths)
        self._poller = select.poll()
        self._poller.register(self._descriptor, select.POLLIN)
        self._lost = False  # a folder went away: nobody tells when it is there again
        try:
            self._watch_folders(paths)
            self._watch_files()
        except OSError:
            self.close()
            raise

    def _add(self, path: str, mask: int) -> None:
        if self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), ctypes.c_uint32(mask)) < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)

    def _watch_folders(self, paths: Iterable[str]) -> None:
        names = list(paths)
        inboxes = {os.path.dirname(path) for path in names if path.endswith("/")}
        for folder in {os.path.dirname(path) or "." for path in names}:
            self._add(folder, _FOLDER_EVENTS | (_IN_CLOSE_WRITE if folder in inboxes else 0))

    def add(self, paths: Iterable[str]) -> None:
        """Watch these files too; those that cannot be watched are left to polling."""
        for path in paths:
            if path not in self._paths:
                with contextlib.suppress(OSError):
                    self._watch_folders([path])
                self._paths.append(path)
        with contextlib.suppress(OSError):
            self._watch_files()

    def _watch_files(self) -> None:
        """Watch every file that exists now; a second time changes nothing."""
        for path in self._paths:
            if path.endswith("/"):
                continue
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                self._add(path, _FILE_EVENTS)

    def wait(self, timeout: float) -> None:
        """Return at a notice or after `timeout` seconds."""
        self._poller.poll(max(timeout, 0) * 1000)
        self._drain()

    def _look_for_lost(self) -> None:
        """Watch folders again that went away and came back; until then there is polling."""
        try:
            self._watch_folders(self._paths)
            self._watch_files()
        except OSError:
            return
        self._lost = False

    async def wait_async(self, timeout: float) -> None:
        """Return at a notice or after `timeout` seconds."""
        await wait_readable(self._descriptor, timeout)
        self._drain()

    def _drain(self) -> None:
        folder_changed = False
        with contextlib.suppress(BlockingIOError):
            while notices := os.read(self._descriptor, 65536):
                folder_changed = folder_changed or _mentions(notices, _FOLDER_EVENTS | _IN_MOVE_SELF)
                self._lost = self._lost or _mentions(notices, _IN_IGNORED)
        if self._lost:
            self._look_for_lost()
        if folder_changed:
            with contextlib.suppress(OSError):  # the next poll looks anyway
                self._watch_files()

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _mentions(notices: bytes, mask: int) -> bool:
    """Return whether one of the `inotify_event` structures has a bit of `mask`."""
    at = 0
    while at < len(notices):
        if int.from_bytes(notices[at + 4 : at + 8], sys.byteorder) & mask:
            return True
        at += 16 + int.from_bytes(notices[at + 12 : at + 16], sys.byteorder)
    return False


class WatchFiles:
    """Notices of other systems, through the watchfiles package.

    Its own polling mode is never used: it misses appends.
    """

    def __init__(self, paths: list[str]) -> None:
        import watchfiles

        self._stop = threading.Event()
        folders = sorted({os.path.dirname(os.path.abspath(path)) for path in paths})
        # With `yield_on_timeout` every step is a turn, in which a caller's deadline is looked at.
        self._turns = watchfiles.watch(
            *folders,
            debounce=1,
            step=1,
            rust_timeout=_TURN_MS,
            yield_on_timeout=True,
            stop_event=self._stop,
            recursive=False,
            force_polling=False,
        )

    def wait(self, timeout: float) -> None:
        """Return at a notice or after `timeout` seconds, give or take a turn."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if next(self._turns, None) != set():
                return

    async def wait_async(self, timeout: float) -> None:
        """Return at a notice or after `timeout` seconds, give or take a turn."""
        import asyncio

        await asyncio.to_thread(self.wait, timeout)

    def add(self, paths: Iterable[str]) -> None:
        """Its folders are watched whole; a file of another folder is left to polling."""

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        with contextlib.suppress(StopIteration):
            next(self._turns)
