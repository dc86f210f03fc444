"""`tgmtool validate`: what is asked for, what is answered, and with which exit status."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests import builders
from tests.cli.here import tgmtool
from tests.operations.streams import buffered, field, streaming
from tests.processes import shell
from tgmtool import encode as encoded

WHOLE = buffered(range(2))
CHANGED = builders.flip_bit(WHOLE, builders.first_frame(WHOLE, builders.TENSOR).offset + 20)
ODD = builders.put(WHOLE, 12, b"\0\0\0\1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file of each kind."""
    other = field(1)
    other[0, 1] = 7
    contents = {
        "good.tgm": WHOLE,
        "better.tgm": streaming(range(2), backfill=True),
        "bad.tgm": CHANGED,
        "odd.tgm": ODD,
        "cut.tgm": WHOLE + WHOLE[:100],
        "empty.tgm": b"",
        "unhashed.tgm": builders.message(hashing=False),
        "unsorted.tgm": builders.message_of(
            [builders.frame(builders.HEADER_METADATA, b"\xa1\x61k\x18\x01"), builders.tensor()]
        ),
        "one.tgm": encoded([(field(1), {"mars": {"step": 1}})]),
        "other.tgm": encoded([(other, {"mars": {"step": 1}})]),
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "schema.json").write_text(
        '{"required": ["mars"], "properties": {"dtype": {"const": "float32"}}}'
    )
    (tmp_path / "strange.json").write_text('{"required": ["strange"]}')
    (tmp_path / "no.json").write_text("{")
    (tmp_path / "listing").write_bytes(tgmtool("scan", "-j", "good.tgm", cwd=tmp_path).out)
    (tmp_path / "names").write_text("good.tgm\nbad.tgm\n")
    (tmp_path / "names0").write_bytes(b"good.tgm\0better.tgm\0")
    sub = tmp_path / "sub"
    sub.mkdir()
    (sub / "x.tgm").write_bytes(WHOLE)
    return tmp_path


