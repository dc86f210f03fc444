"""Validate a file at level "checksum": every frame is walked over, every digest computed.

Ours: `tgmtool.validate(path, level="checksum", jobs=…)`. The peer:
`tensogram.validate_file(path, level="checksum")`, which does the same with one thread. The limit of
large messages: reading the file in pieces of 1 MiB into one reused buffer, with xxh3 over each, one
thread. Small messages are nearly all Python, which more threads cannot speed up. The files are in the
page cache, and ours maps them: the pages that count as resident belong to the page cache.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from .harness import MIB, Row, Scale, compare, main, peak_above, peer_package, timed

_NAME = "benchmarks.validate"
_JOBS = (1, 2)


def rows(scale: Scale, folder: Path) -> Iterator[Row]:
    """Measure large and small messages, and small ones of many lengths, with one thread and with two."""
    large, small, varied = folder / "large.tgm", folder / "small.tgm", folder / "varied.tgm"
    size, count = scale.choose(1024 * MIB, 64 * MIB), scale.choose(100_000, 2_000)
    _make(large, [4 * MIB], size // (16 * MIB))
    _make(small, [256], count)
    _make(varied, range(1, 501), count)
    yield from _measured(scale, large, f"{size // MIB} MiB in messages of 16 MiB", 1.2, 1.18)
    yield from _measured(scale, small, f"{count} messages of 1 KB", 2.0, None)
    yield from _measured(scale, varied, f"{count} messages of 500 lengths", 2.0, None)


def _measured(scale: Scale, path: Path, name: str, goal: float, limit: float | None) -> Iterator[Row]:
    peer = peer_package()
    for jobs in _JOBS:
        goals = f">= {goal:g} x peer" + (f", <= {limit:g} x limit" if limit else "")
        yield compare(
            f"validate --checksum -J {jobs}, {name}",
            goals if jobs == 1 else "faster than -J 1" if limit else "as -J 1",
            ours=timed(partial(_validate, str(path), jobs)),
            peer=timed(partial(_peer, peer, str(path))) if peer else None,
            limits=[timed(partial(_read_and_hash, path))] if limit else [],
            rounds=scale.choose(5, 1),
            peak=peak_above(_NAME, "job", str(path), jobs),
        )


def _make(path: Path, lengths: Sequence[int], count: int) -> None:
    import numpy as np

    import tgmtool

    values = np.random.default_rng(1).standard_normal(max(lengths), dtype=np.float32)
    entry = {"name": "t2m", "mars": {"param": "2t", "step": 6}}
    messages = [tgmtool.encode([(values[:length], entry)]) for length in lengths]
    choose = random.Random(1).choice
    with path.open("wb") as file:
        for _ in range(count):
            file.write(choose(messages))


def _validate(path: Any, jobs: int) -> None:
    import tgmtool

    assert tgmtool.validate(path, level="checksum", jobs=jobs).verdict == "valid"


def _peer(peer: Any, path: str) -> None:
    found = peer.validate_file(path, level="checksum")
    assert not found["file_issues"]
    assert all(one["hash_verified"] for one in found["messages"])


def _read_and_hash(path: Path) -> int:
    from xxhash import xxh3_64

    buffer = memoryview(bytearray(MIB))
    digest = xxh3_64()
    with path.open("rb", buffering=0) as file:
        while size := os.readv(file.fileno(), [buffer]):
            digest.update(buffer[:size])
    return digest.intdigest()


def job(path: str, jobs: int, *, work: bool) -> None:
    """For the peak: look at the file, or at a message in memory."""
    import numpy as np

    import tgmtool

    _validate(path if work else tgmtool.encode([np.ones(8)]), jobs)


if __name__ == "__main__":
    main(rows)
