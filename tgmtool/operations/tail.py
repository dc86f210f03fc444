"""Show what is in growing files as it comes, and know when to stop.

It is separate from the steps of following because the loop exists twice, once waiting and once
awaiting; both call the same steps.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any

from ..errors import TimeLimit
from .apart import apart
from .choices import Choices
from .contents import Found
from .steps import Tail

__all__ = ["Tail", "TimeLimit", "afollow", "atail", "follow", "tail"]


def tail(places: Any, choices: Choices | None = None, **changes: Any) -> Iterator[Found]:
    """Yield what is in growing files, as it becomes whole.

    Args:
        places: A path, `-` or a Source, or a list of them.
        choices: How.
        **changes: Replace single fields of `choices`: `tail("run.tgm", follow=True, last=None)`.

    Yields:
        DataObject, Message, FrameSpan or Piece, as `choices.unit` says, and Notice for everything
        else that happens to the file. An object of a message that is still open has the metadata
        that is known so far.

    Raises:
        TimeLimit: A time limit passed.
        SourceError: A file cannot be read; with several files, after all others ended.
        LimitExceeded: The input costs more than the limits allow.
    """
    steps = Tail(_listed(places), replace(choices or Choices(), **changes))
    with closing(steps):
        yield from follow(steps)
        if steps.failed:
            raise steps.failed[0]


def follow(steps: Tail) -> Iterator[Found]:
    """The loop of `tail`, for callers that want to ask `steps` how it ended."""
    if steps.choices.follow:
        steps.start_watching()  # before the first look: what changes during it is noticed
    while True:
        gone = steps.gone()
        yield from steps.look()
        if steps.is_over(gone=gone):
            break
        steps.wait()
    yield from steps.finish()


async def atail(places: Any, choices: Choices | None = None, **changes: Any) -> AsyncIterator[Found]:
    """As `tail`, awaiting. Cancelling, or leaving the loop, closes files and watches; nothing runs on.

    State and acknowledgments are made durable in a thread, and `Choices.flush` is called there: meanwhile
    other tasks go on.
    """
    steps: Tail | None = None

    def begin() -> None:
        nonlocal steps
        steps = Tail(_listed(places), replace(choices or Choices(), **changes), when_told=True)

    try:
        await apart(begin)
        assert steps is not None
        async with aclosing(afollow(steps)) as found:
            async for one in found:
                yield one
        if steps.failed:
            raise steps.failed[0]
    finally:
        if steps is not None:
            await apart(steps.close)


async def afollow(steps: Tail) -> AsyncGenerator[Found, None]:
    """The loop of `atail`; of steps that write when they are told."""
    if steps.choices.follow:
        steps.start_watching()
    while True:
        gone = steps.gone()
        for one in steps.look():
            if steps.must_write:
                await apart(steps.write)
            yield one
        if steps.must_write:
            await apart(steps.write)
        if steps.is_over(gone=gone):
            break
        await steps.wait_async()
    for one in steps.finish():
        if steps.must_write:
            await apart(steps.write)
        yield one


def _listed(places: Any) -> list[Any]:
    return list(places) if isinstance(places, list | tuple) else [places]
