"""NaN and ±Inf beside a payload that cannot hold them: found, packed as bit masks, put back.

It is separate because masks are no stage: they stand behind the payload, whatever its stages are.
Bits are packed most significant first, one per element, the last byte filled up with zeros.
Source: Tensogram wire format v3, §6.5.1-6.5.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import EncodeError, PayloadError
from . import COMPRESSION, rle, roaring, stage
from .base import Bytes, Job, Parts
from .dtypes import BY_NAME, DType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAN, POSITIVE, NEGATIVE = KINDS = ("nan", "inf+", "inf-")  # in the order in which they follow the payload
DEFAULT_METHOD = "roaring"
SMALL = 128  # bytes of a packed mask; up to this they are stored as they are


class Rules(NamedTuple):
    """What shall become of values that are not finite.

    Attributes:
        allow_nan: NaN may be masked; otherwise it is refused.
        allow_inf: ±Inf may be masked; otherwise they are refused.
        methods: Method of each kind in KINDS; DEFAULT_METHOD where absent.
        small: Masks of at most this many packed bytes are stored raw whatever the method.

    Raises (from `check`):
        EncodeError: A method that does not exist or that is not written.
    """

    allow_nan: bool = False
    allow_inf: bool = False
    methods: Mapping[str, str] = {}
    small: int = SMALL

    def check(self) -> None:
        """Refuse what cannot be written, before anything is."""
        for kind, method in self.methods.items():
            if kind not in KINDS or method not in METHODS:
                raise EncodeError(
                    f"mask {kind!r} by {method!r}: expected one of {', '.join(KINDS)} "
                    f"by one of {', '.join(METHODS)}"
                )
            if METHODS[method].pack is None:
                raise EncodeError(
                    f"mask {kind!r} by {method!r} is read but not written: other readers cannot decode it "
                    "in a fresh process; choose roaring, rle, zstd, lz4 or none"
                )


class Method(NamedTuple):
    """One way to write a mask: packed bits to a blob and back.

    Attributes:
        pack: `(packed bits, elements) -> blob`; None if it is only read.
        unpack: `(blob, elements) -> packed bits`, ceil(elements / 8) bytes; raises PayloadError.
    """

    pack: Callable[[Bytes, int], Bytes] | None
    unpack: Callable[[Bytes, int], Bytes]


def _job(elements: int) -> Job:
    return Job(BY_NAME["bitmask"], elements, {})


def _raw(data: Bytes, _elements: int) -> Bytes:
    return data


def _by_stage(name: str, *, written: bool = True) -> Method:
    """Return the method that is a compression's, with its defaults."""

    def pack(data: Bytes, elements: int) -> Bytes:
        return stage(COMPRESSION, name).encode(data, _job(elements))[0]

    def unpack(blob: Bytes, elements: int) -> Bytes:
        return stage(COMPRESSION, name).decode(blob, _packed_size(elements), _job(elements))

    return Method(pack if written else None, unpack)


METHODS = {
    "none": Method(_raw, _raw),
    "rle": Method(rle.pack, rle.unpack),
    "roaring": Method(roaring.pack, roaring.unpack),
    "lz4": _by_stage("lz4"),
    "zstd": _by_stage("zstd"),
    "blosc2": _by_stage("blosc2", written=False),
}
"""THE table of mask methods."""

# Bits of one component, by dtype: NaN, +Inf, -Inf, in the order of KINDS.
_PATTERNS = {
    "float16": (0x7E00, 0x7C00, 0xFC00),
    "bfloat16": (0x7FC0, 0x7F80, 0xFF80),
    "float32": (0x7FC00000, 0x7F800000, 0xFF800000),
    "float64": (0x7FF8 << 48, 0x7FF0 << 48, 0xFFF0 << 48),
}
_PATTERNS["complex64"], _PATTERNS["complex128"] = _PATTERNS["float32"], _PATTERNS["float64"]


def take_out(
    values: NDArray[np.generic], dtype: DType
) -> tuple[NDArray[np.generic], dict[str, NDArray[np.intp]]]:
    """Return a copy of the values with zeros where they are not finite, and the indices of these, by kind.

    Args:
        values: One-dimensional, contiguous, of the NumPy dtype that `codecs.dtypes` names.
        dtype: A dtype with NaN and Inf.

    Of a complex element NaN in either part wins over +Inf, and +Inf over -Inf.
    """
    import numpy as np

    clean = values.copy()
    words = _components(clean, dtype)
    infinite = words.dtype.type(_PATTERNS[dtype.name][1])
    sign = words.dtype.type(1 << (8 * dtype.component - 1))
    where = np.flatnonzero(((words & ~sign) >= infinite).any(axis=1))
    odd = words[where]
    is_nan = ((odd & ~sign) > infinite).any(axis=1)
    is_positive = (odd == infinite).any(axis=1) & ~is_nan
    words[where] = 0
    kinds = {NAN: is_nan, POSITIVE: is_positive, NEGATIVE: ~(is_nan | is_positive)}
    return clean, {kind: where[chosen] for kind, chosen in kinds.items() if chosen.any()}


