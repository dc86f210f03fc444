"""The options of `encode`: spelled and explained; what they do stands in `encode`.

It is separate because there are many of them, and a list reads best on a page of its own.
"""

from __future__ import annotations

from typing import Annotated

import typer

from .. import codecs
from ..codecs.masks import DEFAULT_METHOD, METHODS
from ..operations.inputs import READERS
from ..operations.numbering import RANK
from ..operations.outputs import FSYNCS

_MASK_METHODS = [name for name, method in METHODS.items() if method.pack]


def _either(name: str) -> list[str]:
    """Return the environment variables for an option that the reference tool has too."""
    return [f"TGMTOOL_{name}", f"TENSOGRAM_{name}"]


Inputs = Annotated[
    list[str] | None, typer.Argument(metavar="[INPUT…]", help="Files, or - (stdin, the default).")
]
Output = Annotated[
    str | None, typer.Option("-o", "--output", metavar="OUT.tgm", help="Where to; - is stdout.")
]
From = Annotated[
    str, typer.Option("--from", metavar="KIND", help=f"Input format: auto, {', '.join(READERS)}.")
]
Dtype = Annotated[
    str | None, typer.Option("--dtype", metavar="D", help="dtype of raw blocks, as '<f4' or bfloat16.")
]
Shape = Annotated[
    str | None, typer.Option("--shape", metavar="N,…", help="Shape of one raw block, as 721,1440.")
]
SplitAxis = Annotated[
    int | None,
    typer.Option("--split-axis", metavar="N", help="Every slice along this axis is an object of its own."),
]
Group = Annotated[
    str | None,
    typer.Option("--group", metavar="N|all|file", help="Objects per message [1 on stdin, file for files]."),
]
Name = Annotated[str | None, typer.Option("--name", metavar="STR", help="Name of the variable.")]
Dims = Annotated[
    str | None, typer.Option("--dims", metavar="D,…", help="Names of the axes, as latitude,longitude.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "-s",
        "--set",
        metavar="K=V",
        help="Metadata of every object; K:=JSON for other than text and numbers; "
        "mars.step goes into mars; {i} in V is the object's number, from 0.",
    ),
]
Extra = Annotated[list[str] | None, typer.Option("--extra", metavar="K=V", help="Metadata of every message.")]
Meta = Annotated[
    str | None,
    typer.Option(
        "--meta", metavar="FILE", help="Metadata: one JSON map for all objects, or one line for each."
    ),
]
Variable = Annotated[
    str | None,
    typer.Option("--variable", metavar="V,…", help="Only these, of npz, csv, netcdf and zarr."),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help=f"{', '.join(codecs.names(codecs.ENCODING))} [simple_packing if --bits or --error-bound "
        "needs it, else none].",
    ),
]
Bits = Annotated[
    int | None,
    typer.Option("--bits", metavar="N", min=0, max=64, help="Bits per value of simple_packing."),
]
ErrorBound = Annotated[
    str | None,
    typer.Option(
        "--error-bound",
        metavar="E",
        help="Largest error of a value, absolute (0.01) or a share of each object's range (0.1%): "
        "simple_packing takes the fewest bits that keep it, zfp and sz3 their tolerance.",
    ),
]
Convert = Annotated[
    str | None,
    typer.Option(
        "--convert", metavar="D", help="Convert values first; packing, zfp and sz3 take float64 alone."
    ),
]
Filter = Annotated[
    str, typer.Option("--filter", metavar="NAME", help=f"{', '.join(codecs.names(codecs.FILTER))}.")
]
Compression = Annotated[
    str,
    typer.Option(
        "--compression",
        metavar="NAME",
        help=f"{', '.join(codecs.names(codecs.COMPRESSION))}.",
    ),
]
CompressionLevel = Annotated[
    int | None,
    typer.Option("--compression-level", metavar="N", help="Level of the compression [its default]."),
]
Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param", metavar="K=V", help="Parameter of a stage, as zfp_mode=fixed_rate or szip_rsi=128."
    ),
]
AllowNan = Annotated[
    bool,
    typer.Option("--allow-nan", envvar=_either("ALLOW_NAN"), help="Write NaN, as a mask beside the payload."),
]
AllowInf = Annotated[
    bool,
    typer.Option("--allow-inf", envvar=_either("ALLOW_INF"), help="Write Inf and -Inf, as masks likewise."),
]
NanMaskMethod = Annotated[
    str | None,
    typer.Option(
        "--nan-mask-method",
        metavar="NAME",
        envvar=_either("NAN_MASK_METHOD"),
        help=f"Method of the NaN mask: {', '.join(_MASK_METHODS)} [{DEFAULT_METHOD}].",
    ),
]
PosInfMaskMethod = Annotated[
    str | None,
    typer.Option(
        "--pos-inf-mask-method",
        metavar="NAME",
        envvar=_either("POS_INF_MASK_METHOD"),
        help="Method of the Inf mask.",
    ),
]
NegInfMaskMethod = Annotated[
    str | None,
    typer.Option(
        "--neg-inf-mask-method",
        metavar="NAME",
        envvar=_either("NEG_INF_MASK_METHOD"),
        help="Method of the -Inf mask.",
    ),
]
SmallMaskThreshold = Annotated[
    int,
    typer.Option(
        "--small-mask-threshold",
        metavar="BYTES",
        min=0,
        envvar=_either("SMALL_MASK_THRESHOLD"),
        help="Masks of so many packed bytes or fewer are stored raw.",
    ),
]
PreEncoded = Annotated[
    bool,
    typer.Option(
        "--pre-encoded",
        help="Payloads are taken as they are: CCSDS packing of GRIB, or with --descriptor every input.",
    ),
]
Descriptor = Annotated[
    str | None,
    typer.Option(
        "--descriptor",
        metavar="FILE",
        help="With --pre-encoded: what the inputs are, one JSON map for all or one line for each.",
    ),
]
Hash = Annotated[bool, typer.Option("--hash/--no-hash", help="Digest of every frame [on].")]
Layout = Annotated[
    str,
    typer.Option(
        "--layout",
        metavar="HOW",
        help="auto, buffered (header index) or streaming (each object leaves as it comes).",
    ),
]
Preceder = Annotated[
    bool | None,
    typer.Option(
        "--preceder/--no-preceder",
        help="Metadata right before each object [in streaming layout, if there is any].",
    ),
]
NoBackfill = Annotated[bool, typer.Option("--no-backfill", help="Leave the lengths of streaming messages 0.")]
Append = Annotated[bool, typer.Option("--append", help="Continue OUT.")]
RepairTail = Annotated[
    bool, typer.Option("--repair-tail", help="With --append: finish an unfinished message first.")
]
Commit = Annotated[
    str | None,
    typer.Option(
        "--commit",
        metavar="HOW",
        help="inplace (can be followed), rename (appears whole) or sentinel (OUT.done at the end) "
        "[inplace for stdin and --pace, else rename].",
    ),
]
Fsync = Annotated[
    str, typer.Option("--fsync", metavar="WHEN", help=f"{', '.join(FSYNCS)}: when to make it durable.")
]
Reproducible = Annotated[
    bool, typer.Option("--reproducible", help="Fixed time (SOURCE_DATE_EPOCH, else 0) and uuid.")
]
Pace = Annotated[
    str | None,
    typer.Option("--pace", metavar="DUR", help="Wait between objects, to rehearse a live run."),
]
Force = Annotated[bool, typer.Option("-f", "--force", help="Replace OUT; write bytes to a terminal.")]
Jobs = Annotated[int, typer.Option("-J", "--jobs", metavar="N", min=1, help="Threads of a codec.")]
AsJson = Annotated[
    bool, typer.Option("-j", "--json", help="One JSON line per written message: offset, length, objects.")
]

