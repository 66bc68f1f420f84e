"""From a handler under `/auth` to an endpoint: what every answer has, whatever the handler does."""

import httpx2
import pytest
from starlette.requests import Request

from bff.auth.answers import Answer, Handler, json_endpoint
from bff.errors import Forbidden, TooManyRequests
from bff.middleware.carriers import SessionCarriers
from bff.middleware.cors import Cors
from bff.middleware.origin_check import OriginCheck
from bff.middleware.request_layer import RequestLayer, RequestPolicy
from bff.middleware.routing import EndpointRouter
from bff.middleware.session_layer import SessionLayer
from bff.middleware.stream_limit import StreamLimit
from bff.sessions.request_session import RequestSession
from tests.live import ADA
from tests.support import ORIGIN, Replica, new_ring

pytestmark = pytest.mark.anyio

CARRIERS = SessionCarriers(new_ring(), cookie_name="bff", secure=False, same_site="strict")


async def ok(_request: Request, _session: RequestSession) -> Answer:
    return 200, {"word": "ü"}


async def nothing(_request: Request, _session: RequestSession) -> Answer:
    return 204, None


async def several(_request: Request, _session: RequestSession) -> Answer:
    return 200, [1, 2]


def client_of(one: Replica, handler: Handler, **headers: str) -> httpx2.AsyncClient:
    """Return a client of one endpoint inside of the layers, with the sessions of a replica."""
    origins = OriginCheck(ORIGIN, (), same_site="strict", drop_in=False)
    router = EndpointRouter([json_endpoint("POST", "/auth/x", handler)])
    layer = SessionLayer(router.select, one.engine.lifecycle, CARRIERS, origins, one.clock)
    policy = RequestPolicy((), (), Cors((ORIGIN,)), StreamLimit(8))
    transport = httpx2.ASGITransport(RequestLayer(layer, policy, monotonic=lambda: 0.0))
    return httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers={"X-CSRF": "1"} | headers)


async def test_an_answer_is_compact_json_that_nobody_keeps(replica: Replica) -> None:
    async with client_of(replica, ok) as client:
        answer = await client.post("/auth/x")
        assert (answer.status_code, answer.content) == (200, b'{"word":"\\u00fc"}')
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert "set-cookie" not in answer.headers


async def test_an_answer_without_a_body_has_none(replica: Replica) -> None:
    async with client_of(replica, nothing) as client:
        answer = await client.post("/auth/x")
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["cache-control"] == "no-store"
        assert "content-type" not in answer.headers


async def test_no_handler_runs_before_the_csrf_check(replica: Replica) -> None:
    handled = []

    async def handler(_request: Request, session: RequestSession) -> Answer:
        handled.append(session)
        return 204, None

    async with client_of(replica, handler) as client:
        del client.headers["X-CSRF"]
        answer = await client.post("/auth/x")
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
        assert handled == []


@pytest.mark.parametrize("raises", [False, True])
async def test_a_new_session_is_handed_out_with_answers_and_errors_alike(
    replica: Replica,
    raises: bool,  # noqa: FBT001
) -> None:
    async def handler(_request: Request, session: RequestSession) -> Answer:
        await replica.engine.lifecycle.ensure_session(session)
        if raises:
            raise Forbidden
        return 200, {}

    async with client_of(replica, handler) as browser:
        answer = await browser.post("/auth/x")
        assert answer.status_code == (403 if raises else 200)
        assert answer.headers["set-cookie"].startswith("bff=")
        assert "sessionId" not in answer.json()
    async with client_of(replica, handler, **{"X-Session-Transport": "header"}) as app:
        answer = await app.post("/auth/x")
        assert "set-cookie" not in answer.headers
        assert "x-session-id" not in answer.headers
        session_id = answer.json()["sessionId"]
    async with client_of(replica, ok, **{"X-Session-Id": session_id}) as app:
        again = await app.post("/auth/x")
        assert (again.status_code, "sessionId" in again.json()) == (200, False)
        assert int(again.headers["x-session-version"]) > 0


async def test_a_list_carries_no_session_id(replica: Replica) -> None:
    async def handler(request: Request, session: RequestSession) -> Answer:
        await replica.engine.lifecycle.ensure_session(session)
        return await several(request, session)

    for one in (several, handler):
        async with client_of(replica, one, **{"X-Session-Transport": "header"}) as app:
            assert (await app.post("/auth/x")).json() == [1, 2]


async def test_an_ended_session_is_cleared_and_an_error_keeps_its_own_fields(replica: Replica) -> None:
    async def handler(_request: Request, session: RequestSession) -> Answer:
        session.end()
        raise TooManyRequests(retry_after=7)

    async with client_of(replica, handler) as client:
        answer = await client.post("/auth/x")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert answer.headers["set-cookie"].startswith("bff=; Max-Age=0; Path=/")


@pytest.mark.parametrize("path", ["/auth/logout", "/auth/refresh"])
async def test_an_id_that_a_login_replaced_is_no_session_any_more(replica: Replica, path: str) -> None:
    async with replica.browser() as browser:
        guest = dict((await browser.post("/auth/anonymous")).cookies)
        assert (await browser.post("/auth/login", json=ADA)).status_code == 200
    async with replica.browser() as other_tab:
        other_tab.cookies.update(guest)
        answer = await other_tab.post(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "session_rotated")
        assert answer.headers["x-session-version"] == "0"
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(("query", "slides"), [("", True), ("?slide=true", True), ("?slide=false", False)])
async def test_looking_at_the_session_extends_it_unless_told_not_to(
    replica: Replica,
    query: str,
    slides: bool,  # noqa: FBT001
) -> None:
    async with replica.browser() as browser:
        assert (await browser.post("/auth/anonymous")).status_code == 201
        replica.clock.at += 0.5
        assert (await browser.get(f"/auth/session{query}")).status_code == 200
        replica.clock.at += 0.25
        view = (await browser.get("/auth/session?slide=false")).json()
        assert view["idleExpiresAt"].endswith(".500Z") is slides


@pytest.mark.parametrize("value", ["", "yes", "1", "False"])
async def test_slide_is_true_or_false(replica: Replica, value: str) -> None:
    async with replica.browser() as browser:
        answer = await browser.get("/auth/session", params={"slide": value})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        twice = await browser.get("/auth/session?slide=true&slide=true")
        assert (twice.status_code, twice.json()["code"]) == (400, "invalid_request")


async def test_other_endpoints_know_no_slide(replica: Replica) -> None:
    async with client_of(replica, ok) as client:
        assert (await client.post("/auth/x?slide=perhaps")).status_code == 200
    async with replica.browser() as browser:
        assert (await browser.post("/auth/anonymous?slide=perhaps")).status_code == 201
