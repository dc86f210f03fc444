"""The man pages, completions and help pages are what the command tree says, and what they say works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import tgmtool
from tgmtool import codecs
from tgmtool.cli import COMMANDS, main, reference
from tgmtool.cli.run import build
from tgmtool.codecs.dtypes import DTYPES
from tgmtool.wire.frametypes import FRAME_TYPES

TOP = reference.TOP
HOW = "run python -m tgmtool.cli.reference and commit what it writes"
WRITTEN = reference.files()
NAMES = tuple(name for name, _ in COMMANDS)


def the_options(*, hidden: bool = False) -> Iterator[tuple[str, str]]:
    """Command and option name, straight from the parser: not by the walk that is tested."""
    tree: Any = typer.main.get_command(build())
    for command, each in tree.commands.items():
        for param in each.params:
            if param.param_type_name == "option" and param.hidden == hidden:
                yield from ((command, name) for name in (*param.opts, *param.secondary_opts))
        if not hidden:
            yield from ((command, name) for name in tree.context_settings["help_option_names"])


OPTIONS = tuple(the_options())


def said(kind: str, command: str) -> set[str]:
    """The options of a command that one of the views offers, or has as an entry."""
    if kind == "man":
        text = (TOP / f"man/tgmtool-{command}.1").read_text().replace("\\-", "-")
        return set(
            re.findall(
                r"(?:^|\s)\\fB(-[^\\]+)\\fR", "\n".join(re.findall(r"^\.TP\n(.*)$", text, re.MULTILINE))
            )
        )
    if kind == "page":
        text = (TOP / f"tgmtool/cli/pages/tgmtool-{command}.txt").read_text()
        entries = [
            re.split(r"(?<=\S)  ", line.strip())[0]
            for line in text.splitlines()
            if re.match(r" {2,6}-", line)
        ]
        return {
            word.partition("[")[0] for entry in entries for word in re.split(r",? ", entry) if word[0] == "-"
        }
    if kind == "bash":
        text = (TOP / "completions/tgmtool.bash").read_text()
        (words,) = re.findall(rf"^ *'{command}'\) _tgmtool_words '(.*)' \"", text, re.MULTILINE)
        return set(words.split())
    if kind == "zsh":
        text = (TOP / "completions/_tgmtool").read_text()
        (block,) = re.findall(rf"^ *{command}\) _arguments(.*?);;", text, re.MULTILINE | re.DOTALL)
        return set(re.findall(r"^ *'(?:\*|\([^)]*\))?(--?[\w-]*\w)[=+-]*\[", block, re.MULTILINE))
    assert kind == "fish"
    text = (TOP / "completions/tgmtool.fish").read_text()
    lines = re.findall(rf"^complete -c tgmtool -n '__tgmtool_in {command}' (.*?) -d", text, re.MULTILINE)
    longs = {f"--{name}" for line in lines for name in re.findall(r"-l (\S+)", line)}
    return longs | {f"-{name}" for line in lines for name in re.findall(r"-s (\S)", line)}


def run(
    words: list[str | Path], *, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# ---- what is on disk


@pytest.mark.parametrize("name", WRITTEN)
def test_a_written_file_is_what_the_command_tree_says(name: str) -> None:
    path = TOP / name
    assert path.is_file(), f"{name} is missing: {HOW}"
    assert path.read_text(encoding="utf-8") == WRITTEN[name], f"{name} differs: {HOW}"


def test_no_page_is_left_of_a_command_that_is_gone() -> None:
    assert reference.stale(TOP) == [], HOW


@pytest.mark.parametrize("command", NAMES)
def test_every_command_has_a_man_page_a_help_page_examples_and_completions(command: str) -> None:
    assert f"man/tgmtool-{command}.1" in WRITTEN
    assert f"tgmtool/cli/pages/tgmtool-{command}.txt" in WRITTEN
    assert reference.EXAMPLES.get(f"tgmtool-{command}"), f"reference.EXAMPLES has none of {command}"
    for name in ("tgmtool.bash", "_tgmtool", "tgmtool.fish"):
        assert re.search(rf"\b{command}\b", WRITTEN[f"completions/{name}"]), f"{name} does not know {command}"


@pytest.mark.parametrize("kind", ["man", "page", "bash", "zsh", "fish"])
@pytest.mark.parametrize("command", NAMES)
def test_a_view_has_exactly_the_options_of_a_command(kind: str, command: str) -> None:
    wanted = {option for name, option in OPTIONS if name == command}
    assert said(kind, command) == wanted, HOW


def test_every_option_and_argument_says_what_it_does() -> None:
    for command in reference.walk():
        said_of = [(option.names[-1], option.help) for option in command.options]
        for name, text in (*said_of, *command.arguments):
            assert re.search(r"\w.*\.$", text), f"{command.name} {name}: {text!r}"


@pytest.mark.parametrize("name", WRITTEN)
def test_a_written_file_is_ascii_and_has_no_trailing_blanks(name: str) -> None:
    assert WRITTEN[name].isascii()
    assert not re.search(r"[ \t]$", WRITTEN[name], re.MULTILINE)
    assert WRITTEN[name].endswith("\n")


@pytest.mark.parametrize("name", [name for name in WRITTEN if name.endswith(".txt")])
def test_a_help_page_is_at_most_80_columns_wide(name: str) -> None:
    assert [line for line in WRITTEN[name].splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("page", ["tgmtool", *(f"tgmtool-{name}" for name in NAMES)])
def test_help_prints_the_page(page: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*page.split("-", 1)[1:], "--help"]) == 0
    assert capfd.readouterr().out == WRITTEN[f"tgmtool/cli/pages/{page}.txt"]


@pytest.mark.parametrize("name", [name for name in WRITTEN if name.endswith(".1")])
def test_no_text_of_a_man_page_is_taken_for_a_request(name: str) -> None:
    requests = {line.split()[0] for line in WRITTEN[name].splitlines() if line.startswith((".", "'"))}
    assert requests <= {'.\\"', ".TH", ".nh", ".ad", ".SH", ".SS", ".PP", ".TP", ".RS", ".RE", ".EX", ".EE"}


def test_the_environment_changes_nothing() -> None:
    strange = {"COLUMNS": "20", "TERM": "dumb", "LC_ALL": "C", "TGMTOOL_MAX_NDIM": "3", "PYTHONHASHSEED": "7"}
    done = run([sys.executable, "-m", "tgmtool.cli.reference", "--check"], env=environment() | strange)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- the program that writes


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    assert reference.main([], tmp_path) == 0
    return tmp_path


def test_check_names_what_differs_and_writes_nothing(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    (checkout / "man/tgmtool.1").write_text("old")
    (checkout / "completions/_tgmtool").unlink()
    (checkout / "man/tgmtool-gone.1").write_text("of a command that is gone")
    assert reference.main(["--check"], checkout) == 1
    assert capsys.readouterr().out.splitlines() == [
        "man/tgmtool.1: differs",
        "completions/_tgmtool: differs",
        "man/tgmtool-gone.1: belongs to no command",
    ]
    assert (checkout / "man/tgmtool.1").read_text() == "old"
    assert not (checkout / "completions/_tgmtool").exists()


def test_writing_again_mends_what_differs(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "man/tgmtool.1").write_text("old")
    (checkout / "man/tgmtool-gone.1").write_text("of a command that is gone")
    (checkout / "man/tgm.5").write_text("by hand")
    assert reference.main([], checkout) == 0
    capsys.readouterr()
    assert reference.main(["--check"], checkout) == 0
    assert capsys.readouterr().out == ""
    assert (checkout / "man/tgm.5").read_text() == "by hand"


def test_other_words_are_a_usage_error() -> None:
    assert reference.main(["--chek"]) == 2


# ---- what the pages say works


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(tgmtool.__file__).parents[1])}


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A directory with what the examples take for granted: a model, arrays, and `tgmtool`."""
    write_script(tmp_path / "bin/tgmtool", f'exec "{sys.executable}" -m tgmtool "$@"')
    write_script(tmp_path / "model", "cat model.framed")
    with (tmp_path / "model.framed").open("wb") as framed:
        for step in (0, 6, 240):
            head = {"dtype": "<f4", "shape": [3, 4], "mars": {"param": "2t", "step": step}}
            framed.write(json.dumps(head).encode() + b"\n" + np.full((3, 4), step, "<f4").tobytes())
    np.save(tmp_path / "t2m.npy", np.arange(24, dtype="<f4").reshape(2, 3, 4))
    (tmp_path / "blocks.raw").write_bytes(np.arange(24, dtype="<f4").tobytes())
    return tmp_path


