"""What a session store must do with lifetimes that others could stretch: claims and the end of a session."""

import secrets

import pytest

from bff.session import Session
from tests.contract.conftest import Kept
from tests.unit.support import NOW

pytestmark = pytest.mark.anyio


async def test_a_claim_lasts_as_many_seconds_as_it_was_asked_for(kept: Kept) -> None:
    name = secrets.token_bytes(32)
    assert await kept.store.claim(name, 600)
    (key,) = [key async for key in kept.redis.scan_iter(match=f"*{name.hex()}*", count=1000)]
    assert 500_000 < await kept.redis.pttl(key) <= 600_000


@pytest.mark.parametrize("field", ["x", "i"])
async def test_who_can_write_to_redis_cannot_prolong_a_session_beyond_its_sealed_end(
    kept: Kept, field: str
) -> None:
    """The end is in clear beside the record, for the scripts; the one that counts is sealed inside."""
    ticket, _ = await kept.begin(idle_seconds=86_400, expires_at=NOW + 3600)
    for name in {field, "x"}:
        await kept.redis.hset(kept.key(ticket), name, str(int((NOW + 10_000_000) * 1000)))
    await kept.redis.persist(kept.key(ticket))
    kept.clock.at = NOW + 3599
    assert isinstance(await kept.store.peek(ticket), Session)
    kept.clock.at = NOW + 3600
    assert await kept.store.peek(ticket) is None
    assert await kept.store.load_fresh(ticket) is None
