"""`tail` as a consumer that can be killed: its state, its commands, its answers, and its exit status."""

from __future__ import annotations

import functools
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.here import tgmtool
from tests.cli.test_schemas import check
from tests.operations.producers import places_in
from tests.operations.streams import append, buffered, numbered, object_ends, spoken, streaming
from tests.operations.test_tail_streams import put
from tests.processes import Running, shell, wait_until
from tests.processes import tgmtool as process


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run.tgm"
    path.write_bytes(numbered(0) + numbered(1, [1, 2]) + spoken(2))
    return path


def steps_in(text: str) -> list[int]:
    rows = [json.loads(line) for line in text.splitlines()]
    return [row["mars"]["step"] for row in rows if "_status" in row]


@pytest.mark.parametrize(
    ("data", "words", "status", "said"),
    [
        (numbered(0) + spoken(1), "-f", 0, ""),
        (numbered(0) + spoken(1, "error", msg="no\x1b[31m memory\n"), "-f", 6, "no\\x1b[31m memory\\x0a"),
        (numbered(0) + spoken(1, "error", fatal=False, msg="slow") + spoken(2), "-f", 0, "slow"),
        (numbered(0) + spoken(1, "note", msg="half") + spoken(2), "-f", 0, "half"),
        (numbered(0) + numbered(2) + spoken(3), "-f", 3, "1 missing"),
        (numbered(0) + numbered(0) + spoken(1), "-f", 0, "was dropped"),
        (numbered(0) + spoken(1) + numbered(2), "-f", 3, "had ended"),
        (numbered(0), "--require-end", 5, "--require-end"),
        (numbered(0) + spoken(1), "--require-end", 0, ""),
        (buffered([0]), "--require-end", 5, "--require-end"),
        (numbered(0) + spoken(1), "-f --until mars.step=7", 1, "--until"),
        (numbered(0), "--from seq:3", 4, "number 3"),
        (numbered(0), "--from offset:3", 7, "not_a_boundary"),
        (numbered(0) + spoken(1, next="../x"), "-f", 3, "successor"),
        (numbered(0) + spoken(1), "-f --chan other --timeout 50ms", 124, "--timeout"),
        (numbered(0) + spoken(1), "-f --producers 2 --idle-timeout 50ms", 124, "--idle-timeout"),
        (numbered(0) + spoken(1), "-f --forever --timeout 50ms", 124, "--timeout"),
    ],
)
def test_how_it_ends(tmp_path: Path, data: bytes, words: str, status: int, said: str) -> None:
    (tmp_path / "a.tgm").write_bytes(data)
    if "--from" not in words:
        words += " -n +1"
    done = tgmtool("tail", "-j", *words.split(), "a.tgm", cwd=tmp_path)
    rows = [json.loads(line) for line in done.lines]
    for row in rows:
        check("tail-object" if "_status" in row else "tail-event", row)
    reasons = [row.get("reason", "") for row in rows]
    assert done.status == status
    assert "\x1b" not in done.err
    assert said in done.err or said in " ".join(reasons)
    text = tgmtool("tail", *words.split(), "a.tgm", cwd=tmp_path)
    assert text.status == status
    assert said in text.err
    assert said or text.err == ""


def test_an_end_is_an_event_and_said_only_if_one_wants_to_know(tmp_path: Path, run: Path) -> None:
    done = tgmtool("tail", "-f", "-j", run, cwd=tmp_path)
    last = json.loads(done.lines[-1])
    assert (last["event"], last["stream"]["id"], last["stream"]["seq"]) == ("end", "run", 2)
    assert tgmtool("tail", "-f", run, cwd=tmp_path).err == ""
    assert "has ended" in tgmtool("tail", "-f", "-v", run, cwd=tmp_path).err


