"""Reports for people: `file:offset: error[code] msg 3 obj 2: what was found, what was expected`.

It is separate because it alone is read on a terminal: whatever comes from a file, its name
included, is escaped, and nothing that can be left out is said.
"""

from __future__ import annotations

from ...operations.findings import ERROR, INCOMPLETE, NOTE, UNCHECKED, WARNING, Finding, Report
from ..console import safe
from .base import FAILING, ReportWriter, contents, place_of

_COLORS = {ERROR: "1;31", INCOMPLETE: "1;31", UNCHECKED: "1;31", WARNING: "1;33", NOTE: "36", "valid": "32"}
_ALWAYS = frozenset({"suppressed"})  # a note, but who does not know it takes a part for the whole


class TextWriter(ReportWriter):
    """Prints a line per finding as it comes, and one summary line at the end."""

    def _add(self, report: Report) -> None:
        lines = [self._line(report, found) for found in report.findings if self._is_shown(found)]
        if report.unreadable:
            lines = [f"{safe(report.source)}: {self._painted(ERROR, ERROR)}: {safe(report.unreadable)}"]
        elif self._verbose and not self._quiet and self.verdict(report) == "valid":
            hashes = ", every digest is right" if report.hash_verified else ""
            held = contents(report.messages, report.objects, report.size)
            lines.append(f"{safe(report.source)}: {self._painted('valid', 'valid')}: {held}{hashes}")
        if lines:
            self._write("\n".join(lines) + "\n")

    def end(self) -> None:
        """Print the summary line."""
        if not self._quiet:
            self._write(self.totals.line() + "\n")

    def _is_shown(self, found: Finding) -> bool:
        severity = self.severity(found)
        if self._quiet:
            return severity in FAILING
        return severity != NOTE or self._verbose or found.code in _ALWAYS

    def _line(self, report: Report, found: Finding) -> str:
        severity = self.severity(found)
        offset = "" if found.offset is None else f":{found.offset}"
        place = place_of(found)
        word = self._painted(f"{severity}[{found.code}]", severity)
        return f"{safe(report.source)}{offset}: {word}{' ' if place else ''}{place}: {safe(found.text)}"

    def _painted(self, text: str, kind: str) -> str:
        return f"\x1b[{_COLORS[kind]}m{text}\x1b[0m" if self._color else text
