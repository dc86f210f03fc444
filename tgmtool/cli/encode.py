"""`tgmtool encode`: produce a stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer

from .. import codecs
from ..codecs.dtypes import DTYPES
from ..codecs.masks import DEFAULT_METHOD, KINDS, METHODS, SMALL, Rules
from ..errors import EncodeError
from ..limits import Limits
from ..messages.metadata import Provenance
from ..operations.encode import Interruption, Production, produce
from ..operations.inputs import READERS, Block, read_metadata
from ..operations.keys import keys_of
from ..operations.outputs import COMMITS, FSYNCS, Output
from ..operations.prepare import Bound, Stages
from ..operations.records import json_text
from ..operations.writer import LAYOUTS, Style
from . import exits, options
from .console import Console
from .exits import Stopped, UsageError

_MASK_METHODS = [name for name, method in METHODS.items() if method.pack]


def _either(name: str) -> list[str]:
    """Return the environment variables for an option that the reference tool has too."""
    return [f"TGMTOOL_{name}", f"TENSOGRAM_{name}"]


@options.command
def command(
    console: Console,
    limits: Limits,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[INPUT…]", help="Files, or - (stdin, the default).")
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="OUT.tgm", help="Where to; - is stdout.")
    ] = None,
    from_: Annotated[
        str, typer.Option("--from", metavar="KIND", help=f"Input format: auto, {', '.join(READERS)}.")
    ] = "auto",
    dtype: Annotated[
        str | None, typer.Option("--dtype", metavar="D", help="dtype of raw blocks, as '<f4' or bfloat16.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option("--shape", metavar="N,…", help="Shape of one raw block, as 721,1440.")
    ] = None,
    split_axis: Annotated[
        int | None,
        typer.Option(
            "--split-axis", metavar="N", help="Every slice along this axis is an object of its own."
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group", metavar="N|all|file", help="Objects per message [1 on stdin, file for files]."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="STR", help="Name of the variable.")] = None,
    dims: Annotated[
        str | None, typer.Option("--dims", metavar="D,…", help="Names of the axes, as latitude,longitude.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "-s",
            "--set",
            metavar="K=V",
            help="Metadata of every object; K:=JSON for other than text and numbers; "
            "mars.step goes into mars; {i} in V is the object's number, from 0.",
        ),
    ] = None,
    extra: Annotated[
        list[str] | None, typer.Option("--extra", metavar="K=V", help="Metadata of every message.")
    ] = None,
    meta: Annotated[
        str | None,
        typer.Option(
            "--meta", metavar="FILE", help="Metadata: one JSON map for all objects, or one line for each."
        ),
    ] = None,
    variable: Annotated[
        str | None,
        typer.Option("--variable", metavar="V,…", help="Only these, of npz, csv, netcdf and zarr."),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            "--encoding",
            metavar="NAME",
            help=f"{', '.join(codecs.names(codecs.ENCODING))} [simple_packing if --bits or --error-bound "
            "needs it, else none].",
        ),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option("--bits", metavar="N", min=0, max=64, help="Bits per value of simple_packing."),
    ] = None,
    error_bound: Annotated[
        str | None,
        typer.Option(
            "--error-bound",
            metavar="E",
            help="Largest error of a value, absolute (0.01) or a share of each object's range (0.1%): "
            "simple_packing takes the fewest bits that keep it, zfp and sz3 their tolerance.",
        ),
    ] = None,
    convert: Annotated[
        str | None,
        typer.Option(
            "--convert", metavar="D", help="Convert values first; packing, zfp and sz3 take float64 alone."
        ),
    ] = None,
    filter: Annotated[  # noqa: A002  # the format's own word
        str, typer.Option("--filter", metavar="NAME", help=f"{', '.join(codecs.names(codecs.FILTER))}.")
    ] = "none",
    compression: Annotated[
        str,
        typer.Option(
            "--compression",
            metavar="NAME",
            help=f"{', '.join(codecs.names(codecs.COMPRESSION))}.",
        ),
    ] = "none",
    compression_level: Annotated[
        int | None,
        typer.Option("--compression-level", metavar="N", help="Level of the compression [its default]."),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", metavar="K=V", help="Parameter of a stage, as zfp_mode=fixed_rate or szip_rsi=128."
        ),
    ] = None,
    allow_nan: Annotated[
        bool,
        typer.Option(
            "--allow-nan", envvar=_either("ALLOW_NAN"), help="Write NaN, as a mask beside the payload."
        ),
    ] = False,
    allow_inf: Annotated[
        bool,
        typer.Option(
            "--allow-inf", envvar=_either("ALLOW_INF"), help="Write Inf and -Inf, as masks likewise."
        ),
    ] = False,
    nan_mask_method: Annotated[
        str | None,
        typer.Option(
            "--nan-mask-method",
            metavar="NAME",
            envvar=_either("NAN_MASK_METHOD"),
            help=f"Method of the NaN mask: {', '.join(_MASK_METHODS)} [{DEFAULT_METHOD}].",
        ),
    ] = None,
    pos_inf_mask_method: Annotated[
        str | None,
        typer.Option(
            "--pos-inf-mask-method",
            metavar="NAME",
            envvar=_either("POS_INF_MASK_METHOD"),
            help="Method of the Inf mask.",
        ),
    ] = None,
    neg_inf_mask_method: Annotated[
        str | None,
        typer.Option(
            "--neg-inf-mask-method",
            metavar="NAME",
            envvar=_either("NEG_INF_MASK_METHOD"),
            help="Method of the -Inf mask.",
        ),
    ] = None,
    small_mask_threshold: Annotated[
        int,
        typer.Option(
            "--small-mask-threshold",
            metavar="BYTES",
            min=0,
            envvar=_either("SMALL_MASK_THRESHOLD"),
            help="Masks of so many packed bytes or fewer are stored raw.",
        ),
    ] = SMALL,
    pre_encoded: Annotated[
        bool,
        typer.Option(
            "--pre-encoded",
            help="Payloads are taken as they are: CCSDS packing of GRIB, or with --descriptor every input.",
        ),
    ] = False,
    descriptor: Annotated[
        str | None,
        typer.Option(
            "--descriptor",
            metavar="FILE",
            help="With --pre-encoded: what the inputs are, one JSON map for all or one line for each.",
        ),
    ] = None,
    hash_: Annotated[bool, typer.Option("--hash/--no-hash", help="Digest of every frame [on].")] = True,
    layout: Annotated[
        str,
        typer.Option(
            "--layout",
            metavar="HOW",
            help="auto, buffered (header index) or streaming (each object leaves as it comes).",
        ),
    ] = "auto",
    preceder: Annotated[
        bool | None,
        typer.Option(
            "--preceder/--no-preceder",
            help="Metadata right before each object [in streaming layout, if there is any].",
        ),
    ] = None,
    no_backfill: Annotated[
        bool, typer.Option("--no-backfill", help="Leave the lengths of streaming messages 0.")
    ] = False,
    append: Annotated[bool, typer.Option("--append", help="Continue OUT.")] = False,
    repair_tail: Annotated[
        bool, typer.Option("--repair-tail", help="With --append: finish an unfinished message first.")
    ] = False,
    commit: Annotated[
        str | None,
        typer.Option(
            "--commit",
            metavar="HOW",
            help="inplace (can be followed), rename (appears whole) or sentinel (OUT.done at the end) "
            "[inplace for stdin and --pace, else rename].",
        ),
    ] = None,
    fsync: Annotated[
        str, typer.Option("--fsync", metavar="WHEN", help=f"{', '.join(FSYNCS)}: when to make it durable.")
    ] = "close",
    reproducible: Annotated[
        bool, typer.Option("--reproducible", help="Fixed time (SOURCE_DATE_EPOCH, else 0) and uuid.")
    ] = False,
    pace: Annotated[
        str | None,
        typer.Option("--pace", metavar="DUR", help="Wait between objects, to rehearse a live run."),
    ] = None,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Replace OUT; write bytes to a terminal.")
    ] = False,
    jobs: Annotated[int, typer.Option("-J", "--jobs", metavar="N", min=1, help="Threads of a codec.")] = 1,
    as_json: Annotated[
        bool, typer.Option("-j", "--json", help="One JSON line per written message: offset, length, objects.")
    ] = False,
) -> None:
    """Write arrays as a stream of messages.

    Every object is written in one go as soon as it is there, so that others can follow the file.
    """
    if output is None:
        raise UsageError("encode needs -o OUT.tgm (or -o - for stdout)")
    if output == "-" and console.is_terminal and not force:
        raise UsageError("stdout is a terminal; name a file with -o, or insist with --force")
    if output == "-" and as_json:
        raise UsageError("-j and -o - both write to stdout; choose one")
    for option, value, known in (
        ("--layout", layout, LAYOUTS),
        ("--commit", commit, (None, *COMMITS)),
        ("--fsync", fsync, FSYNCS),
        ("--from", from_, ("auto", *READERS)),
        (
            "--convert",
            convert,
            (None, *(row.name for row in DTYPES if row.name not in {"bitmask", "bfloat16"})),
        ),
        ("--encoding", encoding, (None, *codecs.names(codecs.ENCODING))),
        ("--filter", filter, codecs.names(codecs.FILTER)),
        ("--compression", compression, codecs.names(codecs.COMPRESSION)),
    ):
        if value not in known:
            expected = ", ".join(name for name in known if name)
            raise UsageError(f"{option} {value!r} does not exist, expected one of {expected}")
    if repair_tail and not append:
        raise UsageError("--repair-tail belongs to --append")
    if append and commit == "rename":
        raise UsageError("--append continues OUT in place: it cannot be combined with --commit rename")
    if descriptor is not None and not pre_encoded:
        raise UsageError("--descriptor belongs to --pre-encoded")
    bound = _bound(error_bound)
    if encoding is None:
        packs = bits is not None or (bound is not None and compression not in {"zfp", "sz3"})
        encoding = "simple_packing" if packs else "none"
    plan = Production(
        kind=from_,
        block=_block(from_, dtype, shape),
        variables=tuple(variable.split(",")) if variable else None,
        encoded=pre_encoded,
        descriptors=read_metadata(descriptor) if descriptor else None,
        convert=convert,
        split_axis=split_axis,
        group=_group(group),
        entry=_entry(set_ or [], name, dims),
        metas=_metas(meta),
        extra=options.nested([options.setting(text) for text in extra or []]),
        stages=Stages(
            encoding,
            filter,
            compression,
            _params(param or [], encoding, bits, compression, compression_level),
            jobs,
            _rules(
                allow_nan,
                allow_inf,
                (nan_mask_method, pos_inf_mask_method, neg_inf_mask_method),
                small_mask_threshold,
            ),
            bound,
        ),
        style=Style(
            layout,
            hash_,
            preceder,
            not no_backfill,
            Provenance.reproducible() if reproducible else Provenance(),
        ),
        pace=options.duration(pace) if pace else 0.0,
        limits=limits,
    )
    target = Output(output, commit, append, repair_tail, force, fsync)
    _run(console, inputs or ["-"], target, plan, as_json=as_json)


def _run(console: Console, inputs: list[str], target: Output, plan: Production, *, as_json: bool) -> None:
    interruption = Interruption()
    exits.on_signals(interruption.request)
    try:
        for span in produce(inputs, target, plan, interruption=interruption, report=console.note):
            if as_json:
                record = keys_of(span, file=target.path).record()
                console.line(json_text(record))
            elif console.verbose:
                console.note(
                    f"{target.path}: message {span.number}: {span.objects} objects, {span.length} bytes"
                )
    except Stopped as stopped:
        console.error(f"stopped by {stopped}; {target.path} ends after the last whole object")
        raise typer.Exit(stopped.status) from None


def _block(kind: str, dtype: str | None, shape: str | None) -> Block | None:
    if dtype is None and shape is None:
        if kind == "raw":
            raise UsageError("--from raw needs --dtype and --shape")
        return None
    if dtype is None or shape is None:
        raise UsageError("--dtype and --shape belong together")
    try:
        lengths = tuple(int(part) for part in shape.split(",") if part)
    except ValueError:
        raise UsageError(f"--shape {shape!r}: expected numbers joined by commas, as 721,1440") from None
    return Block(dtype, lengths)


def _group(text: str | None) -> int | str | None:
    if text is None or text in {"all", "file"}:
        return text
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--group {text!r}: expected a positive number, all or file")
    return int(text)


def _params(
    given: list[str], encoding: str, bits: int | None, compression: str, level: int | None
) -> dict[str, Any]:
    params = dict(options.setting(text) for text in given)
    if bits is not None:
        if encoding != "simple_packing":
            raise UsageError(f"--bits belongs to --encoding simple_packing, not to {encoding}")
        params["sp_bits_per_value"] = bits
    if level is not None:
        key = codecs.stage(codecs.COMPRESSION, compression).level
        if key is None:
            raise UsageError(f"--compression-level: compression {compression!r} has no level")
        params[key] = level
    return params


def _bound(text: str | None) -> Bound | None:
    if text is None:
        return None
    number, share = (text[:-1], True) if text.endswith("%") else (text, False)
    try:
        value = float(number) / (100 if share else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise UsageError(
            f"--error-bound {text!r}: expected a number as 0.01, or a share of the range as 0.1%"
        )
    return Bound(value, share)


def _rules(allow_nan: bool, allow_inf: bool, methods: tuple[str | None, ...], small: int) -> Rules:
    chosen = {kind: method for kind, method in zip(KINDS, methods, strict=True) if method}
    rules = Rules(allow_nan, allow_inf, chosen, small)
    try:
        rules.check()
    except EncodeError as error:
        raise UsageError(str(error)) from None
    return rules


def _entry(settings: list[str], name: str | None, dims: str | None) -> Callable[[int], Mapping[str, Any]]:
    fixed: dict[str, Any] = {}
    if name is not None:
        fixed["name"] = name
    if dims is not None:
        fixed["dim_names"] = dims.split(",")
    numbered = any("{i}" in text for text in settings)
    whole = {**fixed, **options.nested([options.setting(text) for text in settings])} if not numbered else {}

    def entry(number: int) -> Mapping[str, Any]:
        if not numbered:
            return whole
        filled = [options.setting(text.replace("{i}", str(number))) for text in settings]
        return {**fixed, **options.nested(filled)}

    return entry


def _metas(place: str | None) -> Iterator[Mapping[str, Any]] | None:
    return None if place is None else read_metadata(place)
