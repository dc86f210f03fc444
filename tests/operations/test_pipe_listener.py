"""What stages write to stderr is read, whoever of them begins when."""

from __future__ import annotations

import os
import threading

import pytest

from tests.processes import PATIENCE
from tgmtool.operations.pipe.listener import Listener

FLOOD = b"noise\n" * 100_000  # far more than a pipe holds


def added(listener: Listener, label: str) -> int:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    listener.add(reading, label)
    return writing


def flood(writing: int) -> threading.Thread:
    """Write it all and close, elsewhere: nobody waits here for a listener that does not listen."""

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(FLOOD)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("others", ["none", "silent", "over"])
def test_one_who_begins_while_others_are_listened_to_is_read(others: str) -> None:
    heard: list[tuple[str, str]] = []
    listener = Listener(lambda label, line: heard.append((label, line)), 1000)
    first = None if others == "none" else added(listener, "first")
    listener.start()
    if first is not None and others == "over":
        os.close(first)
    thread = flood(added(listener, "second"))
    thread.join(PATIENCE)
    assert not thread.is_alive()
    if first is not None and others == "silent":
        os.close(first)
    listener.close(PATIENCE)
    assert ("second", "noise") in heard
    assert any("left out here" in line for _, line in heard)
