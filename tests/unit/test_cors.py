"""CORS: configured origins may read responses and errors, other origins may read nothing."""

import json
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bff.errors import NoSession
from bff.middleware.cors import Cors
from bff.middleware.request_layer import RequestLayer, RequestPolicy
from bff.middleware.stream_limit import StreamLimit
from bff.telemetry.metrics import REGISTRY
from tests.support import http_scope, run_app

pytestmark = pytest.mark.anyio

PUBLIC, ALLOWED, OTHER = b"https://shop.example", b"https://app.example", b"https://evil.example"
UNKNOWN_ORIGINS = [
    OTHER,
    b"null",
    b"",
    b"https://shop.example.evil.example",
    b"HTTPS://SHOP.EXAMPLE",
    b"http://shop.example",
]


class App:
    """Responds with a text or, under `/refused`, with a problem; counts the requests."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        if scope["path"].endswith("/refused"):
            raise NoSession
        if scope["path"].endswith("/failed"):
            raise ValueError
        await PlainTextResponse("ok", headers={"vary": "Accept"})(scope, receive, send)


def layer(app: ASGIApp) -> RequestLayer:
    cors = Cors(["https://shop.example", "https://app.example"])
    return RequestLayer(app, RequestPolicy((), (), cors, StreamLimit(8)), monotonic=lambda: 0.0)


async def ask(
    method: str, path: str, *headers: tuple[bytes, bytes]
) -> tuple[int, dict[bytes, list[bytes]], bytes, int]:
    app = App()
    sent = await run_app(layer(app), http_scope(method, path, headers=list(headers)))
    fields: dict[bytes, list[bytes]] = {}
    for name, value in sent[0]["headers"]:
        fields.setdefault(name, []).append(value)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], fields, body, app.calls


def approvals(fields: dict[bytes, Any]) -> set[bytes]:
    return {name for name in fields if name.startswith(b"access-control-")}


@pytest.mark.parametrize("origin", [PUBLIC, ALLOWED])
@pytest.mark.parametrize(
    ("path", "status"),
    [("/auth/session", 200), ("/api/x", 200), ("/api/refused", 401), ("/auth/failed", 500)],
)
async def test_a_configured_origin_may_read_responses_and_errors(
    path: str, status: int, origin: bytes
) -> None:
    got, fields, _, _ = await ask("GET", path, (b"origin", origin))
    assert got == status
    assert fields[b"access-control-allow-origin"] == [origin]
    assert fields[b"access-control-allow-credentials"] == [b"true"]
    assert b"X-Session-Version" in fields[b"access-control-expose-headers"][0]
    assert b"Origin" in fields[b"vary"]


@pytest.mark.parametrize("origin", UNKNOWN_ORIGINS)
@pytest.mark.parametrize("path", ["/auth/session", "/api/refused"])
async def test_an_unknown_origin_may_read_nothing(path: str, origin: bytes) -> None:
    _, fields, _, _ = await ask("GET", path, (b"origin", origin))
    assert not approvals(fields)
    assert b"Origin" in fields[b"vary"]


async def test_response_without_an_origin_has_vary_but_no_cors_headers() -> None:
    _, fields, _, _ = await ask("GET", "/auth/session")
    assert not approvals(fields)
    assert fields[b"vary"] == [b"Accept", b"Origin"]


@pytest.mark.parametrize("path", ["/livez", "/", "/authx", "/apix/", "/shop/auth/"])
async def test_other_paths_are_not_changed(path: str) -> None:
    _, fields, _, _ = await ask("GET", path, (b"origin", PUBLIC))
    assert not approvals(fields)
    assert fields[b"vary"] == [b"Accept"]


async def test_a_preflight_does_not_reach_the_application() -> None:
    wanted = b"x-csrf, content-type"
    status, fields, body, calls = await ask(
        "OPTIONS",
        "/api/x",
        (b"origin", ALLOWED),
        (b"access-control-request-method", b"PUT"),
        (b"access-control-request-headers", wanted),
    )
    assert (status, body, calls) == (204, b"", 0)
    assert fields[b"access-control-allow-origin"] == [ALLOWED]
    assert fields[b"access-control-allow-credentials"] == [b"true"]
    assert fields[b"access-control-allow-headers"] == [wanted]
    assert b"PUT" in fields[b"access-control-allow-methods"][0].split(b", ")
    assert fields[b"vary"] == [b"Origin"]


@pytest.mark.parametrize("origin", UNKNOWN_ORIGINS)
async def test_a_preflight_from_an_unknown_origin_is_refused(origin: bytes) -> None:
    status, fields, body, calls = await ask(
        "OPTIONS", "/auth/login", (b"origin", origin), (b"access-control-request-method", b"POST")
    )
    assert (status, calls) == (403, 0)
    assert json.loads(body)["code"] == "origin_not_allowed"
    assert not approvals(fields)


@pytest.mark.parametrize(("origin", "status"), [(ALLOWED, 204), (OTHER, 403)])
async def test_every_preflight_is_counted_as_one(origin: bytes, status: int) -> None:
    def count() -> float:
        labels = {"route": "preflight", "method": "OPTIONS", "status": str(status), "fault": "none"}
        labels["code"] = "none" if status == 204 else "origin_not_allowed"
        return REGISTRY.get_sample_value("bff_requests_total", labels) or 0.0

    before = count()
    await ask("OPTIONS", "/api/x", (b"origin", origin), (b"access-control-request-method", b"PUT"))
    assert count() == before + 1


async def test_a_request_that_is_not_a_preflight_reaches_the_application() -> None:
    _, _, _, calls = await ask("OPTIONS", "/api/x", (b"origin", PUBLIC))
    assert calls == 1
    _, _, _, calls = await ask("OPTIONS", "/api/x", (b"access-control-request-method", b"PUT"))
    assert calls == 1
    _, _, _, calls = await ask(
        "GET", "/api/x", (b"origin", ALLOWED), (b"access-control-request-method", b"PUT")
    )
    assert calls == 1


async def test_other_scope_types_are_not_changed() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    await run_app(layer(app), {"type": "lifespan"})
    assert seen == ["lifespan"]
