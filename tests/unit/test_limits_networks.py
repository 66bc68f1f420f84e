"""An IPv6 client is its /64: another address of the same subnet is no other client."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bff.errors import TooManyRequests
from bff.store.rate_limits import RedisRateLimits
from tests.unit.test_rate_limits import limits_over, storage_over

pytestmark = pytest.mark.anyio

Hit = Callable[[RedisRateLimits, str], Awaitable[None]]


async def login(limits: RedisRateLimits, client: str) -> None:
    await limits.login(client, f"{secrets.token_hex(6)}@example.com")


async def sign_on(limits: RedisRateLimits, client: str) -> None:
    await limits.sign_on(client)


async def guest(limits: RedisRateLimits, client: str) -> None:
    await limits.guest(client)


@pytest.fixture
async def limits(redis_url: str) -> AsyncIterator[RedisRateLimits]:
    storage, redis = storage_over(redis_url)
    yield limits_over(storage)
    await redis.aclose()


@pytest.mark.parametrize(("hit", "most"), [(login, 3), (sign_on, 3), (guest, 2)])
async def test_the_addresses_of_one_subnet_are_counted_together(
    limits: RedisRateLimits, hit: Hit, most: int
) -> None:
    for number in range(most):
        await hit(limits, f"2001:db8:0:7::{number + 1}")
    with pytest.raises(TooManyRequests):
        await hit(limits, "2001:db8:0:7:ffff::1")
    await hit(limits, "2001:db8:0:8::1")
