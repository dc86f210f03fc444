"""Encode one big float64 array to a file: no compression, digests on, finite check on.

Ours: `tgmtool.write(path, array)`. The peer: `tensogram.encode`, whose bytes are written in one
call to the same kind of file. The limit: write(2) of the array's bytes alone, in pieces of 4 MiB
or in one, whichever is faster. All three create the file and close it; none makes it durable, and
what was written is flushed away, uncounted, before the next one begins. Peak RSS is what comes on
top of the array.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from .harness import (
    MIB,
    Row,
    Scale,
    compare,
    flushed_away,
    folders,
    main,
    peak_above,
    peer_descriptor,
    peer_package,
    timed,
    write_pieces,
)

_NAME = "benchmarks.encode_big"
_GOALS = {
    "tmpfs": ">= 8 x peer, <= 1.11 x limit, < 16 MiB",
    "disk": ">= 12 x peer, <= 1.11 x limit, < 16 MiB",
}


def rows(scale: Scale, folder: Path) -> Iterator[Row]:
    """Measure on tmpfs and on disk."""
    import tgmtool

    size = scale.choose(256 * MIB, 16 * MIB)
    array = _array(size)
    peer = peer_package()
    for name, place in folders(folder):
        path = place / "big.tgm"
        run = partial(timed, after=partial(flushed_away, path))
        yield compare(
            f"encode {size // MIB} MiB float64, {name}",
            _GOALS[name],
            ours=run(partial(tgmtool.write, path, array)),
            peer=run(partial(_peer, peer, array, path)) if peer else None,
            limits=[run(partial(write_pieces, path, array.data, step)) for step in (4 * MIB, size)],
            rounds=scale.choose(9, 1),
            peak=peak_above(_NAME, "job", str(path), size),
        )


def _array(size: int) -> Any:
    import numpy as np

    return np.random.default_rng(1).standard_normal(size // 8)


def _peer(peer: Any, array: Any, path: Path) -> None:
    data = peer.encode({}, [(peer_descriptor(array), array)])
    write_pieces(path, data, len(data))


def job(path: str, size: int, *, work: bool) -> None:
    """For the peak: write the array, or its first values."""
    import tgmtool

    array = _array(size)
    tgmtool.write(path, array if work else array[:64])
    Path(path).unlink()


if __name__ == "__main__":
    main(rows)
