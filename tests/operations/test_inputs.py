"""Arrays out of what people have."""

from __future__ import annotations

import io
import json
import os
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.operations.streams import Array, buffered, entry, field, framed, npy, piped, streaming
from tgmtool import EncodeError, FormatError, MemorySource, SourceError, TgmError
from tgmtool.endpoints.stdio import StreamSource
from tgmtool.operations.inputs import Block, Item, items, read_metadata, split

C_ORDER = np.arange(24, dtype="<f4").reshape(2, 3, 4)
ARRAYS = {
    "C order": C_ORDER,
    "Fortran order": np.asfortranarray(C_ORDER),
    "big-endian": C_ORDER.astype(">f8"),
    "no axes": np.array(7, "<i2"),
    "empty": np.zeros((0, 3), "<u4"),
    "bool": np.array([True, False]),
    "complex": np.array([1 + 2j], "<c8"),
}
ROWS = Block("<f4", (2, 3))


def values_of(found: Any) -> list[Array]:
    return [item.values for item in found]


def same(found: Array, expected: Array) -> bool:
    return found.dtype == expected.dtype and found.shape == expected.shape and np.array_equal(found, expected)


# ---- npy


@pytest.mark.parametrize("name", list(ARRAYS))
def test_an_npy_file_gives_its_array(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.npy"
    np.save(path, ARRAYS[name])
    (found,) = values_of(items(path))
    assert same(found, ARRAYS[name])


def test_concatenated_npy_on_a_pipe_gives_every_array() -> None:
    with piped(b"".join(map(npy, ARRAYS.values()))) as source:
        found = values_of(items(source))
    assert all(map(same, found, ARRAYS.values()))
    assert len(found) == len(ARRAYS)


def test_an_array_comes_before_the_next_one_is_sent() -> None:
    reader, writer = os.pipe()
    source = StreamSource(reader, "<pipe>")
    found = items(source, "npy")
    for step in range(3):
        os.write(writer, npy(field(step)))
        assert same(next(found).values, field(step))
    os.close(writer)
    assert next(found, None) is None
    source.close()


def test_a_version_2_npy_header_is_read() -> None:
    file = io.BytesIO()
    np.lib.format.write_array(file, C_ORDER, version=(2, 0))
    (found,) = values_of(items(file.getvalue()))
    assert same(found, C_ORDER)


@pytest.mark.parametrize("size", range(1, len(npy(field(1)))))
def test_an_npy_cut_at_any_length_is_an_error_of_ours(size: int) -> None:
    with pytest.raises((EncodeError, SourceError)):
        list(items(npy(field(1))[:size], "npy"))


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "loaded"),))

    trap = np.array([Trap()], dtype=object)
    np.save(tmp_path / "a.npy", trap)
    np.savez(tmp_path / "a.npz", trap)
    (tmp_path / "pickled.npy").write_bytes(pickle.dumps(Trap()))
    for name in ("a.npy", "a.npz", "pickled.npy"):
        with pytest.raises(EncodeError):
            list(items(tmp_path / name))
    assert not (tmp_path / "loaded").exists()


def npy_of_shape(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


@pytest.mark.parametrize("shape", [(1 << 40,), (1 << 20, 1 << 20), (1 << 62, 1 << 62), (9,)])
def test_an_npy_that_claims_more_than_the_file_holds_is_refused_before_anything_is_allocated(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy_of_shape(shape) + bytes(32))
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="ends short"):
            list(items(path))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_an_npy_that_claims_too_much_on_a_pipe_costs_what_arrives() -> None:
    data = npy_of_shape((1 << 40,)) + bytes(32)
    tracemalloc.start()
    try:
        with piped(data) as source, pytest.raises(SourceError, match="ends short"):
            list(items(source))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(-1,), (-2, 3), (2, -3), (-2, -3)])
def test_an_npy_with_a_negative_length_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises((EncodeError, SourceError)):
        list(items(npy_of_shape(shape) + bytes(24)))


# ---- npz


