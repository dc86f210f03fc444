"""The command line: THE ordered list of commands, and the way in.

A command's module is imported when the command runs. `--version` and `--help` do not even need
the parser: the help pages are made beforehand by `reference.py`, and a test keeps them true.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

COMMANDS = (
    ("encode", "Produce a stream from arrays."),
    ("tail", "Follow a stream: each object the moment its frame is whole."),
    ("scan", "List what is in files, and where."),
    ("validate", "Check files: may they be committed, can they be relied on?"),
    ("backfill", "Fill in lengths, and mend what a dead producer left."),
    ("cat-remote", "Take objects, or parts of them, out of a remote object or a file."),
    ("pipe", "Join stages with bounded buffers, and watch over them."),
)
"""THE ordered list of commands: name and what it is for. `cli/NAME.py` holds each."""

_GLOBAL_FLAGS = {"-v", "--verbose", "-q", "--quiet"}
_GLOBAL_VALUES = {"--color"}
_NAMES = tuple(name for name, _ in COMMANDS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit status. Nothing but the status leaves here as an error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    early = _answer_early(words)
    if early is not None:
        return early
    from .run import run

    return run(rewrite(words))


def _answer_early(words: list[str]) -> int | None:
    """Answer `--version` and `--help` without the parser; None if it is about something else."""
    if words and words[0] in {"-V", "--version"}:
        from .. import __version__

        if "--json" in words[1:] or "-j" in words[1:]:
            text = f'{{"tgmtool":"{__version__}","format":3}}'
        else:
            text = f"tgmtool {__version__} (Tensogram format 3)"
    elif not words:
        text = _page("tgmtool")
    elif _asks_for_help(words):
        command = next((word for word in words if word in _NAMES), None)
        text = _page("tgmtool" if command is None else f"tgmtool-{command}")
    else:
        return None
    from .console import Console, guard_descriptors

    guard_descriptors()
    try:
        Console().line(text)
    except BrokenPipeError:
        return 0
    except OSError:
        return 4
    return 0 if words else 2


def _asks_for_help(words: list[str]) -> bool:
    options = words[: words.index("--")] if "--" in words else words
    return "--help" in options or "-h" in options


def _page(name: str) -> str:
    import os

    path = os.path.join(os.path.dirname(__file__), "pages", f"{name}.txt")
    with open(path, encoding="utf-8") as page:
        return page.read().rstrip("\n")


def rewrite(words: list[str]) -> list[str]:
    """Return the words as the parser wants them.

    Global options may stand before the command: they are moved behind it. `--follow=HOW` has an
    optional value, which the parser cannot express.
    """
    before: list[str] = []
    rest = list(words)
    while rest and rest[0] not in _NAMES:
        word = rest[0]
        if word in _GLOBAL_FLAGS or word.partition("=")[0] in _GLOBAL_VALUES:
            before.append(rest.pop(0))
            if word in _GLOBAL_VALUES and rest and rest[0] not in _NAMES:
                before.append(rest.pop(0))
        else:
            break
    found = [*rest[:1], *before, *rest[1:]]
    done: list[str] = []
    for number, word in enumerate(found):
        if word == "--":
            return done + found[number:]
        if word.startswith("--follow="):
            done += ["--follow", f"--follow-how={word.partition('=')[2]}"]
        else:
            done.append(word)
    return done
