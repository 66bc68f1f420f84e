"""Assisted buying: a customer's tokens that Emporix's dashboard handed over become a session."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from bff.errors import NoSession
from bff.security.secret import Secret
from bff.session import EndReason, Tombstone
from bff.sessions.adoption import HandedOver
from tests.live import ADA, GRACE
from tests.support import ORIGIN, Clock, Replica, a_request_session, access_alive, loaded, new_replica

pytestmark = pytest.mark.anyio


@pytest.fixture
async def assisting(redis_url: str) -> AsyncIterator[Replica]:
    async with new_replica(redis_url, assisted="true") as one:
        yield one


async def handed_over(one: Replica, account: dict[str, str] = ADA) -> dict[str, Any]:
    """Return what the dashboard puts into the shop's address."""
    direct = httpx2.AsyncClient(transport=httpx2.ASGITransport(one.upstream), base_url="http://upstream")
    async with direct as upstream:
        query = {"tenant": "acmeshop", "client_id": "storefront"}
        anonymous = (await upstream.get("/customerlogin/auth/anonymous/login", params=query)).json()
        bearer = {"authorization": f"Bearer {anonymous['access_token']}"}
        issued = (await upstream.post("/customer/acmeshop/login", json=account, headers=bearer)).json()
    one.upstream.world.log.clear()
    return {
        "customerToken": issued["access_token"],
        "saasToken": issued["saas_token"],
        "expiresIn": int(issued["expires_in"]),
    }


async def test_tokens_become_a_customers_session(assisting: Replica) -> None:
    handed = await handed_over(assisting)
    async with assisting.browser() as browser:
        answer = await browser.post("/auth/adopt", json=handed)
        assert answer.status_code == 200, answer.text
        view = answer.json()
        assert (view["kind"], view["customer"], view["assisted"]) == (
            "customer",
            {"email": ADA["email"]},
            True,
        )
        assert not any(handed[name] in answer.text for name in ("customerToken", "saasToken"))
        assert (await browser.get("/auth/session")).json() == view
        assert (await browser.get("/auth/validate")).json()["email"] == ADA["email"]
        assert [one["current"] for one in (await browser.get("/auth/sessions")).json()] == [True]
    assert not assisting.upstream.calls("anonymous/login")


async def test_the_emporix_session_is_the_tokens_own(assisting: Replica) -> None:
    handed = await handed_over(assisting)
    visitor = a_request_session()
    tokens = HandedOver(Secret(handed["customerToken"]), Secret(handed["saasToken"]), 3600)
    session = await assisting.engine.adoption.adopt(visitor, tokens)
    assert visitor.held is not None
    assert await assisting.stored(visitor.held) == session
    world = assisting.upstream.world
    token = world.access[handed["customerToken"]]
    assert session.upstream_session_id.reveal() == token.session_id
    assert (session.customer_id, session.tokens.refresh) == (token.customer, None)
    assert session.tokens.saas_expires_at == pytest.approx(world.saas[handed["saasToken"]].expires_at)


