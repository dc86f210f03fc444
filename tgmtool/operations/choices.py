"""How to follow: every choice of `tail`, with its default.

It is separate because the steps of following, the place where it begins and the command line all
read it, and none of them owns it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..limits import DEFAULT_LIMITS, Limits
from .contents import Found

UNITS = ("object", "message", "frame", "piece", "whole")


@dataclass(frozen=True, slots=True)
class Choices:
    """How to follow; the defaults follow nothing and show the last ten.

    Attributes:
        unit: What is handed out: "object", "message", "frame", "piece" (verbatim bytes as soon as they are
            whole) or "whole" (verbatim bytes of whole messages).
        follow: Wait for more.
        last: Begin with the last so many units; None for all. On a pipe all, unless it is given:
            then so many are held in memory until the pipe ends.
        skip: Pass over so many units at the beginning; used when `last` is None.
        start: "start", "end", "offset:N" (a message must begin at byte N), "seq:N" or "seq:SENDER:N" (the
            first message with that number or a higher one); overrides `last` and `skip`.
        poll: Seconds between two looks; notices of the system make it sooner.
        notices: Use them. False on file systems where they do not arrive.
        by_name: Follow the name: a replaced file is begun anew. False: the file that was opened.
        retry: A file that is not there, or cannot be read, is tried again at every look.
        wait_for: Seconds for which a file may not exist at the start.
        pid: Stop when this process is gone and everything was read.
        while_command: Stop when this command, run again and again, fails and everything was read.
        until_exists: Stop when this file is there and everything was read.
        chans: Only these channels are handed out, and only their ends count; all if empty.
        producers: So many senders must have ended before following stops; None: all that were seen.
        any_end: Of several places, stop when the senders of one have ended.
        forever: Do not stop when senders have ended.
        commit: When a file in a folder is whole: "rename" (it has its name) or "sentinel" (`NAME.done`).
        state: File that remembers how far everything was handed out. A unit counts as taken when the
            next one is asked for. It is written at most every `state_period` seconds, and at the end.
        state_reset: Forget what it holds.
        state_period: Seconds; 0 for each unit. For `ack` too, which is written every 64 MiB besides.
        ack: File to which acknowledgments are written whenever the state would be.
        ack_sender: Who acknowledges.
        flush: Called before state and acknowledgments are written: makes durable what was taken.
            `atail` calls it in a thread.
        until: Stop after the first unit for which this is true; it is handed out.
        count: Stop after so many units.
        idle_timeout: Raise TimeLimit after so many seconds without anything new.
        timeout: Raise TimeLimit after so many seconds.
        verify: Check every frame's digest.
        restore: See `DataObject`.
        settle: See `Follower`.
        stall: See `Follower`; used when following.
        assume_dead: See `Follower`.
        limits: What the input may cost.
    """

    unit: str = "object"
    follow: bool = False
    last: int | None = 10
    skip: int = 0
    start: str | None = None
    poll: float = 1.0
    notices: bool = True
    by_name: bool = True
    retry: bool = False
    wait_for: float = 0.0
    pid: int | None = None
    while_command: str | None = None
    until_exists: str | None = None
    chans: frozenset[str] = frozenset()
    producers: int | None = None
    any_end: bool = False
    forever: bool = False
    commit: str = "rename"
    state: str | None = None
    state_reset: bool = False
    state_period: float = 1.0
    ack: str | None = None
    ack_sender: str | None = None
    flush: Callable[[], object] | None = None
    until: Callable[[Found], bool] | None = None
    count: int | None = None
    idle_timeout: float | None = None
    timeout: float | None = None
    verify: bool = True
    restore: bool = True
    settle: float = 1.0
    stall: float | None = None
    assume_dead: bool = False
    limits: Limits = DEFAULT_LIMITS
