"""Turn a byte stream into frame events, without doing any I/O.

Bytes arrive in whatever pieces a pipe, a growing file or an S3 range gives us.
Frames are found by their own length, never by looking for the end marker:
payload bytes may contain it.

The driver's side of the bargain (`operations/drive.py` is the only one): bytes are always
delivered from `next_offset` on. It moves forward past what `skip_frame` passed over, and after
`resync` it may move backward, never below `keep_from`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..errors import FormatError, FramingError, LimitExceeded, TruncatedError
from . import frametypes, layout, prefixes
from .buffer import Buffer, Bytes
from .digest import Digest, body_digest, new_digest
from .events import (
    END,
    NEED_DATA,
    Damaged,
    Event,
    FrameBegan,
    FrameData,
    FrameEnded,
    MessageBegan,
    MessageEnded,
    Signal,
)
from .frames import FrameFooter, FrameHeader, Postamble, Preamble
from .order import check_step

if TYPE_CHECKING:
    from .resync import Hunt

CONTROL_BODY_LIMIT = 64 << 20
_BOUNDARY_SIZE = layout.ALIGNMENT - 1 + layout.POSTAMBLE_SIZE


class Decoder:
    """The sans-IO reader of a stream of messages.

    Call `next_event` until it returns `NEED_DATA`, then deliver bytes with `receive_data`, or say
    with `receive_eof` that there are no more; `END` is returned when the input ended between messages.
    `next_event` raises `FramingError` at damage and `TruncatedError` when the input ends inside a
    sound message, and goes on raising it; after damage `resync` looks for the next whole message,
    which is announced by a `Damaged` event. After a cut it does so only when it is told that nobody
    finishes the message: what looks like messages may be its payload.

    Args:
        offset: Where the first delivered byte stands (bytes from the start of the source).
        verify: Compute the digest of every frame that is not skipped.
        control_body_limit: Largest body of a CBOR frame that is held in memory to come in one
            piece, in bytes; a larger one comes in several, as payloads do.
        digests: Of bodies of tensor frames that are known, by where their frames begin (bytes from the
            start of the source): these are not computed again.

    Attributes:
        wanted: After NEED_DATA, how many bytes would let the decoder go on.
        sound_end: Every frame of the message so far that ends before it (bytes from the start of the
            source) is proven by its digest.

    Source: Tensogram wire format v3, §1-§9.
    """

    def __init__(
        self,
        *,
        offset: int = 0,
        verify: bool = True,
        control_body_limit: int = CONTROL_BODY_LIMIT,
        digests: Mapping[int, int] = {},
    ) -> None:
        self.verify = verify
        self.control_body_limit = control_body_limit
        self._known = digests
        self.wanted = layout.PREAMBLE_SIZE
        self._buffer = Buffer(offset)
        self._eof: int | None = None
        # Functions, not bound methods: these would be a cycle, and keep what was delivered alive.
        self._step: Callable[[Decoder], Event | Signal | None] = Decoder._read_preamble
        self._error: FormatError | LimitExceeded | None = None
        self._pending = FramingError("")  # what is wrong, if the zeros that follow end before the input does
        self._reason: FormatError = self._pending
        self._hunt: Hunt | None = None
        self._promised = offset
        self._begin_message(offset, Preamble(0))

    def _begin_message(self, offset: int, preamble: Preamble) -> None:
        self._message = offset
        self._preamble = preamble
        self._previous: int | None = None  # type of the frame before
        self._boundaries = array("Q")  # where frames began, from the message's start
        self._has_metadata = False
        self._objects = 0
        self.sound_end = offset  # every frame of this message before it is proven by its digest
        self._sound = True
        self._skipped = False
        self._in_message = False  # a preamble was read, and no postamble yet
        self._excess = 0  # padding beyond 7 bytes that was passed
        self._frame = FrameBegan(offset, FrameHeader(0, 0, 0), 0)
        self._body_left = 0
        self._digest: Digest | None = None  # of the payload that is passing
        self._actual: int | None = None  # of the control frame that passed, or known before

    # ---- the driver's side

    @property
    def next_offset(self) -> int:
        """Where the next byte to be delivered stands (bytes from the start of the source)."""
        return self._buffer.end

    @property
    def keep_from(self) -> int:
        """The lowest offset that `next_offset` may go back to from now on: asking is being promised.

        A driver whose source keeps everything does not ask. Without the promise, frames that were
        skipped can be read after all when damage follows them, to tell what is in them from what is not.
        """
        if self._hunt is not None:
            self._promised = self._hunt.keep_from
        elif self.verify and not self._skipped:
            self._promised = self.sound_end
        else:
            self._promised = max(self._promised, self._message)
        return self._promised

    def receive_data(self, data: Bytes) -> None:
        """Take bytes that stand at `next_offset`; they are kept by reference and must not change."""
        self._eof = None
        self._buffer.append(data)

    def receive_eof(self, end: int | None = None) -> None:
        """Take note that there are no more bytes.

        Args:
            end: Where the input ends (bytes from the start of the source); `next_offset` if not
                given. It can be lower when `skip_frame` passed over bytes that do not exist.
        """
        self._eof = self._buffer.end if end is None else end

    def receive_loss(self, offset: int) -> None:
        """Take note that bytes before `offset` cannot be delivered again, and look on from there."""
        if self._hunt is None:
            self._start_hunt(
                FramingError("bytes that would have to be read again are gone", offset=self._buffer.end)
            )
        assert self._hunt is not None
        self._hunt.search_from(offset)

    def next_event(self) -> Event | Signal:
        """Return what happened next, or what is needed.

        Raises:
            FramingError: Damage; `resync` may be called.
            TruncatedError: The input ends inside a message.
            LimitExceeded: The search for the next message costs more than it may.
        """
        if self._error is not None:
            raise self._error
        try:
            while True:
                event = self._step(self)
                if event is not None:
                    return event
        except (FormatError, LimitExceeded) as error:
            self._error = error
            raise

    def skip_frame(self, keep: int = 0) -> None:
        """Pass over the body of the tensor frame that just began, except its last `keep` bytes.

        What is passed over is not delivered as FrameData and need not be read: `next_offset`
        jumps. The frame then has no actual digest.
        """
        drop = self._body_left - keep
        if drop > 0:
            self._buffer.consume(drop)
            self._body_left -= drop
            self._digest = None
            self._skipped = True

    @property
    def whole_until(self) -> int:
        """Where the whole frames of the open message end, at most (bytes from the start of the source)."""
        if self._hunt is not None:
            return self.sound_end  # the frame that was damaged did not end where it says
        if not self._in_message:
            return self._message
        return self._frame.offset if self._in_frame else self._frame_end()

    def resync(self, *, assume_dead: bool = False) -> None:
        """After a FramingError, look for the next message that is whole and sound.

        Args:
            assume_dead: After a TruncatedError too: nobody finishes that message, and whole ones behind
                its last whole frame are not its payload. If there is none, the error is raised again.

        Raises:
            TruncatedError: The search behind a cut message is over, and was in vain.
        """
        error = self._error
        is_cut = isinstance(error, TruncatedError)
        if not isinstance(error, FramingError) or (is_cut and not assume_dead):
            raise RuntimeError("resync is for a decoder that stopped at damage")
        if error is self._reason:
            raise error
        self._start_hunt(error)

    # ---- between messages

    def _read_preamble(self) -> Event | Signal:
        head = self._buffer.peek(layout.PREAMBLE_SIZE)
        if len(head) < layout.PREAMBLE_SIZE:
            if not self._at_end:
                return self._need(layout.PREAMBLE_SIZE)
            if not head:
                return END
        offset = self._buffer.offset
        self._message = self.sound_end = offset
        if len(head) < layout.PREAMBLE_SIZE:
            if prefixes.preamble_may_follow(_written(head)):
                raise self._truncated(zero_tail=not any(head))
            if head[:8] == layout.MESSAGE_MAGIC:  # so its version or its length is wrong
                Preamble.parse(bytes(head).ljust(layout.PREAMBLE_SIZE, b"\0"), offset=offset)
            raise _foreign(head, offset)
        try:
            preamble = Preamble.parse(head, offset=offset)
        except FramingError as error:
            wrong = _foreign(head, offset) if error.code == "invalid_magic" else error
            return self._suspect(wrong, len(head), prefixes.preamble_may_follow(_written(head)))
        self._begin_message(offset, preamble)
        self._in_message = True
        self._buffer.consume(layout.PREAMBLE_SIZE)
        self._step = Decoder._read_boundary
        return MessageBegan(offset, preamble)

    # ---- between frames

    def _read_boundary(self) -> Event | Signal | None:
        """After a frame: 0-7 bytes of padding, then a frame or the postamble.

        Padding is told by alignment, not by zeros: a postamble begins with zeros too. The aligned
        position is tried first, and believed when `FR` or the end magic confirms it.
        """
        head = self._buffer.peek(_BOUNDARY_SIZE)
        here = self._buffer.offset
        span = here - self._message
        padding = layout.padding_after(span)
        aligned = head[padding : padding + 2]
        if aligned == layout.FRAME_MAGIC and not self._postamble_due(span + padding):
            return self._begin_frame(head[padding : padding + layout.FRAME_HEADER_SIZE], padding)
        for skipped in (0, padding):
            if self._is_postamble(head[skipped:], span + skipped):
                return self._end_message(skipped)
        if len(head) < padding + layout.POSTAMBLE_SIZE and not self._at_end:
            return self._need(padding + layout.POSTAMBLE_SIZE)
        if padding and head[:2] == layout.FRAME_MAGIC:
            return self._begin_frame(head[: layout.FRAME_HEADER_SIZE], 0)
        zeros = head[padding : padding + layout.ALIGNMENT]
        if (
            len(zeros) == layout.ALIGNMENT
            and not any(zeros)
            and self._excess < layout.MAX_EXCESS_PADDING
            and not self._postamble_due(span + padding)
        ):
            self._excess += layout.ALIGNMENT
            self._buffer.consume(padding + layout.ALIGNMENT)
            return None
        head = head[: padding + layout.POSTAMBLE_SIZE]
        may_follow = prefixes.boundary_may_follow(
            _written(head),
            span=span,
            padding=padding,
            total=self._preamble.total_length,
            is_boundary=self._is_boundary,
        )
        if len(head) < padding + layout.POSTAMBLE_SIZE and may_follow:
            unwritten = len(head) > padding or self._excess > 0
            raise self._truncated(zero_tail=unwritten and not any(head))
        return self._suspect(self._boundary_error(head, padding), len(head), may_follow)

    def _postamble_due(self, span: int) -> bool:
        """By the preamble's length the postamble stands `span` bytes after the message's start."""
        return self._preamble.total_length == span + layout.POSTAMBLE_SIZE

    def _is_postamble(self, head: memoryview, span: int) -> bool:
        if len(head) < layout.POSTAMBLE_SIZE or head[16:24] != layout.END_MAGIC:
            return False
        if self._postamble_due(span):
            return True
        postamble = Postamble.parse(head, offset=0)
        return postamble.total_length in {0, span + layout.POSTAMBLE_SIZE} and self._is_boundary(
            postamble.first_footer_offset, span
        )

    def _is_boundary(self, offset: int, span: int) -> bool:
        """A frame began `offset` bytes after the message's start, or it is the postamble's place."""
        if offset == span:
            return True
        from bisect import bisect_left

        at = bisect_left(self._boundaries, offset)
        return at < len(self._boundaries) and self._boundaries[at] == offset

    def _boundary_error(self, head: memoryview, padding: int) -> FramingError:
        span = self._buffer.offset - self._message
        at = self._buffer.offset + padding
        if self._postamble_due(span + padding) or self._postamble_due(span):
            return FramingError(
                f"expected the postamble with the end magic 39277777 here, as the message's length "
                f"{self._preamble.total_length} says, found {bytes(head[padding : padding + 24])!r}",
                offset=at,
                section="7",
                code="postamble_invalid",
            )
        return FramingError(
            f"expected a frame (FR) or the postamble, found {bytes(head[padding : padding + 8])!r}",
            offset=at,
            section="2.3",
            code="invalid_frame_header",
        )

    def _begin_frame(self, head: memoryview, padding: int) -> Event | Signal:
        size = padding + layout.FRAME_HEADER_SIZE
        offset = self._buffer.offset + padding
        if len(head) < layout.FRAME_HEADER_SIZE:
            if not self._at_end:
                return self._need(size)
            if prefixes.frame_header_may_follow(_written(head)):
                raise self._truncated()
            head = memoryview(bytes(head).ljust(layout.FRAME_HEADER_SIZE, b"\0"))
        try:
            header = FrameHeader.parse(head, offset=offset)
            self._check_fit(header, offset)
            check_step(self._previous, header.type, offset=offset)
        except FramingError as error:
            return self._suspect(error, size, prefixes.frame_header_may_follow(_written(head)))
        row = header.row
        self._frame = FrameBegan(offset, header, offset - self._frame_end())
        self._previous = header.type
        self._excess = 0
        self._boundaries.append(offset - self._message)
        self._has_metadata = self._has_metadata or header.type in frametypes.METADATA_TYPES
        self._objects += row.is_object
        self._body_left = header.body_size
        self._buffer.consume(size)
        in_pieces = row.is_object or header.body_size > self.control_body_limit
        self._actual = self._known.get(offset) if row.is_object else None
        self._digest = new_digest() if self.verify and in_pieces and self._actual is None else None
        self._step = Decoder._read_payload if in_pieces else Decoder._read_control
        return self._frame

    def _frame_end(self) -> int:
        """Where the frame before ended, or the preamble."""
        if not self._boundaries:
            return self._message + layout.PREAMBLE_SIZE
        return self._frame.offset + self._frame.header.total_length

    def _check_fit(self, header: FrameHeader, offset: int) -> None:
        total = self._preamble.total_length
        room = self._message + total - layout.POSTAMBLE_SIZE - offset
        if total and header.total_length > room:
            raise FramingError(
                f"the {header.row.name} frame claims {header.total_length} bytes, "
                f"but its message (length {total}) has room for {max(room, 0)}",
                offset=offset + 8,
                section="2.1",
                code="frame_exceeds_message",
            )

    def _end_message(self, padding: int) -> Event:
        head = self._buffer.peek(padding + layout.POSTAMBLE_SIZE)[padding:]
        offset = self._buffer.offset + padding
        postamble = Postamble.parse(head, offset=offset)
        length = offset + layout.POSTAMBLE_SIZE - self._message
        total = self._preamble.total_length
        check_step(self._previous, None, offset=offset)
        if total and total != length:
            raise FramingError(
                f"the preamble says {total} bytes, but the message's own postamble ends it after {length}",
                offset=self._message + layout.PREAMBLE_TOTAL_AT,
                section="3.2",
                code="total_length_invalid",
            )
        if postamble.total_length not in {0, length}:
            raise FramingError(
                f"the postamble says {postamble.total_length} bytes, the message has {length}",
                offset=offset + layout.POSTAMBLE_TOTAL_AT,
                section="7",
                code="postamble_invalid",
            )
        if not self._has_metadata:
            raise FramingError(
                "the message has no metadata frame, expected one in the header or in the footer",
                offset=self._message,
                section="1",
                code="no_metadata_frame",
            )
        self._buffer.consume(padding + layout.POSTAMBLE_SIZE)
        self.sound_end = self._buffer.offset
        self._step = Decoder._read_preamble
        self._in_message = False
        return MessageEnded(
            self._message,
            length,
            self._preamble,
            postamble.first_footer_offset,
            postamble.total_length,
            self._objects,
        )

    # ---- inside a frame

    def _read_control(self) -> Event | Signal:
        header = self._frame.header
        size = header.total_length - layout.FRAME_HEADER_SIZE
        if len(self._buffer) < size:
            return self._need(size)
        body = self._buffer.peek(size)[: self._body_left]
        if self.verify:
            self._actual = body_digest((body,))
        self._buffer.consume(self._body_left)
        self._body_left = 0
        self._step = Decoder._end_frame
        return FrameData(self._frame.offset + layout.FRAME_HEADER_SIZE, body)

    def _read_payload(self) -> Event | Signal:
        if not self._body_left:
            return self._end_frame()
        offset = self._buffer.offset
        piece = self._buffer.piece(self._body_left)
        if not piece:
            return self._need(self._body_left + self._frame.header.row.footer_size)
        if self._digest is not None:
            self._digest.update(piece)
        self._buffer.consume(len(piece))
        self._body_left -= len(piece)
        return FrameData(offset, piece)

    def _end_frame(self) -> Event | Signal:
        offset, header, _ = self._frame
        size = header.row.footer_size
        tail = self._buffer.peek(size)
        if len(tail) < size:
            return self._need(size)
        try:
            footer = FrameFooter.parse(tail, header, offset=offset)
        except FramingError as error:
            return self._suspect(error, size, prefixes.frame_end_may_follow(_written(tail), size))
        stored = footer.digest if header.has_hash else None
        actual = self._actual if self._digest is None else self._digest.intdigest()
        self._buffer.consume(size)
        if self._sound and stored is not None and stored == actual:
            self.sound_end = offset + header.total_length
        else:
            self._sound = False
        self._step = Decoder._read_boundary
        return FrameEnded(offset, header, footer.cbor_offset, stored, actual)

    # ---- what is missing, and what is wrong

    def _need(self, size: int) -> Signal:
        """Ask until `size` bytes are there; at the end of the input they never will be."""
        if self._at_end:
            raise self._truncated()
        self.wanted = max(size - len(self._buffer), 1)
        return NEED_DATA

    @property
    def _at_end(self) -> bool:
        return self._eof is not None and self._buffer.end >= self._eof

    def _truncated(self, *, zero_tail: bool = False) -> TruncatedError:
        end = self._buffer.end if self._eof is None else self._eof
        available = end - self._message
        expected: int | None = None
        where = "inside its preamble"
        if self._in_message:
            expected = self._preamble.total_length or None
            inside = self._in_frame
            frame = self._frame
            where = "after a whole frame" if self._boundaries else "after its preamble"
            if inside:
                where = f"inside its {frame.header.row.name} frame at {frame.offset}"
            if inside and expected is None:
                expected = frame.offset + frame.header.total_length - self._message + layout.POSTAMBLE_SIZE
        text = f"the message that begins here stops after {available} bytes, {where}"
        if expected is not None:
            least = "" if self._preamble.total_length else "at least "
            text += f"; it needs {least}{expected}"
        if zero_tail:
            text += "; the last bytes are zeros, reserved but not written"
        return TruncatedError(
            text,
            offset=self._message,
            message_offset=self._message,
            available=available,
            expected=expected,
            zero_tail=zero_tail,
            whole_until=self.whole_until,
        )

    @property
    def _in_frame(self) -> bool:
        """A frame began and is not whole, as far as was read."""
        return self._step in (Decoder._read_payload, Decoder._read_control, Decoder._end_frame)

    def _suspect(self, error: FramingError, size: int, may_follow: bool) -> Signal:
        """Raise `error`, unless zeros that were never written could be what is wrong.

        A power loss or a preallocated file leaves zeros up to the end of the file: that is cut
        short, not damaged. So wait for the first byte that is not zero before raising.

        Args:
            error: What is wrong with the structure that stands at the front of the buffer.
            size: Bytes of it, with the padding before it.
            may_follow: Without its trailing zeros it is the beginning of something valid.
        """
        structure = self._buffer.peek(size)
        if structure[-1] or not may_follow:
            raise error
        self._pending = error
        self._buffer.consume(len(structure))
        self._step = Decoder._read_zeros
        return self._read_zeros()

    def _read_zeros(self) -> Signal:
        while piece := self._buffer.piece(1 << 20):
            if bytes(piece).count(0) != len(piece):
                raise self._pending
            self._buffer.consume(len(piece))
        if self._at_end:
            raise self._truncated(zero_tail=True)
        self.wanted = 1
        return NEED_DATA

    # ---- after damage

    def _start_hunt(self, reason: FormatError) -> None:
        from .resync import Hunt

        unread = self._skipped or not self.verify
        recheck = unread and self._in_message and self._promised <= self._message
        self._hunt = Hunt(
            lambda offset: Decoder(offset=offset, control_body_limit=self.control_body_limit),
            lost_from=self._message,
            origin=self._message if recheck else max(self.sound_end, self._message + 1),
            recheck=recheck,
        )
        self._reason = reason
        self._error = None
        self._step = Decoder._read_hunt

    def _read_hunt(self) -> Event | Signal | None:
        from .resync import torn

        hunt = self._hunt
        assert hunt is not None
        found = hunt.advance(self._buffer, self._eof)
        if found is NEED_DATA:
            self.wanted = hunt.wanted
            return NEED_DATA
        assert isinstance(found, int)
        self._hunt = None
        reason = self._reason
        if isinstance(reason, TruncatedError):
            if not hunt.has_found:
                self._buffer.move_to(found if self._eof is None else self._eof)
                raise reason
            reason = torn(hunt.lost_from, found)
        self._buffer.move_to(found)
        self._message = self.sound_end = found
        self._in_message = False
        self._step = Decoder._read_preamble
        if found == hunt.lost_from:
            return None
        return Damaged(hunt.lost_from, found - hunt.lost_from, reason)


def _written(data: memoryview) -> bytes:
    """`data` without the zeros at its end, which may be space that was never written."""
    return bytes(data).rstrip(b"\0")


def _foreign(head: memoryview, offset: int) -> FramingError:
    return FramingError(
        f"expected a message (TENSOGRM), found {bytes(head[:8])!r}",
        offset=offset,
        section="9.1",
        code="foreign_bytes",
    )
