"""The two ends of a pipeline: what is read, and what is written.

They are separate from the stages between because they touch what belongs to somebody else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...endpoints.base import Sink
from ...errors import SourceError
from .kernel import is_pipe
from .links import Cancelled, Link
from .parcels import Kind, Parcel
from .stages import Stage
from .tape import Feed, PlaceFeed
from .writer import Writer, unblocked, widen

if TYPE_CHECKING:
    from .crew import Crew


class Intake(Stage):
    """Reads the input of the pipeline.

    Args:
        crew: As every stage.
        after: As every stage.
        place: A descriptor (an int), or anything that `open_source` takes.
        name: For messages.
    """

    def __init__(self, crew: Crew, after: Link, place: object, name: str) -> None:
        super().__init__(crew, 0, name, None, after)
        feed: Feed | PlaceFeed
        if isinstance(place, int):
            widen(place)
            feed = Feed(place, name, self.cancel)
        else:
            try:
                feed = PlaceFeed(place, self.cancel)
            except BaseException:
                self.cancel.close()
                raise
            self.label = feed.name
        self.feed = feed
        self.reader = crew.reader_of(self, feed, after)

    def work(self) -> None:
        """Read to the end."""
        self.reader.run()

    def close(self) -> None:
        """Let go of the place."""
        super().close()
        self.reader.close()
        if isinstance(self.feed, PlaceFeed):
            self.feed.close()


class Output(Stage):
    """Writes what comes out of the pipeline.

    Args:
        crew: As every stage.
        number: As every stage.
        before: As every stage.
        place: A descriptor (an int), or a Sink; None throws away.
        name: For messages.
        refuse: Raises if a message must not be written there (it is a terminal).
    """

    def __init__(
        self,
        crew: Crew,
        number: int,
        before: Link,
        place: int | Sink | None,
        name: str,
        refuse: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(crew, number, name, before, None)
        self._sink = place if isinstance(place, Sink) else None
        self._refuse = refuse
        self._descriptor = -1
        self._writer: Writer | None = None
        before.takes_several = True
        if isinstance(place, int):
            widen(place)
            try:
                self._descriptor = unblocked(place)
            except BaseException:
                self.cancel.close()
                raise
            self._writer = Writer(self._descriptor, name, before, self.cancel, grace=crew.choices.grace)
            before.takes_kernel = is_pipe(self._descriptor) and not os.get_blocking(self._descriptor)

    def work(self) -> None:
        """Write to the end."""
        assert self.before is not None
        try:
            while (parcel := self.before.take()) is not None:
                if parcel.kind is not Kind.FOREIGN:
                    self._refuse()
                self._write(parcel)
                self.before.done(parcel)
                if parcel.ends and parcel.kind is not Kind.FOREIGN:
                    self.messages += parcel.count
        except Cancelled:
            self._say_why()
            raise
        failure = self.crew.failure
        if failure is not None and failure.stage is None:
            self._say_why()  # the stage before us heard of it earlier than we did

    def _write(self, parcel: Parcel) -> None:
        self.busy = self.crew.busy(parcel)
        if self._writer is not None:
            self._writer.write(parcel)
        elif self._sink is not None:
            self._sink.write(parcel.bytes)
        self.busy = None

    def _say_why(self) -> None:
        """Everything ends at once: whoever reads should hear why, if he can hear it between two messages."""
        writer = self._writer
        if writer is None or not (writer.between and self.crew.has_failed and self.crew.is_read_as_messages):
            return
        with contextlib.suppress(Cancelled, OSError, SourceError):
            writer.write(self.crew.error_marker())

    def close(self) -> None:
        """Let go of our descriptor."""
        super().close()
        if self._descriptor >= 0 and self.is_over:
            os.close(self._descriptor)
            self._descriptor = -1
