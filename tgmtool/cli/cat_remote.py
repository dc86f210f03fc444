"""`tgmtool cat-remote`: take one field out of a remote object, for the bytes of that field."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ..endpoints import STDIO, is_remote, open_source
from ..endpoints.access import Access
from ..endpoints.base import Sink, Source
from ..endpoints.local import FileSink
from ..endpoints.ranges import RangeSource
from ..endpoints.remote import RemoteSource
from ..endpoints.stdio import stdout_sink
from ..limits import Limits
from ..messages.assembly import Message
from ..messages.spans import Gap
from ..operations.arrays import FORMATS
from ..operations.cat_remote import (
    AmbiguousName,
    Picked,
    Wanted,
    parse_messages,
    parse_ranges,
    pick,
)
from ..operations.plan import plan_of, ranges_of
from ..operations.stored import OutsideRange, pieces_of
from . import exits, options
from .console import Console
from .exits import UsageError
from .render import Listing

_FRAGMENT = re.compile(r"#(?:m=(-?\d+))?&?(?:o=(-?\d+))?")
_STREAMING = 8  # objects in a message without lengths from which it is worth a word


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
    access = access._replace(max_bytes=options.size(max_bytes), allow_full_read=allow_full_read)
    if offset is not None or length is not None:
        if wanted != Wanted() or as_ not in {None, "raw"} or list_ or plan:
            raise UsageError("--offset and --length take bytes as they are: nothing else can be chosen")
        with _output(console, output, force=force) as sink:
            run = _Run(console, limits, wanted, access, verify=verify, restore=restore, jobs=jobs)
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
    run = _Run(console, limits, wanted, access, verify=verify, restore=restore, jobs=jobs)
    if plan:
        run.plan(places, _planned(console, options.check_format(format, as_json)))
    elif list_ or chosen is None:
        listing = _listing(console, keys, add_keys, mars, namespace, options.check_format(format, as_json))
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
            console.note("nothing matches")
            run.statuses.append(exits.NO)
    if stats:
        run.report(payload=not list_ and not plan and chosen is not None)
    raise typer.Exit(exits.highest(run.statuses))


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
    console: Console, keys: str | None, add: str | None, mars: bool, namespace: str | None, form: str | None
) -> Listing:
    chosen, added, spaces = options.columns_of(keys, add, mars, namespace)
    base = chosen or ["_msg", "_obj", "dtype", "shape", "compression", "_payload_length"]
    spaces = spaces or ([] if chosen else ["mars"])
    return Listing(
        console,
        form,
        columns=chosen + added if chosen and not spaces else None,
        default=lambda found: options.with_namespaces([*base, *added], found, spaces),
    )


def _open(output: str, *, force: bool) -> Sink:
    if output == STDIO:
        return stdout_sink()
    return FileSink(output, private=True, exclusive=not force, durable=True)


class _Run:
    """The objects of several places, and the exit status that each leaves."""

    def __init__(
        self,
        console: Console,
        limits: Limits,
        wanted: Wanted,
        access: Access,
        *,
        verify: bool,
        restore: bool,
        jobs: int,
    ) -> None:
        self.statuses: list[int] = []
        self.count = 0
        self._console = console
        self._limits = limits
        self._wanted = wanted
        self._access = access
        self._verify, self._restore, self._jobs = verify, restore, jobs
        self._picked: list[tuple[int, int]] = []
        self._spent: list[tuple[int, int, float]] = []
        self._copied = 0

    def all_of(self, places: list[str], *, payloads: bool = False) -> Iterator[Picked]:
        for place in places:
            name, wanted = _named(place, self._wanted)
            with self._opened(name) as source:
                try:
                    yield from self._of(source, wanted, payloads)
                except (AmbiguousName, OutsideRange) as error:
                    raise UsageError(str(error)) from None

    def copy(self, places: list[str], sink: Sink, offset: int, length: int | None) -> None:
        """Write bytes as they stand there."""
        for place in places:
            with self._opened(place) as source:
                for piece in pieces_of(source, offset, length):
                    sink.write([piece])
                    self._copied += len(piece)

    def plan(self, places: list[str], listing: Listing) -> None:
        """List the ranges that would be read."""
        planned = []
        for picked in self.all_of(places):
            planned.append(ranges_of(picked, verify=self._verify))
            for start, stop in planned[-1]:
                known = {name: picked.keys.get(name) for name in ("_file", "_msg", "_obj")}
                listing.add_map({**known, "offset": start, "length": stop - start})
        listing.end()
        found = plan_of(planned)
        self._console.note(
            f"{len(planned)} objects: {found.requests} requests, {found.size} bytes; none of them were read"
        )

    @contextmanager
    def _opened(self, name: str) -> Iterator[Source]:
        source = open_source(name, mapped=True, access=self._access)
        try:
            yield source
        finally:
            source.close()
            if isinstance(source, RemoteSource):
                self._spent.append(source.spent)
                if self._console.verbose:
                    self._console.note(f"{source.name}: {_cost([source.spent])}")

    def _of(self, source: Source, wanted: Wanted, payloads: bool) -> Iterator[Picked]:
        for picked in pick(
            source,
            wanted,
            verify=self._verify,
            restore=self._restore,
            jobs=self._jobs,
            limits=self._limits,
            on_gap=lambda gap: self._gap(source.name, gap),
            on_message=lambda found: self._message(source, found),
            ahead=payloads,
        ):
            self.count += 1
            yield picked
            self._picked.append((picked.found.bytes_read, picked.found.span.payload_length))

    def _message(self, source: Source, found: Message) -> None:
        if isinstance(source, RangeSource) and found.span.streaming and found.span.objects >= _STREAMING:
            self._console.note(
                f"{source.name}: message {found.span.number} has no lengths: each of its "
                f"{found.span.objects} objects had to be looked for; `tgmtool backfill` mends that"
            )

    def _gap(self, file: str, gap: Gap) -> None:
        kinds = {"incomplete": exits.INCOMPLETE, "limit": exits.FAILED}
        self.statuses.append(kinds.get(gap.kind, exits.LOSS))
        self._console.note(f"{file}: byte {gap.offset}: {gap.length} bytes {gap.kind}: {gap.reason}")

    def report(self, *, payload: bool = True) -> None:
        parts = []
        if self._copied:
            parts.append(f"{self._copied} bytes copied")
        elif payload:
            read = sum(bytes_read for bytes_read, _ in self._picked)
            there = sum(size for _, size in self._picked)
            parts.append(f"{self.count} objects, {read} of {there} bytes of payload read")
        else:
            parts.append(f"{self.count} objects")
        if self._spent:
            parts.append(_cost(self._spent))
        self._console.note("; ".join(parts))


def _cost(spent: list[tuple[int, int, float]]) -> str:
    requests, received, seconds = (sum(column) for column in zip(*spent, strict=True))
    return f"{requests} requests, {received} bytes, {seconds:.2f} s"


def _named(place: str, wanted: Wanted) -> tuple[str, Wanted]:
    """Return the place without `#m=3&o=1`, and what that chooses."""
    name, mark, _ = place.rpartition("#")
    found = _FRAGMENT.fullmatch(place[len(name) :]) if mark else None
    if found is None or not any(found.groups()) or (not is_remote(place) and os.path.exists(place)):
        return place, wanted
    message, number = (None if text is None else int(text) for text in found.groups())
    if message is not None and wanted.messages is not None:
        raise UsageError("the message is chosen twice: behind # and with --message")
    if number is not None and wanted.object is not None:
        raise UsageError("the object is chosen twice: behind # and with --object")
    return name, wanted._replace(
        messages=wanted.messages if message is None else message,
        object=wanted.object if number is None else number,
    )
