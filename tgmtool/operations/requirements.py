"""What a caller requires of a file beyond the format, and what is made of findings because of it.

It is separate because whoever requires something (`policies`, `stream_policy`, the command) need not know
how a file is walked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ..messages.objects import DataObject
from .findings import ERROR, INCOMPLETE, NOTE, Finding
from .inspection import Inspected

ObjectPolicy = Callable[[DataObject, Mapping[str, Any]], Iterator[tuple[str, str]]]
"""A look at an object and its message's keys: yields (code, text) of what a caller has against it."""
MessagePolicy = Callable[[Inspected, Callable[[int, int], bytes | memoryview]], Iterator[tuple[str, str]]]
"""A look at each message in order, and at its bytes by `(offset, size)`: yields (code, text)."""
FilePolicy = Callable[[], Iterator[tuple[str, str]]]
"""A look at what did not come: yields (code, text)."""


class Policy(NamedTuple):
    """What a caller requires beyond the format.

    Attributes:
        strict: Warnings count as errors.
        allow_empty: An empty file is valid.
        allow_incomplete: A cut message at the end is not held against the file.
        min_messages: Fewer whole messages are an error.
        require_hash: A message without digests is an error.
        ignore: Codes that are not reported.
        errors: Codes that are errors whatever they are otherwise.
        objects: Looks at each object.
        messages: Looks at each message, in order.
        ends: Looks at the file after its last object.
    """

    strict: bool = False
    allow_empty: bool = False
    allow_incomplete: bool = False
    min_messages: int = 0
    require_hash: bool = False
    ignore: frozenset[str] = frozenset()
    errors: frozenset[str] = frozenset()
    objects: tuple[ObjectPolicy, ...] = ()
    messages: tuple[MessagePolicy, ...] = ()
    ends: tuple[FilePolicy, ...] = ()

    def judged(self, finding: Finding) -> Finding | None:
        """Return what is made of a finding: None if it is not to be reported."""
        if finding.code in self.ignore or (finding.code == "empty_file" and self.allow_empty):
            return None
        if finding.weight == INCOMPLETE and self.allow_incomplete:
            return finding._replace(severity=NOTE)
        return finding._replace(severity=ERROR) if finding.code in self.errors else finding
