"""Structured mutations of messages, each made from a number, and what is tried with each.

Half of them are put together again with right lengths and digests, so that what lies behind the digest
is reached as well: CBOR, descriptors, codecs, masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from struct import pack, unpack_from
from typing import NamedTuple, Self

from xxhash import xxh3_64_intdigest

import tgmtool
from tests.hostile import corpus
from tests.vectors import vectors
from tgmtool import Message, TgmError
from tgmtool.operations.findings import CODES, Report
from tgmtool.operations.validate import LEVELS, validate

LARGEST_SEED = 3000
_TENSOR = 9
_EDGES = (0, 1, 7, 8, 15, 16, 23, 24, 27, 28, 35, 36, 47, 48, 255, 256, 65535, 65536, 1 << 31, (1 << 32) - 1)
_EDGES_64 = (*_EDGES, 1 << 32, 1 << 40, (1 << 53) + 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_WORDS = [
    "none",
    "simple_packing",
    "shuffle",
    "szip",
    "zstd",
    "lz4",
    "blosc2",
    "zfp",
    "sz3",
    "rle",
    "roaring",
    "bitmask",
    "float16",
    "float32",
    "float64",
    "bfloat16",
    "complex64",
    "complex128",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "little",
    "big",
    "ntensor",
    "base",
    "_reserved_",
    "_extra_",
    "tensor",
    "shape",
    "strides",
    "ndim",
    "dtype",
    "type",
    "byte_order",
    "encoding",
    "filter",
    "compression",
    "masks",
    "nan",
    "inf+",
    "inf-",
    "method",
    "offset",
    "length",
    "offsets",
    "lengths",
    "hashes",
    "algorithm",
    "xxh3",
    "abs",
    "rel",
    "fixed_rate",
    "reversible",
]
_HEADS = (
    *(bytes([head]) for head in bytes.fromhex("bf9f5f7ffff6f7f4f5002017604080a0c2c3d8e01c3f")),
    b"\x1b" + b"\xff" * 8,
    b"\x3b" + b"\xff" * 8,
    b"\x9b" + b"\xff" * 8,
    b"\xbb\x00\x00\x01\x00\x00\x00\x00\x00",
    b"\x5b\x7f" + b"\xff" * 7,
    b"\xfb\x7f\xf0" + b"\x00" * 6,
    b"\xfb\x7f\xf8" + b"\x00" * 6,
    b"\xf9\x7c\x00",
    b"\x81" * 40,
    b"\xa1\x61a" * 140,
    b"\xc1" * 130,
)  # fmt: skip


class Part:
    """A frame, taken apart."""

    def __init__(
        self, number: int, version: int, flags: int, body: bytes, cbor_offset: int, padding: bytes
    ) -> None:
        self.number = number
        self.version = version
        self.flags = flags
        self.body = body
        self.cbor_offset = cbor_offset
        self.padding = padding

    def copy(self) -> Self:
        return type(self)(self.number, self.version, self.flags, self.body, self.cbor_offset, self.padding)

    def packed(self) -> bytes:
        footer = pack(">Q4s", xxh3_64_intdigest(self.body) if self.flags & 2 else 0, b"ENDF")
        if self.number == _TENSOR:
            footer = pack(">Q", self.cbor_offset % (1 << 64)) + footer
        length = 16 + len(self.body) + len(footer)
        head = pack(">2sHHHQ", b"FR", self.number, self.version, self.flags, length)
        return head + self.body + footer + (self.padding if self.padding.strip(b"\0") else bytes(-length % 8))


class Parts(NamedTuple):
    """A message, taken apart."""

    flags: int
    reserved: int
    streaming: bool
    parts: tuple[Part, ...]

    def packed(self) -> bytes:
        body = b"".join(one.packed() for one in self.parts)
        at, footer = 24, 0
        for one in self.parts:
            if one.number in {5, 6, 7} and not footer:
                footer = at
            at += len(one.packed())
        length = 0 if self.streaming else len(body) + 48
        head = pack(">8sHHIQ", b"TENSOGRM", 3, self.flags & 0xFFFF, self.reserved, length)
        return head + body + pack(">QQ8s", footer or at, length, b"39277777")


def taken_apart(data: bytes) -> Parts | None:
    """Return the first message of `data` in parts, if its lengths lead somewhere."""
    if len(data) < 48 or data[:8] != b"TENSOGRM":
        return None
    flags, reserved, total = unpack_from(">HIQ", data, 10)
    parts, at = [], 24
    while data[at : at + 2] == b"FR" and at + 28 <= len(data):
        number, version, frame_flags, length = unpack_from(">HHHQ", data, at + 2)
        footer = 20 if number == _TENSOR else 12
        if length < 16 + footer or at + length > len(data):
            return None
        end = at + length
        place = unpack_from(">Q", data, end - 20)[0] if number == _TENSOR else 0
        after = end + -end % 8
        parts.append(Part(number, version, frame_flags, data[at + 16 : end - footer], place, data[end:after]))
        at = after
    return Parts(flags, reserved, total == 0, tuple(parts)) if parts else None


@cache
def seeds() -> list[bytes]:
    """Return what is mutated: the corpus, the reference's files and a few of our own, all small."""
    found = [one.data for one in vectors()]
    found += [one.make() for one in corpus.cases() if "bomb" not in one.tags]
    return [data for data in found if 0 < len(data) <= LARGEST_SEED]


