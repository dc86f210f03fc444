"""What every endpoint can do.

It is separate so that the layers above depend on abilities, not on kinds of places. These are
classes to inherit from: asking an object whether it fits costs a hundred times less than with protocols.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

Bytes = bytes | bytearray | memoryview


class Source(ABC):
    """A place to read from.

    Attributes:
        name: For messages: a path or a redacted URL.
        seekable: Any offset can be read at any time; otherwise reading goes forward, and back only
            as far as `keep_from` allowed.
    """

    name: str
    seekable: bool

    @abstractmethod
    def read_at(self, offset: int, size: int) -> Bytes:
        """Return up to `size` bytes that stand at `offset`; nothing if there are none (now).

        Raises:
            SourceError: The place failed.
        """

    @abstractmethod
    def size(self) -> int | None:
        """Return where the source ends as far as is known now, in bytes; None if that is not known."""

    @abstractmethod
    def keep_from(self, offset: int) -> int:
        """Say that bytes before `offset` will not be asked for again; return the first that can be."""

    def foresee(self, offset: int, size: int) -> bool:
        """Take note that a little here and there of these bytes will be asked for.

        Returns:
            False if it is better to ask for all of them: each call is dear here.
        """
        return False

    @abstractmethod
    def close(self) -> None:
        """Let go of it. Closing twice is allowed."""


class Sink(ABC):
    """A place to write to.

    Attributes:
        name: For messages.
        patchable: `patch_at` can be used.
    """

    name: str
    patchable: bool

    @property
    @abstractmethod
    def position(self) -> int:
        """Bytes written so far."""

    @abstractmethod
    def write(self, pieces: Sequence[Bytes]) -> None:
        """Write all the pieces, in order, in as few calls as possible, at once.

        Raises:
            SourceError: The place failed; BrokenPipeError if its reader went away.
        """

    @abstractmethod
    def patch_at(self, offset: int, data: Bytes) -> None:
        """Write `data` over what stands at `offset` (bytes from where this sink began)."""

    @abstractmethod
    def truncate(self, offset: int) -> None:
        """Drop everything from `offset` on (bytes from where this sink began)."""

    @abstractmethod
    def sync(self) -> None:
        """Return when everything that was written is durable."""

    @abstractmethod
    def close(self) -> None:
        """Finish: what was written stays."""

    @abstractmethod
    def abort(self) -> None:
        """Give up: what can be taken back is taken back."""

    def __enter__(self) -> Self:
        """Use it as a context manager: closed at the end, aborted at an error."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Close, or abort after an error."""
        if kind is None:
            self.close()
        else:
            self.abort()
