"""`@resolve`: the payloads that `@refs` moved come back, byte for byte, or not at all.

It is separate from `refs` because it trusts nobody: the message comes from one place and the files from
another. A reference names a file by its content and by nothing else, so no name leads out of the folder;
size, digest, dtype and shape are compared, and so is the object's own digest, before anything passes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...errors import FormatError, ReferenceRefused
from ...limits import check_decoded_size
from ...messages.descriptor import Descriptor
from ...messages.metadata import BASE
from .base import Needs, Unit
from .ends import Ends
from .recode import check_digest
from .reframe import TensorFrame, metadata_maps, tensors
from .refs import KEY, Ref, exchanged
from .store import Store


class Resolve:
    """Puts payloads back.

    Args:
        folder: Where they are. It need not be there before the first reference comes: `@refs` may be
            making it at the other end of a pipe.

    Attributes:
        resolved: Objects whose payload came back.
    """

    name = "@resolve"
    needs: Needs = "message"

    def __init__(self, folder: str = ".") -> None:
        self._folder = folder
        self._store: Store | None = None
        self._ends = Ends()
        self.resolved = 0

    def message(self, unit: Unit) -> Iterable[Unit]:
        """Yield the message with its payloads.

        Raises:
            ReferenceRefused: A payload is missing, is not the one that was moved, or what stands for it is
                no reference. Says which object.
            LimitExceeded: The message would take more memory than is allowed.
            SourceError: A file cannot be read.
            FormatError: The message cannot be read.
        """
        notes = _notes(unit)
        if not notes:
            return (self._ends.passed(unit, unit),)
        objects: dict[int, TensorFrame] = {}
        kinds: dict[int, Descriptor] = {}
        try:
            refs = {number: self._checked(unit, number, value) for number, value in notes.items()}
            total = sum(ref.size for ref in refs.values())
            check_decoded_size(total, unit.limits, "the message with its payloads", offset=unit.offset)
            for number, ref in refs.items():
                objects[number], kinds[number] = self._object(ref)
            made = unit.replaced(exchanged(unit, objects, kinds))
            _ = made.looked
        except ReferenceRefused as error:
            raise ReferenceRefused(
                f"{unit.name}: message {unit.number}: {error}", reason=error.reason
            ) from None
        except FormatError as error:
            text = f"{unit.name}: message {unit.number}: with its payloads it is no sound message: {error}"
            raise ReferenceRefused(text, reason="changed") from error
        self.resolved += len(objects)
        return (self._ends.passed(unit, made),)

    def _checked(self, unit: Unit, number: int, value: object) -> Ref:
        objects = unit.message.objects
        problem = ""
        if number >= len(objects):
            problem = "there is no such object"
        elif objects[number].descriptor.elements:
            problem = "it has a reference, and elements of its own"
        if problem:
            raise ReferenceRefused(f"object {number}: {problem}", reason="invalid")
        try:
            return Ref.parse(value)
        except ReferenceRefused as error:
            raise ReferenceRefused(f"object {number}: {error}", reason=error.reason) from None

    def _object(self, ref: Ref) -> tuple[TensorFrame, Descriptor]:
        if self._store is None:
            self._store = Store(self._folder, create=False)
        inner = Unit(self._store.get(ref.name, ref.size), name=ref.name)
        try:
            found = inner.message.objects
            if len(found) != 1:
                raise ReferenceRefused(
                    f"{ref.name}: holds {len(found)} objects, expected one", reason="changed"
                )
            (frame,) = tensors(inner)
            check_digest(inner, 0, frame)
        except FormatError as error:
            raise ReferenceRefused(f"{ref.name}: holds no sound object: {error}", reason="changed") from error
        kind = found[0].descriptor
        if (kind.dtype.name, kind.shape) != (ref.dtype, ref.shape):
            raise ReferenceRefused(
                f"{ref.name}: holds {kind.dtype.name} {list(kind.shape)}, the reference says {ref.dtype} "
                f"{list(ref.shape)}",
                reason="changed",
            )
        return TensorFrame.of(inner, frame), kind

    def finish(self, *, failed: bool) -> Iterable[Unit]:
        """Close the folder."""
        if self._store is not None:
            self._store.close()
        return ()


def _notes(unit: Unit) -> dict[int, Any]:
    """Return what stands for payloads, by the object's number; what counts most if it is said twice."""
    if not any(KEY in entry for entry in unit.message.metadata.base):
        return {}
    found = {}
    for _, said in metadata_maps(unit):
        for number, entry in enumerate(said.get(BASE, ())):
            if KEY in entry:
                found[number] = entry[KEY]
    return found
