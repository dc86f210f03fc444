"""One data object: its place, its descriptor, its metadata, and its values on demand.

It is separate because readers, followers and writers all hand objects around, and none of them
should decode a payload that nobody looks at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ..codecs.base import Bytes, Job, Parts
from ..codecs.dtypes import DType, numpy_dtype
from ..errors import LimitExceeded, MetadataError, PayloadError
from ..limits import DEFAULT_LIMITS, Limits, check_decoded_size
from ..wire import layout
from ..wire.events import FrameEnded
from . import cbor
from .descriptor import Descriptor
from .slices import selection
from .spans import ObjectSpan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..codecs.masks import Mask


class DataObject:
    """One data object of a message.

    Attributes:
        descriptor: What the payload is.
        metadata: The keys of this object (`mars`, …) without the library-managed ones. From a
            message that is still open: what the header and the preceder say; the footer may add to it.
        span: Where it stands.
        restore: Put NaN and ±Inf back where masks say they were.
        jobs: Threads that decoding may use.
        limits: What decoding may cost.
        bytes_read: Bytes of the payload that decoding has looked at so far.
    """

    def __init__(
        self,
        descriptor: Descriptor,
        metadata: Mapping[str, Any],
        span: ObjectSpan,
        payload: memoryview | Parts,
        *,
        restore: bool = True,
        jobs: int = 1,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.descriptor = descriptor
        self.metadata = metadata
        self.span = span
        self.restore = restore
        self.jobs = jobs
        self.bytes_read = 0
        self._payload = payload if isinstance(payload, Parts) else payload.toreadonly()
        self.limits = limits

    def __repr__(self) -> str:
        kind = self.descriptor
        return f"<DataObject {self.span.message}.{self.span.number} {kind.dtype.name}{list(kind.shape)}>"

    @property
    def payload(self) -> memoryview:
        """The encoded payload with its masks, read-only."""
        if isinstance(self._payload, Parts):
            return memoryview(self._payload.whole()).toreadonly()
        return self._payload

    def __getitem__(self, key: Any) -> Any:
        """Return a part of the values, as NumPy indexing does: what `array[key]` would be.

        Decodes only what whole numbers and slices ask for, where the codec allows it.

        Raises:
            IndexError, and what `array` raises.
        """
        kind = self.descriptor
        if "array" not in self.__dict__ and kind.dtype.name != "bitmask" and kind.pipeline.has_parts:
            chosen = selection(key, kind.shape)
            if chosen is not None:
                import numpy as np

                parts = self.read(chosen.ranges)
                joined = np.empty(chosen.elements, numpy_dtype(kind.dtype, kind.byte_order))
                at = 0
                for part in parts:
                    joined[at : at + len(part)] = part
                    at += len(part)
                joined.flags.writeable = False
                part = joined.reshape(chosen.gathered)[chosen.steps].reshape(chosen.shape)
                return part[()] if chosen.is_scalar else part
        return self.array[key]

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[NDArray[np.generic]]:
        """Return the elements of each range, one-dimensional, read-only.

        Args:
            ranges: (first element, number of elements) of each, in C order. May overlap.

        Only what is needed is read and decoded where the codec allows that; a codec that can only be
        undone as a whole is undone once, for all of them. A bitmask stays packed, the first bit of
        each range in the most significant bit.

        Raises:
            IndexError: A range outside of the object.
            PayloadError, CodecUnavailable, LimitExceeded: As `array`.
        """
        import numpy as np

        kind = self.descriptor
        for start, count in ranges:
            if start < 0 or count < 0 or start + count > kind.elements:
                raise IndexError(
                    f"elements {start} to {start + count} of an object with {kind.elements} elements"
                )
        found: list[NDArray[np.generic]] = []
        part: NDArray[np.generic]
        with self._located():
            counted = self.parts()
            values = kind.pipeline.parts(Parts(self.payload_size, counted.read), kind.size, self._job())
            size = max(values.held, kind.dtype.payload_size(sum(count for _, count in ranges)))
            if kind.masks and self.restore:
                size = max(size, kind.elements)  # a byte for each, while a mask is unpacked
            if kind.masks or not kind.pipeline.is_plain:
                check_decoded_size(size, self.limits, "what is asked of the object", offset=self.span.offset)
            masks = self._masks_of(counted)
            for start, count in ranges:
                if kind.dtype.name == "bitmask":
                    bits = np.unpackbits(
                        np.frombuffer(values.read(start // 8, (start + count + 7) // 8), np.uint8)
                    )
                    part = np.packbits(bits[start % 8 : start % 8 + count])
                else:
                    width = kind.dtype.bits // 8
                    data = values.read(start * width, (start + count) * width)
                    part = np.frombuffer(data, numpy_dtype(kind.dtype, kind.byte_order))
                    part = _restored(part, kind.dtype, masks, start)
                part.flags.writeable = False
                found.append(part)
        return found

    @cached_property
    def array(self) -> NDArray[np.generic]:
        """The values, read-only, decoded when first asked for and kept.

        Shape and dtype are the descriptor's, in the byte order of the file
        (`.astype(array.dtype.newbyteorder("="))` makes it native). bitmask is packed: uint8,
        one-dimensional, eight elements each, the first in the most significant bit. bfloat16
        without the `bf16` extra is uint16. Without any stage this is a view of the source, no copy.
        What masks stand for is put back: the quiet NaN and ±Inf of the dtype, in both parts of a
        complex element.

        Raises:
            PayloadError: The payload, or a mask, is not what the descriptor promises.
            CodecUnavailable: A stage that this installation cannot undo.
            LimitExceeded: The decoded object is larger than the limit.
        """
        import numpy as np

        kind = self.descriptor
        size = kind.size
        with self._located():
            payload = self.payload[: self.payload_size] if kind.masks else self.payload
            self.bytes_read += len(payload)
            self.check_size()
            if kind.masks or not kind.pipeline.is_plain:
                check_decoded_size(size, self.limits, "the object", offset=self.span.offset)
            data = kind.pipeline.decode(payload, size, self._job())
            values = np.frombuffer(data, numpy_dtype(kind.dtype, kind.byte_order))
            masks = self._masks_of(self.parts())
        values = _restored(values, kind.dtype, masks, 0)
        if kind.dtype.name != "bitmask":
            try:
                values = values.reshape(kind.shape)
            except ValueError as error:  # an empty array with a dimension beyond memory, too many axes
                raise LimitExceeded(
                    f"NumPy cannot hold the shape {list(kind.shape)} ({error})",
                    limit="ndim",
                    value=self.limits.ndim,
                    offset=self.span.offset,
                ) from None
        values.flags.writeable = False
        return values

    def check_size(self) -> None:
        """Raise PayloadError if a payload without stages has another size than the shape takes."""
        kind = self.descriptor
        if kind.pipeline.is_plain and self.payload_size != kind.size:
            raise PayloadError(
                f"the payload has {self.payload_size} bytes, {kind.dtype.name} of shape "
                f"{list(kind.shape)} takes {kind.size}",
                section="6.5",
                code="decoded_size_mismatch",
            )

    def _job(self) -> Job:
        kind = self.descriptor
        return Job(kind.dtype, kind.elements, kind.pipeline.params, self.jobs, kind.byte_order)

    def parts(self) -> Parts:
        """Return the payload with its masks, to be read in parts, which are counted."""
        source = self._payload

        def read(start: int, stop: int) -> Bytes:
            self.bytes_read += stop - start
            return source.read(start, stop) if isinstance(source, Parts) else source[start:stop]

        return Parts(source.size if isinstance(source, Parts) else len(source), read)

    @property
    def masks(self) -> list[Mask]:
        """The masks that stand behind the payload.

        Raises:
            PayloadError: The descriptor does not say where, or how they are written.
        """
        return self._masks[0]

    @property
    def payload_size(self) -> int:
        """Bytes of the payload before its masks. Errors as `masks`."""
        return self._masks[1]

    @cached_property
    def _masks(self) -> tuple[list[Mask], int]:
        source = self._payload
        size = source.size if isinstance(source, Parts) else len(source)
        if not self.descriptor.masks:
            return [], size
        from ..codecs import masks  # most objects have none: listing them should not wait for it

        return masks.parse(self.descriptor.masks, self.descriptor.dtype, size)

    def _masks_of(self, payload: Parts) -> list[tuple[str, NDArray[np.intp]]]:
        if not self.restore:
            return []
        return [(mask.kind, mask.read(payload, self.descriptor.elements)) for mask in self.masks]

    @contextmanager
    def _located(self) -> Iterator[None]:
        """Let errors about the payload say where it stands."""
        try:
            yield
        except PayloadError as error:
            if error.offset is None:
                error.offset = self.span.payload_offset
            raise


def _restored(
    values: NDArray[np.generic], dtype: DType, masks: list[tuple[str, NDArray[np.intp]]], start: int
) -> NDArray[np.generic]:
    """Return the elements from `start` on, with what the masks say put back."""
    import numpy as np

    for kind, where in masks:
        low, high = np.searchsorted(where, (start, start + len(values)))
        if low < high:
            values = values if values.flags.writeable else values.copy()
            from ..codecs.masks import put_back

            put_back(values, dtype, kind, where[low:high] - start)
    return values


class Elements(NamedTuple):
    """Parts of an object, and what it took to get them.

    Attributes:
        values: One one-dimensional array for each range that was asked for.
        bytes_read: Bytes of the payload that were looked at for them.
        payload_bytes: Bytes of the payload with its masks.
    """

    values: list[NDArray[np.generic]]
    bytes_read: int
    payload_bytes: int


def decode_range(found: DataObject, ranges: Sequence[tuple[int, int]]) -> Elements:
    """Return parts of an object without decoding the whole, where its codec allows that.

    Args:
        found: The object.
        ranges: (first element, number of elements) of each part, in C order.

    Raises:
        IndexError, PayloadError, CodecUnavailable, LimitExceeded: As `DataObject.read`.
    """
    before = found.bytes_read
    values = found.read(ranges)
    return Elements(values, found.bytes_read - before, found.span.payload_length)


class DescriptorPlace(NamedTuple):
    """Where payload and descriptor stand in a tensor frame, bytes from the frame's first byte."""

    offset: int
    size: int
    payload_offset: int
    payload_size: int


