"""Ranges of an object over HTTP(S), where every answer is checked before it is believed.

It is separate, and not fsspec's, because what must be checked is what fsspec does not show: the
range and the length of each answer, its ETag, and whether the server heard that a range was wanted.
"""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from .. import __version__
from ..errors import SourceError
from .base import Bytes
from .reach import Attempts, Contact, Passing, Patience, Reach
from .redirects import MOST_REDIRECTS, origin_of, redirected
from .secrets import redact

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_CHUNK = 1 << 20
_FIRST = 64 << 10  # bytes of a first contact
_WHOLE = 1 << 20  # an object that is not longer is taken whole from a server that knows no ranges
_PROGRESS = 1 << 16  # bytes before a drop that make it a new one
_LEAST = 1024  # bytes in the time of a stall: less is none
_LATER = {408, 429, 500, 502, 503, 504}
_REDIRECTS = {301, 302, 303, 307, 308}
_NO_SUFFIX = {400, 405, 501}  # answers of places that know ranges, but not "the last N bytes"
_FORBIDDEN = (
    "403 forbidden: these credentials (or none) may not read it, or they are wrong or expired, "
    "or it does not exist and listing is not allowed either"
)

Connection = http.client.HTTPConnection


class Pin(NamedTuple):
    """The version of the object that was met first."""

    size: int
    etag: str | None
    modified: str | None


