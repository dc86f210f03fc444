"""Ranges of an object over HTTP(S), where every answer is checked before it is believed.

It is separate, and not fsspec's, because what must be checked is what fsspec does not show: the
range and the length of each answer, its ETag, and whether the server heard that a range was wanted.
"""

from __future__ import annotations

import http.client
import re
import threading
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from .. import __version__
from ..errors import SourceError
from .access import Patience
from .address import Address, is_region
from .connections import Answer, Connections, credentials, text_of
from .pin import Pin
from .reach import Attempts, Contact, MissingObject, ObjectChanged, Passing, Reach
from .redirects import MOST_REDIRECTS, origin_of, redirected
from .secrets import redact

_NUMBER = r"[0-9]{1,19}"  # no object is longer, and int() would refuse very many digits
_CONTENT_RANGE = re.compile(rf"bytes (?:({_NUMBER})-({_NUMBER})|\*)/({_NUMBER}|\*)")
_LENGTH = re.compile(_NUMBER)
_CHUNK = 1 << 20
_FIRST = 64 << 10  # bytes of a first contact
_WHOLE = 1 << 20  # an object that is not longer is taken whole from a server that knows no ranges
_PROGRESS = 1 << 16  # bytes before a drop that make it a new one
_LEAST = 1024  # bytes in the time of a stall: less is none
_LATER = {408, 429, 500, 502, 503, 504}
_REDIRECTS = {301, 302, 303, 307, 308}
_ELSEWHERE = {301, 307, 400}  # what S3 answers for a bucket in another region
_NO_SUFFIX = {405, 501}  # answers of places that know ranges, but not "the last N bytes"
_NO_VERSION = {403, 404}  # the version may not be asked for, or is gone; the object may still be there
_REASON_SHOWN = 80  # characters
_REASON = re.compile(rb"<Code>([A-Za-z0-9]{1,40})</Code>")
_FORBIDDEN = (
    "these credentials (or none) may not read it, or they are wrong or expired, "
    "or it does not exist and listing is not allowed either"
)


class _Wanted(NamedTuple):
    """What is asked for.

    Attributes:
        first: First byte; None for the last `size` bytes.
        size: How many.
        pin: The version that it must be; None for whatever is there.
        known: The version that need not be sent again.
    """

    first: int | None
    size: int
    pin: Pin | None = None
    known: Pin | None = None

    @property
    def range(self) -> str:
        return (
            f"bytes=-{self.size}"
            if self.first is None
            else f"bytes={self.first}-{self.first + self.size - 1}"
        )


