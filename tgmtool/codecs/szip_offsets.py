"""Where do the intervals of an szip payload begin, when libaec's encoder tells it too early?

It is separate from `szip` because it knows nothing of libaec, only how it and the format put blocks
together. Equal blocks are joined, and written when the run ends. Where the last block of an
interval ends such a run, libaec (1.1) takes the end of the run for the end of the interval: it
tells where the last block begins. Whether that is so can be seen from the samples, and how long a
block is can be read off its own bits, so that nothing has to be decoded.
Source: CCSDS 121.0-B-3, §3 and §5; libaec 1.1, what its encoder was seen to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SEGMENT = 64  # blocks after which a run is written in any case
_AT_ONCE = 1024  # blocks that are looked at


class Shape(NamedTuple):
    """How samples are put together.

    Attributes:
        bits: Of a sample: 8, 16, 24 or 32.
        block: Samples of a block.
        rsi: Blocks of an interval.
        differences: Samples are told by their difference from the one before.
    """

    bits: int
    block: int
    rsi: int
    differences: bool


def doubtful(data: NDArray[np.uint8], shape: Shape) -> NDArray[np.intp]:
    """Return the whole intervals whose last block ends a run of equal blocks."""
    import numpy as np

    width, block, rsi = shape.bits // 8, shape.block, shape.rsi
    count = len(data) // (width * block * rsi)
    if rsi < 2 or (rsi - 1) % _SEGMENT == 0 or not count:
        return np.empty(0, np.intp)
    # Only the last two blocks are of interest, and the sample before them, if there is one.
    before = int(rsi > 2)
    tails = data[: count * rsi * block * width].reshape(count, -1)[:, -(2 * block + before) * width :]
    samples = _samples(np.ascontiguousarray(tails), width)
    stands = samples[:, 1:] == samples[:, :-1] if shape.differences else samples[:, before:] == 0
    last = stands.shape[1] - block
    return np.flatnonzero(stands[:, :last].all(1) & ~stands[:, last:].all(1))


def _samples(data: NDArray[np.uint8], width: int) -> Any:
    """Return samples of `width` bytes, as numbers that differ where the samples do."""
    if width != 3:
        return data.view(f"u{width}")
    wide = data.reshape(len(data), -1, 3).astype("u4")
    return wide[..., 0] | wide[..., 1] << 8 | wide[..., 2] << 16


def ends_of_blocks(
    payload: NDArray[np.uint8], starts: NDArray[np.int64], shape: Shape
) -> NDArray[np.int64] | None:
    """Return the bits at which the blocks end that begin at the bits `starts`; None if they are none.

    They are blocks without a reference sample, and not equal ones.
    """
    import numpy as np

    ends = [_ends(payload, starts[at : at + _AT_ONCE], shape) for at in range(0, len(starts), _AT_ONCE)]
    if any(one is None for one in ends):
        return None
    return np.concatenate([one for one in ends if one is not None])


def _ends(payload: NDArray[np.uint8], starts: Any, shape: Shape) -> Any:
    import numpy as np

    name = 3 if shape.bits <= 8 else 4 if shape.bits <= 16 else 5  # bits that name the option
    most = 7 + name + 1 + shape.block * shape.bits
    places = (starts >> 3)[:, None] + np.arange(-(-most // 8))
    bits = np.unpackbits(payload[np.minimum(places, len(payload) - 1)], axis=1)
    rows, first = np.arange(len(starts)), starts & 7
    option = np.zeros(len(starts), np.int64)
    for at in range(name):
        option = 2 * option + bits[rows, first + at]
    second = option == 0  # pairs of samples; the next bit tells them from equal blocks
    if not bits[rows, first + name][second].all():
        return None
    codes = np.where(second, shape.block // 2, shape.block)  # each ends with a bit that is set
    begins = first + name + second
    bits[np.arange(bits.shape[1]) < begins[:, None]] = 0
    counted = np.cumsum(bits, axis=1, dtype=np.int32) >= codes[:, None]
    as_it_is = option == (1 << name) - 1
    if not (counted[:, -1] | as_it_is).all():
        return None
    split = np.where(second, 0, option - 1) * shape.block  # the lower bits of the samples follow
    coded = np.argmax(counted, axis=1) + 1 - first + split
    return starts + np.where(as_it_is, name + shape.block * shape.bits, coded)
