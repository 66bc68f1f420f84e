"""Replicas over a Redis whose keys a test reads and writes by itself."""

from typing import Any

from redis.asyncio import Redis

from bff.security.secret import Secret
from bff.session import Ticket
from bff.store.connection import connect
from bff.store.locks import RedisSessionLocks
from bff.store.redis_store import RedisSessionStore
from tests.contract.replicas import Replicas


class OnRedis(Replicas):
    """Replicas over a Redis into which a test can look.

    Args:
        url: the server.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        client = connect(Secret(url))
        assert isinstance(client, Redis)
        self.redis: Any = client
        self._ending.push_async_callback(client.aclose)
        self.backend = self.open()

    @property
    def store(self) -> RedisSessionStore:
        assert isinstance(self.backend.store, RedisSessionStore)
        return self.backend.store

    @property
    def locks(self) -> RedisSessionLocks:
        assert isinstance(self.backend.locks, RedisSessionLocks)
        return self.backend.locks

    def key(self, ticket: Ticket) -> str:
        """Return the key of a session."""
        return f"bff:{self.tenant}:{{{ticket.record_name.hex()}}}"

    async def keys(self, pattern: str = "*") -> list[bytes]:
        """Return the keys of this tenant that match."""
        found = self.redis.scan_iter(match=f"bff:{self.tenant}:{pattern}", count=1000)
        return [key async for key in found]
