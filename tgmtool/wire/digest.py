"""xxh3-64 over a frame's body: the only home of xxhash.

It is separate so that nothing else imports xxhash, and only when a digest is wanted.
Source: Tensogram wire format v3, §2.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from xxhash import xxh3_64

Digest: TypeAlias = "xxh3_64"


def new_digest() -> Digest:
    """Return an empty digest; `update` it with the body in pieces, read it with `intdigest`."""
    from xxhash import xxh3_64

    return xxh3_64()


def body_digest(pieces: Iterable[bytes | bytearray | memoryview]) -> int:
    """Return the xxh3-64 digest of a frame's body given in pieces.

    Returns:
        Unsigned 64-bit integer. Zero is a legal digest, not "absent".
    """
    digest = new_digest()
    for piece in pieces:
        digest.update(piece)
    return digest.intdigest()


@cache
def digest_functions() -> tuple[
    Callable[[bytes | bytearray | memoryview], int], Callable[[bytes | bytearray | memoryview], bytes]
]:
    """Return functions from a whole body to its digest, as a number and as it stands in a frame.

    For small bodies they are the fastest way.
    """
    from xxhash import xxh3_64_digest, xxh3_64_intdigest

    return xxh3_64_intdigest, xxh3_64_digest
