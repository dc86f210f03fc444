"""Write the man pages, the completions and the help pages from the command tree.

It is separate because it runs when the command line changes, not when it is used: whoever asks for help
or presses TAB gets a file, and no parser is imported. What each view looks like stands in `pages/`.

    python -m tgmtool.cli.reference             write what differs
    python -m tgmtool.cli.reference --check     name what differs, exit 1
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any, NamedTuple

import typer

from .. import __version__, codecs
from ..limits import Limits
from ..operations.arrays import FORMATS as ARRAY_FORMATS
from ..operations.inbox import COMMITS as INBOX_COMMITS
from ..operations.inputs import READERS
from ..operations.numbering import ENDS, MODES
from ..operations.outputs import COMMITS, FSYNCS
from ..operations.pipe.reader import ON_ERROR
from ..operations.scan import UNITS
from ..operations.writer import LAYOUTS
from . import _GLOBAL_FLAGS, _GLOBAL_VALUES, exits
from .pages.completions import bash, fish, zsh
from .pages.contents import page_of
from .pages.plain import help_page
from .pages.roff import man_page
from .render import FORMATS
from .reports import FORMATS as REPORT_FORMATS
from .run import build
from .scan import _MATCHES

VALUES: dict[str, tuple[str, ...]] = {
    "--color": ("auto", "always", "never"),
    **{f"{command} --format": FORMATS for command in ("tail", "scan", "cat-remote")},
    "validate --format": tuple(REPORT_FORMATS),
    "--as": tuple(ARRAY_FORMATS),
    **{f"{command} --progress": ("auto", "always", "never") for command in ("validate", "pipe")},
    "--unit": UNITS,
    "--match": _MATCHES,
    "--encoding": codecs.names(codecs.ENCODING),
    "--filter": codecs.names(codecs.FILTER),
    "--compression": codecs.names(codecs.COMPRESSION),
    "--layout": LAYOUTS,
    "encode --commit": COMMITS,
    "tail --commit": INBOX_COMMITS,
    "--fsync": FSYNCS,
    "--group": ("all", "file"),
    "--end": ENDS,
    "--mode": MODES,
    "--watch": ("auto", "off"),
    "--on-error": ON_ERROR,
    "encode --from": ("auto", *READERS),
    "tail --from": ("start", "end", "offset:"),
}
"""Option, or command and option, to the values it knows; one that ends in a colon goes on."""

OPTIONAL_VALUES = {"tail --follow": ("HOW", ("name", "descriptor"))}
"""Command and flag: it takes a value behind `=`, which the parser cannot express (`rewrite` does)."""

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "tgmtool": (
        ("Write what a model produces, and look at it.", "./model | tgmtool encode --from framed -o run.tgm"),
        ("List every object with its MARS keys.", "tgmtool scan --mars run.tgm"),
        (
            "Follow a file from its beginning until its last step.",
            "tgmtool tail -F -n +1 --until mars.step=240 run.tgm",
        ),
    ),
    "tgmtool-encode": (
        (
            "Every object a program writes becomes a message at once, and others can follow the file.",
            "./model | tgmtool encode --from framed --compression zstd -o run.tgm",
        ),
        (
            "One object per slice of an array, numbered in mars.step.",
            "tgmtool encode t2m.npy --split-axis 0 -s 'mars.step={i}' -o t2m.tgm",
        ),
        (
            "Blocks of little-endian float32 from a file without any header.",
            "tgmtool encode blocks.raw --from raw --dtype '<f4' --shape 3,4 -o blocks.tgm",
        ),
        ("The same bytes at every run.", "tgmtool encode --reproducible t2m.npy -o t2m.tgm"),
        ("Continue a file.", "tgmtool encode --append t2m.npy -o run.tgm"),
        (
            "Number the messages of a run, and end with a marker at which followers stop.",
            "./model | tgmtool encode --from framed --id run-1 -o run-1.tgm",
        ),
        (
            "Go on in run.1.tgm, run.2.tgm after every 1000 messages.",
            "./model | tgmtool encode --from framed --rotate --max-messages 1000 -o long.tgm",
        ),
        (
            "Values packed into the fewest bits that keep each within 0.05.",
            "tgmtool encode t2m.npy --convert float64 --error-bound 0.05 -o packed.tgm",
        ),
    ),
    "tgmtool-tail": (
        ("The last three objects.", "tgmtool tail -n 3 run.tgm"),
        (
            "Wait for a file, follow it while its writer lives.",
            "./model | tgmtool encode -o new.tgm &\ntgmtool tail -F --wait-for 1m --pid $! new.tgm",
        ),
        (
            "Stop at a step; exit status 124 if nothing came for 20 minutes.",
            "tgmtool tail -F -n +1 --until mars.step=240 --idle-timeout 20m -q run.tgm",
        ),
        (
            "One line per object, for a script.",
            "tgmtool tail -n +1 --template '{mars.param} {mars.step} {_offset}' run.tgm",
        ),
        (
            "Hand the bytes on, whole messages only.",
            "tgmtool tail -n +1 --raw --unit message run.tgm | tgmtool scan -",
        ),
    ),
    "tgmtool-scan": (
        ("Objects of some steps.", "tgmtool scan -w 'mars.param=2t,mars.step=0/to/240/by/6' run.tgm"),
        (
            "Chosen columns, largest object first.",
            "tgmtool scan -p mars.param,shape,_length --sort -_length run.tgm",
        ),
        (
            "How many objects and bytes there are of each parameter.",
            "tgmtool scan --group-by mars.param run.tgm",
        ),
        ("The frames of each message.", "tgmtool scan --tree run.tgm"),
        ("JSON lines, one per object.", "tgmtool scan -j run.tgm"),
        (
            "An index to put beside it, for cat-remote --index auto.",
            "tgmtool scan --format index run.tgm > run.tgm.index",
        ),
    ),
    "tgmtool-validate": (
        ("Every file of a directory, on all cores.", "tgmtool validate -J auto ."),
        (
            "What is committed, for a CI system: annotations, and a report beside them.",
            """find . -name '*.tgm' -print0 |
  tgmtool validate --files-from - -0 --format github --report junit=tgm.xml""",
        ),
        (
            "A contract: every object has a step and one of two parameters.",
            "tgmtool validate --require mars.step --require mars.param=2t/10u run.tgm",
        ),
        ("Is it still the same data?", "tgmtool validate run.tgm --against run.tgm --rtol 1e-6"),
    ),
    "tgmtool-backfill": (
        (
            "What went through a pipe gets its lengths, so that remote readers see every message.",
            "tgmtool backfill run.tgm",
        ),
        (
            "Everything that is whole in a file whose producer died, and a report of every byte.",
            "tgmtool backfill --salvage --min-age 0 -o mended.tgm -j run.tgm",
        ),
        ("Is there anything to do?", "tgmtool backfill --check run.tgm"),
        (
            "Each header says where everything is.",
            "tgmtool backfill --reindex --min-age 0 -o indexed.tgm run.tgm",
        ),
    ),
    "tgmtool-cat-remote": (
        (
            "One field as a NumPy file.",
            "tgmtool cat-remote run.tgm -w mars.param=2t,mars.step=6 -o field.npy",
        ),
        (
            "The first ten values of the last message's first object.",
            "tgmtool cat-remote run.tgm --message -1 --object 0 --range 0:10 --as json",
        ),
        ("What there is.", "tgmtool cat-remote run.tgm --list"),
        (
            "One object as a message of its own, byte for byte; a URL takes the place of the file.",
            "tgmtool cat-remote 'run.tgm#m=0&o=1' -o one.tgm",
        ),
    ),
    "tgmtool-pipe": (
        (
            "A buffer between two programs, and a copy of what passes.",
            "tgmtool pipe --tee copy.tgm < run.tgm | tgmtool scan -",
        ),
        (
            "A whole pipeline: if any part of it fails, all of it ends and the exit status says so.",
            "tgmtool pipe ./model 'tgmtool encode -o -' '@tee new.tgm' 'tgmtool scan -'",
        ),
        (
            "What matches, handed to a command message by message, two at once, in order.",
            "tgmtool pipe '@merge run.tgm' '@where mars.param=2t' '2*cat' > 2t.tgm",
        ),
        (
            "Give up if nothing comes for 20 minutes, or the archive takes nothing for 5.",
            "tgmtool pipe --idle-timeout 20m --stall-timeout 5m < run.tgm > archive",
        ),
    ),
}
"""Page to (what it does, the command line); the help page shows the first two. A test runs each."""

ENVIRONMENT: tuple[tuple[str, str, str | None], ...] = (
    ("NO_COLOR", "If not empty: no colour, unless --color says otherwise.", None),
    ("FORCE_COLOR", "If not empty: colour even if the output is no terminal.", None),
    ("CLICOLOR_FORCE", "If neither empty nor 0: as FORCE_COLOR.", None),
    ("CLICOLOR", "If 0: no colour.", None),
    (
        "SOURCE_DATE_EPOCH",
        "Seconds since 1970: the time that --reproducible writes; 0 if it is not set.",
        "encode",
    ),
    (
        "TGMTOOL_ALLOW_NAN, TENSOGRAM_ALLOW_NAN",
        "As --allow-nan, if 1, true, yes or on; likewise ALLOW_INF and the other mask options.",
        "encode",
    ),
    (
        "TGMTOOL_BUFFER, TGMTOOL_MEMORY_BUDGET",
        "As --buffer and --memory-budget, where those are not given; likewise MAX_NAMES and STDERR_LIMIT.",
        "pipe",
    ),
    ("TGMTOOL_MAX_BYTES", "As --max-bytes, where that is not given.", "cat-remote"),
    (
        "TGMTOOL_CONCURRENCY, TGMTOOL_RETRIES",
        "As --concurrency and --retries, where those are not given.",
        "cat-remote, scan, tail, validate",
    ),
    (
        "TGMTOOL_TIMEOUT",
        "As --timeout, where that is not given.",
        "cat-remote, scan, validate",
    ),
    (
        "http_proxy, https_proxy, all_proxy, no_proxy",
        "The proxy for URLs, an http:// one, and what is reached without it.",
        "cat-remote, scan, tail, validate",
    ),
    ("TGMTOOL_DEBUG", "If not empty: an internal error shows its Python traceback.", None),
)
"""Variable, what it does, and the only commands that read it (None: all)."""

_COMMON = _GLOBAL_FLAGS | _GLOBAL_VALUES
_LIMITS = {f"--max-{field.replace('_', '-')}" for field in Limits._fields}

# ---- the walk over the command tree


class Option(NamedTuple):
    """One option, as every page and completion tells it.

    Attributes:
        names: As typed, short ones first; the `--no-` form last.
        value: What stands for its value; None for a flag.
        values: The values it knows.
        optional: `value` may only follow behind `=`, and may be left out.
        help: One or more sentences, with the default in brackets.
        repeatable: It may be given several times.
    """

    names: tuple[str, ...]
    value: str | None
    values: tuple[str, ...]
    optional: bool
    help: str
    repeatable: bool


class Command(NamedTuple):
    """One command, or the whole tool.

    Attributes:
        name: Its verb; "" for the tool.
        summary: One sentence.
        description: Paragraphs.
        arguments: What stands for each, and its help.
        own: Options that are its own.
        common: Options of all commands.
        limits: Limits for untrusted input.
        commands: The commands of the tool, with their summaries.
    """

    name: str
    summary: str
    description: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...]
    own: tuple[Option, ...]
    common: tuple[Option, ...]
    limits: tuple[Option, ...]
    commands: tuple[tuple[str, str], ...] = ()

    @property
    def page(self) -> str:
        """The name of its pages."""
        return f"tgmtool-{self.name}" if self.name else "tgmtool"

    @property
    def options(self) -> tuple[Option, ...]:
        """All options."""
        return self.own + self.common + self.limits


def walk() -> tuple[Command, ...]:
    """Return the tool and its commands, in THE order."""
    tree: Any = typer.main.get_command(build())
    flags = tuple(sorted(tree.context_settings["help_option_names"], key=len))
    help_ = Option(flags, None, (), False, "Show this help.", False)
    found = [_command(name, each, help_) for name, each in tree.commands.items() if not each.hidden]
    tool = _command("", tree, help_)._replace(
        common=found[0].common, commands=tuple((each.name, each.summary) for each in found)
    )
    return (tool, *found)


def _command(name: str, tree: Any, help_: Option) -> Command:
    arguments: list[tuple[str, str]] = []
    own: list[Option] = []
    common: list[Option] = []
    limits: list[Option] = []
    for each in tree.params:
        if each.param_type_name == "argument":
            arguments.append((_ascii(each.metavar or each.name.upper()), _ascii(each.help or "")))
        elif not each.hidden:
            option = _option(name, each)
            same = [kind for names, kind in ((_COMMON, common), (_LIMITS, limits)) if names & {*option.names}]
            (same or [own])[0].append(option)
    paragraphs = tuple(" ".join(text.split()) for text in inspect.cleandoc(tree.help).split("\n\n"))
    return Command(
        name,
        _ascii(tree.short_help or paragraphs[0]),
        tuple(map(_ascii, paragraphs)),
        tuple(arguments),
        tuple(own),
        (*common, help_),
        tuple(limits),
    )


def _option(command: str, found: Any) -> Option:
    names = tuple(sorted(found.opts, key=len)) + tuple(found.secondary_opts)
    flags = (f"{command} {name}" for name in names)
    optional = next((OPTIONAL_VALUES[flag] for flag in flags if flag in OPTIONAL_VALUES), None)
    value: str | None = None
    values: tuple[str, ...] = ()
    if optional:
        value, values = optional
    text = _ascii(found.help or "").removeprefix("Limit: ")
    if not found.is_flag:
        value = _ascii(found.metavar or found.name.upper())
        keys = [key for name in names for key in (f"{command} {name}", name)]
        values = next((VALUES[key] for key in keys if key in VALUES), ())
        if isinstance(found.default, str | int) and not text.endswith("]."):
            text = f"{text.removesuffix('.')} [{found.default}]."
    if found.multiple:
        text += " Repeatable."
    return Option(names, value, values, optional is not None, text, found.multiple)


def _environment(command: Command) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, text)
        for name, text, only in ENVIRONMENT
        if only is None or command.name in {"", *only.split(", ")}
    )


def _ascii(text: str) -> str:
    return text.replace("…", "...").replace("—", "-")


# ---- the files

TOP = Path(__file__).resolve().parents[2]
"""The top of the checkout."""


def files() -> dict[str, str]:
    """Return the text of every file that is written, by its path from the top of the checkout."""
    commands = walk()
    found = {}
    for command in commands:
        page = page_of(command, commands[1].limits, _environment(command), EXAMPLES.get(command.page, ()))
        found[f"man/{page.name}.1"] = man_page(page, __version__)
        found[f"tgmtool/cli/pages/{page.name}.txt"] = help_page(page)
    found["completions/tgmtool.bash"] = bash(commands)
    found["completions/_tgmtool"] = zsh(commands)
    found["completions/tgmtool.fish"] = fish(commands)
    return found


def differing(top: Path) -> dict[str, str]:
    """Return those of `files` that are not on disk as they should be, below `top`."""
    found = {}
    for name, text in files().items():
        path = top / name
        if not path.is_file() or path.read_bytes() != text.encode():
            found[name] = text
    return found


def stale(top: Path) -> list[str]:
    """Return the paths of pages that no command has (any more)."""
    wanted = files()
    pages = [*top.glob("man/tgmtool*.1"), *top.glob("tgmtool/cli/pages/*.txt")]
    names = sorted(path.relative_to(top).as_posix() for path in pages)
    return [name for name in names if name not in wanted]


def main(words: list[str], top: Path = TOP) -> int:
    """Write what differs below `top`, or with `--check` only name it; return the exit status."""
    if words not in ([], ["--check"]):
        sys.stderr.write("usage: python -m tgmtool.cli.reference [--check]\n")
        return exits.USAGE
    wrong, left = differing(top), stale(top)
    for name, text in wrong.items():
        if not words:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(text.encode())
        sys.stdout.write(f"{name}: {'differs' if words else 'written'}\n")
    for name in left:
        if not words:
            (top / name).unlink()
        sys.stdout.write(f"{name}: {'belongs to no command' if words else 'removed'}\n")
    return exits.NO if words and (wrong or left) else exits.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