class HttpReach(Reach):
    """An object behind a URL.

    Args:
        address: What to ask for.
        patience: How long to wait, how often to try.
        cross_origin: Follow redirects to other servers, as far as `redirects` allows.
        whole: Largest object that is taken whole from a server that knows no ranges, in bytes.
    """

    def __init__(
        self,
        address: Address,
        *,
        patience: Patience = Patience(),  # noqa: B008  # a frozen value
        cross_origin: bool = False,
        whole: int = 0,
    ) -> None:
        self.name = address.name
        self._address = address
        self._patience = patience
        self._cross_origin = cross_origin
        self._whole = max(whole, _WHOLE)
        self._pin: Pin | None = None
        self._lock = threading.Lock()
        self._connections = Connections(self.name, patience, self._count)

    def contact(self, size: int) -> Contact:
        """Return size and last bytes of the object, and pin its version."""
        found = self._meet(_Wanted(None, size))
        assert found is not None
        return found

    def contact_again(self, size: int) -> Contact | None:
        """As `contact`; the server need not send again what we know."""
        return self._meet(_Wanted(None, size, known=self._pin))

    def _meet(self, wanted: _Wanted) -> Contact | None:
        attempts = self._attempts()
        while True:
            got = _Filling(memoryview(bytearray(max(wanted.size, _FIRST))))
            try:
                self._pin, offset = self._receive(wanted, got)
                break
            except _Unchanged:
                return None
            except _NoSuffix:
                wanted = wanted._replace(first=0, size=_FIRST)
            except Passing as failure:
                attempts.wait_for_next(failure)
        pin = self._pin
        if pin.whole is not None:
            return Contact(pin.size, 0, pin.whole[:_FIRST], pin.text, pin.changed_at)
        return Contact(pin.size, offset, got.view[: got.size], pin.text, pin.changed_at)

    def fill(self, offset: int, room: memoryview) -> None:
        """Read exactly these bytes; after a drop, only what is missing is asked for again."""
        pin = self._pin
        assert pin is not None
        got = _Filling(room)
        attempts = self._attempts()
        while got.size < len(room) and pin.whole is None:
            before = got.size
            try:
                self._receive(_Wanted(offset + before, len(room) - before, pin), got)
            except Passing as failure:
                if got.size - before >= _PROGRESS:
                    attempts.progress()
                attempts.wait_for_next(failure)
            else:
                # Less than was asked for is allowed; byte by byte it would never end.
                if got.size < len(room) and got.size - before < _PROGRESS and pin.whole is None:
                    attempts.wait_for_next(Passing("the server sends less than was asked for"))
        if pin.whole is not None:
            room[:] = pin.whole[offset : offset + len(room)]

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def _attempts(self) -> Attempts:
        return Attempts(self.name, self._patience, self._connections.closed)

    def _count(self) -> None:
        with self._lock:
            self.requests += 1

    # ---- one request

    def _receive(self, wanted: _Wanted, got: _Filling) -> tuple[Pin, int]:
        """Ask for a range and append it to `got`; return of which version it is, and where it stands."""
        version = wanted.pin.version if wanted.pin else None
        url, allowed = self._address.url(version), MOST_REDIRECTS
        while True:
            headers = self._headers(url, wanted)
            connection, answer = self._connections.ask(url, headers, first=wanted.pin is None)
            done = False
            asked = url
            try:
                if version is not None and answer.status in _NO_VERSION:
                    assert wanted.pin is not None
                    version = wanted.pin.version = None
                    url = self._address.url()
                    continue
                if answer.status in _ELSEWHERE and self._address.moved(
                    answer.headers.get("x-amz-bucket-region", "")
                ):
                    url = self._address.url(version)
                    continue
                if answer.status in _REDIRECTS and answer.headers.get("Location"):
                    url = self._redirected(url, answer.headers["Location"], allowed)
                    allowed -= 1
                    continue
                pin, offset = self._begin(answer, wanted)
                if answer.status == 206:
                    self._read(answer, self._length(answer, offset, wanted), got)
                    done = not answer.chunked
                    answer.close()
                return pin, offset
            finally:
                self._connections.give_back(asked, connection, done=done and not answer.will_close)

    def _redirected(self, url: str, location: str, allowed: int) -> str:
        if not allowed:
            raise SourceError(f"more than {MOST_REDIRECTS} redirects", uri=self.name)
        return redirected(url, location, cross_origin=self._cross_origin, name=self.name)

    def _headers(self, url: str, wanted: _Wanted) -> dict[str, str]:
        found = {
            "Range": wanted.range,
            "Accept-Encoding": "identity",
            "User-Agent": f"tgmtool/{__version__}",
        }
        if wanted.pin is not None and wanted.pin.etag and not wanted.pin.etag.startswith("W/"):
            found["If-Match"] = wanted.pin.etag
        if wanted.known is not None:
            found["Cache-Control"] = "no-cache"
            if wanted.known.etag:
                found["If-None-Match"] = wanted.known.etag
        first = urlsplit(self._address.url())
        # Whoever is redirected to gets no password that was meant for another.
        if origin_of(first) == origin_of(urlsplit(url)) and (known := credentials(first)):
            found["Authorization"] = known
        return found

    def _begin(self, answer: Answer, wanted: _Wanted) -> tuple[Pin, int]:
        """Check the head of an answer; return the version, and where its body stands in the object."""
        status, pin, first = answer.status, wanted.pin, wanted.first
        if status == 304 and wanted.known is not None:
            raise _Unchanged
        if status == 412:
            raise self._changed("the server has another version now")
        if status in _LATER:
            raise Passing(f"the server answers {_status_of(answer)}", after=_retry_after(answer))
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        total = int(found[3]) if found and found[3] != "*" else None
        if status == 416:
            return self._nothing_there(answer, wanted, total)
        if status in _NO_SUFFIX and first is None:
            raise _NoSuffix
        if status == 200:
            return self._whole_body(answer, wanted), 0
        if status != 206:
            raise self._refused(answer)
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise SourceError("the server compresses a range, and it cannot be told of what", uri=self.name)
        if found is None or found[1] is None:
            raise SourceError("206 without a Content-Range: what it sends cannot be placed", uri=self.name)
        start, stop = int(found[1]), int(found[2]) + 1
        if first is not None and (start != first or stop > first + wanted.size):
            asked = f"{first}-{first + wanted.size - 1}"
            raise SourceError(
                f"the server sends bytes {start}-{stop - 1} where {asked} were asked for", uri=self.name
            )
        if total is None and pin is None:
            raise SourceError("the server does not say how long the object is", uri=self.name)
        if not start < stop <= (stop if total is None else total):
            raise SourceError(f"the server sends bytes {start}-{stop - 1} of {found[3]}", uri=self.name)
        return self._version(answer, wanted, total), start

    def _nothing_there(self, answer: Answer, wanted: _Wanted, total: int | None) -> tuple[Pin, int]:
        """Take a 416: an empty object, one that became shorter, or a server that knows no suffixes."""
        if wanted.pin is not None:
            raise self._changed("it became shorter")
        if total == 0:
            return self._version(answer, wanted, 0), 0
        if wanted.first is None:
            raise _NoSuffix
        raise SourceError("416: the server refuses the range", uri=self.name)

    def _version(self, answer: Answer, wanted: _Wanted, total: int | None) -> Pin:
        """Return the version that an answer is of, if it is the one that is wanted."""
        if wanted.known is not None and wanted.known.differs(total, answer) is None:
            raise _Unchanged
        if wanted.pin is None:
            assert total is not None
            return Pin(total, answer)
        if how := wanted.pin.differs(total, answer):
            raise self._changed(how)
        return wanted.pin

    def _changed(self, how: str) -> ObjectChanged:
        return ObjectChanged(f"the object changed while it was read: {how}", uri=self.name)

    def _refused(self, answer: Answer) -> SourceError:
        """Return what an answer means that is none to our question."""
        status = answer.status
        region = answer.headers.get("x-amz-bucket-region", "")
        if status in _ELSEWHERE and is_region(region):
            return SourceError(f"the bucket is in another region: --region {region}", uri=self.name)
        if status == 401:
            return SourceError("401: it wants credentials", uri=self.name)
        if status in {404, 410}:
            return MissingObject(f"{status}: there is no such object", uri=self.name)
        code = b""
        with suppress(OSError, http.client.HTTPException):
            named = _REASON.search(answer.read(_LEAST))
            code = named[1] if named else b""
        reason = f" ({code.decode()})" if code else ""
        if status == 403:
            return SourceError(f"403 forbidden{reason}: {_FORBIDDEN}", uri=self.name)
        return SourceError(f"the server answers {_status_of(answer)}{reason}", uri=self.name)

    def _whole_body(self, answer: Answer, wanted: _Wanted) -> Pin:
        """Take a 200 for what it is: the server did not hear that a range was wanted."""
        length = answer.headers.get("Content-Length")
        size = int(length) if length and _LENGTH.fullmatch(length) else None
        part = answer.headers.get("Content-Range")
        if part is not None and part != f"bytes 0-{(size or 0) - 1}/{size}":
            raise SourceError("the server says 200, all of it, and names a range of it", uri=self.name)
        if size is None or size > self._whole:
            said = "the object" if size is None else f"all {size} bytes"
            raise SourceError(
                f"the server ignores Range and sends {said}; --allow-full-read takes that", uri=self.name
            )
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise SourceError("the server compresses the object although it must not", uri=self.name)
        pin = self._version(answer, wanted, size)
        everything = _Filling(memoryview(bytearray(size)))
        self._read(answer, size, everything)
        pin.whole = bytes(everything.view)
        return pin

    def _length(self, answer: Answer, offset: int, wanted: _Wanted) -> int:
        """Return how many bytes come; what the range and the body say must agree."""
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        assert found is not None
        length = int(found[2]) + 1 - offset
        if length > max(wanted.size, _FIRST):
            raise SourceError(f"the server sends {length} bytes where fewer were asked for", uri=self.name)
        said = answer.headers.get("Content-Length")
        if said is not None and said.strip() != str(length):
            raise SourceError(f"the server sends {said} bytes for a range of {length}", uri=self.name)
        return length

    def _read(self, answer: Answer, length: int, got: _Filling) -> None:
        """Append `length` bytes of the body to `got`; what came before a failure is kept."""
        stall = self._patience.stall
        left = length
        mark, since = time.monotonic(), 0
        try:
            while left:
                answer.allow(stall)
                arrived = got.receive(answer, min(_CHUNK, left))
                if not arrived:
                    raise Passing(f"the connection closed {left} bytes before the end of the range")
                left -= arrived
                since += arrived
                with self._lock:
                    self.received += arrived
                if (now := time.monotonic()) - mark > stall:
                    if since < _LEAST:
                        raise Passing(f"reading: only {since} bytes in {now - mark:.0f} s")
                    mark, since = now, 0
        except TimeoutError:
            raise Passing(f"reading: no data for {stall:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise Passing(f"reading: {text_of(error)}") from None


class _Filling:
    """Room for a range that arrives in pieces: read into it, never joined.

    Args:
        view: As large as the range; at most a piece of what we asked for, or of what is allowed.
    """

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.size = 0

    def receive(self, answer: Answer, most: int) -> int:
        """Take what has arrived of the body, up to `most` bytes; return how many."""
        room = self.view[self.size : self.size + most]
        if answer.chunked:
            piece = answer.read1(most)
            room[: len(piece)] = piece
            arrived = len(piece)
        else:
            # The response's own `readinto` waits until all is there, and loses count when it does not come.
            arrived = answer.fp.readinto1(room)
        self.size += arrived
        return arrived


class _NoSuffix(Exception):
    """The server does not know what the last bytes of an object are."""


class _Unchanged(Exception):
    """The version that we know is still the one that is there."""


def _status_of(answer: Answer) -> str:
    """Return an answer's status and what the server says about it, which may be anything."""
    return f"{answer.status} {redact(answer.reason)[:_REASON_SHOWN]}".rstrip()


def _retry_after(answer: Answer) -> float | None:
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    with suppress(ValueError, TypeError):
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    return None
