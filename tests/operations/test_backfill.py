"""Filling in lengths: 16 bytes per finished message, nothing else, as often as one likes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from struct import pack
from threading import Thread

import pytest
import tensogram

from tests.builders import (
    TENSOR,
    cbor,
    flip_bit,
    frame,
    message,
    postamble,
    preamble,
    put,
    uint8_descriptor,
)
from tests.operations.streams import buffered, field, objects_in, steps_of, streaming
from tgmtool import FramingError, SourceError, TruncatedError
from tgmtool.operations.backfill import LengthPlan, backfill, plan_lengths

THREE = b"".join(streaming([step]) for step in range(3))
FILLED = b"".join(streaming([step], backfill=True) for step in range(3))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.tgm"


def kinds(plan: LengthPlan) -> list[str]:
    return [one.kind for one in plan.stretches]


# ---- the plan


def test_a_plan_lists_two_patches_per_streaming_message_and_touches_nothing(path: Path) -> None:
    path.write_bytes(THREE)
    plan = plan_lengths(path)
    length = len(THREE) // 3
    assert kinds(plan) == ["streaming"] * 3
    assert [patch.offset for patch in plan.patches] == [
        at for start in range(0, len(THREE), length) for at in (start + 16, start + length - 16)
    ]
    assert {patch.data for patch in plan.patches} == {length.to_bytes(8, "big")}
    assert path.read_bytes() == THREE


@pytest.mark.parametrize(("at", "missing"), [(16, "preamble"), (-16, "postamble")])
def test_a_length_that_stands_at_one_end_only_is_half_backfilled(at: int, missing: str) -> None:
    whole = streaming(range(2), backfill=True)
    half = put(whole, at % len(whole), bytes(8))
    plan = plan_lengths(half)
    assert kinds(plan) == ["half-backfilled"]
    assert [patch.offset for patch in plan.patches] == [at % len(whole)], missing


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (buffered(), []),
        (FILLED, []),
        (buffered() + streaming() + buffered(), ["streaming"]),
        (streaming() + streaming()[:-1], ["streaming", "torn-streaming"]),
        (buffered() + buffered()[:-1], ["torn-sized"]),
        (buffered() + b"garbage" + streaming(), ["gap", "streaming"]),
        (buffered() + put(streaming(), 24, b"XX") + streaming(), ["damaged", "streaming"]),
        (streaming() + bytes(4096), ["streaming", "torn-streaming"]),
    ],
)
def test_every_part_of_a_file_has_a_class(data: bytes, expected: list[str]) -> None:
    assert kinds(plan_lengths(data)) == expected


def test_only_a_message_that_ends_in_a_sound_postamble_is_touched() -> None:
    data = streaming()
    for size in range(1, len(data)):
        assert plan_lengths(data[:size]).patches == (), size


def test_a_payload_that_looks_like_an_end_or_a_message_changes_nothing() -> None:
    inner = streaming() + b"39277777" + buffered()
    data = message([inner, inner], streaming=True)
    plan = plan_lengths(data)
    assert [(one.offset, one.length) for one in plan.stretches] == [(0, len(data))]


# ---- carrying it out


def test_in_place_and_in_a_copy_it_is_what_a_seekable_sink_would_have_got(path: Path) -> None:
    path.write_bytes(THREE)
    copy = path.with_name("copy.tgm")
    backfill(path, output=copy)
    assert (path.read_bytes(), copy.read_bytes()) == (THREE, FILLED)
    backfill(path)
    assert path.read_bytes() == FILLED


def test_a_second_run_has_nothing_to_write(path: Path) -> None:
    path.write_bytes(THREE)
    backfill(path)
    before = path.stat().st_mtime_ns
    assert backfill(path).patches == ()
    assert path.stat().st_mtime_ns == before


def test_what_is_cut_or_foreign_is_left_as_it_is(path: Path) -> None:
    data = streaming([0]) + b"foreign." + streaming([1])
    tail = streaming([2])[:-9]
    path.write_bytes(data + tail)
    backfill(path)
    filled = streaming([0], backfill=True) + b"foreign." + streaming([1], backfill=True)
    assert path.read_bytes() == filled + tail


def test_a_backup_is_made_before_the_first_write_and_only_if_there_is_one(path: Path) -> None:
    path.write_bytes(THREE)
    backfill(path, backup_suffix=".orig")
    backup = path.with_name("a.tgm.orig")
    assert backup.read_bytes() == THREE
    backup.unlink()
    path.write_bytes(FILLED)
    backfill(path, backup_suffix=".orig")
    assert not backup.exists()


def test_a_backup_that_an_interrupted_run_made_stays_and_the_rest_is_done(path: Path) -> None:
    path.write_bytes(THREE)
    patches = plan_lengths(path).patches
    backup = path.with_name("a.tgm.orig")
    for done in range(len(patches)):
        backup.write_bytes(THREE)
        half = bytearray(THREE)
        for offset, data in patches[:done]:
            half[offset : offset + 8] = data
        path.write_bytes(half)
        backfill(path, backup_suffix=".orig")
        assert plan_lengths(path).patches == ()
        assert backup.read_bytes() == THREE
    for other in (THREE[:-1], THREE[:200] + b"x" + THREE[201:], b"", b"no stream"):
        path.write_bytes(THREE)
        backup.write_bytes(other)
        with pytest.raises(SourceError, match="already exists"):
            backfill(path, backup_suffix=".orig")
        assert (path.read_bytes(), backup.read_bytes()) == (THREE, other)


def test_the_last_message_of_a_writer_that_is_still_busy_is_not_touched(path: Path) -> None:
    busy = streaming([7])
    path.write_bytes(THREE + busy[:100])
    with path.open("r+b", buffering=0) as writer:
        writer.seek(0, os.SEEK_END)
        backfill(path)
        writer.write(busy[100:])
        assert path.read_bytes() == FILLED + busy
        backfill(path)
    assert path.read_bytes() == FILLED + streaming([7], backfill=True)
    assert steps_of(objects_in(path)) == [0, 1, 2, 7]


def test_a_message_that_changed_since_it_was_looked_at_is_not_written_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(THREE)
    module = sys.modules[backfill.__module__]
    planned = plan_lengths(path)
    other = buffered(range(9))
    path.write_bytes(other)
    monkeypatch.setattr(module, "plan_lengths", lambda _source, limits: planned)
    with pytest.raises(SourceError, match="changed at byte 0"):
        backfill(path)
    assert path.read_bytes() == other


# ---- what cannot be done


def test_an_empty_file_and_one_that_is_no_stream_are_refused(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(TruncatedError, match="empty"):
        backfill(path)
    path.write_bytes(b"This is a text.\n" * 9)
    with pytest.raises(FramingError, match=r"no \.tgm file"):
        backfill(path)


def test_a_pipe_a_folder_and_a_link_are_refused(path: Path) -> None:
    os.mkfifo(path)
    for refused in (path, path.parent):
        with pytest.raises(SourceError, match=r"no regular file|is a directory"):
            backfill(refused)
    with pytest.raises(SourceError, match="no regular file"):
        plan_lengths(path)
    target = path.with_name("target.tgm")
    target.write_bytes(THREE)
    link = path.with_name("link.tgm")
    link.symlink_to(target)
    with pytest.raises(SourceError, match=re.escape(str(target))):
        backfill(link)
    assert target.read_bytes() == THREE
    backfill(link, force=True)
    assert target.read_bytes() == FILLED
    assert link.is_symlink()


def test_a_copy_onto_the_file_itself_is_refused(path: Path) -> None:
    path.write_bytes(THREE)
    with pytest.raises(SourceError, match="the input itself"):
        backfill(path, output=path, force=True)
    assert path.read_bytes() == THREE


# ---- killed at any write

KILLED = """
import os, signal, sys
from tgmtool.operations.backfill import backfill
left = int(sys.argv[2])
write = os.pwrite
def counted(*given):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return write(*given)
os.pwrite = counted
backfill(sys.argv[1])
"""


def test_killed_after_any_write_it_leaves_a_file_that_reads_and_a_second_run_completes(path: Path) -> None:
    for writes in range(7):
        path.write_bytes(THREE)
        done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(writes)], check=False)
        assert done.returncode == (-signal.SIGKILL if writes < 6 else 0)
        assert steps_of(objects_in(path)) == [0, 1, 2]
        assert tensogram.validate_file(str(path))["file_issues"] == []
        backfill(path)
        assert path.read_bytes() == FILLED


# ---- what it is for


class _Ranges(BaseHTTPRequestHandler):
    """Serves one file, whole or by ranges."""

    def __init__(self, data: bytes, *given: object) -> None:
        self._data = data
        super().__init__(*given)  # type: ignore[arg-type]  # whatever the server gives

    def do_HEAD(self) -> None:
        self._head(200, len(self._data))

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._head(200, len(self._data))
            self.wfile.write(self._data)
            return
        size = len(self._data)
        start = int(asked[1]) if asked[1] else size - int(asked[2])
        stop = min(int(asked[2]) + 1, size) if asked[1] and asked[2] else size
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self._rest_of_head(stop - start)
        self.wfile.write(self._data[start:stop])

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self._rest_of_head(length)

    def _rest_of_head(self, length: int) -> None:
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(data: bytes) -> Iterator[str]:
    """Serve `data` on a port of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Ranges, data)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/a.tgm"
        finally:
            server.shutdown()
            thread.join()


