"""Await that a descriptor can be read.

It is separate because pipes and notices of the system are awaited alike, and only programs that await
need the event loop: importing it takes its time.
"""

from __future__ import annotations


async def wait_readable(descriptor: int, timeout: float) -> None:
    """Return when reading would not block, at the latest after `timeout` seconds.

    Cancelling leaves nothing registered with the loop.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        async with asyncio.timeout(timeout):
            await ready.wait()
    except TimeoutError:
        pass  # time to look at something else
    finally:
        loop.remove_reader(descriptor)
