"""Copies whose headers say where everything is, and whose frames all have digests; payloads untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensogram

import tgmtool
from tests.builders import frames_of, message
from tests.operations.streams import FIXED, buffered, entry, field, objects_in, steps_of, streaming
from tests.operations.test_repair import errors_of
from tgmtool import FramingError, MemorySource, TruncatedError
from tgmtool.operations.reindex import plan_reindex, rewrite
from tgmtool.wire import layout


def rewritten(folder: Path, data: bytes, **options: Any) -> bytes:
    source, output = folder / "a.tgm", folder / "b.tgm"
    source.write_bytes(data)
    rewrite(source, output, min_age=0, force=True, **options)
    assert source.read_bytes() == data
    assert errors_of(output) == []
    return output.read_bytes()


def styled(**choices: Any) -> bytes:
    pairs = [(field(step), entry(step)) for step in range(3)]
    style = FIXED._replace(**{"backfill": False, **choices})
    return tgmtool.encode(pairs, layout="streaming", style=style, metadata={"run": "x"})


@pytest.mark.parametrize("preceder", [True, False])
@pytest.mark.parametrize("hashing", [True, False])
def test_a_streaming_message_becomes_header_indexed_and_says_the_same(
    tmp_path: Path, preceder: bool, hashing: bool
) -> None:
    data = styled(preceder=preceder, hashing=hashing)
    made = rewritten(tmp_path, data)
    flags = int.from_bytes(made[10:12], "big")
    assert flags & layout.HEADER_INDEX
    assert not flags & layout.FOOTER_INDEX
    (before,) = [one for one in tgmtool.read(data) if isinstance(one, tgmtool.Message)]
    (after,) = [one for one in tgmtool.read(made) if isinstance(one, tgmtool.Message)]
    assert after.metadata == before.metadata
    assert steps_of([after]) == [0, 1, 2]
    assert after.index_frame is not None
    places = [place.offset for place in frames_of(made) if place.number == 9]
    assert list(after.index_frame.offsets) == places
    assert not hashing or tensogram.validate(made)["issues"] == []
    assert rewritten(tmp_path, made) == made


def test_frames_without_a_digest_get_the_one_of_their_bytes(tmp_path: Path) -> None:
    data = styled(hashing=False) + buffered([9])
    made = rewritten(tmp_path, data, reindex=False, rehash=True)
    assert tgmtool.validate(made, policy=tgmtool.Policy(require_hash=True)).verdict == "valid"
    assert steps_of(objects_in(made)) == [0, 1, 2, 9]
    assert made.endswith(buffered([9]))
    for step in range(3):
        assert field(step).tobytes() in made
    assert rewritten(tmp_path, made, reindex=False, rehash=True) == made


def test_messages_that_are_so_already_are_copied_as_they_are(tmp_path: Path) -> None:
    data = buffered([0]) + buffered([1])
    assert rewritten(tmp_path, data, rehash=True) == data


def test_a_message_without_objects_stays_one(tmp_path: Path) -> None:
    data = message([], streaming=True)
    made = rewritten(tmp_path, data)
    assert len(frames_of(made)) == 2
    assert [
        found.objects for found in tgmtool.scan(made, unit="frame") if isinstance(found, tgmtool.MessageSpan)
    ] == []


def test_many_objects_of_every_size_are_indexed_right(tmp_path: Path) -> None:
    data = message([bytes([size % 251]) * size for size in range(120)], streaming=True)
    made = rewritten(tmp_path, data)
    assert [len(one.array) for one in objects_in(made)] == list(range(120))


def test_what_is_not_whole_is_refused() -> None:
    with pytest.raises(TruncatedError, match="--salvage"):
        plan_reindex(MemorySource(streaming()[:-3]))
    with pytest.raises(FramingError, match="--salvage"):
        plan_reindex(MemorySource(buffered() + b"garbage" + buffered()))
    with pytest.raises(TruncatedError, match="empty"):
        plan_reindex(MemorySource(b""))
