"""What failed upstream is not asked again for a while: the login for the shared token."""

from typing import Final

import pytest

from bff.errors import BffError, UpstreamUnavailable
from tests.support import Replica, new_keys, new_replica

pytestmark = pytest.mark.anyio

ANONYMOUS: Final = "/customerlogin/auth/anonymous"
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
        one.clock.at += 1
        with pytest.raises(BffError):
            await one.engine.shared_token.token()
        if len(one.upstream.calls(ANONYMOUS)) > before:
            return second
    raise AssertionError("upstream is never asked again")


async def test_a_throttled_login_is_not_tried_before_upstream_wants_it(replica: Replica) -> None:
    replica.upstream.fail(f"GET {ANONYMOUS}/login", "throttled", retryAfter=120)
    waits = {await refused(replica) for _ in range(20)}
    assert waits == {120}
    replica.clock.at += 119
    assert await refused(replica) == 1
    assert len(replica.upstream.calls(ANONYMOUS)) == 1
    replica.clock.at += 1
    assert await refused(replica) == 120
    assert len(replica.upstream.calls(ANONYMOUS)) == 2
    replica.upstream.world.faults.clear()
    replica.clock.at += 120
    assert await replica.engine.shared_token.token()


async def test_a_pause_of_one_replica_is_kept_by_all(redis_url: str) -> None:
    keys = new_keys()
    async with (
        new_replica(redis_url, keys=keys) as one,
        new_replica(redis_url, keys=keys, clock=one.clock, upstream=one.upstream) as other,
    ):
        one.upstream.fail(f"GET {ANONYMOUS}/login", "throttled", retryAfter=120)
        assert await refused(one) == 120
        one.clock.at += 50
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
    replica.clock.at += LONGEST
    token = await replica.engine.shared_token.token()
    replica.upstream.fail(f"GET {ANONYMOUS}/*", kind)
    with pytest.raises(BffError):
        await replica.engine.shared_token.token(refused=token)
    replica.upstream.world.faults.clear()
    replica.clock.at += 1
    assert await replica.engine.shared_token.token(refused=token) != token
