"""List the messages of a file: where each begins and how long it is, fully checked.

Ours: `list(tgmtool.scan(path, unit="message"))`, and the same consumed one by one without keeping
them ("not kept"). The peer: `len(TensogramFile.open(path))`, which also walks the file itself instead
of being handed its bytes, and makes no Python object per message: the "not kept" rows are the nearer
comparison, though ours still makes a tuple of each message; the others also hold what a large list
of tuples costs the garbage collector. The files hold real messages: many of
about 1 KB, all as long as each other or of varied lengths, and a hundred of 10 MB whose payloads
are zeros, stored as holes. There is no limit to compare with.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from .harness import Row, Scale, compare, main, peak_above, peer_package, timed

_NAME = "benchmarks.scan_messages"
_PAGE = 4096


def rows(scale: Scale, folder: Path) -> Iterator[Row]:
    """Measure the three files."""
    count = scale.choose(100_000, 5_000)
    path = folder / "equal.tgm"
    _make_small(path, count, lengths=[256])
    yield from _compare(scale, f"scan {count} messages, equal lengths", ">= 6 x peer", path)
    path.unlink()
    path = folder / "varied.tgm"
    _make_small(path, count, lengths=list(range(200, 312)))
    yield from _compare(scale, f"scan {count} messages, varied lengths", ">= 3.5 x peer", path)
    path.unlink()
    path = folder / "large.tgm"
    _make_large(path, 100, scale.choose(10_000_000, 1_000_000))
    yield from _compare(scale, f"scan 100 messages of {scale.choose(10, 1)} MB", ">= 1.1 x peer", path)


def _compare(scale: Scale, name: str, goal: str, path: Path) -> Iterator[Row]:
    peer = peer_package()
    for suffix, consume in (("", list), (", not kept", _exhaust)):
        yield compare(
            name + suffix,
            goal,
            ours=timed(partial(_scan, str(path), consume)),
            peer=timed(partial(_peer, peer, str(path))) if peer else None,
            rounds=scale.choose(15, 1),
            peak=peak_above(_NAME, "job", str(path), bool(suffix)),
        )


def _scan(path: str, consume: Callable[[Iterator[Any]], object]) -> object:
    import tgmtool

    return consume(tgmtool.scan(path, unit="message"))


def _exhaust(found: Iterator[Any]) -> None:
    deque(found, maxlen=0)  # takes all and keeps none: what a loop costs is not the scan's


def _peer(peer: Any, path: str) -> int:
    with peer.TensogramFile.open(path) as file:
        return len(file)


def _make_small(path: Path, count: int, lengths: list[int]) -> None:
    import numpy as np

    import tgmtool

    entry = {"name": "t2m", "mars": {"param": "2t", "step": 6}}
    messages = [tgmtool.encode([(np.ones(length, np.float32), entry)]) for length in lengths]
    choose = random.Random(1).choices
    with path.open("wb") as file:
        file.writelines(choose(messages, k=count))


def _make_large(path: Path, count: int, size: int) -> None:
    import numpy as np

    import tgmtool

    message = tgmtool.encode([(np.zeros(size, np.uint8), {"name": "zeros"})])
    with path.open("wb") as file:
        for _ in range(count):
            for at in range(0, len(message), _PAGE):
                page = message[at : at + _PAGE]
                if any(page):
                    file.write(page)
                else:
                    file.seek(len(page), 1)


def job(path: str, exhaust: bool, *, work: bool) -> None:
    """For the peak: list the messages, or only the first."""
    import tgmtool

    if work:
        _scan(path, _exhaust if exhaust else list)
    else:
        next(iter(tgmtool.scan(path, unit="message")))


if __name__ == "__main__":
    main(rows)