# command line, exit status, what stdout says, what stderr says
TABLE = [
    ("good.tgm", 0, "1 file: 1 valid", ""),
    ("bad.tgm", 1, "error[hash_mismatch] msg 0 obj 0", ""),
    ("cut.tgm", 5, "incomplete[incomplete_tail]", ""),
    ("--allow-incomplete cut.tgm", 0, "1 valid", ""),
    ("empty.tgm", 1, "error[empty_file]", ""),
    ("--allow-empty empty.tgm", 0, "1 valid", ""),
    ("missing.tgm", 4, "missing.tgm: error: no such file", ""),
    ("missing*.tgm", 4, "no file matches", ""),
    ("s3://bucket/key", 4, "1 unreadable", ""),
    # ranking: unreadable, invalid, incomplete
    ("good.tgm cut.tgm", 5, "1 valid, 1 incomplete", ""),
    ("good.tgm cut.tgm bad.tgm", 1, "1 valid, 1 invalid, 1 incomplete", ""),
    ("missing.tgm bad.tgm cut.tgm good.tgm", 4, "1 valid, 1 invalid, 1 incomplete, 1 unreadable", ""),
    ("--exit-zero good.tgm cut.tgm bad.tgm", 0, "1 invalid", ""),
    ("--exit-zero missing.tgm bad.tgm", 4, "1 unreadable", ""),
    ("--max-ndim 1 good.tgm", 4, "unchecked[limit_exceeded]", ""),
    # levels
    ("--quick bad.tgm", 0, "1 valid", ""),
    ("--checksum bad.tgm", 1, "hash_mismatch", ""),
    ("--full good.tgm", 0, "1 valid", ""),
    ("--quick --full good.tgm", 2, "", "--quick and --full exclude each other"),
    ("unsorted.tgm", 0, "warning[metadata_cbor_non_canonical]", ""),
    ("--canonical unsorted.tgm", 1, "error[metadata_cbor_non_canonical]", ""),
    ("--canonical good.tgm", 0, "1 valid", ""),
    # policy
    ("odd.tgm", 0, "warning[reserved_nonzero]", ""),
    ("--strict odd.tgm", 1, "error[reserved_nonzero]", ""),
    ("--strict --ignore reserved_nonzero odd.tgm", 0, "1 valid", ""),
    ("--ignore hash_mismatch,reserved_flag bad.tgm", 0, "1 valid", ""),
    ("--ignore nonsense bad.tgm", 2, "", "there is no such code"),
    ("--min-messages 1 good.tgm", 0, "1 valid", ""),
    ("--min-messages 2 good.tgm", 1, "error[too_few_messages]: 1 whole messages, expected at least 2", ""),
    ("--require-hash good.tgm", 0, "1 valid", ""),
    ("--require-hash unhashed.tgm", 1, "error[hash_required]", ""),
    ("--require mars.step --require mars.step=0/1 good.tgm", 0, "1 valid", ""),
    ("--require mars.step=0 good.tgm", 1, "error[key_required] msg 0 obj 1: mars.step is 1", ""),
    ("--require a<1/2 good.tgm", 2, "", "--require"),
    ("--schema schema.json good.tgm", 0, "1 valid", ""),
    ("--schema strange.json good.tgm", 1, "error[schema_violation] msg 0 obj 0", ""),
    ("--schema no.json good.tgm", 1, "", "is no JSON"),
    ("--schema missing.json good.tgm", 4, "", "no such file"),
    ("--expect listing good.tgm", 0, "1 valid", ""),
    ("--expect listing better.tgm", 0, "1 valid", ""),
    ("--expect listing one.tgm", 1, "error[unexpected_content]", ""),
    ("--against better.tgm good.tgm", 0, "1 valid", ""),
    ("--against one.tgm one.tgm", 0, "1 valid", ""),
    ("--against one.tgm other.tgm", 1, "values differ, most at [0, 1]: 7.0 instead of 101.0 (by 94)", ""),
    ("--against one.tgm --atol 94 other.tgm", 0, "1 valid", ""),
    ("--against one.tgm --rtol 0.95 other.tgm", 0, "1 valid", ""),
    ("--against good.tgm one.tgm", 1, "error[metadata_differs]", ""),
    ("--against good.tgm bad.tgm", 1, "cannot be compared", ""),
    ("--against missing.tgm good.tgm", 4, "", "missing.tgm"),
    ("--against good.tgm good.tgm bad.tgm", 2, "", "--against compares one file"),
    # several
    ("-x bad.tgm missing.tgm", 1, "1 file: 1 invalid", ""),
    ("-x good.tgm bad.tgm missing.tgm", 1, "2 files", ""),
    ("--files-from names", 1, "2 files", ""),
    ("--files-from names0 -0", 0, "2 files: 2 valid", ""),
    ("--files-from names0", 2, "", "say so with -0"),
    ("--files-from names good.tgm", 1, "3 files", ""),
    ("--files-from missing", 4, "", "missing"),
    ("sub", 0, "1 file: 1 valid", ""),
    ("sub/*.tgm good.tgm", 0, "2 files: 2 valid", ""),
    ("-J 3 good.tgm bad.tgm cut.tgm", 1, "3 files", ""),
    ("-J auto good.tgm", 0, "1 valid", ""),
    ("-J 0 good.tgm", 2, "", "--jobs"),
    ("-q good.tgm", 0, "", ""),
    ("-v good.tgm", 0, "good.tgm: valid: 1 message, 2 objects", ""),
    ("--format nonsense good.tgm", 2, "", "--format"),
    ("--report junit good.tgm", 2, "", "--report"),
    ("--progress nonsense good.tgm", 2, "", "--progress"),
    ("", 2, "", "needs a FILE"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "status", "out", "err"), TABLE)
def test_a_command_line_has_its_answer(folder: Path, line: str, status: int, out: str, err: str) -> None:
    done = tgmtool("validate", *line.split(), cwd=folder)
    assert done.status == status, (done.text, done.err)
    assert out in done.text
    assert err in done.err
    assert bool(err) == bool(done.err)


def test_stdin_is_a_file_like_any_other(folder: Path) -> None:
    assert tgmtool("validate", "-", stdin=WHOLE, cwd=folder).status == 0
    assert tgmtool("validate", "-", stdin=CHANGED, cwd=folder).status == 1
    assert tgmtool("validate", "-", stdin=WHOLE[:99], cwd=folder).status == 5
    listed = tgmtool("validate", "--files-from", "-", stdin=b"good.tgm\nbad.tgm\n", cwd=folder)
    assert listed.status == 1
    assert "2 files" in listed.text


