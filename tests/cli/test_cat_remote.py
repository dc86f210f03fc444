"""cat-remote takes out what was asked for, whole or not at all."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool as library
from tests.builders import flip_bit
from tests.cli.here import tgmtool
from tests.operations.streams import FIXED, buffered, entry, field, streaming
from tests.processes import PATIENCE, TGMTOOL, Ended, environment
from tgmtool import ObjectSpan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three messages of three objects, one that is damaged, one that is cut, one with hostile names."""
    whole = buffered(range(3)) + streaming(range(3, 6), backfill=True) + buffered(range(6, 9))
    (tmp_path / "run.tgm").write_bytes(whole)
    spans = [found for found in library.scan(whole) if isinstance(found, ObjectSpan)]
    (tmp_path / "flipped.tgm").write_bytes(flip_bit(whole, spans[4].payload_offset + 5, 3))
    (tmp_path / "cut.tgm").write_bytes(whole[:-30])
    pairs = [(field(i), {**entry(i), "name": name}) for i, name in enumerate(("../../up", "/abs", "t", "t"))]
    (tmp_path / "named.tgm").write_bytes(library.encode(pairs, layout="buffered", style=FIXED))
    return tmp_path


def ran(folder: Path, *words: object, status: int = 0) -> Ended:
    done = tgmtool("cat-remote", *words, cwd=folder)
    assert done.status == status, done.err
    assert done.err.count("\n") <= (1 if status else 0), done.err
    return done


def steps(done: Ended) -> list[int]:
    return [json.loads(line)["mars"]["step"] for line in done.lines]


# ---- listing


def test_without_a_format_it_lists_what_matches(folder: Path) -> None:
    head, *lines = ran(folder, "run.tgm").lines
    assert head.split("\t")[:6] == ["_msg", "_obj", "dtype", "shape", "compression", "_payload_length"]
    assert len(lines) == 9
    assert ran(folder, "--list", "run.tgm").lines == [head, *lines]
    assert ran(folder, "--list", "--as", "npy", "run.tgm").lines == [head, *lines]


def test_keys_and_formats_of_a_list_are_those_of_scan(folder: Path) -> None:
    done = ran(folder, "run.tgm", "-p", "mars.step,_obj", "--format", "csv", "-w", "mars.step>6")
    assert done.lines == ["mars.step,_obj", "7,1", "8,2"]
    assert steps(ran(folder, "run.tgm", "-j", "--message", "1")) == [3, 4, 5]


# ---- which objects


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", range(9)),
        ("--message 0", [0, 1, 2]),
        ("--message -1", [6, 7, 8]),
        ("--message 1:", [3, 4, 5, 6, 7, 8]),
        ("--message :-1", [0, 1, 2, 3, 4, 5]),
        ("--message -2:-1", [3, 4, 5]),
        ("--object 1", [1, 4, 7]),
        ("--object -1", [2, 5, 8]),
        ("--message 1 --object 0", [3]),
        ("-w mars.step=2/to/6/by/2", [2, 4, 6]),
        ("-w mars.step>3 --object 0", [6]),
        ("-w mars.step>3 -w mars.step<6", [4, 5]),
    ],
)
def test_objects_are_chosen(folder: Path, words: str, expected: Any) -> None:
    assert steps(ran(folder, *words.split(), "--as", "ndjson", "run.tgm")) == list(expected)
    assert steps(ran(folder, *words.split(), "-j", "run.tgm")) == list(expected)


def test_an_object_has_a_name(folder: Path) -> None:
    assert steps(ran(folder, "--object", "../../up", "--as", "ndjson", "named.tgm")) == [0]


def test_an_ambiguous_name_is_a_usage_error(folder: Path) -> None:
    done = ran(folder, "--object", "t", "-o", "t.npy", "named.tgm", status=2)
    assert "2 objects named 't' (2, 3)" in done.err
    assert not (folder / "t.npy").exists()
    assert steps(ran(folder, "--object", "t", "-w", "mars.step=3", "--as", "ndjson", "named.tgm")) == [3]


def test_several_files_come_one_after_the_other(folder: Path) -> None:
    assert steps(ran(folder, "--object", "0", "--as", "ndjson", "run.tgm", "named.tgm")) == [0, 3, 6, 0]


# ---- formats


