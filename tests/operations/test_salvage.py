"""Salvage: a new file of all that is whole, every byte accounted for, and nothing made up."""

from __future__ import annotations

import fcntl
import math
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool
from tests.builders import drop, first_frame, flip_bit, frame, frames_of, message, preamble, put
from tests.endpoints.descriptors import no_descriptor_left
from tests.operations.streams import (
    FIXED,
    buffered,
    entry,
    field,
    object_ends,
    objects_in,
    steps_of,
    streaming,
)
from tests.operations.test_repair import errors_of
from tgmtool import FramingError, MemorySink, MemorySource, SourceError, StreamWriter, TruncatedError
from tgmtool.codecs.masks import Rules
from tgmtool.endpoints.edited import identity_of, stays
from tgmtool.operations import carrier
from tgmtool.operations import salvage as module
from tgmtool.operations.copies import write_segments
from tgmtool.operations.prepare import Stages
from tgmtool.operations.salvage import SalvagePlan, plan_salvage, salvage

SMALL = (1,)


@pytest.fixture(autouse=True, scope="module")
def _no_waiting_for_disks() -> Any:
    """Thousands of copies: that each is made durable is tested elsewhere."""
    patch = pytest.MonkeyPatch()
    patch.setattr("tgmtool.endpoints.local.os.fsync", lambda _descriptor: None)
    yield
    patch.undo()


def salvaged(folder: Path, data: bytes, **options: Any) -> tuple[SalvagePlan, bytes]:
    source, output = folder / "torn.tgm", folder / "out.tgm"
    source.write_bytes(data)
    plan = salvage(source, output, min_age=0, force=True, **options)
    assert source.read_bytes() == data
    assert sum(part.length for part in plan.parts) == len(data)
    made = output.read_bytes()
    again = salvage(output, folder / "again.tgm", min_age=0, force=True)
    assert again.is_lossless
    assert (folder / "again.tgm").read_bytes() == made
    return plan, made


def lost(plan: SalvagePlan) -> list[tuple[int, int, str]]:
    return [(part.offset, part.length, part.code) for part in plan.losses]


# ---- whole messages


@pytest.mark.parametrize(
    "data", [buffered(), streaming(), buffered() + streaming() + streaming(backfill=True)]
)
def test_a_sound_file_is_copied_byte_for_byte(tmp_path: Path, data: bytes) -> None:
    plan, made = salvaged(tmp_path, data)
    assert made == data
    assert plan.is_lossless
    assert plan.rebuilt == ()


@pytest.mark.parametrize("bit", [0, 7])
def test_a_flipped_bit_in_one_of_five_messages_leaves_the_others_as_they_are(
    tmp_path: Path, bit: int
) -> None:
    five = [buffered(range(3 * n, 3 * n + 3), shape=SMALL) for n in range(5)]
    before, after = five[0] + five[1], five[3] + five[4]
    for at in range(0, len(five[2]), 5):
        data = before + flip_bit(five[2], at, bit) + after
        plan, made = salvaged(tmp_path, data)
        assert made.startswith(before), at
        assert made.endswith(after), at
        rest = made[len(before) : len(made) - len(after)]
        kept = [one for one in objects_in(rest) if one.array[0] in {600, 700, 800}] if rest else []
        frames = [place for place in frames_of(five[2]) if place.number == 9]
        hit = [place for place in frames if place.offset <= at < place.offset + place.length]
        # Flags, versions and padding are covered by no digest: there the message may stay whole.
        assert len(kept) >= 3 - len(hit), at
        assert plan.is_lossless or lost(plan), at
        assert all(len(before) <= start < len(before) + len(five[2]) for start, _, _ in lost(plan)), at


def test_a_damaged_payload_costs_its_object_and_is_named(tmp_path: Path) -> None:
    data = buffered(range(3))
    place = [one for one in frames_of(data) if one.number == 9][1]
    plan, made = salvaged(tmp_path, buffered([8]) + flip_bit(data, place.offset + 20) + buffered([9]))
    assert steps_of(objects_in(made)) == [8, 0, 2, 9]
    assert lost(plan) == [(len(buffered([8])) + place.offset, place.length, "hash_mismatch")]
    (one,) = [found for found in tgmtool.read(made) if isinstance(found, tgmtool.Message)][1:2]
    assert one.metadata.extra["tgmtool"]["salvaged"] == {
        "objects": 2,
        "lost": [[place.offset, place.length, "hash_mismatch"]],
    }
    assert one.index_frame is not None
    assert errors_of(tmp_path / "out.tgm") == []


