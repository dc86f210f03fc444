"""Simple packing: bit for bit what the reference packs and unpacks, at every width."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tensogram
from hypothesis import given
from hypothesis import strategies as st

import tgmtool
from tests.conformance.oracle import budget, exact
from tgmtool import EncodeError, PayloadError
from tgmtool.codecs.base import Job, Parts
from tgmtool.codecs.dtypes import BY_NAME, DTYPES
from tgmtool.codecs.simple_packing import STAGE, fewest_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITS, REFERENCE = "sp_bits_per_value", "sp_reference_value"
BINARY, DECIMAL = "sp_binary_scale_factor", "sp_decimal_scale_factor"
CHUNK = 32 * 1024  # values that the codec takes at once
WIDTHS = range(65)
VECTORS = Path(__file__).parent.parent / "vectors"
KINDS = ("field", "constant", "huge", "zeros", "integers", "subnormal", "halves")


def job(params: dict[str, Any], byte_order: str = "little", dtype: str = "float64") -> Job:
    return Job(BY_NAME[dtype], 0, params, byte_order=byte_order)


def some(kind: str, size: int) -> NDArray[np.float64]:
    random = np.random.default_rng(size)
    found: dict[str, NDArray[Any]] = {
        "field": random.normal(280, 20, size),
        "constant": np.full(size, -3.7),
        "huge": np.exp(random.normal(0, 40, size)) * random.choice([-1.0, 1.0], size),
        "zeros": np.where(random.random(size) < 0.4, random.choice([-0.0, 0.0], size), random.random(size)),
        "integers": random.integers(0, 1 << 60, size) >> random.integers(0, 60, size),
        "subnormal": random.integers(0, 99, size) * 5e-324 + 1e-50 * (random.random(size) < 0.5),
        "halves": random.integers(0, 1 << 20, size) + 0.5,
    }
    return found[kind].astype(np.float64)


def packed(values: NDArray[np.float64], params: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Payload, and the parameters as they stand in the descriptor then."""
    order = "big" if values.dtype.byteorder == ">" else "little"
    resolved = {**params, **STAGE.defaults(job(params, order))}
    payload, decided = STAGE.encode(values.tobytes(), job(resolved, order))
    return bytes(payload), {**resolved, **decided}


def unpacked(payload: bytes, params: dict[str, Any], size: int) -> NDArray[np.float64]:
    return np.frombuffer(STAGE.decode(payload, 8 * size, job(params)), "<f8")


def message(values: NDArray[np.float64], **params: Any) -> bytes:
    order = "big" if values.dtype.byteorder == ">" else "little"
    descriptor = {"type": "ntensor", "shape": [values.size], "dtype": "float64", "byte_order": order}
    pair = ({**descriptor, "encoding": "simple_packing", **params}, values.tobytes())
    return bytes(tensogram.encode({}, [pair]))


def theirs(values: NDArray[np.float64], **params: Any) -> tuple[bytes, dict[str, Any], bytes]:
    """What the reference writes, the parameters it finds, and what it reads back (little-endian)."""
    whole = message(values, **params)
    found = tgmtool.decode(whole).objects[0]
    back = np.asarray(tensogram.decode(whole)[1][0][1]).astype("<f8").tobytes()
    return bytes(found.payload), dict(found.descriptor.pipeline.params), back


def refuses(values: NDArray[np.float64], **params: Any) -> bool:
    try:
        message(values, **params)
    except ValueError:
        return True
    return False


# ---- against the reference


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_payload_parameters_and_values_are_the_references_bit_for_bit(kind: str, bits: int) -> None:
    for size in (0, 1, 7, 64, 1000):
        for decimal in (None, 3, -2):
            values = some(kind, size)
            params = {BITS: bits} | ({} if decimal is None else {DECIMAL: decimal})
            payload, stored, back = theirs(values, **params)
            mine, found = packed(values, params)
            assert exact(found) == exact(stored)
            assert mine == payload
            assert unpacked(payload, stored, size).tobytes() == back


