"""The arrows to and from a customer: login, sign-up, and what races them."""

import asyncio

import pytest

from bff.errors import (
    AccountExists,
    Forbidden,
    InvalidCredentials,
    InvalidRequest,
    LoginRequired,
    NoSession,
    SessionRotated,
)
from bff.security.secret import Secret
from bff.session import EndReason, SessionKind
from bff.sessions.token_saver import TRANSIENT
from tests.live import ADA, GRACE
from tests.support import Replica, access_alive, loaded, until

pytestmark = pytest.mark.anyio

PASSWORD = Secret(ADA["password"])
LOGIN = "/customer/acmeshop/login"


async def test_a_login_gives_a_new_id_and_keeps_the_emporix_session(replica: Replica) -> None:
    guest = await replica.guest()
    visit = await loaded(replica, guest)
    session = await replica.engine.login.login(visit, ADA["email"], PASSWORD)
    assert visit.issued is not None
    assert visit.issued.ticket.id != guest.ticket.id
    assert visit.issued.ticket.secret != guest.ticket.secret
    assert (session.kind, session.email) == (SessionKind.CUSTOMER, ADA["email"])
    assert session.upstream_session_id == guest.session.upstream_session_id
    assert session.version == guest.session.version + 1
    assert session.expires_at == replica.clock() + 7_776_000
    assert (session.user_agent, session.customer_id) == ("agent", "10000001")
    assert await replica.stored(visit.issued) == session
    assert replica.limits.accounts == [("192.0.2.1", ADA["email"])]


async def test_a_login_without_a_session_starts_a_guest_first(replica: Replica) -> None:
    visit = await loaded(replica)
    session = await replica.engine.login.login(visit, ADA["email"], PASSWORD)
    assert session.version == int(replica.clock() * 1000) + 1, "a guest's version, and one more"


async def test_the_old_id_is_served_as_the_guest_that_it_was_and_only_when_safe(replica: Replica) -> None:
    guest = await replica.guest()
    await replica.engine.login.login(await loaded(replica, guest), ADA["email"], PASSWORD)
    late = await loaded(replica, guest, safe=True)
    assert late.superseded
    assert late.session is not None
    assert late.session.kind is SessionKind.ANONYMOUS
    assert late.session.tokens == guest.session.tokens
    with pytest.raises(LoginRequired):
        await replica.engine.lifecycle.ensure_customer(late)
    replica.clock.at += 3599 - 30
    assert await replica.engine.lifecycle.ensure_fresh(late) == late.session
    with pytest.raises(SessionRotated):
        await replica.engine.lifecycle.refresh(late)
    assert (late.issued, late.cleared) == (None, False)
    with pytest.raises(SessionRotated):
        await loaded(replica, guest, safe=False)


async def test_the_old_id_of_a_customer_is_served_to_nobody(replica: Replica) -> None:
    visit = await loaded(replica)
    await replica.engine.login.login(visit, ADA["email"], PASSWORD)
    assert visit.issued is not None
    assert await replica.store.retire(visit.issued.ticket, EndReason.SUPERSEDED, keep_record=True)
    with pytest.raises(SessionRotated):
        await loaded(replica, visit.issued, safe=True)


async def test_the_old_id_with_an_ended_token_is_served_no_more(replica: Replica) -> None:
    guest = await replica.guest()
    await replica.engine.login.login(await loaded(replica, guest), ADA["email"], PASSWORD)
    replica.clock.at += 3599
    with pytest.raises(SessionRotated):
        await loaded(replica, guest, safe=True)


@pytest.mark.parametrize("password", ["wrong-password", "short"])
async def test_a_failed_login_leaves_the_guest_as_it_was(replica: Replica, password: str) -> None:
    guest = await replica.guest()
    visit = await loaded(replica, guest)
    with pytest.raises(InvalidCredentials):
        await replica.engine.login.login(visit, ADA["email"], Secret(password))
    assert (visit.issued, visit.cleared) == (None, False)
    assert await replica.stored(guest) == guest.session


@pytest.mark.parametrize("kind", ["error", "throttled", "garbage"])
async def test_a_login_in_an_outage_leaves_the_guest_as_it_was(replica: Replica, kind: str) -> None:
    guest = await replica.guest()
    replica.upstream.fail(f"POST {LOGIN}", kind)
    with pytest.raises(TRANSIENT):
        await replica.engine.login.login(await loaded(replica, guest), ADA["email"], PASSWORD)
    assert await replica.stored(guest) == guest.session


async def test_a_refused_bearer_at_login_is_renewed_once(replica: Replica) -> None:
    guest = await replica.guest()
    replica.upstream.world.access[guest.session.tokens.access.reveal()].revoked = True
    session = await replica.engine.login.login(await loaded(replica, guest), ADA["email"], PASSWORD)
    assert session.upstream_session_id == guest.session.upstream_session_id
    assert len(replica.upstream.calls(LOGIN)) == 2


async def test_a_login_on_a_customer_ends_that_one_upstream_too(replica: Replica) -> None:
    ada = await replica.customer()
    visit = await loaded(replica, ada)
    session = await replica.engine.login.login(visit, GRACE["email"], Secret(GRACE["password"]))
    assert session.email == GRACE["email"]
    assert session.upstream_session_id != ada.session.upstream_session_id
    assert not access_alive(replica, ada.session)
    for safe in (True, False):
        with pytest.raises(SessionRotated):
            await loaded(replica, ada, safe=safe)


async def test_a_login_that_raced_a_logout_brings_nobody_back(replica: Replica) -> None:
    guest = await replica.guest()
    visit = await loaded(replica, guest)
    with replica.upstream.holding(LOGIN) as gate:
        late = asyncio.create_task(replica.engine.login.login(visit, ADA["email"], PASSWORD))
        await until(lambda: replica.upstream.held)
        out = await loaded(replica, guest)
        await replica.engine.lifecycle.logout(out)
        assert out.cleared
        gate.set()
        with pytest.raises(NoSession):
            await late
    assert (visit.issued, visit.cleared) == (None, False)
    customers = [token for token in replica.upstream.world.access.values() if token.kind == "customer"]
    assert customers
    assert all(token.revoked for token in customers)


async def test_a_sign_up_says_what_upstream_had_against_it(replica: Replica) -> None:
    body = {"email": "new@example.com", "password": "long-enough", "customerDetails": {"firstName": "N"}}
    visit = await loaded(replica)
    assert await replica.engine.signup.signup(visit, body)
    assert visit.session is not None
    assert visit.session.kind is SessionKind.ANONYMOUS
    with pytest.raises(AccountExists):
        await replica.engine.signup.signup(visit, body)
    with pytest.raises(InvalidRequest):
        await replica.engine.signup.signup(visit, {"email": "x@example.com"})
    replica.upstream.fail("POST /customer/acmeshop/signup", "forbidden")
    with pytest.raises(Forbidden):
        await replica.engine.signup.signup(visit, body)


async def test_a_customer_signs_somebody_else_up_with_the_shared_token(replica: Replica) -> None:
    ada = await replica.customer()
    body = {"email": "new@example.com", "password": "long-enough", "customerDetails": {"firstName": "N"}}
    await replica.engine.signup.signup(await loaded(replica, ada), body)
    assert replica.upstream.calls("/signup")[-1]["bearer"] == "anonymous"