def test_an_npz_gives_its_arrays_with_their_names(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", t=field(1), z=field(2))
    found = list(items(tmp_path / "a.npz"))
    assert [item.entry for item in found] == [{"name": "t"}, {"name": "z"}]
    assert all(map(same, values_of(found), [field(1), field(2)]))


def test_an_npz_on_a_pipe_is_read_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", t=field(1))
    with piped((tmp_path / "a.npz").read_bytes()) as source:
        assert same(next(items(source)).values, field(1))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_npz_is_an_error_of_ours(save: Any) -> None:
    file = io.BytesIO()
    save(file, t=np.arange(100))
    data = file.getvalue()
    strange = set()
    for at in range(0, len(data), 3):
        for damaged in (data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]):
            try:
                list(items(damaged, "npz"))
            except TgmError:
                pass
            except Exception as error:
                strange.add(f"{type(error).__name__}: {error}")
    assert not strange


# ---- raw


def test_every_full_raw_block_is_an_object() -> None:
    data = b"".join(field(step).tobytes() for step in range(4))
    with piped(data) as source:
        found = values_of(items(source, "raw", block=ROWS))
    assert all(map(same, found, map(field, range(4))))
    assert len(found) == 4


def test_a_short_last_raw_block_says_what_was_expected_and_got() -> None:
    found = items(field(0).tobytes() + bytes(10), "raw", block=ROWS)
    assert same(next(found).values, field(0))
    with pytest.raises(SourceError, match="block 1 ends short: expected 24 bytes, got 10"):
        next(found)


@pytest.mark.parametrize(
    ("dtype", "numpy", "said"),
    [("<f4", "<f4", None), (">f8", ">f8", None), ("int16", "<i2", None), ("bfloat16", "<u2", "bfloat16")],
)
def test_a_raw_dtype_is_numpys_or_the_formats(dtype: str, numpy: str, said: str | None) -> None:
    size = np.dtype(numpy).itemsize
    (found,) = items(bytes(range(2 * size)), "raw", block=Block(dtype, (2,)))
    assert found.values.dtype == np.dtype(numpy)
    assert found.dtype == said


def test_a_raw_bitmask_is_packed() -> None:
    (found,) = items(b"\xff\x80", "raw", block=Block("bitmask", (3, 3)))
    assert (found.dtype, found.shape, found.values.nbytes) == ("bitmask", (3, 3), 2)


@pytest.mark.parametrize(
    "block",
    [
        Block("O", (2,)),
        Block("nonsense", (2,)),
        Block("<f4", (0,)),
        Block("<f4", (-2, -3)),
        Block("V0", (2,)),
    ],
)
def test_a_raw_block_that_cannot_be_is_refused(block: Block) -> None:
    with pytest.raises(EncodeError):
        list(items(bytes(24), "raw", block=block))


def test_raw_needs_to_be_told_what_a_block_is() -> None:
    with pytest.raises(EncodeError, match="--dtype and --shape"):
        list(items(bytes(24), "raw"))


# ---- framed


def test_a_framed_stream_gives_arrays_with_their_metadata() -> None:
    with piped(framed(range(3))) as source:
        found = list(items(source, "framed"))
    assert [item.entry for item in found] == [entry(step) for step in range(3)]
    assert all(map(same, values_of(found), map(field, range(3))))


def test_a_framed_object_comes_before_the_next_one_is_sent() -> None:
    reader, writer = os.pipe()
    source = StreamSource(reader, "<pipe>")
    found = items(source, "framed")
    for step in range(3):
        os.write(writer, framed([step]))
        assert same(next(found).values, field(step))
    os.close(writer)
    assert next(found, None) is None
    source.close()


def test_payload_bytes_that_look_like_lines_are_payload() -> None:
    values = np.frombuffer(b"\n{}\n\n\r\n\0", np.uint8)
    head = json.dumps({"dtype": "u1", "shape": [8]}).encode() + b"\n"
    assert all(same(found, values) for found in values_of(items(3 * (head + values.tobytes()), "framed")))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"not json\n", "expected a JSON line"),
        (b'{"dtype": "<f4"\n', "expected a JSON line"),
        (b"[1]\n", "expected a JSON map"),
        (b'{"shape": [1]}\n1234', "no 'dtype'"),
        (b'{"dtype": "<f4"}\n1234', "no 'shape'"),
        (b'{"dtype": 4, "shape": [1]}\n1234', "dtype as text"),
        (b'{"dtype": "<f4", "shape": 1}\n1234', "shape as a list"),
        (b'{"dtype": "<f4", "shape": [-1]}\n1234', "shape as a list"),
        (b'{"dtype": "<f4", "shape": [1.0]}\n1234', "shape as a list"),
        (b'{"dtype": "<f4", "shape": [true]}\n1234', "shape as a list"),
        (b'{"dtype": "f99", "shape": [1]}\n1234', "dtype 'f99'"),
        (b'{"dtype": "O", "shape": [1]}\n12345678', "cannot be read from bytes"),
        (b'{"dtype": "<f4", "shape": [1]}\n123', "expected 4 bytes, got 3"),
        (b'{"dtype": "<f4", "shape": [1]}\n', "expected 4 bytes, got 0"),
        (b'{"dtype": "<f4", "shape": [1]}', "expected 4 bytes, got 0"),
        (b"\xff\xfe\n", "expected a JSON line"),
        (b"[" * 100_000 + b"\n", "expected a JSON line"),
        (b'{"a": "' + b"x" * (2 << 20), "no line end"),
    ],
)
def test_a_framed_stream_that_is_none_says_where_and_what(data: bytes, text: str) -> None:
    good = framed([0])
    found = items(good + data, "framed")
    assert same(next(found).values, field(0))
    with pytest.raises((EncodeError, SourceError), match=text):
        next(found)


