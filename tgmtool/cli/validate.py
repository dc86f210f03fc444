"""`tgmtool validate`: may this artefact be committed?"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, Any

import typer

from ..endpoints import STDIO
from ..endpoints.access import Access
from ..endpoints.local import FileSink
from ..errors import FormatError, SourceError
from ..limits import Limits
from ..operations.findings import CODES, Finding, Report, verdict_of
from ..operations.isolate import SECONDS, isolated
from ..operations.requirements import Policy
from ..operations.stream_policy import StreamPolicy
from ..operations.validate import LEVELS, validate
from . import exits, options
from .console import Console
from .exits import UsageError
from .places import expand, named_in
from .progress import Progress
from .reports import FORMATS, ReportWriter

_CANONICAL = frozenset(name for name in CODES if name.endswith("_non_canonical"))
_STATUSES = {
    "valid": exits.OK,
    "invalid": exits.NO,
    "incomplete": exits.INCOMPLETE,
    "unchecked": exits.FAILED,
}
_SMALL = 32 << 20  # bytes: smaller files are looked at several at a time


@options.command
def command(
    console: Console,
    limits: Limits,
    access: Access,
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE…]", help="Files, directories, globs, or - (stdin).")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Frames only; no payload is read.")] = False,
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Frames and every digest; nothing is decoded.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="All, and the values: NaN and Inf that no mask stands for.")
    ] = False,
    canonical: Annotated[
        bool, typer.Option("--canonical", help="CBOR that is not deterministic is an error.")
    ] = False,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Messages that say that they belong to a stream are in order."),
    ] = False,
    require_end: Annotated[
        bool, typer.Option("--require-end", help="With --stream: every sender has ended.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors.")] = False,
    ignore: Annotated[
        str | None, typer.Option("--ignore", metavar="CODE,…", help="Do not report these codes.")
    ] = None,
    allow_empty: Annotated[bool, typer.Option("--allow-empty", help="An empty file is valid.")] = False,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="A message that is cut at the end is no fault.")
    ] = False,
    min_messages: Annotated[
        int, typer.Option("--min-messages", metavar="N", min=0, help="Fewer whole messages are an error.")
    ] = 0,
    require_hash: Annotated[
        bool, typer.Option("--require-hash", help="A message without digests is an error.")
    ] = False,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require", metavar="KEY[=V/V]", help="Every object must have the key, or one of the values."
        ),
    ] = None,
    schema: Annotated[
        list[str] | None,
        typer.Option("--schema", metavar="FILE", help="JSON Schema that every object's metadata must fit."),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option("--expect", metavar="FILE", help="A listing by scan -j that the file must match."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="REF", help="A file that must hold the same: values and metadata."),
    ] = None,
    atol: Annotated[
        float, typer.Option("--atol", metavar="X", min=0, help="With --against: allowed difference.")
    ] = 0.0,
    rtol: Annotated[
        float, typer.Option("--rtol", metavar="X", min=0, help="The same, as a share of REF's value.")
    ] = 0.0,
    format: Annotated[  # noqa: A002  # the option's own name
        str, typer.Option("--format", metavar="FMT", help=f"{', '.join(FORMATS)}.")
    ] = "text",
    as_json: options.AsJson = False,
    isolate: Annotated[
        bool,
        typer.Option(
            "--isolate", help="Check each file in a process of its own, bounded in memory and time."
        ),
    ] = False,
    report: Annotated[
        list[str] | None,
        typer.Option("--report", metavar="FMT=FILE", help="Write a report to FILE too; may be repeated."),
    ] = None,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit status 0 whatever was found in files that can be read.")
    ] = False,
    assume_dead: options.AssumeDead = False,
    fail_fast: Annotated[
        bool, typer.Option("-x", "--fail-fast", help="Stop after the first file that is not valid.")
    ] = False,
    files_from: Annotated[
        str | None,
        typer.Option("--files-from", metavar="FILE", help="Names, one per line; - is stdin."),
    ] = None,
    null: Annotated[bool, typer.Option("-0", "--null", help="They are separated by NUL.")] = False,
    jobs: Annotated[
        str, typer.Option("-J", "--jobs", metavar="N|auto", help="Messages and files looked at at once.")
    ] = "1",
    progress: Annotated[
        str, typer.Option("--progress", metavar="WHEN", help="auto (on a terminal), always or never.")
    ] = "auto",
) -> None:
    """Check files: structure, metadata, digests, and that payloads decode.

    Invalid, incomplete and unreadable are three answers (exit status 1, 5 and 4); an empty file is invalid.
    """
    level = _level(quick, checksum, full)
    names = [*(files or []), *(named_in(files_from, by_nul=null) if files_from else [])]
    if not names and files_from is None:
        raise UsageError("validate needs a FILE, or --files-from")
    if against is not None and len(names) != 1:
        raise UsageError("--against compares one file with REF")
    if progress not in {"auto", "always", "never"}:
        raise UsageError(f"--progress {progress!r} does not exist, expected auto, always or never")
    policy = Policy(
        strict,
        allow_empty,
        allow_incomplete,
        min_messages,
        require_hash,
        _codes(ignore),
        _CANONICAL if canonical else frozenset(),
        tuple(_objects(require, schema)),
    )
    compare = _comparison(against, atol, rtol, limits) if against is not None else None
    writers = _writers(console, "ndjson" if as_json else format, report or [], strict=strict)
    if level in {"quick", "checksum"} and (stream or require or schema or expect):
        raise UsageError(
            f"--{level} reads no metadata: it goes with none of --stream, --require, --schema, --expect"
        )
    if require_end and not stream:
        raise UsageError("--require-end belongs to --stream")
    run = _Run(
        console,
        level,
        policy,
        options.count_of(jobs),
        limits,
        access,
        expect,
        compare,
        progress,
        stream=stream,
        require_end=require_end,
        isolate=isolate,
        assume_dead=assume_dead,
    )
    statuses: list[int] = []
    try:
        for found in run.reports(names):
            for writer, _ in writers:
                writer.add(found)
            status = exits.FAILED if found.unreadable else _STATUSES[found.verdict]
            statuses.append(exits.OK if exit_zero and not found.unreadable else status)
            if fail_fast and status:
                break
        for writer, sink in writers:
            writer.end()
            if sink is not None:
                sink.close()
    except BrokenPipeError:
        raise typer.Exit(exits.OK) from None
    raise typer.Exit(exits.highest(statuses))


def _level(quick: bool, checksum: bool, full: bool) -> str:
    chosen = [name for name, on in (("quick", quick), ("checksum", checksum), ("full", full)) if on]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other")
    level = chosen[0] if chosen else "default"
    assert level in LEVELS
    return level


def _codes(text: str | None) -> frozenset[str]:
    codes = frozenset(code for code in (text or "").split(",") if code)
    if unknown := sorted(codes - CODES.keys()):
        raise UsageError(f"--ignore {unknown[0]!r}: there is no such code; tgm(5) lists them")
    return codes


def _objects(require: list[str] | None, schemas: list[str] | None) -> Iterator[Any]:
    if not require and not schemas:
        return
    from ..operations import policies

    for expression in require or []:
        try:
            yield policies.require(expression)
        except ValueError as error:
            raise UsageError(f"--require {error}") from None
    for path in schemas or []:
        try:
            yield policies.fits_schema(path)
        except ImportError as error:
            raise UsageError(
                f"--schema needs the package {error.name}: pip install 'tgmtool[schema]'"
            ) from None


def _comparison(
    reference: str, atol: float, rtol: float, limits: Limits
) -> Callable[[str], tuple[Finding, ...]]:
    from ..operations.compare import differences

    def compare(name: str) -> tuple[Finding, ...]:
        try:
            return tuple(differences(name, reference, atol=atol, rtol=rtol, limits=limits))
        except FormatError as error:  # what cannot be read at all ends the command: it is not about the file
            return (Finding("unexpected_content", f"cannot be compared: {exits.text_of(error)}"),)

    return compare


def _writers(
    console: Console, form: str, reports: list[str], *, strict: bool
) -> list[tuple[ReportWriter, FileSink | None]]:
    found: list[tuple[ReportWriter, FileSink | None]] = []
    for text in [f"{form}={STDIO}", *reports]:
        name, _, path = text.partition("=")
        if name not in FORMATS or not path:
            option = "--format" if path == STDIO and text not in reports else "--report"
            raise UsageError(f"{option} {text!r}: expected one of {', '.join(FORMATS)}, as junit=report.xml")
        looks = {"strict": strict, "verbose": console.verbose, "quiet": console.quiet}
        if path == STDIO:
            found.append((FORMATS[name](console.write, color=console.colored(), **looks), None))
        else:
            sink = FileSink(path, private=True)
            found.append((FORMATS[name](_to(sink), **looks), sink))
    return found


def _to(sink: FileSink) -> Callable[[str], None]:
    return lambda text: sink.write([text.encode("utf-8", "backslashreplace")])


class _Run:
    """The reports of several files, in their order."""

    def __init__(
        self,
        console: Console,
        level: str,
        policy: Policy,
        jobs: int,
        limits: Limits,
        access: Access,
        expect: str | None,
        compare: Callable[[str], tuple[Finding, ...]] | None,
        progress: str,
        *,
        stream: bool,
        require_end: bool,
        isolate: bool,
        assume_dead: bool,
    ) -> None:
        self._assume_dead = assume_dead
        self._stream, self._require_end = stream, require_end
        self._isolate = isolate
        self._console = console
        self._level = level
        self._policy = policy
        self._jobs = jobs
        self._limits = limits
        self._access = access
        self._expect = expect
        self._compare = compare
        self._progress = "never" if console.quiet else progress
        self._done = 0  # bytes of the files behind us
        self._files = 0

    def reports(self, patterns: list[str]) -> Iterator[Report]:
        names: list[str] = []
        for pattern in patterns:
            try:
                names += expand(pattern)
            except SourceError as error:
                yield Report(pattern, "unchecked", unreadable=exits.text_of(error))
        sizes = [_size(name) for name in names]
        meter = Progress(sum(sizes), len(names), self._progress)
        for report in self._in_order(names, sizes, lambda done: meter.update(self._done + done, self._files)):
            self._done += report.size
            self._files += 1
            meter.update(self._done, self._files)
            meter.clear()
            yield report
        meter.clear()

    def _in_order(self, names: list[str], sizes: list[int], show: Callable[[int], None]) -> Iterator[Report]:
        """Small files are looked at several at a time, in a large one its messages are."""
        if self._jobs == 1 or self._isolate:
            yield from (self._one(name, self._jobs, show) for name in names)
            return
        waiting: deque[Future[Report]] = deque()
        with ThreadPoolExecutor(self._jobs) as pool:
            try:
                for name, size in zip(names, sizes, strict=True):
                    is_small = size < _SMALL and name != STDIO
                    if is_small:
                        waiting.append(pool.submit(self._one, name, 1, lambda _done: None))
                    while len(waiting) > (2 * self._jobs if is_small else 0):
                        yield waiting.popleft().result()
                    if not is_small:
                        yield self._one(name, self._jobs, show)
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for one in waiting:
                    one.cancel()

    def _one(self, name: str, jobs: int, show: Callable[[int], None]) -> Report:
        policy = self._policy
        if self._expect is not None:
            from ..operations.policies import Expected

            expected = Expected(self._expect)
            policy = policy._replace(objects=(*policy.objects, expected.policy), ends=(expected.missing,))
        if self._stream:
            stream = StreamPolicy(require_end=self._require_end, limits=self._limits)
            policy = policy._replace(messages=(stream.message,), ends=(*policy.ends, stream.end))
        report = self._validated(name, jobs, policy, show)
        if self._compare is not None and not report.unreadable:
            findings = (*report.findings, *self._compare(name))
            report = report._replace(findings=findings, verdict=verdict_of(findings, strict=policy.strict))
        return report

    def _validated(self, name: str, jobs: int, policy: Policy, show: Callable[[int], None]) -> Report:
        def check() -> Report:
            return validate(
                name,
                level=self._level,
                policy=policy,
                jobs=jobs,
                assume_dead=self._assume_dead,
                limits=self._limits,
                progress=show,
                access=self._access,
            )

        if not self._isolate:
            return check()
        return isolated(check, name, memory=2 * self._limits.decoded_bytes, seconds=SECONDS)


def _size(name: str) -> int:
    try:
        return os.stat(name).st_size
    except OSError:
        return 0  # stdin, or a file that cannot be read, as its report will say
