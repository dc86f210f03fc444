"""Where a folder that is followed is: its files are read one after the other, each once.

It is separate from the track of a file because nothing in it grows: a file is whole when it is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from .choices import Choices
from .contents import Found
from .cursor import Cursor, parsed, refused
from .follow import Follower
from .inbox import Inbox
from .tracks import Entry, Track, is_path


class Folder(Track):
    """A folder into which whole files are put: each is read from its first byte to its last, once."""

    def __init__(self, place: Any, choices: Choices, entry: Mapping[str, Any] | None = None) -> None:
        super().__init__(place, choices, entry)
        self._inbox = Inbox(os.fspath(place), choices.commit)
        self._open: str | None = None  # the name that is being read
        self._cursor: Cursor | None = None

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
        begun = None if self._cursor is None else os.path.basename(self._cursor.file)
        for name, identity in sorted(self._inbox.new(), key=lambda one: (one[0] != begun, one[0])):
            self.follower = self._begin(name)
            self._open = name
            # Not closed when the caller stops here: where it stopped is still to be remembered.
            yield from self.follower.poll()
            yield from self.follower.finish()
            self._inbox.take(name, identity)
            self.files += 1
            self.size += self.follower.position
            self._counts = self.counts
            self.lost_data = self.has_lost()
            self._open = None
            self.follower.close()
            self.follower = None

    def finish(self) -> Iterator[Found]:
        """Every file was read to its end already."""
        return iter(())

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
