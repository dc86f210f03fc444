"""Reports as SARIF 2.1.0: for code scanning services and viewers of analysis results.

It is separate because SARIF wants the table of codes as rules, places as URIs and byte regions, and
texts in which braces and brackets mean something. It is printed file by file all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ... import __version__
from ...operations.findings import CODES, NOTE, TABLE, WARNING, Finding, Report
from ...operations.records import json_text
from ..console import safe
from .base import ReportWriter, finding_record

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {WARNING: "warning", NOTE: "note"}  # all others are errors
_INDEX = {name: number for number, name in enumerate(CODES)}
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://[^/]*)(.*)", re.DOTALL)
_KEPT = "/:?#@!$&'()*+,;=%"  # what may stand in a URL as it is


class SarifWriter(ReportWriter):
    """Prints one run with a result per finding.

    A file that cannot be read is no result but a notification of the run, which then did not succeed.
    """

    def __init__(self, write: Callable[[str], object], **options: bool) -> None:
        super().__init__(write, **options)
        self._is_open = False
        self._results = 0
        self._unreadable: list[Report] = []

    def _add(self, report: Report) -> None:
        if report.unreadable:
            self._unreadable.append(report)
            return
        seen: dict[str, int] = {}
        lines = []
        for found in report.findings:
            key = f"{found.code}|{report.source}|{found.message_index}|{found.object_index}"
            seen[key] = seen.get(key, 0) + 1
            lines.append(json_text(self._result(report.source, found, f"{key}|{seen[key]}")))
        if lines:
            before = self._head() + (",\n" if self._results else "")
            self._results += len(lines)
            self._write(before + ",\n".join(lines))

    def end(self) -> None:
        """Close the document."""
        invocation: dict[str, Any] = {"executionSuccessful": not self._unreadable}
        if self._unreadable:
            invocation["toolExecutionNotifications"] = [
                {
                    "level": "error",
                    "message": {"text": _message(report.unreadable)},
                    "locations": [{"physicalLocation": _artifact(report.source)}],
                }
                for report in self._unreadable
            ]
        self._write(f'{self._head()}\n],"invocations":[{json_text(invocation)}]}}]}}\n')

    def _head(self) -> str:
        if self._is_open:
            return ""
        self._is_open = True
        driver = {"name": "tgmtool", "version": __version__, "rules": [_rule(row.name) for row in TABLE]}
        tool = json_text({"driver": driver})
        return f'{{"$schema":"{_SCHEMA}","version":"2.1.0","runs":[{{"tool":{tool},"results":[\n'

    def _result(self, source: str, found: Finding, identity: str) -> dict[str, Any]:
        severity = self.severity(found)
        location: dict[str, Any] = _artifact(source)
        if found.offset is not None:
            location["region"] = {"byteOffset": found.offset, "byteLength": found.length}
        record = finding_record(found, severity)
        return {
            "ruleId": found.code,
            "ruleIndex": _INDEX[found.code],
            "level": _LEVELS.get(severity, "error"),
            "message": {"text": _message(found.text)},
            "locations": [{"physicalLocation": location}],
            "partialFingerprints": {"tgmtoolFinding/v1": _fingerprint(identity)},
            "properties": {name: record[name] for name in ("severity", "message", "object")},
        }


def _rule(name: str) -> dict[str, Any]:
    code = CODES[name]
    return {
        "id": code.name,
        "shortDescription": {"text": code.text},
        "defaultConfiguration": {"level": _LEVELS.get(code.severity, "error")},
        "properties": {"level": code.level, "severity": code.severity, "ours": code.is_ours},
    }


def _artifact(source: str) -> dict[str, Any]:
    return {"artifactLocation": {"uri": uri_of(source)}}


def uri_of(source: str) -> str:
    """Return a source's name as a URI: relative for relative paths, `file:` for absolute ones."""
    import os
    from urllib.parse import quote

    if url := _URL.fullmatch(source):
        host, path = url.groups()
        return quote(host, safe=_KEPT + "[]") + quote(path, safe=_KEPT)
    path = quote(os.fsencode(source.removeprefix("./")))
    return f"file://{path}" if path.startswith("/") else path


def _message(text: str) -> str:
    """Return text as SARIF wants it: braces doubled, and no `[text](place)` of a file becomes a link."""
    return safe(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _fingerprint(identity: str) -> str:
    """Return the same for the same finding in every run, wherever in the file it stands."""
    from hashlib import sha256

    return sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]
