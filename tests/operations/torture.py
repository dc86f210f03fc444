"""Torture of a follower: one round of a writer and a reader that are killed and begun again at random.

`python -m tests.operations.torture ROUNDS [SEED]` runs rounds until one fails; the test samples them.
The writer appends in pieces of random sizes with pauses, is killed inside a message, and then takes back
what it had not finished, or goes on behind it; now and then another file takes the name, under the eyes
of the reader or between two of its lives. The reader is the real command with `--state`, its output a file;
it is killed at random, and begun again. In half of the rounds `encode` writes, and goes on in other files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.operations.readers import Reader, check_order, records_in, steps_in
from tests.operations.streams import buffered, streaming
from tests.operations.torture_rotation import Rotation
from tests.processes import PATIENCE, wait_until
from tgmtool import MessageSpan, scan

_WRITER = str(Path(__file__).with_name("torture_writer.py"))
_LAST = 1 << 30  # the step of the message that is written last of all
_ACTIONS = ("write", "write", "torn", "torn", "kill", "kill", "replace", "replace unseen")
_SHAPES = ((2, 3), (30, 40), (100, 100))


class Round(Reader):
    """One round in a folder of its own."""

    def __init__(self, folder: Path, seed: int, *, watch: str) -> None:
        super().__init__(folder, seed, "-f", "--settle", "50ms", "--stall", "100ms", "--watch", watch)
        self.path.write_bytes(b"")
        self.generations: list[
            list[tuple[int, ...]]
        ] = []  # the steps of whole messages of files that are gone

    def alive(self) -> bool:
        """Begin the reader again if it refused its state, which it may after the file was replaced."""
        status = self.status()
        if status is None:
            return True
        assert status == 7, f"the reader ended with {status}: {self.errors}"
        assert self.generations, "the state was refused although the file was never replaced"
        self.kills.append(self.out.stat().st_size)
        self.start("--state-reset")
        return False

    def events(self, name: str) -> int:
        return sum(record.get("event") == name for _, record in records_in(self.out))

    def has(self, step: int) -> bool:
        return any(step in steps_in(record) for _, record in records_in(self.out))

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
        self.exchange()
        wait_until(lambda: self.events("replaced") > seen or not self.alive(), "the new file")
        assert self.events("replaced") > seen, "the reader went away"

    def replace_unseen(self) -> None:
        """Let another file take the name when all of this one came and no reader is there."""
        if not self.is_reading():
            return
        self.kill()
        self.exchange()
        self.start()

    def exchange(self) -> None:
        self.generations.append(self.whole()[0])
        other = self.folder / "other"
        other.write_bytes(self.message())
        os.rename(other, self.path)

    def is_reading(self) -> bool:
        """Write one more message, and wait until it is there: the reader has this file open."""
        step = self.next_step + 1
        self.next_step += 2
        with self.path.open("ab") as file:
            file.write(self.fill(step))
        wait_until(lambda: self.alive() and self.has(step), f"step {step}")
        return True

    # ---- the round

    def run(self) -> None:
        self.start()
        try:
            for _ in range(self.chance.randint(4, 9)):
                action = self.chance.choice(_ACTIONS)
                self.done.append(action)
                if action == "kill":
                    self.kill()
                    if self.chance.random() < 0.5:
                        self.write(kill=False)
                    self.start()
                elif action == "replace":
                    self.replace()
                elif action == "replace unseen":
                    self.replace_unseen()
                else:
                    self.write(kill=action == "torn")
                    self.mend()
            with self.path.open("ab") as file:
                file.write(self.fill(_LAST))
            wait_until(lambda: self.alive() and self.has(_LAST), "the last message")
        finally:
            self.end()
        self.check()

    def check(self) -> None:
        generations = (*self.generations, self.whole()[0])
        check_order([step for one in generations for steps in one for step in steps], self.out, self.kills)


def one_round(seed: int) -> None:
    """Run a round; every other one without notices, and every other two of another writer."""
    kind = (Round, Rotation)[seed // 2 % 2]
    with tempfile.TemporaryDirectory() as folder:
        found = kind(Path(folder), seed, watch=("auto", "off")[seed % 2])
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
