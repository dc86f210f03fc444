"""lz4: what either side writes, the other reads, and never more than the descriptor promises."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import lz4.block
import numpy as np
import pytest
import tensogram
from hypothesis import given
from hypothesis import strategies as st

import tgmtool
from tests.conformance.oracle import budget
from tgmtool import EncodeError, PayloadError
from tgmtool.codecs.base import Job
from tgmtool.codecs.dtypes import BY_NAME, DTYPES
from tgmtool.codecs.lz4 import STAGE

DATA = bytes(range(256)) * 10 + b"and what does not repeat: \x00\xff"
JOB = Job(BY_NAME["uint8"], 0, {})
VECTORS = Path(__file__).parent.parent / "vectors"


def packed(data: bytes = DATA) -> bytes:
    return bytes(STAGE.encode(data, JOB)[0])


def unpacked(payload: bytes, size: int = len(DATA)) -> bytes:
    return bytes(STAGE.decode(payload, size, JOB))


def theirs(data: bytes, dtype: str = "uint8", count: int | None = None) -> tuple[bytes, bytes]:
    """The reference's message, and the payload in it."""
    shape = [len(data) if count is None else count]
    descriptor = {"type": "ntensor", "shape": shape, "dtype": dtype, "compression": "lz4"}
    message = bytes(tensogram.encode({}, [(descriptor, data)]))
    return message, bytes(tgmtool.decode(message).objects[0].payload)


# ---- writing


def test_the_size_stands_before_the_block_least_significant_byte_first() -> None:
    payload = packed()
    assert payload[:4] == len(DATA).to_bytes(4, "little")
    assert lz4.block.decompress(payload[4:], uncompressed_size=len(DATA)) == DATA


def test_the_stage_owns_no_parameters_and_takes_every_dtype() -> None:
    assert STAGE.params == ()
    for row in DTYPES:
        assert STAGE.defaults(Job(row, 9, {})) == {}


@pytest.mark.parametrize("size", [0, 1, 12, 13, 300, 70_000])
def test_the_reference_reads_what_we_write(size: int) -> None:
    data = (DATA * 30)[:size]
    message = tgmtool.encode([np.frombuffer(data, np.uint8)], compression="lz4")
    assert tensogram.decode(message)[1][0][1].tobytes() == data


def test_more_than_a_block_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tgmtool.codecs.lz4._LARGEST", 100)
    assert packed(bytes(100))
    with pytest.raises(EncodeError, match="101 bytes, expected at most 100"):
        packed(bytes(101))
    with pytest.raises(PayloadError, match="101 bytes, expected at most 100"):
        unpacked((101).to_bytes(4, "little") + bytes(9), 101)


# ---- reading


@pytest.mark.parametrize("dtype", [row.name for row in DTYPES])
@pytest.mark.parametrize("count", [0, 1, 7, 1000])
def test_what_the_reference_writes_is_read(dtype: str, count: int) -> None:
    size = BY_NAME[dtype].payload_size(count)
    data = (DATA * 7)[:size]
    if BY_NAME[dtype].is_float:  # no NaN, no Inf: no byte with the upper bits of an exponent
        data = bytes(byte & 0x1F for byte in data)
    assert unpacked(theirs(data, dtype, count)[1], size) == data


def vectors() -> list[Any]:
    found = []
    for file in json.loads((VECTORS / "manifest.json").read_text())["files"]:
        for message in file.get("messages", []):
            stages = [(o["encoding"], o["filter"], o["compression"]) for o in message["objects"]]
            if stages == [("none", "none", "lz4")] and not file["file"].startswith("mask"):
                found.append(pytest.param(file["file"], message["objects"][0]["sha256"], id=file["file"]))
    return found


@pytest.mark.parametrize(("name", "digest"), vectors())
def test_files_of_the_reference_are_read(name: str, digest: str) -> None:
    found = tgmtool.decode((VECTORS / name).read_bytes()).objects[0]
    size = found.descriptor.dtype.payload_size(found.descriptor.elements)
    assert hashlib.sha256(unpacked(bytes(found.payload), size)).hexdigest() == digest


@budget(150)
@given(st.binary(max_size=400), st.integers(0, 9))
def test_any_bytes_come_back_from_any_place_in_memory(data: bytes, shift: int) -> None:
    view = memoryview(bytes(shift) + data)[shift:]
    payload = memoryview(bytes(shift) + bytes(STAGE.encode(view, JOB)[0]))[shift:]
    assert bytes(STAGE.decode(payload, len(data), JOB)) == data


@pytest.mark.parametrize("size", [0, 1, len(DATA) - 1, len(DATA) + 1, 1 << 40])
def test_a_size_that_is_not_the_descriptors_is_refused(size: int) -> None:
    with pytest.raises(PayloadError, match=f"holds {len(DATA)} bytes, expected {size}"):
        unpacked(packed(), size)


@pytest.mark.parametrize("by", [-1, 1, 5])
def test_a_size_that_lies_as_the_descriptor_does_is_found_out(by: int) -> None:
    payload = (len(DATA) + by).to_bytes(4, "little") + packed()[4:]
    with pytest.raises(PayloadError, match="lz4"):
        unpacked(payload, len(DATA) + by)


def test_a_payload_cut_at_any_length_is_refused() -> None:
    for payload, size in ((packed(), len(DATA)), (packed(b""), 0), (theirs(DATA)[1], len(DATA))):
        for end in range(len(payload)):
            with pytest.raises(PayloadError):
                unpacked(payload[:end], size)


@pytest.mark.parametrize("more", [b"\0", b"x", b"junk junk"], ids=repr)
def test_what_stands_after_the_block_is_refused(more: bytes) -> None:
    with pytest.raises(PayloadError):
        unpacked(packed() + more)


@budget(300)
@given(st.data())
def test_damage_gives_our_own_error_or_bytes_of_the_right_number(data: st.DataObject) -> None:
    payload = bytearray(packed())
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = unpacked(bytes(payload))
    except PayloadError:
        return
    assert len(found) == len(DATA)


@budget(200)
@given(st.binary(max_size=60), st.integers(0, 600))
def test_junk_gives_our_own_error_or_bytes_of_the_right_number(junk: bytes, size: int) -> None:
    try:
        found = unpacked(size.to_bytes(4, "little") + junk, size)
    except PayloadError:
        return
    assert len(found) == size


IN_A_CHILD = """
import resource
from tests.codecs.test_lz4 import unpacked
from tgmtool import PayloadError
size = 0x7E000000
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
try:
    unpacked(size.to_bytes(4, "little") + bytes(100), size)
except PayloadError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited by what /proc says")
def test_a_size_that_the_block_cannot_hold_is_refused_before_anything_is_allocated() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_CHILD], capture_output=True, text=True, check=False)
    assert "a block of 100 bytes cannot hold" in done.stdout, done.stderr


def test_a_block_can_hold_almost_255_times_its_size() -> None:
    data = np.zeros(1 << 20, np.uint8).tobytes()
    assert len(packed(data)) < len(data) // 250
    assert unpacked(packed(data), len(data)) == data
