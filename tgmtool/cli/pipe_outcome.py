"""How a run of `pipe` ended: its exit status, and the record that `--summary` writes.

It is separate from the command because scripts rely on both, and neither needs an option to be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..operations.pipe.engine import PipeReport
from ..operations.pipe.failures import Interrupted, StageFailed
from . import exits


def status_of(report: PipeReport) -> int:
    """Return the exit status of a run."""
    failure = report.failure
    if isinstance(failure, Interrupted):
        return 128 + failure.number
    if isinstance(failure, StageFailed):
        if failure.status is not None:
            return failure.status
        return exits.status_of(failure.__cause__) if failure.__cause__ is not None else exits.FAILED
    if failure is not None:
        return exits.status_of(failure)
    if report.producer_error is not None:
        return exits.PRODUCER_ERROR
    return exits.LOSS if report.losses else exits.OK


def record_of(report: PipeReport, status: int, name: str) -> dict[str, Any]:
    """Return the record that `--summary` writes."""
    place = report.producer_error
    failure = report.failure
    return {
        "type": "pipe",
        "name": name,
        "status": status,
        "failure": None if failure is None else exits.text_of(failure) or type(failure).__name__,
        "stage": report.stage,
        "messages": report.messages,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 6),
        "losses": list(report.losses),
        "producer_error": None if place is None else place.to_map(),
        "links": [
            {
                "before": link.before,
                "after": link.after,
                "messages": link.messages,
                "bytes": link.bytes,
                "peak": link.peak,
                "capacity": link.capacity,
            }
            for link in report.links
        ],
    }


def write_summary(place: str, record: Mapping[str, Any]) -> None:
    """Write the record to a file that appears whole; `-` is stderr."""
    from ..endpoints.local import FileSink, write_all
    from ..operations.records import json_text

    line = json_text(record).encode() + b"\n"
    if place == "-":
        write_all(2, [line])
        return
    with FileSink(place, private=True) as sink:
        sink.write([line])
