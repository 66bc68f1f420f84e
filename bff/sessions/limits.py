"""How often strangers may try: logins per account and per address, new guests per address.

Counted in the session store's Redis by the `limits` library (a sliding window). A store that does not answer
lets through: a limit guards the upstream, it is no lock on the door.
"""

import asyncio
import hashlib
import logging
from typing import Final

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from bff.errors import TooManyRequests
from bff.telemetry import LIMITS_OPEN, event

_DEADLINE_SECONDS: Final = 0.5
_log = logging.getLogger(__name__)


class Limits:
    """Raises `TooManyRequests`, with the seconds to wait, where a limit is used up.

    Args:
        storage: where the counters are.
        tenant: part of every counter's name.
        login: how many tries in how many seconds, for one account and for one address.
        guest: how many new guests in how many seconds, for one address.
    """

    def __init__(
        self, storage: Storage, tenant: str, *, login: tuple[int, int], guest: tuple[int, int]
    ) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._login = RateLimitItemPerSecond(*login, namespace=f"{tenant}:login")
        self._guest = RateLimitItemPerSecond(*guest, namespace=f"{tenant}:guest")

    async def login(self, client: str, account: str) -> None:
        """Count one try to log in."""
        name = hashlib.sha256(account.strip().casefold().encode()).hexdigest()[:32]
        await self._hit(self._login, "account", name)
        await self._hit(self._login, "address", client)

    async def sign_on(self, client: str) -> None:
        """Count one try to log in with something that names no account."""
        await self._hit(self._login, "address", client)

    async def guest(self, client: str) -> None:
        """Count one new guest."""
        await self._hit(self._guest, "address", client)

    async def _hit(self, item: RateLimitItem, *names: str) -> None:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                if await self._limiter.hit(item, *names):
                    return
        except (StorageError, OSError, TimeoutError):
            LIMITS_OPEN.inc()
            event(_log, "limit_open", level=logging.WARNING)
            return
        raise TooManyRequests(retry_after=item.get_expiry())
