"""What the man page and the help page of a command say, in their order, however they look.

It is separate so that the two cannot say different things: `roff.py` and `plain.py` only render.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ...operations.keys import DESCRIPTOR_KEYS
from ..exits import _RANK, TABLE

if TYPE_CHECKING:
    from ..reference import Command, Option

T = TypeVar("T")

_CONVENTIONS = (
    "Data goes to stdout, everything else to stderr. Nothing prompts. - is stdin or stdout. Bytes are not "
    "written to a terminal unless --force is given. Messages and objects are counted from 0; offsets and "
    "lengths are bytes. Defaults stand in [brackets]."
)
_BEFORE_OR_AFTER = "They may stand before or after the command."
_DURATIONS = "DUR is a number with ms, s, m, h or d behind it; a bare number is seconds."
_KEYS = (
    "A key names a value of an object. mars.step goes into maps; it is looked up in the object's metadata, "
    f"then in the message's. {', '.join(DESCRIPTOR_KEYS)} and masks come from the object's descriptor. Names "
    "that begin with _ are computed:"
)
_COMPUTED = (
    ("everything", "_file; _offset and _length, in bytes from the start of the file; _status."),
    ("objects", "_msg and _obj, their numbers; _payload_offset and _payload_length; _hash."),
    (
        "messages",
        "_msg; _objects, how many; _mode: buffered, backfilled, or streaming (no lengths yet); _flags.",
    ),
    ("frames", "_msg; _type and _name; _flags; _padding, in bytes; _hash."),
    ("bytes of no whole message", "_code and _reason."),
)
_CONDITIONS = (
    "KEY=A/B holds if the value is A or B, KEY!=A/B if it is neither. A/to/B and A/to/B/by/C are ranges; "
    "*, ? and [...] make a pattern. <, <=, > and >= compare with one value. Numbers compare as numbers: "
    "06 is 6. A key that is not there fails = and passes !=. Conditions joined by commas must all hold."
)
_LIMITS = (
    "What a file may cost before it is refused. N is a number or a size: 64M and 64MiB are 64 * 2^20, 64MB "
    "is 64 * 10^6. Each can also be set in the environment: TGMTOOL_MAX_NDIM for --max-ndim."
)
_SEVERAL = (
    "Each input is reported, and the exit status is the first of "
    f"{', '.join(map(str, _RANK))} that any of them gave. A listing whose reader went away (as head does) "
    "exits with 0."
)

Span = tuple[str, str]
"""A font (B, I or R) and text."""
Item = tuple[tuple[Span, ...], str]
"""A term, and what it means."""


class Section(NamedTuple):
    """One section of a page.

    Attributes:
        title: Its heading.
        paragraphs: What stands before the items.
        items: Terms and what they mean.
        in_help: It stands in the help page, not only in the man page.
        below: It is part of the section before it.
        examples: What a command line does, and the command line.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()
    in_help: bool = True
    below: bool = False
    examples: tuple[tuple[str, str], ...] = ()


class Page(NamedTuple):
    """What the man page and the help page of a command say; the description comes first."""

    name: str
    summary: str
    synopsis: tuple[Span, ...]
    sections: tuple[Section, ...]


def page_of(
    command: Command,
    limits: Iterable[Option],
    environment: Iterable[tuple[str, str]],
    examples: tuple[tuple[str, str], ...],
) -> Page:
    """Return what is to be said of a command.

    Args:
        command: The command, or the tool.
        limits: The limits of all commands: each is an environment variable too.
        environment: The other variables, and what they do.
        examples: What a command line does, and the command line.
    """
    options = {each for option in command.options for each in option.names}
    others = [f"tgmtool-{each}(1)" for each, _ in command.commands] or ["tgmtool(1)"]
    shows_keys = options & {"--keys", "--where"}
    takes_durations = any(option.value == "DUR" for option in command.options)
    variables = [(_variable(option), f"As {option.names[-1]}: {option.help}") for option in limits]
    sections = (
        Section("Description", (*command.description, *_if(not command.name, _CONVENTIONS))),
        Section("Commands", items=_named("B", command.commands)),
        Section("Arguments", items=_named("I", command.arguments)),
        Section("Options", _if(takes_durations, _DURATIONS), _options(command.own)),
        Section(
            "Common options", _if(not command.name, _BEFORE_OR_AFTER), _options(command.common), below=True
        ),
        Section(
            "Limits for untrusted input", _if(command.limits, _LIMITS), _options(command.limits), below=True
        ),
        Section("Keys", _if(shows_keys, _KEYS), _if(shows_keys, *_named("R", _COMPUTED)), in_help=False),
        Section("Conditions", _if("--where" in options, _CONDITIONS), in_help=False),
        Section("Exit status", items=_named("B", ((str(status), text) for status, text in TABLE))),
        Section("Several inputs", (_SEVERAL,), in_help=False, below=True),
        Section("Environment", items=_named("B", [*variables, *environment]), in_help=False),
        Section("Examples", examples=examples),
        Section("See also", (", ".join([*others, "tgm(5)"]),)),
    )
    said = tuple(each for each in sections if each.paragraphs or each.items or each.examples)
    return Page(command.page, command.summary, _synopsis(command), said)


def _if(wanted: object, *what: T) -> tuple[T, ...]:
    return what if wanted else ()


def _variable(limit: Option) -> str:
    return f"TGMTOOL{limit.names[-1][1:].upper().replace('-', '_')}"


def _named(font: str, rows: Iterable[tuple[str, str]]) -> tuple[Item, ...]:
    return tuple((((font, term),), text) for term, text in rows)


def _options(options: Iterable[Option]) -> tuple[Item, ...]:
    return tuple((_term(option), option.help) for option in options)


def _term(option: Option) -> tuple[Span, ...]:
    spans: list[Span] = []
    for name in option.names:
        spans += [("R", ", "), ("B", name)] if spans else [("B", name)]
    if option.value is not None:
        before, after = ("[=", "]") if option.optional else (" ", "")
        spans += [("R", before), ("I", option.value), ("R", after)]
    return tuple(spans)


def _synopsis(command: Command) -> tuple[Span, ...]:
    if not command.name:
        return (
            ("B", "tgmtool"),
            ("R", " [OPTION]... "),
            ("I", "COMMAND"),
            ("R", " [OPTION]... [ARGUMENT]..."),
        )
    arguments = " ".join(term for term, _ in command.arguments)
    return (("B", f"tgmtool {command.name}"), ("R", " [OPTION]... "), ("I", arguments))
