"""The view of a command as a help page: plain text, 80 columns wide.

It is separate from the man page because people meet it in a terminal of any kind: nothing but
ASCII, nothing that needs a pager.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contents import Item, Page, Span

_WIDTH = 80
_WIDEST_TERM = 26
_EXAMPLES = 2


def help_page(page: Page) -> str:
    """Return what `tgmtool [COMMAND] --help` prints."""
    lines = [f"Usage: {_text(page.synopsis)}"]
    for section in page.sections:
        if not section.in_help:
            continue
        lines.append("")
        if section is not page.sections[0]:  # the description needs no heading
            lines.append(f"{section.title}:")
        indent = "" if section is page.sections[0] else "  "
        for number, text in enumerate(section.paragraphs):
            lines += ([""] if number else []) + _wrapped(text, indent, indent)
        lines += _items(section.items)
        for number, (text, command) in enumerate(section.examples[:_EXAMPLES]):
            lines += ([""] if number else []) + _wrapped(text, "  ", "  ")
            lines += [f"    {line}" for line in command.splitlines()]
    return "\n".join(lines) + "\n"


def _items(items: Iterable[Item]) -> Iterator[str]:
    rows = [(_text(term), text) for term, text in items]
    some_are_short = any(term[:1] == "-" != term[1:2] for term, _ in rows)
    rows = [("    " * (some_are_short and term.startswith("--")) + term, text) for term, text in rows]
    wide = min(max((len(term) for term, _ in rows), default=0), _WIDEST_TERM)
    for term, text in rows:
        if len(term) > wide or not text:
            yield f"  {term}"
            term = ""  # noqa: PLW2901  # its help begins on the next line
        yield from _wrapped(text, f"  {term:{wide}}  ", " " * (wide + 4))


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text.replace("`", ""),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _text(spans: Iterable[Span]) -> str:
    return "".join(text for _, text in spans)
