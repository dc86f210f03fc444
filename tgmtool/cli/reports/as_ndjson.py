"""Reports as JSON lines: a record per finding, then one per file.

It is separate because it is the form to stream: a reader can act on a file before the next is read.
"""

from __future__ import annotations

from ...operations.findings import Report
from ...operations.records import json_text
from .base import ReportWriter, finding_record, report_record


class NdjsonWriter(ReportWriter):
    """Prints `"type": "finding"` and `"type": "report"` lines; schemas validate-finding, validate-report."""

    def _add(self, report: Report) -> None:
        records = [
            {"type": "finding", "_file": report.source, **finding_record(found, self.severity(found))}
            for found in report.findings
        ]
        records.append({"type": "report", **report_record(report, self)})
        self._write("".join(json_text(record) + "\n" for record in records))

    def end(self) -> None:
        """Every line was printed when it came."""
