"""A connection of its own to the server that a client's pool is connected to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis


class TrackedConnection:
    """A connection on which the client has logged in, and which is the caller's from then on.

    Args:
        connection: the client's connection.
        pool: where it would belong.
    """

    def __init__(self, connection: Any, pool: Any) -> None:
        self._connection = connection
        self._pool = pool
        # The client reads with a stream; whoever takes the connection over needs what is below it.
        self.transport: asyncio.Transport = connection._writer.transport  # noqa: SLF001

    def is_of_primary(self) -> bool:
        """Return False where Sentinel has named another server since; without Sentinel that is never known."""
        primary = getattr(self._pool, "master_address", None)
        return primary is None or primary == (self._connection.host, self._connection.port)


class TrackedServer:
    """Connects as the pool of a client does: address, TLS, user and Sentinel are those of its URL.

    Args:
        redis: the client.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool: Any = redis.connection_pool

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[TrackedConnection]:
        """Connect for the block; RESP3 is spoken."""
        options = self._pool.connection_kwargs | {"protocol": 3}
        connection = self._pool.connection_class(**options)
        try:
            await connection.connect()
            tracked = TrackedConnection(connection, self._pool)
            try:
                yield tracked
            finally:
                tracked.transport.abort()
        finally:
            await connection.disconnect(nowait=True)
