"""`tgmtool backfill`: fill in lengths, and mend what a dead producer left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple

import typer

from ..endpoints import STDIO
from ..endpoints.base import Source
from ..errors import FormatError, SourceError, TgmError, TruncatedError
from ..limits import Limits
from ..operations.backfill import LengthPlan, backfill, plan_lengths, stretches_of
from ..operations.carrier import Emit, write_copy
from ..operations.copies import MIN_AGE, has_been_still, look_at
from ..operations.inplace import Finish
from ..operations.places import salvage_in_place, undo_in_place
from ..operations.reindex import check_rewritten, plan_reindex
from ..operations.salvage import SalvagePlan, check_copy, plan_salvage
from . import exits, options
from .console import Console, safe
from .exits import UsageError
from .places import expand, named_in


class _Outcome(NamedTuple):
    """What came of one file: lines for stdout, notes for stderr, and its exit status."""

    status: int
    records: tuple[dict[str, Any], ...] = ()
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@options.command
def command(
    console: Console,
    limits: Limits,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE…]", help="Files, directories, globs; with -o also - (stdin)."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="OUT", help="Write a copy; leave the file alone."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if there is work.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; list what would be written.")
    ] = False,
    as_json: options.AsJson = False,
    salvage_: Annotated[
        bool,
        typer.Option(
            "--salvage", help="With -o: whole messages as they are, and the whole frames of torn ones."
        ),
    ] = False,
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place", help="With --salvage: finish the cut last message; what is dropped stands beside."
        ),
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back what --in-place did.")] = False,
    keep_unhashed: Annotated[
        bool, typer.Option("--keep-unhashed", help="With --salvage: frames too that no digest proves.")
    ] = False,
    assume_dead: Annotated[
        bool,
        typer.Option(
            "--assume-dead", help="With --salvage: messages that stand inside a cut one are messages."
        ),
    ] = False,
    stall: Annotated[
        str | None,
        typer.Option(
            "--stall",
            metavar="DUR",
            help="With --salvage: the same, if the file did not change for so long and they fill it.",
        ),
    ] = None,
    reindex: Annotated[
        bool, typer.Option("--reindex", help="With -o: length, index and digests stand in each header.")
    ] = False,
    rehash: Annotated[
        bool, typer.Option("--rehash", help="With -o: frames without a digest get one.")
    ] = False,
    min_age: Annotated[
        str,
        typer.Option(
            "--min-age", metavar="DUR", help="Refuse a file that changed since, but to fill in lengths."
        ),
    ] = f"{MIN_AGE:g}s",
    backup_suffix: Annotated[
        str | None,
        typer.Option(
            "--backup-suffix", metavar="SFX", help="Keep a copy of a file that is changed, as FILE + SFX."
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("-f", "--force", help="Files in use too; replace OUT or a backup; follow a link."),
    ] = False,
    files_from: Annotated[
        str | None,
        typer.Option("--files-from", metavar="FILE", help="Names, one per line; - is stdin."),
    ] = None,
    null: Annotated[bool, typer.Option("-0", "--null", help="They are separated by NUL.")] = False,
    jobs: Annotated[str, typer.Option("-J", "--jobs", metavar="N|auto", help="Files at once.")] = "1",
) -> None:
    """Fill in the lengths of finished streaming messages, in place: 16 bytes each, nothing else changes.

    Safe beside an active writer, and a second run writes nothing. Bytes that belong to no whole message
    are left alone and reported: exit status 5 for a cut message at the end, 3 for others.

    With --salvage -o OUT a new file is made of all that is whole, every range that is lost is named, and
    the exit status is 3 if there is one. OUT is checked before it appears. In no mode does a payload change.
    """
    names = [*(files or []), *(named_in(files_from, by_nul=null) if files_from else [])]
    if not names and files_from is None:
        raise UsageError("backfill needs a FILE, or --files-from")
    if check and dry_run:
        raise UsageError("--check and --dry-run exclude each other")
    age = options.duration(min_age)
    mode = "--salvage" if salvage_ else "--reindex" if reindex else "--rehash" if rehash else ""
    still = None if stall is None else options.duration(stall)
    if in_place and (not salvage_ or output is not None or assume_dead or stall):
        raise UsageError("--in-place belongs to --salvage, without -o, --assume-dead and --stall")
    if undo and (mode or output is not None or check or dry_run or backup_suffix):
        raise UsageError("--undo goes with no other mode")
    if mode and output is None and not (check or dry_run or in_place):
        raise UsageError(f"{mode} writes a new file: name it with -o")
    if salvage_ and (reindex or rehash):
        raise UsageError("--salvage goes with neither --reindex nor --rehash: mend first")
    for word, is_given in (("keep-unhashed", keep_unhashed), ("assume-dead", assume_dead), ("stall", stall)):
        if is_given and not salvage_:
            raise UsageError(f"--{word} belongs to --salvage")
    if output is not None:
        _check_output(names, output, check=check, backup_suffix=backup_suffix)

    def fill(name: str) -> _Outcome:
        if name == STDIO and output is None:
            raise UsageError("stdin cannot be changed in place: give -o for a copy")
        if check or dry_run:
            return _told(plan_lengths(name, limits=limits), check=check, dry_run=dry_run)
        plan = backfill(name, output=output, backup_suffix=backup_suffix, force=force, limits=limits)
        return _told(plan, check=False, dry_run=False)

    def copy(name: str) -> _Outcome:
        def plan(source: Source, emit: Emit | None = None) -> SalvagePlan:
            if not salvage_:
                return plan_reindex(source, reindex=reindex, rehash=rehash, limits=limits, emit=emit)
            return plan_salvage(
                source,
                keep_unhashed=keep_unhashed,
                assume_dead=assume_dead,
                is_stalled=still is not None and has_been_still(name, still),
                limits=limits,
                emit=emit,
            )

        if check or dry_run:
            if name == STDIO:
                raise UsageError("stdin can be read only once: give -o for a copy")
            made = look_at(name, plan)
        else:
            assert output is not None
            checked = check_copy if salvage_ else check_rewritten
            made = write_copy(name, output, plan, checked, min_age=age, force=force)
        return _copied(made, check=check, dry_run=dry_run)

    def finish(name: str) -> _Outcome:
        look = check or dry_run
        done = salvage_in_place(
            name,
            keep_unhashed=keep_unhashed,
            dry_run=look,
            backup_suffix=backup_suffix,
            min_age=age,
            force=force,
            limits=limits,
        )
        return _finished(name, done, check=check, dry_run=dry_run)

    def take_back(name: str) -> _Outcome:
        at = undo_in_place(name, force=force, limits=limits)
        record = {"event": "undone", "file": name, "offset": at}
        return _Outcome(exits.OK, (record,), (), (f"{name}: the message at byte {at} is as it was",))

    action = take_back if undo else finish if in_place else copy if mode else fill
    run = _Run(console, as_json=as_json)
    raise typer.Exit(run.all(names, action, options.count_of(jobs)))


def _check_output(names: list[str], output: str, *, check: bool, backup_suffix: str | None) -> None:
    if len(names) != 1:
        raise UsageError("-o writes one copy: give one FILE")
    if output == STDIO:
        raise UsageError("-o needs the name of a file: a copy appears when it is complete")
    if check:
        raise UsageError("--check writes nothing: leave -o away")
    if backup_suffix is not None:
        raise UsageError("-o leaves the file alone: there is nothing to back up")


def _told(plan: LengthPlan, *, check: bool, dry_run: bool) -> _Outcome:
    """Return what is said about a plan, and the exit status that it gives."""
    statuses = [exits.INCOMPLETE if plan.is_cut else exits.OK]
    if any(one.kind in {"damaged", "gap"} for one in plan.losses):
        statuses.append(exits.LOSS)
    if check and plan.patches:
        statuses.append(exits.NO)
    filled = sum(bool(one.patches) for one in plan.stretches)
    summary = {
        "event": "file",
        "file": plan.name,
        "size": plan.size,
        "messages": plan.messages,
        "unfinished": filled,
        "patches": len(plan.patches),
        "written": not (check or dry_run),
    }
    verb = "to be filled in" if check or dry_run else "filled in"
    notes = [
        f"{plan.name}: byte {one.offset}: {one.length} bytes are no whole message ({one.kind}): {one.reason}"
        + ("; --salvage keeps what is whole of it" if one.kind != "gap" else "")
        for one in plan.losses
    ]
    if filled:
        notes.insert(0, f"{plan.name}: {plan.messages} messages, the lengths of {filled} {verb}")
    lines: tuple[str, ...] = ()
    if dry_run:
        lines = tuple(
            f"{plan.name}\t{one.kind}\t{one.offset}\t{one.length}\t{patch.offset}\t{patch.data.hex()}"
            for one in plan.stretches
            for patch in one.patches
        )
    return _Outcome(exits.highest(statuses), (*stretches_of(plan), summary), lines, tuple(notes))


def _copied(plan: SalvagePlan, *, check: bool, dry_run: bool) -> _Outcome:
    """Return what is said about a plan for a new file, and the exit status that it gives."""
    records: list[dict[str, Any]] = [
        {
            "event": "range",
            "file": plan.name,
            "offset": part.offset,
            "length": part.length,
            "fate": part.fate,
            **({"code": part.code, "reason": part.reason} if part.code else {}),
        }
        for part in plan.parts
    ]
    objects = sum(count for _, count in plan.rebuilt)
    lost = sum(part.length for part in plan.losses)
    records.append(
        {
            "event": "file",
            "file": plan.name,
            "size": plan.size,
            "messages": plan.messages,
            "rebuilt": len(plan.rebuilt),
            "rebuilt_objects": objects,
            "lost": lost,
            "metadata_lost": list(plan.without_metadata),
            "written": not (check or dry_run),
        }
    )
    notes = [
        f"{plan.name}: byte {part.offset}: {part.length} bytes are lost: {part.reason}"
        for part in plan.losses
    ]
    notes += [
        f"{plan.name}: byte {part.offset}: kept on trust, but it cannot be decoded: {part.reason}"
        for part in plan.doubtful
    ]
    notes += [
        f"{plan.name}: byte {offset}: the message's footer is lost, and the metadata that only it held"
        for offset in plan.without_metadata
    ]
    if plan.rebuilt:
        notes.append(
            f"{plan.name}: {plan.messages} messages as they are, {len(plan.rebuilt)} rebuilt "
            f"with {objects} objects, {lost} bytes lost"
        )
    lines = tuple(
        f"{plan.name}\t{part.fate}\t{part.offset}\t{part.length}\t{part.code}" for part in plan.parts
    )
    statuses = [exits.OK if plan.is_lossless else exits.LOSS]
    if check and (plan.rebuilt or plan.losses):
        statuses.append(exits.NO)
    return _Outcome(exits.highest(statuses), tuple(records), lines if dry_run else (), tuple(notes))


def _finished(name: str, plan: Finish | None, *, check: bool, dry_run: bool) -> _Outcome:
    """Return what is said about a last message that is finished, and the exit status that it gives."""
    if plan is None:
        record = {"event": "file", "file": name, "written": False, "lost": 0}
        return _Outcome(exits.OK, (record,))
    repair = plan.repair
    dropped = plan.size - repair.keep
    record = {
        "event": "file",
        "file": name,
        "offset": repair.offset,
        "objects": repair.objects,
        "keep": repair.keep,
        "appended": len(repair.closing),
        "dropped": dropped,
        "lost": repair.lost,
        "metadata_lost": [repair.offset] if repair.lacks_metadata else [],
        "patches": [{"offset": at, "data": data.hex()} for at, data in repair.patches],
        "written": not (check or dry_run),
    }
    line = f"{name}\tcut at\t{repair.keep}\tappend\t{len(repair.closing)}\tpatches\t{len(repair.patches)}"
    notes = [
        f"{name}: the message at byte {repair.offset}: {repair.objects} whole objects kept, {dropped} bytes"
    ]
    notes[0] += " of what came after them dropped" + ("" if check or dry_run else "; --undo puts them back")
    if repair.lacks_metadata:
        notes.append(
            f"{name}: byte {repair.offset}: the message's footer is lost, and the metadata that only it held"
        )
    is_lossless = not repair.lost and not repair.lacks_metadata
    statuses = [exits.OK if is_lossless else exits.LOSS, *([exits.NO] if check else [])]
    return _Outcome(exits.highest(statuses), (record,), (line,) if dry_run else (), tuple(notes))


class _Run:
    """Several files, each reported, and the exit status of all."""

    def __init__(self, console: Console, *, as_json: bool) -> None:
        self._console = console
        self._as_json = as_json

    def all(self, patterns: list[str], one: Callable[[str], _Outcome], jobs: int) -> int:
        """Do it to every file; return the exit status."""
        statuses = []
        for outcome in self._outcomes(patterns, one, jobs):
            statuses.append(outcome.status)
            for record in outcome.records if self._as_json else ():
                self._console.line(json.dumps(record, separators=(",", ":")))
            for line in () if self._as_json else outcome.lines:
                self._console.line("\t".join(safe(part) for part in line.split("\t")))
            for note in outcome.notes:
                self._console.note(note)
        return exits.highest(statuses)

    def _outcomes(self, patterns: list[str], one: Callable[[str], _Outcome], jobs: int) -> Iterator[_Outcome]:
        def attempt(name: str) -> _Outcome:
            try:
                return one(name)
            except (TgmError, OSError) as error:
                return self._failed(error)

        names: list[str] = []
        for pattern in patterns:
            try:
                names += expand(pattern)
            except SourceError as error:
                yield self._failed(error)
        if jobs == 1 or len(names) < 2:
            yield from map(attempt, names)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(attempt, names)

    def _failed(self, error: Exception) -> _Outcome:
        # What cannot be mended is a failure here, whatever is wrong with it; a cut input stays a cut input.
        is_cut = isinstance(error, TruncatedError)
        status = exits.FAILED if isinstance(error, FormatError) and not is_cut else exits.status_of(error)
        self._console.error(exits.text_of(error))
        return _Outcome(status)