def remote_steps(data: bytes) -> list[int]:
    """The steps that the reference's remote reader sees, one object per message."""
    with served(data) as url:
        file = tensogram.TensogramFile.open_remote(url, {"allow_http": "true"})
        found = [file.file_decode_metadata(number) for number in range(file.message_count())]
    return [metadata.base[0]["mars"]["step"] for metadata in found]


@pytest.mark.parametrize(
    "count",
    [one if one < 6 or one == 23 else pytest.param(one, marks=pytest.mark.soak) for one in range(1, 51)],
)
def test_the_references_remote_reader_sees_every_message_only_after_backfill(path: Path, count: int) -> None:
    data = b"".join(streaming([step]) for step in range(count))
    with served(data) as url:
        assert tensogram.TensogramFile.open_remote(url, {"allow_http": "true"}).message_count() == 1
    path.write_bytes(data)
    backfill(path)
    assert remote_steps(path.read_bytes()) == list(range(count))


def test_lengths_in_a_large_file_are_filled_in_without_reading_payloads(path: Path) -> None:
    count, size = 100, 100 << 20
    write_sparse(path, count, size)
    script = (
        "import os, sys\nfrom tgmtool.operations.backfill import backfill\n"
        "reads = []\npread = os.pread\n"
        "def counted(*given):\n    found = pread(*given)\n    reads.append(len(found))\n    return found\n"
        "os.pread = counted\nprint(len(backfill(sys.argv[1]).patches), sum(reads))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    patches, read = map(int, done.stdout.split())
    assert patches == 2 * count
    assert read < count * 10_000
    path.unlink()


def write_sparse(path: Path, count: int, payload: int) -> None:
    """Write streaming messages without digests, each with a payload of zeros that takes no room."""
    head = frame(1, cbor({"base": [{}]}), hashing=False)
    head += bytes(-(24 + len(head)) % 8)
    descriptor = uint8_descriptor(payload)
    tensor_head = pack(">2sHHHQ", b"FR", TENSOR, 1, 1, 16 + payload + len(descriptor) + 20)
    tensor_tail = descriptor + pack(">QQ4s", 16 + payload, 0, b"ENDF")
    with path.open("wb") as file:
        for _ in range(count):
            start = file.tell()
            file.write(preamble(1) + head + tensor_head)
            file.seek(payload, os.SEEK_CUR)
            file.write(tensor_tail)
            file.write(bytes(-(file.tell() - start) % 8))
            file.write(postamble(file.tell() - start))


def test_values_and_metadata_are_the_same_before_and_after(path: Path) -> None:
    path.write_bytes(THREE)
    before = [(one.metadata, one.array.tolist()) for one in objects_in(path)]
    backfill(path)
    assert [(one.metadata, one.array.tolist()) for one in objects_in(path)] == before
    assert before[1][1] == field(1).tolist()


def test_a_damaged_payload_does_not_keep_the_lengths_from_being_filled_in(path: Path) -> None:
    data = streaming([0])
    at = data.index(field(0).tobytes())
    path.write_bytes(flip_bit(data, at + 1) + THREE)
    backfill(path)
    assert path.read_bytes() == flip_bit(streaming([0], backfill=True), at + 1) + FILLED