# ---- mutations of bytes


def _at(rng: Random, data: bytes) -> int:
    return rng.randrange(len(data) + 1)


def _flip(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _byte(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))]) + data[at + 1 :]


def _number(rng: Random, data: bytes) -> bytes:
    size = rng.choice((2, 4, 8))
    at = rng.randrange(max(len(data) - size, 1))
    at -= at % rng.choice((1, 2, 8))
    old = int.from_bytes(data[at : at + size], "big")
    new = rng.choice((rng.choice(_EDGES_64), old + rng.randrange(-9, 10), old ^ 1 << rng.randrange(8 * size)))
    return (
        data[:at] + (new % (1 << 8 * size)).to_bytes(size, rng.choice(("big", "little"))) + data[at + size :]
    )


def _cut_out(rng: Random, data: bytes) -> bytes:
    at = _at(rng, data)
    return data[:at] + data[at + rng.choice((1, 2, 8, rng.randrange(64))) :]


def _put_in(rng: Random, data: bytes) -> bytes:
    at = _at(rng, data)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 8, rng.randrange(64)))) + data[at:]


def _repeat(rng: Random, data: bytes) -> bytes:
    at, size = _at(rng, data), rng.randrange(1, 65)
    return data[: at + size] * 1 + data[at : at + size] * rng.randrange(1, 5) + data[at + size :]


def _zeros(rng: Random, data: bytes) -> bytes:
    at, size = _at(rng, data), rng.randrange(1, 129)
    return data[:at] + bytes(len(data[at : at + size])) + data[at + size :]


def _shorten(rng: Random, data: bytes) -> bytes:
    return data[: _at(rng, data)]


BYTES: tuple[Callable[[Random, bytes], bytes], ...] = (
    _flip, _flip, _byte, _byte, _number, _number, _cut_out, _put_in, _repeat, _zeros, _shorten,
)  # fmt: skip


# ---- mutations of CBOR


def _text(word: str) -> bytes:
    size = len(word)
    return (bytes([0x60 + size]) if size < 24 else bytes([0x78, size])) + word.encode()


_PLACES = {word: _text(word) for word in _WORDS}


def _other_word(rng: Random, data: bytes) -> bytes:
    there = [packed for packed in _PLACES.values() if packed in data]
    if not there:
        return _flip(rng, data)
    return data.replace(rng.choice(there), _PLACES[rng.choice(_WORDS)], rng.choice((1, -1)))


def _other_value(rng: Random, data: bytes) -> bytes:
    """Put a head in the place of the value behind a key."""
    there = [packed for packed in _PLACES.values() if packed in data]
    if not there:
        return _byte(rng, data)
    key = rng.choice(there)
    at = data.index(key) + len(key)
    new = rng.choice(_HEADS)
    if rng.random() < 0.6:
        new = _unsigned(rng.choice((rng.choice(_EDGES_64), rng.randrange(100))))
    old = data[at : at + 1]
    width = {0x18: 2, 0x19: 3, 0x1A: 5, 0x1B: 9, 0x81: 2}.get(old[0] if old else 0, 1)
    if old and 0x60 <= old[0] < 0x78:
        width = 1 + old[0] - 0x60
    if old and old[0] == 0x81 and rng.random() < 0.7:
        new = b"\x81" + new
    return data[:at] + new + data[at + width :]


def _unsigned(number: int) -> bytes:
    if number < 24:
        return bytes([number])
    for info, size in ((24, 1), (25, 2), (26, 4)):
        if number < 1 << 8 * size:
            return bytes([info]) + number.to_bytes(size, "big")
    return b"\x1b" + number.to_bytes(8, "big")


BODIES = (*BYTES, _other_word, _other_word, _other_value, _other_value, _other_value, _other_value)