def put_back(values: NDArray[np.generic], dtype: DType, kind: str, where: NDArray[np.intp]) -> None:
    """Write the canonical bits of `kind` into both parts of the elements `where`, in place.

    Args:
        values: One-dimensional, contiguous, writeable, in either byte order.
        dtype: A dtype with NaN and Inf.
        kind: Of KINDS.
        where: Indices of elements.
    """
    words = _components(values, dtype)
    words[where] = _PATTERNS[dtype.name][KINDS.index(kind)]


def _components(values: NDArray[np.generic], dtype: DType) -> NDArray[Any]:
    """Return a view of the bits, an unsigned word per component: (elements, 1 or 2)."""
    order = ">" if values.dtype.byteorder == ">" else "="
    return values.view(f"{order}u{dtype.component}").reshape(len(values), -1)


def write(
    found: Mapping[str, NDArray[np.intp]], elements: int, start: int, rules: Rules
) -> tuple[list[Bytes], dict[str, Any]]:
    """Return the blobs to stand behind the payload, and the descriptor's `masks`.

    Args:
        found: Indices by kind, as `take_out` returns them.
        elements: Of the object.
        start: Bytes of the payload that they follow.
        rules: Methods and the size up to which masks stay raw.
    """
    import numpy as np

    blobs: list[Bytes] = []
    entries: dict[str, Any] = {}
    for kind in KINDS:
        if kind not in found:
            continue
        bits = np.zeros(elements, np.uint8)
        bits[found[kind]] = 1
        packed = np.packbits(bits)
        method = rules.methods.get(kind, DEFAULT_METHOD)
        if len(packed) <= rules.small:
            method = "none"
        pack = METHODS[method].pack
        assert pack is not None
        blob = pack(packed.data, elements)
        entries[kind] = {"method": method, "offset": start, "length": len(blob)}
        blobs.append(blob)
        start += len(blob)
    return blobs, entries


class Mask(NamedTuple):
    """One mask of an object: where it stands, and how to read it.

    Attributes:
        kind: Of KINDS.
        method: Name in METHODS.
        offset: Bytes from the start of the payload.
        length: Bytes.
    """

    kind: str
    method: str
    offset: int
    length: int

    def read(self, payload: Parts, elements: int) -> NDArray[np.intp]:
        """Return the indices of the elements of this kind. Errors as `packed`."""
        import numpy as np

        return np.flatnonzero(np.unpackbits(self.packed(payload, elements), count=elements))

    def packed(self, payload: Parts, elements: int) -> NDArray[np.uint8]:
        """Return the bits, most significant first, ceil(elements / 8) bytes.

        Raises:
            PayloadError: The blob is not a mask of so many elements.
            CodecUnavailable: The method's package is missing.
        """
        import numpy as np

        blob = payload.read(self.offset, self.offset + self.length)
        try:
            packed = METHODS[self.method].unpack(blob, elements)
        except PayloadError as error:
            raise _error(self.kind, error.text) from None
        if len(packed) != _packed_size(elements):
            raise _error(self.kind, f"it has {len(packed)} bytes, expected {_packed_size(elements)}")
        return np.frombuffer(packed, np.uint8)


def parse(entries: Mapping[Any, Any], dtype: DType, payload_size: int) -> tuple[list[Mask], int]:
    """Return the masks that a descriptor names, and where the first begins: the payload's own end.

    Args:
        entries: The descriptor's `masks`.
        dtype: The object's.
        payload_size: Bytes of the payload with its masks.

    Raises:
        PayloadError: An entry that is not one, or that points outside.
    """
    found = []
    first = payload_size
    if not dtype.is_float and entries:
        text = f"{dtype.name} has neither NaN nor Inf, but masks"
        raise PayloadError(text, section="6.5.1", code="mask_invalid")
    for kind, entry in entries.items():
        if kind not in KINDS:
            raise _error(f"{kind!r:.20}", f"does not exist, expected {', '.join(KINDS)}")
        given: Mapping[Any, Any] = entry if isinstance(entry, Mapping) else {}
        offset, length, method = given.get("offset"), given.get("length"), given.get("method")
        if (
            type(offset) is not int
            or type(length) is not int
            or not isinstance(method, str)
            or method not in METHODS
        ):
            raise _error(kind, f"expected method, offset and length, method one of {', '.join(METHODS)}")
        if offset < 0 or length < 0 or offset + length > payload_size:
            raise _error(kind, f"bytes {offset} to {offset + length} of a payload of {payload_size}")
        found.append(Mask(kind, method, offset, length))
        first = min(first, offset)
    return found, first


def _error(kind: str, text: str) -> PayloadError:
    return PayloadError(f"mask {kind}: {text}", section="6.5.1", code="mask_invalid")


def _packed_size(elements: int) -> int:
    return (elements + 7) // 8
