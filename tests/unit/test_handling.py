"""From a handler to a route: what every answer under `/auth` has, whatever the handler does."""

from typing import Any

import httpx2
import pytest
from bff.auth.handling import Handling, Reply
from starlette.applications import Starlette
from starlette.requests import Request

from bff.errors import Forbidden, TooManyRequests
from bff.sessions.request_session import RequestSession
from tests.unit.support import ORIGIN, Replica, new_replica

pytestmark = pytest.mark.anyio


async def ok(_request: Request, _visit: RequestSession) -> Reply:
    return 200, {"said": "ü"}


async def nothing(_request: Request, _visit: RequestSession) -> Reply:
    return 204, None


async def several(_request: Request, _visit: RequestSession) -> Reply:
    return 200, [1, 2]


def asking(
    one: Replica, handler: Any, headers: dict[str, str] | None = None, *, exact: bool = False
) -> httpx2.AsyncClient:
    route = Handling(one.door).route("POST", "/auth/x", handler, exact=exact)
    transport = httpx2.ASGITransport(Starlette(routes=[route]))
    return httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers={"X-CSRF": "1"} | (headers or {}))


async def test_a_reply_is_compact_json_that_nobody_keeps(redis_url: str) -> None:
    async with new_replica(redis_url) as one, asking(one, ok) as client:
        answer = await client.post("/auth/x")
        assert (answer.status_code, answer.content) == (200, b'{"said":"\\u00fc"}')
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert "set-cookie" not in answer.headers


async def test_a_reply_without_a_body_has_none(redis_url: str) -> None:
    async with new_replica(redis_url) as one, asking(one, nothing) as client:
        answer = await client.post("/auth/x")
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["cache-control"] == "no-store"
        assert "content-type" not in answer.headers


async def test_nothing_is_handled_that_does_not_knock(redis_url: str) -> None:
    handled = []

    async def handler(_request: Request, visit: RequestSession) -> Reply:
        handled.append(visit)
        return 204, None

    async with new_replica(redis_url) as one, asking(one, handler) as client:
        client.headers.pop("X-CSRF")
        answer = await client.post("/auth/x")
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
        assert handled == []


@pytest.mark.parametrize("raises", [False, True])
async def test_a_new_session_is_handed_out_with_answers_and_errors_alike(
    redis_url: str,
    raises: bool,  # noqa: FBT001
) -> None:
    async with new_replica(redis_url) as one:

        async def handler(_request: Request, visit: RequestSession) -> Reply:
            await one.engine.lifecycle.ensure_session(visit)
            if raises:
                raise Forbidden
            return 200, {}

        async with asking(one, handler) as browser:
            answer = await browser.post("/auth/x")
            assert answer.status_code == (403 if raises else 200)
            assert answer.headers["set-cookie"].startswith("bff=")
            assert "sessionId" not in answer.json()
        async with asking(one, handler, {"X-Session-Transport": "header"}) as app:
            answer = await app.post("/auth/x")
            assert "set-cookie" not in answer.headers
            session_id = answer.json()["sessionId"]
        async with asking(one, ok, {"X-Session-Id": session_id}) as app:
            again = await app.post("/auth/x")
            assert (again.status_code, "sessionId" in again.json()) == (200, False)


async def test_a_list_carries_no_session_id(redis_url: str) -> None:
    async with new_replica(redis_url) as one, asking(one, several, {"X-Session-Transport": "header"}) as app:
        assert (await app.post("/auth/x")).json() == [1, 2]


async def test_an_ended_session_is_cleared_and_an_error_keeps_its_own_fields(redis_url: str) -> None:
    async with new_replica(redis_url) as one:

        async def handler(_request: Request, visit: RequestSession) -> Reply:
            visit.end()
            raise TooManyRequests(retry_after=7)

        async with asking(one, handler) as client:
            answer = await client.post("/auth/x")
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
            assert answer.headers["set-cookie"].startswith("bff=; Max-Age=0; Path=/")


@pytest.mark.parametrize(("query", "slides"), [("", True), ("?slide=true", True), ("?slide=false", False)])
async def test_an_exact_route_extends_the_session_unless_told_not_to(
    redis_url: str,
    query: str,
    slides: bool,  # noqa: FBT001
) -> None:
    async with new_replica(redis_url) as one, asking(one, ok, exact=True) as client:
        async with one.browser() as browser:
            assert (await browser.post("/auth/anonymous")).status_code == 201
            client.cookies.update(browser.cookies)
            one.clock.at += 0.5
            assert (await client.post(f"/auth/x{query}")).status_code == 200
            view = (await browser.get("/auth/session?slide=false")).json()
        moved = view["idleExpiresAt"].endswith(".500Z")
        assert moved is slides


@pytest.mark.parametrize("value", ["", "yes", "1", "False"])
async def test_slide_is_true_or_false(redis_url: str, value: str) -> None:
    async with new_replica(redis_url) as one, asking(one, ok, exact=True) as client:
        answer = await client.post("/auth/x", params={"slide": value})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_other_routes_know_no_slide(redis_url: str) -> None:
    async with new_replica(redis_url) as one, asking(one, ok) as client:
        assert (await client.post("/auth/x?slide=perhaps")).status_code == 200
