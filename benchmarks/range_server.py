"""An HTTP server of one file, with ranges, that takes a given time longer for every request.

It is separate, and a process of its own, so that it takes no processor time of the interpreter that is
measured. `python -m benchmarks.range_server FILE SECONDS` prints its URL; every line that it reads from
stdin is answered with the number of requests since the last.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .harness import ROOT


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    descriptor = -1
    delay = 0.0
    requests = 0
    lock = threading.Lock()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._begin(200, 0, self._size())

    def do_GET(self) -> None:
        size = self._size()
        wanted = self.headers.get("Range", "").removeprefix("bytes=")
        first, _, last = wanted.partition("-")
        start = int(first) if first else max(size - int(last or size), 0)
        stop = min(int(last) + 1, size) if first and last else size
        self._begin(206 if wanted else 200, start, stop)
        while start < stop:
            start += os.sendfile(self.connection.fileno(), self.descriptor, start, min(stop - start, 1 << 20))

    def _begin(self, status: int, start: int, stop: int) -> None:
        with self.lock:
            type(self).requests += 1
        time.sleep(self.delay)  # the round trip that is being modelled
        self.send_response(status)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"one"')
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{self._size()}")
        self.end_headers()
        self.wfile.flush()

    def _size(self) -> int:
        return os.fstat(self.descriptor).st_size


class Server:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self.url = self._out.readline().strip()

    def requests(self) -> int:
        """Return how many requests came since this was asked last."""
        self._in.write("\n")
        self._in.flush()
        return int(self._out.readline())


@contextmanager
def serving(path: Path, delay: float) -> Iterator[Server]:
    """Run the server in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.range_server", str(path), str(delay)]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


def _serve(path: str, delay: str) -> None:
    _Handler.descriptor = os.open(path, os.O_RDONLY)
    _Handler.delay = float(delay)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}/run.tgm", flush=True)
    for _ in sys.stdin:
        with _Handler.lock:
            print(_Handler.requests, flush=True)
            _Handler.requests = 0


if __name__ == "__main__":
    _serve(*sys.argv[1:])
