"""The options of scan do what their help says."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.processes import tgmtool

CONTROLS = {chr(code) for code in (*range(32), *range(0x7F, 0xA0))} - {"\n", "\t"}


def rows(files: Path, *words: object, status: int = 0) -> list[dict[str, Any]]:
    done = tgmtool("scan", "-j", *words, cwd=files)
    assert done.status == status, done.err
    return [json.loads(line, parse_constant=refuse) for line in done.lines]


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ("", [0, 1, 2, 3, 4, 5]),
        ("-w mars.step>=2 -w mars.step!=4", [2, 3, 5]),
        ("-w mars.step=0/to/5/by/2", [0, 2, 4]),
        ("-w mars.param=10u", []),
        ("--limit 2", [0, 1]),
        ("--limit 0", []),
        ("--sort -mars.step", [5, 4, 3, 2, 1, 0]),
        ("--sort -_msg,_obj --limit 4", [3, 4, 5, 0]),
    ],
)
def test_which_objects(files: Path, words: str, steps: list[int]) -> None:
    assert [row["mars"]["step"] for row in rows(files, *words.split(), "whole.tgm")] == steps


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        ("", [0, 1]),
        ("-w mars.step=1", [0]),
        ("-w mars.step=1/3", [0, 1]),
        ("--match all -w mars.step=0/1/2/3", [0]),
        ("--match first -w mars.step=1/3", [1]),
    ],
)
def test_match_says_how_where_applies_to_a_message(files: Path, words: str, messages: list[int]) -> None:
    found = rows(files, "--unit", "message", *words.split(), "whole.tgm")
    assert [row["_msg"] for row in found] == messages


def test_chosen_keys_are_all_that_is_shown(files: Path) -> None:
    found = rows(files, "-p", "mars.step,_offset,missing", "whole.tgm")
    assert list(found[0]) == ["mars.step", "_offset", "missing"]
    assert found[0]["missing"] is None


@pytest.mark.parametrize("name", ["tsv", "csv"])
def test_delimited_text_has_a_head_and_a_row_per_object(files: Path, name: str) -> None:
    done = tgmtool("scan", "--format", name, "-p", "mars.step,shape", "-P", "dtype", "whole.tgm", cwd=files)
    found = list(csv.reader(io.StringIO(done.text), delimiter="\t" if name == "tsv" else ","))
    assert found[0] == ["mars.step", "shape", "dtype"]
    assert found[1:] == [[str(step), "2/3", "float32"] for step in range(6)]


def test_a_pipe_gets_tsv_and_a_table_has_all_rows(files: Path) -> None:
    assert (
        tgmtool("scan", "whole.tgm", cwd=files).out
        == tgmtool("scan", "--format", "tsv", "whole.tgm", cwd=files).out
    )
    table = tgmtool("scan", "--format", "table", "whole.tgm", cwd=files).lines
    assert len(table) == 7
    assert "_offset" in table[0]


def test_json_is_one_list(files: Path) -> None:
    assert len(json.loads(tgmtool("scan", "--format", "json", "whole.tgm", cwd=files).text)) == 6
    assert json.loads(tgmtool("scan", "--format", "json", "empty.tgm", cwd=files).text) == []


def test_gaps_are_rows_with_a_status(files: Path) -> None:
    found = rows(files, "garbage.tgm", status=3)
    assert [row["_status"] for row in found] == ["ok", "ok", "foreign", "ok", "ok"]
    assert found[2]["_length"] == len(b"garbage in between")
    found = rows(files, "cut.tgm", status=5)
    assert [row["_status"] for row in found] == ["ok"] * 6 + ["open"] * 3 + ["incomplete"]


def test_summary_group_by_and_values(files: Path) -> None:
    (total,) = rows(files, "--summary", "whole.tgm")
    assert (total["messages"], total["objects"], total["gaps"]) == (2, 6, 0)
    (cut,) = rows(files, "--summary", "cut.tgm", status=5)
    assert (cut["messages"], cut["objects"]) == (2, 9)
    assert cut["incomplete"] > 0
    (group,) = rows(files, "--group-by", "mars.param", "whole.tgm")
    assert (group["mars.param"], group["objects"]) == ("2t", 6)
    values = {row["key"]: row["values"] for row in rows(files, "--values", "whole.tgm")}
    assert values["mars.step"] == [0, 1, 2, 3, 4, 5]


def test_tree_shows_every_frame(files: Path) -> None:
    lines = tgmtool("scan", "--tree", "whole.tgm", cwd=files).lines
    assert sum("ntensor" in line for line in lines) == 6
    assert sum(line.startswith("  message") for line in lines) == 2


def test_a_folder_a_glob_and_stdin(files: Path) -> None:
    (files / "folder" / "b.tgm").write_bytes((files / "whole.tgm").read_bytes())
    assert len(rows(files, "folder")) == len(rows(files, "fol*/*.tgm")) == 6
    done = tgmtool("scan", "-", stdin=(files / "whole.tgm").read_bytes())
    assert len(done.lines) == 7


@pytest.mark.parametrize("name", ["table", "tsv", "csv", "ndjson", "json"])
@pytest.mark.parametrize("command", ["scan", "tail"])
def test_text_of_a_stranger_never_reaches_stdout_raw(files: Path, command: str, name: str) -> None:
    for words in ([], ["-p", "name,mars.param"], ["-m"], ["--unit", "message"], ["-P", "title"]):
        done = tgmtool(command, "--format", name, *words, "hostile.tgm", cwd=files)
        assert done.status == 0, done.err
        assert not CONTROLS & set(done.text)
        assert not {"\u202e", "\u200b"} & set(done.text)
        if name in {"table", "tsv", "csv"}:
            assert len(done.lines) == 2


@pytest.mark.parametrize("words", [["--tree"], ["--summary"], ["--values"], ["--group-by", "name"]])
def test_views_escape_too(files: Path, words: list[str]) -> None:
    hostile = files / "a\x1b[31m\nb.tgm"
    hostile.write_bytes((files / "hostile.tgm").read_bytes() + b"\x1bjunk")
    done = tgmtool("scan", *words, str(hostile), cwd=files)
    assert done.status == 3
    assert not CONTROLS & set(done.text + done.err)
    assert len(done.err.splitlines()) == 1


def test_markup_is_no_markup(files: Path) -> None:
    done = tgmtool(
        "scan", "--format", "table", "--color", "always", "-p", "mars.param", "hostile.tgm", cwd=files
    )
    assert "\x1b[31m" not in done.text
