"""Do what blocks in a thread, so that other tasks of the event loop go on.

It is separate because nothing may outlive the await, also when that is cancelled: what is half
written is finished first, and the thread is gone when this returns.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable


async def apart(work: Callable[[], object]) -> None:
    """Return when `work` was done in a thread of its own. Cancelling waits for its end.

    Raises:
        Whatever `work` raises.
    """
    import asyncio  # only then: it is dear

    loop = asyncio.get_running_loop()
    done = loop.create_future()
    failed: BaseException | None = None

    def run() -> None:
        nonlocal failed
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # raised again where it is awaited
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop was closed under whoever awaits
            loop.call_soon_threadsafe(done.set_result, None)

    thread = threading.Thread(target=run)
    thread.start()
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError as error:
            cancelled = error
    thread.join()
    if failed is not None:
        raise failed
    if cancelled is not None:
        raise cancelled
