"""The files of sample-data are what their README says, and what is left of them when they are cut."""

from __future__ import annotations

import hashlib
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool
from tgmtool import (
    DataObject,
    Gap,
    MemorySource,
    Message,
    MessageSpan,
    Notice,
    ObjectSpan,
    TruncatedError,
    scan,
)
from tgmtool.operations.inputs import Block, items

FOLDER = Path(__file__).resolve().parents[2] / "sample-data"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
STREAMS = sorted(path.name for path in FOLDER.glob("*.tgm"))


def spans_of(name: str, unit: str) -> list[Any]:
    return list(scan(FOLDER / name, unit=unit))


def objects_of(name: str) -> list[ObjectSpan]:
    return [one for one in spans_of(name, "object") if isinstance(one, ObjectSpan)]


def test_every_size_and_digest_in_the_readme_is_true() -> None:
    sizes = dict(re.findall(r"^\| `([\w.-]+)` \|.*\| (\d+) \|$", README, re.MULTILINE))
    digests = {
        name: digest for digest, name in re.findall(r"^ +([0-9a-f]{64})  (\S+)$", README, re.MULTILINE)
    }
    files = {path.name for path in FOLDER.iterdir()} - {"README.md"}
    assert set(sizes) == set(digests) == files
    for name in files:
        data = (FOLDER / name).read_bytes()
        assert len(data) == int(sizes[name]), name
        assert hashlib.sha256(data).hexdigest() == digests[name], name


@pytest.mark.parametrize(
    ("name", "messages", "objects", "gap"),
    [
        ("hgt-winters.tgm", 12, 12, None),
        ("sst-stream.tgm", 1, 10, None),
        ("dead-producer.tgm", 2, 15, 80800),
        ("from-a-pipe.tgm", 3, 6, None),
        ("magic-inside.tgm", 2, 3, None),
        ("sst-masked.tgm", 1, 10, None),
    ],
)
def test_a_file_holds_what_the_readme_says(name: str, messages: int, objects: int, gap: int | None) -> None:
    found = spans_of(name, "message")
    assert sum(isinstance(one, MessageSpan) for one in found) == messages
    assert len(objects_of(name)) == objects
    gaps = [(one.offset, one.kind) for one in found if isinstance(one, Gap)]
    assert gaps == ([] if gap is None else [(gap, "incomplete")])

    tailed = list(tgmtool.tail(FOLDER / name, last=None))
    assert sum(isinstance(one, DataObject) for one in tailed) == objects
    notices = [(one.offset, one.event) for one in tailed if isinstance(one, Notice)]
    assert notices == ([] if gap is None else [(gap, "cut")])

    whole = []
    try:
        whole += list(tgmtool.read(FOLDER / name))
    except TruncatedError as error:
        assert error.message_offset == gap  # noqa: PT017  # not every file is cut
    assert all(isinstance(one, Message) for one in whole) or gap is not None


def test_the_winters_are_buffered_and_compressed() -> None:
    assert not any(one.streaming or one.flags & 2 for one in spans_of("hgt-winters.tgm", "message"))
    for one in objects_of("hgt-winters.tgm"):
        kind = one.descriptor
        assert kind is not None
        assert (kind.dtype.name, kind.byte_order, kind.shape) == ("float32", "little", (29, 49))
        assert (kind.pipeline.filter, kind.pipeline.compression) == ("shuffle", "zstd")


def test_the_stream_is_finished_and_every_object_has_a_preceder() -> None:
    frames = [one.type for one in spans_of("sst-stream.tgm", "frame")]
    assert frames.count(8) == frames.count(9) == 10
    (message,) = spans_of("sst-stream.tgm", "message")
    assert not message.streaming
    values = [one.array for found in tgmtool.read(FOLDER / "sst-stream.tgm") for one in objects_in(found)]
    assert all(int((field == -9999.0).sum()) == 90 for field in values)
    assert {field.shape for field in values} == {(18, 30)}


def objects_in(found: Message | Gap) -> tuple[DataObject, ...]:
    assert isinstance(found, Message)
    return found.objects