@pytest.mark.parametrize(
    "words",
    [
        "--state s -",
        "--state run.tgm run.tgm",
        "--ack run.tgm run.tgm",
        "--state-reset run.tgm",
        "--ack-sender x run.tgm",
        "--ack a -n 2 run.tgm",
        "--ack a --from end run.tgm",
        "--exec x -j run.tgm",
        "--exec {a} run.tgm",
        "--exec ' run.tgm",
        "--exec x --exec-errors maybe run.tgm",
        "--while ' run.tgm",
        "--commit never run.tgm",
        "--from seq:x run.tgm",
        "-n 3 .",
        "--producers 0 run.tgm",
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(tmp_path: Path, run: Path, words: str) -> None:
    before = run.read_bytes()
    done = tgmtool("tail", *words.split(" "), cwd=tmp_path)
    assert (done.status, done.out, done.err.count("\n")) == (2, b"", 1)
    assert run.read_bytes() == before
    assert not (tmp_path / "a").exists()


def test_with_a_state_everything_comes_once(tmp_path: Path, run: Path) -> None:
    words = ("tail", "-f", "-j", "--state", "state", run)
    assert steps_in(tgmtool(*words, cwd=tmp_path).text) == [0, 1, 2]
    done = tgmtool(*words, cwd=tmp_path)
    assert (done.status, done.out) == (0, b"")
    append(run, numbered(0, [9]))
    done = tgmtool(*words, cwd=tmp_path)
    assert (done.status, done.out, done.err.count("\n")) == (7, b"", 1)
    assert "ended" in done.err
    assert steps_in(tgmtool(*words, "--state-reset", cwd=tmp_path).text) == [0, 1, 2, 9]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_reader_that_is_stopped_goes_on_where_it_was(tmp_path: Path, number: signal.Signals) -> None:
    path, state = tmp_path / "run.tgm", tmp_path / "state"
    path.write_bytes(b"")
    words = ("tail", "-f", "-j", "-s", "20ms", "--state", state, "--state-every", "0", path)
    for step in range(4):
        with Running(*words) as tail:
            append(path, numbered(step))
            assert json.loads(tail.line())["mars"]["step"] == step
            where = f'"offset":{path.stat().st_size}'
            wait_until(functools.partial(_says, state, where), "its state")
            tail.signal(number)
            assert tail.wait() == (143 if number == signal.SIGTERM else -9)
            assert tail.rest() == []


def _says(path: Path, text: str) -> bool:
    return text in path.read_text()


def test_bytes_go_on_with_a_whole_message(tmp_path: Path) -> None:
    path, data = tmp_path / "run.tgm", numbered(0, range(3))
    words = ("tail", "--raw", "--state", "state", path)
    path.write_bytes(data[:-30])
    cut = tgmtool(*words, cwd=tmp_path)
    assert (cut.status, cut.out) == (5, b"")
    path.write_bytes(data)
    assert tgmtool(*words, cwd=tmp_path).out == data
    append(path, numbered(1) + spoken(2))
    assert tgmtool(*words, "--count", 1, cwd=tmp_path).out == numbered(1)
    assert tgmtool(*words, cwd=tmp_path).out == spoken(2)


def test_two_followers_of_one_state_are_one_too_many(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    path.write_bytes(numbered(0))
    with Running("tail", "-f", "-j", "--state", tmp_path / "state", path) as tail:
        tail.line()
        done = process("tail", "--state", tmp_path / "state", path)
        assert done.status == 4
        assert str(tail.pid) in done.err


# ---- commands


def test_a_command_runs_for_each_unit_and_the_state_waits_for_it(tmp_path: Path, run: Path) -> None:
    command = "sh -c 'echo $1 >> out; test ! -e \"fail$1\"' meter {mars.step}"
    (tmp_path / "fail1").touch()
    words = ("tail", "-f", "--state", "state", "--exec", command, run)
    done = tgmtool(*words, cwd=tmp_path)
    assert (done.status, done.out) == (4, b"")
    assert "message 1, object 0" in done.err
    (tmp_path / "fail1").unlink()
    assert tgmtool(*words, cwd=tmp_path).status == 0
    assert (tmp_path / "out").read_text().split() == ["0", "1", "1", "2"]


def test_a_command_that_fails_may_be_passed_over(tmp_path: Path, run: Path) -> None:
    words = ("tail", "-f", "--exec", "false", "--exec-errors", "warn", run)
    done = tgmtool(*words, cwd=tmp_path)
    assert (done.status, done.err.count("\n")) == (0, 3)


def test_a_signal_ends_the_command_too(tmp_path: Path, run: Path) -> None:
    with Running("tail", "-f", "--exec", f"sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000'", run) as tail:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the command")
        tail.signal(signal.SIGTERM)
        assert tail.wait() == 143
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# ---- answers


def test_everything_that_came_is_acknowledged_and_only_once(tmp_path: Path, run: Path) -> None:
    words = ("tail", "-f", "-j", "--ack", tmp_path / "ack.tgm", "--ack-sender", "archive", run)
    assert process(*words).status == 0
    assert process(*words).status == 0
    (ack,) = places_in(tmp_path / "ack.tgm")
    assert ack["in_reply_to"] == {"id": "run", "chan": "main", "sender": "0", "seq": 2}
    assert (ack["chan"], ack["sender"], ack["seq"]) == ("sync", "archive", 0)
    assert process("validate", "--stream", "--strict", tmp_path / "ack.tgm").status == 0
    done = process("tail", "--ack", run, "--ack-sender", "archive", tmp_path / "ack.tgm")
    assert done.status == 4


def test_output_that_is_lost_is_not_acknowledged(tmp_path: Path, run: Path) -> None:
    ack = tmp_path / "ack.tgm"
    done = shell(f'"$@" > /dev/full; echo $? >&2; test ! -s {ack}', "tail", "-f", "--ack", ack, run)
    assert done.status == 0
    assert done.err.splitlines()[-1] == "4"


# ---- looking at it


def test_a_signal_asks_for_a_line_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    path.write_bytes(numbered(0))
    with Running("tail", "-f", "-j", path) as tail:
        assert json.loads(tail.line())["mars"]["step"] == 0
        size = path.stat().st_size
        line = f"byte {size} of {size}, messages: 1, objects: 1, senders: 1 (1 open), idle for"

        def is_told() -> bool:
            tail.signal(signal.SIGUSR1)
            return line in tail.errors

        wait_until(is_told, "the line")
        append(path, spoken(1))
        assert json.loads(tail.line())["event"] == "end"
        assert tail.wait() == 0


def test_progress_says_what_was_done(tmp_path: Path, run: Path) -> None:
    done = tgmtool("tail", "-f", "--progress", run, cwd=tmp_path)
    assert "3 messages, 3 objects" in done.err


def test_a_folder_is_taken_file_by_file(tmp_path: Path) -> None:
    folder: Any = tmp_path / "in"
    folder.mkdir()
    put(folder, "b.tgm", numbered(1) + spoken(2))
    put(folder, "a.tgm", numbered(0))
    words = ("tail", "-f", "--template", "{_file} {mars.step}", "--state", "state", "in")
    done = tgmtool(*words, cwd=tmp_path)
    assert (done.status, done.lines) == (0, ["in/a.tgm 0", "in/b.tgm 1"])
    assert tgmtool(*words, cwd=tmp_path).lines == []


@pytest.mark.parametrize("every", ["0", "1h"])
def test_what_came_while_nobody_looked_is_not_taken_by_a_signal(tmp_path: Path, every: str) -> None:
    run, state = tmp_path / "run.tgm", tmp_path / "state"
    data = streaming(range(3))
    ends = object_ends(data)
    run.write_bytes(data[: ends[0]])
    words = ("-n", "+1", "--state", state, "--state-every", every, "-j", run)
    with Running("tail", "-f", "-s", "1h", "--watch", "off", *words) as tail:
        found = [tail.line()]
        append(run, data[ends[0] : ends[2] + 10])
        tail.process.send_signal(signal.SIGTERM)
        assert tail.wait() == 143
        while line := tail.line():
            found.append(line)
    found += process("tail", *words).out.splitlines()
    steps = [row["mars"]["step"] for row in map(json.loads, found) if "mars" in row]
    assert list(dict.fromkeys(steps)) == [0, 1, 2]  # the first may come again: it may not count as taken yet
