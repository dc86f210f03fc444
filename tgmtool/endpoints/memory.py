"""Sources and sinks in memory: bytes at hand, and a script of what arrives when.

It is separate because it is shipped: whoever builds on the library tests with it, as we do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .base import Bytes, Sink, Source


class MemorySource(Source):
    """Bytes in memory, without copying them."""

    seekable = True

    def __init__(self, data: Bytes, name: str = "<bytes>") -> None:
        self.name = name
        self._data = memoryview(data).cast("B").toreadonly()

    def read_at(self, offset: int, size: int) -> Bytes:
        """Return everything from `offset` on: nothing is copied, so `size` saves nothing."""
        return self._data[offset : offset + max(size, len(self._data))]

    def size(self) -> int:
        """Return the number of bytes."""
        return len(self._data)

    def keep_from(self, offset: int) -> int:
        """Nothing is ever dropped."""
        return 0

    def close(self) -> None:
        """Nothing to let go of."""


class ScriptedSource(Source):
    """A growing source: each chunk arrives when the one before was read and nothing more was there.

    Args:
        chunks: What arrives, in order. An empty chunk is a moment in which nothing arrives.
    """

    seekable = True

    def __init__(self, chunks: Iterable[bytes], name: str = "<script>") -> None:
        self.name = name
        self._script = iter(chunks)
        self._data = bytearray()
        self.ended = False

    def grow(self) -> bool:
        """Let the next chunk arrive; return False when the script is over."""
        chunk = next(self._script, None)
        if chunk is None:
            self.ended = True
            return False
        self._data += chunk
        return True

    def read_at(self, offset: int, size: int) -> Bytes:
        """Return what has arrived so far; at the end of it the next chunk is let in, for the next call."""
        found = bytes(self._data[offset : offset + size])
        if not found:
            self.grow()
        return found

    def size(self) -> int:
        """Return the number of bytes that have arrived."""
        return len(self._data)

    def keep_from(self, offset: int) -> int:
        """Nothing is ever dropped."""
        return 0

    def close(self) -> None:
        """Nothing to let go of."""


class MemorySink(Sink):
    """Collects what is written in `data`, and where each write ended in `writes`."""

    patchable = True

    def __init__(self, name: str = "<memory>", *, patchable: bool = True) -> None:
        self.name = name
        self.patchable = patchable
        self.data = bytearray()
        self.writes: list[int] = []

    @property
    def position(self) -> int:
        """Bytes written so far."""
        return len(self.data)

    def write(self, pieces: Sequence[Bytes]) -> None:
        """Append the pieces."""
        for piece in pieces:
            self.data += piece
        self.writes.append(len(self.data))

    def patch_at(self, offset: int, data: Bytes) -> None:
        """Write over what stands there."""
        self.data[offset : offset + len(data)] = data

    def truncate(self, offset: int) -> None:
        """Drop everything from `offset` on."""
        del self.data[offset:]

    def sync(self) -> None:
        """Nothing is more durable than memory, or less."""

    def close(self) -> None:
        """Nothing to close."""

    def abort(self) -> None:
        """What was written stays for inspection."""


class BytesSink(Sink):
    """Makes one `bytes` of what is written, and copies it once if it came in one write."""

    patchable = True

    def __init__(self, name: str = "<memory>") -> None:
        self.name = name
        self._parts: list[bytes | bytearray] = []
        self._position = 0

    @property
    def position(self) -> int:
        """Bytes written so far."""
        return self._position

    def taken(self) -> bytes:
        """Return all that was written."""
        return b"".join(self._parts)  # a single `bytes` is returned as it is

    def write(self, pieces: Sequence[Bytes]) -> None:
        """Append the pieces."""
        self._parts.append(b"".join(pieces))
        self._position += len(self._parts[-1])

    def _whole(self) -> bytearray:
        if len(self._parts) != 1 or not isinstance(self._parts[0], bytearray):
            self._parts = [bytearray().join(self._parts)]
        (whole,) = self._parts
        assert isinstance(whole, bytearray)
        return whole

    def patch_at(self, offset: int, data: Bytes) -> None:
        """Write over what stands there."""
        self._whole()[offset : offset + len(data)] = data

    def truncate(self, offset: int) -> None:
        """Drop everything from `offset` on."""
        del self._whole()[offset:]
        self._position = offset

    def sync(self) -> None:
        """Nothing is more durable than memory, or less."""

    def close(self) -> None:
        """Nothing to close."""

    def abort(self) -> None:
        """What was written stays until it is taken."""
