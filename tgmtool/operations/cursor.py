"""Remember how far a follower came, so that it goes on there after a restart: at least once, never lost.

It is separate because it is a file of its own, with its own ways to be wrong: cut, foreign, locked, or
of another file. Then nothing is read at all; it never begins silently from the start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..endpoints.base import Source
from ..endpoints.edited import lock
from ..endpoints.local import FileSink, FileSource, source_error
from ..errors import CannotResume, FramingError, SourceError, TgmError
from ..wire import layout
from ..wire.digest import new_digest
from ..wire.frames import Preamble

VERSION = 1
_HEAD = 1024  # bytes of the file's beginning by which it is known
_BEFORE = layout.POSTAMBLE_SIZE  # bytes before the position by which it is known
_FLAGS_AT = 10  # of a preamble: behind magic and version
_LARGEST = 64 << 20  # bytes of a state file that are read at all
_KEY = "tgmtool_state"
HINT = "; --state-reset begins anew"


class Cursor(NamedTuple):
    """How far one file was handed out.

    Attributes:
        file: Its path.
        message: As in `Point`.
        offset: As in `Point`.
        number: As in `Point`.
        objects: As in `Point`.
        head: Digest of the file's first bytes, and how many they are.
        before: The bytes before `offset`, in hex, lengths that may be filled in later as zeros.
        start: Likewise before `message`.
        device: Where the file was; for people, and not compared: a remounted file system gets another.
        inode: Likewise: a file that was copied back is the same stream.
    """

    file: str
    message: int
    offset: int
    number: int
    objects: int
    head: tuple[str, int]
    before: str
    start: str
    device: int = 0
    inode: int = 0

    @classmethod
    def of(cls, source: Source, file: str, point: Sequence[int]) -> Cursor:
        """Return the cursor of an open file, of which everything through `point` was handed out."""
        message, offset, number, objects = point
        device = inode = 0
        if isinstance(source, FileSource):
            status = source.status()
            device, inode = status.st_dev, status.st_ino
        # Not of the open message, which may be taken back; of the first one if something of it was taken.
        known = message or (offset if objects else 0)
        head = _head(source, min(known, _HEAD))
        before, start = _before(source, offset), _before(source, message)
        return cls(file, message, offset, number, objects, head, before, start, device, inode)

    @classmethod
    def parse(cls, value: Any) -> Cursor:
        """Return the cursor that a state file holds.

        Raises:
            ValueError, TypeError, KeyError: It is none.
        """
        numbers = [value[key] for key in ("message", "offset", "number", "objects")]
        if any(type(number) is not int or not 0 <= number < 1 << 63 for number in numbers):
            raise ValueError("a position is no number")
        digest, size = value["head"]
        if type(size) is not int or not 0 <= size <= _HEAD:
            raise ValueError("the length of the beginning is out of range")
        before, start = (bytes.fromhex(value[key]).hex() for key in ("before", "start"))
        message, offset, number, objects = numbers
        return cls(str(value["file"]), message, offset, number, objects, (str(digest), size), before, start)

    def checked(self, source: Source, name: str) -> Cursor:
        """Return where to go on in a file that still has these bytes, and a message or the end there.

        That is here; or at the beginning of the open message, if its writer took it back meanwhile.

        Raises:
            CannotResume: It has not.
        """
        size = source.size() or 0
        head = _head(source, self.head[1])
        if size >= self.message and head == self.head and _before(source, self.message) == self.start:
            if size >= self.offset and _before(source, self.offset) == self.before:
                if self.message == self.offset:
                    check_boundary(source, self.offset, name)
                return self
            if self.message < self.offset:
                check_boundary(source, self.message, name)
                return self._replace(offset=self.message, objects=0, before=self.start)
        if size < self.offset:
            text = f"the position is byte {self.offset}, and the file has only {size} bytes now"
            raise refused(text, "out_of_window", name)
        if head != self.head:
            raise refused("this is another file than the one that was followed", "wrong_file", name)
        text = f"the bytes before byte {self.offset} are not those that were read"
        raise refused(text, "not_a_boundary", name)


def check_boundary(source: Source, offset: int, name: str, *, hint: str = HINT) -> None:
    """See whether a message, or the end of the file, is at `offset`.

    Raises:
        CannotResume: Neither is.
    """
    size = source.size() or 0
    if size < offset:
        raise refused(
            f"byte {offset} is beyond the end of the file at {size}", "out_of_window", name, hint=hint
        )
    head = _bytes(source, offset, layout.PREAMBLE_SIZE)
    start = head[: len(layout.MESSAGE_MAGIC)]
    if not layout.MESSAGE_MAGIC.startswith(start.rstrip(b"\0")):
        raise refused(
            f"no message begins at byte {offset}, found {start!r}", "not_a_boundary", name, hint=hint
        )
    if len(head) == layout.PREAMBLE_SIZE and start.rstrip(b"\0"):
        try:
            Preamble.parse(head, offset=offset)
        except FramingError as error:
            raise refused(
                f"no message begins at byte {offset}: {error.text}", "not_a_boundary", name, hint=hint
            ) from error


def refused(text: str, reason: str, name: str, *, hint: str = HINT) -> CannotResume:
    """Return the error that says why, and what can be done."""
    return CannotResume(text + hint, reason=reason, uri=name)


def _bytes(source: Source, offset: int, size: int) -> bytes:
    if isinstance(source, FileSource):  # also where a growing file holds zeros back, and looks for their end
        return bytes(FileSource.read_at(source, offset, size)) if size else b""
    return bytes(source.read_at(offset, size)[:size]) if size else b""


def _head(source: Source, size: int) -> tuple[str, int]:
    """Return the digest of the first `size` bytes, and `size`.

    What may be filled in later does not count: flags and length of the first preamble, and everything
    from the length in the first postamble on, which may stand across the limit.
    """
    data = bytearray(_bytes(source, 0, size + layout.POSTAMBLE_TOTAL_AT + 8))
    if len(data) < size:
        return "", size
    end = data.find(layout.END_MAGIC)
    if end >= 0:
        del data[max(end - 8, 0) :]
    del data[size:]
    del data[_FLAGS_AT : layout.PREAMBLE_SIZE]
    digest = new_digest()
    digest.update(bytes(data))
    return f"{digest.intdigest():016x}", size


def _before(source: Source, offset: int) -> str:
    data = bytearray(_bytes(source, max(offset - _BEFORE, 0), min(offset, _BEFORE)))
    if data.endswith(layout.END_MAGIC) and len(data) == _BEFORE:
        data[layout.POSTAMBLE_TOTAL_AT : layout.POSTAMBLE_TOTAL_AT + 8] = bytes(8)
    return data.hex()


class StateFile:
    """The file that remembers, locked against a second follower while it is in use.

    Written by temporary name, fsync, rename, fsync of the directory: it is whole at any moment. The lock
    is on a file beside it, because a rename would leave a lock behind.

    Args:
        path: Where.
        reset: Forget what it holds.

    Raises:
        SourceError: It cannot be read or written, or another follower uses it.
        CannotResume: What it holds is no state.
    """

    def __init__(self, path: str, *, reset: bool = False) -> None:
        self.path = path
        self._lock = -1
        try:
            self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise source_error(error, path) from error
        try:
            try:
                lock(self._lock, path, exclusive=True)
            except SourceError as error:
                raise SourceError(
                    f"another tail uses it ({str(error).partition(': ')[2].partition(' writes')[0]}): "
                    "give this one a file of its own",
                    uri=path,
                ) from error
            self.entries: dict[str, Any] = {} if reset else self._load()
            self.save(self.entries)  # whether it can be written must be known before anything is shown
        except BaseException:
            self.close()
            raise

    def _load(self) -> dict[str, Any]:
        try:
            with open(self.path, "rb") as file:
                data = file.read(_LARGEST + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise source_error(error, self.path) from error
        try:
            return _places_in(data)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            text = f"this is no state that tail wrote ({type(error).__name__}: {error})"
            raise refused(text, "unreadable", self.path) from error

    def save(self, entries: Mapping[str, Any]) -> None:
        """Remember, durably.

        Raises:
            SourceError: It cannot be written; what was remembered before is still there.
        """
        # Exact integers, not the text that `records` makes of large ones: nobody but us reads this.
        text = json.dumps({_KEY: VERSION, "places": entries}, separators=(",", ":"))
        with FileSink(self.path, private=True, durable=True) as sink:
            sink.write([text.encode() + b"\n"])

    def close(self) -> None:
        """Let others use it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def parsed(entry: Any, key: str, path: str) -> Cursor | None:
    """Return the cursor at `key` of an entry of a state file; None if there is none.

    Raises:
        CannotResume: It is none that tail wrote.
    """
    try:
        return None if entry[key] is None else Cursor.parse(entry[key])
    except (ValueError, TypeError, KeyError, TgmError) as error:
        text = f"this is no state that tail wrote ({type(error).__name__}: {error})"
        raise refused(text, "unreadable", path) from error


def _places_in(data: bytes) -> dict[str, Any]:
    if len(data) > _LARGEST:
        raise ValueError(f"more than {_LARGEST} bytes")
    value = json.loads(data)
    if value[_KEY] != VERSION:
        raise ValueError(f"version {value[_KEY]!r}, expected {VERSION}")
    places = value["places"]
    if not isinstance(places, dict):
        raise TypeError("places is no map")
    return places
