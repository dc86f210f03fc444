"""rle: the reference's bytes out, by a model that is slow and plainly right, and damage is found."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

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
from tgmtool.codecs.rle import STAGE, pack, unpack

CHUNK = 32 * 1024  # bytes that the codec takes at once
VECTORS = Path(__file__).parent.parent / "vectors"
KINDS = ("none", "all", "random", "rare", "often", "clustered", "alternating", "first", "last")


def job(count: int = 0) -> Job:
    return Job(BY_NAME["bitmask"], count, {})


def mask(kind: str, n: int) -> bytes:
    """`n` bits of some kind, packed."""
    chance = np.random.default_rng(n).random(n)
    places = np.arange(n)
    bits = {
        "none": chance < 0,
        "all": chance < 2,
        "random": chance < 0.5,
        "rare": chance < 0.001,
        "often": chance < 0.999,
        "clustered": np.cumsum(chance < 0.002) % 2 == 1,
        "alternating": places % 2 == 1,
        "first": places == 0,
        "last": places == n - 1,
    }[kind]
    return np.packbits(bits).tobytes()


def uleb128(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def model(bits: list[int]) -> bytes:
    if not bits:
        return b""
    return bytes(bits[:1]) + b"".join(uleb128(len(list(run))) for _, run in groupby(bits))


def bits_of(packed: bytes, n: int) -> list[int]:
    found: list[int] = np.unpackbits(np.frombuffer(packed, np.uint8), count=n).tolist()
    return found


# ---- writing


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 63, 64, 65, 127, 128, 129, 1003, 20_000])
def test_a_bit_and_then_how_many_are_alike(kind: str, n: int) -> None:
    packed = mask(kind, n)
    blob = pack(packed, n)
    assert blob == model(bits_of(packed, n))
    assert bytes(unpack(blob, n)) == packed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, 5, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_a_payload_is_the_references_byte_for_byte(kind: str, size: int) -> None:
    data = mask(kind, 8 * size)
    descriptor = {"type": "ntensor", "shape": [8 * size], "dtype": "bitmask", "compression": "rle"}
    theirs = tgmtool.decode(tensogram.encode({}, [(descriptor, data)])).objects[0]
    assert theirs.descriptor.pipeline.params == {}
    payload = bytes(theirs.payload)
    assert bytes(STAGE.encode(data, job(8 * size))[0]) == payload
    assert bytes(STAGE.decode(payload, size, job(8 * size))) == data


def test_runs_of_every_length_of_their_number_are_written() -> None:
    for power in range(7, 22, 7):
        for n in ((1 << power) - 1, 1 << power, (1 << power) + 1):
            assert pack(mask("none", n), n) == b"\0" + uleb128(n)
            assert bytes(unpack(b"\0" + uleb128(n), n)) == mask("none", n)


def test_what_stands_after_the_last_bit_is_ignored() -> None:
    assert pack(b"\xff\xff", 10) == pack(b"\xff\xc0", 10) == bytes([1, 10])
    assert pack(b"\x01", 7) == bytes([0, 7])


def test_nothing_stays_nothing() -> None:
    assert pack(b"", 0) == b""
    assert bytes(unpack(b"", 0)) == b""
    assert bytes(STAGE.encode(b"", job())[0]) == bytes(4)
    assert bytes(STAGE.decode(bytes(4), 0, job())) == b""


@pytest.mark.parametrize("row", DTYPES, ids=lambda row: row.name)
def test_only_a_bitmask_is_taken(row: Any) -> None:
    assert STAGE.params == ()
    if row.name == "bitmask":
        assert STAGE.defaults(Job(row, 9, {})) == {}
        return
    with pytest.raises(EncodeError, match=f"only bitmask, not {row.name}"):
        STAGE.defaults(Job(row, 9, {}))
    with pytest.raises(PayloadError, match=f"only bitmask, not {row.name}"):
        STAGE.decode(bytes(4), 0, Job(row, 0, {}))


def test_more_bits_than_the_count_can_say_are_refused_beforehand() -> None:
    assert STAGE.defaults(job((1 << 32) - 8)) == {}
    with pytest.raises(EncodeError, match=r"4294967296 bits"):
        STAGE.defaults(job((1 << 32) - 7))


# ---- reading


@budget(200)
@given(st.lists(st.integers(1, 300), max_size=40), st.integers(0, 1), st.integers(0, 9))
def test_any_runs_come_back_from_any_place_in_memory(lengths: list[int], first: int, shift: int) -> None:
    n = sum(lengths)
    bits = np.repeat([(first + i) % 2 for i in range(len(lengths))], lengths).astype(np.uint8)
    packed = np.packbits(bits).tobytes()
    blob = pack(memoryview(bytes(shift) + packed)[shift:], n)
    assert blob == model(bits.tolist())
    assert bytes(unpack(memoryview(bytes(shift) + blob)[shift:], n)) == packed


def test_a_number_with_more_bytes_than_it_needs_is_read_as_the_reference_does() -> None:
    assert bytes(unpack(b"\x01\x83\x80\x00\x05", 8)) == b"\xe0"


def vectors() -> list[Any]:
    files = json.loads((VECTORS / "manifest.json").read_text())["files"]
    return [
        pytest.param(file["file"], message["objects"][0]["sha256"], id=file["file"])
        for file in files
        for message in file.get("messages", [])
        if [o["compression"] for o in message["objects"]] == ["rle"]
    ]


@pytest.mark.parametrize(("name", "digest"), vectors())
def test_files_of_the_reference_are_read_and_written_again(name: str, digest: str) -> None:
    found = tgmtool.decode((VECTORS / name).read_bytes()).objects[0]
    count = found.descriptor.elements
    data = bytes(STAGE.decode(bytes(found.payload), (count + 7) // 8, job(count)))
    assert hashlib.sha256(data).hexdigest() == digest
    assert bytes(STAGE.encode(data, job(count))[0]) == bytes(found.payload)


WRONG = {
    "nothing": (b"", 8, "cannot stand for 8 bits"),
    "something for nothing": (b"\0", 0, "cannot stand for 0 bits"),
    "no first bit": (b"\2\x08", 8, "first bit is 2"),
    "no run": (b"\0", 8, "sum up to 0 bits"),
    "a run of nothing": (b"\0\4\0\4", 8, "a run of 0 bits"),
    "too few": (b"\0\7", 8, "sum up to 7 bits"),
    "too many": (b"\0\x09", 8, "a run of 9 bits"),
    "too many together": (b"\0\5\5", 8, "more than 8 bits"),
    "one more after the last": (b"\0\x08\1", 8, "more than 8 bits"),
    "a run cut short": (b"\0\7\x81", 8, "cut short"),
    "a huge run": (b"\0" + b"\xff" * 8 + b"\x7f", 8, "a run of"),
    "an endless run": (b"\0" + b"\x80" * 30 + b"\1", 8, "more than 9 bytes"),
    "a run longer than a chunk": (b"\0" + b"\x80" * (CHUNK + 9) + b"\1", 1 << 20, "more than 9 bytes"),
    "more bytes than runs": (b"\0" + b"\1" * 100, 8, "too many"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_no_runs_can_be_is_refused(case: str) -> None:
    blob, n, text = WRONG[case]
    with pytest.raises(PayloadError, match=text):
        unpack(blob, n)


def test_the_count_may_say_how_many_bits_of_the_last_byte_there_are() -> None:
    for n in (9, 15, 16):
        payload = n.to_bytes(4, "big") + bytes([1, n])
        assert bytes(STAGE.decode(payload, 2, job(n))) == mask("all", n)


@pytest.mark.parametrize("n", [0, 8, 17, 1 << 31])
def test_a_count_that_is_not_the_descriptors_is_refused(n: int) -> None:
    with pytest.raises(PayloadError, match=f"holds {n} bits, expected 16"):
        STAGE.decode(n.to_bytes(4, "big") + b"\1" + uleb128(n), 2, job(16))


def test_a_payload_cut_at_any_length_is_refused() -> None:
    data = mask("clustered", 8000)
    payload = bytes(STAGE.encode(data, job())[0])
    for end in range(len(payload)):
        with pytest.raises(PayloadError):
            STAGE.decode(payload[:end], len(data), job())


@budget(400)
@given(st.data())
def test_damage_gives_our_own_error_or_bits_of_the_right_number(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    n = data.draw(st.integers(1, 700))
    blob = bytearray(pack(mask(kind, n), n))
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = bytes(unpack(bytes(blob), n))
    except PayloadError:
        return
    assert len(found) == (n + 7) // 8
    assert not n % 8 or not found[-1] & 0xFF >> n % 8


@budget(300)
@given(st.binary(max_size=40), st.integers(0, 300))
def test_junk_gives_our_own_error_or_what_the_model_writes(junk: bytes, n: int) -> None:
    try:
        found = bytes(unpack(junk, n))
    except PayloadError:
        return
    assert bytes(unpack(model(bits_of(found, n)), n)) == found


IN_A_CHILD = """
import resource
from tests.codecs.test_rle import STAGE, job, unpack, uleb128
from tgmtool import PayloadError
n = 1 << 29
unpack(b"\\1\\x08", 8)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 26) + (40 << 20),) * 2)
assert len(unpack(b"\\1" + uleb128(n), n)) == 1 << 26
for blob in (b"\\1" * 20_000_000, b"\\1" + b"\\x80" * 20_000_000 + b"\\1"):
    try:
        unpack(blob, 20_000_000)
    except PayloadError:
        print("refused")
print(len(unpack(b"\\1" * 20_000_001, 20_000_000)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited by what /proc says")
def test_reading_takes_the_memory_of_the_packed_bits_and_a_constant() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_CHILD], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["refused", "refused", "2500000"], done.stderr
