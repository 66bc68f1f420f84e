"""How often strangers may try: logins per account and per address, new guests per address.

Counted in the session store's Redis by the `limits` library (a moving window). A store that does not answer
lets through: a limit guards the upstream, it is no lock on the door.
"""

import asyncio
import hashlib
import logging
import math
from collections.abc import Callable
from typing import Final

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisClusterStorage, RedisStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from bff.addresses import network_of
from bff.errors import TooManyRequests
from bff.security.secret import Secret
from bff.store.connection import TIMEOUT_SECONDS
from bff.telemetry.logs import event
from bff.telemetry.metrics import LIMITS_OPEN

_DEADLINE_SECONDS: Final = 0.5
_log = logging.getLogger(__name__)


def rate_limit_storage(redis: Redis | RedisCluster, url: Secret) -> Storage:
    """Return where rate limits are counted: the sessions' Redis, through the same pool where that can be."""
    if not isinstance(redis, Redis):
        uri = url.reveal().replace("redis+cluster://", "async+redis+cluster://", 1)
        timeout = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
        return RedisClusterStorage(
            uri, wrap_exceptions=True, implementation="redispy", key_prefix="bff:limits", **timeout
        )
    return RedisStorage(
        "async+redis://localhost:6379",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix="bff:limits",
        connection_pool=redis.connection_pool,  # type: ignore[arg-type]
    )


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

    async def login(self, client: str, account: str) -> None:
        """Count one try to log in."""
        name = hashlib.sha256(account.strip().casefold().encode()).hexdigest()[:32]
        await self._hit(self._login, "account", name)
        await self._hit(self._login, "address", network_of(client))

    async def sign_on(self, client: str) -> None:
        """Count one try to log in with something that names no account."""
        await self._hit(self._login, "address", network_of(client))

    async def guest(self, client: str) -> None:
        """Count one new guest."""
        await self._hit(self._guest, "address", network_of(client))

    async def _hit(self, item: RateLimitItem, *names: str) -> None:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                if await self._limiter.hit(item, *names):
                    return
                window = await self._limiter.get_window_stats(item, *names)
        except (StorageError, RedisError, RedisClusterException, OSError, TimeoutError):
            LIMITS_OPEN.inc()
            event(_log, "limit_open", level=logging.WARNING)
            return
        left = math.ceil(window.reset_time - self._clock())
        raise TooManyRequests(retry_after=min(max(1, left), item.get_expiry()))
