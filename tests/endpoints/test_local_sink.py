"""Files are written in place or appear whole; a second appender is turned away."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tgmtool
from tests.endpoints.descriptors import no_descriptor_left, write_and_fail
from tests.processes import LIMITED, environment
from tgmtool import SourceError
from tgmtool.endpoints.base import Sink
from tgmtool.endpoints.local import FileSink

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks at what only Linux has")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.tgm"


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


# ---- in place


def test_a_file_is_created_or_emptied_and_grows_as_it_is_written(path: Path) -> None:
    for before in (None, b"something longer that was there"):
        if before is not None:
            path.write_bytes(before)
        with FileSink(str(path)) as sink:
            assert isinstance(sink, Sink)
            assert sink.patchable
            assert path.read_bytes() == b""
            sink.write([b"ab", memoryview(b"cd")])
            assert (path.read_bytes(), sink.position) == (b"abcd", 4)
            sink.patch_at(1, b"X")
            sink.write([b"e"])
            assert (path.read_bytes(), sink.position) == (b"aXcde", 5)
            sink.truncate(3)
            sink.write([b"Z"])
            assert (path.read_bytes(), sink.position) == (b"aXcZ", 4)
            sink.sync()
        assert path.read_bytes() == b"aXcZ"
        assert names(path) == ["out.tgm"]


def test_a_new_file_has_the_permissions_that_the_umask_leaves(path: Path) -> None:
    for number, private in enumerate((False, True)):
        target = path.with_name(f"{number}")
        with umask(0o027), FileSink(str(target), private=private) as sink:
            sink.write([b"x"])
        assert mode(target) == 0o640


def test_what_was_written_in_place_stays_after_an_error(path: Path) -> None:
    with pytest.raises(KeyError):
        write_and_fail(FileSink(str(path)), b"ab")
    assert path.read_bytes() == b"ab"


# ---- appearing whole


@pytest.fixture(params=["without a name", "under a hidden name"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a private file is written; not every system can do the first."""
    if request.param == "under a hidden name":
        monkeypatch.setattr("tgmtool.endpoints.local.nameless_beside", lambda *_given: None)
    elif sys.platform != "linux":
        pytest.skip("only Linux has files without a name")
    return str(request.param)


def test_nobody_sees_a_part_of_a_private_file(path: Path, way: str) -> None:
    for before in (None, b"old"):
        if before is not None:
            path.write_bytes(before)
        sink = FileSink(str(path), private=True)
        sink.write([b"new"])
        assert (path.read_bytes() if path.exists() else None) == before
        hidden = set(names(path)) - {"out.tgm"}
        assert [name.startswith(".out.tgm.") for name in hidden] == [True] * (way != "without a name")
        sink.close()
        sink.close()
        assert path.read_bytes() == b"new"
        assert names(path) == ["out.tgm"]
        path.unlink()


@pytest.mark.usefixtures("way")
def test_a_private_file_keeps_the_permissions_of_the_one_it_replaces(path: Path) -> None:
    path.write_bytes(b"old")
    path.chmod(0o604)
    with umask(0o077), FileSink(str(path), private=True) as sink:
        sink.write([b"new"])
    assert (path.read_bytes(), mode(path)) == (b"new", 0o604)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("before", [None, b"old"])
def test_giving_up_a_private_file_leaves_everything_as_it_was(path: Path, before: bytes | None) -> None:
    if before is not None:
        path.write_bytes(before)
    sink = FileSink(str(path), private=True)
    sink.write([b"new"])
    sink.abort()
    sink.abort()
    sink.close()  # after giving up there is nothing to finish
    assert names(path) == ([] if before is None else ["out.tgm"])
    with pytest.raises(KeyError):
        write_and_fail(FileSink(str(path), private=True), b"new")
    assert names(path) == ([] if before is None else ["out.tgm"])
    assert before is None or path.read_bytes() == before


@pytest.mark.usefixtures("way")
def test_a_private_file_whose_place_is_gone_is_an_error_and_leaves_nothing(path: Path) -> None:
    sink = FileSink(str(path), private=True)
    sink.write([b"new"])
    path.mkdir()  # somebody made a directory of that name
    with pytest.raises(SourceError, match="directory"):
        sink.close()
    assert names(path) == ["out.tgm"]
    assert path.is_dir()


@pytest.mark.usefixtures("way")
def test_a_name_of_any_length_can_be_private(path: Path) -> None:
    longest = path.with_name("x" * 255)
    with FileSink(str(longest), private=True) as sink:
        sink.write([b"new"])
    assert longest.read_bytes() == b"new"


