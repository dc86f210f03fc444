"""Parse a command line with typer, run the command, and turn what happens into an exit status.

It is separate from the package's `__init__` so that whoever only asks for help does not pay for
the parser.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import typer

from . import COMMANDS, exits
from .console import Console, guard_descriptors, leave_stdout_alone
from .exits import Stopped, UsageError

# The parser's own errors: typer brings its parser along under a name of its own, and only the
# errors' common ancestor is public.
_ParserError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
_EPILOG = "Exit status: " + "; ".join(f"{code} {text}" for code, text in exits.TABLE) + "."


def build(only: str | None = None) -> typer.Typer:
    """Return the application, with all commands or with one."""
    app = typer.Typer(
        name="tgmtool",
        help="Produce, inspect and follow Tensogram v3 (.tgm) stream files.",
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def root(
        version: bool = typer.Option(False, "-V", "--version", help="Show the version (--json for scripts)."),
    ) -> None:
        if version:
            # Reached only behind other options; in front it was answered before the parser.
            from .. import __version__

            Console().line(f"tgmtool {__version__} (Tensogram format 3)")
            raise typer.Exit(0)

    for name, summary in COMMANDS:
        if only in {None, name}:
            module = import_module(f".{name.replace('-', '_')}", __package__)
            app.command(name, short_help=summary, epilog=_EPILOG)(module.command)
    return app


def run(words: list[str]) -> int:
    """Run a command line; return its exit status."""
    guard_descriptors()
    only = words[0] if words and words[0] in {name for name, _ in COMMANDS} else None
    command = typer.main.get_command(build(only))
    console = Console()
    try:
        exits.raise_interrupts()
        status = command.main(args=words, prog_name="tgmtool", standalone_mode=False)
        return status if isinstance(status, int) else exits.OK
    except typer.Exit as done:
        return done.exit_code
    except _ParserError as error:
        name = f" {only}" if only else ""
        console.error(f"{error.format_message()} (see tgmtool{name} --help)")
        return exits.USAGE
    except UsageError as error:
        console.error(f"{error} (see tgmtool {only} --help)")
        return exits.USAGE
    except typer.Abort:
        return 130
    except Stopped as stopped:
        return stopped.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return exits.BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  # a traceback never reaches a user; the type is named instead
        return _unexpected(console, error)
    finally:
        leave_stdout_alone()


def _unexpected(console: Console, error: Exception) -> int:
    from ..errors import TgmError

    if isinstance(error, exits.Carried):
        error = error.error
    if isinstance(error, BrokenPipeError):
        return exits.BROKEN_PIPE
    if isinstance(error, TgmError | OSError | MemoryError):
        console.error(exits.text_of(error))
        return exits.status_of(error)
    if os.environ.get("TGMTOOL_DEBUG"):
        raise error
    console.error(
        f"internal error, please report it: {type(error).__name__}: {error} (TGMTOOL_DEBUG=1 shows where)"
    )
    return exits.FAILED
