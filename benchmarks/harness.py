"""Measure ours, the peer and the limit in turns, and show what came out.

It is separate so that every script measures in the same way. In each round every contestant runs
once (A B C A B C …), after one round that is not counted; what is shown are medians. So whatever
else the machine is doing is shared by all of them, and the ratios hold where the times do not.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20
_MEMORY_FOLDER = Path("/dev/shm")  # where Linux has its tmpfs
_T = TypeVar("_T")

Contestant = Callable[[], float]
"""Does the job once; returns the seconds that counted."""


class Scale(NamedTuple):
    """How much to do.

    Attributes:
        quick: Just enough to see that everything runs.
        full: The largest sizes.
    """

    quick: bool = False
    full: bool = False

    def choose(self, normal: _T, quick: _T, full: _T | None = None) -> _T:
        """Return the size that suits."""
        if self.quick:
            return quick
        return full if self.full and full is not None else normal


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        job: What was done.
        ours: Median, in `unit`.
        goal: What performance is promised, in words.
        peer: Median of the reference implementation; None where there is none.
        limit: Median of what the machine can do; None where there is none.
        peak: Peak resident memory of ours above what imports and input take, in bytes.
        unit: "s", "B", "share" or "n" (a number).
        samples: Everything that was measured, by contestant.
    """

    job: str
    ours: float
    goal: str = ""
    peer: float | None = None
    limit: float | None = None
    peak: int | None = None
    unit: str = "s"
    samples: Mapping[str, Sequence[float]] = {}

    @property
    def times_the_peer(self) -> float | None:
        """How many times faster than the peer."""
        return self.peer / self.ours if self.peer is not None and self.ours else None

    @property
    def times_the_limit(self) -> float | None:
        """How many times the limit it takes; 1 is perfect."""
        return self.ours / self.limit if self.limit else None

    def record(self) -> dict[str, Any]:
        """Return everything as a map."""
        return {
            **self._asdict(),
            "times_the_peer": self.times_the_peer,
            "times_the_limit": self.times_the_limit,
        }


# ---- time


def timed(
    work: Callable[[], object],
    *,
    before: Callable[[], object] | None = None,
    after: Callable[[], object] | None = None,
) -> Contestant:
    """Return a contestant that times `work` alone, not what comes before and after it."""

    def run() -> float:
        if before is not None:
            before()
        gc.collect()
        start = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - start
        del result  # letting go of a large result is nobody's job
        if after is not None:
            after()
        return seconds

    return run


def alternate(contestants: Mapping[str, Contestant | None], rounds: int) -> dict[str, list[float]]:
    """Run the contestants in turns; return what each took in every round but the first."""
    there = {name: contestant for name, contestant in contestants.items() if contestant is not None}
    found: dict[str, list[float]] = {name: [] for name in there}
    for number in range(rounds + 1):
        for name, contestant in there.items():
            seconds = contestant()
            if number:
                found[name].append(seconds)
    return found


def compare(
    job: str,
    goal: str,
    *,
    ours: Contestant,
    peer: Contestant | None = None,
    limits: Sequence[Contestant] = (),
    rounds: int,
    peak: int | None = None,
) -> Row:
    """Measure one job; of several limits the best counts."""
    named: dict[str, Contestant | None] = {"ours": ours, "peer": peer}
    named.update({f"limit {number}": contestant for number, contestant in enumerate(limits)})
    samples = alternate(named, rounds)
    medians = {name: statistics.median(times) for name, times in samples.items()}
    best = min((medians[name] for name in medians if name.startswith("limit")), default=None)
    return Row(job, medians["ours"], goal, medians.get("peer"), best, peak, samples=samples)


def peer_package() -> Any:
    """Return the reference implementation, or None if it is not installed."""
    try:
        return import_module("tensogram")
    except ImportError:
        return None


def peer_descriptor(values: Any, **stages: Any) -> dict[str, Any]:
    """Return what the reference implementation has to be told about an array."""
    return {
        "type": "ntensor",
        "shape": list(values.shape),
        "dtype": values.dtype.name,
        "byte_order": sys.byteorder,
        "encoding": "none",
        "filter": "none",
        "compression": "none",
        **stages,
    }


# ---- memory


def peak_above(module: str, function: str, *arguments: object) -> int:
    """Return how much higher resident memory peaks in a fresh process for doing the job, in bytes.

    Args:
        module: Name of a script, as `benchmarks.encode_big`.
        function: Of that module; called with the arguments and `work`. With `work=False` it must
            import and make everything, and do the job on a trifle.
        arguments: Anything that JSON can hold.
    """
    return _peak(module, function, arguments, work=True) - _peak(module, function, arguments, work=False)


