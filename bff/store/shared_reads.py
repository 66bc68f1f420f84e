"""Equal reads of one process at once, of which the store is asked one at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from bff.deadline import without_deadline

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedReads(Generic[K, V]):
    """Lets those who want the same thing share one read, which begins after each of them has asked.

    Who comes while a read is under way shares the next one: the one under way may have missed a write that was
    answered before. Where the one under way fails, those who wait for the next fail with it.
    """

    def __init__(self) -> None:
        self._under_way: dict[K, asyncio.Task[V]] = {}
        self._next: dict[K, asyncio.Task[V]] = {}

    async def read(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        """Return what `ask` does, which stands for every other reader with this key."""
        earlier = self._under_way.get(key)
        if earlier is None:
            task = self._under_way[key] = self._begun(key, _asked(ask))
        elif key in self._next:
            task = self._next[key]
        else:
            task = self._next[key] = self._begun(key, self._after(earlier, key, ask))
        return await asyncio.shield(task)

    async def _after(self, earlier: asyncio.Task[V], key: K, ask: Callable[[], Awaitable[V]]) -> V:
        await earlier
        self._under_way[key] = self._next.pop(key)
        return await ask()

    def _begun(self, key: K, work: Coroutine[Any, Any, V]) -> asyncio.Task[V]:
        """Start a read that one reader who leaves does not end for the others."""
        task = asyncio.get_running_loop().create_task(work, context=without_deadline())
        task.add_done_callback(lambda ended: self._ended(key, ended))
        return task

    def _ended(self, key: K, task: asyncio.Task[V]) -> None:
        if self._next.get(key) is task:  # it did not begin, because the one before it failed
            del self._next[key]
        if key not in self._next:
            self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # nobody may be waiting any more


async def _asked(ask: Callable[[], Awaitable[V]]) -> V:
    return await ask()