@pytest.mark.parametrize("bits", [1, 3, 8, 10, 16, 17, 24, 25, 26, 32, 33, 48, 52, 53, 57, 59, 61, 63, 64])
@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 9])
def test_pieces_of_a_large_payload_fit_together(bits: int, size: int) -> None:
    values = some("field", size)
    payload, stored, back = theirs(values, **{BITS: bits})
    assert packed(values, {BITS: bits})[0] == payload
    assert unpacked(payload, stored, size).tobytes() == back


@pytest.mark.parametrize("bits", [5, 8, 12, 16, 53, 64])
def test_values_in_the_other_byte_order_are_packed_alike_and_come_back_in_it(bits: int) -> None:
    values = some("field", 2 * CHUNK + 9).astype(">f8")
    payload, stored, back = theirs(values, **{BITS: bits})
    mine, found = packed(values, {BITS: bits})
    assert (mine, exact(found)) == (payload, exact(stored))
    data = STAGE.decode(payload, values.nbytes, job(stored, "big"))
    assert np.frombuffer(data, ">f8").astype("<f8").tobytes() == back


@budget(300)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30),
    st.integers(0, 64),
    st.integers(-330, 330) | st.integers(-4, 4),
)
def test_any_values_are_packed_as_the_reference_does_or_refused(
    numbers: list[float], bits: int, decimal: int
) -> None:
    values = np.array(numbers, np.float64)
    params = {BITS: bits, DECIMAL: decimal}
    try:
        mine, found = packed(values, params)
    except EncodeError:
        # What we refuse and the reference does not, comes back from it as NaN, or all alike.
        if not refuses(values, **params):
            assert abs(decimal) > 200
        return
    payload, stored, back = theirs(values, **params)
    assert (mine, exact(found)) == (payload, exact(stored))
    assert unpacked(payload, stored, len(values)).tobytes() == back


@budget(300)
@given(
    st.lists(st.floats(-1e6, 1e6), max_size=30),
    st.integers(0, 64),
    st.floats(-1e6, 1e6) | st.integers(-1000, 1000),
    st.integers(-60, 60),
    st.integers(-9, 9),
)
def test_given_reference_values_and_scales_are_used_and_what_does_not_fit_saturates(
    numbers: list[float], bits: int, reference: float, binary: int, decimal: int
) -> None:
    values = np.array(numbers, np.float64)
    params = {BITS: bits, REFERENCE: reference, BINARY: binary, DECIMAL: decimal}
    payload, stored, back = theirs(values, **params)
    mine, found = packed(values, params)
    assert (mine, exact(found)) == (payload, exact(stored))
    assert unpacked(payload, stored, len(values)).tobytes() == back


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_any_scales_in_a_descriptor_are_read_as_the_reference_reads_them(byte_order: str) -> None:
    payload = bytes(range(1, 9))
    plain = {"type": "ntensor", "shape": [4], "dtype": "float64", "byte_order": byte_order}
    plain |= {"encoding": "simple_packing", "filter": "none", "compression": "none"}
    edge = (1 << 31) - 1
    for binary in (-edge, -1100, -1074, -1030, -1022, -300, 0, 300, 1023, 1024, 2000, edge):
        for decimal in (-edge, -400, -309, -308, -17, 0, 22, 23, 308, 309, 400, edge):
            params = {BITS: 16, REFERENCE: 1.5, BINARY: binary, DECIMAL: decimal}
            whole = tensogram.encode_pre_encoded({}, [({**plain, **params}, payload)])
            expected = np.asarray(tensogram.decode(whole)[1][0][1]).astype("<f8")
            data = STAGE.decode(payload, 32, job(params, byte_order))
            found = np.frombuffer(data, ">f8" if byte_order == "big" else "<f8").astype("<f8")
            assert np.array_equal(found, expected, equal_nan=True), (binary, decimal)


def vectors() -> list[Any]:
    found = []
    for file in json.loads((VECTORS / "manifest.json").read_text())["files"]:
        for message in file.get("messages", []):
            stages = [(o["encoding"], o["filter"], o["compression"]) for o in message["objects"]]
            if stages == [("simple_packing", "none", "none")]:
                found.append(pytest.param(file["file"], message["objects"][0]["sha256"], id=file["file"]))
    return found


