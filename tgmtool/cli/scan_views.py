"""What `scan` makes of its rows beside listing them: totals, groups, values, a tree.

It is separate because each view is a small thing of its own that only takes rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..operations.keys import MISSING, Keys, text_of
from ..operations.records import plain
from .console import Console, safe
from .exits import UsageError
from .render import Listing

_COUNTS = ("messages", "objects", "bytes", "payload", "gaps", "lost", "incomplete")


def view_of(
    listing: Listing,
    tree: bool,
    summary: bool,
    group_by: str | None,
    values: bool,
    chosen: list[str] | None,
    console: Console,
) -> Any:
    """Return what takes the rows: the listing itself, or what makes something of them."""
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
