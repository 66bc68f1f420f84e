"""Which sessions were written, as Redis says: client-side tracking over a connection of its own.

Redis pushes the names of all keys with our prefix that are written, expire or are evicted (`CLIENT TRACKING`, RESP3,
broadcasting). Pushes and replies come in the order in which Redis made them. So the reply to a question that was asked
at some time proves that every write up to that time has been heard of, and this proof has an age: once it is too old,
nothing that was read before counts, whether the connection ended, fell silent, or this process stood still.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from bff.store.cache import SessionCache
from bff.store.dedicated import dedicated_connection, end_for_good
from bff.store.redis_failures import FAILURES
from bff.store.tracking import Refused, TrackingStream
from bff.telemetry.logs import event
from bff.telemetry.metrics import INVALIDATION_SECONDS, SESSION_CACHE, SESSION_READS

PROOF_SECONDS: Final = 0.9
"""How old the latest proof may be; a second after a connection went down, nothing may be served from memory."""

_SILENT_SECONDS: Final = 2.0
_RECONNECT_SECONDS: Final = 0.5
_REFUSED_SECONDS: Final = 30.0
_NEVER: Final = float("-inf")
_FOUND: Final = SESSION_READS.labels("found")
_log = logging.getLogger(__name__)


class InvalidationFeed:
    """Drops from a cache what Redis says was written, and knows whether it says so.

    Args:
        redis: a client of the server that the sessions are on.
        prefix: of the keys to hear of.
        cache: drops them.
        monotonic: seconds.
        beat: seconds between two proofs.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        cache: SessionCache,
        *,
        monotonic: Callable[[], float],
        beat: float,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._cache = cache
        self._monotonic = monotonic
        self._beat = beat
        self._task: asyncio.Task[None] | None = None
        self._state = "new"
        self.proven_at = _NEVER
        """Every write up to this monotonic time has been heard of."""

    def over(self, redis: Redis) -> "InvalidationFeed":
        """Return another feed, which hears of the same keys from another server."""
        return InvalidationFeed(redis, self._prefix, self._cache, monotonic=self._monotonic, beat=self._beat)

    def current(self) -> bool:
        """Return whether what the cache has is true, or was less than a second ago."""
        return self._monotonic() - self.proven_at < PROOF_SECONDS

    def start(self) -> None:
        """Connect in the background, and again whenever that is needed; nothing where this has begun."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow_always())

    async def aclose(self) -> None:
        """Disconnect for good."""
        task, self._task = self._task, None
        await end_for_good(task)

    async def _follow_always(self) -> None:
        while True:
            pause = _RECONNECT_SECONDS
            try:
                await self._follow()
            except (Refused, ResponseError):
                self._turn("refused")
                pause = _REFUSED_SECONDS
            except TimeoutError:
                self._turn("silent")
            except FAILURES:
                self._turn("lost")
            await asyncio.sleep(pause)

    async def _follow(self) -> None:
        """Connect, and return never: what ends the connection is raised."""
        async with dedicated_connection(self._redis, protocol=3) as connection:
            stream = TrackingStream(connection.transport, self._on_written, self._on_proof, self._stop)
            try:
                stream.track(self._prefix)
                while True:
                    stream.ask(self._monotonic())
                    await asyncio.wait([stream.ended], timeout=self._beat)
                    self._check(stream)
                    if not connection.is_of_primary():
                        raise RedisConnectionError("another server has become the primary")
            finally:
                self._stop()

    def _check(self, stream: TrackingStream) -> None:
        """Raise what has ended the connection, or that it has been silent for too long."""
        if stream.ended.done():
            raise stream.ended.result()
        if stream.asked and self._monotonic() - stream.asked[0] >= _SILENT_SECONDS:
            raise TimeoutError

    def _on_written(self, keys: Iterable[bytes] | None) -> None:
        """Drop what was written; nothing named means that everything was, as by FLUSHALL."""
        if keys is None:
            self._cache.clear()
        else:
            for key in keys:
                self._cache.drop(key)

    def _on_proof(self, asked_at: float) -> None:
        self.proven_at = asked_at
        INVALIDATION_SECONDS.observe(self._monotonic() - asked_at)
        _FOUND.inc(self._cache.take_hits())
        self._turn("on")

    def _stop(self) -> None:
        """Let nothing of what was read count any more."""
        self.proven_at = _NEVER
        self._cache.clear()

    def _turn(self, state: str) -> None:
        """Say once that the cache is on now, or why it is off."""
        if state == self._state:
            return
        self._state = state
        SESSION_CACHE.labels(state).inc()
        if state == "on":
            event(_log, "session_cache_on")
        else:
            event(_log, "session_cache_off", level=logging.WARNING, reason=state)
