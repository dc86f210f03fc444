"""stdin, stdout, stderr, is-a-terminal and colour: one replaceable object.

It is separate because every byte that reaches a person or a pipe goes through here: flushed line
by line, escaped, and with its failures noticed.
"""

from __future__ import annotations

import os
import sys
import unicodedata

_SHOWN_AT_MOST = 200
_COLUMNS = 80
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_INVISIBLE = frozenset("\u200b\u200c\u200d\u2060\ufeff\u2028\u2029")


def safe(text: str, limit: int | None = None) -> str:
    """Return `text` so that it cannot steer a terminal: every control is shown by its number in hex.

    Args:
        text: Anything, from a file or a stranger.
        limit: Characters after which it is cut.
    """
    plain = text.isascii() and text.isprintable()
    shown = text if plain else "".join(map(_shown, text))
    if limit is not None and len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    return shown


def _shown(char: str) -> str:
    code = ord(char)
    if char in _BIDI or char in _INVISIBLE or unicodedata.category(char) in {"Cs", "Cc", "Cn", "Co"}:
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return char


class Console:
    """Where output goes.

    Args:
        color: "auto", "always" or "never".
        quiet: Say nothing on stderr but errors.
        verbose: Say more on stderr.
    """

    def __init__(self, *, color: str = "auto", quiet: bool = False, verbose: bool = False) -> None:
        self._color = color
        self.quiet = quiet
        self.verbose = verbose

    @property
    def is_terminal(self) -> bool:
        """Somebody looks at stdout."""
        try:
            return os.isatty(1)
        except OSError:
            return False

    @property
    def width(self) -> int:
        """Columns of the terminal; 80 where there is none, or it does not know."""
        try:
            return os.get_terminal_size(1).columns or _COLUMNS  # 0: nobody has said
        except OSError:
            return _COLUMNS

    def colored(self, stream: int = 1) -> bool:
        """Return whether to colour: --color, then NO_COLOR, FORCE_COLOR, CLICOLOR, CLICOLOR_FORCE."""
        if self._color != "auto":
            return self._color == "always"
        environ = os.environ
        if environ.get("NO_COLOR"):
            return False
        if environ.get("FORCE_COLOR") or environ.get("CLICOLOR_FORCE", "0") not in {"", "0"}:
            return True
        if environ.get("CLICOLOR") == "0" or environ.get("TERM") == "dumb":
            return False
        try:
            return os.isatty(stream)
        except OSError:
            return False

    def line(self, text: str) -> None:
        """Write a line to stdout, at once.

        Raises:
            BrokenPipeError: The reader went away.
            OSError: It cannot be written.
        """
        self.write(text + "\n")

    def write(self, text: str) -> None:
        """Write text to stdout, at once. Errors as `line`."""
        from ..endpoints.local import write_all

        write_all(1, [text.encode("utf-8", "backslashreplace")])

    def note(self, text: str) -> None:
        """Tell the operator something, on stderr, unless they want quiet."""
        if not self.quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Write one line to stderr; text from files in it is escaped, secrets of URLs are hidden."""
        if "://" in text:
            from ..endpoints.secrets import redact

            text = redact(text)
        try:
            os.write(2, f"tgmtool: {safe(text)}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            return  # nobody listens; the exit status still says it


def guard_descriptors() -> None:
    """Fill the standard descriptors that are closed, so that no data file is opened in their place.

    stdout is filled with something that cannot be written: output that is lost must fail.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)


def leave_stdout_alone() -> None:
    """Keep Python from flushing into a pipe whose reader is gone while it exits."""
    if sys.stdout is None:  # it was closed when we started
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
