"""A reader that is killed and begun again: the real `tail --state`, and whether everything came."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.processes import TGMTOOL, environment


class Reader:
    """Follows `run.tgm` in a folder of its own; its output is a file.

    Args:
        folder: Where.
        seed: Of all chances.
        *words: More of the command line.
    """

    def __init__(self, folder: Path, seed: int, *words: str) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.path = folder / "run.tgm"
        self.out = folder / "out"
        every = self.chance.choice(("0", "0", "30ms", "1s"))
        state = ("--state", str(folder / "state"), "--state-every", every)
        self.words = [*TGMTOOL, "tail", *words, "-j", "-s", "20ms", *state, str(self.path)]
        self.next_step = 0
        self.kills: list[int] = []  # how long the output was when a reader was killed
        self.reader: subprocess.Popen[bytes] | None = None
        self.done: list[str] = []

    def start(self, *more: str) -> None:
        with self.out.open("ab") as out, (self.folder / "err").open("ab") as err:
            self.reader = subprocess.Popen([*self.words, *more], stdout=out, stderr=err, env=environment())

    def kill(self) -> None:
        if self.reader is not None:
            self.end()
            self.kills.append(self.out.stat().st_size)

    def end(self) -> None:
        assert self.reader is not None
        self.reader.kill()
        self.reader.wait()

    def status(self) -> int | None:
        """How it ended; None while it runs."""
        assert self.reader is not None
        return self.reader.poll()

    @property
    def errors(self) -> str:
        return (self.folder / "err").read_text()


def records_in(out: Path) -> list[tuple[int, Any]]:
    """Return every line with where it stands in the output."""
    found, at = [], 0
    for line in out.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            with contextlib.suppress(ValueError):  # cut by a kill, and the next life's line behind it
                found.append((at, json.loads(line)))
        at += len(line)
    return found


def check_order(expected: Sequence[int], out: Path, killed: Sequence[int]) -> None:
    """Every whole message at least once, in order in each file, whole; twice only after a kill.

    Args:
        expected: The steps of all whole messages, in their order.
        out: What the reader wrote.
        killed: How long that was at each kill.
    """
    place: dict[int, list[int]] = {}
    for at, step in enumerate(expected):
        place.setdefault(step, []).append(at)
    reached = -1  # of expected
    begins = True  # a reader's life begins
    kills = [*killed, 1 << 60]
    for offset, record in records_in(out):
        while offset >= kills[0]:
            kills.pop(0)
            begins = True
        for step in steps_in(record):
            if step not in place:
                continue  # of a message that its writer did not finish
            options = [at for at in place[step] if at == reached + 1 or (begins and at <= reached + 1)]
            assert options, f"step {step} came after {expected[reached]}, killed {len(killed)} times"
            reached = max(options)
            begins = False
    assert reached == len(expected) - 1, f"only {reached + 1} of {len(expected)} came"


def steps_in(record: Any) -> list[int]:
    """The steps of a line: of an object, or of a message."""
    if "_status" not in record:
        return []
    if "mars" in record:
        return [record["mars"]["step"]]
    return []
