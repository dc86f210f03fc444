"""Numbered files: continued, rotated, limited, failed, killed; always in order, and clear about their end."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import tgmtool
from tests.operations.producers import assert_clean, codes_in, kinds_in, places_in
from tests.operations.streams import FIXED, buffered, framed, objects_in, steps_of
from tests.processes import LIMITED, environment
from tgmtool import EncodeError, FormatError, MemorySource, MessageSpan, SourceError, Stream, TruncatedError
from tgmtool.messages.stream import Place, Sender
from tgmtool.operations.encode import Interruption, Production, produce
from tgmtool.operations.markers import marker
from tgmtool.operations.outputs import Output

RUN = Stream("run")
OPEN = RUN._replace(end="none")
PLAN = Production(kind="framed", group=1, style=FIXED._replace(layout="auto"), stream=RUN)


def made(path: Path, steps: Any = range(3), plan: Production = PLAN, **choices: Any) -> list[MessageSpan]:
    """Produce these steps to `path`; no steps for no input."""
    output = Output(str(path), **{"fsync": "none", "commit": "inplace", **choices})
    return list(produce([MemorySource(framed(steps))] if steps else [], output, plan))


def added(
    path: Path, steps: Any = range(2), stream: Stream | None = RUN, **choices: Any
) -> list[MessageSpan]:
    """Continue `path`."""
    return made(path, steps, PLAN._replace(stream=stream), append=True, commit=None, **choices)


# ---- ends


@pytest.mark.parametrize("commit", ["inplace", "rename", "sentinel"])
@pytest.mark.parametrize("group", [1, 2, "all", "file"])
@pytest.mark.parametrize("end", ["marker", "inline"])
def test_every_way_to_write_ends_cleanly(tmp_path: Path, end: str, group: Any, commit: str) -> None:
    path = tmp_path / "a.tgm"
    plan = PLAN._replace(stream=RUN._replace(end=end), group=group)
    spans = made(path, range(3), plan, commit=commit)
    assert_clean(path)
    assert steps_of(objects_in(path)) == [0, 1, 2]
    assert [span.offset for span in spans] == [one.offset for one in tgmtool.scan(path, unit="message")]


def test_without_a_stream_nothing_is_numbered(tmp_path: Path) -> None:
    made(tmp_path / "a.tgm", plan=PLAN._replace(stream=None))
    assert places_in(tmp_path / "a.tgm") == [{}] * 3


def test_an_inline_end_holds_one_message_back(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    plan = PLAN._replace(stream=RUN._replace(end="inline"))
    seen = [
        len(objects_in(path))
        for _ in produce([MemorySource(framed(range(3)))], Output(str(path), "inplace"), plan)
    ]
    assert seen == [1, 2, 3]
    assert [place.get("last") for place in places_in(path)] == [None, None, True]


def test_where_no_data_could_say_it_an_inline_end_is_a_marker(tmp_path: Path) -> None:
    made(tmp_path / "a.tgm", [], PLAN._replace(stream=RUN._replace(end="inline")))
    assert kinds_in(tmp_path / "a.tgm") == [(0, "end")]


def test_a_note_alone_ends_nothing_and_an_error_alone_does(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    made(path, range(2), PLAN._replace(stream=OPEN))
    added(path, [], Stream(note="half way"))
    assert codes_in(path.read_bytes()) == ["end_missing"]
    added(path, [], Stream(error="the disk is full", code="nospace"))
    assert kinds_in(path) == [(0, "data"), (1, "data"), (2, "note"), (3, "error")]
    assert {place["id"] for place in places_in(path)} == {"run"}
    assert_clean(path)


# ---- continuing


@pytest.mark.parametrize("stream", [None, Stream(), RUN, Stream(chan="main"), RUN._replace(end="inline")])
def test_append_goes_on_with_the_numbers(tmp_path: Path, stream: Stream | None) -> None:
    path = tmp_path / "a.tgm"
    made(path, range(2), PLAN._replace(stream=OPEN))
    added(path, range(2, 4), stream)
    assert [seq for seq, _ in kinds_in(path)][:4] == [0, 1, 2, 3]
    assert_clean(path)
    if stream != RUN._replace(end="inline"):
        end = places_in(path)[-1]
        assert end["count"] == 4
        assert "digest" in end


@pytest.mark.parametrize("end", ["marker", "inline"])
@pytest.mark.parametrize("stream", [RUN, Stream(), Stream(note="late"), Stream(error="late")])
def test_what_has_ended_is_not_continued(tmp_path: Path, end: str, stream: Stream | None) -> None:
    path = tmp_path / "a.tgm"
    made(path, plan=PLAN._replace(stream=RUN._replace(end=end)))
    before = path.read_bytes()
    with pytest.raises(EncodeError, match=r"run/main/0 has ended with number .* new --id"):
        added(path, stream=stream)
    assert path.read_bytes() == before


@pytest.mark.parametrize("stream", [None, Stream(end="auto"), Stream(end="none")])
def test_where_nobody_asks_for_more_of_what_has_ended_another_run_begins(
    tmp_path: Path, stream: Stream | None
) -> None:
    path = tmp_path / "a.tgm"
    made(path)
    plan = PLAN._replace(stream=stream, style=tgmtool.Style("auto"))  # nothing fixed: a random id
    made(path, range(2), plan, append=True, commit=None)
    added(path, stream=RUN._replace(id="last"))
    ids = [place["id"] for place in places_in(path)]
    assert (len(set(ids)), ids[0], ids[-1]) == (3, "run", "last")
    missing = ["end_missing"] if stream == Stream(end="none") else []
    assert codes_in(path.read_bytes()) == missing


@pytest.mark.parametrize(
    "stream", [Stream("other"), Stream(sender="1"), Stream(chan="sync"), Stream("run", "b", "c")]
)
def test_another_run_sender_or_channel_begins_in_the_same_file(tmp_path: Path, stream: Stream) -> None:
    path = tmp_path / "a.tgm"
    made(path)
    added(path, stream=stream)
    assert kinds_in(path)[-3:] == [(0, "data"), (1, "data"), (2, "end")]
    assert_clean(path)


def test_of_several_senders_each_goes_on_with_its_own_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    for sender in ("0", "1", "0", "1", "1"):
        added(path, [7], OPEN._replace(sender=sender))
    added(path, [8], Stream(sender="0"))
    with pytest.raises(EncodeError, match="run/main/0 has ended"):
        added(path, [9], Stream())  # what was heard last has ended: it is not taken up again
    added(path, [9], Stream(sender="1"))
    numbers = {"0": [0, 1, 2, 3], "1": [0, 1, 2, 3, 4]}
    for sender, expected in numbers.items():
        own = [place for place in places_in(path) if place.get("sender", "0") == sender]
        assert [place["seq"] for place in own] == expected
        assert own[-1]["type"] == "end"
    assert_clean(path)


def test_plain_files_stay_plain_when_they_are_continued(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(buffered())
    added(path, stream=None)
    assert places_in(path) == [{}] * 3
    added(path, stream=RUN)
    assert [place.get("seq") for place in places_in(path)] == [None] * 3 + [0, 1, 2]
    assert_clean(path)


def test_a_torn_message_is_finished_and_keeps_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    made(path, range(4), PLAN._replace(stream=OPEN, group=2, style=FIXED._replace(backfill=False)))
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(TruncatedError):
        added(path)
    added(path, [4], repair_tail=True)
    assert kinds_in(path) == [(0, "data"), (1, "data"), (2, "data"), (3, "end")]
    assert steps_of(objects_in(path)) == [0, 1, 2, 3, 4]
    assert_clean(path)


# ---- limits and rotation


def test_rotation_goes_on_in_files_that_name_each_other(tmp_path: Path) -> None:
    spans = made(tmp_path / "run.tgm", range(7), rotate=True, max_messages=3)
    files = [tmp_path / name for name in ("run.tgm", "run.1.tgm", "run.2.tgm")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert [kinds_in(path) for path in files] == [
        [(0, "data"), (1, "data"), (2, "data"), (3, "end")],
        [(4, "data"), (5, "data"), (6, "data"), (7, "end")],
        [(8, "data"), (9, "end")],
    ]
    ends = [places_in(path)[-1] for path in files]
    assert [end.get("next") for end in ends] == ["run.1.tgm", "run.2.tgm", None]
    assert [end["count"] for end in ends] == [3, 3, 1]
    assert [places_in(path)[0].get("prev") for path in files] == [None, "run.tgm", "run.1.tgm"]
    assert [span.number for span in spans] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    together = tmp_path / "all.tgm"
    together.write_bytes(b"".join(path.read_bytes() for path in files))
    assert_clean(*files, together)
    assert steps_of(objects_in(together)) == list(range(7))


@pytest.mark.parametrize("commit", ["inplace", "rename", "sentinel"])
@pytest.mark.parametrize("end", ["marker", "inline", "none"])
def test_rotation_by_size_with_every_end_and_commit(tmp_path: Path, end: str, commit: str) -> None:
    told: list[str] = []
    plan = PLAN._replace(stream=RUN._replace(end=end))
    output = Output(str(tmp_path / "run.tgm"), commit, max_bytes=1500, rotate=True)
    list(produce([MemorySource(framed(range(9)))], output, plan, begin=told.append))
    files = [Path(name) for name in told]
    assert len(files) > 2
    assert_clean(*files, require_end=end != "none")
    assert all(path.stat().st_size < 3000 for path in files)
    assert [step for path in files for step in steps_of(objects_in(path))] == list(range(9))
    done = [path.with_name(f"{path.name}.done").exists() for path in files]
    assert done == [commit == "sentinel"] * len(files)


def test_nothing_is_rotated_into_before_there_is_something_to_write(tmp_path: Path) -> None:
    made(tmp_path / "run.tgm", range(3), rotate=True, max_messages=3)
    assert [path.name for path in tmp_path.iterdir()] == ["run.tgm"]


def test_append_goes_on_in_the_last_of_the_files(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    made(path, range(5), PLAN._replace(stream=OPEN), rotate=True, max_messages=2)
    added(path, range(5, 8), rotate=True, max_messages=2)
    names = sorted(one.name for one in tmp_path.iterdir())
    assert names == ["run.1.tgm", "run.2.tgm", "run.3.tgm", "run.tgm"]
    assert kinds_in(tmp_path / "run.3.tgm")[-1] == (11, "end")
    for name in names:
        assert codes_in((tmp_path / name).read_bytes()) == []


@pytest.mark.parametrize("empty", [True, False])
def test_a_rotation_that_was_cut_off_goes_on_where_it_was(tmp_path: Path, empty: bool) -> None:
    path = tmp_path / "run.tgm"
    made(path, range(3), rotate=True, max_messages=2)
    (tmp_path / "run.1.tgm").unlink()
    if empty:
        (tmp_path / "run.1.tgm").touch()
    added(path, [2])
    assert kinds_in(tmp_path / "run.1.tgm") == [(3, "data"), (4, "end")]
    assert places_in(tmp_path / "run.1.tgm")[0]["prev"] == "run.tgm"
    assert_clean(path, tmp_path / "run.1.tgm")


@pytest.mark.parametrize("successor", ["../run.1.tgm", "/tmp/x", "run.tgm"])
def test_a_successor_that_cannot_be_is_refused(tmp_path: Path, successor: str) -> None:
    path = tmp_path / "run.tgm"
    path.write_bytes(buffered() + marker(Place(Sender("run"), 0, "end", {"next": successor})))
    with pytest.raises(FormatError, match="successor"):
        added(path)
    assert [one.name for one in tmp_path.iterdir()] == ["run.tgm"]


def test_a_file_in_the_way_is_refused_at_the_start_or_replaced_if_forced(tmp_path: Path) -> None:
    (tmp_path / "run.1.tgm").write_bytes(b"precious")
    with pytest.raises(SourceError, match=r"run\.1\.tgm: already exists"):
        made(tmp_path / "run.tgm", rotate=True, max_messages=1)
    assert [path.name for path in tmp_path.iterdir()] == ["run.1.tgm"]
    made(tmp_path / "run.tgm", range(2), rotate=True, max_messages=1, force=True)
    assert_clean(tmp_path / "run.tgm", tmp_path / "run.1.tgm")


def test_a_file_that_appears_in_the_way_later_is_left_alone_and_the_failure_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "run.tgm"
    output = Output(str(path), "inplace", max_messages=2, rotate=True)
    steps = produce([MemorySource(framed(range(3)))], output, PLAN)
    next(steps)
    (tmp_path / "run.1.tgm").write_bytes(b"precious")
    with pytest.raises(SourceError, match="already exists"):
        list(steps)
    assert (tmp_path / "run.1.tgm").read_bytes() == b"precious"
    assert kinds_in(path) == [(0, "data"), (1, "data"), (2, "error")]


@pytest.mark.parametrize("end", ["marker", "inline", "none"])
@pytest.mark.parametrize("limit", [Output("", max_messages=2), Output("", max_bytes=900)])
def test_a_limit_without_rotation_stops(tmp_path: Path, limit: Output, end: str) -> None:
    path = tmp_path / "a.tgm"
    said: list[str] = []
    plan = PLAN._replace(stream=RUN._replace(end=end))
    list(
        produce(
            [MemorySource(framed(range(9)))],
            limit._replace(path=str(path), commit="inplace"),
            plan,
            report=said.append,
        )
    )
    assert steps_of(objects_in(path)) == [0, 1]
    assert ["full (--max" in text for text in said] == [True]
    assert [one.name for one in tmp_path.iterdir()] == ["a.tgm"]
    assert_clean(path, require_end=end != "none")


# ---- failures


@pytest.mark.parametrize("end", ["marker", "inline"])
@pytest.mark.parametrize("group", [1, 2, "all"])
def test_a_failed_input_closes_the_message_and_says_why(tmp_path: Path, group: Any, end: str) -> None:
    path = tmp_path / "a.tgm"
    bad = MemorySource(framed(range(3)) + b"junk\n")
    plan = PLAN._replace(group=group, stream=RUN._replace(end=end))
    with pytest.raises(EncodeError, match="JSON line"):
        list(produce([bad], Output(str(path), "inplace"), plan, status=lambda _error: 1))
    error = places_in(path)[-1]
    assert (error["type"], error["exit"], error["code"]) == ("error", 1, "encode_error")
    assert "junk" in error["msg"]
    assert steps_of(objects_in(path)) == [0, 1, 2]
    assert_clean(path)


@pytest.mark.parametrize("group", [1, "all"])
def test_an_interruption_is_marked(tmp_path: Path, group: Any) -> None:
    class Wish(BaseException):
        pass

    path = tmp_path / "a.tgm"
    interruption = Interruption()

    def entry_of(number: int) -> dict[str, Any]:
        if number == 1:
            interruption.request(Wish("SIGTERM"))
        return {}

    plan = PLAN._replace(group=group, entry=entry_of)
    with pytest.raises(Wish):
        list(
            produce(
                [MemorySource(framed(range(5)))],
                Output(str(path), "inplace"),
                plan,
                interruption=interruption,
                status=lambda _error: 143,
            )
        )
    assert steps_of(objects_in(path)) == [0, 1]
    error = places_in(path)[-1]
    assert (error["code"], error["msg"], error["exit"]) == ("wish", "SIGTERM", 143)
    assert_clean(path)


def test_what_appears_whole_leaves_nothing_unless_its_predecessor_names_it(tmp_path: Path) -> None:
    bad = MemorySource(framed(range(3)) + b"junk\n")
    for limit, names in ((9, []), (2, ["run.1.tgm", "run.tgm"])):
        output = Output(str(tmp_path / "run.tgm"), "rename", max_messages=limit, rotate=True)
        with pytest.raises(EncodeError):
            list(produce([bad], output, PLAN))
        assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert kinds_in(tmp_path / "run.1.tgm") == [(3, "data"), (4, "error")]
    assert_clean(tmp_path / "run.tgm", tmp_path / "run.1.tgm")


FILLS_UP = """
import resource, sys
from tests.operations.test_encode_streams import *
size = int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
plan = PLAN._replace(group=sys.argv[2] if sys.argv[2] == "all" else 1)
if sys.argv[3] == "append":
    plan = plan._replace(stream=None)
