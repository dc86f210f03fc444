"""A remote object that is looked at again and again: it may grow, be replaced, go away and come back.

It is separate from `remote`, which keeps to one version: here a version follows another, and it is
told whether what was read so far is still what stands there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from ..errors import SourceError
from .access import Access
from .base import Bytes
from .ranges import Range, RangeSource
from .reach import MissingObject, ObjectChanged, Unreachable
from .remote import RemoteSource, Spent, open_remote
from .secrets import redact_url

_HEAD, _END = 1 << 10, 4 << 10  # bytes by which what was read is recognised
SAME, GROWN, CHANGED, GONE = "same", "grown", "changed", "gone"


class PolledObject(RangeSource):
    """An object behind a URL, in the version that `refresh` met last; opened when it is first needed.

    Args:
        url: Where it is.
        access: How it is reached.
        reconnect: Seconds for which `refresh` finds nothing new while nobody answers.
        opened: Opens the URL.
    """

    seekable = True

    def __init__(
        self,
        url: str,
        access: Access | None = None,
        *,
        reconnect: float = 30.0,
        opened: Callable[[str, Access | None], RemoteSource] = open_remote,
    ) -> None:
        self.name = redact_url(url)
        self._url = url
        self._access = access
        self._reconnect = reconnect
        self._opened = opened
        self._source: RemoteSource | None = None
        self._fresh = False
        self._failed_since: float | None = None
        self._is_gone = False
        self._forget()

    @property
    def spent(self) -> Spent:
        """Requests, bytes and seconds so far."""
        return Spent(0, 0, 0.0) if self._source is None else self._source.spent

    def _forget(self) -> None:
        self._head = b""
        self._end = 0  # of what was read (bytes from the start of the object)
        self._last = b""  # what stands before it

    def _now(self) -> RemoteSource:
        if self._source is None:
            self._source = self._opened(self._url, self._access)
            self._fresh = True
        return self._source

    def refresh(self) -> str:
        """Look whether there is another version, and turn to it.

        Returns:
            SAME; GROWN: another one, and the first and the last bytes of what was read still stand there;
            CHANGED: what was read may not be there any more; GONE: there is no object now.

        Raises:
            SourceError: It cannot be read; nobody answered for too long.
        """
        source = self._now()
        if self._fresh:
            self._fresh = False
            return SAME
        try:
            renewed = source.renew()
            if not renewed and not self._is_gone:
                self._failed_since = None
                return SAME
            self._is_gone = False
            still = self._still_there(source)
        except MissingObject:
            self._failed_since = None
            self._is_gone = True
            return GONE
        except ObjectChanged:
            return SAME  # again; the next look will tell
        except Unreachable:
            now = time.monotonic()
            self._failed_since = self._failed_since or now
            if now - self._failed_since >= self._reconnect:
                raise
            return SAME
        self._failed_since = None
        if still:
            return GROWN
        self._forget()
        return CHANGED

    def _still_there(self, source: RemoteSource) -> bool:
        """Return whether the object begins and goes on as it was read."""
        if source.size() < self._end:
            return False
        start = self._end - len(self._last)
        source.prefetch([Range(0, len(self._head)), Range(start, self._end)])
        return (
            _exactly(source, 0, len(self._head)) == self._head
            and _exactly(source, start, len(self._last)) == self._last
        )

    # ---- reading

    def size(self) -> int:
        """Return the size of the version that was met last; 0 if there is none."""
        return 0 if self._is_gone else self._now().size()

    def read_at(self, offset: int, size: int) -> Bytes:
        """Return all the bytes there are of the wanted ones; nothing when another version is there now."""
        if self._is_gone:
            return b""
        try:
            found = _exactly(self._now(), offset, size)
        except (ObjectChanged, MissingObject):
            return b""
        if offset == 0 and len(found) > len(self._head):
            self._head = found[:_HEAD]
        if (end := offset + len(found)) > self._end:
            # What is skipped was not read: then the piece is all there is to go by.
            before = self._last if offset == self._end else b""
            self._end, self._last = end, (before + found[-_END:])[-_END:]
        return found

    def read_apart(self, offset: int, size: int) -> Bytes:
        """As `read_at`."""
        return self.read_at(offset, size)

    def prefetch(self, wanted: Iterable[Range]) -> None:
        """Get these ranges, as far as the version that was met last is still there."""
        if not self._is_gone:
            try:
                self._now().prefetch(wanted)
            except (ObjectChanged, MissingObject):
                return

    def stream(self, wanted: Range) -> Iterator[Bytes]:
        """Yield the bytes of a range in order."""
        return self._now().stream(wanted)

    def keep_from(self, offset: int) -> int:
        """Everything can be asked for again."""
        return 0

    def close(self) -> None:
        """Close the connections."""
        if self._source is not None:
            self._source.close()


def _exactly(source: RemoteSource, offset: int, size: int) -> bytes:
    size = min(size, source.size() - offset)
    found = bytearray()
    while len(found) < size:
        piece = source.read_at(offset + len(found), size - len(found))
        if not piece:
            raise SourceError(f"byte {offset}: ends short", uri=source.name)
        found += memoryview(piece)[: size - len(found)]
    return bytes(found)
