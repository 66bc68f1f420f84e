"""How often strangers may try: logins per address and per account, new guests and other calls per address.

Counted in the session store's Redis as moving windows: the times of the latest tries, newest first, are a list of as
many as are allowed. A store that fails lets through and is counted in a metric: a limit guards the upstream, it is no
lock.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bff.addresses import network_of, site_of
from bff.errors import TooManyRequests
from bff.store.options import Rates
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

_TRY: Final = """
local at, most, seconds = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local first = tonumber(redis.call('LINDEX', KEYS[1], most - 1) or '')
if first and first >= at - seconds then
  return math.min(math.max(1, math.ceil(first + seconds - at)), seconds)
end
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, most - 1)
redis.call('EXPIRE', KEYS[1], seconds)
return 0
"""
"""Counts a try; where it is one too many it is not counted, and the answer is after how many seconds to come again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Limit:
    name: str
    most: int
    seconds: int


class RedisRateLimits:
    """Raises `TooManyRequests`, with the seconds to wait, where a limit is used up.

    Args:
        redis: where the counters are, through the sessions' own connections.
        tenant: part of every counter's name.
        rates: how many in how many seconds.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        redis: AnyRedis,
        tenant: str,
        rates: Rates,
        *,
        clock: Callable[[], float],
    ) -> None:
        client: Any = redis
        self._try = client.register_script(_TRY)
        self._prefix = f"bff:limits:{tenant}:"
        self._clock = clock
        count, seconds = rates.login
        self._login = _Limit("login", *rates.login)
        self._pair = _Limit("pair", SITES_TRIES * count, LONG_WINDOWS * seconds)
        self._account = _Limit("account", ACCOUNTS_TRIES * count, LONG_WINDOWS * seconds)
        self._guest = _Limit("guest", *rates.guest)
        self._calls = {
            call: _Limit(call, *(rates.refresh if call is RatedCall.REFRESH else rates.account))
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

    async def _count(self, limit: _Limit, *names: str, until: float) -> bool:
        # The name is that of former releases, which count together with this one while they are replaced.
        key = f"{self._prefix}{'/'.join((limit.name, *names))}/{limit.most}/{limit.seconds}/second"
        try:
            with CountedOperation("limit"):
                async with asyncio.timeout_at(until):
                    left = int(await self._try([key], [self._clock(), limit.most, limit.seconds]))
        except FAILURES:
            LIMITS_OPEN.inc()
            event(_log, "limit_open", level=logging.WARNING)
            return False
        if left:
            raise TooManyRequests(retry_after=left, cause=limit.name)
        return True


def _deadline() -> float:
    return asyncio.get_running_loop().time() + DEADLINE_SECONDS
