"""backfill on the command line: what is said, and the exit status, for every kind of file."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.here import tgmtool
from tests.cli.test_schemas import check
from tests.operations.streams import buffered, object_ends, objects_in, steps_of, streaming
from tests.processes import LIMITED, TGMTOOL, Ended, Running, environment

PIPED = b"".join(streaming([step]) for step in range(3))
LENGTH = len(PIPED) // 3
FILLED = b"".join(streaming([step], backfill=True) for step in range(3))
THREE = streaming([3, 4, 5])
TORN = PIPED + THREE[: object_ends(THREE)[2] - 10]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    contents = {
        "piped.tgm": PIPED,
        "whole.tgm": buffered(),
        "torn.tgm": TORN,
        "garbage.tgm": buffered([0]) + b"garbage in between" + streaming([1]),
        "empty.tgm": b"",
        "text.tgm": b"This is a text, and no stream at all.\n" * 5,
        "head.tgm": b"TENSOGRM\0\3",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (1, 1))
    return tmp_path


def ran(folder: Path, *words: object, status: int = 0, stdin: bytes = b"") -> Ended:
    done = tgmtool("backfill", *words, cwd=folder, stdin=stdin)
    assert done.status == status, done
    return done


def records(done: Ended) -> list[dict[str, Any]]:
    """The JSON lines; each fits its schema."""
    found = [json.loads(line) for line in done.lines]
    for one in found:
        check("backfill-file" if one["event"] in {"file", "undone"} else "backfill-part", one)
    return found


# ---- lengths


def test_lengths_are_filled_in_and_a_second_run_says_nothing(folder: Path) -> None:
    done = ran(folder, "piped.tgm")
    assert done.err == "tgmtool: piped.tgm: 3 messages, the lengths of 3 filled in\n"
    assert (folder / "piped.tgm").read_bytes() == FILLED
    assert ran(folder, "piped.tgm")[1:] == (b"", "")


def test_check_and_dry_run_write_nothing(folder: Path) -> None:
    ran(folder, "--check", "piped.tgm", status=1)
    ran(folder, "--check", "whole.tgm")
    done = ran(folder, "--dry-run", "piped.tgm")
    assert len(done.lines) == 6
    assert done.lines[0].split("\t") == ["piped.tgm", "streaming", "0", str(LENGTH), "16", f"{LENGTH:016x}"]
    assert (folder / "piped.tgm").read_bytes() == PIPED


def test_records_name_each_message_and_what_is_written(folder: Path) -> None:
    *messages, summary = records(ran(folder, "-j", "--dry-run", "piped.tgm"))
    assert [one["class"] for one in messages] == ["streaming"] * 3
    assert messages[0]["patches"][0] == {"offset": 16, "data": f"{LENGTH:016x}"}
    assert summary["written"] is False
    assert (summary["messages"], summary["patches"]) == (3, 6)


@pytest.mark.parametrize("jobs", ["1", "2", "auto"])
def test_several_files_are_each_done_and_the_worst_is_the_status(folder: Path, jobs: str) -> None:
    done = ran(folder, "-J", jobs, "-j", ".", status=4)
    files = [one["file"] for one in records(done) if one["event"] == "file"]
    assert files == [f"./{name}.tgm" for name in ("garbage", "head", "piped", "torn", "whole")]
    assert (folder / "piped.tgm").read_bytes() == FILLED
    assert (folder / "garbage.tgm").read_bytes().endswith(streaming([1], backfill=True))


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("torn.tgm", 5, "no whole message (torn-streaming)"),
        ("garbage.tgm", 3, "18 bytes are no whole message (gap)"),
        ("empty.tgm", 5, "the file is empty"),
        ("text.tgm", 4, "no .tgm file"),
        ("head.tgm", 5, "torn-streaming"),
        ("nowhere.tgm", 4, "no such file"),
        ("pipe", 4, "no regular file"),
        ("link.tgm", 4, "is a symbolic link to"),
    ],
)
def test_what_is_not_sound_is_said_in_a_line_and_left_as_it_is(
    folder: Path, name: str, status: int, said: str
) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "link.tgm").symlink_to("piped.tgm")
    before = {path: path.read_bytes() for path in folder.glob("[ehlpt]*.tgm")}
    done = ran(folder, name, status=status)
    lines = [line for line in done.err.splitlines() if "filled in" not in line]
    assert len(lines) == 1
    assert said in lines[0]
    if status != 3 and name != "torn.tgm":
        assert {path: path.read_bytes() for path in before} == before


def test_a_file_that_may_not_be_written_is_refused(folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everything")
    (folder / "piped.tgm").chmod(0o444)
    assert "permission denied" in ran(folder, "piped.tgm", status=4).err
    assert (folder / "piped.tgm").read_bytes() == PIPED


def test_a_pipe_becomes_a_patched_file(folder: Path) -> None:
    ran(folder, "-", "-o", "copy.tgm", stdin=PIPED)
    assert (folder / "copy.tgm").read_bytes() == FILLED
    reader = subprocess.run(
        ["bash", "-c", 'cat piped.tgm | "$@"', "bash", *TGMTOOL, "backfill", "-", "-o", "other.tgm"],
        cwd=folder,
        env=environment(),
        check=False,
    )
    assert reader.returncode == 0
    assert (folder / "other.tgm").read_bytes() == FILLED
    assert "already exists" in ran(folder, "piped.tgm", "-o", "copy.tgm", status=4).err


def test_a_backup_is_kept_under_its_suffix(folder: Path) -> None:
    ran(folder, "--backup-suffix", ".orig", "piped.tgm", "whole.tgm")
    assert (folder / "piped.tgm.orig").read_bytes() == PIPED
    assert not (folder / "whole.tgm.orig").exists()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-"],
        ["--check", "--dry-run", "piped.tgm"],
        ["-o", "out.tgm", "piped.tgm", "whole.tgm"],
        ["-o", "-", "piped.tgm"],
        ["-o", "out.tgm", "--check", "piped.tgm"],
        ["-o", "out.tgm", "--backup-suffix", ".x", "piped.tgm"],
        ["--salvage", "torn.tgm"],
        ["--reindex", "piped.tgm"],
        ["--salvage", "--reindex", "-o", "out.tgm", "torn.tgm"],
        ["--assume-dead", "torn.tgm"],
        ["--stall", "1h", "torn.tgm"],
        ["--salvage", "--in-place", "--stall", "1h", "torn.tgm"],
        ["--keep-unhashed", "torn.tgm"],
        ["--in-place", "torn.tgm"],
        ["--salvage", "--in-place", "-o", "out.tgm", "torn.tgm"],
        ["--undo", "--salvage", "torn.tgm"],
        ["--min-age", "soon", "torn.tgm"],
        ["-J", "none", "torn.tgm"],
    ],
)
def test_what_does_not_go_together_is_a_usage_error(folder: Path, words: list[str]) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert ran(folder, *words, status=2).err.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


# ---- salvage


def test_salvage_reports_every_byte_and_exits_3_on_loss(folder: Path) -> None:
    *ranges, summary = records(ran(folder, "--salvage", "-j", "-o", "out.tgm", "torn.tgm", status=3))
    assert [one["offset"] for one in ranges] == [
        sum(before["length"] for before in ranges[:at]) for at in range(len(ranges))
    ]
    assert sum(one["length"] for one in ranges) == summary["size"] == len(TORN)
    assert sum(one["length"] for one in ranges if one["fate"] == "lost") == summary["lost"]
    assert steps_of(objects_in(folder / "out.tgm"))[:4] == [0, 1, 2, 3]
    assert (folder / "torn.tgm").read_bytes() == TORN
    done = ran(folder, "--salvage", "-o", "again.tgm", "--min-age", "0", "out.tgm")
    assert done.err == ""
    assert (folder / "again.tgm").read_bytes() == (folder / "out.tgm").read_bytes()


def test_an_end_that_is_cut_is_no_loss(folder: Path) -> None:
    path = folder / "cut.tgm"
    for data in (THREE[:-9], buffered()[:-9]):
        path.write_bytes(PIPED + data)
        os.utime(path, (1, 1))
        *ranges, summary = records(ran(folder, "--salvage", "-f", "-j", "-o", "out.tgm", path))
        assert summary["lost"] == 0
        assert [one["code"] for one in ranges if "code" in one] == ["incomplete_tail"]
        (summary,) = records(ran(folder, "--salvage", "--in-place", "-j", path))
        assert (summary["lost"], summary["metadata_lost"]) == (0, [])
        assert summary["dropped"] > 0
        ran(folder, "--undo", path)


def test_salvage_can_be_tried_first(folder: Path) -> None:
    assert ran(folder, "--salvage", "--check", "torn.tgm", status=1).out == b""
    ran(folder, "--salvage", "--check", "whole.tgm")
    done = ran(folder, "--salvage", "--dry-run", "torn.tgm", status=3)
    assert {line.split("\t")[1] for line in done.lines} == {"kept", "replaced", "lost"}
    assert ran(folder, "--salvage", "-o", "out.tgm", "-", stdin=TORN, status=3).out == b""


@pytest.mark.parametrize(("name", "status"), [("empty.tgm", 5), ("text.tgm", 4), ("head.tgm", 4)])
def test_where_nothing_is_whole_there_is_no_output(folder: Path, name: str, status: int) -> None:
    assert ran(folder, "--salvage", "-o", "out.tgm", name, status=status).err.count("\n") == 1
    assert not (folder / "out.tgm").exists()


def test_a_file_that_is_being_written_is_refused_and_lengths_are_filled_in_all_the_same(folder: Path) -> None:
    path = folder / "busy.tgm"
    path.write_bytes(PIPED)
    with Running("encode", "--append", "--from", "framed", "-o", path) as writer:
        writer.send(b'{"dtype":"<f4","shape":[1]}\n' + bytes(4))
        assert writer.process.stdin is not None
        wait_for_growth(path, len(PIPED))
        done = ran(folder, "--salvage", "--min-age", "0", "-o", "out.tgm", "busy.tgm", status=4)
        assert f"another process {writer.pid} writes to it" in done.err
        ran(folder, "--salvage", "--in-place", "--min-age", "0", "busy.tgm", status=4)
        assert tgmtool("backfill", "busy.tgm", cwd=folder).status in {0, 5}
        writer.send(b'{"dtype":"<f4","shape":[1]}\n' + bytes(4))
        writer.close_stdin()
        assert writer.wait() == 0
    ran(folder, "--check", "busy.tgm")
    assert len(objects_in(path)) == 5


def wait_for_growth(path: Path, size: int) -> None:
    from tests.processes import wait_until

    wait_until(lambda: path.stat().st_size > size, "the first object")


def test_a_full_disk_leaves_the_original_and_no_output(folder: Path) -> None:
    for words in (["--salvage", "-o", "out.tgm"], ["-o", "out.tgm"], ["--reindex", "-o", "out.tgm"]):
        name = "torn.tgm" if "--salvage" in words else "large.tgm"
        (folder / "large.tgm").write_bytes(streaming([0], shape=(300, 300)))
        script = 'trap "" XFSZ; ulimit -f 1; "$@"'
        done = subprocess.run(
            ["bash", "-c", script, "bash", *TGMTOOL, "backfill", "--min-age", "0", *words, name],
            cwd=folder,
            env=environment(LIMITED),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 4, done.stderr
        assert done.stderr.count(b"\n") == 1
        assert b"file too large" in done.stderr
        assert not list(folder.glob("*out*")) + list(folder.glob(".*"))
    assert (folder / "torn.tgm").read_bytes() == TORN


# ---- in place, and other copies


def test_the_last_message_is_finished_in_place_and_taken_back(folder: Path) -> None:
    done = ran(folder, "--salvage", "--in-place", "torn.tgm", status=3)
    assert "--undo puts them back" in done.err
    assert steps_of(objects_in(folder / "torn.tgm"))[:4] == [0, 1, 2, 3]
    assert ran(folder, "--salvage", "--in-place", "torn.tgm")[1:] == (b"", "")
    assert [one["event"] for one in records(ran(folder, "-j", "--undo", "torn.tgm"))] == ["undone"]
    assert (folder / "torn.tgm").read_bytes() == TORN
    assert "nothing to undo" in ran(folder, "--undo", "torn.tgm", status=4).err
    ran(folder, "--salvage", "--in-place", "--check", "--min-age", "0", "torn.tgm", status=1)
    done = ran(folder, "--salvage", "--in-place", "--dry-run", "-j", "--force", "torn.tgm", status=3)
    assert records(done)[0]["objects"] == 2
    assert (folder / "torn.tgm").read_bytes() == TORN


def test_reindex_and_rehash_write_copies_and_refuse_what_is_not_whole(folder: Path) -> None:
    ran(folder, "--reindex", "-o", "indexed.tgm", "piped.tgm")
    assert steps_of(objects_in(folder / "indexed.tgm")) == [0, 1, 2]
    ran(folder, "--reindex", "--check", "indexed.tgm")
    ran(folder, "--reindex", "--check", "piped.tgm", status=1)
    ran(folder, "--rehash", "-o", "hashed.tgm", "whole.tgm")
    assert (folder / "hashed.tgm").read_bytes() == buffered()
    assert "--salvage" in ran(folder, "--reindex", "-o", "x.tgm", "torn.tgm", status=5).err
    assert "--salvage" in ran(folder, "--reindex", "-o", "x.tgm", "garbage.tgm", status=4).err
    assert not (folder / "x.tgm").exists()
