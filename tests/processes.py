"""Run the command line as real processes, and wait for what they do, never for a time."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple, Self

PATIENCE = 60.0  # seconds after which what never happens is a failure
TGMTOOL = (sys.executable, "-m", "tgmtool")
_NOT_INHERITED = (
    *("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "SOURCE_DATE_EPOCH"),
    "PYTHONDONTWRITEBYTECODE",  # every process would compile everything again
)

# Under nohup, or behind `&` in a script, a process is deaf to some signals, and so is all that it starts.
for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)

LIMITED = {"PYTHONDONTWRITEBYTECODE": "1"}
"""For who may write small files only: Python would cut a compiled module, which nobody could import then."""


class Ended(NamedTuple):
    """How a process ended: its exit status and what it wrote."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without what changes the tool's behaviour."""
    known = os.environ.items()
    kept = {k: v for k, v in known if not k.startswith("TGMTOOL_") and k not in _NOT_INHERITED}
    return {**kept, **(changes or {})}


def run(
    words: tuple[str, ...], *, stdin: bytes = b"", env: Mapping[str, str] | None = None, cwd: Any = None
) -> Ended:
    """Run a program to its end."""
    done = subprocess.run(
        words, input=stdin, capture_output=True, env=environment(env), cwd=cwd, timeout=PATIENCE, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr.decode())


def tgmtool(
    *words: object, stdin: bytes = b"", env: Mapping[str, str] | None = None, cwd: Any = None
) -> Ended:
    """Run a command line to its end."""
    return run((*TGMTOOL, *map(str, words)), stdin=stdin, env=env, cwd=cwd)


def shell(script: str, *words: object, stdin: bytes = b"") -> Ended:
    """Run a shell script to its end; `"$@"` in it is the tool with `words`."""
    return run(("bash", "-c", script, "bash", *TGMTOOL, *map(str, words)), stdin=stdin)


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Return as soon as `condition` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited for {what}, in vain")
        threading.Event().wait(0.005)


class Running:
    """A process that runs while the test goes on; killed at the end of the block."""

    def __init__(self, *words: object, env: Mapping[str, str] | None = None, program: Any = TGMTOOL) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # until the end of the block
        self.process = subprocess.Popen(
            (*program, *map(str, words)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(env),
            bufsize=0,
        )
        self._waiting = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def send(self, data: bytes) -> None:
        """Write to its stdin."""
        assert self.process.stdin is not None
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view) :]

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def line(self) -> bytes:
        """Return its next line; empty if it closed stdout."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self._waiting:
            if not select.select([descriptor], [], [], PATIENCE)[0]:
                raise AssertionError(f"no line came; stderr so far: {self.errors!r}")
            chunk = os.read(descriptor, 65536)
            if not chunk:
                return b""
            self._waiting += chunk
        line, _, self._waiting = self._waiting.partition(b"\n")
        return line

    def rest(self) -> list[bytes]:
        """Return all its further lines, to the end."""
        found = []
        while line := self.line():
            found.append(line)
        return found

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Return its exit status."""
        return self.process.wait(PATIENCE)

    @property
    def errors(self) -> str:
        """What it wrote to stderr so far."""
        return os.pread(self._errors.fileno(), 1 << 20, 0).decode()
