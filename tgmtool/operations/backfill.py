"""Fill in the lengths that a pipe could not, where the messages stand: 16 bytes each, and nothing else.

It is separate from `salvage`, which makes a new file of what is left of a damaged one: here only whole
messages are touched, and only bytes that no digest covers. The plan is a value, made by reading alone;
every prefix of its patches leaves a file that every reader can read, and from which the rest can be done.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..endpoints import local_path, open_source
from ..endpoints.base import Source
from ..endpoints.edited import EditedFile
from ..endpoints.local import FileSink, FileSource
from ..errors import FormatError, FramingError, LimitExceeded, SourceError, TruncatedError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.spans import Gap, MessageSpan
from ..wire import layout
from ..wire.frames import Postamble, Preamble
from ..wire.patches import Patch, length_patches
from .copies import check_regular, copy_all, same_file
from .drive import named
from .scan import scan

SIZED, STREAMING, HALF = "sized", "streaming", "half-backfilled"
TORN_STREAMING, TORN_SIZED, DAMAGED, GAP = "torn-streaming", "torn-sized", "damaged", "gap"

_COMPARED = 1 << 20


class Stretch(NamedTuple):
    """A part of a file: a whole message, or bytes that belong to none.

    Attributes:
        offset: Where it begins (bytes from the start of the file).
        length: Bytes.
        kind: "sized" (nothing to do), "streaming" or "half-backfilled" (lengths to be filled in),
            "torn-streaming", "torn-sized" (a cut message at the end), "damaged" or "gap".
        patches: What fills in the lengths of a message, in order.
        code: Stable name of what is wrong, if something is.
        reason: The same as a sentence.
    """

    offset: int
    length: int
    kind: str
    patches: tuple[Patch, ...] = ()
    code: str = ""
    reason: str = ""


class LengthPlan(NamedTuple):
    """What filling in the lengths of a file comes to.

    Attributes:
        name: The file.
        size: Its bytes, when it was looked at.
        messages: Whole messages in it.
        stretches: Everything but messages about which there is nothing to say, in order.
    """

    name: str
    size: int
    messages: int
    stretches: tuple[Stretch, ...] = ()

    @property
    def patches(self) -> tuple[Patch, ...]:
        """All that has to be written, in order."""
        return tuple(patch for one in self.stretches for patch in one.patches)

    @property
    def losses(self) -> tuple[Stretch, ...]:
        """What belongs to no whole message."""
        return tuple(one for one in self.stretches if one.code)

    @property
    def is_cut(self) -> bool:
        """The file ends inside a message."""
        return any(one.kind in {TORN_STREAMING, TORN_SIZED} for one in self.stretches)


def plan_lengths(source: Any, *, limits: Limits = DEFAULT_LIMITS) -> LengthPlan:
    """Return how to fill in the lengths of the whole messages in `source`. Headers are read, no payload.

    Args:
        source: A path, bytes or a seekable Source.
        limits: What it may cost.

    Raises:
        SourceError: It cannot be read, or not twice.
        TruncatedError: It is empty.
        FramingError: There is no message in it.
        LimitExceeded: It costs more than `limits`.
    """
    if isinstance(source, str | os.PathLike):
        check_regular(local_path(source))
    opened = open_source(source)
    try:
        if not opened.seekable:
            raise SourceError("is a stream: give -o for a copy with lengths", uri=opened.name)
        return _planned(opened, limits)
    finally:
        if opened is not source:
            opened.close()


def _planned(source: Source, limits: Limits) -> LengthPlan:
    size = source.size() or 0
    if not size:
        empty = TruncatedError("the file is empty", offset=0, message_offset=0, available=0)
        raise named(empty, source.name)
    messages = 0
    stretches: list[Stretch] = []
    for found in scan(source, unit="message", limits=limits):
        if isinstance(found, Gap):
            stretches.append(_lost(source, found))
            continue
        assert isinstance(found, MessageSpan)
        messages += 1
        # Walked by lengths alone: both ends agree, nothing is missing.
        if found.objects >= 0 and (stretch := _unfinished(source, found)):
            stretches.append(stretch)
    first = stretches[0] if stretches else None
    if not messages and first is not None and first.kind == GAP:
        raise FramingError(
            f"this is no .tgm file: {first.reason}", offset=None, source=source.name, code=first.code
        )
    return LengthPlan(source.name, size, messages, tuple(stretches))


def _unfinished(source: Source, found: MessageSpan) -> Stretch | None:
    end = found.offset + found.length - layout.POSTAMBLE_SIZE
    mirrored = _postamble(source, end).total_length
    if mirrored and not found.streaming:
        return None
    whole = length_patches(found.offset, found.length)
    needed = tuple(
        patch for patch, missing in zip(whole, (found.streaming, not mirrored), strict=True) if missing
    )
    kind = STREAMING if found.streaming and not mirrored else HALF
    return Stretch(found.offset, found.length, kind, needed)


def _lost(source: Source, found: Gap) -> Stretch:
    kind = {"foreign": GAP, "incomplete": TORN_SIZED}.get(found.kind, DAMAGED)
    if found.kind == "incomplete":
        head = bytes(source.read_at(found.offset, layout.PREAMBLE_SIZE))[: layout.PREAMBLE_SIZE]
        if not any(head[layout.PREAMBLE_TOTAL_AT :]):
            kind = TORN_STREAMING
    reason = found.reason.removeprefix(f"{source.name}: ")  # who tells of the stretch names the file
    return Stretch(found.offset, found.length, kind, (), found.code, reason)


def _postamble(source: Source, offset: int) -> Postamble:
    tail = bytes(source.read_at(offset, layout.POSTAMBLE_SIZE))[: layout.POSTAMBLE_SIZE]
    return Postamble.parse(tail.ljust(layout.POSTAMBLE_SIZE, b"\0"), offset=offset)


def fill_in(file: EditedFile, plan: LengthPlan) -> int:
    """Write the patches of `plan`; return how many. What stands there by now is looked at once more.

    The lengths of a message that its own producer is filling in at this moment are the same bytes.

    Raises:
        SourceError: It cannot be written, or the file is another by now.
    """
    source = file.source()
    try:
        for one in plan.stretches:
            if one.patches:
                _still_there(source, one)
            for patch in one.patches:
                file.write_at(*patch)
    finally:
        source.close()
    if plan.patches:
        file.sync()
    return len(plan.patches)


def _still_there(source: Source, one: Stretch) -> None:
    head = bytes(source.read_at(one.offset, layout.PREAMBLE_SIZE))[: layout.PREAMBLE_SIZE]
    try:
        found = Preamble.parse(head.ljust(layout.PREAMBLE_SIZE, b"\0"), offset=one.offset)
        tail = _postamble(source, one.offset + one.length - layout.POSTAMBLE_SIZE)
    except FramingError:
        pass
    else:
        if {found.total_length, tail.total_length} <= {0, one.length}:
            return
    raise SourceError(f"changed at byte {one.offset} while it was looked at: try again", uri=source.name)


def backfill(
    path: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    backup_suffix: str | None = None,
    force: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> LengthPlan:
    """Fill in the lengths of the whole messages of a file, in place or in a copy.

    Safe beside an active writer: only messages that are whole are touched. A second call writes nothing.

    Args:
        path: The file; with `output` also `-` or another place that can be read.
        output: Leave the file alone and write a patched copy here, which appears when it is complete.
        backup_suffix: Before the first write, keep a copy under the name with this behind it.
        force: Follow a symbolic link; replace an existing `output` or backup.
        limits: What the file may cost.

    Returns:
        The plan, carried out.

    Raises:
        SourceError, TruncatedError, FramingError, LimitExceeded: As `plan_lengths`; nothing was written.
    """
    name = local_path(path)
    if output is not None:
        return _copied(name, local_path(output), limits, force=force)
    file = EditedFile(name, follow=force)
    try:
        source = file.source()
        try:
            plan = plan_lengths(source, limits=limits)
        finally:
            source.close()
        if plan.patches and backup_suffix:
            keep_copy(file, name + backup_suffix, force=force, limits=limits)
        fill_in(file, plan)
    finally:
        file.close()
    return plan


def keep_copy(file: EditedFile, path: str, *, force: bool, limits: Limits = DEFAULT_LIMITS) -> None:
    """Copy the whole file to `path`, durable before this returns.

    A copy that an earlier run made, which was interrupted after it, stays as it is.

    Raises:
        SourceError: Another file is there (unless `force`), or there is no room.
    """
    source = file.source()
    try:
        if os.path.isfile(path) and _is_kept(source, path, limits):
            return
        with FileSink(path, private=True, exclusive=not force, durable=True) as sink:
            copy_all(source, sink)
    finally:
        source.close()


def _is_kept(source: Source, path: str, limits: Limits) -> bool:
    """Return whether the file at `path` is what `source` was before some of its lengths were filled in."""
    kept = open_source(path)
    try:
        size = kept.size()
        if not size or size != source.size():
            return False
        patches = plan_lengths(kept, limits=limits).patches
        at = 0
        while at < size:
            now, then = (bytearray(one.read_at(at, _COMPARED)[:_COMPARED]) for one in (source, kept))
            if now != then:
                for one in (now, then):
                    _fill(one, at, patches)
                if now != then:
                    return False
            at += len(then) or size
    except (FormatError, LimitExceeded):
        return False
    else:
        return True
    finally:
        kept.close()


def _fill(piece: bytearray, start: int, patches: tuple[Patch, ...]) -> None:
    """Write over a piece of a file that begins at `start` what `patches`, in order, say of it."""
    from bisect import bisect_left
    from operator import itemgetter

    offset_of = itemgetter(0)
    first = bisect_left(patches, start - layout.PREAMBLE_SIZE, key=offset_of)
    for offset, data in patches[first : bisect_left(patches, start + len(piece), key=offset_of)]:
        for at, byte in enumerate(data, offset - start):
            if 0 <= at < len(piece):
                piece[at] = byte


def _copied(name: str, output: str, limits: Limits, *, force: bool) -> LengthPlan:
    source = open_source(name)
    try:
        if same_file(source, output):
            raise SourceError("is the input itself: leave -o away to change it in place", uri=output)
        with FileSink(output, private=True, exclusive=not force, durable=True) as sink:
            copy_all(source, sink)
            copy = FileSource(os.dup(sink.descriptor), source.name)
            try:
                plan = plan_lengths(copy, limits=limits)
            finally:
                copy.close()
            for patch in plan.patches:
                sink.patch_at(*patch)
    finally:
        source.close()
    return plan


def stretches_of(plan: LengthPlan) -> Iterator[dict[str, Any]]:
    """Yield a record per stretch, as `-j` prints them."""
    for one in plan.stretches:
        record: dict[str, Any] = {
            "event": "message" if not one.code else "loss",
            "file": plan.name,
            "offset": one.offset,
            "length": one.length,
            "class": one.kind,
        }
        if one.code:
            record |= {"code": one.code, "reason": one.reason}
        else:
            record["patches"] = [{"offset": at, "data": data.hex()} for at, data in one.patches]
        yield record
