"""Producing streams: groups, layouts, commits, and what is left when something goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tensogram

import tgmtool
from tests.operations.streams import FIXED, buffered, entry, field, framed, npy, objects_in, piped, steps_of
from tgmtool import DataObject, EncodeError, MemorySource, MessageSpan, SourceError
from tgmtool.codecs.masks import Rules
from tgmtool.endpoints.stdio import StreamSink
from tgmtool.operations.encode import Production, produce
from tgmtool.operations.inputs import Block
from tgmtool.operations.outputs import Output
from tgmtool.operations.prepare import Bound, Stages
from tgmtool.wire.patches import length_patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAN = Production(kind="framed", style=FIXED._replace(layout="auto"))


def made(
    path: Path, steps: Any = range(3), plan: Production = PLAN, shape: Any = (2, 3), **choices: Any
) -> list[MessageSpan]:
    """Produce these steps to `path`."""
    output = Output(str(path), **{"fsync": "none", **choices})
    return list(produce([MemorySource(framed(steps, shape))], output, plan))


def layout_of(path: Path) -> list[tuple[int, bool]]:
    """Objects of each message, and whether its index stands in the header."""
    spans = [found.span for found in tgmtool.read(path) if isinstance(found, tgmtool.Message)]
    return [(span.objects, bool(span.flags & 4)) for span in spans]


# ---- groups and layouts


@pytest.mark.parametrize(
    ("group", "objects"),
    [(1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (9, [5]), ("all", [5]), ("file", [5]), (None, [5])],
)
def test_a_group_says_how_many_objects_a_message_has(tmp_path: Path, group: Any, objects: list[int]) -> None:
    path = tmp_path / "a.tgm"
    spans = made(path, range(5), PLAN._replace(group=group))
    assert [count for count, _ in layout_of(path)] == objects == [span.objects for span in spans]
    assert steps_of(objects_in(path)) == list(range(5))
    assert [span.number for span in spans] == list(range(len(objects)))
    assert sum(span.length for span in spans) == path.stat().st_size


@pytest.mark.parametrize(
    ("group", "objects"), [("file", [2, 3]), ("all", [5]), (2, [2, 2, 1]), (None, [1] * 5)]
)
def test_several_inputs_are_grouped(tmp_path: Path, group: Any, objects: list[int]) -> None:
    path = tmp_path / "a.tgm"
    with piped(framed(range(2))) as first, piped(framed(range(2, 5))) as second:
        list(produce([first, second], Output(str(path)), PLAN._replace(group=group)))
    assert [count for count, _ in layout_of(path)] == objects
    assert steps_of(objects_in(path)) == list(range(5))


@pytest.mark.parametrize(
    ("layout", "group", "commit", "in_header"),
    [
        ("auto", 1, "inplace", True),
        ("auto", "all", "inplace", False),
        ("auto", "all", "rename", True),
        ("buffered", "all", "inplace", True),
        ("streaming", 1, "rename", False),
    ],
)
def test_auto_is_buffered_where_nobody_has_to_wait_for_it(
    tmp_path: Path, layout: str, group: Any, commit: str, in_header: bool
) -> None:
    path = tmp_path / "a.tgm"
    made(path, plan=PLAN._replace(group=group, style=FIXED._replace(layout=layout)), commit=commit)
    assert {header for _, header in layout_of(path)} == {in_header}


def test_metadata_comes_from_input_then_metas_then_entry(tmp_path: Path) -> None:
    plan = PLAN._replace(
        metas=[{"a": 1, "b": 1}], entry=lambda i: {"b": 2, "i": i}, extra={"title": "run"}, group="all"
    )
    made(tmp_path / "a.tgm", range(2), plan)
    (message,) = tgmtool.read(tmp_path / "a.tgm")
    assert isinstance(message, tgmtool.Message)
    assert message.metadata.extra == {"title": "run"}
    for i, found in enumerate(message.objects):
        expected = {**entry(i), "a": 1, "b": 2, "i": i}
        assert {key: found.metadata[key] for key in expected} == expected


def test_metadata_lines_must_be_as_many_as_objects(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="metadata for 2 objects was given, object 2 has none"):
        made(tmp_path / "a.tgm", range(3), PLAN._replace(metas=[{"a": 1}, {"a": 2}]), commit="inplace")
    assert steps_of(objects_in(tmp_path / "a.tgm")) == [0, 1]


def test_stages_are_applied(tmp_path: Path) -> None:
    made(tmp_path / "a.tgm", plan=PLAN._replace(stages=Stages("none", "shuffle", "zstd")))
    found = objects_in(tmp_path / "a.tgm")
    assert {(one.descriptor.pipeline.filter, one.descriptor.pipeline.compression) for one in found} == {
        ("shuffle", "zstd")
    }
    assert steps_of(found) == [0, 1, 2]


# ---- commit


def test_inplace_is_there_from_the_first_object_on_and_rename_only_at_the_end(tmp_path: Path) -> None:
    source = MemorySource(framed(range(3)))
    for commit, seen in (("inplace", [1, 2, 3]), ("rename", [3, 3, 3])):
        path = tmp_path / commit
        written = produce([source], Output(str(path), commit=commit), PLAN._replace(group=1))
        counts = [len(objects_in(path)) for _ in written]
        assert counts == seen
        assert os.listdir(tmp_path).count(commit) == 1
    assert sorted(os.listdir(tmp_path)) == ["inplace", "rename"]


def test_a_sentinel_appears_at_the_end_and_describes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    for _ in produce([MemorySource(framed(range(2)))], Output(str(path), commit="sentinel"), PLAN):
        assert not (tmp_path / "a.tgm.done").exists()
    done = json.loads((tmp_path / "a.tgm.done").read_text())
    assert (done["bytes"], done["messages"]) == (path.stat().st_size, 1)
    assert done["digest"].startswith("xxh3:")


@pytest.mark.parametrize("commit", ["inplace", "rename", "sentinel"])
def test_a_failed_input_leaves_whole_messages_in_place_or_nothing_under_a_name(
    tmp_path: Path, commit: str
) -> None:
    path = tmp_path / "a.tgm"
    bad = MemorySource(framed(range(2)) + b"junk\n")
    with pytest.raises(EncodeError, match="JSON line"):
        list(produce([bad], Output(str(path), commit=commit), PLAN._replace(group="all")))
    if commit == "rename":
        assert os.listdir(tmp_path) == []
    else:
        assert os.listdir(tmp_path) == ["a.tgm"]
        assert steps_of(objects_in(path)) == [0, 1]


@pytest.mark.parametrize("commit", ["inplace", "rename"])
def test_an_existing_file_is_kept_unless_forced(tmp_path: Path, commit: str) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(b"precious")
    with pytest.raises(SourceError, match="exists"):
        made(path, commit=commit)
    assert path.read_bytes() == b"precious"
    made(path, commit=commit, force=True)
    assert steps_of(objects_in(path)) == [0, 1, 2]


@pytest.mark.parametrize(
    "choices",
    [
        {"commit": "nonsense"},
        {"fsync": "nonsense"},
        {"repair_tail": True},
        {"append": True, "commit": "rename"},
    ],
)
def test_choices_that_do_not_go_together_are_refused(tmp_path: Path, choices: Any) -> None:
    with pytest.raises(EncodeError):
        made(tmp_path / "a.tgm", **choices)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("fsync", ["none", "object", "message", "close"])
def test_every_fsync_writes_the_same(tmp_path: Path, fsync: str) -> None:
    made(tmp_path / "a.tgm", fsync=fsync)
    made(tmp_path / "b.tgm")
    assert (tmp_path / "a.tgm").read_bytes() == (tmp_path / "b.tgm").read_bytes()


# ---- reproducible


def through_pipe(layout: str, group: str | int) -> bytes:
    """What a pipe carries."""
    reader, writer = os.pipe()
    pairs = [(field(step), entry(step)) for step in range(4)]
    with os.fdopen(reader, "rb") as file:
        tgmtool.write(StreamSink(writer, "<pipe>"), pairs, group=group, layout=layout, style=FIXED)
        os.close(writer)
        return file.read()


@pytest.mark.parametrize("group", [1, 2, "all"])
@pytest.mark.parametrize("layout", ["buffered", "streaming"])
def test_a_file_and_a_pipe_whose_lengths_are_filled_in_are_identical(
    tmp_path: Path, layout: str, group: Any
) -> None:
    path = tmp_path / "a.tgm"
    spans = made(path, range(4), PLAN._replace(group=group, style=FIXED._replace(layout=layout)))
    carried = bytearray(through_pipe(layout, group))
    if layout == "streaming":
        for span in spans:
            for patch in length_patches(span.offset, span.length):
                carried[patch.offset : patch.offset + len(patch.data)] = patch.data
    assert bytes(carried) == path.read_bytes()


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    made(tmp_path / "a.tgm")
    made(tmp_path / "b.tgm")
    assert (tmp_path / "a.tgm").read_bytes() == (tmp_path / "b.tgm").read_bytes()


# ---- append


@pytest.mark.parametrize("group", [1, "all"])
def test_append_goes_on_after_the_last_message(tmp_path: Path, group: Any) -> None:
    path = tmp_path / "a.tgm"
    made(path, range(2))
    before = path.read_bytes()
    spans = made(path, range(2, 4), PLAN._replace(group=group), append=True)
    assert path.read_bytes().startswith(before)
    assert spans[0].offset == len(before)
    assert steps_of(objects_in(path)) == [0, 1, 2, 3]


@pytest.mark.parametrize("content", [None, b""])
def test_append_to_nothing_begins(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.tgm"
    if content is not None:
        path.write_bytes(content)
    made(path, append=True)
    assert steps_of(objects_in(path)) == [0, 1, 2]


def test_append_is_refused_while_another_appends(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    made(path, range(1))
    first = produce([MemorySource(framed([1, 2]))], Output(str(path), append=True), PLAN._replace(group=1))
    next(first)
    child = (
        "import sys; from tests.operations.test_encode import *; made(Path(sys.argv[1]), [9], append=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", child, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert f"another process {os.getpid()} is appending" in done.stderr
    assert len(list(first)) == 1
    assert steps_of(objects_in(path)) == [0, 1, 2]


def test_append_after_bytes_that_are_no_message_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tgm"
    path.write_bytes(buffered() + b"what is this?")
    for repair_tail in (False, True):
        with pytest.raises(tgmtool.FramingError, match="no message"):
            made(path, append=True, repair_tail=repair_tail)
        assert path.read_bytes() == buffered() + b"what is this?"


def test_npy_files_are_written_whole(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy(field(0)))
    list(produce([str(tmp_path / "a.npy")], Output(str(tmp_path / "a.tgm")), Production()))
    (found,) = objects_in(tmp_path / "a.tgm")
    assert np.array_equal(found.array, field(0))


# ---- several objects at once

JOBS = Stages(jobs=4)
PACKING = Stages("simple_packing", "none", "szip", {"sp_bits_per_value": 16})


def big(step: int) -> NDArray[Any]:
    return np.random.default_rng(step).normal(280, 20, (40, 500))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same objects as files of every kind that can hold several."""
    folder = tmp_path_factory.mktemp("inputs")
    arrays = [big(step) for step in range(9)]
    named: dict[str, Any] = {f"v{step}": one for step, one in enumerate(arrays)}
    (folder / "a.raw").write_bytes(b"".join(one.tobytes() for one in arrays))
    np.save(folder / "a.npy", np.stack(arrays))
    np.savez(folder / "a.npz", **named)
    np.savez_compressed(folder / "b.npz", **named)
    head = json.dumps({"dtype": "<f8", "shape": [40, 500]}).encode() + b"\n"
    (folder / "a.framed").write_bytes(b"".join(head + one.tobytes() for one in arrays))
    (folder / "a.json").write_text("\n".join(json.dumps(one.tolist()) for one in arrays[:3]))
    tgmtool.write(folder / "a.tgm", arrays, layout="streaming")
    tgmtool.write(folder / "b.tgm", arrays, group=1, compression="zstd")
    return folder


