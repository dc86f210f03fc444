"""`tgmtool pipe`: join stages with bounded buffers, and watch over them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from types import FrameType
from typing import Annotated

import typer

from ..errors import EncodeError, SourceError
from ..limits import Limits
from ..operations.pipe.builtins import BY, Settings
from ..operations.pipe.choices import LEAST_BUFFER, PipeChoices, budget
from ..operations.pipe.crew import Hooks
from ..operations.pipe.engine import Engine
from ..operations.pipe.reader import ON_ERROR
from ..operations.transforms.where import MATCHES
from . import exits, options
from .console import Console, safe
from .exits import UsageError
from .pipe_meter import Meter
from .pipe_outcome import record_of, status_of, write_summary

_LONGEST_STDERR_LINE = 4096
_LAST_STARTS = 0.02  # seconds in which a process is known that was being started when all were killed


@options.command
def command(
    console: Console,
    limits: Limits,
    stages: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STAGE…]",
            help="'CMD ARGS' (reads and writes a stream), '4*CMD ARGS' (a run per message, 4 at once), "
            "or built in: '@where EXPR', '@verify', '@tee PATH', '@split DIR/[mars.step].tgm', "
            "'@recode zstd:3', '@refs DIR', '@resolve [DIR]', '@stamp', '@rate SIZE', '@pace [DUR]', "
            "'@limit N', '@merge PATH…', "
            "'@by KEY CMD ARGS' (a process for each value of KEY). None: one stage between stdin and stdout.",
        ),
    ] = None,
    where_: options.Where = None,
    match: Annotated[
        str,
        typer.Option(
            "--match", metavar="HOW", help="How -w applies to messages of several objects: any, all, first."
        ),
    ] = "any",
    verify: Annotated[
        bool, typer.Option("--verify", help="Check every message: its digests, and what its metadata says.")
    ] = False,
    tee: Annotated[
        list[str] | None,
        typer.Option(
            "--tee", metavar="PATH", help="Write what passes to this file or URL too; may be repeated."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="TEMPLATE",
            help="And to files named by metadata: DIR/[mars.param]_[mars.step].tgm.",
        ),
    ] = None,
    buffer: Annotated[
        str,
        typer.Option(
            "-B",
            "--buffer",
            metavar="SIZE",
            envvar="TGMTOOL_BUFFER",
            help="Bytes between two stages at most.",
        ),
    ] = "64MiB",
    depth: Annotated[
        int | None, typer.Option("--depth", metavar="N", min=1, help="Messages between two stages at most.")
    ] = None,
    memory_budget: Annotated[
        str | None,
        typer.Option(
            "--memory-budget",
            metavar="SIZE|PCT|auto",
            envvar="TGMTOOL_MEMORY_BUDGET",
            help="Bytes between all stages together; PCT or auto (25%) of the memory that is available.",
        ),
    ] = None,
    on_error: Annotated[
        str, typer.Option("--on-error", metavar="HOW", help="At damaged input: stop, skip, or pass it on.")
    ] = "stop",
    unordered: Annotated[
        bool, typer.Option("--unordered", help="N*CMD: pass on what is ready first.")
    ] = False,
    idle_timeout: Annotated[
        str | None,
        typer.Option("--idle-timeout", metavar="DUR", help="Give up when nothing came in for so long."),
    ] = None,
    stall_timeout: Annotated[
        str | None,
        typer.Option(
            "--stall-timeout",
            metavar="DUR",
            help="Give up when a stage takes nothing of what waits for so long.",
        ),
    ] = None,
    item_timeout: Annotated[
        str | None,
        typer.Option("--item-timeout", metavar="DUR", help="Give up when one message takes so long."),
    ] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DUR", help="Give up after so long.")
    ] = None,
    warn_after: Annotated[
        str | None,
        typer.Option("--warn-after", metavar="DUR", help="Warn when it has stood still for so long."),
    ] = None,
    grace: Annotated[
        str, typer.Option("--grace", metavar="DUR", help="Between asking a stage to end and killing it.")
    ] = "5s",
    rate: Annotated[
        str | None, typer.Option("-L", "--rate", metavar="SIZE/s", help="Pass no more than this.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("-S", "--size", metavar="SIZE", help="So much will come: the meter says how far it is."),
    ] = None,
    ref_threshold: Annotated[
        str,
        typer.Option(
            "--ref-threshold", metavar="SIZE", help="Payloads from this size on go to the folder of @refs."
        ),
    ] = "64KiB",
    max_names: Annotated[
        int,
        typer.Option(
            "--max-names",
            metavar="N",
            min=1,
            envvar="TGMTOOL_MAX_NAMES",
            help="Files of @split and @refs at most.",
        ),
    ] = 10_000,
    max_processes: Annotated[
        int,
        typer.Option(
            "--max-processes",
            metavar="N",
            min=1,
            envvar="TGMTOOL_MAX_PROCESSES",
            help="Processes of one @by at most.",
        ),
    ] = 64,
    keep_going: Annotated[
        bool,
        typer.Option("--keep-going", help="Set a message aside that a stage fails on, and go on (exit 3)."),
    ] = False,
    failed: Annotated[
        str | None,
        typer.Option(
            "--failed", metavar="FILE", help="Where --keep-going writes such messages; else they are dropped."
        ),
    ] = None,
    summary: Annotated[
        str | None,
        typer.Option("--summary", metavar="FILE", help="Write a JSON record of the run; - is stderr."),
    ] = None,
    name: Annotated[
        str,
        typer.Option("--name", metavar="TEXT", help="Sender of our error marker, and title of the meter."),
    ] = "pipe",
    stderr_limit: Annotated[
        str,
        typer.Option(
            "--stderr-limit",
            metavar="SIZE",
            envvar="TGMTOOL_STDERR_LIMIT",
            help="Of each stage's stderr, show so much and the last lines.",
        ),
    ] = "64KiB",
    progress: Annotated[
        str, typer.Option("--progress", metavar="WHEN", help="auto (on a terminal), always or never.")
    ] = "auto",
    interval: Annotated[
        str, typer.Option("--interval", metavar="DUR", help="Between two lines of --progress always.")
    ] = "1s",
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Replace files that exist; write bytes to a terminal.")
    ] = False,
) -> None:
    """Join stages with bounded buffers that know messages; watch over them, and say how it ended.

    Message bytes pass unchanged and in order. The exit status is that of the first stage that failed.
    """
    if on_error not in ON_ERROR:
        raise UsageError(f"--on-error {on_error!r} does not exist, expected one of {', '.join(ON_ERROR)}")
    if match not in MATCHES:
        raise UsageError(f"--match {match!r} does not exist, expected one of {', '.join(MATCHES)}")
    if progress not in {"auto", "always", "never"}:
        raise UsageError(f"--progress {progress!r} does not exist, expected auto, always or never")
    if failed is not None and not keep_going:
        raise UsageError("--failed says where --keep-going sets messages aside; give both")
    given = _simple_stages(where_, match, verify=verify, tee=tee or [], split=split)
    if stages and given:
        raise UsageError(
            "-w, --verify, --tee and --split belong to the one stage between stdin and stdout; "
            "in a pipeline write '@where EXPR', '@tee PATH' … where they are to stand"
        )
    chosen = [*(stages or given)]
    if rate is not None:
        chosen.append(f"@rate {rate}")
    choices = PipeChoices(
        buffer=_buffer(buffer),
        depth=depth,
        # One stage between stdin and stdout has one buffer, also if several things happen in it.
        memory_budget=_budget(memory_budget) if memory_budget else None if stages else options.size(buffer),
        on_error=on_error,
        in_order=not unordered,
        idle_timeout=_limit(idle_timeout, "--idle-timeout"),
        stall_timeout=_limit(stall_timeout, "--stall-timeout"),
        item_timeout=_limit(item_timeout, "--item-timeout"),
        timeout=_limit(timeout, "--timeout"),
        warn_after=_limit(warn_after, "--warn-after"),
        grace=options.duration(grace),
        keep_going=keep_going,
        failed=failed,
        name=name,
        stderr_limit=options.size(stderr_limit),
        limits=limits,
    )
    settings = Settings(options.size(ref_threshold), max_names, force, max_processes)
    last = stages[-1].lstrip() if stages else "@"
    last_is_process = not last.startswith("@") or last.split()[0] == BY
    if console.is_terminal and not force and not last_is_process:
        raise UsageError("stdout is a terminal; redirect it, or insist with --force")
    shown = "never" if console.quiet else progress
    meter = Meter(
        console,
        shown,
        title=name,
        period=options.duration(interval),
        total=None if size is None else options.size(size),
    )
    hooks = Hooks(
        said=lambda label, line: _say(console, meter, f"{label}: {safe(line, _LONGEST_STDERR_LINE)}"),
        noted=lambda text: _say(console, meter, f"tgmtool: {safe(text)}"),
        ticked=meter.tick,
        period=meter.period,
    )
    try:
        engine = Engine(
            chosen,
            choices=choices,
            settings=settings,
            hooks=hooks,
            refuse=_refuse_terminal if console.is_terminal and not force else lambda: None,
        )
    except EncodeError as error:
        raise UsageError(str(error)) from None
    _on_signals(engine)
    try:
        with meter:
            report = engine.run()
    finally:
        meter.close()
    status = status_of(report)
    if report.failure is not None and not isinstance(report.failure, BrokenPipeError):
        console.error(exits.text_of(report.failure))
    elif status == exits.PRODUCER_ERROR and report.producer_error is not None:
        place = report.producer_error
        console.error(
            f"the producer {place.who} said error: {place.rest.get('msg', place.rest.get('code', ''))}"
        )
    if summary is not None:
        write_summary(summary, record_of(report, status, name))
    raise typer.Exit(status)


def _simple_stages(
    where_: list[str] | None, match: str, *, verify: bool, tee: Sequence[str], split: str | None
) -> list[str]:
    """Return the stages that options stand for, in the order in which they act."""
    import shlex

    found = ["@verify"] if verify else []
    if where_:
        options.condition(where_)
        found.append(shlex.join(["@where", f"--match={match}", "--", *where_]))
    found += [shlex.join(["@tee", "--", path]) for path in tee]
    if split is not None:
        found.append(shlex.join(["@split", "--", split]))
    return found


def _buffer(text: str) -> int:
    found = options.size(text)
    if found < LEAST_BUFFER:
        raise UsageError(f"--buffer {text!r}: expected at least {LEAST_BUFFER} bytes")
    return found


def _limit(text: str | None, option: str) -> float | None:
    found = options.optional_duration(text)
    if found is not None and found <= 0:
        raise UsageError(f"{option} {text!r}: expected more than nothing")
    return found


def _budget(text: str) -> int:
    if text == "auto":
        return budget()
    if not text.endswith("%"):
        return options.size(text)
    try:
        share = float(text[:-1]) / 100
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"--memory-budget {text!r}: expected a size, 1% to 100%, or auto")
    return budget(share)


def _refuse_terminal() -> None:
    raise SourceError("is a terminal; redirect it, or insist with --force", uri="<stdout>")


def _say(console: Console, meter: Meter, line: str) -> None:
    """Write a line to stderr, above the meter if there is one."""
    if console.quiet and line.startswith("tgmtool: "):
        return
    meter.say(line)


def _on_signals(engine: Engine) -> None:
    """The first signal ends everything in order, a second one at once."""
    seen = False

    def received(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        if seen:
            engine.crew.kill()
            time.sleep(_LAST_STARTS)
            engine.crew.kill()
            os._exit(128 + number)
        seen = True
        engine.crew.interrupt(number)

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, received)
