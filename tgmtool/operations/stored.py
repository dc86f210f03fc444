"""An object as it stands in its source: its bytes, checked before any of them is handed out.

It is separate from choosing objects because here the payload is touched, and there it is not.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..codecs.base import Bytes
from ..endpoints.base import Source
from ..endpoints.ranges import Range, RangeSource
from ..errors import DigestMismatch, SourceError
from ..messages.spans import ObjectSpan
from ..wire import layout
from ..wire.digest import new_digest

_PIECE = 32 << 20


class OutsideRange(ValueError):
    """An object or a source ends before a wanted range does."""


class Stored:
    """An object as it stands in its source, read when it is asked for.

    Args:
        source: Where it stands.
        span: Where in it.
        verify: Compare it with its digest before anything of it is handed out.
    """

    def __init__(self, source: Source, span: ObjectSpan, *, verify: bool) -> None:
        self._source = source
        self._span = span
        self._verified = not verify or span.digest is None

    def payload(self, start: int, stop: int) -> Bytes:
        """Return bytes `start` to `stop` of the payload."""
        span = self._span
        if not self._verified:
            body = _exactly(self._source, span.offset + layout.FRAME_HEADER_SIZE, _body_size(span))
            self._verify(body)
            if start == 0 and stop == span.payload_length:
                at = span.payload_offset - span.offset - layout.FRAME_HEADER_SIZE
                return body[at : at + span.payload_length]
        return _exactly(self._source, span.payload_offset + start, stop - start)

    def frame(self) -> Bytes:
        """Return the frame, through ENDF."""
        frame = _exactly(self._source, self._span.offset, self._span.length)
        if not self._verified:
            self._verify(frame[layout.FRAME_HEADER_SIZE :][: _body_size(self._span)])
        return frame

    def _verify(self, body: memoryview) -> None:
        span = self._span
        digest = new_digest()
        digest.update(body)
        if digest.intdigest() != span.digest:
            assert span.digest is not None
            raise DigestMismatch(
                f"object {span.message}.{span.number}",
                expected=span.digest,
                actual=digest.intdigest(),
                offset=span.offset,
            )
        self._verified = True


def _body_size(span: ObjectSpan) -> int:
    return span.length - layout.FRAME_HEADER_SIZE - layout.TENSOR_FOOTER_SIZE


def _exactly(source: Source, offset: int, size: int) -> memoryview:
    """Return exactly `size` bytes from `offset`, in one piece; a view where the source has one."""
    read_at = source.read_apart if isinstance(source, RangeSource) else source.read_at
    found = memoryview(read_at(offset, size))[:size]
    if len(found) == size:
        return found
    joined = bytearray(found)
    while len(joined) < size:
        more = memoryview(read_at(offset + len(joined), size - len(joined)))
        if not more:
            raise SourceError(
                f"byte {offset}: ends short: expected {size} bytes, got {len(joined)}; it became shorter",
                uri=source.name,
            )
        joined += more[: size - len(joined)]
    return memoryview(joined)


def pieces_of(source: Source, offset: int, length: int | None) -> Iterator[Bytes]:
    """Yield the bytes that stand at `offset`, in pieces.

    Args:
        source: Seekable.
        offset: Where they begin (bytes from the start of the source).
        length: How many; None for all to the end.

    Raises:
        OutsideRange: The source ends before they do.
        SourceError: It cannot be read.
    """
    size = source.size()
    assert size is not None
    stop = size if length is None else offset + length
    if max(offset, stop) > size:
        raise OutsideRange(f"{source.name}: has {size} bytes: the range reaches beyond them")
    if isinstance(source, RangeSource):
        yield from source.stream(Range(offset, stop))
        return
    for start in range(offset, stop, _PIECE):
        yield _exactly(source, start, min(_PIECE, stop - start))
