"""THE table of stages: encodings, filters, compressions — those that run and those only known by name.

A new codec is one new file and its row here. Rows name a module that is imported when the codec
is met, so that nobody pays for a codec that is not used.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import NamedTuple

from ..errors import CodecUnavailable, PayloadError
from .base import Stage

ENCODING, FILTER, COMPRESSION = "encoding", "filter", "compression"


class Row(NamedTuple):
    """One name that may stand in a descriptor.

    Attributes:
        kind: ENCODING, FILTER or COMPRESSION.
        name: The name in the descriptor.
        module: Module of this package whose `STAGE` runs it; None when this version cannot.
        extra: Extra of the distribution that brings its package; None when nothing is missing.
    """

    kind: str
    name: str
    module: str | None = None
    extra: str | None = None


TABLE = (
    Row(ENCODING, "none", "none"),
    Row(ENCODING, "simple_packing", "simple_packing"),
    Row(FILTER, "none", "none"),
    Row(FILTER, "shuffle", "shuffle"),
    Row(COMPRESSION, "none", "none"),
    Row(COMPRESSION, "zstd", "zstd"),
    Row(COMPRESSION, "lz4", "lz4"),
    Row(COMPRESSION, "szip", "szip", extra="szip"),
    Row(COMPRESSION, "blosc2", "blosc2", extra="blosc2"),
    Row(COMPRESSION, "zfp", "zfp", extra="zfp"),
    Row(COMPRESSION, "sz3", "sz3", extra="sz3"),
    Row(COMPRESSION, "rle", "rle"),
    Row(COMPRESSION, "roaring", "roaring"),
)
_BY_NAME = {(row.kind, row.name): row for row in TABLE}


def names(kind: str, *, runnable: bool = False) -> tuple[str, ...]:
    """Return the names of a kind, in table order; only those this version runs if `runnable`."""
    return tuple(row.name for row in TABLE if row.kind == kind and (row.module or not runnable))


def is_known(kind: str, name: object) -> bool:
    """`name` may stand in a descriptor as `kind`."""
    return (kind, name) in _BY_NAME


@cache
def stage(kind: str, name: str) -> Stage:
    """Return what runs the stage `name`.

    Raises:
        CodecUnavailable: The name is known, but this installation or this version cannot run it.
        PayloadError: The format has no such name.
    """
    row = _BY_NAME.get((kind, name))
    if row is None:
        raise PayloadError(f"{kind} {name!r} does not exist, expected one of {', '.join(names(kind))}")
    if row.module is None:
        runs = ", ".join(names(kind, runnable=True))
        raise CodecUnavailable(
            f"{kind} {name!r} is known but not yet supported by this version of tgmtool (it runs: {runs}); "
            "scan, tail --raw and the frame's digest work without it",
            codec=name,
            extra=row.extra,
        )
    try:
        found: Stage = import_module(f".{row.module}", __name__).STAGE
    except ImportError as error:
        extra = f"pip install 'tgmtool[{row.extra}]'" if row.extra else f"pip install {error.name}"
        raise CodecUnavailable(
            f"{kind} {name!r} needs the package {error.name}: {extra}", codec=name, extra=row.extra
        ) from error
    return found
