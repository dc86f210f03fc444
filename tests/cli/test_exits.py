"""Command line to exit status, one table; and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operations.streams import buffered
from tests.processes import shell, tgmtool

RAW = "--from raw --dtype <f4 --shape 2,3"

# command line, exit status, what the line on stderr says ("" for silence)
TABLE = [
    ("scan whole.tgm", 0, ""),
    ("scan empty.tgm", 0, ""),
    ("scan folder", 0, ""),
    ("scan -e empty.tgm", 1, ""),
    ("scan -e -w mars.step=99 whole.tgm", 1, ""),
    ("scan -e -w mars.step=1 whole.tgm", 0, ""),
    ("scan missing.tgm", 4, "missing.tgm: no such file"),
    ("scan missing*.tgm", 4, "no file matches"),
    ("scan unheard://bucket/key", 4, "unheard://bucket/key: cannot be reached"),
    ("scan cut.tgm", 5, "incomplete"),
    ("scan garbage.tgm", 3, "foreign"),
    ("scan text.tgm", 3, "foreign"),
    ("scan --strict whole.tgm", 0, ""),
    ("scan --strict cut.tgm", 1, "incomplete"),
    ("scan --strict garbage.tgm", 1, "foreign"),
    ("scan --strict missing.tgm", 4, "no such file"),
    ("scan -q garbage.tgm", 3, ""),
    ("scan whole.tgm missing.tgm", 4, "missing.tgm: no such file"),
    ("scan --max-ndim 1 hostile.tgm", 4, "limit"),
    ("scan", 2, "FILE"),
    ("scan --nonsense whole.tgm", 2, "--nonsense"),
    ("scan --unit nonsense whole.tgm", 2, "--unit"),
    ("scan --match nonsense whole.tgm", 2, "--match"),
    ("scan --format nonsense whole.tgm", 2, "--format"),
    ("scan --color nonsense whole.tgm", 2, "--color"),
    ("scan --max-objects nonsense whole.tgm", 2, "nonsense"),
    ("scan --limit -1 whole.tgm", 2, "limit"),
    ("scan --tree --summary whole.tgm", 2, "exclude"),
    ("scan -w nonsense whole.tgm", 2, "-w"),
    ("scan -w a<1/2 whole.tgm", 2, "-w"),
    ("nonsense", 2, "nonsense"),
    ("tail whole.tgm", 0, ""),
    ("tail empty.tgm", 0, ""),
    ("tail missing.tgm", 4, "missing.tgm: no such file"),
    ("tail -f missing.tgm", 4, "no such file"),
    ("tail --wait-for 10ms -f missing.tgm", 4, "no such file"),
    ("tail folder", 0, ""),
    ("tail -f --timeout 100ms folder", 124, "--timeout"),
    ("tail cut.tgm", 5, "cut.tgm: byte"),
    ("tail -n +1 garbage.tgm", 3, "passed over"),
    ("tail -n +1 text.tgm", 3, "passed over"),
    ("tail whole.tgm missing.tgm", 4, "missing.tgm: no such file"),
    ("tail --until mars.step=4 whole.tgm", 0, ""),
    ("tail --until mars.step=99 whole.tgm", 1, "--until"),
    ("tail -f --count 6 whole.tgm", 0, ""),
    ("tail -f --timeout 50ms whole.tgm", 124, "--timeout"),
    ("tail -f --idle-timeout 50ms whole.tgm", 124, "--idle-timeout"),
    ("tail -f --timeout nonsense whole.tgm", 2, "nonsense"),
    ("tail -n nonsense whole.tgm", 2, "-n"),
    ("tail -n -3 whole.tgm", 2, "-n"),
    ("tail --from nonsense whole.tgm", 2, "--from"),
    ("tail --follow=nonsense whole.tgm", 2, "--follow"),
    ("tail --watch nonsense whole.tgm", 2, "--watch"),
    ("tail --until nonsense whole.tgm", 2, "--until"),
    ("tail -w nonsense whole.tgm", 2, "-w"),
    ("tail --template {a whole.tgm", 2, "--template"),
    ("tail --raw -j whole.tgm", 2, "--raw"),
    ("tail --raw whole.tgm cut.tgm", 2, "--raw"),
    ("tail --count 0 whole.tgm", 2, "count"),
    ("tail", 2, "FILE"),
    (f"encode {RAW} short.raw -o out.tgm", 4, "expected 24 bytes, got 16"),
    (f"encode {RAW} nan.raw -o out.tgm", 1, "index [0, 1] is NaN"),
    (f"encode {RAW} missing.raw -o out.tgm", 4, "missing.raw: no such file"),
    (f"encode {RAW} folder -o out.tgm", 4, "is a directory"),
    (f"encode {RAW} nan.raw -o missing/out.tgm", 4, "no such file"),
    (f"encode {RAW} nan.raw -o folder", 4, "folder"),
    (f"encode {RAW} nan.raw -o whole.tgm", 4, "already exists"),
    (f"encode {RAW} nan.raw --append -o cut.tgm", 5, "--repair-tail"),
    ("encode text.tgm -o out.tgm", 1, "out.tgm|text.tgm"),
    ("encode empty.tgm -o out.tgm", 0, ""),
    ("encode cut.tgm -o out.tgm", 5, "cut.tgm"),
    ("encode whole.tgm", 2, "-o"),
    ("encode --from nonsense whole.tgm -o out.tgm", 2, "--from"),
    ("encode --from raw whole.tgm -o out.tgm", 2, "--dtype and --shape"),
    ("encode --shape 2 whole.tgm -o out.tgm", 2, "--dtype and --shape"),
    ("encode --layout nonsense whole.tgm -o out.tgm", 2, "--layout"),
    ("encode --group 0 whole.tgm -o out.tgm", 2, "--group"),
    ("encode --pace nonsense whole.tgm -o out.tgm", 2, "nonsense"),
    ("encode --compression nonsense whole.tgm -o out.tgm", 2, "nonsense"),
    ("encode --filter nonsense whole.tgm -o out.tgm", 2, "nonsense"),
    ("encode -s nonsense whole.tgm -o out.tgm", 2, "nonsense"),
    ("encode -s a:={ whole.tgm -o out.tgm", 2, "JSON"),
    ("encode --repair-tail whole.tgm -o out.tgm", 2, "--append"),
    ("encode --append --commit rename whole.tgm -o out.tgm", 2, "--append"),
    ("encode -j whole.tgm -o -", 2, "-j"),
    ("encode --split-axis 9 whole.tgm -o out.tgm", 1, "--split-axis"),
]


@pytest.mark.parametrize(("words", "status", "said"), TABLE, ids=[words for words, *_ in TABLE])
def test_a_command_line_has_its_exit_status_and_one_line(
    files: Path, words: str, status: int, said: str
) -> None:
    done = tgmtool(*words.split(), cwd=files)
    assert done.status == status, done.err
    assert "Traceback" not in done.err
    assert "internal error" not in done.err
    if said:
        lines = done.err.splitlines()
        assert len(lines) == 1, done.err
        assert lines[0].startswith("tgmtool: ")
        assert any(word in lines[0] for word in said.split("|"))
    else:
        assert done.err == ""


def test_a_refused_output_is_left_as_it_is(files: Path) -> None:
    before = (files / "whole.tgm").read_bytes()
    for words in (f"encode {RAW} nan.raw -o whole.tgm", f"encode {RAW} nan.raw --force -o whole.tgm"):
        assert tgmtool(*words.split(), cwd=files).status in {1, 4}
        assert (files / "whole.tgm").read_bytes() == before


@pytest.mark.parametrize("words", ["", "scan", "tail", "encode"])
def test_help_is_on_stdout_and_the_exit_table_is_in_it(words: str) -> None:
    done = tgmtool(*words.split(), "--help")
    assert (done.status, done.err) == (0, "")
    for code in (0, 1, 2, 3, 4, 5, 124, 130, 141, 143):
        assert str(code) in done.text


@pytest.mark.parametrize(
    "script",
    [
        '"$@" scan whole.tgm >&-',
        '"$@" tail whole.tgm >&-',
        '"$@" encode -o - whole.tgm >&-',
        '"$@" --version >&-',
        '"$@" scan whole.tgm > /dev/full',
        '"$@" encode -o - whole.tgm > /dev/full',
    ],
)
def test_output_that_is_lost_is_a_failure(files: Path, script: str) -> None:
    done = shell(f"cd {files}; {script}")
    assert done.status == 4
    assert "Traceback" not in done.err


@pytest.mark.parametrize("words", ["scan", "scan -j", "scan --unit frame", "tail -n +1", "tail -n +1 -j"])
def test_a_listing_whose_reader_went_away_ends_quietly(tmp_path: Path, words: str) -> None:
    (tmp_path / "a.tgm").write_bytes(buffered([1]) * 3000)
    done = shell(f'set -o pipefail; cd {tmp_path}; "$@" {words} a.tgm | head -n 1')
    assert (done.status, done.err) == (0, "")
    assert len(done.lines) == 1


@pytest.mark.parametrize("words", ["tail -n +1 --raw a.tgm", "encode a.tgm -o -"])
def test_bytes_whose_reader_went_away_are_141(tmp_path: Path, words: str) -> None:
    (tmp_path / "a.tgm").write_bytes(buffered([1]) * 3000)
    done = shell(f'cd {tmp_path}; "$@" {words} | head -c 10 >/dev/null; echo "${{PIPESTATUS[0]}}"')
    assert (done.text.strip(), done.err) == ("141", "")


def test_a_closed_stdin_or_stderr_is_no_reason_to_fail(files: Path) -> None:
    assert shell(f'cd {files}; "$@" scan whole.tgm <&- 2>&-').status == 0
    assert shell(f'cd {files}; "$@" scan missing.tgm 2>&-').status == 4


def test_several_inputs_are_all_reported(files: Path) -> None:
    done = tgmtool("scan", "missing.tgm", "garbage.tgm", "cut.tgm", cwd=files)
    assert done.status == 4
    assert len(done.err.splitlines()) == 3
    assert tgmtool("scan", "garbage.tgm", "cut.tgm", cwd=files).status == 5
