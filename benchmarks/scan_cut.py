"""List the messages of a file whose last message of 64 MiB is cut, one MiB before its end.

Ours: `list(tgmtool.scan(path, unit=…))`, which reports the cut message as a gap, for messages and
for objects. The peer: `len(TensogramFile.open(path))`, which leaves the cut message out; it is run
once and not in every round, because it takes a minute where ours takes less than a millisecond. The
payload is random, so that whoever searches it finds nothing to skip. There is no limit to compare
with: nothing has to be read but a few hundred bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from .harness import MIB, Row, Scale, compare, main, peak_above, peer_package, timed

_NAME = "benchmarks.scan_cut"


def rows(scale: Scale, folder: Path) -> Iterator[Row]:
    """Measure both units."""
    import numpy as np

    import tgmtool

    size = scale.choose(64 * MIB, 4 * MIB)
    path = folder / "cut.tgm"
    rng = np.random.default_rng(1)
    small = tgmtool.encode([rng.standard_normal(256)])
    large = tgmtool.encode([rng.standard_normal(size // 8)])
    path.write_bytes(3 * small + large[:-MIB])
    peer = peer_package()
    theirs = cache(timed(partial(_peer, peer, str(path)))) if peer else None  # once: it takes very long
    for unit in ("message", "object"):
        yield compare(
            f"scan, last {size // MIB} MiB message cut, {unit}s",
            ">= 1000 x peer",
            ours=timed(partial(_scan, str(path), unit)),
            peer=theirs,
            rounds=scale.choose(9, 1),
            peak=peak_above(_NAME, "job", str(path), unit),
        )


def _scan(path: str, unit: str) -> list[Any]:
    import tgmtool

    return list(tgmtool.scan(path, unit=unit))


def _peer(peer: Any, path: str) -> int:
    with peer.TensogramFile.open(path) as file:
        return len(file)


def job(path: str, unit: str, *, work: bool) -> None:
    """For the peak: list the file, or only what stands first in it."""
    import tgmtool

    if work:
        _scan(path, unit)
    else:
        next(iter(tgmtool.scan(path, unit=unit)))


if __name__ == "__main__":
    main(rows)
