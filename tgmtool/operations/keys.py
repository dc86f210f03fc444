"""Look up a key of an object or a message by name, the same way for every command.

It is separate because `-w`, `-p`, `--sort`, `--template` and `--until` must agree on what
`mars.step` is. Names that begin with `_` are computed, bare descriptor names come from the
descriptor, everything else from the object's metadata and then from the message's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..messages.assembly import Message
from ..messages.descriptor import Descriptor
from ..messages.objects import DataObject
from ..messages.spans import FrameSpan, Gap, MessageSpan, Notice, ObjectSpan, Piece
from ..wire import layout
from ..wire.frametypes import BY_NUMBER

MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING", "__bool__": lambda _: False})()
DESCRIPTOR_KEYS = ("dtype", "shape", "ndim", "byte_order", "encoding", "filter", "compression")


class Keys:
    """The keys of one thing that a command lists.

    Attributes:
        own: Computed keys, by name with their `_`.
        descriptor: Keys of the descriptor, if it has one.
        metadata: Of the object, or of the message if it is one.
        extra: Of the message.
    """

    __slots__ = ("descriptor", "extra", "metadata", "own")

    def __init__(
        self,
        own: Mapping[str, Any],
        descriptor: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.own = own
        self.descriptor = descriptor or {}
        self.metadata = metadata or {}
        self.extra = extra or {}

    def get(self, name: str) -> Any:
        """Return the value of `name`, or MISSING.

        A dotted name goes into maps: `mars.step`. A key that holds the dots itself wins.
        """
        if name in self.own:
            return self.own[name]
        if name in self.descriptor:
            return self.descriptor[name]
        for place in (self.metadata, self.extra):
            found = _walk(place, name)
            if found is not MISSING:
                return found
        return MISSING

    def names_in(self, namespace: str) -> list[str]:
        """Return the names below `namespace`, dotted, in their order."""
        for place in (self.metadata, self.extra):
            found = place.get(namespace)
            if isinstance(found, Mapping):
                return [f"{namespace}.{key}" for key in found]
        return []

    def record(self) -> dict[str, Any]:
        """Return everything as one map: metadata, over it the descriptor, over it the computed keys."""
        found = {**self.metadata, **self.descriptor, **self.own}
        if self.extra:
            found["_extra"] = dict(self.extra)
        return found


def keys_of(found: Any, *, file: str, extra: Mapping[str, Any] | None = None) -> Keys:
    """Return the keys of a span, an object, a message, a gap or a notice.

    Args:
        found: What an operation yielded.
        file: Name of the source (`_file`).
        extra: Message-level keys, where `found` does not know its message.
    """
    return _KEYS_OF[type(found)](found, file, extra)


def _of_object(found: ObjectSpan, file: str, extra: Mapping[str, Any] | None) -> Keys:
    own = _object_keys(found, file)
    return Keys(own, _descriptor_keys(found.descriptor), found.metadata, extra)


def _of_data(found: DataObject, file: str, extra: Mapping[str, Any] | None) -> Keys:
    return Keys(_object_keys(found.span, file), _descriptor_keys(found.descriptor), found.metadata, extra)


def _of_message(found: Message, file: str, _extra: Mapping[str, Any] | None) -> Keys:
    own = _message_keys(found.span, file)
    return Keys(own, None, found.metadata.extra, found.metadata.extra)


def _of_message_span(found: MessageSpan, file: str, extra: Mapping[str, Any] | None) -> Keys:
    return Keys(_message_keys(found, file), None, extra)


def _of_frame(found: FrameSpan, file: str, _extra: Mapping[str, Any] | None) -> Keys:
    own = {
        "_file": file,
        "_msg": found.message,
        "_offset": found.offset,
        "_length": found.length,
        "_type": found.type,
        "_name": BY_NUMBER[found.type].name,
        "_flags": found.flags,
        "_padding": found.padding,
        "_hash": _hash(found.digest),
        "_status": "ok",
    }
    return Keys(own)


def _of_gap(found: Gap, file: str, _extra: Mapping[str, Any] | None) -> Keys:
    own = {
        "_file": file,
        "_offset": found.offset,
        "_length": found.length,
        "_status": found.kind,
        "_code": found.code,
        "_reason": found.reason,
    }
    return Keys(own)


def _of_notice(found: Notice, file: str, _extra: Mapping[str, Any] | None) -> Keys:
    own: dict[str, Any] = {
        "event": found.event,
        "_file": file,
        "offset": found.offset,
        "length": found.length,
    }
    if found.code:
        own["code"] = found.code
    if found.reason:
        own["reason"] = found.reason
    if found.stream:
        own["stream"] = found.stream
    return Keys(own)


def _of_piece(found: Piece, file: str, _extra: Mapping[str, Any] | None) -> Keys:
    return Keys({"_file": file, "_offset": found.offset, "_length": found.length})


_KEYS_OF: dict[type, Callable[[Any, str, Mapping[str, Any] | None], Keys]] = {
    ObjectSpan: _of_object,
    DataObject: _of_data,
    Message: _of_message,
    MessageSpan: _of_message_span,
    FrameSpan: _of_frame,
    Gap: _of_gap,
    Notice: _of_notice,
    Piece: _of_piece,
}


def _object_keys(span: ObjectSpan, file: str) -> dict[str, Any]:
    return {
        "_file": file,
        "_msg": span.message,
        "_obj": span.number,
        "_offset": span.offset,
        "_length": span.length,
        "_payload_offset": span.payload_offset,
        "_payload_length": span.payload_length,
        "_hash": _hash(span.digest),
        "_status": span.status,
    }


def _message_keys(span: MessageSpan, file: str) -> dict[str, Any]:
    return {
        "_file": file,
        "_msg": span.number,
        "_offset": span.offset,
        "_length": span.length,
        "_objects": span.objects,
        "_mode": _mode(span),
        "_flags": [name for bit, name in layout.PREAMBLE_FLAG_NAMES if span.flags & bit],
        "_status": "ok",
    }


def _mode(span: MessageSpan) -> str:
    """Return "streaming" (lengths are missing), "backfilled" (they were filled in later) or "buffered"."""
    if span.streaming:
        return "streaming"
    return "backfilled" if span.flags & layout.FOOTER_METADATA else "buffered"


def _hash(digest: int | None) -> str | None:
    return None if digest is None else f"{digest:016x}"


def _descriptor_keys(found: Descriptor | None) -> Mapping[str, Any] | None:
    if found is None:
        return None
    keys: dict[str, Any] = {
        "dtype": found.dtype.name,
        "shape": list(found.shape),
        "ndim": found.ndim,
        "byte_order": found.byte_order,
        "encoding": found.pipeline.encoding,
        "filter": found.pipeline.filter,
        "compression": found.pipeline.compression,
    }
    if found.masks:
        keys["masks"] = sorted(found.masks)
    return keys


def _walk(place: Mapping[str, Any], name: str) -> Any:
    if name in place:
        return place[name]
    head, dot, rest = name.partition(".")
    while dot:
        inner = place.get(head)
        if isinstance(inner, Mapping):
            found = _walk(inner, rest)
            if found is not MISSING:
                return found
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return MISSING


def text_of(value: Any) -> str:
    """Return a value as one word of text: what a table, a template or a comparison shows."""
    if value is MISSING:
        return ""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, list | tuple):
        return "/".join(map(text_of, value)) if value else "-"
    if isinstance(value, Mapping):
        return ",".join(f"{key}={text_of(inner)}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, int) and abs(value) >= 1 << 64:
        return hex(value)
    return str(value)


def fill(template: str) -> Callable[[Keys], str]:
    """Return a function that fills `{key}` in `template` (`{{` and `}}` are braces) in one pass.

    Raises:
        ValueError: A brace is not closed.
    """
    pieces = list(_template_pieces(template))

    def filled(keys: Keys) -> str:
        return "".join(text if key is None else text_of(keys.get(key)) for text, key in pieces)

    return filled


def _template_pieces(template: str) -> Iterator[tuple[str, str | None]]:
    at = 0
    while at < len(template):
        char = template[at]
        if char in "{}" and template[at : at + 2] == 2 * char:
            yield char, None
            at += 2
        elif char == "{":
            end = template.find("}", at)
            if end < 0:
                raise ValueError(f"template {template!r}: the brace at {at} is not closed")
            yield "", template[at + 1 : end]
            at = end + 1
        elif char == "}":
            raise ValueError(f"template {template!r}: the brace at {at} was not opened")
        else:
            ends = [i for i in (template.find("{", at), template.find("}", at)) if i >= 0]
            end = min(ends, default=len(template))
            yield template[at:end], None
            at = end
