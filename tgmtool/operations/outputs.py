"""The output of `encode`: how it gets its name, what happens to an existing one, how it is continued.

It is separate from making the messages because it knows files and nothing of arrays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import NamedTuple

from ..endpoints import STDIO, local_path, open_source
from ..endpoints.base import Sink
from ..endpoints.local import FileSink
from ..endpoints.stdio import stdout_sink
from ..errors import EncodeError, TruncatedError
from ..messages.spans import MessageSpan
from .drive import named
from .repair import Repair, find_cut, plan_repair
from .scan import scan

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
    """

    path: str
    commit: str | None = None
    append: bool = False
    repair_tail: bool = False
    force: bool = False
    fsync: str = "close"


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


def open_output(output: Output, commit: str, report: Callable[[str], None]) -> Sink:
    """Open the output; its end is whole, or made so.

    Args:
        output: Where to.
        commit: How it gets its name: one of COMMITS.
        report: Is told what was mended.

    Raises:
        SourceError: It cannot be written, or exists.
        TruncatedError: `append` to a file that ends in an unfinished message.
    """
    if output.path == STDIO:
        return stdout_sink()
    path = local_path(output.path)
    append = output.append and os.path.exists(path)
    sink = FileSink(
        path,
        private=commit == "rename" and not append,
        append=append,
        exclusive=not (output.force or output.append),
        durable=output.fsync != "none",
        continues=True,
    )
    if append:
        try:
            _check_tail(sink, output, report)
        except BaseException:
            sink.abort()
            raise
    return sink


def _check_tail(sink: FileSink, output: Output, report: Callable[[str], None]) -> None:
    """Make sure that the file ends with a whole message, or make it so."""
    source = open_source(sink.path)
    try:
        cut, _, end = find_cut(source)
        if cut is None:
            sink.restart_at(end)
            return
        if not output.repair_tail:
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
        carry_out(sink, plan_repair(source, cut.offset), report)
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


def write_sentinel(path: str) -> None:
    """Write `PATH.done`: whoever waits for it knows that the file is complete."""
    size = os.stat(path).st_size
    done = {"bytes": size, "messages": _messages_in(path), "digest": _digest_of(path)}
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
