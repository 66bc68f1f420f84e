"""What every request goes through and every answer has, whichever endpoint it meets: a walk over all of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2
import pytest

from bff.errors import CsrfFailed, StoreUnavailable
from bff.upstream.protocol import Header
from bff.upstream.upload_share import UploadShare
from tests.live import ADA
from tests.support import ORIGIN, TENANT, Replica, http_scope, new_keys, new_replica, run_app

pytestmark = pytest.mark.anyio

Request = tuple[str, str]

CUSTOMER: Final = f"/api/customer/{TENANT}"
BARE_DROP_IN: Final[list[Request]] = [
    ("GET", f"/api/customerlogin/auth/anonymous/login?tenant={TENANT}"),
    ("GET", f"/api/customerlogin/auth/anonymous/refresh?tenant={TENANT}"),
]
DROP_IN: Final[list[Request]] = [
    ("POST", f"{CUSTOMER}/login"),
    ("GET", f"{CUSTOMER}/logout"),
    ("GET", f"{CUSTOMER}/refreshauthtoken"),
    ("GET", f"{CUSTOMER}/validateauthtoken"),
    ("POST", f"{CUSTOMER}/socialLogin"),
    ("POST", f"{CUSTOMER}/exchangeauthtoken"),
    ("GET", f"{CUSTOMER}/signup/optin/token"),
]
API: Final[list[Request]] = [
    ("GET", f"/api/site/{TENANT}/sites"),
    ("POST", f"/api/cart/{TENANT}/carts"),
    ("GET", f"/api/order-v2/{TENANT}/orders"),
    ("OPTIONS", f"/api/site/{TENANT}/sites"),
    ("GET", "/api/site/othershop/sites"),
    ("GET", "/api/nothing/here"),
    ("GET", "/api//../x"),
    ("GET", "/api/"),
]
UNROUTED: Final[list[Request]] = [("GET", "/auth/"), ("GET", "/auth/nothing"), ("PATCH", "/auth/session")]
NAVIGATIONS: Final[list[Request]] = [("GET", "/auth/sso/main"), ("GET", "/auth/sso/main/callback")]
HEALTH: Final[list[Request]] = [("GET", "/livez"), ("GET", "/readyz")]
BODY: Final = ADA | {"token": "x", "code": "x", "redirectUri": "https://a.test/", "legalEntityId": None}
SECURITY: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
}
CSRF: Final = {"X-CSRF": "1"}
BEARER: Final = {"Authorization": "Bearer kept-by-the-proxy"}


class Empty:
    """An answer of upstream; its body breaks off in a way that nobody foresaw where `breaks` says so."""

    status = 200
    released = False
    headers: Final[list[Header]] = [(b"content-type", b"text/event-stream")]

    def __init__(self, *, breaks: bool = False) -> None:
        self._breaks = breaks

    def whole(self) -> bytes | None:
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        if self._breaks:
            raise RuntimeError("t0ken")

    async def aclose(self) -> None:
        return


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What upstream is asked by proxied calls, which it all answers."""
    targets: list[bytes] = []

    async def opened(_self: UploadShare, _method: str, target: bytes, *_rest: object) -> Empty:
        targets.append(target)
        return Empty()

    monkeypatch.setattr(UploadShare, "open", opened)
    return targets


