"""What a numbered file says of itself, and whether validate and the reference both take it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensogram

import tgmtool
from tgmtool import Message, Policy
from tgmtool.messages.stream import KEY, Place, Sender
from tgmtool.operations.markers import marker
from tgmtool.operations.stream_policy import StreamPolicy


def places_in(source: Any) -> list[dict[str, Any]]:
    """The place of each whole message; {} for one without."""
    found = [one for one in tgmtool.read(source, on_damage="skip") if isinstance(one, Message)]
    return [dict(one.metadata.extra.get(KEY, {})) for one in found]


def kinds_in(source: Any) -> list[tuple[int, str]]:
    """The number and the type of each message that is numbered."""
    return [(place["seq"], place.get("type", "data")) for place in places_in(source) if place]


def codes_in(data: bytes, *, require_end: bool = True) -> list[str]:
    """What `validate --stream --require-end --strict` holds against it."""
    stream = StreamPolicy(require_end=require_end)
    policy = Policy(messages=(stream.message,), ends=(stream.end,), strict=True)
    found = [one.code for one in tgmtool.validate(data, policy=policy).findings]
    return [code for code in found if code != "length_not_backfilled"]  # worth knowing, not wrong


def assert_clean(*paths: Path, require_end: bool = True) -> None:
    """Nobody finds fault with these files: neither we nor the reference."""
    for path in paths:
        data = path.read_bytes()
        assert codes_in(data, require_end=require_end) == []
        report = tensogram.validate_file(str(path), level="full")
        assert report["file_issues"] == []
        assert all(message["issues"] == [] for message in report["messages"])
        for offset, length in tensogram.scan(data):
            tensogram.decode(data[offset : offset + length], verify_hash=True)


def ack(seq: int, who: Sender, *, number: int = 0, chan: str = "sync") -> bytes:
    """What a consumer writes when everything of `who` through `seq` is durable."""
    answer = {"id": who.id, "chan": who.chan, "sender": who.sender, "seq": seq}
    return marker(Place(Sender("consumer", chan), number, rest={"in_reply_to": answer}))