def test_a_frame_whose_length_is_broken_costs_itself_and_not_those_after_it(tmp_path: Path) -> None:
    for data in (buffered(range(4)), streaming(range(4)), streaming(range(4), backfill=True)):
        place = [one for one in frames_of(data) if one.number == 9][1]
        for at in (0, 1, 3, 8, 12, 15):
            broken = flip_bit(data, place.offset + at, 6)
            _, made = salvaged(tmp_path, buffered([8]) + broken + buffered([9]))
            assert steps_of(objects_in(made)) == [8, 0, 2, 3, 9], at


def test_foreign_bytes_between_messages_are_lost_and_named(tmp_path: Path) -> None:
    plan, made = salvaged(tmp_path, buffered([0]) + b"garbage in between" + buffered([1]))
    assert made == buffered([0]) + buffered([1])
    assert lost(plan) == [(len(buffered([0])), 18, "foreign_bytes")]


def test_several_damaged_messages_in_a_row_are_mended_each_by_itself(tmp_path: Path) -> None:
    parts = [streaming([0, 1])[:-30], streaming([2, 3]), buffered([4, 5]), buffered([6])]
    at = first_frame(parts[1], 9).offset + 20
    parts[1] = flip_bit(parts[1], at)
    _, made = salvaged(tmp_path, b"".join(parts))
    assert steps_of(objects_in(made)) == [0, 1, 3, 4, 5, 6]


# ---- torn messages


@pytest.mark.parametrize("layout", ["streaming", "buffered", "backfilled"])
@pytest.mark.parametrize("preceder", [True, False])
@pytest.mark.parametrize("hashing", [True, False])
def test_of_a_message_cut_at_any_length_every_whole_object_is_kept(
    tmp_path: Path, layout: str, preceder: bool, hashing: bool
) -> None:
    kind = "buffered" if layout == "buffered" else "streaming"
    style = FIXED._replace(preceder=preceder, hashing=hashing, backfill=layout == "backfilled")
    values = [field(step, (2,)) for step in range(3)]
    values[1][1] = np.nan
    pairs = [(one, entry(step)) for step, one in enumerate(values)]
    sink = MemorySink()
    stages = Stages(masks=Rules(allow_nan=True))
    with StreamWriter(sink, {"run": "x"}, style=style._replace(layout=kind), stages=stages) as writer:
        writer.write_many(pairs)
    data = bytes(sink.data)
    ends = object_ends(data)
    before = buffered([50], shape=SMALL)
    for size in range(1, len(data), 19):
        _, made = salvaged(tmp_path, before + data[:size], keep_unhashed=not hashing)
        assert made.startswith(before)
        kept = objects_in(made)[1:]
        whole = [step for step, end in enumerate(ends) if end <= size]
        assert [one.array.tolist() for one in kept] == [
            pytest.approx(values[n].tolist(), nan_ok=True) for n in whole
        ]
        if preceder or layout == "buffered":
            assert [one.metadata["mars"]["step"] for one in kept] == whole
        assert errors_of(tmp_path / "out.tgm") == []


def test_objects_without_digests_are_not_taken_from_a_torn_message_on_trust(tmp_path: Path) -> None:
    data = tgmtool.encode([field(0), field(1)], layout="streaming", style=FIXED._replace(hashing=False))
    cut = buffered([7]) + data[: object_ends(data)[1]]
    plan, made = salvaged(tmp_path, cut)
    assert made == buffered([7])
    assert {code for _, _, code in lost(plan)} == {"hash_missing"}
    _, made = salvaged(tmp_path, cut, keep_unhashed=True)
    assert len(objects_in(made)) == 3


def test_an_object_that_is_kept_on_trust_is_named_if_it_cannot_be_decoded(tmp_path: Path) -> None:
    style = FIXED._replace(hashing=False)
    data = tgmtool.encode([field(0), field(1)], layout="streaming", style=style, compression="zstd")
    place = [one for one in frames_of(data) if one.number == 9][1]
    broken = put(data, place.offset + 16, b"none")[:-9]
    plan, made = salvaged(tmp_path, broken, keep_unhashed=True)
    assert [(part.offset, part.code) for part in plan.doubtful] == [(place.offset, "payload_doubtful")]
    assert len([one for one in tgmtool.scan(made) if isinstance(one, tgmtool.ObjectSpan)]) == 2
    assert salvaged(tmp_path, data[:-9], keep_unhashed=True)[0].doubtful == ()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at what only Linux has")
