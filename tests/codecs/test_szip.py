"""szip: the reference's bytes, offsets that are right, and a decoder that does not trust."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tensogram
from hypothesis import given
from hypothesis import strategies as st

import tgmtool
from tests.conformance.oracle import budget
from tgmtool import CodecUnavailable, EncodeError, PayloadError
from tgmtool.codecs import szip
from tgmtool.codecs.base import Job, Parts
from tgmtool.codecs.dtypes import BY_NAME
from tgmtool.codecs.szip import STAGE

USUAL = {"szip_rsi": 128, "szip_block_size": 16, "szip_flags": 8}
DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "float32")
GRID = st.fixed_dictionaries(
    {
        "szip_rsi": st.sampled_from([1, 2, 5, 128, 4096]),
        "szip_block_size": st.sampled_from([8, 16, 32, 64]),
        "szip_flags": st.sampled_from([0, 1, 4, 8, 9, 12, 13, 72]),
    }
)


def job(dtype: str = "int16", params: dict[str, Any] | None = None, **more: Any) -> Job:
    row = BY_NAME[dtype]
    return Job(row, 1, USUAL if params is None else params, sample_bits=row.bits)._replace(**more)


def walk(dtype: str, size: int, seed: int) -> np.ndarray[Any, Any]:
    """A random walk that stands still now and then."""
    random_ = np.random.default_rng(seed)
    values = random_.integers(-3, 4, size).cumsum() % 100
    for start in random_.integers(0, size + 1, size and 3):
        values[start : start + random_.integers(1, 3000)] = 7
    return values.astype("<" + BY_NAME[dtype].numpy)


def whole(payload: bytes) -> Parts:
    return Parts(len(payload), lambda start, stop: payload[start:stop])


def theirs(
    dtype: str, values: np.ndarray[Any, Any], params: dict[str, Any], compression: str = "szip"
) -> tuple[bytes, dict[str, Any]]:
    """What the reference makes of it: payload, parameters."""
    descriptor = {
        "type": "ntensor",
        "shape": [values.size],
        "dtype": dtype,
        "compression": compression,
        **params,
    }
    found = tgmtool.decode(tensogram.encode({}, [(descriptor, values.tobytes())])).objects[0]
    return bytes(found.payload), dict(found.descriptor.pipeline.params)


def fuzz(stage: Any, cases: list[tuple[bytes, int, Job]], count: int) -> None:
    """Damage payloads in every way; anything but bytes of the right number and PayloadError ends it."""
    chance = random.Random(1)
    for _ in range(count):
        payload, size, seen = chance.choice(cases)
        damaged = bytearray(payload)
        what = chance.random()
        if what < 0.15:
            del damaged[chance.randrange(len(damaged)) :]
        elif what < 0.2:
            damaged += chance.randbytes(9)
        else:
            near = len(damaged) if chance.random() < 0.5 else min(160, len(damaged))
            for _ in range(chance.choice([1, 1, 1, 2, 8])):
                at = chance.randrange(near)
                damaged[at] = chance.choice([damaged[at] ^ 1 << chance.randrange(8), 0, 127, 255])
        if chance.random() < 0.1:
            size = chance.choice([0, size + 8, 3 * size])
        encoded = bytes(damaged)
        try:
            if stage.parts and chance.random() < 0.3:
                start, stop = sorted((chance.randrange(size + 1), chance.randrange(size + 1)))
                assert len(stage.parts(whole(encoded), size, seen).read(start, stop)) == stop - start
            else:
                assert len(stage.decode(encoded, size, seen)) == size
        except PayloadError:
            pass


def survives_in_a_child(module: str, count: int) -> None:
    """Fuzz the `STAGE` of a test module with its `cases()`, in a process that may die of it."""
    script = f"""
from tests.codecs.test_szip import fuzz
from tests.codecs.{module} import STAGE, cases
fuzz(STAGE, cases(), {count})
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["alive"]), done.stderr


