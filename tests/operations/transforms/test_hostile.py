"""Whatever a message is, a transform passes it, or refuses it with one of our errors."""

from __future__ import annotations

import itertools
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tgmtool
from tests.hostile import corpus
from tests.operations.transforms.messages import kinds, one, place, units, wrong
from tgmtool import Limits, TgmError
from tgmtool.endpoints.memory import MemorySink
from tgmtool.errors import ReferenceRefused
from tgmtool.messages.stream import Sender
from tgmtool.operations.select import where
from tgmtool.operations.transforms.base import Transform, Unit
from tgmtool.operations.transforms.recode import Recode, target_of
from tgmtool.operations.transforms.refs import Refs
from tgmtool.operations.transforms.resolve import Resolve
from tgmtool.operations.transforms.split import Split
from tgmtool.operations.transforms.stamp import Stamp
from tgmtool.operations.transforms.tee import Tee
from tgmtool.operations.transforms.verify import Verify
from tgmtool.operations.transforms.where import Where

LIMITS = Limits(decoded_bytes=64 << 20)


def a_where(_folder: Path) -> Transform:
    condition = where(["mars.step>=0"])
    assert condition is not None
    return Where(condition)


MAKERS: dict[str, Callable[[Path], Transform]] = {
    "where": a_where,
    "tee": lambda _: Tee(MemorySink()),
    "split": lambda folder: Split(f"{folder}/parts/[mars.param]_[mars.step]", force=True, durable=False),
    "stamp": lambda _: Stamp(Sender("r"), force=True),
    "recode": lambda _: Recode(target_of("zstd:1")),
    "refs": lambda folder: Refs(f"{folder}/refs", threshold=0, durable=False, most_names=1 << 20),
    "resolve": lambda folder: Resolve(str(folder)),
    "verify": lambda _: Verify("default"),
}
each_transform = pytest.mark.parametrize("name", MAKERS)


def tried(transform: Transform, unit: Unit) -> list[Unit] | None:
    """What comes out, or None if it was refused as it should be: any other error is the test's failure."""
    try:
        return list(transform.message(unit))
    except TgmError:
        return None


@cache
def hostile() -> list[Unit]:
    """Files that somebody made to break readers, as they are and message by message, looked into once."""
    made = (case.make() for case in corpus.cases())
    small = [data for data in made if len(data) <= corpus.LARGEST]
    whole = [Unit(data, limits=LIMITS) for data in small]
    parts = [Unit(u.data, u.number, u.offset, limits=LIMITS) for data in small for u in units(data)]
    return whole + parts


@each_transform
def test_what_was_made_to_break_readers_is_passed_or_refused(name: str, tmp_path: Path) -> None:
    transform = MAKERS[name](tmp_path)
    outcomes = [tried(transform, unit) is None for unit in hostile()]
    assert len(outcomes) > 300
    assert name == "tee" or any(outcomes)
    assert not all(outcomes)


@given(
    which=st.sampled_from(
        ["buffered", "streaming", "preceders", "zstd", "masked", "no-hash", "placed", "end"]
    ),
    places=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4),
    name=st.sampled_from(list(MAKERS)),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_bytes_are_passed_or_refused(
    tmp_path: Path, which: str, places: list[tuple[int, int]], name: str
) -> None:
    data = bytearray(kinds()[which])
    for at, value in places:
        data[at % len(data)] = value
    transform = MAKERS[name](tmp_path)
    tried(transform, Unit(bytes(data), limits=LIMITS))
    list(transform.finish(failed=True))


@pytest.mark.parametrize("layout", ["buffered", "streaming"])
def test_no_flipped_bit_of_a_payload_is_hidden_by_a_new_digest(layout: str, tmp_path: Path) -> None:
    data = one(0, layout=layout, place=place(0))
    span = Unit(data).message.objects[0].span
    for name, at in itertools.product(MAKERS, range(span.payload_offset, span.payload_offset + 24, 5)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        for made in tried(MAKERS[name](tmp_path), Unit(bytes(damaged))) or ():
            assert any(line.startswith("hash_mismatch") for line in wrong(bytes(made.data))), name


@each_transform
def test_a_mapped_message_is_as_good_as_bytes(name: str, tmp_path: Path) -> None:
    data = kinds()["streaming"]
    (tmp_path / "in.tgm").write_bytes(data)
    with (
        open(tmp_path / "in.tgm", "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held,
    ):
        results = []
        forms: list[bytes | memoryview] = [memoryview(held), memoryview(data), data]
        for place_, given_ in enumerate(forms):
            folder = tmp_path / str(place_)
            folder.mkdir()
            transform = MAKERS[name](folder)
            made = tried(transform, Unit(given_))
            results.append(None if made is None else [len(bytes(unit.data)) for unit in made])
            transform.finish(failed=False)
            del made, transform
        del forms, given_
        assert results[0] == results[1] == results[2]
        assert results[0] is not None or name == "split"


def test_a_killed_writer_leaves_no_file_that_is_not_what_its_name_says(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np, tgmtool\n"
        "from tgmtool.operations.transforms.base import Unit\n"
        "from tgmtool.operations.transforms.refs import Refs\n"
        "stage = Refs(sys.argv[1], threshold=0)\n"
        "for number in range(10**6):\n"
        "    data = tgmtool.encode([np.full(200_000, number)])\n"
        "    for unit in stage.message(Unit(data)):\n"
        "        sys.stdout.buffer.write(unit.data); sys.stdout.buffer.flush()\n"
    )
    folder = tmp_path / "refs"
    for lines in (1, 4, 9):
        child = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        got = bytearray()
        while len(units(bytes(got))) < lines:
            got += os.read(child.stdout.fileno(), 1 << 16)
        child.send_signal(signal.SIGKILL)
        child.wait()
        got += child.stdout.read()
        child.stdout.close()
        for path in folder.glob("[!.]*"):
            assert path.name == sha256(path.read_bytes()).hexdigest() + ".tgm"
        resolve = Resolve(str(folder))
        for unit in units(bytes(got)):
            assert [len(found.data) > 200_000 for found in resolve.message(unit)] == [True]


def test_a_reference_never_opens_what_is_beside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    outside = one(0)
    name = sha256(outside).hexdigest() + ".tgm"
    (tmp_path / name).write_bytes(outside)
    ref = {
        "$ref": f"../{name}",
        "size": len(outside),
        "digest": f"sha256:{name[:-4]}",
        "dtype": "float32",
        "shape": [2, 3],
    }
    data = tgmtool.encode([(np.empty(0, "<f4"), {"tgmref": ref})])
    with pytest.raises(ReferenceRefused, match="nothing else"):
        list(Resolve(str(tmp_path / "d")).message(Unit(data)))
