"""What failed upstream is not asked again for a while: the login for the shared token, and renewals of sessions."""

from typing import Any, Final

import pytest

from bff.errors import BffError, UpstreamUnavailable
from bff.session import HeldSession
from tests.support import Clock, Replica, loaded, new_keys, new_replica

pytestmark = pytest.mark.anyio

ANONYMOUS: Final = "/customerlogin/auth/anonymous"
REFRESH: Final = f"{ANONYMOUS}/refresh"
LONGEST: Final = 30


async def refused(one: Replica) -> int:
    """Ask for the shared token, which is not to be had, and return the seconds that the error says to wait."""
    with pytest.raises(UpstreamUnavailable) as caught:
        await one.engine.shared_token.token()
    assert caught.value.retry_after is not None
    return caught.value.retry_after


async def seconds_until_the_next_try(one: Replica) -> int:
    """Ask every second until upstream is asked too, in vain, and return how many seconds that took."""
    before = len(one.upstream.calls(ANONYMOUS))
    for second in range(1, LONGEST + 2):
        await one.later(1)
        with pytest.raises(BffError):
            await one.engine.shared_token.token()
        if len(one.upstream.calls(ANONYMOUS)) > before:
            return second
    raise AssertionError("upstream is never asked again")


async def test_a_throttled_login_is_not_tried_before_upstream_wants_it(replica: Replica) -> None:
    replica.upstream.fail(f"GET {ANONYMOUS}/login", "throttled", retryAfter=120)
    waits = {await refused(replica) for _ in range(20)}
    assert waits == {120}
    await replica.later(119)
    assert await refused(replica) == 1
    assert len(replica.upstream.calls(ANONYMOUS)) == 1
    await replica.later(1)
    assert await refused(replica) == 120
    assert len(replica.upstream.calls(ANONYMOUS)) == 2
    replica.upstream.world.faults.clear()
    await replica.later(120)
    assert await replica.engine.shared_token.token()


async def test_a_pause_of_one_replica_is_kept_by_all(redis_url: str) -> None:
    keys = new_keys()
    async with (
        new_replica(redis_url, keys=keys) as one,
        new_replica(redis_url, keys=keys, clock=one.clock, upstream=one.upstream) as other,
    ):
        one.upstream.fail(f"GET {ANONYMOUS}/login", "throttled", retryAfter=120)
        assert await refused(one) == 120
        await one.later(50)
        assert [await refused(other) for _ in range(3)] == [70] * 3
        assert len(one.upstream.calls(ANONYMOUS)) == 1


@pytest.mark.parametrize("kind", ["error", "throttled", "html", "invalid_api_key"])
async def test_pauses_grow_to_a_limit_and_begin_anew_after_a_success(replica: Replica, kind: str) -> None:
    replica.upstream.fail(f"GET {ANONYMOUS}/login", kind)
    with pytest.raises(BffError):
        await replica.engine.shared_token.token()
    first = await seconds_until_the_next_try(replica)
    pauses = [await seconds_until_the_next_try(replica) for _ in range(7)]
    assert first == 1
    assert pauses[3] >= 8
    assert all(LONGEST / 2 <= one <= LONGEST for one in pauses[5:])
    replica.upstream.world.faults.clear()
    await replica.later(LONGEST)
    token = await replica.engine.shared_token.token()
    replica.upstream.fail(f"GET {ANONYMOUS}/*", kind)
    with pytest.raises(BffError):
        await replica.engine.shared_token.token(refused=token)
    replica.upstream.world.faults.clear()
    await replica.later(1)
    assert await replica.engine.shared_token.token(refused=token) != token


async def renew(one: Replica, held: HeldSession) -> int | None:
    """Let a request renew a session; return the seconds that its error says to wait, None where it succeeds."""
    session = await loaded(one, held)
    try:
        await one.engine.lifecycle.refresh(session)
    except UpstreamUnavailable as error:
        return error.retry_after
    return None