def test_nothing_stays_open_behind_a_salvage(tmp_path: Path) -> None:
    data = buffered([0]) + flip_bit(buffered([1]), 300) + streaming([1])[:-30]
    with no_descriptor_left():
        salvaged(tmp_path, data)


def test_metadata_that_only_the_footer_held_is_said_to_be_lost(tmp_path: Path) -> None:
    style = FIXED._replace(backfill=False, preceder=False)
    data = tgmtool.encode([(field(0), entry(0))], layout="streaming", style=style)
    plan, _ = salvaged(tmp_path, data[: object_ends(data)[0]])
    assert plan.without_metadata == (0,)
    assert not plan.is_lossless
    cut, _ = salvaged(tmp_path, data[:-40])
    assert [code for _, _, code in lost(cut)] == ["incomplete_tail"]
    kept, _ = salvaged(tmp_path, streaming([0])[: object_ends(streaming([0]))[0]])
    assert kept.without_metadata == ()


@pytest.mark.parametrize("data", [streaming([0, 1]), buffered([0, 1])], ids=["streaming", "buffered"])
def test_an_index_and_an_end_that_are_cut_are_built_anew_and_nothing_is_lost(
    tmp_path: Path, data: bytes
) -> None:
    for size in range(object_ends(data)[1], len(data)):
        plan, made = salvaged(tmp_path, data[:size])
        assert steps_of(objects_in(made)) == [0, 1], size
        # Of a frame's first three bytes nobody can tell what they begin.
        assert plan.is_lossless != any(0 < size - one.offset < 4 for one in frames_of(data)), size
    assert errors_of(tmp_path / "out.tgm") == []


def test_a_damaged_index_is_named_and_built_anew(tmp_path: Path) -> None:
    data = buffered([0, 1])
    place = first_frame(data, 2)
    plan, made = salvaged(tmp_path, flip_bit(data, place.offset + 20))
    assert plan.is_lossless
    assert [part.code for part in plan.parts if part.fate == "replaced" and part.code] == ["hash_mismatch"]
    assert steps_of(objects_in(made)) == [0, 1]


def test_message_metadata_survives_and_a_time_is_not_made_up(tmp_path: Path) -> None:
    data = tgmtool.encode(
        [field(0)], metadata={"title": "run"}, layout="streaming", style=FIXED._replace(backfill=False)
    )
    _, made = salvaged(tmp_path, data[: object_ends(data)[0] + 5])
    (found,) = [one for one in tgmtool.read(made) if isinstance(one, tgmtool.Message)]
    assert found.metadata.extra["title"] == "run"
    assert found.metadata.reserved == {}


# ---- what looks like messages


def test_a_whole_message_inside_a_cut_one_is_a_question_that_only_the_caller_can_answer(
    tmp_path: Path,
) -> None:
    torn = streaming([0, 1], shape=(40, 40))
    data = torn[: object_ends(torn)[0] + 200] + streaming([5], backfill=True)
    with pytest.raises(TruncatedError, match="--assume-dead"):
        salvaged(tmp_path, data)
    assert not (tmp_path / "out.tgm").exists()
    _, made = salvaged(tmp_path, data, assume_dead=True)
    assert steps_of(objects_in(made)) == [0, 5]
    assert made.endswith(streaming([5], backfill=True))


def test_a_file_that_is_still_for_long_answers_it_if_the_messages_fill_it_to_its_end(tmp_path: Path) -> None:
    torn = streaming([0, 1], shape=(40, 40))
    data = torn[: object_ends(torn)[0] + 200] + streaming([5], backfill=True) + buffered([6])
    source, out = tmp_path / "torn.tgm", tmp_path / "out.tgm"
    for rest, changed, answered in ((b"", 1, True), (b"", None, False), (b"TENS", 1, False)):
        source.write_bytes(data + rest)
        if changed:
            os.utime(source, (changed, changed))
        if answered:
            salvage(source, out, stall=3600)
            assert steps_of(objects_in(out)) == [0, 5, 6]
        else:
            with pytest.raises(TruncatedError, match="--stall"):
                salvage(source, out, stall=3600, min_age=0, force=True)