@pytest.mark.parametrize(("name", "digest"), vectors())
def test_files_of_the_reference_are_read(name: str, digest: str) -> None:
    found = tgmtool.decode((VECTORS / name).read_bytes()).objects[0]
    kind = found.descriptor
    data = STAGE.decode(
        bytes(found.payload), kind.size, job(dict(kind.pipeline.params), kind.byte_order or "little")
    )
    values = np.frombuffer(data, ">f8" if kind.byte_order == "big" else "<f8").astype("<f8")
    assert hashlib.sha256(values.tobytes()).hexdigest() == digest


# ---- what comes out


def test_the_largest_error_is_half_a_step() -> None:
    values = some("field", 5000)
    for bits in range(1, 50):
        payload, stored = packed(values, {BITS: bits})
        error = np.abs(unpacked(payload, stored, 5000) - values).max()
        assert error <= math.ldexp(0.5, stored[BINARY]) * (1 + 1e-9) + 1e-13


def test_halves_are_rounded_away_from_zero() -> None:
    numbers = [0.0, 0.49999999999999994, 0.5, 1.5, 2.5, 254.5, 2.0**51 + 0.5, 2.0**52 + 1]
    payload, _ = packed(np.array(numbers), {BITS: 64, REFERENCE: 0.0, BINARY: 0})
    assert np.frombuffer(payload, ">u8").tolist() == [0, 0, 1, 2, 3, 255, 2**51 + 1, 2**52 + 1]


def test_what_is_outside_becomes_the_smallest_or_the_largest() -> None:
    for bits in range(1, 65):
        values = np.array([-1e300, -0.4, 2.0**70, 1e300])
        payload, _ = packed(values, {BITS: bits, REFERENCE: 0.0, BINARY: 0})
        whole = int.from_bytes(payload, "big") >> -4 * bits % 8
        assert [whole >> bits * place & (1 << bits) - 1 for place in (3, 2, 1, 0)] == [0, 0] + 2 * [
            (1 << bits) - 1
        ]


@pytest.mark.parametrize("first", [0.0, -0.0])
def test_of_two_zeros_the_first_is_the_reference_value(first: float) -> None:
    values = np.array([5.0] * CHUNK + [first, -first, 1.0])
    _, stored = packed(values, {BITS: 8})
    assert math.copysign(1, stored[REFERENCE]) == math.copysign(1, first)


def test_without_bits_every_value_is_the_first() -> None:
    payload, stored = packed(np.array([2.5, 1.0, 9.0]), {BITS: 0})
    assert (payload, stored[REFERENCE]) == (b"", 2.5)
    assert unpacked(b"", stored, 3).tolist() == [2.5] * 3


def test_bits_after_the_last_value_mean_nothing() -> None:
    stored = {BITS: 3, REFERENCE: 0.0, BINARY: 0, DECIMAL: 0}
    assert unpacked(b"\x3f", stored, 1).tolist() == unpacked(b"\x20", stored, 1).tolist() == [1.0]


# ---- the stage


def test_what_the_caller_gives_and_what_the_data_decides() -> None:
    assert STAGE.params == (BITS, REFERENCE, BINARY, DECIMAL)
    assert STAGE.defaults(job({BITS: 8})) == {BITS: 8, DECIMAL: 0}
    values = np.array([1.0, 2.0]).tobytes()
    assert STAGE.encode(values, job({BITS: 8}))[1] == {REFERENCE: 1.0, BINARY: -7}
    given_ = {BITS: 8, REFERENCE: 1, BINARY: -7}
    assert STAGE.defaults(job(given_)) == {**given_, DECIMAL: 0}
    assert STAGE.encode(values, job(given_))[1] == {}


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_next_stage_sees_a_bit_stream_of_that_width(bits: int) -> None:
    seen = STAGE.after(job({BITS: bits}))
    assert (seen.sample_bits, seen.packed) == (bits, True)
    for count in (0, 1, 7, 8, 1001):
        assert STAGE.encoded_size(8 * count, job({BITS: bits})) == (count * bits + 7) // 8


