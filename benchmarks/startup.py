"""How long does a command take that has nearly nothing to do?

Whole processes, from the start to the end: the console script of this environment with `--version`,
`--help` and `scan` of a small file with its output into a pipe. There is no peer; the limit is
`python -I -c pass` of the same interpreter, which runs in turns with them. Both the median and the
fastest run are shown: the fastest says more on a busy machine. Modules are compiled beforehand (in
the round that is not counted), as an installer does, whatever the environment says about bytecode.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from .harness import Row, Scale, alternate, command, main, timed


def rows(scale: Scale, folder: Path) -> Iterator[Row]:
    """Measure all commands in turns."""
    import numpy as np

    import tgmtool

    path = folder / "small.tgm"
    tgmtool.write(
        path, [(np.ones((2, 3), np.float32), {"name": "t2m", "mars": {"step": n}}) for n in range(3)]
    )
    environment = {
        **os.environ,
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    jobs = {
        "--version": ("<= 4 x limit", command("--version")),
        "--help": ("<= 4 x limit", command("--help")),
        "scan": ("<= 8 x limit", command("scan", str(path))),
    }
    nothing = [sys.executable, "-I", "-c", "pass"]
    contestants = {name: timed(partial(_run, words, environment)) for name, (_, words) in jobs.items()}
    contestants["limit"] = timed(partial(_run, nothing, environment))
    samples = alternate(contestants, scale.choose(25, 3))
    for what, of in (("median", statistics.median), ("fastest", min)):
        for name, (goal, _) in jobs.items():
            yield Row(
                f"start-up, {name}, {what}",
                of(samples[name]),
                goal,
                limit=of(samples["limit"]),
                samples={"ours": samples[name], "limit": samples["limit"]},
            )


def _run(words: list[str], environment: dict[str, str]) -> None:
    subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True)


if __name__ == "__main__":
    main(rows)
