"""Rate limits in the store's Redis: nothing readable, and open where it fails."""

import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from bff.errors import TooManyRequests
from bff.security.secret import Secret
from bff.store.connection import connect
from bff.store.options import Rates
from bff.store.rate_limits import RedisRateLimits
from bff.telemetry.metrics import REGISTRY
from tests.live import free_port
from tests.values import Clock

pytestmark = pytest.mark.anyio
RATES = Rates(login=(3, 600), guest=(2, 600), account=(5, 600), refresh=(5, 600))


def limits_over(redis: Redis) -> RedisRateLimits:
    return RedisRateLimits(redis, "t" + secrets.token_hex(6), RATES, clock=datetime.now(UTC).timestamp)


@asynccontextmanager
async def redis_at(url: str) -> AsyncIterator[Redis]:
    """Yield a client as the sessions have it."""
    redis = connect(Secret(url))
    assert isinstance(redis, Redis)
    async with aclosing(redis):
        yield redis


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
    async with redis_at(redis_url) as redis:
        yield limits_over(redis)


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
    async with redis_at(redis_url) as redis:
        keys = b" ".join([key async for key in redis.scan_iter(match="bff:limits*", count=1000)])
        assert keys
        assert account.encode() not in keys


@pytest.mark.usefixtures("patient")
async def test_the_counts_go_through_the_sessions_own_connections(redis_url: str) -> None:
    name = "n" + secrets.token_hex(6)
    async with redis_at(f"{redis_url}?client_name={name}") as redis, redis_at(redis_url) as other:
        client = await redis.client_id()
        await limits_over(redis).guest("192.0.2.1")
        (one,) = [one for one in await other.client_list() if one["name"] == name]
        assert one["id"] == str(client)
        assert one["cmd"].startswith("eval")


async def test_a_store_that_refuses_lets_through_and_is_counted() -> None:
    async with redis_at(f"redis://127.0.0.1:{free_port()}") as redis:
        limits, before = limits_over(redis), opened()
        for _ in range(5):
            assert not await limits.guest("192.0.2.1")
        assert opened() == before + 5


async def test_a_store_that_is_silent_lets_through_and_is_counted() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with redis_at(f"redis://127.0.0.1:{silent.getsockname()[1]}") as redis:
            limits, before = limits_over(redis), opened()
            assert not await limits.account("192.0.2.1", "ada@example.com")
            assert opened() == before + 2


@pytest.mark.usefixtures("patient")
async def test_a_redis_that_may_not_be_written_lets_through_and_is_counted(redis_url: str) -> None:
    """A full server, a read-only replica and a user without the rights refuse in the same way."""
    async with redis_at(redis_url) as redis:
        tenant = "t" + secrets.token_hex(6)
        limits = RedisRateLimits(redis, tenant, RATES, clock=datetime.now(UTC).timestamp)
        assert await limits.guest("192.0.2.1")
        (key,) = [key async for key in redis.scan_iter(match=f"bff:limits*{tenant}*", count=1000)]
        await redis.set(key, "not a list")
        before = opened()
        assert not await limits.guest("192.0.2.1")
        assert opened() == before + 1


@pytest.mark.usefixtures("patient")
async def test_the_window_moves_with_each_try(redis_url: str) -> None:
    """Three tries in 600 seconds: the fourth one waits for the first one to leave, the fifth for the second."""
    clock = Clock()
    async with redis_at(redis_url) as redis:
        limits = RedisRateLimits(redis, "t" + secrets.token_hex(6), RATES, clock=clock)
        for pause in (0, 100.5, 100.5):
            clock.at += pause
            await limits.sign_on("192.0.2.1")
        for wait in (399, 101):
            with pytest.raises(TooManyRequests) as caught:
                await limits.sign_on("192.0.2.1")
            assert caught.value.retry_after == wait
            clock.at += wait + 0.1
            await limits.sign_on("192.0.2.1")


@pytest.mark.usefixtures("patient")
async def test_a_refused_try_does_not_count(redis_url: str) -> None:
    clock = Clock()
    async with redis_at(redis_url) as redis:
        limits = RedisRateLimits(redis, "t" + secrets.token_hex(6), RATES, clock=clock)
        for _ in range(2):
            await limits.guest("192.0.2.1")
        for _ in range(5):
            clock.at += 100
            with pytest.raises(TooManyRequests):
                await limits.guest("192.0.2.1")
        clock.at += 101
        assert await limits.guest("192.0.2.1")


@pytest.mark.usefixtures("patient")
async def test_a_count_is_gone_when_its_window_is_over(redis_url: str) -> None:
    tenant = "t" + secrets.token_hex(6)
    async with redis_at(redis_url) as redis:
        limits = RedisRateLimits(redis, tenant, RATES, clock=Clock())
        await limits.guest("192.0.2.1")
        (key,) = [key async for key in redis.scan_iter(match=f"bff:limits*{tenant}*", count=1000)]
        assert key.decode() == f"bff:limits:{tenant}:guest/address/192.0.2.1/2/600/second"
        assert await redis.ttl(key) in range(500, 601)