EDGE = 1 << 31
REFUSED: list[dict[str, Any]] = [
    {},
    *({BITS: bits} for bits in (-1, 65, 1 << 70, 8.0, True, "8", None)),
    *({BITS: 8, DECIMAL: decimal} for decimal in (EDGE, -EDGE - 1, 2.0, False, "2", None)),
    {BITS: 8, REFERENCE: 1.0},
    {BITS: 8, BINARY: 1},
    *(
        {BITS: 8, BINARY: 0, REFERENCE: value}
        for value in (math.nan, math.inf, "1", None, True, (1 << 53) + 1)
    ),
    *({BITS: 8, REFERENCE: 1.0, BINARY: value} for value in (257, -257, EDGE, 1.0, None, True)),
]


@pytest.mark.parametrize("params", REFUSED, ids=repr)
def test_what_the_reference_refuses_is_refused_beforehand(params: dict[str, Any]) -> None:
    assert refuses(np.array([1.0, 2.0]), **params)
    with pytest.raises(EncodeError, match=r"^[^\n]*sp_[^\n]*$"):
        STAGE.defaults(job(params))


@pytest.mark.parametrize("name", [row.name for row in DTYPES if row.name != "float64"])
def test_only_float64_is_packed(name: str) -> None:
    stored = {BITS: 8, REFERENCE: 0.0, BINARY: 0, DECIMAL: 0}
    with pytest.raises(EncodeError, match=f"only float64, not {name}"):
        STAGE.defaults(job({BITS: 8}, dtype=name))
    with pytest.raises(PayloadError, match=f"only float64, not {name}"):
        STAGE.decode(b"", 0, job(stored, dtype=name))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf], ids=repr)
def test_what_is_not_finite_is_refused_wherever_it_stands(wrong: float) -> None:
    for place in (0, 1, 8, 999):
        values = some("field", 1000)
        values[place] = wrong
        for bits in (0, 8, 13):
            with pytest.raises(EncodeError, match="NaN or Inf"):
                packed(values, {BITS: bits})


@pytest.mark.parametrize(
    ("values", "decimal"),
    [([-1.7e308, 1.7e308], 0), ([0.0, 5e-324], 0), ([0.0, 1.0], 308), ([0.0, 1.0], -309), ([0, 1e-70], -20)],
)
def test_a_range_that_no_scale_reaches_is_refused(values: list[float], decimal: int) -> None:
    with pytest.raises(EncodeError, match="scale"):
        packed(np.array(values), {BITS: 8, DECIMAL: decimal})


# ---- hostile input

STORED = {BITS: 12, REFERENCE: 250.0, BINARY: -4, DECIMAL: 1}


@pytest.mark.parametrize("key", STORED)
def test_a_parameter_that_is_missing_or_wrong_is_refused_when_reading(key: str) -> None:
    without = {name: value for name, value in STORED.items() if name != key}
    with pytest.raises(PayloadError, match=key):
        STAGE.decode(bytes(12), 64, job(without))
    for wrong in (None, "1", True, [1], math.nan, math.inf, 1 << 40_000, -(1 << 60), {"x": 1}):
        with pytest.raises(PayloadError, match=key):
            STAGE.decode(bytes(12), 64, job({**STORED, key: wrong}))
    for wrong in (None, "1", True, 65, -1, 1 << 40_000):
        for ask in (
            lambda params: STAGE.encoded_size(64, job(params)),
            lambda params: STAGE.after(job(params)),
        ):
            with pytest.raises(PayloadError, match=BITS):
                ask({**STORED, BITS: wrong})


@pytest.mark.parametrize("size", [0, 1, 11, 13, 64, 1000])
def test_a_payload_of_another_size_is_refused(size: int) -> None:
    for read in (STAGE.decode, parts_of):
        with pytest.raises(PayloadError, match=f"has {size} bytes, expected 12: 8 times 12 bits"):
            read(bytes(size), 64, job(STORED))
        with pytest.raises(PayloadError, match="65 bytes are no float64"):
            read(bytes(size), 65, job(STORED))


@pytest.mark.parametrize("claimed", [8 << 40, 8 << 60])
def test_a_shape_that_claims_much_is_refused_before_anything_is_allocated(claimed: int) -> None:
    with pytest.raises(PayloadError, match="expected"):
        STAGE.decode(bytes(12), claimed, job(STORED))


