"""The options of `tail`: spelled and explained; what they do stands in `tail`.

It is separate because there are many of them, and a list reads best on a page of its own.
"""

from __future__ import annotations

from typing import Annotated

import typer

_Text = str | None


Files = Annotated[
    list[str],
    typer.Argument(metavar="FILE…", help="Files or URLs to follow, folders of whole files, or - (stdin)."),
]
Last = Annotated[
    _Text,
    typer.Option(
        "-n",
        "--last",
        metavar="N|+N",
        help="Begin with the last N units; +N: with unit N [10; with --state, --ack or a folder, all].",
    ),
]
Follow = Annotated[
    bool,
    typer.Option(
        "-f", "--follow", help="Wait for more. --follow=descriptor: keep to the file, not the name."
    ),
]
FollowHow = Annotated[str, typer.Option("--follow-how", hidden=True)]
FollowRetry = Annotated[bool, typer.Option("-F", help="--follow=name --retry.")]
Retry = Annotated[
    bool, typer.Option("--retry", help="Try again while a file is not there or cannot be read.")
]
Sleep = Annotated[str, typer.Option("-s", "--sleep", metavar="DUR", help="Look at least this often.")]
Watch = Annotated[
    str, typer.Option("--watch", metavar="HOW", help="auto: use the system's notices; off: poll only.")
]
Pid = Annotated[
    int | None,
    typer.Option("--pid", metavar="PID", min=1, help="Stop when this process is gone and all was read."),
]
While = Annotated[
    _Text,
    typer.Option(
        "--while", metavar="CMD", help="Stop when this command, run at every look, fails and all was read."
    ),
]
UntilExists = Annotated[
    _Text, typer.Option("--until-exists", metavar="PATH", help="Stop when PATH is there and all was read.")
]
Until = Annotated[
    _Text, typer.Option("--until", metavar="EXPR", help="Stop after the first unit that matches (as -w).")
]
Count = Annotated[int | None, typer.Option("--count", metavar="N", min=1, help="Stop after N units.")]
IdleTimeout = Annotated[
    _Text, typer.Option("--idle-timeout", metavar="DUR", help="Give up when nothing new came for so long.")
]
Timeout = Annotated[_Text, typer.Option("--timeout", metavar="DUR", help="Give up after so long.")]
WaitFor = Annotated[
    _Text, typer.Option("--wait-for", metavar="DUR", help="The file may not exist yet, for so long.")
]
Unit = Annotated[str, typer.Option("--unit", metavar="UNIT", help="object, message or frame.")]
From = Annotated[
    _Text,
    typer.Option(
        "--from", metavar="WHERE", help="start, end, offset:N, seq:N or seq:SENDER:N, instead of -n."
    ),
]
Chan = Annotated[
    list[str] | None,
    typer.Option("--chan", metavar="NAME", help="Only this channel of the stream; several may be named."),
]
Producers = Annotated[
    int | None,
    typer.Option(
        "--producers", metavar="N", min=1, help="So many senders must have ended [all that were seen]."
    ),
]
RequireEnd = Annotated[
    bool, typer.Option("--require-end", help="A stream that stops without its end is incomplete (5).")
]
Forever = Annotated[bool, typer.Option("--forever", help="Do not stop when the stream has ended.")]
Any = Annotated[bool, typer.Option("--any", help="Of several files, stop when the first has ended.")]
Commit = Annotated[
    str,
    typer.Option(
        "--commit", metavar="HOW", help="A file in a folder is whole by: rename, or sentinel (NAME.done)."
    ),
]
State = Annotated[
    _Text,
    typer.Option(
        "--state", metavar="FILE", help="Remember how far it came, and go on there after a restart."
    ),
]
StateEvery = Annotated[
    _Text,
    typer.Option(
        "--state-every",
        metavar="DUR",
        help="Write state and acknowledgments at most so often; 0: for each unit [1s; with --exec, 0].",
    ),
]
StateReset = Annotated[bool, typer.Option("--state-reset", help="Forget what --state remembers.")]
Ack = Annotated[
    _Text,
    typer.Option(
        "--ack", metavar="FILE", help="Acknowledge there what is durable here, for `encode --wait-ack`."
    ),
]
AckSender = Annotated[
    _Text, typer.Option("--ack-sender", metavar="NAME", help="Who acknowledges, if several do [0].")
]
Raw = Annotated[
    bool,
    typer.Option(
        "--raw", help="Pass the bytes on verbatim: frame by frame, or whole messages with --unit message."
    ),
]
Template = Annotated[
    _Text,
    typer.Option("--template", metavar="TEXT", help="One line per unit, as '{mars.param} {mars.step}'."),
]
Exec = Annotated[
    _Text,
    typer.Option(
        "--exec",
        metavar="CMD",
        help="Run this for each unit, as 'meter {mars.step} {_file}': no shell, each value one argument.",
    ),
]
ExecErrors = Annotated[
    str,
    typer.Option(
        "--exec-errors", metavar="HOW", help="A command that fails: fail (ends the run), or warn and go on."
    ),
]
ExecTimeout = Annotated[
    _Text, typer.Option("--exec-timeout", metavar="DUR", help="A command that takes longer has failed.")
]
Stats = Annotated[bool, typer.Option("--stats", help="Minimum, mean, maximum and NaN count of each object.")]
Progress = Annotated[
    bool,
    typer.Option("--progress", help="Say on stderr how it goes: a line that changes, or one every 10 s."),
]
Verify = Annotated[
    bool,
    typer.Option("--verify/--no-verify", help="Check every frame's digest; what differs is not shown [on]."),
]
Settle = Annotated[
    str,
    typer.Option(
        "--settle", metavar="DUR", help="Read damage at the end again for so long before believing it."
    ),
]
Stall = Annotated[
    _Text,
    typer.Option(
        "--stall",
        metavar="DUR",
        help="Whole messages behind one that was not finished are shown when the file did not change for so "
        "long, nobody holds its lock, and they fill it to its end.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Write bytes to a terminal.")]