def label(stages: Stages) -> str:
    return "-".join(stages[:3])


RAW = Block("<f8", (40, 500))
KINDS: dict[str, Any] = {
    "a.raw": {"kind": "raw", "block": RAW},
    "a.npy": {"split_axis": 0},
    "a.npz": {},
    "b.npz": {},
    "a.framed": {"kind": "framed"},
    "a.json": {},
    "a.tgm": {},
    "b.tgm": {},
}


@pytest.mark.parametrize("group", [1, 2, "all"])
@pytest.mark.parametrize(
    "stages", [Stages(), Stages(filter="shuffle", compression="zstd"), PACKING], ids=label
)
@pytest.mark.parametrize("name", KINDS)
def test_several_threads_write_the_same_bytes_as_one(
    inputs: Path, tmp_path: Path, name: str, stages: Stages, group: Any
) -> None:
    for jobs in (1, 4):
        plan = Production(style=FIXED._replace(layout="auto"), group=group, **KINDS[name])
        plan = plan._replace(stages=stages._replace(jobs=jobs), entry=lambda i: {"i": i})
        list(produce([str(inputs / name)] * 2, Output(str(tmp_path / str(jobs)), fsync="none"), plan))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "4").read_bytes()
    found = objects_in(tmp_path / "4")
    assert [one.metadata["i"] for one in found] == list(range(len(found)))
    count = 3 if name == "a.json" else 9
    assert len(found) == 2 * count
    if stages.encoding == "none":
        assert all(np.array_equal(one.array, big(at % count)) for at, one in enumerate(found))


