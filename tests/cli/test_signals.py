"""What a signal leaves: a message that is closed and whole, or a file that can be mended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest
import tensogram

from tests.operations.streams import append, framed, object_ends, objects_in, steps_of, streaming
from tests.processes import Running, run, tgmtool, wait_until
from tgmtool import ObjectSpan, scan

STOPS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
LARGE = (200, 300)


def count_in(path: Path) -> int:
    return sum(isinstance(one, ObjectSpan) for one in scan(path)) if path.exists() else 0


@pytest.mark.parametrize(("number", "status"), STOPS)
@pytest.mark.parametrize("group", ["1", "all"])
def test_encode_closes_its_message(tmp_path: Path, number: signal.Signals, status: int, group: str) -> None:
    path = tmp_path / "run.tgm"
    with Running("encode", "--from", "framed", "--group", group, "-o", path) as encode:
        encode.send(framed(range(3)) + framed([3])[:-5])  # it waits inside an object
        wait_until(lambda: count_in(path) == 3, "three objects")
        encode.signal(number)
        assert encode.wait() == status
        assert encode.errors.count("\n") == 1
        assert number.name in encode.errors
    assert steps_of(objects_in(path)) == [0, 1, 2]
    assert tgmtool("scan", path).status == 0
    assert tensogram.validate_file(str(path), level="full")["file_issues"] == []


@pytest.mark.parametrize(("number", "status"), STOPS)
def test_encode_to_a_name_that_appears_whole_leaves_nothing(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    with Running(
        "encode", "--from", "framed", "--commit", "rename", "-j", "-o", tmp_path / "a.tgm"
    ) as encode:
        encode.send(framed(range(2)))
        wait_until(lambda: written_in(tmp_path, encode.pid), "the first objects")
        encode.signal(number)
        assert encode.wait() == status
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "status"), STOPS)
def test_tail_ends_at_once(tmp_path: Path, number: signal.Signals, status: int) -> None:
    path = tmp_path / "run.tgm"
    path.write_bytes(streaming())
    with Running("tail", "-f", "-n", "+1", "-j", path) as tail:
        assert [json.loads(tail.line())["_obj"] for _ in range(3)] == [0, 1, 2]
        tail.signal(number)
        assert tail.wait() == status
        assert tail.errors == ""


def test_tail_says_what_is_pending_when_it_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    path.write_bytes(streaming()[: object_ends(streaming())[1] + 20])
    with Running("tail", "-f", "-n", "+1", "-j", path) as tail:
        for _ in range(2):
            assert tail.line()
        tail.signal(signal.SIGTERM)
        assert tail.wait() == 143
        assert tail.errors.count("\n") == 1
        assert "stops after" in tail.errors


def test_encode_that_is_killed_leaves_what_append_mends(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    words = ("encode", "--from", "framed", "--group", "all", "-o", path)
    with Running(*words) as encode:
        encode.send(framed(range(4), LARGE))
        wait_until(lambda: count_in(path) == 4, "four objects")
        encode.signal(signal.SIGKILL)
        assert encode.wait() == -signal.SIGKILL
    scanned = tgmtool("scan", "-j", path)
    rows = [json.loads(line) for line in scanned.lines]
    assert scanned.status == 5
    assert [row["_status"] for row in rows] == ["open"] * 4 + ["incomplete"]
    tailed = tgmtool("tail", "-n", "+1", "-j", path)
    assert tailed.status == 5
    assert [json.loads(line).get("event") for line in tailed.lines] == [None] * 4 + ["cut"]
    refused = tgmtool(*words, "--append", stdin=framed([4], LARGE))
    assert refused.status == 5
    mended = tgmtool(*words, "--append", "--repair-tail", stdin=framed([4], LARGE))
    assert mended.status == 0
    assert "4 whole objects kept" in mended.err
    assert steps_of(objects_in(path)) == [0, 1, 2, 3, 4]
    assert tgmtool("scan", path).status == 0


def test_a_follower_stays_through_death_and_mending_and_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    words = ("encode", "--from", "framed", "--reproducible", "--group", "all", "-o", path)
    follow = ("tail", "-f", "-n", "+1", "-s", "50ms", "--wait-for", "60s", "-j", "--count", 5, path)
    with Running(*follow) as tail:
        with Running(*words) as encode:
            encode.send(framed(range(3)))
            seen = [json.loads(tail.line())["mars"]["step"] for _ in range(3)]
            encode.signal(signal.SIGKILL)
            encode.wait()
        append(path, streaming(range(4))[path.stat().st_size :][:40])  # died inside an object
        assert tgmtool(*words, "--append", "--repair-tail", stdin=framed([3, 4])).status == 0
        for line in tail.rest():
            record = json.loads(line)
            assert "event" not in record, record
            seen.append(record["mars"]["step"])
        assert seen == [0, 1, 2, 3, 4]
        assert tail.wait() == 0


_INTERRUPTED_IMPORT = """\
import os, signal, sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from tgmtool.__main__ import main
main()
"""


def test_an_interrupt_while_it_starts_ends_it_without_a_traceback() -> None:
    ended = run((sys.executable, "-c", _INTERRUPTED_IMPORT, "scan", "-"))
    assert (ended.status, ended.err) == (-signal.SIGINT, "")


@pytest.mark.parametrize("held", [True, False], ids=["a-silent-pipe", "endless-zeros"])
def test_tail_ends_soon_where_no_good_place_to_stop_comes(tmp_path: Path, held: bool) -> None:
    words = ("-n", "5", "-") if held else ("/dev/zero",)
    with Running("tail", *words) as tail:
        wait_until(lambda: handles(tail.pid, signal.SIGTERM), "its handlers")
        tail.signal(signal.SIGTERM)
        assert tail.wait() == 143
        assert "Traceback" not in tail.errors


def written_in(folder: Path, pid: int) -> bool:
    """Whether a process has a file of a folder open in which there is anything; it may have no name yet."""
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(file).startswith(str(folder)) and file.stat().st_size:
                return True
    return False


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    masks = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:\t")[2].partition("\n")[0]
    return bool(int(masks, 16) >> (number - 1) & 1)
