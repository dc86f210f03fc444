"""`tgmtool tail`: follow a stream."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import typer

from ..endpoints import is_remote, shown
from ..endpoints.access import Access
from ..limits import Limits
from ..operations.choices import Choices
from ..operations.contents import Found
from ..operations.inbox import COMMITS
from ..operations.keys import MISSING, Keys, keys_of
from ..operations.starts import check_start
from ..operations.tail import Tail
from . import options
from . import tail_options as own
from .console import Console
from .exits import UsageError
from .render import Listing
from .tail_run import make_stdout_durable, run
from .tail_views import STATS, Exec, Raw, Rows, Show, Template

_MOST = 1 << 62
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
    access: Access,
    files: own.Files,
    last: own.Last = None,
    follow_: own.Follow = False,
    follow_how: own.FollowHow = "name",
    follow_retry: own.FollowRetry = False,
    retry: own.Retry = False,
    sleep: own.Sleep = "1s",
    watch: own.Watch = "auto",
    pid: own.Pid = None,
    while_: own.While = None,
    until_exists: own.UntilExists = None,
    until: own.Until = None,
    count: own.Count = None,
    idle_timeout: own.IdleTimeout = None,
    reconnect_timeout: options.ReconnectTimeout = "30s",
    timeout: own.Timeout = None,
    wait_for: own.WaitFor = None,
    unit: own.Unit = "object",
    from_: own.From = None,
    chan: own.Chan = None,
    producers: own.Producers = None,
    require_end: own.RequireEnd = False,
    forever: own.Forever = False,
    any_: own.Any = False,
    commit: own.Commit = "rename",
    state: own.State = None,
    state_every: own.StateEvery = None,
    state_reset: own.StateReset = False,
    ack: own.Ack = None,
    ack_sender: own.AckSender = None,
    where_: options.Where = None,
    keys: options.KeyList = None,
    add_keys: options.AddKeys = None,
    mars: options.Mars = False,
    namespace: options.Namespace = None,
    raw: own.Raw = False,
    as_json: options.AsJson = False,
    format: options.Format = None,  # noqa: A002  # the option's own name
    template: own.Template = None,
    exec_: own.Exec = None,
    exec_errors: own.ExecErrors = "fail",
    exec_timeout: own.ExecTimeout = None,
    stats: own.Stats = False,
    progress: own.Progress = False,
    verify: own.Verify = True,
    settle: own.Settle = "1s",
    stall: own.Stall = None,
    assume_dead: options.AssumeDead = False,
    force: own.Force = False,
) -> None:
    """Show what is in files as it comes: each object the moment its frame is whole.

    An unfinished frame is "not yet" and never shown. Without -f, what is there now is shown. With -f, it
    ends when every sender of the stream has said so; a file in which nobody does is followed on.
    """
    _check_word("--unit", unit, _UNITS)
    _check_word("--follow", follow_how, ("name", "descriptor"))
    _check_word("--watch", watch, ("auto", "off"))
    _check_word("--commit", commit, COMMITS)
    _check_word("--exec-errors", exec_errors, ("fail", "warn"))
    if raw and (as_json or format or template or stats or where_):
        raise UsageError(
            "--raw passes bytes on: it cannot be combined with -j, --format, --template, --stats or -w"
        )
    if exec_ is not None and (raw or as_json or format or template):
        raise UsageError("--exec runs a command instead of printing: no --raw, -j, --format or --template")
    if raw and console.is_terminal and not force:
        raise UsageError("stdout is a terminal; redirect it, or insist with --force")
    if raw and len(files) > 1:
        raise UsageError("--raw takes one file: the bytes of several would be mixed")
    following = follow_ or follow_retry
    if stall is not None and not following:
        raise UsageError("--stall belongs to -f; without it, --assume-dead takes what is there")
    _check_keeping(files, last, from_, state=state, state_reset=state_reset, ack=ack, ack_sender=ack_sender)
    conditions = options.condition(where_)
    first, skip = _last(last, from_, files, keeps=state is not None or ack is not None)
    choices = Choices(
        unit=_unit(unit, files, raw=raw, begins_with_frames=following and state is None),
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
        while_command=while_,
        until_exists=until_exists,
        chans=frozenset(chan or ()),
        producers=producers,
        any_end=any_,
        forever=forever,
        commit=commit,
        state=state,
        state_reset=state_reset,
        # A command is dearer than a write.
        state_period=options.duration(state_every or ("0" if exec_ else "1s")),
        ack=ack,
        ack_sender=ack_sender,
        flush=make_stdout_durable,
        until=_until(until, files[0] if len(files) == 1 else ""),
        count=None if where_ else count,
        idle_timeout=options.optional_duration(idle_timeout),
        timeout=options.optional_duration(timeout),
        verify=verify,
        settle=options.duration(settle),
        stall=options.optional_duration(stall),
        assume_dead=assume_dead,
        limits=limits,
    )
    show: Show
    if raw:
        show = Raw(console)
    elif template is not None:
        show = Template(console, template, conditions, stats=stats)
    elif exec_ is not None:
        seconds = options.optional_duration(exec_timeout)
        show = Exec(console, exec_, conditions, stats=stats, timeout=seconds, warn=exec_errors == "warn")
    else:
        columns = options.columns_of(keys, add_keys, mars, namespace)
        listing = _listing(console, options.check_format(format, as_json), unit, columns, stats=stats)
        show = Rows(console, listing, conditions, stats=stats)
    reconnect = options.duration(reconnect_timeout)
    counted = count if where_ else None
    with ExitStack() as stack:
        steps = _steps([_place(name, access, reconnect, stack) for name in files], choices)
        status = run(console, steps, show, count=counted, require_end=require_end, progress=progress)
    raise typer.Exit(status)


def _place(name: str, access: Access, reconnect: float, stack: ExitStack) -> Any:
    if not is_remote(name):
        return name
    from ..endpoints.polled import PolledObject  # only then: it brings connections and threads

    polled = PolledObject(name, access, reconnect=reconnect)
    stack.callback(polled.close)
    return polled


def _steps(places: list[Any], choices: Choices) -> Tail:
    try:
        return Tail(places, choices)
    except ValueError as error:  # of the choices, all but the command of --while were checked before
        raise UsageError(f"--while {choices.while_command!r}: {error}") from None


def _check_word(option: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        *others, final = words
        raise UsageError(f"{option} {word!r} does not exist, expected {', '.join(others)} or {final}")


def _check_keeping(
    files: list[str],
    last: str | None,
    from_: str | None,
    *,
    state: str | None,
    state_reset: bool,
    ack: str | None,
    ack_sender: str | None,
) -> None:
    """Refuse what --state and --ack cannot keep their promise with."""
    if state_reset and state is None:
        raise UsageError("--state-reset: there is no --state to forget")
    if ack_sender and ack is None:
        raise UsageError("--ack-sender: there is no --ack")
    for option, path in (("--state", state), ("--ack", ack)):
        if path is not None and any(_is_same(path, file) for file in files):
            raise UsageError(f"{option} {path}: that is what is followed")
    if state is not None and (place := next((f for f in files if f == "-" or is_remote(f)), None)):
        raise UsageError(f"--state: {shown(place)} cannot be gone back to; only files and folders can")
    if ack is not None and (last not in {None, "+1"} or from_ not in {None, "start"}):
        raise UsageError("--ack says that everything arrived: it cannot begin in the middle (-n, --from)")


def _is_same(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return os.path.abspath(path) == os.path.abspath(other)


# ---- options to choices


def _unit(unit: str, files: list[str], *, raw: bool, begins_with_frames: bool) -> str:
    if not raw:
        return unit
    # What goes on after a restart goes on with a whole message: nobody can read the rest of one. And a
    # pipe does not hold a message until it is whole, however long it is.
    whole = files != ["-"] and (unit == "message" or not begins_with_frames)
    return "whole" if whole else "piece"


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


def _last(text: str | None, from_: str | None, files: list[str], *, keeps: bool) -> tuple[int | None, int]:
    """Return (last, skip) for -n."""
    if from_ is not None:
        if text is not None:
            raise UsageError("-n and --from both say where to begin; choose one")
        return None, 0
    folder = next(filter(os.path.isdir, files), None)
    if text is None:
        # A pipe has no past to count from, and who remembers or acknowledges wants all of it.
        return (None, 0) if files == ["-"] or keeps or folder else (10, 0)
    if folder is not None:
        raise UsageError(f"-n: {folder} is a folder, whose files are read whole; --from end passes over them")
    number = text.removeprefix("+")
    if not number.isdecimal():
        raise UsageError(f"-n {text!r}: expected a number, or +N")
    if text.startswith("+"):
        return None, max(int(number) - 1, 0)
    return min(int(number), _MOST), 0  # more than any file has


def _start(text: str | None) -> str | None:
    try:
        check_start(text)
    except ValueError:
        raise UsageError(f"--from {text!r}: expected start, end, offset:N, seq:N or seq:SENDER:N") from None
    return text


def _until(expression: str | None, name: str) -> Callable[[Found], bool] | None:
    if expression is None:
        return None
    condition = options.condition([expression], "--until")
    assert condition is not None
    return lambda found: condition(keys_of(found, file=name))
