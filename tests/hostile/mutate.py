"""Try mutated inputs by the million: `python -m tests.hostile.mutate --count 1000000`.

Children do the work, under a ceiling of memory; a watchdog ends one that hangs, and one that dies is
replaced. Whatever goes wrong is kept: the input's number, what happened, and the input itself.
"""

from __future__ import annotations

import argparse
import mmap
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.hostile.mutations import Mutator, attempt

CEILING = 3 << 30  # bytes of address space, of which the interpreter and the codecs take their share
PATIENCE = 60.0  # seconds that one input may take
_STEP = 0.5
_FOLDER = Path(__file__).resolve().parents[2]


class Failure(NamedTuple):
    """An input for which a promise does not hold."""

    number: int
    what: str


class Outcome(NamedTuple):
    """What came of a run."""

    done: int
    verdicts: Counter[str]
    failures: list[Failure]
    seconds: float
    megabytes: int


class _Child:
    """A process that tries the inputs of a range, and says which one it is at."""

    def __init__(self, start: int, stop: int) -> None:
        self.stop = stop
        self._place = tempfile.NamedTemporaryFile()  # noqa: SIM115  # until the child is done
        self._place.write(bytes(8))
        self._place.flush()
        self._at = mmap.mmap(self._place.fileno(), 8)
        self._output = tempfile.NamedTemporaryFile()  # noqa: SIM115
        self._begin(start)

    def _begin(self, start: int) -> None:
        self._at[:] = start.to_bytes(8, "little")
        self._seen, self._since = start, time.monotonic()
        words = [sys.executable, "-m", "tests.hostile.mutate", "--child", self._place.name]
        words += ["--first", str(start), "--count", str(self.stop - start)]
        environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
        self.process = subprocess.Popen(
            words, cwd=_FOLDER, env=environ, stdout=self._output, stderr=self._output
        )

    @property
    def at(self) -> int:
        return int.from_bytes(self._at[:], "little")

    def is_done(self, failures: list[Failure]) -> bool:
        """Look after it: end it if it hangs, replace it if it died."""
        status = self.process.poll()
        if status == 0:
            return True
        at = self.at
        if at != self._seen:
            self._seen, self._since = at, time.monotonic()
        what = ""
        if status is not None:
            what = f"the process ended with status {status}"
        elif time.monotonic() - self._since > PATIENCE:
            self.process.kill()
            self.process.wait()
            what = f"no answer for {PATIENCE:.0f} seconds"
        if what:
            failures.append(Failure(at, what))
            if at + 1 >= self.stop:
                return True
            self._begin(at + 1)
        return False

    def said(self) -> list[str]:
        return Path(self._output.name).read_text(errors="replace").splitlines()


def run(count: int, *, first: int = 0, jobs: int = 2, keep: Path | None = None) -> Outcome:
    """Try `count` inputs in `jobs` processes."""
    start = time.monotonic()
    edges = [first + count * job // jobs for job in range(jobs + 1)]
    children = [_Child(a, b) for a, b in pairwise(edges) if b > a]
    failures: list[Failure] = []
    waiting = list(children)
    told = start
    while waiting:
        time.sleep(_STEP)
        waiting = [child for child in waiting if not child.is_done(failures)]
        if time.monotonic() - told > 60:
            told = time.monotonic()
            places = ", ".join(
                f"{child.at - edges[i]}/{child.stop - edges[i]}" for i, child in enumerate(children)
            )
            said = sum(
                len([line for line in child.said() if line.startswith("FAILED")]) for child in children
            )
            print(f"{told - start:.0f} s: {places}; {said + len(failures)} failed", flush=True)
    verdicts: Counter[str] = Counter()
    peak = 0
    for child in children:
        for line in child.said():
            word, _, rest = line.partition(" ")
            if word == "VERDICT":
                name, number = rest.split()
                verdicts[name] += int(number)
            elif word == "PEAK":
                peak = max(peak, int(rest))
            elif word == "FAILED":
                number, _, what = rest.partition(" ")
                failures.append(Failure(int(number), what))
    for failure in failures:
        print(f"input {failure.number}: {failure.what}", flush=True)
    if keep is not None and failures:
        keep.mkdir(parents=True, exist_ok=True)
        mutator = Mutator()
        for failure in failures:
            (keep / f"{failure.number}.tgm").write_bytes(mutator.made(failure.number))
    return Outcome(count, verdicts, failures, time.monotonic() - start, peak)


def _work(place: str, first: int, count: int) -> None:
    """Be a child."""
    resource.setrlimit(resource.RLIMIT_AS, (CEILING, CEILING))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    mutator = Mutator()
    verdicts: Counter[str] = Counter()
    with open(place, "r+b") as file, mmap.mmap(file.fileno(), 8) as at:
        for number in range(first, first + count):
            at[:] = number.to_bytes(8, "little")
            try:
                verdicts[attempt(mutator.made(number))] += 1
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                what = f"{type(error).__name__}: {error} at {where.filename}:{where.lineno}"
                print("FAILED", number, " ".join(what.split()), flush=True)
    for name, sum_ in verdicts.items():
        print("VERDICT", name, sum_)
    with open("/proc/self/status") as status:
        (peak,) = (int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    print("PEAK", peak >> 10)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for the inputs that failed")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        _work(chosen.child, chosen.first, chosen.count)
        return 0
    found = run(chosen.count, first=chosen.first, jobs=chosen.jobs, keep=chosen.keep)
    verdicts = ", ".join(f"{number} {name}" for name, number in sorted(found.verdicts.items()))
    print(f"{found.done} inputs in {found.seconds:.0f} s, {found.megabytes} MB at most: {verdicts}")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
