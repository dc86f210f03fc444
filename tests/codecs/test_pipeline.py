"""Stages run in order and back, and the table says honestly which of them can."""

from __future__ import annotations

import tomllib
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tgmtool
from tgmtool import CodecUnavailable, EncodeError, PayloadError, codecs
from tgmtool.codecs import COMPRESSION, ENCODING, FILTER, TABLE, is_known, names, stage
from tgmtool.codecs.base import Bytes, Job, Parts, Stage
from tgmtool.codecs.dtypes import BY_NAME
from tgmtool.codecs.pipeline import Pipeline
from tgmtool.codecs.simple_packing import fewest_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = (ENCODING, FILTER, COMPRESSION)
COUNT = 2048
NEEDED: dict[str, dict[str, Any]] = {
    "simple_packing": {"sp_bits_per_value": 16},
    "zfp": {"zfp_rate": 64.0},
    "sz3": {"sz3_error_bound": 0.0},
}
FLOATS_ALONE, BITS_ALONE = {"simple_packing", "zfp", "sz3"}, {"rle", "roaring"}


def params_of(*stages: str) -> dict[str, Any]:
    """The parameters without which a stage cannot be written."""
    return {key: value for name in stages for key, value in NEEDED.get(name, {}).items()}


def dtype_for(*stages: str) -> str:
    if BITS_ALONE & set(stages):
        return "bitmask"
    return "float64" if FLOATS_ALONE & set(stages) else "int32"


def values_of(dtype: str) -> NDArray[Any]:
    """Values that every stage keeps exactly: 65536 steps, of which packing to 16 bits needs each."""
    steps = np.arange(COUNT) * 7919 % 65536
    steps[:2] = 0, 65535
    if dtype == "bitmask":
        return np.packbits(steps > 40_000)
    return steps.astype(BY_NAME[dtype].numpy)


def job(dtype: str = "int32", /, **params: Any) -> Job:
    return Job(BY_NAME[dtype], COUNT, params)


VALUES = values_of("int32")


def goes_together(encoding: str, filter_: str, compression: str) -> bool:
    if compression in {"zfp", "sz3"}:
        return encoding == filter_ == "none"
    return encoding == "none" or compression not in BITS_ALONE


EVERY = [
    Pipeline(encoding, filter_, compression)
    for encoding, filter_, compression in product(*(names(kind) for kind in KINDS))
]
TOGETHER = [found for found in EVERY if goes_together(*found[:3])]
APART = [found for found in EVERY if not goes_together(*found[:3])]


def label(found: Pipeline) -> str:
    return "-".join(found[:3])


def ready(pipeline: Pipeline, **more: Any) -> tuple[Pipeline, NDArray[Any], Job]:
    """The resolved pipeline, values for it, and the job to encode them with."""
    dtype = dtype_for(*pipeline[:3])
    whole = pipeline.resolved(job(dtype, **params_of(*pipeline[:3]), **more))
    return whole, values_of(dtype), job(dtype, **whole.params)


def parts_of(data: memoryview) -> Parts:
    return Parts(len(data), lambda start, stop: data[start:stop])


def again(pipeline: Pipeline, before: Job) -> Job:
    """The job with which a reader decodes: with what stands in the descriptor."""
    return before._replace(params=pipeline.params)


# ---- the table


def test_the_table_holds_the_names_of_the_format_once() -> None:
    assert names(ENCODING) == ("none", "simple_packing")
    assert names(FILTER) == ("none", "shuffle")
    assert set(names(COMPRESSION)) == {
        *("none", "szip", "zstd", "lz4", "blosc2", "zfp", "sz3", "rle", "roaring")
    }
    assert len({(row.kind, row.name) for row in TABLE}) == len(TABLE)


def test_nothing_is_known_that_is_not_in_the_table() -> None:
    assert all(is_known(row.kind, row.name) for row in TABLE)
    for kind, name in ((FILTER, "zstd"), (ENCODING, "shuffle"), (COMPRESSION, ""), ("other", "none")):
        assert not is_known(kind, name)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.kind} {row.name}")