def test_the_dead_producer_left_three_whole_fields() -> None:
    found = objects_of("dead-producer.tgm")
    assert [one.message_offset for one in found] == 6 * [0] + 6 * [40400] + 3 * [80800]
    assert {one.status for one in found[-3:]} == {"open"}
    gap = spans_of("dead-producer.tgm", "message")[-1]
    assert gap.offset + gap.length == (FOLDER / "dead-producer.tgm").stat().st_size


def test_lengths_from_a_pipe_are_zero() -> None:
    assert all(one.streaming for one in spans_of("from-a-pipe.tgm", "message"))
    shapes = [one.descriptor.shape for one in objects_of("from-a-pipe.tgm") if one.descriptor]
    assert shapes == 3 * [(29, 49), (18, 30)]


def test_a_message_in_a_payload_is_payload() -> None:
    messages = spans_of("magic-inside.tgm", "message")
    assert [(one.offset, one.streaming) for one in messages] == [(0, True), (8720, False)]
    data = (FOLDER / "magic-inside.tgm").read_bytes()
    assert data.index(b"39277777") + 8 == 1424
    first = next(iter(tgmtool.read(FOLDER / "magic-inside.tgm")))
    inner = bytes(objects_in(first)[0].array)
    assert len(inner) == 1176
    (found,) = objects_in(tgmtool.decode(inner))
    outer = next(
        one
        for one in objects_of("hgt-winters.tgm")
        if dict(one.metadata)["mars"]["date"] == 20091201 or dict(one.metadata)["mars"]["date"] == "20091201"
    )
    whole = [one for message in tgmtool.read(FOLDER / "hgt-winters.tgm") for one in objects_in(message)]
    assert np.array_equal(found.array, whole[outer.message].array[::4, ::6])


def test_the_inputs_are_what_the_readme_says() -> None:
    (steps,) = items(FOLDER / "z500-steps.npy")
    assert (steps.values.shape, steps.values.dtype.str) == ((24, 29, 49), "<f4")
    (field,) = items(FOLDER / "field.raw", block=Block("<f4", (29, 49)))
    assert np.array_equal(field.values, steps.values[21])


@pytest.mark.parametrize("name", STREAMS)
def test_every_object_has_the_keys_of_the_readme(name: str) -> None:
    for one in objects_of(name):
        keys = set(one.metadata)
        if "content" in keys:
            continue  # the embedded message
        if name == "sst-masked.tgm":
            assert keys == {"name", "dim_names", "mars"}
            continue
        assert {"name", "dims", "dim_names", "grid", "mars", "period", "cf", "source"} <= keys
        assert one.metadata["name"] in {"gh", "ssta"}


# ---- cut anywhere


def lengths_of(size: int) -> list[int]:
    chance = random.Random(size)
    evenly = range(2000, size, max(size // 1000, 1))
    return sorted({*range(min(2000, size)), *evenly, *(chance.randrange(size) for _ in range(1000))})


@pytest.mark.parametrize("name", STREAMS)
def test_a_sample_cut_anywhere_is_incomplete_or_clean_and_never_damaged(name: str) -> None:
    data = memoryview((FOLDER / name).read_bytes())
    for size in lengths_of(len(data)):
        gaps = [one for one in scan(MemorySource(data[:size])) if isinstance(one, Gap)]
        assert [gap.kind for gap in gaps] in ([], ["incomplete"]), size
        assert not gaps or gaps[0].offset + gaps[0].length == size


@pytest.mark.parametrize("name", STREAMS)
def test_reading_a_cut_sample_ends_with_an_error_that_says_so_or_with_nothing(name: str) -> None:
    data = memoryview((FOLDER / name).read_bytes())
    for size in lengths_of(len(data))[::7]:
        try:
            for _ in tgmtool.read(MemorySource(data[:size])):
                pass
        except TruncatedError as error:
            assert error.message_offset + error.available == size  # noqa: PT017  # not every length is a cut
        notices = [
            one.event for one in tgmtool.tail(MemorySource(data[:size]), last=None) if isinstance(one, Notice)
        ]
        assert notices in ([], ["cut"])
