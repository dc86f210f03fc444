"""SZ3: what the reference writes is read, what is written keeps the bound, and no stream is believed."""

from __future__ import annotations

import random
import struct
import sys
from typing import Any

import numpy as np
import pytest
import tensogram
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import tgmtool
from tests.codecs.test_szip import survives_in_a_child, theirs
from tests.conformance.oracle import budget
from tgmtool import CodecUnavailable, EncodeError, PayloadError
from tgmtool.codecs.base import Job
from tgmtool.codecs.dtypes import BY_NAME
from tgmtool.codecs.sz3 import STAGE

BOUNDS = st.one_of(
    st.tuples(st.sampled_from(["abs", "rel"]), st.sampled_from([0.0, 1e-300, 1e-6, 1e-3, 0.1, 7.0, 1e300])),
    st.tuples(st.just("psnr"), st.sampled_from([20.0, 60.0, 200.0])),
).map(lambda pair: {"sz3_error_bound_mode": pair[0], "sz3_error_bound": pair[1]})
SIZES = st.sampled_from([1, 2, 3, 10, 63, 255, 256, 1000, 5000])
CUT = {"sz3_error_bound_mode": "abs", "sz3_error_bound": 0.001}
LORENZO, INTERPOLATION, LOSSLESS = 0, 2, 4


def job(params: dict[str, Any] | None = None, **more: Any) -> Job:
    return Job(BY_NAME["float64"], 1, CUT if params is None else params, sample_bits=64)._replace(**more)


def values_of(size: int, seed: int) -> np.ndarray[Any, Any]:
    chance = np.random.default_rng(seed)
    kinds = (
        chance.normal(0, 0.1, size).cumsum(),
        chance.normal(0, 1, size),
        np.full(size, 3.5),
        np.sin(np.arange(size) / 10),
        chance.integers(-3, 4, size) * 10.0 ** chance.integers(-150, 150, size),
    )
    return kinds[seed % 5].astype("<f8")


