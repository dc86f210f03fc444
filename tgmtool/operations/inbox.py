"""A folder into which whole files are put: which are new, in which order, and which were taken.

It is separate from following because it is about names, not bytes: a file counts from the moment its
producer committed it, by its name or by a sentinel beside it, and is then read like any other.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Mapping
from typing import Any

from ..endpoints.local import source_error

SUFFIX = ".tgm"
SENTINEL = ".done"
COMMITS = ("rename", "sentinel")
_UNSETTLED = 3.0  # seconds: within them a file system with coarse times may hide a change from us
_REGULAR = 30.0  # seconds after which the folder is listed whatever its time says
_SHARE = 4  # listing takes at most one part in so many of the time
_LARGEST_SENTINEL = 4096

Identity = tuple[int, int, int]


def identity_of(status: os.stat_result) -> Identity:
    """Return what tells a file from another one that takes its name."""
    return status.st_ino, status.st_size, status.st_mtime_ns


class Inbox:
    """The committed files of a folder, each once.

    A name that begins with a dot is private to its producer. A file that takes the place of one that was
    taken is new. What was taken and is gone is forgotten: so no more names are kept than the folder has.

    Args:
        path: The folder.
        commit: "rename": a file is whole when it has its name. "sentinel": when `NAME.done` is there, and
            the file is as long as that says.
    """

    def __init__(self, path: str, commit: str = "rename") -> None:
        self.path = path
        self._commit = commit
        self._taken: dict[str, Identity] = {}
        self._time = -1  # of the folder, when it was listed
        self._settled = 0.0  # when its time is to be trusted again
        self._next = 0.0
        self._listed = 0.0

    def new(self, *, at_once: bool = False) -> list[tuple[str, Identity]]:
        """Return name and identity of the files that were not taken, by name; empty if nothing changed.

        Args:
            at_once: The folder is listed even if that was done a moment ago: nobody will look again.

        Raises:
            SourceError: The folder cannot be listed, or is gone.
        """
        now = time.monotonic()
        try:
            changed = os.stat(self.path).st_mtime_ns
            if changed != self._time:
                self._settled = now + _UNSETTLED
            is_early = now < self._next or (now > self._settled and now - self._listed < _REGULAR)
            if is_early and not at_once:
                return []
            self._time = changed
            found = self._list()
        except OSError as error:
            raise source_error(error, self.path) from error
        done = time.monotonic()
        self._listed = done
        self._next = done + _SHARE * (done - now)
        return found

    @property
    def pause(self) -> float | None:
        """Seconds until it is worth while to look again; None if there is no reason to."""
        now = time.monotonic()
        return max(self._next - now, 0.001) if self._next > now else None

    def _list(self) -> list[tuple[str, Identity]]:
        there: dict[str, Identity] = {}
        names: set[str] = set()
        with os.scandir(self.path) as entries:
            for entry in entries:
                names.add(entry.name)
                if entry.name.startswith(".") or not entry.name.endswith(SUFFIX):
                    continue
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue  # it went away meanwhile
                if stat.S_ISREG(status.st_mode):
                    there[entry.name] = identity_of(status)
        self._taken = {name: self._taken[name] for name in there if name in self._taken}
        found = []
        for name in sorted(there):
            if self._taken.get(name) == there[name]:
                continue
            if self._commit == "rename" or (
                name + SENTINEL in names and self._is_long_enough(name, there[name])
            ):
                found.append((name, there[name]))
        return found

    def _is_long_enough(self, name: str, identity: Identity) -> bool:
        """Return whether a file has the bytes that its sentinel promises: attributes may lag behind."""
        try:
            with open(os.path.join(self.path, name + SENTINEL), "rb") as file:
                said = json.loads(file.read(_LARGEST_SENTINEL) or b"{}")
            size = said.get("bytes", 0)
            return not isinstance(size, int) or identity[1] >= size
        except FileNotFoundError:
            return False
        except (OSError, ValueError, AttributeError, RecursionError):
            return True  # somebody else's sentinel: that it is there is what counts

    def take(self, name: str, identity: Identity) -> None:
        """A file was handed out whole."""
        self._taken[name] = identity

    def take_all(self) -> None:
        """Pass over what is there."""
        for name, identity in self.new():
            self.take(name, identity)
        self._time = -1

    def to_map(self) -> dict[str, Any]:
        """Return what was taken, as a state file keeps it."""
        return {name: list(identity) for name, identity in self._taken.items()}

    def resume(self, taken: Mapping[str, Any]) -> None:
        """Go on where `to_map` was made.

        Raises:
            ValueError, TypeError: It was not made so.
        """
        for name, (inode, size, changed) in taken.items():
            self._taken[str(name)] = (int(inode), int(size), int(changed))
