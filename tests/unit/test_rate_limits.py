"""Rate limits in the store's Redis: counted for accounts and addresses, open where it does not answer."""

import secrets
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from limits.aio.storage import RedisStorage, Storage
from redis.asyncio import Redis

from bff.errors import TooManyRequests
from bff.security.secret import Secret
from bff.store.connection import connect
from bff.store.rate_limits import RedisRateLimits
from bff.telemetry.metrics import REGISTRY
from tests.live import free_port
from tests.unit.support import bare

pytestmark = pytest.mark.anyio


def limits_over(storage: Storage) -> RedisRateLimits:
    return RedisRateLimits(
        storage, "t" + secrets.token_hex(6), login=(3, 600), guest=(2, 600), clock=datetime.now(UTC).timestamp
    )


def storage_over(url: str) -> tuple[RedisStorage, Redis]:
    """Return what the proxy counts in: the same pool as the sessions'."""
    redis = bare(connect(Secret(url)))
    storage = RedisStorage(
        "async+redis://localhost:6379",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix="bff:limits",
        connection_pool=redis.connection_pool,  # type: ignore[arg-type]
    )
    return storage, redis


@pytest.fixture
async def limits(redis_url: str) -> AsyncIterator[RedisRateLimits]:
    storage, redis = storage_over(redis_url)
    yield limits_over(storage)
    await redis.aclose()


def opened() -> float:
    return REGISTRY.get_sample_value("bff_limits_open_total") or 0.0


async def test_an_account_is_tried_only_so_often_from_wherever(limits: RedisRateLimits) -> None:
    for number in range(3):
        await limits.login(f"192.0.2.{number}", "ada@example.com")
    with pytest.raises(TooManyRequests) as caught:
        await limits.login("192.0.2.9", "ada@example.com")
    assert caught.value.retry_after in range(1, 601)
    await limits.login("192.0.2.9", "grace@example.com")


@pytest.mark.parametrize("spelling", ["ADA@example.com", " ada@example.com ", "Ada@Example.Com\t"])
async def test_an_account_has_one_count_however_it_is_spelt(limits: RedisRateLimits, spelling: str) -> None:
    for _ in range(3):
        await limits.login("", "ada@example.com")
    with pytest.raises(TooManyRequests):
        await limits.login("192.0.2.1", spelling)


async def test_an_address_tries_only_so_many_accounts(limits: RedisRateLimits) -> None:
    for number in range(3):
        await limits.login("192.0.2.1", f"account-{number}@example.com")
    with pytest.raises(TooManyRequests):
        await limits.login("192.0.2.1", "another@example.com")
    await limits.login("192.0.2.2", "another@example.com")


async def test_guests_are_counted_by_address_and_apart_from_logins(limits: RedisRateLimits) -> None:
    for _ in range(2):
        await limits.guest("192.0.2.1")
    with pytest.raises(TooManyRequests):
        await limits.guest("192.0.2.1")
    await limits.guest("192.0.2.2")
    await limits.login("192.0.2.1", "ada@example.com")


async def test_no_account_is_readable_in_redis(limits: RedisRateLimits, redis_url: str) -> None:
    account = f"{secrets.token_hex(6)}@example.com"
    await limits.login("192.0.2.1", account)
    redis = bare(connect(Secret(redis_url)))
    keys = b" ".join([key async for key in redis.scan_iter(match="bff:limits*", count=1000)])
    await redis.aclose()
    assert keys
    assert account.encode() not in keys


async def test_a_store_that_refuses_lets_through_and_is_counted() -> None:
    storage, redis = storage_over(f"redis://127.0.0.1:{free_port()}")
    limits, before = limits_over(storage), opened()
    for _ in range(5):
        await limits.guest("192.0.2.1")
    assert opened() == before + 5
    await redis.aclose()


async def test_a_store_that_is_silent_lets_through_and_is_counted() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        storage, redis = storage_over(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        limits, before = limits_over(storage), opened()
        await limits.login("192.0.2.1", "ada@example.com")
        assert opened() == before + 2
        await redis.aclose()
