"""Reports as one JSON document: `{"files": […], "summary": {…}}`.

It is separate because a document has a beginning and an end; it is still printed file by file.
"""

from __future__ import annotations

from ...operations.findings import Report
from ...operations.records import json_text
from .base import ReportWriter, finding_record, report_record


class JsonWriter(ReportWriter):
    """Prints the document of schema validate-document."""

    def _add(self, report: Report) -> None:
        findings = [finding_record(found, self.severity(found)) for found in report.findings]
        before = '{"files":[\n' if self.totals.sums["files"] == 1 else ",\n"
        self._write(before + json_text({**report_record(report, self), "findings": findings}))

    def end(self) -> None:
        """Print the summary and close the document."""
        before = "\n]" if self.totals.sums["files"] else '{"files":[]'
        self._write(f'{before},"summary":{json_text(self.totals.sums)}}}\n')
