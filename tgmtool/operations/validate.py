"""May this file be relied on? Every message is looked at, several at a time, and nothing stops it.

It is separate from `checks`, which looks at one message: here it is decided where messages begin,
who looks at which, and what the whole file comes to. Messages whose two ends agree about their
length are handed out to threads; where that does not hold, or turns out not to have held, the
decoder walks on alone, as every reader does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from ..endpoints import open_source, shown
from ..endpoints.access import Access
from ..endpoints.base import Source
from ..endpoints.local import MappedSource
from ..endpoints.memory import MemorySource
from ..errors import FormatError, LimitExceeded, SourceError, TgmError, TruncatedError
from ..limits import DEFAULT_LIMITS, Limits
from ..wire import layout
from ..wire.decoder import Decoder
from ..wire.events import Damaged, FrameBegan
from .checks import described
from .drive import CHUNK, drive
from .findings import Finding, Kept, Report, verdict_of
from .gaps import hint_of
from .inspection import DEPTHS, Depth, Inspected, Inspection
from .requirements import Policy
from .sweep import IN_PIECES, LARGEST, Memory, Swept, sweep

LEVELS = tuple(DEPTHS)
MOST_OF_A_FILE = 1000  # findings that are kept
_BATCH_BYTES = 8 << 20
_BATCH_MESSAGES = 512


def validate(
    source: Any,
    *,
    level: str = "integrity",
    policy: Policy = Policy(),  # noqa: B008  # a value that never changes
    jobs: int = 1,
    executor: Executor | None = None,
    assume_dead: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int], None] = lambda _offset: None,
    access: Access | None = None,
) -> Report:
    """Look at everything in `source` and report what is wrong.

    Args:
        source: A path, `-`, bytes, a binary file or a Source. What cannot be read twice is held.
        level: "quick" or "structure" (frames only, no payload is read), "checksum" (and every digest),
            "default" or "integrity" (and metadata; payloads decode), "full" or "fidelity" (and their
            values: NaN and Inf outside of masks).
        policy: What is required beyond the format.
        jobs: Messages that are looked at at once.
        executor: Where to do that, instead of `jobs` threads of its own.
        assume_dead: A message that stops before its end is damage if whole ones stand behind its last
            whole frame, and these are looked at; otherwise they are taken for its payload.
        limits: What the input may cost.
        progress: Is told how many bytes were looked at.
        access: How a URL is reached.

    Returns:
        A Report; also for a source that cannot be read, which it says in `unreadable`.

    Raises:
        ValueError: No such level.
    """
    if level not in DEPTHS:
        raise ValueError(f"level must be one of {', '.join(DEPTHS)}, not {level!r}")
    depth = DEPTHS[level]._replace(limits=limits)
    name = shown(source) if isinstance(source, str) else getattr(source, "name", "<memory>")
    try:
        opened = _seekable(open_source(source, mapped=True, access=access))
    except (TgmError, OSError) as error:
        return Report(name, "unchecked", unreadable=_said(error, name))
    run = _Run(opened, depth, policy, progress, assume_dead=assume_dead)
    own = ThreadPoolExecutor(jobs) if executor is None and jobs > 1 else None
    try:
        run.all(executor or own, jobs)
    except (SourceError, OSError) as error:
        return run.report(unreadable=_said(error, opened.name))
    finally:
        if own is not None:
            own.shutdown(cancel_futures=True)
        if opened is not source:
            opened.close()
    return run.report()


def _said(error: BaseException, name: str) -> str:
    return " ".join(str(error).split()).removeprefix(f"{name}: ")


def _seekable(source: Source) -> Source:
    """Return the source, or what it holds if it can be read only once."""
    if source.seekable:
        return source
    held = bytearray()
    while chunk := source.read_at(len(held), CHUNK):
        held += chunk
        source.keep_from(len(held))
    found = MemorySource(bytes(held))
    found.name = source.name
    return found


class _Batch(NamedTuple):
    """Messages whose ends agree about their lengths.

    Attributes:
        start: Where the first begins.
        stop: Where the last ends.
        messages: How many.
    """

    start: int
    stop: int
    messages: int


class _Run:
    """The state of one validation."""

    def __init__(
        self,
        source: Source,
        depth: Depth,
        policy: Policy,
        progress: Callable[[int], None],
        *,
        assume_dead: bool,
    ) -> None:
        self._source = source
        self._assume_dead = assume_dead
        self._depth = depth
        self._policy = policy
        self._progress = progress
        self._kept = Kept(MOST_OF_A_FILE, policy.judged)
        self._messages = self._objects = 0
        self._hashed = True
        self._size = source.size() or 0
        self._whole = self._sweepable()

    def _sweepable(self) -> memoryview | None:
        """Return all bytes of the source, if messages can be swept over: nobody looks at their metadata."""
        plain = not (self._depth.metadata or self._policy.objects or self._policy.messages)
        if plain and isinstance(self._source, MappedSource | MemorySource):
            return memoryview(self._source.read_at(0, self._size))
        return None

    def all(self, executor: Executor | None, jobs: int) -> None:
        """Look at everything."""
        at = 0
        if not self._size and not len(self._source.read_at(0, 1)):
            self._add(Finding("empty_file", "there is nothing in it", 0))
            return
        # Threads help with large messages only; looking at small ones is nearly all Python.
        at = self._usual(at, LARGEST if executor is None else IN_PIECES)
        while at < self._size:
            at = self._agreeing(at, executor, jobs)
            if at < self._size:
                at = self._walk(at)
            self._done_with(at)

    def _done_with(self, at: int) -> None:
        self._source.keep_from(at)
        self._progress(min(at, self._size))

    # ---- messages whose two ends agree

    def _usual(self, at: int, largest: int) -> int:
        """Pass over messages from `at` on as long as nothing is to be said about them."""
        if self._whole is None:
            return at
        memory = Memory()
        while True:
            swept = sweep(
                self._whole,
                at,
                self._size,
                digests=self._depth.digests,
                most=_BATCH_BYTES,
                largest=largest,
                memory=memory,
            )
            if not swept.messages:
                return at
            self._count(swept)
            at = swept.stop
            self._done_with(at)

    def _count(self, swept: Swept) -> None:
        self._messages += swept.messages
        self._objects += swept.objects

    def _agreeing(self, at: int, executor: Executor | None, jobs: int) -> int:
        """Look at messages from `at` on as long as their ends agree; return where that stops."""
        waiting: deque[tuple[_Batch, Future[tuple[Swept, list[Inspected]]]]] = deque()
        batches = self._batches(at)
        try:
            while True:
                batch = next(batches, None)
                if batch is not None and executor is not None:
                    waiting.append((batch, executor.submit(self._inspect, batch)))
                    if len(waiting) <= 2 * jobs:
                        continue
                if batch is not None and executor is None:
                    done, (swept, found) = batch, self._inspect(batch)
                elif waiting:
                    done, future = waiting.popleft()
                    swept, found = future.result()
                else:
                    return at
                self._count(swept)
                at = swept.stop
                for one in found:
                    self._take(one)
                    at = one.offset + one.length
                if swept.messages + len(found) < done.messages:  # the frames of the next tell another story
                    while at < done.stop:
                        at = self._walk(at)
                    if at != done.stop:
                        return at
                self._done_with(at)
        finally:
            for _, future in waiting:
                future.cancel()

    def _batches(self, at: int) -> Iterator[_Batch]:
        start, count = at, 0
        while (end := self._end_of(at)) is not None:
            at = end
            count += 1
            if at - start >= _BATCH_BYTES or count >= _BATCH_MESSAGES:
                yield _Batch(start, at, count)
                start, count = at, 0
        if count:
            yield _Batch(start, at, count)

    def _end_of(self, at: int) -> int | None:
        """Return where the message at `at` ends, if both its ends say the same."""
        head = self._read(at, layout.PREAMBLE_SIZE)
        if len(head) < layout.PREAMBLE_SIZE:
            return None
        magic, _, _, _, length = layout.PREAMBLE.unpack(head)
        if magic != layout.MESSAGE_MAGIC or not layout.MIN_MESSAGE_SIZE <= length <= self._size - at:
            return None
        tail = self._read(at + length - layout.POSTAMBLE_SIZE, layout.POSTAMBLE_SIZE)
        if len(tail) < layout.POSTAMBLE_SIZE:
            return None
        _, mirrored, magic = layout.POSTAMBLE.unpack(tail)
        return at + length if magic == layout.END_MAGIC and mirrored == length else None

    def _inspect(self, batch: _Batch) -> tuple[Swept, list[Inspected]]:
        """Look at a batch, as far as its frames lead from message to message.

        Returns:
            What was passed over because nothing is to be said about it, and what comes after that.
        """
        swept = Swept(batch.start)
        if self._whole is not None:
            swept = sweep(self._whole, batch.start, batch.stop, digests=self._depth.digests)
        return swept, [] if swept.stop == batch.stop else self._looked_at(swept.stop, batch)

    def _looked_at(self, at: int, batch: _Batch) -> list[Inspected]:
        inspection = self._inspection()
        decoder = Decoder(offset=at, verify=self._depth.digests)
        part = _Part(self._source, batch.stop)
        found: list[Inspected] = []
        try:
            for event in drive(part, decoder):
                done = inspection.receive(event)
                if done is not None:
                    found.append(done)
                elif (
                    type(event) is FrameBegan and event.header.row.is_object and not inspection.wants_payload
                ):
                    decoder.skip_frame()
        except FormatError:
            pass  # it is looked at again, alone
        return found

    # ---- everything else

    def _walk(self, at: int) -> int:
        """Look at what begins at `at`, a message or what is none; return where that ends."""
        inspection = self._inspection()
        decoder = Decoder(offset=at, verify=self._depth.digests)
        try:
            for event in drive(self._source, decoder, resync=True, assume_dead=self._assume_dead):
                if type(event) is Damaged:
                    self._lost(event)
                    return event.offset + event.size
                done = inspection.receive(event)
                if done is not None:
                    self._take(done)
                    return done.offset + done.length
                if type(event) is FrameBegan and event.header.row.is_object and not inspection.wants_payload:
                    decoder.skip_frame()
        except TruncatedError as error:
            text = error.text + ("" if self._assume_dead else hint_of(error, self._source))
            self._add(Finding(error.code, text, error.message_offset, length=error.available))
            return self._size
        except (FormatError, LimitExceeded) as error:
            issue = described(error)
            self._add(Finding(issue.code, issue.text, at if issue.offset is None else issue.offset))
        return self._size

    def _lost(self, event: Damaged) -> None:
        issue = described(event.reason)
        where = event.offset if issue.offset is None else issue.offset
        said = f"{issue.text}; {event.size} bytes belong to no whole message"
        self._add(Finding(issue.code, said, where, length=event.size))

    def _inspection(self) -> Inspection:
        return Inspection(
            self._read,
            self._depth,
            keep=bool(self._policy.objects or self._policy.messages),
            judge=self._policy.judged,
        )

    def _read(self, offset: int, size: int) -> memoryview:
        if self._whole is not None:
            return self._whole[offset : offset + size]
        return memoryview(self._source.read_at(offset, size))[:size]

    # ---- what it comes to

    def _take(self, one: Inspected) -> None:
        number = self._messages
        for finding in one.findings:
            self._add(finding._replace(message_index=number))
        if self._policy.require_hash and not one.hashed:
            self._add(
                Finding("hash_required", "the message has no digests, or wrong ones", one.offset, number)
            )
        for look in self._policy.messages:
            for code, text in look(one, self._read):
                self._add(Finding(code, text, one.offset, number))
        for found in one.contents:
            for policy in self._policy.objects:
                for code, text in policy(found, one.extra):
                    self._add(Finding(code, text, found.span.offset, number, found.span.number))
        self._messages += 1
        self._objects += one.objects
        self._hashed = self._hashed and one.hashed

    def _add(self, finding: Finding) -> None:
        self._kept.add(finding)

    def report(self, *, unreadable: str = "") -> Report:
        """Return what is to be said of the file."""
        policy = self._policy
        if not unreadable and self._messages < policy.min_messages:
            text = f"{self._messages} whole messages, expected at least {policy.min_messages}"
            self._add(Finding("too_few_messages", text))
        for end in policy.ends:
            for code, text in end():
                self._add(Finding(code, text))
        findings = self._kept.findings
        if dropped := self._kept.dropped:
            findings.append(Finding("suppressed", f"{dropped} more issues in this file"))
        verdict = "unchecked" if unreadable else verdict_of(findings, strict=policy.strict)
        return Report(
            self._source.name,
            verdict,
            tuple(findings),
            self._messages,
            self._objects,
            self._size,
            self._hashed and self._messages > 0 and self._depth.digests,
            unreadable,
        )


class _Part(Source):
    """A source that ends earlier."""

    seekable = True

    def __init__(self, source: Source, stop: int) -> None:
        self.name = source.name
        self._source = source
        self._stop = stop

    def read_at(self, offset: int, size: int) -> bytes | bytearray | memoryview:
        return memoryview(self._source.read_at(offset, size))[: max(self._stop - offset, 0)]

    def size(self) -> int | None:
        return self._stop

    def keep_from(self, offset: int) -> int:
        return 0

    def close(self) -> None:
        """The whole is closed by whoever opened it."""
