"""Run a command for each unit of a stream: its words are fixed, only values are filled in.

It is separate because it is the one place where what stands in a stranger's file reaches another
program: as a whole argument, never through a shell, and never as an option.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from ..endpoints.local import describe
from ..errors import TgmError
from .keys import Keys, fill

_GRACE = 5.0  # seconds between SIGTERM and SIGKILL


class CommandFailed(TgmError):
    """The command could not be run, or did not end well; which, and for what."""


class CommandLine:
    """A command line with `{key}` in its words.

    It is split as a shell would, once, and run without one: in a process group of its own, with nothing
    to read. What it prints goes where our own output goes.

    Args:
        text: The command line.
        timeout: Seconds after which it is ended and counts as failed; None: never.
        name: What to call it in messages.

    Raises:
        ValueError: It cannot be split, is empty, a brace is not closed, or the program's name has a key.
    """

    def __init__(self, text: str, timeout: float | None = None, *, name: str = "--exec") -> None:
        words = shlex.split(text)
        if not words:
            raise ValueError("there is no command in it")
        if "{" in words[0].replace("{{", ""):
            raise ValueError(f"the program's name {words[0]!r} must not come from the stream")
        self._name = name
        self._timeout = timeout
        self._words: list[tuple[str, Callable[[Keys], str]]] = [(word, fill(word)) for word in words]

    @property
    def program(self) -> str:
        """What is run."""
        return self._words[0][1](Keys({}))

    def words(self, keys: Keys) -> list[str]:
        """Return the words with the values filled in.

        Raises:
            CommandFailed: A value would be taken for an option, or cannot be an argument at all.
        """
        found = []
        for word, filled in self._words:
            text = filled(keys)
            if text.startswith("-") and word.startswith("{") and not word.startswith("{{"):
                raise CommandFailed(
                    f"{self._name}: {word} is {text[:100]!r}, which the command could take for an option; "
                    f"write it behind something, as in --name={word}"
                )
            if "\0" in text:
                raise CommandFailed(f"{self._name}: {word} holds a NUL, which no argument can")
            found.append(text)
        return found

    def run(self, keys: Keys, held: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Run it for one unit, and wait for its end. Whatever interrupts the wait ends it.

        Args:
            keys: Of the unit.
            held: Holds interruptions back while the process begins: one that came then would leave it
                running, with nobody who knows of it.

        Raises:
            CommandFailed: As the name says.
        """
        words = self.words(keys)
        where = _where(keys)
        process: subprocess.Popen[bytes] | None = None
        try:
            with held():
                process = subprocess.Popen(  # noqa: S603  # the user's own command, and no shell
                    words, stdin=subprocess.DEVNULL, process_group=0
                )
            status = process.wait(self._timeout)
        except subprocess.TimeoutExpired as error:
            assert process is not None
            _end(process)
            text = f"{self._name}: {words[0]!r} did not end within {self._timeout:g} s{where}; it was stopped"
            raise CommandFailed(text) from error
        except BaseException as error:
            if process is not None:
                _end(process)
            if not isinstance(error, OSError | ValueError):
                raise
            reason = describe(error) if isinstance(error, OSError) else str(error)
            raise CommandFailed(f"{self._name}: {words[0]!r} cannot be run{where}: {reason}") from error
        if status:
            how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
            raise CommandFailed(f"{self._name}: {words[0]!r} {how}{where}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
            return
    process.wait()


def _where(keys: Keys) -> str:
    names = (("_file", "of"), ("_msg", "message"), ("_obj", "object"))
    said = [f"{word} {keys.own[name]}" for name, word in names if name in keys.own]
    return f" for {', '.join(said[1:])} {said[0]}" if len(said) > 1 else ""
