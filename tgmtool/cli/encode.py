"""`tgmtool encode`: produce a stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import typer

from .. import codecs
from ..codecs.dtypes import DTYPES
from ..codecs.masks import KINDS, SMALL, Rules
from ..errors import EncodeError
from ..limits import Limits
from ..messages.metadata import Provenance
from ..operations.credit import PATIENCE
from ..operations.encode import Interruption, Production, produce
from ..operations.inputs import READERS, Block, read_metadata
from ..operations.keys import keys_of
from ..operations.outputs import COMMITS, FSYNCS, Output, check
from ..operations.prepare import Bound, Stages
from ..operations.records import json_text
from ..operations.writer import LAYOUTS, Style
from . import encode_options as words
from . import exits, options
from .console import Console
from .encode_stream import handover_of, stream_of
from .exits import Stopped, UsageError


@options.command
def command(
    console: Console,
    limits: Limits,
    inputs: words.Inputs = None,
    output: words.Output = None,
    from_: words.From = "auto",
    dtype: words.Dtype = None,
    shape: words.Shape = None,
    split_axis: words.SplitAxis = None,
    group: words.Group = None,
    name: words.Name = None,
    dims: words.Dims = None,
    set_: words.Set = None,
    extra: words.Extra = None,
    meta: words.Meta = None,
    variable: words.Variable = None,
    encoding: words.Encoding = None,
    bits: words.Bits = None,
    error_bound: words.ErrorBound = None,
    convert: words.Convert = None,
    filter: words.Filter = "none",  # noqa: A002  # the format's own word
    compression: words.Compression = "none",
    compression_level: words.CompressionLevel = None,
    param: words.Param = None,
    allow_nan: words.AllowNan = False,
    allow_inf: words.AllowInf = False,
    nan_mask_method: words.NanMaskMethod = None,
    pos_inf_mask_method: words.PosInfMaskMethod = None,
    neg_inf_mask_method: words.NegInfMaskMethod = None,
    small_mask_threshold: words.SmallMaskThreshold = SMALL,
    pre_encoded: words.PreEncoded = False,
    descriptor: words.Descriptor = None,
    hash_: words.Hash = True,
    layout: words.Layout = "auto",
    preceder: words.Preceder = None,
    no_backfill: words.NoBackfill = False,
    append: words.Append = False,
    repair_tail: words.RepairTail = False,
    commit: words.Commit = None,
    fsync: words.Fsync = "close",
    reproducible: words.Reproducible = False,
    pace: words.Pace = None,
    id_: words.Id = None,
    chan: words.Chan = None,
    sender: words.Sender = None,
    end: words.End = "auto",
    mode: words.Mode = None,
    in_reply_to: words.InReplyTo = None,
    note: words.Note = None,
    error: words.Error = None,
    code: words.Code = None,
    max_messages: words.MaxMessages = None,
    max_bytes: words.MaxBytes = None,
    rotate: words.Rotate = False,
    ack: words.Ack = None,
    window: words.Window = None,
    backpressure_timeout: words.BackpressureTimeout = f"{PATIENCE:g}s",
    wait_ack: words.WaitAck = False,
    force: words.Force = False,
    jobs: words.Jobs = 1,
    as_json: words.AsJson = False,
) -> None:
    """Write arrays as a stream of messages.

    Every object is written in one go as soon as it is there, so that others can follow the file.

    With any option of the stream (--id to --code, --rotate, --ack) the messages are numbered, and the
    stream ends with a marker, or, after a failure or SIGTERM, with an error marker: whoever follows it
    knows when it is over, and how. With --append the numbers go on.
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
    if end == "inline" and layout == "streaming":
        raise UsageError("--end inline needs a header that leaves last, not --layout streaming")
    if window is not None and commit == "rename":
        raise UsageError("--window needs a file that can be followed, not --commit rename")
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
        stream=stream_of(
            id=id_,
            chan=chan,
            sender=sender,
            end=end,
            mode=mode,
            in_reply_to=in_reply_to,
            note=note,
            error=error,
            code=code,
        ),
        handover=handover_of(ack, window, backpressure_timeout, wait=wait_ack),
    )
    most = options.size(max_bytes) if max_bytes else None
    target = Output(output, commit, append, repair_tail, force, fsync, max_messages, most, rotate)
    try:
        check(target)
    except EncodeError as wrong:
        raise UsageError(str(wrong)) from None
    says_all = note is not None or error is not None  # without inputs there is nothing to wait for on stdin
    _run(console, inputs or ([] if says_all else ["-"]), target, plan, as_json=as_json)


def _run(console: Console, inputs: list[str], target: Output, plan: Production, *, as_json: bool) -> None:
    interruption = Interruption()
    exits.on_signals(interruption.request)
    paths = [target.path]  # those that continue it too
    try:
        for span in produce(
            inputs,
            target,
            plan,
            interruption=interruption,
            report=console.note,
            status=_status,
            begin=paths.append,
        ):
            path = paths[-1]
            if as_json:
                console.line(json_text(keys_of(span, file=path).record()))
            elif console.verbose:
                console.note(f"{path}: message {span.number}: {span.objects} objects, {span.length} bytes")
    except Stopped as stopped:
        console.error(f"stopped by {stopped}; {paths[-1]} ends after the last whole object")
        raise typer.Exit(stopped.status) from None


def _status(error: BaseException) -> int:
    return error.status if isinstance(error, Stopped) else exits.status_of(error)


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
