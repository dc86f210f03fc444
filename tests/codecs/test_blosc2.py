"""Blosc2: the reference's frame, and nothing in a chunk that the library should not be asked for."""

from __future__ import annotations

import struct
import sys
from itertools import pairwise
from typing import Any

import blosc2
import numpy as np
import pytest
import tensogram
from hypothesis import given
from hypothesis import strategies as st

import tgmtool
from tests.codecs.test_szip import survives_in_a_child, theirs, whole
from tests.conformance.oracle import budget
from tgmtool import CodecUnavailable, EncodeError, PayloadError
from tgmtool.codecs import blosc2 as codec
from tgmtool.codecs.base import Job, Parts
from tgmtool.codecs.blosc2 import STAGE
from tgmtool.codecs.dtypes import BY_NAME

CODECS = ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
# Of these the library holds the version that the reference holds.
SAME = ("blosclz", "lz4hc", "zstd")
DTYPES = ("int8", "uint16", "int32", "float32", "float64", "complex64", "complex128")
HEAD = 97

same_blosc2 = pytest.mark.skipif(
    blosc2.__version__.split(".")[0] != "4",
    reason="measured with blosc2 4, which holds the blosclz, lz4hc and zstd of the reference",
)


def job(dtype: str = "float32", params: dict[str, Any] | None = None, **more: Any) -> Job:
    row = BY_NAME[dtype]
    return Job(row, 1, params or {}, sample_bits=row.bits)._replace(**more)


def values_of(dtype: str, size: int, kind: int) -> np.ndarray[Any, Any]:
    chance = np.random.default_rng(kind)
    values = (
        chance.integers(-3, 4, size).cumsum(),
        np.zeros(size),
        np.full(size, 5),
        chance.integers(0, 99, size),
    )
    return (values[kind % 4] % 100).astype("<" + BY_NAME[dtype].numpy)


def packed(values: np.ndarray[Any, Any], dtype: str = "float32", **params: Any) -> bytes:
    return bytes(STAGE.encode(values.tobytes(), job(dtype, params))[0])


def part(payload: bytes, size: int, start: int, stop: int) -> bytes:
    assert STAGE.parts
    return bytes(STAGE.parts(whole(payload), size, job()).read(start, stop))


def cases() -> list[tuple[bytes, int, Job]]:
    found = []
    for name in CODECS:
        for size in (1, 500, 60_000):
            values = values_of("float32", size, 0)
            payload = packed(values, blosc2_codec=name, blosc2_clevel=5)
            found.append((payload, values.nbytes, job()))
    return found


# ---- writing


@same_blosc2
@budget(60)
@given(
    st.sampled_from(SAME),
    st.integers(0, 9),
    st.sampled_from(DTYPES),
    st.sampled_from([1, 2, 7, 3000, 50_000]),
    st.integers(0, 9),
)
def test_a_payload_is_the_references_byte_for_byte(
    name: str, level: int, dtype: str, size: int, kind: int
) -> None:
    values = values_of(dtype, size, kind)
    params = {"blosc2_codec": name, "blosc2_clevel": level}
    assert packed(values, dtype, **params) == theirs(dtype, values, params, "blosc2")[0]


@budget(60)
@given(
    st.sampled_from(CODECS),
    st.integers(0, 9),
    st.sampled_from(DTYPES),
    st.sampled_from([1, 7, 3000, 50_000]),
    st.integers(0, 9),
)
def test_either_side_reads_what_the_other_wrote(
    name: str, level: int, dtype: str, size: int, kind: int
) -> None:
    values = values_of(dtype, size, kind)
    params = {"blosc2_codec": name, "blosc2_clevel": level}
    payload, _ = theirs(dtype, values, params, "blosc2")
    assert bytes(STAGE.decode(payload, values.nbytes, job(dtype, params))) == values.tobytes()
    ours = tgmtool.encode([values], compression="blosc2", params=params)
    assert np.asarray(tensogram.decode(ours)[1][0][1]).tobytes() == values.tobytes()


@pytest.mark.parametrize("filter_", ["none", "shuffle"])
@pytest.mark.parametrize("bits", [5, 16, 33])
def test_packed_values_are_read_by_either_side(bits: int, filter_: str) -> None:
    values = np.linspace(250, 300, 1000)
    params: dict[str, Any] = {"sp_bits_per_value": bits}
    if filter_ == "shuffle":
        params["shuffle_element_size"] = 1
    message = tgmtool.encode(
        [values], encoding="simple_packing", filter=filter_, compression="blosc2", params=params
    )
    found = tgmtool.decode(message).objects[0].array
    np.testing.assert_array_equal(found, np.asarray(tensogram.decode(message)[1][0][1]))
    descriptor = {"type": "ntensor", "shape": [1000], "dtype": "float64", "encoding": "simple_packing"}
    descriptor |= {"filter": filter_, "compression": "blosc2", **params}
    official = tgmtool.decode(tensogram.encode({}, [(descriptor, values)])).objects[0].array
    np.testing.assert_array_equal(found, official)


def test_codec_and_level_are_not_written_unless_given() -> None:
    values = values_of("float32", 3000, 0)
    assert STAGE.defaults(job()) == {}
    assert packed(values) == packed(values, blosc2_codec="lz4", blosc2_clevel=5)
    assert (STAGE.params, STAGE.level) == (("blosc2_codec", "blosc2_clevel"), "blosc2_clevel")


