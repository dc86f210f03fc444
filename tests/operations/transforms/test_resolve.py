"""What comes back is what was moved, or nothing does, and the message says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgmtool
from tests import builders
from tests.operations.streams import entry, field
from tests.operations.transforms.messages import end, one
from tests.operations.transforms.moving import moved, refs_in, resolved
from tgmtool import LimitExceeded, SourceError
from tgmtool.errors import ReferenceRefused
from tgmtool.messages import cbor
from tgmtool.operations.transforms.base import Unit
from tgmtool.operations.transforms.reframe import metadata_maps, reframe
from tgmtool.operations.transforms.refs import KEY, Ref
from tgmtool.operations.transforms.resolve import Resolve
from tgmtool.operations.transforms.store import name_of


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    small = moved(one(0), tmp_path)
    (path,) = tmp_path.iterdir()
    path.unlink()
    with pytest.raises(ReferenceRefused, match=r"in: message 0: .* is not there") as caught:
        resolved(small, tmp_path)
    assert caught.value.reason == "missing"


@pytest.mark.parametrize("at", [0, 40, 200, -1])
def test_a_file_that_changed_is_refused(tmp_path: Path, at: int) -> None:
    small = moved(one(0), tmp_path)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ReferenceRefused, match="it changed after it was written"):
        resolved(small, tmp_path)
    path.write_bytes(bytes(data[:-1]))
    with pytest.raises(ReferenceRefused, match="bytes, expected"):
        resolved(small, tmp_path)


def edited(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The message with another map where its first object's reference is."""
    unit = Unit(data)
    bodies = {}
    for position, said in metadata_maps(unit):
        base = said["base"]
        base[0][KEY] = change(dict(base[0][KEY]))
        bodies[position] = cbor.encode(said)
    return reframe(unit, bodies=bodies)


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "up": lambda ref: {**ref, "$ref": "../" + ref["$ref"]},
    "absolute": lambda ref: {**ref, "$ref": "/etc/passwd"},
    "empty": lambda ref: {**ref, "$ref": ""},
    "dots": lambda ref: {**ref, "$ref": ".."},
    "url": lambda ref: {**ref, "$ref": "http://host/" + ref["$ref"]},
    "another object": lambda ref: {**ref, "$ref": ref["$ref"][:68] + "#m=0&o=1"},
    "nul": lambda ref: {**ref, "$ref": ref["$ref"][:68] + "\0"},
    "newline": lambda ref: {**ref, "$ref": ref["$ref"][:68] + "\n"},
    "upper case": lambda ref: {**ref, "$ref": ref["$ref"].upper()},
    "other digits": lambda ref: {**ref, "$ref": "٣" * 64 + ".tgm"},
    "a number": lambda ref: {**ref, "$ref": 5},
    "no ref": lambda ref: {key: value for key, value in ref.items() if key != "$ref"},
    "another digest": lambda ref: {**ref, "digest": "sha256:" + "0" * 64},
    "another algorithm": lambda ref: {**ref, "digest": ref["digest"].replace("sha256", "md5")},
    "no digest": lambda ref: {**ref, "digest": None},
    "negative": lambda ref: {**ref, "size": -1},
    "text size": lambda ref: {**ref, "size": "10"},
    "true size": lambda ref: {**ref, "size": True},
    "no shape": lambda ref: {**ref, "shape": 3},
    "a text": lambda ref: "x",
    "a list": lambda ref: [ref],
    "nothing": lambda ref: None,
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_reference_of_ours_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    small = edited(moved(one(0), tmp_path / "d"), change)
    with pytest.raises(ReferenceRefused, match=r"in: message 0: object 0: the reference") as caught:
        resolved(small, tmp_path / "d")
    assert caught.value.reason == "invalid"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ref: {**ref, "shape": [3, 2]}, r"the reference says float32 \[3, 2\]"),
        (lambda ref: {**ref, "dtype": "int32"}, "the reference says int32"),
        (lambda ref: {**ref, "size": ref["size"] + 1}, "bytes, expected"),
    ],
)
def test_what_does_not_agree_with_the_file_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    small = edited(moved(one(0), tmp_path), change)
    with pytest.raises(ReferenceRefused, match=says):
        resolved(small, tmp_path)


def put_by_hand(folder: Path, data: bytes) -> Callable[[dict[str, Any]], object]:
    """A file under its right name, and the reference to it."""
    (folder / name_of([data])).write_bytes(data)
    found = Ref(name_of([data]), len(data), "float32", (2, 3))
    return lambda _ref: found.to_map()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"no message", "no sound object"),
        (one(0, objects=2), "holds 2 objects"),
        (end(0), "holds 0 objects"),
        (one(0)[:-3], "no sound object"),
        (one(0) + one(1), "no sound object"),
        (builders.flip_bit(one(0), Unit(one(0)).message.objects[0].span.payload_offset), "no sound object"),
        (one(0, hashing=False), "with its payloads it is no sound message"),
    ],
)
def test_a_file_that_is_no_payload_is_refused_even_under_its_right_name(
    tmp_path: Path, data: bytes, says: str
) -> None:
    small = moved(one(5), tmp_path)
    with pytest.raises(ReferenceRefused, match=says):
        resolved(edited(small, put_by_hand(tmp_path, data)), tmp_path)


def test_a_reference_beside_elements_is_refused(tmp_path: Path) -> None:
    (ref,) = refs_in(moved(one(0), tmp_path))
    data = tgmtool.encode([(field(1), {**entry(1), KEY: ref})])
    with pytest.raises(ReferenceRefused, match="elements of its own"):
        resolved(data, tmp_path)


def test_many_references_to_one_large_file_are_measured_together(tmp_path: Path) -> None:
    same = np.zeros(10_000, "u1")
    small = moved(tgmtool.encode([same] * 50), tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(LimitExceeded, match="--max-decoded-bytes"):
        resolved(small, tmp_path, decoded_bytes=400_000)


def test_a_file_that_is_a_link_or_a_pipe_is_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    small = moved(one(0), folder)
    (path,) = folder.iterdir()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError):
        resolved(small, folder)


def test_without_references_nothing_is_opened(tmp_path: Path) -> None:
    data = one(0) + end(1)
    assert resolved(data, tmp_path) == data


def test_a_folder_need_not_be_there_before_its_first_reference(tmp_path: Path) -> None:
    transform = Resolve(str(tmp_path / "d"))
    small = moved(one(0), tmp_path / "d")
    assert [bytes(unit.data) for unit in transform.message(Unit(small, 0, 0))] == [one(0)]
    with pytest.raises(SourceError, match="gone"):
        resolved(small, tmp_path / "gone")
