"""`tgmtool cat-remote`: take one field out of a file, for the bytes of that field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from ..endpoints import STDIO, open_source
from ..endpoints.base import Sink, Source
from ..endpoints.local import FileSink
from ..endpoints.stdio import stdout_sink
from ..limits import Limits
from ..messages.spans import Gap
from ..operations.arrays import FORMATS
from ..operations.cat_remote import (
    AmbiguousName,
    OutsideRange,
    Picked,
    Wanted,
    parse_messages,
    parse_ranges,
    pick,
)
from . import exits, options
from .console import Console
from .exits import UsageError
from .render import Listing


@options.command
def command(
    console: Console,
    limits: Limits,
    places: Annotated[list[str], typer.Argument(metavar="FILE…", help="Files.")],
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
    list_: Annotated[bool, typer.Option("--list", help="List what would be taken; read no payload.")] = False,
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
        bool, typer.Option("--stats", help="Say on stderr how many bytes of payload were read.")
    ] = False,
    keys: options.KeyList = None,
    add_keys: options.AddKeys = None,
    mars: options.Mars = False,
    namespace: options.Namespace = None,
    format: options.Format = None,  # noqa: A002  # the option's own name
    as_json: options.AsJson = False,
) -> None:
    """Take objects, or parts of them, out of files; read only what they need.

    Without --as and without a telling suffix of OUT, list what matches.
    """
    wanted = _wanted(where_, message, object_, range_)
    chosen = as_ or next((name for name, row in FORMATS.items() if output.endswith(row.suffixes)), None)
    if chosen is not None and chosen not in FORMATS:
        raise UsageError(f"--as {chosen!r} does not exist, expected one of {', '.join(FORMATS)}")
    if chosen is None and output != STDIO:
        raise UsageError(f"-o {output}: say the format with --as ({', '.join(FORMATS)})")
    run = _Run(console, limits, wanted, verify=verify, restore=restore, jobs=jobs)
    if list_ or chosen is None:
        listing = _listing(console, keys, add_keys, mars, namespace, options.check_format(format, as_json))
        for picked in run.all_of(places):
            listing.add(picked.keys)
        listing.end()
        raise typer.Exit(exits.highest(run.statuses))
    if output == STDIO and console.is_terminal and not force and not FORMATS[chosen].is_text:
        raise UsageError("stdout is a terminal; name a file with -o, or insist with --force")
    sink = _open(output, force=force)
    try:
        FORMATS[chosen].write(run.all_of(places), sink)
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
        run.report()
    raise typer.Exit(exits.highest(run.statuses))


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
    """The objects of several files, and the exit status that each leaves."""

    def __init__(
        self, console: Console, limits: Limits, wanted: Wanted, *, verify: bool, restore: bool, jobs: int
    ) -> None:
        self.statuses: list[int] = []
        self.count = 0
        self._console = console
        self._limits = limits
        self._wanted = wanted
        self._verify, self._restore, self._jobs = verify, restore, jobs
        self._picked: list[tuple[int, int]] = []
        self._last: Picked | None = None

    def all_of(self, places: list[str]) -> Iterator[Picked]:
        for place in places:
            source = open_source(place, mapped=True)
            try:
                yield from self._of(source)
            except (AmbiguousName, OutsideRange) as error:
                raise UsageError(str(error)) from None
            finally:
                source.close()

    def _of(self, source: Source) -> Iterator[Picked]:
        for picked in pick(
            source,
            self._wanted,
            verify=self._verify,
            restore=self._restore,
            jobs=self._jobs,
            limits=self._limits,
            on_gap=lambda gap: self._gap(source.name, gap),
        ):
            self.count += 1
            yield picked
            self._picked.append((picked.found.bytes_read, picked.found.span.payload_length))

    def _gap(self, file: str, gap: Gap) -> None:
        kinds = {"incomplete": exits.INCOMPLETE, "limit": exits.FAILED}
        self.statuses.append(kinds.get(gap.kind, exits.LOSS))
        self._console.note(f"{file}: byte {gap.offset}: {gap.length} bytes {gap.kind}: {gap.reason}")

    def report(self) -> None:
        read = sum(bytes_read for bytes_read, _ in self._picked)
        there = sum(size for _, size in self._picked)
        self._console.note(f"{self.count} objects, {read} of {there} bytes of payload read")
