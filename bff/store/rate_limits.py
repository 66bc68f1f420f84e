"""How often strangers may try: logins per address and per account, new guests and other calls per address.

Counted in the session store's Redis by the `limits` library, as moving windows. A store that fails lets through and is
counted in a metric: a limit guards the upstream, it is no lock.
"""

import asyncio
import hashlib
import logging
import math
from collections.abc import Callable, Iterable
from typing import Any, Final

from limits import RateLimitItem, RateLimitItemPerSecond, WindowStats
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError

from bff.addresses import network_of, site_of
from bff.errors import TooManyRequests
from bff.store.options import Rate, Rates
from bff.store.protocol import RatedCall
from bff.store.redis_failures import FAILURES, CountedOperation
from bff.store.replaceable import AnyRedis
from bff.telemetry.logs import event
from bff.telemetry.metrics import LIMITS_OPEN

DEADLINE_SECONDS: Final = 0.5
"""For all that one try is counted for: whoever waits for a silent store afterwards has waited no longer than this."""

LONG_WINDOWS: Final = 60
"""How many times as long as a login's window an account's tries are counted: with the default, for an hour."""
SITES_TRIES: Final = 10
"""How many times as often as one address in its window, one site may try one account in the long window."""
ACCOUNTS_TRIES: Final = 100
"""The same for everybody together: it takes ten sites that use up all their tries to lock a customer out."""

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
        rates: how many in how many seconds.
        clock: seconds since the epoch, to say when to come again.
    """

    def __init__(
        self,
        storage: Storage,
        tenant: str,
        rates: Rates,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._limiter = MovingWindowRateLimiter(storage)
        count, seconds = rates.login
        self._login = _item(tenant, "login", rates.login)
        self._pair = _item(tenant, "pair", (SITES_TRIES * count, LONG_WINDOWS * seconds))
        self._account = _item(tenant, "account", (ACCOUNTS_TRIES * count, LONG_WINDOWS * seconds))
        self._guest = _item(tenant, "guest", rates.guest)
        self._calls = {
            call: _item(tenant, call, rates.refresh if call is RatedCall.REFRESH else rates.account)
            for call in RatedCall
        }

    async def sign_on(self, client: str) -> bool:
        """Count one try to log in, for the client's address; return whether it was counted."""
        return await self._count(self._login, "address", network_of(client), until=_deadline())

    async def account(self, client: str, account: str) -> bool:
        """Count one try to log in to an account, for who tries first; return whether both counts were made.

        A client that has used up its own tries at an account costs the account nothing more.
        """
        until = _deadline()
        hashed = hashlib.sha256(account.strip().casefold().encode()).hexdigest()[:32]
        pair_counted = await self._count(self._pair, hashed, site_of(client), until=until)
        account_counted = await self._count(self._account, hashed, until=until)
        return pair_counted and account_counted

    async def call(self, call: RatedCall, client: str) -> bool:
        """Count one call; return whether it was counted."""
        return await self._count(self._calls[call], "address", network_of(client), until=_deadline())

    async def guest(self, client: str) -> bool:
        """Count one new guest; return whether it was counted."""
        return await self._count(self._guest, "address", network_of(client), until=_deadline())

    async def _count(self, limit: RateLimitItem, *names: str, until: float) -> bool:
        try:
            window = await self._used_up(limit, names, until)
        except FAILURES:
            LIMITS_OPEN.inc()
            event(_log, "limit_open", level=logging.WARNING)
            return False
        if window is None:
            return True
        left = math.ceil(window.reset_time - self._clock())
        name = limit.namespace.rpartition(":")[2]
        raise TooManyRequests(retry_after=min(max(1, left), limit.get_expiry()), cause=name)

    async def _used_up(self, limit: RateLimitItem, names: Iterable[str], until: float) -> WindowStats | None:
        """Count once; return the window where that is once too often."""
        with CountedOperation("limit"):
            try:
                async with asyncio.timeout_at(until):
                    counted = await self._limiter.hit(limit, *names)
                    return None if counted else await self._limiter.get_window_stats(limit, *names)
            except StorageError as error:
                raise error.storage_error from None


def _item(tenant: str, name: str, rate: Rate) -> RateLimitItem:
    return RateLimitItemPerSecond(*rate, namespace=f"{tenant}:{name}")


def _deadline() -> float:
    return asyncio.get_running_loop().time() + DEADLINE_SECONDS
