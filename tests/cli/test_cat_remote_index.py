"""An index beside a remote object, and an object that is followed, as a user has them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.here import tgmtool
from tests.operations.streams import buffered
from tests.processes import Running, wait_until
from tests.processes import tgmtool as run_tgmtool
from tests.servers import HttpPlace, stalled, status

SHAPE = (90, 90)
WHOLE = b"".join(buffered([i], shape=SHAPE) for i in range(40))


@pytest.fixture
def index(tmp_path: Path) -> bytes:
    (tmp_path / "run.tgm").write_bytes(WHOLE)
    done = tgmtool("scan", "--format", "index", "run.tgm", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    return done.out


@pytest.fixture
def place(index: bytes) -> Iterator[HttpPlace]:
    with HttpPlace(WHOLE, beside={"/run.tgm.index": index}) as found:
        yield found


def taken(folder: Path, place: HttpPlace, *words: str, code: int = 0) -> tuple[list[int], str, int]:
    """Return the steps that came, what was said, and the requests."""
    before = len(place.log)
    done = tgmtool("cat-remote", "--as", "ndjson", *words, place.url, cwd=folder)
    assert done.status == code, done.err
    steps = [json.loads(line)["mars"]["step"] for line in done.lines]
    return steps, done.err, len(place.log) - before


def test_an_index_saves_requests_and_bytes(place: HttpPlace, tmp_path: Path) -> None:
    plain = taken(tmp_path, place, "-w", "mars.step=17")
    indexed = taken(tmp_path, place, "-w", "mars.step=17", "--index", "auto")
    named = taken(tmp_path, place, "-w", "mars.step=17", "--index", f"{place.url}.index")
    assert plain[:2] == indexed[:2] == named[:2] == ([17], "")
    assert indexed[2] == named[2] <= 4


def test_no_index_is_no_matter_where_one_is_only_looked_for(place: HttpPlace, tmp_path: Path) -> None:
    place.beside["/run.tgm.index"] = None
    assert taken(tmp_path, place, "-w", "mars.step=17", "--index", "auto")[:2] == ([17], "")
    done = taken(tmp_path, place, "-w", "mars.step=17", "--index", f"{place.url}.index", code=4)
    assert "404: there is no such object" in done[1]


@pytest.mark.parametrize("text", [b"junk", b'{"_offset":0,"_length":99999999}'])
def test_an_index_that_cannot_be_is_told_and_not_used(place: HttpPlace, tmp_path: Path, text: bytes) -> None:
    place.beside["/run.tgm.index"] = text
    steps, said, _ = taken(tmp_path, place, "-w", "mars.step=17", "--index", "auto")
    assert steps == [17]
    assert said.count("\n") == 1
    assert "the index is not used: " in said


def test_an_index_that_is_older_than_the_object_is_told_and_not_used(
    place: HttpPlace, tmp_path: Path
) -> None:
    def dated(answer: Any) -> None:
        day = 1 if answer.handler.path.endswith(".index") else 2
        answer.headers["Last-Modified"] = f"Thu, 0{day} Jan 2026 00:00:00 GMT"

    place.every = dated
    steps, said, _ = taken(tmp_path, place, "-w", "mars.step=17", "--index", "auto")
    assert steps == [17]
    assert "run.tgm.index is older than the object" in said


def test_an_index_that_was_made_of_another_version_is_told_and_not_used(
    place: HttpPlace, tmp_path: Path
) -> None:
    made = tgmtool("scan", "--format", "index", place.url, cwd=tmp_path)
    assert json.loads(made.lines[0])["_version"] == '"first"'
    place.beside["/run.tgm.index"] = made.out
    assert taken(tmp_path, place, "-w", "mars.step=17", "--index", "auto")[:2] == ([17], "")
    place.etag = '"second"'
    steps, said, _ = taken(tmp_path, place, "-w", "mars.step=17", "--index", "auto")
    assert steps == [17]
    assert "it was made of another version of the object" in said


def test_an_index_is_of_one_file_and_of_all_of_it(index: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.tgm").write_bytes(WHOLE)
    for words, text in (
        (["."], "of one file"),
        (["-w", "mars.step=1", "run.tgm"], "nothing else can be chosen"),
    ):
        done = tgmtool("scan", "--format", "index", *words, cwd=tmp_path)
        assert done.status == 2
        assert text in done.err


def test_the_index_of_a_cut_file_says_so(index: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.tgm").write_bytes(WHOLE[:-10])
    done = tgmtool("scan", "--format", "index", "run.tgm", cwd=tmp_path)
    assert done.status == 5
    assert done.out.count(b"\n") == index.count(b"\n") - 1


# ---- following


def put(place: HttpPlace, data: bytes) -> None:
    place.data, place.etag = data, f'"{len(data)}"'


def test_what_comes_is_handed_out_until_it_is_interrupted() -> None:
    with HttpPlace(buffered(range(2))) as place:
        words = ("cat-remote", "--follow", "-s", "20ms", "-w", "mars.step=1/2/4", "--as", "ndjson")
        with Running(*words, place.url) as process:
            assert json.loads(process.line())["mars"]["step"] == 1
            put(place, buffered(range(2)) + buffered(range(2, 5)))
            assert [json.loads(process.line())["mars"]["step"] for _ in range(2)] == [2, 4]
            process.signal(signal.SIGINT)
            assert process.wait() == 130
            assert process.errors == ""


def test_values_of_a_range_are_followed() -> None:
    with HttpPlace(buffered(range(2))) as place:
        words = ("cat-remote", "--follow", "-s", "20ms", "--range", "1:3", "--as", "raw")
        with Running(*words, place.url) as process:
            assert process.process.stdout is not None
            values = b"".join(process.process.stdout.read(8) for _ in range(2))
            assert values == np.array([1, 2, 101, 102], "<f4").tobytes()
            process.signal(signal.SIGTERM)
            assert process.wait() == 143


def test_a_server_that_stays_away_ends_following() -> None:
    with HttpPlace(buffered(range(2))) as place:
        words = ("cat-remote", "--follow", "-s", "20ms", "--reconnect-timeout", "100ms", "--retries", "0")
        with Running(*words, "-j", place.url) as process:
            process.line()
            place.every = status(503)
            assert process.wait() == 4
            assert "the server answers 503" in process.errors


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--plan", "neither --plan nor --index"),
        ("--as tgm", "tail -f --raw"),
        ("--message -1", "counted from the start"),
        ("-o x.npy", "redirect stdout"),
        ("--offset 1", "go with neither"),
    ],
)
def test_what_does_not_go_with_following_is_a_usage_error(
    place: HttpPlace, tmp_path: Path, words: str, text: str
) -> None:
    done = tgmtool("cat-remote", "--follow", *words.split(), place.url, cwd=tmp_path)
    assert done.status == 2
    assert text in done.err


def test_a_file_is_not_followed_here(place: HttpPlace, tmp_path: Path) -> None:
    done = tgmtool("cat-remote", "--follow", "run.tgm", cwd=tmp_path)
    assert done.status == 2
    assert "tail -f" in done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("words", ["--offset 0", "--object 0 --as raw"])
def test_an_interrupted_fetch_leaves_nothing(tmp_path: Path, number: signal.Signals, words: str) -> None:
    with HttpPlace(buffered([0], shape=(300, 300))) as place:
        place.faults = dict.fromkeys(range(1, 9), stalled(100))
        with Running("cat-remote", *words.split(), "-o", tmp_path / "x", place.url) as process:
            wait_until(lambda: len(place.log) > 1, "the second request")
            process.signal(number)
            assert process.wait() == 128 + number
            assert process.errors == ""
    assert os.listdir(tmp_path) == []


# ---- options that reach

REACHING = ("cat-remote", "scan", "validate")


@pytest.mark.parametrize("command", REACHING)
def test_every_reader_takes_the_options_that_reach(place: HttpPlace, tmp_path: Path, command: str) -> None:
    place.every = status(503)
    done = tgmtool(command, "--retries", "0", place.url, cwd=tmp_path)
    assert done.status == 4
    assert len(place.log) == 1
    done = tgmtool(command, "--storage-option", "x", place.url, cwd=tmp_path)
    assert (done.status, len(place.log)) == (2, 1)


# ---- progress


def test_progress_is_shown_when_it_is_asked_for(place: HttpPlace) -> None:
    place.faults = {1: stalled(1000)}
    words = ("cat-remote", "--progress", "always", "--timeout", "1500ms", "--offset", "0", place.url)
    done = run_tgmtool(*words)
    assert done.out == WHOLE
    assert " MB/s" in done.err
    assert "\r" not in done.err
    assert run_tgmtool("cat-remote", "--offset", "0", place.url).err == ""
