"""Reports as workflow commands of GitHub Actions: findings become annotations of the files.

It is separate for its two escapes, and its order: of each kind only the first ten of a step are
shown, so that of each file errors stand before warnings, and those before notes.
"""

from __future__ import annotations

from ...operations.findings import NOTE, WARNING, Finding, Report
from ..console import safe
from .base import FAILING, UNREADABLE, ReportWriter, place_of

_KINDS = {WARNING: "warning", NOTE: "notice"}
_ORDER = ("error", "warning", "notice")


class GithubWriter(ReportWriter):
    """Prints an annotation per finding as it comes; the summary line at the end is for the log."""

    def _add(self, report: Report) -> None:
        if report.unreadable:
            self._write(_command("error", report.source, UNREADABLE, report.unreadable))
            return
        shown = [found for found in report.findings if not self._quiet or self.severity(found) in FAILING]
        shown.sort(key=lambda found: _ORDER.index(self._kind(found)))
        lines = [
            _command(self._kind(found), report.source, found.code, f"{_where(found)}{found.text}")
            for found in shown
        ]
        if lines:
            self._write("".join(lines))

    def end(self) -> None:
        """Print the summary line, which is no annotation."""
        if not self._quiet:
            self._write(self.totals.line() + "\n")

    def _kind(self, found: Finding) -> str:
        return _KINDS.get(self.severity(found), "error")


def _where(found: Finding) -> str:
    words = [] if found.offset is None else [f"byte {found.offset}"]
    place = place_of(found)
    words += [place] if place else []
    return f"{', '.join(words)}: " if words else ""


def _command(kind: str, file: str, title: str, text: str) -> str:
    return f"::{kind} file={_property(file)},title={_property(title)}::{_data(text)}\n"


def _data(text: str) -> str:
    """Escape the text of a command; controls other than line ends are shown, as on a terminal."""
    lines = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return safe(lines)


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
