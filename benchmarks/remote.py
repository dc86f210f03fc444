"""Read a remote object over HTTP where every request takes 30 ms longer.

- List all objects of 1 000 messages: ours (`list(tgmtool.scan(url))`), and the peer
  (`TensogramFile.open_remote`, every message's descriptors), which is run once and not in every round.
  The rows in requests count round trips instead of time. The limit is one round trip.
- Find one object by its keys, and read it; read the last message.
- One object of 16 MiB out of 10 GiB (a sparse file): seconds, and bytes beyond the object.
- All of 1 GiB as it is (`cat-remote --offset 0`): the peer in this row is ourselves with one request at
  a time, and the limit one connection that reads it without any pause.
"""

from __future__ import annotations

import io
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from .harness import MIB, Row, Scale, command, compare, main, peer_package, timed
from .range_server import Server, serving

_DELAY = 0.03


def rows(scale: Scale, folder: Path) -> Iterator[Row]:
    """Measure all of it."""
    yield from _listing(scale, folder)
    yield from _out_of_many(scale, folder)
    yield from _everything(scale, folder)


def _listing(scale: Scale, folder: Path) -> Iterator[Row]:
    count = scale.choose(1000, 40)
    for name, size in (("7 KB", 7_400), ("60 KB", 60_000)):
        path = folder / "many.tgm"
        _write(path, count, size)
        with serving(path, _DELAY) as server:
            peer = peer_package()
            theirs = cache(partial(_peer, peer, server)) if peer else None  # once: it takes very long
            ours = [_requests(server, partial(_scan, server.url))]
            job = f"remote: list {count} messages of {name}"
            yield compare(
                job,
                ">= 30 x peer",
                ours=timed(partial(_scan, server.url)),
                peer=partial(_seconds, theirs) if theirs else None,
                limits=[timed(partial(_one_request, server.url))],
                rounds=scale.choose(3, 1),
            )
            found = theirs()[1] if theirs else None
            yield Row(f"{job}, requests", float(ours[0]), "<= 25; <= 5 if small", found, 1.0, unit="n")
            for what, wanted in (("one object by its keys", count // 2), ("the last message", -1)):
                requests = _requests(server, partial(_pick, server.url, wanted))
                goal = "<= 27" if wanted > 0 else "<= 2"
                yield Row(f"remote: {what}, of {count} of {name}, requests", float(requests), goal, unit="n")
        path.unlink()


def _out_of_many(scale: Scale, folder: Path) -> Iterator[Row]:
    path = folder / "large.tgm"
    size = 16 * MIB
    _write_sparse(path, scale.choose(640, 4), size)
    middle = scale.choose(300, 2)
    with serving(path, _DELAY) as server:
        spent: list[int] = []
        total = path.stat().st_size
        yield compare(
            f"remote: {size // MIB} MiB out of {total / (1 << 30):.1f} GiB",
            "",
            ours=timed(lambda: spent.append(_pick(server.url, middle))),
            limits=[timed(partial(_one_request, server.url, size))],
            rounds=scale.choose(3, 1),
        )
        yield Row("remote: bytes read beyond that object", float(spent[-1] - size), "<= 0.5 MiB", unit="B")
    path.unlink()


def _everything(scale: Scale, folder: Path) -> Iterator[Row]:
    size = scale.choose(1024, 64) * MIB
    path = folder / "all.bin"
    with path.open("wb") as file:
        file.truncate(size)
    with serving(path, _DELAY) as server:
        cat = command("cat-remote", "--offset", "0", "--max-bytes", str(2 * size), server.url)
        yield compare(
            f"remote: cat {size // MIB} MiB (peer: one request at a time)",
            ">= 4 x",
            ours=timed(partial(_run, cat)),
            peer=timed(partial(_run, [*cat, "--concurrency", "1"])),
            limits=[timed(partial(_read_through, server.url))],
            rounds=scale.choose(3, 1),
        )
    path.unlink()


# ---- the jobs


def _scan(url: str) -> list[Any]:
    import tgmtool

    return list(tgmtool.scan(url))


def _pick(url: str, wanted: int) -> int:
    """Read one object; return how many bytes came."""
    from tgmtool.endpoints.remote import open_remote
    from tgmtool.operations.cat_remote import pick
    from tgmtool.operations.select import where
    from tgmtool.operations.wanted import Wanted

    source = open_remote(url)
    try:
        chosen = Wanted(messages=-1) if wanted < 0 else Wanted(where([f"mars.step={wanted}"]))
        (found,) = pick(source, chosen)
        found.values()
        return source.spent.received
    finally:
        source.close()


def _peer(peer: Any, server: Server) -> tuple[float, float]:
    """Return the seconds and the requests that the reference takes for a listing."""
    server.requests()

    def listing() -> None:
        remote = peer.TensogramFile.open_remote(server.url, {"allow_http": "true"})
        for number in range(remote.message_count()):
            remote.file_decode_descriptors(number)

    seconds = timed(listing)()
    return seconds, float(server.requests())


def _seconds(measured: Callable[[], tuple[float, float]]) -> float:
    return measured()[0]


def _requests(server: Server, job: Callable[[], object]) -> int:
    server.requests()
    job()
    return server.requests()


def _one_request(url: str, size: int = 1) -> None:
    asked = urllib.request.Request(url, headers={"Range": f"bytes=0-{size - 1}"})
    with urllib.request.urlopen(asked) as answer:
        answer.read()


def _read_through(url: str) -> None:
    room = memoryview(bytearray(MIB))
    with urllib.request.urlopen(url) as answer:
        while answer.readinto(room):
            pass


def _run(words: list[str]) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


# ---- the files


def _write(path: Path, count: int, size: int) -> None:
    import numpy as np

    import tgmtool

    values = np.arange(size // 4, dtype="<f4")
    with path.open("wb") as file:
        for step in range(count):
            file.write(tgmtool.encode([(values, {"mars": {"param": "2t", "step": step}})]))


def _write_sparse(path: Path, objects: int, size: int) -> None:
    """Write messages of 64 objects of zeros; the zeros take no room."""
    import numpy as np

    import tgmtool

    each = min(objects, 64)
    with path.open("wb") as file:
        for first in range(0, objects, each):
            steps = range(first, first + each)
            pairs = [(np.zeros(size, "u1"), {"mars": {"param": "2t", "step": step}}) for step in steps]
            buffer = io.BytesIO(tgmtool.encode(pairs))
            while block := buffer.read(MIB):
                if block.count(0) == len(block):
                    file.seek(len(block), io.SEEK_CUR)
                else:
                    file.write(block)
        file.truncate()


if __name__ == "__main__":
    main(rows)