@pytest.mark.parametrize("jobs", [1, 2, 4, 16])
@pytest.mark.parametrize("group", [1, "all"])
def test_what_came_before_a_failure_is_whole_whatever_the_number_of_threads(
    inputs: Path, tmp_path: Path, group: Any, jobs: int
) -> None:
    path = tmp_path / "a.tgm"
    plan = Production("raw", RAW, group=group, stages=Stages(jobs=jobs))
    short = tmp_path / "short.raw"
    short.write_bytes((inputs / "a.raw").read_bytes()[: 7 * 160_000 - 3])
    with pytest.raises(SourceError, match="expected 160000 bytes, got 159997"):
        list(produce([str(short)], Output(str(path), commit="inplace"), plan))
    assert len(objects_in(path)) == 6
    bad = tmp_path / "bad.raw"
    arrays = [big(step) for step in range(9)]
    arrays[5][3, 4] = np.nan
    bad.write_bytes(b"".join(one.tobytes() for one in arrays))
    with pytest.raises(EncodeError, match=r"index \[3, 4\] is NaN; --allow-nan"):
        list(produce([str(bad)], Output(str(path), commit="inplace", force=True), plan))
    assert len(objects_in(path)) == 5
    plan = plan._replace(metas=[{"a": 1}, {"a": 2}, {"a": 3}])
    with pytest.raises(EncodeError, match="metadata for 3 objects was given, object 3 has none"):
        list(produce([str(inputs / "a.raw")], Output(str(path), commit="inplace", force=True), plan))
    assert [one.metadata["a"] for one in objects_in(path)] == [1, 2, 3]


