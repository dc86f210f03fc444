"""What `validate` says of files, in the formats that people and CI systems read: THE table of them.

It is separate from the command so that a new format is one file and one line, and because the
command should decide what is true, not how it is spelled.
"""

from __future__ import annotations

from .as_github import GithubWriter
from .as_json import JsonWriter
from .as_junit import JunitWriter
from .as_ndjson import NdjsonWriter
from .as_sarif import SarifWriter
from .as_text import TextWriter
from .base import ReportWriter

__all__ = ["FORMATS", "ReportWriter"]

FORMATS: dict[str, type[ReportWriter]] = {
    "text": TextWriter,
    "json": JsonWriter,
    "ndjson": NdjsonWriter,
    "junit": JunitWriter,
    "sarif": SarifWriter,
    "github": GithubWriter,
}
"""THE table of report formats."""
