"""Make the messages that speak about a stream and hold no object: ends, errors, notes, acknowledgments.

It is separate because `encode`, `tail` and `pipe` all write them, and they must be the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..endpoints.memory import MemorySink
from ..messages.metadata import Provenance
from ..messages.stream import KEY, Place
from .writer import StreamWriter, Style


def marker(
    place: Place, extra: Mapping[str, Any] | None = None, provenance: Provenance | None = None
) -> bytes:
    """Return a message without objects: preamble, header metadata, an empty header index, postamble.

    The empty index matters: the reference's remote reader refuses a message without any.

    Args:
        place: What it says of its place in a stream.
        extra: Other message-level metadata.
        provenance: `_reserved_` of the message; the clock and a random uuid if None.

    Raises:
        EncodeError: Metadata that cannot be written.
    """
    sink = MemorySink()
    style = Style(layout="buffered", provenance=provenance or Provenance())
    with StreamWriter(sink, {**(extra or {}), KEY: place.to_map()}, style=style):
        pass
    return bytes(sink.data)


def now() -> str:
    """Return the time for `time` of a place: RFC 3339, UTC, milliseconds. Never used to order anything."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
