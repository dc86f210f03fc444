"""Read what the processes of a pipeline write to stderr, and pass it on with their names.

It is separate because nobody may wait for it: a stage that floods stderr is neither held up nor believed
to be interesting for ever.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable

from .bell import Bell
from .cancel import Cancel

_READ = 65536
_LONGEST_LINE = 4096
_LAST_LINES = 10

Said = Callable[[str, str], None]
"""Takes a stage's label and one line that it wrote."""


class _Voice:
    """One stage's stderr."""

    def __init__(self, label: str, said: Said, most: int) -> None:
        self._label = label
        self._said = said
        self._left = most
        self._waiting = b""
        self._dropped = 0
        self._last: deque[bytes] = deque(maxlen=_LAST_LINES)

    def take(self, chunk: bytes) -> None:
        *lines, self._waiting = (self._waiting + chunk).split(b"\n")
        for line in lines:
            self._line(line)
        while len(self._waiting) > _LONGEST_LINE:
            self._line(self._waiting[:_LONGEST_LINE])
            self._waiting = self._waiting[_LONGEST_LINE:]

    def _line(self, line: bytes) -> None:
        for at in range(0, max(len(line), 1), _LONGEST_LINE):
            piece = line[at : at + _LONGEST_LINE]
            if self._left > 0:
                self._left -= len(piece) + 1
                self._say(piece)
            else:
                if len(self._last) == _LAST_LINES:
                    self._dropped += len(self._last[0]) + 1
                self._last.append(piece)

    def _say(self, line: bytes) -> None:
        self._said(self._label, line.decode("utf-8", "backslashreplace"))

    def end(self) -> None:
        if self._waiting:
            self._line(self._waiting)
            self._waiting = b""
        if self._dropped:
            self._said(self._label, f"[{self._dropped} bytes left out here: --stderr-limit]")
            self._dropped = 0
        for line in self._last:
            self._say(line)
        self._last.clear()


class Listener:
    """One thread for all stages, and for the processes that begin while it listens.

    Args:
        said: Takes every line.
        most: Bytes of each stage that are passed on; then only the last lines, at its end.
    """

    def __init__(self, said: Said, most: int) -> None:
        self._most = most
        self._said = said
        self._poller = select.poll()
        self._cancel = Cancel()
        self._poller.register(self._cancel.descriptor, select.POLLIN)
        self._bell = Bell()
        self._poller.register(self._bell.descriptor, select.POLLIN)
        self._voices: dict[int, _Voice] = {}
        self._by_label: dict[str, _Voice] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, descriptor: int, label: str) -> None:
        """Listen to a descriptor, which is ours from now on."""
        with self._lock:
            self._voices[descriptor] = self._by_label[label] = _Voice(label, self._said, self._most)
            self._poller.register(descriptor, select.POLLIN)
            self._bell.ring()  # whoever waits already does not see what is added

    def heard(self, label: str, text: bytes) -> None:
        """Take what somebody else has read."""
        with self._lock:
            voice = self._by_label.setdefault(label, _Voice(label, self._said, self._most))
            voice.take(text if text.endswith(b"\n") else text + b"\n")

    def start(self) -> None:
        """Begin to listen."""
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            ready = {descriptor for descriptor, _ in self._poller.poll()}
            if self._cancel.descriptor in ready:
                self._read_the_rest()
                return
            if self._bell.descriptor in ready:
                self._bell.silence()
            for descriptor in ready - {self._bell.descriptor}:
                self._read(descriptor)

    def _read(self, descriptor: int) -> bool:
        try:
            chunk = os.read(descriptor, _READ)
        except BlockingIOError:
            return False
        if chunk:
            with self._lock:
                self._voices[descriptor].take(chunk)
            return True
        self._forget(descriptor)
        return False

    def _read_the_rest(self) -> None:
        """What stands in the pipes already, and no more: somebody may still hold the other end."""
        for descriptor in list(self._voices):
            for _ in range(32):
                if not self._read(descriptor):
                    break
            if descriptor in self._voices:
                self._forget(descriptor)

    def _forget(self, descriptor: int) -> None:
        self._poller.unregister(descriptor)
        with self._lock:
            self._voices.pop(descriptor).end()
        os.close(descriptor)

    def close(self, seconds: float) -> None:
        """All processes have ended: read what they left, and end."""
        self._cancel.set()
        if self._thread is not None:
            self._thread.join(seconds)
        for voice in self._by_label.values():
            voice.end()
        if self._thread is None or not self._thread.is_alive():
            self._cancel.close()
            with self._lock:
                self._bell.close()
            for descriptor in self._voices:
                os.close(descriptor)
            self._voices.clear()
