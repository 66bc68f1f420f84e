"""A Redis client that another one can take the place of, while commands are under way."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.commands.core import AsyncScript

from bff.store.redis_failures import DEADLINE_SECONDS

_LAST_SECONDS: Final = 2 * DEADLINE_SECONDS
"""After so long no command of a client that was replaced is under way any more."""


class ReplaceableRedis:
    """Stands in for a client: a command goes to the one that is there when it begins, and ends there.

    Args:
        client: the first one.
    """

    def __init__(self, client: Redis | RedisCluster) -> None:
        self.client = client
        self._listeners: list[Callable[[], None]] = []

    def on_replace(self, listener: Callable[[], None]) -> None:
        """Call this whenever another client has taken the place of this one."""
        self._listeners.append(listener)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def register_script(self, script: str) -> AsyncScript:
        """Return a script that runs wherever the client is."""
        return _Script(self, script)

    def replace(self, client: Redis | RedisCluster) -> Awaitable[None]:
        """Take another client; what is returned closes the old one once its last commands have ended."""
        old, self.client = self.client, client
        for listener in self._listeners:
            listener()
        return _close_later(old)


AnyRedis = Redis | RedisCluster | ReplaceableRedis


def is_cluster(redis: AnyRedis) -> bool:
    """Return whether it is a client of a cluster."""
    return isinstance(redis.client if isinstance(redis, ReplaceableRedis) else redis, RedisCluster)


class _Script(AsyncScript):
    """Runs on the client that is there when it begins, from the first try to the last."""

    def __init__(self, redis: ReplaceableRedis, script: str) -> None:
        super().__init__(redis.client, script)
        self._redis = redis

    async def __call__(self, keys: Any = None, args: Any = None, client: Any = None) -> Any:
        """Run; see `AsyncScript`."""
        return await super().__call__(keys, args, self._redis.client if client is None else client)


async def _close_later(client: Redis | RedisCluster) -> None:
    try:
        await asyncio.sleep(_LAST_SECONDS)
    finally:
        await client.aclose()
