"""Redis clients of several servers that wait for a free connection where redis-py raises an error."""

import asyncio
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.cluster import ClusterPipeline, RedisCluster
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

_SHARE_OF_PIPELINES: Final = 4
"""Pipelines have this part of a cluster client's connections for themselves: one that was redirected sends commands."""


class WaitingSentinelPool(BlockingConnectionPool, SentinelConnectionPool):
    """The connections to the server that Sentinel names; takes what both parents take."""

    def __init__(
        self, service_name: str, sentinel_manager: Sentinel, *, ssl: bool = False, **options: Any
    ) -> None:
        super().__init__(
            connection_class=SentinelManagedSSLConnection if ssl else SentinelManagedConnection,
            service_name=service_name,
            sentinel_manager=sentinel_manager,
            **options,
        )

    async def aclose(self) -> None:
        """Close the connections to the Sentinels, too."""
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


class WaitingCluster(RedisCluster):
    """A cluster's client that sends no more at once than one node has connections for.

    Args:
        max_connections: of one node.
        options: those of `RedisCluster`.
    """

    def __init__(self, *, max_connections: int, **options: Any) -> None:
        super().__init__(max_connections=max_connections, **options)
        pipelines = max_connections // _SHARE_OF_PIPELINES
        self._commands = asyncio.Semaphore(max_connections - pipelines)
        self.pipelines = asyncio.Semaphore(pipelines)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command when it is its turn."""
        async with self._commands:
            return await super().execute_command(*args, **options)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:  # noqa: ARG002
        """Return a pipeline that waits for its turn as a whole."""
        return _WaitingPipeline(self, transaction)  # type: ignore[abstract]  # as `ClusterPipeline` is, for its types


class _WaitingPipeline(ClusterPipeline):
    async def execute(self, *args: Any, **options: Any) -> list[Any]:
        client: Any = self.cluster_client
        async with client.pipelines:
            return await super().execute(*args, **options)