def test_npy_npz_raw_and_json_by_suffix(folder: Path) -> None:
    for name in ("a.npy", "a.npz", "a.raw", "a.bin", "a.json", "a.ndjson", "a.jsonl"):
        ran(folder, "--message", "1", "--object", "0", "-o", name, "run.tgm")
    assert np.array_equal(np.load(folder / "a.npy"), field(3))
    (name,) = np.load(folder / "a.npz").files
    assert name == "2t"
    assert (folder / "a.raw").read_bytes() == (folder / "a.bin").read_bytes() == field(3).tobytes()
    (record,) = json.loads((folder / "a.json").read_text())
    assert record["values"] == field(3).tolist()
    assert (
        json.loads((folder / "a.ndjson").read_text())
        == json.loads((folder / "a.jsonl").read_text())
        == record
    )


def test_as_goes_before_the_suffix(folder: Path) -> None:
    ran(folder, "--message", "0", "--object", "1", "--as", "raw", "-o", "a.npy", "run.tgm")
    assert (folder / "a.npy").read_bytes() == field(1).tobytes()


def test_stdout_carries_every_array(folder: Path) -> None:
    file = io.BytesIO(ran(folder, "--as", "npy", "run.tgm").out)
    assert [np.load(file)[0, 0] for _ in range(9)] == [100 * step for step in range(9)]
    archive = np.load(io.BytesIO(ran(folder, "--as", "npz", "run.tgm").out))
    assert len(archive.files) == 9


def test_ranges_are_taken_of_each_object(folder: Path) -> None:
    done = ran(folder, "--range", "4:6,0:1", "--message", "0", "--as", "ndjson", "run.tgm")
    assert [json.loads(line)["values"] for line in done.lines] == [
        [4 + 100 * i, 5 + 100 * i, 100 * i] for i in range(3)
    ]


def test_names_of_a_file_cannot_lead_out_of_an_archive(folder: Path) -> None:
    ran(folder, "-o", "a.npz", "named.tgm")
    names = np.load(folder / "a.npz").files
    assert len(set(names)) == 4
    assert not any(set(name) & {"/", "\\"} or name.startswith(".") for name in names)


def test_masks_are_restored_unless_that_is_not_wanted(folder: Path) -> None:
    values = np.array([1.0, np.nan, np.inf])
    np.save(folder / "a.npy", values)
    assert (
        tgmtool("encode", "a.npy", "--allow-nan", "--allow-inf", "-o", folder / "a.tgm", cwd=folder).status
        == 0
    )
    ran(folder, "a.tgm", "-o", "b.npy")
    assert np.array_equal(np.load(folder / "b.npy"), values, equal_nan=True)
    ran(folder, "a.tgm", "-o", "c.npy", "--no-restore")
    assert np.load(folder / "c.npy").tolist() == [1, 0, 0]
    (record,) = json.loads(ran(folder, "a.tgm", "--as", "json").text)
    assert record["values"] == [1, None, None]


# ---- what is not written


def test_nothing_matches_is_no_and_leaves_no_file(folder: Path) -> None:
    before = sorted(os.listdir(folder))
    for words in ("-w mars.step=99", "--message 7", "--object 5", "--object nobody"):
        done = ran(folder, *words.split(), "-o", "a.npy", "run.tgm", status=1)
        assert "nothing matches" in done.err
        for listing in ("--list", "--plan", "-j"):
            done = ran(folder, *words.split(), listing, "run.tgm", status=1)
            assert "nothing matches" in done.err
    assert sorted(os.listdir(folder)) == before
    (folder / "nothing.tgm").write_bytes(b"")
    assert ran(folder, "nothing.tgm").err == ""  # everything was asked for, and there it is
    (folder / "nothing.tgm").unlink()
    assert json.loads(ran(folder, "--message", "7", "--as", "json", "run.tgm", status=1).text) == []


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.json", "a.raw"])
def test_a_flipped_bit_is_found_and_nothing_is_written(folder: Path, name: str) -> None:
    before = sorted(os.listdir(folder))
    done = ran(folder, "flipped.tgm", "-o", name, status=1)
    assert "digest" in done.err
    assert sorted(os.listdir(folder)) == before
    ran(folder, "flipped.tgm", "-o", name, "--no-verify")
    assert (folder / name).exists()


def test_an_object_beside_the_flipped_bit_is_sound(folder: Path) -> None:
    assert steps(ran(folder, "flipped.tgm", "--message", "1", "--object", "0", "--as", "ndjson")) == [3]
    ran(folder, "flipped.tgm", "--message", "1", "--object", "1", "--as", "ndjson", status=1)


