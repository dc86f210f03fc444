"""Write an object of any place that fsspec knows: it appears when it is complete, or not at all.

It is separate from reading because it has nothing in common with it: no ranges, no stride, no version.
A place whose file system cannot hold back what is not complete is written as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import SourceError
from .base import Bytes
from .secrets import redact, redact_url
from .stdio import StreamSink

_BLOCK = 16 << 20  # bytes that are held and sent at once; S3 takes 10 000 of them


class RemoteSink(StreamSink):
    """Writes an object from its first byte.

    Args:
        url: Of the object.
        exclusive: It must not exist.

    Raises:
        SourceError: It exists, or cannot be written.
    """

    def __init__(self, url: str, *, exclusive: bool = True) -> None:
        super().__init__(-1, redact_url(url))
        self._file: Any = None
        with self._told():
            self._file = self._open(url.partition("#")[0], exclusive=exclusive)
        if self._file is None:
            raise SourceError("already exists; use --force to replace it", uri=self.name)

    @staticmethod
    def _open(url: str, *, exclusive: bool) -> Any:
        import fsspec

        system, path = fsspec.core.url_to_fs(url)
        if exclusive and system.exists(path):
            return None
        return system.open(path, "wb", autocommit=False, block_size=_BLOCK)

    def write(self, pieces: Sequence[Bytes]) -> None:
        """Write all the pieces; some of them may wait here for more."""
        with self._told():
            for piece in pieces:
                self._file.write(memoryview(piece).cast("B"))
                self._position += len(piece)

    def close(self) -> None:
        """Let the object appear."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with self._told():
            file.close()
            file.commit()

    def abort(self) -> None:
        """Let nothing appear, as far as the place allows that."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with self._told():
            file.discard()
        with contextlib.suppress(AttributeError):
            file.closed = True  # else what collects it would complete it after all

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except NotImplementedError as error:
            raise SourceError("can be read and not written", uri=self.name) from error
        except Exception as error:  # every file system has errors of its own
            text = redact(" ".join(str(error).split())) or type(error).__name__
            raise SourceError(f"cannot be written: {text}", uri=self.name) from error
