"""Arrays out, as what people have: .npy, .npz, raw bytes, JSON. The way back from `inputs`.

It is separate so that a new output format is one function and one line of THE table.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from ..endpoints.base import Bytes, Sink
from .cat_remote import Picked
from .extract import message_of
from .records import json_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LONGEST_NAME = 200


class Format(NamedTuple):
    """One way to write arrays.

    Attributes:
        write: `(objects, sink)`: writes them all, each as it comes.
        suffixes: Of files that look like it.
        is_text: It may go to a terminal.
        is_whole: It cannot hold a part of an object.
    """

    write: Callable[[Iterable[Picked], Sink], None]
    suffixes: tuple[str, ...]
    is_text: bool = False
    is_whole: bool = False


def _write_npy(objects: Iterable[Picked], sink: Sink) -> None:
    """One .npy array after the other; `numpy.load` reads them one by one from an open file."""
    from numpy.lib import format as npy

    for picked in objects:
        values = _storable(picked)
        head = io.BytesIO()
        npy.write_array_header_1_0(head, npy.header_data_from_array_1_0(values))
        sink.write([head.getvalue(), _bytes_of(values)])


def _write_npz(objects: Iterable[Picked], sink: Sink) -> None:
    import zipfile

    from numpy.lib import format as npy

    taken: dict[str, int] = {}
    with zipfile.ZipFile(cast("IO[bytes]", _File(sink)), "w") as archive:
        for picked in objects:
            info = zipfile.ZipInfo(f"{_member_name(picked.name, taken)}.npy")
            with archive.open(info, "w", force_zip64=True) as member:
                npy.write_array(member, _storable(picked), allow_pickle=False)


def _member_name(name: str, taken: dict[str, int]) -> str:
    """Return a name that no other member has, and note it as taken.

    Names come from the file: no separator of theirs may lead out of a directory.
    """
    plain = "".join(char if char.isalnum() or char in "-_.+" else "_" for char in name)
    plain = plain.lstrip(".")[:_LONGEST_NAME] or "_"
    found = plain
    while found in taken:
        taken[plain] += 1
        found = f"{plain}.{taken[plain]}"
    taken[found] = 1
    return found


def _write_raw(objects: Iterable[Picked], sink: Sink) -> None:
    """The values' bytes, in C order and in the byte order of the file."""
    for picked in objects:
        sink.write([_bytes_of(picked.values())])


def _write_ndjson(objects: Iterable[Picked], sink: Sink) -> None:
    for picked in objects:
        sink.write([_record_text(picked).encode(), b"\n"])


def _write_json(objects: Iterable[Picked], sink: Sink) -> None:
    before = b"[\n"
    for picked in objects:
        sink.write([before, _record_text(picked).encode()])
        before = b",\n"
    sink.write([b"[]\n" if before == b"[\n" else b"\n]\n"])


def _write_tgm(objects: Iterable[Picked], sink: Sink) -> None:
    """Each object as a message of its own, its frame byte for byte."""
    for picked in objects:
        found = picked.found
        sink.write(message_of(picked.frame(), found.descriptor, picked.message, found.span.digest))


FORMATS = {
    "tgm": Format(_write_tgm, (".tgm",), is_whole=True),
    "npy": Format(_write_npy, (".npy",)),
    "npz": Format(_write_npz, (".npz",)),
    "raw": Format(_write_raw, (".raw", ".bin", ".dat")),
    "json": Format(_write_json, (".json",), is_text=True),
    "ndjson": Format(_write_ndjson, (".ndjson", ".jsonl"), is_text=True),
}
"""THE table of outputs."""


class _File:
    """A sink as a binary file that can only be written forward."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: Bytes) -> int:
        self._sink.write([data])
        return len(memoryview(data).cast("B"))

    def flush(self) -> None:
        """Every write leaves at once."""

    def seekable(self) -> bool:
        return False


def _storable(picked: Picked) -> NDArray[Any]:
    """Return the values in a dtype that everybody can name: bfloat16 becomes float32, exactly."""
    import numpy as np

    values: NDArray[Any] = picked.values()
    if picked.found.descriptor.dtype.name != "bfloat16":
        return values
    # Its bits: in the other byte order, or without the package, they come as integers.
    bits = values.view(np.uint16) if values.dtype.name == "bfloat16" else values
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _bytes_of(values: NDArray[np.generic]) -> Bytes:
    import numpy as np

    flat = np.ascontiguousarray(values).reshape(-1)
    return flat.view(np.uint8).data if flat.size else b""


def _record_text(picked: Picked) -> str:
    """Return one line of JSON: the object's keys and, as `values`, what it holds.

    NaN and ±Inf are null, a complex value is [real, imaginary], a bitmask is zeros and ones.
    """
    record = picked.keys.record()
    record.pop("values", None)  # what the object holds takes that place
    keys = json_text(record)
    values = json.dumps(_values_of(picked), separators=(",", ":"), allow_nan=False)
    return f'{keys[:-1]},"values":{values}}}'


def _values_of(picked: Picked) -> Any:
    import numpy as np

    values = _storable(picked)
    kind = picked.found.descriptor
    if kind.dtype.name == "bitmask":
        bits = np.unpackbits(values, count=picked.elements)
        return (bits.reshape(kind.shape) if picked.ranges is None else bits).tolist()
    if values.dtype.kind == "c":
        values = np.stack([values.real, values.imag], axis=-1)
    found = values.tolist()
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return _finite(found)
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return value if math.isfinite(value) else None
