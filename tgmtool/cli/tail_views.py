"""What `tail` does with what comes: rows, lines of a template, or bytes.

It is separate from the command because a view takes one thing at a time and knows nothing of options.
"""

from __future__ import annotations

from ..errors import TgmError
from ..messages.objects import DataObject
from ..messages.spans import Notice, Piece
from ..messages.stream import DEFAULT_CHAN, DEFAULT_SENDER
from ..operations.commands import CommandFailed, CommandLine
from ..operations.contents import Found
from ..operations.keys import Keys, fill, keys_of
from ..operations.select import Condition
from ..operations.tail import Tail
from . import exits
from .console import Console
from .exits import UsageError
from .render import Listing

_WHO = (("id", "?"), ("chan", DEFAULT_CHAN), ("sender", DEFAULT_SENDER))
STATS = ("min", "mean", "max", "nan")
_NOTICES: dict[str, str] = {
    "truncated": "became shorter ({offset} bytes now); starting again from its beginning",
    "message_withdrawn": "its writer took back the message that was unfinished; {length} bytes less",
    "replaced": "was replaced by another file; starting with that",
    "removed": "is gone; waiting for it to come back",
    "appeared": "is there again",
    "gap": "byte {offset}: {length} bytes passed over: {reason}",
    "invalid": "byte {offset}: {length} bytes are not valid: {reason}",
    "cut": "byte {offset}: {reason}",
    "order": "byte {offset}: {reason}",
    "error": "{who} warns{code}: {reason}",
    "note": "{who} says: {reason}",
    "end": "{who} has ended",
}


class Show:
    """Takes what comes; returns 1 if it was shown as a unit."""

    def __init__(self, console: Console, condition: Condition | None = None, *, stats: bool = False) -> None:
        self.console = console
        self._condition = condition
        self._stats = stats

    def take(self, found: Found, steps: Tail) -> int:
        """Show what came; return 1 if it was a unit and was wanted, else 0."""
        if isinstance(found, Notice):
            self.notice(found)
            return 0
        keys = keys_of(found, file=steps.current)
        if self._condition is not None and not self._condition(keys):
            return 0
        if self._stats and isinstance(found, DataObject):
            keys = self._with_statistics(keys, found)
        self.show(keys)
        return 1

    def notice(self, notice: Notice) -> None:
        """Tell what happened to the file."""
        if notice.event == "failed" or (notice.event == "error" and notice.stream.get("fatal", True)):
            return  # said at the end, with the exit status
        if self.console.verbose or not _is_routine(notice):
            self.console.note(notice_text(notice))

    def show(self, keys: Keys) -> None:
        """Show one unit."""
        raise AssertionError  # every view has its own

    def end(self) -> None:
        """Nothing is held back."""

    def _with_statistics(self, keys: Keys, found: DataObject) -> Keys:
        from ..operations.stats import statistics

        try:
            values = statistics(found.array)
        except TgmError as error:
            self.console.note(f"{keys.get('_file')}: {exits.text_of(error)}")
            values = dict.fromkeys(STATS)
        own = {**keys.own, **values}
        return Keys(own, keys.descriptor, keys.metadata, keys.extra)


class Rows(Show):
    """A listing: one row or record per unit; in the JSON formats, events are records too."""

    def __init__(
        self, console: Console, listing: Listing, condition: Condition | None, *, stats: bool
    ) -> None:
        super().__init__(console, condition, stats=stats)
        self._listing = listing

    def show(self, keys: Keys) -> None:
        """Add a row."""
        self._listing.add(keys)

    def notice(self, notice: Notice) -> None:
        """A record in the JSON formats, else a line on stderr."""
        if self._listing.format in {"ndjson", "json"}:
            self._listing.add_event(keys_of(notice, file=notice.source).own)
        else:
            super().notice(notice)

    def end(self) -> None:
        """End the listing."""
        self._listing.end()


class Template(Show):
    """One line of text per unit, from a template."""

    def __init__(self, console: Console, template: str, condition: Condition | None, *, stats: bool) -> None:
        super().__init__(console, condition, stats=stats)
        try:
            self._fill = fill(template)
        except ValueError as error:
            raise UsageError(f"--template: {error}") from None

    def show(self, keys: Keys) -> None:
        """Print the line."""
        from .console import safe

        self.console.line(safe(self._fill(keys)))


class Exec(Show):
    """A command for each unit; the next one waits for its end."""

    def __init__(
        self,
        console: Console,
        text: str,
        condition: Condition | None,
        *,
        stats: bool,
        timeout: float | None,
        warn: bool,
    ) -> None:
        super().__init__(console, condition, stats=stats)
        self._warn = warn
        try:
            self._command = CommandLine(text, timeout)
        except ValueError as error:
            raise UsageError(f"--exec: {error}") from None

    def take(self, found: Found, steps: Tail) -> int:
        """Run it for a unit."""
        self._held = steps.interruption.held
        return super().take(found, steps)

    def show(self, keys: Keys) -> None:
        """Run it."""
        try:
            self._command.run(keys, self._held)
        except CommandFailed as error:
            if not self._warn:
                raise
            self.console.note(str(error))


class Raw(Show):
    """The bytes, verbatim."""

    def __init__(self, console: Console) -> None:
        from ..endpoints.stdio import stdout_sink
        from ..operations.relay import Relay

        super().__init__(console)
        self._relay = Relay(stdout_sink())

    def take(self, found: Found, steps: Tail) -> int:
        """Pass a piece on."""
        if isinstance(found, Notice):
            self.notice(found)
            return 0
        assert isinstance(found, Piece)
        source = steps.tracks[0].source
        assert source is not None
        self._relay.pass_on(source, found)
        return 1


def _is_routine(notice: Notice) -> bool:
    return notice.event == "end" or (notice.event == "note" and not notice.reason)


def notice_text(notice: Notice) -> str:
    """Return what a notice says, as one line for a person."""
    words = {
        "offset": notice.offset,
        "length": notice.length,
        "who": "/".join(str(notice.stream.get(key, own)) for key, own in _WHO),
        "code": f" ({notice.code})" if notice.code else "",
        "reason": notice.reason.removeprefix(f"{notice.source}: ").removeprefix(f"byte {notice.offset}: "),
    }
    return f"{notice.source}: " + _NOTICES.get(notice.code, _NOTICES[notice.event]).format(**words)
