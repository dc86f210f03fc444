"""Produce, inspect and follow Tensogram v3 (`.tgm`) stream files.

The names below are the public interface; each is imported when it is first used, so that
`import tgmtool` costs next to nothing. A `source` is a path, `-` (stdin), bytes, a binary file or a
Source; offsets are in bytes from its start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .endpoints.memory import MemorySink, MemorySource, ScriptedSource
    from .errors import (
        CannotResume,
        CodecUnavailable,
        DigestMismatch,
        EncodeError,
        FormatError,
        FramingError,
        LimitExceeded,
        MetadataError,
        PayloadError,
        SourceError,
        TgmError,
        TimeLimit,
        TruncatedError,
    )
    from .limits import Limits
    from .messages.assembly import Message
    from .messages.metadata import Metadata, Provenance
    from .messages.objects import DataObject, Elements, decode_range
    from .messages.spans import FrameSpan, Gap, MessageSpan, Notice, ObjectSpan
    from .operations.backfill import LengthPlan, backfill
    from .operations.findings import Finding, Report
    from .operations.numbering import Stream
    from .operations.pipe.choices import PipeChoices
    from .operations.pipe.engine import PipeReport, pipeline
    from .operations.pipe.failures import StageFailed
    from .operations.read import decode, encode, read, write
    from .operations.requirements import Policy
    from .operations.salvage import SalvagePlan, salvage
    from .operations.scan import scan
    from .operations.tail import atail, tail
    from .operations.validate import validate
    from .operations.writer import StreamWriter, Style

_HOMES = {
    "endpoints.memory": ("MemorySink", "MemorySource", "ScriptedSource"),
    "errors": (
        "CannotResume",
        "CodecUnavailable",
        "DigestMismatch",
        "EncodeError",
        "FormatError",
        "FramingError",
        "LimitExceeded",
        "MetadataError",
        "PayloadError",
        "SourceError",
        "TgmError",
        "TimeLimit",
        "TruncatedError",
    ),
    "limits": ("Limits",),
    "messages.assembly": ("Message",),
    "messages.metadata": ("Metadata", "Provenance"),
    "messages.objects": ("DataObject", "Elements", "decode_range"),
    "messages.spans": ("FrameSpan", "Gap", "MessageSpan", "Notice", "ObjectSpan"),
    "operations.backfill": ("LengthPlan", "backfill"),
    "operations.findings": ("Finding", "Report"),
    "operations.numbering": ("Stream",),
    "operations.pipe.choices": ("PipeChoices",),
    "operations.pipe.engine": ("PipeReport", "pipeline"),
    "operations.pipe.failures": ("StageFailed",),
    "operations.read": ("decode", "encode", "read", "write"),
    "operations.salvage": ("SalvagePlan", "salvage"),
    "operations.scan": ("scan",),
    "operations.tail": ("atail", "tail"),
    "operations.requirements": ("Policy",),
    "operations.validate": ("validate",),
    "operations.writer": ("StreamWriter", "Style"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "CannotResume",
    "CodecUnavailable",
    "DataObject",
    "DigestMismatch",
    "Elements",
    "EncodeError",
    "Finding",
    "FormatError",
    "FrameSpan",
    "FramingError",
    "Gap",
    "LengthPlan",
    "LimitExceeded",
    "Limits",
    "MemorySink",
    "MemorySource",
    "Message",
    "MessageSpan",
    "Metadata",
    "MetadataError",
    "Notice",
    "ObjectSpan",
    "PayloadError",
    "PipeChoices",
    "PipeReport",
    "Policy",
    "Provenance",
    "Report",
    "SalvagePlan",
    "ScriptedSource",
    "SourceError",
    "StageFailed",
    "Stream",
    "StreamWriter",
    "Style",
    "TgmError",
    "TimeLimit",
    "TruncatedError",
    "atail",
    "backfill",
    "decode",
    "decode_range",
    "encode",
    "pipeline",
    "read",
    "salvage",
    "scan",
    "tail",
    "validate",
    "write",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'tgmtool' has no attribute {name!r}")
    found = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
