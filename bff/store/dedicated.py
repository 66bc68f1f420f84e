"""A connection of its own to the server that a client's pool is connected to, and who reads from it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import hiredis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

_CANCEL_SECONDS: Final = 0.05


class DedicatedConnection:
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


@asynccontextmanager
async def dedicated_connection(redis: Redis, **options: Any) -> AsyncIterator[DedicatedConnection]:
    """Connect for the block, as the client's pool does: address, TLS, user and Sentinel are those of its URL.

    Args:
        redis: the client.
        options: of the connection, in place of the client's.
    """
    pool: Any = redis.connection_pool
    connection = pool.connection_class(**pool.connection_kwargs | options)
    try:
        await connection.connect()
        dedicated = DedicatedConnection(connection, pool)
        try:
            yield dedicated
        finally:
            dedicated.transport.abort()
    finally:
        await connection.disconnect(nowait=True)


async def end_for_good(task: asyncio.Task[None] | None) -> None:
    """End a task that connects: cancel it again and again, as the client loses one that comes while it connects."""
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_SECONDS)


class ReplyStream(asyncio.Protocol, ABC):
    """Takes a connection over, and handles each reply in the callback that receives it.

    No task stands between the socket and who takes the replies.

    Args:
        transport: the connection; its protocol so far is told of its end.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self._former = transport.get_protocol()
        self._reader = hiredis.Reader(notEnoughData=Ellipsis)
        self.ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        """Has the reason once the connection is of no more use."""
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Handle every reply that is whole."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not Ellipsis:
                self.take(reply)
        except hiredis.ProtocolError:
            self.end(RedisConnectionError("this is no Redis"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the client know, too: it waits for this where it closes a connection."""
        self.end(RedisConnectionError("the connection has ended"))
        self._former.connection_lost(exc)

    @abstractmethod
    def take(self, reply: Any) -> None:
        """Handle a reply; an error that the server gave is a `hiredis.ReplyError`."""

    def end(self, reason: Exception) -> None:
        """Use the connection no more."""
        if not self.ended.done():
            self.ended.set_result(reason)
