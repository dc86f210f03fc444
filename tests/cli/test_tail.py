"""The options of tail do what their help says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.operations.streams import append, buffered, numbered, object_ends, objects_in, steps_of, streaming
from tests.processes import Running, tgmtool, wait_until
from tgmtool.messages.stream import Sender


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def records(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ("", [0, 1, 2, 3, 4, 5]),
        ("-n 2", [4, 5]),
        ("-n 0", []),
        (f"-n {10**30}", [0, 1, 2, 3, 4, 5]),
        ("-n +1", [0, 1, 2, 3, 4, 5]),
        ("-n +5", [4, 5]),
        ("--from start", [0, 1, 2, 3, 4, 5]),
        ("--from end", []),
        (f"--from offset:{len(buffered(range(3)))}", [3, 4, 5]),
        ("--count 2", [0, 1]),
        ("--until mars.step=3", [0, 1, 2, 3]),
        ("-w mars.step>3", [4, 5]),
        ("-w mars.step>1 --count 2", [2, 3]),
        ("-f -w mars.step>1 --count 2", [2, 3]),
        ("-n 4 -w mars.step<4", [2, 3]),
    ],
)
def test_which_objects(files: Path, words: str, steps: list[int]) -> None:
    done = tgmtool("tail", "-j", *words.split(), "whole.tgm", cwd=files)
    assert (done.status, done.err) == (0, "")
    assert [row["mars"]["step"] for row in records(done.out)] == steps


@pytest.mark.parametrize("name", ["table", "tsv", "csv", "ndjson", "json"])
def test_every_format_has_every_object(files: Path, name: str) -> None:
    done = tgmtool("tail", "--format", name, "-p", "mars.step", "whole.tgm", cwd=files)
    if name == "json":
        found = [row["mars.step"] for row in json.loads(done.text)]
    elif name == "ndjson":
        found = [row["mars.step"] for row in records(done.out)]
    else:
        assert done.lines[0] == "mars.step"
        found = [int(line) for line in done.lines[1:]]
    assert found == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("unit", "count"), [("object", 6), ("message", 2), ("frame", None)])
def test_units(files: Path, unit: str, count: int | None) -> None:
    done = tgmtool("tail", "-j", "-n", "+1", "--unit", unit, "whole.tgm", cwd=files)
    scanned = tgmtool("scan", "-j", "--unit", unit, "whole.tgm", cwd=files)
    assert [row["_offset"] for row in records(done.out)] == [row["_offset"] for row in records(scanned.out)]
    assert count is None or len(done.lines) == count


def test_template_and_stats(files: Path) -> None:
    done = tgmtool("tail", "--template", "{{{mars.step}}} {max:x}{shape}", "-n", "1", "whole.tgm", cwd=files)
    assert done.lines == ["{5} 2/3"]
    done = tgmtool(
        "tail", "--template", "{min} {mean} {max} {nan}", "--stats", "-n", "1", "whole.tgm", cwd=files
    )
    assert done.lines == ["500 502.5 505 0"]


def test_events_are_records(files: Path) -> None:
    done = tgmtool("tail", "-j", "-n", "+1", "garbage.tgm", cwd=files)
    (gap,) = [row for row in records(done.out) if "event" in row]
    assert (gap["event"], gap["offset"], gap["length"]) == ("gap", len(buffered(range(2))), 18)
    done = tgmtool("tail", "-j", "cut.tgm", cwd=files)
    assert records(done.out)[-1]["event"] == "cut"


@pytest.mark.parametrize("words", ["", "--unit message"])
@pytest.mark.parametrize("name", ["whole.tgm", "cut.tgm", "garbage.tgm"])
def test_raw_passes_whole_messages_only(files: Path, words: str, name: str) -> None:
    done = tgmtool("tail", "--raw", "-n", "+1", *words.split(), name, cwd=files)
    (files / "out.tgm").write_bytes(done.out)
    count = 4 if name == "garbage.tgm" else 6
    assert steps_of(objects_in(files / "out.tgm")) == list(range(count))


def test_stdin_is_followed_to_its_end(files: Path) -> None:
    done = tgmtool("tail", "-j", "-", stdin=streaming(range(20)))
    assert [row["mars"]["step"] for row in records(done.out)] == list(range(20))
    done = tgmtool("tail", "-n", "2", "-j", "-", stdin=streaming(range(20)))
    assert [row["mars"]["step"] for row in records(done.out)] == [18, 19]


def test_a_changed_payload_is_not_shown_unless_asked_for(files: Path) -> None:
    data = bytearray((files / "whole.tgm").read_bytes())
    at = json.loads(tgmtool("scan", "-j", "--limit", "1", "whole.tgm", cwd=files).text)["_payload_offset"]
    data[at] ^= 1
    (files / "whole.tgm").write_bytes(data)
    done = tgmtool("tail", "-j", "whole.tgm", cwd=files)
    assert done.status == 3
    assert [row.get("event") for row in records(done.out)].count("invalid") == 1
    assert sum("event" not in row for row in records(done.out)) == 5
    done = tgmtool("tail", "-j", "--no-verify", "whole.tgm", cwd=files)
    assert (done.status, len(done.lines)) == (0, 6)


# ---- following


@pytest.mark.parametrize(
    "words", [("-f",), ("-F",), ("--follow=name",), ("--follow=descriptor",), ("-f", "--watch", "off")]
)
def test_each_object_of_a_growing_file_is_shown_before_the_message_ends(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    path = tmp_path / "run.tgm"
    data = streaming(range(4))
    ends = object_ends(data)
    path.write_bytes(data[: ends[0]])
    with Running("tail", *words, "-n", "+1", "-s", "20ms", "-j", "--count", 4, path) as tail:
        for number in range(4):
            record = json.loads(tail.line())
            assert record["mars"]["step"] == record["_obj"] == number
            if number < 3:
                append(path, data[ends[number] : ends[number] + 30])
                append(path, data[ends[number] + 30 : ends[number + 1]])
        assert tail.wait() == 0


def test_replacing_truncating_and_removing_are_told(tmp_path: Path) -> None:
    path, other = tmp_path / "run.tgm", tmp_path / "other"
    path.write_bytes(buffered([0]) + buffered([1]))
    with Running("tail", "-F", "-n", "+1", "-s", "20ms", "-j", path) as tail:
        assert [json.loads(tail.line())["mars"]["step"] for _ in range(2)] == [0, 1]
        other.write_bytes(buffered([2]) * 2)
        os.rename(other, path)
        found = [json.loads(tail.line()) for _ in range(3)]
        assert [row.get("event") for row in found] == ["replaced", None, None]
        path.write_bytes(buffered([3]))
        found = [json.loads(tail.line()) for _ in range(2)]
        assert [row.get("event") for row in found] == ["truncated", None]
        path.unlink()
        assert json.loads(tail.line())["event"] == "removed"
        path.write_bytes(buffered([4]))
        found = [json.loads(tail.line()) for _ in range(2)]
        assert found[1]["mars"]["step"] == 4


def test_raw_following_leaves_a_copy_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    data = streaming(range(3))
    ends = object_ends(data)
    path.write_bytes(data[: ends[0]])
    with Running("tail", "-f", "-n", "+1", "--raw", "-s", "20ms", path) as tail:
        assert tail.process.stdout is not None
        received = b""
        for end in (*ends[1:], len(data)):
            append(path, data[len(path.read_bytes()) : end])
            while len(received) < end:
                received += os.read(tail.process.stdout.fileno(), 65536)
        assert received == data


def test_several_files_are_told_apart(tmp_path: Path) -> None:
    paths = [tmp_path / "a.tgm", tmp_path / "b.tgm"]
    for number, path in enumerate(paths):
        path.write_bytes(buffered([number]))
    with Running("tail", "-f", "-s", "20ms", "-j", *paths) as tail:
        first = [json.loads(tail.line()) for _ in range(2)]
        assert {row["_file"]: row["mars"]["step"] for row in first} == {
            str(p): n for n, p in enumerate(paths)
        }
        append(paths[1], buffered([7]))
        assert json.loads(tail.line())["_file"] == str(paths[1])


def test_retry_waits_for_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    with Running("tail", "-F", "-n", "+1", "-s", "20ms", "-j", "--count", 1, path) as tail:
        wait_until(lambda: tail.process.poll() is None, "its start")
        path.write_bytes(buffered([1]))
        assert json.loads(tail.line())["mars"]["step"] == 1
        assert tail.wait() == 0


# ---- a torn message that hides whole ones

LARGE = streaming([0, 1], shape=(40, 40))
TORN = LARGE[: object_ends(LARGE)[0] + 200]


@pytest.mark.parametrize("pid", ["0", "-1"])
def test_a_number_that_is_no_process_is_refused(files: Path, pid: str) -> None:
    assert tgmtool("tail", "-f", "--pid", pid, files / "whole.tgm").status == 2


def test_a_file_that_does_not_come_in_time_is_given_up_even_with_retry(tmp_path: Path) -> None:
    for how in ("-f", "-F"):
        done = tgmtool("tail", how, "--wait-for", "10ms", tmp_path / "missing.tgm")
        assert done.status == 4
        assert "no such file after 0.01 s" in done.err


def test_what_a_torn_message_hides_is_told_and_shown_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    path.write_bytes(TORN + streaming([5]) + buffered([6]))
    done = tgmtool("tail", "-j", path)
    assert done.status == 5
    assert "2 whole messages may stand inside it: --assume-dead" in records(done.out)[-1]["reason"]
    done = tgmtool("tail", "-j", "--assume-dead", path)
    assert done.status == 3
    found = records(done.out)
    assert [row["mars"]["step"] for row in found if "mars" in row] == [0, 5, 6]
    assert [row["code"] for row in found if "event" in row] == ["torn_message"]
    last = records(tgmtool("tail", "-j", "-n2", "--assume-dead", path).out)
    assert [row["mars"]["step"] for row in last if "mars" in row] == [5, 6]
    assert tgmtool("tail", "--stall", "1s", path).status == 2


def test_with_stall_it_comes_while_following(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    path.write_bytes(TORN + streaming([5]))
    with Running("tail", "-f", "-n", "+1", "-s", "20ms", "--stall", "200ms", "-j", path) as tail:
        found = [json.loads(tail.line()) for _ in range(3)]
        assert [row.get("event") for row in found] == [None, "gap", None]
        append(path, buffered([6]))
        assert json.loads(tail.line())["mars"]["step"] == 6


def test_following_that_stops_takes_the_torn_one_for_dead_if_told(tmp_path: Path) -> None:
    path, over = tmp_path / "run.tgm", tmp_path / "over"
    path.write_bytes(TORN + streaming([5]))
    words = ("tail", "-f", "-n", "+1", "-s", "20ms", "--until-exists", over, "--assume-dead", "-j", path)
    with Running(*words) as tail:
        assert json.loads(tail.line())["mars"]["step"] == 0
        over.touch()
        assert [json.loads(tail.line()).get("event") for _ in range(2)] == ["gap", None]
        assert tail.wait() == 3


def test_more_senders_than_the_limit_are_too_many(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    path.write_bytes(b"".join(numbered(0, who=Sender("run", sender=str(one))) for one in range(4)))
    done = tgmtool("tail", "-j", "--max-senders", 3, path)
    assert done.status == 4
    assert "4 senders in one stream; the limit is 3, raise it with --max-senders" in done.err
    done = tgmtool("validate", "--stream", path, env={"TGMTOOL_MAX_SENDERS": "3"})
    assert done.status == 4
    assert "limit_exceeded" in done.text
    assert tgmtool("tail", "-j", "--max-senders", 4, path).status == 0
