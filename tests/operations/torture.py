"""Torture of a follower: one round of a writer and a reader that are killed and begun again at random.

`python -m tests.operations.torture ROUNDS [SEED]` runs rounds until one fails; the test samples them.
The writer appends in pieces of random sizes with pauses, is killed inside a message, and then takes back
what it had not finished, or goes on behind it; now and then another file takes the name. The reader is
the real command with `--state`, its output a file; it is killed at random, and begun again.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.operations.streams import buffered, streaming
from tests.processes import PATIENCE, TGMTOOL, environment, wait_until
from tgmtool import MessageSpan, scan

_WRITER = str(Path(__file__).with_name("torture_writer.py"))
_LAST = 1 << 30  # the step of the message that is written last of all
_SHAPES = ((2, 3), (30, 40), (100, 100))


class Round:
    """One round in a folder of its own."""

    def __init__(self, folder: Path, seed: int, *, watch: str) -> None:
        self.chance = random.Random(seed)
        self.path = folder / "run.tgm"
        self.path.write_bytes(b"")
        self.folder = folder
        self.out = folder / "out"
        every = self.chance.choice(("0", "0", "30ms", "1s"))
        self.words = [
            *(
                *TGMTOOL,
                "tail",
                "-f",
                "-j",
                "-s",
                "20ms",
                "--settle",
                "50ms",
                "--stall",
                "100ms",
                "--watch",
                watch,
            ),
            *("--state", str(folder / "state"), "--state-every", every, str(self.path)),
        ]
        self.next_step = 0
        self.generations: list[
            list[tuple[int, ...]]
        ] = []  # the steps of whole messages of files that are gone
        self.kills: list[int] = []  # how long the output was when a reader was killed
        self.replaced = 0
        self.reader: subprocess.Popen[bytes] | None = None
        self.done: list[str] = []

    # ---- the reader

    def start(self, *more: str) -> None:
        with self.out.open("ab") as out, (self.folder / "err").open("ab") as err:
            self.reader = subprocess.Popen([*self.words, *more], stdout=out, stderr=err, env=environment())

    def kill(self) -> None:
        if self.reader is not None:
            self.reader.kill()
            self.reader.wait()
            self.kills.append(self.out.stat().st_size)

    def alive(self) -> bool:
        """Begin the reader again if it refused its state, which it may after the file was replaced."""
        assert self.reader is not None
        status = self.reader.poll()
        if status is None:
            return True
        assert status == 7, f"the reader ended with {status}: {(self.folder / 'err').read_text()}"
        assert self.generations, "the state was refused although the file was never replaced"
        self.kills.append(self.out.stat().st_size)
        self.start("--state-reset")
        return False

    def records(self) -> list[tuple[int, Any]]:
        """Return every line with where it stands in the output."""
        found, at = [], 0
        for line in self.out.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                with contextlib.suppress(ValueError):  # cut by a kill, and the next life's line behind it
                    found.append((at, json.loads(line)))
            at += len(line)
        return found

    def events(self, name: str) -> int:
        return sum(record.get("event") == name for _, record in self.records())

    # ---- the writer

    def message(self) -> bytes:
        count = self.chance.randint(1, 3)
        steps = range(self.next_step, self.next_step + count)
        self.next_step += count
        shape = self.chance.choice(_SHAPES)
        if self.chance.random() < 0.4:
            return buffered(steps, shape=shape)
        return streaming(steps, shape=shape, backfill=self.chance.random() < 0.3)

    def write(self, *, kill: bool) -> None:
        data = b"".join(self.message() for _ in range(self.chance.randint(1, 4)))
        if kill and self.chance.random() < 0.7:  # at any byte, not only where it takes its time
            data, kill = data[: self.chance.randrange(1, len(data))], False
        store = self.folder / f"data{self.next_step}"
        store.write_bytes(data)
        plan, at = [], 0
        largest = self.chance.choice([40, 1000, 65_536])
        while at < len(data):
            size = self.chance.randint(1, max(largest, len(data) // 60))
            plan.append((self.chance.choice([0, 0, 0, 1, 5]), str(store), at, size))
            at += size
        todo = self.folder / "plan"
        todo.write_text(json.dumps(plan))
        writer = subprocess.Popen([sys.executable, "-I", "-S", _WRITER, str(self.path), str(todo)])
        if kill:
            time.sleep(self.chance.uniform(0.02, 0.12))  # anywhere in its work, which has no events
            writer.kill()
        writer.wait(PATIENCE)

    def whole(self) -> tuple[list[tuple[int, ...]], int]:
        """Return the steps of each whole message, and where the last of them ends."""
        end, steps = 0, []
        listed = scan(self.path, unit="message", assume_dead=True)
        spans = [found for found in listed if isinstance(found, MessageSpan)]
        by_message: dict[int, list[int]] = {span.offset: [] for span in spans}
        for one in scan(self.path, assume_dead=True):
            if getattr(one, "status", "") == "ok":
                by_message[one.message_offset].append(one.metadata["mars"]["step"])  # type: ignore[union-attr]
        for span in spans:
            steps.append(tuple(by_message[span.offset]))
            end = span.offset + span.length
        return steps, end

    def mend(self) -> None:
        """Take back what was not finished, or go on behind it."""
        if self.chance.random() < 0.5:
            os.truncate(self.path, self.whole()[1])

    def fill(self, step: int) -> bytes:
        """Two messages, that a torn one before them may well hide."""
        return buffered([step - 1]) + buffered([step])

    def replace(self) -> None:
        """Let another file take the name, when the reader has this one open."""
        seen = self.events("replaced")
        if not self.is_reading():
            return
        with self.path.open("ab") as file:
            file.write(self.fill(self.next_step + 1))
            self.next_step += 2
        self.generations.append(self.whole()[0])
        other = self.folder / "other"
        other.write_bytes(self.message())
        os.rename(other, self.path)
        wait_until(lambda: self.events("replaced") > seen or not self.alive(), "the new file")
        assert self.events("replaced") > seen, "the reader went away"

    def is_reading(self) -> bool:
        """Write one more message, and wait until it is there: the reader has this file open."""
        step = self.next_step + 1
        self.next_step += 2
        with self.path.open("ab") as file:
            file.write(self.fill(step))
        wait_until(lambda: self.alive() and self.has(step), f"step {step}")
        return True

    def has(self, step: int) -> bool:
        return any(step in steps_in(record) for _, record in self.records())

    # ---- the round

    def run(self) -> None:
        self.start()
        try:
            for _ in range(self.chance.randint(4, 9)):
                action = self.chance.choice(["write", "write", "torn", "torn", "kill", "kill", "replace"])
                self.done.append(action)
                if action == "kill":
                    self.kill()
                    if self.chance.random() < 0.5:
                        self.write(kill=False)
                    self.start()
                elif action == "replace":
                    self.replace()
                else:
                    self.write(kill=action == "torn")
                    self.mend()
            with self.path.open("ab") as file:
                file.write(self.fill(_LAST))
            wait_until(lambda: self.alive() and self.has(_LAST), "the last message")
        finally:
            assert self.reader is not None
            self.reader.kill()
            self.reader.wait()
        self.check()

    def check(self) -> None:
        """Every whole message at least once, in order in each file, whole; twice only after a kill."""
        expected = [
            step for generation in (*self.generations, self.whole()[0]) for one in generation for step in one
        ]
        place: dict[int, list[int]] = {}
        for at, step in enumerate(expected):
            place.setdefault(step, []).append(at)
        reached = -1  # of expected
        begins = True  # a reader's life begins
        kills = [*self.kills, 1 << 60]
        for offset, record in self.records():
            while offset >= kills[0]:
                kills.pop(0)
                begins = True
            for step in steps_in(record):
                if step not in place:
                    continue  # of a message that its writer did not finish
                options = [at for at in place[step] if at == reached + 1 or (begins and at <= reached + 1)]
                assert options, f"step {step} came after {expected[reached]}, killed {len(self.kills)} times"
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


def one_round(seed: int) -> None:
    """Run a round; every other one without notices."""
    with tempfile.TemporaryDirectory() as folder:
        found = Round(Path(folder), seed, watch=("auto", "off")[seed % 2])
        try:
            found.run()
        except BaseException as error:
            error.add_note(f"seed {seed}: {found.done}")
            raise


def main() -> None:
    rounds, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for number in range(seed, seed + rounds):
        one_round(number)
        if number % 10 == 9:
            print(f"{number - seed + 1} rounds", flush=True)


if __name__ == "__main__":
    main()
