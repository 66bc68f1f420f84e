"""How much of Redis' memory a session takes beyond its tokens."""

from collections.abc import Callable

import pytest

from bff.session import Session
from tests.contract.on_redis import OnRedis
from tests.contract.replicas import begin
from tests.usual_sessions import AGENT, a_customer, a_guest, token_bytes
from tests.values import new_ticket

pytestmark = pytest.mark.anyio

MOST = 600
SESSIONS = 2000
EXPIRY = 60
"""What Redis keeps for a key's time to live and its place in the tables, which MEMORY USAGE leaves out."""


@pytest.mark.parametrize("new", [a_guest, a_customer])
async def test_a_session_takes_few_bytes_beyond_its_tokens(
    redis_url: str, new: Callable[[], Session]
) -> None:
    beyond = 0
    async with OnRedis(redis_url) as on_redis:
        for _ in range(SESSIONS):
            ticket, session = new_ticket(), new()
            await on_redis.store.create(ticket, session)
            key = on_redis.key(ticket)
            beyond += await on_redis.redis.memory_usage(key) + EXPIRY - token_bytes(session)
        ticket, stored = await begin(on_redis.backend, user_agent=AGENT)
        assert await on_redis.store.replace(ticket, stored) is not None
        assert await on_redis.redis.object("encoding", on_redis.key(ticket)) in {b"listpack", b"ziplist"}
        await on_redis.redis.delete(*await on_redis.keys())
    assert beyond / SESSIONS <= MOST
