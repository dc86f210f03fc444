"""zstd: the reference's bytes out, and never more in than the descriptor promises."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tensogram
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import tgmtool
from tests.conformance.oracle import same_zstd
from tgmtool import EncodeError, LimitExceeded, Limits, PayloadError
from tgmtool.codecs.base import Job
from tgmtool.codecs.dtypes import BY_NAME
from tgmtool.codecs.zstd import STAGE

DATA = bytes(range(256)) * 10 + b"and what does not repeat: \x00\xff"
# A random walk: long enough, and rough enough, for every level to choose other bytes.
WALK = np.random.default_rng(1).integers(-3, 4, 5000).cumsum().astype("<i2").tobytes()


def job(**params: Any) -> Job:
    return Job(BY_NAME["uint8"], 0, params)


def packed(data: bytes = DATA, **params: Any) -> bytes:
    return bytes(STAGE.encode(data, job(**params))[0])


def unpacked(payload: bytes, size: int = len(DATA)) -> bytes:
    return bytes(STAGE.decode(payload, size, job()))


# ---- writing


@same_zstd
@pytest.mark.parametrize(
    ("level", "size"),
    [(level, size) for level in (None, -131_072, -5, 0, 1, 3, 7, 12, 19) for size in (0, 1, 300, 10_000)]
    + [(22, 300)],
)
def test_a_payload_is_the_references_byte_for_byte(level: int | None, size: int) -> None:
    values = np.frombuffer(WALK[:size], np.uint8)
    params = {} if level is None else {"zstd_level": level}
    descriptor = {"type": "ntensor", "shape": [size], "dtype": "uint8", "compression": "zstd", **params}
    theirs = tgmtool.decode(tensogram.encode({}, [(descriptor, values.tobytes())])).objects[0]
    assert packed(values.tobytes(), **params) == bytes(theirs.payload)
    assert theirs.descriptor.pipeline.params == params


@same_zstd
@pytest.mark.parametrize("size", [(1 << 20) - 1, (1 << 20) + 1, 5_000_000])
@pytest.mark.parametrize("level", [1, 3])
def test_a_large_payload_is_the_references_too(level: int, size: int) -> None:
    values = np.random.default_rng(1).integers(-3, 4, size).cumsum().astype("<i2").view(np.uint8)[:size]
    described = {"type": "ntensor", "shape": [size], "dtype": "uint8", "compression": "zstd"}
    theirs = tgmtool.decode(tensogram.encode({}, [({**described, "zstd_level": level}, values)])).objects[0]
    assert packed(values.tobytes(), zstd_level=level) == bytes(theirs.payload)


def test_a_compressor_that_is_used_again_knows_nothing_of_before() -> None:
    def fresh(size: int, level: int) -> bytes:
        form = zstandard.ZstdCompressor(level=level).compressobj()
        return form.compress(WALK[:size]) + form.flush()

    jobs = [(size, level) for size in (0, 40, 9_000, 300) for level in (3, 3, 1, 5, 9, 3)]
    expected = [fresh(*one) for one in jobs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            made = list(pool.map(lambda one: packed(WALK[: one[0]], zstd_level=one[1]), jobs))
            assert made == expected


def test_a_frame_says_neither_its_size_nor_a_checksum() -> None:
    found = zstandard.get_frame_parameters(packed())
    assert found.content_size in {0, zstandard.CONTENTSIZE_UNKNOWN}
    assert not found.has_checksum
    assert found.dict_id == 0


def test_the_level_is_3_unless_given_and_is_not_written_then() -> None:
    assert packed(WALK) == packed(WALK, zstd_level=3)
    assert len({packed(WALK, zstd_level=level) for level in range(1, 6)}) == 5
    assert STAGE.params == ("zstd_level",)
    assert STAGE.defaults(job()) == {}
    found = tgmtool.decode(tgmtool.encode([np.arange(9)], compression="zstd")).objects[0]
    assert found.descriptor.pipeline.params == {}
    given_level = tgmtool.encode([np.arange(9)], compression="zstd", params={"zstd_level": 3})
    assert tgmtool.decode(given_level).objects[0].descriptor.pipeline.params == {"zstd_level": 3}


@pytest.mark.parametrize("level", [23, -131_073, 1 << 40, 3.0, "3", True, None, [3]], ids=repr)
def test_a_level_that_does_not_exist_is_refused(level: Any) -> None:
    with pytest.raises(EncodeError, match="zstd_level"):
        STAGE.defaults(job(zstd_level=level))


# ---- reading


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=400), st.integers(-5, 9), st.integers(0, 9))
def test_any_bytes_come_back_from_any_place_in_memory(data: bytes, level: int, shift: int) -> None:
    payload = memoryview(bytes(shift) + packed(data, zstd_level=level))[shift:]
    assert bytes(STAGE.decode(payload, len(data), job())) == data


def test_a_level_in_the_descriptor_means_nothing_to_a_reader() -> None:
    for level in (99, "x", None):
        assert bytes(STAGE.decode(packed(), len(DATA), job(zstd_level=level))) == DATA


def test_a_payload_of_several_frames_is_read_whole() -> None:
    assert unpacked(packed(DATA[:100]) + packed(DATA[100:])) == DATA


def test_a_frame_that_says_its_size_and_has_a_checksum_is_read() -> None:
    payload = zstandard.ZstdCompressor(write_checksum=True, write_content_size=True).compress(DATA)
    assert unpacked(payload) == DATA
    for at in (-1, -4):
        wrong = bytearray(payload)
        wrong[at] ^= 1
        with pytest.raises(PayloadError, match=r"zstd.*checksum"):
            unpacked(bytes(wrong))


@pytest.mark.parametrize("size", range(len(DATA) - 3, len(DATA)))
def test_more_than_the_descriptor_promises_is_refused(size: int) -> None:
    with pytest.raises(PayloadError, match=f"more than the expected {size} bytes"):
        unpacked(packed(), size)


@pytest.mark.parametrize("more", [1, 2, 1000])
def test_less_than_the_descriptor_promises_is_refused(more: int) -> None:
    size = len(DATA) + more
    with pytest.raises(PayloadError, match=f"ends after {len(DATA)} bytes, expected {size}"):
        unpacked(packed(), size)


def test_a_payload_cut_at_any_length_is_refused() -> None:
    payload = packed()
    for size in range(len(payload)):
        with pytest.raises(PayloadError):
            unpacked(payload[:size])


CHECKED = zstandard.ZstdCompressor(write_checksum=True).compress(DATA)
NOT_ONE_WHOLE_FRAME = {
    "nothing": (b"", len(DATA)),
    "junk": (b"this is no zstd", len(DATA)),
    "junk after it": (packed() + b"junk", len(DATA)),
    "one byte after it": (packed() + b"\0", len(DATA)),
    "junk for nothing": (b"x", 0),
    "the checksum cut off": (CHECKED[:-4], len(DATA)),
    "half of the checksum": (CHECKED[:-2], len(DATA)),
    "the beginning of another frame after it": (packed() + packed()[:5], len(DATA)),
    "half a magic after it": (packed() + b"\x28\xb5", len(DATA)),
    "a cut frame for an empty array": (packed(b"")[:-1], 0),
}


@pytest.mark.parametrize("case", NOT_ONE_WHOLE_FRAME)
def test_what_is_not_whole_frames_and_nothing_else_is_refused(case: str) -> None:
    payload, size = NOT_ONE_WHOLE_FRAME[case]
    with pytest.raises(PayloadError, match="zstd"):
        unpacked(payload, size)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_damage_gives_our_own_error_or_bytes_of_the_right_number(data: st.DataObject) -> None:
    payload = bytearray(packed())
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = unpacked(bytes(payload))
    except PayloadError:
        return
    assert len(found) == len(DATA)


# ---- bombs

MAGIC = bytes.fromhex("28b52ffd")


def bomb(blocks: int, *, claims: int | None = None) -> bytes:
    """Blocks of 128 KiB of one byte each, four bytes long; the frame may claim to hold little."""
    sizes = b"\x00\x38" if claims is None else b"\xc0\x38" + claims.to_bytes(8, "little")
    block = (128 * 1024) << 3 | 1 << 1
    body = (block.to_bytes(3, "little") + b"A") * (blocks - 1)
    return MAGIC + sizes + body + (block | 1).to_bytes(3, "little") + b"A"


def test_a_small_bomb_is_what_it_is_meant_to_be() -> None:
    assert unpacked(bomb(3), 3 << 17) == b"A" * (3 << 17)


@pytest.mark.parametrize(
    "claims", [None, 1000, 1 << 60], ids=["claims nothing", "claims little", "claims much"]
)
def test_a_bomb_is_refused_at_the_first_byte_too_many(claims: int | None) -> None:
    with pytest.raises(PayloadError):
        unpacked(bomb(100_000, claims=claims), 1000)


def test_a_window_beyond_the_limit_is_refused() -> None:
    window = bytes((0x00, (28 - 10) << 3))  # 256 MiB
    with pytest.raises(PayloadError, match=r"(?i)zstd.*memory"):
        unpacked(MAGIC + window + (1 << 3 | 1).to_bytes(3, "little") + b"A", 1)


IN_A_CHILD = """
import resource, sys
import zstandard, numpy
from tests.codecs.test_zstd import bomb, unpacked
from tgmtool import PayloadError
payloads = [bomb(200_000), bomb(200_000, claims=1000), bomb(200_000, claims=1 << 40)]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
for payload in payloads:
    try:
        unpacked(payload, 1000)
    except PayloadError:
        print("refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited by what /proc says")
def test_a_bomb_of_25_gigabytes_takes_no_memory() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_CHILD], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.returncode) == (["refused"] * 3, 0), done.stderr


def test_a_shape_that_claims_much_is_refused_before_anything_is_allocated() -> None:
    data = tgmtool.encode([np.zeros(1 << 17, np.uint8)], compression="zstd")
    with pytest.raises(LimitExceeded):
        _ = tgmtool.decode(data, limits=Limits(decoded_bytes=1 << 16)).objects[0].array