def test_a_framed_object_that_claims_too_much_costs_what_arrives() -> None:
    data = b'{"dtype": "<f8", "shape": [1000000, 1000000]}\n' + bytes(100)
    tracemalloc.start()
    try:
        with piped(data) as source, pytest.raises(SourceError, match="expected 8000000000000 bytes, got 100"):
            list(items(source, "framed"))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


# ---- tgm


@pytest.mark.parametrize("data", [buffered(range(3)), streaming(range(3), backfill=True)])
def test_a_tgm_gives_its_objects(data: bytes) -> None:
    found = list(items(data))
    assert [dict(item.entry) for item in found] == [entry(step) for step in range(3)]
    assert all(map(same, values_of(found), map(field, range(3))))


def test_a_cut_tgm_gives_whole_objects_then_an_error() -> None:
    data = streaming(range(3))
    found = items(data[: len(data) // 2])
    assert same(next(found).values, field(0))
    with pytest.raises(FormatError):
        list(found)


# ---- which is it, splitting, metadata files


@pytest.mark.parametrize(
    ("data", "count"), [(npy(field(0)), 1), (framed(range(2)), 2), (buffered(range(3)), 3)]
)
def test_the_kind_is_told_from_the_first_bytes(data: bytes, count: int) -> None:
    assert len(list(items(MemorySource(data)))) == count


def test_a_suffix_goes_before_the_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(npy(field(0)))
    (found, *_) = items(path, block=Block("u1", (8,)))
    assert bytes(found.values) == b"\x93NUMPY\x01\x00"


@pytest.mark.parametrize("data", [b"", b"what is it"])
def test_what_cannot_be_told_is_asked_for(data: bytes) -> None:
    with pytest.raises(EncodeError, match=r"nothing to encode|--from"):
        list(items(data))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_every_slice_along_an_axis_is_an_item_with_the_metadata(axis: int) -> None:
    found = list(split(Item(C_ORDER, {"a": 1}), axis))
    assert len(found) == C_ORDER.shape[axis]
    for index, item in enumerate(found):
        assert same(item.values, C_ORDER.take(index, axis))
        assert item.entry == {"a": 1}


@pytest.mark.parametrize(("values", "axis"), [(C_ORDER, 3), (C_ORDER, -4), (np.array(1.0), 0)])
def test_an_axis_that_is_not_there_is_refused(values: Array, axis: int) -> None:
    with pytest.raises(EncodeError, match="--split-axis"):
        list(split(Item(values), axis))


def test_a_bitmask_cannot_be_split() -> None:
    with pytest.raises(EncodeError, match="bitmask"):
        list(split(Item(np.zeros(2, np.uint8), {}, "bitmask", (3, 4)), 0))


@pytest.mark.parametrize(
    ("text", "maps"),
    [('{"a": 1}', [{"a": 1}]), ('{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]), ('{\n "a": 1\n}', [{"a": 1}])],
)
def test_metadata_is_one_map_or_one_per_line(tmp_path: Path, text: str, maps: list[Any]) -> None:
    path = tmp_path / "meta"
    path.write_text(text)
    assert list(read_metadata(str(path))) == maps


@pytest.mark.parametrize("text", ["[1]", '{"a": 1}\nx', "3"])
def test_metadata_that_is_no_map_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "meta"
    path.write_text(text)
    with pytest.raises(EncodeError):
        list(read_metadata(str(path)))
