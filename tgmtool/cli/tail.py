"""`tgmtool tail`: follow a stream."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Annotated, Any

import typer

from ..endpoints import is_remote, shown
from ..errors import TgmError
from ..limits import Limits
from ..messages.spans import Notice
from ..operations.choices import Choices
from ..operations.follow import Found
from ..operations.keys import MISSING, Keys, keys_of
from ..operations.tail import Tail, TimeLimit, follow
from . import exits, options
from .console import Console
from .exits import Stopped, UsageError
from .render import Listing
from .tail_views import STATS, Raw, Rows, Show, Template, notice_text

_UNITS = ("object", "message", "frame")
_COLUMNS = {
    "object": ["_msg", "_obj", "dtype", "shape", "_length"],
    "message": ["_msg", "_offset", "_length", "_objects", "_mode"],
    "frame": ["_msg", "_offset", "_length", "_name", "_hash"],
}


@options.command
def command(
    console: Console,
    limits: Limits,
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Files to follow, or - (stdin).")],
    last: Annotated[
        str | None,
        typer.Option(
            "-n", "--last", metavar="N|+N", help="Begin with the last N units; +N: with unit N [10]."
        ),
    ] = None,
    follow_: Annotated[
        bool,
        typer.Option(
            "-f", "--follow", help="Wait for more. --follow=descriptor: keep to the file, not the name."
        ),
    ] = False,
    follow_how: Annotated[str, typer.Option("--follow-how", hidden=True)] = "name",
    follow_retry: Annotated[bool, typer.Option("-F", help="--follow=name --retry.")] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try again while a file is not there or cannot be read.")
    ] = False,
    sleep: Annotated[
        str, typer.Option("-s", "--sleep", metavar="DUR", help="Look at least this often.")
    ] = "1s",
    watch: Annotated[
        str, typer.Option("--watch", metavar="HOW", help="auto: use the system's notices; off: poll only.")
    ] = "auto",
    pid: Annotated[
        int | None,
        typer.Option("--pid", metavar="PID", help="Stop when this process is gone and all was read."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="EXPR", help="Stop after the first unit that matches (as -w)."),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", metavar="N", min=1, help="Stop after N units.")
    ] = None,
    idle_timeout: Annotated[
        str | None,
        typer.Option("--idle-timeout", metavar="DUR", help="Give up when nothing new came for so long."),
    ] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DUR", help="Give up after so long.")
    ] = None,
    wait_for: Annotated[
        str | None, typer.Option("--wait-for", metavar="DUR", help="The file may not exist yet, for so long.")
    ] = None,
    unit: Annotated[str, typer.Option("--unit", metavar="UNIT", help="object, message or frame.")] = "object",
    from_: Annotated[
        str | None, typer.Option("--from", metavar="WHERE", help="start, end or offset:N, instead of -n.")
    ] = None,
    where_: options.Where = None,
    keys: options.KeyList = None,
    add_keys: options.AddKeys = None,
    mars: options.Mars = False,
    namespace: options.Namespace = None,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Pass the bytes on verbatim: frame by frame, or whole messages with --unit message."
        ),
    ] = False,
    as_json: options.AsJson = False,
    format: options.Format = None,  # noqa: A002  # the option's own name
    template: Annotated[
        str | None,
        typer.Option("--template", metavar="TEXT", help="One line per unit, as '{mars.param} {mars.step}'."),
    ] = None,
    stats: Annotated[
        bool, typer.Option("--stats", help="Minimum, mean, maximum and NaN count of each object.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify", help="Check every frame's digest; what differs is not shown [on]."
        ),
    ] = True,
    settle: Annotated[
        str,
        typer.Option(
            "--settle", metavar="DUR", help="Read damage at the end again for so long before believing it."
        ),
    ] = "1s",
    force: Annotated[bool, typer.Option("--force", help="Write bytes to a terminal.")] = False,
) -> None:
    """Show what is in files as it comes: each object the moment its frame is whole.

    An unfinished frame is "not yet" and never shown. Without -f, what is there now is shown.
    """
    if unit not in _UNITS:
        raise UsageError(f"--unit {unit!r} does not exist, expected one of {', '.join(_UNITS)}")
    if follow_how not in {"name", "descriptor"}:
        raise UsageError(f"--follow={follow_how}: expected name or descriptor")
    if watch not in {"auto", "off"}:
        raise UsageError(f"--watch {watch!r} does not exist, expected auto or off")
    if raw and (as_json or format or template or stats or where_):
        raise UsageError(
            "--raw passes bytes on: it cannot be combined with -j, --format, --template, --stats or -w"
        )
    if raw and console.is_terminal and not force:
        raise UsageError("stdout is a terminal; redirect it, or insist with --force")
    if raw and len(files) > 1:
        raise UsageError("--raw takes one file: the bytes of several would be mixed")
    conditions = options.condition(where_)
    first, skip = _last(last, from_, files)
    following = follow_ or follow_retry
    if following and (remote := next(filter(is_remote, files), None)):
        raise UsageError(f"{shown(remote)}: a remote object cannot be followed; without -f it is read once")
    raw_unit = "message" if unit == "message" or (raw and not following) else "object"
    choices = Choices(
        unit="piece" if raw else unit,
        follow=following,
        last=first,
        skip=skip,
        start=_start(from_),
        poll=options.duration(sleep),
        notices=watch == "auto",
        by_name=follow_how == "name",
        retry=retry or follow_retry,
        wait_for=options.optional_duration(wait_for) or 0.0,
        pid=pid,
        until=_until(until, _name_of(files)),
        count=None if where_ else count,
        idle_timeout=options.optional_duration(idle_timeout),
        timeout=options.optional_duration(timeout),
        verify=verify,
        settle=options.duration(settle),
        limits=limits,
    )
    show: Show
    if raw:
        show = Raw(console, whole_messages=raw_unit == "message")
    elif template is not None:
        show = Template(console, template, conditions, stats=stats)
    else:
        columns = options.columns_of(keys, add_keys, mars, namespace)
        listing = _listing(console, options.check_format(format, as_json), unit, columns, stats=stats)
        show = Rows(console, listing, conditions, stats=stats)
    raise typer.Exit(_run(console, Tail(files, choices), show, count=count if where_ else None))


def _run(console: Console, steps: Tail, show: Show, *, count: int | None) -> int:
    """Follow until it is over; return the exit status."""
    shown = 0
    exits.on_signals(steps.interrupt)
    with closing(steps):
        try:
            for found in follow(steps):
                shown += show.take(found, steps)
                if shown == count:
                    break
            show.end()
        except BrokenPipeError:
            return exits.BROKEN_PIPE if isinstance(show, Raw) else exits.OK
        except TimeLimit as limit:
            _end_quietly(show)
            console.error(str(limit))
            return exits.TIME_LIMIT
        except Stopped as stopped:
            _say_what_is_pending(console, steps)
            return stopped.status
        return _status(console, steps)


def _end_quietly(show: Show) -> None:
    try:
        show.end()
    except BrokenPipeError:
        return


def _status(console: Console, steps: Tail) -> int:
    found = [exits.OK]
    for error in steps.failed:
        console.error(exits.text_of(error))
        found.append(exits.status_of(error))
    if steps.cut:
        found.append(exits.INCOMPLETE)
    if steps.lost_data:
        found.append(exits.LOSS)
    if not steps.matched:
        console.error("--until: nothing matched before the end")
        found.append(exits.NO)
    return exits.highest(found)


def _say_what_is_pending(console: Console, steps: Tail) -> None:
    """One line about an unfinished message, when a signal ends following."""
    try:
        for found in steps.finish():
            if isinstance(found, Notice) and found.event == "cut":
                console.note(notice_text(found))
    except (TgmError, BrokenPipeError):
        return


# ---- options to choices


def _listing(console: Console, format_: str | None, unit: str, columns: Any, *, stats: bool) -> Listing:
    chosen, added, spaces = columns
    more = list(STATS) if stats else []

    def default(found: Keys) -> list[str]:
        names = (chosen or _COLUMNS[unit]) + added
        if chosen is None and unit == "object":
            names += ["name"] if found.get("name") is not MISSING else []
            names += found.names_in("mars")
        return options.with_namespaces(list(dict.fromkeys(names)), found, spaces) + more

    fixed = chosen + added + more if chosen and not spaces else None
    return Listing(console, format_, columns=fixed, default=default, live=True)


def _last(text: str | None, from_: str | None, files: list[str]) -> tuple[int | None, int]:
    """Return (last, skip) for -n."""
    if from_ is not None:
        if text is not None:
            raise UsageError("-n and --from both say where to begin; choose one")
        return None, 0
    if text is None:
        return (None, 0) if files == ["-"] else (10, 0)  # a pipe has no past to count from
    number = text.removeprefix("+")
    if not number.isdecimal():
        raise UsageError(f"-n {text!r}: expected a number, or +N")
    if text.startswith("+"):
        return None, max(int(number) - 1, 0)
    return int(number), 0


def _start(text: str | None) -> str | None:
    if text is None or text in {"start", "end"}:
        return text
    word, _, number = text.partition(":")
    if word != "offset" or not number.isdecimal():
        raise UsageError(f"--from {text!r}: expected start, end or offset:N")
    return text


def _until(expression: str | None, name: str) -> Callable[[Found], bool] | None:
    if expression is None:
        return None
    condition = options.condition([expression], "--until")
    assert condition is not None
    return lambda found: condition(keys_of(found, file=name))


def _name_of(files: list[str]) -> str:
    return files[0] if len(files) == 1 else ""
