"""A writer of reports: what every format has in common.

It is separate so that all formats agree on what is an error, what a file's verdict is, and how
many there were.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from ...operations.findings import ERROR, INCOMPLETE, UNCHECKED, WARNING, Finding, Report

FAILING = frozenset({ERROR, INCOMPLETE, UNCHECKED})
UNREADABLE = "unreadable"
VERDICTS = ("valid", "invalid", "incomplete", "unchecked", UNREADABLE)


class ReportWriter(ABC):
    """Writes reports, file after file, in the order in which they come.

    Args:
        write: Takes text; all pieces together are the document.
        strict: Warnings count as errors.
        verbose: Formats for people also show notes, and files that are valid.
        quiet: Formats for people show only what makes a file fail.
        color: Colour what is for people.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        strict: bool = False,
        verbose: bool = False,
        quiet: bool = False,
        color: bool = False,
    ) -> None:
        self._write = write
        self._strict = strict
        self._verbose = verbose
        self._quiet = quiet
        self._color = color
        self.totals = Totals()

    def add(self, report: Report) -> None:
        """Take the report of one file; formats that can be streamed print it at once.

        Raises:
            OSError: What `write` raises.
        """
        self.totals.add(report, self.verdict(report), self.counts(report.findings))
        self._add(report)

    @abstractmethod
    def _add(self, report: Report) -> None: ...

    @abstractmethod
    def end(self) -> None:
        """Print what is left. Without this call a document is cut, and visibly so.

        Raises:
            OSError: What `write` raises.
        """

    def severity(self, found: Finding) -> str:
        """Return how much a finding weighs; under `strict` a warning is an error."""
        return ERROR if self._strict and found.weight == WARNING else found.weight

    def verdict(self, report: Report) -> str:
        """Return one of VERDICTS."""
        if report.unreadable:
            return UNREADABLE
        if any(self.severity(found) == ERROR for found in report.findings):
            return "invalid"
        return report.verdict

    def counts(self, findings: Iterable[Finding]) -> dict[str, int]:
        """Return how many findings are errors and how many warnings."""
        weights = [self.severity(found) for found in findings]
        return {"errors": weights.count(ERROR), "warnings": weights.count(WARNING)}


class Totals:
    """Sums over all files.

    Attributes:
        sums: By name: files, each of VERDICTS, messages, objects, bytes, errors, warnings.
    """

    def __init__(self) -> None:
        names = ("files", *VERDICTS, "messages", "objects", "bytes", "errors", "warnings")
        self.sums = dict.fromkeys(names, 0)

    def add(self, report: Report, verdict: str, counts: dict[str, int]) -> None:
        """Count one file in."""
        for name, more in (
            ("files", 1),
            (verdict, 1),
            ("messages", report.messages),
            ("objects", report.objects),
            ("bytes", report.size),
            *counts.items(),
        ):
            self.sums[name] += more

    def line(self) -> str:
        """Return the sums as one line for people."""
        sums = self.sums
        verdicts = ", ".join(f"{sums[name]} {name}" for name in VERDICTS if sums[name])
        files = plural(sums["files"], "file") + (f": {verdicts}" if verdicts else "")
        return f"{files}; {contents(sums['messages'], sums['objects'], sums['bytes'])}"


def place_of(found: Finding) -> str:
    """Return "msg 3 obj 2", the part of it that is known, or ""."""
    parts = (("msg", found.message_index), ("obj", found.object_index))
    return " ".join(f"{name} {number}" for name, number in parts if number is not None)


def finding_record(found: Finding, severity: str) -> dict[str, Any]:
    """Return a finding as a plain map: what JSON formats hold."""
    return {
        "code": found.code,
        "level": found.level,
        "severity": severity,
        "message": found.message_index,
        "object": found.object_index,
        "offset": found.offset,
        "length": found.length,
        "text": found.text,
    }


def report_record(report: Report, writer: ReportWriter) -> dict[str, Any]:
    """Return what is said of a file as a plain map, without its findings."""
    return {
        "_file": report.source,
        "verdict": writer.verdict(report),
        "messages": report.messages,
        "objects": report.objects,
        "bytes": report.size,
        "hash_verified": report.hash_verified,
        **writer.counts(report.findings),
        "unreadable": report.unreadable or None,
    }


def contents(messages: int, objects: int, size: int) -> str:
    """Return "120 messages, 480 objects, 1.2 MB"."""
    return f"{plural(messages, 'message')}, {plural(objects, 'object')}, {_size(size)}"


def plural(number: int, noun: str) -> str:
    """Return the number and its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _size(number: int) -> str:
    if number < 1000:
        return plural(number, "byte")
    for unit, factor in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("PB", 1e15)):
        if number < 999.95 * factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number / 1e18:.1f} EB"
