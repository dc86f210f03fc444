"""The hook that others name in their `.pre-commit-config.yaml` runs what this package installs."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

TOP = Path(__file__).parent.parent
LINE = re.compile(r"(- |  )([a-z_]+): (.+)")


def the_hook() -> dict[str, str]:
    """The only hook; the file keeps to `key: value` lines, so that no YAML parser is needed."""
    text = (TOP / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found = [LINE.fullmatch(line) for line in lines]
    pairs = [one.groups() for one in found if one is not None]
    assert len(pairs) == len(lines)
    assert [start for start, _, _ in pairs] == ["- ", *["  "] * (len(pairs) - 1)]
    hook = {key: value for _, key, value in pairs}
    assert len(hook) == len(pairs)
    return hook


def test_it_has_what_pre_commit_requires() -> None:
    hook = the_hook()
    assert hook["id"] == "tgmtool-validate"
    assert {"name", "entry", "language"} <= set(hook)
    assert hook["language"] == "python"
    assert hook["pass_filenames"] == "true"


def test_its_entry_is_a_program_that_installing_this_package_brings() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    program, command, *_ = shlex.split(the_hook()["entry"])
    assert program in project["scripts"]
    assert command == "validate"


def test_it_takes_tgm_files_and_no_others() -> None:
    pattern = re.compile(the_hook()["files"])
    for path in (TOP / "sample-data").iterdir():
        assert bool(pattern.search(path.name)) == (path.suffix == ".tgm")
    assert not pattern.search("a.tgm.bak")
    assert not pattern.search("atgm")