# ---- the stream: who sends, how it ends, how far ahead of its consumer it may run

Id = Annotated[
    str | None,
    typer.Option(
        "--id",
        metavar="TEXT",
        envvar="TGMTOOL_ID",
        help="Number the messages, as this run [with --append that of OUT, else a random one].",
    ),
]
Chan = Annotated[
    str | None,
    typer.Option("--chan", metavar="TEXT", envvar="TGMTOOL_CHAN", help="Their channel [main]."),
]
Sender = Annotated[
    str | None,
    typer.Option(
        "--sender", metavar="TEXT", envvar="TGMTOOL_SENDER", help=f"Their producer [${RANK} if set, else 0]."
    ),
]
End = Annotated[
    str,
    typer.Option(
        "--end",
        metavar="HOW",
        envvar="TGMTOOL_END",
        help="How the stream ends: marker (a message without objects: count, bytes, digest), inline (the "
        "last data message says so; each waits for the next), none, or auto: a marker where the messages are "
        "numbered, and they are where OUT grows in place from a pipe or with --pace (not with "
        "--reproducible), where it is continued and numbered, or with any option of the stream.",
    ),
]
Mode = Annotated[
    str | None,
    typer.Option("--mode", metavar="M", help="append, or replace: each message supersedes the last."),
]
InReplyTo = Annotated[
    str | None,
    typer.Option(
        "--in-reply-to", metavar="[SENDER:]SEQ", help="The message of the same run that is answered."
    ),
]
Note = Annotated[
    str | None,
    typer.Option(
        "--note",
        metavar="TEXT",
        help="A message that says this, before the data; without INPUT nothing else.",
    ),
]
Error = Annotated[
    str | None,
    typer.Option(
        "--error", metavar="TEXT", help="End with an error marker; without INPUT write nothing else."
    ),
]
Code = Annotated[
    str | None, typer.Option("--code", metavar="TOKEN", help="With --error: a token for programs.")
]
MaxMessages = Annotated[
    int | None,
    typer.Option(
        "--max-messages", metavar="N", min=1, help="Stop after N messages; with --rotate, in each file."
    ),
]
MaxBytes = Annotated[
    str | None,
    typer.Option(
        "--max-bytes", metavar="SIZE", help="Likewise, after the message with which OUT reaches SIZE."
    ),
]
Rotate = Annotated[
    bool,
    typer.Option(
        "--rotate", help="Go on in run.1.tgm, run.2.tgm, …: the end of each file names the next one."
    ),
]
Ack = Annotated[
    str | None,
    typer.Option("--ack", metavar="FILE", help="Where the consumer acknowledges (tail --ack)."),
]
Window = Annotated[
    str | None,
    typer.Option(
        "--window",
        metavar="SIZE",
        help="With --ack: never be further ahead of the last acknowledgment; one larger message passes "
        "when nothing else is in flight.",
    ),
]
BackpressureTimeout = Annotated[
    str,
    typer.Option(
        "--backpressure-timeout",
        metavar="DUR",
        envvar="TGMTOOL_BACKPRESSURE_TIMEOUT",
        help="Give up (124) when nothing new was acknowledged for so long; 0: never.",
    ),
]
WaitAck = Annotated[bool, typer.Option("--wait-ack", help="With --ack: return when the end is acknowledged.")]
