"""Produce a stream: inputs to arrays to messages, one object in memory at a time.

It is separate from `writer` because files are: many inputs, their order, and what is left when
something goes wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from ..endpoints import STDIO
from ..endpoints.local import FileSink
from ..errors import EncodeError, FormatError, SourceError
from ..messages.spans import MessageSpan
from .credit import Credit, frames_at_most, size_at_most
from .decisions import check_plan, commit_of, is_numbered, numbering_of
from .interruption import Interruption
from .outputs import Opened, Output, check, make_whole, open_output, open_successor, write_sentinel
from .prepare import Prepared
from .production import Production
from .rotation import successor_of
from .supply import Supply, is_stream
from .writer import StreamWriter

__all__ = ["Interruption", "Production", "produce"]


def produce(
    inputs: list[Any],
    output: Output,
    plan: Production,
    *,
    interruption: Interruption | None = None,
    report: Callable[[str], None] = lambda _text: None,
    status: Callable[[BaseException], int | None] = lambda _error: None,
    begin: Callable[[str], None] = lambda _path: None,
) -> Iterator[MessageSpan]:
    """Write the inputs to the output; yield each message once it is whole, markers too.

    Args:
        inputs: Paths, `-`, or sources.
        output: Where to.
        plan: What to make of them.
        interruption: Lets a signal stop it between two objects; the message is closed then.
        report: Is told what an operator should know and no caller needs.
        status: Returns the exit status for an error, which an error marker then states.
        begin: Is told the path of each file before its messages are yielded.

    Raises:
        EncodeError: Something that cannot be written; whole messages before it stay.
        SourceError: A place failed; likewise.
        TruncatedError: `append` to a file that ends in an unfinished message.
        TimeLimit: The consumer acknowledged nothing new for too long.
    """
    check(output)
    plan.stages.masks.check()
    commit = commit_of(inputs, output, plan)
    numbered = is_numbered(inputs, output, commit, plan)
    check_plan(plan, commit)
    interruption = interruption or Interruption()
    opened = open_output(output, commit, report, numbered=numbered)
    try:
        run = _Run(opened, output, commit, plan, interruption, report, begin, numbered=numbered)
    except BaseException:
        opened.sink.abort()
        raise
    try:
        yield from run.all_of(inputs)
    except BaseException as error:
        run.wind_up(error, status(error))
        raise
    yield from run.close()


class _Run:
    """The state of one production."""

    def __init__(
        self,
        opened: Opened,
        output: Output,
        commit: str,
        plan: Production,
        interruption: Interruption,
        report: Callable[[str], None],
        begin: Callable[[str], None],
        *,
        numbered: bool,
    ) -> None:
        self._output = output
        self._commit = commit
        self._plan = plan
        self._interruption = interruption
        self._report = report
        self._begin = begin
        self._first = opened.path if output.path == STDIO else output.path
        self._supply = Supply(plan, interruption, report)
        # Nobody can follow it: the layout that is best to read afterwards.
        self._private = commit == "rename" and not output.append and output.path != STDIO
        self._held: list[
            MessageSpan
        ] = []  # of a file that has no name yet: nothing is reported before it has
        self._rotated = False
        self._writer: StreamWriter | None = None
        self._in_message = 0
        self._expected = 0  # bytes of the open message, at most
        self._is_ripe = False  # the open message is complete, and waits to know whether it is the last
        self._is_done = False  # a limit was reached: nothing more is taken in
        self._open(opened)
        self._numbering = numbering_of(opened, plan, numbered=numbered)
        self._credit: Credit | None = None
        if plan.handover is not None and self._numbering is not None:
            seq = self._numbering.seq
            self._credit = Credit(plan.handover, self._numbering.who, seq, interruption, report)

    def _open(self, opened: Opened) -> None:
        self.sink = opened.sink
        self._path = opened.path
        self._messages = opened.messages  # in the file
        self._written = 0  # messages of this run in the file
        self._whole = 0  # bytes of the sink that are whole: through the last object or message
        self._whole_messages = 0  # bytes of the sink through the last message
        if isinstance(self.sink, FileSink) and self.sink.warning:
            self._report(self.sink.warning)
        self._begin(self._path)

    @property
    def _is_inline(self) -> bool:
        return self._numbering is not None and self._numbering.stream.end == "inline"

    # ---- the order of things

    def all_of(self, inputs: list[Any]) -> Iterator[MessageSpan]:
        """Write everything that is written if nothing goes wrong."""
        numbering = self._numbering
        if numbering is not None and numbering.stream.note is not None:
            yield from self._out(self._marked(numbering.note(numbering.stream.note)))
        yield from self._data(inputs)
        if self._writer is not None:
            yield from self._end_message(last=True)
        numbering = self._numbering
        if numbering is None:
            return
        only_a_note = not inputs and numbering.stream.note is not None and numbering.stream.error is None
        if not only_a_note and (span := numbering.close()) is not None:
            yield from self._out(self._marked(span))

    def _data(self, inputs: list[Any]) -> Iterator[MessageSpan]:
        for place in inputs:
            group = self._plan.group
            if group is None:
                group = 1 if is_stream(place) else "file"
            with closing(self._supply.objects_of(place)) as objects:
                for found in objects:
                    if self._is_ripe:
                        yield from self._end_message()
                    if self._writer is None and self._is_full:
                        if not self._output.rotate:
                            self._stop("--max-bytes")
                            return
                        yield from self._rotate()
                    self._write(found, group)
                    if isinstance(group, int) and self._in_message >= group:
                        yield from self._complete()
                    if self._is_done:
                        return
            if group == "file" and self._writer is not None:
                yield from self._complete()
            if self._is_done:
                return

    def _complete(self) -> Iterator[MessageSpan]:
        """The open message has all its objects: end it, or hold it back until it is known to be the last."""
        output = self._output
        is_last = not output.rotate and self._messages + 1 == output.max_messages
        if self._is_inline and not is_last:
            self._is_ripe = True
            return
        yield from self._end_message(last=is_last)
        if self._is_full and not output.rotate:
            self._stop("--max-messages" if is_last else "--max-bytes")

    def _stop(self, limit: str) -> None:
        self._is_done = True
        self._report(f"{self._path}: full ({limit}): the rest of the input was not read")

    @property
    def _is_full(self) -> bool:
        output = self._output
        if output.max_messages is not None and self._messages >= output.max_messages:
            return True
        return output.max_bytes is not None and self._start + self.sink.position >= output.max_bytes

    @property
    def _start(self) -> int:
        return self.sink.start if isinstance(self.sink, FileSink) else 0

    # ---- messages

    def _write(self, found: Prepared, group: int | str) -> None:
        plan = self._plan
        if self._credit is not None and plan.handover is not None and plan.handover.window is not None:
            self._wait_for_room(self._credit, found)
        if self._writer is None:
            layout = plan.style.layout
            if layout == "auto":
                at_once = group == 1 or self._private or self._is_inline
                layout = "buffered" if at_once else "streaming"
            style = plan.style._replace(layout=layout)
            single = group == 1
            sink = self.sink if self._numbering is None else self._numbering.sink
            self._writer = StreamWriter(
                sink, plan.extra, style=style, stages=plan.stages, spool=not single, borrow=single
            )
            if self._numbering is not None:
                self._numbering.number(self._writer)
        self._writer.write_prepared(found)
        self._in_message += 1
        self._whole = self.sink.position
        if self._output.fsync == "object":
            self.sink.sync()

    def _wait_for_room(self, credit: Credit, found: Prepared) -> None:
        from ..messages import cbor

        if self._writer is None:
            self._expected = frames_at_most(len(cbor.encode(self._plan.extra)))
        expected = self._expected + size_at_most(found)
        credit.wait_for_room(expected)
        self._expected = expected

    def _end_message(self, *, last: bool = False) -> Iterator[MessageSpan]:
        return self._out(self._finished(last=last))

    def _finished(self, *, last: bool = False) -> MessageSpan:
        """End the open message; `last` only says that it is the last if that is how the stream ends."""
        assert self._writer is not None
        numbering = self._numbering
        last = last and self._is_inline and numbering is not None and numbering.stream.error is None
        if numbering is not None and last:
            numbering.number(self._writer, last=True)
        span = self._writer.finish()
        if numbering is not None:
            numbering.finished(last=last)
        self._writer, self._in_message, self._is_ripe = None, 0, False
        return self._marked(span)

    def _marked(self, span: MessageSpan) -> MessageSpan:
        """Take note of a whole message, or marker; return it with its place in the file."""
        if self._numbering is not None and self._credit is not None:
            self._credit.sent(self._numbering.seq - 1, span.length)
        span = span._replace(number=self._written, offset=self._start + span.offset)
        self._written += 1
        self._messages += span.objects > 0
        self._whole = self._whole_messages = self.sink.position
        if self._output.fsync in {"object", "message"}:
            self.sink.sync()
        return span

    def _out(self, span: MessageSpan) -> Iterator[MessageSpan]:
        if self._private:
            self._held.append(span)
        else:
            yield span

    # ---- files

    def _rotate(self) -> Iterator[MessageSpan]:
        """Go on in another file. It is there before its predecessor names it."""
        numbering = self._numbering
        assert numbering is not None
        path = successor_of(self._path, self._first)
        sink = open_successor(self._output, path, self._commit)
        try:
            yield from self._out(self._marked(numbering.end(os.path.basename(path))))
            yield from self._close_file()
        except BaseException:
            sink.abort()
            raise
        previous = os.path.basename(self._path)
        self._rotated = True
        self._open(Opened(sink, path, previous=previous))
        self._numbering = numbering.continued(sink, previous)

    def close(self) -> Iterator[MessageSpan]:
        """Finish the last file; then wait for the consumer, if that was asked for."""
        try:
            yield from self._close_file()
            if self._credit is not None and self._plan.handover is not None and self._plan.handover.wait:
                self._credit.wait_for_end()
        finally:
            if self._credit is not None:
                self._credit.close()

    def _close_file(self) -> Iterator[MessageSpan]:
        self.sink.close()
        if self._commit == "sentinel":
            numbering = self._numbering
            write_sentinel(self._path, numbering.said if numbering is not None else None)
        held, self._held = self._held, []
        yield from held

    # ---- failure

    def wind_up(self, error: BaseException, status: int | None) -> None:
        """Leave the output in the best state there is after `error`, and say so in it."""
        if self._credit is not None:
            self._credit.close()
        if self._private and not self._rotated:
            self.sink.abort()
            return
        try:
            if isinstance(error, BrokenPipeError):
                return
            if isinstance(error, SourceError) and error.uri == self.sink.name:
                self._cut_back()
                self._mend()
            elif self._writer is not None and self._in_message:
                self._finished()
            numbering = self._numbering
            if numbering is not None and not numbering.is_over and self._ends_whole:
                self._marked(numbering.failure(error, status))
                self.sink.close()
        except (SourceError, EncodeError, BrokenPipeError):
            self._cut_back()  # no room for the marker either: the status says it alone
        finally:
            self.sink.abort()

    @property
    def _ends_whole(self) -> bool:
        """What was written ends with a whole message; of a stream that failed nobody knows."""
        return self._writer is None or (self.sink.patchable and self.sink.position == self._whole_messages)

    def _mend(self) -> None:
        """Close the message whose last objects found no room, so that it can be said why it ends."""
        sink = self.sink
        if self._numbering is None or self._ends_whole or not isinstance(sink, FileSink):
            return
        end = sink.start + sink.position
        try:
            make_whole(sink, self._report, repair=True)
        except (SourceError, FormatError):
            sink.restart_at(end)  # no room: what is whole stays, and can be finished later
            self._whole, self._whole_messages = 0, -1
        else:
            self._numbering.finished()
            self._writer = None
            self._whole = self._whole_messages = 0

    def _cut_back(self) -> None:
        """The output failed in the middle of a write: take the torn part away, if that is possible."""
        if not self.sink.patchable:
            return
        to = self._whole_messages if self._output.append else self._whole
        had = self.sink.position
        try:
            self.sink.truncate(to)
        except SourceError:
            return
        if had:
            what = "message" if self._output.append else "object"
            self._report(f"{self.sink.name}: cut back to the last whole {what}, {to} bytes were written")
