"""Produce a stream: inputs to arrays to messages, one object in memory at a time.

It is separate from `writer` because files are: many inputs, their order, and what is left when
something goes wrong.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from ..endpoints import STDIO, local_path, open_source
from ..endpoints.base import Sink
from ..endpoints.local import FileSink
from ..endpoints.stdio import StreamSource
from ..errors import EncodeError, SourceError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.spans import MessageSpan
from .inputs import Block, Item, items
from .outputs import Output, check, open_output, write_sentinel
from .prepare import Prepared, Preparer, Stages, converted
from .writer import StreamWriter, Style

_CHUNK = 1 << 20


class Production(NamedTuple):
    """What to make of the inputs.

    Attributes:
        kind: Input format; "auto" looks at suffix and first bytes.
        block: dtype and shape of raw blocks.
        variables: Only these, of inputs that hold several by name.
        encoded: Payloads come encoded: of GRIB those that can be taken as they are, or all inputs if
            there are `descriptors`.
        descriptors: What the encoded inputs are, in order; a single one goes to all.
        convert: Name of the format's dtype to convert values to first; None leaves them.
        split_axis: Every slice along this axis is an object of its own.
        group: Objects per message: a number, "all", "file" (one message per input), or None: 1 on
            a stream, "file" for files.
        entry: Metadata of object number i (from 0), over what came with it.
        metas: Metadata of the objects, in order; a single map goes to all.
        extra: Message-level metadata.
        stages: What to do to every payload.
        style: How messages are laid out; `layout` "auto" is buffered for single objects and for
            files that appear whole, else streaming.
        pace: Seconds to wait between objects.
        limits: What an input may cost.
    """

    kind: str = "auto"
    block: Block | None = None
    variables: tuple[str, ...] | None = None
    encoded: bool = False
    descriptors: Iterable[Mapping[str, Any]] | None = None
    convert: str | None = None
    split_axis: int | None = None
    group: int | str | None = None
    entry: Callable[[int], Mapping[str, Any]] = lambda _i: {}
    metas: Iterable[Mapping[str, Any]] | None = None
    extra: Mapping[str, Any] = {}
    stages: Stages = Stages()
    style: Style = Style(layout="auto")
    pace: float = 0.0
    limits: Limits = DEFAULT_LIMITS


class Interruption:
    """A wish to stop, taken note of between objects.

    Waiting for input can be broken off; writing an object cannot.
    """

    def __init__(self) -> None:
        self.wanted: BaseException | None = None
        self.waiting = False

    def request(self, reason: BaseException) -> None:
        """Stop soon; from a signal handler. Raises `reason` if nothing is being written."""
        self.wanted = reason
        if self.waiting:
            raise reason

    def next_of(self, source: Iterator[Item]) -> Item | None:
        """Return the next item, or None at the end; may be broken off."""
        if self.wanted is not None:
            raise self.wanted
        self.waiting = True
        try:
            return next(source, None)
        finally:
            self.waiting = False

    def pause(self, seconds: float) -> None:
        """Wait; may be broken off."""
        self.waiting = True
        try:
            if self.wanted is not None:
                raise self.wanted
            time.sleep(seconds)
        finally:
            self.waiting = False


def produce(
    inputs: list[Any],
    output: Output,
    plan: Production,
    *,
    interruption: Interruption | None = None,
    report: Callable[[str], None] = lambda _text: None,
) -> Iterator[MessageSpan]:
    """Write the inputs to the output; yield each message once it is whole.

    Args:
        inputs: Paths, `-`, or sources.
        output: Where to.
        plan: What to make of them.
        interruption: Lets a signal stop it between two objects; the message is closed then.
        report: Is told what an operator should know and no caller needs.

    Raises:
        EncodeError: Something that cannot be written; whole messages before it stay.
        SourceError: A place failed; likewise.
        TruncatedError: `append` to a file that ends in an unfinished message.
    """
    check(output)
    plan.stages.masks.check()
    interruption = interruption or Interruption()
    streamed = any(_is_stream(place) for place in inputs)
    commit = output.commit or ("inplace" if streamed or plan.pace else "rename")
    sink = open_output(output, commit, report)
    if isinstance(sink, FileSink) and sink.warning:
        report(sink.warning)
    private = commit == "rename" and not output.append and output.path != STDIO
    run = _Run(sink, output, plan, interruption, report, private=private)
    held: list[MessageSpan] = []  # of a file that has no name yet: nothing is reported before it has
    try:
        for span in run.all_of(inputs):
            if private:
                held.append(span)
            else:
                yield span
    except BaseException as error:
        run.wind_up(error, visible=not private)
        raise
    sink.close()
    if commit == "sentinel":
        write_sentinel(output.path)
    yield from held


class _Run:
    """The state of one production."""

    def __init__(
        self,
        sink: Sink,
        output: Output,
        plan: Production,
        interruption: Interruption,
        report: Callable[[str], None],
        *,
        private: bool,
    ) -> None:
        self.sink = sink
        self._private = private  # nobody can follow it: the layout that is best to read afterwards
        self.messages = 0
        self._output = output
        self._plan = plan
        self._interruption = interruption
        self._report = report
        self._writer: StreamWriter | None = None
        self._preparer = Preparer(plan.stages)
        self._in_message = 0
        self._taken = 0  # objects taken in, over all messages
        self._descriptors = iter(plan.descriptors) if plan.descriptors is not None else None
        self._descriptor: Mapping[str, Any] = {}
        self._descriptor_count = 0
        self._metas = iter(plan.metas) if plan.metas is not None else None
        self._meta: Mapping[str, Any] = {}
        self._meta_count = 0
        self._whole = 0  # bytes of the sink that are whole: through the last object or message
        self._whole_messages = 0  # bytes of the sink through the last message

    def all_of(self, inputs: list[Any]) -> Iterator[MessageSpan]:
        for place in inputs:
            group = self._plan.group
            if group is None:
                group = 1 if _is_stream(place) else "file"
            # What arrives live is written as it comes; holding some to work on them together would delay it.
            jobs = 1 if _is_stream(place) or self._plan.pace else self._plan.stages.jobs
            for found in self._prepared(self._paced(self._items(place)), jobs):
                self._write(found, group)
                if isinstance(group, int) and self._in_message >= group:
                    yield self._end_message()
            if group == "file" and self._writer is not None:
                yield self._end_message()
        if self._writer is not None:
            yield self._end_message()

    def _items(self, place: Any) -> Iterator[Item]:
        plan = self._plan
        if plan.descriptors is not None:
            yield _encoded_item(place, self._next_descriptor(), plan.limits)
            return
        yield from items(
            place,
            plan.kind,
            block=plan.block,
            variables=plan.variables,
            split_axis=plan.split_axis,
            passthrough=plan.encoded,
            limits=plan.limits,
            report=self._report,
        )

    def _paced(self, source: Iterator[Item]) -> Iterator[Item]:
        while (item := self._interruption.next_of(source)) is not None:
            if self._plan.pace and self._taken:
                self._interruption.pause(self._plan.pace)
            yield item

    def _prepared(self, source: Iterator[Item], jobs: int) -> Iterator[Prepared]:
        """Yield the items ready to be framed, in order; `jobs` of them are worked on at once."""
        if jobs == 1:
            for item in source:
                yield self._prepare(item, self._entry_of(item))
            return
        waiting: deque[Future[Prepared]] = deque()  # at most one more than there are threads
        with ThreadPoolExecutor(jobs) as pool:
            failed: Exception | None = None
            try:
                while failed is None:
                    try:
                        item = next(source)
                        waiting.append(pool.submit(self._prepare, item, self._entry_of(item)))
                    except StopIteration:
                        break
                    except Exception as error:  # noqa: BLE001  # raised below, after what came before it
                        failed = error
                    if len(waiting) > jobs:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
                if failed is not None:
                    raise failed
            finally:
                for one in waiting:
                    one.cancel()

    def _prepare(self, item: Item, entry: Mapping[str, Any]) -> Prepared:
        if item.payload is not None and item.descriptor is not None:
            return self._preparer.prepare_encoded(item.descriptor, item.payload, entry)
        values = item.values
        if self._plan.convert is not None:
            values = converted(values, item.dtype, self._plan.convert)
            item = item._replace(dtype=self._plan.convert)
        return self._preparer.prepare(values, entry, dtype=item.dtype, shape=item.shape)

    def _entry_of(self, item: Item) -> Mapping[str, Any]:
        entry = {**item.entry, **self._next_meta(), **self._plan.entry(self._taken)}
        self._taken += 1
        return entry

    def _write(self, found: Prepared, group: int | str) -> None:
        plan = self._plan
        if self._writer is None:
            layout = plan.style.layout
            if layout == "auto":
                layout = "buffered" if group == 1 or self._private else "streaming"
            style = plan.style._replace(layout=layout)
            single = group == 1
            self._writer = StreamWriter(
                self.sink, plan.extra, style=style, stages=plan.stages, spool=not single, borrow=single
            )
        self._writer.write_prepared(found)
        self._in_message += 1
        self._whole = self.sink.position
        if self._output.fsync == "object":
            self.sink.sync()

    def _next_descriptor(self) -> Mapping[str, Any]:
        assert self._descriptors is not None
        found = next(self._descriptors, None)
        if found is not None:
            self._descriptor_count += 1
            self._descriptor = found
        elif self._descriptor_count != 1:  # a single descriptor goes to all
            raise EncodeError(
                f"{self._descriptor_count} descriptors were given, input {self._taken} has none"
            )
        return self._descriptor

    def _next_meta(self) -> Mapping[str, Any]:
        if self._metas is None:
            return {}
        found = next(self._metas, None)
        if found is not None:
            self._meta_count += 1
            self._meta = found
        elif self._meta_count != 1:  # a single map goes to all
            raise EncodeError(
                f"metadata for {self._meta_count} objects was given, object {self._taken} has none"
            )
        return self._meta

    def _end_message(self) -> MessageSpan:
        assert self._writer is not None
        span = self._writer.finish()._replace(number=self.messages)
        self._writer, self._in_message = None, 0
        self.messages += 1
        self._whole = self._whole_messages = self.sink.position
        if self._output.fsync in {"object", "message"}:
            self.sink.sync()
        start = self.sink.start if isinstance(self.sink, FileSink) else 0
        return span._replace(offset=start + span.offset)

    def wind_up(self, error: BaseException, *, visible: bool) -> None:
        """Leave the output in the best state there is after `error`."""
        if not visible:
            self.sink.abort()
            return
        try:
            if isinstance(error, BrokenPipeError):
                return
            if isinstance(error, SourceError) and error.uri == self.sink.name:
                self._cut_back()
            elif self._writer is not None and self._in_message:
                self._end_message()
        except (SourceError, EncodeError, BrokenPipeError):
            self._cut_back()
        finally:
            self.sink.abort()

    def _cut_back(self) -> None:
        """The output failed in the middle of a write: take the torn part away, if that is possible."""
        if not self.sink.patchable or self.sink.position == 0:
            return
        to = self._whole_messages if self._output.append else self._whole
        try:
            self.sink.truncate(to)
        except SourceError:
            return
        what = "message" if self._output.append else "object"
        self._report(f"{self.sink.name}: cut back to the last whole {what}, {to} bytes were written")


def _is_stream(place: Any) -> bool:
    if isinstance(place, str | os.PathLike):
        path = local_path(place)
        return place == STDIO or not (os.path.isfile(path) or os.path.isdir(path))
    return isinstance(place, StreamSource)


def _encoded_item(place: Any, descriptor: Mapping[str, Any], limits: Limits) -> Item:
    """Return one input as a payload that is encoded already."""
    import numpy as np

    source = open_source(place)
    try:
        payload = bytearray()
        while len(chunk := source.read_at(len(payload), _CHUNK)):
            payload += chunk
            limits.check("decoded_bytes", len(payload), f"{source.name}: an encoded payload")
            source.keep_from(len(payload))
    finally:
        if source is not place:
            source.close()
    return Item(np.empty(0), payload=bytes(payload), descriptor=descriptor)
