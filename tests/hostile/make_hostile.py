# ruff: noqa
# fmt: off
# mypy: ignore-errors
# Not in the style of the rest, on purpose: a copy of the generator that states the verdicts independently
# of this toolkit. It stays as it was written, so that it can be compared with its origin line by line.
"""Hostile / edge-case corpus generator for Tensogram v3 (.tgm) readers.

Every case is built from first principles (WIRE_FORMAT v3), with every field
overridable, and carries the verdict the specification asks for.

    python make_hostile.py OUTDIR [--max-bytes N] [--only ID-PREFIX ...]

writes OUTDIR/<id>.tgm and OUTDIR/manifest.json.

    python make_hostile.py --selftest          structural checks, no files

Importable API (for pytest parametrisation and fuzz seeds):

    cases()              -> iterator of Case (bytes are produced lazily)
    truncations(buf)     -> every strict prefix of buf
    bitflips(buf)        -> every single-bit mutation of buf
    Builder / Frame      -> low-level message construction

Verdict vocabulary
    ok          complete, conforms                              exit 0
    warn        complete, readable, non-fatal deviation         exit 0 (1 with --strict)
    error       malformed / damaged beyond doubt                exit 1
    incomplete  every byte present is a legal prefix; more may  exit 5
                still arrive
    limit       conforming or not, refused by a resource limit  exit 4
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator

# --------------------------------------------------------------------------
# xxh3-64
# --------------------------------------------------------------------------
try:
    import xxhash

    def xxh3(data: bytes) -> int:
        return xxhash.xxh3_64_intdigest(data)

except ImportError:  # pragma: no cover - fallback to the official wheel
    try:
        import tensogram as _tg

        def xxh3(data: bytes) -> int:
            return int(_tg.compute_hash(bytes(data)), 16)

    except ImportError:
        raise SystemExit("need either 'xxhash' or 'tensogram' for xxh3-64")


# --------------------------------------------------------------------------
# minimal CBOR writer with escape hatches
# --------------------------------------------------------------------------
class Raw(bytes):
    """Bytes inserted verbatim into a CBOR stream."""


class Pairs(list):
    """A map given as (key, value) pairs: kept in order, duplicates allowed."""


def head(major: int, n: int, width: int | None = None) -> bytes:
    m = major << 5
    if width is None:
        if n < 24:
            return bytes([m | n])
        for w, ai, fmt in ((1, 24, ">B"), (2, 25, ">H"), (4, 26, ">I"), (8, 27, ">Q")):
            if n < 1 << (8 * w):
                return bytes([m | ai]) + struct.pack(fmt, n)
        raise OverflowError(n)
    ai, fmt = {1: (24, ">B"), 2: (25, ">H"), 4: (26, ">I"), 8: (27, ">Q")}[width]
    return bytes([m | ai]) + struct.pack(fmt, n)


def cbor(v) -> bytes:
    if isinstance(v, Raw):
        return bytes(v)
    if v is False:
        return b"\xf4"
    if v is True:
        return b"\xf5"
    if v is None:
        return b"\xf6"
    if isinstance(v, int):
        return head(0, v) if v >= 0 else head(1, -1 - v)
    if isinstance(v, float):
        return b"\xfb" + struct.pack(">d", v)
    if isinstance(v, str):
        b = v.encode("utf-8", "surrogatepass")
        return head(3, len(b)) + b
    if isinstance(v, (bytes, bytearray)):
        return head(2, len(v)) + bytes(v)
    if isinstance(v, Pairs):
        return head(5, len(v)) + b"".join(cbor(k) + cbor(x) for k, x in v)
    if isinstance(v, (list, tuple)):
        return head(4, len(v)) + b"".join(map(cbor, v))
    if isinstance(v, dict):
        items = sorted((cbor(k), cbor(x)) for k, x in v.items())
        return head(5, len(items)) + b"".join(k + x for k, x in items)
    raise TypeError(type(v))


# --------------------------------------------------------------------------
# frame / message builder
# --------------------------------------------------------------------------
MAGIC, END = b"TENSOGRM", b"39277777"
HMETA, HIDX, HHASH, FHASH, FIDX, FMETA, PREC, TENS = 1, 2, 3, 5, 6, 7, 8, 9
AUTO = object()


@dataclass
class Frame:
    type: int
    body: bytes = b""
    cbor_offset: int | None = None  # data-object frames only
    version: int = 1
    flags: int = 0b10  # HASH_PRESENT
    length: int | None = None
    hash: int | None = None
    endf: bytes = b"ENDF"
    magic: bytes = b"FR"
    pad: bytes | None = None  # None = zero fill to 8
    raw: bytes | None = None  # replace the whole thing

    @property
    def footer(self) -> int:
        return 20 if self.type == TENS else 12

    def encode(self) -> bytes:
        if self.raw is not None:
            return self.raw
        n = 16 + len(self.body) + self.footer
        h = self.hash if self.hash is not None else (xxh3(self.body) if self.flags & 2 else 0)
        out = self.magic + struct.pack(
            ">HHHQ", self.type, self.version, self.flags, n if self.length is None else self.length
        )
        out += self.body
        if self.type == TENS:
            out += struct.pack(">Q", 16 if self.cbor_offset is None else self.cbor_offset)
        return out + struct.pack(">Q", h) + self.endf


def desc(shape, dtype="float32", /, **kw) -> dict:
    shape = list(shape)
    st, acc = [], 1
    for s in reversed(shape):
        st.insert(0, acc)
        acc = acc * max(s, 1) % (1 << 63)
    d = {
        "type": "ntensor",
        "ndim": len(shape),
        "shape": shape,
        "strides": st,
        "dtype": dtype,
        "byte_order": "little",
        "encoding": "none",
        "filter": "none",
        "compression": "none",
    }
    d.update(kw)
    return {k: v for k, v in d.items() if v is not AUTO}


def tensor(payload: bytes, d, *, before=False, flags=0b10, **kw) -> Frame:
    c = d if isinstance(d, bytes) else cbor(d)
    if before:
        return Frame(TENS, c + payload, cbor_offset=16, flags=flags, **kw)
    return Frame(TENS, payload + c, cbor_offset=kw.pop("cbor_offset", 16 + len(payload)), flags=flags | 1, **kw)


def f32(n: int) -> bytes:
    return b"".join(struct.pack("<f", float(i)) for i in range(n))


FLAGBIT = {HMETA: 1, FMETA: 2, HIDX: 4, FIDX: 8, HHASH: 16, FHASH: 32, PREC: 64}


def build(
    frames: list,
    *,
    streaming: bool = False,
    total=AUTO,
    flags=AUTO,
    extra_flags: int = 0,
    version: int = 3,
    reserved: int = 0,
    ffo=AUTO,
    post_total=AUTO,
    magic: bytes = MAGIC,
    end: bytes = END,
) -> bytes:
    """Lay frames out.  A frame may be a callable(offsets, lengths, hashes) -> Frame."""
    fixed: list[Frame] = [f if isinstance(f, Frame) else f([], [], []) for f in frames]
    for _ in range(4):  # header index size depends on the offsets it holds
        pos, offs, lens, hashes = 24, [], [], []
        for f in fixed:
            b = f.encode()
            if f.type == TENS and f.raw is None:
                offs.append(pos)
                lens.append(len(b))
                hashes.append(f"{int.from_bytes(b[-12:-4], 'big'):016x}")
            pos += len(b)
            pos += len(f.pad) if f.pad is not None else -pos % 8
        fixed = [f if isinstance(f, Frame) else f(offs, lens, hashes) for f in frames]
    out, first_footer, hashed, auto = bytearray(24), None, True, 0
    for f in fixed:
        if first_footer is None and f.type in (FHASH, FIDX, FMETA):
            first_footer = len(out)
        out += f.encode()
        out += f.pad if f.pad is not None else b"\0" * (-len(out) % 8)
        auto |= FLAGBIT.get(f.type, 0)
        hashed &= bool(f.flags & 2)
    if hashed and fixed:
        auto |= 128
    n = len(out) + 24
    if total is AUTO:
        total = 0 if streaming else n
    if post_total is AUTO:
        post_total = 0 if streaming else n
    if ffo is AUTO:
        ffo = len(out) if first_footer is None else first_footer
    out[:24] = magic + struct.pack(
        ">HHIQ", version, (auto if flags is AUTO else flags) | extra_flags, reserved, total
    )
    out += struct.pack(">QQ", ffo, post_total) + end
    return bytes(out)


def meta_frame(t=HMETA, m=None, **kw) -> Frame:
    return Frame(t, m if isinstance(m, bytes) else cbor({} if m is None else m), **kw)


def index(t=HIDX, mut: Callable = lambda o, n: (o, n), **kw):
    def mk(offs, lens, _):
        o, n = mut(list(offs), list(lens))
        return Frame(t, cbor({"offsets": o, "lengths": n}), **kw)

    return mk


def hashes(t=HHASH, mut: Callable = lambda h: h, algorithm="xxh3", **kw):
    return lambda o, n, h: Frame(t, cbor({"algorithm": algorithm, "hashes": mut(list(h))}), **kw)


def buffered(objs=None, m=None, **kw) -> bytes:
    objs = [tensor(f32(5), desc([5]))] if objs is None else objs
    return build([meta_frame(HMETA, m), index(), hashes(), *objs], **kw)


def stream(objs=None, m=None, backfilled=False, order=(FMETA, FHASH, FIDX), **kw) -> bytes:
    objs = [tensor(f32(5), desc([5]))] if objs is None else objs
    foot = {FMETA: meta_frame(FMETA, m), FHASH: hashes(FHASH), FIDX: index(FIDX)}
    return build(
        [meta_frame(HMETA, m), *objs, *[foot[t] for t in order]], streaming=not backfilled, **kw
    )


def obj(payload=None, d=None, **kw):
    return tensor(f32(5) if payload is None else payload, desc([5]) if d is None else d, **kw)


def put(b: bytes, off: int, new: bytes) -> bytes:
    return b[:off] + new + b[off + len(new):]


def flip(b: bytes, off: int, mask: int = 1) -> bytes:
    return b[:off] + bytes([b[off] ^ mask]) + b[off + 1:]


def frames_of(b: bytes) -> list[tuple[int, int, int]]:
    """(offset, type, length) of every frame of one well-formed message."""
    pos, res = 24, []
    while b[pos:pos + 2] == b"FR":
        t, n = struct.unpack(">H", b[pos + 2:pos + 4])[0], struct.unpack(">Q", b[pos + 8:pos + 16])[0]
        res.append((pos, t, n))
        pos += n
        pos += -pos % 8
    return res


# --------------------------------------------------------------------------
# hand-made compressed streams (no codec library needed)
# --------------------------------------------------------------------------
def zstd_rle_bomb(blocks: int, declared: int | None = None, window_log: int = 27) -> bytes:
    """Zstandard frame made of RLE blocks: 4 bytes in -> 128 KiB out, each."""
    if declared is None:
        out = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([(window_log - 10) << 3])
    else:
        out = b"\x28\xb5\x2f\xfd" + b"\xc0" + bytes([(window_log - 10) << 3]) + struct.pack("<Q", declared)
    size = 128 * 1024
    parts = [out]
    for i in range(blocks):
        h = (size << 3) | (1 << 1) | (i == blocks - 1)
        parts.append(struct.pack("<I", h)[:3] + b"\0")
    return b"".join(parts)


def zstd_raw(data: bytes) -> bytes:
    h = (len(data) << 3) | 1
    return b"\x28\xb5\x2f\xfd\x00\x00" + struct.pack("<I", h)[:3] + data


def uleb(n: int) -> bytes:
    out = bytearray()
    while True:
        b, n = n & 127, n >> 7
        if not n:
            return bytes(out + bytes([b]))
        out.append(b | 128)


# --------------------------------------------------------------------------
# cases
# --------------------------------------------------------------------------
@dataclass
class Case:
    id: str
    sec: str
    verdict: str
    why: str
    make: Callable[[], bytes]
    code: str = ""
    n: int | None = None  # complete messages a strict frame-walking scan must list
    tail: str = ""  # what `tail` must do after emitting them: clean | wait | corrupt
    decode: str = ""  # ok | error | "" (same as verdict)
    rss_mb: int = 256
    seconds: float = 5.0
    tags: tuple = ()

    _b: bytes | None = field(default=None, repr=False)

    @property
    def data(self) -> bytes:
        if self._b is None:
            self._b = self.make()
        return self._b


REG: list[Case] = []


def case(id, sec, verdict, why, make, code="", n=None, tail=None, **kw):
    if n is None:
        n = 1 if verdict in ("ok", "warn", "limit") else 0
    if tail is None:
        tail = {"ok": "clean", "warn": "clean", "error": "corrupt", "incomplete": "wait", "limit": "clean"}[verdict]
    REG.append(Case(id, sec, verdict, why, make, code, n, tail, **kw))


A = buffered()  # reference buffered message
S = stream()  # reference streaming message (total_length = 0)
B = stream(backfilled=True)
FA = frames_of(A)  # meta, index, hash, tensor
FS = frames_of(S)

# ---- V: valid, must be accepted -------------------------------------------
case("V01-buffered", "1,10.1", "ok", "reference buffered layout", lambda: A)
case("V02-streaming", "3.2,9.4", "ok", "total_length 0 in both slots; footer order 7,5,6 as the reference writer emits", lambda: S)
case("V03-streaming-spec-order", "1,5", "ok", "streaming with footer order 5,6,7 as the spec text lists", lambda: stream(order=(FHASH, FIDX, FMETA)))
case("V04-backfilled", "9.4", "ok", "streaming layout, lengths back-filled", lambda: B)
case("V05-zero-objects", "edge", "ok", "metadata-only message", lambda: buffered(objs=[]))
case("V06-scalar", "edge", "ok", "shape []", lambda: buffered([tensor(f32(1), desc([]))]))
case("V07-zero-element", "edge", "ok", "shape [3,0,5], empty payload", lambda: buffered([tensor(b"", desc([3, 0, 5]))]))
case("V08-no-hash", "2.5", "ok", "hashing off everywhere",
     lambda: build([meta_frame(flags=0), Frame(HIDX, cbor({"lengths": [], "offsets": []}), flags=0)]), code="no_hash")
case("V09-no-index", "6.2", "ok", "index is optional", lambda: build([meta_frame(), obj()]))
case("V10-cbor-before", "6.5", "ok", "CBOR_AFTER_PAYLOAD = 0", lambda: buffered([obj(before=True)]))
case("V11-preceder", "6.4", "ok", "one preceder + object", lambda: buffered([meta_frame(PREC, {"base": [{"mars": {"param": "2t"}}]}), obj()]))
case("V12-footer-meta-only", "1", "ok", "only footer metadata", lambda: build([obj(), meta_frame(FMETA)]))
case("V13-two", "1", "ok", "two messages", lambda: A + B, n=2)
case("V14-stream-then-buffered", "9.1", "ok", "streaming message need not be last", lambda: S + A, n=2)
case("V15-three-streams", "9.1", "ok", "streams back to back", lambda: S + S + S, n=3)
case("V16-endmagic-in-buffered-payload", "9.1", "ok", "END magic bytes inside the payload of a sized message",
     lambda: buffered([tensor(END * 3 + b"\0" * 8, desc([32], "uint8"))]))
case("V17-endmagic-in-STREAM-payload", "9.1,2.1", "ok", "END magic inside a frame body of a streaming message: a byte search splits it, a frame walk does not",
     lambda: stream([tensor(b"\0" * 16 + END + b"\0" * 8, desc([32], "uint8"))]))
case("V18-full-postamble-in-STREAM-payload", "9.1", "ok", "a complete plausible postamble inside a streaming payload",
     lambda: stream([tensor(b"\0" * 8 + struct.pack(">QQ", 24, 0) + END, desc([32], "uint8"))]))
case("V19-message-in-STREAM-payload", "9.1", "ok", "a whole valid message stored as bytes inside a streaming payload: exactly one outer message",
     lambda: stream([tensor(A, desc([len(A)], "uint8"))]))
case("V20-message-in-buffered-payload", "9.1,9.2", "ok", "a whole valid message stored inside a sized payload",
     lambda: buffered([tensor(A, desc([len(A)], "uint8"))]))
case("V21-FR-in-payload", "2.1", "ok", "frame magic inside payload", lambda: buffered([tensor(b"FR\0\x09\0\1\0\3" * 4, desc([32], "uint8"))]))
case("V22-ENDF-in-payload", "2.2", "ok", "ENDF inside payload", lambda: buffered([tensor(b"ENDF" * 8, desc([32], "uint8"))]))
case("V23-unknown-keys", "1", "ok", "unknown CBOR keys in descriptor and index",
     lambda: build([meta_frame(), lambda o, n, h: Frame(HIDX, cbor({"offsets": o, "lengths": n, "zz": [1, {"y": 2}]})), obj(d=desc([5], future_key=1))]))
case("V24-no-byte-order", "6.5", "ok", "byte_order absent = native", lambda: buffered([obj(d=desc([5], byte_order=AUTO))]))
case("V25-legacy-version-key", "6.1", "ok", "stray top-level 'version' goes to _extra_", lambda: buffered(m={"version": 2}))
case("V26-unknown-hash-alg", "6.3", "warn", "unknown aggregate algorithm: skip with a warning",
     lambda: build([meta_frame(), index(), hashes(algorithm="blake9"), obj()]), code="unknown_hash_algorithm")
case("V27-post-total-zero", "7", "ok", "postamble total_length 0 with sized preamble", lambda: put(A, len(A) - 16, b"\0" * 8))
case("V28-masks-none", "6.5.1", "ok", "nan mask, method none",
     lambda: buffered([tensor(struct.pack("<5d", 0, 1, 2, 3, 4) + b"\x80", desc([5], "float64", masks={"nan": {"method": "none", "offset": 40, "length": 1}}))]))
case("V29-masks-rle", "6.5.1,8", "ok", "nan mask, method rle",
     lambda: buffered([tensor(struct.pack("<5d", 0, 1, 2, 3, 4) + b"\x01\x01\x04", desc([5], "float64", masks={"nan": {"method": "rle", "offset": 40, "length": 3}}))]))
case("V30-zstd", "6.5", "ok", "zstd raw block", lambda: buffered([tensor(zstd_raw(f32(5)), desc([5], compression="zstd"))]))
case("V31-hash-slot-junk-unflagged", "2.5", "ok", "slot not inspected when HASH_PRESENT is clear",
     lambda: build([meta_frame(flags=0), obj(flags=0, hash=0xDEADBEEFDEADBEEF)]), code="no_hash")
case("V32-empty-file", "edge", "ok", "zero bytes = zero messages", lambda: b"", n=0)
case("V33-500-messages", "1", "ok", "many small messages", lambda: A * 500, n=500)
case("V34-300-objects", "6.2", "ok", "index width > 1 byte", lambda: buffered([obj() for _ in range(300)]))

# ---- T: torn ----------------------------------------------------------------
for k, (name, cut) in enumerate(
    [("1B", 1), ("7B", 7), ("magic", 8), ("23B", 23), ("preamble", 24), ("25B", 25), ("hdr-15", 24 + 15), ("hdr-16", 24 + 16),
     ("after-meta", FA[0][0] + FA[0][2]), ("in-pad", FA[0][0] + FA[0][2] + 1), ("in-payload", FA[3][0] + 20),
     ("before-ENDF", FA[3][0] + FA[3][2] - 4), ("last-frame-end", FA[3][0] + FA[3][2]), ("before-post", len(A) - 24), ("mid-post", len(A) - 12), ("minus1", len(A) - 1)]):
    case(f"T{k:02d}-buffered-cut-{name}", "3.2", "incomplete", f"sized message cut at {cut}", lambda c=cut: A[:c], code="truncated")
for k, (name, cut) in enumerate(
    [("preamble", 24), ("in-hdr", 30), ("after-meta", FS[0][0] + FS[0][2]), ("in-payload", FS[1][0] + 20), ("objs-done", FS[2][0]),
     ("in-footer-meta", FS[2][0] + 20), ("before-post", len(S) - 24), ("mid-post", len(S) - 12), ("minus1", len(S) - 1)]):
    case(f"T{20 + k}-stream-cut-{name}", "3.2,9.4", "incomplete", f"streaming message cut at {cut}", lambda c=cut: S[:c], code="truncated")
case("T30-ok-then-torn", "9.1", "incomplete", "one whole message then a torn one", lambda: A + A[:100], n=1, code="truncated")
case("T31-tornbuf-then-ok", "9.1", "error", "append after a crash: torn sized message, then a whole one (must not be lost)", lambda: A[:100] + A, n=1, code="torn_message")
case("T32-tornstream-then-ok", "9.1", "error", "torn streaming message, then a whole sized one: a search for END swallows both into one", lambda: S[:100] + A, n=1, code="torn_message")
case("T33-tornstream-then-2ok", "9.1", "error", "torn stream + two whole messages", lambda: S[:100] + A + A, n=2, code="torn_message")
case("T34-tornstream-then-stream", "9.1", "error", "torn stream + whole stream", lambda: S[:100] + S, n=1, code="torn_message")
case("T35-tornstream-at-frame-boundary-then-ok", "9.1", "error", "torn exactly after an object frame, next message starts aligned", lambda: S[:FS[2][0]] + A, n=1, code="torn_message")
case("T36-zero-tail", "3.2", "incomplete", "power loss: size extended, last page zero (sized message)", lambda: A[:300] + b"\0" * (len(A) - 300), code="zero_tail", tail="wait")
case("T37-zero-tail-stream", "9.4", "incomplete", "power loss: streaming message followed by zeros (preallocation)", lambda: S[:FS[2][0]] + b"\0" * 4096, code="zero_tail", tail="wait")
case("T38-zero-hole-in-payload", "2.4", "error", "a lost page inside a hashed payload",
     lambda: (lambda m: put(m, frames_of(m)[3][0] + 512, b"\0" * 512))(buffered([tensor(bytes(range(256)) * 16, desc([4096], "uint8"))])), code="hash_mismatch", n=1, tail="corrupt")
case("T39-all-zero-4k", "9.1", "incomplete", "file of zeros: preallocated, nothing written yet", lambda: b"\0" * 4096, code="zero_tail")
case("T40-partial-magic-tail", "9.1", "incomplete", "whole message then 'TENSO': may be the next one arriving", lambda: A + b"TENSO", n=1, code="truncated")
case("T42-embedded-in-unfinished", "9.1", "incomplete", "unfinished sized message whose payload-so-far holds a whole message ending at EOF: may be payload, may be a torn message plus an append; only --assume-dead may resync", lambda: (lambda m: m[:frames_of(m)[3][0] + 16 + len(A)])(buffered([tensor(A * 3, desc([3 * len(A)], "uint8"))])), code="embedded_messages")
case("T41-interleaved-producers", "1", "error", "two unlocked producers interleaved", lambda: A[:200] + A[:200] + A[200:] + A[200:], n=1, code="torn_message")

# ---- P: preamble ------------------------------------------------------------
case("P01-bad-magic", "3", "error", "first byte of magic flipped", lambda: flip(A, 0), code="no_message")
for v in (0, 1, 2, 4, 65535):
    case(f"P02-version-{v}", "3", "error", "version != 3 is rejected", lambda v=v: put(A, 8, struct.pack(">H", v)), code="unsupported_version")
case("P03-reserved-nonzero", "3", "warn", "reserved u32 should be 0", lambda: put(A, 12, b"\0\0\0\1"), code="reserved_nonzero")
for bit in range(8, 16):
    if bit in (8, 15):
        case(f"P04-flag-bit-{bit}", "3.1", "warn", "reserved preamble flag", lambda b=bit: build([meta_frame(), index(), hashes(), obj()], extra_flags=1 << b), code="reserved_flag")
for name, bits in (("HEADER_METADATA", 1), ("HEADER_INDEX", 4), ("HEADER_HASHES", 16)):
    case(f"P05-flag-missing-{name}", "3.1", "error", "flag clear but frame present: an index-driven reader is misled", lambda b=bits: put(A, 10, struct.pack(">H", struct.unpack(">H", A[10:12])[0] & ~b)), code="flag_mismatch", n=1, decode="ok")
for name, bits in (("FOOTER_METADATA", 2), ("FOOTER_INDEX", 8), ("FOOTER_HASHES", 32)):
    case(f"P06-flag-extra-{name}", "3.1", "warn" if bits == 32 else "error", "flag set but frame absent (the reference writer does this with FOOTER_HASHES on an empty stream)", lambda b=bits: put(A, 10, struct.pack(">H", struct.unpack(">H", A[10:12])[0] | b)), code="flag_mismatch", n=1, decode="ok", tail="clean")
case("P07-flag-extra-PRECEDER", "3.1,6.4", "warn", "the reference streaming writer always sets it", lambda: put(S, 10, struct.pack(">H", struct.unpack(">H", S[10:12])[0] | 64)), code="flag_mismatch")
for t in (1, 10, 24, 47):
    case(f"P08-total-{t}", "3.2", "error", "non-zero total_length below 48", lambda t=t: put(A, 16, struct.pack(">Q", t)), code="total_length_invalid")
case("P09-total-u64max", "3.2", "error", "total_length 2^64-1 (pos + total overflows)", lambda: put(A, 16, b"\xff" * 8), code="total_length_invalid")
case("P10-total-2^63", "3.2", "error", "total_length 2^63", lambda: put(A, 16, struct.pack(">Q", 1 << 63)), code="total_length_invalid")
case("P11-total-1TiB", "3.2,7", "error", "claims 1 TiB, but a whole message with its own postamble is there: provably wrong", lambda: put(A, 16, struct.pack(">Q", 1 << 40)), code="total_length_invalid")
case("P17-total-1TiB-cut", "3.2", "incomplete", "claims 1 TiB and 300 bytes are there: a legal prefix; never allocate the claim", lambda: put(A, 16, struct.pack(">Q", 1 << 40))[:300], code="truncated")
for dlt, vd, cd in ((-8, "error", "frame_length"), (-1, "error", "end_magic_missing"), (1, "error", "total_length_invalid"), (8, "error", "total_length_invalid")):
    case(f"P12-total{dlt:+d}", "3.2,7", vd, "off by a little: the real postamble contradicts it", lambda d=dlt: put(A, 16, struct.pack(">Q", len(A) + d)), code=cd)
case("P13-total-spans-two", "3.2,7", "error", "total_length covers the following message too; END magic matches there", lambda: put(A, 16, struct.pack(">Q", 2 * len(A))) + A, n=1, code="total_length_invalid")
case("P14-total-short-endmagic", "3.2", "error", "total_length points at an END magic planted in the payload: hides the real tail",
     lambda: (lambda m: put(m, 16, struct.pack(">Q", frames_of(m)[3][0] + 16 + 8 + 24)))(buffered([tensor(b"\0" * 8 + struct.pack(">QQ", 24, 0) + END + b"\0" * 32, desc([64], "uint8"))])), code="frame_length")
case("P15-v2-message", "13", "error", "version 2 preamble, 16-byte postamble", lambda: put(A, 8, b"\0\2")[:-24] + struct.pack(">Q", 0) + END, code="unsupported_version")
case("P16-zeroed-total-on-sized", "3.2,7", "warn", "preamble 0 but postamble sized (crash between the two back-fill writes, postamble first)", lambda: put(A, 16, b"\0" * 8), code="backfill_incomplete")

# ---- Q: postamble -----------------------------------------------------------
case("Q01-post-total-mismatch", "7", "error", "postamble total differs from preamble", lambda: put(A, len(A) - 16, struct.pack(">Q", len(A) - 1)), code="postamble_mismatch", n=0)
case("Q02-post-total-into-previous", "9.2", "error", "2nd message's postamble claims the whole file: backward scan swallows both", lambda: A + put(A, len(A) - 16, struct.pack(">Q", 2 * len(A))), n=1, code="postamble_mismatch")
case("Q03-ffo-zero", "7", "error", "first_footer_offset is never zero", lambda: put(A, len(A) - 24, b"\0" * 8), code="first_footer_offset", n=1, decode="ok")
case("Q04-ffo-out", "7", "error", "first_footer_offset past the postamble", lambda: put(A, len(A) - 24, struct.pack(">Q", len(A))), code="first_footer_offset", n=1, decode="ok")
case("Q05-ffo-into-object", "7", "error", "first_footer_offset points at the object frame", lambda: put(S, len(S) - 24, struct.pack(">Q", FS[1][0])), code="first_footer_offset", n=1, decode="ok")
case("Q06-bad-endmagic", "7", "error", "end magic flipped, sized", lambda: flip(A, len(A) - 1), code="end_magic_missing")
case("Q07-bad-endmagic-stream", "7", "error", "end magic flipped, streaming: postamble position is fixed by the frame walk", lambda: flip(S, len(S) - 1), code="end_magic_missing")
case("Q08-v2-postamble-size", "7,13", "error", "16-byte postamble: the mirrored length cannot be right", lambda: A[:-24] + A[-24:-16] + END, code="postamble_mismatch")

# ---- F: frames --------------------------------------------------------------
o3 = FA[3][0]
case("F01-frame-magic", "2.1", "error", "'FX' instead of 'FR'", lambda: flip(A, FA[0][0] + 1), code="frame_magic")
for t in (0, 4, 10, 255, 65535):
    case(f"F02-type-{t}", "4", "error", "reserved or unknown frame type", lambda t=t: put(A, o3 + 2, struct.pack(">H", t)), code="frame_type", n=0)
    case(f"F03-stream-type-{t}", "4", "error", "same, in a streaming message", lambda t=t: put(S, FS[1][0] + 2, struct.pack(">H", t)), code="frame_type")
for v in (0, 2, 65535):
    case(f"F04-frame-version-{v}", "2.1", "warn", "frame version is type-specific; only 1 is defined", lambda v=v: put(A, o3 + 4, struct.pack(">H", v)), code="frame_version")
for bit in (2, 7, 8, 15):
    case(f"F05-frame-flag-{bit}", "2.5", "warn", "reserved frame flag", lambda b=bit: put(A, o3 + 6, struct.pack(">H", 3 | 1 << b)), code="reserved_flag")
for ln in (0, 1, 15, 16, 27, 35):
    case(f"F06-len-{ln}", "2.1,2.2", "error", "data-object frame below 36 bytes (loop/underflow bait)", lambda n=ln: put(A, o3 + 8, struct.pack(">Q", n)), code="frame_length")
for ln in (0, 16, 27):
    case(f"F07-meta-len-{ln}", "2.1,2.2", "error", "metadata frame below 28 bytes", lambda n=ln: put(A, FA[0][0] + 8, struct.pack(">Q", n)), code="frame_length")
for nm, ln in (("u64max", 2**64 - 1), ("2^63", 2**63), ("past-postamble", FA[3][2] + 24), ("+1", FA[3][2] + 1), ("-1", FA[3][2] - 1), ("+8", FA[3][2] + 8)):
    case(f"F08-len-{nm}", "2.1", "error", "frame length wrong inside a sized message", lambda n=ln: put(A, o3 + 8, struct.pack(">Q", n)), code="frame_end_marker" if nm in ("+1", "-1") else "frame_length")
case("F09-len-u64max-stream", "2.1", "error", "frame length overflows, streaming", lambda: put(S, FS[1][0] + 8, b"\xff" * 8), code="frame_length")
case("F10-len-1TiB-stream", "2.1", "incomplete", "streaming frame claims 1 TiB: indistinguishable from a big write; wait with a limit, never allocate", lambda: put(S, FS[1][0] + 8, struct.pack(">Q", 1 << 40)), code="truncated")
case("F11-missing-ENDF", "2.2", "error", "ENDF flipped", lambda: flip(A, o3 + FA[3][2] - 1), code="frame_end_marker")
case("F12-swallow-next", "2.1", "error", "first object's length covers the second object; ENDF matches", lambda: (lambda m, f: put(m, f[3][0] + 8, struct.pack(">Q", f[4][0] + f[4][2] - f[3][0])))(*(lambda m: (m, frames_of(m)))(buffered([obj(), obj()]))), code="hash_mismatch", n=1)
case("F13-dup-header-meta", "1,6.1", "error", "two header metadata frames", lambda: build([meta_frame(m={"a": 1}), meta_frame(m={"a": 2}), obj()]), code="duplicate_frame", n=1)
case("F14-dup-index", "1,6.2", "error", "two header index frames", lambda: build([meta_frame(), index(), index(mut=lambda o, n: ([24], n)), obj()]), code="duplicate_frame", n=1)
case("F15-header-order", "5", "warn", "index before metadata inside the header phase", lambda: build([index(), meta_frame(), obj()]), code="frame_order")
case("F16-header-after-body", "5", "error", "header metadata after the object", lambda: build([obj(), meta_frame()]), code="frame_order")
case("F17-body-after-footer", "5", "error", "object after a footer frame", lambda: build([meta_frame(), index(FIDX), obj()]), code="frame_order")
case("F18-two-preceders", "5,6.4", "error", "two consecutive preceders", lambda: build([meta_frame(), meta_frame(PREC, {"base": [{}]}), meta_frame(PREC, {"base": [{}]}), obj()]), code="preceder_dangling")
case("F19-dangling-preceder", "5,6.4", "error", "preceder with no object", lambda: build([meta_frame(), obj(), meta_frame(PREC, {"base": [{}]})]), code="preceder_dangling")
case("F20-preceder-base0", "6.4", "error", "preceder base empty", lambda: buffered([meta_frame(PREC, {"base": []}), obj()]), code="preceder_base", n=1)
case("F21-preceder-base2", "6.4", "error", "preceder base of two", lambda: buffered([meta_frame(PREC, {"base": [{}, {}]}), obj()]), code="preceder_base", n=1)
case("F22-preceder-reserved", "6.4", "warn", "preceder carries _reserved_: must be ignored", lambda: buffered([meta_frame(PREC, {"base": [{"_reserved_": {"tensor": {"shape": [9]}}}]}), obj()]), code="preceder_reserved")
case("F23-no-metadata", "1", "error", "no metadata frame at all", lambda: build([index(), obj()]), code="metadata_missing")
case("F24-no-frames", "1", "error", "48-byte message", lambda: build([]), code="metadata_missing")
case("F25-nonzero-padding", "2.3", "warn", "padding bytes not zero", lambda: build([meta_frame(pad=b""), obj()]) if False else put(A, FA[0][0] + FA[0][2], b"\x01") if FA[0][2] % 8 else A, code="padding")
case("F26-long-padding", "2.3", "warn", "16 zero bytes between frames", lambda: build([meta_frame(pad=b"\0" * (-(28 + 1) % 8 + 16)), obj()]), code="padding")
case("F27-garbage-between-frames", "2.3", "error", "200 bytes of junk between frames: hidden data", lambda: build([meta_frame(pad=b"\0" * 3 + b"secret! " * 25), obj()]), code="frame_magic", n=0, decode="ok")
case("F28-unaligned-frames", "2.3", "warn", "no padding at all: padding 'may' follow, so both objects must be found, or refused - never silently skipped", lambda: build([meta_frame(pad=b""), obj(pad=b"")]), code="unaligned")
case("F29-meta-divergent", "6.1", "warn", "header and footer metadata differ (spec: MetadataError; the reference streaming writer always does this)", lambda: build([meta_frame(m={"a": 1}), obj(), meta_frame(FMETA, {"a": 2})]), code="metadata_diverges")
case("F30-frame-nested", "2.1", "error", "an object frame whose payload is another object frame, listed in the index", lambda: build([meta_frame(), lambda o, n, h: Frame(HIDX, cbor({"offsets": [o[0] + 16] if o else [], "lengths": n})), tensor(obj().encode(), desc([len(obj().encode())], "uint8"))]), code="index_offset", n=1, decode="ok")

# ---- H: hashes --------------------------------------------------------------
case("H01-flagged-message-unflagged-frame", "2.5", "error", "HASHES_PRESENT=1 but one frame has HASH_PRESENT=0: malformed/tampered", lambda: build([meta_frame(), index(), obj(flags=0)], extra_flags=128), code="hash_missing", n=1, decode="ok")
case("H02-unflagged-message-flagged-frames", "2.5", "warn", "HASHES_PRESENT=0 but frames carry hashes: per-frame flag is authoritative, verify them", lambda: put(A, 10, struct.pack(">H", struct.unpack(">H", A[10:12])[0] & ~128)), code="flag_mismatch")
case("H03-same-with-bad-payload", "2.5,11.2", "error", "as H02 with a corrupted payload: clearing one preamble bit must not switch checking off", lambda: put(flip(A, o3 + 16), 10, struct.pack(">H", struct.unpack(">H", A[10:12])[0] & ~128)), code="hash_mismatch", n=1)
case("H04-payload-flip", "2.4", "error", "payload bit flipped", lambda: flip(A, o3 + 17), code="hash_mismatch", n=1)
case("H05-meta-flip", "2.4,11.2", "error", "metadata text changed, hash not updated: every frame type is hashed", lambda: (lambda m: put(m, m.index(b"AAAA"), b"BBBB"))(buffered(m={"k": "AAAA"})), code="hash_mismatch", n=1)
case("H06-index-flip", "2.4,11.2", "error", "index body changed to another canonical form, hash stale", lambda: (lambda m, p: put(m, p, b"zz"))(*(lambda m: (m, m.index(b"zq")))(build([meta_frame(), lambda o, n, h: Frame(HIDX, cbor({"offsets": o, "lengths": n, "zq": 1})), obj()]))), code="hash_mismatch", n=1)
case("H07-hash-slot-flip", "2.2", "error", "stored digest flipped", lambda: flip(A, o3 + FA[3][2] - 5), code="hash_mismatch", n=1)
case("H08-aggregate-mismatch", "11.4", "error", "HeaderHash entry differs from the inline slot", lambda: build([meta_frame(), index(), hashes(mut=lambda h: ["0" * 16 for _ in h]), obj()]), code="hash_frame_mismatch", n=1, decode="ok")
case("H09-aggregate-count", "6.3", "error", "HeaderHash has too many entries", lambda: build([meta_frame(), index(), hashes(mut=lambda h: h + h), obj()]), code="hash_frame_mismatch", n=1, decode="ok")
case("H10-aggregate-upper", "6.3", "warn", "upper-case hex", lambda: build([meta_frame(), index(), hashes(mut=lambda h: [x.upper() for x in h]), obj()]), code="hash_frame_mismatch")
case("H11-header-footer-hash-disagree", "6.3", "error", "two aggregate frames disagree", lambda: build([meta_frame(), hashes(), obj(), hashes(FHASH, mut=lambda h: ["f" * 16 for _ in h])]), code="hash_frame_mismatch", n=1, decode="ok")
case("H12-mixed-flags", "2.5", "warn", "two objects, one hashed one not, preamble bit clear", lambda: buffered([obj(), obj(flags=0)]), code="hash_missing")
case("H13-cbor-offset-shift", "6.5,2.4", "error", "cbor_offset (unhashed) moved inside its legal range", lambda: put(A, o3 + FA[3][2] - 20, struct.pack(">Q", 16 + 20 - 4)), code="cbor_trailing", n=1)
case("H14-flip-cbor-after-flag", "2.5,2.4", "error", "CBOR_AFTER_PAYLOAD (unhashed) flipped", lambda: flip(A, o3 + 7), code="cbor_offset", n=1)
case("H15-unhash-one-frame", "2.4,2.5", "error", "attacker clears HASH_PRESENT on the tampered frame only", lambda: flip(flip(A, o3 + 17), o3 + 7, 2), code="hash_missing", n=1)

# ---- I: index ---------------------------------------------------------------
def idx_case(id, why, mut, code="index_offset", objs=2, verdict="error", **kw):
    case(id, "6.2", verdict, why, lambda: build([meta_frame(), index(mut=mut), *[obj() for _ in range(objs)]]), code=code, n=1, decode="ok", **kw)


idx_case("I01-offset-past-end", "offset beyond the message", lambda o, n: ([o[0], 1 << 20] if o else [], n))
idx_case("I02-offset-u64max", "offset 2^64-1", lambda o, n: ([o[0], 2**64 - 1] if o else [], n))
idx_case("I03-dup-offsets", "both entries point at object 0", lambda o, n: ([o[0], o[0]] if o else [], n))
idx_case("I04-swapped", "entries swapped: object 0 and 1 exchanged", lambda o, n: (o[::-1], n))
idx_case("I05-overlap", "second entry starts inside the first", lambda o, n: ([o[0], o[0] + 8] if o else [], n))
idx_case("I06-lengths-wrong", "lengths do not mirror the frames", lambda o, n: (o, [x + 8 for x in n]), code="index_length")
idx_case("I07-lengths-huge", "length 2^60: reader must not allocate it", lambda o, n: (o, [1 << 60 for _ in n]), code="index_length")
idx_case("I08-count-short", "index lists one of two objects", lambda o, n: (o[:1], n[:1]), code="index_count")
idx_case("I09-count-long", "index lists three of two objects", lambda o, n: (o + o[-1:], n + n[-1:]), code="index_count")
idx_case("I10-len-mismatch", "offsets and lengths differ in count", lambda o, n: (o, n[:1]), code="index_cbor")
case("I11-negative", "6.2", "error", "negative offset", lambda: build([meta_frame(), index(mut=lambda o, n: ([-1] * len(o), n)), obj()]), code="index_cbor", n=1)
case("I12-float", "6.2", "error", "float offset", lambda: build([meta_frame(), index(mut=lambda o, n: ([float(x) for x in o], n)), obj()]), code="index_cbor", n=1)
case("I13-header-footer-disagree", "6.2", "error", "header and footer index differ", lambda: build([meta_frame(), index(), obj(), obj(), index(FIDX, mut=lambda o, n: (o[::-1], n))]), code="index_offset", n=1, decode="ok")
case("I14-points-at-preceder", "6.2", "error", "index lists the preceder frame", lambda: build([meta_frame(), lambda o, n, h: Frame(HIDX, cbor({"offsets": [x - 48 for x in o], "lengths": n})), meta_frame(PREC, {"base": [{"k": "0123"}]}), obj()]), code="index_offset", n=1, decode="ok")
case("I15-empty-map", "6.2", "error", "index frame with {}", lambda: build([meta_frame(), Frame(HIDX, cbor({})), obj()]), code="index_count", n=1, decode="ok")

# ---- C: CBOR ----------------------------------------------------------------
def nest(depth, inner=b"\x00", opener=b"\x81"):
    return opener * depth + inner


def m_case(id, why, body, verdict="error", code="metadata_cbor", **kw):
    case(id, "6.1,12", verdict, why, lambda: buffered(m=body() if callable(body) else body), code=code, n=kw.pop("n", 1), **kw)


m_case("C01-nest-64", "metadata nested 64 deep (legal)", lambda: cbor({"a": Raw(nest(64))}), verdict="ok", code="")
m_case("C02-nest-300", "nested 300 deep", lambda: cbor({"a": Raw(nest(300))}), verdict="limit", code="cbor_depth")
m_case("C03-nest-10k", "nested 10 000 deep arrays", lambda: cbor({"a": Raw(nest(10_000))}), verdict="limit", code="cbor_depth")
m_case("C04-nest-1M", "nested 1 000 000 deep arrays", lambda: cbor({"a": Raw(nest(1_000_000))}), verdict="limit", code="cbor_depth")
m_case("C05-nest-maps", "nested 10 000 maps", lambda: cbor({"a": Raw(nest(10_000, opener=b"\xa1\x61k"))}), verdict="limit", code="cbor_depth")
m_case("C06-nest-tags", "nested 10 000 tags", lambda: cbor({"a": Raw(nest(10_000, opener=b"\xc1"))}), verdict="limit", code="cbor_depth")
m_case("C07-nest-indef", "nested 10 000 indefinite arrays", lambda: cbor({"a": Raw(b"\x9f" * 10_000 + b"\xff" * 10_000)}), verdict="limit", code="cbor_depth")
m_case("C08-indef-map", "indefinite-length map (non-canonical)", Raw(b"\xbf\x61a\x01\xff"), verdict="warn", code="cbor_noncanonical")
m_case("C09-indef-array", "indefinite-length array", lambda: cbor({"a": Raw(b"\x9f\x01\x02\xff")}), verdict="warn", code="cbor_noncanonical")
m_case("C10-indef-text", "indefinite-length text", lambda: cbor({"a": Raw(b"\x7f\x61x\x61y\xff")}), verdict="warn", code="cbor_noncanonical")
m_case("C11-array-2^40", "array header claims 2^40 items, 0 present", lambda: cbor({"a": Raw(head(4, 1 << 40))}))
m_case("C12-array-u64max", "array header claims 2^64-1", lambda: cbor({"a": Raw(b"\x9b" + b"\xff" * 8)}))
m_case("C13-map-2^40", "map header claims 2^40 pairs", Raw(b"\xbb" + struct.pack(">Q", 1 << 40)))
m_case("C14-bytes-2^40", "byte string claims 1 TiB", lambda: cbor({"a": Raw(head(2, 1 << 40))}))
m_case("C15-text-u64max", "text claims 2^64-1", lambda: cbor({"a": Raw(b"\x7b" + b"\xff" * 8)}))
m_case("C16-nested-prealloc", "chain of array headers each claiming exactly the bytes left (pre-allocation amplifier)",
       lambda: cbor({"a": Raw(b"".join(b"\x9a" + struct.pack(">I", 2400 * 5 - 5 * (i + 1)) for i in range(200)))}))
m_case("C17-dup-keys", "duplicate key at top level", lambda: cbor(Pairs([("a", 1), ("a", 2)])), code="cbor_duplicate_key")
m_case("C18-dup-base", "'base' twice", lambda: cbor(Pairs([("base", [{"x": 1}]), ("base", [{"x": 2}])])), code="cbor_duplicate_key")
case("C19-dup-shape", "6.5,12", "error", "'shape' twice in the descriptor: parser differential", lambda: buffered([tensor(f32(5), cbor(Pairs(list(desc([5]).items()) + [("shape", [500])])))]), code="cbor_duplicate_key", n=1)
case("C20-dup-offsets", "6.2,12", "error", "'offsets' twice in the index", lambda: build([meta_frame(), lambda o, n, h: Frame(HIDX, cbor(Pairs([("lengths", n), ("offsets", o), ("offsets", [24] * len(o))]))), obj()]), code="cbor_duplicate_key", n=1)
m_case("C21-unsorted", "map keys not sorted", lambda: cbor(Pairs([("b", 1), ("a", 2)])), verdict="warn", code="cbor_noncanonical")
m_case("C22-long-int", "integer 1 written in 8 bytes", lambda: cbor({"a": Raw(head(0, 1, 8))}), verdict="warn", code="cbor_noncanonical")
m_case("C23-long-len", "text length written in 8 bytes", lambda: cbor({"a": Raw(head(3, 1, 8) + b"x")}), verdict="warn", code="cbor_noncanonical")
m_case("C24-float-not-shortest", "1.5 as float64 (reference writer does this)", lambda: cbor({"a": 1.5}), verdict="ok", code="")
m_case("C25-trailing", "bytes after the CBOR item inside the frame (hidden data)", lambda: cbor({"a": 1}) + b"\x00secret", code="cbor_trailing")
m_case("C26-empty", "empty metadata body", b"")
m_case("C27-not-map", "metadata is an array", lambda: cbor([1, 2]))
m_case("C28-int-key", "integer top-level key", lambda: cbor(Pairs([(1, 2)])))
m_case("C29-bad-utf8", "text is not UTF-8", lambda: cbor({"a": Raw(b"\x62\xff\xfe")}))
m_case("C30-surrogate", "CESU surrogate in text", lambda: cbor({"a": "\ud800"}))
m_case("C31-reserved-ai", "additional info 28 (ill-formed)", lambda: cbor({"a": Raw(b"\x1c")}))
m_case("C32-lone-break", "break code outside an indefinite item", lambda: cbor({"a": Raw(b"\xff")}))
m_case("C33-bignum", "tag 2 bignum of 64 KiB", lambda: cbor({"a": Raw(b"\xc2" + cbor(b"\xff" * 65536))}), verdict="ok", code="")
m_case("C34-tags", "date/uri/self-describe tags: keep as data, never act on them", lambda: cbor({"a": Raw(b"\xd9\xd9\xf7\xc0" + cbor("2013-03-21T20:04:00Z")), "u": Raw(b"\xd8\x20" + cbor("file:///etc/passwd")), "r": Raw(b"\xd8\x23" + cbor("(a+)+$"))}), verdict="ok", code="")
m_case("C35-shared-refs", "tags 28/29 self reference (cycle bait)", lambda: cbor({"a": Raw(b"\xd8\x1c\x81\xd8\x1d\x00")}), verdict="ok", code="")
m_case("C36-1M-ints", "1e6 one-byte items: 1 MiB becomes 1e6 objects", lambda: cbor({"a": [0] * 1_000_000}), verdict="limit", code="cbor_items", rss_mb=256)
m_case("C37-1M-keys", "3e5 map keys", lambda: cbor({f"{i:x}": i for i in range(300_000)}), verdict="limit", code="cbor_items", rss_mb=256)
m_case("C38-8MiB-text", "8 MiB text value", lambda: cbor({"a": "x" * (8 << 20)}), verdict="ok", code="")
m_case("C39-extra-collision", "key both at top level and in _extra_", lambda: cbor({"_extra_": {"k": 1}, "k": 2}))
m_case("C40-base-too-long", "base has more entries than objects", lambda: cbor({"base": [{}, {}, {}]}), code="base_count")
m_case("C41-base-not-list", "base is a map", lambda: cbor({"base": {"a": 1}}))
m_case("C42-reserved-not-map", "_reserved_ is text", lambda: cbor({"_reserved_": "x"}))
m_case("C43-escape", "terminal escapes, bidi and NUL in keys and values (valid data; printing must neutralise)",
       lambda: cbor({"\x1b]0;pwned\x07": "\x1b[2J\x1b[1;31mFAKE\x1b[0m", "osc52": "\x1b]52;c;ZXZpbA==\x07", "c1": "\x9b31m", "cr": "good\rEVIL", "nl": "line1\nexit code 0", "bidi": "\u202egnp.exe", "zw": "a\u200bb", "nul": "a\0b", "dcs": "\x1bP$q\"p\x1b\\", "title": "\x1b]2;x\x1b\\"}), verdict="ok", code="", tags=("print",))
m_case("C44-traversal", "path-like values for templated output names", lambda: cbor({"base": [{"mars": {"param": "../../../../var/pwn", "step": "/etc/cron.d/x", "name": "a\0b", "long": "n" * 5000, "dash": "-rf", "dot": "..", "win": "CON", "sh": "$(touch pwn);`id`|&"}}]}), verdict="ok", code="", tags=("name",))
m_case("C45-nan-inf", "NaN/Infinity metadata values (JSON output must stay parseable)", lambda: cbor({"n": float("nan"), "i": float("inf"), "b": b"\xff\x00"}), verdict="ok", code="", tags=("print",))
m_case("C48-simple", "undefined and simple(5): well-formed CBOR outside the data model in use", lambda: cbor({"s": Raw(b"\xe5"), "u": Raw(b"\xf7")}), verdict="warn", code="cbor_unusual_simple")
m_case("C46-proto", "keys that clash with attribute or template syntax", lambda: cbor({"__class__": {"__init__": 1}, "{0.__class__}": "%(x)s", "constructor": {"prototype": 1}}), verdict="ok", code="", tags=("name",))
m_case("C47-int-extremes", "2^64-1 and -2^64", lambda: cbor({"a": 2**64 - 1, "b": Raw(b"\x3b" + b"\xff" * 8)}), verdict="ok", code="")

# ---- D: descriptor ----------------------------------------------------------
def d_case(id, why, d, payload=None, verdict="error", code="descriptor", sec="6.5", **kw):
    case(id, sec, verdict, why, lambda: buffered([tensor(f32(5) if payload is None else (payload() if callable(payload) else payload), d() if callable(d) else d)]), code=code, n=1, **kw)


d_case("D01-ndim", "ndim differs from shape", desc([5], ndim=2))
d_case("D02-ndim-u64", "ndim 2^64-1", desc([5], ndim=2**64 - 1))
d_case("D03-strides-len", "strides count differs from shape", desc([5], strides=[1, 1]))
d_case("D04-strides-neg", "negative strides: must never become a memory view", desc([5], strides=[-1 << 40]))
d_case("D05-strides-huge", "strides 2^62: must never become a memory view", desc([5], strides=[1 << 62]), verdict="ok", code="")
d_case("D06-shape-overflow", "shape product overflows u64", desc([1 << 40, 1 << 40]))
d_case("D07-shape-wraps-small", "product wraps to 5 modulo 2^64", desc([5, 1 << 63, 2], strides=[1, 1, 1]))
d_case("D08-shape-negative", "negative dimension", desc([-5], strides=[1]))
d_case("D09-shape-zero-huge", "shape [0, 2^62]: zero elements", desc([0, 1 << 62], strides=[1, 1]), payload=b"", verdict="ok", code="")
d_case("D10-1TB-none", "1 TB shape over 20 bytes, encoding none", desc([1 << 38]), code="size_mismatch")
d_case("D11-ndim-1000", "1000 dimensions of 1", lambda: desc([1] * 1000), verdict="limit", code="limit_ndim", payload=f32(1))
d_case("D12-payload-short", "payload one byte short", desc([5]), payload=f32(5)[:-1], code="size_mismatch")
d_case("D13-payload-long", "payload one byte long", desc([5]), payload=f32(5) + b"\0", code="size_mismatch")
d_case("D14-dtype-unknown", "unknown dtype", desc([5], "float33"))
d_case("D15-encoding-unknown", "unknown encoding", desc([5], encoding="rot13"))
d_case("D16-filter-unknown", "unknown filter", desc([5], filter="../../evil.so"))
d_case("D17-compression-unknown", "unknown compression", desc([5], compression="xz"))
d_case("D18-type-empty", "type is empty", desc([5], type=""))
d_case("D19-type-missing", "type absent", desc([5], type=AUTO))
d_case("D20-shape-missing", "shape absent", desc([5], shape=AUTO))
d_case("D21-desc-array", "descriptor is an array", cbor([1]))
d_case("D22-desc-empty", "descriptor is empty", b"", code="descriptor_cbor")
d_case("D23-shuffle-0", "shuffle_element_size 0", desc([5], filter="shuffle", shuffle_element_size=0))
d_case("D24-shuffle-3", "shuffle size does not divide", desc([5], filter="shuffle", shuffle_element_size=3))
d_case("D25-shuffle-huge", "shuffle_element_size 2^63", desc([5], filter="shuffle", shuffle_element_size=1 << 63))
d_case("D26-rle-float", "rle on float32", desc([5], compression="rle"), sec="8")
d_case("D27-bitmask-size", "bitmask of 9 bits in 1 byte", desc([9], "bitmask"), payload=b"\xff", code="size_mismatch", sec="8")
d_case("D28-bitmask-tail", "bitmask trailing bits not zero", desc([5], "bitmask"), payload=b"\xff", verdict="warn", code="bitmask_tail", sec="8,6.5.2")
SP = dict(encoding="simple_packing", sp_reference_value=1.0, sp_binary_scale_factor=0, sp_decimal_scale_factor=0)
d_case("D29-sp-bits0-huge", "simple_packing with 0 bits: an empty payload legally yields any shape (2^33 x 8 B = 64 GiB)", desc([1 << 33], "float64", sp_bits_per_value=0, **SP), payload=b"", verdict="limit", code="limit_decoded_bytes", tags=("bomb",))
d_case("D30-sp-bits0-1G", "the same, 2^30 elements = 8 GiB", desc([1 << 30], "float64", sp_bits_per_value=0, **SP), payload=b"", verdict="limit", code="limit_decoded_bytes", tags=("bomb",))
d_case("D31-sp-bits65", "65 bits per value", desc([5], "float64", sp_bits_per_value=65, **SP), payload=b"\0" * 41)
d_case("D32-sp-bits-neg", "negative bits", desc([5], "float64", sp_bits_per_value=-1, **SP), payload=b"")
d_case("D33-sp-nan-ref", "NaN reference", desc([5], "float64", **{**SP, "sp_bits_per_value": 8, "sp_reference_value": float("nan")}), payload=b"\0" * 5)
d_case("D34-sp-scale-i32max", "binary scale 2^31-1: decodes to Inf/NaN", desc([5], "float64", **{**SP, "sp_bits_per_value": 8, "sp_binary_scale_factor": 2**31 - 1}), payload=b"\1" * 5, verdict="warn", code="nonfinite", tags=("full",))
d_case("D35-sp-scale-huge", "binary scale 2^40", desc([5], "float64", **{**SP, "sp_bits_per_value": 8, "sp_binary_scale_factor": 2**40}), payload=b"\1" * 5)
d_case("D36-sp-missing", "simple_packing without parameters", desc([5], "float64", encoding="simple_packing"), payload=b"\0" * 5)
d_case("D37-nan-unmasked", "NaN in payload, no mask", desc([2], "float64"), payload=struct.pack("<2d", 1, float("nan")), verdict="warn", code="nonfinite", sec="11.3", tags=("full",))
d_case("D38-byte-order-junk", "byte_order 'middle'", desc([5], byte_order="middle"))
d_case("D39-zfp-mode-junk", "zfp mode unknown", desc([5], "float64", compression="zfp", zfp_mode="x"))
d_case("D40-szip-offsets", "szip_block_offsets past the payload", desc([5], "uint8", compression="szip", szip_rsi=128, szip_block_size=16, szip_flags=8, szip_block_offsets=[0, 1 << 62]), payload=b"\0" * 5)
case("D41-cbor-offset-0", "6.5", "error", "cbor_offset 0", lambda: buffered([obj(cbor_offset=0)]), code="cbor_offset", n=0)
case("D42-cbor-offset-15", "6.5", "error", "cbor_offset 15", lambda: buffered([obj(cbor_offset=15)]), code="cbor_offset", n=0)
case("D43-cbor-offset-end+1", "6.5", "error", "cbor_offset past the footer start", lambda: buffered([obj(cbor_offset=len(obj().encode()) - 19)]), code="cbor_offset", n=0)
case("D44-cbor-offset-u64max", "6.5", "error", "cbor_offset 2^64-1", lambda: buffered([obj(cbor_offset=2**64 - 1)]), code="cbor_offset", n=0)

# ---- M: masks ---------------------------------------------------------------
def mask_case(id, why, entry, blob=b"\x80", verdict="error", code="mask", dtype="float64", n=5, kind="nan", sec="6.5.1", **kw):
    size = {"float64": 8, "int32": 4}[dtype]
    case(id, sec, verdict, why, lambda: buffered([tensor(b"\0" * (size * 5) + blob, desc([n], dtype, masks={kind: entry} if not isinstance(entry, list) else dict(entry)))]), code=code, n=1, **kw)


mask_case("M01-offset-past", "mask offset past the payload region", {"method": "none", "offset": 1 << 20, "length": 1})
mask_case("M02-length-past", "mask length past the payload region", {"method": "none", "offset": 40, "length": 100})
mask_case("M03-overflow", "offset + length overflows u64", {"method": "none", "offset": 40, "length": 2**64 - 1})
mask_case("M04-offset-0", "mask overlaps the tensor payload", {"method": "none", "offset": 0, "length": 1})
mask_case("M05-gap", "unclaimed bytes between payload and mask", {"method": "none", "offset": 44, "length": 1}, blob=b"XXXX\x80")
mask_case("M06-overlap-masks", "nan and inf+ share bytes and bits", [("nan", {"method": "none", "offset": 40, "length": 1}), ("inf+", {"method": "none", "offset": 40, "length": 1})], code="mask_overlap")
mask_case("M07-short", "mask of 0 bytes for 5 elements", {"method": "none", "offset": 40, "length": 0})
mask_case("M08-rle-huge-run", "rle run 2^63", {"method": "rle", "offset": 40, "length": 10}, blob=b"\x01" + uleb(1 << 62))
mask_case("M09-rle-zero-run", "rle zero-length run", {"method": "rle", "offset": 40, "length": 4}, blob=b"\x01\x00\x00\x05")
mask_case("M10-rle-truncated", "rle varint cut", {"method": "rle", "offset": 40, "length": 2}, blob=b"\x01\x80")
mask_case("M11-rle-overlong-varint", "rle varint of 20 bytes", {"method": "rle", "offset": 40, "length": 21}, blob=b"\x01" + b"\x80" * 19 + b"\x00")
mask_case("M12-roaring-junk", "roaring blob is junk", {"method": "roaring", "offset": 40, "length": 16}, blob=b"\xff" * 16)
mask_case("M13-unknown-method", "method 'gzip'", {"method": "gzip", "offset": 40, "length": 1})
mask_case("M14-int-dtype", "mask on int32", {"method": "none", "offset": 20, "length": 1}, dtype="int32", code="mask_dtype")
mask_case("M15-trailing-bits", "mask padding bits set", {"method": "none", "offset": 40, "length": 1}, blob=b"\x87", verdict="warn", code="bitmask_tail", sec="6.5.2")
mask_case("M16-masked-payload-nonzero", "masked position holds a non-zero value", {"method": "none", "offset": 40, "length": 1}, verdict="ok", code="")
mask_case("M17-zstd-bomb", "zstd mask that expands to 256 MiB for 5 elements", {"method": "zstd", "offset": 40, "length": len(zstd_rle_bomb(2048))}, blob=zstd_rle_bomb(2048), tags=("bomb",))
mask_case("M18-unknown-kind", "mask kind 'qnan': unknown key is ignored", {"method": "none", "offset": 40, "length": 1}, kind="qnan", code="mask")
mask_case("M19-hidden-mask-bytes", "trailing payload bytes claimed by no mask", {"method": "none", "offset": 40, "length": 1}, blob=b"\x80SECRET", code="mask")

# ---- Z: decompression bombs -------------------------------------------------
d_case("Z01-zstd-bomb-256M", "8 KiB of zstd -> 256 MiB while the shape says 20 bytes: stop at 20", desc([5], compression="zstd"), payload=lambda: zstd_rle_bomb(2048), code="size_mismatch", tags=("bomb",))
d_case("Z02-zstd-bomb-8G", "256 KiB of zstd -> 8 GiB, shape says 20 bytes", desc([5], compression="zstd"), payload=lambda: zstd_rle_bomb(65536), code="size_mismatch", tags=("bomb",))
d_case("Z03-zstd-bomb-honest-8G", "the same with an honest shape: refused by the decoded-bytes limit", desc([8 << 30], "uint8", compression="zstd"), payload=lambda: zstd_rle_bomb(65536), verdict="limit", code="limit_decoded_bytes", tags=("bomb",))
d_case("Z04-zstd-declared-1TB", "content size field says 1 TB", desc([5], compression="zstd"), payload=lambda: zstd_rle_bomb(1, declared=1 << 40), code="size_mismatch", tags=("bomb",))
d_case("Z05-zstd-window-2G", "window log 31", desc([5], compression="zstd"), payload=lambda: zstd_rle_bomb(1, window_log=31), code="size_mismatch", tags=("bomb",))
d_case("Z06-zstd-concat", "1000 concatenated zstd frames", desc([5], compression="zstd"), payload=lambda: zstd_raw(f32(5)) * 1000, code="size_mismatch", tags=("bomb",))
d_case("Z07-zstd-trailing", "bytes after the zstd frame", desc([5], compression="zstd"), payload=lambda: zstd_raw(f32(5)) + b"junk", code="size_mismatch")
d_case("Z08-lz4-claims-4G", "lz4 size prefix 4 GiB - 1 over 4 bytes", desc([5], compression="lz4"), payload=b"\xff\xff\xff\xff\0\0\0\0", code="size_mismatch", tags=("bomb",))
d_case("Z09-lz4-bomb", "lz4: 1 MiB of 255-run match bytes -> 255 MiB", desc([5], compression="lz4"), payload=lambda: struct.pack("<I", 255 << 20) + b"\x1f\x00\x01\x00" + b"\xff" * (1 << 20) + b"\x00", code="size_mismatch", tags=("bomb",))
d_case("Z10-rle-claims-4G", "bitmask rle with a 2^32-1 element prefix (reference writer's undocumented u32)", desc([40], "bitmask", compression="rle"), payload=b"\xff\xff\xff\xff\x00" + uleb((1 << 32) - 1), code="size_mismatch", sec="8", tags=("bomb",))
d_case("Z11-rle-honest-2^36", "bitmask rle, honest 2^36-bit shape, 6 bytes of payload (8 GiB decoded)", desc([1 << 36], "bitmask", compression="rle"), payload=b"\x00" + uleb(1 << 36), verdict="limit", code="limit_decoded_bytes", sec="8", tags=("bomb",))
d_case("Z12-roaring-2^32", "bitmask roaring, 2^32-1 bits, empty bitmap: 16 bytes of payload, 512 MiB decoded; must not cost a byte per bit", desc([(1 << 32) - 1], "bitmask", compression="roaring"), payload=b"\xff\xff\xff\xff\x3a\x30\0\0\0\0\0\0", verdict="ok", code="", sec="8", tags=("bomb",), rss_mb=1200, seconds=10)
d_case("Z13-szip-huge", "szip claims 2^33 float32 over 16 bytes", desc([1 << 33], compression="szip", szip_rsi=128, szip_block_size=16, szip_flags=8), payload=b"\0" * 16, verdict="limit", code="limit_decoded_bytes", tags=("bomb",))
d_case("Z14-zfp-huge", "zfp fixed-rate claims 2^31 doubles over 16 bytes", desc([1 << 31], "float64", compression="zfp", zfp_mode="fixed_rate", zfp_rate=16.0), payload=b"\0" * 16, verdict="limit", code="limit_decoded_bytes", tags=("bomb",))
d_case("Z15-zfp-64M", "zfp claims 2^26 doubles (512 MiB) over 16 bytes", desc([1 << 26], "float64", compression="zfp", zfp_mode="fixed_rate", zfp_rate=16.0), payload=b"\0" * 16, code="size_mismatch", tags=("bomb",), rss_mb=2048)
d_case("Z16-sz3-junk", "sz3 over junk", desc([1 << 31], "float64", compression="sz3", sz3_error_bound_mode="abs", sz3_error_bound=0.1), payload=b"\x7f" * 64, verdict="limit", code="limit_decoded_bytes", tags=("bomb",))
d_case("Z17-blosc2-junk", "blosc2 over junk", desc([1 << 31], "float64", compression="blosc2", blosc2_codec="lz4", blosc2_clevel=5, blosc2_typesize=8), payload=b"\x7f" * 64, verdict="limit", code="limit_decoded_bytes", tags=("bomb",))
d_case("Z18-sp+shuffle+zstd-mismatch", "all stages claim different sizes", desc([5], "float64", filter="shuffle", shuffle_element_size=8, compression="zstd", **{**SP, "sp_bits_per_value": 16}), payload=lambda: zstd_raw(b"\0" * 16), code="size_mismatch")
case("Z19-1000-bombs", "6.5", "error", "1000 objects of 256 MiB each in one message: per-message and per-file budgets", lambda: buffered([tensor(zstd_rle_bomb(2048), desc([5], compression="zstd"))] * 50), code="size_mismatch", n=1, tags=("bomb",), seconds=10)

# ---- G: gaps, trailing, wrong files ----------------------------------------
for g in (1, 7, 8, 1000):
    case(f"G01-gap-{g}", "9.1", "error", f"{g} bytes of junk between two messages", lambda g=g: A + b"\xaa" * g + A, n=2, code="gap", tail="corrupt", decode="ok")
case("G02-zero-gap-8", "9.1", "error", "8 zero bytes between two messages", lambda: A + b"\0" * 8 + A, n=2, code="gap", decode="ok")
case("G03-leading-junk", "9.1", "error", "junk before the first message", lambda: b"#!junk\n" + A, n=1, code="gap")
for g in (1, 23, 24, 4096):
    case(f"G04-trailing-{g}", "9.1", "error", f"{g} junk bytes after the last message", lambda g=g: A + b"\xaa" * g, n=1, code="trailing_bytes", tail="corrupt", decode="ok")
case("G05-bom", "9.1", "error", "UTF-8 BOM in front", lambda: b"\xef\xbb\xbf" + A, n=1, code="gap")
case("G06-gzip", "9.1", "error", "gzip header", lambda: b"\x1f\x8b\x08\x00" + b"\0" * 60, code="no_message")
case("G07-html-error-page", "9.1", "error", "an HTML error page saved as .tgm", lambda: b"<!DOCTYPE html><html><body><h1>503 Service Unavailable</h1></body></html>\n", code="no_message")
case("G08-crlf", "3", "error", "FTP ASCII mode: LF became CRLF", lambda: (lambda m: m.replace(b"\n", b"\r\n"))(buffered([tensor(b"\n" * 20, desc([20], "uint8"))])), code="frame_end_marker")
case("G09-lfs-pointer", "9.1", "error", "git-lfs pointer file", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", code="no_message")
case("G10-bad-middle", "9.1", "error", "good, damaged (end magic), good: the third must be found", lambda: A + flip(A, len(A) - 1) + A, n=2, code="end_magic_missing", decode="ok")
case("G11-bad-middle-length", "9.1", "error", "good, damaged (total_length), good", lambda: A + put(A, 16, struct.pack(">Q", 1 << 40)) + A, n=2, code="total_length_invalid", decode="ok")
case("G12-stray-endmagic", "9.2", "error", "END magic strings between messages (backward-scan bait)", lambda: A + END * 3 + A, n=2, code="gap", decode="ok")
case("G13-nested-magic-gap", "9.1", "error", "'TENSOGRM' text in a gap", lambda: A + b"TENSOGRM is the magic" + A, n=2, code="unsupported_version", decode="ok")

# ---- S: scan complexity -----------------------------------------------------
FAKE_STREAM = MAGIC + struct.pack(">HHIQ", 3, 0, 0, 0)
FAKE_SIZED = MAGIC + struct.pack(">HHIQ", 3, 0, 0, 1 << 33)
case("S01-quad-stream-4k", "9.1", "error", "4096 fake streaming preambles (96 KiB): a search for END from each is quadratic", lambda: FAKE_STREAM * 4096, code="frame_magic", seconds=1)
case("S02-quad-stream-64k", "9.1", "error", "65 536 fake streaming preambles (1.5 MiB)", lambda: FAKE_STREAM * 65536, code="frame_magic", seconds=5)
case("S03-sized-preambles", "9.1", "error", "65 536 fake sized preambles", lambda: FAKE_SIZED * 65536, code="frame_magic", seconds=2)
case("S04-zeros-16M", "9.1", "incomplete", "16 MiB of zeros: byte-at-a-time seek+read is 16 M system calls", lambda: b"\0" * (16 << 20), code="zero_tail", seconds=2)
case("S05-torn-16M-then-ok", "9.1", "error", "16 MiB torn sized message, then a good one", lambda: (lambda m: m[:-100] + A)(buffered([tensor(b"\x55" * (16 << 20), desc([16 << 20], "uint8"))])), n=1, code="torn_message", seconds=2)
case("S06-endmagic-flood", "9.2", "error", "2 MiB of END magic", lambda: END * (1 << 18), code="no_message", seconds=2)
case("S07-100k-minimal", "1", "error", "100 000 48-byte messages without metadata: report must be bounded", lambda: build([]) * 100_000, n=0, code="metadata_missing", seconds=5)
case("S08-FR-flood", "2.3", "error", "1 MiB of 'FR' where padding should be", lambda: build([meta_frame(pad=b"FR" * (1 << 19)), obj()]), code="frame_type", seconds=2)
case("S09-gap-flood-in-message", "2.3", "error", "8 MiB of non-FR junk between frames", lambda: build([meta_frame(pad=b"\xee" * (8 << 20)), obj()]), code="frame_magic", seconds=2)
case("S10-100k-frames", "2.1", "ok", "100 000 empty objects in one message: legal; memory must grow by bytes, not kilobytes, per object", lambda: build([meta_frame()] + [tensor(b"", desc([0]))] * 100_000), n=1, seconds=10, rss_mb=512)


# --------------------------------------------------------------------------
def cases(prefix: tuple = ()) -> Iterator[Case]:
    for c in REG:
        if not prefix or c.id.startswith(tuple(prefix)):
            yield c


def truncations(b: bytes) -> Iterator[tuple[int, bytes]]:
    for i in range(len(b)):
        yield i, b[:i]


def bitflips(b: bytes) -> Iterator[tuple[int, int, bytes]]:
    for i in range(len(b)):
        for k in range(8):
            yield i, k, flip(b, i, 1 << k)


EXIT = {"ok": 0, "warn": 0, "error": 1, "incomplete": 5, "limit": 4}


def manifest_entry(c: Case, data: bytes) -> dict:
    return {
        "id": c.id,
        "file": c.id + ".tgm",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "section": c.sec,
        "verdict": c.verdict,
        "exit": EXIT[c.verdict],
        "code": c.code,
        "messages": c.n,
        "tail": c.tail,
        "decode": c.decode or {"ok": "ok", "warn": "ok", "error": "error", "incomplete": "error", "limit": "error"}[c.verdict],
        "max_rss_mb": c.rss_mb,
        "max_seconds": c.seconds,
        "tags": list(c.tags),
        "why": c.why,
    }


def main(argv=None) -> int:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("outdir", nargs="?")
    ap.add_argument("--max-bytes", type=int, default=1 << 40)
    ap.add_argument("--only", nargs="*", default=[])
    ap.add_argument("--selftest", action="store_true")
    a = ap.parse_args(argv)
    ids = [c.id for c in REG]
    if len(set(ids)) != len(ids):
        raise SystemExit(f"duplicate ids: {sorted({i for i in ids if ids.count(i) > 1})}")
    if a.selftest or not a.outdir:
        tot = 0
        for c in cases(tuple(a.only)):
            tot += len(c.data)
            c._b = None
        print(f"{len(ids)} cases, {tot} bytes")
        return 0
    out = Path(a.outdir)
    out.mkdir(parents=True, exist_ok=True)
    man = []
    for c in cases(tuple(a.only)):
        data = c.data
        c._b = None
        if len(data) > a.max_bytes:
            continue
        (out / (c.id + ".tgm")).write_bytes(data)
        man.append(manifest_entry(c, data))
    (out / "manifest.json").write_text(json.dumps({"format": "tensogram v3", "cases": man}, indent=1))
    print(f"{len(man)} cases -> {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
