"""Reads that go over one connection, each sent behind the one before: none waits for a connection, or for an answer.

A client with a pool takes a connection out of it for each command, and spends several times as long on that as on the
command. What cannot be read here fails soon, and is asked for again through the client.
"""

import asyncio
from collections import deque
from contextlib import suppress
from contextvars import Context
from hashlib import sha1
from typing import Any, Final

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bff.store.connection import TIMEOUT_SECONDS
from bff.store.dedicated import DedicatedConnection, ReplyStream, dedicated_connection, end_for_good
from bff.store.redis_failures import FAILURES
from bff.store.replaceable import ReplaceableRedis

_RECONNECT_SECONDS: Final = 0.5


class _ReadStream(ReplyStream):
    """Answers reads in the order in which they were sent."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._loop = asyncio.get_running_loop()
        self._reads: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._next_look: asyncio.TimerHandle | None = None

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """Send a command; its reply, or why there is none, is in what is returned."""
        read = self._loop.create_future()
        self._reads.append((self._loop.time(), read))
        self.transport.write(command)
        if self._next_look is None:
            self._look_later()
        return read

    def take(self, reply: Any) -> None:
        """Give a reply to whoever waits for it."""
        if not self._reads:
            self.end(RedisConnectionError("an answer to no question"))
            return
        _, read = self._reads.popleft()
        if read.done():  # its reader has left
            return
        if isinstance(reply, hiredis.ReplyError):
            forgotten = str(reply).startswith("NOSCRIPT")
            read.set_exception(NoScriptError() if forgotten else ResponseError("refused"))
        else:
            read.set_result(reply)

    def end(self, reason: Exception) -> None:
        """Let all reads fail that are still to be answered."""
        super().end(reason)
        if self._next_look is not None:
            self._next_look.cancel()
        for _, read in self._reads:
            if not read.done():
                read.set_exception(reason)
        self._reads.clear()

    def _look_later(self) -> None:
        """Look again when the read that has waited for longest has done so for too long."""
        self._next_look = self._loop.call_at(self._reads[0][0] + TIMEOUT_SECONDS, self._look)

    def _look(self) -> None:
        """End the connection where the server has been silent for too long.

        Where this process stood still, what arrived meanwhile has been taken before: loops read before they look at
        the clock.
        """
        self._next_look = None
        if self._reads and self._loop.time() - self._reads[0][0] >= TIMEOUT_SECONDS:
            self.end(RedisTimeoutError("no answer"))
        elif self._reads:
            self._look_later()


class PipelinedReads:
    """Runs a script that reads one key.

    Args:
        redis: the client whose server is asked.
        script: takes one key, and two arguments.
    """

    def __init__(self, redis: ReplaceableRedis, script: str) -> None:
        self._redis = redis
        digest = sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._format = (
            b"*6\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n1\r\n" % digest.encode() + 3 * b"$%d\r\n%b\r\n"
        )
        self._stream: _ReadStream | None = None
        self._connection: DedicatedConnection | None = None
        self._task: asyncio.Task[None] | None = None
        redis.on_replace(self._disconnect)

    def read(self, key: bytes, first: bytes, second: bytes) -> asyncio.Future[Any] | None:
        """Send the script; None where there is no connection, which is then made in the background.

        The reply, or one of `FAILURES`, is in what is returned within `TIMEOUT_SECONDS`; a `NoScriptError` where the
        server has forgotten the script.
        """
        stream = self._current()
        if stream is None:
            return None
        return stream.send(self._format % (len(key), key, len(first), first, len(second), second))

    def _current(self) -> _ReadStream | None:
        """Return the connection, where it is to the server that commands go to now."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._connect(), context=Context())
        stream, connection = self._stream, self._connection
        if stream is None or connection is None:
            return None
        if stream.ended.done() or not connection.is_of_primary():
            self._disconnect()
            return None
        return stream

    def _disconnect(self) -> None:
        """Use the connection no more: another server has taken the place of the one that it is to."""
        stream, self._stream, self._connection = self._stream, None, None
        if stream is not None:
            stream.end(RedisConnectionError("another server is asked now"))

    async def _connect(self) -> None:
        """Connect, and let reads use the connection while it is good; pause before it is tried again."""
        client: Any = self._redis.client
        with suppress(*FAILURES):
            async with dedicated_connection(client) as connection:
                if self._redis.client is not client:
                    return  # it was replaced meanwhile
                self._connection, self._stream = connection, _ReadStream(connection.transport)
                try:
                    await self._stream.ended
                finally:
                    self._disconnect()
        await asyncio.sleep(_RECONNECT_SECONDS)

    async def aclose(self) -> None:
        """Disconnect for good."""
        task, self._task = self._task, None
        await end_for_good(task)
