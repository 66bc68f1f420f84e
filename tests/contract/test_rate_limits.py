"""What every backend's rate limits must do: count accounts and client networks, each apart."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import count

import pytest

from bff.errors import TooManyRequests
from bff.store.protocol import RatedCall, RateLimits
from bff.store.rate_limits import ACCOUNTS_TRIES, LONG_WINDOWS, SITES_TRIES
from tests.contract.replicas import CALLS, GUESTS, LOGINS, RATE_SECONDS, REFRESHES, Replicas

pytestmark = pytest.mark.anyio

Count = Callable[[RateLimits, str], Awaitable[bool]]


@pytest.fixture
async def limits(replicas: Replicas) -> RateLimits:
    """Limits by the wall clock."""
    [backend] = await replicas.connected(1, clock=datetime.now(UTC).timestamp)
    return backend.limits


async def exhaust(limits: RateLimits, client: str, account: str) -> int:
    """Count tries at an account from one client until it is refused; return how many there were."""
    for tried in count():
        try:
            await limits.account(client, account)
        except TooManyRequests:
            return tried
    raise AssertionError


async def test_one_client_tries_one_account_only_so_often_and_locks_nobody_out(limits: RateLimits) -> None:
    assert await exhaust(limits, "192.0.2.1", "ada@example.com") == SITES_TRIES * LOGINS
    for _ in range(ACCOUNTS_TRIES * LOGINS):
        with pytest.raises(TooManyRequests) as caught:
            await limits.account("192.0.2.1", "ada@example.com")
        assert caught.value.cause == "pair"
    assert await limits.account("192.0.2.1", "grace@example.com")
    assert await limits.account("192.0.2.2", "ada@example.com")


async def test_all_the_subnets_of_one_site_try_one_account_together(limits: RateLimits) -> None:
    for number in range(SITES_TRIES * LOGINS):
        assert await limits.account(f"2001:db8:7:{number:x}::1", "ada@example.com")
    with pytest.raises(TooManyRequests):
        await limits.account("2001:db8:7:ffff::1", "ada@example.com")
    assert await limits.account("2001:db8:8::1", "ada@example.com")


async def test_an_account_is_tried_only_so_often_from_wherever(limits: RateLimits) -> None:
    for client in range(ACCOUNTS_TRIES // SITES_TRIES):
        await exhaust(limits, f"192.0.2.{client}", "ada@example.com")
    with pytest.raises(TooManyRequests) as caught:
        await limits.account("198.51.100.1", "ada@example.com")
    assert caught.value.cause == "account"
    assert caught.value.retry_after in range(RATE_SECONDS + 1, LONG_WINDOWS * RATE_SECONDS + 1)
    assert await limits.account("198.51.100.1", "grace@example.com")


@pytest.mark.parametrize("spelling", ["ADA@example.com", " ada@example.com ", "Ada@Example.Com\t"])
async def test_an_account_has_one_count_however_it_is_spelled(limits: RateLimits, spelling: str) -> None:
    await exhaust(limits, "192.0.2.1", "ada@example.com")
    with pytest.raises(TooManyRequests):
        await limits.account("192.0.2.1", spelling)


async def test_an_address_logs_in_only_so_often_whatever_the_account(limits: RateLimits) -> None:
    for _ in range(LOGINS):
        assert await limits.sign_on("192.0.2.1")
    with pytest.raises(TooManyRequests) as caught:
        await limits.sign_on("192.0.2.1")
    assert caught.value.cause == "login"
    assert caught.value.retry_after in range(1, RATE_SECONDS + 1)
    assert await limits.sign_on("192.0.2.2")


@pytest.mark.parametrize("call", RatedCall)
async def test_each_other_call_is_counted_by_address_and_apart(limits: RateLimits, call: RatedCall) -> None:
    most = REFRESHES if call is RatedCall.REFRESH else CALLS
    for _ in range(most):
        assert await limits.call(call, "2001:db8:0:7::1")
    with pytest.raises(TooManyRequests) as caught:
        await limits.call(call, "2001:db8:0:7:ffff::1")
    assert caught.value.cause == call
    assert await limits.call(call, "2001:db8:0:8::1")
    for other in set(RatedCall) - {call}:
        assert await limits.call(other, "2001:db8:0:7::1")


async def test_guests_are_counted_by_address_and_apart_from_logins(limits: RateLimits) -> None:
    for _ in range(GUESTS):
        assert await limits.guest("192.0.2.1")
    with pytest.raises(TooManyRequests) as caught:
        await limits.guest("192.0.2.1")
    assert caught.value.cause == "guest"
    assert await limits.guest("192.0.2.2")
    assert await limits.sign_on("192.0.2.1")


async def test_replicas_count_together(replicas: Replicas, limits: RateLimits) -> None:
    for one in await replicas.connected(GUESTS, clock=datetime.now(UTC).timestamp):
        await one.limits.guest("192.0.2.1")
    with pytest.raises(TooManyRequests):
        await limits.guest("192.0.2.1")


async def test_tenants_count_apart(replicas: Replicas, limits: RateLimits) -> None:
    for _ in range(GUESTS):
        await limits.guest("192.0.2.1")
    async with Replicas(replicas.url) as others:
        assert await others.open(clock=datetime.now(UTC).timestamp).limits.guest("192.0.2.1")


async def sign_on(limits: RateLimits, client: str) -> bool:
    return await limits.sign_on(client)


async def guest(limits: RateLimits, client: str) -> bool:
    return await limits.guest(client)


@pytest.mark.parametrize(("rated", "most"), [(sign_on, LOGINS), (guest, GUESTS)])
async def test_the_addresses_of_one_subnet_are_counted_together(
    limits: RateLimits, rated: Count, most: int
) -> None:
    for number in range(most):
        await rated(limits, f"2001:db8:0:7::{number + 1}")
    with pytest.raises(TooManyRequests):
        await rated(limits, "2001:db8:0:7:ffff::1")
    assert await rated(limits, "2001:db8:0:8::1")
