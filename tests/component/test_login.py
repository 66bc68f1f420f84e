"""From guest to customer: one lock, one new id, and nothing left behind where something fails on the way."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bff.errors import (
    AccountExists,
    BadUpstreamAnswer,
    BffError,
    Forbidden,
    InvalidCredentials,
    InvalidRequest,
    NoSession,
    NotAsked,
    SessionRotated,
    StoreUnavailable,
    UpstreamUnavailable,
)
from bff.sandbox import issuer
from bff.security.secret import Secret
from bff.session import Session, SessionKind, Tombstone
from bff.sessions.login import CustomerLogin
from bff.sessions.request_session import RequestSession
from bff.store.customer_index import RedisCustomerIndex
from bff.store.locks import RedisSessionLocks
from bff.store.redis_store import RedisSessionStore
from tests.support import TENANT, Replica, a_request_session, counted, leave, new_replica, until

pytestmark = pytest.mark.anyio
ADA, PASSWORD = "ada@example.com", Secret("correct-horse-battery")
LOGIN = "POST /customer/{tenant}/login"
CONTEXT = "GET /session-context/{tenant}/me/context"
Way = Callable[[CustomerLogin, RequestSession], Awaitable[Session]]
WAYS: dict[str, tuple[str, Way]] = {
    "login": (LOGIN, lambda one, visit: one.login(visit, ADA, PASSWORD)),
    "social": (
        "POST /customer/{tenant}/socialLogin",
        lambda one, visit: one.social_login(visit, code="c", redirect_uri="https://a.test/", verifier=None),
    ),
    "exchange": (
        "POST /customer/{tenant}/exchangeauthtoken",
        lambda one, visit: one.exchange(visit, Secret("t"), None),
    ),
    "opt-in": ("GET /customer/{tenant}/signup/optin/", lambda one, visit: one.opt_in(visit, Secret("t"))),
}
FAILURES: list[tuple[str, type[BffError]]] = [
    ("forbidden", Forbidden),
    ("bad_tenant", BadUpstreamAnswer),
    ("conflict", BadUpstreamAnswer),
    ("error", UpstreamUnavailable),
    ("html", UpstreamUnavailable),
    ("garbage", BadUpstreamAnswer),
    ("empty", BadUpstreamAnswer),
]


def alive(one: Replica, session: Session) -> bool:
    token = one.upstream.world.access[session.tokens.access.reveal()]
    return one.upstream.world.alive(token)


def statuses(one: Replica, match: str) -> list[int]:
    """Return what upstream answered to the calls that `match` says."""
    method, _, path = match.partition(" ")
    part = path.partition("{tenant}")[2].rstrip("/")
    return [call["status"] for call in one.upstream.calls(part) if call["method"] == method]


async def a_guest(one: Replica) -> RequestSession:
    visit = a_request_session()
    await one.engine.lifecycle.ensure_session(visit)
    return visit


async def test_a_login_gives_a_new_ticket_and_keeps_the_emporix_session(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        visit = await a_guest(one)
        assert visit.held is not None
        guest = visit.held
        session = await one.engine.login.login(visit, ADA, PASSWORD)
        assert visit.issued is not None
        assert (visit.issued.ticket.id, visit.issued.ticket.secret) != (guest.ticket.id, guest.ticket.secret)
        assert session.kind is SessionKind.CUSTOMER
        assert session.upstream_session_id.reveal() == guest.session.upstream_session_id.reveal()
        assert session.version > guest.session.version
        assert session.email == ADA
        assert (session.expires_at, session.idle_seconds) == (one.clock.at + 7_776_000, 1_209_600)
        found = await one.store.peek(guest.ticket)
        assert isinstance(found, Tombstone)
        assert found.reason == "rotated"
        assert found.guest is not None
        assert found.guest.kind is SessionKind.ANONYMOUS


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("kind", "error"), FAILURES)
async def test_a_sign_on_that_fails_leaves_the_guest(
    redis_url: str, way: str, kind: str, error: type[BffError]
) -> None:
    match, ask = WAYS[way]
    async with new_replica(redis_url) as one:
        visit = await a_guest(one)
        assert visit.held is not None
        before = visit.held
        one.upstream.fail(match, kind)
        with pytest.raises(error):
            await ask(one.engine.login, visit)
        assert visit.held == before
        assert await one.store.load_fresh(before.ticket) == before.session


@pytest.mark.parametrize("way", WAYS)
async def test_a_guest_bearer_that_upstream_refuses_is_renewed_once(redis_url: str, way: str) -> None:
    match, ask = WAYS[way]
    async with new_replica(redis_url) as one:
        visit = await a_guest(one)
        one.upstream.fail(match, "unauthorized_expired")
        one.upstream.fail(CONTEXT, "unauthorized_expired")
        with pytest.raises(InvalidCredentials):
            await ask(one.engine.login, visit)
        assert len(one.upstream.calls("/anonymous/refresh")) == 1
        assert statuses(one, match) == [401, 401]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("context_created_at", ["login", "cart"])
async def test_what_the_gateway_refuses_is_sent_once_where_it_accepts_the_guests_bearer(
    redis_url: str, way: str, context_created_at: str
) -> None:
    match, ask = WAYS[way]
    async with new_replica(redis_url) as one:
        one.upstream.turn(context_created_at=context_created_at)
        visit = await a_guest(one)
        one.upstream.fail(match, "unauthorized_invalid")
        with pytest.raises(InvalidCredentials):
            await ask(one.engine.login, visit)
        assert one.upstream.calls("/anonymous/refresh") == []
        assert statuses(one, match) == [401]


@pytest.mark.parametrize("shape", ["gateway", "service", "bad_request"])
async def test_a_wrong_password_is_sent_once_whatever_refuses_it(redis_url: str, shape: str) -> None:
    async with new_replica(redis_url) as one:
        one.upstream.turn(login_refusal=shape)
        visit = await a_guest(one)
        with pytest.raises(InvalidCredentials):
            await one.engine.login.login(visit, ADA, Secret("wrong-password"))
        assert len(statuses(one, LOGIN)) == 1
        assert len(statuses(one, CONTEXT)) == (1 if shape == "gateway" else 0)
        assert one.upstream.calls("/anonymous/refresh") == []


@pytest.mark.parametrize("shape", ["gateway", "service", "bad_request"])
async def test_an_ended_guest_bearer_is_renewed_whatever_a_wrong_password_gets(
    redis_url: str, shape: str
) -> None:
    async with new_replica(redis_url) as one:
        one.upstream.turn(login_refusal=shape)
        visit = await a_guest(one)
        assert visit.session is not None
        one.upstream.world.access[visit.session.tokens.access.reveal()].revoked = True
        assert (await one.engine.login.login(visit, ADA, PASSWORD)).kind is SessionKind.CUSTOMER
        assert statuses(one, LOGIN) == [401, 200]


async def test_an_outage_while_the_bearer_is_checked_blames_no_password(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        visit = await a_guest(one)
        one.upstream.fail(CONTEXT, "error")
        with pytest.raises(UpstreamUnavailable):
            await one.engine.login.login(visit, ADA, Secret("wrong-password"))
        assert len(statuses(one, LOGIN)) == 1


async def test_a_sign_on_without_an_address_asks_upstream_whose_it_is(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        visit = await a_guest(one)
        session = await one.engine.login.exchange(visit, idp_token(one, "grace@example.com"), None)
        assert session.email == "grace@example.com"
        assert len(one.upstream.calls("/validateauthtoken")) == 1


@pytest.mark.parametrize("kind", ["error", "unauthorized_invalid", "garbage", "throttled"])
async def test_a_sign_on_succeeds_where_upstream_does_not_say_whose_it_is(redis_url: str, kind: str) -> None:
    async with new_replica(redis_url) as one:
        visit = await a_guest(one)
        one.upstream.fail("GET /customer/{tenant}/validateauthtoken", kind)
        session = await one.engine.login.exchange(visit, idp_token(one, ADA), None)
        assert (session.kind, session.email) == (SessionKind.CUSTOMER, None)


async def test_a_customer_without_a_saas_token_has_the_number_of_the_profile(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer, "_saas", lambda *_: None)
    async with new_replica(redis_url) as one:
        session = await one.engine.login.login(a_request_session(), ADA, PASSWORD)
        assert (session.tokens.saas, session.customer_id) == (None, "10000001")
        one.upstream.fail("GET /customer/{tenant}/me", "error")
        session = await one.engine.login.login(a_request_session(), ADA, PASSWORD)
        assert (session.kind, session.customer_id) == (SessionKind.CUSTOMER, None)


async def test_the_number_in_a_saas_token_is_not_asked_for_again(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        await one.engine.login.login(a_request_session(), ADA, PASSWORD)
        assert not one.upstream.calls("/me")


async def test_every_login_is_counted_once_for_the_address_and_one_with_an_account_for_it(
    redis_url: str,
) -> None:
    async with new_replica(redis_url) as one:
        await one.engine.login.login(a_request_session(), ADA, PASSWORD)
        await one.engine.login.exchange(a_request_session(), idp_token(one, ADA), None)
        assert one.limits.accounts == [("192.0.2.1", ADA)]
        assert one.limits.sign_ons == ["192.0.2.1"] * 2


async def test_a_customer_who_signs_on_anew_ends_here_and_upstream_first(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        visit = await a_guest(one)
        first = await one.engine.login.login(visit, ADA, PASSWORD)
        assert visit.held is not None
        old = visit.held.ticket
        second = await one.engine.login.exchange(visit, idp_token(one, "grace@example.com"), None)
        assert not alive(one, first)
        assert alive(one, second)
        assert second.upstream_session_id.reveal() != first.upstream_session_id.reveal()
        found = await one.store.peek(old)
        assert isinstance(found, Tombstone)
        assert found.guest is None


async def test_a_logout_that_overtakes_a_login_wins_and_its_tokens_are_revoked(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        visit = await a_guest(one)
        assert visit.held is not None
        ticket = visit.held.ticket
        async with one.upstream.delaying("/login", one.engine.login.login(visit, ADA, PASSWORD)) as login:
            await one.engine.lifecycle.end(ticket, a_request_session())
        with pytest.raises(NoSession):
            await login
        customers = [token for token in one.upstream.world.access.values() if token.kind == "customer"]
        assert len(customers) == 1
        assert not one.upstream.world.alive(customers[0])
        assert visit.issued is None or visit.issued.session.kind is SessionKind.ANONYMOUS


async def test_a_store_that_fails_after_the_login_leaves_no_tokens_alive(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with new_replica(redis_url) as one:
        visit = await a_guest(one)

        async def broken(*_args: Any) -> Session:
            raise StoreUnavailable

        monkeypatch.setattr(RedisSessionStore, "supersede", broken)
        with pytest.raises(StoreUnavailable):
            await one.engine.login.login(visit, ADA, PASSWORD)
        customers = [token for token in one.upstream.world.access.values() if token.kind == "customer"]
        assert [one.upstream.world.alive(token) for token in customers] == [False]
        assert visit.session is not None
        assert visit.session.kind is SessionKind.ANONYMOUS


async def test_a_customers_index_that_cannot_be_written_fails_no_login(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_args: Any) -> None:
        raise StoreUnavailable

    async with new_replica(redis_url) as one:
        visit = await a_guest(one)
        monkeypatch.setattr(RedisCustomerIndex, "add", broken)
        assert (await one.engine.login.login(visit, ADA, PASSWORD)).kind is SessionKind.CUSTOMER


async def test_a_client_that_leaves_does_not_stop_its_login(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        visit = await a_guest(one)
        async with one.upstream.delaying("/login", one.engine.login.login(visit, ADA, PASSWORD)) as leaving:
            await leave(leaving)
        await one.ports.tasks.drain()
        assert visit.held is not None
        found = await one.store.peek(visit.held.ticket)
        assert isinstance(found, Session)
        assert found.kind is SessionKind.CUSTOMER


async def test_of_logins_with_one_guest_one_wins(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        first = await a_guest(one)
        second = a_request_session()
        second.held = first.held
        tried = await asyncio.gather(
            *(one.engine.login.login(visit, ADA, PASSWORD) for visit in (first, second)),
            return_exceptions=True,
        )
        assert len([result for result in tried if isinstance(result, Session)]) == 1
        assert [type(result) for result in tried if not isinstance(result, Session)] == [SessionRotated]
        assert len(one.upstream.calls("/login")) - len(one.upstream.calls("/anonymous/login")) == 1


async def test_a_login_waits_for_its_guests_lock(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with new_replica(redis_url) as one:
        visit = await a_guest(one)
        assert visit.held is not None
        async with one.ports.locks.hold(visit.held.ticket):
            tried = counted(monkeypatch, RedisSessionLocks, "try_lock")
            login = asyncio.create_task(one.engine.login.login(visit, ADA, PASSWORD))
            await until(lambda: len(tried) > 1)
            assert statuses(one, LOGIN) == []
        assert (await login).kind is SessionKind.CUSTOMER


async def test_who_has_no_turn_to_log_in_is_refused_before_upstream_is_asked(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.sessions.login._AT_ONCE", 1)
    monkeypatch.setattr("bff.sessions.login._WAIT_SECONDS", 0.01)
    async with new_replica(redis_url) as one:
        first, second = await a_guest(one), await a_guest(one)
        async with one.upstream.delaying("/customer/", one.engine.login.login(first, ADA, PASSWORD)) as login:
            with pytest.raises(NotAsked):
                await one.engine.login.login(second, ADA, PASSWORD)
        assert (await login).kind is SessionKind.CUSTOMER
        assert len(statuses(one, LOGIN)) == 1


async def test_a_state_is_claimed_once_over_all_replicas(redis_url: str) -> None:
    async with new_replica(redis_url) as one, new_replica(redis_url) as other:
        state = f"site_DE--{id(one)}-{one.clock.at}"
        tried = await asyncio.gather(*(part.engine.login.claim(state, 600) for part in (one, other) * 4))
        assert tried.count(True) == 1
        assert await other.engine.login.claim(state + "x", 600) is True


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "conflict"}, AccountExists),
        ({"kind": "forbidden"}, Forbidden),
        ({"kind": "unauthorized_invalid"}, UpstreamUnavailable),
        ({"kind": "error"}, UpstreamUnavailable),
        ({"kind": "empty"}, BadUpstreamAnswer),
    ],
)
async def test_a_sign_up_that_fails_says_why(
    redis_url: str, fault: dict[str, str], error: type[BffError]
) -> None:
    async with new_replica(redis_url) as one:
        one.upstream.fail(f"POST /customer/{TENANT}/signup", **fault)
        with pytest.raises(error):
            await one.engine.signup.signup(
                a_request_session(), {"email": "new@example.com", "password": "long-enough"}
            )


async def test_a_refused_sign_up_names_fields_and_no_values(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        body = {
            "email": "n@example.com",
            "password": "p4ss",
            "signup": {"email": "n@example.com", "password": "p4ss"},
        }
        with pytest.raises(InvalidRequest, match=r"signup\.password") as caught:
            await one.engine.signup.signup(a_request_session(), body)
        assert "p4ss" not in caught.value.detail


async def test_a_customer_signs_somebody_up_without_their_own_token(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        visit = await a_guest(one)
        session = await one.engine.login.login(visit, ADA, PASSWORD)
        assert await one.engine.signup.signup(visit, {"email": "new@example.com", "password": "long-enough"})
        (call,) = one.upstream.calls("/signup")
        assert call["bearer"] == "anonymous"
        assert visit.session == session


def idp_token(one: Replica, email: str) -> Secret:
    """Return an identity provider's token that the sandbox believes."""
    from bff.sandbox.federation import _issue_token  # noqa: PLC0415 - the one thing of it that is needed

    return Secret(_issue_token(one.upstream.world, email, 3600))
