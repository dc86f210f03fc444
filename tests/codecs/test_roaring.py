"""roaring: the reference's bytes out, all three kinds of container in, and damage is found."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensogram
from hypothesis import given
from hypothesis import strategies as st

import tgmtool
from tests.codecs.test_rle import KINDS, job, mask
from tests.conformance.oracle import budget
from tgmtool import EncodeError, PayloadError
from tgmtool.codecs.base import Job
from tgmtool.codecs.dtypes import DTYPES
from tgmtool.codecs.roaring import STAGE, pack, unpack

SLICE = 8 * 1024  # bytes of the bits of one container
VECTORS = Path(__file__).parent.parent / "vectors"
EMPTY = struct.pack("<II", 12_346, 0)


def plain(*containers: tuple[int, int, bytes]) -> bytes:
    """A bitmap without runs: key, set bits and body of each container."""
    head = struct.pack("<II", 12_346, len(containers))
    head += b"".join(struct.pack("<HH", key, count - 1) for key, count, _ in containers)
    at = len(head) + 4 * len(containers)
    for _, _, body in containers:
        head += struct.pack("<I", at)
        at += len(body)
    return head + b"".join(body for _, _, body in containers)


def of_runs(count: int, *runs: tuple[int, int], key: int = 0) -> bytes:
    """A bitmap of one container of runs: first bit and length less one of each."""
    head = struct.pack("<HHBHHH", 12_347, 0, 1, key, count - 1, len(runs))
    return head + b"".join(struct.pack("<HH", *run) for run in runs)


def packed(places: list[int], n: int) -> bytes:
    bits = np.zeros(n, np.uint8)
    bits[places] = 1
    return np.packbits(bits).tobytes()


# ---- writing


def test_few_bits_are_listed() -> None:
    assert pack(packed([3, 500, 70_000], 80_000), 80_000) == plain(
        (0, 2, struct.pack("<HH", 3, 500)), (1, 1, struct.pack("<H", 70_000 - 65_536))
    )


def test_many_bits_stand_as_they_are_least_significant_first() -> None:
    data = mask("random", 65_536)
    count = sum(byte.bit_count() for byte in data)
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
    assert pack(data, 65_536) == plain((0, count, mirrored))


def test_runs_are_taken_only_where_they_are_smaller() -> None:
    assert pack(packed([5], 8), 8) == plain((0, 1, b"\5\0"))
    assert pack(packed([5, 6, 7], 8), 8) == plain((0, 3, struct.pack("<HHH", 5, 6, 7)))  # as many bytes
    assert pack(packed([4, 5, 6, 7], 8), 8) == of_runs(4, (4, 3))
    assert pack(b"\xff" * SLICE, 65_536) == of_runs(65_536, (0, 65_535))
    for runs in (2046, 2047, 2048):  # of three bits each: 8 186, 8 190, 8 194 bytes against 8 192
        places = [16 * run + bit for run in range(runs) for bit in range(3)]
        cookie = struct.unpack("<H", pack(packed(places, 65_536), 65_536)[:2])[0]
        assert cookie == (12_347 if runs < 2048 else 12_346)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "size", [0, 1, 5, 1000, SLICE - 1, SLICE, SLICE + 1, 3 * SLICE, 4 * SLICE, 17 * SLICE + 3]
)
def test_a_payload_is_the_references_byte_for_byte(kind: str, size: int) -> None:
    data = mask(kind, 8 * size)
    descriptor = {"type": "ntensor", "shape": [8 * size], "dtype": "bitmask", "compression": "roaring"}
    theirs = tgmtool.decode(tensogram.encode({}, [(descriptor, data)])).objects[0]
    assert theirs.descriptor.pipeline.params == {}
    payload = bytes(theirs.payload)
    assert bytes(STAGE.encode(data, job(8 * size))[0]) == payload
    assert bytes(STAGE.decode(payload, size, job(8 * size))) == data


@pytest.mark.parametrize("seed", range(20))
def test_containers_of_all_kinds_beside_each_other_are_the_references(seed: int) -> None:
    random = np.random.default_rng(seed)
    slices = [mask(random.choice(KINDS), 65_536) for _ in range(int(random.integers(1, 12)))]
    data = b"".join(slices)[: int(random.integers(1, len(slices) * SLICE))]
    descriptor = {"type": "ntensor", "shape": [8 * len(data)], "dtype": "bitmask", "compression": "roaring"}
    theirs = bytes(tgmtool.decode(tensogram.encode({}, [(descriptor, data)])).objects[0].payload)
    assert bytes(STAGE.encode(data, job())[0]) == theirs
    assert bytes(STAGE.decode(theirs, len(data), job())) == data


def test_what_stands_after_the_last_bit_is_ignored() -> None:
    assert pack(b"\xff\xff", 10) == pack(b"\xff\xc0", 10) == of_runs(10, (0, 9))
    assert pack(b"\xff" * (SLICE + 1), 65_537) == pack(b"\xff" * SLICE + b"\x80", 65_537)


def test_nothing_stays_nothing() -> None:
    assert pack(b"", 0) == pack(bytes(9), 72) == EMPTY
    assert bytes(unpack(EMPTY, 0)) == b""
    assert bytes(unpack(EMPTY, 72)) == bytes(9)
    assert bytes(STAGE.encode(b"", job())[0]) == bytes(4) + EMPTY


@pytest.mark.parametrize("row", DTYPES, ids=lambda row: row.name)
def test_only_a_bitmask_is_taken(row: Any) -> None:
    assert STAGE.params == ()
    if row.name == "bitmask":
        assert STAGE.defaults(Job(row, 9, {})) == {}
        return
    with pytest.raises(EncodeError, match=f"only bitmask, not {row.name}"):
        STAGE.defaults(Job(row, 9, {}))
    with pytest.raises(PayloadError, match=f"only bitmask, not {row.name}"):
        STAGE.decode(bytes(4) + EMPTY, 0, Job(row, 0, {}))


def test_more_bits_than_roaring_can_tell_apart_are_refused_beforehand() -> None:
    assert STAGE.defaults(job((1 << 32) - 8)) == {}
    with pytest.raises(EncodeError, match="4294967296 bits"):
        STAGE.defaults(job((1 << 32) - 7))
    with pytest.raises(EncodeError, match="4294967296 bits"):
        pack(b"", 1 << 32)
    with pytest.raises(PayloadError, match="4294967296 bits"):
        unpack(EMPTY, 1 << 32)


# ---- reading


@budget(200)
@given(st.binary(max_size=200), st.integers(0, 7), st.integers(0, 9))
def test_any_bits_come_back_from_any_place_in_memory(data: bytes, less: int, shift: int) -> None:
    n = max(8 * len(data) - less, 0)
    blob = pack(memoryview(bytes(shift) + data)[shift:], n)
    kept = np.packbits(np.unpackbits(np.frombuffer(data, np.uint8), count=n)).tobytes()
    assert bytes(unpack(memoryview(bytes(shift) + blob)[shift:], n)) == kept


def test_runs_that_touch_are_read() -> None:
    assert bytes(unpack(of_runs(8, (0, 3), (4, 3)), 8)) == b"\xff"


def test_offsets_are_not_believed_nor_needed() -> None:
    good = pack(packed([3, 70_000], 80_000), 80_000)
    assert bytes(unpack(good[:16] + b"\xff" * 8 + good[24:], 80_000)) == packed([3, 70_000], 80_000)


def vectors() -> list[Any]:
    files = json.loads((VECTORS / "manifest.json").read_text())["files"]
    return [
        pytest.param(file["file"], message["objects"][0]["sha256"], id=file["file"])
        for file in files
        for message in file.get("messages", [])
        if [o["compression"] for o in message["objects"]] == ["roaring"]
    ]


@pytest.mark.parametrize(("name", "digest"), vectors())
def test_files_of_the_reference_are_read_and_written_again(name: str, digest: str) -> None:
    found = tgmtool.decode((VECTORS / name).read_bytes()).objects[0]
    count = found.descriptor.elements
    data = bytes(STAGE.decode(bytes(found.payload), (count + 7) // 8, job(count)))
    assert hashlib.sha256(data).hexdigest() == digest
    assert bytes(STAGE.encode(data, job(count))[0]) == bytes(found.payload)


ONE = plain((0, 1, b"\5\0"))
WRONG = {
    "nothing": (b"", 8, "no Roaring bitmap"),
    "another cookie": (b"\x39" + EMPTY[1:], 8, "no Roaring bitmap"),
    "a header cut short": (ONE[:12], 8, "cut short"),
    "a container cut short": (ONE[:-1], 8, "a container is cut short"),
    "a count of runs cut short": (of_runs(4, (0, 3))[:-5], 8, "cut short"),
    "something after it": (ONE + b"\0", 8, "1 bytes stand after"),
    "a bit after the last": (plain((0, 1, b"\x08\0")), 8, "set after the 8"),
    "a bit in the last byte after the last": (plain((0, 1, b"\x06\0")), 6, "set after the 6"),
    "a container for nothing": (ONE, 0, "1 containers are too many"),
    "more containers than slices": (plain((0, 1, b"\5\0"), (1, 1, b"\5\0")), 65_536, "2 containers"),
    "a key beyond the bits": (plain((1, 1, b"\5\0")), 65_536, "do not stand in order"),
    "keys out of order": (plain((1, 1, b"\5\0"), (0, 1, b"\5\0")), 100_000, "do not stand in order"),
    "a key twice": (plain((1, 1, b"\5\0"), (1, 1, b"\6\0")), 100_000, "do not stand in order"),
    "a bit listed twice": (plain((0, 2, b"\5\0\5\0")), 8, "not the 2 set bits"),
    "another number of bits": (plain((0, 5000, b"\x01" * SLICE)), 65_536, "not the 5000 set bits"),
    "no runs": (of_runs(1), 8, "runs overlap"),
    "runs that overlap": (of_runs(8, (0, 4), (4, 3)), 16, "runs overlap"),
    "runs out of order": (of_runs(2, (4, 0), (0, 0)), 8, "runs overlap"),
    "a run that leaves its container": (of_runs(9, (65_530, 9)), 65_536, "leave their container"),
    "runs of another number of bits": (of_runs(3, (0, 3)), 8, "not the 3 set bits"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_no_bitmap_can_be_is_refused(case: str) -> None:
    blob, n, text = WRONG[case]
    with pytest.raises(PayloadError, match=text):
        unpack(blob, n)


def test_the_count_may_say_how_many_bits_of_the_last_byte_there_are() -> None:
    for n in (9, 15, 16):
        payload = n.to_bytes(4, "big") + of_runs(n, (0, n - 1))
        assert bytes(STAGE.decode(payload, 2, job(n))) == mask("all", n)


@pytest.mark.parametrize("n", [0, 8, 17, 1 << 31])
def test_a_count_that_is_not_the_descriptors_is_refused(n: int) -> None:
    with pytest.raises(PayloadError, match=f"holds {n} bits, expected 16"):
        STAGE.decode(n.to_bytes(4, "big") + EMPTY, 2, job(16))


@pytest.mark.parametrize("kind", ["rare", "clustered", "random", "none"])
def test_a_payload_cut_at_any_length_is_refused(kind: str) -> None:
    data = mask(kind, 5 * 65_536)
    payload = bytes(STAGE.encode(data, job())[0])
    step = len(payload) // 500 + 1
    for end in range(0, len(payload), step):
        with pytest.raises(PayloadError):
            STAGE.decode(payload[:end], len(data), job())


@budget(400)
@given(st.data())
def test_damage_gives_our_own_error_or_bits_of_the_right_number(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    n = data.draw(st.sampled_from([1, 77, 700, 66_000, 300_000]))
    blob = bytearray(pack(mask(kind, n), n))
    for _ in range(data.draw(st.integers(1, 3))):
        end = data.draw(st.sampled_from([min(len(blob), 40), len(blob)]))
        blob[data.draw(st.integers(0, end - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = bytes(unpack(bytes(blob), n))
    except PayloadError:
        return
    assert len(found) == (n + 7) // 8
    assert not n % 8 or not found[-1] & 0xFF >> n % 8


@budget(300)
@given(
    st.sampled_from([EMPTY[:4], b"\x3b\x30\0\0", b"\x3b\x30\3\0", b""]),
    st.binary(max_size=60),
    st.integers(0, 300_000),
)
def test_junk_gives_our_own_error_or_bits_of_the_right_number(cookie: bytes, junk: bytes, n: int) -> None:
    try:
        found = bytes(unpack(cookie + junk, n))
    except PayloadError:
        return
    assert len(found) == (n + 7) // 8


IN_A_CHILD = """
import resource
from tests.codecs.test_roaring import EMPTY, of_runs, unpack
from tgmtool import PayloadError
unpack(of_runs(8, (0, 7)), 8)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 26) + (40 << 20),) * 2)
assert len(unpack(EMPTY, 1 << 29)) == 1 << 26
for count in (1 << 16, (1 << 32) - 1):
    try:
        unpack(EMPTY[:4] + count.to_bytes(4, "little") + bytes(1000), 1 << 29)
    except PayloadError:
        print("refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited by what /proc says")
def test_reading_takes_the_memory_of_the_packed_bits_and_a_constant() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_CHILD], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["refused", "refused"], done.stderr
