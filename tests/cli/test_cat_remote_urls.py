"""The command line over HTTP and S3: what is asked for arrives, whole or not at all, and no secret shows."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool as library
from tests.cli.here import tgmtool
from tests.operations.streams import FIXED, buffered, entry, field, numbered, spoken, steps_of, streaming
from tests.processes import Ended, Running, run
from tests.s3 import S3_ENVIRONMENT, fill
from tests.servers import HttpPlace, changed, dropped, status

WHOLE = buffered(range(3)) + streaming(range(3, 6), backfill=True) + buffered(range(6, 9))
LARGE = library.encode([(field(i, (64, 1024)), entry(i)) for i in range(20)], layout="buffered", style=FIXED)


@pytest.fixture
def place() -> Iterator[HttpPlace]:
    with HttpPlace(WHOLE) as found:
        yield found


def ran(folder: Path, *words: object, status: int = 0, env: Any = None) -> Ended:
    done = tgmtool("cat-remote", *words, cwd=folder, env=env)
    assert done.status == status, done.err
    return done


def steps(done: Ended) -> list[int]:
    return [json.loads(line)["mars"]["step"] for line in done.lines]


# ---- what is asked for


def test_a_url_is_listed_as_a_file_is(place: HttpPlace, tmp_path: Path) -> None:
    (tmp_path / "run.tgm").write_bytes(WHOLE)
    assert ran(tmp_path, place.url).lines == ran(tmp_path, "run.tgm").lines
    assert len(place.log) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--message 1", [3, 4, 5]),
        ("--message -1", [6, 7, 8]),
        ("--message -2:-1", [3, 4, 5]),
        ("--message -9:", range(9)),
        ("--message 1:", [3, 4, 5, 6, 7, 8]),
        ("--message 7", []),
        ("--object -1", [2, 5, 8]),
        ("-w mars.step=2/to/6/by/2", [2, 4, 6]),
    ],
)
def test_objects_are_chosen(place: HttpPlace, tmp_path: Path, words: str, expected: Any) -> None:
    found = ran(tmp_path, *words.split(), "--as", "ndjson", place.url, status=0 if expected else 1)
    assert steps(found) == list(expected)


@pytest.mark.parametrize(
    ("fragment", "expected"), [("m=1&o=2", [5]), ("m=-1", [6, 7, 8]), ("o=0", [0, 3, 6]), ("o=-1&m=2", [8])]
)
def test_a_fragment_names_a_message_and_an_object(
    place: HttpPlace, tmp_path: Path, fragment: str, expected: list[int]
) -> None:
    (tmp_path / "run.tgm").write_bytes(WHOLE)
    for name in (place.url, "run.tgm", f"file://{tmp_path}/run.tgm"):
        assert steps(ran(tmp_path, "--as", "ndjson", f"{name}#{fragment}")) == expected
        done = ran(tmp_path, "--offset", "0", f"{name}#{fragment}", status=2)
        assert "take bytes, and no objects" in done.err
    done = ran(tmp_path, "--message", "1", "--object", "1", f"{place.url}#{fragment}", status=2)
    assert "chosen twice" in done.err


@pytest.mark.parametrize("fragment", ["m=", "m=1&", "m=a", "m=1:3", "o=0o=1", "CANARY"])
def test_a_fragment_that_names_nothing_is_misuse(place: HttpPlace, tmp_path: Path, fragment: str) -> None:
    done = ran(tmp_path, f"{place.url}#{fragment}", status=2)
    assert "expected #m=MESSAGE&o=OBJECT" in done.err
    assert "CANARY" not in done.err


def test_a_file_whose_name_looks_like_a_fragment_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run.tgm#m=1").write_bytes(buffered([7]))
    assert steps(ran(tmp_path, "--as", "ndjson", "run.tgm#m=1")) == [7]


def test_a_range_of_elements_is_read_for_its_bytes_alone(tmp_path: Path) -> None:
    with HttpPlace(LARGE) as place:
        ran(tmp_path, "--object", "3", "--range", "10:20,5000:5010", "-o", "a.npy", place.url)
        found = np.load(tmp_path / "a.npy")
        whole = field(3, (64, 1024)).reshape(-1)
        assert np.array_equal(found, np.concatenate([whole[10:20], whole[5000:5010]]))
        asked = [request.range.partition("=")[2].split("-") for request in place.log]
        assert sum(int(last) - int(first) + 1 for first, last in asked if first) < 100_000


def test_bytes_are_taken_as_they_are(place: HttpPlace, tmp_path: Path) -> None:
    done = ran(tmp_path, "--offset", "100", "--length", "50", "-o", "a", place.url)
    assert (tmp_path / "a").read_bytes() == WHOLE[100:150]
    assert done.err == ""
    ran(tmp_path, "--offset", "1K", "-o", "b", place.url)
    assert (tmp_path / "b").read_bytes() == WHOLE[1024:]
    assert "reaches beyond" in ran(tmp_path, "--offset", "1G", "-o", "c", place.url, status=2).err
    assert "nothing else" in ran(tmp_path, "--offset", "1", "--object", "0", place.url, status=2).err
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


# ---- messages out


def test_objects_come_out_as_valid_messages_with_their_frames_byte_for_byte(
    place: HttpPlace, tmp_path: Path
) -> None:
    ran(tmp_path, "-w", "mars.step=1/4/8", "-o", "out.tgm", place.url)
    data = (tmp_path / "out.tgm").read_bytes()
    report = library.validate(data, level="full")
    assert (report.verdict, report.messages, report.findings) == ("valid", 3, ())
    assert steps_of(library.read(data)) == [1, 4, 8]
    before = {span.digest: span for span in library.scan(WHOLE) if isinstance(span, library.ObjectSpan)}
    for span in library.scan(data):
        assert isinstance(span, library.ObjectSpan)
        old = before[span.digest]
        assert data[span.offset :][: span.length] == WHOLE[old.offset :][: old.length]
        assert span.metadata == old.metadata


def test_messages_hold_whole_objects(place: HttpPlace, tmp_path: Path) -> None:
    done = ran(tmp_path, "--range", "0:1", "--as", "tgm", "-o", "x", place.url, status=2)
    assert "does not go with --range" in done.err


# ---- plans and figures


def test_a_plan_lists_ranges_and_reads_no_payload(tmp_path: Path) -> None:
    with HttpPlace(LARGE) as place:
        done = ran(tmp_path, "--plan", "-w", "mars.step=3/17", "-j", place.url)
        rows = [json.loads(line) for line in done.lines]
        spans = [one for one in library.scan(LARGE) if isinstance(one, library.ObjectSpan)]
        assert [(row["_msg"], row["_obj"], row["offset"]) for row in rows] == [
            (0, 3, spans[3].offset + 16),
            (0, 17, spans[17].offset + 16),
        ]
        size = sum(row["length"] for row in rows)
        assert f"2 objects: 2 requests, {size} bytes; none of them were read" in done.err
        planned = len(place.log)
        ran(tmp_path, "-w", "mars.step=3/17", "-o", "a.npz", place.url)
        assert len(place.log) - 2 * planned == 2


def test_a_plan_of_a_range_of_plain_elements_is_exact(tmp_path: Path) -> None:
    with HttpPlace(LARGE) as place:
        done = ran(tmp_path, "--plan", "--object", "0", "--range", "10:20", "-j", place.url)
        assert json.loads(done.lines[0])["length"] == 40


def test_stats_count_requests_and_bytes(tmp_path: Path) -> None:
    with HttpPlace(LARGE) as place:
        done = ran(tmp_path, "--stats", "--object", "3", "--as", "raw", "-o", "a", place.url)
        assert f"{len(place.log)} requests, " in done.err
        assert "1 objects, 262144 of 262144 bytes of payload read; " in done.err


def test_a_message_without_lengths_says_that_backfill_would_help(tmp_path: Path) -> None:
    with HttpPlace(streaming(range(9))) as place:
        assert "`tgmtool backfill` mends that" in ran(tmp_path, place.url).err
    with HttpPlace(streaming(range(9), backfill=True)) as place:
        assert ran(tmp_path, place.url).err == ""


# ---- limits and failures


def test_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    with HttpPlace(LARGE) as place:
        for words, env in ((["--max-bytes", "300K"], None), ([], {"TGMTOOL_MAX_BYTES": "300K"})):
            done = ran(tmp_path, *words, "-o", "a.npz", place.url, status=4, env=env)
            assert "raise it with --max-bytes" in done.err
        assert os.listdir(tmp_path) == []


def test_an_object_that_changes_leaves_no_output(tmp_path: Path) -> None:
    with HttpPlace(LARGE) as place:
        ran(tmp_path, "--list", place.url)
        place.faults = {2 * len(place.log): changed}
        done = ran(tmp_path, "-o", "a.npz", place.url, status=4)
        assert "the object changed while it was read" in done.err
        assert os.listdir(tmp_path) == []


def test_a_drop_in_the_payload_is_not_seen_in_the_output(tmp_path: Path) -> None:
    with HttpPlace(LARGE, faults={2: dropped(1000), 3: dropped(5000)}) as place:
        ran(tmp_path, "--object", "5", "-o", "a.npy", place.url)
        assert np.array_equal(np.load(tmp_path / "a.npy"), field(5, (64, 1024)))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--storage-option x", "expected K=V"),
        ("--storage-option =x", "expected K=V"),
        ("--timeout 0", "longer than nothing"),
        ("--max-bytes many", "no size"),
        ("--concurrency 0", "concurrency"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    place: HttpPlace, tmp_path: Path, words: str, text: str
) -> None:
    assert text in ran(tmp_path, *words.split(), place.url, status=2).err
    assert len(place.log) == 0


# ---- the other commands


def test_scan_validate_and_tail_read_urls(place: HttpPlace, tmp_path: Path) -> None:
    assert len(tgmtool("scan", "-j", place.url, cwd=tmp_path).lines) == 9
    assert tgmtool("validate", "--full", place.url, cwd=tmp_path).status == 0
    assert len(tgmtool("tail", "-n", "2", "-j", place.url, cwd=tmp_path).lines) == 2


def test_a_remote_object_is_followed_until_its_stream_ends() -> None:
    first, end = numbered(0) + numbered(1), numbered(2) + spoken(3)
    with HttpPlace(first) as place:
        url = place.url.replace("//", "//CANARY:CANARY@")
        with Running("tail", "-f", "-s", "20ms", "-n", "+1", "-j", url) as process:
            assert [json.loads(process.line())["mars"]["step"] for _ in range(2)] == [0, 1]
            place.data, place.etag = first + end, '"second"'
            assert json.loads(process.line())["mars"]["step"] == 2
            rest = [json.loads(line) for line in process.rest()]
            assert [one["event"] for one in rest] == ["end"]
            assert (process.wait(), process.errors) == (0, "")
        assert "CANARY" not in str(rest)


def test_what_is_followed_is_passed_on_verbatim() -> None:
    with HttpPlace(WHOLE[: len(WHOLE) // 2]) as place:
        words = ("tail", "-f", "-s", "20ms", "-n", "+1", "--raw", "--idle-timeout", "1s", place.url)
        with Running(*words) as process:
            assert process.process.stdout is not None
            found = process.process.stdout.read(8)
            place.data, place.etag = WHOLE, '"second"'
            while chunk := process.process.stdout.read(1 << 16):
                found += chunk
            assert process.wait() == 124
            assert found == WHOLE


def test_a_state_is_not_kept_of_a_remote_object(place: HttpPlace, tmp_path: Path) -> None:
    done = tgmtool("tail", "-f", "--state", "s", place.url, cwd=tmp_path)
    assert done.status == 2
    assert "--state: http://127.0.0.1" in done.err


def test_the_scan_of_a_local_file_loads_nothing_remote(tmp_path: Path) -> None:
    (tmp_path / "run.tgm").write_bytes(WHOLE)
    script = (
        "import sys; from tgmtool.cli import main; sys.argv = ['tgmtool', 'scan', 'run.tgm']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([n for n in ('fsspec', 's3fs', 'http.client', 'ssl', 'concurrent.futures',"
        " 'tgmtool.endpoints.remote') if n in sys.modules], file=sys.stderr)"
    )
    done = run(
        (sys.executable, "-c", script), cwd=tmp_path, env={"PYTHONPATH": str(Path(__file__).parents[2])}
    )
    assert done.err.splitlines()[-1] == "[]"


# ---- secrets

CANARIES = ("CANARYUSER", "CANARYPASSWORD", "CANARYTOKEN", "CANARYSIGNATURE")


EVERY_COMMAND = (
    "cat-remote -v --stats",
    "cat-remote -v --plan",
    "cat-remote -v --index auto -w mars.step=1",
    "cat-remote -v --offset 0 --length 9 --progress always",
    "tail -v -f --idle-timeout 100ms -s 10ms --retries 0 --reconnect-timeout 1ms",
    "cat-remote -v -o x.npz",
    "scan -v",
    "tail -v",
    "validate -v",
)


@pytest.mark.parametrize(
    ("words", "code"),
    [(w, code) for w in EVERY_COMMAND for code in (200, 403, 404, 503, 302)],
)
def test_no_secret_of_a_url_is_in_any_output(tmp_path: Path, words: str, code: int) -> None:
    fault = (
        None
        if code == 200
        else status(code, {"Location": "http://127.0.0.2:9/?sig=CANARYTOKEN", "Retry-After": "999"})
    )
    with HttpPlace(WHOLE, every=fault) as place:
        url = place.url.replace("//", "//CANARYUSER:CANARYPASSWORD@")
        url += "?token=CANARYTOKEN&X-Amz-Signature=CANARYSIGNATURE"
        done = tgmtool(*words.split(), url, cwd=tmp_path)
        assert place.log, done.err
        assert place.log[0].path.endswith("token=CANARYTOKEN&X-Amz-Signature=CANARYSIGNATURE")
    following = words.startswith("tail -v -f")
    assert done.status == (4 if code != 200 else 124 if following else 0), done.err
    everything = done.text + done.err + "".join(os.listdir(tmp_path))
    assert not [canary for canary in CANARIES if canary in everything]


# ---- S3


@pytest.fixture(scope="module")
def s3(s3_server: str) -> str:
    return fill(s3_server, {"run.tgm": WHOLE, "large.tgm": LARGE, "empty": b""})


def test_s3_is_read_with_the_credentials_of_the_environment(s3: str, tmp_path: Path) -> None:
    words = ("--endpoint-url", s3, "-v", "--stats")
    done = ran(tmp_path, *words, "--as", "ndjson", "s3://bucket/run.tgm", env=S3_ENVIRONMENT)
    assert steps(done) == list(range(9))
    assert "CANARY" not in done.text + done.err
    done = ran(tmp_path, *words, "--object", "5", "-o", "a.npy", "s3://bucket/large.tgm", env=S3_ENVIRONMENT)
    assert np.array_equal(np.load(tmp_path / "a.npy"), field(5, (64, 1024)))
    assert "CANARY" not in done.err
    assert ran(tmp_path, *words, "s3://bucket/empty", env=S3_ENVIRONMENT).err.count("\n") == 2


def test_s3_is_found_by_the_environment_alone(s3: str, tmp_path: Path) -> None:
    env = {**S3_ENVIRONMENT, "AWS_ENDPOINT_URL": s3}
    for words in (("cat-remote",), ("scan",), ("validate",), ("tail", "-n", "+1")):
        done = tgmtool(*words, "s3://bucket/run.tgm", cwd=tmp_path, env=env)
        assert done.status == 0, done.err


def test_an_object_that_s3_does_not_have_is_told(s3: str, tmp_path: Path) -> None:
    done = ran(tmp_path, "--endpoint-url", s3, "s3://bucket/none", status=4, env=S3_ENVIRONMENT)
    assert "s3://bucket/none: 404: there is no such object" in done.err
    assert "CANARY" not in done.err
