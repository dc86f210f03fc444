"""Is a CBOR item written as a deterministic writer writes it? Looked at head by head.

It is separate because only validation asks, and because writing the values again is no proof:
floats may be written in any width (writers differ), and not every value survives being read.
Source: RFC 8949 §4.2.1.
"""

from __future__ import annotations

NON_CANONICAL, UNUSUAL = "non_canonical", "unusual"
_BREAK = 0xFF
_UNSIGNED, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = 0, 3, 4, 5, 6, 7
_INDEFINITE = 31
_LEAST = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}  # by width: smaller arguments fit a shorter head
_FALSE, _NULL, _ONE_BYTE = 20, 22, 24


class _Open:
    """A map, array or tag whose content is passing."""

    __slots__ = ("is_map", "key_start", "last_key", "left")

    def __init__(self, left: int, is_map: bool) -> None:
        self.left = left  # items to come; -1 until a break
        self.is_map = is_map
        self.last_key = b""
        self.key_start = -1  # of the key that is passing


def oddities(body: bytes | memoryview) -> set[str]:
    """Return NON_CANONICAL and UNUSUAL, as far as they are true of a well-formed item.

    NON_CANONICAL: an integer or a length in more bytes than it needs, an indefinite length, keys
    that are not in the order of their encoded bytes. UNUSUAL: `undefined`, or a simple value
    without a meaning.
    """
    data = bytes(body)
    found: set[str] = set()
    pos = 0
    open_items = [_Open(1, is_map=False)]
    while open_items:
        here = open_items[-1]
        if here.key_start >= 0 and here.is_map and (here.left % 2 == 1 if here.left >= 0 else False):
            key = data[here.key_start : pos]
            if key <= here.last_key and here.last_key:
                found.add(NON_CANONICAL)
            here.last_key, here.key_start = key, -1
        if here.left == 0:
            open_items.pop()
            continue
        head = data[pos]
        if head == _BREAK and here.left < 0:
            pos += 1
            open_items.pop()
            continue
        if here.is_map and here.left > 0 and here.left % 2 == 0:
            here.key_start = pos
        if here.left > 0:
            here.left -= 1
        pos += 1
        major, info = head >> 5, head & 31
        argument = info
        if info in _LEAST:
            width = 1 << (info - 24)
            argument = int.from_bytes(data[pos : pos + width], "big")
            pos += width
            if major != _SIMPLE and argument < _LEAST[info]:
                found.add(NON_CANONICAL)
        elif info == _INDEFINITE:
            found.add(NON_CANONICAL)
        if major == _SIMPLE:
            if info <= _ONE_BYTE and not _FALSE <= argument <= _NULL:
                found.add(UNUSUAL)
        elif info == _INDEFINITE:
            open_items.append(_Open(-1, is_map=False))
        elif major in {2, _TEXT}:
            pos += argument
        elif major == _ARRAY:
            open_items.append(_Open(argument, is_map=False))
        elif major == _MAP:
            open_items.append(_Open(2 * argument, is_map=True))
        elif major == _TAG:
            open_items.append(_Open(1, is_map=False))
    return found
