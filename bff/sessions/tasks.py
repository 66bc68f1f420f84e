"""Work that must finish once it has started: a client that leaves cancels only its own waiting."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from bff.deadline import without_deadline

T = TypeVar("T")


class Tasks:
    """Runs coroutines as tasks and keeps track of those that still run."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start `work`; it is kept from the garbage collector until it ends."""
        task = asyncio.get_running_loop().create_task(work, context=without_deadline())
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end and return what it returns, even if whoever awaits this is cancelled."""
        return await asyncio.shield(self.start(work))

    async def drain(self) -> None:
        """Wait until everything that was started has ended."""
        while self._running:
            await asyncio.wait(self._running)

    async def cancel(self) -> None:
        """Cancel what still runs, and wait until it has cleaned up."""
        for task in self._running:
            task.cancel()
        await self.drain()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        # Nobody may be waiting any more; reading the error keeps it from being reported as never retrieved.
        if not task.cancelled():
            task.exception()
