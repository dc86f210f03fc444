"""Stages as they are written: `CMD ARGS`, `4*CMD ARGS`, `@name ARGS`.

It is separate because it is a small language of its own, read before anything is started.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import NamedTuple

from ...errors import EncodeError

PROCESS, WORKERS, BUILTIN = "process", "workers", "builtin"
_WORKERS = re.compile(r"\s*(\d+)\*(.*)", re.DOTALL)
_MOST_WORKERS = 1024


class Spec(NamedTuple):
    """One stage.

    Attributes:
        text: As it was written.
        kind: PROCESS (lives as long as the stream), WORKERS (one run per message) or BUILTIN.
        words: The command and its arguments.
        runs: How many at once.
    """

    text: str
    kind: str
    words: tuple[str, ...]
    runs: int = 1

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return os.path.basename(self.words[0]) or self.words[0]


def parse(text: str) -> Spec:
    """Read one stage. Words are split as a shell does; no shell ever sees them.

    Raises:
        EncodeError: It cannot be read.
    """
    found = _WORKERS.fullmatch(text)
    rest = found[2] if found else text
    try:
        words = tuple(shlex.split(rest))
    except ValueError as error:
        raise EncodeError(f"stage {text!r}: {str(error).lower()}") from None
    if not words:
        raise EncodeError(f"stage {text!r} is empty, expected a command, N*COMMAND or @NAME")
    builtin = words[0].startswith("@")
    if not found:
        return Spec(text, BUILTIN if builtin else PROCESS, words)
    count = int(found[1])
    if builtin:
        raise EncodeError(f"stage {text!r}: {words[0]} is built in, it does not run several times")
    if not 1 <= count <= _MOST_WORKERS:
        raise EncodeError(f"stage {text!r}: {count} runs at once, expected 1 to {_MOST_WORKERS}")
    return Spec(text, WORKERS, words, count)
