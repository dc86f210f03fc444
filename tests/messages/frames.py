"""Messages put together frame by frame, also such as no writer of ours would make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import cbor2

from tgmtool.messages.assembly import Assembler, Message
from tgmtool.messages.objects import DataObject
from tgmtool.wire import frametypes, layout
from tgmtool.wire.decoder import Decoder
from tgmtool.wire.digest import body_digest
from tgmtool.wire.events import END, NEED_DATA
from tgmtool.wire.frames import FrameFooter, FrameHeader, Postamble, Preamble

FLOATS: dict[str, Any] = {
    "type": "ntensor",
    "ndim": 1,
    "shape": [3],
    "strides": [1],
    "dtype": "float32",
    "byte_order": "little",
    "encoding": "none",
    "filter": "none",
    "compression": "none",
}
PAYLOAD = bytes.fromhex("0000803f0000004000004040")  # 1, 2, 3


def control(number: int, value: Any, *, hashed: bool = True, digest: int | None = None) -> bytes:
    """A CBOR frame with its padding; `value` may be bytes that are no CBOR."""
    body = value if isinstance(value, bytes) else cbor2.dumps(value, canonical=True)
    length = layout.MIN_FRAME_SIZE + len(body)
    header = FrameHeader(number, layout.HASH_PRESENT if hashed else 0, length)
    footer = FrameFooter(body_digest((body,)) if digest is None else digest)
    return header.pack() + body + footer.pack() + bytes(layout.padding_after(length))


def tensor(
    payload: bytes = PAYLOAD,
    *,
    hashed: bool = True,
    digest: int | None = None,
    first: bool = False,
    cbor_offset: int | None = None,
    **changes: Any,
) -> bytes:
    """A tensor frame with its padding; `first` puts the descriptor before the payload."""
    descriptor = cbor2.dumps({**FLOATS, **changes}, canonical=True)
    body = descriptor + payload if first else payload + descriptor
    length = layout.FRAME_HEADER_SIZE + len(body) + layout.TENSOR_FOOTER_SIZE
    flags = (0 if first else layout.CBOR_AFTER_PAYLOAD) | (layout.HASH_PRESENT if hashed else 0)
    at = layout.FRAME_HEADER_SIZE + (0 if first else len(payload))
    footer = FrameFooter(
        body_digest((body,)) if digest is None else digest, at if cbor_offset is None else cbor_offset
    )
    header = FrameHeader(frametypes.TENSOR, flags, length)
    return header.pack() + body + footer.pack() + bytes(layout.padding_after(length))


def metadata(value: Any = None, **choices: Any) -> bytes:
    return control(frametypes.HEADER_METADATA, value or {}, **choices)


def preceder(entry: Any, **choices: Any) -> bytes:
    return control(frametypes.PRECEDER, {"base": [entry]}, **choices)


def footer_metadata(value: Any, **choices: Any) -> bytes:
    return control(frametypes.FOOTER_METADATA, value, **choices)


def message(*frames: bytes, flags: int = layout.HEADER_METADATA | layout.HASHES_PRESENT) -> bytes:
    """A message of these frames, its length filled in."""
    body = b"".join(frames)
    length = layout.MIN_MESSAGE_SIZE + len(body)
    postamble = Postamble(layout.PREAMBLE_SIZE + len(body), length)
    return Preamble(flags, length).pack() + body + postamble.pack()


def received(pieces: Iterable[bytes], **choices: Any) -> Iterator[DataObject | Message]:
    """What an assembler hands out while `pieces` arrive; nothing is asked for before it must be."""
    decoder, assembler = Decoder(), Assembler(**choices)
    waiting = iter(pieces)
    while (event := decoder.next_event()) is not END:
        if event is NEED_DATA:
            piece = next(waiting, None)
            if piece is None:
                decoder.receive_eof()
            else:
                decoder.receive_data(piece)
            continue
        assert isinstance(event, tuple)
        found = assembler.receive(event)
        if found is not None:
            yield found


def whole(data: bytes, **choices: Any) -> Message:
    """The message that `data` holds, with its objects."""
    found = [one for one in received([data], keep=True, **choices) if isinstance(one, Message)]
    assert len(found) == 1
    return found[0]
