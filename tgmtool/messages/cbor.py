"""Deterministic CBOR for metadata: the only home of cbor2.

It is separate because cbor2 by itself is too kind: it turns tags into objects, lets the last
of two equal keys win and ignores what follows the first item. Metadata comes from strangers:
here tags stay data, and duplicate keys, trailing bytes and excess are refused.
Source: RFC 8949 §4.2; Tensogram wire format v3, §12.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import EncodeError, LimitExceeded, MetadataError
from ..limits import DEFAULT_LIMITS, Limits
from .cbor_plain import NotPlain, array_of, head, plain

if TYPE_CHECKING:
    from collections.abc import Callable

# Tags that cbor2 would act on. They are kept as CBORTag: a date, a regular expression, a shared
# reference in a file is data, not an instruction. 2 and 3 (big integers) are plain numbers.
_TAGS_KEPT_AS_DATA = (
    *(0, 1, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100),
    *(256, 258, 260, 261, 1004, 43000, 55799),
)
_LARGEST_INT = (1 << 64) - 1
_UNSIGNED = 0
_BREAK = 0xFF
_CODES = {
    "index": "index_cbor_parse_failed",
    "hash list": "hash_frame_cbor_parse_failed",
    "preceder": "preceder_cbor_parse_failed",
    "descriptor": "descriptor_cbor_parse_failed",
}
_FEW = 16  # values that are encoded faster here than by a call
_BRIEF = 60
_DEEPEST = 124  # the maps around it, and the limit of readers that are as careful as this one
# How cbor2 says it; what follows may quote the file.
_TOO_DEEP = re.compile(r"(error decoding [\w ]+: )*maximum container nesting depth")
_DUPLICATE = re.compile(r"(error decoding [\w ]+: )*Duplicate map key")
_KNOWN_MODULES = frozenset({"numpy", "cbor2", "cbor2._cbor2", "_cbor2"})  # whose kinds are written
_PLAIN = frozenset({str, float, bool, bytes, type(None)})  # kinds with nothing to check


def decode(body: bytes | memoryview, *, what: str, offset: int, limits: Limits = DEFAULT_LIMITS) -> Any:
    """Return the one value that `body` holds.

    Args:
        body: The whole CBOR item, nothing after it.
        what: What it is, for errors ("descriptor").
        offset: Where it stands (bytes from the start of the source).
        limits: `cbor_bytes`, `cbor_depth` and `cbor_items` are checked before anything is built.

    Returns:
        dict, list, str, int, float, bool, None, bytes, or a cbor2 object for what has no
        counterpart (CBORTag, CBORSimpleValue, undefined).

    Raises:
        MetadataError: Not well-formed, a duplicate key, bytes after the item.
        LimitExceeded: Larger, deeper or more than `limits` allow.
    """
    import io

    import cbor2

    limits.check("cbor_bytes", len(body), f"{what} has {len(body)} bytes", offset=offset)
    if len(body) > limits.cbor_items:
        _check_items(body, what, offset, limits)
    source = io.BytesIO(body)
    try:
        value = cbor2.CBORDecoder(
            source,
            max_depth=limits.cbor_depth,
            allow_duplicate_keys=False,
            semantic_decoders=_tag_decoders(),
        ).decode()
    except (
        cbor2.CBORDecodeError,
        ValueError,
        TypeError,
        OverflowError,
        RecursionError,
        MemoryError,
    ) as error:
        text = str(error)
        if _TOO_DEEP.match(text) or isinstance(error, RecursionError):
            # What is ill-formed as well is damaged: no higher limit would help.
            _walk(body, what, offset, limits._replace(cbor_depth=len(body)))
            raise LimitExceeded(
                f"{what} is nested too deeply", limit="cbor_depth", value=limits.cbor_depth, offset=offset
            ) from None
        code = "duplicate_cbor_key" if _DUPLICATE.match(text) else _code(what)
        raise MetadataError(
            f"{what} is not valid CBOR: {text}", offset=offset, section="12", code=code
        ) from None
    if source.tell() != len(body):
        raise MetadataError(
            f"{what} ends after {source.tell()} bytes, {len(body) - source.tell()} more bytes follow it",
            offset=offset + source.tell(),
            section="12",
            code="trailing_cbor",
        )
    return value


def _code(what: str) -> str:
    """Return the stable name of "this is not what a … must be"."""
    return _CODES.get(what, "metadata_cbor_parse_failed")


def decode_map(
    body: bytes | memoryview, *, what: str, offset: int, limits: Limits = DEFAULT_LIMITS
) -> dict[str, Any]:
    """Return the map with text keys that `body` holds; otherwise as `decode`."""
    value = decode(body, what=what, offset=offset, limits=limits)
    if not isinstance(value, dict):
        raise MetadataError(
            f"{what} must be a map, found {_kind(value)}", offset=offset, section="6.1", code=_code(what)
        )
    for key in value:
        if not isinstance(key, str):
            raise MetadataError(
                f"{what} must have text keys, found {brief(key)}",
                offset=offset,
                section="6.1",
                code=_code(what),
            )
    return value


def item_size(body: bytes | memoryview, *, what: str, offset: int, limits: Limits = DEFAULT_LIMITS) -> int:
    """Return how many bytes the first CBOR item of `body` takes; more bytes may follow it.

    Needed where a descriptor stands before its payload: only its own structure says where it ends.
    Errors as `decode`.
    """
    return _walk(body, what, offset, limits)


def encode(value: Any) -> bytes:
    """Return `value` as deterministic CBOR: sorted keys, shortest numbers, definite lengths.

    Args:
        value: Maps with text keys, lists, tuples, text, bytes, numbers (NumPy's too), True, False, None.

    Raises:
        EncodeError: Anything else, or an integer beyond 64 bits.
    """
    try:
        return plain(value, _DEEPEST + 1)
    except NotPlain:
        pass
    import cbor2

    try:
        _check(value)
        return cbor2.dumps(value, canonical=True, default=_encode_other)
    except (cbor2.CBOREncodeError, UnicodeEncodeError) as error:
        raise EncodeError(f"metadata cannot be written: {error}") from None
    except RecursionError:
        raise EncodeError("metadata cannot be written: it is nested too deeply") from None


def unsigned_array(values: Sequence[int]) -> bytes:
    """Return the array of these unsigned integers."""
    if len(values) > _FEW:
        return encode(values)
    return array_of([head(_UNSIGNED, value) for value in values])


def _check(value: Any, depth: int = 0) -> None:
    """Refuse what has no place in metadata: keys that are no text, kinds that only Python knows."""
    kind = type(value)
    if kind in _PLAIN:
        return
    if depth > _DEEPEST:
        raise EncodeError(f"metadata is nested more than {_DEEPEST} deep: no reader would take it")
    if kind is int or isinstance(value, int):
        if not -_LARGEST_INT - 1 <= value <= _LARGEST_INT:
            raise EncodeError(f"metadata integers must fit 64 bits, found {hex(value)}")
    elif kind is dict or isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise EncodeError(f"metadata keys must be text, found {brief(key)}")
            if type(inner) not in _PLAIN:
                _check(inner, depth + 1)
    elif kind is list or isinstance(value, list | tuple):
        for inner in value:
            if type(inner) not in _PLAIN:
                _check(inner, depth + 1)
    elif not (isinstance(value, str | bytes | bytearray | float) or kind.__module__ in _KNOWN_MODULES):
        raise EncodeError(
            f"metadata cannot hold a {kind.__name__}: {brief(value)}; convert it to text or a number"
        )


def _encode_other(encoder: Any, value: Any) -> None:
    """Write what cbor2 does not know: NumPy scalars and arrays, as the plain values they hold."""
    plain = getattr(value, "tolist", None)
    if plain is None or type(value).__module__ not in _KNOWN_MODULES:
        raise EncodeError(f"metadata cannot hold a {type(value).__name__}: {brief(value)}")
    value = plain()
    _check(value)
    encoder.encode(value)


def brief(value: Any) -> str:
    """Return a short `repr` of a stranger's value, whatever it is."""
    try:
        shown = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a cycle
        return f"a very large {type(value).__name__}"
    return shown if len(shown) <= _BRIEF else shown[: _BRIEF - 1] + "…"


@cache
def _tag_decoders() -> dict[int, Callable[[Any, bool], Any]]:
    from cbor2 import CBORTag

    def keeper(number: int) -> Callable[[Any, bool], Any]:
        return lambda value, _immutable: CBORTag(number, value)

    return {number: keeper(number) for number in _TAGS_KEPT_AS_DATA}


def _check_items(body: bytes | memoryview, what: str, offset: int, limits: Limits) -> None:
    _walk(body, what, offset, limits)


def _walk(body: bytes | memoryview, what: str, offset: int, limits: Limits) -> int:
    """Walk over the heads of one item without building anything; return its size in bytes."""
    data = bytes(body)
    size = len(data)
    pos = items = 0
    open_items: list[int] = [1]  # values still to come at each level; -1: until a break
    while open_items:
        if open_items[-1] == 0:
            open_items.pop()
            continue
        if pos >= size:
            raise MetadataError(
                f"{what} stops inside a value", offset=offset + pos, section="12", code=_code(what)
            )
        head = data[pos]
        pos += 1
        if head == _BREAK and open_items[-1] < 0:
            open_items.pop()
            continue
        open_items[-1] -= open_items[-1] > 0
        items += 1
        if items > limits.cbor_items:
            limits.check("cbor_items", items, f"{what} holds more values than allowed", offset=offset)
        major, info = head >> 5, head & 31
        argument = info
        if 24 <= info <= 27:
            width = 1 << (info - 24)
            argument = int.from_bytes(data[pos : pos + width], "big")
            pos += width
        elif 28 <= info <= 30 or (info == 31 and major in {0, 1, 6, 7}):
            raise MetadataError(
                f"{what} has an ill-formed value", offset=offset + pos - 1, section="12", code=_code(what)
            )
        if major in {2, 3} and info != 31:
            pos += argument
        elif major >= 2 and major != 7:
            several = {2: 1, 3: 1, 4: 1, 5: 2, 6: 0}[major]
            open_items.append(-1 if info == 31 else argument * several or (1 if major == 6 else 0))
            if len(open_items) > limits.cbor_depth + 1:
                limits.check("cbor_depth", len(open_items) - 1, f"{what} is nested too deeply", offset=offset)
    if pos > size:
        raise MetadataError(
            f"{what} stops inside a value", offset=offset + size, section="12", code=_code(what)
        )
    return pos


def _kind(value: Any) -> str:
    return {list: "an array", str: "text", int: "a number", bytes: "bytes"}.get(
        type(value), type(value).__name__
    )
