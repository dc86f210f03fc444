"""Finish the cut last message of a file where it stands, so that a crash at any moment loses nothing.

It is separate from `salvage`, which needs room for a copy. Before the first byte is changed, all that
will be changed or dropped stands in a file of its own, the sidecar; from then on the plan is always made
from what the file was, which the sidecar knows, and every step may be done again. `undo` goes back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from ..endpoints.base import Bytes, Source
from ..errors import FramingError, SourceError, TruncatedError
from ..limits import DEFAULT_LIMITS, Limits
from ..wire import layout
from ..wire.digest import new_digest
from .copies import Range, Segment
from .repair import Repair, find_cut, plan_repair

# Magic; where the message begins, where the file is cut, its size; preamble; digest of what is kept.
_HEAD = Struct(">8sQQQ24sQ")
_SEAL = Struct(">Q")  # digest of these
_MAGIC = b"TGMUNDO1"
_HEAD_SIZE = _HEAD.size + _SEAL.size
_CHUNK = 1 << 20


class Place(ABC):
    """A file that is changed where it stands, and the sidecars beside it.

    Every method is one step: it is done when it returns, and durable where it says so.
    """

    @abstractmethod
    def source(self) -> Source:
        """Return a source of the file as it is now."""

    @abstractmethod
    def write_at(self, offset: int, data: Bytes) -> None:
        """Write over what stands at `offset`, or behind the end."""

    @abstractmethod
    def copy_at(self, offset: int, sidecar: int, start: int, size: int) -> None:
        """Copy `size` bytes at `start` of the sidecar of message `sidecar` over what stands at `offset`."""

    @abstractmethod
    def truncate(self, size: int) -> None:
        """Make the file `size` bytes long."""

    @abstractmethod
    def sync(self) -> None:
        """Make all of it durable."""

    @abstractmethod
    def sidecars(self) -> Sequence[int]:
        """Return where the messages begin that have a sidecar."""

    @abstractmethod
    def sidecar(self, message: int) -> Source:
        """Return a source of the sidecar of the message that begins at `message`."""

    @abstractmethod
    def put_sidecar(self, message: int, segments: Sequence[Segment]) -> None:
        """Make a sidecar of bytes and ranges of the file: whole, durable, or not at all."""

    @abstractmethod
    def drop_sidecar(self, message: int) -> None:
        """Remove a sidecar, durably."""


class Finish(NamedTuple):
    """How a cut last message is finished, or is taken back to what it was.

    Attributes:
        repair: What is kept, dropped and written.
        size: Bytes of the file before.
        preamble: Of the message, before.
        is_begun: A sidecar stands already: an earlier run was interrupted.
    """

    repair: Repair
    size: int
    preamble: bytes
    is_begun: bool = False

    @property
    def end(self) -> int:
        """Where the file ends when it is finished."""
        return self.repair.keep + len(self.repair.closing)


def plan_finish(
    place: Place, *, keep_unhashed: bool = False, limits: Limits = DEFAULT_LIMITS
) -> Finish | None:
    """Return how to finish the last message; None if it is whole. Nothing is written.

    Args:
        place: The file.
        keep_unhashed: Keep objects too that carry no digest.
        limits: What it may cost.

    Raises:
        FramingError: The file ends in what no message can begin with, or the message cannot be finished
            where it stands.
        SourceError: A sidecar is there that does not belong to the file as it is.
    """
    begun = _begun(place, limits)
    if begun is not None:
        return begun
    source = place.source()
    try:
        cut, _, _ = find_cut(source, limits)
        if cut is None:
            return None
        return _finish_of(source, cut.offset, limits, keep_unhashed=keep_unhashed)
    finally:
        source.close()


def _finish_of(source: Source, offset: int, limits: Limits, *, keep_unhashed: bool) -> Finish:
    repair = plan_repair(source, offset, reopen=True, limits=limits)
    if repair.set_aside:
        raise FramingError(
            "the last message cannot be finished where it stands: its header promises more than arrived, or "
            "it is damaged; use --salvage -o OUT",
            offset=offset,
            source=source.name,
        )
    if repair.unproven and not keep_unhashed:
        raise FramingError(
            f"{repair.unproven} objects of the last message have no digest: nothing proves them; keep them "
            "with --keep-unhashed",
            offset=offset,
            source=source.name,
        )
    size = source.size() or 0
    preamble = bytes(source.read_at(offset, layout.PREAMBLE_SIZE)[: layout.PREAMBLE_SIZE])
    return Finish(repair, size, preamble[: repair.keep - offset])


def finish(place: Place, plan: Finish, limits: Limits = DEFAULT_LIMITS) -> None:
    """Carry out a plan; each step is durable before the next. It can be done again from any state between.

    Raises:
        SourceError: It cannot be written.
        FramingError: What came out is not whole: the sidecar still has all there was.
    """
    repair = plan.repair
    if not plan.is_begun:
        _put_sidecar(place, plan)
    if plan.is_begun and repair.closing:
        place.write_at(repair.offset, plan.preamble)
        place.sync()
    for patch in repair.reopening:
        place.write_at(*patch)
        place.sync()
    place.truncate(repair.keep)
    place.sync()
    if repair.closing:
        place.write_at(repair.keep, repair.closing)
        place.sync()
    for patch in repair.patches:
        place.write_at(*patch)
        place.sync()
    source = place.source()
    try:
        cut, _, end = find_cut(source, limits)
        if cut is not None or end != plan.end:
            raise FramingError("it is not whole: take it back with --undo", offset=repair.offset)
    finally:
        source.close()


def undo(place: Place, limits: Limits = DEFAULT_LIMITS) -> int:
    """Take the last message back to what it was before it was finished; return where it begins.

    Raises:
        SourceError: There is no sidecar, or the file has grown since.
    """
    if not place.sidecars():
        source = place.source()
        source.close()
        raise SourceError("nothing to undo: there is no sidecar beside it", uri=source.name)
    message = max(place.sidecars())
    head = _read_head(place, message)
    plan, current = _plan_of(place, head, limits)
    if not _is_ours(place, plan, head, current):
        _refuse_grown(place, message)
    # The end first: while it is written, the beginning still says that the message is not finished.
    if head.keep > head.message:
        place.write_at(head.message, head.preamble)
        place.sync()
    place.copy_at(head.keep, message, _HEAD_SIZE, head.size - head.keep)
    place.truncate(head.size)
    place.sync()
    place.drop_sidecar(message)
    return message


# ---- the sidecar


class _Head(NamedTuple):
    message: int
    keep: int
    size: int
    preamble: bytes
    kept: int  # digest of what stays of the message, without its preamble


def _put_sidecar(place: Place, plan: Finish) -> None:
    repair = plan.repair
    source = place.source()
    try:
        kept = _digest_of(source, repair.offset + layout.PREAMBLE_SIZE, repair.keep)
    finally:
        source.close()
    preamble = plan.preamble.ljust(layout.PREAMBLE_SIZE, b"\0")
    packed = _HEAD.pack(_MAGIC, repair.offset, repair.keep, plan.size, preamble, kept)
    seal = new_digest()
    seal.update(packed)
    dropped = Range(repair.keep, plan.size - repair.keep)
    place.put_sidecar(repair.offset, [packed + _SEAL.pack(seal.intdigest()), dropped])


def _read_head(place: Place, message: int) -> _Head:
    sidecar = place.sidecar(message)
    try:
        packed = _exactly(sidecar, 0, _HEAD_SIZE)
        seal = new_digest()
        seal.update(packed[: _HEAD.size])
        size = sidecar.size()
    finally:
        sidecar.close()
    if len(packed) == _HEAD_SIZE and _SEAL.unpack(packed[_HEAD.size :])[0] == seal.intdigest():
        magic, *rest = _HEAD.unpack(packed[: _HEAD.size])
        head = _Head(*rest)
        if magic == _MAGIC and head.message == message and size == _HEAD_SIZE + head.size - head.keep:
            return head
    raise SourceError("is no sidecar of a salvage in place: move it away", uri=sidecar.name)


def _begun(place: Place, limits: Limits) -> Finish | None:
    """Return the plan of an earlier run that was interrupted, if there is one."""
    for message in sorted(place.sidecars(), reverse=True):
        head = _read_head(place, message)
        plan, current = _plan_of(place, head, limits)
        source = place.source()
        try:
            if _is_done(source, plan, head, current):
                return None
        finally:
            source.close()
        if not _is_ours(place, plan, head, current):
            if not plan.repair.closing:
                return None  # it was cut away, and the file went on
            _refuse_grown(place, message)
        return plan
    return None


def _refuse_grown(place: Place, message: int) -> None:
    source, sidecar = place.source(), place.sidecar(message)
    source.close()
    sidecar.close()
    raise SourceError(
        f"has grown since its message at byte {message} was salvaged: what was added would be lost; "
        f"move {sidecar.name} away to go on without it",
        uri=source.name,
    )


def _is_ours(place: Place, plan: Finish, head: _Head, current: int) -> bool:
    """Return whether what stands behind the finished message stood there before, and is not new.

    A crash may leave zeros where bytes were being written.
    """
    source, sidecar = place.source(), place.sidecar(head.message)
    try:
        at = plan.end
        is_ours = current <= max(plan.end, head.size)
        while is_ours and at < current:
            size = min(_CHUNK, current - at)
            now = _exactly(source, at, size)
            then = _exactly(sidecar, _HEAD_SIZE + at - head.keep, size)
            is_ours = now == then or all(one in {0, other} for one, other in zip(now, then, strict=False))
            at += size
        return is_ours
    finally:
        source.close()
        sidecar.close()


def _plan_of(place: Place, head: _Head, limits: Limits) -> tuple[Finish, int]:
    """Return the plan as it was made from the file as it was, and the size of the file now."""
    source, sidecar = place.source(), place.sidecar(head.message)
    try:
        if _digest_of(source, head.message + layout.PREAMBLE_SIZE, head.keep) != head.kept:
            raise SourceError(f"does not belong to {source.name}: move it away", uri=sidecar.name)
        before = _Before(source, sidecar, head)
        # What was kept then is kept now: whether it may be was decided when the sidecar was made.
        plan = _finish_of(before, head.message, limits, keep_unhashed=True)
        return plan._replace(is_begun=True), source.size() or 0
    finally:
        source.close()
        sidecar.close()


def _is_done(source: Source, plan: Finish, head: _Head, current: int) -> bool:
    """The message is finished; others may have been added since."""
    repair = plan.repair
    if not repair.closing:  # nothing of it was whole: it was cut away
        return current == repair.keep
    finished = bytearray(repair.closing)
    preamble = bytearray(head.preamble)
    for offset, data in repair.patches:
        inside, start = (preamble, repair.offset) if offset < repair.keep else (finished, repair.keep)
        inside[offset - start : offset - start + len(data)] = data
    return current >= plan.end and (
        _exactly(source, repair.offset, layout.PREAMBLE_SIZE) == preamble
        and _exactly(source, repair.keep, len(finished)) == finished
    )


class _Before(Source):
    """The file as it was before it was finished."""

    seekable = True

    def __init__(self, source: Source, sidecar: Source, head: _Head) -> None:
        self.name = source.name
        self._source, self._sidecar, self._head = source, sidecar, head

    def read_at(self, offset: int, size: int) -> Bytes:
        """Return bytes from where they are now: preamble and dropped bytes stand in the sidecar."""
        head = self._head
        inside = offset - head.message
        if head.keep > head.message and 0 <= inside < layout.PREAMBLE_SIZE:
            return head.preamble[inside:]
        if offset >= head.keep:
            start = offset - head.keep
            return self._sidecar.read_at(_HEAD_SIZE + start, min(size, max(head.size - offset, 0)))
        return memoryview(self._source.read_at(offset, min(size, head.keep - offset)))[: head.keep - offset]

    def size(self) -> int:
        """Return the size that it had."""
        return self._head.size

    def keep_from(self, offset: int) -> int:
        """Nothing is ever dropped."""
        return 0

    def close(self) -> None:
        """Its parts belong to the caller."""


def _digest_of(source: Source, start: int, end: int) -> int:
    digest = new_digest()
    while start < end:
        chunk = memoryview(source.read_at(start, min(_CHUNK, end - start)))[: end - start]
        if not chunk:
            raise TruncatedError("the file became shorter", offset=start, message_offset=start, available=0)
        digest.update(chunk)
        start += len(chunk)
    return digest.intdigest()


def _exactly(source: Source, offset: int, size: int) -> bytes:
    found = bytearray()
    while len(found) < size and (chunk := source.read_at(offset + len(found), size - len(found))):
        found += chunk[: size - len(found)]
    return bytes(found)