def test_a_real_pipe_is_read_to_its_end(folder: Path) -> None:
    done = shell(f'cat {folder}/good.tgm {folder}/cut.tgm | "$@"', "validate", "-")
    assert done.status == 5


def test_a_batch_goes_on_after_bad_and_unreadable_files_in_order(folder: Path) -> None:
    names = ["bad.tgm", "missing.tgm", "good.tgm", "cut.tgm", "empty.tgm", "better.tgm"]
    done = tgmtool("validate", "-j", *names, cwd=folder)
    rows = [json.loads(line) for line in done.lines]
    files = [row["_file"] for row in rows if "verdict" in row]
    assert [name for name in files if name in names] == names


@pytest.mark.parametrize("jobs", [2, 4])
@pytest.mark.parametrize("form", ["text", "json", "ndjson", "junit", "sarif", "github"])
def test_any_number_of_jobs_prints_the_same(folder: Path, jobs: int, form: str) -> None:
    names = [path.name for path in sorted(folder.glob("*.tgm"))] * 3 + ["missing.tgm"]
    alone = tgmtool("validate", "--format", form, *names, cwd=folder)
    assert tgmtool("validate", "--format", form, "-J", jobs, *names, cwd=folder) == alone


def test_reports_are_written_beside_the_screen(folder: Path) -> None:
    reports = ("--report", "junit=a.xml", "--report", "sarif=b.sarif", "--report", "json=c.json")
    done = tgmtool("validate", *reports, "bad.tgm", cwd=folder)
    assert done.status == 1
    assert "error[hash_mismatch]" in done.text
    assert ET.parse(folder / "a.xml").getroot().get("failures") == "1"
    assert json.loads((folder / "b.sarif").read_text())["runs"][0]["results"][0]["ruleId"] == "hash_mismatch"
    assert json.loads((folder / "c.json").read_text())


def test_a_report_that_cannot_be_written_fails(folder: Path) -> None:
    done = tgmtool("validate", "--report", "junit=nowhere/a.xml", "good.tgm", cwd=folder)
    assert done.status == 4
    assert "nowhere" in done.err


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    done = shell(
        '"$@" | head -c 1 >/dev/null; exit ${PIPESTATUS[0]}', "validate", *[folder / "bad.tgm"] * 500
    )
    assert done.status in {0, 1}
    assert done.err == ""


def test_nothing_but_the_report_comes_out_in_a_pipe(folder: Path) -> None:
    assert tgmtool("validate", "good.tgm", "bad.tgm", cwd=folder).err == ""


# ---- one of 2 000

COUNT, SEEDED = 2_000, "tree/04/1234.tgm"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    good, bad = folder / "good", folder / "bad"
    good.write_bytes(WHOLE)
    bad.write_bytes(CHANGED)
    for number in range(COUNT):
        place = folder / "tree" / f"{number % 10:02}"
        place.mkdir(parents=True, exist_ok=True)
        os.link(good, place / f"{number}.tgm")
    (folder / SEEDED).unlink()
    os.link(bad, folder / SEEDED)
    return folder


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_seeded_error_among_two_thousand_files_is_found_and_named(tree: Path, jobs: int) -> None:
    reports = ("--report", "junit=j.xml", "--report", "sarif=s.json", "--report", "github=g.txt")
    done = tgmtool("validate", "-J", jobs, *reports, "tree", cwd=tree)
    assert done.status == 1
    assert f"{SEEDED}:" in done.lines[0]
    assert done.lines[1].startswith(f"{COUNT} files: {COUNT - 1} valid, 1 invalid")

    root = ET.parse(tree / "j.xml").getroot()
    (failed,) = (case for case in root.iter("testcase") if case.find("failure") is not None)
    assert failed.get("name") == SEEDED
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == (str(COUNT), "1", "0")

    (run,) = json.loads((tree / "s.json").read_text())["runs"]
    (result,) = run["results"]
    assert result["ruleId"] == "hash_mismatch"
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == SEEDED

    errors = [line for line in (tree / "g.txt").read_text().splitlines() if line.startswith("::error ")]
    assert len(errors) == 1
    assert f"file={SEEDED}," in errors[0]
