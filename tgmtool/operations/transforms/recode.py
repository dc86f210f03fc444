"""`@recode`: the same values, compressed otherwise.

It is separate from `prepare`, which makes objects from arrays: here no value is looked at. Filter and
compression are undone and done anew; what the encoding made of the values (packed integers, say) stays
bit for bit, and so do masks, metadata and order. So nothing is lost that was not lost before, and stages that
lose something are refused as a target.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ... import codecs
from ...codecs.base import Job
from ...codecs.pipeline import Pipeline
from ...errors import DigestMismatch, EncodeError, PayloadError
from ...limits import check_decoded_size
from ...messages.descriptor import Descriptor
from ...messages.objects import DataObject
from ...wire.digest import body_digest
from ...wire.events import FrameEnded
from .base import Needs, Unit
from .ends import Ends
from .reframe import TensorFrame, frame_body, reframe, tensors


def target_of(text: str) -> Pipeline:
    """Return the filter and the compression that `[FILTER+]COMPRESSION[:LEVEL]` names.

    Raises:
        EncodeError: A name that does not exist, one that loses something, a level that is none.
        CodecUnavailable: One that cannot be run here.
    """
    *before, last = text.split("+")
    compression, colon, level = last.partition(":")
    if len(before) > 1:
        raise EncodeError(f"{text!r}: expected a compression, and one filter before it, as shuffle+zstd:3")
    filters = [before[0] if before else "none"]
    if compression == "shuffle" and not before and not colon:
        filters, compression = ["shuffle"], "none"
    for kind, name in ((codecs.FILTER, filters[0]), (codecs.COMPRESSION, compression)):
        _check_lossless(kind, name)
    params: dict[str, Any] = {}
    if colon:
        key = codecs.stage(codecs.COMPRESSION, compression).level
        if key is None:
            raise EncodeError(f"{text!r}: compression {compression!r} has no level")
        if not level.removeprefix("-").isdecimal():
            raise EncodeError(f"{text!r}: the level is no number")
        params[key] = int(level)
    return Pipeline("none", filters[0], compression, params)


def _check_lossless(kind: str, name: str) -> None:
    if codecs.is_known(codecs.ENCODING, name) and name != "none":
        raise EncodeError(
            f"encoding {name!r} would lose something; objects that are packed already stay packed"
        )
    if not codecs.is_known(kind, name):
        known = [one for one in codecs.names(kind) if codecs.is_known(kind, one)]
        raise EncodeError(f"{kind} {name!r} does not exist, expected one of {', '.join(known)}")
    if codecs.stage(kind, name).bounded is not None:
        raise EncodeError(
            f"{kind} {name!r} would lose something: choose one that keeps every bit, or encode anew"
        )


class Recode:
    """Compresses the payloads of every message otherwise. Ends say anew what was sent.

    Args:
        target: What `target_of` made of the words.
        jobs: Threads that a stage may use.

    Attributes:
        objects: That were recoded; others were so already.
    """

    name = "@recode"
    needs: Needs = "message"

    def __init__(self, target: Pipeline, *, jobs: int = 1) -> None:
        self._target = target
        self._jobs = jobs
        self._ends = Ends()
        self.objects = 0

    def message(self, unit: Unit) -> Iterable[Unit]:
        """Yield the message with its payloads recoded.

        Raises:
            DigestMismatch: A payload changed after it was written.
            PayloadError: It is not what its descriptor says.
            CodecUnavailable: It cannot be undone here.
            EncodeError: The target does not take it (rle takes bitmasks only); says which object.
            FormatError, LimitExceeded: The message cannot be read.
        """
        changed: dict[int, TensorFrame] = {}
        for number, (frame, found) in enumerate(zip(tensors(unit), unit.message.objects, strict=True)):
            if (made := self._recoded(unit, number, frame, found)) is not None:
                changed[number] = made
        self.objects += len(changed)
        new = unit.replaced(reframe(unit, objects=changed)) if changed else unit
        return (self._ends.passed(unit, new),)

    def _recoded(self, unit: Unit, number: int, frame: FrameEnded, found: DataObject) -> TensorFrame | None:
        kind = found.descriptor
        check_digest(unit, number, frame)
        if self._is_done(kind.pipeline) or (kind.pipeline.is_plain and not kind.elements):
            return None  # of nothing there is nothing to compress, and some compressions refuse it
        check_decoded_size(kind.size, unit.limits, "the object", offset=found.span.offset)
        job = Job(kind.dtype, kind.elements, kind.pipeline.params, self._jobs, kind.byte_order)
        try:
            found.check_size()
            payload = found.payload
            size = found.payload_size
            data, pipeline = kind.pipeline.repacked(payload[:size], kind.size, job, self._target)
            made = memoryview(data).cast("B")
            descriptor = _shifted(kind, len(made) - size)._replace(pipeline=pipeline)
        except PayloadError as error:
            if error.offset is None:
                error.offset = found.span.payload_offset
            error.source = error.source or unit.name
            raise
        except EncodeError as error:
            raise EncodeError(
                f"{unit.name}: message {unit.number}, object {number}: cannot be recoded: {error}"
            ) from None
        return TensorFrame.make((made, payload[size:]), descriptor, hashing=frame.stored_digest is not None)

    def _is_done(self, pipeline: Pipeline) -> bool:
        """The object is so already, as far as its descriptor says."""
        target = self._target
        return (pipeline.filter, pipeline.compression) == (target.filter, target.compression) and all(
            pipeline.params.get(key) == value for key, value in target.params.items()
        )

    def finish(self, *, failed: bool) -> Iterable[Unit]:
        """Nothing is left."""
        return ()


def check_digest(unit: Unit, number: int, frame: FrameEnded) -> None:
    """Compare an object with its digest, if it has one, before anything is made of it.

    Raises:
        DigestMismatch: They differ.
    """
    if frame.stored_digest is None:
        return
    actual = body_digest((frame_body(unit, frame),))
    if actual != frame.stored_digest:
        what = f"{unit.name}: object {unit.number}.{number}"
        raise DigestMismatch(what, expected=frame.stored_digest, actual=actual, offset=frame.offset)


def _shifted(kind: Descriptor, step: int) -> Descriptor:
    """Return the descriptor with its masks, which stand behind the payload, `step` bytes further on."""
    if not kind.masks:
        return kind
    masks = {name: {**entry, "offset": entry["offset"] + step} for name, entry in kind.masks.items()}
    return kind._replace(masks=masks)
