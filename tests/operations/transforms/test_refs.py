"""Payloads go to a folder and come back byte for byte, or the message says why not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensogram
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tgmtool
from tests import builders
from tests.operations.streams import FIXED, entry, field
from tests.operations.transforms.messages import each_kind, end, kinds, one, place, run, theirs, units, wrong
from tests.operations.transforms.moving import moved, refs_in, resolved
from tgmtool import DigestMismatch
from tgmtool.operations.transforms.base import Unit
from tgmtool.operations.transforms.refs import KEY, Refs
from tgmtool.operations.transforms.stamp import Stamp, with_place

ODD = {"by-hand-unpadded", "by-hand-excess"}  # would not come back byte for byte


@pytest.mark.parametrize("name", [name for name in kinds() if ":" not in name])
def test_every_kind_of_message_comes_back_the_same(name: str, tmp_path: Path) -> None:
    data = kinds()[name]
    small = moved(data, tmp_path)
    objects = len(Unit(data).message.objects)
    if name in ODD:
        assert small == data
    else:
        assert all(found.array.size == 0 for found in Unit(small).message.objects)
        assert len([ref for ref in refs_in(small) if ref]) == objects
        assert [found for found in wrong(small) if found not in wrong(data)] == []
    assert resolved(small, tmp_path) == data


def test_every_message_of_the_reference_comes_back_the_same(tmp_path: Path) -> None:
    for name, data in theirs():
        small = moved(data, tmp_path)
        assert all(refs_in(small)), name
        assert resolved(small, tmp_path) == data, name


def test_the_reference_reads_small_messages_and_the_files(tmp_path: Path) -> None:
    for name, data in theirs():
        small = moved(data, tmp_path)
        found = tensogram.decode(small, verify_hash=b"xxh3" in small)
        assert [np.asarray(values).size for _, values in found.objects] == [0] * len(found.objects), name
        assert [bool(entry[KEY]["$ref"]) for entry in found.metadata.base] == [True] * len(found.objects)
    for path in tmp_path.iterdir():
        found = tensogram.decode(path.read_bytes())
        assert len(found.objects) == 1


def test_a_file_holds_the_object_and_the_reference_names_it(tmp_path: Path) -> None:
    values = np.arange(60_000, dtype="<f4").reshape(200, 300)
    data = tgmtool.encode([(values, entry(6))], compression="zstd")
    (ref,) = refs_in(moved(data, tmp_path))
    name = ref["$ref"].removesuffix("#m=0&o=0")
    assert set(ref) == {"$ref", "size", "digest", "dtype", "shape"}
    assert ref["digest"] == f"sha256:{name.removesuffix('.tgm')}"
    assert (ref["dtype"], ref["shape"]) == ("float32", [200, 300])
    assert (tmp_path / name).stat().st_size == ref["size"]
    assert np.array_equal(tgmtool.decode(tmp_path / name).objects[0].array, values)
    assert json.loads(json.dumps(ref)) == ref


def test_other_keys_stay_and_can_be_asked_for(tmp_path: Path) -> None:
    small = moved(one(6, layout="streaming", preceder=True), tmp_path)
    (keys,) = Unit(small).keys()
    assert keys.get("mars.step") == 6
    assert keys.get("tgmref.dtype") == "float32"


def test_only_payloads_of_the_threshold_and_more_are_moved(tmp_path: Path) -> None:
    data = tgmtool.encode([np.zeros(10, "u1"), np.zeros(11, "u1")], style=FIXED)
    small = moved(data, tmp_path, threshold=11)
    assert [ref is None for ref in refs_in(small)] == [True, False]
    assert resolved(small, tmp_path) == data
    assert moved(data, tmp_path, threshold=12) == data


def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    same = np.arange(1000.0)
    data = b"".join(tgmtool.encode([(same, entry(step))]) for step in range(5))
    stage = Refs(str(tmp_path), threshold=0)
    small = run(stage, data)
    assert (stage.moved, stage.written, len(list(tmp_path.iterdir()))) == (5, 1, 1)
    assert resolved(small, tmp_path) == data


def test_moving_twice_moves_nothing_more(tmp_path: Path) -> None:
    small = moved(one(0, objects=2), tmp_path)
    assert moved(small, tmp_path) == small
    assert len(list(tmp_path.iterdir())) == 2


def test_markers_and_ends_pass_so_that_the_whole_stream_comes_back(tmp_path: Path) -> None:
    data = run(Stamp(place(0).who), one(0) + one(1, layout="streaming") + kinds()["zstd"])
    small = moved(data, tmp_path)
    assert wrong(data, stream=True) == wrong(small, stream=True) == []
    assert resolved(small, tmp_path) == data
    assert moved(end(0), tmp_path) == end(0)


def test_an_end_that_was_wrong_is_wrong_on_the_way_and_afterwards(tmp_path: Path) -> None:
    data = one(0, place=place(0)) + end(1, count=7, bytes=1)
    small = moved(data, tmp_path)
    assert small.endswith(end(1, count=7, bytes=1))
    assert resolved(small, tmp_path) == data


def test_small_messages_may_be_changed_on_their_way(tmp_path: Path) -> None:
    data = one(3, objects=2)
    (small,) = units(moved(data, tmp_path))
    stamped = with_place(small, place(0))
    assert resolved(stamped, tmp_path) == with_place(Unit(data), place(0))


@given(
    sizes=st.lists(st.integers(0, 400), min_size=1, max_size=5),
    threshold=st.integers(0, 1700),
    layout=st.sampled_from(["buffered", "streaming"]),
    hashing=st.booleans(),
    preceder=st.booleans(),
    compression=st.sampled_from(["none", "zstd", "lz4"]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_message_comes_back_the_same(
    tmp_path: Path,
    sizes: list[int],
    threshold: int,
    layout: str,
    hashing: bool,
    preceder: bool,
    compression: str,
) -> None:
    style = FIXED._replace(hashing=hashing, preceder=preceder, backfill=False)
    pairs = [(field(size, (size,)), entry(size)) for size in sizes]
    data = tgmtool.encode(pairs, layout=layout, style=style, compression=compression)
    small = moved(data, tmp_path, threshold=threshold)
    assert resolved(small, tmp_path) == data
    assert wrong(small) == wrong(data)


@each_kind()
def test_a_payload_that_changed_is_not_moved(data: bytes, tmp_path: Path) -> None:
    unit = Unit(data)
    hashed = [found.span for found in unit.message.objects if found.span.digest is not None]
    for span in hashed:
        damaged = builders.flip_bit(data, span.payload_offset)
        with pytest.raises(DigestMismatch):
            run(Refs(str(tmp_path), threshold=0), [Unit(damaged)])
