"""Deterministic CBOR of plain values, written by hand.

It is separate because nearly all metadata is text, small numbers and maps whose keys were seen before:
writing these takes a fraction of what a general encoder takes, and no package. `cbor` writes the rest.
Source: RFC 8949 §3, §4.2.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Any

from ..errors import EncodeError

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP = range(6)
_LARGEST = (1 << 64) - 1
_FALSE, _TRUE, _NULL, _NAN = b"\xf4", b"\xf5", b"\xf6", b"\xf9\x7e\x00"
_ARGUMENTS = tuple(
    (info, 1 << 8 * form.size - 8, form)
    for info, form in ((24, Struct(">BB")), (25, Struct(">BH")), (26, Struct(">BI")), (27, Struct(">BQ")))
)
_FLOATS = tuple((bytes((head,)), Struct(form)) for head, form in ((0xF9, ">e"), (0xFA, ">f"), (0xFB, ">d")))
_HEADS = tuple(bytes((major << 5 | argument,)) for major in range(8) for argument in range(32))
_SHORT = 64  # characters of a text that is remembered
_MANY = 64  # values from which on a general encoder is faster
_LONGEST_FORM = 4096  # bytes of a map's keys that are remembered


class NotPlain(Exception):
    """The value, or one in it, is for the general encoder to write, or to refuse."""


def plain(value: Any, depth: int) -> bytes:
    """Return a value as CBOR, if it is a plain one.

    Args:
        value: Of exactly these kinds: str, int, float, bool, None, bytes, and dict, list or tuple of them.
        depth: How deep maps and lists may be nested.

    Raises:
        NotPlain: It is not, or is large, or is nested deeper.
        EncodeError: Text that holds a lone surrogate.
    """
    kind = type(value)
    if kind is str:
        return _short_text(value) if len(value) <= _SHORT else text(value)
    if kind is int:
        if not -_LARGEST - 1 <= value <= _LARGEST:
            raise NotPlain
        return head(_UNSIGNED, value) if value >= 0 else head(_NEGATIVE, -1 - value)
    if kind is dict:
        if len(value) > _MANY or not depth:
            raise NotPlain
        order, form = _form(tuple(value))
        depth -= 1
        values = []
        for key in order:
            inner = value[key]
            # Most are short texts: a call less for each.
            is_short = type(inner) is str and len(inner) <= _SHORT
            values.append(_short_text(inner) if is_short else plain(inner, depth))
        return form % tuple(values)
    if kind is list or kind is tuple:
        if len(value) > _MANY or not depth:
            raise NotPlain
        return array_of([plain(inner, depth - 1) for inner in value])
    if value is None:
        return _NULL
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is float:
        return _float(value)
    if kind is bytes:
        return b"".join((head(_BYTES, len(value)), value))
    raise NotPlain


def head(major: int, argument: int) -> bytes:
    """Return the shortest head of a value: its major type and a count or length."""
    if argument < 24:
        return _HEADS[major << 5 | argument]
    for info, beyond, form in _ARGUMENTS:
        if argument < beyond:
            return form.pack(major << 5 | info, argument)
    raise EncodeError(f"metadata cannot hold {argument} values")


def text(value: str) -> bytes:
    """Return text as CBOR.

    Raises:
        EncodeError: It holds a lone surrogate.
    """
    try:
        encoded = value.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(f"metadata cannot be written: {error}") from None
    return head(_TEXT, len(encoded)) + encoded


_short_text = lru_cache(4096)(text)


def array_of(values: list[bytes]) -> bytes:
    """Return the array of values that are encoded already."""
    return head(_ARRAY, len(values)) + b"".join(values)


def map_of(pairs: dict[str, bytes]) -> bytes:
    """Return the map of these keys to values that are encoded already, in deterministic order."""
    keys = tuple(pairs)
    try:
        order, form = _form(keys)
    except NotPlain:
        order, form = _made_form(keys)
    return form % tuple([pairs[key] for key in order])


def _made_form(keys: tuple[str, ...]) -> tuple[list[str], bytes]:
    """Return the keys of a map as they are ordered, and the map with a gap (%b) for each value."""
    if not all(isinstance(key, str) for key in keys):
        raise NotPlain
    encoded = sorted((text(key), key) for key in keys)
    gaps = b"".join([packed.replace(b"%", b"%%") + b"%b" for packed, _ in encoded])
    return [key for _, key in encoded], head(_MAP, len(keys)).replace(b"%", b"%%") + gaps


@lru_cache(1024)
def _form(keys: tuple[str, ...]) -> tuple[list[str], bytes]:
    """As `_made_form`, remembered: the maps of a stream mostly have the same keys.

    Raises:
        NotPlain: The keys are too many or too long to be remembered, or are no text.
    """
    if len(keys) > _MANY:
        raise NotPlain
    order, form = _made_form(keys)
    if len(form) > _LONGEST_FORM:
        raise NotPlain
    return order, form


def _float(value: float) -> bytes:
    """Return the shortest form from which the same number comes back."""
    if value != value:  # noqa: PLR0124  # NaN
        return _NAN
    for first, form in _FLOATS[:-1]:
        try:
            packed = form.pack(value)
        except OverflowError:
            continue
        if form.unpack(packed)[0] == value:
            return first + packed
    first, form = _FLOATS[-1]
    return first + form.pack(value)
