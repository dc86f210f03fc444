"""The output of `encode`: how it gets its name, what happens to an existing one, how it is continued.

It is separate from making the messages because it knows files and nothing of arrays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..endpoints import STDIO, local_path, open_source
from ..endpoints.base import Sink
from ..endpoints.local import FileSink
from ..endpoints.stdio import stdout_sink
from ..errors import EncodeError, FormatError, SourceError, TruncatedError
from ..messages.spans import MessageSpan
from .drive import named
from .repair import Repair, find_end, plan_repair
from .rotation import check_free, named_successor
from .scan import scan
from .standing import Standing, place_at

COMMITS = ("inplace", "rename", "sentinel")
FSYNCS = ("none", "object", "message", "close")
_COPY = 1 << 20


class Output(NamedTuple):
    """Where to, and how carefully.

    Attributes:
        path: A path or `-`.
        commit: "inplace" (readable while it grows), "rename" (appears whole), "sentinel" (in place, and
            `PATH.done` appears at the end); None: in place if an input is a stream or paced, else rename.
        append: Continue the file.
        repair_tail: With `append`: finish an unfinished message at its end first.
        force: Replace an existing file.
        fsync: When to make it durable: "none", "object", "message" or "close".
        max_messages: Objects' messages in a file at most; None for any number.
        max_bytes: A file is full once it has so many bytes: it ends with the message that reaches them.
        rotate: Go on in another file when one is full; otherwise stop.
    """

    path: str
    commit: str | None = None
    append: bool = False
    repair_tail: bool = False
    force: bool = False
    fsync: str = "close"
    max_messages: int | None = None
    max_bytes: int | None = None
    rotate: bool = False


class Opened(NamedTuple):
    """A file that is being written.

    Attributes:
        sink: To write to.
        path: Which file it is: with `append`, the last of those that continue each other.
        messages: Whole messages in it.
        standing: How far the streams in it are, or in the file that it continues.
        previous: The file that it continues, by its relative name; None if there is none.
    """

    sink: Sink
    path: str
    messages: int = 0
    standing: Standing | None = None
    previous: str | None = None


def check(output: Output) -> None:
    """Refuse what does not go together.

    Raises:
        EncodeError: A word that does not exist, or options that contradict each other.
    """
    if output.commit not in {None, *COMMITS}:
        raise EncodeError(f"commit {output.commit!r} does not exist, expected one of {', '.join(COMMITS)}")
    if output.fsync not in FSYNCS:
        raise EncodeError(f"fsync {output.fsync!r} does not exist, expected one of {', '.join(FSYNCS)}")
    if output.repair_tail and not output.append:
        raise EncodeError("--repair-tail belongs to --append")
    if output.append and output.commit == "rename":
        raise EncodeError("--append continues the file in place: it cannot be combined with --commit rename")
    for limit, option in ((output.max_messages, "--max-messages"), (output.max_bytes, "--max-bytes")):
        if limit is not None and limit < 1:
            raise EncodeError(f"{option} {limit}: expected at least 1")
    if output.rotate and output.max_messages is None and output.max_bytes is None:
        raise EncodeError("--rotate needs --max-messages or --max-bytes")
    if output.rotate and output.path == STDIO:
        raise EncodeError("--rotate needs a file: stdout has no successor")


def open_output(
    output: Output, commit: str, report: Callable[[str], None], *, numbered: bool = False
) -> Opened:
    """Open the output; its end is whole, or made so.

    Args:
        output: Where to.
        commit: How it gets its name: one of COMMITS.
        report: Is told what was mended.
        numbered: What is written will be numbered; otherwise that depends on what a file to continue says.

    Raises:
        SourceError: It cannot be written, or exists.
        TruncatedError: `append` to a file that ends in an unfinished message.
        FormatError: It ends in what is no message, or names a successor that cannot be.
    """
    if output.path == STDIO:
        return Opened(stdout_sink(), STDIO)
    path = local_path(output.path)
    if not (output.append and os.path.exists(path)):
        if output.rotate and not output.force:
            check_free(path, path)
        exclusive = not (output.force or output.append)
        return Opened(_file(output, path, commit, exclusive=exclusive), path)
    seen: set[str] = set()
    previous: Opened | None = None
    while True:
        if path in seen:
            raise FormatError("the file is its own successor", code="stream_invalid", source=path)
        seen.add(path)
        if previous is not None and not (os.path.exists(path) and os.path.getsize(path)):
            sink = _file(output, path, commit, exclusive=False)
            name = os.path.basename(previous.path)
            return Opened(sink, path, standing=previous.standing, previous=name)
        opened, successor = _continued(path, output, report, numbered=numbered)
        if successor is None:
            if output.rotate and not output.force:
                try:
                    check_free(path, local_path(output.path))
                except SourceError:
                    opened.sink.abort()
                    raise
            return opened
        opened.sink.abort()
        previous, path = opened, named_successor(path, successor)


def open_successor(output: Output, path: str, commit: str) -> FileSink:
    """Open the file that continues another one.

    Raises:
        SourceError: It exists and is not empty, or cannot be written.
    """
    empty = os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) == 0
    return _file(output, path, commit, exclusive=not (output.force or empty))


def _file(output: Output, path: str, commit: str, *, exclusive: bool) -> FileSink:
    return FileSink(
        path,
        private=commit == "rename" and not output.append,
        append=output.append,
        exclusive=exclusive,
        durable=output.fsync != "none",
    )


def _continued(
    path: str, output: Output, report: Callable[[str], None], *, numbered: bool
) -> tuple[Opened, str | None]:
    """Open an existing file at its end; return it, and the successor that it names."""
    sink = _file(output, path, "inplace", exclusive=False)
    try:
        messages, last = make_whole(sink, report, repair=output.repair_tail)
        source = open_source(path)
        try:
            place = None if last is None else place_at(source, last)
        finally:
            source.close()
        standing = Standing(path) if numbered or place is not None else None
        return Opened(sink, path, messages, standing), place.successor if place else None
    except BaseException:
        sink.abort()
        raise


def make_whole(sink: FileSink, report: Callable[[str], None], *, repair: bool) -> tuple[int, int | None]:
    """Make sure that the file ends with a whole message, or make it so; the sink goes on behind it.

    Args:
        sink: Of the file.
        report: Is told what was mended.
        repair: Finish an unfinished message; otherwise it is refused.

    Returns:
        Whole messages, and where the last of them begins (bytes from the start of the file).

    Raises:
        TruncatedError: The file ends in an unfinished message, and shall not be repaired.
    """
    source = open_source(sink.path)
    try:
        cut, messages, end, last = find_end(source)
        offset = None if last is None else last.offset
        if cut is None:
            sink.restart_at(end)
            return messages, offset
        if not repair:
            raise named(
                TruncatedError(
                    f"the file ends in an unfinished message ({cut.length} bytes); "
                    "finish it with --repair-tail, or write to another file",
                    offset=cut.offset,
                    message_offset=cut.offset,
                    available=cut.length,
                ),
                sink.path,
            )
        plan = plan_repair(source, cut.offset)
        carry_out(sink, plan, report)
        return (messages + 1, cut.offset) if plan.closing else (messages, offset)
    finally:
        source.close()


def carry_out(sink: FileSink, repair: Repair, report: Callable[[str], None]) -> None:
    """Finish the unfinished message as `repair` says; the sink goes on behind it.

    Every step leaves a file that can be read: the cut, then the closing frames with lengths 0,
    then the preamble's length, then the postamble's.
    """
    if repair.set_aside:
        aside = _set_aside(sink, repair)
        report(
            f"{sink.path}: the unfinished message at byte {repair.offset} cannot be finished in place; "
            f"its {repair.available} bytes ({repair.objects} whole objects) were moved to {aside}"
        )
    sink.restart_at(repair.offset, keep=repair.keep)
    if repair.closing:
        sink.write([repair.closing])
        for patch in repair.patches:
            sink.patch_at(patch.offset - repair.offset, patch.data)
        sink.sync()
    lost = repair.available - (repair.keep - repair.offset)
    if not repair.set_aside:
        report(
            f"{sink.path}: finished the message at byte {repair.offset}: {repair.objects} whole objects "
            f"kept, {lost} bytes of an unfinished frame dropped"
        )
    sink.restart_at(sink.start + sink.position)


def _set_aside(sink: FileSink, repair: Repair) -> str:
    aside = f"{sink.path}.torn-{repair.offset}"
    source = open_source(sink.path)
    try:
        with FileSink(aside, exclusive=True, durable=True) as copy:
            at, end = repair.offset, repair.offset + repair.available
            while at < end and (chunk := source.read_at(at, min(_COPY, end - at))):
                copy.write([chunk])
                at += len(chunk)
    finally:
        source.close()
    return aside


def write_sentinel(path: str, end: Mapping[str, Any] | None = None) -> None:
    """Write `PATH.done`: whoever waits for it knows that the file is complete.

    Args:
        path: The file.
        end: The place of its last message in a stream, if it has one.
    """
    size = os.stat(path).st_size
    done: dict[str, Any] = {"bytes": size, "messages": _messages_in(path), "digest": _digest_of(path)}
    if end is not None:
        done["stream"] = end
    with FileSink(f"{path}.done", private=True, durable=True) as sink:
        sink.write([json.dumps(done).encode() + b"\n"])


def _messages_in(path: str) -> int:
    return sum(isinstance(found, MessageSpan) for found in scan(path, unit="message"))


def _digest_of(path: str) -> str:
    from ..wire.digest import new_digest

    digest = new_digest()
    source = open_source(path)
    try:
        at = 0
        while chunk := source.read_at(at, _COPY):
            digest.update(chunk)
            at += len(chunk)
    finally:
        source.close()
    return f"xxh3:{digest.intdigest():016x}"
