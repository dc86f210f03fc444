"""The digest of a frame's body."""

from __future__ import annotations

import pytest
from xxhash import xxh3_64_intdigest

from tgmtool.wire.digest import body_digest, new_digest


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", 0x2D06800538D394C2),
        (b"\xa0", xxh3_64_intdigest(b"\xa0")),
        (b"x" * 999, xxh3_64_intdigest(b"x" * 999)),
    ],
)
def test_it_is_xxh3_64_without_a_seed(body: bytes, expected: int) -> None:
    assert body_digest((body,)) == expected


@pytest.mark.parametrize("step", [1, 7, 64, 1000])
def test_the_pieces_in_which_a_body_comes_do_not_matter(step: int) -> None:
    body = bytes(range(256)) * 3
    pieces = [memoryview(body)[at : at + step] for at in range(0, len(body), step)]
    assert body_digest(pieces) == body_digest((body,))
    growing = new_digest()
    for piece in pieces:
        growing.update(piece)
    assert growing.intdigest() == body_digest((body,))


def test_no_pieces_are_an_empty_body() -> None:
    assert body_digest(()) == body_digest((b"",))
