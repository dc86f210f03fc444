"""Salvage 1 GiB into a new file, against copying it with `cp`.

Ours: `salvage(path, out)` of the operations: every digest of the source is computed, what is whole is
copied, the new file is checked, made durable and named. The limit: `cp`; on the disk, where being
durable takes most of the time, also `cp` and then fsync. Both run in the same rounds, and each copy is on the
disk and removed before the next one begins. The source is in the page cache, as for cp.

The files: messages of 16 MiB of which the last is cut; messages of 64 KiB of which the last is cut; messages
of 16 MiB with one in the middle of which a bit is wrong; one streaming message of all objects, which is cut.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from .harness import MIB, Row, Scale, alternate, flushed_away, folders, main, peak_above, timed

_NAME = "benchmarks.salvage"
_GOAL = "<= 2 x limit"
_CASES = ("last cut", "messages of 64 KiB", "one damaged", "one message, cut")
"""THE list of files."""


def rows(scale: Scale, folder: Path) -> Iterator[Row]:
    """Measure on tmpfs and on disk."""
    size = scale.choose(1024 * MIB, 16 * MIB)
    for place, inside in folders(folder):
        for case in _CASES:
            source, output = inside / "source.tgm", inside / "out.tgm"
            _make(source, case, size)
            yield from _measured(scale, f"salvage {size // MIB} MiB, {case}, {place}", source, output)
            source.unlink()


def _measured(scale: Scale, job: str, source: Path, output: Path) -> Iterator[Row]:
    run = partial(timed, after=partial(flushed_away, output))
    on_disk = job.endswith("disk")
    samples = alternate(
        {
            "ours": run(partial(_salvage, source, output)),
            "cp": run(partial(_cp, source, output)),
            "cp + fsync": run(partial(_cp, source, output, durable=True)) if on_disk else None,
        },
        scale.choose(5, 1),
    )
    medians = {name: statistics.median(times) for name, times in samples.items()}
    peak = peak_above(_NAME, "job", str(source), str(output))
    for limit in list(samples)[1:]:
        yield Row(f"{job}: {limit}", medians["ours"], _GOAL, None, medians[limit], peak, samples=samples)


def _salvage(source: Path, output: Path) -> None:
    from tgmtool.operations.salvage import salvage

    assert salvage(source, output, min_age=0).segments


def _cp(source: Path, output: Path, *, durable: bool = False) -> None:
    cp = shutil.which("cp")
    assert cp is not None
    subprocess.run([cp, str(source), str(output)], check=True)
    if durable:
        subprocess.run(["sync", str(output)], check=True)


# ---- the files


def _make(path: Path, case: str, size: int) -> None:
    import numpy as np

    import tgmtool

    values = np.random.default_rng(1).standard_normal(_bytes_of_array(case, size) // 8)
    entry = {"mars": {"param": "2t", "step": 6}}
    if case == "one message, cut":
        with tgmtool.StreamWriter(path, style=tgmtool.Style(layout="streaming")) as out:
            for _ in range(size // values.nbytes):
                out.write(values, entry)
        _cut(path, 100)
        return
    message = tgmtool.encode([(values, entry)])
    with path.open("wb") as file:
        for _ in range(size // len(message)):
            file.write(message)
    if case == "one damaged":
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // len(message) // 2 * len(message) + len(message) // 2)
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1]))
    else:
        _cut(path, len(message) // 2)


def _bytes_of_array(case: str, size: int) -> int:
    """Return the bytes of each array."""
    return 1 << 16 if "64 KiB" in case else min(16 * MIB, size // 4)


def _cut(path: Path, missing: int) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - missing)


def job(source: str, output: str, *, work: bool) -> None:
    """For the peak: salvage the file, or a message in its place."""
    import numpy as np

    import tgmtool

    if not work:
        source = output + ".small"
        Path(source).write_bytes(tgmtool.encode([np.ones(8)]))
    _salvage(Path(source), Path(output))
    Path(output).unlink()


if __name__ == "__main__":
    main(rows)