output = Output(sys.argv[1], "inplace")
if sys.argv[3] == "append":
    output = output._replace(commit=None, append=True)
try:
    list(produce([MemorySource(framed(range(50), (400,)))], output, plan))
except SourceError as error:
    assert "too large" in str(error), error
else:
    raise SystemExit("the limit did nothing")
"""


@pytest.mark.parametrize("how", ["new", "append"])
@pytest.mark.parametrize("group", ["1", "all"])
@pytest.mark.parametrize("size", [20_000, 21_000])
def test_a_disk_that_fills_up_is_marked_if_there_is_room_and_can_be_continued(
    tmp_path: Path, group: str, how: str, size: int
) -> None:
    path = tmp_path / "a.tgm"
    if how == "append":
        made(path, [0], PLAN._replace(stream=OPEN))
    words = [sys.executable, "-c", FILLS_UP, str(path), group, how, str(size)]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=60, env=environment(LIMITED)
    )
    assert done.returncode == 0, done.stderr
    cut = any(isinstance(found, tgmtool.Gap) for found in tgmtool.scan(path, unit="message"))
    if not cut and kinds_in(path)[-1][1] == "error":
        assert places_in(path)[-1]["code"] == "efbig"
        assert_clean(path)
    else:
        added(path, [60], repair_tail=True)
        assert_clean(path)
        assert steps_of(objects_in(path))[-1] == 60


# ---- kill -9 after each write

KILLED = """
import os, signal, sys
import tgmtool.endpoints.local as local
from tests.operations.test_encode_streams import *

