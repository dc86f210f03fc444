"""What passes through a pipeline, while it does: a live table on a terminal, a line now and then elsewhere.

It is separate from the command because it is all about looks, and because most runs never need it.
"""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from ..operations.pipe.choices import LinkState
from .console import Console, safe
from .progress import is_terminal

if TYPE_CHECKING:
    from ..operations.pipe.crew import Crew

_LIVE_PERIOD = 0.2
_BAR = 12
# Figures and the columns that they take, with a space; in a narrower terminal something gives way.
_FIGURES = {"messages": 9, "MB": 9, "MB/s": 7, "full": 6, "oldest": 9}
_WIDE, _NARROW = 78, 60
_ROOMY = 24  # columns of a name


class Meter:
    """Shows the links of a crew.

    Args:
        console: For its ideas of colour.
        when: "auto" (if stderr is a terminal), "always" (also as lines) or "never".
        title: What stands above.
        period: Seconds between two lines.
        total: Bytes that are expected; None if nobody knows.

    Attributes:
        period: Seconds between two looks; None: it does not look.
    """

    def __init__(self, console: Console, when: str, *, title: str, period: float, total: int | None) -> None:
        on_terminal = is_terminal()
        self._live_wanted = on_terminal and when != "never"
        self._lines_wanted = when == "always" and not on_terminal
        self.period = _LIVE_PERIOD if self._live_wanted else max(period, 0.01) if self._lines_wanted else None
        self._console = console
        self._title = title
        self._total = total
        self._live: Any = None
        self._next = monotonic()
        self._before: dict[int, tuple[float, int]] = {}
        self._start = monotonic()

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._live_wanted:
            from rich.console import Console as RichConsole
            from rich.live import Live

            color = self._console.colored(2)
            terminal = RichConsole(
                stderr=True, no_color=not color, highlight=False, markup=False, emoji=False
            )
            self._live = Live(console=terminal, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self.close()

    def close(self) -> None:
        """Take it away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, line: str) -> None:
        """Write a line to stderr; a live table stays below it."""
        if self._live is not None:
            self._live.console.print(line, soft_wrap=True)
            return
        try:
            os.write(2, (line + "\n").encode("utf-8", "backslashreplace"))
        except OSError:
            return  # nobody listens; the exit status still says it

    def tick(self, crew: Crew) -> None:
        """Show what there is to show, if it is time to."""
        now = monotonic()
        if self.period is None or now < self._next:
            return
        self._next = now + self.period
        links = crew.look()
        if self._live is not None:
            self._live.update(self._table(links, now), refresh=True)
        else:
            self.say(self._line(links, now))

    def _rate(self, at: int, link: LinkState, now: float) -> float:
        """Return the bytes per second since the look before."""
        then, count = self._before.get(at, (self._start, 0))
        self._before[at] = (now, link.bytes)
        return (link.bytes - count) / max(now - then, 1e-6)

    def _line(self, links: list[LinkState], now: float) -> str:
        parts = []
        for at, link in enumerate(links):
            rate = self._rate(at, link, now)
            parts.append(
                f"{safe(link.before, 40)} > {safe(link.after, 40)}: {link.messages} messages, "
                f"{link.bytes / 1e6:.1f} MB, {rate / 1e6:.1f} MB/s, "
                f"{100 * link.held / link.capacity:.0f}% full"
                + (f", oldest {link.oldest:.1f} s" if link.waiting else "")
            )
        return f"{safe(self._title, 40)}: {'; '.join(parts)}{self._far(links)}"

    def _far(self, links: list[LinkState]) -> str:
        if not self._total or not links:
            return ""
        return f"; {min(100 * links[0].bytes / self._total, 100):.0f}%"

    def _table(self, links: list[LinkState], now: float) -> Any:
        """Return the table; on a narrow terminal names are cut and columns left out, figures are not."""
        from rich.table import Table
        from rich.text import Text

        width = self._live.console.width
        figures = dict(_FIGURES)
        if width < _NARROW:
            del figures["MB"]
        if width >= _WIDE:
            figures["full"] = _BAR + 2
        names = ("from",) if width < _NARROW else ("from", "to")
        room = (width - sum(figures.values()) - len(names) - 1) // len(names)
        prefix = "" if room >= _ROOMY else "stage "
        table = Table(title=Text(f"{safe(self._title, 40)}{self._far(links)}"), box=None, pad_edge=False)
        for head in names:
            table.add_column(head, overflow="ellipsis", no_wrap=True, max_width=max(room, 4))
        for head, size in figures.items():
            table.add_column(head, justify="right", no_wrap=True, width=size, overflow="crop")
        for at, link in enumerate(links):
            share = min(link.held / link.capacity, 1.0)
            full = ("#" * round(share * _BAR)).ljust(_BAR, ".") if width >= _WIDE else f"{share:.0%}"
            cells: dict[str, Any] = {
                "from": Text(safe(link.before.removeprefix(prefix), 30)),
                "to": Text(safe(link.after.removeprefix(prefix), 30)),
                "messages": str(link.messages),
                "MB": f"{link.bytes / 1e6:.1f}",
                "MB/s": f"{self._rate(at, link, now) / 1e6:.1f}",
                "full": Text(full, style="red" if link.blocked else "green"),
                "oldest": f"{link.oldest:.1f} s" if link.waiting else "",
            }
            table.add_row(*(cells[head] for head in (*names, *figures)))
        return table