@pytest.mark.usefixtures("way")
def test_a_device_is_written_in_place_and_cannot_be_patched() -> None:
    for private in (False, True):
        with FileSink(os.devnull, private=private, durable=True) as sink:
            assert not sink.patchable
            sink.write([b"abc"])
            sink.sync()
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("private", [True, False])
def test_a_durable_file_is_whole_after_close(path: Path, private: bool) -> None:
    with FileSink(str(path), private=private, durable=True) as sink:
        sink.write([b"abc"])
    assert path.read_bytes() == b"abc"
    assert names(path) == ["out.tgm"]


@linux_only
def test_of_a_process_that_is_killed_before_its_file_is_complete_nothing_is_left(path: Path) -> None:
    killed = """
import os, signal, sys
from tgmtool.endpoints.local import FileSink
sink = FileSink(sys.argv[1], private=True)
sink.write([b"half"])
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", killed, str(path)], check=False)
    assert done.returncode == -9
    assert names(path) == []


# ---- not over another one


@pytest.mark.parametrize("private", [True, False])
def test_an_existing_file_is_left_alone_when_that_is_asked(path: Path, private: bool) -> None:
    path.write_bytes(b"old")
    for continues, ways in ((False, "--force to replace it"), (True, "--force to replace it or --append")):
        with pytest.raises(SourceError, match=f"already exists; use {ways}$") as caught:
            FileSink(str(path), exclusive=True, private=private, continues=continues)
        assert caught.value.errno == errno.EEXIST
    assert path.read_bytes() == b"old"
    assert names(path) == ["out.tgm"]


def test_a_link_to_nowhere_exists_too(path: Path) -> None:
    path.symlink_to("nowhere")
    with pytest.raises(SourceError, match="already exists"):
        FileSink(str(path), exclusive=True)


@pytest.mark.parametrize("private", [True, False])
def test_a_new_file_may_be_exclusive(path: Path, private: bool) -> None:
    with FileSink(str(path), exclusive=True, private=private) as sink:
        sink.write([b"new"])
    assert path.read_bytes() == b"new"


def test_a_file_that_appeared_meanwhile_is_left_alone_too(path: Path) -> None:
    sink = FileSink(str(path), exclusive=True, private=True)
    sink.write([b"mine"])
    path.write_bytes(b"theirs")
    with pytest.raises(SourceError, match="already exists"):
        sink.close()
    assert path.read_bytes() == b"theirs"
    assert names(path) == ["out.tgm"]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    for private in (True, False):
        with pytest.raises(SourceError, match="no such file") as caught:
            FileSink(str(tmp_path / "missing" / "out"), private=private)
        assert caught.value.errno == errno.ENOENT


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    for private in (True, False):
        with pytest.raises(SourceError, match="is a directory"):
            FileSink(str(tmp_path), private=private)


# ---- appending


def test_appending_begins_at_the_end_and_counts_from_there(path: Path) -> None:
    path.write_bytes(b"0123")
    with FileSink(str(path), append=True) as sink:
        assert (sink.start, sink.position, sink.warning) == (4, 0, None)
        sink.write([b"abcd"])
        sink.patch_at(1, b"X")
        assert (path.read_bytes(), sink.position) == (b"0123aXcd", 4)
        sink.truncate(2)
        sink.write([b"e"])
        assert (path.read_bytes(), sink.position) == (b"0123aXe", 3)
    with pytest.raises(KeyError):
        write_and_fail(FileSink(str(path), append=True), b"f")
    assert path.read_bytes() == b"0123aXef"


def test_appending_to_nothing_begins_a_file(path: Path) -> None:
    with FileSink(str(path), append=True) as sink:
        sink.write([b"ab"])
    assert path.read_bytes() == b"ab"


def test_appending_can_begin_further_back(path: Path) -> None:
    path.write_bytes(b"0123456789")
    with FileSink(str(path), append=True) as sink:
        sink.restart_at(6)
        assert (sink.start, sink.position) == (6, 0)
        sink.write([b"ab"])
        sink.patch_at(0, b"X")
    assert path.read_bytes() == b"012345Xb"


HOLD = """
import sys
from tgmtool.endpoints.local import FileSink
with FileSink(sys.argv[1], append=True) as sink:
    sink.write([b"child"])
    print("locked", flush=True)
    sys.stdin.read()