plain, patch, count = local.write_all, local.FileSink.patch_at, 0
def step(limit):
    global count
    count += 1
    if count == limit:
        os.kill(os.getpid(), signal.SIGKILL)

for limit in range(1, 200):
    path = Path(sys.argv[1]) / f"{limit:03}.tgm"
    pid = os.fork()
    if pid == 0:
        def write_all(descriptor, pieces):
            whole = b"".join(pieces)
            if count + 1 == limit and limit % 2:  # every other time in the middle of a write
                whole = whole[:len(whole) // 2]
            done = plain(descriptor, [whole])
            step(limit)
            return done
        def patch_at(self, offset, data):
            patch(self, offset, data)
            step(limit)
        local.write_all, local.FileSink.patch_at = write_all, patch_at
        group, layout = int(sys.argv[2]), sys.argv[3]
        plan = PLAN._replace(group=group, style=FIXED._replace(layout=layout))
        try:
            made(path, range(6), plan, rotate=True, max_messages=4 if group == 1 else 2)
        finally:
            os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
        path.unlink()
        path.with_name(f"{limit:03}.1.tgm").unlink()
        break
"""


@pytest.mark.parametrize(("group", "layout"), [(1, "buffered"), (2, "streaming"), (1, "streaming")])
def test_a_producer_that_is_killed_after_any_write_can_be_continued(
    tmp_path: Path, group: int, layout: str
) -> None:
    words = [sys.executable, "-c", KILLED, str(tmp_path), str(group), layout]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    firsts = sorted(path for path in tmp_path.iterdir() if path.name.count(".") == 1)
    assert len(firsts) > 6
    for path in firsts:
        with suppress(EncodeError):  # it was killed after its last write: it has ended
            added(path, [9], Stream("run"), repair_tail=True)
        files = [path, path.with_name(f"{path.stem}.1.tgm")]
        files = [
            one for one in files if one.exists() and one.stat().st_size
        ]  # an empty one was made too early
        assert_clean(*files)
        seqs = [seq for one in files for seq, _ in kinds_in(one)]
        assert seqs == list(range(len(seqs)))
        steps = [step for one in files for step in steps_of(objects_in(one))]
        assert steps in [[*range(count), 9] for count in range(7)] + [[*range(6)]]
