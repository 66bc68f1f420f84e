"""The outermost layer: request ids, callers' addresses, the last resort."""

import asyncio
import json
import logging
from ipaddress import ip_network
from typing import Any

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.app import Proxy
from bff.config.settings import load_settings
from bff.errors import NoSession
from bff.middleware import WHOLE_BODY
from bff.middleware.cors import Cors
from bff.middleware.request_context import request_context
from bff.middleware.request_layer import RequestLayer, RequestPolicy
from bff.middleware.stream_limit import StreamLimit
from bff.telemetry.logs import request_id
from bff.telemetry.metrics import REGISTRY
from tests.live import TENANT, Sandbox, environment
from tests.support import http_scope, run_app

pytestmark = pytest.mark.anyio


def layer(app: ASGIApp, *trusted: str) -> RequestLayer:
    policy = RequestPolicy(tuple(ip_network(one) for one in trusted), (), Cors(()), StreamLimit(8))
    return RequestLayer(app, policy, monotonic=lambda: 0.0)


async def answered(app: ASGIApp, scope: Scope) -> tuple[int, list[bytes], bytes]:
    """Return status, request ids and body of an answer."""
    sent = await run_app(layer(app), scope)
    ids = [value for name, value in sent[0]["headers"] if name == b"x-request-id"]
    return sent[0]["status"], ids, b"".join(message.get("body", b"") for message in sent[1:])


