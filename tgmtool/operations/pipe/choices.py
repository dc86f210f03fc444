"""How a pipeline runs: the bounds, the clocks, and what to do when something goes wrong.

It is separate because the engine, the library and the command line all speak of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ...errors import EncodeError
from ...limits import DEFAULT_LIMITS, Limits, available_memory
from .reader import ON_ERROR

LEAST_BUFFER = 4096
LEAST_BUDGET = 64 << 20
_AUTO_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class PipeChoices:
    """How a pipeline runs.

    Attributes:
        buffer: Bytes that each link holds at most.
        depth: Messages that each link holds at most; None: as many as fit.
        memory_budget: Bytes that all links hold together; None: `buffer` for each.
        on_error: At damaged input: "stop", "skip" or "pass".
        in_order: Per-message stages pass on in the order in which messages came.
        idle_timeout: Seconds for which nothing may come in.
        stall_timeout: Seconds for which a stage may leave what waits for it.
        item_timeout: Seconds that one message may take in a per-message or built-in stage.
        timeout: Seconds in all.
        warn_after: Seconds of standing still after which a warning is given.
        grace: Seconds between asking a stage to end and ending it.
        keep_going: A message that a stage fails on is set aside, and the next is taken.
        failed: File that such messages are written to; None: they are dropped.
        name: Sender of the error marker that tells whoever reads that the pipeline failed.
        stderr_limit: Bytes of each stage's stderr that are passed on.
        limits: What the input may cost.
    """

    buffer: int = 64 << 20
    depth: int | None = None
    memory_budget: int | None = None
    on_error: str = "stop"
    in_order: bool = True
    idle_timeout: float | None = None
    stall_timeout: float | None = None
    item_timeout: float | None = None
    timeout: float | None = None
    warn_after: float | None = None
    grace: float = 5.0
    keep_going: bool = False
    failed: str | None = None
    name: str = "pipe"
    stderr_limit: int = 64 << 10
    limits: Limits = DEFAULT_LIMITS

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            EncodeError: Says what.
        """
        if self.on_error not in ON_ERROR:
            raise EncodeError(
                f"on_error {self.on_error!r} does not exist, expected one of {', '.join(ON_ERROR)}"
            )
        if self.buffer < LEAST_BUFFER:
            raise EncodeError(
                f"a buffer of {self.buffer} bytes is too small, expected at least {LEAST_BUFFER}"
            )
        if self.failed is not None and not self.keep_going:
            raise EncodeError("a file for failed messages is of use with keep_going alone")

    def capacity(self, links: int) -> int:
        """Return the bytes that each of so many links may hold."""
        if self.memory_budget is None:
            return self.buffer
        return min(self.buffer, max(self.memory_budget, LEAST_BUDGET) // max(links, 1))


def budget(share: float | None = None) -> int:
    """Return a share of the memory that is available now (a quarter if None); at least 64 MiB."""
    available = available_memory()
    if available is None:
        return LEAST_BUDGET
    return max(int(available * (_AUTO_SHARE if share is None else share)), LEAST_BUDGET)


class LinkState(NamedTuple):
    """What a link looks like: between which stages, how full, how much passed, how old the oldest is."""

    before: str
    after: str
    messages: int
    bytes: int
    held: int
    peak: int
    capacity: int
    waiting: int
    oldest: float
    blocked: bool
    hungry: bool
