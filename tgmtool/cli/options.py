"""Options that several commands share: spelled, explained and parsed once.

It is separate so that `--jobs` means the same everywhere, and so that sizes and durations are
read by one function each.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

from ..errors import TgmError
from ..limits import Limits
from ..operations import quantities
from ..operations.keys import Keys
from ..operations.select import Condition, where
from .access import OPTIONS, access_of
from .console import Console
from .exits import Carried, UsageError
from .render import FORMATS


def size(text: str) -> int:
    """Return the bytes that `64M`, `64MiB` (2^20) or `1.5GB` (10^9) are; M alone is 2^20."""
    try:
        return quantities.size(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def duration(text: str) -> float:
    """Return the seconds that `500ms`, `10s`, `2m` or `1h` are; a bare number is seconds."""
    try:
        return quantities.duration(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def optional_duration(text: str | None) -> float | None:
    """As `duration`, with None for None."""
    return None if text is None else duration(text)


def count_of(text: str) -> int:
    """Return the number of threads that `-J` asks for; auto is one for each core there is for us."""
    if text == "auto":
        return len(os.sched_getaffinity(0))
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--jobs {text!r}: expected a positive number, or auto")
    return int(text)


def setting(text: str) -> tuple[str, Any]:
    """Return the key and the value of `K=V` (text, or a number) or `K:=JSON`."""
    key, found, value = text.partition("=")
    if not found or not key.strip(":"):
        raise UsageError(f"{text!r} is no setting, expected KEY=VALUE or KEY:=JSON")
    if not key.endswith(":"):
        return key, _number_or_text(value)
    try:
        return key[:-1], json.loads(value)
    except ValueError as error:
        raise UsageError(f"{text!r}: the value is not JSON ({error})") from None


def _number_or_text(text: str) -> Any:
    # 06 and +6 stay text: only what reads the same again is a number.
    for kind in (int, float):
        try:
            if str(kind(text)) == text and text not in {"nan", "inf", "-inf"}:
                return kind(text)
        except ValueError:
            continue
    return text


def nested(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the map that dotted keys make: `mars.step` goes into `mars`."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        place = found
        *path, last = key.split(".")
        for part in path:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise UsageError(f"{key!r}: {part!r} is a value already, it cannot hold keys")
            place = inner
        place[last] = value
    return found


def condition(expressions: list[str] | None, option: str = "-w") -> Condition | None:
    """Return the test that the `-w` expressions make, or None."""
    try:
        return where(expressions or [])
    except ValueError as error:
        raise UsageError(f"{option} {error}") from None


def console_of(verbose: bool, quiet: bool, color: str) -> Console:
    """Return the console that the global options ask for."""
    if color not in {"auto", "always", "never"}:
        raise UsageError(f"--color {color!r} does not exist, expected auto, always or never")
    return Console(color=color, quiet=quiet, verbose=verbose)


def limits_of(given: dict[str, str | None]) -> Limits:
    """Return the limits: options, then `TGMTOOL_MAX_NAME`, then the defaults.

    Args:
        given: Option values by field name; None where an option was not given.
    """
    found = {}
    for name in Limits._fields:
        variable = f"TGMTOOL_MAX_{name.upper()}"
        option = "--max-" + name.replace("_", "-")
        text, said = (given[name], option) if given.get(name) else (os.environ.get(variable), variable)
        if text:
            try:
                found[name] = size(text)
            except UsageError as error:
                raise UsageError(f"{said}: {error}") from None
    return Limits(**found)


def columns_of(
    keys: str | None, add: str | None, mars: bool, namespace: str | None
) -> tuple[list[str] | None, list[str], list[str]]:
    """Return (columns or None, columns to add, namespaces whose keys are added)."""
    chosen = [name for name in (keys or "").split(",") if name] or None
    added = [name for name in (add or "").split(",") if name]
    spaces = (["mars"] if mars else []) + ([namespace] if namespace else [])
    return chosen, added, spaces


def with_namespaces(columns: list[str], keys: Keys, spaces: list[str]) -> list[str]:
    """Return `columns` and the keys of the namespaces that `keys` has."""
    more = [name for space in spaces for name in keys.names_in(space)]
    return columns + [name for name in more if name not in columns]


def check_format(name: str | None, as_json: bool) -> str | None:
    """Return the format that `--format` and `-j` ask for."""
    chosen = "ndjson" if as_json else name
    if chosen is not None and chosen not in FORMATS:
        raise UsageError(f"--format {chosen!r} does not exist, expected one of {', '.join(FORMATS)}")
    return chosen


Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more on stderr.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing on stderr but errors.")]
Color = Annotated[
    str, typer.Option("--color", metavar="WHEN", help="Colour: auto, always or never. NO_COLOR is obeyed.")
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "-w",
        "--where",
        metavar="EXPR",
        help="Only what matches: KEY=VALUE, != < <= > >=; values A/B, A/to/B/by/C or globs; several "
        "conditions joined by commas, or several -w, must all hold.",
    ),
]
KeyList = Annotated[str | None, typer.Option("-p", "--keys", metavar="K,…", help="Show these keys.")]
AddKeys = Annotated[str | None, typer.Option("-P", "--add-keys", metavar="K,…", help="Show these keys too.")]
Mars = Annotated[bool, typer.Option("-m", "--mars", help="Show all keys of `mars` too.")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", metavar="NS", help="Show all keys of this namespace too.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="FMT", help="table, tsv, csv, ndjson or json [table on a terminal, else tsv]."
    ),
]
AsJson = Annotated[bool, typer.Option("-j", "--json", help="One JSON line per record (--format ndjson).")]

AssumeDead = Annotated[
    bool,
    typer.Option(
        "--assume-dead", help="Whole messages that stand inside a cut one are messages: its writer died."
    ),
]

ReconnectTimeout = Annotated[
    str,
    typer.Option(
        "--reconnect-timeout",
        metavar="DUR",
        help="Following a URL: give up when nobody answered for so long.",
    ),
]

_LIMIT_HELP = {
    "cbor_bytes": "Largest metadata frame or descriptor",
    "cbor_depth": "Deepest nesting of metadata",
    "cbor_items": "Most values in one metadata frame",
    "ndim": "Most dimensions of an object",
    "objects": "Most objects in a message",
    "decoded_bytes": "Largest decoded object (half of the free memory counts too)",
    "retained_bytes": "Bytes of a pipe that are kept to find the next message after damage",
    "senders": "Most producers in one stream",
}


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Add the global options and the limits to a command; hand them to it as `console` and `limits`.

    A command with a parameter `access` gets the options for remote places too, and what they say; one
    that has an option of the same name keeps its own.
    """
    hints = get_type_hints(function, include_extras=True)
    wanted = inspect.signature(function).parameters
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in wanted.items()
        if name not in {"console", "limits", "access"}
    ]
    reaching = [each for each in OPTIONS if "access" in wanted and each[0] not in wanted]
    shared = [
        *(_keyword(*each) for each in reaching),
        _keyword("verbose", Verbose, False),
        _keyword("quiet", Quiet, False),
        _keyword("color", Color, "auto"),
        *(_keyword(f"max_{name}", _limit_option(name), None) for name in Limits._fields),
    ]

    def run(**given: Any) -> None:
        console = console_of(given.pop("verbose"), given.pop("quiet"), given.pop("color"))
        limits = limits_of({name: given.pop(f"max_{name}") for name in Limits._fields})
        if "access" in wanted:
            given["access"] = access_of({name: given.pop(name) for name, _, _ in reaching})
        try:
            function(console=console, limits=limits, **given)
        except (TgmError, OSError) as error:
            raise Carried(error) from error

    parameters = [*own, *shared]
    run.__name__ = function.__name__
    run.__doc__ = function.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    return run


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _limit_option(name: str) -> Any:
    default = Limits._field_defaults[name]
    shown = f"{default >> 20}M" if default >= 1 << 20 and default % (1 << 20) == 0 else str(default)
    flag = "--max-" + name.replace("_", "-")
    return Annotated[
        str | None, typer.Option(flag, metavar="N", help=f"Limit: {_LIMIT_HELP[name]} [{shown}].")
    ]