class DeafStore:
    """A Redis that hangs up, and counts who calls.

    Attributes:
        url: where it listens.
        calls: how many connections it had.
    """

    def __init__(self) -> None:
        self.url = ""
        self.calls = 0

    def _hang_up(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["DeafStore"]:
        server = await asyncio.start_server(self._hang_up, "127.0.0.1", 0)
        async with server:
            self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self


def routes(one: Replica) -> Iterator[Request]:
    """Yield a request for every endpoint of the proxy's own."""
    for endpoint in one.proxy.endpoints().endpoints:
        path = endpoint.route.path.replace("{name}", "main").replace("{ref}", "x")
        for method in sorted(endpoint.route.methods or ()):
            yield method, path


def sessions_own(one: Replica) -> list[Request]:
    """Return a request for everything that has a session and needs a proof."""
    exempt = {*NAVIGATIONS, *HEALTH} | {("HEAD", path) for _, path in (*NAVIGATIONS, *HEALTH)}
    own = [request for request in routes(one) if request not in exempt]
    assert len(own) + len(exempt) == len(list(routes(one)))
    return own + API + DROP_IN


async def ask(client: httpx2.AsyncClient, request: Request, **headers: str) -> httpx2.Response:
    body = BODY if request[0] in {"POST", "PUT"} else None
    return await client.request(*request, json=body, headers={"Origin": ORIGIN} | headers)


def has_envelope(answer: httpx2.Response, request: Request, *, version: bool) -> None:
    """Check the fields that every answer has."""
    what = f"{request} {answer.status_code} {dict(answer.headers)}"
    assert SECURITY.items() <= dict(answer.headers).items(), what
    assert answer.headers.get_list("x-request-id") == ["req-1"], what
    shared = request[1].startswith(("/auth/", "/api/"))
    assert answer.headers.get_list("access-control-allow-origin") == ([ORIGIN] if shared else []), what
    assert ("access-control-allow-credentials" in answer.headers) is shared, what
    assert ("origin" in answer.headers.get("vary", "").lower()) is shared, what
    versions = answer.headers.get_list("x-session-version")
    assert len(versions) == version, what
    assert all(one.isdecimal() for one in versions), what


@pytest.fixture
async def drop_in(redis_url: str) -> AsyncIterator[Replica]:
    async with new_replica(redis_url, drop_in="true") as one:
        yield one


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        CSRF | {"Origin": "https://evil.example"},
        BEARER | {"Origin": "https://evil.example"},
        CSRF | {"Sec-Fetch-Site": "cross-site"},
    ],
)
@pytest.mark.parametrize("carried", [False, True])
async def test_without_the_storefronts_proof_nobody_gets_further(
    redis_url: str,
    proxied: list[bytes],
    headers: dict[str, str],
    carried: bool,  # noqa: FBT001
) -> None:
    keys, cookies = new_keys(), httpx2.Cookies()
    if carried:
        async with new_replica(redis_url, keys=keys, drop_in="true") as one, one.browser() as browser:
            await browser.post("/auth/anonymous")
            cookies.update(browser.cookies)
            assert list(cookies) == ["bff"]
    async with DeafStore().listening() as store, new_replica(store.url, keys=keys, drop_in="true") as one:
        walk = [*sessions_own(one), *UNROUTED]
        if "Origin" in headers or headers.get("Sec-Fetch-Site") == "cross-site":
            walk += BARE_DROP_IN
        async with one.browser(**headers) as client:
            client.cookies.update(cookies)
            if "X-CSRF" not in headers:
                del client.headers["X-CSRF"]
            for request in walk:
                answer = await client.request(*request)
                assert answer.status_code == 403, request
                if request[0] != "HEAD":
                    assert answer.json()["code"] == CsrfFailed.code, request
                assert not {"set-cookie", "x-session-version"} & set(answer.headers), request
        assert len(walk) > 30
        assert (store.calls, proxied, one.upstream.calls("")) == (0, [], [])


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        *zip(HEALTH, (200, 200), strict=True),
        *zip(NAVIGATIONS, (302, 302), strict=True),
        (("GET", "/auth/sso/nobody"), 404),
        (("GET", "/auth/sso/main/code"), 405),
        (("GET", "/auth/sso/a/b/c"), 404),
        *zip(BARE_DROP_IN, (200, 400), strict=True),
    ],
)
async def test_what_needs_no_proof(drop_in: Replica, request_line: Request, status: int) -> None:
    async with drop_in.browser(Origin=ORIGIN) as client:
        del client.headers["X-CSRF"]
        assert (await client.request(*request_line)).status_code == status


@pytest.mark.parametrize("who", ["nobody", "guest", "customer"])
async def test_every_answer_has_its_fields(drop_in: Replica, proxied: list[bytes], who: str) -> None:
    walk = [*sessions_own(drop_in), *BARE_DROP_IN, *UNROUTED]
    statuses: set[int] = set()
    for request in walk:
        async with drop_in.browser(**{"X-Request-Id": "req-1"}) as client:
            if who != "nobody":
                assert (await client.post("/auth/anonymous")).status_code == 201
            if who == "customer":
                assert (await client.post("/auth/login", json=ADA)).status_code == 200
            answer = await ask(client, request)
        has_envelope(answer, request, version=True)
        if who != "nobody" and answer.status_code in {400, 404, 405}:
            assert int(answer.headers["x-session-version"]) > 0, request
        statuses.add(answer.status_code)
    assert statuses >= {200, 204, 400, 403, 404, 405}
    assert len(proxied) == (3 if who == "customer" else 2)


async def test_every_answer_without_a_session_has_the_other_fields(drop_in: Replica) -> None:
    async with drop_in.browser(**{"X-Request-Id": "req-1"}) as client:
        for request in [*NAVIGATIONS, *HEALTH, ("GET", "/elsewhere")]:
            has_envelope(await ask(client, request), request, version=False)
        del client.headers["X-CSRF"]
        for request in [*sessions_own(drop_in), *UNROUTED]:
            answer = await ask(client, request)
            assert answer.status_code == 403
            has_envelope(answer, request, version=False)


