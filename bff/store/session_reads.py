"""How a session is read from Redis: at once over a connection of its own, or else through the client."""

import asyncio
from functools import partial
from typing import Any, Final

from bff.deadline import seconds_left
from bff.session import Ticket
from bff.store import redis_scripts as scripts
from bff.store.connection import TIMEOUT_SECONDS
from bff.store.pipelined_reads import PipelinedReads
from bff.store.protocol import RARE_TOUCH_SECONDS, Found, Touch
from bff.store.redis_failures import DEADLINE_SECONDS, FAILURES, CountedOperation, unavailable_on_failure
from bff.store.redis_keys import RedisKeys
from bff.store.redis_reader import RedisSessionReader, milliseconds
from bff.store.replaceable import AnyRedis, ReplaceableRedis, is_cluster
from bff.store.shared_reads import SharedReads

# How old a last-seen time must be to be written again, in milliseconds; -1 never writes.
_TOUCH_PAUSES: Final = {
    Touch.NO: b"-1",
    Touch.RARE: b"%d" % milliseconds(RARE_TOUCH_SECONDS),
    Touch.LAZY: b"1000",
    Touch.EXACT: b"0",
}
_OPERATION: Final = "load"
_SECOND_TRY_SECONDS: Final = DEADLINE_SECONDS - TIMEOUT_SECONDS


class SessionReads:
    """Reads sessions.

    Args:
        redis: a client with short timeouts and a bounded pool (see `bff.store.connection`).
        reader: reads the replies.
        keys: names the keys.
    """

    def __init__(self, redis: AnyRedis, reader: RedisSessionReader, keys: RedisKeys) -> None:
        self._script: Any = redis.register_script(scripts.LOAD)
        self._reader = reader
        self._keys = keys
        self._shared: SharedReads[tuple[Ticket, Touch], Found] = SharedReads()
        self._pipelined = (
            PipelinedReads(redis, scripts.LOAD)
            if isinstance(redis, ReplaceableRedis) and not is_cluster(redis)
            else None
        )

    async def peek(self, ticket: Ticket, touch: Touch) -> Found:
        """Return what is in Redis now.

        Where it is asked through the client, those of this process who ask at once share the answer.
        """
        reply = self._sent(ticket, touch)
        if reply is None:
            return await self._through_client(ticket, touch, DEADLINE_SECONDS)
        try:
            with CountedOperation(_OPERATION):
                await reply
        except FAILURES:
            return await self._through_client(ticket, touch, _SECOND_TRY_SECONDS)
        return self._reader.read(ticket, reply.result())

    def _sent(self, ticket: Ticket, touch: Touch) -> asyncio.Future[Any] | None:
        """Ask at once; None where there is no connection for that, or the request has less time than it may take."""
        if self._pipelined is None or seconds_left(TIMEOUT_SECONDS) < TIMEOUT_SECONDS:
            return None
        key = self._keys.session(ticket.record_name)
        return self._pipelined.read(key.encode(), b"%d" % self._reader.now(), _TOUCH_PAUSES[touch])

    async def _through_client(self, ticket: Ticket, touch: Touch, seconds: float) -> Found:
        return await self._shared.read((ticket, touch), partial(self.load, ticket, touch, seconds))

    async def load(self, ticket: Ticket, touch: Touch, seconds: float = DEADLINE_SECONDS) -> Found:
        """Return what is in Redis now, asked by nobody else.

        Args:
            ticket: of the session.
            touch: whether this counts as a use.
            seconds: how long this may take.
        """
        key = self._keys.session(ticket.record_name)
        async with unavailable_on_failure(_OPERATION, seconds):
            reply = await self._script(keys=[key], args=(self._reader.now(), _TOUCH_PAUSES[touch]))
        return self._reader.read(ticket, reply)

    async def aclose(self) -> None:
        """Close the connection."""
        if self._pipelined is not None:
            await self._pipelined.aclose()
