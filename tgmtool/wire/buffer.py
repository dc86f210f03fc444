"""A growing buffer that remembers where in the source its bytes stand.

It is separate so that the decoder can speak in absolute offsets only, and so that bytes are
joined in one place: small structures are copied when they cross a chunk, payload never is.
"""

from __future__ import annotations

Bytes = bytes | bytearray | memoryview


class Buffer:
    """Bytes received and not yet consumed.

    Attributes:
        offset: Where the first unconsumed byte stands (bytes from the start of the source).
    """

    __slots__ = ("_chunks", "_chunks_size", "_pos", "_view", "offset")

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self._view = memoryview(b"")
        self._pos = 0
        self._chunks: list[memoryview] = []  # received after _view, joined on demand
        self._chunks_size = 0

    def __len__(self) -> int:
        return len(self._view) - self._pos + self._chunks_size

    @property
    def end(self) -> int:
        """Where the next byte to be appended stands (bytes from the start of the source)."""
        return self.offset + len(self)

    def append(self, data: Bytes) -> None:
        """Take bytes that stand at `end`. They are kept by reference and must not change."""
        view = memoryview(data)
        if view.itemsize != 1 or view.ndim != 1:
            view = view.cast("B")
        if self._pos == len(self._view) and not self._chunks:
            self._view, self._pos = view, 0
        else:
            self._chunks.append(view)
            self._chunks_size += len(view)

    def peek(self, size: int) -> memoryview:
        """Return the next `size` bytes as one view, fewer if there are fewer; consume nothing."""
        if len(self._view) - self._pos < size and self._chunks:
            self._join(size)
        return self._view[self._pos : self._pos + size]

    def _join(self, size: int) -> None:
        """Join just enough chunks to see `size` bytes at once."""
        have = self._view[self._pos :]
        parts = [have]
        total = len(have)
        while total < size and self._chunks:
            part = self._chunks.pop(0)
            self._chunks_size -= len(part)
            total += len(part)
            parts.append(part)
        # A big last chunk is only borrowed from, so that crossing its start does not copy it.
        surplus = total - size
        if surplus > 4096:
            cut = len(parts[-1]) - surplus
            self._chunks.insert(0, parts[-1][cut:])
            self._chunks_size += surplus
            parts[-1] = parts[-1][:cut]
        self._view, self._pos = memoryview(b"".join(parts)), 0

    def piece(self, limit: int) -> memoryview:
        """Return up to `limit` bytes without copying, as many as stand together; consume nothing."""
        if self._pos == len(self._view) and self._chunks:
            self._view, self._pos = self._chunks.pop(0), 0
            self._chunks_size -= len(self._view)
        return self._view[self._pos : self._pos + limit]

    def consume(self, size: int) -> None:
        """Drop `size` bytes from the front; the rest of them, if there are fewer, as they arrive.

        Going beyond `end` moves `end` too: the caller is expected to deliver from there on.
        """
        self.offset += size
        while True:
            here = min(size, len(self._view) - self._pos)
            self._pos += here
            size -= here
            if not size:
                return
            if not self._chunks:
                self._view, self._pos = memoryview(b""), 0
                return
            self._view, self._pos = self._chunks.pop(0), 0
            self._chunks_size -= len(self._view)

    def move_to(self, offset: int) -> None:
        """Make `offset` the first unconsumed byte, keeping what is still at hand from there on."""
        step = offset - self.offset
        if step >= 0:
            self.consume(step)
        elif -step <= self._pos:
            self._pos += step
            self.offset = offset
        else:
            self.__init__(offset)  # type: ignore[misc]  # starting anew is exactly what happens