def test_every_row_runs(row: codecs.Row) -> None:
    found = stage(row.kind, row.name)
    assert isinstance(found, Stage)
    assert row.name in names(row.kind, runnable=True)
    dtype = dtype_for(row.name)
    data, at = values_of(dtype).tobytes(), job(dtype, **params_of(row.name))._replace(sample_bits=32)
    if dtype == "float64":
        at = at._replace(sample_bits=64)
    params = found.defaults(at)
    assert set(params) <= set(found.params)
    encoded, decided = found.encode(data, at._replace(params={**at.params, **params}))
    assert set(decided) <= set(found.params) - set(params)
    whole = at._replace(params={**at.params, **params, **decided})
    assert bytes(found.decode(encoded, len(data), whole)) == data


def test_every_module_of_a_stage_stands_in_the_table() -> None:
    """A codec's file that no row names would never run."""
    folder = Path(codecs.__file__).parent
    homes = {path.stem for path in folder.glob("*.py") if "\nSTAGE = " in path.read_text()}
    assert homes == {row.module for row in TABLE}


def test_a_parameter_belongs_to_one_stage() -> None:
    owned = [key for row in TABLE for key in stage(row.kind, row.name).params]
    assert len(owned) == len(set(owned))
    for row in TABLE:
        found = stage(row.kind, row.name)
        assert found.level is None or found.level in found.params


def test_a_name_that_does_not_exist_is_told_from_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PayloadError, match=r"compression 'gzip' does not exist, expected one of none, zstd"):
        stage(COMPRESSION, "gzip")
    row = codecs.Row(COMPRESSION, "to come", None, extra="some")
    monkeypatch.setitem(codecs._BY_NAME, (COMPRESSION, "to come"), row)
    with pytest.raises(
        CodecUnavailable, match=r"known but not yet supported .*it runs: none, zstd"
    ) as caught:
        stage(COMPRESSION, "to come")
    assert (caught.value.codec, caught.value.extra) == ("to come", "some")


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    row = codecs.Row(COMPRESSION, "packed", "packed_by_a_package_that_is_not_there", extra="some")
    monkeypatch.setitem(codecs._BY_NAME, (COMPRESSION, "packed"), row)
    with pytest.raises(CodecUnavailable, match=r"pip install 'tgmtool\[some\]'") as caught:
        stage(COMPRESSION, "packed")
    assert (caught.value.codec, caught.value.extra) == ("packed", "some")
    assert isinstance(caught.value.__cause__, ImportError)


PACKAGES = {"lz4": "lz4", "blosc2": "blosc2", "zfp": "zfpy", "zstd": "zstandard"}