def test_a_failure_with_several_threads_leaves_no_file_that_was_to_appear_whole(
    inputs: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.raw"
    bad.write_bytes((inputs / "a.raw").read_bytes() + b"x")
    with pytest.raises(SourceError):
        list(produce([str(bad)], Output(str(tmp_path / "a.tgm")), Production("raw", RAW, stages=JOBS)))
    assert os.listdir(tmp_path) == ["bad.raw"]


# ---- masks, bounds, payloads that are encoded already

SMOOTH = 280 + np.cumsum(np.random.default_rng(1).normal(size=(30, 40)), axis=1)


def error_of(found: DataObject, values: Any) -> float:
    """How far the value that moved most is from what it was."""
    return float(np.abs(np.asarray(found.array, np.float64) - values).max())


def one_object(path: Path, values: Any, **stages: Any) -> DataObject:
    """Produce one .npy file to `path`; return its object."""
    source = path.with_suffix(".npy")
    np.save(source, values)
    list(produce([str(source)], Output(str(path), force=True), Production(stages=Stages(**stages))))
    (found,) = objects_in(path)
    return found


def test_allowed_values_become_masks(tmp_path: Path) -> None:
    values = SMOOTH.copy()
    values[3, 4], values[5, 6] = np.nan, np.inf
    found = one_object(tmp_path / "a.tgm", values, masks=Rules(True, True))
    assert set(found.descriptor.masks or {}) == {"nan", "inf+"}
    assert np.array_equal(found.array, values, equal_nan=True)


BOUNDED: dict[str, dict[str, Any]] = {
    "packing": {"encoding": "simple_packing"},
    "packing + zstd": {"encoding": "simple_packing", "compression": "zstd"},
    "zfp": {"compression": "zfp"},
    "sz3": {"compression": "sz3"},
}


@pytest.mark.parametrize("stages", BOUNDED.values(), ids=BOUNDED)
@pytest.mark.parametrize("bound", [Bound(10), Bound(0.01), Bound(1e-7), Bound(0.01, relative=True)], ids=str)
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_bound_is_kept_for_us_and_for_the_reference(
    tmp_path: Path, stages: dict[str, Any], bound: Bound, order: str
) -> None:
    values = SMOOTH.astype(order + "f8")
    found = one_object(tmp_path / "a.tgm", values, bound=bound, **stages)
    allowed = bound.value * np.ptp(SMOOTH) if bound.relative else bound.value
    assert error_of(found, SMOOTH) <= allowed
    theirs = tensogram.decode((tmp_path / "a.tgm").read_bytes()).objects[0][1]
    assert np.abs(theirs - SMOOTH).max() <= allowed


def test_packing_takes_no_bit_more_than_the_bound_needs(tmp_path: Path) -> None:
    for bound in (5.0, 0.1, 1e-4):
        found = one_object(tmp_path / "a.tgm", SMOOTH, bound=Bound(bound), encoding="simple_packing")
        bits = found.descriptor.pipeline.params["sp_bits_per_value"]
        fewer = {"encoding": "simple_packing", "params": {"sp_bits_per_value": bits - 1}}
        assert error_of(one_object(tmp_path / "b.tgm", SMOOTH, **fewer), SMOOTH) > bound


def test_every_object_has_a_bound_of_its_own(tmp_path: Path) -> None:
    plan = Production(
        "raw",
        Block("<f8", (30, 40)),
        stages=Stages("simple_packing", bound=Bound(0.001, relative=True)),
    )
    (tmp_path / "a.raw").write_bytes(SMOOTH.tobytes() + (1e6 * SMOOTH).tobytes() + np.ones(1200).tobytes())
    list(produce([str(tmp_path / "a.raw")], Output(str(tmp_path / "a.tgm")), plan))
    first, second, constant = objects_in(tmp_path / "a.tgm")
    assert error_of(first, SMOOTH) <= 0.001 * np.ptp(SMOOTH)
    assert error_of(second, 1e6 * SMOOTH) <= 1e3 * np.ptp(SMOOTH)
    assert (constant.array == 1).all()
    assert constant.descriptor.pipeline.params["sp_bits_per_value"] == 0


@pytest.mark.parametrize("stages", BOUNDED.values(), ids=BOUNDED)
def test_a_share_is_of_the_range_of_what_is_there_not_of_what_masks_stand_for(
    tmp_path: Path, stages: dict[str, Any]
) -> None:
    """Behind a mask the payload holds zeros, which are far from these values."""
    values = SMOOTH + 1e6
    values[3, 4], values[5, 6] = np.nan, -np.inf
    there = np.isfinite(values)
    found = one_object(tmp_path / "a.tgm", values, bound=Bound(0.01, True), masks=Rules(True, True), **stages)
    assert np.abs(np.asarray(found.array, float)[there] - values[there]).max() <= 0.01 * np.ptp(values[there])
    assert np.array_equal(found.array[~there], values[~there], equal_nan=True)


@pytest.mark.parametrize("stages", BOUNDED.values(), ids=BOUNDED)
def test_a_share_of_a_range_beyond_float64_is_refused(tmp_path: Path, stages: dict[str, Any]) -> None:
    with pytest.raises(EncodeError, match="beyond float64"):
        one_object(tmp_path / "a.tgm", np.array([1.7e308, -1.7e308]), bound=Bound(0.01, True), **stages)


@pytest.mark.parametrize("stages", [{}, {"filter": "shuffle", "compression": "zstd"}], ids=str)
def test_a_bound_where_nothing_is_lost_is_refused(tmp_path: Path, stages: dict[str, Any]) -> None:
    with pytest.raises(EncodeError, match="loses nothing"):
        one_object(tmp_path / "a.tgm", SMOOTH, bound=Bound(1), **stages)
    assert not (tmp_path / "a.tgm").exists()


@pytest.mark.parametrize("dtype", ["f4", "i4", "c16"])
def test_a_bound_is_for_float64_alone(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(EncodeError, match="an error bound is for float64 values, found "):
        one_object(tmp_path / "a.tgm", SMOOTH.astype(dtype), bound=Bound(1), encoding="simple_packing")


def encoded_payloads(count: int = 2) -> list[tuple[dict[str, Any], bytes]]:
    found = []
    for at in range(count):
        data = tgmtool.encode([SMOOTH + at], compression="zstd", filter="shuffle")
        one = tgmtool.decode(data).objects[0]
        found.append((one.descriptor.to_map(), bytes(one.payload)))
    return found


@pytest.mark.parametrize("jobs", [1, 4])
def test_payloads_that_are_encoded_already_are_taken_as_they_are(tmp_path: Path, jobs: int) -> None:
    pairs = encoded_payloads(3)
    places = []
    for at, (_, payload) in enumerate(pairs):
        (tmp_path / f"{at}.bin").write_bytes(payload)
        places.append(str(tmp_path / f"{at}.bin"))
    for descriptors in ([given for given, _ in pairs], [pairs[0][0]]):
        plan = Production(encoded=True, descriptors=descriptors, stages=Stages(jobs=jobs), group="all")
        list(produce(places, Output(str(tmp_path / "a.tgm"), force=True), plan))
        found = objects_in(tmp_path / "a.tgm")
        assert [bytes(one.payload) for one in found] == [payload for _, payload in pairs]
        assert all(np.array_equal(one.array, SMOOTH + at) for at, one in enumerate(found))


def test_of_a_descriptor_what_is_absent_is_filled_in(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(SMOOTH.tobytes())
    plan = Production(encoded=True, descriptors=[{"dtype": "float64", "shape": [30, 40]}])
    list(produce([str(tmp_path / "a.bin")], Output(str(tmp_path / "a.tgm")), plan))
    (found,) = objects_in(tmp_path / "a.tgm")
    assert found.descriptor.strides == (40, 1)
    assert np.array_equal(found.array, SMOOTH)


WRONG_DESCRIPTORS: dict[str, tuple[dict[str, Any], str]] = {
    "no dtype": ({"shape": [1200]}, "does not hold together: .*dtype is missing"),
    "no shape": ({"dtype": "float64"}, "does not hold together: .*shape"),
    "negative": ({"dtype": "float64", "shape": [-1]}, "does not hold together: .*shape"),
    "another shape": ({"dtype": "float64", "shape": [1201]}, "not what its descriptor says"),
    "another stage": (
        {"dtype": "float64", "shape": [1200], "compression": "zstd"},
        "not what its descriptor says",
    ),
    "no such stage": ({"dtype": "float64", "shape": [1200], "compression": "zip"}, "compression is"),
    "too large": (
        {"dtype": "float64", "shape": [1 << 50], "compression": "zstd"},
        "not what its descriptor says: .*limit",
    ),
}


@pytest.mark.parametrize(("given", "text"), WRONG_DESCRIPTORS.values(), ids=WRONG_DESCRIPTORS)
def test_a_payload_that_could_not_be_read_again_is_not_written(
    tmp_path: Path, given: dict[str, Any], text: str
) -> None:
    (tmp_path / "a.bin").write_bytes(SMOOTH.tobytes())
    with pytest.raises(EncodeError, match=text):
        list(
            produce(
                [str(tmp_path / "a.bin")],
                Output(str(tmp_path / "a.tgm")),
                Production(encoded=True, descriptors=[given]),
            )
        )
    assert os.listdir(tmp_path) == ["a.bin"]


def test_descriptors_must_be_one_or_as_many_as_inputs(tmp_path: Path) -> None:
    pairs = encoded_payloads(2)
    (tmp_path / "a.bin").write_bytes(pairs[0][1])
    plan = Production(encoded=True, descriptors=[given for given, _ in pairs])
    with pytest.raises(EncodeError, match="2 descriptors were given, input 2 has none"):
        list(produce([str(tmp_path / "a.bin")] * 3, Output(str(tmp_path / "a.tgm")), plan))
    assert not (tmp_path / "a.tgm").exists()


@pytest.mark.parametrize(
    ("stages", "text"),
    [
        ({"encoding": "simple_packing"}, "needs sp_bits_per_value"),
        ({"compression": "zfp"}, "zfp needs one of zfp_rate"),
        ({"compression": "sz3"}, "sz3 needs sz3_error_bound"),
        ({"compression": "szip"}, "shuffle them first"),
        ({"compression": "rle"}, "rle compresses only bitmask"),
        ({"compression": "zip"}, "compression 'zip' does not exist"),
        ({"compression": "zstd", "params": {"zstd_level": 99}}, "zstd_level 99 is out of range"),
        ({"compression": "zstd", "params": {"level": 1}}, "'level' belongs to no stage"),
        ({"masks": Rules(methods={"nan": "blosc2"})}, "read but not written"),
    ],
    ids=str,
)
def test_what_a_stage_refuses_leaves_no_file(tmp_path: Path, stages: dict[str, Any], text: str) -> None:
    with pytest.raises(EncodeError, match=text):
        one_object(tmp_path / "a.tgm", SMOOTH, **stages)
    assert os.listdir(tmp_path) == ["a.npy"]