def test_a_message_inside_a_proven_payload_of_a_cut_message_is_no_question(tmp_path: Path) -> None:
    inner = buffered([1], shape=SMALL) + streaming([2], shape=SMALL)
    for layout in ("streaming", "buffered"):
        data = tgmtool.encode([np.frombuffer(inner, np.uint8), field(3)], layout=layout, style=FIXED)
        _, made = salvaged(tmp_path, data[: object_ends(data)[1] - 30])
        assert [bytes(one.array) for one in objects_in(made)] == [inner]


@pytest.mark.parametrize("at", [3, 20, 44])
def test_messages_that_are_payload_are_never_taken_for_messages(tmp_path: Path, at: int) -> None:
    inner = buffered([1], shape=SMALL) + streaming([2], shape=SMALL)
    data = message([b"first", inner * 2, b"third"], hashing=True)
    places = [one for one in frames_of(data) if one.number == 9]
    broken = flip_bit(data, places[1].offset + at, 2)
    plan, made = salvaged(tmp_path, buffered([8]) + broken + buffered([9]))
    payloads = [bytes(one.array) for one in objects_in(made)]
    assert [one for one in payloads if one in {b"first", inner * 2, b"third"}] == [b"first", b"third"]
    assert len(payloads) == 4
    assert len(lost(plan)) == 1


# ---- what cannot be done


@pytest.mark.parametrize("data", [b"", b"no stream at all" * 9, streaming()[:20], b"TENSOGRM"])
def test_where_nothing_is_whole_no_file_is_made(tmp_path: Path, data: bytes) -> None:
    with pytest.raises((FramingError, TruncatedError)):
        salvaged(tmp_path, data)
    assert sorted(os.listdir(tmp_path)) == ["torn.tgm"]


def test_a_file_whose_clock_is_ahead_is_watched_by_ours(tmp_path: Path) -> None:
    source, out = tmp_path / "torn.tgm", tmp_path / "out.tgm"
    source.write_bytes(buffered([0]))
    ahead = time.time() + 3600
    os.utime(source, (ahead, ahead))
    salvage(source, out, min_age=0.05)
    assert out.read_bytes() == source.read_bytes()
    writer = threading.Timer(0.01, source.write_bytes, [buffered([1])])
    with source.open("rb") as file:
        before = identity_of(file.fileno())
        writer.start()
        assert not stays(file.fileno(), before, 60)
    writer.join()


def test_a_file_that_changed_a_moment_ago_or_is_locked_is_refused_without_force(tmp_path: Path) -> None:
    source, output = tmp_path / "a.tgm", tmp_path / "out.tgm"
    source.write_bytes(streaming()[:-5])
    with pytest.raises(SourceError, match="--min-age 10"):
        salvage(source, output)
    os.utime(source, (1, 1))
    with source.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SourceError, match=f"another process {os.getpid()} writes to it"):
            salvage(source, output)
        assert not output.exists()
        salvage(source, output, force=True)
    output.unlink()
    salvage(source, output)
    with pytest.raises(SourceError, match="already exists"):
        salvage(source, output)
    with pytest.raises(SourceError, match="the input itself"):
        salvage(source, source, force=True)


def test_a_source_that_changes_meanwhile_leaves_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "a.tgm", tmp_path / "out.tgm"
    source.write_bytes(streaming()[:-5])
    check = module.check_copy

    def and_grow(copy: Any, plan: SalvagePlan) -> None:
        check(copy, plan)
        with source.open("ab") as writer:
            writer.write(b"more")

    monkeypatch.setattr(module, "check_copy", and_grow)
    with pytest.raises(SourceError, match="somebody is writing"):
        salvage(source, output, min_age=0)
    assert os.listdir(tmp_path) == ["a.tgm"]


