"""`@merge`: several inputs become one; whole messages, each input in its own order.

It is separate from the intake because somebody has to see to it that the parts of a large message are not
torn apart by the messages of the others.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...endpoints import STDIO, is_remote, local_path
from ...endpoints.local import source_error
from .links import Link
from .parcels import Parcel
from .reader import Reader
from .stages import Stage
from .tape import Feed, PlaceFeed, Waiting

if TYPE_CHECKING:
    from .crew import Crew


class MergeStage(Stage):
    """Reads places side by side, and what comes from the stage before it if there is one.

    Args:
        crew: As every stage.
        number: As every stage.
        label: As every stage.
        before: As every stage; None if it is the first.
        after: As every stage.
        places: Paths of files and FIFOs, URLs, or `-`.

    Raises:
        SourceError: A place cannot be opened.
    """

    def __init__(
        self, crew: Crew, number: int, label: str, before: Link | None, after: Link, places: Sequence[str]
    ) -> None:
        super().__init__(crew, number, label, before, after)
        self._giving = threading.Lock()
        self._readers: list[tuple[Reader, Link]] = []
        self._opened: list[int] = []
        self._places: list[PlaceFeed] = []
        self._left = 0
        self._numbers = 0
        self.feed = Waiting()
        share = max(after.capacity // max(len(places), 1), 1)
        try:
            for place in places:
                feed = self._open(place)
                link = Link(share, after.depth)
                self._readers.append((crew.reader_of(self, feed, link), link))
        except BaseException:
            self._let_go()
            self.cancel.close()
            raise

    def _open(self, place: str) -> Feed | PlaceFeed:
        if place == STDIO:
            return self.feed.add(Feed(self.crew.stdin, "<stdin>", self.cancel))
        if is_remote(place):
            found = PlaceFeed(place, self.cancel)
            self._places.append(found)
            return self.feed.add(found)
        path = local_path(place)
        try:
            # A FIFO is opened without waiting for its writer: the poll before each reading does that.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise source_error(error, path) from error
        self._opened.append(descriptor)
        return self.feed.add(Feed(descriptor, path, self.cancel))

    def start(self) -> None:
        """Begin to read all of them."""
        self._left = len(self._readers) + (self.before is not None)
        for reader, link in self._readers:
            self._begin(lambda reader=reader, link=link: self._read(reader, link))  # type: ignore[misc]  # bound now
            self._begin(lambda link=link: self._serve(link))  # type: ignore[misc]  # bound now
        if (before := self.before) is not None:
            self._begin(lambda: self._serve(before))

    def _read(self, reader: Reader, link: Link) -> None:
        self._guard(reader.run)
        link.close()

    def _serve(self, link: Link) -> None:
        self._guard(lambda: self._pass_on(link))
        link.abandon()
        with self._lock:
            self._left -= 1
            is_last = not self._left
        if is_last:
            self._end()

    def _pass_on(self, link: Link) -> None:
        assert self.after is not None
        parcel = link.take()
        while parcel is not None:
            with self._giving:
                while parcel is not None:
                    self._give(parcel)
                    link.done(parcel)
                    if parcel.ends:
                        break
                    parcel = link.take()
            parcel = link.take()

    def _give(self, parcel: Parcel) -> None:
        assert self.after is not None
        parcel.number = self._numbers
        self.after.put(parcel)
        self._numbers += parcel.ends
        self.messages = self._numbers

    def wind_down(self) -> None:
        """Take nothing more; what was read before still counts."""
        super().wind_down()
        for _, link in self._readers:
            link.cancel_giver()

    def stop(self) -> None:
        """End now."""
        super().stop()
        for _, link in self._readers:
            link.cancel_taker()

    def close(self) -> None:
        """Let go of the places."""
        super().close()
        self._let_go()

    def _let_go(self) -> None:
        for reader, _ in self._readers:
            reader.close()
        for descriptor in self._opened:
            os.close(descriptor)
        for place in self._places:
            place.close()
        self._opened.clear()
        self._places.clear()