def descriptor_place(
    frame: FrameEnded, head: bytes | memoryview, *, limits: Limits = DEFAULT_LIMITS
) -> DescriptorPlace:
    """Return where the descriptor and the payload of a whole tensor frame stand.

    Args:
        frame: The frame; bit 0 of its flags says which of the two comes first.
        head: The beginning of its body, looked at only when the descriptor comes first: the
            descriptor's own structure says where it ends.
        limits: Bounds on the descriptor.

    Raises:
        MetadataError: Flag and cbor_offset contradict each other, or the descriptor has no end.
    """
    assert frame.cbor_offset is not None
    start = layout.FRAME_HEADER_SIZE
    end = frame.header.total_length - layout.TENSOR_FOOTER_SIZE
    if frame.header.flags & layout.CBOR_AFTER_PAYLOAD:
        at = frame.cbor_offset
        return DescriptorPlace(at, end - at, start, at - start)
    if frame.cbor_offset != start:
        raise MetadataError(
            f"the frame says that its descriptor comes first, and that it begins at {frame.cbor_offset} "
            f"instead of {start}",
            offset=frame.offset,
            section="6.5",
            code="cbor_offset_invalid",
        )
    size = cbor.item_size(head, what="descriptor", offset=frame.offset + start, limits=limits)
    return DescriptorPlace(start, size, start + size, end - start - size)
