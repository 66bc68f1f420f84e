"""Emporix' auth calls against the sandbox: each quirk on the wire, each outcome typed."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from starlette.types import Receive, Scope, Send

from bff.emporix.auth import EmporixAuth
from bff.emporix.refusals import (
    LoginRefusal,
    LoginRefused,
    RefreshTokenEnded,
    Refused,
    SignupRefusal,
    SignupRefused,
    SwitchRefusal,
    SwitchRefused,
    ValidationRefusal,
    ValidationRefused,
)
from bff.emporix.session_context import EmporixSessionContext
from bff.emporix.token_answers import Issued
from bff.errors import BadUpstreamAnswer, TooManyRequests, UpstreamUnavailable
from bff.security.secret import Secret
from bff.session import GuestContext, Session
from bff.tokens import TokenSet
from bff.upstream.token_calls import TokenCallClient
from tests.asgi_upstream import AsgiUpstream
from tests.live import ADA, TENANT
from tests.support import Clock, Upstream, a_session

pytestmark = pytest.mark.anyio

PASSWORD = Secret(ADA["password"])


class Watched:
    """The sandbox, and exactly what it was asked."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.queries: list[dict[str, list[str]]] = []
        self.headers: list[dict[bytes, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.queries.append(parse_qs(scope["query_string"].decode(), keep_blank_values=True))
        self.headers.append(dict(scope["headers"]))
        await self.upstream(scope, receive, send)


class Shared:
    """The proxy's own anonymous token, which is not replaced here."""

    def __init__(self, access: Secret) -> None:
        self._access = access
        self.refused: list[Secret | None] = []

    async def token(self, *, refused: Secret | None = None) -> Secret:
        self.refused.append(refused)
        return self._access


class Calls(EmporixAuth):
    """The calls under test, with the upstream that they go to."""

    def __init__(self, client: TokenCallClient, clock: Clock, watched: Watched) -> None:
        super().__init__(client, tenant=TENANT, client_id="storefront", clock=clock)
        self.clock = clock
        self.watched = watched
        self.upstream = watched.upstream
        self.contexts = EmporixSessionContext(client, tenant=TENANT)

    async def guest(self) -> Issued:
        return await self.anonymous_login(GuestContext())

    async def ada(self) -> Issued:
        return await self.login((await self.guest()).tokens.access, ADA["email"], PASSWORD)

    async def shared(self) -> Shared:
        return Shared((await self.guest()).tokens.access)


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    clock = Clock()
    watched = Watched(Upstream(clock))
    client = TokenCallClient(AsgiUpstream(watched))
    yield Calls(client, clock, watched)
    await client.aclose()


async def test_an_anonymous_login_has_a_session_and_both_clocks(calls: Calls) -> None:
    got = await calls.guest()
    assert got.session_id is not None
    assert got.tokens.access_expires_at == calls.clock() + 3599
    assert got.tokens.refresh_expires_at == calls.clock() + 86_399
    assert b"authorization" not in calls.watched.headers[-1]


async def test_the_context_of_an_anonymous_login_is_sent_and_nothing_else(calls: Calls) -> None:
    await calls.anonymous_login(GuestContext(site_code="main", currency="USD"))
    assert calls.watched.queries[-1] == {
        "tenant": [TENANT],
        "client_id": ["storefront"],
        "siteCode": ["main"],
        "currency": ["USD"],
    }


async def test_an_anonymous_refresh_keeps_the_emporix_session(calls: Calls) -> None:
    first = await calls.guest()
    second = await calls.anonymous_refresh(held(first))
    access = calls.upstream.world.access
    assert access[second.access.reveal()].session_id == access[first.tokens.access.reveal()].session_id
    assert second.access != first.tokens.access
    assert set(calls.watched.queries[-1]) == {"tenant", "client_id", "refresh_token"}


async def test_an_anonymous_refresh_without_a_refresh_token_in_its_answer_is_fine(calls: Calls) -> None:
    guest = held(await calls.guest())
    first = guest.tokens
    calls.upstream.fail("GET /customerlogin/auth/anonymous/refresh", "no_refresh")
    second = await calls.anonymous_refresh(guest)
    assert second.access != first.access
    assert (second.refresh, second.refresh_expires_at) == (first.refresh, first.refresh_expires_at)


def held(got: Issued) -> Session:
    """Return the session of whoever has these tokens."""
    assert got.session_id is not None
    return a_session(tokens=got.tokens, upstream_session_id=got.session_id, customer_id=got.customer_number)


@pytest.mark.parametrize("other", [{"upstream_session_id": Secret("another")}, {"customer_id": "another"}])
async def test_a_renewal_that_names_somebody_else_is_a_bad_answer(
    calls: Calls, other: dict[str, Any]
) -> None:
    """A mixed-up upstream must not show one customer what is another's."""
    customer, shared = await calls.ada(), await calls.shared()
    calls.upstream.fail("GET /customer*refresh*", "error", status=200, body=said_of(customer))
    session = held(customer)
    assert (await calls.customer_refresh(session, shared)).access == Secret("renewed")
    for ask in (
        calls.customer_refresh(replace(session, **other), shared),
        calls.switch_legal_entity(replace(session, **other), "LE-100", shared),
    ):
        with pytest.raises(BadUpstreamAnswer):
            await ask


async def test_a_guests_renewal_that_names_another_session_is_a_bad_answer(calls: Calls) -> None:
    guest = await calls.guest()
    calls.upstream.fail("GET /customer*refresh*", "session_mismatch")
    with pytest.raises(BadUpstreamAnswer):
        await calls.anonymous_refresh(held(guest))


def said_of(customer: Issued) -> dict[str, Any]:
    """Return the body of a renewal that names this customer."""
    assert customer.session_id is not None
    assert customer.tokens.saas is not None
    return {
        "access_token": "renewed",
        "session_id": customer.session_id.reveal(),
        "saas_token": customer.tokens.saas.reveal(),
    }


async def ended(calls: Calls, tokens: TokenSet) -> None:
    """Refresh in every way, with a refresh token that has ended."""
    session = a_session(tokens=tokens)
    shared, before = await calls.shared(), len(calls.watched.queries)
    for ask in (
        calls.anonymous_refresh(session),
        calls.customer_refresh(session, shared),
        calls.switch_legal_entity(session, "LE-100", shared),
    ):
        with pytest.raises(RefreshTokenEnded):
            await ask
    assert len(calls.watched.queries) == before


async def test_a_refresh_token_that_has_ended_by_its_clock_is_not_sent(calls: Calls) -> None:
    customer = (await calls.ada()).tokens
    await ended(calls, replace(customer, refresh=None))
    calls.clock.at += 86_399
    await ended(calls, customer)


async def test_a_login_carries_the_guests_session_along(calls: Calls) -> None:
    guest = await calls.guest()
    got = await calls.login(guest.tokens.access, ADA["email"], PASSWORD)
    assert got.session_id == guest.session_id
    assert got.tokens.saas is not None
    assert got.tokens.saas_expires_at == calls.clock() + 14_400
    assert calls.watched.headers[-1][b"authorization"] == b"Bearer " + guest.tokens.access.reveal().encode()
    assert calls.watched.headers[-1][b"emporix-tenant"] == TENANT.encode()


@pytest.mark.parametrize(("shape", "gateway"), [("gateway", True), ("service", False)])
async def test_a_wrong_password_may_look_like_a_fault_of_the_bearer(
    calls: Calls,
    shape: str,
    gateway: bool,  # noqa: FBT001
) -> None:
    calls.upstream.turn(login_refusal=shape)
    guest = await calls.guest()
    with pytest.raises(LoginRefused) as caught:
        await calls.login(guest.tokens.access, ADA["email"], Secret("wrong-password"))
    assert (caught.value.kind, caught.value.bearer_refused) == (LoginRefusal.CREDENTIALS, gateway)
    assert str(caught.value).endswith("with 401")
    assert await calls.contexts.accepts(guest.tokens.access)


async def test_a_dead_bearer_is_told_from_wrong_credentials(calls: Calls) -> None:
    with pytest.raises(LoginRefused) as caught:
        await calls.login(Secret("dead"), ADA["email"], PASSWORD)
    assert caught.value.bearer_refused
    assert not await calls.contexts.accepts(Secret("dead"))
    assert str(caught.value).endswith("with 401")


async def test_a_customer_refresh_says_refresh_token_in_camel_case_and_the_company_each_time(
    calls: Calls,
) -> None:
    customer, shared = held(await calls.ada()), await calls.shared()
    plain = await calls.customer_refresh(customer, shared)
    assert set(calls.watched.queries[-1]) == {"refreshToken"}
    assert plain.refresh != customer.tokens.refresh
    scoped = await calls.switch_legal_entity(replace(customer, tokens=plain), "LE-100", shared)
    assert calls.watched.queries[-1]["legalEntityId"] == ["LE-100"]
    assert (await calls.validate(scoped.access)).legal_entity_id == "LE-100"
    again = await calls.customer_refresh(replace(customer, tokens=scoped, legal_entity_id="LE-100"), shared)
    assert calls.watched.queries[-1]["legalEntityId"] == ["LE-100"]
    assert (await calls.validate(again.access)).legal_entity_id == "LE-100"


async def test_the_saas_token_is_carried_forward_for_no_refresh_answer_has_one(calls: Calls) -> None:
    customer, shared = held(await calls.ada()), await calls.shared()
    before = customer.tokens
    assert before.saas is not None
    for refreshed in (
        renewed := await calls.customer_refresh(customer, shared),
        await calls.switch_legal_entity(replace(customer, tokens=renewed), "LE-100", shared),
    ):
        assert (refreshed.saas, refreshed.saas_expires_at) == (before.saas, before.saas_expires_at)


async def test_a_foreign_company_is_refused(calls: Calls) -> None:
    customer, shared = await calls.ada(), await calls.shared()
    with pytest.raises(SwitchRefused) as caught:
        await calls.switch_legal_entity(held(customer), "LE-999", shared)
    assert caught.value.kind is SwitchRefusal.LEGAL_ENTITY
    assert str(caught.value).endswith("with 403")


async def test_a_logout_sends_the_token_twice_and_revokes_it(calls: Calls) -> None:
    access = (await calls.ada()).tokens.access
    await calls.logout(access)
    assert calls.watched.queries[-1] == {"accessToken": [access.reveal()]}
    assert calls.watched.headers[-1][b"authorization"] == b"Bearer " + access.reveal().encode()
    with pytest.raises(ValidationRefused) as caught:
        await calls.validate(access)
    assert caught.value.kind is ValidationRefusal.ACCESS_TOKEN


async def test_a_logout_has_the_short_deadline() -> None:
    deadlines: list[float | None] = []

    class Noting(TokenCallClient):
        async def call(self, *args: object, deadline: float | None = None, **more: object) -> object:  # type: ignore[override]
            deadlines.append(deadline)
            return await super().call(*args, deadline=deadline, **more)  # type: ignore[arg-type]

    upstream = Upstream(clock := Clock())
    client = Noting(AsgiUpstream(upstream))
    emporix = EmporixAuth(client, tenant=TENANT, client_id="storefront", clock=clock)
    guest = await emporix.anonymous_login(GuestContext())
    customer = await emporix.login(guest.tokens.access, ADA["email"], PASSWORD)
    await emporix.logout(customer.tokens.access)
    await client.aclose()
    assert deadlines == [None, None, 3.0]


async def test_a_validation_tells_what_is_left(calls: Calls) -> None:
    access = (await calls.ada()).tokens.access
    calls.clock.at += 1000
    found = await calls.validate(access)
    assert (found.expires_in, found.email) == (2_591_999 - 1000, ADA["email"])


async def test_a_profile_gives_the_customer_number_and_a_guests_gives_none(calls: Calls) -> None:
    assert await calls.customer_number((await calls.ada()).tokens.access) == "10000001"
    assert await calls.customer_number((await calls.guest()).tokens.access) is None


async def test_a_sign_up_gives_the_customer_number(calls: Calls) -> None:
    guest = await calls.guest()
    body = {"email": "new@example.com", "password": "long-enough", "customerDetails": {"firstName": "N"}}
    assert await calls.signup(guest.tokens.access, body)
    with pytest.raises(SignupRefused) as caught:
        await calls.signup(guest.tokens.access, body)
    assert caught.value.kind is SignupRefusal.ACCOUNT_EXISTS
    assert str(caught.value).endswith("with 409")


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("throttled", TooManyRequests),
        ("error", UpstreamUnavailable),
        ("html", BadUpstreamAnswer),
        ("empty", BadUpstreamAnswer),
        ("garbage", BadUpstreamAnswer),
        ("no_access_token", BadUpstreamAnswer),
        ("unauthorized_invalid", Refused),
        ("unauthorized_expired", Refused),
        ("invalid_api_key", Refused),
        ("bad_tenant", Refused),
        ("forbidden", Refused),
        ("conflict", Refused),
    ],
)
async def test_every_way_of_failing_is_a_typed_outcome(
    calls: Calls, kind: str, outcome: type[Exception]
) -> None:
    refreshing, switching, guest, shared = (
        await calls.ada(), await calls.ada(), await calls.guest(), await calls.shared(),
    )  # fmt: skip
    more = {"status": 200} if kind in {"html", "empty"} else {}
    calls.upstream.fail("* /customer*", kind, **more)
    for ask in (
        calls.anonymous_login(GuestContext()),
        calls.anonymous_refresh(held(guest)),
        calls.login(guest.tokens.access, ADA["email"], PASSWORD),
        calls.customer_refresh(held(refreshing), shared),
        calls.switch_legal_entity(held(switching), "LE-100", shared),
    ):
        with pytest.raises(outcome):
            await ask


