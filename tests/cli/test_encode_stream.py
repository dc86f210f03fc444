"""The stream options of encode, as a user gives them."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.here import tgmtool as here
from tests.operations.producers import ack, assert_clean, kinds_in, places_in
from tests.operations.streams import framed, objects_in, steps_of
from tests.processes import Ended, Running, shell, tgmtool, wait_until
from tgmtool.messages.stream import Sender

FRAMED = ("encode", "--from", "framed")


def made(folder: Path, *words: object, steps: int = 3, **choices: Any) -> Ended:
    """Run encode; return how it ended."""
    return here(*FRAMED, *words, stdin=framed(range(steps)), cwd=folder, **choices)


def valid(*paths: Path) -> None:
    """`validate --stream --require-end --strict` finds nothing, and neither does the reference."""
    done = tgmtool("validate", "--stream", "--require-end", "--strict", *paths)
    assert (done.status, done.err) == (0, "")
    assert_clean(*paths)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--id", "r"), {"id": "r"}),
        (("--id", "r", "--chan", "sync", "--sender", "7"), {"chan": "sync", "sender": "7"}),
        (("--mode", "replace"), {"mode": "replace"}),
        (("--in-reply-to", "0"), {"in_reply_to": 0}),
        (("--in-reply-to", "model:12"), {"in_reply_to": {"sender": "model", "seq": 12}}),
        (("--in-reply-to", "a:b:12"), {"in_reply_to": {"sender": "a:b", "seq": 12}}),
        (("--note", "hello"), {"msg": "hello", "type": "note"}),
    ],
)
def test_the_first_message_says_what_was_asked_for(tmp_path: Path, words: Any, expected: Any) -> None:
    done = made(tmp_path, *words, "-o", "a.tgm", "-")
    assert (done.status, done.err) == (0, "")
    assert expected.items() <= places_in(tmp_path / "a.tgm")[0].items()


def test_without_any_of_them_nothing_is_numbered(tmp_path: Path) -> None:
    assert made(tmp_path, "-o", "a.tgm").status == 0
    assert places_in(tmp_path / "a.tgm") == [{}] * 3


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        (("-o", "a.tgm"), [(0, "data"), (1, "data"), (2, "end")]),
        (("-o", "a.tgm", "--end", "none"), []),
        (("-o", "a.tgm", "--commit", "rename"), []),
        (("-o", "a.tgm", "--reproducible"), []),
        (("-o", "-"), []),
        (("-o", "-", "--end", "marker"), [(0, "data"), (1, "data"), (2, "end")]),
    ],
)
def test_a_file_that_grows_from_a_pipe_says_when_it_is_over(
    tmp_path: Path, words: tuple[str, ...], kinds: list[tuple[int, str]]
) -> None:
    done = tgmtool("encode", "--from", "framed", *words, stdin=framed(range(2)), cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    if words[1] == "-":
        (tmp_path / "a.tgm").write_bytes(done.out)
    assert kinds_in(tmp_path / "a.tgm") == kinds


def test_stdin_that_is_a_file_makes_a_plain_file(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(framed(range(2)))
    script = f'cd "{tmp_path}" && "$@" <in'
    done = shell(script, *FRAMED, "-o", "a.tgm")
    assert (done.status, done.err) == (0, "")
    assert kinds_in(tmp_path / "a.tgm") == []


def test_names_and_end_come_from_the_environment_too(tmp_path: Path) -> None:
    env = {"TGMTOOL_ID": "r", "TGMTOOL_CHAN": "c", "TGMTOOL_SENDER": "s", "TGMTOOL_END": "inline"}
    assert made(tmp_path, "-o", "a.tgm", env=env).status == 0
    last = places_in(tmp_path / "a.tgm")[-1]
    assert (last["id"], last["chan"], last["sender"], last["last"]) == ("r", "c", "s", True)
    assert made(tmp_path, "--end", "marker", "-o", "b.tgm", env={"SLURM_PROCID": "3"}).status == 0
    assert {place["sender"] for place in places_in(tmp_path / "b.tgm")} == {"3"}
    valid(tmp_path / "a.tgm", tmp_path / "b.tgm")


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ("--id a/b", 2, "--id 'a/b' must be printable"),
        ("--sender=", 2, "--sender '' must be printable"),
        ("--end never", 2, "--end 'never' does not exist, expected one of auto, marker, inline, none"),
        ("--mode x", 2, "mode 'x' does not exist, expected one of append, replace"),
        ("--code x", 2, "--code belongs to --error"),
        ("--in-reply-to x", 2, "expected a number, or SENDER:NUMBER"),
        ("--in-reply-to :3", 2, "expected a number, or SENDER:NUMBER"),
        ("--in-reply-to 9223372036854775808", 2, "is no number from 0 to 2^63-1"),
        ("--end inline --layout streaming", 2, "--end inline needs a header that leaves last"),
        ("--rotate", 2, "--rotate needs --max-messages or --max-bytes"),
        ("--max-bytes x", 2, "'x' is no size"),
        ("--max-bytes 0", 2, "--max-bytes 0: expected at least 1"),
        ("--ack a.ack", 2, "--ack belongs to --window or --wait-ack"),
        ("--window 1M", 2, "--window needs --ack FILE"),
        ("--wait-ack", 2, "--wait-ack needs --ack FILE"),
        ("--window 0 --ack a.ack", 2, "--window 0: expected at least one byte"),
        ("--window 1M --ack a.ack --commit rename", 2, "--window needs a file that can be followed"),
        ("--window 1M --ack a.ack --backpressure-timeout x", 2, "'x' is no duration"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    tmp_path: Path, words: str, status: int, text: str
) -> None:
    done = made(tmp_path, *words.split(), "-o", "a.tgm")
    assert (done.status, done.err.count("\n")) == (status, 1)
    assert text in done.err
    assert list(tmp_path.iterdir()) == []


def test_rotation_to_stdout_is_refused(tmp_path: Path) -> None:
    done = made(tmp_path, "--rotate", "--max-messages", 1, "-o", "-")
    assert (done.status, done.out) == (2, b"")
    assert "stdout has no successor" in done.err


def test_a_marker_is_written_without_input_and_stdin_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    assert made(tmp_path, "--id", "r", "--end", "none", "-o", "run.tgm").status == 0
    with Running(
        "encode", "--append", "-o", path, "--note", "half way", "-j"
    ) as note:  # its stdin stays open
        assert json.loads(note.line())["_objects"] == 0
        assert note.wait() == 0
    with Running("encode", "--append", "-o", path, "--error", "disk full", "--code", "nospace") as error:
        assert error.wait() == 0
    assert kinds_in(path)[3:] == [(3, "note"), (4, "error")]
    valid(path)
    refused = tgmtool("encode", "--append", "-o", path, "--note", "too late")
    assert refused.status == 1
    assert "the stream r/main/0 has ended with number 4" in refused.err
    again = tgmtool(*FRAMED, "--append", "--id", "r2", "-o", path, stdin=framed([7]))
    assert (again.status, again.err) == (0, "")
    valid(path)


def test_senders_that_are_put_together_are_in_order(tmp_path: Path) -> None:
    script = """
    for rank in 0 1 2; do
      SLURM_PROCID=$rank "$@" encode --from framed --id job -o $OUT/$rank.tgm < $OUT/in
    done
    cat $OUT/0.tgm $OUT/1.tgm $OUT/2.tgm > $OUT/all.tgm
    """.replace("$OUT", str(tmp_path))
    (tmp_path / "in").write_bytes(framed(range(3)))
    assert shell(script).status == 0
    assert [place.get("sender", "0") for place in places_in(tmp_path / "all.tgm")] == [*"000011112222"]
    valid(tmp_path / "all.tgm")


def test_rotated_files_are_named_in_what_is_told(tmp_path: Path) -> None:
    done = made(tmp_path, "--max-messages", 2, "--rotate", "-j", "-o", "run.tgm", steps=5)
    rows = [json.loads(line) for line in done.lines]
    assert [row["_file"] for row in rows] == ["run.tgm"] * 3 + ["run.1.tgm"] * 3 + ["run.2.tgm"] * 2
    valid(*(tmp_path / name for name in ("run.tgm", "run.1.tgm", "run.2.tgm")))
    again = made(tmp_path, "--max-messages", 2, "--rotate", "-o", "other.tgm", steps=2)
    assert again.status == 0
    (tmp_path / "other.tgm").unlink()
    (tmp_path / "other.1.tgm").write_bytes(b"precious")
    refused = made(tmp_path, "--max-messages", 2, "--rotate", "-o", "other.tgm")
    assert (refused.status, "other.1.tgm: already exists" in refused.err) == (4, True)


def test_a_limit_says_that_it_stopped(tmp_path: Path) -> None:
    done = made(tmp_path, "--max-messages", 2, "--id", "r", "-o", "a.tgm")
    assert (done.status, steps_of(objects_in(tmp_path / "a.tgm"))) == (0, [0, 1])
    assert "full (--max-messages): the rest of the input was not read" in done.err
    valid(tmp_path / "a.tgm")


def test_a_sentinel_names_the_end(tmp_path: Path) -> None:
    assert made(tmp_path, "--commit", "sentinel", "--id", "r", "-o", "a.tgm").status == 0
    done = json.loads((tmp_path / "a.tgm.done").read_text())
    assert done["stream"] == places_in(tmp_path / "a.tgm")[-1]


def test_a_file_and_a_pipe_are_the_same_bytes(tmp_path: Path) -> None:
    words = (*FRAMED, "--reproducible", "--end", "marker", "--layout", "buffered", "-o")
    assert tgmtool(*words, tmp_path / "a", stdin=framed(range(4))).status == 0
    assert tgmtool(*words, "-", stdin=framed(range(4))).out == (tmp_path / "a").read_bytes()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize("group", ["1", "all"])
def test_a_signal_is_marked(tmp_path: Path, number: signal.Signals, status: int, group: str) -> None:
    path = tmp_path / "run.tgm"
    with Running(*FRAMED, "--group", group, "--id", "r", "-o", path) as encode:
        encode.send(framed(range(3)))
        wait_until(lambda: path.exists() and len([*_objects(path)]) == 3, "three objects")
        encode.signal(number)
        assert encode.wait() == status
        assert encode.errors.count("\n") == 1
    error = places_in(path)[-1]
    assert (error["type"], error["msg"], error["exit"]) == ("error", number.name, status)
    valid(path)


def _objects(path: Path) -> list[Any]:
    import tgmtool as library

    return [found for found in library.scan(path) if isinstance(found, library.ObjectSpan)]


def test_a_failure_is_marked_with_its_status(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    done = tgmtool(*FRAMED, "--id", "r", "-o", path, stdin=framed(range(2)) + b"junk\n")
    assert done.status == 1
    assert places_in(path)[-1]["exit"] == 1
    valid(path)


# ---- credit


def test_a_consumer_that_never_acknowledges_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    words = ("--id", "r", "--window", "2000", "--ack", tmp_path / "a.ack", "--backpressure-timeout", "100ms")
    done = tgmtool(*FRAMED, *words, "-o", path, stdin=framed(range(30)))
    assert done.status == 124
    assert done.err.count("\n") == 1
    assert "written through number 0 (656 bytes), acknowledged through nothing (0 bytes)" in done.err
    assert places_in(path)[-1]["exit"] == 124
    valid(path)


def test_a_signal_breaks_the_waiting_off(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    words = ("--id", "r", "--window", "2000", "--ack", tmp_path / "a.ack", "--backpressure-timeout", "0")
    with Running(*FRAMED, *words, "-o", path) as encode:
        encode.send(framed(range(9)))
        wait_until(lambda: path.exists() and len(_objects(path)) == 1, "what the window takes")
        encode.signal(signal.SIGTERM)
        assert encode.wait() == 143
    assert kinds_in(path) == [(0, "data"), (1, "error")]
    valid(path)


def test_the_end_is_waited_for(tmp_path: Path) -> None:
    path, acks = tmp_path / "a.tgm", tmp_path / "a.ack"
    with Running(*FRAMED, "--id", "r", "--wait-ack", "--ack", acks, "-j", "-o", path) as encode:
        encode.send(framed(range(2)))
        encode.close_stdin()
        rows = [json.loads(encode.line()) for _ in range(3)]
        assert rows[-1]["_objects"] == 0
        assert encode.process.poll() is None
        acks.write_bytes(ack(1, Sender("r")))
        acks.write_bytes(acks.read_bytes() + ack(2, Sender("r"), number=1))
        assert encode.wait() == 0
    late = tgmtool(
        *FRAMED, "--wait-ack", "--ack", acks, "--backpressure-timeout", "50ms", "-o", tmp_path / "b.tgm"
    )
    assert late.status == 124
    assert kinds_in(tmp_path / "b.tgm") == [(0, "end")]
