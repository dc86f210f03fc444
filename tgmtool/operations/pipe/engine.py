"""Put stages together and run them: the way in for the library and for the command line.

It is separate from the crew because here is decided what stands where; the crew only knows stages and links.
"""

from __future__ import annotations

import os
import shlex
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from ...endpoints import STDIO, open_sink
from ...endpoints.base import Sink
from ...errors import EncodeError
from ...messages.stream import Place
from ..commands import CommandLine
from ..transforms.base import Transform
from .builtins import BY, MERGE, Settings, make
from .by_stage import ByStage
from .choices import LinkState, PipeChoices
from .crew import Crew, Hooks
from .ends import Intake, Output
from .flow import Flow
from .inner_stages import FlowStage, TransformStage
from .links import Link
from .merge import MergeStage
from .process_stage import ProcessStage
from .specs import PROCESS, WORKERS, Spec, parse
from .stages import Stage
from .worker_stage import WorkerStage


@dataclass(frozen=True, slots=True)
class PipeReport:
    """How a pipeline ended.

    Attributes:
        messages: Whole ones that came out at its end.
        bytes: That came out.
        seconds: It took.
        failure: What went wrong first; None if nothing did.
        stage: The number of the stage where it did, from 1; None if it was the whole pipeline.
        producer_error: What a producer upstream said of its own failure.
        losses: What was skipped, set aside or left unread, in words.
        links: What passed between the stages.
    """

    messages: int
    bytes: int
    seconds: float
    failure: Exception | None = None
    stage: int | None = None
    producer_error: Place | None = None
    losses: tuple[str, ...] = ()
    links: tuple[LinkState, ...] = field(default=())


class Engine:
    """A pipeline that is put together and not started yet.

    Args:
        stages: As they are written, or transforms.
        source: A descriptor, `-`, or anything that `open_source` takes.
        sink: A descriptor, `-`, a path, a binary file or a Sink; None throws away.
        choices: How it runs.
        settings: What the built-in stages have to know.
        hooks: Whom to tell what.
        refuse: Raises if messages must not be written to the sink (it is a terminal).

    Raises:
        EncodeError: A stage that cannot be understood.
        SourceError: A place that cannot be opened.
    """

    def __init__(
        self,
        stages: Sequence[str | Transform],
        *,
        source: Any = STDIO,
        sink: Any = STDIO,
        choices: PipeChoices | None = None,
        settings: Settings | None = None,
        hooks: Hooks | None = None,
        refuse: Callable[[], None] = lambda: None,
    ) -> None:
        self.choices = choices or PipeChoices()
        self.choices.check()
        parsed = [parse(each) if isinstance(each, str) else each for each in stages]
        self._own_descriptors: list[int] = []
        reads = 0 if source == STDIO else source
        if isinstance(reads, int) and parsed and isinstance(parsed[0], Spec) and parsed[0].kind == PROCESS:
            reads = self._inheritable(reads)
        self.crew = Crew(self.choices, hooks or Hooks(), reads if isinstance(reads, int) else 0)
        self._sink: Sink | None = None
        self._sink_is_mine = False
        self.stages: list[Stage] = []
        try:
            self._build(parsed, reads, sink, settings or Settings(), refuse)
        except BaseException:
            self._let_go()
            self.crew.discard(self.stages)
            raise

    def _inheritable(self, descriptor: int) -> int:
        """Return what the first command reads; not a terminal: its group is not the terminal's."""
        if not os.isatty(descriptor):
            return descriptor
        found = os.open(os.devnull, os.O_RDONLY)
        self._own_descriptors.append(found)
        return found

    def _build(
        self,
        parsed: Sequence[Spec | Transform],
        reads: Any,
        sink: Any,
        settings: Settings,
        refuse: Callable[[], None],
    ) -> None:
        first = parsed[0] if parsed else None
        has_intake = not (
            isinstance(first, Spec)
            and ((first.kind == PROCESS and isinstance(reads, int)) or first.words[0] == MERGE)
        )
        count = len(parsed) + has_intake
        # The processes of one @by share what two links more may hold.
        hidden = sum(2 for each in parsed if isinstance(each, Spec) and each.words[0] == BY)
        capacity = self.choices.capacity(count + hidden)
        links: list[Link | None] = [Link(capacity, self.choices.depth) for _ in range(count)]
        if has_intake:
            assert links[0] is not None
            self.stages.append(Intake(self.crew, links[0], reads, "<stdin>"))
        else:
            links.insert(0, None)
        for number, each in enumerate(parsed, 1):
            after = links[number]
            assert after is not None
            self.stages.append(self._stage(each, number, links[number - 1], after, settings))
        last = links[-1]
        assert last is not None
        self.stages.append(self._output(len(parsed) + 1, last, sink, refuse))

    def _stage(
        self, each: Spec | Transform, number: int, before: Link | None, after: Link, settings: Settings
    ) -> Stage:
        name = each.name
        place = (self.crew, number, f"stage {number} {name!r}")
        if isinstance(each, Spec) and each.kind == PROCESS:
            return ProcessStage(*place, before, after, spec=each, stdin=self.crew.stdin)
        if isinstance(each, Spec) and each.words[0] == MERGE:
            if len(each.words) == 1:
                raise EncodeError(f"stage {each.text!r}: expected {MERGE} PATH…")
            return MergeStage(*place, before, after, each.words[1:])
        assert before is not None
        if isinstance(each, Spec) and each.words[0] == BY:
            key, command = _key_and_command(each)
            return ByStage(*place, before, after, key=key, command=command, most=settings.most_processes)
        if isinstance(each, Spec) and each.kind == WORKERS:
            return WorkerStage(*place, before, after, spec=each, in_order=self.choices.in_order)
        does = make(each, settings) if isinstance(each, Spec) else each
        if isinstance(said := getattr(does, "warnings", None), list):  # of opening what it writes to
            for text in said:
                self.crew.hooks.noted(text)
        if isinstance(does, Flow):
            return FlowStage(*place, before, after, does)
        return TransformStage(*place, before, after, does)

    def _output(self, number: int, before: Link, sink: Any, refuse: Callable[[], None]) -> Output:
        if sink == STDIO:
            sink = 1
        if sink is None or isinstance(sink, int):
            return Output(self.crew, number, before, sink, "<stdout>", refuse)
        self._sink = open_sink(sink)
        self._sink_is_mine = self._sink is not sink
        return Output(self.crew, number, before, self._sink, self._sink.name, refuse)

    def run(self) -> PipeReport:
        """Run to the end; nothing that was started is left when this returns. May be called once."""
        start = monotonic()
        try:
            self.crew.run(self.stages)
        finally:
            self._let_go()
        failure = self.crew.failure
        output = self.stages[-1]
        assert output.before is not None
        stage = None if failure is None or failure.stage is None else failure.stage.number
        return PipeReport(
            messages=output.messages,
            bytes=output.before.taken,
            seconds=monotonic() - start,
            failure=None if failure is None else failure.error,
            stage=stage,
            producer_error=self.crew.producer_error,
            losses=tuple(self.crew.losses),
            links=tuple(self.crew.look()),
        )

    def _let_go(self) -> None:
        for descriptor in self._own_descriptors:
            os.close(descriptor)
        self._own_descriptors.clear()
        if self._sink is not None and self._sink_is_mine:
            if self.crew.has_failed:
                self._sink.abort()
            else:
                self._sink.close()
            self._sink = None


