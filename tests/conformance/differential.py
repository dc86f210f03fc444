"""Random objects, stages, masks and layouts, both ways against the reference.

    python -m tests.conformance.differential --cases 20000      (0: until something differs)

Each case is made from its number alone, so that a failing one can be made again.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensogram

import tgmtool
from tests.conformance.oracle import Sample, bits, issues, same_provenance, sample_of
from tgmtool import EncodeError, MemorySink, StreamWriter, Style
from tgmtool.codecs.dtypes import BY_NAME, DTYPES
from tgmtool.codecs.masks import KINDS, Rules
from tgmtool.operations.prepare import Stages

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

_FLOATS = [row.name for row in DTYPES if row.is_float]
_OTHERS = [row.name for row in DTYPES if not row.is_float]
_WORDS = ["2t", "msl", "", "é", "日本", "a.b", "x" * 30]
LOSSY = {"zfp", "sz3"}


class Case(NamedTuple):
    """One message to be written by both sides.

    Attributes:
        samples: Its objects, which all go through the same stages.
        stages: Ours; the reference is told the same by descriptors.
        style: Layout of ours.
        extra: Message-level metadata.
    """

    samples: list[Sample]
    stages: Stages
    style: Style
    extra: dict[str, Any]

    @property
    def label(self) -> str:
        stages = self.stages
        return f"{stages.encoding}/{stages.filter}/{stages.compression}"


def case(number: int) -> Case:
    """Return case `number`."""
    random = np.random.default_rng(number)
    stages, dtypes = _stages(random)
    count = int(random.choice([0, 1, 1, 1, 2, 3]))
    samples = [_sample(random, stages, str(random.choice(dtypes))) for _ in range(count)]
    style = Style(
        layout=str(random.choice(["buffered", "streaming"])),
        hashing=bool(random.random() < 0.9),
        preceder=[None, True, False][random.integers(3)],
        backfill=bool(random.random() < 0.8),
    )
    return Case(samples, stages, style, _map(random, 2))


def _stages(random: Generator) -> tuple[Stages, list[str]]:
    """Return stages that go together, and the dtypes that they take."""
    names = ["none", "zstd", "lz4", "blosc2", "szip", "zfp", "sz3", "rle", "roaring"]
    compression = str(random.choice(names, p=[0.2, 0.15, 0.1, 0.15, 0.15, 0.1, 0.05, 0.05, 0.05]))
    params: dict[str, Any] = {}
    dtypes = [row.name for row in DTYPES]
    encoding, filter_ = "none", "none"
    if compression in {"rle", "roaring"}:
        return Stages("none", "none", compression), ["bitmask"]
    if compression in LOSSY:
        return Stages("none", "none", compression, _lossy(random, compression), masks=_rules(random)), [
            "float64"
        ]
    if random.random() < 0.3:
        encoding, dtypes = "simple_packing", ["float64"]
        width = int(random.integers(0, 65)) if compression != "szip" else int(random.choice([8, 16, 24, 32]))
        if compression == "blosc2":
            width = max(width, 1)
        params["sp_bits_per_value"] = width
        if random.random() < 0.3:
            params["sp_decimal_scale_factor"] = int(random.integers(-3, 4))
        if width and width % 8 == 0 and random.random() < 0.3:
            filter_ = "shuffle"
    elif random.random() < 0.4:
        filter_ = "shuffle"
    if compression == "zstd" and random.random() < 0.5:
        params["zstd_level"] = int(random.integers(-5, 12))
    if compression == "blosc2":
        params["blosc2_codec"] = str(random.choice(["blosclz", "lz4", "lz4hc", "zlib", "zstd"]))
        params["blosc2_clevel"] = int(random.integers(0, 10))
        dtypes = [name for name in dtypes if name != "bitmask"]
    if compression == "szip":
        params["szip_rsi"] = int(random.choice([1, 16, 128, 256]))
        params["szip_block_size"] = int(random.choice([8, 16, 32, 64]))
        params["szip_flags"] = int(random.choice([0, 8, 9, 64 | 8]))
        if encoding == "none" and filter_ == "none":
            dtypes = [name for name in dtypes if 8 <= BY_NAME[name].bits <= 32]
        else:
            dtypes = [name for name in dtypes if name != "bitmask"]
    return Stages(encoding, filter_, compression, params, masks=_rules(random)), dtypes


def _lossy(random: Generator, compression: str) -> dict[str, Any]:
    if compression == "sz3":
        mode = str(random.choice(["abs", "rel"]))
        return {"sz3_error_bound_mode": mode, "sz3_error_bound": float(random.choice([1e-1, 1e-3, 1e-6]))}
    mode = str(random.choice(["fixed_rate", "fixed_precision", "fixed_accuracy"]))
    value: Any = {
        "fixed_rate": float(random.choice([3.0, 4.0, 7.5, 16.0, 64.0])),
        "fixed_precision": int(random.integers(1, 65)),
        "fixed_accuracy": float(random.choice([1e-3, 0.5, 10.0])),
    }[mode]
    key = {"fixed_rate": "zfp_rate", "fixed_precision": "zfp_precision", "fixed_accuracy": "zfp_tolerance"}[
        mode
    ]
    return {"zfp_mode": mode, key: value}


def _rules(random: Generator) -> Rules:
    methods = [str(random.choice(["none", "rle", "roaring", "lz4", "zstd"])) for _ in KINDS]
    return Rules(True, True, dict(zip(KINDS, methods, strict=True)), int(random.choice([128, 0, 4])))


def _sample(random: Generator, stages: Stages, dtype: str) -> Sample:
    lengths = [0, 1, 2, 3, 5, 8, 17] if stages.compression not in {"blosc2", "sz3"} else [1, 2, 3, 5, 17]
    ndim = int(random.choice([0, 1, 1, 2, 3]))
    shape = tuple(int(n) for n in random.choice(lengths, ndim))
    if random.random() < 0.2:
        shape = (int(random.integers(100, 5000)),)
    entry = _map(random, 2)
    big = bool(random.random() < 0.25) and dtype != "bfloat16"
    smooth = stages.encoding != "none" or stages.compression in LOSSY or random.random() < 0.4
    if smooth and dtype in {"float32", "float64"}:
        count = int(np.prod(shape, dtype=np.int64))
        base = np.cumsum(random.normal(0, 1, count)) * float(random.choice([1e-3, 1.0, 50.0])) + 280
        if random.random() < 0.15:
            base = np.full(count, base[0] if count else 0.0)
        values: NDArray[Any] = base.astype((">" if big else "<") + BY_NAME[dtype].numpy).reshape(shape)
        found = Sample(dtype, values, shape, entry)
    else:
        found = sample_of(dtype, shape, int(random.integers(1 << 32)), big=big, entry=entry)
    if stages.masks.allow_nan and dtype in _FLOATS and random.random() < 0.35:
        found = found._replace(values=_with_nonfinite(random, found.values))
    return found


def _with_nonfinite(random: Generator, values: NDArray[Any]) -> NDArray[Any]:
    changed = values.copy()
    flat = changed.reshape(-1)
    odd: list[complex] = [np.nan, np.inf, -np.inf]
    if changed.dtype.kind == "c":
        odd += [complex(np.nan, 1), complex(1, -np.inf), complex(np.inf, np.nan), complex(-np.inf, np.inf)]
    for _ in range(int(random.integers(1, 1 + max(flat.size // 3, 1)))):
        if flat.size:
            start = int(random.integers(flat.size))
            value = odd[random.integers(len(odd))]
            flat[start : start + int(random.integers(1, 6))] = value
    return changed


def _map(random: Generator, depth: int) -> dict[str, Any]:
    return {f"{random.choice(_WORDS)}{i}": _value(random, depth) for i in range(random.integers(0, 4))}


def _value(random: Generator, depth: int) -> Any:
    kind = random.integers(8 if depth else 6)
    if kind == 0:
        return int(random.integers(-(1 << 62), 1 << 62)) >> int(random.integers(0, 62))
    if kind == 1:
        return float(random.choice([0.0, -0.0, 0.1, 1e300, 65504.0, 1.5, 3.4e38]))
    if kind == 2:
        return [None, True, False][random.integers(3)]
    if kind <= 5:
        return str(random.choice(_WORDS))
    if kind == 6:
        return [_value(random, depth - 1) for _ in range(random.integers(0, 4))]
    return _map(random, depth - 1)


class Outcome(NamedTuple):
    """What a case showed.

    Attributes:
        identical: The buffered message is the reference's, byte for byte.
        comparable: It could have been.
    """

    identical: bool
    comparable: bool


def check(one: Case) -> Outcome:
    """Write and read the case both ways; raise AssertionError where the two differ."""
    try:
        ours = _ours(one, one.style)
    except EncodeError as refused:
        if not _is_refusal(one, str(refused)):
            raise
        return Outcome(False, False)
    decoded = tgmtool.decode(ours)
    theirs_of_ours = tensogram.decode(ours, verify_hash=one.style.hashing)
    assert len(theirs_of_ours.objects) == len(one.samples)
    lossless = one.stages.encoding == "none" and one.stages.compression not in LOSSY
    for sample, mine, (_, array) in zip(one.samples, decoded.objects, theirs_of_ours.objects, strict=True):
        native = mine.array.astype(mine.array.dtype.newbyteorder("="))
        assert bits(native) == bits(array)
        if lossless:
            assert _same_values(sample, native)
        assert dict(mine.metadata) == dict(sample.entry)
    severe = {(code, severity) for code, severity in issues(ours) if code != "no_hash_available"}
    assert not severe, severe
    # And the other way round, the same objects as the reference writes them.
    theirs = _theirs(one, [dict(mine.descriptor.pipeline.params) for mine in decoded.objects])
    if any(_dies_of(one.stages, sample) for sample in one.samples):
        return Outcome(False, False)
    for (_, array), mine in zip(
        tensogram.decode(theirs).objects, tgmtool.decode(theirs).objects, strict=True
    ):
        assert bits(mine.array.astype(mine.array.dtype.newbyteorder("="))) == bits(array)
    if not one.samples:
        return Outcome(False, False)
    provenance = same_provenance(tgmtool.decode(theirs).metadata.reserved)
    style = Style(layout="buffered", hashing=one.style.hashing, provenance=provenance)
    return Outcome(_ours(one, style) == theirs, True)


def _dies_of(stages: Stages, sample: Sample) -> bool:
    """The reference's process dies when it reads its own blosc2 of zeros that are no whole elements."""
    if stages.encoding != "simple_packing" or stages.compression != "blosc2" or not sample.values.size:
        return False
    width = stages.params["sp_bits_per_value"]
    packed = -(-sample.values.size * width // 8)
    finite = np.where(np.isfinite(sample.values), sample.values, 0.0)
    return bool(packed % -(-width // 8)) and np.ptp(finite) == 0


def _same_values(sample: Sample, found: NDArray[Any]) -> bool:
    """All finite values bit for bit; NaN and Inf by kind, as masks keep them."""
    given = sample.native()
    if sample.dtype not in _FLOATS:
        return bits(given) == bits(found)
    as_numbers = given.astype(np.float32) if sample.dtype == "bfloat16" else given
    finite = np.isfinite(as_numbers)
    raw = [
        array.reshape(-1).view(np.uint8).reshape(max(array.size, 1), -1)
        if array.size
        else array.reshape(0, 0)
        for array in (given.reshape(-1), found.reshape(-1))
    ]
    keep = finite.reshape(-1)
    return bool(given.shape == found.shape and (not given.size or (raw[0][keep] == raw[1][keep]).all()))


def _is_refusal(one: Case, text: str) -> bool:
    """Cases that cannot be written, by either side: what the random values made of a scale."""
    return "sp_binary_scale_factor" in text or "beyond what float64" in text


def _ours(one: Case, style: Style) -> bytes:
    sink = MemorySink()
    writer = StreamWriter(sink, one.extra, style=style, stages=one.stages)
    for sample in one.samples:
        shape = sample.shape if sample.dtype == "bitmask" else None
        writer.write(sample.values, sample.entry or None, dtype=sample.dtype, shape=shape)
    writer.finish()
    return bytes(sink.data)


def _theirs(one: Case, decided: list[dict[str, Any]]) -> bytes:
    """Return the reference's message.

    It computes the parameters of packing itself, but not where there is NaN or Inf: it is told ours then.
    """
    stages = one.stages
    pairs = []
    for sample, params in zip(one.samples, decided, strict=True):
        params.pop("szip_block_offsets", None)
        if stages.encoding == "simple_packing" and np.isfinite(sample.values).all() and sample.values.size:
            del params["sp_reference_value"], params["sp_binary_scale_factor"]
        pairs.append(({**sample.descriptor(stages), **params}, sample.values.tobytes()))
    methods = stages.masks.methods
    metadata: dict[str, Any] = {"base": [dict(sample.entry) for sample in one.samples], "_extra_": one.extra}
    found: bytes = tensogram.encode(
        metadata,
        pairs,
        hash="xxh3" if one.style.hashing else None,
        allow_nan=stages.masks.allow_nan,
        allow_inf=stages.masks.allow_inf,
        nan_mask_method=methods.get("nan"),
        pos_inf_mask_method=methods.get("inf+"),
        neg_inf_mask_method=methods.get("inf-"),
        small_mask_threshold_bytes=stages.masks.small,
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000, help="0: without end")
    parser.add_argument("--first", type=int, default=0)
    chosen = parser.parse_args()
    seen: Counter[tuple[str, str]] = Counter()
    number = chosen.first
    while not chosen.cases or number < chosen.first + chosen.cases:
        one = case(number)
        try:
            found = check(one)
        except Exception:
            print(f"case {number}: {one.label} {dict(one.stages.params)}", file=sys.stderr)
            raise
        same = "identical" if found.identical else "equal" if found.comparable else "not compared"
        seen[one.label, same] += 1
        number += 1
    for (label, same), count in sorted(seen.items()):
        print(f"{label:40} {same:14} {count}")
    print(f"{number - chosen.first} cases, no difference")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
