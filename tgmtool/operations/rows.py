"""Many small arrays of one shape, given as the rows of one: their frames are made all at once.

It is separate from `writer` because it is the one place that makes frames with NumPy: a model of the
frame is repeated, and what differs from row to row is laid over it, column by column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

from ..codecs.nonfinite import all_finite
from ..wire import layout
from ..wire.digest import digest_functions
from ..wire.encoder import SMALL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..wire.encoder import Encoder
    from .prepare import Template

_FEW = 4  # rows that are faster written one by one


def are_rows(batch: Any) -> TypeGuard[NDArray[np.generic]]:
    """Return whether a batch is an array whose rows are small."""
    # By name: what is no array does not import NumPy here, and kinds of arrays may yield what they like.
    if type(batch).__module__ != "numpy" or type(batch).__name__ != "ndarray" or batch.ndim < 2:
        return False
    return len(batch) >= _FEW and 0 < batch.nbytes // len(batch) <= SMALL


def groups_of(batch: NDArray[np.generic], most: int) -> Iterator[NDArray[np.generic]]:
    """Yield the rows in groups of at most `most` bytes."""
    step = max(most // (batch.nbytes // len(batch)), 1)
    for start in range(0, len(batch), step):
        yield batch[start : start + step]


def frames_of(rows: NDArray[np.generic], template: Template, encoder: Encoder) -> memoryview | None:
    """Return the tensor frames of rows, with their padding; None if not all values are finite.

    Args:
        rows: The first axis runs over them.
        template: Of each of them, without stages.
        encoder: Of the message; it takes note of the frames.
    """
    import numpy as np

    values = np.ascontiguousarray(rows)
    if not all_finite(values.reshape(-1), template.descriptor.dtype):
        return None
    payloads = values.reshape(len(values), -1).view(np.uint8)
    count, size = payloads.shape
    model = np.frombuffer(encoder.tensor(payloads[0].data, template.packed), np.uint8)
    frames = np.empty((count, len(model)), np.uint8)
    frames[:] = model
    start = layout.FRAME_HEADER_SIZE
    frames[:, start : start + size] = payloads
    made = frames.reshape(-1).data
    digests: list[int] = []
    if encoder.hashing:
        digest_of, _ = digest_functions()
        size += len(template.packed)
        digests = [digest_of(made[at : at + size]) for at in range(start, len(made), len(model))]
        at = encoder.lengths[-1] - layout.FRAME_FOOTER_SIZE
        slots = np.array(digests, ">u8").view(np.uint8).reshape(count, -1)
        frames[:, at : at + slots.shape[1]] = slots
    encoder.repeat(count - 1, digests[1:])
    return made