def cases() -> list[tuple[bytes, int, Job]]:
    found = []
    for dtype in ("uint8", "int16", "float32"):
        for flags in (0, 8, 12, 72):
            values = walk(dtype, 3000, flags)
            seen = job(dtype, {**USUAL, "szip_flags": flags, "szip_rsi": 4})
            payload = bytes(STAGE.encode(values.tobytes(), seen)[0])
            found += [
                (payload, values.nbytes, seen._replace(sample_bits=bits)) for bits in (seen.sample_bits, 32)
            ]
            found += [
                (payload, values.nbytes, seen._replace(sample_bits=bits, packed=True)) for bits in (3, 24)
            ]
    return found


# ---- writing


@budget(60)
@given(st.sampled_from(DTYPES), st.sampled_from([0, 1, 7, 100, 5000]), st.integers(0, 99), GRID)
def test_a_payload_is_the_references_and_reads_back(
    dtype: str, size: int, seed: int, params: dict[str, Any]
) -> None:
    values = walk(dtype, size, seed)
    payload, decided = STAGE.encode(values.tobytes(), job(dtype, params))
    expected, stored = theirs(dtype, values, params)
    assert bytes(payload) == expected
    assert len(decided["szip_block_offsets"]) == len(stored["szip_block_offsets"])
    assert bytes(STAGE.decode(expected, values.nbytes, job(dtype, params))) == values.tobytes()


@budget(25)
@given(st.sampled_from(["int8", "int16", "int32"]), st.integers(0, 99), st.sampled_from([1, 2, 16]))
def test_the_reference_finds_every_range_by_our_offsets(dtype: str, seed: int, rsi: int) -> None:
    values = walk(dtype, 5000, seed)
    message = tgmtool.encode([values], compression="szip", params={**USUAL, "szip_rsi": rsi})
    for start in range(0, 4900, 499):
        (found,) = tensogram.decode_range(message, 0, [(start, 100)])
        np.testing.assert_array_equal(np.ravel(found), values[start : start + 100])