def test_more_threads_do_not_change_a_byte() -> None:
    values = np.random.default_rng(1).integers(0, 99, 1 << 20).astype("<i4")
    one, two = (STAGE.encode(values.tobytes(), job("int32", jobs=jobs))[0] for jobs in (1, 2))
    assert bytes(one) == bytes(two)
    assert bytes(STAGE.decode(one, values.nbytes, job("int32", jobs=2))) == values.tobytes()


@pytest.mark.parametrize(
    ("key", "value"),
    [("blosc2_codec", "snappy"), ("blosc2_codec", None), ("blosc2_codec", 1)]
    + [("blosc2_clevel", level) for level in (-1, 10, 5.0, "5", True)],
)
def test_a_parameter_out_of_range_is_refused(key: str, value: Any) -> None:
    with pytest.raises(EncodeError, match=key):
        STAGE.defaults(job(params={key: value}))


@pytest.mark.parametrize(
    "seen", [job("bitmask"), job(elements=0), job("float64", sample_bits=0, packed=True)], ids=str
)
def test_what_the_reference_cannot_take_is_refused(seen: Job) -> None:
    with pytest.raises(EncodeError, match="does not take"):
        STAGE.defaults(seen)


# ---- several chunks


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_CHUNK", 1000)
    monkeypatch.setattr(codec, "_SMALLEST_CHUNK", 1)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize("size", [999, 1000, 1001, 5555])
def test_chunks_follow_one_another(size: int, kind: int) -> None:
    data = values_of("int8", size, kind)
    payload = packed(data, "int8")
    assert bytes(STAGE.decode(payload, size, job("int8"))) == data.tobytes()
    for start, stop in ((0, size), (990, size), (size - 1, size), (1, 2), (3, 3)):
        assert part(payload, size, start, stop) == data.tobytes()[start:stop]


@pytest.mark.usefixtures("small_chunks")
def test_chunks_that_are_not_touched_are_not_read() -> None:
    data = np.random.default_rng(1).bytes(9000)
    payload = bytes(STAGE.encode(data, job("int8"))[0])
    asked = 0

    def read(start: int, stop: int) -> bytes:
        nonlocal asked
        asked += stop - start
        return payload[start:stop]

    assert STAGE.parts
    parts = STAGE.parts(Parts(len(payload), read), len(data), job("int8"))
    assert bytes(parts.read(4100, 4200)) == data[4100:4200]
    assert asked < 2000


# ---- reading


@budget(40)
@given(st.sampled_from(CODECS), st.integers(0, 9), st.lists(st.integers(0, 80_000), min_size=2, max_size=6))
def test_parts_are_slices_of_the_whole(name: str, kind: int, cuts: list[int]) -> None:
    values = values_of("float32", 20_000, kind)
    payload = packed(values, blosc2_codec=name)
    for start, stop in pairwise(cuts):
        first, last = sorted((start, stop))
        assert part(payload, values.nbytes, first, last) == values.tobytes()[first:last]


@pytest.mark.parametrize("keep", [0, 1, 86, 97, 128, 0.5, 0.99])
def test_a_payload_cut_short_is_an_error_of_ours(keep: float) -> None:
    values = values_of("float32", 3000, 0)
    payload = packed(values)
    with pytest.raises(PayloadError, match="blosc2"):
        STAGE.decode(payload[: int(keep * len(payload)) if 0 < keep < 1 else int(keep)], values.nbytes, job())


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (0, b"\x9f", "no contiguous frame"),
        (16, struct.pack(">Q", 1 << 40), "the payload has"),
        (30, struct.pack(">q", 1 << 40), "decoded bytes"),
        (39, struct.pack(">q", -1), "lengths"),
        (58, struct.pack(">i", 0), "out of range"),
        (58, struct.pack(">i", 1), "out of range"),
        (HEAD, b"\x06", "form or codec"),
        (HEAD + 2, b"\xc5", "form or codec"),  # a plug-in's codec
        (HEAD + 4, struct.pack("<i", 1 << 30), "decoded bytes"),
        (HEAD + 8, struct.pack("<i", 1 << 30), "out of range"),
        (HEAD + 12, struct.pack("<i", 1 << 30), "there are"),
        (HEAD + 21, b"\x23", "filter"),  # a plug-in's filter
        (HEAD + 31, b"\x08", "kind"),  # lazy: would be looked for on disk
        (HEAD + 31, b"\x40", "kind"),  # not initialised: would be what the memory held
    ],
)
def test_a_lie_is_found_before_the_library_sees_it(at: int, value: bytes, said: str) -> None:
    values = values_of("float32", 3000, 0)
    payload = bytearray(packed(values))
    payload[at : at + len(value)] = value
    with pytest.raises(PayloadError, match=said):
        STAGE.decode(bytes(payload), values.nbytes, job())


def test_another_size_than_the_descriptors_is_refused() -> None:
    values = values_of("float32", 3000, 0)
    with pytest.raises(PayloadError, match="expected 12004"):
        STAGE.decode(packed(values), values.nbytes + 4, job())


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    payload, size, seen = cases()[0]
    monkeypatch.setitem(sys.modules, "blosc2", None)
    with pytest.raises(CodecUnavailable, match=r"pip install 'tgmtool\[blosc2\]'") as caught:
        STAGE.decode(payload, size, seen)
    assert (caught.value.codec, caught.value.extra) == ("blosc2", "blosc2")


def test_damage_never_ends_the_process() -> None:
    survives_in_a_child("test_blosc2", 600)
