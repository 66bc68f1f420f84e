"""How Redis fails, as one outcome: whatever goes wrong on the way to it, the store is unavailable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.exceptions import RedisClusterException, RedisError

from bff.errors import StoreUnavailable

DEADLINE_SECONDS: Final = 1.5
"""No operation takes longer, retries and waiting for a connection included."""

FAILURES: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
"""Everything that the client raises where a server is away, silent, refuses, or is not one."""


@asynccontextmanager
async def unavailable_on_failure(deadline: float = DEADLINE_SECONDS) -> AsyncIterator[None]:
    """Raise `StoreUnavailable` for every failure of Redis in the block, and where the block takes too long.

    Args:
        deadline: seconds for the whole block.
    """
    try:
        async with asyncio.timeout(deadline):
            yield
    except FAILURES as exc:
        # The exception's own text may hold an address with a password in it: only its kind is kept.
        raise StoreUnavailable(log_detail=type(exc).__name__) from None
