"""The metadata of a message: per object, per message, and what the library manages.

It is separate because three kinds of frames carry it (header, footer, preceder) and the rules
by which one wins over another must stand once: a preceder's key over the footer's, the footer's
over the header's.
Source: Tensogram wire format v3, §6.1, §6.4.
"""

from __future__ import annotations

import marshal
import os
import time
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

from ..errors import EncodeError, MetadataError
from ..limits import DEFAULT_LIMITS, Limits
from . import cbor
from .cbor_plain import array_of, map_of, text
from .descriptor import Descriptor

BASE, EXTRA, RESERVED = "base", "_extra_", "_reserved_"
_PRECEDER = map_of({BASE: array_of([b""])})  # of a preceder's body: what stands before the object's map
_TOLD_APART = frozenset({str, int, float, bool, type(None)})
_ENTRIES, _LONGEST_KEY = 64, 4096  # maps that are remembered; bytes of one
NIL_UUID = "00000000-0000-0000-0000-000000000000"  # of what is the same at every run


class Metadata(NamedTuple):
    """What a metadata frame says, or what several say together.

    Attributes:
        base: One map per object; may be shorter than the objects are many.
        extra: Message-level keys (`_extra_`, and every other top-level key folded into it).
        reserved: Library-managed keys: encoder, time, uuid.
    """

    base: tuple[Mapping[str, Any], ...] = ()
    extra: Mapping[str, Any] = {}
    reserved: Mapping[str, Any] = {}

    def pack(self) -> bytes:
        """Return the frame's body; empty parts are left out, as the reference does."""
        value: dict[str, Any] = {}
        if self.base:
            value[BASE] = list(self.base)
        if self.extra:
            value[EXTRA] = self.extra
        if self.reserved:
            value[RESERVED] = self.reserved
        return cbor.encode(value)

    def over(self, weaker: Metadata) -> Metadata:
        """Return both, key by key, with this one's keys winning."""
        base = [
            {
                **(weaker.base[i] if i < len(weaker.base) else {}),
                **(self.base[i] if i < len(self.base) else {}),
            }
            for i in range(max(len(self.base), len(weaker.base)))
        ]
        return Metadata(tuple(base), {**weaker.extra, **self.extra}, {**weaker.reserved, **self.reserved})

    def of_object(self, index: int) -> Mapping[str, Any]:
        """Return the map of object `index`, without its library-managed part."""
        if index >= len(self.base):
            return {}
        found = self.base[index]
        return {key: value for key, value in found.items() if key != RESERVED} if RESERVED in found else found

    @classmethod
    def parse(cls, body: bytes | memoryview, *, offset: int, limits: Limits = DEFAULT_LIMITS) -> Metadata:
        """Parse the body of a header or footer metadata frame.

        Args:
            body: The CBOR.
            offset: Where it stands (bytes from the start of the source).
            limits: Bounds on its size and shape.

        Raises:
            MetadataError: A known key has the wrong type, or stands twice.
        """
        value = cbor.decode_map(body, what="metadata", offset=offset, limits=limits)
        base = value.pop(BASE, [])
        extra = value.pop(EXTRA, {})
        reserved = value.pop(RESERVED, {})
        if not isinstance(base, list) or not all(isinstance(entry, dict) for entry in base):
            raise _error("base must be a list of maps", offset)
        for name, part in ((EXTRA, extra), (RESERVED, reserved)):
            if not isinstance(part, dict):
                raise _error(f"{name} must be a map", offset)
        if both := sorted(value.keys() & extra.keys()):
            raise _error(f"{both[0]!r} stands at the top and in {EXTRA} too", offset)
        return cls(tuple(base), {**extra, **value}, reserved)


def parse_preceder(
    body: bytes | memoryview, *, offset: int, limits: Limits = DEFAULT_LIMITS
) -> Mapping[str, Any]:
    """Return the map that a preceder gives to the object after it.

    A `_reserved_` in it is ignored (§6.4). Errors as `Metadata.parse`, and when `base` has not
    exactly one entry.
    """
    metadata = Metadata.parse(body, offset=offset, limits=limits)
    if len(metadata.base) != 1:
        raise MetadataError(
            f"a preceder describes one object, found {len(metadata.base)} entries in base",
            offset=offset,
            section="6.4",
            code="preceder_base_count_wrong",
        )
    return metadata.of_object(0)


class Entry:
    """A caller's map for one object, encoded once for the two places where it stands.

    Args:
        value: The map.

    Raises:
        EncodeError: It cannot be written.
    """

    __slots__ = ("_pairs", "_preceder", "_tensor", "_with_tensor")

    def __init__(self, value: Mapping[str, Any]) -> None:
        for key in value:
            if not isinstance(key, str):
                raise EncodeError(f"metadata keys must be text, found {key!r}")
        self._pairs = {key: cbor.encode(inner) for key, inner in value.items()}
        self._preceder = self._tensor = self._with_tensor = b""  # made when they are asked for

    def preceder(self) -> bytes:
        """Return the body of the preceder that gives the map to the next object."""
        if not self._preceder:
            self._preceder = _PRECEDER + map_of(self._pairs)
        return self._preceder

    def with_tensor(self, tensor: bytes) -> bytes:
        """Return the map with the library-managed copy of the shape, as it stands in `base`."""
        if self._tensor != tensor:
            self._tensor, self._with_tensor = tensor, map_of({**self._pairs, RESERVED: tensor})
        return self._with_tensor


EMPTY_ENTRY = Entry({})
_entries: dict[bytes, Entry | None] = {}  # those that came last; None: once


