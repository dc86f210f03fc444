"""What every input needs: the item it yields, what it is told, and a source that is read forward.

It is separate so that one kind of input knows nothing of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ...endpoints.base import Source
from ...endpoints.local import MappedSource
from ...errors import EncodeError, SourceError
from ...limits import DEFAULT_LIMITS, Limits
from ..drive import CHUNK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LINE_LIMIT = 1 << 20


class Item(NamedTuple):
    """One object to be written.

    Attributes:
        values: The array; empty if there is a `payload`.
        entry: Metadata that came with it.
        dtype: Name of the format's dtype, where NumPy's does not say it.
        shape: Elements along each axis, for a bitmask.
        payload: The object as it shall stand in the frame, encoded already; only with `passthrough`.
        descriptor: What the payload is: the keys of a descriptor, with those of its stages.
    """

    values: NDArray[np.generic]
    entry: Mapping[str, Any] = {}
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    payload: bytes | None = None
    descriptor: Mapping[str, Any] | None = None


class Block(NamedTuple):
    """What a raw block is: the dtype (NumPy's or the format's word) and the shape."""

    dtype: str
    shape: tuple[int, ...]


class Wishes(NamedTuple):
    """What the caller wants of an input.

    Attributes:
        block: What a raw block is.
        variables: Take these alone, of inputs that hold several by name.
        split_axis: Slices along this axis; an input that can reads them one by one.
        passthrough: Yield payloads that need no decoding as they are.
        limits: What the input may cost.
        report: Is told what was left out.
    """

    block: Block | None = None
    variables: tuple[str, ...] | None = None
    split_axis: int | None = None
    passthrough: bool = False
    limits: Limits = DEFAULT_LIMITS
    report: Callable[[str], None] = lambda _text: None


class Cursor:
    """Reads a source forward, in exact amounts."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.offset = 0

    @property
    def name(self) -> str:
        """For messages."""
        return self.source.name

    def upto(self, size: int) -> memoryview:
        """Return the next `size` bytes, fewer only at the end. Allocation follows what arrives."""
        first = memoryview(self._chunk(size))
        if len(first) in {size, 0}:
            return first
        found = bytearray(first)
        while len(found) < size:
            chunk = self._chunk(size - len(found))
            if not len(chunk):
                break
            found += chunk
        return memoryview(found)

    def _chunk(self, size: int) -> memoryview:
        chunk = memoryview(self.source.read_at(self.offset, min(size, CHUNK)))[:size]
        self.skip(len(chunk))
        return chunk

    def skip(self, size: int) -> None:
        """Go on behind `size` bytes that have been looked at."""
        self.offset += size
        self.source.keep_from(self.offset)

    def line(self, limit: int = LINE_LIMIT, expected: str = "a JSON line") -> bytes:
        """Return the next line without its end; empty at the end of the input, too.

        Raises:
            EncodeError: No end within `limit` bytes.
        """
        found = bytearray()
        while True:
            chunk = bytes(self.source.read_at(self.offset, 4096)[:4096])
            end = chunk.find(b"\n")
            if end >= 0:
                self.skip(end + 1)
                return bytes(found + chunk[:end])
            found += chunk
            self.skip(len(chunk))
            if not chunk:
                return bytes(found)
            if len(found) > limit:
                raise EncodeError(
                    f"{self.name}: byte {self.offset}: no line end within {limit} bytes, expected {expected}"
                )

    @property
    def at_end(self) -> bool:
        """Whether nothing follows; waits for a stream to tell."""
        return not len(self.source.read_at(self.offset, 1))

    def exactly(self, size: int, what: str) -> memoryview:
        """Return the next `size` bytes.

        Raises:
            SourceError: The input ends before.
        """
        start = self.offset
        found = self.upto(size)
        if len(found) < size:
            raise SourceError(
                f"byte {start}: {what} ends short: expected {size} bytes, got {len(found)}; "
                "everything before it was written",
                uri=self.name,
            )
        return found


@contextmanager
def seekable(source: Source) -> Iterator[IO[bytes]]:
    """Lend a seekable, named file with the source's bytes: some formats are read from their end."""
    if isinstance(source, MappedSource):
        with open(source.name, "rb") as file:
            yield file
        return
    import tempfile

    cursor = Cursor(source)
    with tempfile.NamedTemporaryFile(prefix="tgmtool-") as spool:
        while len(chunk := cursor.upto(CHUNK)):
            spool.write(chunk)
        spool.flush()
        spool.seek(0)
        yield spool


def chosen(names: Sequence[str], wishes: Wishes, place: str) -> list[str]:
    """Return those of `names` that are wanted, in their order.

    Raises:
        EncodeError: One is wanted that is not there.
    """
    if wishes.variables is None:
        return list(names)
    if missing := [name for name in wishes.variables if name not in names]:
        raise EncodeError(f"{place}: has no variable {missing[0]!r}, only {', '.join(names)}")
    return [name for name in names if name in wishes.variables]
