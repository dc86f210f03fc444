"""May this file be relied on? Every message is looked at, several at a time, and nothing stops it.

It is separate from `checks`, which looks at one message: here it is decided where messages begin,
who looks at which, and what the whole file comes to. Messages whose two ends agree about their
length are handed out to threads; where that does not hold, or turns out not to have held, the
decoder walks on alone, as every reader does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from ..endpoints import open_source
from ..endpoints.base import Source
from ..errors import FormatError, LimitExceeded, SourceError, TgmError, TruncatedError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.objects import DataObject
from ..wire import layout
from ..wire.decoder import Decoder
from ..wire.events import Damaged, FrameBegan
from .checks import described
from .drive import CHUNK, drive
from .findings import ERROR, WARNING, Finding, Report, verdict_of
from .inspection import DEPTHS, Depth, Inspected, Inspection

LEVELS = tuple(DEPTHS)
MOST_OF_A_FILE = 1000  # findings that are kept
_BATCH_BYTES = 8 << 20
_BATCH_MESSAGES = 512
_END_SIZE = layout.POSTAMBLE_SIZE

ObjectPolicy = Callable[[DataObject, Mapping[str, Any]], Iterator[tuple[str, str]]]
"""A look at an object and its message's keys: yields (code, text) of what a caller has against it."""
FilePolicy = Callable[[], Iterator[tuple[str, str]]]
"""A look at what did not come: yields (code, text)."""


class Policy(NamedTuple):
    """What a caller requires beyond the format.

    Attributes:
        strict: Warnings count as errors.
        allow_empty: An empty file is valid.
        allow_incomplete: A cut message at the end is not held against the file.
        min_messages: Fewer whole messages are an error.
        require_hash: A message without digests is an error.
        ignore: Codes that are not reported.
        errors: Codes that are errors whatever they are otherwise.
        objects: Looks at each object.
        ends: Looks at the file after its last object.
    """

    strict: bool = False
    allow_empty: bool = False
    allow_incomplete: bool = False
    min_messages: int = 0
    require_hash: bool = False
    ignore: frozenset[str] = frozenset()
    errors: frozenset[str] = frozenset()
    objects: tuple[ObjectPolicy, ...] = ()
    ends: tuple[FilePolicy, ...] = ()


