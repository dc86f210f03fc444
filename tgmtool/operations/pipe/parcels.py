"""What travels between two stages: a whole message, a part of one that is too big, or foreign bytes.

It is separate because every stage gives and takes these, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum, auto
from itertools import chain

from ...endpoints.base import Bytes
from ...wire import layout
from .kernel import KernelPiece

Piece = Bytes | KernelPiece
"""Bytes, or (where a link says that it takes them) bytes in a pipe of ours."""


class Kind(Enum):
    """What the bytes of a parcel are."""

    MESSAGE = auto()
    """One whole message."""
    PART = auto()
    """Some of a message that does not fit its link; its other parts are its neighbours."""
    FOREIGN = auto()
    """No message: damage that is passed on, or the output of a stage that speaks something else."""


class Parcel:
    """Bytes on their way from one stage to the next.

    Attributes:
        kind: What they are.
        pieces: The bytes; nothing changes them.
        size: How many.
        number: Of the message in the input of the link, from 0.
        offset: Where the first byte stands (bytes from the start of that input).
        starts: The first byte begins a message.
        ends: The last byte ends one.
        broken: With `ends`: what went before was no message after all; its end is missing.
        is_marker: The message holds no object: it is about the stream.
        count: Messages; more than one only on a link that takes several, and only small ones that say how
            long they are.
        members: These, if they have been taken apart already.
    """

    __slots__ = (
        "broken",
        "count",
        "ends",
        "is_marker",
        "kind",
        "members",
        "number",
        "offset",
        "pieces",
        "size",
        "starts",
    )

    def __init__(
        self,
        kind: Kind,
        pieces: Sequence[Piece],
        *,
        number: int = 0,
        offset: int = 0,
        size: int | None = None,
        starts: bool = True,
        ends: bool = True,
        broken: bool = False,
        is_marker: bool = False,
        count: int = 1,
        members: Sequence[Parcel] = (),
    ) -> None:
        self.kind = kind
        self.pieces = pieces
        self.size = sum(map(len, pieces)) if size is None else size
        self.number = number
        self.offset = offset
        self.starts = starts
        self.ends = ends
        self.broken = broken
        self.is_marker = is_marker
        self.count = count
        self.members = members

    def __repr__(self) -> str:
        return f"<{self.kind.name} {self.number}, byte {self.offset}, {self.size} bytes>"

    def joined(self) -> Bytes:
        """Return the bytes as one; without copying where they stand together."""
        pieces = self.bytes
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @property
    def bytes(self) -> Sequence[Bytes]:
        """The pieces, where all of them are in memory: on every link that does not say otherwise."""
        assert not any(isinstance(piece, KernelPiece) for piece in self.pieces)
        return self.pieces  # type: ignore[return-value]  # as was just checked

    @classmethod
    def of(cls, members: Sequence[Parcel]) -> Parcel:
        """Return small messages, at least one of them, as one parcel."""
        first = members[0]
        if len(members) == 1:
            return first
        pieces = [piece for each in members for piece in each.pieces]
        count = len(members)
        return cls(
            Kind.MESSAGE, pieces, number=first.number, offset=first.offset, count=count, members=members
        )

    def singles(self) -> Iterator[Parcel]:
        """Yield its messages one by one. Each has bytes of its own: one that stays holds no others."""
        if self.members:
            yield from self.members
            return
        view = memoryview(self.joined())
        at = 0
        for number in range(self.number, self.number + self.count):
            size = layout.PREAMBLE.unpack_from(view, at)[-1]
            piece = bytes(view[at : at + size])
            yield Parcel(Kind.MESSAGE, (piece,), number=number, offset=self.offset + at, size=size)
            at += size

    def parts(self, most: int) -> list[Parcel]:
        """Return it in pieces of at most `most` bytes, as parts of a message (or foreign bytes still)."""
        kind = Kind.FOREIGN if self.kind is Kind.FOREIGN else Kind.PART
        views = list(
            chain.from_iterable(
                (memoryview(piece)[at : at + most] for at in range(0, len(piece), most))
                for piece in self.bytes
            )
        )
        found, offset = [], self.offset
        for at, view in enumerate(views):
            found.append(
                Parcel(
                    kind,
                    (view,),
                    number=self.number,
                    offset=offset,
                    starts=self.starts and at == 0,
                    ends=self.ends and at == len(views) - 1,
                    broken=self.broken,
                )
            )
            offset += len(view)
        return found


def is_message_start(head: Bytes) -> bool:
    """`head` is what a message begins with, as far as it goes."""
    return bytes(head[:8]) == layout.MESSAGE_MAGIC[: len(head)]
