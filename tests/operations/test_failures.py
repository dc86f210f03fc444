"""What a production leaves when something goes wrong, and what it costs in memory."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool
from tests.operations.streams import field, framed, objects_in, piped, steps_of
from tests.operations.test_encode import PLAN, made
from tests.processes import LIMITED, environment, wait_until
from tgmtool import EncodeError, MemorySource, SourceError, Style
from tgmtool.endpoints.stdio import StreamSource
from tgmtool.operations.encode import Interruption, Production, produce
from tgmtool.operations.inputs import Block
from tgmtool.operations.outputs import Output


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "NaN; --allow-nan"),
        (np.inf, "Inf; --allow-inf"),
        (-np.inf, "-Inf; --allow-inf"),
    ],
)
@pytest.mark.parametrize("group", [1, "all"])
def test_nan_is_refused_with_its_place_and_what_came_before_is_whole(
    tmp_path: Path, value: float, said: str, group: Any
) -> None:
    path = tmp_path / "a.tgm"
    bad = field(9)
    bad[1, 2] = value
    head = json.dumps({"dtype": "<f4", "shape": [2, 3]}).encode() + b"\n"
    source = MemorySource(framed(range(2)) + head + bad.tobytes() + framed([3]))
    with pytest.raises(EncodeError, match=rf"index \[1, 2\] is {said}"):
        list(produce([source], Output(str(path), commit="inplace"), PLAN._replace(group=group)))
    assert steps_of(objects_in(path)) == [0, 1]


def test_a_full_device_is_an_error_of_ours() -> None:
    with pytest.raises(SourceError, match="no space left") as caught:
        made(Path("/dev/full"), commit="inplace", force=True)
    assert caught.value.errno == errno.ENOSPC


FILLS_UP = """
import resource, sys
from tests.operations.test_failures import *
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
plan = PLAN._replace(group=sys.argv[2] if sys.argv[2] == "all" else 1)
said = []
try:
    list(produce([MemorySource(framed(range(50), (100,)))],
                 Output(sys.argv[1], commit="inplace", append=sys.argv[3] == "append", fsync="none"),
                 plan, report=said.append))
except SourceError as error:
    assert "too large" in str(error), error
    print(said)
else:
    raise SystemExit("the limit did nothing")
"""


@pytest.mark.parametrize("how", ["new", "append"])
@pytest.mark.parametrize("group", ["1", "all"])
def test_a_disk_that_fills_up_leaves_whole_objects(tmp_path: Path, group: str, how: str) -> None:
    path = tmp_path / "a.tgm"
    first = 0
    if how == "append":
        made(path, [0])
        first = 1
    done = subprocess.run(
        [sys.executable, "-c", FILLS_UP, str(path), group, how],
        capture_output=True,
        text=True,
        check=False,
        env=environment(LIMITED),
    )
    assert done.returncode == 0, done.stderr
    assert "cut back to the last whole" in done.stdout
    spans = list(tgmtool.scan(path))
    objects = [found for found in spans if isinstance(found, tgmtool.ObjectSpan)]
    gaps = [found for found in spans if isinstance(found, tgmtool.Gap)]
    assert len(objects) >= first
    if how == "append":
        assert gaps == []
    elif group == "1":
        assert gaps == []
        assert len(objects) > 10
    else:
        assert [gap.kind for gap in gaps] == ["incomplete"]
        assert objects[-1].offset + objects[-1].length + 7 >= path.stat().st_size
    made(path, [60], append=True, repair_tail=True)
    kept = steps_of(objects_in(path))
    assert kept[-1] == 60
    if how == "new":
        assert kept[:-1] == list(range(len(objects)))


@pytest.mark.parametrize("group", [1, "all"])
def test_an_interruption_lets_the_object_be_finished_and_closes_the_message(
    tmp_path: Path, group: Any
) -> None:
    class Wish(BaseException):
        pass

    path = tmp_path / "a.tgm"
    interruption = Interruption()

    def entry_of(number: int) -> dict[str, Any]:
        if number == 1:
            interruption.request(Wish())  # comes while an object is being written
        return {}

    plan = PLAN._replace(group=group, entry=entry_of)
    with pytest.raises(Wish):
        list(
            produce(
                [MemorySource(framed(range(5)))],
                Output(str(path), commit="inplace"),
                plan,
                interruption=interruption,
            )
        )
    assert steps_of(objects_in(path)) == [0, 1]


# ---- memory


def test_one_object_is_in_memory_at_a_time(tmp_path: Path) -> None:
    size, count = 4 << 20, 12
    block = Block("<f4", (size // 4,))
    plan = Production(kind="raw", block=block, group="all", style=Style(layout="streaming"))
    tracemalloc.start()
    try:
        with piped(bytes(size) * count) as source:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            list(produce([source], Output(str(tmp_path / "a.tgm"), fsync="none"), plan))
        assert tracemalloc.get_traced_memory()[1] - before < 4 * size
    finally:
        tracemalloc.stop()
    assert len(objects_in(tmp_path / "a.tgm")) == count


def test_an_object_is_in_the_file_before_the_next_one_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    reader, writer = os.pipe()
    source = StreamSource(reader, "<pipe>")
    plan = PLAN._replace(group="all")
    thread = threading.Thread(target=lambda: list(produce([source], Output(str(path), fsync="none"), plan)))
    thread.start()
    for step in range(5):
        os.write(writer, framed([step]))
        wait_until(
            lambda step=step: (  # type: ignore[misc]  # the default binds it
                path.exists()
                and len([s for s in tgmtool.scan(path) if isinstance(s, tgmtool.ObjectSpan)]) == step + 1
            ),
            f"object {step}",
        )
    os.close(writer)
    thread.join()
    source.close()
    assert steps_of(objects_in(path)) == list(range(5))
