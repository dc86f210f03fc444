"""zfp: the reference's bytes, and a decoder that finds nothing beyond the payload's end."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tensogram
from hypothesis import given
from hypothesis import strategies as st

import tgmtool
from tests.codecs.test_szip import survives_in_a_child, theirs, whole
from tests.conformance.oracle import budget
from tgmtool import CodecUnavailable, EncodeError, PayloadError
from tgmtool.codecs.base import Job, Parts
from tgmtool.codecs.dtypes import BY_NAME
from tgmtool.codecs.zfp import STAGE

RATES = (0.5, 1.0, 2.9, 3.0, 3.1, 8.0, 16.0, 31.7, 64.0, 80.0)
MODES = st.one_of(
    st.sampled_from(RATES).map(lambda rate: {"zfp_mode": "fixed_rate", "zfp_rate": rate}),
    st.sampled_from([1, 17, 64]).map(lambda bits: {"zfp_mode": "fixed_precision", "zfp_precision": bits}),
    st.sampled_from([5e-324, 1e-9, 0.001, 1.0, 1e300]).map(
        lambda bound: {"zfp_mode": "fixed_accuracy", "zfp_tolerance": bound}
    ),
)
SIZES = st.sampled_from([1, 2, 3, 4, 5, 63, 64, 1001])


def job(params: dict[str, Any], **more: Any) -> Job:
    return Job(BY_NAME["float64"], 1, params, sample_bits=64)._replace(**more)


def values_of(size: int, seed: int) -> np.ndarray[Any, Any]:
    chance = np.random.default_rng(seed)
    kinds = (
        chance.normal(280, 30, size),
        chance.normal(0, 1, size).cumsum(),
        10.0 ** chance.integers(-300, 300, size),
    )
    return kinds[seed % 3].astype("<f8")


def packed(values: np.ndarray[Any, Any], params: dict[str, Any], **more: Any) -> bytes:
    return bytes(STAGE.encode(values.tobytes(), job(params, **more))[0])


def cases() -> list[tuple[bytes, int, Job]]:
    modes: list[dict[str, Any]] = [
        {"zfp_mode": "fixed_rate", "zfp_rate": 5.0},
        {"zfp_mode": "fixed_precision", "zfp_precision": 20},
        {"zfp_mode": "fixed_accuracy", "zfp_tolerance": 1e-9},
    ]
    return [
        (packed(values_of(size, size), params), 8 * size, job(params))
        for params in modes
        for size in (1, 5, 1000)
    ]


# ---- writing


@budget(120)
@given(MODES, SIZES, st.integers(0, 99))
def test_a_payload_is_the_references_and_reads_back_as_there(
    params: dict[str, Any], size: int, seed: int
) -> None:
    values = values_of(size, seed)
    payload, stored = theirs("float64", values, params, "zfp")
    assert packed(values, params) == payload
    assert STAGE.defaults(job(params)) == stored
    official = tgmtool.encode([values], compression="zfp", params=params)
    found = STAGE.decode(payload, values.nbytes, job(params))
    assert bytes(found) == np.asarray(tensogram.decode(official)[1][0][1]).tobytes()


@budget(30)
@given(MODES, SIZES, st.integers(0, 99))
def test_the_byte_order_does_not_change_the_payload(params: dict[str, Any], size: int, seed: int) -> None:
    values = values_of(size, seed)
    big = job(params, byte_order="big")
    payload = bytes(STAGE.encode(values.astype(">f8").tobytes(), big)[0])
    assert payload == packed(values, params)
    little = np.frombuffer(STAGE.decode(payload, values.nbytes, job(params)), "<f8")
    np.testing.assert_array_equal(np.frombuffer(STAGE.decode(payload, values.nbytes, big), ">f8"), little)
    message = tgmtool.encode([values.astype(">f8")], compression="zfp", params=params)
    np.testing.assert_array_equal(np.ravel(tensogram.decode(message)[1][0][1]), little)


@pytest.mark.parametrize(
    ("key", "mode"),
    [("zfp_rate", "fixed_rate"), ("zfp_precision", "fixed_precision"), ("zfp_tolerance", "fixed_accuracy")],
)
def test_one_key_says_the_mode(key: str, mode: str) -> None:
    assert STAGE.defaults(job({key: 16})) == {"zfp_mode": mode, key: 16}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"zfp_mode": "reversible"},
        {"zfp_mode": "fixed_rate"},
        {"zfp_rate": 8, "zfp_precision": 8},
        {"zfp_mode": "fixed_rate", "zfp_rate": 8, "zfp_precision": 8},
        *({"zfp_rate": rate} for rate in (0, -1, float("nan"), float("inf"), 5000, 1 << 60, "8", True)),
        *({"zfp_precision": bits} for bits in (0, -1, 65, 8.0)),
        *({"zfp_tolerance": bound} for bound in (0, 0.0, -1.0, float("inf"))),
    ],
    ids=str,
)
def test_a_parameter_out_of_range_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(EncodeError, match="zfp"):
        STAGE.defaults(job(params))


@pytest.mark.parametrize(
    "seen",
    [job({"zfp_rate": 8})._replace(dtype=BY_NAME[name]) for name in ("float32", "int64", "complex64")]
    + [job({"zfp_rate": 8}, sample_bits=8), job({"zfp_rate": 8}, sample_bits=64, packed=True)],
    ids=str,
)
def test_anything_but_plain_float64_values_is_refused(seen: Job) -> None:
    with pytest.raises(EncodeError, match="zfp takes"):
        STAGE.defaults(seen)


# ---- reading


@budget(60)
@given(MODES, st.integers(0, 99), st.lists(st.integers(0, 8008), min_size=2, max_size=6))
def test_parts_are_slices_of_the_whole(params: dict[str, Any], seed: int, cuts: list[int]) -> None:
    payload = packed(values_of(1001, seed), params)
    everything = bytes(STAGE.decode(payload, 8008, job(params)))
    assert STAGE.parts
    parts = STAGE.parts(whole(payload), 8008, job(params))
    for start, stop in pairwise(cuts):
        first, last = sorted((start, stop))
        assert bytes(parts.read(first, last)) == everything[first:last]


def test_a_part_of_a_fixed_rate_reads_only_its_blocks() -> None:
    params = {"zfp_mode": "fixed_rate", "zfp_rate": 5.0}
    payload = packed(values_of(100_000, 1), params)
    asked = 0

    def read(start: int, stop: int) -> bytes:
        nonlocal asked
        asked += stop - start
        return payload[start:stop]

    assert STAGE.parts
    STAGE.parts(Parts(len(payload), read), 800_000, job(params)).read(400_000, 400_800)
    assert asked < 200


@pytest.mark.parametrize("params", [case[2].params for case in cases()[::3]], ids=str)
@pytest.mark.parametrize("wrong", ["short", "long", "empty", "of nothing"])
def test_a_payload_of_another_length_is_an_error_of_ours(params: dict[str, Any], wrong: str) -> None:
    payload = packed(values_of(1000, 0), params)
    damaged, size = {
        "short": (payload[:8], 8000),
        "long": (payload * 200, 8000),
        "empty": (b"", 8000),
        "of nothing": (payload, 0),
    }[wrong]
    with pytest.raises(PayloadError, match="zfp"):
        STAGE.decode(damaged, size, job(params))


def test_nothing_is_nothing() -> None:
    seen = job({"zfp_mode": "fixed_rate", "zfp_rate": 8.0})
    assert bytes(STAGE.encode(b"", seen)[0]) == b""
    assert bytes(STAGE.decode(b"", 0, seen)) == b""


@pytest.mark.parametrize(
    "params",
    [{}, {"zfp_mode": "fixed_rate"}, {"zfp_mode": "fixed_rate", "zfp_rate": 1e18}, {"zfp_mode": [1]}],
)
def test_hostile_parameters_are_refused_before_zfp_sees_them(params: dict[str, Any]) -> None:
    with pytest.raises(PayloadError, match="zfp_"):
        STAGE.decode(b"\x00" * 64, 64, job(params))


def test_a_payload_that_is_not_of_float64_is_refused() -> None:
    params = {"zfp_mode": "fixed_rate", "zfp_rate": 8.0}
    with pytest.raises(PayloadError, match="float64"):
        STAGE.decode(b"\x00" * 64, 64, job(params)._replace(dtype=BY_NAME["float32"]))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    payload, size, seen = cases()[0]
    monkeypatch.setitem(sys.modules, "zfpy", None)
    with pytest.raises(CodecUnavailable, match=r"pip install 'tgmtool\[zfp\]'") as caught:
        STAGE.decode(payload, size, seen)
    assert (caught.value.codec, caught.value.extra) == ("zfp", "zfp")


def test_damage_never_ends_the_process() -> None:
    survives_in_a_child("test_zfp", 600)