def entry_of(value: Mapping[str, Any]) -> Entry:
    """As `Entry`, made once for maps that follow one another and are the same.

    Comparing would not tell 1 from 1.0 or True, and the caller's map may have changed since: what is
    compared is how `marshal` writes them, which is faster than writing CBOR.
    """
    try:
        key = marshal.dumps(value)  # type: ignore[arg-type]  # that is the question
    except ValueError:  # a kind that it does not know
        return Entry(value)
    known = _entries.get(key)
    if known is not None:
        return known
    found = Entry(value)
    if len(key) <= _LONGEST_KEY:
        if len(_entries) >= _ENTRIES:
            _entries.clear()
        # At the second time. What lends its bytes, as NumPy's numbers do, `marshal` takes for bytes:
        # so what holds any is not remembered.
        _entries[key] = found if key in _entries and _is_told_apart(value) else None
    return found


def _is_told_apart(value: Any) -> bool:
    if type(value) is dict:
        return all(map(_is_told_apart, value.values()))
    if type(value) in {list, tuple}:
        return all(map(_is_told_apart, value))
    return type(value) in _TOLD_APART


def pack_tensor(descriptor: Descriptor) -> bytes:
    """Return the library-managed part of an object's entry, encoded."""
    return cbor.encode({"tensor": _tensor(descriptor)})


def pack_with_base(base: list[bytes], extra: Mapping[str, Any], reserved: bytes) -> bytes:
    """Return the body of a metadata frame; `base` and `reserved` are encoded already."""
    pairs = {}
    if base:
        pairs[BASE] = array_of(base)
    if extra:
        pairs[EXTRA] = cbor.encode(extra)
    pairs[RESERVED] = reserved
    return map_of(pairs)


def checked_entry(entry: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of a caller's map for one object.

    Raises:
        EncodeError: It sets `_reserved_`.
    """
    found = dict(entry or {})
    if RESERVED in found:
        raise EncodeError(f"{RESERVED} is managed by the library and cannot be set")
    return found


def with_tensor(entry: Mapping[str, Any], descriptor: Descriptor) -> dict[str, Any]:
    """Return `entry` with the library-managed copy of the descriptor's shape (§6.1)."""
    return {**entry, RESERVED: {"tensor": _tensor(descriptor)}}


def _tensor(descriptor: Descriptor) -> dict[str, Any]:
    return {
        "ndim": descriptor.ndim,
        "shape": list(descriptor.shape),
        "strides": list(descriptor.strides),
        "dtype": descriptor.dtype.name,
    }


def split_global(metadata: Mapping[str, Any] | None) -> tuple[Sequence[Mapping[str, Any]], dict[str, Any]]:
    """Return (base, extra) of what a caller gives as message metadata.

    Keys other than `base` and `_extra_` go into extra, as the reference puts them.

    Raises:
        EncodeError: `_reserved_` is set, or a key has the wrong type or stands twice.
    """
    if not metadata:
        return [], {}
    value = dict(metadata)
    base = value.pop(BASE, [])
    extra = value.pop(EXTRA, {})
    if RESERVED in value:
        raise EncodeError(f"{RESERVED} is managed by the library and cannot be set")
    if not isinstance(base, list | tuple) or not all(isinstance(entry, Mapping) for entry in base):
        raise EncodeError("base must be a list of maps, one per object")
    if not isinstance(extra, Mapping):
        raise EncodeError(f"{EXTRA} must be a map")
    if both := sorted(value.keys() & extra.keys()):
        raise EncodeError(f"{both[0]!r} is given at the top and in {EXTRA} too")
    return [checked_entry(entry) for entry in base], {**extra, **value}


class Provenance(NamedTuple):
    """Who wrote a message and when: the `_reserved_` of its metadata.

    Attributes:
        encoder: Name and version of the program.
        time: RFC 3339 UTC, whole seconds; None for the clock at each message.
        uuid: Of each message; None for a random one at each message.
    """

    encoder: tuple[str, str] = ("tgmtool", "")
    time: str | None = None
    uuid: str | None = None

    def pack(self) -> bytes:
        """Return the map for one message as CBOR."""
        written = self.time if self.time is not None else _utc(int(time.time()))
        uuid = self.uuid if self.uuid is not None else random_uuid()
        return map_of({"encoder": _encoder(*self.encoder), "time": text(written), "uuid": text(uuid)})

    @classmethod
    def reproducible(cls) -> Provenance:
        """Return one whose messages are the same at every run: SOURCE_DATE_EPOCH (else 0), nil uuid.

        Raises:
            EncodeError: SOURCE_DATE_EPOCH is not a number of seconds.
        """
        epoch = os.environ.get("SOURCE_DATE_EPOCH", "0")
        try:
            time = _utc(int(epoch))
        except (ValueError, OverflowError, OSError):
            raise EncodeError(f"SOURCE_DATE_EPOCH must be seconds since 1970, found {epoch!r}") from None
        return cls(time=time, uuid=NIL_UUID)


@cache
def _encoder(name: str, version: str) -> bytes:
    if not version:
        from .. import __version__ as version
    return map_of({"name": text(name), "version": text(version)})


@lru_cache(1)  # many messages are written in a second
def _utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def random_uuid() -> str:
    """Return a UUID4."""
    # A UUID4 by hand: the uuid module takes longer to import than a small file takes to write.
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _error(text: str, offset: int) -> MetadataError:
    return MetadataError(f"metadata: {text}", offset=offset, section="6.1", code="metadata_cbor_parse_failed")
