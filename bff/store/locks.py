"""One worker at a time per session, over all replicas."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar

from bff.errors import StoreUnavailable, UpstreamUnavailable
from bff.session import Ticket
from bff.store.redis_store import RedisSessionStore
from bff.upstream.token_calls import DEADLINE_SECONDS

# The holder may make four token calls: the lock outlives them all, or two would renew at once.
LOCK_SECONDS: Final = 5 * DEADLINE_SECONDS
WAIT_SECONDS: Final = DEADLINE_SECONDS + 1
_POLL_SECONDS: Final = 0.05

T = TypeVar("T")


class Locks:
    """Takes a session's Redis lock and gives it back.

    Args:
        store: where the locks are.
        clock: monotonic seconds.
        jitter: a number from 0 to 1, so that waiters do not all ask at once.
    """

    def __init__(
        self, store: RedisSessionStore, *, clock: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        self._store = store
        self._clock = clock
        self._jitter = jitter

    @asynccontextmanager
    async def hold(
        self, ticket: Ticket, *, unless: Callable[[], Awaitable[T | None]] | None = None
    ) -> AsyncIterator[T | None]:
        """Hold the lock for the block, and yield None; or wait without it and yield what `unless` found.

        Raises:
            UpstreamUnavailable: another worker kept the lock all the time that one waits.
        """
        until = self._clock() + WAIT_SECONDS
        while (owner := await self._store.try_lock(ticket, LOCK_SECONDS)) is None:
            if self._clock() >= until:
                raise UpstreamUnavailable("another request is busy with this session", retry_after=1)
            await asyncio.sleep(_POLL_SECONDS * (0.5 + self._jitter()))
            if unless is not None and (found := await unless()) is not None:
                yield found
                return
        try:
            yield None
        finally:
            with suppress(StoreUnavailable):  # it ends by itself
                await self._store.unlock(ticket, owner)