def standing(chance: np.random.Generator, count: int, block: int) -> Any:
    """Values of which many blocks, and parts of blocks, are like the value before them."""
    values = chance.integers(-1, 2, count) * chance.choice([1, 50, 10_000, 1 << 29])
    for start in chance.integers(0, count, 5):
        values[start : start + chance.integers(1, 6 * block)] = chance.integers(-1, 2)
    for start in np.flatnonzero(chance.random(count // block) < chance.choice([0.1, 0.6, 0.95])) * block:
        values[start : start + block] = values[max(start - 1, 0)]
    return values.astype("<i4")


@budget(300)
@given(
    st.integers(1, 4),
    st.sampled_from([8, 16, 64]),
    st.sampled_from([1, 2, 3, 16, 65, 66]),
    st.sampled_from([8, 9, 0, 72]),
    st.integers(0, 1 << 30),
)
def test_offsets_are_those_that_the_decoder_meets(
    size: int, block: int, rsi: int, flags: int, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    count = int(chance.integers(1, 4 * block * rsi + 2))
    data = standing(chance, count, block).view(np.uint8).reshape(-1, 4)[:, :size].tobytes()
    params = {"szip_rsi": rsi, "szip_block_size": block, "szip_flags": flags}
    seen = job(f"int{8 * size}", params) if size != 3 else job("float64", params)
    seen = seen._replace(sample_bits=8 * size, packed=size == 3)
    payload, decided = STAGE.encode(data, seen)
    met = szip._met(memoryview(payload), len(data), seen, params)
    intervals = -(-count // (block * rsi))
    assert decided["szip_block_offsets"] == (met[:intervals] if intervals > 1 else [0])


@pytest.mark.parametrize("tells", [[0, 7, 9], [0]])
def test_an_encoder_that_tells_offsets_wrong_in_another_way_is_not_believed(
    tells: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = np.array([*[7] * 8, *range(8), *[5] * 8, *range(8), *range(16)], np.uint8)
    params = {"szip_rsi": 2, "szip_block_size": 8, "szip_flags": 8}
    seen = job("uint8", params)
    payload, decided = STAGE.encode(data.tobytes(), seen)
    met = szip._met(memoryview(payload), len(data), seen, params)
    assert decided["szip_block_offsets"] == met[:3]
    told = szip.encoded(data, seen, params)[1]
    assert told[1] < met[1] or not szip._tells_early()
    monkeypatch.setattr(szip, "encoded", lambda *_: (payload, tells))
    monkeypatch.setattr(szip, "_tells_early", lambda: True)
    if len(tells) == 1:
        assert STAGE.encode(data.tobytes(), seen)[1]["szip_block_offsets"] == met[:3]
    monkeypatch.setattr(szip, "_tells_early", lambda: False)
    if len(tells) == 3:  # of an encoder that has learnt it
        assert STAGE.encode(data.tobytes(), seen)[1]["szip_block_offsets"] == tells


def test_shuffled_values_of_any_width_are_written_as_the_reference_does() -> None:
    values = np.linspace(0, 9, 3000)
    message = tgmtool.encode([values], filter="shuffle", compression="szip")
    descriptor = {"type": "ntensor", "shape": [3000], "dtype": "float64", "filter": "shuffle", **USUAL}
    descriptor |= {"compression": "szip", "shuffle_element_size": 8}
    expected = tgmtool.decode(tensogram.encode({}, [(descriptor, values)])).objects[0]
    found = tgmtool.decode(message).objects[0]
    assert bytes(found.payload) == bytes(expected.payload)
    # The offsets may differ: there are planes of bytes that do not change.
    assert found.descriptor.pipeline.params.keys() == expected.descriptor.pipeline.params.keys()


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_packed_values_are_written_as_the_reference_does(bits: int) -> None:
    values = np.linspace(250, 300, 3000) + np.sin(np.arange(3000))
    params = {**USUAL, "sp_bits_per_value": bits}
    message = tgmtool.encode([values], encoding="simple_packing", compression="szip", params=params)
    descriptor = {"type": "ntensor", "shape": [3000], "dtype": "float64", "encoding": "simple_packing"}
    official = tensogram.encode({}, [({**descriptor, "compression": "szip", **params}, values)])
    found, expected = tgmtool.decode(message).objects[0], tgmtool.decode(official).objects[0]
    assert bytes(found.payload) == bytes(expected.payload)
    assert found.descriptor.pipeline.params == expected.descriptor.pipeline.params
    np.testing.assert_array_equal(found.array, np.asarray(tensogram.decode(official)[1][0][1]))


def test_what_must_stand_in_the_descriptor_has_the_usual_values() -> None:
    assert STAGE.defaults(job(params={})) == USUAL
    assert STAGE.params == ("szip_rsi", "szip_block_size", "szip_flags", "szip_block_offsets")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("szip_rsi", 0),
        ("szip_rsi", 4097),
        ("szip_rsi", "128"),
        ("szip_rsi", True),
        ("szip_block_size", 10),
        ("szip_block_size", 1 << 70),
        ("szip_flags", 16),  # restricted: for samples of up to four bits
        ("szip_flags", 32),  # padded: violates the standard
        ("szip_flags", -1),
        ("szip_block_offsets", [0]),
    ],
)
def test_a_parameter_out_of_range_is_refused(key: str, value: Any) -> None:
    with pytest.raises(EncodeError, match=key):
        STAGE.defaults(job(params={**USUAL, key: value}))


@pytest.mark.parametrize("dtype", ["int64", "float64", "complex64", "complex128", "bitmask"])
def test_samples_that_szip_does_not_have_are_refused(dtype: str) -> None:
    with pytest.raises(EncodeError, match="shuffle"):
        STAGE.defaults(job(dtype))


@pytest.mark.parametrize("bits", [1, 5, 12, 20, 31, 33])
def test_packed_bits_that_fill_no_bytes_are_refused(bits: int) -> None:
    with pytest.raises(EncodeError, match="bits"):
        STAGE.defaults(job("float64", sample_bits=bits, packed=True))


# ---- reading


@budget(40)
@given(st.sampled_from(DTYPES), st.integers(0, 99), st.lists(st.integers(0, 4000), min_size=2, max_size=8))
def test_parts_are_slices_of_the_whole(dtype: str, seed: int, cuts: list[int]) -> None:
    values = walk(dtype, 4000, seed).tobytes()
    payload = bytes(STAGE.encode(values, job(dtype))[0])
    parts = STAGE.parts(whole(payload), len(values), job(dtype)) if STAGE.parts else None
    assert parts
    for start, stop in pairwise(cuts):
        first, last = sorted((start, stop))
        assert bytes(parts.read(first, last)) == values[first:last]


def test_a_part_is_had_without_what_comes_after_it() -> None:
    values = np.random.default_rng(1).integers(0, 1 << 16, 3 << 20).astype("<u2").tobytes()
    payload = bytes(STAGE.encode(values, job("uint16"))[0])
    asked: list[int] = []

    def read(start: int, stop: int) -> bytes:
        asked.append(stop)
        return payload[start:stop]

    assert STAGE.parts
    parts = STAGE.parts(Parts(len(payload), read), len(values), job("uint16", {**USUAL}))
    assert bytes(parts.read(1000, 2000)) == values[1000:2000]
    assert max(asked) <= 1 << 20
    assert bytes(parts.read(0, 10)) == values[:10]
    assert len(asked) == 1


def test_stored_offsets_are_not_believed() -> None:
    values = walk("int16", 5000, 1)
    payload = bytes(STAGE.encode(values.tobytes(), job())[0])
    lying = job(params={**USUAL, "szip_block_offsets": [0, 1, 2]})
    assert STAGE.parts
    parts = STAGE.parts(whole(payload), values.nbytes, lying)
    assert bytes(parts.read(8000, 9000)) == values.tobytes()[8000:9000]


@pytest.mark.parametrize("keep", [0, 1, 10, 0.5, 0.95])
def test_a_payload_cut_short_is_an_error_of_ours(keep: float) -> None:
    values = walk("int32", 5000, 2)
    payload = bytes(STAGE.encode(values.tobytes(), job("int32"))[0])
    with pytest.raises(PayloadError):
        STAGE.decode(
            payload[: int(keep * len(payload)) if keep < 1 else int(keep)], values.nbytes, job("int32")
        )


def test_something_from_nothing_and_nothing_from_something_are_errors() -> None:
    assert bytes(STAGE.encode(b"", job())[0]) == b""
    assert bytes(STAGE.decode(b"", 0, job())) == b""
    for payload, size in ((b"", 2), (b"\x00", 0)):
        with pytest.raises(PayloadError, match="cannot hold"):
            STAGE.decode(payload, size, job())


@pytest.mark.parametrize(
    "params",
    [{}, {**USUAL, "szip_rsi": 0}, {**USUAL, "szip_block_size": 0}, {**USUAL, "szip_flags": 1 << 33}],
)
def test_hostile_parameters_are_refused_before_libaec_sees_them(params: dict[str, Any]) -> None:
    with pytest.raises(PayloadError, match="szip_"):
        STAGE.decode(b"\x00" * 100, 100, job(params=params))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    payload, size, seen = cases()[0]
    szip._library.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr("findlibs.find", lambda *names: None)
        with pytest.raises(CodecUnavailable, match=r"libaec.*pip install 'tgmtool\[szip\]'"):
            STAGE.decode(payload, size, seen)
    monkeypatch.setitem(sys.modules, "findlibs", None)
    with pytest.raises(CodecUnavailable, match=r"findlibs.*pip install 'tgmtool\[szip\]'"):
        STAGE.decode(payload, size, seen)


def test_damage_never_ends_the_process() -> None:
    survives_in_a_child("test_szip", 600)
