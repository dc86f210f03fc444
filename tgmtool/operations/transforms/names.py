"""File names made from metadata, which comes from strangers.

It is separate because the rule is a security rule and stands once: what a key says never becomes a
separator, a hidden file, an option or another key, is never cut (two values would share a file), and
files are opened relative to their folder without following links.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ...endpoints.local import source_error
from ...errors import LimitExceeded, NameRefused, SourceError
from ..keys import MISSING, Keys, text_of

VALUE_BYTES = 100  # of one value, escaped
NAME_BYTES = 255  # of a whole name: what file systems take
MOST_NAMES = 10_000  # option --max-names
_PLAIN = re.compile(rb"[A-Za-z0-9._-]")
_CLOSERS = {"[": "]", "{": "}"}
_SHOWN = 40


class Template(NamedTuple):
    """A folder, and how the names in it are made.

    Attributes:
        folder: As it was given; "." if there was none.
        pieces: (text, None) as it stands, or ("", key).
    """

    folder: str
    pieces: tuple[tuple[str, str | None], ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that are asked for, each once."""
        return tuple(dict.fromkeys(key for _, key in self.pieces if key is not None))

    @classmethod
    def parse(cls, text: str) -> Template:
        """Return the template that `DIR/[key]_{key}.tgm` is; `[[ ]] {{ }}` are the characters themselves.

        Raises:
            ValueError: A bracket that is not closed, a key in the folder, a name that no file should have.
        """
        # What stands in brackets is a key, with its slashes if it has any.
        pieces = tuple(_pieces(text))
        last = max(
            (number for number, (said, key) in enumerate(pieces) if key is None and "/" in said), default=-1
        )
        if any(key is not None for _, key in pieces[: max(last, 0)]):
            raise ValueError(f"template {text!r}: keys may stand in the file name only, not in its folder")
        before = "".join(said for said, _ in pieces[: last + 1])
        folder, slash, rest = before.rpartition("/")
        named = ((rest, None), *pieces[last + 1 :])
        found = cls((folder or "/") if slash else ".", tuple(one for one in named if one != ("", None)))
        if not found.keys:
            raise ValueError(f"template {text!r} has no [key]: every message would go to the same file")
        first, key = found.pieces[0]
        if key is None and first[0] in ".-":
            raise ValueError(f"template {text!r}: a file name must not begin with {first[0]}")
        if any("\0" in said for said, _ in pieces):
            raise ValueError(f"template {text!r} holds a zero byte")
        return found

    def name(self, values: Mapping[str, str]) -> str:
        """Return the name for these values, which are put in once, escaped, and not looked into again.

        Raises:
            NameRefused: A value, or the name, is too long, or nothing is left of it.
        """
        parts = []
        for text, key in self.pieces:
            part = text if key is None else escaped(values[key])
            if key is not None and len(part) > VALUE_BYTES:
                raise NameRefused(
                    f"{key} takes {len(part)} bytes in a file name ({part[:_SHOWN]}…), "
                    f"expected at most {VALUE_BYTES}"
                )
            parts.append(part)
        name = "".join(parts)
        if name[:1] in {".", "-"}:  # of a value: the template's own text was looked at before
            name = f"%{ord(name[0]):02X}{name[1:]}"
        size = len(os.fsencode(name))
        if not name or size > NAME_BYTES:
            raise NameRefused(f"the file name has {size} bytes, expected 1 to {NAME_BYTES}")
        return name


def escaped(value: str) -> str:
    """Return a value with everything but `A-Z a-z 0-9 . _ -` as %XX of its bytes in UTF-8."""
    data = value.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if _PLAIN.match(bytes((byte,))) else f"%{byte:02X}" for byte in data)


def values_of(keys: Sequence[Keys], names: Sequence[str]) -> dict[str, str]:
    """Return what all objects of a message say of each key.

    Raises:
        NameRefused: One of them does not say it, or they do not agree.
    """
    found = {}
    for name in names:
        said = []
        for number, one in enumerate(keys):
            value = one.get(name)
            if value is MISSING:
                which = f"object {number}" if len(keys) > 1 else "it"
                raise NameRefused(f"{which} has no key {name!r}, which says where it goes")
            said.append(text_of(value))
        if len(set(said)) > 1:
            other = next(value for value in said if value != said[0])
            raise NameRefused(
                f"its objects differ in {name} ({said[0][:_SHOWN]!r}, {other[:_SHOWN]!r}): "
                "no one place is right; write one object per message (encode --group 1)"
            )
        found[name] = said[0]
    return found


class Folder:
    """A directory in which files are created and opened by name alone; never through a link.

    Args:
        path: Of the directory.
        create: It need not be there.

    Raises:
        SourceError: It cannot be opened.
    """

    def __init__(self, path: str, *, create: bool = True) -> None:
        self.path = path
        self.descriptor = -1
        with _named(path):
            if create:
                os.makedirs(path, exist_ok=True)
            self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def shown(self, name: str) -> str:
        """Return the path of a file, for messages."""
        return os.path.join(self.path, name)

    def open(self, name: str, flags: int) -> int:
        """Return a descriptor of the regular file `name`.

        Raises:
            SourceError: It cannot be opened, is a link or no regular file, or `name` is no plain name.
        """
        if "/" in name or name in {"", ".", ".."}:
            raise SourceError("is no name of a file in this folder", uri=self.shown(name))
        # O_NONBLOCK: a pipe in its place must not hold us; on a regular file it means nothing.
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with _named(self.shown(name)):
            descriptor = os.open(name, flags, 0o666, dir_fd=self.descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise SourceError("is no regular file", uri=self.shown(name))
        return descriptor

    def publish(self, temporary: str, name: str) -> bool:
        """Let a finished file have its name, unless another has it; return whether it has it now.

        Raises:
            SourceError: It cannot be had.
        """
        with _named(self.shown(name)):
            try:
                os.link(
                    temporary,
                    name,
                    src_dir_fd=self.descriptor,
                    dst_dir_fd=self.descriptor,
                    follow_symlinks=False,
                )
            except FileExistsError:
                return False
            except OSError:  # a file system without hard links: the content is the same whoever wins
                os.rename(temporary, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
                return True
        return True

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self.descriptor)

    def sync(self) -> None:
        """Return when the names of its files are durable."""
        with _named(self.path):
            os.fsync(self.descriptor)

    def close(self) -> None:
        """Let go of it. Closing twice is allowed."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def check_count(count: int, most: int) -> None:
    """Refuse the name that would be one too many.

    Raises:
        LimitExceeded: `count` is above `most`.
    """
    if count > most:
        raise LimitExceeded("the metadata makes more file names", limit="names", value=most)


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise source_error(error, path) from error


def _pieces(text: str) -> Iterator[tuple[str, str | None]]:
    at, said = 0, ""
    while at < len(text):
        char = text[at]
        if char in "[]{}" and text[at : at + 2] == 2 * char:
            said += char
            at += 2
        elif char in _CLOSERS:
            end = text.find(_CLOSERS[char], at)
            if end < 0:
                raise ValueError(f"template {text!r}: the {char} at {at} is not closed")
            key = text[at + 1 : end].strip()
            if not key:
                raise ValueError(f"template {text!r}: there is no key between {char} and {_CLOSERS[char]}")
            if said:
                yield said, None
                said = ""
            yield "", key
            at = end + 1
        elif char in "]}":
            raise ValueError(f"template {text!r}: the {char} at {at} was not opened")
        else:
            said += char
            at += 1
    if said:
        yield said, None