def test_of_a_cut_file_what_is_whole_is_taken(folder: Path) -> None:
    done = ran(folder, "cut.tgm", "-o", "a.npy", status=5)
    assert "incomplete" in done.err
    assert np.load(folder / "a.npy")[0, 0] == 0
    assert ran(folder, "cut.tgm", "--list", status=5).lines[1:] == ran(folder, "run.tgm").lines[1:7]


def test_an_existing_file_is_kept_unless_forced(folder: Path) -> None:
    (folder / "a.raw").write_bytes(b"precious")
    words = ("--message", "0", "--object", "1", "-o", "a.raw", "run.tgm")
    assert "exists" in ran(folder, *words, status=4).err
    assert (folder / "a.raw").read_bytes() == b"precious"
    ran(folder, *words, "--force")
    assert (folder / "a.raw").read_bytes() == field(1).tobytes()


def test_a_failure_keeps_the_file_that_was_to_be_replaced(folder: Path) -> None:
    (folder / "a.npy").write_bytes(b"precious")
    ran(folder, "flipped.tgm", "--force", "-o", "a.npy", status=1)
    assert (folder / "a.npy").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ("run.tgm --as nonsense", 2, "--as 'nonsense' does not exist, expected one of tgm, npy"),
        ("run.tgm -o a.dunno", 2, "say the format with --as"),
        ("run.tgm --message x", 2, "expected a message number"),
        ("run.tgm --range 5", 2, "expected element ranges"),
        ("run.tgm --range 5:4", 2, "expected element ranges"),
        ("run.tgm --range 5:7 --as json", 2, "object 0.0 has 6 elements"),
        ("run.tgm -w nonsense", 2, "-w"),
        ("run.tgm --format nonsense", 2, "--format"),
        ("", 2, "FILE"),
        ("missing.tgm --as json", 4, "missing.tgm: no such file"),
        ("missing.tgm -o a.npy", 4, "missing.tgm: no such file"),
        ("run.tgm -o missing/a.npy", 4, "no such file"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(folder: Path, words: str, status: int, text: str) -> None:
    before = sorted(os.listdir(folder))
    assert text in ran(folder, *words.split(), status=status).err
    assert sorted(os.listdir(folder)) == before


def test_stats_say_what_was_read(folder: Path) -> None:
    done = tgmtool("cat-remote", "--stats", "--range", "0:2", "--as", "raw", "run.tgm", cwd=folder)
    assert (done.status, done.err) == (0, "tgmtool: 9 objects, 72 of 216 bytes of payload read\n")


# ---- a terminal


def on_a_terminal(folder: Path, *words: object) -> tuple[int, bytes, str]:
    """Run with a terminal as stdout: its status, what the terminal shows, and stderr."""
    ours, theirs = os.openpty()
    try:
        done = subprocess.run(
            (*TGMTOOL, "cat-remote", *map(str, words)),
            stdout=theirs,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment(),
            timeout=PATIENCE,
            check=False,
        )
        os.set_blocking(ours, False)
        try:
            shown = os.read(ours, 1 << 16)
        except BlockingIOError:
            shown = b""
        return done.returncode, shown, done.stderr.decode()
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("form", ["npy", "npz", "raw"])
def test_bytes_do_not_go_to_a_terminal_unless_forced(folder: Path, form: str) -> None:
    words = ("run.tgm", "--message", "0", "--object", "1", "--as", form)
    status, shown, text = on_a_terminal(folder, *words)
    assert (status, shown) == (2, b"")
    assert "stdout is a terminal" in text
    assert on_a_terminal(folder, *words, "--force")[0] == 0


@pytest.mark.parametrize("words", ["--as json", "--as ndjson", "--list", ""])
def test_text_may_go_to_a_terminal_and_cannot_steer_it(folder: Path, words: str) -> None:
    hostile = library.encode([(field(0), {"name": "\x1b[31mred\x07"})], style=FIXED)
    (folder / "hostile.tgm").write_bytes(hostile)
    status, shown, text = on_a_terminal(
        folder, "--color", "never", *words.split(), "-P", "name", "hostile.tgm"
    )
    assert (status, text) == (0, "")
    assert shown
    assert b"\x1b[31m" not in shown
    assert b"\x07" not in shown