def _peak(module: str, function: str, arguments: Sequence[object], *, work: bool) -> int:
    words = [sys.executable, "-m", "benchmarks.harness", module, function, json.dumps([*arguments, work])]
    return int(subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def own_peak() -> int:
    """Return the peak of this process's resident memory, in bytes."""
    try:
        # On Linux `ru_maxrss` also remembers the process that started this one; this does not.
        status = Path("/proc/self/status").read_text("ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) << 10
    except (OSError, StopIteration):
        return peak_in_bytes(resource.getrusage(resource.RUSAGE_SELF))


def peak_in_bytes(usage: resource.struct_rusage) -> int:
    """Return `ru_maxrss` in bytes: its unit depends on the system."""
    return usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss << 10


# ---- places and processes


def folders(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name, folder) for each kind of place to write to: the disk, and tmpfs if there is one."""
    if os.access(_MEMORY_FOLDER, os.W_OK):
        with temporary_folder(_MEMORY_FOLDER) as in_memory:
            yield "tmpfs", in_memory
    yield "disk", folder


@contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tgmtool-benchmarks-", dir=parent) as name:
        yield Path(name)


def write_pieces(path: Path, data: bytes | memoryview, size: int) -> None:
    """Write `data` to a new file, `size` bytes per call."""
    view = memoryview(data).cast("B")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        at = 0
        while at < len(view):
            at += os.write(descriptor, view[at : at + size])
    finally:
        os.close(descriptor)


def flushed_away(path: Path) -> None:
    """Remove a file once it is on the disk, so that its way there disturbs nobody else's time."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()


def command(*words: str) -> list[str]:
    """Return the command line that runs tgmtool in this environment."""
    script = Path(sys.executable).with_name("tgmtool")
    return [str(script), *words] if script.exists() else [sys.executable, "-m", "tgmtool", *words]


# ---- the script's way in, and the table


def main(rows: Callable[[Scale, Path], Iterable[Row]]) -> None:
    """Run one script: options, rows, table, JSON."""
    options = _options().parse_args()
    with temporary_folder() as folder:
        found = list(rows(Scale(options.quick, options.full), folder))
    print(table(found))
    if options.json:
        write_json(options.json, [row.record() for row in found], options)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what every script understands."""
    parser.add_argument("--quick", action="store_true", help="small sizes: see that it runs")
    parser.add_argument("--full", action="store_true", help="the largest sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")


def write_json(path: Path, records: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Write what was measured, and on what."""
    from tgmtool import __version__

    about = {
        "tgmtool": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "quick": options.quick,
        "full": options.full,
    }
    path.write_text(json.dumps({"about": about, "rows": records}, indent=1) + "\n", "utf-8")


_HEAD = ("job", "ours", "peer", "limit", "x peer", "x limit", "goal", "peak RSS")
_LEFT = {"job", "goal"}


def table(rows: Iterable[Row]) -> str:
    """Return the rows as text. `x peer`: times faster; `x limit`: times what the machine needs."""
    cells = [_HEAD, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if name in _LEFT else cell.rjust(width)
            for name, cell, width in zip(_HEAD, row, widths, strict=True)
        ).rstrip()
        for row in cells
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.job,
        *(_quantity(value, row.unit) for value in (row.ours, row.peer, row.limit)),
        *("-" if value is None else f"{value:.3g}" for value in (row.times_the_peer, row.times_the_limit)),
        row.goal or "-",
        "-" if row.peak is None else f"{row.peak / MIB:+.1f} MiB",
    )


def _quantity(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "share":
        return f"{value:.2%}"
    if unit == "n":
        return f"{value:.0f}"
    if unit == "B":
        return f"{value / MIB:.1f} MiB"
    for name, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {name}" if value < 100 * size else f"{value / size:.0f} {name}"
    return f"{value * 1e6:.3g} us"


def _run_for_peak() -> None:
    """`python -m benchmarks.harness MODULE FUNCTION ARGUMENTS`: do it, print the peak."""
    module, function, packed = sys.argv[1:]
    *arguments, work = json.loads(packed)
    getattr(import_module(module), function)(*arguments, work=work)
    print(own_peak())


if __name__ == "__main__":
    _run_for_peak()