def algorithm(payload: bytes) -> int:
    (length,) = struct.unpack_from("<Q", payload, 8)
    return int(payload[16 + length + 3 + -(-payload[16 + length + 2] // 8) + 8])


def repacked(payload: bytes, stream: bytes) -> bytes:
    """The payload with another stream in it."""
    (length,) = struct.unpack_from("<Q", payload, 8)
    frame = struct.pack("<Q", len(stream)) + zstandard.ZstdCompressor().compress(stream)
    return payload[:8] + struct.pack("<Q", len(frame)) + frame + payload[16 + length :]


def stream_of(payload: bytes) -> bytes:
    (length,) = struct.unpack_from("<Q", payload, 8)
    (size,) = struct.unpack_from("<Q", payload, 16)
    return zstandard.ZstdDecompressor().decompress(payload[24 : 16 + length], max_output_size=size)


def cases() -> list[tuple[bytes, int, Job]]:
    """Of every algorithm, from both sides, and with damage inside the zstd frame."""
    found = []
    chance = random.Random(1)
    for size, seed in ((3, 0), (1000, 0), (1000, 1), (1000, 3), (5000, 0), (5000, 3)):
        for bound in (1e-6, 0.1):
            params = {**CUT, "sz3_error_bound": bound}
            values = values_of(size, seed)
            payload, _ = theirs("float64", values, params, "sz3")
            found.append((payload, values.nbytes, job(params)))
            if algorithm(payload) == LOSSLESS:
                continue
            for _ in range(30):
                stream = bytearray(stream_of(payload))
                at = chance.randrange(len(stream) if chance.random() < 0.5 else 120)
                stream[at] ^= 1 << chance.randrange(8)
                found.append((repacked(payload, bytes(stream)), values.nbytes, job(params)))
    found.append((bytes(STAGE.encode(values.tobytes(), job())[0]), values.nbytes, job()))
    return found


# ---- writing


@budget(120)
@given(BOUNDS, SIZES, st.integers(0, 99), st.sampled_from(["little", "big"]))
def test_the_bound_holds_and_the_reference_reads_the_same(
    params: dict[str, Any], size: int, seed: int, order: str
) -> None:
    values = values_of(size, seed).astype("<f8" if order == "little" else ">f8")
    seen = job(params, byte_order=order)
    payload = STAGE.encode(values.tobytes(), seen)[0]
    found = np.frombuffer(STAGE.decode(payload, values.nbytes, seen), values.dtype)
    error, width, bound = found - values, np.ptp(values), params["sz3_error_bound"]
    if params["sz3_error_bound_mode"] == "psnr":
        assert np.sqrt(np.mean((error / (width or 1)) ** 2)) <= 10 ** (-bound / 20) * (1 + 1e-12)
    else:
        with np.errstate(over="ignore"):
            assert np.abs(error).max() <= bound * (width if params["sz3_error_bound_mode"] == "rel" else 1)
    message = tgmtool.encode([values], compression="sz3", params=params)
    official = np.ravel(tensogram.decode(message)[1][0][1])
    assert official.astype("<f8").tobytes() == found.astype("<f8").tobytes()


def test_what_is_written_is_the_lossless_variant() -> None:
    payload = bytes(STAGE.encode(values_of(1000, 0).tobytes(), job())[0])
    assert algorithm(payload) == LOSSLESS
    official = bytes(theirs("float64", values_of(1000, 1), {**CUT, "sz3_error_bound": 0.0}, "sz3")[0])
    assert payload[:8] == official[:8]
    # All of the configuration, but for the bound, is what the reference writes.
    assert payload[-34:-19] == official[-34:-19]
    assert payload[-11:] == official[-11:]


def test_rounding_makes_the_payload_smaller() -> None:
    values = values_of(5000, 0).tobytes()
    fine, coarse = (len(STAGE.encode(values, job({**CUT, "sz3_error_bound": b}))[0]) for b in (0.0, 0.01))
    assert coarse < fine / 4


def test_the_mode_is_absolute_unless_given() -> None:
    assert STAGE.defaults(job({"sz3_error_bound": 0.5})) == {
        "sz3_error_bound_mode": "abs",
        "sz3_error_bound": 0.5,
    }
    assert STAGE.params == ("sz3_error_bound_mode", "sz3_error_bound")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"sz3_error_bound_mode": "abs"},
        {"sz3_error_bound_mode": "l2norm", "sz3_error_bound": 1.0},
        {"sz3_error_bound_mode": "psnr", "sz3_error_bound": 0},
        {"sz3_error_bound_mode": "psnr", "sz3_error_bound": 1001},
        *(
            {**CUT, "sz3_error_bound": bound}
            for bound in (-1, float("nan"), float("inf"), 1 << 60, "1", True)
        ),
    ],
    ids=str,
)
def test_a_parameter_out_of_range_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(EncodeError, match="sz3"):
        STAGE.defaults(job(params))


@pytest.mark.parametrize(
    "seen",
    [job()._replace(dtype=BY_NAME[name]) for name in ("float32", "int64", "complex64")]
    + [job(sample_bits=8), job(packed=True), job(elements=0)],
    ids=str,
)
def test_anything_but_plain_float64_values_is_refused(seen: Job) -> None:
    with pytest.raises(EncodeError, match="sz3"):
        STAGE.defaults(seen)


def test_a_range_that_is_not_finite_is_refused() -> None:
    values = np.array([-1.7e308, 1.7e308])
    with pytest.raises(EncodeError, match="range is not finite"):
        STAGE.encode(values.tobytes(), job({**CUT, "sz3_error_bound_mode": "rel"}))


# ---- reading


@budget(120)
@given(BOUNDS, SIZES, st.integers(0, 99))
def test_the_references_payloads_are_read_bit_for_bit(params: dict[str, Any], size: int, seed: int) -> None:
    values = values_of(size, seed)
    descriptor = {"type": "ntensor", "shape": [size], "dtype": "float64", "compression": "sz3", **params}
    message = tensogram.encode({}, [(descriptor, values)])
    payload = bytes(tgmtool.decode(message).objects[0].payload)
    found = bytes(STAGE.decode(payload, values.nbytes, job(params)))
    assert found == np.asarray(tensogram.decode(message)[1][0][1]).tobytes()
    big = np.frombuffer(STAGE.decode(payload, values.nbytes, job(params, byte_order="big")), ">f8")
    assert big.astype("<f8").tobytes() == found


