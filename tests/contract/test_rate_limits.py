"""What every backend's rate limits must do: count accounts and client networks, each apart."""

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from bff.errors import TooManyRequests
from bff.store.protocol import RateLimits
from tests.contract.replicas import GUESTS, LOGINS, RATE_SECONDS, Replicas

pytestmark = pytest.mark.anyio

Count = Callable[[RateLimits, str], Awaitable[bool]]


@pytest.fixture
def limits(replicas: Replicas) -> RateLimits:
    """Limits by the wall clock, which the counters go by."""
    return replicas.open(clock=datetime.now(UTC).timestamp).limits


async def test_an_account_is_tried_only_so_often_from_wherever(limits: RateLimits) -> None:
    for number in range(LOGINS):
        assert await limits.login(f"192.0.2.{number}", "ada@example.com")
    with pytest.raises(TooManyRequests) as caught:
        await limits.login("192.0.2.9", "ada@example.com")
    assert caught.value.retry_after in range(1, RATE_SECONDS + 1)
    assert await limits.login("192.0.2.9", "grace@example.com")


@pytest.mark.parametrize("spelling", ["ADA@example.com", " ada@example.com ", "Ada@Example.Com\t"])
async def test_an_account_has_one_count_however_it_is_spelled(limits: RateLimits, spelling: str) -> None:
    for number in range(LOGINS):
        await limits.login(f"192.0.2.{number}", "ada@example.com")
    with pytest.raises(TooManyRequests):
        await limits.login("192.0.2.9", spelling)


async def test_an_address_tries_only_so_many_accounts(limits: RateLimits) -> None:
    for number in range(LOGINS):
        await limits.login("192.0.2.1", f"account-{number}@example.com")
    with pytest.raises(TooManyRequests):
        await limits.login("192.0.2.1", "another@example.com")
    assert await limits.login("192.0.2.2", "another@example.com")


async def test_an_account_that_is_used_up_does_not_count_against_who_tries_it(limits: RateLimits) -> None:
    for number in range(LOGINS):
        await limits.login(f"192.0.2.{number}", "ada@example.com")
    for _ in range(LOGINS):
        with pytest.raises(TooManyRequests):
            await limits.login("192.0.2.9", "ada@example.com")
    assert await limits.login("192.0.2.9", "grace@example.com")


async def test_logins_that_name_no_account_count_for_the_address(limits: RateLimits) -> None:
    for number in range(LOGINS - 1):
        await limits.login("192.0.2.1", f"account-{number}@example.com")
    assert await limits.sign_on("192.0.2.1")
    with pytest.raises(TooManyRequests):
        await limits.sign_on("192.0.2.1")
    with pytest.raises(TooManyRequests):
        await limits.login("192.0.2.1", "another@example.com")


async def test_guests_are_counted_by_address_and_apart_from_logins(limits: RateLimits) -> None:
    for _ in range(GUESTS):
        assert await limits.guest("192.0.2.1")
    with pytest.raises(TooManyRequests):
        await limits.guest("192.0.2.1")
    assert await limits.guest("192.0.2.2")
    assert await limits.login("192.0.2.1", "ada@example.com")


async def test_replicas_count_together(replicas: Replicas, limits: RateLimits) -> None:
    for _ in range(GUESTS):
        await replicas.open().limits.guest("192.0.2.1")
    with pytest.raises(TooManyRequests):
        await limits.guest("192.0.2.1")


async def test_tenants_count_apart(replicas: Replicas, limits: RateLimits) -> None:
    for _ in range(GUESTS):
        await limits.guest("192.0.2.1")
    async with Replicas(replicas.url) as others:
        assert await others.open().limits.guest("192.0.2.1")


async def login(limits: RateLimits, client: str) -> bool:
    return await limits.login(client, f"{secrets.token_hex(6)}@example.com")


async def sign_on(limits: RateLimits, client: str) -> bool:
    return await limits.sign_on(client)


async def guest(limits: RateLimits, client: str) -> bool:
    return await limits.guest(client)


@pytest.mark.parametrize(("count", "most"), [(login, LOGINS), (sign_on, LOGINS), (guest, GUESTS)])
async def test_the_addresses_of_one_subnet_are_counted_together(
    limits: RateLimits, count: Count, most: int
) -> None:
    for number in range(most):
        await count(limits, f"2001:db8:0:7::{number + 1}")
    with pytest.raises(TooManyRequests):
        await count(limits, "2001:db8:0:7:ffff::1")
    assert await count(limits, "2001:db8:0:8::1")
