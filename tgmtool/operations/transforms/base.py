"""What goes through a transform, and what a transform is.

It is separate so that the engine of `pipe` and the transforms depend on this page only: the engine
cuts the stream into whole messages and knows nothing of what is done to them; a transform is plain
calls, and may be used without the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from ...endpoints.base import Bytes
from ...endpoints.memory import MemorySource
from ...errors import FramingError
from ...limits import DEFAULT_LIMITS, Limits
from ...messages.assembly import Assembler, Message
from ...messages.stream import KEY, Place
from ...wire.decoder import Decoder
from ...wire.digest import body_digest
from ...wire.events import FrameBegan, FrameData, FrameEnded
from ..drive import drive
from ..keys import Keys, keys_of
from .glance import Glance, glance

Needs = Literal["bytes", "metadata", "message"]


class Looked(NamedTuple):
    """A message, taken apart without decoding a payload.

    Attributes:
        message: Metadata and objects; arrays of objects are decoded when they are asked for.
        frames: Where its frames stand, in order (bytes from the start of the input).
    """

    message: Message
    frames: tuple[FrameEnded, ...]


class Unit:
    """One whole message on its way. Looked into only when somebody asks, and then once.

    Args:
        data: The message, from TENSOGRM through the end magic (of a mapped file, a view of the map); it must
            not change or go away meanwhile.
        number: Of the message in the input, from 0.
        offset: Where it stands (bytes from the start of the input).
        name: Of the input, for messages.
        limits: What looking into it may cost.
    """

    __slots__ = ("_glanced", "_looked", "_placed", "data", "limits", "name", "number", "offset")

    def __init__(
        self,
        data: Bytes,
        number: int = 0,
        offset: int = 0,
        *,
        name: str = "<stdin>",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.data = data
        self.number = number
        self.offset = offset
        self.name = name
        self.limits = limits
        self._looked: Looked | None = None
        self._placed: tuple[Place | None] | None = None
        self._glanced: tuple[Glance | None] | None = None

    def __repr__(self) -> str:
        return f"<Unit {self.number} of {self.name}, byte {self.offset}, {len(self.data)} bytes>"

    def replaced(self, data: Bytes) -> Unit:
        """Return another message in its place."""
        return Unit(data, self.number, self.offset, name=self.name, limits=self.limits)

    @property
    def looked(self) -> Looked:
        """The message taken apart. The digests of control frames are checked, those of payloads are not.

        Raises:
            FormatError: It is no whole message, or its metadata cannot be read.
            LimitExceeded: It costs more than the limits allow.
        """
        if self._looked is None:
            self._looked = _look(self)
        return self._looked

    @property
    def message(self) -> Message:
        """Metadata and objects. Errors as `looked`."""
        return self.looked.message

    @property
    def _glance(self) -> Glance | None:
        """What a usual message says, which is cheaper to find; None of others, and of one taken apart."""
        if self._looked is not None:
            return None
        if self._glanced is None:
            self._glanced = (glance(self.data, number=self.number, offset=self.offset, limits=self.limits),)
        return self._glanced[0]

    @property
    def extra(self) -> Mapping[str, Any]:
        """What it says of itself as a whole. Errors as `looked`."""
        found = self._glance or self.message
        return found.metadata.extra

    @property
    def place(self) -> Place | None:
        """What the message says of its place in a stream, if it does.

        Raises:
            MetadataError: It says it wrongly; and as `looked`.
        """
        if self._placed is None:
            self._placed = (Place.parse(self.extra, offset=self.offset),)
        return self._placed[0]

    @property
    def is_marker(self) -> bool:
        """It holds no object, or says that a sender ended. Errors as `place`, where that has to be read."""
        found = self._glance or self.message
        if not found.objects:
            return True
        said = found.metadata.extra.get(KEY)
        if not isinstance(said, dict) or "type" not in said:
            return False  # most messages: data, whatever else they say of their place
        return (place := self.place) is not None and place.is_marker

    def keys(self) -> list[Keys]:
        """Return the keys of each object, or of the message if it holds none. Errors as `looked`."""
        found = self._glance or self.message
        extra = found.metadata.extra
        return [keys_of(one, file=self.name, extra=extra) for one in found.objects or (found,)]


class Transform(Protocol):
    """Takes whole messages in order, and gives whole messages in order.

    Attributes:
        name: Of the stage, as it is written on the command line (`@where`).
        needs: What it looks at: "bytes" (nothing but where messages begin and end), "metadata" (what
            control frames and descriptors say) or "message" (payloads too).

    One that does nothing but let messages pass or not may say so by `only_looks = True`: what passes need
    not go on before the next is taken. One that may wait for somebody outside may have `stop()`, which
    another thread calls to end the waiting.
    """

    name: str
    needs: Needs

    def message(self, unit: Unit) -> Iterable[Unit]:
        """Take a message; yield what goes on. All of it must be taken before the next call.

        Raises:
            TgmError: It cannot be done. The transform may be given further messages, and must be finished.
        """

    def finish(self, *, failed: bool) -> Iterable[Unit]:
        """Take note that nothing more comes; close what was opened, and yield what is still to go on.

        Called once. With `failed` something went wrong, here or elsewhere: what was written stays as far
        as it is whole messages, and nothing claims to be complete.

        Raises:
            TgmError: As `message`.
        """


class PlacedSource(MemorySource):
    """Bytes that stand somewhere in a longer input, so that errors say where in that."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit.data, unit.name)
        self._start = unit.offset

    def read_at(self, offset: int, size: int) -> Bytes:
        """Return everything from `offset` on."""
        return super().read_at(offset - self._start, size)

    def size(self) -> int:
        """Return where the message ends."""
        return self._start + super().size()


def _look(unit: Unit) -> Looked:
    source = PlacedSource(unit)
    decoder = Decoder(offset=unit.offset, verify=False, control_body_limit=unit.limits.cbor_bytes)
    assembler = Assembler(keep=True, limits=unit.limits)
    assembler.messages = unit.number
    frames: list[FrameEnded] = []
    whole: Message | None = None
    body: Bytes = b""
    for event in drive(source, decoder):
        if isinstance(event, FrameBegan):
            body = b""
        elif isinstance(event, FrameData):
            body = event.data
        elif isinstance(event, FrameEnded):
            # Of control frames alone: they are at hand, they are small, and everything is decided by them.
            if event.stored_digest is not None and not event.header.row.is_object:
                event = event._replace(actual_digest=body_digest((body,)))  # noqa: PLW2901  # known better
            frames.append(event)
        found = assembler.receive(event)
        if isinstance(found, Message):
            if whole is not None:
                raise FramingError("expected one message, found more", offset=found.span.offset, section="1")
            whole = found
    if whole is None:
        raise FramingError("expected a message, found nothing", offset=unit.offset, section="1")
    return Looked(whole, tuple(frames))