@budget(200)
@given(
    st.binary(min_size=40, max_size=40),
    st.integers(1, 64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(1 - EDGE, EDGE - 1) | st.integers(-1100, 1100),
    st.integers(1 - EDGE, EDGE - 1) | st.integers(-330, 330),
)
def test_any_payload_and_any_scales_give_values_of_the_right_number(
    payload: bytes, bits: int, reference: float, binary: int, decimal: int
) -> None:
    count = 320 // bits
    params = {BITS: bits, REFERENCE: reference, BINARY: binary, DECIMAL: decimal}
    assert len(unpacked(payload[: (count * bits + 7) // 8], params, count)) == count


# ---- in parts


def parts_of(payload: bytes, size: int, seen: Job) -> Parts:
    assert STAGE.parts is not None
    return STAGE.parts(Parts(len(payload), lambda start, stop: payload[start:stop]), size, seen)


@budget(300)
@given(st.integers(0, 64), st.integers(0, 200), st.data(), st.sampled_from(["little", "big"]))
def test_a_part_is_what_stands_there_in_the_whole_and_reads_only_its_bytes(
    bits: int, size: int, data: st.DataObject, byte_order: str
) -> None:
    payload, stored = packed(some("field", size), {BITS: bits})
    seen = job(stored, byte_order)
    whole = bytes(STAGE.decode(payload, 8 * size, seen))
    asked: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return payload[start:stop]

    assert STAGE.parts is not None
    parts = STAGE.parts(Parts(len(payload), read), 8 * size, seen)
    assert parts.size == 8 * size
    assert not asked
    start, stop = sorted((data.draw(st.integers(0, 8 * size)), data.draw(st.integers(0, 8 * size))))
    assert bytes(parts.read(start, stop)) == whole[start:stop]
    if bits and start < stop:
        assert asked == [(start // 8 * bits // 8, (-(-stop // 8) * bits + 7) // 8)]
    assert bytes(parts.whole()) == whole


# ---- as few bits as a bound allows


def error_of(values: NDArray[np.float64], bits: int, decimal: int) -> float:
    try:
        payload, stored = packed(values, {BITS: bits, DECIMAL: decimal})
    except EncodeError:
        return math.inf
    return float(np.abs(unpacked(payload, stored, len(values)) - values).max(initial=0.0))


@budget(150)
@given(
    st.sampled_from(KINDS),
    st.integers(0, 60),
    st.sampled_from([0.0, 1e-300, 1e-13, 1e-9, 1e-3, 0.02, 0.5, 1.0, 30.0, 1e9, math.inf]),
    st.integers(-2, 3),
)
def test_the_fewest_bits_are_the_first_that_keep_the_bound(
    kind: str, size: int, bound: float, decimal: int
) -> None:
    values = some(kind, size)
    enough = (bits for bits in WIDTHS if error_of(values, bits, decimal) <= bound)
    expected = next(enough, None)
    if expected is None:
        with pytest.raises(EncodeError, match="no width"):
            fewest_bits(values, bound, decimal)
    else:
        assert fewest_bits(values, bound, decimal) == expected


def test_the_value_that_moves_most_may_stand_in_any_chunk() -> None:
    for place in (0, CHUNK, 3 * CHUNK - 1):
        values = np.zeros(3 * CHUNK)
        values[[place, place - 1]] = 1.0, 1 / 3
        bits = fewest_bits(values, 1e-6)
        assert error_of(values, bits, 0) <= 1e-6 < error_of(values, bits - 1, 0)


def test_a_constant_needs_no_bits_and_values_of_any_shape_are_taken() -> None:
    assert fewest_bits(np.full((3, 4), 1.7), 0.0) == 0
    assert fewest_bits(np.zeros((0, 4)), 0.0) == 0
    assert fewest_bits(np.arange(256.0).reshape(16, 16)[::2, ::2], 0.0) == 7  # even numbers


@pytest.mark.parametrize("bound", [-1.0, math.nan, -math.inf], ids=repr)
def test_a_bound_that_cannot_be_is_refused(bound: float) -> None:
    with pytest.raises(EncodeError, match="bound"):
        fewest_bits(np.arange(3.0), bound)


def test_values_that_are_not_finite_have_no_width() -> None:
    with pytest.raises(EncodeError, match="NaN or Inf"):
        fewest_bits(np.array([1.0, math.nan]), 1.0)
