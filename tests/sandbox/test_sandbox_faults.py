"""Every kind of fault has its effect, on matching requests only and the given number of times."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import uvicorn

from bff.sandbox.app import create_sandbox
from bff.sandbox.faults import Fault

pytestmark = pytest.mark.anyio

FAULTS = "/__sandbox__/faults"
LOGIN = "/customerlogin/auth/anonymous/login"
PARAMS = {"tenant": "acmeshop", "client_id": "storefront"}


async def arm(shop: Any, kind: str, match: str = f"GET {LOGIN}", **more: Any) -> None:
    response = await shop.request("POST", FAULTS, json={"match": match, "kind": kind, **more})
    assert response.status_code == 201, response.text


@pytest.mark.parametrize(
    ("kind", "more", "status", "expected"),
    [
        ("unauthorized_invalid", {}, 401, "oauth.v2.InvalidAccessToken"),
        ("unauthorized_expired", {}, 401, "access_token_expired"),
        ("invalid_api_key", {}, 401, "Invalid ApiKey"),
        ("bad_tenant", {}, 400, "tenant"),
        ("forbidden", {}, 403, "Forbidden"),
        ("conflict", {}, 409, "conflict_resource"),
        ("throttled", {}, 429, "QuotaViolation"),
        ("error", {}, 500, "internal_service_error"),
        ("error", {"status": 503}, 503, "internal_service_error"),
        ("error", {"status": 418, "body": {"a": 1}}, 418, '{"a":1}'),
        ("html", {}, 502, "<html>"),
        ("empty", {}, 200, ""),
        ("garbage", {}, 200, '{"access_token": 5'),
    ],
)
async def test_error_responses(shop: Any, kind: str, more: Any, status: int, expected: str) -> None:
    await arm(shop, kind, **more)
    response = await shop.request("GET", LOGIN, params=PARAMS)
    assert response.status_code == status
    assert expected in response.text
    assert not shop.world.sessions
    assert shop.world.log[-1]["note"] == f"fault: {kind}"
    assert shop.world.log[-1]["status"] == status


async def test_throttling_sends_retry_after_if_configured(shop: Any) -> None:
    await arm(shop, "throttled", times=1)
    await arm(shop, "throttled", retryAfter=7, headers={"X-Extra": "1"})
    bare = await shop.request("GET", LOGIN, params=PARAMS)
    custom = await shop.request("GET", LOGIN, params=PARAMS)
    assert "retry-after" not in bare.headers
    assert (custom.headers["retry-after"], custom.headers["x-extra"]) == ("7", "1")


async def test_responses_with_missing_or_changed_members(shop: Any) -> None:
    for kind in ("no_access_token", "no_refresh", "session_mismatch"):
        await arm(shop, kind, times=1)
    bare = (await shop.request("GET", LOGIN, params=PARAMS)).json()
    assert "access_token" not in bare
    short = (await shop.request("GET", LOGIN, params=PARAMS)).json()
    assert "access_token" in short
    assert not {"refresh_token", "refresh_token_expires_in"} & set(short)
    moved = (await shop.request("GET", LOGIN, params=PARAMS)).json()
    assert moved["sessionId"] not in shop.world.sessions
    assert moved["sessionId"] in shop.world.session_ids
    assert len(shop.world.sessions) == 3


async def test_a_fault_is_used_the_given_number_of_times(shop: Any) -> None:
    await arm(shop, "error", times=2)
    statuses = [(await shop.request("GET", LOGIN, params=PARAMS)).status_code for _ in range(3)]
    assert statuses == [500, 500, 200]
    (shown,) = (await shop.request("GET", FAULTS)).json()
    assert (shown["times"], shown["hits"]) == (0, 2)
    assert (await shop.request("DELETE", FAULTS)).status_code == 204
    assert (await shop.request("GET", FAULTS)).json() == []


@pytest.mark.parametrize(
    ("match", "method", "path", "hit"),
    [
        ("GET /customer/{tenant}/me", "GET", "/customer/acmeshop/me", True),
        ("GET /customer/{tenant}/me", "GET", "/customer/acmeshop/me/addresses", True),
        ("GET /customer/{tenant}/me", "POST", "/customer/acmeshop/me", False),
        ("GET /customer/{tenant}/me", "GET", "/customer/other/me", False),
        ("* /cart/*/items", "POST", "/cart/acmeshop/carts/1/items", True),
        ("* /cart/*/items", "POST", "/cart/acmeshop/carts/1/items/2", False),
        ("PUT /cart/{tenant}/carts/{cartId}/items", "PUT", "/cart/acmeshop/carts/1/items/2", True),
        ("* /", "DELETE", "/any.thing", True),
    ],
)
def test_matching(match: str, method: str, path: str, hit: bool) -> None:  # noqa: FBT001
    assert Fault(match, "error").matches(method, path, "acmeshop") is hit


@pytest.mark.parametrize(
    "body",
    [
        {"match": "GET /", "kind": "none"},
        {"match": "GET", "kind": "error"},
        {"match": "GET /", "kind": "error", "other": 1},
        {"match": "GET /", "kind": "delay", "delay": 601},
        {"kind": "error"},
        3,
    ],
)
async def test_invalid_faults_are_refused(shop: Any, body: Any) -> None:
    assert (await shop.request("POST", FAULTS, json=body)).status_code == 400


async def test_in_process_a_lost_response_raises_after_the_request_was_handled(shop: Any) -> None:
    await arm(shop, "lost")
    with pytest.raises(ConnectionResetError):
        await shop.request("GET", LOGIN, params=PARAMS)
    assert len(shop.world.sessions) == 1
    assert shop.world.log[-1]["status"] is None


async def test_a_delay_postpones_the_response(shop: Any) -> None:
    await arm(shop, "delay", delay=0.2)
    waiting = asyncio.create_task(shop.request("GET", LOGIN, params=PARAMS))
    await asyncio.sleep(0.05)
    assert len(shop.world.sessions) == 1
    assert not waiting.done()
    assert (await waiting).status_code == 200


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve the app on a loopback socket and yield a client of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([listener]))
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with httpx2.AsyncClient(base_url=origin, timeout=0.5, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, 10)


@pytest.mark.parametrize(
    ("kind", "more", "error", "sessions"),
    [
        ("disconnect", {}, httpx2.RemoteProtocolError, 0),
        ("lost", {}, httpx2.RemoteProtocolError, 1),
        ("lost", {"delay": 5}, httpx2.ReadTimeout, 1),
        ("stall", {"delay": 5}, httpx2.ReadTimeout, 0),
        ("stall", {"delay": 0.1}, httpx2.RemoteProtocolError, 0),
    ],
)
async def test_connection_faults_over_a_socket(
    kind: str, more: Any, error: type[Exception], sessions: int
) -> None:
    app = create_sandbox(control=True)
    async with served(app) as client:
        fault = {"match": f"GET {LOGIN}", "kind": kind, "times": 1, **more}
        await client.post(FAULTS, json=fault)
        with pytest.raises((error, httpx2.ReadError)):
            await client.get(LOGIN, params=PARAMS)
        assert len(app.state.world.sessions) == sessions
        assert (await client.get(LOGIN, params=PARAMS)).status_code == 200
