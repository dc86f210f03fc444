"""Decode one big uncompressed float64 array from a file, and touch every value of it.

Ours: `tgmtool.read(path, verify=…)`, then `np.add.reduce` over the array. The peer:
`TensogramFile.decode_message(0, verify_hash=…)` and the same sum. With and without checking the
digest, both alike. The limit: pread of the whole file into one reused buffer of 1 MiB, with the
same sum over the buffer each time; with the digest, xxh3 over the buffer as well. The file is in the
page cache. Peak RSS of ours counts the pages of the file that are mapped, which belong to the page
cache and not to the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from .harness import MIB, Row, Scale, compare, main, peak_above, peer_package, timed

_NAME = "benchmarks.decode_big"


def rows(scale: Scale, folder: Path) -> Iterator[Row]:
    """Measure without and with the digest."""
    import numpy as np

    import tgmtool

    size = scale.choose(256 * MIB, 16 * MIB)
    path = folder / "big.tgm"
    tgmtool.write(path, np.random.default_rng(1).standard_normal(size // 8))
    peer = peer_package()
    for verify, goal in ((False, ">= 10 x peer, <= 1.18 x limit"), (True, "")):
        checked = ", digest checked" if verify else ""
        yield compare(
            f"decode {size // MIB} MiB float64{checked}",
            goal,
            ours=timed(partial(_decode, str(path), verify)),
            peer=timed(partial(_peer, peer, str(path), verify)) if peer else None,
            limits=[timed(partial(_read_through, path, verify))],
            rounds=scale.choose(9, 1),
            peak=peak_above(_NAME, "job", str(path), verify),
        )


def _decode(path: str, verify: bool) -> float:
    import numpy as np

    import tgmtool

    total = 0.0
    for message in tgmtool.read(path, verify=verify):
        assert isinstance(message, tgmtool.Message)
        total += float(np.add.reduce(message.objects[0].array))
    return total


def _peer(peer: Any, path: str, verify: bool) -> float:
    import numpy as np

    with peer.TensogramFile.open(path) as file:
        _, objects = file.decode_message(0, verify_hash=verify)
        return float(np.add.reduce(objects[0][1]))


def _read_through(path: Path, verify: bool) -> float:
    import numpy as np
    from xxhash import xxh3_64

    buffer = np.empty(MIB // 8)
    view = buffer.data.cast("B")
    digest = xxh3_64()
    total, at = 0.0, 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while size := os.preadv(descriptor, [view], at):
            total += float(np.add.reduce(buffer[: size // 8]))
            if verify:
                digest.update(view[:size])
            at += size
    finally:
        os.close(descriptor)
    return total


def job(path: str, verify: bool, *, work: bool) -> None:
    """For the peak: decode the file, or a trifle in memory."""
    import numpy as np

    import tgmtool

    _decode(path if work else tgmtool.encode([np.ones(8)]), verify)  # type: ignore[arg-type]  # any source


if __name__ == "__main__":
    main(rows)
