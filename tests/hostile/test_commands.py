"""Every command that reads, on every file of the corpus: an exit status of its own, one line, nothing that
steers a terminal, and no traceback."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.here import tgmtool
from tests.hostile.conftest import Corpus
from tests.processes import Ended

OK, NO, LOSS, FAILED, INCOMPLETE = 0, 1, 3, 4, 5

# what is run, the exit statuses that it may have, whether its output is text
COMMANDS = {
    "scan": ("scan", {OK, NO, LOSS, FAILED, INCOMPLETE}, True),
    "scan of messages": ("scan --unit message -j", {OK, NO, LOSS, FAILED, INCOMPLETE}, True),
    "scan of frames": ("scan --unit frame --format csv", {OK, LOSS, FAILED, INCOMPLETE}, True),
    "scan as a tree": ("scan --tree", {OK, NO, LOSS, FAILED, INCOMPLETE}, True),
    "scan with all keys": ("scan -m --namespace _extra_ -j", {OK, NO, LOSS, FAILED, INCOMPLETE}, True),
    "tail": ("tail -n +1 -j --settle 0", {OK, NO, LOSS, FAILED, INCOMPLETE}, True),
    "tail with values": ("tail -n +1 --stats --settle 0", {OK, NO, LOSS, FAILED, INCOMPLETE}, True),
    "tail of bytes": ("tail -n +1 --raw --settle 0", {OK, NO, LOSS, FAILED, INCOMPLETE}, False),
    "validate --quick": ("validate --quick -v", {OK, NO, FAILED, INCOMPLETE}, True),
    "validate --checksum": ("validate --checksum -j", {OK, NO, FAILED, INCOMPLETE}, True),
    "validate": ("validate --strict --format github", {OK, NO, FAILED, INCOMPLETE}, True),
    "validate --full": ("validate --full --format junit", {OK, NO, FAILED, INCOMPLETE}, True),
    "cat-remote": ("cat-remote --list", {OK, NO, LOSS, FAILED, INCOMPLETE}, True),
    "cat-remote of values": ("cat-remote --as ndjson", {OK, NO, LOSS, FAILED, INCOMPLETE}, True),
    "encode": ("encode --from tgm -o -", {OK, NO, LOSS, FAILED, INCOMPLETE}, False),
}
STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_hostile_file_gets_through_a_command(name: str, hostile: Corpus, tmp_path: Path) -> None:
    words, statuses, is_text = COMMANDS[name]
    wrong = []
    for row in hostile.rows.values():
        if "bomb" in row.tags and row.verdict == "ok":
            continue  # Z12 is valid, and costs half a gigabyte: test_verdicts has it
        done = tgmtool(*words.split(), hostile.path(row.id), cwd=tmp_path)
        wrong += [f"{row.id}: {what}" for what in complaints(done, statuses, is_text=is_text)]
    assert wrong == []


def complaints(done: Ended, statuses: set[int], *, is_text: bool) -> list[str]:
    """What is wrong with how a command ended."""
    found = []
    if done.status not in statuses:
        found.append(f"exit status {done.status}")
    if "Traceback" in done.err or "Error:" in done.err:
        found.append(f"stderr {done.err[-300:]!r}")
    if steers := STEERING.search(done.err):
        found.append(f"stderr holds {steers[0]!r}")
    if any(len(line) > 2000 for line in done.err.splitlines()):
        found.append("a very long line on stderr")
    if is_text:
        text = done.out.decode()
        if steers := STEERING.search(text):
            found.append(f"stdout holds {steers[0]!r}")
        if "Traceback" in text:
            found.append("a traceback on stdout")
    return found


@pytest.mark.parametrize("words", ["scan -j", "scan --unit frame -j", "tail -n +1 -j", "validate --full -j"])
def test_json_lines_of_hostile_files_are_strict_json(words: str, hostile: Corpus, tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    for row in hostile.rows.values():
        if "bomb" in row.tags or not ({"print", "name"} & set(row.tags) or row.id[0] in "CVG"):
            continue
        done = tgmtool(*words.split(), hostile.path(row.id), cwd=tmp_path)
        for line in done.out.decode("ascii").splitlines():
            assert isinstance(json.loads(line, parse_constant=refuse), dict), row.id


def test_a_file_whose_name_is_hostile_is_named_harmlessly(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b]0;pwned\x07\n::error::\u202e.tgm"
    path.write_bytes(b"no message")
    for words, statuses, is_text in COMMANDS.values():
        done = tgmtool(*words.split(), path, cwd=tmp_path)
        assert complaints(done, statuses, is_text=is_text) == [], words
