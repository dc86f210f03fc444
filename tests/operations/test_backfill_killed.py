"""A producer, and salvage in place, killed after every single write: nothing that was whole is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.operations.streams import field, objects_in
from tests.operations.test_repair import errors_of
from tgmtool import scan
from tgmtool.errors import FramingError
from tgmtool.operations.places import salvage_in_place, undo_in_place
from tgmtool.operations.salvage import salvage
from tgmtool.wire import layout

# A producer whose every write is followed by SIGKILL when its turn has come.
PRODUCER = """
import os, signal, sys
import numpy as np
import tgmtool
from tgmtool.codecs.masks import Rules
from tgmtool.operations.prepare import Stages
path, left, layout, preceder, hashing, backfill = sys.argv[1], *map(int, sys.argv[2:])
def after(call):
    def counted(*given):
        global left
        done = call(*given)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return counted
os.writev, os.pwrite = after(os.writev), after(os.pwrite)
style = tgmtool.Style(["streaming", "buffered"][layout], bool(hashing), bool(preceder), bool(backfill))
stages = Stages(masks=Rules(allow_nan=True))
with tgmtool.StreamWriter(path, {"run": "x"}, style=style, stages=stages) as writer:
    for step in range(40):
        values = (np.arange(6, dtype="<f4") + 100 * step).reshape(2, 3)
        if step % 3 == 0:
            values[0, 1] = np.nan
        writer.write(values, {"step": step})
"""


def values(step: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = field(step)
    if step % 3 == 0:
        found[0, 1] = np.nan
    return found


def produce(path: Path, kill_after: int, *style: int) -> bool:
    """Run the producer; return whether it was killed."""
    words = [sys.executable, "-c", PRODUCER, str(path), str(kill_after), *map(str, style)]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode != 0


def whole_frames(path: Path) -> int:
    """Count the tensor frames that are there through their ENDF, by their lengths alone."""
    data = path.read_bytes()
    at, count = layout.PREAMBLE_SIZE, 0
    while data[at : at + 2] == b"FR":
        length = int.from_bytes(data[at + 8 : at + 16], "big")
        if at + length > len(data):
            break
        count += data[at + 3] == 9
        at += length + -(at + length) % 8
    return count


STYLES = [
    pytest.param((layout, preceder, hashing, backfill), marks=() if chosen else pytest.mark.soak)
    for layout in (0, 1)
    for preceder in (0, 1)
    for hashing in (0, 1)
    for backfill in (0, 1)
    if (chosen := (layout, preceder, hashing, backfill) in {(0, 1, 1, 1), (1, 0, 1, 1)})
    or not (layout and backfill)
]


@pytest.mark.parametrize("style", STYLES)
def test_whatever_write_a_producer_dies_after_salvage_keeps_exactly_what_is_whole(
    tmp_path: Path, style: tuple[int, int, int, int], request: pytest.FixtureRequest
) -> None:
    whole_run = request.node.get_closest_marker("soak") is not None
    number = 1
    while True:
        path, out, again = (tmp_path / f"{name}-{number}.tgm" for name in ("torn", "out", "again"))
        killed = produce(path, number, *style)
        count = whole_frames(path)
        try:
            salvage(path, out, keep_unhashed=not style[2], min_age=0)
        except FramingError:
            assert count == 0  # nothing of it was whole
        else:
            found = objects_in(out)
            assert len(found) == count
            for step, one in enumerate(found):
                assert np.array_equal(one.array, values(step), equal_nan=True)
                assert not style[1] or one.metadata == {"step": step}
            assert errors_of(out) == []
            assert salvage(out, again, min_age=0).is_lossless
            assert again.read_bytes() == out.read_bytes()
        if not killed:
            break
        number += 1 if whole_run or number < 3 or number > 38 else 7
    assert count == 40
    assert number > (40 if not style[0] else 1)


KILLED = """
import os, signal, sys
from tgmtool.operations.places import salvage_in_place
left = int(sys.argv[2])
def before(call):
    def counted(*given, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return call(*given, **named)
    return counted
for name in ("pwrite", "ftruncate", "writev", "replace", "fsync", "copy_file_range"):
    setattr(os, name, before(getattr(os, name)))
salvage_in_place(sys.argv[1], min_age=0)
"""


def test_salvage_in_place_killed_before_any_system_call_is_finished_by_a_second_run(tmp_path: Path) -> None:
    torn = tmp_path / "torn.tgm"
    produce(torn, 12, 0, 1, 1, 1)
    data = torn.read_bytes() + b"FR\0\x09"
    path = tmp_path / "a.tgm"
    path.write_bytes(data)
    salvage_in_place(path, min_age=0)
    expected = path.read_bytes()
    calls = 0
    while True:
        for each in os.listdir(tmp_path):
            if each != torn.name:
                (tmp_path / each).unlink()
        path.write_bytes(data)
        done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(calls)], check=False)
        count = len([found for found in scan(path) if hasattr(found, "payload_offset")])
        assert count == whole_frames(torn) or done.returncode == 0
        salvage_in_place(path, min_age=0)
        assert path.read_bytes() == expected
        undo_in_place(path)
        assert path.read_bytes() == data
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        calls += 1
    assert calls > 10