def asked(one: Replica) -> int:
    return len(one.upstream.calls(REFRESH))


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "error", "status": 500},
        {"kind": "error", "status": 503},
        {"kind": "error", "status": 503, "retryAfter": 7},
        {"kind": "throttled"},
        {"kind": "throttled", "retryAfter": 7},
        {"kind": "html"},
        {"kind": "disconnect"},
    ],
)
async def test_thirty_renewals_that_fail_ask_upstream_once(replica: Replica, fault: dict[str, Any]) -> None:
    held = await replica.guest()
    replica.upstream.fail(f"GET {REFRESH}", **fault)
    waits = [await renew(replica, held) for _ in range(30)]
    assert asked(replica) == 1
    assert None not in waits
    if "retryAfter" in fault:
        assert set(waits) == {7}
    replica.upstream.world.faults.clear()
    await replica.later(7)
    assert await renew(replica, held) is None


async def test_a_failed_renewal_is_not_tried_again_by_another_replica(redis_url: str) -> None:
    keys = new_keys()
    async with (
        new_replica(redis_url, keys=keys) as one,
        new_replica(redis_url, keys=keys, clock=one.clock, upstream=one.upstream) as other,
    ):
        held = await one.guest()
        one.upstream.fail(f"GET {REFRESH}", "error", retryAfter=20)
        assert await renew(one, held) == 20
        assert [await renew(other, held) for _ in range(3)] == [20] * 3
        assert asked(one) == 1


async def test_a_failure_of_one_session_stops_no_other_and_a_throttled_one_stops_all(
    replica: Replica,
) -> None:
    first, second, third = [await replica.guest() for _ in range(3)]
    replica.upstream.fail(f"GET {REFRESH}", "error", times=1)
    assert await renew(replica, first) is not None
    assert await renew(replica, second) is None
    replica.upstream.fail(f"GET {REFRESH}", "throttled", times=1, retryAfter=9)
    assert await renew(replica, second) == 9
    assert await renew(replica, third) == 9
    await replica.customer()  # a login waits for no renewal
    assert asked(replica) == 3


@pytest.mark.parametrize("jump", [-600, 600])
async def test_a_clock_that_is_set_makes_no_pause_longer_or_shorter(redis_url: str, jump: float) -> None:
    keys, elsewhere = new_keys(), Clock()
    async with (
        new_replica(redis_url, keys=keys) as one,
        new_replica(redis_url, keys=keys, clock=elsewhere, upstream=one.upstream) as other,
    ):
        held = await one.guest()
        one.upstream.fail(f"GET {REFRESH}", "throttled", times=1, retryAfter=20)
        assert await renew(one, held) == 20
        one.clock.jumped = elsewhere.jumped = jump
        await one.later(10)
        elsewhere.at += 10
        assert [await renew(each, held) for each in (one, other)] == [10, 10]
        await one.later(10)
        elsewhere.at += 10
        assert await renew(other, held) is None
        assert asked(one) == 2


async def test_a_token_that_is_still_good_is_used_meanwhile(replica: Replica) -> None:
    held = await replica.guest()
    replica.upstream.fail(f"GET {REFRESH}", "throttled", retryAfter=25)
    left = held.session.tokens.access_expires_at - replica.clock.at
    await replica.later(left - 20)
    for _ in range(3):
        session = await replica.engine.lifecycle.ensure_fresh(await loaded(replica, held))
        assert session is not None
        assert session.tokens == held.session.tokens
    assert asked(replica) == 1


async def test_upstream_cannot_stop_renewals_for_more_than_half_a_minute(replica: Replica) -> None:
    held = await replica.guest()
    replica.upstream.fail(f"GET {REFRESH}", "throttled", times=1, retryAfter=3000)
    assert await renew(replica, held) == LONGEST
    await replica.later(LONGEST)
    assert await renew(replica, held) is None


async def test_pauses_of_a_session_grow_and_begin_anew_after_a_success(replica: Replica) -> None:
    held = await replica.guest()
    replica.upstream.fail(f"GET {REFRESH}", "error", status=500)
    for shortest in (0.5, 1, 2, 4):
        before = asked(replica)
        assert await renew(replica, held) is not None
        await replica.later(shortest * 0.99)
        assert await renew(replica, held) is not None
        assert asked(replica) == before + 1
        await replica.later(shortest * 1.02)
    replica.upstream.world.faults.clear()
    assert await renew(replica, held) is None
    replica.upstream.fail(f"GET {REFRESH}", "error", status=500, times=1)
    assert await renew(replica, held) is not None
    await replica.later(1)
    assert await renew(replica, held) is None
