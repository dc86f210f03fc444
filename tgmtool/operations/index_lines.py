"""An index beside a file: one JSON line per object, in the manner of ECMWF's `.index` files.

It is separate because such a file is written once and read by strangers: a line names the MARS keys of
an object as text, and `_offset` and `_length` of its message, which is a valid file of its own. Writing
and reading stand side by side.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..messages.assembly import Message
from ..messages.spans import Gap, ObjectSpan
from ..wire import layout
from .keys import MISSING, Keys
from .records import json_text

NO_OBJECT = -1
_VERSION = "_version"


class BadIndex(ValueError):
    """What an index says cannot be so."""


class Unknown(Exception):
    """An index does not list a key: it cannot tell whether a condition holds."""


class Line(NamedTuple):
    """What an index says of one object; nothing of it is sure.

    Attributes:
        offset: Where its message begins (bytes from the start of the source).
        length: Of the message.
        number: Of the message, from 0; None where nobody says.
        object: Of the object in it, from 0; -1 for a message without objects; None where nobody says.
        place: Offset and length of the object's frame; None where nobody says.
        keys: MARS keys, as text.
    """

    offset: int
    length: int
    number: int | None
    object: int | None
    place: tuple[int, int] | None
    keys: Mapping[str, Any]


class Claims(Keys):
    """The keys that a line names; asked for any other it raises Unknown."""

    def __init__(self, line: Line) -> None:
        super().__init__({}, None, {"mars": line.keys, **line.keys})

    def get(self, name: str) -> Any:
        """Return the value of `name`.

        Raises:
            Unknown: The line does not say.
        """
        # Bare names are looked up elsewhere first: only these are the same for an object.
        found = super().get(name) if name.startswith("mars.") or name == "name" else MISSING
        if found is MISSING:
            raise Unknown
        return found


def lines_of(found: Iterable[ObjectSpan | Message | Gap], version: str = "") -> Iterator[str | Gap]:
    """Yield the lines for what a `Scanner` finds, and the gaps.

    Args:
        found: What it finds.
        version: What tells this version of the source from others; the first line keeps it.
    """
    about = {_VERSION: version} if version else {}
    held: list[ObjectSpan | None] = []
    for one in found:
        if isinstance(one, ObjectSpan):
            held.append(one)
        elif isinstance(one, Message):
            for span in held or [None]:
                yield json_text({**_line(one, span), **about})
                about = {}
            held = []
        else:
            held = []
            yield one


def _line(message: Message, span: ObjectSpan | None) -> dict[str, Any]:
    place = {"_offset": message.span.offset, "_length": message.span.length, "_msg": message.span.number}
    if span is None:
        return {**place, "_obj": None}
    mars = span.metadata.get("mars")
    known = dict(mars) if isinstance(mars, Mapping) else {}
    if "name" in span.metadata:
        known["name"] = span.metadata["name"]
    # Text, as everybody writes it; what is not simple is left out, and has to be looked up.
    keys = {
        key: str(value)
        for key, value in known.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool) and not key.startswith("_")
    }
    where = {"_obj": span.number, "_object_offset": span.offset, "_object_length": span.length}
    return {**keys, **place, **where}


def parse_lines(text: bytes, *, size: int, version: str = "") -> list[Line]:
    """Return what an index says, by offset.

    Args:
        text: The index.
        size: Of the source that it is about, in bytes.
        version: What tells this version of the source from others, if that is known.

    Raises:
        BadIndex: It is none, or not of a source of this size, or of another version.
    """
    found: list[Line] = []
    for number, row in enumerate(text.splitlines(), 1):
        if row.strip():
            try:
                read = json.loads(row)
                found.append(_parsed(read))
                other = version and read.get(_VERSION, version) != version
            except (ValueError, TypeError, KeyError, RecursionError):
                raise BadIndex(f"line {number} is no line of an index") from None
            if other:
                raise BadIndex("it was made of another version of the object")
    found.sort(key=lambda line: (line.offset, -1 if line.object is None else line.object))
    end, last = 0, (-1, -1)
    for line in found:
        if (line.offset, line.length) == last:
            continue
        if line.offset < end or line.length < layout.MIN_MESSAGE_SIZE or line.offset + line.length > size:
            raise BadIndex(
                f"it names bytes {line.offset}-{line.offset + line.length - 1}, which is not possible in "
                f"an object of {size} bytes, or overlaps another message"
            )
        end, last = line.offset + line.length, (line.offset, line.length)
    return found


def _parsed(row: Any) -> Line:
    if not isinstance(row, dict):
        raise TypeError
    place = None
    if "_object_offset" in row:
        place = _whole(row["_object_offset"]), _whole(row["_object_length"])
    which = row.get("_obj", MISSING)
    return Line(
        _whole(row["_offset"]),
        _whole(row["_length"]),
        _whole(row["_msg"]) if "_msg" in row else None,
        None if which is MISSING else NO_OBJECT if which is None else _whole(which),
        place,
        {key: value for key, value in row.items() if not key.startswith("_")},
    )


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ValueError
    return value


def by_message(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield the lines of each message."""
    held: list[Line] = []
    for line in lines:
        if held and line.offset != held[0].offset:
            yield held
            held = []
        held.append(line)
    if held:
        yield held