async def test_an_anonymous_session_without_an_id_is_a_bad_answer() -> None:
    async def nameless(scope: Scope, receive: Receive, send: Send) -> None:
        body = b'{"access_token": "a", "expires_in": 60}'
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    client = TokenCallClient(AsgiUpstream(nameless))
    emporix = EmporixAuth(client, tenant=TENANT, client_id="storefront", clock=Clock())
    with pytest.raises(BadUpstreamAnswer):
        await emporix.anonymous_login(GuestContext())
    assert (await emporix.anonymous_refresh(a_session())).access == Secret("a")
    with pytest.raises(BadUpstreamAnswer):
        await emporix.signup(Secret("a"), {"email": "x"})
    await client.aclose()


@pytest.mark.parametrize("body", [b"{}", b'{"id": ""}', b'{"id": null}', b'{"id": 5}'])
async def test_a_sign_up_without_a_customer_number_is_a_bad_answer(body: bytes) -> None:
    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": body})

    client = TokenCallClient(AsgiUpstream(answering))
    emporix = EmporixAuth(client, tenant=TENANT, client_id="storefront", clock=Clock())
    with pytest.raises(BadUpstreamAnswer):
        await emporix.signup(Secret("a"), {"email": "x"})
    await client.aclose()


@pytest.mark.parametrize("knobs", [{"snake_names": False}, {"camel_names": False}])
async def test_either_spelling_of_the_names_is_enough(calls: Calls, knobs: dict[str, bool]) -> None:
    calls.upstream.turn(**knobs)
    got = await calls.ada()
    assert got.tokens.refresh is not None
    assert got.tokens.saas is not None
    assert got.tokens.refresh_expires_at == calls.clock() + 86_399
