"""The store under test, on each Redis that is at hand."""

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis

from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from bff.session import Session, Ticket, record_name
from bff.store.connection import connect
from bff.store.redis_store import RedisSessionStore
from tests.contract.backends import BACKENDS, serving
from tests.unit.support import Clock, a_session, bare, new_ring, new_ticket


def pytest_report_header() -> str:
    """Say which Redis servers the store is held against."""
    return f"store contract: {', '.join(BACKENDS)}"


@dataclass
class Kept:
    """A store with all that it is made of."""

    url: str
    redis: Redis
    store: RedisSessionStore
    ring: KeyRing
    clock: Clock
    tenant: str

    def key(self, ticket: Ticket) -> str:
        return f"bff:{self.tenant}:{{{record_name(ticket).hex()}}}"

    async def begin(self, **changes: Any) -> tuple[Ticket, Session]:
        ticket = new_ticket()
        return ticket, await self.store.create(ticket, a_session(**changes))

    def again(self, redis: Redis | None = None, ring: KeyRing | None = None) -> RedisSessionStore:
        """Return another replica's store."""
        return RedisSessionStore(
            redis or self.redis,
            (ring or self.ring).record_sealer(),
            self.tenant,
            clock=self.clock,
            random_bytes=secrets.token_bytes,
        )


@pytest.fixture(scope="module", params=BACKENDS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with serving(request.param) as one:
        yield one


@pytest.fixture
async def kept(url: str) -> AsyncIterator[Kept]:
    redis, clock, tenant = bare(connect(Secret(url))), Clock(), "t" + secrets.token_hex(5)
    ring = new_ring(tenant=tenant)
    store = RedisSessionStore(
        redis, ring.record_sealer(), tenant, clock=clock, random_bytes=secrets.token_bytes
    )
    yield Kept(url, redis, store, ring, clock, tenant)
    await redis.aclose()