@pytest.mark.parametrize("request_line", [("POST", "/auth/anonymous"), ("POST", f"/api/cart/{TENANT}/carts")])
async def test_a_new_session_leaves_with_the_answer(
    drop_in: Replica, proxied: list[bytes], request_line: Request
) -> None:
    async with drop_in.browser() as client:
        answer = await ask(client, request_line)
        assert answer.headers["set-cookie"].startswith("bff=")
        assert int(answer.headers["x-session-version"]) > 0


async def test_a_store_that_is_away_is_an_error_with_all_fields_and_keeps_the_cookie(
    redis_url: str, proxied: list[bytes]
) -> None:
    keys = new_keys()
    async with (
        new_replica(redis_url, keys=keys, drop_in="true") as one,
        one.browser() as browser,
        DeafStore().listening() as store,
        new_replica(store.url, keys=keys, drop_in="true") as other,
        other.browser(**{"X-Request-Id": "req-1"}) as client,
    ):
        await browser.post("/auth/anonymous")
        client.cookies.update(browser.cookies)
        for request in [*sessions_own(other), *BARE_DROP_IN]:
            answer = await ask(client, request)
            assert answer.status_code == StoreUnavailable.status, request
            assert answer.headers["retry-after"] == "2", request
            assert "set-cookie" not in answer.headers, request
            has_envelope(answer, request, version=True)
            assert answer.headers["x-session-version"] == "0"
        assert store.calls
        assert (proxied, other.upstream.calls("")) == ([], [])


async def failing(*_arguments: object, **_options: object) -> None:
    raise RuntimeError("t0ken")


async def test_an_unforeseen_exception_at_any_endpoint_is_one_error_with_all_fields(
    drop_in: Replica, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(drop_in.engine.lifecycle, "load", failing)
    monkeypatch.setattr(drop_in.engine.lifecycle, "logout", failing)
    monkeypatch.setattr(drop_in.store, "ping", failing)
    async with drop_in.browser(**{"X-Request-Id": "req-1"}) as client:
        for request in [*sessions_own(drop_in), *BARE_DROP_IN, ("GET", "/readyz")]:
            caplog.clear()
            answer = await ask(client, request)
            assert answer.status_code == 500, request
            has_envelope(answer, request, version=request not in HEALTH)
            assert [record.message for record in caplog.records].count("unexpected") == 1
            if request[0] != "HEAD":
                body = answer.json()
                assert body.get("code") == "internal_error" or body["type"] == "internal_error", request
                assert body["status"] == 500
            assert "t0ken" not in answer.text


@pytest.mark.parametrize("transport", ["cookie", "header"])
async def test_an_unforeseen_exception_loses_no_session_that_was_begun(
    drop_in: Replica, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    async def login(session: Any, *_arguments: object) -> None:
        await drop_in.engine.lifecycle.ensure_session(session)
        raise RuntimeError("t0ken")

    monkeypatch.setattr(drop_in.engine.login, "login", login)
    async with drop_in.browser(**{"X-Request-Id": "req-1"}) as client:
        if transport == "header":
            answer = await client.post("/auth/login", json=ADA, headers={"X-Session-Transport": "header"})
            assert answer.json()["sessionId"]
            assert "set-cookie" not in answer.headers
        else:
            answer = await ask(client, ("POST", "/auth/login"))
            has_envelope(answer, ("POST", "/auth/login"), version=True)
            assert answer.headers["set-cookie"].startswith("bff=")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["x-session-version"]) > 0


async def test_an_unforeseen_exception_after_the_head_adds_nothing_to_the_answer(
    drop_in: Replica, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def opened(*_arguments: object) -> Empty:
        return Empty(breaks=True)

    monkeypatch.setattr(UploadShare, "open", opened)
    path = f"/api/site/{TENANT}/sites"
    sent = await run_app(drop_in.proxy, http_scope(path=path, headers=[(b"x-csrf", b"1")]))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 200
    assert sent[-1]["more_body"] is True
    assert "unexpected" in caplog.text


async def test_the_second_listener_serves_its_own_endpoints_and_answers_errors_as_problems(
    drop_in: Replica,
) -> None:
    admin = httpx2.ASGITransport(drop_in.proxy.admin())
    paths = [endpoint.route.path for endpoint in drop_in.proxy.admin_endpoints().endpoints]
    assert paths == ["/livez", "/readyz", "/metrics"]
    async with httpx2.AsyncClient(transport=admin, base_url=ORIGIN) as client:
        assert [(await client.get(path)).status_code for path in paths] == [200, 200, 200]
        for request, status, code in (
            (("GET", "/auth/session"), 404, "not_found"),
            (("POST", "/metrics"), 405, "method_not_allowed"),
        ):
            answer = await client.request(*request)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
