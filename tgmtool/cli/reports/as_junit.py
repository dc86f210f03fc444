"""Reports as JUnit XML: one test case per file, for CI systems that show test results.

It is separate because its counts stand in front: nothing is printed before the last file is known.
The elements and attributes are those that the schemas of the common readers share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...operations.findings import NOTE, Finding, Report
from ..console import safe
from .base import FAILING, UNREADABLE, ReportWriter, place_of

_CLASS = "tgmtool.validate"


class JunitWriter(ReportWriter):
    """Collects test cases and prints them at the end.

    An invalid or incomplete file is a failure, one that could not be read or checked an error.
    """

    def __init__(self, write: Callable[[str], object], **options: bool) -> None:
        super().__init__(write, **options)
        self._cases: list[str] = []
        self._failures = self._errors = 0

    def _add(self, report: Report) -> None:
        inner = self._outcome(report) + self._remarks(report)
        self._cases.append(
            f'<testcase classname="{_CLASS}" name={_quoted(report.source)} time="0">{inner}</testcase>\n'
        )

    def end(self) -> None:
        """Print the document."""
        counts = f'tests="{len(self._cases)}" failures="{self._failures}" errors="{self._errors}"'
        self._write(
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<testsuites name="{_CLASS}" {counts} time="0">\n'
            f'<testsuite name="{_CLASS}" {counts} skipped="0" time="0">\n'
            f"{''.join(self._cases)}</testsuite>\n</testsuites>\n"
        )

    def _outcome(self, report: Report) -> str:
        """Return the element that says why a file fails, or ""."""
        if report.unreadable:
            self._errors += 1
            return _element("error", UNREADABLE, report.unreadable, [report.unreadable])
        failing = [found for found in report.findings if self.severity(found) in FAILING]
        verdict = self.verdict(report)
        if verdict == "valid":
            return ""
        name = "error" if verdict == "unchecked" else "failure"
        if name == "error":
            self._errors += 1
        else:
            self._failures += 1
        kind, text = (failing[0].code, failing[0].text) if failing else (verdict, verdict)
        more = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
        return _element(name, kind, text + more, map(self._line, failing))

    def _remarks(self, report: Report) -> str:
        """Return what does not make the file fail, or ""."""
        found = [] if self._quiet else [one for one in report.findings if self._is_remark(one)]
        return f"<system-out>{_text(map(self._line, found))}</system-out>" if found else ""

    def _is_remark(self, found: Finding) -> bool:
        severity = self.severity(found)
        return severity not in FAILING and (self._verbose or severity != NOTE)

    def _line(self, found: Finding) -> str:
        offset = "" if found.offset is None else f"byte {found.offset}: "
        place = place_of(found)
        return f"{offset}{self.severity(found)}[{found.code}]{' ' if place else ''}{place}: {found.text}"


def _element(name: str, kind: str, message: str, lines: Iterable[str]) -> str:
    return f"<{name} type={_quoted(kind)} message={_quoted(message)}>{_text(lines)}</{name}>"


def _text(lines: Iterable[str]) -> str:
    return "\n".join(map(_escaped, lines))


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    """Return text for XML 1.0 in ASCII: what XML forbids is among what `safe` shows by its number."""
    from html import escape

    return escape(safe(text)).encode("ascii", "xmlcharrefreplace").decode("ascii")
