"""A loopback server: HTTP with ranges and scripted faults."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Request(NamedTuple):
    """One request as it came."""

    path: str
    range: str
    headers: Mapping[str, str]


class Sparse:
    """An object that is mostly one byte value, with pieces of real bytes at some places."""

    def __init__(self, size: int, pieces: Mapping[int, bytes]) -> None:
        self._size = size
        self._pieces = dict(pieces)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop = part.start, min(part.stop, self._size)
        found = bytearray(max(stop - start, 0))
        for at, data in self._pieces.items():
            low, high = max(at, start), min(at + len(data), stop)
            if low < high:
                found[low - start : high - start] = data[low - at : high - at]
        return bytes(found)


class Answer:
    """What the server is about to send; a fault changes it, or does something else instead."""

    def __init__(self, handler: Handler, status: int, start: int, stop: int) -> None:
        self.handler = handler
        self.status = status
        self.start, self.stop = start, stop
        self.body: bytes = handler.data[start:stop]
        self.etag = handler.place.etag
        total = len(handler.data)
        self.headers = {"Content-Length": str(stop - start), "Accept-Ranges": "bytes"}
        if status == 206:
            self.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{total}"
        self.cut: int | None = None  # send so many bytes of the body, then drop the connection
        self.stall = False  # and then send no more, but keep it open
        self.cut_head: int | None = None  # send so many lines of the head, and no end of it
        self.drip = 0.0  # seconds between two bytes of a head that never ends

    def send(self) -> None:
        handler = self.handler
        if self.drip:
            handler.wfile.write(b"HTTP/1.1 206 OK\r\nX-Drip: ")
            while not handler.place.released.wait(self.drip):
                handler.wfile.write(b"x")
            handler.drop()
            return
        if self.cut_head is not None:
            lines = [f"{name}: {value}\r\n" for name, value in {"ETag": self.etag, **self.headers}.items()]
            handler.wfile.write("".join(["HTTP/1.1 206 OK\r\n", *lines[: self.cut_head]])[:-3].encode())
            handler.close_connection = True
            return
        handler.send_response(self.status)
        for name, value in {**self.headers, **({"ETag": self.etag} if self.etag else {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(self.body if self.cut is None else self.body[: self.cut])
        if self.stall:
            handler.place.released.wait()
        if self.cut is not None:
            handler.drop()


Fault = Callable[[Answer], None]


def whole(answer: Answer) -> None:
    """Ignore Range."""
    data = answer.handler.place.data
    answer.status, answer.body = 200, data[0 : len(data)]
    answer.headers = {"Content-Length": str(len(data))}


def dropped(after: int) -> Fault:
    """Close the connection after so many bytes of the body."""

    def fault(answer: Answer) -> None:
        answer.cut = after

    return fault


def cut_head(lines: int) -> Fault:
    """Close the connection inside the head, in the last of so many lines."""

    def fault(answer: Answer) -> None:
        answer.cut_head = lines

    return fault


def stalled(after: int) -> Fault:
    """Send nothing more after so many bytes of the body."""

    def fault(answer: Answer) -> None:
        answer.cut, answer.stall = after, True

    return fault


def truncated(answer: Answer) -> None:
    """Say and send less than the range that is announced."""
    answer.body = answer.body[:-7]
    answer.headers["Content-Length"] = str(len(answer.body))


def shifted(answer: Answer) -> None:
    """Send another range, and say so."""
    data = answer.handler.place.data
    start, stop = answer.start + 8, min(answer.stop + 8, len(data))
    answer.body = data[start:stop]
    answer.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    answer.headers["Content-Length"] = str(stop - start)


def unplaced(answer: Answer) -> None:
    """Send 206 without saying which range."""
    del answer.headers["Content-Range"]


def endless_number(answer: Answer) -> None:
    """Name a length of more digits than a number may have."""
    answer.headers["Content-Range"] = f"bytes {answer.start}-{answer.stop - 1}/{'9' * 5000}"


def whole_and_part(answer: Answer) -> None:
    """Say that it is all, and that it is a part."""
    answer.status = 200


def changed(answer: Answer) -> None:
    """Another version of the object, of the same size."""
    answer.etag = '"another"'
    answer.body = bytes(255 - byte for byte in answer.body)


def status(code: int, headers: Mapping[str, str] = {}) -> Fault:  # never changed
    """Answer with this status."""

    def fault(answer: Answer) -> None:
        answer.status, answer.body = code, b"no"
        answer.headers = {"Content-Length": "2", **headers}

    return fault


def compressed(answer: Answer) -> None:
    """Say that the body is compressed."""
    answer.headers["Content-Encoding"] = "gzip"


def backwards(answer: Answer) -> None:
    """Send a range that ends before it begins, of an object of unknown length."""
    answer.headers["Content-Range"] = f"bytes {answer.start}-{answer.start - 1}/*"
    answer.headers["Content-Length"], answer.body = "0", b""


def refusing(answer: Answer) -> None:
    """Refuse every range, and say how long the object is."""
    total = len(answer.handler.place.data)
    status(416, {"Content-Range": f"bytes */{total}"})(answer)


def shorter(answer: Answer) -> None:
    """Send less than was asked for, and say so: that is allowed."""
    size = max((answer.stop - answer.start) // 2, 1)
    answer.stop = answer.start + size
    answer.body = answer.body[:size]
    answer.headers["Content-Range"] = (
        f"bytes {answer.start}-{answer.stop - 1}/{len(answer.handler.place.data)}"
    )
    answer.headers["Content-Length"] = str(size)


def dripping(pause: float) -> Fault:
    """Send the head byte by byte, each of them in time, and never all of them."""

    def fault(answer: Answer) -> None:
        answer.drip = pause

    return fault


PASSING: dict[str, Fault] = {
    "dropped before a byte": dropped(0),
    "dropped inside": dropped(1234),
    "closed in the first line": cut_head(0),
    "closed in the ETag": cut_head(1),
    "closed in the length": cut_head(2),
    "closed in the range": cut_head(4),
    "stalled before a byte": stalled(0),
    "stalled inside": stalled(1234),
    "a shorter range": shorter,
    "500": status(500),
    "503": status(503),
    "429 with Retry-After": status(429, {"Retry-After": "0"}),
    "503 with a date": status(503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
}
"""Faults after which trying again, or going on, helps."""

WRONG: dict[str, tuple[Fault, str]] = {
    "another range": (shifted, "sends bytes 100008-"),
    "no Content-Range": (unplaced, "without a Content-Range"),
    "a length of 5000 digits": (endless_number, "without a Content-Range"),
    "200 with a Content-Range": (whole_and_part, "says 200, all of it, and names a range of it"),
    "a range backwards": (backwards, "the server sends bytes"),
    "a shorter body than its range": (truncated, "for a range of"),
    "another ETag": (changed, "the object changed while it was read: its ETag differs"),
    "412": (status(412), "the object changed while it was read"),
    "416": (status(416), "the object changed while it was read: it became shorter"),
    "416 with the same length": (refusing, "the object changed while it was read: it became shorter"),
    "Range is ignored": (whole, r"ignores Range and sends all 2097152 bytes; --allow-full-read"),
    "400": (status(400), "the server answers 400"),
    "403": (status(403), "expired"),
    "404": (status(404), "404: there is no such object"),
    "401": (status(401), "401: it wants credentials"),
    "304": (status(304), "304"),
    "a compressed range": (compressed, "compresses a range"),
    "multiple ranges": (status(206, {"Content-Type": "multipart/byteranges; boundary=x"}), "Content-Range"),
    "a redirect elsewhere": (status(302, {"Location": "http://127.0.0.2:1/x"}), "another server"),
    "a redirect to no URL": (status(302, {"Location": "http://[::1/x"}), "redirected to what is no URL"),
    "a redirect to no port": (
        status(302, {"Location": "http://127.0.0.1:x/"}),
        "redirected to what is no URL",
    ),
    "a redirect in circles": (status(302, {"Location": "/run.tgm"}), "more than 5 redirects"),
}
"""Faults after which there is nothing right to be had, and what the error says of them."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    place: HttpPlace

    def log_message(self, *_: Any) -> None:
        pass

    def drop(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def do_GET(self) -> None:
        place = self.place
        wanted = self.headers.get("Range", "")
        with place.lock:
            place.log.append(Request(self.path, wanted, dict(self.headers)))
            fault = place.next_fault()
        if place.delay:
            threading.Event().wait(place.delay)  # the round trip that is being modelled
        answer = self._answer(wanted)
        if fault is not None:
            fault(answer)
        try:
            answer.send()
        except (OSError, ValueError):
            self.close_connection = True

    def do_HEAD(self) -> None:
        with self.place.lock:
            self.place.log.append(Request(self.path, "", dict(self.headers)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.place.data)))
        self.end_headers()

    @property
    def data(self) -> Any:
        """What stands at the path that was asked for."""
        found = self.place.beside.get(self.path.partition("?")[0], self.place.data)
        return b"" if found is None else found

    def _answer(self, wanted: str) -> Answer:
        if self.place.beside.get(self.path.partition("?")[0], b"") is None:
            return self._plain(404)
        total = len(self.data)
        if self.place.etag is not None and self.headers.get("If-None-Match") == self.place.etag:
            return self._plain(304)
        match = self.headers.get("If-Match")
        if match is not None and self.place.etag is not None and match != self.place.etag:
            return self._plain(412)
        found = _RANGE.fullmatch(wanted)
        if found is None:
            return Answer(self, 200, 0, total)
        first, last = found.groups()
        start = int(first) if first else max(total - int(last), 0)
        stop = min(int(last) + 1 if first and last else total, total)
        if start >= stop:
            answer = self._plain(416)
            answer.headers["Content-Range"] = f"bytes */{total}"
            return answer
        return Answer(self, 206, start, stop)

    def _plain(self, code: int) -> Answer:
        answer = Answer(self, code, 0, 0)
        answer.body = b""
        return answer


class HttpPlace:
    """A server of one object, whatever the path.

    Args:
        data: The object.
        beside: Other objects, by path; None is not there.
        delay: Seconds that every request takes longer.
        faults: By the number of the request, or for all (`every`).
    """

    def __init__(
        self,
        data: Any,
        *,
        delay: float = 0.0,
        faults: Mapping[int, Fault] = {},  # never changed
        every: Fault | None = None,
        etag: str | None = '"first"',
        beside: Mapping[str, bytes | None] = {},  # never changed
    ) -> None:
        self.data = data
        self.beside = dict(beside)
        self.etag = etag
        self.delay = delay
        self.faults = dict(faults)
        self.every = every
        self.log: deque[Request] = deque()
        self.lock = threading.Lock()
        self.released = threading.Event()
        handler = type("PlaceHandler", (Handler,), {"place": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # drops are meant
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    def next_fault(self) -> Fault | None:
        return self.faults.get(len(self.log) - 1, self.every)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/run.tgm"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def written(folder: Path, name: str, data: bytes) -> str:
    """Write a local file; return its name."""
    (folder / name).write_bytes(data)
    return str(folder / name)
