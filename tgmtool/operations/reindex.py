"""A copy of a sound file whose messages say first where everything is, or have a digest for every frame.

It is separate from `salvage` because it refuses what is not whole: here nothing may get lost. A streaming
file becomes one that a remote reader lists with one request per message; no byte of a payload changes.
"""

from __future__ import annotations

import os

from ..endpoints.base import Source
from ..errors import FramingError, TruncatedError
from ..limits import DEFAULT_LIMITS, Limits
from ..messages.metadata import Metadata, with_tensor
from ..wire import layout
from ..wire.frames import Preamble
from .carrier import Emit, write_copy
from .copies import MIN_AGE, Range, Segment
from .drive import named
from .harvest import Harvest, harvest
from .judge import Judged, judge
from .rebuild import rebuild
from .salvage import KEPT, REPLACED, Part, SalvagePlan, check_copy

_INDEXED = layout.HEADER_METADATA | layout.HEADER_INDEX


def plan_reindex(
    source: Source,
    *,
    reindex: bool = True,
    rehash: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    emit: Emit | None = None,
) -> SalvagePlan:
    """Return how to copy `source` so that every message is header-indexed, or every frame has a digest.

    All of it is read, and every digest computed; messages that are so already are copied as they are.

    Args:
        source: Seekable.
        reindex: Lengths, index and digests stand in the header.
        rehash: Every frame without a digest gets the one of its bytes as they are.
        limits: What it may cost.
        emit: Called with each segment of the new file as soon as it is sure.

    Raises:
        TruncatedError: It is empty, or ends in a cut message.
        FramingError: Something in it is damaged or foreign.
        LimitExceeded: It costs more than `limits`.
    """
    size = source.size() or 0
    if not size:
        empty = TruncatedError("the file is empty", offset=0, message_offset=0, available=0)
        raise named(empty, source.name)
    segments: list[Segment] = []
    parts: list[Part] = []
    rebuilt: list[tuple[int, int]] = []
    at = written = messages = 0
    while at < size:
        found = judge(source, at, limits)
        end = found.end
        if end is None or not found.is_whole:
            raise named(_refused(at, size, is_cut=end is None), source.name)
        one = _unless_done(source, at, found, reindex=reindex, rehash=rehash, limits=limits)
        if one is None:
            messages += 1
            new: tuple[Segment, ...] = (Range(at, end - at),)
            written += end - at
            parts.append(Part(at, end - at, KEPT))
        else:
            base = tuple(with_tensor(one.entry_of(each), each.descriptor) for each in one.whole)
            metadata = Metadata(base, one.metadata.extra, one.metadata.reserved)
            made = rebuild(one.whole, metadata, rehash=rehash)
            rebuilt.append((written, made.objects))
            new = made.segments
            written += made.length
            parts.append(Part(at, end - at, REPLACED))
        segments += new
        if emit is not None:
            for segment in new:
                emit(segment)
        at = end
    return SalvagePlan(source.name, size, tuple(segments), tuple(parts), messages, tuple(rebuilt))


def _refused(at: int, size: int, *, is_cut: bool) -> FramingError:
    if is_cut:
        return TruncatedError(
            "the file ends in a cut message: --salvage keeps what is whole of it",
            offset=at,
            message_offset=at,
            available=size - at,
        )
    return FramingError("here is no whole message: mend the file with --salvage first", offset=at)


def _unless_done(
    source: Source, at: int, found: Judged, *, reindex: bool, rehash: bool, limits: Limits
) -> Harvest | None:
    """Return what the message holds; None if it is already as it shall be."""
    preamble = Preamble.parse(source.read_at(at, layout.PREAMBLE_SIZE), offset=at)
    is_indexed = bool(preamble.total_length and preamble.flags & _INDEXED == _INDEXED)
    is_hashed = bool(preamble.flags & layout.HASHES_PRESENT)
    if (is_indexed or not reindex) and (is_hashed or not rehash):
        return None
    end = found.end or at
    (one,) = harvest(source, at, end, keep_unhashed=True, limits=limits, digests=found.digests)
    if one.losses or not one.is_closed:
        loss = one.losses[0].reason if one.losses else "its frames do not hold together"
        raise named(FramingError(f"cannot be rebuilt without loss: {loss}", offset=at), source.name)
    if rehash and not reindex and _is_hashed(one):
        return None
    return one


def _is_hashed(one: Harvest) -> bool:
    return all(
        frame is None or frame.stored_digest is not None
        for each in one.whole
        for frame in (each.preceder, each.frame)
    )


def rewrite(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    reindex: bool = True,
    rehash: bool = False,
    min_age: float = MIN_AGE,
    force: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> SalvagePlan:
    """Write the copy that `plan_reindex` plans; it is checked before it gets its name.

    Args:
        path: The file, or `-`.
        output: The copy.
        reindex: See `plan_reindex`.
        rehash: See `plan_reindex`.
        min_age: Seconds for which the file must have been as it is.
        force: Do it although the file is in use; replace an existing `output`.
        limits: What the file may cost.

    Raises:
        SourceError: It cannot be read or written; it is in use; it changed meanwhile.
        TruncatedError, FramingError, LimitExceeded: As `plan_reindex`.
    """

    def plan(source: Source, emit: Emit) -> SalvagePlan:
        return plan_reindex(source, reindex=reindex, rehash=rehash, limits=limits, emit=emit)

    return write_copy(path, output, plan, check_rewritten, min_age=min_age, force=force)


def check_rewritten(copy: Source, plan: SalvagePlan) -> None:
    """Make sure that a copy is whole, with every digest: some of them are new. Raises as `check_copy`."""
    check_copy(copy, plan, payloads=True)