def write_script(path: Path, line: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def write_run(path: Path) -> None:
    fields = [
        (np.full((3, 4), step, "f4"), {"mars": {"param": "2t", "step": step}}) for step in (0, 6, 12, 240)
    ]
    tgmtool.write(path, fields, group=2)


@pytest.mark.parametrize("line", [line for page in reference.EXAMPLES.values() for _, line in page])
def test_an_example_runs(line: str, desk: Path) -> None:
    if "-o run.tgm" not in line or "--append" in line:
        write_run(desk / "run.tgm")
    done = run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=desk,
        env=environment() | {"PATH": f"{desk / 'bin'}:{os.environ['PATH']}"},
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("key", "values"), reference.VALUES.items())
def test_the_values_that_are_completed_are_those_that_the_command_knows(
    key: str, values: tuple[str, ...], desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    *only, option = key.split()
    commands = only or [command for command, name in OPTIONS if name == option]
    assert commands, f"no command has {option}: reference.VALUES"
    write_run(desk / "run.tgm")
    for command in commands:
        out = ["-o", str(desk / "out.tgm")] if command == "encode" else []
        assert main([command, f"{option}=nonsense", str(desk / "run.tgm"), *out]) != 0
        error = capfd.readouterr().err
        assert [value for value in values if not re.search(rf"\b{value}", error)] == [], error


def test_flags_with_an_optional_value_are_refused_another(
    desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_run(desk / "run.tgm")
    for flag, (_, values) in reference.OPTIONAL_VALUES.items():
        command, option = flag.split()
        assert main([command, f"{option}=nonsense", str(desk / "run.tgm")]) == 2
        error = capfd.readouterr().err
        assert [value for value in values if value not in error] == [], error


@pytest.mark.parametrize("unit", ["object", "message", "frame"])
def test_the_man_page_of_scan_names_every_computed_key(
    unit: str, desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_run(desk / "run.tgm")
    with (desk / "run.tgm").open("ab") as run:
        run.write(b"no message")
    assert main(["scan", "--unit", unit, "-j", str(desk / "run.tgm")]) == 3
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    keys = {key for row in rows for key in row if re.match(r"_\w+[a-z]$", key)}
    text = WRITTEN["man/tgmtool-scan.1"]
    assert {key for key in keys if not re.search(rf"(?<!\w){key}(?!\w)", text)} == set()


# ---- the completions


def test_bash_can_read_the_completions() -> None:
    done = run(["bash", "-n", TOP / "completions/tgmtool.bash"])
    assert (done.returncode, done.stderr) == (0, "")


def complete(words: list[str], place: Path) -> list[str]:
    """What bash offers for the last of `words`. There is no PATH: it can start no other program."""
    script = (
        'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tgmtool; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = run(
        ["/bin/bash", "-c", script, TOP / "completions/tgmtool.bash", "tgmtool", *words],
        cwd=place,
        env={"PATH": ""},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return sorted(set(done.stdout.split("\n")) - {""})


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ([""], sorted(NAMES)),
        (["sc"], ["scan"]),
        (["--color", "a"], ["always", "auto"]),
        (["--color", "=", "never", "sc"], ["scan"]),
        (["-q", "scan", "--uni"], ["--unit"]),
        (["scan", "--unit", ""], ["frame", "message", "object"]),
        (["scan", "--unit", "="], ["frame", "message", "object"]),
        (["scan", "--unit", "=", "me"], ["message"]),
        (["scan", "-w", ""], []),
        (["scan", ""], ["a b.tgm", "run.tgm", "sub"]),
        (["scan", "s"], ["sub"]),
        (["scan", "n"], ["notes.txt"]),
        (["scan", "--", "--u"], []),
        (["tail", "--from", "off"], ["offset:"]),
        (["tail", "--follow", "="], ["descriptor", "name"]),
        (["tail", "--follow", "r"], ["run.tgm"]),
        (["encode", "--from", "np"], ["npy", "npz"]),
        (["encode", "-o", "r"], ["run.tgm"]),
        (["encode", ""], ["a b.tgm", "notes.txt", "run.tgm", "sub"]),
    ],
)
def test_bash_completes(words: list[str], offered: list[str], tmp_path: Path) -> None:
    for name in ("run.tgm", "a b.tgm", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    assert complete(words, tmp_path) == offered


# ---- tgm(5), by hand


def test_the_page_of_the_format_names_every_dtype_stage_and_frame_type() -> None:
    text = (TOP / "man/tgm.5").read_text()
    assert text.isascii()
    names = [*(row.name for row in DTYPES), *(row.name for row in codecs.TABLE)]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
    assert [row.name for row in FRAME_TYPES if not re.search(rf"\b{row.number}  {row.name}\b", text)] == []
