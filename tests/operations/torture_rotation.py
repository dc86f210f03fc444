"""Torture of a follower of a writer that goes on in other files: one round of `encode --rotate`.

The writer is killed anywhere, and begun again with `--append --repair-tail`; so is the reader. Everything
that stands in the files in the end must have come.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import IO

from tests.operations.readers import Reader, check_order
from tests.operations.streams import framed, objects_in, steps_of
from tests.processes import PATIENCE, TGMTOOL, environment, wait_until

_SHAPES = ((2,), (30, 40), (200, 300))
_PIECES = (1, 60, 4096, 1 << 20)


class Rotation(Reader):
    """One round in a folder of its own."""

    def __init__(self, folder: Path, seed: int, *, watch: str) -> None:
        super().__init__(folder, seed, "-F", "--settle", "50ms", "--watch", watch)
        full = self.chance.choice(
            [("--max-messages", "1"), ("--max-messages", "3"), ("--max-bytes", "3k"), ("--max-bytes", "400k")]
        )
        group, layout = (
            self.chance.choice(["1", "2", "all"]),
            self.chance.choice(["auto", "streaming", "buffered"]),
        )
        style = ("--group", group, "--layout", layout)
        name = ("--id", "R", "--commit", "inplace", "--append", "--repair-tail")
        self.writer = [*TGMTOOL, "encode", "--from", "framed", *name, "--rotate", *full, *style]

    def run(self) -> None:
        self.start()
        try:
            for life in range(self.chance.randint(2, 4), 0, -1):
                self.write(kill=life > 1)
                if self.chance.random() < 0.5:
                    self.begin_again()
            wait_until(lambda: self.status() is not None, "the end of the stream")
        finally:
            self.end()
        assert self.status() == 0, self.errors
        files = [self.path.with_suffix(f".{number}.tgm") for number in range(1, len(os.listdir(self.folder)))]
        written = [path for path in (self.path, *files) if path.exists()]
        self.done.append(f"{len(written)} files")
        check_order([step for path in written for step in steps_of(objects_in(path))], self.out, self.kills)

    def begin_again(self) -> None:
        self.done.append("kill")
        self.kill()
        self.start()

    def write(self, *, kill: bool) -> None:
        """One life of the writer. It is killed while it works, or when it waits for more."""
        self.done.append("torn" if kill else "write")
        words = [*self.writer, "-o", str(self.path)]
        with (self.folder / "err").open("ab") as err:
            writer = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=err, env=environment(), bufsize=0)
        assert writer.stdin is not None
        killer = threading.Timer(self.chance.uniform(0.0, 0.1), writer.kill)
        try:
            for number in range(self.chance.randint(1, 12)):
                data = framed([self.next_step], self.chance.choice(_SHAPES))
                self.next_step += 1
                at = 0
                while at < len(data):
                    at += writer.stdin.write(data[at : at + self.chance.choice(_PIECES)])
                if number == 0 and kill:
                    wait_until(lambda: not waiting_in(writer.stdin), "its first read")
                    killer.start()
                if self.chance.random() < 0.1:
                    self.begin_again()
            if not kill:
                writer.stdin.close()
        except BrokenPipeError:
            assert kill, self.errors
        if kill:
            killer.join()
        status = writer.wait(PATIENCE)
        writer.stdin.close()
        assert status == (-9 if kill else 0), self.errors


def waiting_in(pipe: IO[bytes] | None) -> int:
    """How many bytes of a pipe nobody has read yet."""
    assert pipe is not None
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