@pytest.mark.parametrize("name", ["blosc2", "zfp"])
def test_a_codec_whose_package_is_missing_can_be_neither_written_nor_read(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole, values, at = ready(Pipeline(compression=name))
    payload, final = whole.encode(values.tobytes(), at)
    monkeypatch.setitem(__import__("sys").modules, PACKAGES[name], None)
    for use in (
        lambda: whole.encode(values.tobytes(), at),
        lambda: final.decode(payload, values.nbytes, again(final, at)),
    ):
        with pytest.raises(CodecUnavailable, match=rf"pip install 'tgmtool\[{name}\]'") as caught:
            use()
        assert (caught.value.codec, caught.value.extra) == (name, name)


def test_extras_are_those_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = {row.extra for row in TABLE} - {None}
    assert extras <= set(project["optional-dependencies"])


# ---- the pipeline


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("pipeline", TOGETHER, ids=label)
def test_what_goes_in_comes_out(pipeline: Pipeline, order: str) -> None:
    whole, values, at = ready(pipeline)
    at = at._replace(byte_order=order)
    data = (values.byteswap() if order == "big" else values).tobytes()
    payload, final = whole.encode(data, at)
    assert bytes(final.decode(payload, len(data), again(final, at))) == data
    assert pipeline.is_plain == (set(pipeline[:3]) == {"none"})


@pytest.mark.parametrize("pipeline", APART, ids=label)
def test_what_does_not_go_together_is_refused_before_anything_is_written(pipeline: Pipeline) -> None:
    with pytest.raises(EncodeError, match=r"no encoding or filter can stand before|packs only float64"):
        ready(pipeline)


@pytest.mark.parametrize("pipeline", TOGETHER, ids=label)
def test_what_the_data_decides_is_added_and_the_rest_stays_as_it_was(pipeline: Pipeline) -> None:
    whole, values, at = ready(pipeline)
    _, final = whole.encode(values.tobytes(), at)
    decided = {key: final.params[key] for key in set(final.params) - set(whole.params)}
    expected = {"sp_reference_value", "sp_binary_scale_factor"} if pipeline.encoding != "none" else set()
    expected |= {"szip_block_offsets"} if pipeline.compression == "szip" else set()
    assert set(decided) == expected
    assert {**whole.params, **decided} == final.params
    assert (final is whole) == (not expected)


@pytest.mark.parametrize("pipeline", TOGETHER, ids=label)
def test_parts_are_what_the_whole_has_there(pipeline: Pipeline) -> None:
    whole, values, at = ready(pipeline)
    data = values.tobytes()
    payload, final = whole.encode(data, at)
    random = np.random.default_rng(1)
    cuts = [sorted(int(n) for n in random.integers(0, len(data) + 1, 2)) for _ in range(30)]
    view = memoryview(payload).cast("B")
    parts = final.parts(parts_of(view), len(data), again(final, at))
    assert parts.size == len(data)
    for start, stop in [*cuts, [0, 0], [0, len(data)], [len(data), len(data)], [3, 4], [7, 17]]:
        assert bytes(parts.read(start, stop)) == data[start:stop], (start, stop)


def test_a_stage_that_is_undone_as_a_whole_is_undone_once() -> None:
    whole, values, at = ready(Pipeline(filter="shuffle", compression="zstd"))
    payload, final = whole.encode(values.tobytes(), at)
    asked = []

    def read(start: int, stop: int) -> Bytes:
        asked.append((start, stop))
        return memoryview(payload)[start:stop]

    parts = final.parts(Parts(len(payload), read), values.nbytes, again(final, at))
    assert asked == []
    for start in (0, 8, 400):
        assert bytes(parts.read(start, start + 8)) == values.tobytes()[start : start + 8]
    assert asked == [(0, len(payload))]


@pytest.mark.parametrize("pipeline", TOGETHER, ids=label)
def test_it_has_parts_where_every_stage_has(pipeline: Pipeline) -> None:
    whole_alone = {"shuffle", "zstd", "lz4", "sz3", "rle", "roaring"}
    assert pipeline.has_parts == (not whole_alone & set(pipeline[:3]))


def test_the_filter_comes_before_the_compression() -> None:
    data, at = VALUES.tobytes(), job(shuffle_element_size=4)
    both, _ = Pipeline(filter="shuffle", compression="zstd").encode(data, at)
    shuffled, _ = Pipeline(filter="shuffle").encode(data, at)
    assert bytes(both) == bytes(Pipeline(compression="zstd").encode(shuffled, at)[0])


def test_a_stage_is_told_what_those_before_it_made_of_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, bool, str]] = []

    def look(data: Bytes, at: Job) -> tuple[Bytes, dict[str, Any]]:
        seen.append((at.sample_bits, at.packed, at.byte_order))
        return data, {}

    def stage_of(kind: str, name: str) -> Stage:
        return stage(kind, name)._replace(encode=look) if kind == COMPRESSION else stage(kind, name)

    monkeypatch.setattr("tgmtool.codecs.pipeline.stage", stage_of)
    for pipeline, bits in (
        (Pipeline(), 32),
        (Pipeline(filter="shuffle"), 8),
        (Pipeline("simple_packing"), 12),
        (Pipeline("simple_packing", "shuffle"), 16),
    ):
        more = {"sp_bits_per_value": bits} if pipeline.encoding != "none" else {}
        dtype = dtype_for(*pipeline[:3])
        at = job(dtype, **more)._replace(byte_order="big")
        whole = pipeline.resolved(at)
        whole.encode(values_of(dtype).byteswap().tobytes(), at._replace(params=whole.params))
        assert seen.pop() == (bits, pipeline.encoding != "none", "big")


def test_a_payload_without_stages_is_handed_on_as_it_is() -> None:
    data = memoryview(VALUES.tobytes())
    assert Pipeline().encode(data, job())[0] is data
    assert Pipeline().decode(data, len(data), job()) is data


def test_only_what_must_stand_in_the_descriptor_is_resolved() -> None:
    assert Pipeline(compression="zstd").resolved(job()).params == {}
    assert Pipeline(compression="blosc2").resolved(job()).params == {}
    assert Pipeline(filter="shuffle", compression="zstd").resolved(job(zstd_level=9)).params == {
        "shuffle_element_size": 4,
        "zstd_level": 9,
    }