def test_a_copy_that_is_not_what_was_planned_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "a.tgm", tmp_path / "out.tgm"
    source.write_bytes(buffered())
    write = write_segments

    def short(given: Any, segments: Any, sink: Any) -> None:
        write(given, segments, sink)
        sink.truncate(source.stat().st_size - 5000)

    def flipped(given: Any, segments: Any, sink: Any) -> None:
        write(given, segments, sink)
        sink.patch_at(200, b"x")

    source.write_bytes(b"".join(buffered([n], shape=(40, 40)) for n in range(5)))
    for wrong, said in ((short, "cannot be read again"), (flipped, "not what was planned")):
        monkeypatch.setattr(carrier, "write_segments", wrong)
        with pytest.raises((FramingError, SourceError), match=said):
            salvage(source, output, min_age=0)
        assert os.listdir(tmp_path) == ["a.tgm"]


def test_a_file_of_exactly_the_pieces_that_are_looked_at_has_no_empty_one_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = buffered(shape=(64, 64))
    monkeypatch.setattr(carrier, "_PIECE", len(data))
    monkeypatch.setattr(carrier, "_LOOKED_AT", len(data))
    pages = 4096 // math.gcd(len(data), 4096)
    assert salvaged(tmp_path, data * pages)[1] == data * pages


def test_a_large_file_is_copied_in_pieces_and_every_one_of_them_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "_PIECE", 1000)
    monkeypatch.setattr(carrier, "_LOOKED_AT", 3000)
    monkeypatch.setattr(module, "_AT_ONCE", 1500)
    parts = [buffered([n], shape=(20, 20)) for n in range(7)]
    parts[2] = flip_bit(parts[2], len(parts[2]) // 2)
    plan, made = salvaged(tmp_path, b"".join([*parts, streaming([8, 9], shape=(9, 9))[:-30]]))
    assert plan.messages == 6
    assert made.startswith(b"".join(parts[:2] + parts[3:]))
    assert steps_of(objects_in(made)) == [0, 1, 3, 4, 5, 6, 8, 9]

    def wrong_at(place: int) -> Any:
        def flipped(given: Any, segments: Any, sink: Any) -> None:
            before = os.lseek(sink.descriptor, 0, os.SEEK_CUR)
            write(given, segments, sink)
            if before <= place < os.lseek(sink.descriptor, 0, os.SEEK_CUR):
                sink.patch_at(place, bytes([made[place] ^ 1]))

        return flipped

    write = write_segments
    (tmp_path / "out.tgm").unlink()
    for place in range(0, len(made), 997):
        monkeypatch.setattr(carrier, "write_segments", wrong_at(place))
        with pytest.raises(FramingError, match="not what was planned"):
            salvage(tmp_path / "torn.tgm", tmp_path / "out.tgm", min_age=0)
    assert not (tmp_path / "out.tgm").exists()


def test_a_plan_can_be_looked_at_without_a_file() -> None:
    data = streaming([0, 1])
    plan = plan_salvage(MemorySource(data[: object_ends(data)[0] + 9]))
    assert [part.fate for part in plan.parts] == ["replaced", "kept", "replaced", "lost"] or plan.rebuilt
    assert plan.rebuilt == ((0, 1),)


def test_a_message_with_a_hole_keeps_what_stands_on_both_sides(tmp_path: Path) -> None:
    data = streaming(range(5))
    places = [one for one in frames_of(data) if one.number == 9]
    holed = put(data, places[1].offset, bytes(places[3].offset - places[1].offset))
    _, made = salvaged(tmp_path, holed + buffered([9]))
    assert steps_of(objects_in(made)) == [0, 3, 4, 9]
    dropped = drop(data, places[1].offset, places[3].offset - places[1].offset)
    _, made = salvaged(tmp_path, dropped + buffered([9]))
    assert steps_of(objects_in(made)) == [0, 3, 4, 9]


def test_bytes_made_to_be_walked_again_and_again_cost_no_more_than_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain = b"".join(frame(7, bytes(4)) for _ in range(3000))
    heads = b"".join(preamble(1) + frame(1, bytes(4)) + bytes(8) for _ in range(1000))
    reads = 0
    read_at = MemorySource.read_at

    def counted(self: MemorySource, offset: int, size: int) -> Any:
        nonlocal reads
        reads += 1
        return read_at(self, offset, size)

    monkeypatch.setattr(MemorySource, "read_at", counted)
    hostile = buffered([1])[:-24] + b"broken! " + chain + heads
    plan = plan_salvage(MemorySource(hostile + buffered([2])))
    assert plan.messages == 1
    assert reads < 40 * 4000