"""


@linux_only
def test_a_second_appender_is_turned_away_while_the_first_is_there(path: Path) -> None:
    path.write_bytes(b"0123")
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        with no_descriptor_left(), pytest.raises(SourceError, match=r"another process.* is appending to it"):
            FileSink(str(path), append=True)
        assert path.read_bytes() == b"0123child"
        child.communicate("")
    with FileSink(str(path), append=True) as sink:
        sink.write([b"parent"])
    assert path.read_bytes() == b"0123childparent"


def test_an_appender_in_the_same_process_is_turned_away_too(path: Path) -> None:
    with FileSink(str(path), append=True), pytest.raises(SourceError, match="another process"):
        FileSink(str(path), append=True)


# ---- no room

IN_LITTLE_ROOM = """
import json, os, resource, signal, sys
from tgmtool import SourceError
from tgmtool.endpoints.local import FileSink
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
path, append = sys.argv[1], sys.argv[2] == "append"
sink = FileSink(path, append=append)
sink.write([b"a" * 300, b"b" * 300])
before = sink.position
try:
    sink.write([b"c" * 300, b"d" * 300])  # the system takes a part of it
    error = None
except SourceError as caught:
    error = str(caught)
    code = caught.errno
partial = os.path.getsize(path)
sink.truncate(before)
sink.write([b"e" * 100])
sink.close()
print(json.dumps({"before": before, "error": error, "code": code, "partial": partial}))
"""


@linux_only
@pytest.mark.parametrize("how", ["new", "append"])
def test_a_write_that_fits_only_in_part_is_an_error_and_can_be_taken_back(path: Path, how: str) -> None:
    start = b"0" * 50 if how == "append" else b""
    path.write_bytes(start)
    done = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_ROOM, str(path), how],
        capture_output=True,
        text=True,
        check=False,
        env=environment(LIMITED),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["before"] == 600
    assert found["partial"] == 1000  # short, and then nothing more
    assert found["code"] == errno.EFBIG
    assert str(path) in found["error"]
    assert "file too large" in found["error"]
    assert path.read_bytes() == start + b"a" * 300 + b"b" * 300 + b"e" * 100


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_device_is_told_with_what_to_do() -> None:
    with no_descriptor_left():
        for continues, said in ((False, "device"), (True, "free some space and continue with --append")):
            sink = FileSink("/dev/full", continues=continues)
            with pytest.raises(SourceError, match=f"/dev/full: no space left.*{said}$") as caught:
                sink.write([b"abc"])
            assert caught.value.errno == errno.ENOSPC
            assert sink.position == 0
            sink.abort()
        with pytest.raises(SourceError, match="no space left"):
            tgmtool.write("/dev/full", [[1.0]])


@linux_only
def test_room_that_is_reserved_is_not_seen(path: Path) -> None:
    with FileSink(str(path)) as sink:
        sink.write([b"abc"])
        sink.allocate(0, 1 << 20)
        assert path.stat().st_size == 3
        sink.write([b"d"])
    assert path.read_bytes() == b"abcd"


# ---- nothing left behind


@linux_only
@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("end", ["close", "abort"])
def test_no_descriptor_stays_open(path: Path, private: bool, end: str) -> None:
    with no_descriptor_left():
        sink = FileSink(str(path), private=private, durable=True)
        sink.write([b"x"])
        getattr(sink, end)()
        getattr(sink, end)()


@linux_only
def test_no_descriptor_stays_open_when_opening_fails(path: Path) -> None:
    path.write_bytes(b"old")
    with no_descriptor_left():
        for choices in ({"exclusive": True}, {"exclusive": True, "private": True}):
            with pytest.raises(SourceError):
                FileSink(str(path), **choices)


def test_a_link_is_followed_or_replaced_but_its_target_is_never_left_half_written(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(b"old")
    path.symlink_to(target)
    with FileSink(str(path), private=True) as sink:
        sink.write([b"new"])
        assert target.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert target.read_bytes() in {b"old", b"new"}


def test_what_was_written_can_be_looked_at_and_sent_to_the_disk_before_it_is_finished(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40
    with FileSink(str(tmp_path / "a.tgm"), private=True, durable=True) as sink:
        sink.write([data])
        for offset, size in ((0, 10), (5000, 700), (0, len(data))):
            with sink.mapped(offset, size) as found:
                assert found == data[offset : offset + size]
            sink.send_on(offset, size)
        with pytest.raises(SourceError, match="cannot be read again at byte 0"), sink.mapped(0, 99999):
            pass
    assert (tmp_path / "a.tgm").read_bytes() == data
