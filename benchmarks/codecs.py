"""Encode and decode one array with every codec, as a buffered message of one object in memory.

The field is a sum of long waves with a little noise. As float32 it is rounded to 1/64, as a
temperature in kelvin is after it has been packed in 16 bits; as int16 it is in whole kelvin, so that
neighbours are often equal; as float64 it is what the lossy codecs take. The bitmask is where the field
is above its middle, and the same places are NaN in the row with masks.

Encoding: `tgmtool.encode` (or `StreamWriter`, where dtype or masks have to be told) against
`tensogram.encode`, both to bytes in memory, both with digest and finite check, both of the same stages
and parameters. Decoding: `tgmtool.decode` and the object's `.array` against `tensogram.decode` with
`verify_hash=True`, from bytes in memory, the digest checked by both; then every byte is touched by
`np.bitwise_or.reduce`, in the byte order of the machine in both. The limit, of zstd and szip: the C
library that ours uses, alone, on the bytes that go into it or come out of it, with the same bytes as a
result (of zstd the streaming form, as the reference writes it; of szip with offsets). Where the limit
itself misses the goal, ours cannot reach it. One thread everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .harness import MIB, Row, Scale, compare, main, peer_descriptor, peer_package, timed

_FLOAT32, _FLOAT64, _INT16, _BITMASK, _HOLES = "float32", "float64", "int16", "bitmask", "float32 with NaN"
_SZIP = {"szip_rsi": 128, "szip_block_size": 16, "szip_flags": 8}


class Case(NamedTuple):
    """One pipeline and what goes through it.

    Attributes:
        name: Of the row.
        kind: Of the field.
        encoding: Values to bytes.
        filter: Bytes rearranged.
        compression: Bytes made fewer.
        params: Of the stages, by their descriptor keys.
        goal: Times the peer.
    """

    name: str
    kind: str = _FLOAT32
    encoding: str = "none"
    filter: str = "none"
    compression: str = "none"
    params: Mapping[str, Any] = {}
    goal: float = 1.0


def _shuffled(width: int) -> dict[str, Any]:
    return {"shuffle_element_size": width}


def _packed(bits: int) -> dict[str, Any]:
    return {"sp_bits_per_value": bits, "sp_decimal_scale_factor": 0}


CASES = (
    Case("none"),
    Case("shuffle", filter="shuffle", params=_shuffled(4)),
    Case("zstd", compression="zstd", params={"zstd_level": 3}, goal=1.5),
    Case(
        "shuffle + zstd",
        filter="shuffle",
        compression="zstd",
        params={**_shuffled(4), "zstd_level": 3},
        goal=1.5,
    ),
    Case("zstd float64", _FLOAT64, compression="zstd", params={"zstd_level": 3}, goal=1.5),
    Case("lz4", compression="lz4"),
    Case("shuffle + lz4", filter="shuffle", compression="lz4", params=_shuffled(4)),
    Case("blosc2 lz4", compression="blosc2", params={"blosc2_codec": "lz4", "blosc2_clevel": 5}),
    Case("blosc2 zstd", compression="blosc2", params={"blosc2_codec": "zstd", "blosc2_clevel": 5}),
    Case("szip", compression="szip", params=_SZIP),
    Case("szip int16", _INT16, compression="szip", params=_SZIP),
    *(Case(f"packing {bits}", _FLOAT64, "simple_packing", params=_packed(bits)) for bits in (8, 12, 16, 24)),
    Case(
        "packing 16 + szip", _FLOAT64, "simple_packing", compression="szip", params={**_packed(16), **_SZIP}
    ),
    Case("zfp rate 16", _FLOAT64, compression="zfp", params={"zfp_mode": "fixed_rate", "zfp_rate": 16.0}),
    Case("sz3", _FLOAT64, compression="sz3", params={"sz3_error_bound_mode": "abs", "sz3_error_bound": 0.01}),
    Case("rle", _BITMASK, compression="rle"),
    Case("roaring", _BITMASK, compression="roaring"),
    Case("none + NaN mask (roaring)", _HOLES),
)
"""THE list of pipelines."""


def rows(scale: Scale, _folder: Path) -> Iterator[Row]:
    """Measure both directions of every case."""
    size = scale.choose(16 * MIB, MIB, 64 * MIB)
    for case in CASES:
        yield from _both(scale, size, case)


def _both(scale: Scale, size: int, case: Case) -> Iterator[Row]:
    peer = peer_package()
    values = _values(case.kind, size)
    data = _encode(case, values)
    rounds = scale.choose(5, 1)
    name = f"{case.name} ({size // MIB} MiB {case.kind}, 1:{values.nbytes / len(data):.1f})"
    goal = f">= {case.goal:g} x peer"
    yield compare(
        f"encode {name}",
        goal,
        ours=timed(partial(_encode, case, values)),
        peer=timed(partial(_peer_encode, peer, case, values)) if peer else None,
        limits=_limits(case, data, encode=True),
        rounds=rounds,
    )
    yield compare(
        f"decode {name}",
        goal,
        ours=timed(partial(_decode, data)),
        peer=timed(partial(_peer_decode, peer, data)) if peer else None,
        limits=_limits(case, data, encode=False),
        rounds=rounds,
    )


# ---- what goes through


def _values(kind: str, size: int) -> Any:
    """Return `size` bytes of the field."""
    import numpy as np

    count = {_FLOAT64: size // 8, _INT16: size // 2, _BITMASK: size * 8}.get(kind, size // 4)
    field = _field(count)
    if kind == _FLOAT64:
        return field
    if kind == _INT16:
        return np.round(field).astype(np.int16)
    if kind == _BITMASK:
        return np.packbits(field > 250)
    values = (np.round(field * 64) / 64).astype(np.float32)
    if kind == _HOLES:
        values[values > 250] = np.nan
    return values


def _field(count: int) -> Any:
    """Return a field of `count` values, twice as wide as high."""
    import numpy as np

    height = max(int((count / 2) ** 0.5), 1)
    while count % height:
        height -= 1
    y = np.linspace(-np.pi / 2, np.pi / 2, height)[:, None]
    x = np.linspace(0, 2 * np.pi, count // height)[None, :]
    field = 250 + 45 * np.cos(y) + 6 * np.sin(3 * x + y) * np.cos(y) + 2 * np.sin(11 * x) * np.sin(7 * y)
    field -= 30
    field += np.random.default_rng(1).normal(0, 0.02, field.shape)
    return field


# ---- ours


def _encode(case: Case, values: Any) -> bytes:
    import tgmtool

    if case.kind not in {_BITMASK, _HOLES}:
        return tgmtool.encode(
            values,
            encoding=case.encoding,
            filter=case.filter,
            compression=case.compression,
            params=case.params,
        )
    from tgmtool.codecs.masks import Rules
    from tgmtool.operations.prepare import Stages

    stages = Stages(case.encoding, case.filter, case.compression, case.params, masks=Rules(allow_nan=True))
    sink = tgmtool.MemorySink()
    with tgmtool.StreamWriter(
        sink, style=tgmtool.Style(layout="buffered"), stages=stages, borrow=True
    ) as out:
        if case.kind == _BITMASK:
            out.write(values, dtype="bitmask", shape=(8 * values.size,))
        else:
            out.write(values)
    return bytes(sink.data)


def _decode(data: bytes) -> int:
    import tgmtool

    return _touched(tgmtool.decode(data, verify=True).objects[0].array)


def _touched(values: Any) -> int:
    import numpy as np

    return int(np.bitwise_or.reduce(values.reshape(-1).view(f"u{values.itemsize}")))


# ---- the peer


def _peer_encode(peer: Any, case: Case, values: Any) -> bytes:
    described = peer_descriptor(
        values,
        **{"encoding": case.encoding, "filter": case.filter, "compression": case.compression, **case.params},
    )
    if case.kind == _BITMASK:
        described |= {"shape": [8 * values.size], "dtype": _BITMASK}
    data: bytes = peer.encode({}, [(described, values)], allow_nan=case.kind == _HOLES)
    return data


def _peer_decode(peer: Any, data: bytes) -> int:
    _, objects = peer.decode(data, verify_hash=True)
    return _touched(objects[0][1])


# ---- the limit


def _limits(case: Case, data: bytes, *, encode: bool) -> list[Callable[[], float]]:
    if case.compression not in {"zstd", "szip"}:
        return []
    import numpy as np

    import tgmtool
    from tgmtool.codecs import szip
    from tgmtool.codecs.base import Job

    found = tgmtool.decode(data).objects[0]
    payload, size = bytes(found.payload), found.array.nbytes
    pipeline = found.descriptor.pipeline
    if case.compression == "zstd":
        return [timed(_libzstd(payload, size, encode=encode))]
    if case.encoding != "none":
        return []
    job = Job(found.descriptor.dtype, size, pipeline.params, sample_bits=found.descriptor.dtype.bits)
    plain = np.frombuffer(szip.STAGE.decode(payload, size, job), np.uint8)
    if encode:
        return [timed(lambda: szip.encoded(plain, job, dict(case.params)))]
    return [timed(lambda: szip.STAGE.decode(payload, size, job))]


def _libzstd(payload: bytes, size: int, *, encode: bool) -> Callable[[], object]:
    import zstandard

    plain = zstandard.ZstdDecompressor().decompress(payload, max_output_size=size)
    if not encode:
        return lambda: zstandard.ZstdDecompressor().decompress(payload, max_output_size=size)

    def compress() -> list[bytes]:
        chunks = zstandard.ZstdCompressor(level=3).chunker(chunk_size=MIB)
        return [*chunks.compress(plain), *chunks.finish()]  # type: ignore[no-untyped-call]  # its package says nothing of it

    return compress


if __name__ == "__main__":
    main(rows)
