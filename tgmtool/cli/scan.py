"""`tgmtool scan`: what is in it, and where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ..endpoints import open_source
from ..endpoints.access import Access
from ..errors import SourceError, TgmError
from ..limits import Limits
from ..messages.assembly import Message
from ..messages.spans import Gap, ObjectSpan
from ..operations.keys import MISSING, Keys, keys_of, text_of
from ..operations.scan import UNITS, Scanner, scan
from . import exits, options
from .console import Console
from .exits import UsageError
from .places import expand
from .render import Listing
from .scan_views import view_of

_COLUMNS = {
    "object": ["_msg", "_obj", "_offset", "_length", "dtype", "shape", "compression"],
    "message": ["_msg", "_offset", "_length", "_objects", "_mode"],
    "frame": ["_msg", "_offset", "_length", "_type", "_name", "_hash", "_padding"],
}
_STATUSES = {"incomplete": exits.INCOMPLETE, "limit": exits.FAILED}  # of gaps; others are a loss
_MATCHES = ("any", "all", "first")


@options.command
def command(
    console: Console,
    limits: Limits,
    access: Access,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE…", help="Files, directories, globs, or - (stdin).")
    ],
    unit: Annotated[str, typer.Option("--unit", metavar="UNIT", help="object, message or frame.")] = "object",
    where_: options.Where = None,
    match: Annotated[
        str,
        typer.Option(
            "--match", metavar="HOW", help="How -w applies to messages of several objects: any, all, first."
        ),
    ] = "any",
    keys: options.KeyList = None,
    add_keys: options.AddKeys = None,
    mars: options.Mars = False,
    namespace: options.Namespace = None,
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="K,…", help="Sort by these keys; -K sorts downward.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=0, help="Show at most N.")] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Totals per file instead of a listing.")] = False,
    group_by: Annotated[
        str | None,
        typer.Option("--group-by", metavar="K,…", help="Count objects and bytes per value of these keys."),
    ] = None,
    values: Annotated[
        bool, typer.Option("--values", help="The different values of each key (with -p: of these keys).")
    ] = False,
    tree: Annotated[bool, typer.Option("--tree", help="Frames, flags and offsets as a tree.")] = False,
    format: Annotated[  # noqa: A002  # the option's own name
        str | None,
        typer.Option(
            "--format",
            metavar="FMT",
            help="table, tsv, csv, ndjson, json [table on a terminal, else tsv], or index: the lines of an "
            "ECMWF .index file, which cat-remote --index takes.",
        ),
    ] = None,
    as_json: options.AsJson = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Anything but whole messages gives exit status 1.")
    ] = False,
    assume_dead: options.AssumeDead = False,
    exit_status: Annotated[
        bool, typer.Option("-e", "--exit-status", help="Exit status 1 if nothing was shown.")
    ] = False,
) -> None:
    """List what is in files: objects with their metadata, messages, or frames.

    Reads headers, metadata and descriptors only, never a payload. Bytes that belong to no whole message
    are rows of their own with a _status.
    """
    if unit not in UNITS:
        raise UsageError(f"--unit {unit!r} does not exist, expected one of {', '.join(UNITS)}")
    if match not in _MATCHES:
        raise UsageError(f"--match {match!r} does not exist, expected one of {', '.join(_MATCHES)}")
    if format == "index":
        if as_json or where_ or unit != "object" or tree or summary or group_by or values or sort or limit:
            raise UsageError("--format index lists every object: nothing else can be chosen")
        raise typer.Exit(_index(console, limits, access, files, strict=strict, assume_dead=assume_dead))
    chosen, added, spaces = options.columns_of(keys, add_keys, mars, namespace)
    base = chosen or _COLUMNS[unit]

    def default(found: Keys) -> list[str]:
        columns = base + added
        if chosen is None and unit == "object":
            columns += ["name"] if found.get("name") is not MISSING else []
            columns += [name for name in found.names_in("mars") if not mars]
        columns = options.with_namespaces(list(dict.fromkeys(columns)), found, spaces)
        return columns if chosen else [*columns, "_status"]

    listing = Listing(
        console,
        options.check_format(format, as_json),
        columns=chosen + added if chosen and not spaces else None,
        default=default,
    )
    view = view_of(listing, tree, summary, group_by, values, chosen, console)
    run = _Scan(
        console,
        limits,
        access,
        unit,
        options.condition(where_),
        match,
        view,
        needs_frames=tree,
        assume_dead=assume_dead,
    )
    rows = _sorted(run.rows(files), sort)
    shown = 0
    try:
        for row in rows:
            if limit is not None and shown >= limit:
                break
            shown += 1
            view.add(row)
        view.end()
    except BrokenPipeError:
        raise typer.Exit(exits.OK) from None
    status = exits.highest(run.statuses)
    if strict and status in {exits.LOSS, exits.INCOMPLETE}:
        status = exits.NO
    if exit_status and not shown and status == exits.OK:
        status = exits.NO
    raise typer.Exit(status)


def _index(
    console: Console, limits: Limits, access: Access, files: list[str], *, strict: bool, assume_dead: bool
) -> int:
    """Write the lines of an index; return the exit status."""
    from ..operations.index_lines import lines_of

    names = [name for pattern in files for name in expand(pattern)]
    if len(names) != 1:
        raise UsageError(f"an index is of one file, found {len(names)}")
    source = open_source(names[0], access=access)
    statuses = []
    try:
        found = Scanner(source, limits, assume_dead=assume_dead).run()
        for one in lines_of(found, getattr(source, "version", "")):
            if isinstance(one, str):
                console.line(one)
            else:
                statuses.append(_STATUSES.get(one.kind, exits.LOSS))
                console.note(_said(one, source.name))
    except BrokenPipeError:
        return exits.OK
    finally:
        source.close()
    return exits.NO if strict and statuses else exits.highest(statuses)


def _sorted(rows: Iterator[Keys], sort: str | None) -> Iterator[Keys]:
    if not sort:
        return rows
    found = list(rows)
    for name in reversed([name for name in sort.split(",") if name]):
        key, downward = name.removeprefix("-"), name.startswith("-")
        found.sort(key=lambda row, key=key: _sort_key(row.get(key)), reverse=downward)  # type: ignore[misc]  # the default binds it
    return iter(found)


def _sort_key(value: Any) -> tuple[int, float, str]:
    """Numbers first, then text, then what is missing."""
    if value is MISSING:
        return (2, 0.0, "")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0, float(value), "")
    try:
        return (0, float(value), "")
    except (TypeError, ValueError):
        return (1, 0.0, text_of(value))


class _Scan:
    """The rows of several files, and the exit status that each leaves."""

    def __init__(
        self,
        console: Console,
        limits: Limits,
        access: Access,
        unit: str,
        condition: Any,
        match: str,
        view: Any,
        *,
        needs_frames: bool,
        assume_dead: bool,
    ) -> None:
        self.statuses: list[int] = []
        self._console = console
        self._limits = limits
        self._access = access
        self._unit = "frame" if needs_frames else unit
        self._condition = condition
        self._match = match
        self._assume_dead = assume_dead
        self._view = view

    def rows(self, patterns: list[str]) -> Iterator[Keys]:
        for pattern in patterns:
            try:
                names = list(expand(pattern))
            except SourceError as error:
                self._fail(error)
                continue
            for name in names:
                try:
                    yield from self._file(name)
                except BrokenPipeError:
                    raise
                except (TgmError, OSError) as error:
                    self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.statuses.append(exits.status_of(error))
        self._console.error(exits.text_of(error))

    def _file(self, name: str) -> Iterator[Keys]:
        source = open_source(name, access=self._access)
        begin = getattr(self._view, "begin_file", None)
        if begin is not None:
            begin(source.name)
        try:
            if self._unit == "frame":
                frames = scan(source, unit="frame", assume_dead=self._assume_dead, limits=self._limits)
                yield from self._frames(source.name, frames)
            else:
                scanner = Scanner(source, self._limits, assume_dead=self._assume_dead)
                yield from self._messages(source.name, scanner.run())
        finally:
            source.close()

    def _frames(self, file: str, found: Any) -> Iterator[Keys]:
        for one in found:
            if isinstance(one, Gap):
                yield from self._gap(file, one)
            elif self._matches(keys := keys_of(one, file=file)):
                yield keys

    def _messages(self, file: str, found: Iterator[ObjectSpan | Message | Gap]) -> Iterator[Keys]:
        held: list[Keys] = []  # objects of the message that is passing, as far as they decide about it
        for one in found:
            if isinstance(one, Gap):
                held.clear()
                yield from self._gap(file, one)
            elif isinstance(one, Message):
                keys = keys_of(one, file=file)
                if self._unit == "message" and self._message_matches(keys, held):
                    yield keys
                held.clear()
            else:
                keys = keys_of(one, file=file)
                if self._unit == "object":
                    if self._matches(keys):
                        yield keys
                elif self._condition is not None:
                    held.append(keys)

    def _gap(self, file: str, gap: Gap) -> Iterator[Keys]:
        self.statuses.append(_STATUSES.get(gap.kind, exits.LOSS))
        self._console.note(_said(gap, file))
        if self._condition is None:
            yield keys_of(gap, file=file)

    def _matches(self, keys: Keys) -> bool:
        return self._condition is None or self._condition(keys)

    def _message_matches(self, keys: Keys, held: list[Keys]) -> bool:
        if self._condition is None or self._condition(keys):
            return True
        found = [self._condition(one) for one in held]
        if not found:
            return False
        verdicts: dict[str, bool] = {"any": any(found), "all": all(found), "first": bool(found[0])}
        return verdicts[self._match]


def _said(gap: Gap, file: str) -> str:
    return f"{file}: byte {gap.offset}: {gap.length} bytes {gap.kind}: {_reason(gap, file)}"


def _reason(gap: Gap, file: str) -> str:
    """The reason, without what the line says already."""
    text = gap.reason
    for known in (f"{file}: ", f"byte {gap.offset}: "):
        text = text.removeprefix(known)
    return text