@pytest.mark.parametrize(
    ("pipeline", "params"),
    [
        (Pipeline(), {"zstd_level": 3}),
        (Pipeline(filter="shuffle"), {"zstd_level": 3}),
        (Pipeline(compression="zstd"), {"shuffle_element_size": 4}),
        (Pipeline(compression="zstd"), {"level": 3}),
        (Pipeline(compression="blosc2"), {"blosc2_level": 3}),
        (Pipeline(compression="szip"), {"sp_bits_per_value": 8}),
    ],
)
def test_a_parameter_that_no_stage_owns_is_refused(pipeline: Pipeline, params: dict[str, Any]) -> None:
    with pytest.raises(EncodeError, match=f"{next(iter(params))!r} belongs to no stage"):
        pipeline.resolved(job(**params))


@pytest.mark.parametrize("pipeline", TOGETHER, ids=label)
def test_a_payload_of_another_size_than_promised_is_refused(pipeline: Pipeline) -> None:
    bytewise: dict[str, Any] = {"shuffle_element_size": 1} if pipeline.filter == "shuffle" else {}
    whole, values, at = ready(pipeline, **bytewise)
    payload, final = whole.encode(values.tobytes(), at)
    # A block that is not full looks like a full one: szip and zfp cannot tell a few values fewer.
    fewer = () if pipeline.compression in {"szip", "zfp"} else (1, values.nbytes - 1, values.nbytes - 8)
    for size in (0, *fewer, values.nbytes + 1, values.nbytes + 8):
        with pytest.raises(PayloadError):
            final.decode(payload, size, again(final, at))


@pytest.mark.parametrize("pipeline", TOGETHER, ids=label)
def test_a_payload_that_is_cut_is_refused_as_a_whole_and_in_parts(pipeline: Pipeline) -> None:
    whole, values, at = ready(pipeline)
    payload, final = whole.encode(values.tobytes(), at)
    view = memoryview(payload).cast("B")
    for size in (0, 1, len(view) // 2, len(view) - 1):
        cut = view[:size]
        with pytest.raises(PayloadError):
            final.decode(cut, values.nbytes, again(final, at))
        with pytest.raises(PayloadError):
            final.parts(parts_of(cut), values.nbytes, again(final, at)).whole()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_that_does_not_exist_cannot_be_written(kind: str) -> None:
    chosen: dict[str, Any] = {kind: "gzip"}
    with pytest.raises(EncodeError, match=f"{kind} 'gzip' does not exist"):
        tgmtool.encode([VALUES], **chosen)


# ---- a bound on the error


def noisy(seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(280.0, 20.0, COUNT)


LOSSY = [Pipeline("simple_packing"), Pipeline(compression="zfp"), Pipeline(compression="sz3")]


@pytest.mark.parametrize("bound", [10.0, 0.1, 1e-3, 1e-9])
@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("pipeline", LOSSY, ids=label)
def test_a_bound_is_kept(pipeline: Pipeline, order: str, bound: float) -> None:
    values = noisy().astype(">f8" if order == "big" else "<f8")
    at = job("float64")._replace(byte_order=order)
    at = at._replace(params=pipeline.bounded(values.tobytes(), bound, at))
    whole = pipeline.resolved(at)
    payload, final = whole.encode(values.tobytes(), at._replace(params=whole.params))
    found = np.frombuffer(final.decode(payload, values.nbytes, again(final, at)), values.dtype)
    assert np.abs(found.astype(float) - values.astype(float)).max() <= bound


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e10, 1e300])
@pytest.mark.parametrize("bound", [1e-3, 1e-9, 1e-13, 1e-15, 1e-300, 0.0])
@pytest.mark.parametrize("pipeline", LOSSY, ids=label)
def test_a_bound_that_cannot_be_kept_is_refused(pipeline: Pipeline, bound: float, scale: float) -> None:
    values = noisy() * scale
    at = job("float64")
    try:
        at = at._replace(params=pipeline.bounded(values.tobytes(), bound, at))
    except EncodeError:
        assert pipeline.compression != "sz3"
        return
    payload, final = pipeline.resolved(at).encode(values.tobytes(), at)
    found = np.frombuffer(final.decode(payload, values.nbytes, again(final, at)))
    assert np.abs(found - values).max() <= bound


