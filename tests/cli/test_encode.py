"""The options of encode do what their help says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensogram

import tgmtool as library
from tests.cli.here import tgmtool as here
from tests.conformance.oracle import bits
from tests.operations.streams import field, framed, objects_in, steps_of
from tests.processes import tgmtool
from tgmtool import DataObject, Message, scan


def encoded(folder: Path, *words: object, stdin: bytes | None = None) -> list[Message]:
    """Run encode; return the messages."""
    out = folder / "out.tgm"
    done = here("encode", *words, "-o", out, stdin=framed(range(4)) if stdin is None else stdin, cwd=folder)
    assert (done.status, done.err) == (0, "")
    found = list(library.read(out))
    assert all(isinstance(one, Message) for one in found)
    return [one for one in found if isinstance(one, Message)]


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    np.save(tmp_path / "cube.npy", np.arange(24, dtype="<f4").reshape(2, 3, 4))
    return tmp_path


@pytest.mark.parametrize(
    ("group", "counts"), [(None, [1] * 4), ("1", [1] * 4), ("3", [3, 1]), ("all", [4]), ("file", [4])]
)
def test_group(tmp_path: Path, group: str | None, counts: list[int]) -> None:
    messages = encoded(tmp_path, *(("--group", group) if group else ()))
    assert [len(one.objects) for one in messages] == counts
    assert steps_of(messages) == [0, 1, 2, 3]


def test_a_file_is_one_message(cube: Path) -> None:
    (message,) = encoded(cube, "cube.npy", "--split-axis", "0")
    assert [one.array.shape for one in message.objects] == [(3, 4)] * 2


@pytest.mark.parametrize(("axis", "count"), [("0", 2), ("1", 3), ("-1", 4)])
def test_split_axis(cube: Path, axis: str, count: int) -> None:
    (message,) = encoded(cube, "cube.npy", "--split-axis", axis)
    assert len(message.objects) == count


def test_set_numbers_name_dims_and_extra(cube: Path) -> None:
    options = ("-s", "mars.step={i}", "-s", "mars.param=2t", "-s", "levels:=[1,2]", "-s", "code=007")
    names = ("--name", "t", "--dims", "y,x", "--extra", "title=a run")
    (message,) = encoded(cube, "cube.npy", "--split-axis", "0", *options, *names)
    assert [one.metadata["mars"] for one in message.objects] == [{"step": i, "param": "2t"} for i in (0, 1)]
    one = message.objects[0].metadata
    assert (one["levels"], one["code"], one["name"], one["dim_names"]) == ([1, 2], "007", "t", ["y", "x"])
    assert message.metadata.extra == {"title": "a run"}


def test_a_key_that_is_set_stands_beside_the_others_of_its_map(tmp_path: Path) -> None:
    head = b'{"dtype": "<f4", "shape": [1], "mars": {"step": 6, "class": "od"}}\n'
    words = ("encode", "--from", "framed", "-s", "mars.class=rd", "-s", "mars.type=fc", "-o", "out.tgm")
    assert tgmtool(*words, stdin=head + bytes(4), cwd=tmp_path).status == 0
    message = next(library.read(tmp_path / "out.tgm"))
    assert isinstance(message, Message)
    assert message.objects[0].metadata["mars"] == {"step": 6, "class": "rd", "type": "fc"}


def test_meta_from_a_file(cube: Path) -> None:
    (cube / "meta").write_text('{"a": 1}\n{"a": 2}\n')
    (message,) = encoded(cube, "cube.npy", "--split-axis", "0", "--meta", "meta")
    assert [one.metadata["a"] for one in message.objects] == [1, 2]


def test_compression_filter_and_level(cube: Path) -> None:
    options = ("--filter", "shuffle", "--compression", "zstd", "--compression-level", "9")
    (message,) = encoded(cube, "cube.npy", *options)
    found = message.objects[0].descriptor.pipeline
    assert (found.filter, found.compression, found.params["zstd_level"]) == ("shuffle", "zstd", 9)


@pytest.mark.parametrize(
    ("words", "header", "footer"),
    [("--layout buffered", True, False), ("--layout streaming", False, True), ("", False, True)],
)
def test_layout(tmp_path: Path, words: str, header: bool, footer: bool) -> None:
    (message,) = encoded(tmp_path, "--group", "all", *words.split())
    assert (bool(message.span.flags & 4), bool(message.span.flags & 8)) == (header, footer)


def test_no_hash_no_preceder_no_backfill(tmp_path: Path) -> None:
    options = ("--group", "all", "--layout", "streaming")
    (plain,) = encoded(tmp_path, *options, "--force")
    (bare,) = encoded(tmp_path, *options, "--force", "--no-hash", "--no-preceder", "--no-backfill")
    assert (plain.hash_frame is None, bare.hash_frame is None) == (False, True)
    assert (plain.span.streaming, bare.span.streaming) == (False, True)
    assert (plain.span.flags & 64, bare.span.flags & 64) == (64, 0)
    assert steps_of([bare]) == [0, 1, 2, 3]


def test_reproducible_follows_source_date_epoch(tmp_path: Path) -> None:
    def made(epoch: str | None, name: str) -> bytes:
        env = {} if epoch is None else {"SOURCE_DATE_EPOCH": epoch}
        words = ("encode", "--from", "framed", "--reproducible", "-o", tmp_path / name)
        assert tgmtool(*words, stdin=framed([1]), env=env).status == 0
        return (tmp_path / name).read_bytes()

    assert made(None, "a") == made("0", "b") == made(None, "c")
    assert b"2001-09-09T01:46:40Z" in made("1000000000", "d")


def test_a_file_and_a_pipe_are_the_same_bytes(tmp_path: Path) -> None:
    words = ("encode", "--from", "framed", "--reproducible", "--group", "2", "--layout", "buffered", "-o")
    assert tgmtool(*words, tmp_path / "a", stdin=framed(range(4))).status == 0
    assert tgmtool(*words, "-", stdin=framed(range(4))).out == (tmp_path / "a").read_bytes()


def test_json_tells_where_each_message_stands(tmp_path: Path) -> None:
    out = tmp_path / "a.tgm"
    done = tgmtool("encode", "--from", "framed", "--group", "2", "-j", "-o", out, stdin=framed(range(3)))
    rows = [json.loads(line) for line in done.lines]
    assert [(row["_offset"], row["_length"]) for row in rows] == [
        one[:2] for one in scan(out, unit="message")
    ]
    assert [row["_objects"] for row in rows] == [2, 1, 0]  # the last one says that it is over


def test_append_sentinel_and_pace(tmp_path: Path) -> None:
    encoded(tmp_path)
    messages = encoded(tmp_path, "--append", "--commit", "sentinel", "--pace", "1ms", stdin=framed([4, 5]))
    assert steps_of(messages) == [0, 1, 2, 3, 4, 5]
    done = json.loads((tmp_path / "out.tgm.done").read_text())
    assert done["bytes"] == (tmp_path / "out.tgm").stat().st_size


@pytest.mark.parametrize("group", ["1", "all"])
def test_nan_is_refused_and_what_came_before_is_whole(tmp_path: Path, group: str) -> None:
    bad = json.dumps({"dtype": "<f4", "shape": [1]}).encode() + b"\n" + np.float32("nan").tobytes()
    words: tuple[Any, ...] = ("encode", "--from", "framed", "--group", group, "-o", tmp_path / "a.tgm")
    assert tgmtool(*words, stdin=framed(range(2)) + bad).status == 1
    assert steps_of(objects_in(tmp_path / "a.tgm")) == [0, 1]


def test_raw_blocks_keep_what_was_whole(tmp_path: Path) -> None:
    words = ("encode", "--from", "raw", "--dtype", "<f4", "--shape", "2,3", "-o", tmp_path / "a.tgm")
    done = tgmtool(*words, stdin=field(0).tobytes() + bytes(5))
    assert done.status == 4
    assert "expected 24 bytes, got 5" in done.err
    assert len(objects_in(tmp_path / "a.tgm")) == 1


# ---- stages by name, masks, bounds, payloads that are encoded already


@pytest.fixture
def field_file(tmp_path: Path) -> Path:
    """A folder with `field.npy`, float64 and smooth, and `holes.npy`, the same with NaN and ±Inf."""
    np.save(tmp_path / "field.npy", SMOOTH)
    np.save(tmp_path / "holes.npy", HOLES)
    return tmp_path


SMOOTH = 280 + np.cumsum(np.random.default_rng(1).normal(size=(40, 50)), axis=1)
HOLES = SMOOTH.copy()
HOLES[1, 2], HOLES[3], HOLES[4, 5], HOLES[6, 7] = np.nan, np.nan, np.inf, -np.inf


def error_of(found: DataObject) -> float:
    """How far the value that moved most is from what it was."""
    return float(np.abs(np.asarray(found.array, np.float64) - SMOOTH).max())


def made(folder: Path, *words: object, env: dict[str, str] | None = None) -> DataObject:
    """Run encode without stdin; return the only object."""
    out = folder / "out.tgm"
    done = here("encode", *words, "-f", "-o", out, cwd=folder, env=env)
    assert (done.status, done.err) == (0, "")
    (found,) = objects_in(out)
    theirs = tensogram.decode(out.read_bytes(), verify_hash=True).objects[0][1]
    native = found.array.astype(found.array.dtype.newbyteorder("="))
    assert bits(native) == bits(theirs)
    return found


def refused(folder: Path, status: int, *words: object, env: dict[str, str] | None = None) -> str:
    """Run encode, which refuses in one line and leaves nothing; return the line."""
    before = sorted(os.listdir(folder))
    done = here("encode", *words, "-o", folder / "refused.tgm", cwd=folder, env=env)
    assert done.status == status, done.err
    assert done.err.count("\n") == 1
    assert "internal error" not in done.err
    assert sorted(os.listdir(folder)) == before
    return done.err


@pytest.mark.parametrize(
    ("words", "params"),
    [
        ("--compression zstd", {}),
        ("--compression zstd --compression-level 19", {"zstd_level": 19}),
        ("--compression lz4", {}),
        ("--compression blosc2", {}),
        ("--compression blosc2 --compression-level 9", {"blosc2_clevel": 9}),
        ("--compression blosc2 --param blosc2_codec=zstd", {"blosc2_codec": "zstd"}),
        ("--filter shuffle --compression szip", {"szip_rsi": 128}),
        ("--filter shuffle --compression szip --param szip_rsi=64", {"szip_rsi": 64}),
        ("--compression zfp --param zfp_rate=16", {"zfp_mode": "fixed_rate", "zfp_rate": 16}),
        (
            "--compression zfp --param zfp_mode=fixed_accuracy --param zfp_tolerance=0.5",
            {"zfp_tolerance": 0.5},
        ),
        ("--compression sz3 --param sz3_error_bound=0.5", {"sz3_error_bound": 0.5}),
        ("--encoding simple_packing --bits 12", {"sp_bits_per_value": 12}),
        ("--bits 16", {"sp_bits_per_value": 16}),
        ("--bits 16 --compression szip", {"sp_bits_per_value": 16, "szip_flags": 8}),
        ("--bits 24 --filter shuffle --compression zstd", {"shuffle_element_size": 3}),
        ("--bits 10 --param sp_decimal_scale_factor=1", {"sp_decimal_scale_factor": 1}),
    ],
)
def test_stages_are_chosen_by_name_with_their_parameters(field_file: Path, words: str, params: Any) -> None:
    found = made(field_file, "field.npy", *words.split())
    assert params.items() <= found.descriptor.pipeline.params.items()
    assert error_of(found) < 1


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ("--compression zip", 2, "--compression 'zip' does not exist, expected one of none, zstd"),
        ("--encoding zstd", 2, "--encoding 'zstd' does not exist"),
        ("--filter zstd", 2, "--filter 'zstd' does not exist"),
        ("--compression-level 3", 2, "compression 'none' has no level"),
        ("--compression lz4 --compression-level 3", 2, "compression 'lz4' has no level"),
        ("--compression zstd --compression-level 99", 1, "zstd_level 99 is out of range"),
        ("--bits 8 --encoding none", 2, "--bits belongs to --encoding simple_packing"),
        ("--bits 65", 2, "65"),
        ("--encoding simple_packing", 1, "sp_bits_per_value"),
        ("--compression zstd --param level=3", 1, "'level' belongs to no stage"),
        ("--param nonsense", 2, "nonsense"),
        ("--compression szip", 1, "shuffle them first"),
        ("--compression rle", 1, "rle compresses only bitmask"),
        ("--compression zfp", 1, "zfp needs one of"),
        ("--compression zfp --bits 8 --param zfp_rate=8", 1, "no encoding or filter can stand before"),
        ("--compression sz3", 1, "sz3 needs"),
        ("--bits 12 --compression szip", 1, "8, 16, 24 or 32 bits, not 12"),
        ("--error-bound nonsense", 2, "--error-bound 'nonsense': expected a number as 0.01"),
        ("--error-bound -1", 2, "--error-bound"),
        ("--error-bound nan", 2, "--error-bound"),
        ("--error-bound inf", 2, "--error-bound"),
        ("--error-bound %", 2, "--error-bound"),
        ("--error-bound 0.1 --encoding none", 1, "loses nothing"),
        ("--error-bound 0.1 --encoding none --compression zstd", 1, "loses nothing"),
        ("--nan-mask-method zip", 2, "expected one of nan, inf+, inf-"),
        ("--nan-mask-method blosc2", 2, "read but not written"),
        ("--small-mask-threshold -1", 2, "-1"),
        ("--descriptor field.npy", 2, "--descriptor belongs to --pre-encoded"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    field_file: Path, words: str, status: int, text: str
) -> None:
    assert text in refused(field_file, status, "field.npy", *words.split())


def test_a_dtype_that_a_stage_does_not_take_is_refused(cube: Path) -> None:
    assert "packs only float64" in refused(cube, 1, "cube.npy", "--bits", "8")
    assert "float64 values only" in refused(
        cube, 1, "cube.npy", "--compression", "zfp", "--param", "zfp_rate=8"
    )
    assert "is for float64 values" in refused(cube, 1, "cube.npy", "--error-bound", "0.1")


@pytest.mark.parametrize(
    "words", ["", "--bits 16", "--compression zfp --param zfp_rate=8", "--filter shuffle --compression zstd"]
)
def test_nan_and_inf_are_refused_with_index_and_option(field_file: Path, words: str) -> None:
    text = refused(field_file, 1, "holes.npy", *words.split())
    assert "the value at index [1, 2] is NaN; --allow-nan" in text
    text = refused(field_file, 1, "holes.npy", "--allow-nan", *words.split())
    assert "the value at index [4, 5] is Inf; --allow-inf" in text
    assert "is NaN; --allow-nan" in refused(field_file, 1, "holes.npy", "--allow-inf", *words.split())


@pytest.mark.parametrize("prefix", ["TENSOGRAM", "TGMTOOL"])
def test_nan_and_inf_are_allowed_by_option_or_environment(field_file: Path, prefix: str) -> None:
    by_option = made(field_file, "holes.npy", "--allow-nan", "--allow-inf")
    env = {f"{prefix}_ALLOW_NAN": "1", f"{prefix}_ALLOW_INF": "true"}
    by_environment = made(field_file, "holes.npy", env=env)
    for found in (by_option, by_environment):
        assert set(found.descriptor.masks or {}) == {"nan", "inf+", "inf-"}
        assert np.array_equal(found.array, HOLES, equal_nan=True)
    no = {f"{prefix}_ALLOW_NAN": "0", f"{prefix}_ALLOW_INF": "false"}
    assert "--allow-nan" in refused(field_file, 1, "holes.npy", env=no)


def methods_of(found: DataObject) -> dict[str, str]:
    return {kind: entry["method"] for kind, entry in (found.descriptor.masks or {}).items()}


def test_methods_and_threshold_of_masks(field_file: Path) -> None:
    allowed = ("holes.npy", "--allow-nan", "--allow-inf")
    assert set(methods_of(made(field_file, *allowed, "--small-mask-threshold", "250")).values()) == {"none"}
    assert set(methods_of(made(field_file, *allowed, "--small-mask-threshold", "249")).values()) == {
        "roaring"
    }
    words = ("--nan-mask-method", "rle", "--pos-inf-mask-method", "zstd", "--neg-inf-mask-method", "lz4")
    expected = {"nan": "rle", "inf+": "zstd", "inf-": "lz4"}
    assert methods_of(made(field_file, *allowed, *words)) == expected
    env = {
        "TENSOGRAM_NAN_MASK_METHOD": "rle",
        "TENSOGRAM_POS_INF_MASK_METHOD": "zstd",
        "TGMTOOL_NEG_INF_MASK_METHOD": "lz4",
        "TENSOGRAM_ALLOW_NAN": "1",
        "TENSOGRAM_ALLOW_INF": "1",
    }
    assert methods_of(made(field_file, "holes.npy", env=env)) == expected
    env["TENSOGRAM_SMALL_MASK_THRESHOLD"] = "1000"
    assert set(methods_of(made(field_file, "holes.npy", env=env)).values()) == {"none"}


@pytest.mark.parametrize("bound", ["5", "0.01", "1e-6", "1%", "0.001%"])
@pytest.mark.parametrize("words", ["", "--compression zstd", "--compression zfp", "--compression sz3"])
def test_an_error_bound_is_kept(field_file: Path, words: str, bound: str) -> None:
    allowed = float(bound.rstrip("%"))
    if bound.endswith("%"):
        allowed *= np.ptp(SMOOTH) / 100
    found = made(field_file, "field.npy", "--error-bound", bound, *words.split())
    assert error_of(found) <= allowed
    packs = found.descriptor.pipeline.encoding == "simple_packing"
    assert packs == (found.descriptor.pipeline.compression not in {"zfp", "sz3"})


def test_fewer_bits_would_not_keep_the_bound(field_file: Path) -> None:
    found = made(field_file, "field.npy", "--error-bound", "0.01")
    fewer = found.descriptor.pipeline.params["sp_bits_per_value"] - 1
    assert error_of(made(field_file, "field.npy", "--bits", fewer)) > 0.01


def test_variables_are_chosen_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", t=np.zeros(3), u=np.ones(3), v=np.full(3, 2.0))
    (message,) = encoded(tmp_path, "a.npz", "--variable", "v,t")
    assert sorted(one.metadata["name"] for one in message.objects) == ["t", "v"]
    assert "w" in here("encode", "a.npz", "--variable", "w", "-o", "x.tgm", cwd=tmp_path).err


def test_payloads_that_are_encoded_already(field_file: Path) -> None:
    one = made(field_file, "field.npy", "--bits", "16", "--compression", "szip")
    (field_file / "a.bin").write_bytes(one.payload)
    given = one.descriptor.to_map()
    (field_file / "d.json").write_text(json.dumps(given))
    again = made(field_file, "a.bin", "--pre-encoded", "--descriptor", "d.json", "--name", "t")
    assert bytes(again.payload) == bytes(one.payload)
    assert again.descriptor == one.descriptor
    assert again.metadata == {"name": "t"}
    (field_file / "d.json").write_text(json.dumps({**given, "shape": [41, 50]}))
    text = refused(field_file, 1, "a.bin", "--pre-encoded", "--descriptor", "d.json")
    assert "the payload is not what its descriptor says" in text
    (field_file / "d.json").write_text("no json")
    assert "d.json" in refused(field_file, 1, "a.bin", "--pre-encoded", "--descriptor", "d.json")
    assert "missing.json" in refused(field_file, 4, "a.bin", "--pre-encoded", "--descriptor", "missing.json")


@pytest.mark.parametrize(
    "words",
    ["--compression zstd --filter shuffle", "--bits 12", "--bits 16 --compression szip", "--error-bound 1%"],
)
def test_several_threads_write_the_same_bytes(field_file: Path, words: str) -> None:
    np.concatenate([SMOOTH + at for at in range(9)]).tofile(field_file / "a.raw")
    found = []
    for jobs in ("1", "4"):
        out = field_file / f"{jobs}.tgm"
        raw = ("a.raw", "--from", "raw", "--dtype", "<f8", "--shape", "40,50")
        options = ("--reproducible", "--group", "2", "-s", "mars.step={i}", "-J", jobs, "-o", out)
        assert here("encode", *raw, *words.split(), *options, cwd=field_file).status == 0
        found.append(out.read_bytes())
    assert found[0] == found[1]
    assert [one.metadata["mars"]["step"] for one in objects_in(field_file / "4.tgm")] == list(range(9))
