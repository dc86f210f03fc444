"""What the builders pack by hand is what the reference implementation reads."""

from __future__ import annotations

import pytest
import tensogram

from tests.builders import Placed, cbor, frames_of, message

MESSAGES = [
    ("buffered", {}),
    ("buffered with preceders", {"preceders": True}),
    ("buffered, descriptor first", {"descriptor_first": True}),
    ("streaming", {"streaming": True}),
    ("streaming with preceders", {"streaming": True, "preceders": True}),
    ("streaming, metadata in the footer", {"streaming": True, "header_metadata": False}),
]
OBJECTS: list[list[bytes]] = [[], [b"payload"], [b"a" * 300, b"", b"39277777TENSOGRM"]]


@pytest.mark.parametrize("choices", [row[1] for row in MESSAGES], ids=[row[0] for row in MESSAGES])
@pytest.mark.parametrize("objects", OBJECTS, ids=["no object", "one", "three"])
def test_the_reference_reads_what_is_built_by_hand(objects: list[bytes], choices: dict[str, bool]) -> None:
    _, found = tensogram.decode(message(objects, **choices), verify_hash=True)  # type: ignore[arg-type]  # all are bool
    assert [values.tobytes() for _, values in found] == objects


def test_the_reference_reads_unhashed_messages_too() -> None:
    _, found = tensogram.decode(message([b"payload"], hashing=False))
    assert found[0][1].tobytes() == b"payload"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (255, "18ff"),
        (256, "190100"),
        (65536, "1a00010000"),
        (1 << 32, "1b0000000100000000"),
        ("xxh3", "6478786833"),
        ([1, [2]], "8201" + "8102"),
        ({"b": 1, "aa": 2, "a": 3}, "a3" + "616103" + "616201" + "62616102"),
    ],
)
def test_cbor_is_the_shortest_with_keys_in_the_order_of_their_bytes(value: object, expected: str) -> None:
    assert cbor(value).hex() == expected


def test_frames_are_placed_by_their_lengths() -> None:
    assert frames_of(message(streaming=True))[:3] == [
        Placed(24, 1, 36),
        Placed(64, 9, 154),
        Placed(224, 7, 36),
    ]
