"""A limit that could not be counted lets through, unless the store is away: then upstream is not asked."""

from collections.abc import Awaitable, Callable

import pytest

from bff.errors import StoreUnavailable
from bff.security.secret import Secret
from bff.session import SessionKind
from tests.live import ADA
from tests.relay import relaying
from tests.support import Replica, a_request_session, new_replica

pytestmark = pytest.mark.anyio

Begin = Callable[[Replica], Awaitable[object]]


async def uncounted(*_: object) -> bool:
    """Stand for a rate limit whose counter failed."""
    return False


@pytest.fixture
def nothing_counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Replica], None]:
    def let_nothing_be_counted(replica: Replica) -> None:
        for limit in ("guest", "sign_on", "account", "call"):
            monkeypatch.setattr(replica.limits, limit, uncounted)

    return let_nothing_be_counted


async def guest(replica: Replica) -> None:
    await replica.engine.lifecycle.ensure_session(a_request_session())


async def login(replica: Replica) -> None:
    await replica.engine.login.login(a_request_session(), ADA["email"], Secret(ADA["password"]))


async def exchange(replica: Replica) -> None:
    await replica.engine.login.exchange(a_request_session(), Secret("token"), None)


async def signup(replica: Replica) -> None:
    await replica.engine.signup.signup(
        a_request_session(), {"email": "a@example.com", "password": "secret-1"}
    )


@pytest.mark.parametrize("begin", [guest, login, exchange, signup])
async def test_a_silent_store_is_a_503_before_upstream_is_asked(
    redis_url: str, begin: Begin, nothing_counted: Callable[[Replica], None]
) -> None:
    async with relaying(redis_url) as relay, new_replica(relay.url) as replica:
        nothing_counted(replica)
        relay.deaf = True
        with pytest.raises(StoreUnavailable):
            await begin(replica)
        relay.deaf = False
        assert not replica.upstream.world.log


async def test_a_guest_that_logs_in_with_a_silent_store_costs_upstream_nothing(
    redis_url: str, nothing_counted: Callable[[Replica], None]
) -> None:
    async with relaying(redis_url) as relay, new_replica(relay.url) as replica:
        session = a_request_session()
        await replica.engine.lifecycle.ensure_session(session)
        before = len(replica.upstream.world.log)
        nothing_counted(replica)
        relay.deaf = True
        with pytest.raises(StoreUnavailable):
            await replica.engine.login.login(session, ADA["email"], Secret(ADA["password"]))
        relay.deaf = False
        assert len(replica.upstream.world.log) == before


async def test_limits_that_fail_alone_let_a_guest_in_and_log_in(
    redis_url: str, nothing_counted: Callable[[Replica], None]
) -> None:
    async with new_replica(redis_url) as replica:
        nothing_counted(replica)
        session = a_request_session()
        await replica.engine.lifecycle.ensure_session(session)
        customer = await replica.engine.login.login(session, ADA["email"], Secret(ADA["password"]))
        assert customer.kind is SessionKind.CUSTOMER
