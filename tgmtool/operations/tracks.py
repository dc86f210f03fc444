"""Where each of the places that are followed is: a file and its successors, or a folder of files.

It is separate from one file's follower because a producer may go on in another file, and from `tail`
because the clock and the reasons to stop are about all places together.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from ..endpoints import STDIO, is_remote, open_source
from ..endpoints.base import Source
from ..endpoints.ranges import RangeSource
from ..endpoints.stdio import StreamSource
from ..errors import SourceError
from ..messages.spans import Notice
from .choices import Choices
from .contents import Found
from .cursor import Cursor, parsed, refused
from .follow import Follower
from .ordering import Order, Wanted
from .starts import begin_at

Entry = dict[str, Any]


class Track:
    """A file, then the files in which its senders go on.

    Args:
        place: A path, `-`, or a Source.
        choices: How to follow.
        entry: What the state file holds of it, or None.

    Attributes:
        follower: Of the file that is read now.
        order: What the messages of all its files say of their stream.
        files: Files that were read to their end, before this one.
    """

    def __init__(self, place: Any, choices: Choices, entry: Mapping[str, Any] | None = None) -> None:
        self.place = place
        self.choices = choices
        self.key = key_of(place)
        self._entry = entry
        self.order = Order(_wanted(choices, resumed=entry is not None), choices.limits)
        self.follower: Follower | None = None
        self.lost_data = False
        self.files = 0
        self.size = 0  # bytes of the files that were read to their end
        self._counts = (0, 0)  # messages and objects in them
        self._visited: list[str] = []
        self._name: str | None = None  # of the successor that is read now; None: it is the first file
        self._first: Iterator[Found] = iter(())
        self._dead_end = False

    # ---- for those who wait

    @property
    def at_end(self) -> bool:
        """Nothing more can come: a pipe whose writers are gone."""
        return self.follower is not None and self.follower.at_end

    @property
    def name(self) -> str:
        """Of the file that is read now, as it was given."""
        return self.key if self.follower is None else self.follower.name

    @property
    def source(self) -> Source | None:
        """What is read now, if it is open."""
        return None if self.follower is None else self.follower.source

    @property
    def pause(self) -> float | None:
        """Seconds after which it wants to be looked at, if the clock knows."""
        return None

    def has_ended(self) -> bool:
        """Every sender has ended, and everything was read."""
        follower = self.follower
        if self._dead_end:
            return True
        return follower is not None and follower.is_between and self.order.has_ended(self.choices.producers)

    @property
    def counts(self) -> tuple[int, int]:
        """Whole messages and objects so far."""
        now = (0, 0) if self.follower is None else self.follower.counts
        return self._counts[0] + now[0], self._counts[1] + now[1]

    @property
    def taken(self) -> int:
        """Bytes of all its files through which everything was taken."""
        return self.size + (0 if self.follower is None else self.follower.point.offset)

    @property
    def watched(self) -> list[str]:
        """The paths whose changes are of interest."""
        follower = self.follower
        if not is_path(self.place):
            return []
        return [os.fspath(self.place) if follower is None else follower.name]

    def has_lost(self) -> bool:
        """Data was passed over, is missing, or came after the end."""
        return (
            self.lost_data or self.order.lost_data or (self.follower is not None and self.follower.lost_data)
        )

    # ---- steps

    def open(self) -> None:
        """Open the first file, where the choices or the state say.

        Raises:
            SourceError: It cannot be read.
            CannotResume: The state does not fit it.
        """
        if self._entry is None:
            begin = begin_at(self.place, self.choices)
            self.follower = self._follower(self.place, *begin)
            self.follower.open()
            return
        cursor = parsed(self._entry, "cursor", self.key)
        self._resume_order(self._entry)
        path = self.place
        if (successor := successor_in(self._entry, path)) is not None:
            self._name, path = os.path.basename(successor), successor
        if cursor is None:
            self.follower = self._follower(path)
            self.follower.open()
            return
        self.follower = self._resumed(path, cursor)
        behind = (self.follower.source.size() or 0) - cursor.offset if self.follower.source else 0
        if behind > 0 and self.order.has_ended(self.choices.producers) and not self.choices.forever:
            self.follower.close()
            text = f"the stream had ended, and {behind} bytes follow it; --forever goes on behind it"
            raise refused(text, "ended", self.follower.name)

    def _resumed(self, path: Any, cursor: Cursor) -> Follower:
        """Return a follower of a file that goes on where the cursor stands.

        Raises:
            SourceError: The file cannot be read.
            CannotResume: The cursor does not fit it.
        """
        source = open_source(path)
        try:
            found = cursor.checked(source, source.name)
        finally:
            source.close()
        follower = self._follower(path, found.message, found.offset, found.number)
        if not follower.open():
            raise SourceError("no such file", uri=follower.name)
        return follower

    def _resume_order(self, entry: Mapping[str, Any]) -> None:
        try:
            self.order.resume(entry["senders"])
        except (ValueError, TypeError, KeyError) as error:
            text = f"this is no state that tail wrote ({type(error).__name__}: {error})"
            raise refused(text, "unreadable", self.key) from error

    def look(self) -> Iterator[Found]:
        """Yield what is new.

        Raises:
            SourceError: The file cannot be read.
        """
        if self.follower is None:
            return
        yield from self.follower.poll()
        while self.choices.follow and not self._dead_end and self.follower.is_between:
            name = self._successor()
            if name is None:
                return
            yield from self._go_on(name)

    def finish(self) -> Iterator[Found]:
        """Take what is there as all there will be; yield the rest."""
        if self.follower is not None:
            yield from self.follower.finish()

    def pending(self) -> Iterator[Notice]:
        """Yield a "cut" notice if a message is open; nothing more is read."""
        if self.follower is not None:
            yield from self.follower.pending()

    def must_hold_back(self) -> bool:
        """Which units are the last so many is known only when all were seen: in a pipe, or on a channel."""
        choices = self.choices
        if choices.start is not None or self.follower is None:
            return False
        on_channel = (
            bool(choices.chans) and self._entry is None and (choices.last is not None or choices.skip > 0)
        )
        return on_channel or (is_pipe(self) and choices.last is not None)

    def held_back(self) -> Iterator[Found]:
        """Yield the last units of what is there (of a pipe: when it ends), or those behind the first."""
        assert self.follower is not None
        held: deque[Found] = deque(maxlen=self.choices.last)
        notices: list[Found] = []
        skip = self.choices.skip if self.choices.last is None else 0
        for found in self.follower.finish() if is_pipe(self) else self.follower.poll():
            if isinstance(found, Notice):
                notices.append(found)
            elif skip:
                skip -= 1
            else:
                held.append(found)
        yield from (*held, *notices)

    def entry(self) -> Entry | None:
        """Return what a state file keeps; None if what was read is not there any more.

        Raises:
            SourceError: The file cannot be read.
        """
        follower = self.follower
        entry: Entry = {"cursor": None, "senders": self.order.to_list()}
        if self._name is not None:
            entry["successor"] = self._name
        if follower is None or follower.source is None:
            return entry if follower is None or not follower.point.offset else None
        if not follower.marks_hold():
            return None
        entry["cursor"] = Cursor.of(follower.source, os.path.abspath(follower.name), follower.point)._asdict()
        return entry

    def close(self) -> None:
        """Close the file."""
        if self.follower is not None:
            self.follower.close()

    # ---- successors

    def _successor(self) -> str | None:
        """Return the file in which the senders of this one go on, if that is another one."""
        assert self.follower is not None
        here = os.path.basename(self.follower.name)
        names = self.order.successors()
        if not names or here in names or not self.follower.is_path:
            return None
        return next((name for name in names if name not in self._visited), names[0])

    def _go_on(self, name: str) -> Iterator[Found]:
        """Leave this file, which was read to its end, for its successor, which need not be there yet."""
        follower = self.follower
        assert follower is not None
        reason = _why_not(name, follower.name)
        if name in self._visited:
            reason = "it was read before"
        if reason:
            self._dead_end = self.lost_data = True
            yield Notice(
                "invalid",
                follower.name,
                follower.position,
                code="next_invalid",
                reason=f"the successor {name[:200]!r} is not followed: {reason}",
            )
            return
        self._visited.append(os.path.basename(follower.name))
        self.files += 1
        self.size += follower.position
        self._counts = self.counts
        self.lost_data = self.has_lost()
        follower.close()
        self._name = name
        self.follower = self._follower(os.path.join(os.path.dirname(follower.name), name))
        yield from self.follower.poll()

    def _follower(self, place: Any, start: int = 0, after: int = 0, messages: int = 0) -> Follower:
        choices = self.choices
        kind = Follower
        if isinstance(place, RangeSource):
            from .follow_remote import RemoteFollower  # only then: it brings connections and threads

            kind = RemoteFollower
        return kind(
            place,
            unit=choices.unit,
            start=start,
            after=after,
            messages=messages,
            verify=choices.verify,
            restore=choices.restore,
            by_name=choices.by_name and choices.follow,
            settle=choices.settle if choices.follow else 0.0,
            stall=choices.stall if choices.follow else None,
            assume_dead=choices.assume_dead,
            order=self.order,
            limits=choices.limits,
        )


def key_of(place: Any) -> str:
    """Return the name under which a place stands in a state file."""
    return os.path.abspath(os.fspath(place)) if is_path(place) else getattr(place, "name", str(place))


def is_pipe(track: Track) -> bool:
    """Return whether a track has to be waited for by itself."""
    return isinstance(track.source, StreamSource)


def is_path(place: Any) -> bool:
    """Return whether a place is a name in the file system."""
    return isinstance(place, str | os.PathLike) and place != STDIO and not is_remote(place)


def _wanted(choices: Choices, *, resumed: bool) -> Wanted:
    seq = sender = None
    start = choices.start or "start"
    if start.startswith("seq:") and not resumed:
        sender, _, number = start.removeprefix("seq:").rpartition(":")
        seq = int(number)
    from_first = choices.last is None and not choices.skip and start == "start"
    return Wanted(frozenset(choices.chans), seq, sender or None, whole=resumed or from_first)


def successor_in(entry: Any, place: Any) -> str | None:
    """Return the path of the successor that was being read when a state was written, or None.

    Raises:
        CannotResume: It is no name that tail wrote.
    """
    name = entry.get("successor") if isinstance(entry, dict) else None
    if name is None or not is_path(place):
        return None
    if not isinstance(name, str) or not _plain(name):
        raise refused("this is no state that tail wrote (the successor is no name)", "unreadable", str(place))
    return os.path.join(os.path.dirname(os.fspath(place)), name)


def _plain(name: str) -> str:
    return "" if os.path.basename(name) != name or name in {".", ".."} else name


def _why_not(name: str, path: str) -> str:
    """Return why a name of a successor is not followed, or ""."""
    if not _plain(name) or name.startswith(".") or not name.isprintable() or len(os.fsencode(name)) > 255:
        return "expected a plain file name in the same folder"
    try:
        found = os.lstat(os.path.join(os.path.dirname(path), name))
    except OSError:
        return ""  # not there yet
    return "" if stat.S_ISREG(found.st_mode) else "it is no regular file"
