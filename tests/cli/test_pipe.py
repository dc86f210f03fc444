"""`tgmtool pipe`: exit statuses, what is said, signals, and what is left."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.cli.here import tgmtool as here
from tests.operations.pipelines import messages, processes_with
from tests.processes import PATIENCE, TGMTOOL, Running, environment, shell, tgmtool, wait_until
from tgmtool.cli.console import safe
from tgmtool.messages.stream import ERROR, Place, Sender
from tgmtool.operations.markers import marker

STREAM = messages(9, 5000)
DATA = b"".join(STREAM)
ERROR_MARK = marker(Place(Sender("run"), 9, ERROR, {"msg": "disk \x1b[31mfull"}))
SCHEMA = Path(__file__).parent.parent.parent / "tgmtool/schemas/pipe-summary.schema.json"


SOON = ("--grace", "200ms")


def sh(script: str) -> str:
    return shlex.join(["sh", "-c", script])


@pytest.mark.parametrize(
    ("words", "stdin", "status", "said"),
    [
        ((), DATA, 0, ""),
        (("cat",), DATA, 0, ""),
        ((), DATA[:-3], 5, "<stdin>: byte .*the message that begins here stops after"),
        ((), b"x" + DATA, 1, "<stdin>: byte 0: expected a message"),
        (("--on-error", "skip"), b"x" + DATA, 3, "1 bytes were skipped in 1 places"),
        (("--on-error", "pass"), b"x" + DATA, 0, "were passed on"),
        (("cat", "false"), DATA, 1, r"stage 2 'false' exited 1"),
        ((sh("kill -9 $$"),), DATA, 137, "stage 1 'sh' was killed by SIGKILL"),
        (("no-such-thing",), DATA, 4, "stage 1 'no-such-thing': no such command"),
        (("2*sh -c 'exit 3'",), DATA, 3, r"stage 1 'sh' exited 3 on message \d"),
        (("--keep-going", "2*false"), DATA, 3, "set aside"),
        (("@verify",), DATA + ERROR_MARK, 6, "the producer run/main/0 said error: disk"),
        (("@limit 2",), DATA, 0, ""),
        ((*SOON, "--timeout", "200ms", "cat", "sleep 999"), DATA, 124, "--timeout: not done after 0.2 s"),
        ((*SOON, "--stall-timeout", "200ms", "@verify", "2*sleep 99"), DATA, 124, "--stall-timeout: stage 2"),
        ((*SOON, "--item-timeout", "200ms", "2*sleep 999"), DATA, 124, "--item-timeout: stage 1 'sleep'"),
        (("@tee", ), DATA, 2, "expected @tee PATH"),
        (("@nothing",), DATA, 2, "there is no @nothing"),
    ],
)  # fmt: skip
def test_how_it_ends(words: tuple[str, ...], stdin: bytes, status: int, said: str) -> None:
    done = tgmtool("pipe", *words, stdin=stdin)
    assert done.status == status, done.err
    assert re.search(said, done.err), done.err
    assert bool(done.err) == bool(said)
    assert "Traceback" not in done.err
    assert "\x1b" not in done.err


def test_a_sequence_number_is_named_where_there_is_one(tmp_path: Path) -> None:
    made = tgmtool("pipe", "@stamp", stdin=DATA)
    done = tgmtool("pipe", "1*sh -c 'exit 3'", stdin=made.out)
    assert "stage 1 'sh' exited 3 on message 0 (seq 0)" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--on-error", "hope"), "expected one of stop, skip, pass"),
        (("-B", "1"), "at least 4096"),
        (("-B", "much"), "no size"),
        (("--failed", "x.tgm"), "give both"),
        (("--tee", "x.tgm", "cat"), "write '@where EXPR'"),
        (("--memory-budget", "200%"), "1% to 100%"),
        (("--progress", "maybe"), "expected auto, always or never"),
        (("--timeout", "0s"), "expected more than nothing"),
        (("-w", "param"), "has no operator"),
        (("--match", "most"), "expected one of any, all, first"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = here("pipe", *words, stdin=DATA, cwd=tmp_path)
    assert (done.status, done.out) == (2, b"")
    assert said in done.err


def test_one_stage_with_copies_files_by_metadata_and_a_condition(tmp_path: Path) -> None:
    words = ("--verify", "-w", "mars.step=2/to/4", "--tee", tmp_path / "a b.tgm", "--tee", tmp_path / "b.tgm")
    done = tgmtool("pipe", *words, "--split", f"{tmp_path}/[mars.step].tgm", stdin=DATA)
    assert (done.status, done.out, done.err) == (0, b"".join(STREAM[2:5]), "")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["2.tgm", "3.tgm", "4.tgm", "a b.tgm", "b.tgm"]
    listed = tgmtool("scan", "--unit", "message", "-p", "_mode", tmp_path / "b.tgm").lines
    assert listed[1:] == ["backfilled", "buffered", "buffered"]


def test_a_whole_pipeline(tmp_path: Path) -> None:
    model = tmp_path / "model"
    heads = "".join(
        f'{{"dtype":"<f4","shape":[2],"mars":{{"param":"2t","step":{step}}}}}\\n12345678' for step in range(5)
    )
    model.write_text(f"#!/bin/sh\nprintf '{heads}'\n")
    model.chmod(0o755)
    tool = shlex.join(["env", f"PYTHONPATH={os.getcwd()}", *TGMTOOL])
    words = (
        str(model),
        f"{tool} encode --from framed --id run -o -",
        "2*cat",
        "@where mars.step<3",
        "@tee run.tgm",
        "wc -c",
    )
    done = tgmtool("pipe", *words, cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert int(done.text) > 0
    assert tgmtool("scan", "-p", "mars.step", tmp_path / "run.tgm").lines[1:4] == ["0", "1", "2"]


def test_a_reader_that_goes_away_is_141_after_the_copy_was_finished(tmp_path: Path) -> None:
    (tmp_path / "in.tgm").write_bytes(DATA * 200)
    script = f'"$@" < {tmp_path}/in.tgm | head -c 20000 > /dev/null; exit "${{PIPESTATUS[0]}}"'
    done = shell(script, "pipe", "--tee", tmp_path / "tee.tgm")
    assert (done.status, done.err) == (141, "")
    assert tgmtool("validate", tmp_path / "tee.tgm").status == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_everything_and_finishes_the_copy(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    tee, token = tmp_path / "tee.tgm", f"token-{number}-{os.getpid()}"
    # The last stage takes nothing, and does not want to end.
    stubborn = shlex.join(["sh", "-c", "trap '' TERM; sleep 1000; sleep 1000", token])
    with Running("pipe", "--grace", "300ms", "@verify", f"@tee {tee}", stubborn) as pipe:
        pipe.send(DATA)
        wait_until(lambda: tee.exists() and tee.stat().st_size == len(DATA), "the copy")
        pipe.signal(number)
        assert pipe.wait() == status
        assert f"stopped by {number.name}" in pipe.errors
    assert tgmtool("validate", tee).status == 0
    wait_until(lambda: not processes_with(token), "the stage to be gone")


@pytest.mark.parametrize("runs", ["", "2*"])
def test_a_second_signal_ends_at_once(runs: str, tmp_path: Path) -> None:
    token, there = f"token-second-{os.getpid()}", tmp_path / "there"
    stubborn = shlex.join(["sh", "-c", f"trap '' TERM; touch {there}; sleep 1000; sleep 1000", token])
    with Running("pipe", "--grace", "1h", "@verify", runs + stubborn) as pipe:
        pipe.send(DATA)
        wait_until(there.exists, "the stage to run")
        pipe.signal(signal.SIGINT)
        wait_until(lambda: signal_was_seen(pipe), "the first to be seen")
        pipe.signal(signal.SIGINT)
        assert pipe.wait() == 130
    wait_until(lambda: not processes_with(token), "the stage to be gone")


def signal_was_seen(pipe: Running) -> bool:
    """No signal is pending any more."""
    status = Path(f"/proc/{pipe.pid}/status").read_text()
    pending = [line.split()[1] for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
    return not any(int(each, 16) for each in pending)


def test_a_producer_that_waits_can_be_interrupted_and_downstream_hears_why(tmp_path: Path) -> None:
    with Running("pipe") as pipe:
        pipe.send(STREAM[0])
        assert pipe.process.stdout is not None
        first = b""
        while len(first) < len(STREAM[0]):
            first += os.read(pipe.process.stdout.fileno(), len(STREAM[0]) - len(first))
        pipe.signal(signal.SIGTERM)
        assert pipe.wait() == 143
        rest = pipe.process.stdout.read()
    assert first == STREAM[0]
    assert b"interrupted" in rest
    assert rest.startswith(b"TENSOGRM")


def summary_of(path: Path) -> Any:
    record = json.loads(path.read_text())
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(record)
    return record


@pytest.mark.parametrize(
    ("words", "stdin", "status"),
    [
        (("cat", "2*cat"), DATA, 0),
        (("cat", "false"), DATA, 1),
        ((), DATA + ERROR_MARK, 6),
        ((), DATA[:-1], 5),
    ],
)
def test_a_summary(words: tuple[str, ...], stdin: bytes, status: int, tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    done = tgmtool("pipe", "--name", "copy", "--summary", path, *words, stdin=stdin)
    record = summary_of(path)
    assert done.status == record["status"] == status
    assert record["name"] == "copy"
    assert record["bytes"] == len(done.out)
    assert (record["failure"] is None) == (status in {0, 6})
    assert (record["producer_error"] is None) == (status != 6)


def test_a_line_now_and_then() -> None:
    done = tgmtool(
        "pipe", "--progress", "always", "--interval", "50ms", "-S", len(DATA), "@pace 30ms", stdin=DATA
    )
    assert done.status == 0
    lines = done.err.splitlines()
    assert len(lines) >= 2
    assert all(
        re.search(r"pipe: <stdin> > stage 1 '@pace': \d+ messages, .* MB/s, \d+% full", line)
        for line in lines
    )
    assert done.out == DATA
    assert tgmtool("pipe", "--progress", "never", stdin=DATA).err == ""


def on_terminal(stream: str, *words: str, stdin: bytes) -> tuple[int, bytes, str]:
    """Run with one stream on a terminal; return status, what came out of the other, and what it showed."""
    leader, follower = pty.openpty()
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: follower}
    process = subprocess.Popen(
        (*TGMTOOL, *words), stdin=subprocess.PIPE, env=environment({"TERM": "xterm"}), **streams
    )
    os.close(follower)
    shown = bytearray()

    def look() -> None:
        with contextlib.suppress(OSError):  # nobody holds the other end any more
            while chunk := os.read(leader, 65536):
                shown.extend(chunk)

    looker = threading.Thread(target=look)
    looker.start()
    out, err = process.communicate(stdin, timeout=PATIENCE)
    looker.join(PATIENCE)
    os.close(leader)
    return process.returncode, out or err or b"", shown.decode()


def test_a_live_table_on_a_terminal() -> None:
    words = ("pipe", "--name", "Live", "@pace 60ms")
    status, out, shown = on_terminal("stderr", *words, stdin=DATA)
    assert (status, out) == (0, DATA)
    assert "Live" in shown
    assert "MB/s" in shown
    assert "@pace" in shown


@pytest.mark.parametrize("stages", [(), ("cat",)])
def test_bytes_are_not_written_to_a_terminal(stages: tuple[str, ...]) -> None:
    status, err, shown = on_terminal("stdout", "pipe", *stages, stdin=DATA)
    assert status in {2, 4}
    assert b"terminal" in err
    assert shown == ""


def test_what_a_stage_says_cannot_steer_the_terminal() -> None:
    done = tgmtool("pipe", sh("printf 'a\\033[31mb\\n' >&2; cat"), stdin=DATA)
    assert done.err == f"stage 1 'sh': {safe('a' + chr(27) + '[31mb')}\n"


def test_references_go_to_a_folder_and_come_back(tmp_path: Path) -> None:
    small = tgmtool("pipe", "--ref-threshold", "1000", f"@refs {tmp_path}/store", stdin=DATA)
    assert small.status == 0, small.err
    assert len(small.out) < len(DATA) / 2
    back = tgmtool("pipe", f"@resolve {tmp_path}/store", stdin=small.out)
    assert (back.status, back.out) == (0, DATA)
    for each in (tmp_path / "store").rglob("*"):
        if each.is_file():
            each.chmod(0o644)
            each.write_bytes(b"x" * each.stat().st_size)
    assert tgmtool("pipe", f"@resolve {tmp_path}/store", stdin=small.out).status == 7


def test_stdin_is_left_to_the_first_command(tmp_path: Path) -> None:
    done = tgmtool("pipe", "gzip -dc", stdin=__import__("gzip").compress(DATA))
    assert (done.status, done.out, done.err) == (0, DATA, "")
