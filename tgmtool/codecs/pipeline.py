"""The pipeline of one object: encoding, filter, compression, in that order, and back.

It is separate so that the order and the size checks between stages stand once, whatever the
stages are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import EncodeError, PayloadError
from . import COMPRESSION, ENCODING, FILTER, is_known, names, stage
from .base import Bytes, Job, Parts, Stage

_DO_NOTHING = "none"


class Pipeline(NamedTuple):
    """The stages of one object.

    Attributes:
        encoding: Values to bytes.
        filter: Bytes rearranged.
        compression: Bytes made fewer.
        params: Stage parameters as they stand in the descriptor.
    """

    encoding: str = _DO_NOTHING
    filter: str = _DO_NOTHING
    compression: str = _DO_NOTHING
    params: Mapping[str, Any] = {}

    @property
    def is_plain(self) -> bool:
        """No stage does anything: the payload is the values' bytes."""
        return self.encoding == self.filter == self.compression == _DO_NOTHING

    @property
    def has_parts(self) -> bool:
        """Every stage can be undone in parts."""
        return all(stage(kind, name).parts is not None for kind, name in self._named)

    @property
    def _named(self) -> tuple[tuple[str, str], ...]:
        return ((ENCODING, self.encoding), (FILTER, self.filter), (COMPRESSION, self.compression))

    def _stages(self, job: Job) -> Iterator[tuple[Stage, Job]]:
        """Yield each stage with the job as that stage sees it."""
        job = job._replace(sample_bits=job.dtype.bits)
        for kind, name in self._named:
            found = stage(kind, name)
            yield found, job
            job = found.after(job)

    def resolved(self, job: Job) -> Pipeline:
        """Return the pipeline with every parameter that must stand in the descriptor beforehand.

        Raises:
            CodecUnavailable: A stage cannot be run here.
            EncodeError: A stage that does not exist, a parameter that no stage owns or that is out of
                range, stages that do not go together.
        """
        for kind, name in self._named:
            if not is_known(kind, name):
                raise EncodeError(f"{kind} {name!r} does not exist, expected one of {', '.join(names(kind))}")
        params: dict[str, Any] = {}
        owned: set[str] = set()
        for found, seen in self._stages(job):
            owned.update(found.params)
            params.update({key: job.params[key] for key in found.params if key in job.params})
            params.update(found.defaults(seen))
        if unknown := sorted(set(job.params) - owned):
            raise EncodeError(
                f"parameter {unknown[0]!r} belongs to no stage of "
                f"{self.encoding}/{self.filter}/{self.compression}"
            )
        return self._replace(params=params)

    def bounded(self, data: Bytes, bound: float, job: Job) -> dict[str, Any]:
        """Return the parameters with which no decoded value is off by more than `bound`.

        Raises:
            EncodeError: No stage loses anything, or none can keep the bound.
        """
        for found, seen in self._stages(job):
            if found.bounded is None:
                continue
            params = found.bounded(data, bound, seen)
            while True:
                try:
                    self.resolved(job._replace(params={**job.params, **params}))
                except (
                    EncodeError
                ):  # a later stage does not take these: the next finer ones keep the bound too
                    finer = None if found.finer is None else found.finer(params)
                    if finer is None:
                        raise
                    params = finer
                else:
                    return params
        raise EncodeError(
            f"an error bound has no use: {self.encoding}/{self.filter}/{self.compression} loses nothing; "
            "choose the encoding simple_packing, or the compression zfp or sz3"
        )

    def encode(self, data: Bytes, job: Job) -> tuple[Bytes, Pipeline]:
        """Return the payload for `data`, and the pipeline with the parameters that the data decided.

        Args:
            data: The values' bytes, in C order, in the job's byte order.
            job: With the parameters of the resolved pipeline.

        Raises:
            EncodeError: A stage cannot write these values.
        """
        decided: dict[str, Any] = {}
        for found, seen in self._stages(job):
            data, more = found.encode(data, seen)
            decided.update(more)
        return data, self._replace(params={**self.params, **decided}) if decided else self

    def decode(self, payload: Bytes, size: int, job: Job) -> Bytes:
        """Return the `size` bytes of the values; the payload itself when no stage does anything.

        Raises:
            PayloadError: The payload does not hold exactly that.
            CodecUnavailable: A stage cannot be run here.
        """
        data = payload
        for found, expected, seen in reversed(self._sized(size, job)):
            data = found.decode(data, expected, seen)
        if len(data) != size:
            raise PayloadError(f"the payload holds {len(data)} bytes, the descriptor's shape takes {size}")
        return data

    def repacked(self, payload: Bytes, size: int, job: Job, target: Pipeline) -> tuple[Bytes, Pipeline]:
        """Return the payload with the filter and the compression of `target`, and its pipeline.

        What the encoding made stays bit for bit, with its parameters; `target.encoding` means nothing.

        Args:
            payload: As it is.
            size: Bytes of the values, decoded.
            job: With the parameters of this pipeline.
            target: The filter and the compression, and their parameters.

        Raises:
            PayloadError, CodecUnavailable: As `decode`.
            EncodeError: As `resolved` and `encode`.
        """
        (encoding, _, _), *later = self._sized(size, job)
        data = payload
        for found, expected, seen in reversed(later):
            data = found.decode(data, expected, seen)
        if len(data) != later[0][1]:
            raise PayloadError(f"the payload holds {len(data)} bytes, expected {later[0][1]}")
        own = {key: value for key, value in self.params.items() if key in encoding.params}
        made = target._replace(encoding=self.encoding).resolved(job._replace(params={**own, **target.params}))
        whole = dict(made.params)
        stages = list(made._stages(job._replace(params=made.params)))  # noqa: SLF001  # of our own kind
        for found, seen in stages[1:]:
            data, more = found.encode(data, seen)
            whole.update(more)
        owned = {key for found, _, _ in later for key in found.params}
        owned |= {key for found, _ in stages for key in found.params}
        kept = {key: value for key, value in self.params.items() if key not in owned}
        return data, made._replace(params={**kept, **whole, **own})

    def parts(self, payload: Parts, size: int, job: Job) -> Parts:
        """Return the `size` bytes of the values in parts, reading of the payload what they need.

        A stage that can only decode the whole does so when the first part is asked for, once.

        Raises:
            PayloadError, CodecUnavailable: As `decode`, now or when a part is read.
        """
        data, held = payload, 0
        for found, expected, seen in reversed(self._sized(size, job)):
            if found.parts is not None:
                data = found.parts(data, expected, seen)
            else:
                data = _decoded_when_asked(found, data, expected, seen)
            held = max(held, data.held)
        return data._replace(held=held)

    def _sized(self, size: int, job: Job) -> list[tuple[Stage, int, Job]]:
        """Return each stage with the bytes that go into it when it encodes."""
        sized = []
        for found, seen in self._stages(job):
            sized.append((found, size, seen))
            size = found.encoded_size(size, seen)
        return sized


def _decoded_when_asked(found: Stage, encoded: Parts, size: int, job: Job) -> Parts:
    whole: memoryview | None = None

    def read(start: int, stop: int) -> Bytes:
        nonlocal whole
        if whole is None:
            data = found.decode(encoded.whole(), size, job)
            if len(data) != size:
                raise PayloadError(
                    f"the payload holds {len(data)} bytes, the descriptor's shape takes {size}"
                )
            whole = memoryview(data).cast("B")
        return whole[start:stop]

    return Parts(size, read, held=size)