@pytest.mark.parametrize("bound", [30.0, 0.5, 1e-3])
def test_packing_takes_the_fewest_bits_that_keep_it(bound: float) -> None:
    values = noisy()
    bits = Pipeline("simple_packing").bounded(values.tobytes(), bound, job("float64"))["sp_bits_per_value"]
    assert bits == fewest_bits(values, bound)


@pytest.mark.parametrize("pipeline", [Pipeline(), Pipeline(filter="shuffle", compression="zstd")], ids=label)
def test_a_bound_has_no_use_where_nothing_is_lost(pipeline: Pipeline) -> None:
    with pytest.raises(EncodeError, match="loses nothing; choose the encoding simple_packing"):
        pipeline.bounded(noisy().tobytes(), 0.1, job("float64"))


@pytest.mark.parametrize("bound", [10.0, 0.1, 1e-3, 1e-6])
def test_a_bound_takes_the_fewest_bits_that_the_compression_takes(bound: float) -> None:
    values = np.cumsum(np.random.default_rng(3).normal(size=5000)) + 280
    kind = Pipeline("simple_packing", "none", "szip")
    chosen = kind.bounded(values.tobytes(), bound, Job(BY_NAME["float64"], values.size, {}))
    alone = Pipeline("simple_packing").bounded(
        values.tobytes(), bound, Job(BY_NAME["float64"], values.size, {})
    )
    bits = alone["sp_bits_per_value"]
    assert chosen == {"sp_bits_per_value": min(width for width in (8, 16, 24, 32) if width >= bits)}
    found = tgmtool.decode(
        tgmtool.encode([values], encoding="simple_packing", compression="szip", params=chosen)
    ).objects[0]
    assert np.abs(np.asarray(found.array, np.float64) - values).max() <= bound


LOSSLESS = [
    Pipeline(filter=filtered, compression=compression)
    for filtered, compression in product(("none", "shuffle"), ("none", "zstd", "lz4", "szip", "blosc2"))
    if (filtered, compression) != ("none", "szip")  # which does not take float64's 64 bits
]


def packed_by(pipeline: Pipeline, values: NDArray[Any]) -> tuple[Bytes, Pipeline, Job]:
    given = Job(BY_NAME["float64"], values.size, params_of(pipeline.encoding, pipeline.compression))
    resolved = pipeline.resolved(given)
    payload, final = resolved.encode(values.tobytes(), given._replace(params=resolved.params))
    return payload, final, given._replace(params=final.params)


@pytest.mark.parametrize("target", LOSSLESS, ids=label)
@pytest.mark.parametrize("encoding", ["none", "simple_packing"])
@pytest.mark.parametrize("source", LOSSLESS, ids=label)
def test_filter_and_compression_change_and_the_encoded_bits_do_not(
    source: Pipeline, encoding: str, target: Pipeline
) -> None:
    values = noisy()
    payload, pipeline, given = packed_by(source._replace(encoding=encoding), values)
    data, made = pipeline.repacked(payload, values.nbytes, given, target)
    assert (made.encoding, made.filter, made.compression) == (encoding, target.filter, target.compression)
    decoded = made.decode(data, values.nbytes, given._replace(params=made.params))
    assert bytes(decoded) == bytes(pipeline.decode(payload, values.nbytes, given))
    again, back = made.repacked(data, values.nbytes, given._replace(params=made.params), source)
    assert back.params == pipeline.params
    assert bytes(back.decode(again, values.nbytes, given._replace(params=back.params))) == bytes(decoded)


def test_parameters_that_no_stage_owns_are_kept_and_stale_ones_are_not() -> None:
    values = noisy()
    payload, pipeline, given = packed_by(Pipeline(compression="lz4"), values)
    odd = pipeline._replace(params={"mine": 1, "zstd_level": 9})
    _, made = odd.repacked(payload, values.nbytes, given, Pipeline(compression="zstd"))
    assert made.params == {"mine": 1}


def test_a_payload_that_does_not_hold_what_it_should_is_refused() -> None:
    for pipeline in (Pipeline(), Pipeline(compression="zstd")):
        payload, _, given = packed_by(pipeline, noisy()[:-1])
        with pytest.raises(PayloadError):
            pipeline.repacked(payload, noisy().nbytes, given, Pipeline(compression="lz4"))
