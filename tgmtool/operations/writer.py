"""Write one message: object by object as they come (streaming), or all at once (buffered).

It is separate from `encode` because this is the part that a model uses directly, in its own
process. Every object leaves in one write, as soon as it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ..endpoints import open_sink
from ..endpoints.base import Bytes, Sink
from ..errors import EncodeError
from ..messages.hashes import pack_digests
from ..messages.index import Index, planned
from ..messages.metadata import (
    EMPTY_ENTRY,
    Metadata,
    Provenance,
    checked_entry,
    entry_of,
    pack_with_base,
    split_global,
)
from ..messages.spans import MessageSpan
from ..wire import frametypes, layout
from ..wire.digest import digest_functions, new_digest
from ..wire.encoder import SMALL, Encoder, control_frame_size, tensor_frame_length
from ..wire.patches import length_patches
from .prepare import Prepared, Preparer, Stages
from .rows import are_rows, frames_of, groups_of
from .spool import Spool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

LAYOUTS = ("auto", "buffered", "streaming")
_HEADER_FRAMES = layout.HEADER_METADATA | layout.HEADER_INDEX
_FOOTER_FRAMES = layout.HEADER_METADATA | layout.FOOTER_METADATA | layout.FOOTER_INDEX
_HASH_CHUNK = 1 << 20
_BATCH = 1 << 20  # bytes of small objects that leave in one write


class Style(NamedTuple):
    """How messages are laid out, whatever is in them.

    Attributes:
        layout: "streaming" (each object leaves as it comes) or "buffered" (lengths, index and
            hashes stand in the header; the objects are held until the message ends).
        hashing: Every frame carries its digest.
        preceder: Each object's metadata stands right before it. None: if the first object has any
            (streaming only), so that followers see it at once.
        backfill: Fill in the lengths of a streaming message at its end, where the sink allows.
        provenance: `_reserved_` of the messages.
    """

    layout: str = "streaming"
    hashing: bool = True
    preceder: bool | None = None
    backfill: bool = True
    provenance: Provenance = Provenance()


class StreamWriter:
    """Write one message to a sink. A context manager: finished at the end, aborted at an error.

    Args:
        sink: A path (created or replaced), `-`, a binary file, or a Sink.
        metadata: Message-level metadata. `base` may hold a map per object; `_extra_` and all other
            keys are about the whole message.
        style: How the message is laid out.
        stages: What to do to every payload; a Preparer is shared by several messages.
        spool: In buffered layout, hold payloads in a temporary file beyond the first 64 MiB.
        borrow: In buffered layout, hold views of arrays instead of copies: the caller promises not to
            change them before `finish`.

    Raises:
        EncodeError: Metadata that cannot be written.
        SourceError: The sink failed.
    """

    def __init__(
        self,
        sink: Any,
        metadata: Mapping[str, Any] | None = None,
        *,
        style: Style | None = None,
        stages: Stages | Preparer | None = None,
        spool: bool = False,
        borrow: bool = False,
    ) -> None:
        base, extra = split_global(metadata)
        self._base = list(base)
        self._head = Metadata(tuple(base), extra).pack()
        self._extra = extra
        self._style = style or Style()
        if self._style.layout not in LAYOUTS[1:]:
            raise EncodeError(f"layout {self._style.layout!r} does not exist, expected buffered or streaming")
        self._preparer = stages if isinstance(stages, Preparer) else Preparer(stages or Stages())
        self._owned = not isinstance(sink, Sink)
        self.sink = open_sink(sink)
        self.offset = self.sink.position  # where the message begins in the sink
        self._next_entry: dict[str, Any] | None = None
        self._entries: list[bytes] = []  # base of the footer or of the header, complete, as CBOR
        self._preceders: list[bytes] = []  # of the objects that are held
        self._held: list[Prepared] = []
        self._spool = Spool() if spool and self._style.layout == "buffered" else None
        self._borrow = borrow
        self._ended = False
        self._encoder: Encoder | None = None
        self._flags = 0
        self.span: MessageSpan | None = None  # of the message, once it is finished

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Finish, or abort after an error."""
        if kind is not None:
            self.abort()
        elif self.span is None:
            self.finish()

    @property
    def has_objects(self) -> bool:
        """Objects were written, or are held to be."""
        return bool(self._entries)

    def describe(self, extra: Mapping[str, Any]) -> None:
        """Give message-level metadata, over what was given before.

        It is in time until the header leaves: in streaming layout with the first object, in buffered
        layout at the end.

        Raises:
            EncodeError: The header has left, or the metadata cannot be written.
        """
        if self._encoder is not None:
            raise EncodeError("the header of the message has left: it cannot say more")
        self._extra = {**self._extra, **extra}
        self._head = Metadata(tuple(self._base), self._extra).pack()

    def preceder(self, entry: Mapping[str, Any]) -> None:
        """Give metadata to the object that is written next; its own `metadata` wins over it."""
        self._next_entry = checked_entry(entry)

    def write(
        self,
        array: ArrayLike,
        metadata: Mapping[str, Any] | None = None,
        *,
        dtype: str | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """Write one object; in streaming layout it has left when this returns.

        Args:
            array: The values; `dtype` and `shape` as in `prepare`.
            metadata: Keys of this object.
            dtype: The format's dtype, where NumPy's does not say it.
            shape: For a bitmask.

        Raises:
            EncodeError: See `prepare`; nothing of the object was written.
            SourceError: The sink failed; what was whole before is whole.
        """
        self.write_prepared(self._preparer.prepare(array, metadata, dtype=dtype, shape=shape))

    def write_many(self, batch: Iterable[ArrayLike | tuple[ArrayLike, Mapping[str, Any]]]) -> None:
        """Write several objects: arrays, or pairs of an array and its metadata.

        They leave together, in as few writes as possible; at the latest when this returns.
        """
        if self._style.layout == "streaming" and not self._base and are_rows(batch):
            for rows in groups_of(batch, _BATCH):
                self._write_rows(rows)
        else:
            self._write_each(batch)

    def _write_rows(self, rows: NDArray[np.generic]) -> None:
        """Write rows of an array, with no metadata of their own, in one go if that is possible."""
        first = self._preparer.prepare(rows[0])
        plain = first.template.descriptor.pipeline.is_plain and not first.template.descriptor.masks
        if self._ended or self._next_entry is not None or self._style.preceder or not plain:
            self._write_each(rows)
            return
        entry = EMPTY_ENTRY.with_tensor(first.template.tensor)
        if self._encoder is None:  # whose beginning depends on the first object
            self._write_each(rows[:1])
            rows = rows[1:]
        assert self._encoder is not None
        made = frames_of(rows, first.template, self._encoder)
        if made is None:
            self._write_each(rows)
            return
        self._entries += [entry] * len(rows)
        self.sink.write([made])

    def _write_each(self, batch: Iterable[ArrayLike | tuple[ArrayLike, Mapping[str, Any]]]) -> None:
        waiting: list[Bytes] = []
        size = 0
        try:
            for item in batch:
                made = self._frame(self._prepared(item))
                size += sum(map(len, made))
                if not made:
                    continue
                if size < _BATCH:
                    waiting.append(b"".join(made))  # a copy: the caller may go on with its array
                else:
                    pieces, waiting, size = [*waiting, *made], [], 0
                    self.sink.write(pieces)
        finally:
            # An object that is refused does not take those before it along.
            if waiting:
                self.sink.write(waiting)

    def _prepared(self, item: Any) -> Prepared:
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Mapping):
            return self._preparer.prepare(item[0], item[1])
        return self._preparer.prepare(item)

    def write_prepared(self, found: Prepared) -> None:
        """Write one object that was prepared elsewhere."""
        if pieces := self._frame(found):
            self.sink.write([b"".join(pieces)] if len(found.payload) <= SMALL else pieces)

    def _frame(self, found: Prepared) -> list[Bytes]:
        """Return what has to be written for an object; nothing while it is held."""
        if self._ended:
            raise EncodeError("the message is finished: begin another one")
        style = self._style
        value = self._entry_of(found)
        # Encoded before anything changes: what cannot be written is refused here.
        entry = entry_of(value) if value else EMPTY_ENTRY
        self._next_entry = None
        self._entries.append(entry.with_tensor(found.template.tensor))
        if style.layout == "buffered":
            self._preceders.append(entry.preceder() if style.preceder else b"")
            self._hold(found)
            return []
        pieces: list[Bytes] = []
        if self._encoder is None:
            pieces += self._begin_streaming(has_entry=bool(value))
        assert self._encoder is not None
        if self._flags & layout.PRECEDER_METADATA and (value or style.preceder):
            pieces.append(self._encoder.control(frametypes.PRECEDER, entry.preceder()))
        return pieces + _tensor(self._encoder, found)

    def _entry_of(self, found: Prepared) -> dict[str, Any]:
        """Return all that is known of the next object: from `base`, its preceder, and `write`."""
        if not self._base and self._next_entry is None:
            return found.entry
        number = len(self._entries)
        announced = self._base[number] if number < len(self._base) else {}
        given = {**(self._next_entry or {}), **found.entry}
        for key in announced.keys() & given.keys():
            if announced[key] != given[key]:
                raise EncodeError(
                    f"object {number}: {key!r} is {announced[key]!r} in base and {given[key]!r} here; "
                    "header and footer must not differ"
                )
        return {**announced, **given}

    def _hold(self, found: Prepared) -> None:
        if self._spool is not None:
            found = self._spool.hold(found)
        elif found.template.descriptor.pipeline.is_plain and not self._borrow:
            found = found._replace(payload=memoryview(bytes(found.payload)))
        self._held.append(found)

    def finish(self) -> MessageSpan:
        """End the message; return where it stands in the sink.

        Raises:
            EncodeError: `base` describes more objects than were written.
            SourceError: The sink failed.
        """
        if self.span is not None:
            return self.span
        if self._ended:
            raise EncodeError("the message was given up: begin another one")
        if len(self._base) > len(self._entries):
            raise EncodeError(
                f"base describes {len(self._base)} objects, only {len(self._entries)} were written"
            )
        if self._style.layout == "buffered":
            self._finish_buffered()
        else:
            self._finish_streaming()
        assert self._encoder is not None
        streaming = self._style.layout == "streaming" and not (self._style.backfill and self.sink.patchable)
        self.span = MessageSpan(
            self.offset, self._encoder.position, self._flags, streaming, len(self._entries)
        )
        self._ended = True
        self._held.clear()
        if self._spool is not None:
            self._spool.close()
        if self._owned:
            self.sink.close()
        return self.span

    def abort(self) -> None:
        """Give up the message. What a streaming message has written stays, as a cut message."""
        self._ended = True
        if self._spool is not None:
            self._spool.close()
        if self._owned:
            self.sink.abort()

    # ---- streaming

    def _begin_streaming(self, *, has_entry: bool) -> list[Bytes]:
        style = self._style
        preceder = has_entry if style.preceder is None else style.preceder
        self._flags = _FOOTER_FRAMES | self._hash_flags(layout.FOOTER_HASHES)
        if preceder and self._entries:
            self._flags |= layout.PRECEDER_METADATA
        encoder = self._encoder = Encoder(self._flags)
        return [encoder.begin(), encoder.control(frametypes.HEADER_METADATA, self._head)]

    def _hash_flags(self, list_flag: int) -> int:
        if not self._style.hashing:
            return 0
        listed = bool(self._entries)
        return layout.HASHES_PRESENT | (list_flag if listed else 0)

    def _finish_streaming(self) -> None:
        pieces: list[Bytes] = []
        if self._encoder is None:
            pieces += self._begin_streaming(has_entry=False)
        encoder = self._encoder
        assert encoder is not None
        if encoder.digests:
            pieces.append(encoder.control(frametypes.FOOTER_HASH, pack_digests(encoder.digests)))
        index = Index(tuple(encoder.offsets), tuple(encoder.lengths))
        pieces.append(encoder.control(frametypes.FOOTER_INDEX, index.pack()))
        pieces.append(encoder.control(frametypes.FOOTER_METADATA, self._whole_metadata()))
        pieces.append(encoder.end())
        self.sink.write(pieces)
        if self._style.backfill and self.sink.patchable:
            for patch in length_patches(self.offset, encoder.position):
                self.sink.patch_at(*patch)

    def _whole_metadata(self) -> bytes:
        return pack_with_base(self._entries, self._extra, self._style.provenance.pack())

    # ---- buffered

    def _finish_buffered(self) -> None:
        if self._spool is not None:
            self._held = self._spool.recall(self._held)
        preceder = bool(self._style.preceder and self._held)
        self._flags = _HEADER_FRAMES | self._hash_flags(layout.HEADER_HASHES)
        if preceder:
            self._flags |= layout.PRECEDER_METADATA
        preceders = self._preceders
        metadata = self._whole_metadata()
        hashes = b""
        digests: list[int] = []
        if self._style.hashing:
            digests = [_digest(held) for held in self._held]
            hashes = pack_digests(digests) if digests else b""
        before_index = layout.PREAMBLE_SIZE + control_frame_size(len(metadata))
        after_index = control_frame_size(len(hashes)) if hashes else 0
        lengths = tuple([tensor_frame_length(len(h.payload), len(h.template.packed)) for h in self._held])
        steps = tuple([control_frame_size(len(body)) if body else 0 for body in preceders])
        index, end = planned(lengths, steps, before_index, after_index)
        encoder = self._encoder = Encoder(self._flags, end + layout.POSTAMBLE_SIZE)
        pieces: list[Bytes] = [
            encoder.begin(),
            encoder.control(frametypes.HEADER_METADATA, metadata),
            encoder.control(frametypes.HEADER_INDEX, index),
        ]
        if hashes:
            pieces.append(encoder.control(frametypes.HEADER_HASH, hashes))
        for number, held in enumerate(self._held):
            if preceders[number]:
                pieces.append(encoder.control(frametypes.PRECEDER, preceders[number]))
            pieces += _tensor(encoder, held, digests[number] if digests else 0)
        pieces.append(encoder.end())
        small = encoder.position <= SMALL  # one piece is written faster than it is gathered from several
        self.sink.write([b"".join(pieces)] if small else pieces)


def _tensor(encoder: Encoder, found: Prepared, digest: int | None = None) -> list[Bytes]:
    if digest is None and len(found.payload) <= SMALL:
        return [encoder.tensor(found.payload, found.template.packed)]
    head = encoder.tensor_head(len(found.payload), len(found.template.packed))
    if digest is None:
        digest = _digest(found) if encoder.hashing else 0
    return [head, found.payload, encoder.tensor_tail(found.template.packed, digest)]


def _digest(found: Prepared) -> int:
    if len(found.payload) <= SMALL:
        return digest_functions()[0](b"".join((found.payload, found.template.packed)))
    digest = new_digest()
    for start in range(0, len(found.payload), _HASH_CHUNK):
        digest.update(found.payload[start : start + _HASH_CHUNK])
    digest.update(found.template.packed)
    return digest.intdigest()
