"""An event loop whose time stands still: sockets and processes are real, timers fire when a test advances the time."""

import asyncio
import threading
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

T = TypeVar("T")
_PATIENCE_SECONDS: Final = 30.0


class FrozenLoop(asyncio.SelectorEventLoop):
    """A loop that stays at one moment: what waits for a socket goes on, what waits for a time waits for `advance`."""

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__()

    def time(self) -> float:
        """Return the moment, in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        self._now += seconds


def advance(seconds: float) -> None:
    """Let so many seconds pass at once in the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FrozenLoop)
    loop.advance(seconds)


async def settle() -> None:
    """Let the loop do all that it can do without waiting for anything."""
    for _ in range(100):
        await asyncio.sleep(0)


async def soon(work: Awaitable[T]) -> T:
    """Return what comes of `work` while the loop's time stands still.

    Where nothing comes, the real time of a thread ends the wait: a test then fails and does not hang.
    """
    loop = asyncio.get_running_loop()
    task: asyncio.Future[Any] = asyncio.ensure_future(work)
    enough = asyncio.Event()
    patience = threading.Timer(_PATIENCE_SECONDS, loop.call_soon_threadsafe, (enough.set,))
    patience.start()
    waiting = asyncio.ensure_future(enough.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert task.done(), "it does not come unless more time passes"
        result: T = task.result()
        return result
    finally:
        patience.cancel()
        for one in (task, waiting):
            one.cancel()
