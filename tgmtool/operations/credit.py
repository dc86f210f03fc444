"""Run no further ahead of a consumer than it has room for: what it acknowledged, and what is in flight.

It is separate from writing because it only reads and waits: the consumer writes an ordinary .tgm
whose messages answer ours (`in_reply_to`), and this follows it. Whatever happens to that file, the
worst is that no new credit comes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from ..endpoints.watch import Watch, watch
from ..errors import EncodeError, LimitExceeded, MetadataError, SourceError
from ..messages import cbor
from ..messages.assembly import Message
from ..messages.spans import Notice
from ..messages.stream import Place, Sender
from ..wire import layout
from ..wire.encoder import control_frame_size, tensor_frame_length
from .follow import Follower
from .interruption import Interruption
from .prepare import Prepared

ACK_CHAN = "sync"
PATIENCE = 30.0
_LISTED = 64  # bytes at most that an object adds to index, hash list and the keys around its metadata
_FRAMES = 1024  # bytes at most of a message without objects and extra metadata


class Handover(NamedTuple):
    """How a producer waits for its consumer.

    Attributes:
        ack: The file in which the consumer acknowledges; it need not exist yet.
        window: Bytes that may be written and not acknowledged; None for any.
        wait: After the end, wait until that is acknowledged.
        patience: Seconds without a new acknowledgment after which waiting fails; None for ever.
        poll: Seconds between two looks; notices of the system make it sooner.
    """

    ack: str
    window: int | None = None
    wait: bool = False
    patience: float | None = PATIENCE
    poll: float = 1.0


class Credit:
    """What one sender may still write.

    Between messages, and between the objects of one: never are more than `window` bytes in flight,
    except that a message larger than the window passes when nothing before it is. Frames that close
    a message, and markers, always pass.

    Args:
        handover: How to wait.
        who: Whose messages are acknowledged.
        seq: The number of the next message.
        interruption: Lets a signal break off waiting.
        report: Is told once of acknowledgments that give no credit.

    Attributes:
        acknowledged: The highest number that was acknowledged; one before the first number if none.
    """

    def __init__(
        self,
        handover: Handover,
        who: Sender,
        seq: int,
        interruption: Interruption,
        report: Callable[[str], None],
    ) -> None:
        self._handover = handover
        self._who = who
        self._interruption = interruption
        self._report = report
        self._reported: set[str] = set()
        self._sent: deque[tuple[int, int]] = deque()  # in flight: number, and bytes through it
        self._written = 0  # bytes of whole messages
        self._confirmed = 0  # of them, bytes that are acknowledged
        self._last = seq - 1  # the number of the last message
        self.acknowledged = -1
        self._follower = Follower(handover.ack, unit="message")
        self._watch: Watch | None = None
        self._look()  # what stands there now can only answer what was sent before

    @property
    def in_flight(self) -> int:
        """Bytes of whole messages that are not acknowledged."""
        return self._written - self._confirmed

    def sent(self, seq: int, size: int) -> None:
        """Take note of a whole message of `size` bytes."""
        self._written += size
        self._last = seq
        if self._handover.window is not None:
            self._sent.append((seq, self._written))

    def wait_for_room(self, size: int) -> None:
        """Return when `size` more bytes, of the open message in all, may be written.

        Raises:
            TimeLimit: No new acknowledgment came for too long.
        """
        window = self._handover.window
        if window is not None:
            self._wait_until(lambda: not self._sent or self.in_flight + size <= window)

    def wait_for_end(self) -> None:
        """Return when everything that was sent is acknowledged. Raises as `wait_for_room`."""
        self._wait_until(lambda: self.acknowledged >= self._last)

    def close(self) -> None:
        """Let go of the file and of the watch over it."""
        self._follower.close()
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _wait_until(self, is_enough: Callable[[], bool]) -> None:
        if is_enough():
            return
        handover = self._handover
        if self._watch is None:
            self._watch = watch([handover.ack])  # before the look: what changes during it is noticed
        newest = time.monotonic()
        while True:
            before = self.acknowledged
            self._look()
            if is_enough():
                return
            now = time.monotonic()
            if self.acknowledged != before:
                newest = now
            pause = handover.poll
            if handover.patience is not None:
                pause = min(pause, newest + handover.patience - now)
                if pause <= 0:
                    raise self._too_late()
            with self._interruption.breakable():
                self._watch.wait(pause)

    def _too_late(self) -> Exception:
        from ..errors import TimeLimit

        handover = self._handover
        window = "" if handover.window is None else f"; the window is {handover.window} bytes"
        through = f"number {self.acknowledged}" if self.acknowledged >= 0 else "nothing"
        return TimeLimit(
            f"--backpressure-timeout: {handover.ack}: no new acknowledgment for {handover.patience:g} s: "
            f"written through number {self._last} ({self._written} bytes), acknowledged through {through} "
            f"({self._confirmed} bytes){window}"
        )

    def _look(self) -> None:
        """Read what is new in the file."""
        try:
            for found in self._follower.poll():
                if isinstance(found, Message):
                    self._take(found)
                elif isinstance(found, Notice) and found.event in {"gap", "invalid"}:
                    self._no_credit("bytes that are no acknowledgment")
        except (SourceError, LimitExceeded) as error:
            self._no_credit(f"what cannot be read ({error})")

    def _take(self, message: Message) -> None:
        try:
            place = Place.parse(message.metadata.extra, offset=message.span.offset)
        except MetadataError:
            place = None
        reply = place.reply() if place is not None and place.who.chan == ACK_CHAN else None
        if reply is None:
            self._no_credit("messages that are no acknowledgment")
            return
        who, seq = reply
        if who != self._who:
            self._no_credit(f"acknowledgments of another stream, {who}")
        elif seq > self._last:
            self._no_credit(f"acknowledgments of what was not sent, number {seq}")
        elif seq > self.acknowledged:
            self.acknowledged = seq
            while self._sent and self._sent[0][0] <= seq:
                self._confirmed = self._sent.popleft()[1]

    def _no_credit(self, what: str) -> None:
        kind = what.split(",", maxsplit=1)[0].split("(", maxsplit=1)[0]
        if kind not in self._reported:
            self._reported.add(kind)
            self._report(f"{self._handover.ack}: it has {what}: they give no credit")


def size_at_most(found: Prepared) -> int:
    """Return the bytes that an object adds to its message, at most."""
    template = found.template
    entry = len(cbor.encode(found.entry))
    frame = tensor_frame_length(len(found.payload), len(template.packed))
    preceder = control_frame_size(entry + _LISTED)
    return frame + layout.ALIGNMENT + preceder + entry + len(template.tensor) + _LISTED


def frames_at_most(extra_size: int) -> int:
    """Return the bytes of a message besides its objects, at most; `extra_size` is its metadata's."""
    return _FRAMES + 2 * extra_size


def check_handover(handover: Handover | None) -> None:
    """Refuse what makes no sense.

    Raises:
        EncodeError: A window of nothing, or nothing to wait for.
    """
    if handover is None:
        return
    if handover.window is None and not handover.wait:
        raise EncodeError("--ack belongs to --window or --wait-ack")
    if handover.window is not None and handover.window < 1:
        raise EncodeError(f"--window {handover.window}: expected at least one byte")
