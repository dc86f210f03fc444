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
from ..operations.records import plain
from ..operations.scan import UNITS, Scanner, scan
from . import exits, options
from .console import Console, safe
from .exits import UsageError
from .places import expand
from .render import Listing

_COLUMNS = {
    "object": ["_msg", "_obj", "_offset", "_length", "dtype", "shape", "compression"],
    "message": ["_msg", "_offset", "_length", "_objects", "_mode"],
    "frame": ["_msg", "_offset", "_length", "_type", "_name", "_hash", "_padding"],
}
_COUNTS = ("messages", "objects", "bytes", "payload", "gaps", "lost", "incomplete")
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
    format: options.Format = None,  # noqa: A002  # the option's own name
    as_json: options.AsJson = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Anything but whole messages gives exit status 1.")
    ] = False,
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
    view = _view_of(listing, tree, summary, group_by, values, chosen, console)
    run = _Scan(console, limits, access, unit, options.condition(where_), match, view, needs_frames=tree)
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
    ) -> None:
        self.statuses: list[int] = []
        self._console = console
        self._limits = limits
        self._access = access
        self._unit = "frame" if needs_frames else unit
        self._condition = condition
        self._match = match
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
                yield from self._frames(source.name, scan(source, unit="frame", limits=self._limits))
            else:
                yield from self._messages(source.name, Scanner(source, self._limits).run())
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
        kinds = {"incomplete": exits.INCOMPLETE, "limit": exits.FAILED}
        self.statuses.append(kinds.get(gap.kind, exits.LOSS))
        self._console.note(f"{file}: byte {gap.offset}: {gap.length} bytes {gap.kind}: {_reason(gap, file)}")
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


def _reason(gap: Gap, file: str) -> str:
    """The reason, without what the line says already."""
    text = gap.reason
    for known in (f"{file}: ", f"byte {gap.offset}: "):
        text = text.removeprefix(known)
    return text


# ---- views


def _view_of(
    listing: Listing,
    tree: bool,
    summary: bool,
    group_by: str | None,
    values: bool,
    chosen: list[str] | None,
    console: Console,
) -> Any:
    if sum((tree, summary, bool(group_by), values)) > 1:
        raise UsageError("--tree, --summary, --group-by and --values exclude each other")
    if tree:
        return _Tree(listing, console)
    if summary:
        return _Summary(listing)
    if group_by:
        return _Groups(listing, [name for name in group_by.split(",") if name])
    if values:
        return _Values(listing, chosen)
    return listing


class _Counting:
    """A view that shows one record per group at the end."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._groups: dict[Any, dict[str, Any]] = {}

    def end(self) -> None:
        for record in self._groups.values():
            self._listing.add_map(record)
        self._listing.end()


class _Summary(_Counting):
    def __init__(self, listing: Listing) -> None:
        super().__init__(listing)
        listing.set_columns(
            ["_file", "messages", "objects", "bytes", "payload", "gaps", "lost", "incomplete"]
        )
        self._messages: set[tuple[str, int]] = set()

    def begin_file(self, name: str) -> None:
        self._groups[name] = {"_file": name, **dict.fromkeys(_COUNTS, 0)}

    def add(self, keys: Keys) -> None:
        record = self._groups[keys.get("_file")]
        status = keys.get("_status")
        if "_code" in keys.own:
            record["gaps"] += status != "incomplete"
            record["incomplete" if status == "incomplete" else "lost"] += keys.get("_length")
            return
        if "_objects" in keys.own:
            record["messages"] += 1
            record["objects"] += keys.get("_objects")
        else:
            message = (keys.get("_file"), keys.get("_msg"))
            record["messages"] += status == "ok" and message not in self._messages
            self._messages.add(message)
            record["objects"] += 1
            record["payload"] += keys.get("_payload_length") or 0
        record["bytes"] += keys.get("_length")


class _Groups(_Counting):
    def __init__(self, listing: Listing, names: list[str]) -> None:
        super().__init__(listing)
        self._names = names
        listing.set_columns([*names, "objects", "bytes"])

    def add(self, keys: Keys) -> None:
        found = [keys.get(name) for name in self._names]
        group = tuple(map(text_of, found))
        pairs = dict(zip(self._names, map(plain, found), strict=True))
        record = self._groups.setdefault(group, {**pairs, "objects": 0, "bytes": 0})
        record["objects"] += 1
        record["bytes"] += keys.get("_length")


class _Values(_Counting):
    def __init__(self, listing: Listing, chosen: list[str] | None) -> None:
        super().__init__(listing)
        self._chosen = chosen
        listing.set_columns(["key", "count", "values"])

    def add(self, keys: Keys) -> None:
        names = self._chosen or [
            *(
                name
                for name in ("dtype", "shape", "encoding", "filter", "compression")
                if name in keys.descriptor
            ),
            *_leaves(keys.metadata),
        ]
        for name in names:
            value = keys.get(name)
            if value is MISSING:
                continue
            record = self._groups.setdefault(name, {"key": name, "count": 0, "values": []})
            shown = text_of(value) if isinstance(value, list | tuple | dict) else plain(value)
            if shown not in record["values"]:
                record["values"].append(shown)
                record["count"] += 1


def _leaves(place: Any, before: str = "") -> Iterator[str]:
    for key, value in place.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield before + key


class _Tree:
    """Frames below their messages."""

    def __init__(self, listing: Listing, console: Console) -> None:
        self._console = console
        self._message: tuple[Any, Any] | None = None
        if listing.format in {"ndjson", "json", "csv"}:
            raise UsageError(f"--tree is for people; --format {listing.format} goes with --unit frame")

    def begin_file(self, name: str) -> None:
        self._console.line(safe(name))

    def add(self, keys: Keys) -> None:
        if keys.get("_status") != "ok":
            self._console.line(
                f"  {keys.get('_status')} at {keys.get('_offset')}, {keys.get('_length')} bytes: "
                + safe(text_of(keys.get("_reason")))
            )
            return
        message = (keys.get("_file"), keys.get("_msg"))
        if message != self._message:
            self._message = message
            self._console.line(f"  message {keys.get('_msg')}")
        padding = f", {keys.get('_padding')} padding before" if keys.get("_padding") else ""
        digest = keys.get("_hash") or "no hash"
        self._console.line(
            f"    {keys.get('_name'):<18} at {keys.get('_offset')}, {keys.get('_length')} bytes, "
            f"flags {keys.get('_flags')}, {digest}{padding}"
        )

    def end(self) -> None:
        """Nothing is held back."""