async def speaking(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request id that the context variable has."""
    await PlainTextResponse(request_id.get())(scope, receive, send)


@pytest.mark.parametrize("given_id", [b"a", b"req-1.2_3", b"x" * 128])
async def test_a_clean_request_id_is_kept(given_id: bytes) -> None:
    scope = http_scope(headers=[(b"x-request-id", given_id)])
    assert await answered(speaking, scope) == (200, [given_id], given_id)


@pytest.mark.parametrize("given_id", [None, b"", b"x" * 129, b"a b", b"a\nb", b"a\xff", b'{"x":1}', b"a\n"])
async def test_any_other_request_id_is_replaced_by_a_new_one(given_id: bytes | None) -> None:
    headers = [] if given_id is None else [(b"x-request-id", given_id)]
    _, (first,), body = await answered(speaking, http_scope(headers=headers))
    _, (second,), _ = await answered(speaking, http_scope(headers=headers))
    assert len(first) == 32
    assert body == first != second


@pytest.mark.parametrize("extensions", [{}, {WHOLE_BODY: {}}], ids=["any-server", "ours"])
async def test_a_body_that_comes_with_its_head_is_sent_behind_it_where_the_server_wants_it_so(
    extensions: dict[str, Any],
) -> None:
    async def whole(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], WHOLE_BODY: b"whole"})

    head, *rest = await run_app(layer(whole), http_scope(extensions=extensions))
    assert head["status"] == 200
    if extensions:
        assert (head[WHOLE_BODY], rest) == (b"whole", [])
    else:
        assert WHOLE_BODY not in head
        assert rest == [{"type": "http.response.body", "body": b"whole"}]


async def test_the_request_id_ends_with_the_request() -> None:
    await answered(speaking, http_scope(headers=[(b"x-request-id", b"req-1")]))
    assert request_id.get() == "-"


@pytest.mark.parametrize("begun", [False, True])
async def test_a_request_that_is_cut_short_is_a_503_unless_its_answer_has_begun(*, begun: bool) -> None:
    sent: list[Message] = []
    waits = asyncio.Event()

    async def slow(scope: Scope, _receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        waits.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    request = asyncio.create_task(layer(slow)(http_scope(), receive, send))
    await waits.wait()
    request.cancel()
    await request
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"][
        : 1 if begun else 2
    ]
    if not begun:
        assert sent[0]["status"] == 503
        assert (b"retry-after", b"1") in sent[0]["headers"]
        assert json.loads(sent[1]["body"])["code"] == "upstream_unavailable"


async def test_an_unexpected_error_is_a_problem_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ValueError("the token is t0ken")

    status, (name,), body = await answered(broken, http_scope())
    assert status == 500
    assert json.loads(body)["code"] == "internal_error"
    assert json.loads(body)["requestId"] == name.decode()
    assert b"t0ken" not in body
    assert "unexpected" in caplog.text


async def test_an_error_after_the_head_adds_nothing_to_the_answer() -> None:
    async def broken(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("no")

    status, ids, body = await answered(broken, http_scope())
    assert (status, len(ids), body) == (200, 1, b"")


async def test_a_request_is_one_line_without_path_query_or_address(caplog: pytest.LogCaptureFixture) -> None:
    scope = http_scope(
        path="/auth/sso/x/callback", query_string=b"code=t0ken", headers=[(b"user-agent", b"ua-1")]
    )
    with caplog.at_level(logging.INFO, "bff.access"):
        await answered(speaking, scope)
    (record,) = [record for record in caplog.records if record.name == "bff.access"]
    fields = record.__dict__["fields"]
    assert (fields["method"], fields["status"]) == ("GET", 200)
    assert not {"t0ken", "192.0.2.1", "ua-1"} & set(map(str, fields.values()))


async def test_an_error_is_a_problem_and_is_not_logged_as_unexpected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refusing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise NoSession

    status, (name,), body = await answered(refusing, http_scope(path="/api/x"))
    assert (status, json.loads(body)["code"]) == (401, "no_session")
    assert json.loads(body)["requestId"] == name.decode()
    assert "unexpected" not in caplog.text


@pytest.mark.parametrize(
    ("trusted", "client"),
    [((), "192.0.2.1"), (("192.0.2.0/24",), "198.51.100.7"), (("10.0.0.0/8",), "192.0.2.1")],
)
async def test_the_client_is_whom_a_trusted_proxy_names(trusted: tuple[str, ...], client: str) -> None:
    clients: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        clients.append(request_context(scope).client)
        await speaking(scope, receive, send)

    await run_app(
        layer(app, *trusted), http_scope(headers=[(b"x-forwarded-for", b"203.0.113.9, 198.51.100.7")])
    )
    assert clients == [client]


@pytest.mark.parametrize(
    ("trusted", "field", "warnings"),
    [
        ((), b"x-forwarded-for", 1),
        (("10.0.0.0/8",), b"x-forwarded-for", 1),
        (("192.0.2.0/24",), b"x-forwarded-for", 0),
        ((), b"x-other", 0),
    ],
)
async def test_a_proxy_that_is_not_trusted_is_told_of_once(
    trusted: tuple[str, ...], field: bytes, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = layer(speaking, *trusted)
    for headers in ([], [(field, b"203.0.113.9")], [(field, b"203.0.113.9")]):
        await run_app(app, http_scope(headers=headers))
    told = [record for record in caplog.records if record.message == "untrusted_proxy"]
    assert len(told) == warnings
    for record in told:
        assert record.levelname == "ERROR"
        assert "BFF_TRUSTED_PROXIES" in record.__dict__["fields"]["reason"]
        assert "203.0.113.9" not in str(record.__dict__["fields"])


@pytest.mark.parametrize(("method", "label"), [("GET", "GET"), ("FROBNICATE", "other")])
async def test_metrics_have_labels_from_small_sets(method: str, label: str) -> None:
    def count() -> float:
        labels = {
            "route": "GET /things/{id}",
            "method": label,
            "status": "200",
            "code": "none",
            "fault": "none",
        }
        return REGISTRY.get_sample_value("bff_requests_total", labels) or 0.0

    async def matched(scope: Scope, receive: Receive, send: Send) -> None:
        request_context(scope).route = "GET /things/{id}"
        await speaking(scope, receive, send)

    before = count()
    await answered(matched, http_scope(method, "/api/things/7"))
    assert count() == before + 1


async def test_what_is_not_http_is_left_alone() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    await run_app(layer(app), {"type": "lifespan"})
    assert seen == ["lifespan"]


@pytest.mark.parametrize("target", ["/auth/anonymous", f"/api/cart/{TENANT}/carts", "/storefront"])
async def test_an_unexpected_error_of_the_whole_proxy_is_a_problem_too(
    sandbox: Sandbox, redis_url: str, target: str
) -> None:
    def broken(_size: int) -> bytes:
        raise RuntimeError("no randomness")

    async def fallback(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("no storefront")

    environ = environment(sandbox, redis_url, BFF_PUBLIC_ORIGIN="http://127.0.0.1:8080")
    proxy = Proxy(load_settings(environ), random_bytes=broken, fallback=fallback)
    transport = httpx2.ASGITransport(proxy)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        headers = {"X-CSRF": "1", "Origin": "http://127.0.0.1:8080"}
        answer = await client.post(target, headers=headers)
    await proxy.aclose()
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    shared = None if target == "/storefront" else "http://127.0.0.1:8080"
    assert answer.headers.get("access-control-allow-origin") == shared
