"""Finds GRIB messages in a stream of bytes, and the fields in a message, without eccodes.

It is separate because eccodes reads files, and only with a global switch the further fields of a
message: here both come from a pipe, one at a time, with their offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ...errors import EncodeError
from .base import Cursor

_MAGIC = b"GRIB"
_END = b"7777"
_HEAD = 8  # of a message: magic, length or discipline, edition
_LARGEST_GRIB1 = 0x7FFFFF * 120
_SEARCH = 1 << 16


class GribMessage(NamedTuple):
    """One message.

    Attributes:
        offset: Of its first byte (bytes from the start of the input).
        data: The whole of it.
    """

    offset: int
    data: bytes


def find_messages(cursor: Cursor, report: Callable[[str], None]) -> Iterator[GribMessage]:
    """Yield the messages; what stands between them (bulletin headers, padding) is passed over.

    Raises:
        EncodeError: A message that is none, or no message at all.
        SourceError: The input ends inside a message.
    """
    count = 0
    while True:
        skipped = _skip_to_magic(cursor)
        if skipped and count:
            at = cursor.offset - skipped
            report(f"{cursor.name}: byte {at}: {skipped} bytes that are no GRIB were skipped")
        start = cursor.offset
        head = bytes(cursor.upto(_HEAD))
        if not head:
            break
        data = _message(cursor, start, head)
        if not data.endswith(_END):
            raise EncodeError(
                f"{cursor.name}: byte {start}: the GRIB message of {len(data)} bytes does not end with 7777, "
                f"found {data[-4:]!r}"
            )
        count += 1
        yield GribMessage(start, data)
    if not count:
        raise EncodeError(f"{cursor.name}: holds no GRIB message, nothing to encode")


def _skip_to_magic(cursor: Cursor) -> int:
    """Go to the next magic or to the end; return the bytes that were passed over."""
    start = cursor.offset
    while True:
        window = bytes(cursor.source.read_at(cursor.offset, _SEARCH)[:_SEARCH])
        at = window.find(_MAGIC)
        if at >= 0:
            cursor.skip(at)
            return cursor.offset - start
        if len(window) < len(_MAGIC):
            more = bytes(cursor.source.read_at(cursor.offset + len(window), 1))
            if not more:
                cursor.skip(len(window))
                return cursor.offset - start
            window += more[:1]
            if window == _MAGIC:
                return cursor.offset - start
        cursor.skip(max(1, len(window) - len(_MAGIC) + 1))


def _message(cursor: Cursor, start: int, head: bytes) -> bytes:
    edition = head[7] if len(head) == _HEAD else 0
    if edition == 2:
        head += bytes(cursor.exactly(8, "the GRIB message"))
        return _rest(cursor, head, int.from_bytes(head[8:16], "big"), start)
    if edition == 1:
        size = int.from_bytes(head[4:7], "big")
        if size & 0x800000:
            return _large_message(cursor, head, size, start)
        return _rest(cursor, head, size, start)
    raise EncodeError(f"{cursor.name}: byte {start}: expected GRIB edition 1 or 2, found {head!r}")


def _rest(cursor: Cursor, head: bytes, size: int, start: int) -> bytes:
    if size < len(head) + len(_END):
        raise EncodeError(f"{cursor.name}: byte {start}: a GRIB message of {size} bytes")
    return head + bytes(cursor.exactly(size - len(head), "the GRIB message"))


def _large_message(cursor: Cursor, head: bytes, size: int, start: int) -> bytes:
    """GRIB1 beyond 8 MB: beyond 16 MB the length counts in 120 bytes, less what section 4 says."""
    data = bytearray(head)
    excess = 0
    for flag in (0, 0x80, 0x40, 0):  # section 1; sections 2 and 3 if it says so; section 4
        if flag and not data[_HEAD + 7] & flag:
            continue
        data += cursor.exactly(3, "the GRIB message")
        excess = int.from_bytes(data[-3:], "big")
        if len(data) > _HEAD + 3 and flag == 0:
            break
        if excess < 8 or len(data) + excess > _LARGEST_GRIB1:
            raise EncodeError(
                f"{cursor.name}: byte {start}: the GRIB message has a section of {excess} bytes"
            )
        data += cursor.exactly(excess - 3, "the GRIB message")
    if excess < 120:
        size = (size & 0x7FFFFF) * 120 - excess + 4
    return _rest(cursor, bytes(data), size, start)


def fields_of(message: GribMessage, place: str) -> Iterator[bytes]:
    """Yield every field of a message as a message of its own.

    A GRIB2 message may repeat sections 2 to 7, 3 to 7 or 4 to 7; what is not repeated goes on.

    Raises:
        EncodeError: Its sections do not fit into it.
    """
    data = message.data
    if data[7] != 2:
        yield data
        return
    sections: dict[int, bytes] = {}
    bitmap = b""
    at, found = 16, 0
    while data[at : at + 4] != _END or at < len(data) - 4:
        size, number = int.from_bytes(data[at : at + 4], "big"), data[at + 4] if at + 4 < len(data) else 0
        if size < 5 or at + size > len(data) - len(_END) or not 1 <= number <= 7:
            raise EncodeError(
                f"{place}: byte {message.offset + at}: the GRIB message has a section {number} "
                f"of {size} bytes, {len(data) - len(_END) - at} are left"
            )
        section = data[at : at + size]
        at += size
        if number == 6:
            if section[5:6] == b"\xfe":  # "the bitmap that was given before"
                section = bitmap
            elif section[5:6] == b"\x00":
                bitmap = section
        sections[number] = section
        if number == 7:
            found += 1
            if at == len(data) - len(_END) and found == 1:
                yield data
                return
            body = b"".join(sections[key] for key in sorted(sections))
            yield data[:8] + (16 + len(body) + 4).to_bytes(8, "big") + body + _END
