"""A stage that is a process for as long as the stream lasts: it reads and writes a stream of messages.

It is separate because a process has three streams and an end of its own, and what it all means is only
known when they are put together: it failed, it left input unread, or it is done.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from time import monotonic
from typing import TYPE_CHECKING

from .cancel import Cancel
from .failures import StageFailed, ending, shell_status
from .leftover import Leftover
from .links import Abandoned, Cancelled, Link
from .process import Process
from .reader import Reader
from .specs import Spec
from .stages import Stage
from .tape import Feed
from .unread import Unread, unread_of
from .writer import Writer, widen

if TYPE_CHECKING:
    from .crew import Crew

_LOOK_AGAIN = (0.002, 0.05)  # seconds between two looks at what a stage has not read yet: at first, at most


class ProcessStage(Stage):
    """Runs a command between two links.

    Args:
        crew: As every stage.
        number: As every stage.
        label: As every stage.
        before: None: it inherits what `stdin` is.
        after: As every stage.
        spec: The command.
        stdin: Descriptor that it gets if there is no link before it.
    """

    is_command = True

    def __init__(
        self,
        crew: Crew,
        number: int,
        label: str,
        before: Link | None,
        after: Link,
        *,
        spec: Spec,
        stdin: int,
    ) -> None:
        super().__init__(crew, number, label, before, after)
        self._spec = spec
        self._stdin = stdin
        self._ahead = Unread(stdin) if before is None else None
        self._reading = Cancel()
        self._exited = threading.Event()
        self._was_fed = threading.Event()
        self._to_child = -1
        self._from_child = -1
        self._left_unread = False
        self._fed_at: float | None = None  # when it had been given everything
        self._said_end = False
        self._leftover: Leftover | None = None  # from when the command has ended
        self._is_given_up = False
        self._reader: Reader | None = None
        self.process: Process | None = None
        if before is not None:
            before.takes_kernel = before.takes_several = True
        self.feed: Feed | None = None
        self.is_foreign = False

    def start(self) -> None:
        """Start the command, then whoever serves it.

        Raises:
            StageFailed: It cannot be started.
        """
        ours: list[int] = []
        childs: list[int] = []
        try:
            if self.before is None:
                stdin = self._stdin
            else:
                stdin, self._to_child = _pipe(childs, ours, writing=True)
            self._from_child, stdout = _pipe(childs, ours, writing=False)
            listening, stderr = _pipe(childs, ours, writing=False)
            self.process = Process(
                self._spec.words,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                label=self.label,
                stage=self.number,
            )
        except BaseException:
            for descriptor in ours:
                os.close(descriptor)
            self._to_child = self._from_child = -1
            raise
        finally:
            for descriptor in childs:
                os.close(descriptor)
        self.crew.listen(listening, self)
        self.feed = Feed(self._from_child, self.label, self._reading)
        if self.before is None:
            self._was_fed.set()
        else:
            self._begin(self._give)
        super().start()

    # ---- its input

    def _give(self) -> None:
        assert self.before is not None
        writer = Writer(self._to_child, self.label, self.before, self.cancel)
        try:
            while (parcel := self.before.take()) is not None:
                self.messages += parcel.count if parcel.starts else 0
                writer.write(parcel)
                self.before.done(parcel)
            self._wait_until_read()
        except BrokenPipeError:
            self._left_unread = True
        except (Cancelled, Abandoned):
            self._left_unread = self._is_given_up
        except Exception as error:  # noqa: BLE001  # whatever it is, it ends the pipeline and is told
            self.crew.fail(self, error)
        finally:
            os.close(self._to_child)
            self._to_child = -1
            self._fed_at = monotonic()
            self.before.abandon()
            self._was_fed.set()

    def _wait_until_read(self) -> None:
        """Return when everything was read; raise BrokenPipeError if it never will be.

        What stands in a pipe whose reader is gone is lost, and nobody else would notice.
        """
        poller = select.poll()
        poller.register(self._to_child, 0)  # errors alone: nobody reads any more
        poller.register(self.cancel.descriptor, select.POLLIN)
        patience, most = _LOOK_AGAIN
        self._fed_at = monotonic()
        before = 0
        while left := unread_of(self._to_child):
            if left != before:
                self._fed_at = monotonic()
                before = left
            if poller.poll(patience * 1000):
                if self.cancel.is_set:
                    raise Cancelled
                if unread_of(self._to_child):
                    raise BrokenPipeError
                return
            patience = min(2 * patience, most)

    # ---- its output

    def work(self) -> None:
        """Take what it gives to its end, then wait for its own."""
        assert self.after is not None
        assert self.feed is not None
        reader = self._reader = self.crew.reader_of(
            self, self.feed, self.after, lambda: self.crew.allows_foreign(self)
        )
        try:
            reader.run()
        finally:
            self.is_foreign = reader.is_foreign
        if self.before is None:
            self._fed_at = monotonic()  # it has said all that it will: there is nothing that it waits for
        self._exited.wait()
        self._was_fed.wait()
        if self._left_unread and self.is_wanted:
            self.crew.lose(
                f"{self.label} ended and left input unread, in or after message {self.messages - 1}"
            )

    def ended(self) -> None:
        """The crew saw that the process ended."""
        assert self.process is not None
        if self._said_end:
            return
        self._said_end = True
        status = self.process.status
        assert status is not None
        if status and self.is_wanted:
            given = f", after it was given message {self.messages - 1}" if self.messages else ""
            text = f"{self.label} {ending(status)}{given}"
            self.crew.fail(self, StageFailed(text, stage=self.number, status=shell_status(status)))
        self._exited.set()

    @property
    def gives_messages(self) -> bool:
        """Something came from it, and it was a message."""
        found = self._reader
        return found is not None and not found.is_foreign and self.after is not None and self.after.given > 0

    def look_after(self) -> None:
        """See to it that nobody whom the command left behind holds up the pipeline."""
        if not self._said_end or super().is_over:
            return
        assert self.process is not None
        assert self.feed is not None
        if self._leftover is None:
            self._leftover = Leftover(self.process, self.crew.choices.grace, self._give_up)
        moved_at = self.feed.arrived_at
        if self.before is not None and not self._was_fed.is_set():
            filling = self.before.look()
            if filling.hungry:
                return  # nobody holds up anything
            moved_at = max(moved_at, self._fed_at or 0.0)
            if filling.held:
                moved_at = max(moved_at, monotonic() - filling.still)
        elif not self.feed.is_waiting:
            return
        was_ended = self._leftover.was_ended
        self._leftover.look(moved_at)
        if self._leftover.was_ended and not was_ended:
            self.crew.hooks.noted(
                f"{self.label} ended, and left processes behind that kept its pipes open; they were ended"
            )

    def _give_up(self) -> None:
        assert self.feed is not None
        self._is_given_up = True
        self.feed.give_up()
        self.cancel.set()

    def clean_up(self, *, failed: bool) -> None:
        """Nobody listens any more: it is told to end, with all that it started."""
        if self.process is not None:
            self.process.send(signal.SIGTERM)
        self._close_output()

    def _close_output(self) -> None:
        if self._from_child >= 0:
            os.close(self._from_child)
            self._from_child = -1

    @property
    def silent_since(self) -> float | None:
        """Since when it has had all its input, and has neither ended nor been heard; None if it is not so."""
        if self._fed_at is None or self._exited.is_set() or self.feed is None:
            return None
        return max(self._fed_at, self.feed.arrived_at)

    def ignored(self) -> tuple[int, float] | None:
        """Return the bytes that a first command leaves on its stdin, and since when it has done nothing."""
        if self._ahead is None or self._exited.is_set() or self.feed is None:
            return None
        waiting, since = self._ahead.look()
        return (waiting, max(since, self.feed.arrived_at)) if waiting else None

    # ---- ending it

    @property
    def is_over(self) -> bool:
        """Threads and process have ended."""
        return super().is_over and (self.process is None or self.process.has_ended())

    def wind_down(self) -> None:
        """Take nothing more; what it wrote before still counts."""
        super().wind_down()
        if self.process is not None:
            self.process.send(signal.SIGTERM)

    def stop(self) -> None:
        """End now."""
        super().stop()
        self._reading.set()
        self._exited.set()

    def kill(self) -> None:
        """End it without asking."""
        if self.process is not None:
            self.process.send(signal.SIGKILL)

    def close(self) -> None:
        """Reap it, and whoever is left of its group."""
        if self.process is not None:
            self.process.close()
        super().close()
        if self._reader is not None:
            self._reader.close()
        self._close_output()
        self._reading.close()


def _pipe(childs: list[int], ours: list[int], *, writing: bool) -> tuple[int, int]:
    """Return a pipe; our end does not block."""
    reader, writer = os.pipe()
    widen(writer)
    mine, theirs = (writer, reader) if writing else (reader, writer)
    os.set_blocking(mine, False)
    ours.append(mine)
    childs.append(theirs)
    return reader, writer
