"""What every stage of the pipeline looks like: plain functions and the parameters they own.

It is separate so that a codec's file depends on this page only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .dtypes import DType

Bytes = bytes | bytearray | memoryview


class Job(NamedTuple):
    """What a stage is told about the object it works on.

    Attributes:
        dtype: The object's dtype.
        elements: Number of them.
        params: The descriptor's stage parameters; unknown ones are not an error.
        jobs: Threads it may use.
        byte_order: Of the values, "little" or "big".
        sample_bits: Bits of one sample in the bytes that the stage takes in when it encodes: the
            dtype's, the packed width after packing, 8 after shuffling.
        packed: These samples are a bit stream, most significant bit first.
    """

    dtype: DType
    elements: int
    params: Mapping[str, Any]
    jobs: int = 1
    byte_order: str = "little"
    sample_bits: int = 8
    packed: bool = False


class Parts(NamedTuple):
    """Bytes that can be had in parts.

    Attributes:
        size: How many there are.
        read: `(start, stop) -> the bytes [start, stop)`, exactly; 0 <= start <= stop <= size.
        held: Bytes that are decoded, or reserved, as soon as any part is asked for.
    """

    size: int
    read: Callable[[int, int], Bytes]
    held: int = 0

    def whole(self) -> Bytes:
        """Return all of them."""
        return self.read(0, self.size)


class Stage(NamedTuple):
    """One stage, in both directions.

    Attributes:
        encode: `(data, job) -> (data, params)`: the bytes, and what stands in the descriptor
            beyond `defaults` because only the data decides it. Raises EncodeError.
        decode: `(data, size, job) -> data`, which must be exactly `size` bytes; raises
            PayloadError. `data` is never trusted and may be read-only.
        defaults: `(job) -> params` that must stand in the descriptor, given those the caller set.
            Raises EncodeError for parameters, or an object, that the stage refuses to write: it is
            asked before anything is written.
        encoded_size: `(size, job) -> size` of its output for `size` bytes of input, for stages whose
            output has a size that is known beforehand. What comes after it is held to that.
        after: `(job) -> job` as the next stage sees it.
        parts: `(encoded, size, job) -> its `size` decoded bytes`, in parts, without decoding what
            is not asked for; None where only the whole can be decoded. Raises PayloadError.
        bounded: `(data, bound, job) -> params` with which no decoded value is off by more than
            `bound`; None for stages without loss. Raises EncodeError when there are none.
        finer: `(params) -> params` with which the error is smaller still, or None: for when a later
            stage does not take what `bounded` chose.
        load: Loads the native library that decodes, on sizes that the payload names; None where there is
            none. What decodes bytes of strangers does it in a process of its own then.
        params: Names of the descriptor keys that belong to the stage.
        level: The one among them that `--compression-level` sets.
    """

    encode: Callable[[Bytes, Job], tuple[Bytes, dict[str, Any]]]
    decode: Callable[[Bytes, int, Job], Bytes]
    defaults: Callable[[Job], dict[str, Any]] = lambda _job: {}
    encoded_size: Callable[[int, Job], int] = lambda size, _job: size
    after: Callable[[Job], Job] = lambda job: job
    parts: Callable[[Parts, int, Job], Parts] | None = None
    bounded: Callable[[Bytes, float, Job], dict[str, Any]] | None = None
    finer: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None
    load: Callable[[], object] | None = None
    params: tuple[str, ...] = ()
    level: str | None = None
