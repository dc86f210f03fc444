"""`@refs`: payloads go to a folder, and small messages pass that say where they are.

It is separate from `store`, which keeps the payloads, and from `resolve`, which brings them back.

Where an object stood there is one without elements, of the same dtype: a valid message that any reader
reads, and nothing in it could be taken for values. What was moved is said by the object's own metadata
(`base[i].tgmref`), so listings and conditions see it beside the other keys, which all stay. Everything
that follows from the exchange can be derived, so nothing else is kept to undo it. That this is so is tried
for each message before anything is written; one that would not come back byte for byte (padding or
CBOR that no writer makes) passes as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ...codecs.pipeline import Pipeline
from ...endpoints.base import Bytes
from ...errors import EncodeError, ReferenceRefused
from ...messages import cbor
from ...messages.descriptor import Descriptor
from ...messages.metadata import BASE, RESERVED, Metadata
from ..extract import message_of
from .base import Needs, Unit
from .ends import Ends
from .names import MOST_NAMES
from .recode import check_digest
from .reframe import TensorFrame, frame_bytes, metadata_maps, reframe, tensors
from .store import ALGORITHM, SUFFIX, Store, digest_in, name_of

KEY = "tgmref"
THRESHOLD = 64 << 10
_PLACE = "#m=0&o=0"  # the first object of the first message, as `cat-remote` has it


class Ref(NamedTuple):
    """What stands for a payload.

    Attributes:
        name: Of the file, in its folder.
        size: Its bytes.
        dtype: Of the object in it.
        shape: Likewise.
    """

    name: str
    size: int
    dtype: str
    shape: tuple[int, ...]

    def to_map(self) -> dict[str, Any]:
        """Return the map as it stands in the metadata."""
        return {
            "$ref": self.name + _PLACE,
            "size": self.size,
            "digest": f"{ALGORITHM}:{self.name.removesuffix(SUFFIX)}",
            "dtype": self.dtype,
            "shape": list(self.shape),
        }

    @classmethod
    def parse(cls, value: object) -> Ref:
        """Return the reference that a map is. Nothing in it is believed: it names a file by content alone.

        Raises:
            ReferenceRefused: It is none, or names something else.
        """
        given: Mapping[Any, Any] = value if isinstance(value, Mapping) else {}
        ref, size, digest = given.get("$ref"), given.get("size"), given.get("digest")
        dtype, shape = given.get("dtype"), given.get("shape")
        name = ref.removesuffix(_PLACE) if isinstance(ref, str) else ""
        named_by = digest_in(name)
        if named_by is None:
            raise _invalid(
                f"names {cbor.brief(ref)}, expected 64 hexadecimal digits and {SUFFIX}: nothing else"
            )
        if digest != f"{ALGORITHM}:{named_by}":
            raise _invalid(f"has the digest {cbor.brief(digest)}, which is not the one in its name")
        if type(size) is not int or size < 0:
            raise _invalid(f"has the size {cbor.brief(size)}, expected a number of bytes")
        if (
            not isinstance(dtype, str)
            or not isinstance(shape, list)
            or any(type(n) is not int for n in shape)
        ):
            raise _invalid("does not say dtype and shape")
        return cls(name, size, dtype, tuple(shape))


def _invalid(text: str) -> ReferenceRefused:
    return ReferenceRefused(f"the reference {text}", reason="invalid")


class Refs:
    """Moves payloads to a folder.

    Args:
        folder: Of the payloads; created if it is not there.
        threshold: Payloads of at least so many bytes are moved; 0 for all.
        most_names: How many different payloads there may be.
        durable: A message goes on only when its payloads are on the disk.

    Attributes:
        moved: Objects whose payload was moved.
        written: Files that were new; others had the same content.
        kept: Messages that passed as they were, as they would not have come back byte for byte.

    Raises:
        SourceError: The folder cannot be opened.
    """

    name = "@refs"
    needs: Needs = "message"

    def __init__(
        self,
        folder: str,
        *,
        threshold: int = THRESHOLD,
        most_names: int = MOST_NAMES,
        durable: bool = True,
    ) -> None:
        self._store = Store(folder, most_names=most_names, durable=durable)
        self._threshold = threshold
        self._ends = Ends()
        self.moved = 0
        self.kept = 0

    @property
    def written(self) -> int:
        """Files that were new."""
        return self._store.written

    def message(self, unit: Unit) -> Iterable[Unit]:
        """Yield the message with references in place of its large payloads, which are in the folder by then.

        Raises:
            DigestMismatch: A payload changed after it was written.
            LimitExceeded: One name more than may be.
            ReferenceRefused: A file in the folder is not what its name says.
            SourceError: The folder failed.
            FormatError: The message cannot be read.
        """
        files: dict[int, tuple[Ref, list[Bytes]]] = {}
        frames = tensors(unit)
        for number, found in enumerate(unit.message.objects):
            if found.span.payload_length < self._threshold or KEY in found.metadata:
                continue
            frame = frames[number]
            check_digest(unit, number, frame)
            kind = found.descriptor
            made = message_of(frame_bytes(unit, frame), kind, Metadata(({},)), frame.stored_digest)
            files[number] = Ref(name_of(made), sum(map(len, made)), kind.dtype.name, kind.shape), made
        if not files:
            return (self._ends.passed(unit, unit),)
        small = _small(unit, {number: ref for number, (ref, _) in files.items()})
        if small is None:
            self.kept += 1
            return (self._ends.passed(unit, unit),)
        for ref, made in files.values():
            self._store.put(ref.name, made)
        self._store.commit()
        self.moved += len(files)
        return (self._ends.passed(unit, small),)

    def finish(self, *, failed: bool) -> Iterable[Unit]:
        """Close the folder. What is in it stays."""
        self._store.close()
        return ()


def _small(unit: Unit, refs: Mapping[int, Ref]) -> Unit | None:
    """Return the message with references; None if the way back does not lead to the same bytes."""
    frames = tensors(unit)
    kinds = {number: unit.message.objects[number].descriptor for number in refs}
    empty = {
        number: TensorFrame.make((), empty_like(kind), hashing=frames[number].stored_digest is not None)
        for number, kind in kinds.items()
    }
    full = {number: TensorFrame.of(unit, frames[number]) for number in refs}
    try:
        small = unit.replaced(
            exchanged(unit, empty, {n: empty_like(kind) for n, kind in kinds.items()}, refs)
        )
        back = exchanged(small, full, kinds)
    except EncodeError:  # CBOR that is read and never written, digests by another algorithm
        return None
    return small if back == memoryview(unit.data) else None


def empty_like(kind: Descriptor) -> Descriptor:
    """Return the descriptor of an object of the same dtype that has no elements."""
    return kind._replace(shape=(0,), strides=(1,), pipeline=Pipeline(), masks=None)


def exchanged(
    unit: Unit,
    objects: Mapping[int, TensorFrame],
    kinds: Mapping[int, Descriptor],
    refs: Mapping[int, Ref] | None = None,
) -> bytes:
    """Return the message with other objects, and with metadata that says so.

    Args:
        unit: The message.
        objects: The frames, by the object's number.
        kinds: Their descriptors.
        refs: What stands for them, which is noted in the metadata that counts most; None removes such notes.

    Raises:
        EncodeError: As `reframe`, or metadata that is read and never written.
        FormatError, LimitExceeded: The message cannot be read.
    """
    maps = list(metadata_maps(unit))
    bodies = {}
    for position, said in maps:
        base = [dict(entry) for entry in said.get(BASE, ())]
        is_last = position == maps[-1][0]  # the footer's, if there is one: it wins
        if refs is not None and is_last:
            base += [{} for _ in range(max(refs) + 1 - len(base))]
        for number, kind in kinds.items():
            if number >= len(base):
                continue
            _describe(base[number], kind)
            if refs is None:
                base[number].pop(KEY, None)
            elif is_last:
                base[number][KEY] = refs[number].to_map()
        if BASE in said or base:
            said[BASE] = base
        bodies[position] = cbor.encode(said)
    return reframe(unit, bodies=bodies, objects=objects)


def _describe(entry: dict[str, Any], kind: Descriptor) -> None:
    """Let the library-managed copy of the descriptor, if there is one, say what the descriptor says."""
    reserved = entry.get(RESERVED)
    tensor = reserved.get("tensor") if isinstance(reserved, dict) else None
    if not isinstance(reserved, dict) or not isinstance(tensor, dict):
        return
    copied = {
        "ndim": kind.ndim,
        "shape": list(kind.shape),
        "strides": list(kind.strides),
        "dtype": kind.dtype.name,
    }
    entry[RESERVED] = {**reserved, "tensor": {**tensor, **copied}}
