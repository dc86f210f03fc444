"""Which version of an object an answer is of.

It is separate because every range must be of the version that was met first, and because this is all
that decides about it.
"""

from __future__ import annotations

from contextlib import suppress
from email.utils import parsedate_to_datetime

from .connections import Answer


class Pin:
    """The version of the object that was met first.

    Attributes:
        size: Of the object, in bytes.
        etag: As the server names it.
        modified: When it was changed, as the server says.
        version: Its number, where the server keeps old versions and lets us ask for them.
        whole: All of it, from a server that knows no ranges.
    """

    def __init__(self, size: int, answer: Answer) -> None:
        self.size = size
        self.etag = answer.headers.get("ETag")
        self.modified = answer.headers.get("Last-Modified")
        named = answer.headers.get("x-amz-version-id")
        self.version = None if named == "null" else named
        self.whole: bytes | None = None

    @property
    def text(self) -> str:
        """What tells this version from others."""
        return self.etag or self.modified or ""

    @property
    def changed_at(self) -> float | None:
        """When it was changed, in seconds since 1970; None where the server does not say."""
        with suppress(ValueError, TypeError):
            return parsedate_to_datetime(self.modified or "").timestamp()
        return None

    def differs(self, total: int | None, answer: Answer) -> str | None:
        """Return how an answer shows another version, or None."""
        if total is not None and total != self.size:
            return f"it has {total} bytes now instead of {self.size}"
        if answer.headers.get("ETag") != self.etag:
            return "its ETag differs"
        if self.etag is None and answer.headers.get("Last-Modified") != self.modified:
            return "its time of modification differs"
        return None
