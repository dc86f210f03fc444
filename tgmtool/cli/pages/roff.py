"""The view of a command as a man page, in the language of man(7).

It is separate because escaping is all there is to it: what a page says is decided in `reference.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contents import Page, Span

_ESCAPES = {
    "\\": "\\(rs",
    "-": "\\-",
    "'": "\\(aq",
    "`": "\\(ga",
    "^": "\\(ha",
    "~": "\\(ti",
    '"': "\\(dq",
}
_BOLD_IN_PROSE = re.compile(r"`([^`]+)`|(?<![\w-])(--?[A-Za-z][\w-]*)")


def man_page(page: Page, version: str) -> str:
    """Return the page: ASCII only, without a date."""
    lines = [
        '.\\" Written by python -m tgmtool.cli.reference; do not edit.',
        f'.TH {_escaped(page.name.upper())} 1 "" "tgmtool {version}" "tgmtool"',
        ".nh",
        ".ad l",
        ".SH NAME",
        f"{_escaped(page.name)} \\- {_escaped(page.summary.removesuffix('.'))}",
        ".SH SYNOPSIS",
        _fonts(page.synopsis),
    ]
    for section in page.sections:
        lines.append(f".SS {section.title}" if section.below else f".SH {section.title.upper()}")
        for number, text in enumerate(section.paragraphs):
            lines += [".PP", _prose(text)] if number else [_prose(text)]
        for term, text in section.items:
            lines += [".TP", _fonts(term), _prose(text)]
        for text, command in section.examples:
            lines += [".PP", _prose(text), ".PP", ".RS 4", ".EX"]
            lines += [_escaped(line) for line in command.splitlines()]
            lines += [".EE", ".RE"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    found = "".join(_ESCAPES.get(char, char) for char in text)
    return f"\\&{found}" if found.startswith(".") else found


def _fonts(spans: Iterable[Span]) -> str:
    return "".join(
        _escaped(text) if font == "R" else f"\\f{font}{_escaped(text)}\\fR" for font, text in spans if text
    )


def _prose(text: str) -> str:
    """Return a paragraph; options, and what stands in backquotes, are bold."""
    pieces = _BOLD_IN_PROSE.split(text)
    return _fonts(("B" if number % 3 else "R", piece or "") for number, piece in enumerate(pieces))