def validate(
    source: Any,
    *,
    level: str = "integrity",
    policy: Policy = Policy(),  # noqa: B008  # a value that never changes
    jobs: int = 1,
    executor: Executor | None = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int], None] = lambda _offset: None,
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
        limits: What the input may cost.
        progress: Is told how many bytes were looked at.

    Returns:
        A Report; also for a source that cannot be read, which it says in `unreadable`.

    Raises:
        ValueError: No such level.
    """
    if level not in DEPTHS:
        raise ValueError(f"level must be one of {', '.join(DEPTHS)}, not {level!r}")
    depth = DEPTHS[level]._replace(limits=limits)
    name = str(source) if isinstance(source, str) else getattr(source, "name", "<memory>")
    try:
        opened = _seekable(open_source(source, mapped=True))
    except (TgmError, OSError) as error:
        return Report(name, "unchecked", unreadable=_said(error, name))
    run = _Run(opened, depth, policy, progress)
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
    from ..endpoints.memory import MemorySource

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

    def __init__(self, source: Source, depth: Depth, policy: Policy, progress: Callable[[int], None]) -> None:
        self._source = source
        self._depth = depth
        self._policy = policy
        self._progress = progress
        self._findings: list[Finding] = []
        self._dropped = 0
        self._messages = self._objects = 0
        self._hashed = True
        self._size = source.size() or 0

    def all(self, executor: Executor | None, jobs: int) -> None:
        """Look at everything."""
        at = 0
        if not self._size and not len(self._source.read_at(0, 1)):
            self._add(Finding("empty_file", "there is nothing in it", 0))
            return
        while at < self._size:
            at = self._agreeing(at, executor, jobs)
            if at < self._size:
                at = self._walk(at)
            self._progress(min(at, self._size))

    # ---- messages whose two ends agree

    def _agreeing(self, at: int, executor: Executor | None, jobs: int) -> int:
        """Look at messages from `at` on as long as their ends agree; return where that stops."""
        waiting: deque[tuple[_Batch, Future[list[Inspected] | None]]] = deque()
        batches = self._batches(at)
        try:
            while True:
                batch = next(batches, None)
                if batch is not None and executor is not None:
                    waiting.append((batch, executor.submit(self._inspect, batch)))
                    if len(waiting) <= 2 * jobs:
                        continue
                if batch is not None and executor is None:
                    done, found = batch, self._inspect(batch)
                elif waiting:
                    done, future = waiting.popleft()
                    found = future.result()
                else:
                    return at
                if found is None:  # the frames inside tell another story
                    return done.start
                for one in found:
                    self._take(one)
                at = done.stop
                self._progress(at)
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
        head = bytes(self._source.read_at(at, layout.PREAMBLE_SIZE)[: layout.PREAMBLE_SIZE])
        if len(head) < layout.PREAMBLE_SIZE or head[:8] != layout.MESSAGE_MAGIC:
            return None
        length = int.from_bytes(head[layout.PREAMBLE_TOTAL_AT :], "big")
        if length < layout.MIN_MESSAGE_SIZE or at + length > self._size:
            return None
        tail = bytes(self._source.read_at(at + length - _END_SIZE, _END_SIZE)[:_END_SIZE])
        if tail[16:] != layout.END_MAGIC or int.from_bytes(tail[8:16], "big") != length:
            return None
        return at + length

    def _inspect(self, batch: _Batch) -> list[Inspected] | None:
        """Look at a batch; None if its frames do not lead from message to message."""
        inspection = self._inspection()
        decoder = Decoder(offset=batch.start, verify=self._depth.digests)
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
            return None
        return found if len(found) == batch.messages else None

    # ---- everything else

    def _walk(self, at: int) -> int:
        """Look at what begins at `at`, a message or what is none; return where that ends."""
        inspection = self._inspection()
        decoder = Decoder(offset=at, verify=self._depth.digests)
        try:
            for event in drive(self._source, decoder, resync=True):
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
            self._add(Finding(error.code, error.text, error.message_offset, length=error.available))
            return self._size
        except (FormatError, LimitExceeded) as error:
            issue = described(error)
            self._add(Finding(issue.code, issue.text, at if issue.offset is None else issue.offset))
        return self._size

    def _lost(self, event: Damaged) -> None:
        issue = described(event.reason)
        code = "torn_message" if isinstance(event.reason, TruncatedError) else issue.code
        where = event.offset if issue.offset is None else issue.offset
        said = f"{issue.text}; {event.size} bytes belong to no whole message"
        self._add(Finding(code, said, where, length=event.size))

    def _inspection(self) -> Inspection:
        def read(offset: int, size: int) -> bytes | memoryview:
            return memoryview(self._source.read_at(offset, size))[:size]

        return Inspection(read, self._depth, keep=bool(self._policy.objects))

    # ---- what it comes to

    def _take(self, one: Inspected) -> None:
        number = self._messages
        for finding in one.findings:
            self._add(finding._replace(message_index=number))
        if self._policy.require_hash and not one.hashed:
            self._add(
                Finding("hash_required", "the message has no digests, or wrong ones", one.offset, number)
            )
        for found in one.contents:
            for policy in self._policy.objects:
                for code, text in policy(found, one.extra):
                    self._add(Finding(code, text, found.span.offset, number, found.span.number))
        self._messages += 1
        self._objects += one.objects
        self._hashed = self._hashed and one.hashed

    def _add(self, finding: Finding) -> None:
        policy = self._policy
        if finding.code in policy.ignore or (finding.code == "empty_file" and policy.allow_empty):
            return
        if finding.weight == "incomplete" and policy.allow_incomplete:
            finding = finding._replace(severity="note")
        if finding.code in policy.errors:
            finding = finding._replace(severity=ERROR)
        if len(self._findings) >= MOST_OF_A_FILE and finding.weight not in {ERROR, WARNING}:
            self._dropped += 1
        elif len(self._findings) >= MOST_OF_A_FILE:
            self._dropped += 1
            self._findings[-1] = finding  # so that an error is never hidden by what came before it
        else:
            self._findings.append(finding)

    def report(self, *, unreadable: str = "") -> Report:
        """Return what is to be said of the file."""
        policy = self._policy
        if not unreadable and self._messages < policy.min_messages:
            text = f"{self._messages} whole messages, expected at least {policy.min_messages}"
            self._add(Finding("too_few_messages", text))
        for end in policy.ends:
            for code, text in end():
                self._add(Finding(code, text))
        if self._dropped:
            self._findings.append(Finding("suppressed", f"{self._dropped} more issues in this file"))
        verdict = "unchecked" if unreadable else verdict_of(self._findings, strict=policy.strict)
        return Report(
            self._source.name,
            verdict,
            tuple(self._findings),
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
