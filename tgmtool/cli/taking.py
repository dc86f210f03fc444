"""Take the objects of several places, one after the other, and say what happened on the way.

It is separate from the command because the command is its options: here are the places that are
opened, what is said about them, and the exit status that each leaves.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

from ..endpoints import is_remote, open_source, shown
from ..endpoints.access import Access
from ..endpoints.base import Sink, Source
from ..endpoints.ranges import RangeSource
from ..endpoints.remote import RemoteSource, Spent
from ..limits import Limits
from ..messages.assembly import Message
from ..messages.spans import Gap, Notice
from ..operations.cat_remote import AmbiguousName, Picked, decoder_of, pick, picked_of
from ..operations.plan import plan_of, ranges_of
from ..operations.stored import OutsideRange, pieces_of
from ..operations.wanted import Wanted
from . import exits
from .console import Console
from .exits import UsageError
from .progress import Progress
from .render import Listing

if TYPE_CHECKING:
    from ..endpoints.polled import PolledObject

_CHOICE = re.compile(r"([mo])=(-?[0-9]{1,18})")  # behind "#", joined by "&"
_STREAMING = 8  # objects in a message without lengths from which it is worth a word
_PERIOD = 0.2  # seconds between two looks at how far it has come


class How(NamedTuple):
    """How objects are read.

    Attributes:
        verify: Compare whole objects with their digest.
        restore: Put NaN and Inf back where masks say.
        jobs: Threads of a codec.
        limits: What the input may cost.
        index_at: Where an index is, "auto", or None.
    """

    verify: bool
    restore: bool
    jobs: int
    limits: Limits
    index_at: str | None = None


class Taking:
    """The objects of several places, and the exit status that each leaves."""

    def __init__(
        self, console: Console, wanted: Wanted, access: Access, how: How, *, progress: str = "never"
    ) -> None:
        self.statuses: list[int] = []
        self.count = 0
        self._console = console
        self._wanted = wanted
        self._access = access
        self._how = how
        self._progress = progress
        self._follow: tuple[float, float] | None = None
        self._is_choice = False  # something less than everything was asked for
        self._picked: list[tuple[int, int]] = []
        self._spent: list[Spent] = []
        self._copied = 0

    def follow(self, poll: float, reconnect: float) -> None:
        """Wait for more, looking every `poll` seconds; nobody may be away for `reconnect` seconds."""
        self._follow = poll, reconnect

    def all_of(self, places: list[str], *, payloads: bool = False) -> Iterator[Picked]:
        """Yield what is wanted in all places; `payloads` if all of it will be read."""
        for place in places:
            name, wanted = _named(place, self._wanted)
            self._is_choice = self._is_choice or wanted != Wanted()
            try:
                if self._follow is not None:
                    yield from self._followed(name, wanted, *self._follow)
                    continue
                with self._opened(name) as source:
                    yield from self._of(source, name, wanted, payloads)
            except (AmbiguousName, OutsideRange) as error:
                raise UsageError(str(error)) from None

    def check_any(self, *, needed: bool) -> None:
        """Say so if nothing was there; with `needed`, or if something was chosen, that is a no."""
        if not self.count and (needed or (self._is_choice and self._follow is None)):
            self._console.note("nothing matches")
            self.statuses.append(exits.NO)

    def copy(self, places: list[str], sink: Sink, offset: int, length: int | None) -> None:
        """Write bytes as they stand there."""
        for place in places:
            name, chosen = _named(place, Wanted())
            if chosen != Wanted():
                raise UsageError(f"{shown(place)}: --offset and --length take bytes, and no objects")
            with self._opened(name, length, offset) as source:
                for piece in pieces_of(source, offset, length):
                    sink.write([piece])
                    self._copied += len(piece)

    def plan(self, places: list[str], listing: Listing) -> None:
        """List the ranges that would be read."""
        planned = []
        for picked in self.all_of(places):
            planned.append(ranges_of(picked, verify=self._how.verify))
            for start, stop in planned[-1]:
                known = {name: picked.keys.get(name) for name in ("_file", "_msg", "_obj")}
                listing.add_map({**known, "offset": start, "length": stop - start})
        listing.end()
        if self._is_choice and not planned:
            return  # somebody says that nothing matches
        found = plan_of(planned)
        self._console.note(
            f"{len(planned)} objects: {found.requests} requests, {found.size} bytes; none of them were read"
        )

    @contextmanager
    def _opened(self, name: str, length: int | None = 0, offset: int = 0) -> Iterator[Source]:
        """Open a place of which `length` bytes (None: all) behind `offset` will be read; 0: nobody knows."""
        source = open_source(name, mapped=True, access=self._access)
        expected = (source.size() or 0) - offset if length is None else length
        meter = isinstance(source, RemoteSource) and self._progress != "never"
        try:
            with _meter(source, expected, self._progress) if meter else nullcontext():
                yield source
        finally:
            source.close()
            if isinstance(source, RemoteSource):
                self._count_cost(source)

    def _count_cost(self, source: RemoteSource | PolledObject) -> None:
        self._spent.append(source.spent)
        if self._console.verbose:
            self._console.note(f"{source.name}: {_cost([source.spent])}")

    def _of(self, source: Source, name: str, wanted: Wanted, payloads: bool) -> Iterator[Picked]:
        how = self._how
        lines = []
        if how.index_at is not None:
            from ..operations.index_source import index_for

            lines = index_for(source, name, how.index_at, self._access, self._bad_index)
        for picked in pick(
            source,
            wanted,
            verify=how.verify,
            restore=how.restore,
            jobs=how.jobs,
            limits=how.limits,
            index=lines,
            on_bad_index=self._bad_index,
            on_gap=lambda gap: self._gap(source.name, gap),
            on_message=lambda found: self._message(source, found),
            ahead=payloads,
        ):
            self.count += 1
            yield picked
            self._picked.append((picked.found.bytes_read, picked.found.span.payload_length))

    def _followed(self, url: str, wanted: Wanted, poll: float, reconnect: float) -> Iterator[Picked]:
        """Yield what is wanted as it comes."""
        # Imported here: it is as much again, and hardly anybody follows.
        from ..endpoints.polled import PolledObject
        from ..operations.choices import Choices
        from ..operations.tail import Tail, follow
        from .tail_views import notice_text

        how = self._how
        source = PolledObject(url, self._access, reconnect=reconnect)
        steps = Tail(
            [source],
            Choices(
                follow=True,
                last=None,
                poll=poll,
                verify=how.verify,
                restore=how.restore,
                limits=how.limits,
            ),
        )
        exits.on_signals(steps.interrupt)
        try:
            with decoder_of() as decoder:
                for found in follow(steps):
                    if isinstance(found, Notice):
                        if found.event != "failed":
                            self._console.note(notice_text(found))
                        continue
                    for picked in picked_of(found, source.name, wanted, decoder):
                        self.count += 1
                        yield picked
                        self._picked.append((picked.found.bytes_read, picked.found.span.payload_length))
            if steps.failed:
                raise steps.failed[0]
        finally:
            steps.close()
            source.close()
            self._count_cost(source)
            self.statuses += [exits.INCOMPLETE] * steps.cut + [exits.LOSS] * steps.lost_data

    def _bad_index(self, why: str) -> None:
        self._console.note(f"the index is not used: {why}")

    def _message(self, source: Source, found: Message) -> None:
        if isinstance(source, RangeSource) and found.span.streaming and found.span.objects >= _STREAMING:
            self._console.note(
                f"{source.name}: message {found.span.number} has no lengths: each of its "
                f"{found.span.objects} objects had to be looked for; `tgmtool backfill` mends that"
            )

    def _gap(self, file: str, gap: Gap) -> None:
        kinds = {"incomplete": exits.INCOMPLETE, "limit": exits.FAILED}
        self.statuses.append(kinds.get(gap.kind, exits.LOSS))
        self._console.note(f"{file}: byte {gap.offset}: {gap.length} bytes {gap.kind}: {gap.reason}")

    def report(self, *, payload: bool = True) -> None:
        """Say what it cost; with `payload`, how much of the objects was read."""
        parts = []
        if self._copied:
            parts.append(f"{self._copied} bytes copied")
        elif payload:
            read = sum(bytes_read for bytes_read, _ in self._picked)
            there = sum(size for _, size in self._picked)
            parts.append(f"{self.count} objects, {read} of {there} bytes of payload read")
        else:
            parts.append(f"{self.count} objects")
        if self._spent:
            parts.append(_cost(self._spent))
        self._console.note("; ".join(parts))


@contextmanager
def _meter(source: Source, expected: int, when: str) -> Iterator[None]:
    """Show how far reading has come, from a thread of its own: reading itself waits."""
    assert isinstance(source, RemoteSource)
    meter = Progress(max(expected, 0), 1, when)
    over = threading.Event()

    def show() -> None:
        while not over.wait(_PERIOD):
            meter.update(source.spent.received, 0)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        meter.clear()


def _cost(spent: list[Spent]) -> str:
    requests, received, seconds = (sum(column) for column in zip(*spent, strict=True))
    return f"{requests} requests, {received} bytes, {seconds:.2f} s"


def _named(place: str, wanted: Wanted) -> tuple[str, Wanted]:
    """Return the place without `#m=3&o=1`, and what that chooses."""
    name, mark, behind = place.rpartition("#")
    if not mark or not behind or (not is_remote(place) and os.path.exists(place)):
        return place, wanted
    read = [_CHOICE.fullmatch(part) for part in behind.split("&")]
    found = {one[1]: int(one[2]) for one in read if one}
    if len(found) < len(read):
        if is_remote(place):
            raise UsageError(f"{shown(place)}: expected #m=MESSAGE&o=OBJECT, or either, in numbers")
        return place, wanted
    if "m" in found and wanted.messages is not None:
        raise UsageError("the message is chosen twice: behind # and with --message")
    if "o" in found and wanted.object is not None:
        raise UsageError("the object is chosen twice: behind # and with --object")
    return name, wanted._replace(
        messages=found.get("m", wanted.messages), object=found.get("o", wanted.object)
    )