def _key_and_command(spec: Spec) -> tuple[str, CommandLine]:
    if len(spec.words) < 3:
        raise EncodeError(f"stage {spec.text!r}: expected {BY} KEY CMD ARGS…")
    try:
        return spec.words[1], CommandLine(shlex.join(spec.words[2:]), name=BY)
    except ValueError as error:
        raise EncodeError(f"stage {spec.text!r}: {error}") from error


def pipeline(
    stages: Sequence[str | Transform],
    *,
    source: Any = STDIO,
    sink: Any = STDIO,
    choices: PipeChoices | None = None,
) -> PipeReport:
    """Run a pipeline: the engine of `tgmtool pipe`.

    Args:
        stages: In their order. Each is text, as on the command line: a command (`"gzip -dc"`: it reads and
            writes a stream of messages, is split as by a shell, and no shell runs it), `"4*CMD"` (a run
            per message, four at once, order kept), `"@where mars.param=2t"` and so on; or an
            object with `name`, `needs`, `message` and `finish`, as in `tgmtool.operations.transforms.base`.
        source: What is read: `-`, a path, bytes, a binary file, a Source, or a descriptor.
        sink: What is written: `-`, a path, a binary file, a Sink, a descriptor; None throws away.
        choices: Bounds, clocks, and what to do at damage.

    Returns:
        What passed; also if a producer upstream said that it failed, or something was skipped: see
        `producer_error` and `losses`.

    Raises:
        EncodeError: A stage that cannot be understood.
        StageFailed: A stage failed; the first of them.
        TimeLimit: A clock of `choices` ran out.
        FormatError: The input is damaged or cut. Whole messages before that were delivered.
        SourceError: A place failed; BrokenPipeError when nobody reads the sink any more.
        KeyboardInterrupt: Everything was ended first.

    Every process, thread, descriptor and temporary file is gone when this returns or raises.
    """
    engine = Engine(stages, source=source, sink=sink, choices=choices)
    interrupted = False
    before: Any = None

    def interrupt(number: int, _frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        engine.crew.interrupt(number)

    in_main = threading.current_thread() is threading.main_thread()
    if in_main:
        before = signal.signal(signal.SIGINT, interrupt)
    try:
        report = engine.run()
    finally:
        if in_main:
            signal.signal(signal.SIGINT, before)
    if interrupted:
        raise KeyboardInterrupt
    if report.failure is not None:
        raise report.failure
    return report
