"""`tgmtool cat-remote`: take one field out of a remote object, for the bytes of that field."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ..endpoints import STDIO, is_remote
from ..endpoints.access import Access
from ..endpoints.base import Sink
from ..endpoints.local import FileSink
from ..endpoints.stdio import stdout_sink
from ..limits import Limits
from ..operations.arrays import FORMATS
from ..operations.stored import OutsideRange
from ..operations.wanted import Wanted, can_follow, parse_messages, parse_ranges
from . import exits, options
from .console import Console
from .exits import Stopped, UsageError
from .render import Listing
from .taking import How, Taking


@options.command
def command(
    console: Console,
    limits: Limits,
    access: Access,
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="URL|FILE…",
            help="URLs (s3, http, https, what fsspec knows) and files; #m=3&o=1 names an object.",
        ),
    ],
    where_: options.Where = None,
    message: Annotated[
        str | None,
        typer.Option("--message", metavar="I|I:J", help="Message number or range; -1 is the last."),
    ] = None,
    object_: Annotated[
        str | None,
        typer.Option("--object", metavar="I|NAME", help="Number in its message, or name."),
    ] = None,
    range_: Annotated[
        str | None,
        typer.Option(
            "--range", metavar="A:B,…", help="Only these elements of each object, in C order, from A up to B."
        ),
    ] = None,
    offset: Annotated[
        str | None, typer.Option("--offset", metavar="N", help="Raw bytes from here on, whatever they are.")
    ] = None,
    length: Annotated[
        str | None, typer.Option("--length", metavar="N", help="So many raw bytes [to the end].")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List what would be taken; read no payload.")] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="List the ranges that would be read; read no payload.")
    ] = False,
    as_: Annotated[
        str | None,
        typer.Option("--as", metavar="FMT", help=f"{', '.join(FORMATS)} [by the suffix of OUT, else list]."),
    ] = None,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="OUT", help="Where to; appears whole [- is stdout].")
    ] = STDIO,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Replace OUT; write bytes to a terminal.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Check the digest of whole objects [on].")
    ] = True,
    restore: Annotated[
        bool, typer.Option("--restore/--no-restore", help="Put NaN and Inf back where masks say [on].")
    ] = True,
    index: Annotated[
        str | None,
        typer.Option(
            "--index",
            metavar="URL|auto",
            help="Find what -w means by an index (scan --format index); auto: the URL with .index behind it.",
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for more: an object that grows or is replaced.")
    ] = False,
    sleep: Annotated[
        str, typer.Option("-s", "--sleep", metavar="DUR", help="With --follow: look so often.")
    ] = "1s",
    reconnect_timeout: options.ReconnectTimeout = "30s",
    progress: Annotated[
        str,
        typer.Option(
            "--progress", metavar="WHEN", help="How far it has come: auto (a terminal), always, never."
        ),
    ] = "auto",
    jobs: Annotated[int, typer.Option("-J", "--jobs", metavar="N", min=1, help="Threads of a codec.")] = 1,
    stats: Annotated[
        bool, typer.Option("--stats", help="Say on stderr how many bytes and requests it took.")
    ] = False,
    max_bytes: Annotated[
        str,
        typer.Option(
            "--max-bytes", metavar="SIZE", envvar="TGMTOOL_MAX_BYTES", help="Read no more of a URL [100M]."
        ),
    ] = "100M",
    allow_full_read: Annotated[
        bool,
        typer.Option("--allow-full-read", help="Take all of it from a server that knows no ranges."),
    ] = False,
    keys: options.KeyList = None,
    add_keys: options.AddKeys = None,
    mars: options.Mars = False,
    namespace: options.Namespace = None,
    format: options.Format = None,  # noqa: A002  # the option's own name
    as_json: options.AsJson = False,
) -> None:
    """Take objects, or parts of them, out of remote objects and files; read only what they need.

    Without --as and without a telling suffix of OUT, list what matches.
    """
    wanted = _wanted(where_, message, object_, range_)
    if progress not in {"auto", "always", "never"}:
        raise UsageError(f"--progress {progress!r} does not exist, expected auto, always or never")
    access = access._replace(
        max_bytes=None if follow else options.size(max_bytes), allow_full_read=allow_full_read
    )
    run = Taking(
        console,
        wanted,
        access,
        How(verify=verify, restore=restore, jobs=jobs, limits=limits, index_at=index),
        progress="never" if console.quiet or follow else progress,
    )
    if not follow:
        exits.on_signals(_stop)
    if offset is not None or length is not None:
        if wanted != Wanted() or as_ not in {None, "raw"} or list_ or plan:
            raise UsageError("--offset and --length take bytes as they are: nothing else can be chosen")
        if follow or index:
            raise UsageError("--offset and --length go with neither --follow nor --index")
        with _output(console, output, force=force) as sink:
            try:
                run.copy(places, sink, *_extent(offset, length))
            except OutsideRange as error:
                raise UsageError(str(error)) from None
        if stats:
            run.report()
        return
    chosen = as_ or next((name for name, row in FORMATS.items() if output.endswith(row.suffixes)), None)
    if chosen is not None and chosen not in FORMATS:
        raise UsageError(f"--as {chosen!r} does not exist, expected one of {', '.join(FORMATS)}")
    if chosen is None and output != STDIO and not plan:
        raise UsageError(f"-o {output}: say the format with --as ({', '.join(FORMATS)})")
    if chosen is not None and FORMATS[chosen].is_whole and wanted.ranges:
        raise UsageError(f"--as {chosen} takes whole objects: it does not go with --range")
    if follow:
        if output != STDIO:
            raise UsageError("--follow has no end at which -o could be finished: redirect stdout")
        _check_follow(places, wanted, chosen, index=index, plan=plan)
        run.follow(options.duration(sleep), options.duration(reconnect_timeout))
    if plan:
        run.plan(places, _planned(console, options.check_format(format, as_json)))
    elif list_ or chosen is None:
        form = options.check_format(format, as_json)
        listing = _listing(console, keys, add_keys, mars, namespace, form, live=follow)
        for picked in run.all_of(places):
            listing.add(picked.keys)
        listing.end()
    else:
        if output == STDIO and console.is_terminal and not force and not FORMATS[chosen].is_text:
            raise UsageError("stdout is a terminal; name a file with -o, or insist with --force")
        sink = _open(output, force=force)
        try:
            FORMATS[chosen].write(run.all_of(places, payloads=True), sink)
        except BaseException:
            sink.abort()
            raise
        if run.count:
            sink.close()
        else:
            sink.abort()
    run.check_any(needed=not (plan or list_ or chosen is None))
    if stats:
        run.report(payload=not list_ and not plan and chosen is not None)
    raise typer.Exit(exits.highest(run.statuses))


def _stop(reason: Stopped) -> None:
    raise reason


def _check_follow(
    places: list[str], wanted: Wanted, chosen: str | None, *, index: str | None, plan: bool
) -> None:
    if len(places) != 1 or not is_remote(places[0]):
        raise UsageError("--follow takes one URL; `tail -f` follows files, and several places")
    if plan or index:
        raise UsageError("--follow takes what comes: it goes with neither --plan nor --index")
    if chosen is not None and FORMATS[chosen].is_whole:
        raise UsageError(f"--follow and --as {chosen} do not go together; `tail -f --raw` passes bytes on")
    if not can_follow(wanted):
        raise UsageError("--follow does not know the end: messages and objects are counted from the start")


def _extent(offset: str | None, length: str | None) -> tuple[int, int | None]:
    return options.size(offset or "0"), None if length is None else options.size(length)


@contextmanager
def _output(console: Console, output: str, *, force: bool) -> Iterator[Sink]:
    if output == STDIO and console.is_terminal and not force:
        raise UsageError("stdout is a terminal; name a file with -o, or insist with --force")
    with _open(output, force=force) as sink:
        yield sink


def _planned(console: Console, form: str | None) -> Listing:
    return Listing(console, form, columns=["_file", "_msg", "_obj", "offset", "length"])


def _wanted(
    conditions: list[str] | None, message: str | None, object_: str | None, range_: str | None
) -> Wanted:
    try:
        return Wanted(
            options.condition(conditions),
            None if message is None else parse_messages(message),
            None if object_ is None else int(object_) if object_.lstrip("-").isdecimal() else object_,
            None if range_ is None else parse_ranges(range_),
        )
    except ValueError as error:
        raise UsageError(str(error)) from None


def _listing(
    console: Console,
    keys: str | None,
    add: str | None,
    mars: bool,
    namespace: str | None,
    form: str | None,
    *,
    live: bool,
) -> Listing:
    chosen, added, spaces = options.columns_of(keys, add, mars, namespace)
    base = chosen or ["_msg", "_obj", "dtype", "shape", "compression", "_payload_length"]
    spaces = spaces or ([] if chosen else ["mars"])
    return Listing(
        console,
        form,
        columns=chosen + added if chosen and not spaces else None,
        default=lambda found: options.with_namespaces([*base, *added], found, spaces),
        live=live,
    )


def _open(output: str, *, force: bool) -> Sink:
    if output == STDIO:
        return stdout_sink()
    return FileSink(output, private=True, exclusive=not force, durable=True)
