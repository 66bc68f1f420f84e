"""What a session store must do with lifetimes that others could stretch: claims and the end of a session."""

import secrets

import pytest

from bff.session import Session
from tests.contract.on_redis import OnRedis
from tests.contract.replicas import begin
from tests.values import NOW

pytestmark = pytest.mark.anyio


async def test_a_claim_lasts_as_many_seconds_as_it_was_asked_for(on_redis: OnRedis) -> None:
    name = secrets.token_bytes(32)
    assert await on_redis.store.claim(name, 600)
    (key,) = [key async for key in on_redis.redis.scan_iter(match=f"*{name.hex()}*", count=1000)]
    assert 500_000 < await on_redis.redis.pttl(key) <= 600_000


@pytest.mark.parametrize("field", ["x", "i"])
async def test_who_can_write_to_redis_cannot_prolong_a_session_beyond_its_sealed_end(
    on_redis: OnRedis, field: str
) -> None:
    """The end is in clear beside the record, for the scripts; the one that counts is sealed inside."""
    ticket, _ = await begin(on_redis.backend, idle_seconds=86_400, expires_at=NOW + 3600)
    for name in {field, "x"}:
        await on_redis.redis.hset(on_redis.key(ticket), name, str(int((NOW + 10_000_000) * 1000)))
    await on_redis.redis.persist(on_redis.key(ticket))
    on_redis.clock.at = NOW + 3599
    assert isinstance(await on_redis.store.peek(ticket), Session)
    on_redis.clock.at = NOW + 3600
    assert await on_redis.store.peek(ticket) is None
    assert await on_redis.store.load_fresh(ticket) is None
