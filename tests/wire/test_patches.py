"""Filling in the lengths of a finished streaming message."""

from __future__ import annotations

import pytest

from tests.builders import (
    events_of,
    message,
    put,
)
from tgmtool.wire.events import MessageEnded
from tgmtool.wire.patches import Patch, length_patches

BEFORE = message([b"an earlier message"])
LATER = message([b"a later message"])


def patched(data: bytes, patches: tuple[Patch, ...]) -> bytes:
    for patch in patches:
        data = put(data, patch.offset, patch.data)
    return data


@pytest.mark.parametrize("objects", [[], [b"payload"], [b"39277777" * 9, b""]])
def test_a_patched_streaming_message_is_the_sized_one(objects: list[bytes]) -> None:
    streaming = message(objects, streaming=True)
    sized = message(objects, streaming=True, total_length=len(streaming), mirrored=len(streaming))
    assert patched(streaming, length_patches(0, len(streaming))) == sized


def test_the_preamble_is_patched_first_then_the_postamble_eight_bytes_each() -> None:
    first, second = length_patches(1000, 416)
    assert first == Patch(1016, (416).to_bytes(8, "big"))
    assert second == Patch(1400, (416).to_bytes(8, "big"))


@pytest.mark.parametrize("carried_out", [0, 1, 2])
def test_after_every_patch_the_stream_is_read_as_before(carried_out: int) -> None:
    streaming = message(streaming=True)
    stream = BEFORE + streaming + LATER
    patches = length_patches(len(BEFORE), len(streaming))[:carried_out]
    ended = [event for event in events_of(patched(stream, patches)) if isinstance(event, MessageEnded)]
    assert [(event.offset, event.length) for event in ended] == [
        (0, len(BEFORE)),
        (len(BEFORE), len(streaming)),
        (len(BEFORE) + len(streaming), len(LATER)),
    ]
    assert ended[1].preamble.total_length == (len(streaming) if carried_out >= 1 else 0)
    assert ended[1].postamble_length == (len(streaming) if carried_out >= 2 else 0)


def test_patching_again_changes_nothing() -> None:
    streaming = message(streaming=True)
    patches = length_patches(0, len(streaming))
    once = patched(streaming, patches)
    assert patched(once, patches) == once
