"""What endpoints are asked for in more than one place, above all to leave nothing open."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tgmtool.endpoints.base import Sink

PATIENCE = 60.0  # seconds; reached only when something hangs


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() == before


def open_descriptors() -> set[str]:
    """The open descriptors and what they are, without the one that lists them."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue  # the one that lists them
    return found


def returns(call: Callable[[], object]) -> bool:
    """Whether `call` comes back, long before it would by itself."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return not thread.is_alive()


def write_and_fail(sink: Sink, data: bytes) -> None:
    with sink:
        sink.write([data])
        raise KeyError
