"""The hash frame: the digests of a message's objects, listed as text.

It is separate so that the one spelling (xxh3, 16 lower-case hex digits) stands once.
Source: Tensogram wire format v3, §6.3.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import MetadataError
from ..limits import DEFAULT_LIMITS, Limits
from . import cbor
from .cbor_plain import array_of, head, map_of, text

ALGORITHM = "xxh3"
_ALGORITHM, _DIGEST = text(ALGORITHM), head(3, 16) + b"%016x"


class Hashes(NamedTuple):
    """Digests of the tensor frames of one message, in order.

    Attributes:
        algorithm: "xxh3"; another name is not an error, its digests are just not compared.
        hashes: Hex digits, 16 each for xxh3.
    """

    algorithm: str
    hashes: tuple[str, ...]

    def pack(self) -> bytes:
        """Return the frame's body."""
        hashes = array_of([text(digest) for digest in self.hashes])
        return map_of({"algorithm": text(self.algorithm), "hashes": hashes})

    @classmethod
    def of(cls, digests: list[int]) -> Hashes:
        """Return the list for these xxh3-64 digests."""
        return cls(ALGORITHM, tuple(f"{digest:016x}" for digest in digests))

    @classmethod
    def parse(cls, body: bytes | memoryview, *, offset: int, limits: Limits = DEFAULT_LIMITS) -> Hashes:
        """Parse a hash frame's body that stands at `offset` (bytes from the start of the source).

        Raises:
            MetadataError: Not a text and a list of texts.
        """
        value = cbor.decode_map(body, what="hash list", offset=offset, limits=limits)
        algorithm, hashes = value.get("algorithm"), value.get("hashes", [])
        if (
            not isinstance(algorithm, str)
            or not isinstance(hashes, list)
            or not all(isinstance(h, str) for h in hashes)
        ):
            raise MetadataError(
                "hash list: expected algorithm (text) and hashes (a list of text)",
                offset=offset,
                section="6.3",
                code="hash_frame_cbor_parse_failed",
            )
        return cls(algorithm, tuple(hashes))


def pack_digests(digests: list[int]) -> bytes:
    """Return the body of the hash frame that lists these xxh3-64 digests."""
    return map_of({"algorithm": _ALGORITHM, "hashes": array_of([_DIGEST % each for each in digests])})
