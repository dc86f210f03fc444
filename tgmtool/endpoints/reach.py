"""What a remote place is asked for, and how patiently: one contact, then ranges.

It is separate so that HTTP, which checks every answer, and what fsspec knows beside it look the same
to `remote`, and so that waiting and trying again are written once.
"""

from __future__ import annotations

import random
import threading
import time
from abc import ABC, abstractmethod
from typing import NamedTuple

from ..errors import SourceError
from .access import Patience
from .base import Bytes


class Contact(NamedTuple):
    """What the first contact with an object tells.

    Attributes:
        size: Of the object, in bytes.
        offset: Where `data` stands.
        data: Its last bytes, or its first ones, or nothing.
        version: What tells this version of the object from others, as far as its place says; an ETag or
            a time.
        modified: When it was changed, in seconds since 1970; None where nobody says.
    """

    size: int
    offset: int
    data: Bytes
    version: str = ""
    modified: float | None = None


class MissingObject(SourceError):
    """There is no such object, or none any more."""


class Unreachable(SourceError):
    """It was tried often enough, or long enough; later it may be there again."""


class ObjectChanged(SourceError):
    """What is there now is another version of the object than the one that was met first."""


class Passing(Exception):
    """A failure that may pass: trying again makes sense.

    Attributes:
        after: Seconds for which the server asks us to wait.
    """

    def __init__(self, text: str, *, after: float | None = None) -> None:
        super().__init__(text)
        self.after = after


class Reach(ABC):
    """A remote object that can be read in ranges, from several threads.

    Attributes:
        name: For messages, without secrets.
        requests: Requests that were sent.
        received: Bytes of the object that arrived.
    """

    name: str
    requests = 0
    received = 0

    @abstractmethod
    def contact(self, size: int) -> Contact:
        """Return the object's size and, in the same round trip where that can be, its last `size` bytes.

        What is read from now on is of the same version of the object, or an error.

        Raises:
            MissingObject: It is not there.
            SourceError: It cannot be reached, or not be read in ranges.
        """

    @abstractmethod
    def contact_again(self, size: int) -> Contact | None:
        """As `contact`, for the version that is there now; None if that is the one we know.

        Nothing else may be read meanwhile.

        Raises:
            MissingObject, SourceError: As `contact`.
        """

    @abstractmethod
    def fill(self, offset: int, room: memoryview) -> None:
        """Read exactly the bytes that stand at `offset` into `room`, all of it.

        Raises:
            ObjectChanged: Another version is there now.
            SourceError: The place failed.
        """

    def fetch(self, offset: int, size: int) -> Bytes:
        """Return exactly `size` bytes that stand at `offset`; raises as `fill`."""
        room = memoryview(bytearray(size))
        self.fill(offset, room)
        return room

    @abstractmethod
    def close(self) -> None:
        """Let go of it; reads in other threads fail."""


class Attempts:
    """Counts failures in a row and waits between them.

    Args:
        name: The place, for messages.
        patience: How often and how long.
        closed: Set when nobody waits for the result any more.
    """

    def __init__(self, name: str, patience: Patience, closed: threading.Event) -> None:
        self._name = name
        self._patience = patience
        self._closed = closed
        self._failures = 0
        self._began = time.monotonic()

    def progress(self) -> None:
        """Something arrived: failures before it do not count."""
        self._failures = 0
        self._began = time.monotonic()

    def wait_for_next(self, failure: Passing) -> None:
        """Return when it is time to try again.

        Raises:
            Unreachable: It was tried often enough, or long enough.
        """
        patience = self._patience
        self._failures += 1
        most = min(patience.first_delay * 2 ** (self._failures - 1), patience.longest_delay)
        delay = max(random.uniform(most / 2, most), failure.after or 0.0)  # noqa: S311  # jitter, no secret
        elapsed = time.monotonic() - self._began
        if self._failures > patience.retries or elapsed + delay > patience.total:
            tried = f"{self._failures} attempts" if self._failures > 1 else "1 attempt"
            asked = failure.after or 0.0
            wait = f", and asks to wait {asked:.0f} s" if asked > patience.total else ""
            raise Unreachable(f"{failure}{wait} (gave up after {tried})", uri=self._name) from failure
        if self._closed.wait(delay):
            raise SourceError("closed while it was read", uri=self._name)