def test_every_algorithm_that_the_reference_chooses_is_among_what_is_tried() -> None:
    assert {algorithm(payload) for payload, _, _ in cases()} == {LORENZO, INTERPOLATION, LOSSLESS}


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (0, b"\x00", "data version"),
        (4, b"\x01", "data version"),
        (8, struct.pack("<Q", 1 << 40), "does not fit"),
        (8, struct.pack("<Q", 0), "does not fit"),
        (16, struct.pack("<Q", 1 << 40), "too long"),
        (-34, b"\x21", "one dimension"),
        (-33, b"\x02", "one dimension"),
        (-31, b"\x00", "elements"),
        (-29, struct.pack("<Q", 1 << 40), "elements"),
        (-21, b"\x03", "algorithm"),
        (-20, b"\x01", "not one that is written"),
        (-11, b"\xe8", "predictors"),
        (-9, struct.pack("<i", -1), "not one that is written"),
        (-5, struct.pack("<i", 1 << 30), "not one that is written"),
    ],
)
def test_a_lie_is_found_before_pysz_sees_it(at: int, value: bytes, said: str) -> None:
    payload = bytearray(theirs("float64", values_of(5000, 0), CUT, "sz3")[0])
    assert algorithm(bytes(payload)) != LOSSLESS
    start = at if at >= 0 else len(payload) + at
    payload[start : start + len(value)] = value
    with pytest.raises(PayloadError, match=said):
        STAGE.decode(bytes(payload), 40_000, job())


@pytest.mark.parametrize("what", ["elements", "values kept", "tree"])
def test_sizes_inside_the_stream_are_not_believed(what: str) -> None:
    payload, size, seen = next(case for case in cases() if algorithm(case[0]) == INTERPOLATION)
    stream = bytearray(stream_of(payload))
    (kept,) = struct.unpack_from("<Q", stream, 57)
    at = {"elements": 0, "values kept": 57, "tree": 69 + 8 * kept}[what]
    stream[at : at + 8] = b"\x7f" * 8
    with pytest.raises(PayloadError, match=r"sz3: (the stream|a Huffman tree)"):
        STAGE.decode(repacked(payload, bytes(stream)), size, seen)


@pytest.mark.parametrize("keep", [0, 1, 15, 60, 0.5, 0.99])
@pytest.mark.parametrize("ours", [True, False])
def test_a_payload_cut_short_is_an_error_of_ours(keep: float, *, ours: bool) -> None:
    values = values_of(5000, 0)
    payload = bytes(
        STAGE.encode(values.tobytes(), job())[0] if ours else theirs("float64", values, CUT, "sz3")[0]
    )
    with pytest.raises(PayloadError, match="sz3"):
        STAGE.decode(payload[: int(keep * len(payload)) if 0 < keep < 1 else int(keep)], 40_000, job())


@pytest.mark.parametrize("size", [0, 8, 39_992, 40_008, 40_001])
def test_another_size_than_the_descriptors_is_refused(size: int) -> None:
    payload = bytes(STAGE.encode(values_of(5000, 0).tobytes(), job())[0])
    with pytest.raises(PayloadError, match="sz3"):
        STAGE.decode(payload, size, job())


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    payload, size, seen = next(case for case in cases() if algorithm(case[0]) == INTERPOLATION)
    monkeypatch.setitem(sys.modules, "pysz", None)
    with pytest.raises(CodecUnavailable, match=r"pip install 'tgmtool\[sz3\]'") as caught:
        STAGE.decode(payload, size, seen)
    assert (caught.value.codec, caught.value.extra) == ("sz3", "sz3")


def test_damage_never_ends_the_process() -> None:
    survives_in_a_child("test_sz3", 1000)
