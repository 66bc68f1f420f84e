"""How often strangers may try: logins per account and per address, new guests per address.

Counted in the session store's Redis by the `limits` library, as moving windows. A store that fails lets through and is
counted in a metric: a limit guards the upstream, it is no lock.
"""

import asyncio
import hashlib
import logging
import math
from collections.abc import Callable
from typing import Any, Final

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError

from bff.addresses import network_of
from bff.errors import TooManyRequests
from bff.store.redis_failures import FAILURES
from bff.store.redis_store import AnyRedis
from bff.telemetry.logs import event
from bff.telemetry.metrics import LIMITS_OPEN

DEADLINE_SECONDS: Final = 0.5
"""For all that one try is counted for: whoever waits for a silent store afterwards has waited no longer than this."""

_log = logging.getLogger(__name__)


class SharedRedisStorage(RedisStorage):
    """The library's Redis storage through the sessions' own client, with its pool, timeouts and nodes.

    Args:
        redis: the client.
    """

    def __init__(self, redis: AnyRedis) -> None:
        self._redis: Any = redis
        super().__init__(
            "async+redis://", wrap_exceptions=True, implementation="redispy", key_prefix="bff:limits"
        )

    def configure_bridge(self) -> None:
        """Hand the client to the library, where it would connect by itself."""
        bridge: Any = self.bridge
        bridge.storage = self._redis
        bridge.connection_getter = lambda _readonly: self._redis


class RedisRateLimits:
    """Raises `TooManyRequests`, with the seconds to wait, where a limit is used up.

    Args:
        storage: where the counters are.
        tenant: part of every counter's name.
        login: how many tries in how many seconds, for one account and for one address.
        guest: how many new guests in how many seconds, for one address.
        clock: seconds since the epoch, to say when to come again.
    """

    def __init__(
        self,
        storage: Storage,
        tenant: str,
        *,
        login: tuple[int, int],
        guest: tuple[int, int],
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._limiter = MovingWindowRateLimiter(storage)
        self._login = RateLimitItemPerSecond(*login, namespace=f"{tenant}:login")
        self._guest = RateLimitItemPerSecond(*guest, namespace=f"{tenant}:guest")

    async def login(self, client: str, account: str) -> bool:
        """Count one try to log in, for the account first; return whether both counts were made."""
        until = _deadline()
        hashed = hashlib.sha256(account.strip().casefold().encode()).hexdigest()[:32]
        account_counted = await self._count(self._login, "account", hashed, until=until)
        address_counted = await self._count(self._login, "address", network_of(client), until=until)
        return account_counted and address_counted

    async def sign_on(self, client: str) -> bool:
        """Count one try to log in with something that names no account; return whether it was counted."""
        return await self._count(self._login, "address", network_of(client), until=_deadline())

    async def guest(self, client: str) -> bool:
        """Count one new guest; return whether it was counted."""
        return await self._count(self._guest, "address", network_of(client), until=_deadline())

    async def _count(self, limit: RateLimitItem, *names: str, until: float) -> bool:
        try:
            async with asyncio.timeout_at(until):
                if await self._limiter.hit(limit, *names):
                    return True
                window = await self._limiter.get_window_stats(limit, *names)
        except (StorageError, *FAILURES):
            LIMITS_OPEN.inc()
            event(_log, "limit_open", level=logging.WARNING)
            return False
        left = math.ceil(window.reset_time - self._clock())
        raise TooManyRequests(retry_after=min(max(1, left), limit.get_expiry()))


def _deadline() -> float:
    return asyncio.get_running_loop().time() + DEADLINE_SECONDS
