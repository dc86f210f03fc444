"""Which of our messages are the reference's byte for byte: a table of every dtype and stage.

    python -m tests.conformance.identity            writes identity.md beside this file
    python -m tests.conformance.identity --print    only shows it

Whole buffered messages are compared, with time, uuid and encoder copied from the reference's.
"""

from __future__ import annotations

import argparse
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensogram
import zstandard

import tgmtool
from tests.conformance.oracle import Sample, bits, same_provenance, sample_of, written_by_us
from tgmtool import EncodeError, Style
from tgmtool.codecs.dtypes import BY_NAME, DTYPES
from tgmtool.codecs.masks import KINDS, METHODS, Rules
from tgmtool.operations.prepare import Stages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FILE = Path(__file__).parent / "identity.md"
SAME, EQUAL, REFUSED, NO_SUCH = "same", "equal", "refused", "-"
_SHAPE = (3, 400)
_BLOSC2 = ("blosc2", "blosclz", "lz4", "lz4hc", "zlib", "zstd")
_PACKAGES = ("tensogram", "blosc2", "lz4", "zfpy", "eccodeslib")


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        name: What it is called.
        stages: Ours; the reference is told the same by descriptors.
        holes: The values have NaN and Inf, and thus masks.
    """

    name: str
    stages: Stages
    holes: bool = False


def rows() -> Iterator[Row]:
    """Yield the lines of the table."""
    yield Row("none", Stages())
    yield Row("shuffle", Stages(filter="shuffle"))
    for name in ("zstd", "lz4"):
        yield Row(name, Stages(compression=name))
    yield Row("shuffle + zstd", Stages(filter="shuffle", compression="zstd"))
    for name in _BLOSC2[1:]:
        yield Row(f"blosc2 ({name})", Stages(compression="blosc2", params={"blosc2_codec": name}))
    yield Row("shuffle + blosc2", Stages(filter="shuffle", compression="blosc2"))
    yield Row("szip", Stages(compression="szip"))
    yield Row("shuffle + szip", Stages(filter="shuffle", compression="szip"))
    for key, value in (("zfp_rate", 12.0), ("zfp_precision", 20), ("zfp_tolerance", 0.01)):
        yield Row(f"zfp ({key[4:]})", Stages(compression="zfp", params={key: value}))
    yield Row("sz3", Stages(compression="sz3", params={"sz3_error_bound": 0.01}))
    for name in ("rle", "roaring"):
        yield Row(name, Stages(compression=name))
    for width in (8, 12, 16, 24):
        for name in ("none", "szip", "zstd"):
            label = f"packing {width} bits" + ("" if name == "none" else f" + {name}")
            yield Row(label, Stages("simple_packing", "none", name, {"sp_bits_per_value": width}))
    for name in METHODS:
        masks = Rules(True, True, dict.fromkeys(KINDS, name), 0)
        yield Row(f"masks ({name})", Stages(masks=masks), holes=True)


def _values(row: Row, dtype: str) -> Sample:
    """Smooth values where they are numbers, so that every codec has something to do."""
    if dtype == "bitmask":
        return sample_of(dtype, _SHAPE, 1)
    count = _SHAPE[0] * _SHAPE[1]
    smooth = 90 + np.cumsum(np.random.default_rng(1).integers(-100, 101, count)) / 4096
    values: NDArray[Any] = smooth.astype(sample_of(dtype, (1,), 1).values.dtype)
    if row.holes:
        values[3:9], values[700:800], values[1100] = np.nan, np.inf, -np.inf
    return Sample(dtype, values.reshape(_SHAPE), _SHAPE)


def cell(row: Row, dtype: str) -> str:
    """Return what is so of one dtype with one stage."""
    if row.holes and not BY_NAME[dtype].is_float:
        return NO_SUCH
    sample = _values(row, dtype)
    try:
        first = written_by_us([sample], Style(layout="buffered"), row.stages)
    except EncodeError:
        return REFUSED
    theirs = _theirs(row.stages, sample, tgmtool.decode(first).objects[0].descriptor.pipeline.params)
    provenance = same_provenance(tgmtool.decode(theirs).metadata.reserved)
    ours = written_by_us([sample], Style(layout="buffered", provenance=provenance), row.stages)
    if ours == theirs:
        return SAME
    mine = tgmtool.decode(ours).objects[0].array
    by_reference = tensogram.decode(ours, verify_hash=True).objects[0][1]
    assert bits(mine) == bits(by_reference), (row.name, dtype)
    assert row.stages.compression == "sz3" or bits(mine) == bits(tensogram.decode(theirs).objects[0][1])
    return EQUAL


def _theirs(stages: Stages, sample: Sample, decided: Any) -> bytes:
    """Return the reference's message; what it computes itself it is not told."""
    told = {key: value for key, value in decided.items() if key != "szip_block_offsets"}
    if stages.encoding == "simple_packing":
        del told["sp_reference_value"], told["sp_binary_scale_factor"]
    found: bytes = tensogram.encode(
        {},
        [({**sample.descriptor(stages), **told}, sample.values.tobytes())],
        allow_nan=stages.masks.allow_nan,
        allow_inf=stages.masks.allow_inf,
        nan_mask_method=stages.masks.methods.get("nan"),
        pos_inf_mask_method=stages.masks.methods.get("inf+"),
        neg_inf_mask_method=stages.masks.methods.get("inf-"),
        small_mask_threshold_bytes=stages.masks.small,
    )
    return found


def versions() -> str:
    """Return what the bytes depend on, in one line."""
    found = [f"libzstd {'.'.join(map(str, zstandard.ZSTD_VERSION))}"]
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)


def table() -> str:
    """Return the table as Markdown."""
    names = [dtype.name for dtype in DTYPES]
    lines = [
        "# Byte identity with the reference",
        "",
        f"Made with: {versions()}",
        "",
        f"Whole buffered messages, time and uuid copied. `{SAME}`: every byte. `{EQUAL}`: other bytes, which",
        f"the reference decodes to the same values (sz3: within the bound). `{REFUSED}`: not written; the",
        f"format, or the reference, cannot read it. `{NO_SUCH}`: the dtype has no such values.",
        "Written by `python -m tests.conformance.identity`.",
        "",
        f"| stage | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    lines += [f"| {row.name} | {' | '.join(cell(row, name) for name in names)} |" for row in rows()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the table of byte identity.")
    parser.add_argument("--print", action="store_true", help="show it instead of writing the file")
    if parser.parse_args().print:
        print(table(), end="")
    else:
        FILE.write_text(table())


if __name__ == "__main__":
    main()