class HttpReach(Reach):
    """An object behind a URL.

    Args:
        url: Returns the URL to ask: signed ones change.
        name: For messages; the URL without secrets if not given.
        patience: How long to wait, how often to try.
        cross_origin: Follow redirects to other servers, as far as `redirects` allows.
        whole: Largest object that is taken whole from a server that knows no ranges, in bytes.
    """

    def __init__(
        self,
        url: Callable[[], str],
        *,
        name: str | None = None,
        patience: Patience = Patience(),  # noqa: B008  # a frozen value
        cross_origin: bool = False,
        whole: int = 0,
    ) -> None:
        self._url = url
        self.name = name or redact(url())
        self._patience = patience
        self._cross_origin = cross_origin
        self._whole = max(whole, _WHOLE)
        self._pin: Pin | None = None
        self._everything: bytes | None = None
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        self._open: set[Connection] = set()
        self._closed = threading.Event()

    def contact(self, size: int) -> Contact:
        """Return size and last bytes of the object, and pin its version."""
        attempts = Attempts(self.name, self._patience, self._closed)
        while True:
            got = _Filling(max(size, _FIRST))
            try:
                offset = self._receive(f"bytes=-{size}", None, None, got)
                break
            except Passing as failure:
                attempts.wait_for_next(failure)
        assert self._pin is not None
        return Contact(self._pin.size, offset, bytes(got.view[: got.size]))

    def fetch(self, offset: int, size: int) -> Bytes:
        """Return exactly these bytes; after a drop, only what is missing is asked for again."""
        got = _Filling(size)
        attempts = Attempts(self.name, self._patience, self._closed)
        while got.size < size and self._everything is None:
            before = got.size
            first, last = offset + before, offset + size - 1
            try:
                self._receive(f"bytes={first}-{last}", first, last, got)
            except Passing as failure:
                if got.size - before >= _PROGRESS:
                    attempts.progress()
                attempts.wait_for_next(failure)
        return got.view if self._everything is None else self._everything[offset : offset + size]

    def close(self) -> None:
        """Close all connections."""
        self._closed.set()
        with self._lock:
            for connection in self._open:
                # Not `close`: that would wait for a reader in another thread.
                with suppress(OSError, AttributeError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
            for idle in self._idle.values():
                for connection in idle:
                    connection.close()
            self._idle.clear()

    # ---- one request

    def _receive(self, wanted: str, first: int | None, last: int | None, got: _Filling) -> int:
        """Ask for a range and append it to `got`; return where it stands."""
        url, allowed = self._url(), MOST_REDIRECTS
        while True:
            connection, answer = self._ask(url, wanted)
            done = False
            try:
                if answer.status in _REDIRECTS and answer.headers.get("Location"):
                    url = self._redirected(url, answer.headers["Location"], allowed)
                    allowed -= 1
                    continue
                offset = self._begin(answer, first, last)
                if answer.status == 206 or self._everything is None:
                    length = self._length(answer, offset, last)
                    self._read(answer, length, got)
                    done = not answer.chunked
                    answer.close()
            except _Suffix:
                wanted, first, last = f"bytes=0-{_FIRST - 1}", 0, _FIRST - 1
            else:
                return offset
            finally:
                self._give_back(url, connection, done=done and not answer.will_close)

    def _redirected(self, url: str, location: str, allowed: int) -> str:
        if not allowed:
            raise SourceError(f"more than {MOST_REDIRECTS} redirects", uri=self.name)
        return redirected(url, location, cross_origin=self._cross_origin, name=self.name)

    def _begin(self, answer: http.client.HTTPResponse, first: int | None, last: int | None) -> int:
        """Check the head of an answer; return where its body stands in the object."""
        status, pin = answer.status, self._pin
        if status == 412:
            raise self._changed("the server has another version now")
        if status in _LATER:
            raise Passing(f"the server answers {status} {answer.reason}", after=_retry_after(answer))
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if status == 416:
            if found and found[3] != "*" and pin is None:
                self._pin = Pin(int(found[3]), _etag(answer), answer.headers.get("Last-Modified"))
                if self._pin.size:
                    self._pin = None
                    raise _Suffix
                return 0
            raise (
                self._changed("it became shorter")
                if pin
                else SourceError("416: the server refuses the range", uri=self.name)
            )
        if status in _NO_SUFFIX and first is None and pin is None and status != 400:
            raise _Suffix
        if status == 200:
            return self._whole_body(answer)
        if status != 206:
            raise SourceError(_meaning(status, answer), uri=self.name)
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise SourceError("the server compresses a range, and it cannot be told of what", uri=self.name)
        if found is None or found[1] is None:
            raise SourceError("206 without a Content-Range: what it sends cannot be placed", uri=self.name)
        start, stop = int(found[1]), int(found[2]) + 1
        total = int(found[3]) if found[3] != "*" else None
        if first is not None and (start != first or (last is not None and stop > last + 1)):
            raise SourceError(
                f"the server sends bytes {start}-{stop - 1} where {first}-{last} were asked for",
                uri=self.name,
            )
        if total is None and pin is None:
            raise SourceError("the server does not say how long the object is", uri=self.name)
        if total is not None and not start < stop <= total:
            raise SourceError(f"the server sends bytes {start}-{stop - 1} of {total}", uri=self.name)
        self._check_version(answer, total)
        return start

    def _check_version(self, answer: http.client.HTTPResponse, total: int | None) -> None:
        etag, modified = _etag(answer), answer.headers.get("Last-Modified")
        with self._lock:
            if self._pin is None:
                assert total is not None
                self._pin = Pin(total, etag, modified)
                return
            pin = self._pin
        if total is not None and total != pin.size:
            raise self._changed(f"it has {total} bytes now instead of {pin.size}")
        if etag != pin.etag:
            raise self._changed("its ETag differs")
        if pin.etag is None and modified != pin.modified:
            raise self._changed("its time of modification differs")

    def _changed(self, how: str) -> SourceError:
        return SourceError(f"the object changed while it was read: {how}", uri=self.name)

    def _whole_body(self, answer: http.client.HTTPResponse) -> int:
        """Take a 200 for what it is: the server did not hear that a range was wanted."""
        length = answer.headers.get("Content-Length")
        size = int(length) if length and length.isdecimal() else None
        if size is None or size > self._whole:
            said = "the object" if size is None else f"all {size} bytes"
            raise SourceError(
                f"the server ignores Range and sends {said}; --allow-full-read takes that", uri=self.name
            )
        self._check_version(answer, size)
        everything = _Filling(size)
        self._read(answer, size, everything)
        self._everything = bytes(everything.view)
        return 0

    def _length(self, answer: http.client.HTTPResponse, offset: int, last: int | None) -> int:
        if answer.status == 416:
            return 0
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        assert found is not None
        length = int(found[2]) + 1 - offset
        if last is None and length > _FIRST:
            raise SourceError(f"the server sends {length} bytes where fewer were asked for", uri=self.name)
        said = answer.headers.get("Content-Length")
        if said is not None and said.strip() != str(length):
            raise SourceError(f"the server sends {said} bytes for a range of {length}", uri=self.name)
        return length

    def _read(self, answer: http.client.HTTPResponse, length: int, got: _Filling) -> None:
        """Append `length` bytes of the body to `got`; what came before a failure is kept."""
        left = length
        mark, since = time.monotonic(), 0
        try:
            while left:
                arrived = got.receive(answer, min(_CHUNK, left))
                if not arrived:
                    raise Passing(f"the connection closed {left} bytes before the end of the range")
                left -= arrived
                since += arrived
                with self._lock:
                    self.received += arrived
                if (now := time.monotonic()) - mark > self._patience.stall:
                    if since < _LEAST:
                        raise Passing(f"reading: only {since} bytes in {now - mark:.0f} s")
                    mark, since = now, 0
        except TimeoutError:
            raise Passing(f"reading: no data for {self._patience.stall:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise Passing(f"reading: {redact(_text(error))}") from None

    # ---- connections

    def _ask(self, url: str, wanted: str) -> tuple[Connection, http.client.HTTPResponse]:
        """Send a request; return the connection and the head of the answer."""
        if self._closed.is_set():
            raise SourceError("closed while it was read", uri=self.name)
        parts = urlsplit(url)
        while True:
            connection, reused = self._connection(parts)
            with self._lock:
                self.requests += 1
            try:
                connection.request("GET", _target(parts), headers=self._headers(url, parts, wanted))
                return connection, connection.getresponse()
            except TimeoutError:
                self._give_back(url, connection, done=False)
                raise Passing(f"waiting for an answer: none in {self._patience.stall:g} s") from None
            except (OSError, http.client.HTTPException) as error:
                self._give_back(url, connection, done=False)
                if reused and isinstance(error, ConnectionError):
                    continue  # an idle connection that the server had closed
                raise Passing(f"waiting for an answer: {redact(_text(error))}") from None

    def _headers(self, url: str, parts: SplitResult, wanted: str) -> dict[str, str]:
        found = {"Range": wanted, "Accept-Encoding": "identity", "User-Agent": f"tgmtool/{__version__}"}
        if self._pin is not None and self._pin.etag and not self._pin.etag.startswith("W/"):
            found["If-Match"] = self._pin.etag
        first = urlsplit(self._url())
        # Whoever is redirected to gets no password that was meant for another.
        if first.username and origin_of(first) == origin_of(parts):
            user = f"{unquote(first.username)}:{unquote(first.password or '')}"
            found["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        return found

    def _connection(self, parts: SplitResult) -> tuple[Connection, bool]:
        place = origin_of(parts)
        with self._lock:
            if idle := self._idle.get(place):
                connection = idle.pop()
                self._open.add(connection)
                return connection, True
        scheme, host, port = place
        if scheme == "https":
            connection = http.client.HTTPSConnection(
                host, port, timeout=self._patience.connect, context=ssl.create_default_context()
            )
        else:
            connection = Connection(host, port, timeout=self._patience.connect)
        try:
            connection.connect()
        except TimeoutError:
            raise Passing(f"connecting: no answer in {self._patience.connect:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise SourceError(f"connecting: {error.verify_message}", uri=self.name) from error
        except OSError as error:
            if self._pin is None and isinstance(error, ConnectionRefusedError | socket.gaierror):
                raise SourceError(f"connecting: {_text(error)}", uri=self.name) from error
            raise Passing(f"connecting: {redact(_text(error))}") from None
        connection.sock.settimeout(self._patience.stall)
        with self._lock:
            self._open.add(connection)
        return connection, False

    def _give_back(self, url: str, connection: Connection, *, done: bool) -> None:
        with self._lock:
            self._open.discard(connection)
            if done and not self._closed.is_set():
                self._idle.setdefault(origin_of(urlsplit(url)), []).append(connection)
                return
        connection.close()


class _Filling:
    """Room for a range that arrives in pieces: read into it, never joined.

    Args:
        size: Of the range; at most a piece of what we asked for, or of what is allowed.
    """

    def __init__(self, size: int) -> None:
        self.view = memoryview(bytearray(size))
        self.size = 0

    def receive(self, answer: http.client.HTTPResponse, most: int) -> int:
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


class _Suffix(Exception):
    """The server does not know what the last bytes of an object are."""


_PLAIN = "/%:@!$&'()*+,;=~"


def _target(parts: SplitResult) -> str:
    return quote(parts.path or "/", safe=_PLAIN) + (f"?{parts.query}" if parts.query else "")


def _etag(answer: http.client.HTTPResponse) -> str | None:
    return answer.headers.get("ETag")


def _text(error: BaseException) -> str:
    known = getattr(error, "strerror", None) or str(error)
    return known[:1].lower() + known[1:] if known else type(error).__name__


def _meaning(status: int, answer: http.client.HTTPResponse) -> str:
    region = answer.headers.get("x-amz-bucket-region")
    if status in {301, 400} and region:
        return f"the bucket is in another region: --region {region}"
    known = {401: "401: it wants credentials", 403: _FORBIDDEN, 404: "404: there is no such object"}
    return known.get(status, f"the server answers {status} {answer.reason}")


def _retry_after(answer: http.client.HTTPResponse) -> float | None:
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    with suppress(ValueError, TypeError):
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    return None
