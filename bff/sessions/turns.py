"""Turns: a bounded number of pieces of work at once, so that what is begun can also be finished."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bff.errors import NotAsked


class Turns:
    """Lets some begin and the others wait for a moment, first come, first served.

    Args:
        most: how many have a turn at once.
        wait_seconds: how long one waits for it.
    """

    def __init__(self, most: int, wait_seconds: float) -> None:
        self._free = asyncio.Semaphore(most)
        self._wait_seconds = wait_seconds

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have a turn for the block.

        Raises:
            NotAsked: none came in time; nothing was begun.
        """
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise NotAsked("too many are at it already", retry_after=1) from None
        try:
            yield
        finally:
            self._free.release()
