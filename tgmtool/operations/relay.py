"""Pass whole bytes of a followed file on, verbatim.

It is separate from following because it copies: through the kernel where it can, and with the
one change that keeps a stream readable (see `Relay`).
"""

from __future__ import annotations

import os

from ..endpoints.base import Sink, Source
from ..endpoints.local import FileSource
from ..endpoints.stdio import StreamSink
from ..errors import SourceError
from ..messages.spans import Piece
from ..wire import layout

_COPY = 1 << 20


class Relay:
    """Writes pieces of a source to a sink.

    A message whose preamble went out without a length keeps a postamble without one, even if its
    producer filled both in meanwhile: what comes out is what a pipe would have carried.

    Args:
        sink: Where to.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._open_ended = False  # the preamble that went out last has no length

    def pass_on(self, source: Source, piece: Piece) -> None:
        """Copy one piece.

        Raises:
            SourceError: The source or the sink failed, or the source became shorter.
            BrokenPipeError: The sink's reader went away.
        """
        if piece.starts:
            head = self._read(source, piece.offset, layout.PREAMBLE_SIZE)
            self._open_ended = not any(head[layout.PREAMBLE_TOTAL_AT : layout.PREAMBLE_SIZE])
        end = piece.offset + piece.length
        if not piece.ends or not self._open_ended:
            self._copy(source, piece.offset, end)
            return
        postamble = end - layout.POSTAMBLE_SIZE
        self._copy(source, piece.offset, postamble)
        tail = bytearray(self._read(source, postamble, layout.POSTAMBLE_SIZE))
        tail[layout.POSTAMBLE_TOTAL_AT : layout.POSTAMBLE_TOTAL_AT + 8] = bytes(8)
        self._sink.write([tail])

    def _copy(self, source: Source, start: int, end: int) -> None:
        if isinstance(source, FileSource) and isinstance(self._sink, StreamSink):
            start = self._through_kernel(source, self._sink, start, end)
        while start < end:
            chunk = self._read(source, start, min(_COPY, end - start))
            self._sink.write([chunk])
            start += len(chunk)

    def _through_kernel(self, source: FileSource, sink: StreamSink, start: int, end: int) -> int:
        """Copy with sendfile as far as the system does it; return where it stopped."""
        while start < end:
            try:
                sent = os.sendfile(sink.descriptor, source.descriptor, start, min(end - start, 1 << 30))
            except BlockingIOError:
                return start  # a non-blocking sink: `write` waits for it
            except BrokenPipeError:
                raise
            except OSError:
                return start  # not between these two: through memory then
            if not sent:
                return start
            sink.count(sent)
            start += sent
        return start

    def _read(self, source: Source, offset: int, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            chunk = source.read_at(offset + len(found), size - len(found))
            if not chunk:
                raise SourceError("became shorter while it was passed on", uri=source.name)
            found += chunk[: size - len(found)]
        return bytes(found)
