"""Rate limits in the store's Redis: nothing readable, and open where it fails."""

import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from bff.security.secret import Secret
from bff.store.connection import connect
from bff.store.options import Rates
from bff.store.rate_limits import RedisRateLimits, SharedRedisStorage
from bff.telemetry.metrics import REGISTRY
from tests.live import free_port

pytestmark = pytest.mark.anyio
RATES = Rates(login=(3, 600), guest=(2, 600), account=(5, 600), refresh=(5, 600))


def limits_over(storage: SharedRedisStorage) -> RedisRateLimits:
    return RedisRateLimits(storage, "t" + secrets.token_hex(6), RATES, clock=datetime.now(UTC).timestamp)


@asynccontextmanager
async def storage_over(url: str) -> AsyncIterator[tuple[SharedRedisStorage, Redis]]:
    """Yield what the proxy counts in, and its client: the same as the sessions'."""
    redis = connect(Secret(url))
    assert isinstance(redis, Redis)
    async with aclosing(redis):
        yield SharedRedisStorage(redis), redis


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the counting so long that a busy machine is no failure."""
    for limit in (
        "store.connection.TIMEOUT_SECONDS",
        "store.redis_failures.DEADLINE_SECONDS",
        "store.rate_limits.DEADLINE_SECONDS",
    ):
        monkeypatch.setattr(f"bff.{limit}", 30.0)


@pytest.fixture
async def limits(patient: None, redis_url: str) -> AsyncIterator[RedisRateLimits]:
    async with storage_over(redis_url) as (storage, _):
        yield limits_over(storage)


def opened() -> float:
    """Return how often a limit was open because it could not be counted."""
    return REGISTRY.get_sample_value("bff_limits_open_total") or 0.0


async def test_counting_opens_no_limit(limits: RedisRateLimits) -> None:
    before = opened()
    assert await limits.account("192.0.2.1", "ada@example.com")
    assert opened() == before


async def test_no_account_is_readable_in_redis(limits: RedisRateLimits, redis_url: str) -> None:
    account = f"{secrets.token_hex(6)}@example.com"
    await limits.account("192.0.2.1", account)
    async with storage_over(redis_url) as (_, redis):
        keys = b" ".join([key async for key in redis.scan_iter(match="bff:limits*", count=1000)])
        assert keys
        assert account.encode() not in keys


@pytest.mark.usefixtures("patient")
async def test_the_counts_go_through_the_sessions_own_connections(redis_url: str) -> None:
    async with storage_over(redis_url) as (storage, redis):
        client = await redis.client_id()
        await limits_over(storage).guest("192.0.2.1")
        bridge: Any = storage.bridge
        assert bridge.get_connection() is redis
        assert await redis.client_id() == client


async def test_a_store_that_refuses_lets_through_and_is_counted() -> None:
    async with storage_over(f"redis://127.0.0.1:{free_port()}") as (storage, _):
        limits, before = limits_over(storage), opened()
        for _ in range(5):
            assert not await limits.guest("192.0.2.1")
        assert opened() == before + 5


async def test_a_store_that_is_silent_lets_through_and_is_counted() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with storage_over(f"redis://127.0.0.1:{silent.getsockname()[1]}") as (storage, _):
            limits, before = limits_over(storage), opened()
            assert not await limits.account("192.0.2.1", "ada@example.com")
            assert opened() == before + 2


@pytest.mark.usefixtures("patient")
async def test_a_redis_that_may_not_be_written_lets_through_and_is_counted(redis_url: str) -> None:
    """A full server, a read-only replica and a user without the rights refuse in the same way."""
    async with storage_over(redis_url) as (storage, redis):
        tenant = "t" + secrets.token_hex(6)
        limits = RedisRateLimits(storage, tenant, RATES, clock=datetime.now(UTC).timestamp)
        assert await limits.guest("192.0.2.1")
        (key,) = [key async for key in redis.scan_iter(match=f"bff:limits*{tenant}*", count=1000)]
        await redis.set(key, "not a list")
        before = opened()
        assert not await limits.guest("192.0.2.1")
        assert opened() == before + 1
