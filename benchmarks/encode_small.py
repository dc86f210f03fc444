"""Encode many objects of 1 KB (256 float32) to a file on disk.

In one streaming message:
- batched, same shape, no metadata: `StreamWriter.write_many(array)`, one object per row;
- one by one, equal metadata: `StreamWriter.write(row, METADATA)`;
- one by one, metadata that differs each time: `StreamWriter.write(row, {…})`.
As a message each (what a follower of single fields gets):
- equal metadata, and metadata that differs each time: `tgmtool.write(path, pairs, group=1)`.

The peer of the first two is `StreamingEncoder.write_object`, with the metadata of all objects given
at the start as it wants it, finished with lengths filled in, and its bytes written to a file; of the
others, `tensogram.encode` per object with that object's metadata, each written with one write(2).
Ours does more: every object is in the file when `write` returns, with its metadata right before it.
The limit: write(2) of as many bytes as our file has, in pieces of 1 MiB. Peak RSS is what comes on
top of the array.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from .harness import (
    MIB,
    Row,
    Scale,
    compare,
    flushed_away,
    main,
    peak_above,
    peer_descriptor,
    peer_package,
    timed,
    write_pieces,
)

_NAME = "benchmarks.encode_small"


def rows(scale: Scale, folder: Path) -> Iterator[Row]:
    """Measure the five ways."""
    count = scale.choose(100_000, 2_000)
    array = _array(count)
    peer = peer_package()
    path = folder / "small.tgm"
    for number, (job_name, goal, ours, theirs) in enumerate(_WAYS):
        ours(path, array)
        size = path.stat().st_size
        flushed_away(path)
        run = partial(timed, after=partial(flushed_away, path))
        yield compare(
            f"encode {count} x 1 KB, {job_name}",
            goal,
            ours=run(partial(ours, path, array)),
            peer=run(partial(theirs, peer, path, array)) if peer else None,
            limits=[run(partial(write_pieces, path, bytes(size), MIB))],
            rounds=scale.choose(5, 1),
            peak=peak_above(_NAME, "job", number, str(path), count),
        )


def _array(count: int) -> Any:
    import numpy as np

    return np.random.default_rng(1).standard_normal((count, 256), dtype=np.float32)


def _entry(number: int) -> dict[str, Any]:
    mars = {"class": "od", "type": "fc", "param": "2t", "levtype": "sfc", "step": number, "date": "20250101"}
    return {"name": "t2m", "mars": mars}


_EQUAL = _entry(6)

# ---- ours


def _write_many(path: Path, array: Any) -> None:
    import tgmtool

    with tgmtool.StreamWriter(path) as writer:
        writer.write_many(array)


def _write_equal(path: Path, array: Any) -> None:
    import tgmtool

    with tgmtool.StreamWriter(path) as writer:
        for row in array:
            writer.write(row, _EQUAL)


def _write_differing(path: Path, array: Any) -> None:
    import tgmtool

    with tgmtool.StreamWriter(path) as writer:
        for number, row in enumerate(array):
            writer.write(row, _entry(number))


def _messages_equal(path: Path, array: Any) -> None:
    import tgmtool

    tgmtool.write(path, ((row, _EQUAL) for row in array), group=1)


def _messages_differing(path: Path, array: Any) -> None:
    import tgmtool

    tgmtool.write(path, ((row, _entry(number)) for number, row in enumerate(array)), group=1)


# ---- the peer


def _peer_stream(peer: Any, path: Path, array: Any, *, entry: dict[str, Any] | None = None) -> None:
    encoder = peer.StreamingEncoder({"base": [entry] * len(array)} if entry else {})
    descriptor = peer_descriptor(array[0])
    for row in array:
        encoder.write_object(descriptor, row)
    data = encoder.finish_backfilled()
    write_pieces(path, data, len(data))


def _peer_messages(peer: Any, path: Path, array: Any, *, entry: Callable[[int], dict[str, Any]]) -> None:
    descriptor = peer_descriptor(array[0])
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        for number, row in enumerate(array):
            os.write(file, peer.encode({"base": [entry(number)]}, [(descriptor, row)]))
    finally:
        os.close(file)


_Ours = Callable[[Path, Any], None]
_Theirs = Callable[[Any, Path, Any], None]
_WAYS: tuple[tuple[str, str, _Ours, _Theirs], ...] = (
    ("batched", ">= 10 x peer, <= 2.5 x limit", _write_many, _peer_stream),
    ("one by one, equal metadata", ">= 4 x peer", _write_equal, partial(_peer_stream, entry=_EQUAL)),
    (
        "one by one, differing metadata",
        ">= 1.3 x peer",
        _write_differing,
        partial(_peer_messages, entry=_entry),
    ),
    (
        "a message each, equal metadata",
        ">= 4 x peer",
        _messages_equal,
        partial(_peer_messages, entry=lambda _: _EQUAL),
    ),
    (
        "a message each, differing metadata",
        ">= 1.3 x peer",
        _messages_differing,
        partial(_peer_messages, entry=_entry),
    ),
)


def job(way: int, path: str, count: int, *, work: bool) -> None:
    """For the peak: write the array, or its first two rows."""
    array = _array(count)
    _WAYS[way][2](Path(path), array if work else array[:2])
    Path(path).unlink()


if __name__ == "__main__":
    main(rows)