# ---- mutations of messages


def _mutated_parts(rng: Random, whole: Parts, other: Parts | None) -> Parts:
    parts = [one.copy() for one in whole.parts]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(parts))
        one = parts[at]
        what = rng.random()
        if what < 0.62:
            before = len(one.body)
            if one.body:
                one.body = rng.choice(BODIES)(rng, one.body)
            if rng.random() < 0.5 and one.number == _TENSOR and one.cbor_offset > 16:
                one.cbor_offset = max(one.cbor_offset + len(one.body) - before, 0)
        elif what < 0.68:
            one.cbor_offset = rng.choice(
                (rng.choice(_EDGES_64), max(one.cbor_offset + rng.randrange(-9, 10), 0))
            )
        elif what < 0.74:
            one.flags ^= 1 << rng.choice((0, 1, rng.randrange(16)))
        elif what < 0.78:
            one.number = rng.choice((*range(1, 11), rng.randrange(65536)))
        elif what < 0.82:
            parts.insert(rng.randrange(len(parts) + 1), one.copy())
        elif what < 0.86 and len(parts) > 1:
            parts.pop(at)
        elif what < 0.90:
            parts.insert(rng.randrange(len(parts)), parts.pop(at))
        elif what < 0.96 and other is not None:
            parts.insert(rng.randrange(len(parts) + 1), rng.choice(other.parts).copy())
        else:
            one.padding = rng.randbytes(rng.randrange(1, 20))
    flags, reserved, streaming = whole.flags, whole.reserved, whole.streaming
    if rng.random() < 0.1:
        flags ^= 1 << rng.randrange(16)
    if rng.random() < 0.02:
        reserved = rng.randrange(1 << 32)
    if rng.random() < 0.1:
        streaming = not streaming
    return Parts(flags, reserved, streaming, tuple(parts))


class Mutator:
    """Makes the mutated input of every number; the same in every process."""

    def __init__(self) -> None:
        self._seeds = seeds()
        self._parts = [taken_apart(data) for data in self._seeds]

    def made(self, number: int) -> bytes:
        """Return input `number`."""
        rng = Random(f"tgmtool {number}")
        which, other = rng.randrange(len(self._seeds)), rng.randrange(len(self._seeds))
        data, whole = self._seeds[which], self._parts[which]
        if whole is not None and rng.random() < 0.6:
            data = _mutated_parts(rng, whole, self._parts[other]).packed()
            if rng.random() < 0.85:
                return data
        for _ in range(rng.choice((1, 1, 2, 4))):
            if data:
                data = rng.choice(BYTES)(rng, data)
        if rng.random() < 0.1:
            data = data + self._seeds[other] if rng.random() < 0.5 else self._seeds[other] + data
        return data


# ---- what is tried with each


class Broken(AssertionError):
    """A promise does not hold."""


def attempt(data: bytes) -> str:
    """Scan, validate and decode; return the verdict.

    Raises:
        Exception: Anything that is no TgmError, and Broken.
    """
    for unit in ("object", "message", "frame"):
        _exhaust(tgmtool.scan(data, unit=unit))
    report = validate(data, level="full")
    _check_report(report)
    level = LEVELS[len(data) % len(LEVELS)]
    _check_report(validate(data, level=level))
    whole, error = _decoded(data)
    if report.verdict == "valid" and (error is not None or whole != report.messages):
        raise Broken(f"said to be valid, but {whole} of {report.messages} messages decode: {error!r}")
    return report.verdict


def _exhaust(found: Iterator[object]) -> None:
    try:
        for _ in found:
            pass
    except TgmError:
        return


def _decoded(data: bytes) -> tuple[int, TgmError | None]:
    """Return how many messages decode, and the first error."""
    whole, first = 0, None
    try:
        for found in tgmtool.read(data, on_damage="skip"):
            if not isinstance(found, Message):
                continue
            whole += 1
            for one in found.objects:
                try:
                    one.array  # noqa: B018  # decodes
                except TgmError as error:
                    first = first or error
    except TgmError as error:
        first = first or error
    return whole, first


def _check_report(report: Report) -> None:
    if report.unreadable:
        raise Broken(f"unreadable: {report.unreadable}")
    if len(report.findings) > 1001 or any(found.code not in CODES for found in report.findings):
        raise Broken("a report that is too long, or of unknown codes")
    if (report.verdict == "valid") != all(found.weight in {"note", "warning"} for found in report.findings):
        raise Broken(f"{report.verdict}: {report.findings[:3]}")
