"""Connections to HTTP(S) servers: kept for the next request, through a proxy where one is set.

It is separate from what is asked and checked: here are sockets, and how long each step may take.
"""

from __future__ import annotations

import base64
import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from ..errors import SourceError
from .access import Patience
from .reach import Passing
from .redirects import origin_of
from .secrets import redact

_PLAIN = "/%:@!$&'()*+,;=~"  # what a path or a query may hold as it is
_BUFFER = 1 << 16


class Answer(http.client.HTTPResponse):
    """An answer of which every step has a deadline: bytes that drip do not make it wait for ever."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._paced = _Paced(sock, self.fp)
        self.fp = io.BufferedReader(self._paced, _BUFFER)

    def begin(self) -> None:
        """Read the head, all of it: half of one would be believed otherwise."""
        super().begin()
        if self._paced.has_ended:
            raise http.client.HTTPException("the connection closed inside the head of the answer")

    def allow(self, seconds: float) -> None:
        """What is read from now on may take so long."""
        self._paced.until = time.monotonic() + seconds


class _Paced(io.RawIOBase):
    """Reads a socket until a time.

    Args:
        sock: With a timeout, which holds for the head of the answer.
        held: Keeps the socket open while the answer is read, although its connection was closed.
    """

    def __init__(self, sock: socket.socket, held: Any) -> None:
        self._socket = sock
        self._held = held
        self.until = time.monotonic() + (sock.gettimeout() or 0.0)
        self.has_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        arrived = self._socket.recv_into(room)
        self.has_ended = not arrived
        return arrived

    def close(self) -> None:
        self._held.close()
        super().close()


class Connection(http.client.HTTPConnection):
    """A connection whose answers have deadlines."""

    response_class = Answer
    absolute = False  # the proxy has to be told of which server
    authorization: str | None = None  # for the proxy


class _SecureConnection(http.client.HTTPSConnection, Connection):
    """The same with TLS."""


class Connections:
    """Connections of one reader, shared by its threads.

    Args:
        name: The place, for messages.
        patience: How long connecting and waiting may take.
        on_request: Called for every request that is sent.
    """

    def __init__(self, name: str, patience: Patience, on_request: Callable[[], None]) -> None:
        self._name = name
        self._patience = patience
        self._on_request = on_request
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        self._open: set[Connection] = set()
        self.closed = threading.Event()

    def ask(self, url: str, headers: dict[str, str], *, first: bool = False) -> tuple[Connection, Answer]:
        """Send a request; return the connection and the head of the answer.

        Args:
            url: What is asked for.
            headers: Of the request.
            first: Nobody has answered so far: a server that is not there is not waited for.

        Raises:
            Passing: A failure that may pass.
            SourceError: One that does not.
        """
        parts = urlsplit(url)
        while True:
            connection, reused = self._connection(parts, first=first)
            self._on_request()
            try:
                connection.sock.settimeout(self._patience.stall)
                given = dict(headers)
                if connection.absolute and connection.authorization:
                    given["Proxy-Authorization"] = connection.authorization
                connection.request("GET", _target(parts, absolute=connection.absolute), headers=given)
                answer = connection.getresponse()
            except TimeoutError:
                self.give_back(url, connection, done=False)
                raise Passing(f"waiting for an answer: none in {self._patience.stall:g} s") from None
            except (OSError, http.client.HTTPException) as error:
                self.give_back(url, connection, done=False)
                if reused and isinstance(error, ConnectionError):
                    continue  # an idle connection that the server had closed
                raise Passing(f"waiting for an answer: {text_of(error)}") from None
            assert isinstance(answer, Answer)
            return connection, answer

    def give_back(self, url: str, connection: Connection, *, done: bool) -> None:
        """Say that a request is over.

        Args:
            url: What was asked for.
            connection: By which.
            done: The whole answer was read, and the connection can serve another request.
        """
        with self._lock:
            self._open.discard(connection)
            if done and not self.closed.is_set():
                self._idle.setdefault(origin_of(urlsplit(url)), []).append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close all; whoever reads in another thread gets an error soon."""
        self.closed.set()
        with self._lock:
            for connection in self._open:
                # Not `close`: that would wait for a reader in another thread.
                with suppress(OSError, AttributeError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
            for idle in self._idle.values():
                for connection in idle:
                    connection.close()
            self._idle.clear()

    def _connection(self, parts: SplitResult, *, first: bool) -> tuple[Connection, bool]:
        place = origin_of(parts)
        with self._lock:
            self._check_open()
            if idle := self._idle.get(place):
                connection = idle.pop()
                self._open.add(connection)
                return connection, True
        try:
            connection = self._made(place)
        except http.client.InvalidURL:
            raise self._no_server() from None
        try:
            connection.connect()
        except TimeoutError:
            raise Passing(f"connecting: no answer in {self._patience.connect:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise SourceError(f"connecting: {error.verify_message}", uri=self._name) from error
        except UnicodeError:
            raise self._no_server() from None
        except (OSError, http.client.HTTPException) as error:
            refused = isinstance(error, ConnectionRefusedError | socket.gaierror)
            if (first and refused) or "Tunnel connection failed: 4" in str(error):
                raise SourceError(f"connecting: {text_of(error)}", uri=self._name) from error
            raise Passing(f"connecting: {text_of(error)}") from None
        with self._lock:
            self._open.add(connection)
        if self.closed.is_set():  # while we connected: nobody saw this one to end it
            self.give_back("", connection, done=False)
            self._check_open()
        return connection, False

    def _no_server(self) -> SourceError:
        return SourceError("connecting: the name of the server cannot be one", uri=self._name)

    def _check_open(self) -> None:
        if self.closed.is_set():
            raise SourceError("closed while it was read", uri=self._name)

    def _made(self, place: tuple[str, str, int]) -> Connection:
        scheme, host, port = place
        proxy = proxy_of(scheme, host, port, name=self._name)
        where = (host, port) if proxy is None else (proxy.hostname or "", proxy.port or 80)
        if scheme == "https":
            secure = _SecureConnection(*where, timeout=self._patience.connect, context=_trust())
            if proxy is not None:
                known = credentials(proxy)
                secure.set_tunnel(host, port, {"Proxy-Authorization": known} if known else {})
            return secure
        plain = Connection(*where, timeout=self._patience.connect)
        if proxy is not None:
            plain.absolute, plain.authorization = True, credentials(proxy)
        return plain


def proxy_of(scheme: str, host: str, port: int, *, name: str) -> SplitResult | None:
    """Return the proxy that the environment names for a server; None if it is asked directly.

    `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` count, as for curl; this machine itself is
    never asked through a proxy.

    Raises:
        SourceError: The proxy is of a kind that is not understood.
    """
    from urllib.request import getproxies, proxy_bypass

    named = getproxies()
    given = named.get(scheme) or named.get("all")
    if not given or host == "localhost" or host.startswith("127.") or host == "::1":
        return None
    if proxy_bypass(f"{host}:{port}") or proxy_bypass(host):
        return None
    parts = urlsplit(given if "://" in given else f"http://{given}")
    try:
        usable = parts.scheme == "http" and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise SourceError(
            f"the environment names a proxy for {scheme}, {redact(given)}, that is no http:// one; "
            "unset it, or list the server in no_proxy",
            uri=name,
        )
    return parts


def text_of(error: BaseException) -> str:
    """Return what an error says, without secrets."""
    no_http = (http.client.BadStatusLine, http.client.UnknownProtocol)
    if isinstance(error, no_http) and not isinstance(error, ConnectionError):
        return "it is no HTTP/1 answer"
    if isinstance(error, http.client.IncompleteRead):
        return "its pieces are not what they should be"
    known = getattr(error, "strerror", None) or str(error)
    return redact(known[:1].lower() + known[1:]) if known else type(error).__name__


def credentials(parts: SplitResult) -> str | None:
    """Return the header value for the user info of a URL."""
    if not parts.username:
        return None
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(user.encode()).decode()


def _target(parts: SplitResult, *, absolute: bool) -> str:
    # A name of the command line may hold bytes that are no text; the server gets them as they are.
    path = quote(parts.path or "/", safe=_PLAIN, errors="surrogateescape")
    if parts.query:
        path += "?" + quote(parts.query, safe=_PLAIN + "?[]", errors="surrogateescape")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}" if absolute else path


@cache
def _trust() -> ssl.SSLContext:
    """Return what is known about certificates: reading it takes longer than a handshake."""
    return ssl.create_default_context()
