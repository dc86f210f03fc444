"""Objects of strangers are decoded in another process: the same values, and its death is an error."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool
from tests.builders import flip_bit
from tests.servers import HttpPlace
from tgmtool import DataObject, DigestMismatch, MemorySource, PayloadError
from tgmtool.endpoints import open_source
from tgmtool.errors import TgmError
from tgmtool.limits import Limits
from tgmtool.operations import decoding
from tgmtool.operations.cat_remote import Picked, decoder_of, pick
from tgmtool.operations.decoding import Decoder
from tgmtool.operations.wanted import Wanted

VALUES = np.cumsum(np.random.default_rng(7).normal(size=6_000)).reshape(60, 100)
VECTORS = Path(__file__).parents[1] / "vectors"
CODECS: dict[str, dict[str, Any]] = {
    "blosc2": {},
    "szip": {"encoding": "simple_packing", "params": {"sp_bits_per_value": 16}},
    "zfp": {"params": {"zfp_rate": 16}},
    "sz3": {"params": {"sz3_error_bound_mode": "abs", "sz3_error_bound": 0.01}},
}
RANGES = ((5, 905), (0, 6_000), (0, 0), (5_999, 6_000))


def stream(codec: str) -> bytes:
    try:
        return tgmtool.encode([(VALUES + i, {}) for i in range(3)], compression=codec, **CODECS[codec])
    except tgmtool.CodecUnavailable:
        pytest.skip(f"{codec} is not installed")


@pytest.fixture(autouse=True)
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Every child that is made; when the test is over, nobody is left."""
    made: list[int] = []
    fork = os.fork

    def noted() -> int:
        made.append(fork())
        return made[-1]

    monkeypatch.setattr(os, "fork", noted)
    yield made
    for number in made:
        with pytest.raises(ChildProcessError):
            os.waitpid(number, os.WNOHANG)


@pytest.fixture
def decoder(children: list[int]) -> Iterator[Decoder]:
    with decoder_of() as found:
        assert found is not None
        yield found


def picked(data: bytes, decoder: Decoder | None, **choices: Any) -> list[Picked]:
    return [one._replace(decoder=decoder) for one in pick(MemorySource(data), Wanted(**choices))]


@pytest.fixture
def zfp(decoder: Decoder) -> list[Picked]:
    return picked(stream("zfp"), decoder)


@pytest.mark.parametrize("codec", CODECS)
def test_values_are_those_that_are_decoded_here(codec: str, decoder: Decoder) -> None:
    data = stream(codec)
    for apart, here in zip(picked(data, decoder), picked(data, None), strict=True):
        values = apart.values()
        assert np.array_equal(values, here.values())
        assert (values.dtype, values.shape) == (here.values().dtype, (60, 100))
        assert apart.found.bytes_read == here.found.bytes_read
        assert not values.flags.writeable


@pytest.mark.parametrize("codec", CODECS)
def test_ranges_are_those_that_are_decoded_here(codec: str, decoder: Decoder) -> None:
    data = stream(codec)
    for apart, here in zip(
        picked(data, decoder, ranges=RANGES), picked(data, None, ranges=RANGES), strict=True
    ):
        assert np.array_equal(apart.values(), here.values())
        assert apart.found.bytes_read == here.found.bytes_read


@pytest.mark.parametrize(
    "name", ["mask_blosc2_complex64.tgm", "mask_streaming.tgm", "mask_roaring_float16.tgm"]
)
def test_masks_are_put_back(name: str, decoder: Decoder) -> None:
    pytest.importorskip("blosc2")
    data = (VECTORS / name).read_bytes()
    for apart, here in zip(picked(data, decoder), picked(data, None), strict=True):
        assert apart.values().tobytes() == here.values().tobytes()


def test_another_process_decodes_and_one_does_all(zfp: list[Picked], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DataObject, "array", property(lambda _: np.full((60, 100), float(os.getpid()))))
    processes = {float(one.values()[0, 0]) for one in zfp}
    assert len(processes) == 1
    assert os.getpid() not in processes


def test_what_needs_no_native_code_is_decoded_here(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "Child", None)
    (found,) = picked(tgmtool.encode([VALUES], compression="zstd"), decoder)
    assert np.array_equal(found.values(), VALUES)


@pytest.mark.parametrize("codec", ["blosc2", "szip", "sz3"])
def test_a_damaged_payload_is_the_error_that_it_is_here(codec: str, decoder: Decoder) -> None:
    data = bytearray(stream(codec))
    (first, *_) = picked(bytes(data), None)
    at = first.found.span.payload_offset
    data[at : at + 400] = bytes(400)
    apart, here = (pick(MemorySource(bytes(data)), Wanted(), verify=False) for _ in range(2))
    with pytest.raises(PayloadError) as found:
        next(apart)._replace(decoder=decoder).values()
    with pytest.raises(PayloadError) as expected:
        next(here).values()
    assert str(found.value) == str(expected.value)
    assert found.value.code == expected.value.code


def test_a_codec_that_dies_is_an_error_and_the_next_object_is_decoded(
    zfp: list[Picked], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(DataObject, "array", property(lambda _: os.kill(os.getpid(), signal.SIGSEGV)))
        with pytest.raises(TgmError, match=r"the codec 'zfp' was ended by SIGSEGV on object 0\.0"):
            zfp[0].values()
    assert np.allclose(zfp[1].values(), VALUES + 1, atol=0.1)


def test_a_codec_that_wants_more_memory_than_allowed_gets_none(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, *_ = picked(stream("zfp"), decoder)
    found.found.limits = Limits(decoded_bytes=1 << 20)
    monkeypatch.setattr(DataObject, "array", property(lambda _: np.ones(1 << 30)))
    with pytest.raises(MemoryError):
        found.values()


def test_a_codec_that_never_ends_is_ended(zfp: list[Picked], monkeypatch: pytest.MonkeyPatch) -> None:
    def forever(_: object) -> None:
        while True:
            pass

    monkeypatch.setattr(decoding, "SECONDS", 1)
    monkeypatch.setattr(DataObject, "array", property(forever))
    with pytest.raises(TgmError, match="more processor time than allowed"):
        zfp[0].values()


def test_bytes_that_cannot_be_read_are_the_reason_and_nobody_is_left(
    children: list[int],
) -> None:
    data = stream("zfp")
    first, *_ = picked(data, None)
    with HttpPlace(flip_bit(data, first.found.span.payload_offset + 9, 1)) as place:
        source = open_source(place.url)
        with pytest.raises(DigestMismatch):
            next(pick(source, Wanted())).values()
        source.close()
    assert len(children) == 1


def test_remote_objects_have_a_decoder_and_local_ones_none() -> None:
    data = stream("zfp")
    assert {one.decoder for one in pick(MemorySource(data), Wanted())} == {None}
    with HttpPlace(data) as place:
        source = open_source(place.url)
        found = list(pick(source, Wanted()))
        assert isinstance(found[0].decoder, Decoder)
        assert np.allclose(found[2].values(), VALUES + 2, atol=0.1)  # after the end of it
        source.close()
