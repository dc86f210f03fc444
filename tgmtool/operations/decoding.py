"""Decode objects of a stranger's file in a process of their own, where a codec is native code.

It is separate from `isolate`, which knows processes, and from the object, which knows its values: here
the child asks for the bytes that it needs. It never reads for itself: whoever holds the connections
checks what comes.
"""

from __future__ import annotations

import gc
import json
import pickle  # of what we say to our own child; what it answers is bytes and JSON
import socket
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..codecs import COMPRESSION, is_known, stage
from ..codecs.base import Bytes, Parts
from ..codecs.dtypes import numpy_dtype
from ..errors import PayloadError, TgmError
from ..limits import check_decoded_size
from ..messages.objects import DataObject
from .isolate import SECONDS, Child, allow_seconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WORD = struct.Struct("<cQQ")  # what the child says: a letter and two numbers
_WANTS, _HAS, _FAILED = b"w", b"h", b"f"  # bytes [a, b) of the payload; a bytes of values; a bytes of why not
_SIZE = struct.Struct("<Q")  # of a question
_LONGEST_REASON = 1 << 16


class Decoder:
    """Decodes objects; those that need native code in one child process, which is made when it is needed.

    A child that failed an object is ended, and another one gets the next.
    """

    def __init__(self) -> None:
        self._child: Child | None = None
        self._is_closed = False

    def close(self) -> None:
        """End the child; what is decoded after this has one of its own each time."""
        self._is_closed = True
        self._end()

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end(kill=True)

    def values(
        self, found: DataObject, ranges: Sequence[tuple[int, int]] | None = None
    ) -> list[NDArray[np.generic]]:
        """Return the values of an object as `DataObject.array` does, or ranges of it as `read`.

        Raises:
            TgmError: A codec died of it, or took more than the limits allow.
            And what `DataObject.array` and `read` raise.
        """
        if not _load_native(found):
            return [found.array] if ranges is None else found.read(ranges)
        found.check_size()
        kind = found.descriptor
        counts = [kind.elements] if ranges is None else [count for _, count in ranges]
        sizes = [kind.dtype.payload_size(count) for count in counts]
        check_decoded_size(sum(sizes), found.limits, "the object", offset=found.span.offset)
        data = self._answer(found, ranges, sum(sizes))
        return _cut(found, data, sizes, is_whole=ranges is None)

    def _answer(self, found: DataObject, ranges: Sequence[tuple[int, int]] | None, size: int) -> bytearray:
        if self._child is None:
            # Twice the object: what is encoded, and what is decoded.
            self._child = Child(_serve, memory=2 * found.limits.decoded_bytes, seconds=SECONDS)
        child = self._child
        payload = found.parts()
        about = (found.descriptor, found.span, found.restore, found.jobs, found.limits, payload.size, ranges)
        try:
            question = pickle.dumps(about)
            answer = _asked(child.channel, _SIZE.pack(len(question)) + question, payload, size)
        except BaseException:
            self._end()
            raise
        if answer is not None:
            if self._is_closed:
                self._end()
            return answer
        self._child = None
        died = child.end(kill=True)  # what died before that keeps its own reason
        raise TgmError(
            f"byte {found.span.offset}: the codec {found.descriptor.pipeline.compression!r} "
            f"{died or 'gave up'} on object {found.span.message}.{found.span.number}; the file may be hostile"
        )


def _load_native(found: DataObject) -> bool:
    """Load the native libraries that decode an object; return whether there are any.

    Loaded here, before a child is made, they are loaded once.
    """
    names = {found.descriptor.pipeline.compression}
    if found.restore and found.descriptor.masks:
        names |= {mask.method for mask in found.masks}
    loads = [stage(COMPRESSION, name).load for name in sorted(names) if is_known(COMPRESSION, name)]
    for load in loads:
        if load is not None:
            load()
    return any(loads)


def _cut(
    found: DataObject, data: bytearray, sizes: list[int], *, is_whole: bool
) -> list[NDArray[np.generic]]:
    import numpy as np

    kind = found.descriptor
    bits = kind.dtype.name == "bitmask"
    dtype = np.dtype(np.uint8) if bits else numpy_dtype(kind.dtype, kind.byte_order)
    parts: list[NDArray[np.generic]] = []
    at = 0
    for size in sizes:
        part: NDArray[np.generic] = np.frombuffer(data, dtype, size // dtype.itemsize, at)
        part.flags.writeable = False
        parts.append(part.reshape(kind.shape) if is_whole and not bits else part)
        at += size
    return parts


def _asked(channel: socket.socket, question: bytes, payload: Parts, size: int) -> bytearray | None:
    """Return the `size` bytes that the child answers; None if it never does. Errors as decoding."""
    try:
        channel.sendall(question)
        while head := _received(channel, _WORD.size):
            what, first, second = _WORD.unpack(head)
            if what == _WANTS and first <= second <= payload.size:
                channel.sendall(payload.read(first, second))
            elif what == _FAILED and first <= _LONGEST_REASON:
                raise _error(json.loads(_received(channel, first) or b"{}"))
            elif what == _HAS and first == size:
                return _received(channel, size)
            else:
                return None  # nothing that our own code would say
    except (BrokenPipeError, ConnectionResetError):
        pass  # it died while we spoke to it
    return None


def _received(channel: socket.socket, size: int) -> bytearray | None:
    """Return so many bytes; None if the other end is closed before."""
    held = bytearray(size)
    at = 0
    while at < size:
        arrived = channel.recv_into(memoryview(held)[at:])
        if not arrived:
            return None
        at += arrived
    return held


# ---- in the child


def _serve(channel: socket.socket) -> None:
    """Answer until nobody asks any more."""
    gc.disable()  # what the parent held is not ours to look through
    while head := _received(channel, _SIZE.size):
        question = _received(channel, *_SIZE.unpack(head))
        if question is None:
            return
        allow_seconds(SECONDS)
        _decode(pickle.loads(question), channel)  # noqa: S301  # the parent's words


def _decode(about: Any, channel: socket.socket) -> None:
    import numpy as np

    descriptor, span, restore, jobs, limits, size, ranges = about

    def read(start: int, stop: int) -> Bytes:
        channel.sendall(_WORD.pack(_WANTS, start, stop))
        data = _received(channel, stop - start)
        if data is None:
            raise BrokenPipeError  # the parent could not read them
        return data

    found = DataObject(descriptor, {}, span, Parts(size, read), restore=restore, jobs=jobs, limits=limits)
    try:
        values = [found.array] if ranges is None else found.read(ranges)
    except (TgmError, MemoryError) as error:
        reason = json.dumps(_reason(error)).encode()
        channel.sendall(_WORD.pack(_FAILED, len(reason), 0) + reason)
        return
    channel.sendall(_WORD.pack(_HAS, sum(part.nbytes for part in values), 0))
    for part in values:
        if part.nbytes:
            channel.sendall(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)


def _reason(error: BaseException) -> dict[str, Any]:
    """Return an error as JSON; `_error` is the way back."""
    if isinstance(error, PayloadError):
        return {"text": error.text, "offset": error.offset, "section": error.section, "code": error.code}
    return {} if isinstance(error, MemoryError) else {"refused": str(error)}


def _error(reason: dict[str, Any]) -> Exception:
    if "text" in reason:
        return PayloadError(str(reason.pop("text")), **reason)
    return TgmError(str(reason["refused"])) if "refused" in reason else MemoryError()
