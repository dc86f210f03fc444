"""Where a folder that is followed is: its files are read one after the other, each once.

It is separate from the track of a file because nothing in it grows: a file is whole when it is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..endpoints.local import FileSource
from ..messages.spans import Notice
from .choices import Choices
from .contents import Found
from .cursor import Cursor, parsed, refused
from .follow import Follower
from .inbox import Identity, Inbox, identity_of
from .tracks import Entry, Track, is_path


class Folder(Track):
    """A folder into which whole files are put: each is read from its first byte to its last, once."""

    def __init__(self, place: Any, choices: Choices, entry: Mapping[str, Any] | None = None) -> None:
        # A file that takes the name of one that is being read comes after it, as a file of its own.
        super().__init__(place, replace(choices, by_name=False), entry)
        self._inbox = Inbox(os.fspath(place), choices.commit)
        self._open: str | None = None  # the name that is being read
        self._cursor: Cursor | None = None
        self._missed = False  # the file of the cursor: that was told

    @property
    def pause(self) -> float | None:
        """Seconds after which the folder is worth another look."""
        return self._inbox.pause

    @property
    def watched(self) -> list[str]:
        """The folder itself."""
        return [os.path.join(os.fspath(self.place), "")]

    def open(self) -> None:
        """Take up the state; nothing else is opened yet."""
        if self._entry is None:
            if self.choices.start == "end":
                self._inbox.take_all()
            return
        self._resume_order(self._entry)
        try:
            self._inbox.resume(self._entry["taken"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise refused(f"this is no state that tail wrote ({error})", "unreadable", self.key) from error
        self._cursor = parsed(self._entry, "cursor", self.key)

    def has_ended(self) -> bool:
        """Every sender has ended, and every file that is there was read."""
        return self._open is None and self.order.has_ended(self.choices.producers)

    def look(self) -> Iterator[Found]:
        """Yield what is in the files that are new."""
        yield from self._read(self._inbox.new())

    def finish(self) -> Iterator[Found]:
        """Read the files that came since the folder was listed; all others were read to their end."""
        if self.choices.follow:
            yield from self._read(self._inbox.new(at_once=True))

    def _read(self, found: list[tuple[str, Identity]]) -> Iterator[Found]:
        begun = None if self._cursor is None else os.path.basename(self._cursor.file)
        if begun is not None and not self._missed and begun not in {name for name, _ in found}:
            self._missed = True  # taken away by who knows that all came, or with what did not
            yield Notice("removed", os.path.join(self.key, begun))
        for name, listed in sorted(found, key=lambda one: (one[0] != begun, one[0])):
            follower = self.follower = self._begin(name)
            follower.open()
            # The file that is read, which need not be the one that was listed.
            opened = follower.source
            identity = identity_of(opened.status()) if isinstance(opened, FileSource) else listed
            self._open = name
            # Not closed when the caller stops here: where it stopped is still to be remembered.
            yield from follower.poll()
            yield from follower.finish()
            self._inbox.take(name, identity)
            self.files += 1
            self.size += follower.position
            self._counts = self.counts
            self.lost_data = self.has_lost()
            self._open = None
            follower.close()
            self.follower = None

    def _begin(self, name: str) -> Follower:
        """Open a file, where the state says if it was being read then."""
        path = os.path.join(os.fspath(self.place), name)
        cursor = self._cursor
        if cursor is not None and os.path.basename(cursor.file) == name:
            follower = self._resumed(path, cursor)
            self._cursor = None
            return follower
        return self._follower(path)

    def entry(self) -> Entry | None:
        """Return what a state file keeps."""
        begun = None if self._cursor is None else self._cursor._asdict()
        entry: Entry | None = {"cursor": begun, "senders": self.order.to_list()}
        if self._open is not None:
            entry = super().entry()
        if entry is not None:
            entry["taken"] = self._inbox.to_map()
        return entry


def track_of(place: Any, choices: Choices, entry: Mapping[str, Any] | None = None) -> Track:
    """Return the track of a place: a folder's, or a file's."""
    kind = Folder if is_path(place) and os.path.isdir(place) else Track
    return kind(place, choices, entry)
