"""A login on a customer's session: the old one ends only once the new login has succeeded."""

import asyncio

import pytest

from bff.errors import BffError, InvalidCredentials, NoSession, SessionRotated, UpstreamUnavailable
from bff.security.secret import Secret
from bff.session import EndReason, Tombstone
from bff.store.redis_keys import RedisKeys
from tests.live import GRACE
from tests.support import TENANT, Replica, access_alive, bare, loaded, until

pytestmark = pytest.mark.anyio

LOGIN = "POST /customer/acmeshop/login"


async def test_a_wrong_password_leaves_the_customer_as_it_was(replica: Replica) -> None:
    ada = await replica.customer()
    session = await loaded(replica, ada)
    before = set(await replica.store.names())
    with pytest.raises(InvalidCredentials):
        await replica.engine.login.login(session, GRACE["email"], Secret("wrong-password"))
    assert (session.held, session.issued, session.cleared) == (ada, None, False)
    assert access_alive(replica, ada.session)
    assert await replica.stored(ada) == ada.session
    assert set(await replica.store.names()) <= before, "those of other tests may have ended meanwhile"


@pytest.mark.parametrize(
    ("match", "kind", "error"),
    [
        (LOGIN, "error", UpstreamUnavailable),
        (LOGIN, "throttled", BffError),
        ("GET /customerlogin/auth/anonymous/login", "error", UpstreamUnavailable),
    ],
)
async def test_an_outage_leaves_the_customer_as_it_was(
    replica: Replica, match: str, kind: str, error: type[BffError]
) -> None:
    ada = await replica.customer()
    session = await loaded(replica, ada)
    replica.upstream.fail(match, kind)
    with pytest.raises(error):
        await replica.engine.login.login(session, GRACE["email"], Secret(GRACE["password"]))
    assert (session.held, session.issued, session.cleared) == (ada, None, False)
    assert access_alive(replica, ada.session)
    assert await replica.stored(ada) == ada.session


async def test_a_login_that_succeeds_ends_the_old_session_here_and_upstream(replica: Replica) -> None:
    ada = await replica.customer()
    session = await loaded(replica, ada)
    grace = await replica.engine.login.login(session, GRACE["email"], Secret(GRACE["password"]))
    assert (grace.email, session.session) == (GRACE["email"], grace)
    assert session.issued is not None
    assert grace.version > ada.session.version
    assert not access_alive(replica, ada.session)
    assert await replica.store.load_fresh(ada.ticket) == Tombstone(EndReason.SUPERSEDED, None)
    with pytest.raises(SessionRotated):
        await loaded(replica, ada, safe=True)


async def test_a_logout_meanwhile_is_not_undone(replica: Replica) -> None:
    ada = await replica.customer()
    session = await loaded(replica, ada)
    before = set(await replica.store.names())
    with replica.upstream.holding("acmeshop/login") as gate:
        late = asyncio.create_task(
            replica.engine.login.login(session, GRACE["email"], Secret(GRACE["password"]))
        )
        await until(lambda: replica.upstream.held)
        out = await loaded(replica, ada)
        await replica.engine.lifecycle.logout(out)
        gate.set()
        with pytest.raises(NoSession):
            await late
    assert session.issued is None
    for name in set(await replica.store.names()) - before:
        assert await bare(replica.redis).hexists(RedisKeys(TENANT).session(name), "t"), "a session is left"
    customers = [token for token in replica.upstream.world.access.values() if token.kind == "customer"]
    assert [token.revoked for token in customers] == [True, True]