async def test_it_ends_with_its_access_token(redis_url: str) -> None:
    clock = Clock()
    async with new_replica(redis_url, clock=clock, assisted="true") as one, one.browser() as browser:
        handed = await handed_over(one)
        assert (await browser.post("/auth/adopt", json=handed | {"expiresIn": 60})).status_code == 200
        clock.at += 61
        answer = await browser.get("/api/customer/acmeshop/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "session_expired")
        assert "Max-Age=0" in answer.headers["set-cookie"]
    assert not one.upstream.calls("refreshauthtoken")


async def test_a_guest_is_replaced(assisting: Replica) -> None:
    handed = await handed_over(assisting)
    async with assisting.browser() as browser:
        guest = (await browser.post("/auth/anonymous")).cookies["bff"]
        adopted = await browser.post("/auth/adopt", json=handed)
        assert adopted.cookies["bff"] != guest
    async with assisting.browser(cookie=f"bff={guest}") as late:
        answer = await late.get("/api/customer/acmeshop/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "session_rotated")
        assert "set-cookie" not in answer.headers


async def test_a_customer_is_replaced_here_and_upstream(assisting: Replica) -> None:
    ada = await assisting.customer()
    session = await loaded(assisting, ada)
    handed = await handed_over(assisting, GRACE)
    tokens = HandedOver(Secret(handed["customerToken"]), None, 3600)
    adopted = await assisting.engine.adoption.adopt(session, tokens)
    assert (adopted.email, session.session) == (GRACE["email"], adopted)
    assert adopted.version > ada.session.version
    assert not access_alive(assisting, ada.session)
    assert await assisting.store.load_fresh(ada.ticket) == Tombstone(EndReason.SUPERSEDED, None)


async def test_a_logout_that_came_in_between_wins(assisting: Replica) -> None:
    ada = await assisting.customer()
    session = await loaded(assisting, ada)
    handed = await handed_over(assisting, GRACE)
    before = set(await assisting.store.names())
    await assisting.store.retire(ada.ticket, EndReason.ENDED)
    tokens = HandedOver(Secret(handed["customerToken"]), None, 3600)
    with pytest.raises(NoSession):
        await assisting.engine.adoption.adopt(session, tokens)
    assert set(await assisting.store.names()) <= before


async def test_a_page_that_asks_twice_keeps_its_session(assisting: Replica) -> None:
    handed = await handed_over(assisting)
    async with assisting.browser() as browser:
        first = await browser.post("/auth/adopt", json=handed)
        again = await browser.post("/auth/adopt", json=handed)
        assert (again.status_code, again.json()) == (200, first.json())
        assert "set-cookie" not in again.headers
        assert (await browser.get("/auth/validate")).status_code == 200


async def test_an_app_gets_its_session_id_in_the_body(assisting: Replica) -> None:
    handed = await handed_over(assisting)
    client = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(assisting.proxy),
        base_url=ORIGIN,
        headers={"X-Session-Transport": "header"},
    )
    async with client as app:
        answer = await app.post("/auth/adopt", json=handed)
        assert answer.json()["sessionId"]
        assert "set-cookie" not in answer.headers


async def test_an_unknown_token_is_refused_and_the_guest_stays(assisting: Replica) -> None:
    async with assisting.browser() as browser:
        guest = (await browser.post("/auth/anonymous")).json()
        answer = await browser.post("/auth/adopt", json={"customerToken": "nobodys", "expiresIn": 3600})
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
        assert "set-cookie" not in answer.headers
        assert (await browser.get("/auth/session")).json()["version"] == guest["version"]


async def test_a_guests_token_is_refused(assisting: Replica) -> None:
    """Some tenants validate anonymous tokens; the session context then names no customer."""
    guest = await assisting.guest()
    body = {"expires_in": 3000, "scope": "session_id"}
    assisting.upstream.fail("GET /customer/*/validateauthtoken", "error", body=body, status=200)
    async with assisting.browser() as browser:
        handed = {"customerToken": guest.session.tokens.access.reveal(), "expiresIn": 3600}
        answer = await browser.post("/auth/adopt", json=handed)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")


async def test_a_session_without_a_context_is_refused(redis_url: str) -> None:
    async with new_replica(redis_url, assisted="true") as one, one.browser() as browser:
        handed = await handed_over(one)
        one.upstream.fail("GET /session-context/*/me/context", "error", status=404)
        answer = await browser.post("/auth/adopt", json=handed)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"customerToken": "a"},
        {"customerToken": "a", "expiresIn": 0},
        {"customerToken": "a", "expiresIn": True},
        {"customerToken": "a", "expiresIn": "3600"},
        {"customerToken": "a", "expiresIn": 1 << 60},
        {"customerToken": "a\r\nx: y", "expiresIn": 60},
        {"customerToken": "a b", "expiresIn": 60},
        {"customerToken": "a", "saasToken": "é", "expiresIn": 60},
        {"customerToken": "a" * 9000, "expiresIn": 60},
    ],
)
async def test_what_is_no_token_is_a_mistake(assisting: Replica, body: dict[str, Any]) -> None:
    async with assisting.browser() as browser:
        answer = await browser.post("/auth/adopt", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert not assisting.upstream.world.log


async def test_tokens_in_an_address_do_nothing(assisting: Replica) -> None:
    """A link cannot log a visitor in: only a POST with the storefront's proof can."""
    handed = await handed_over(assisting)
    async with assisting.browser() as browser:
        answer = await browser.get("/auth/adopt", params=handed)
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        del browser.headers["X-CSRF"]
        answer = await browser.post("/auth/adopt", json=handed)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    assert not assisting.upstream.world.log


async def test_without_the_setting_there_is_no_such_call(replica: Replica) -> None:
    async with replica.browser() as browser:
        answer = await browser.post("/auth/adopt", json={"customerToken": "a", "expiresIn": 60})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
