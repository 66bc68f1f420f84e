"""What metrics say of requests, and that nothing a client sends becomes a label."""

import secrets

import httpx2
import pytest
from redis.exceptions import (
    AuthenticationError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bff.errors import (
    BadUpstreamAnswer,
    BffError,
    BodyTooLarge,
    CsrfFailed,
    NoSession,
    NotAsked,
    Paused,
    StoreUnavailable,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from bff.middleware.cors import Cors
from bff.middleware.request_context import request_context
from bff.middleware.request_layer import RequestLayer, RequestPolicy
from bff.middleware.stream_limit import StreamLimit
from bff.session import EndReason
from bff.store.options import LockTimes
from bff.store.redis_failures import failure_kind
from bff.telemetry.metrics import REGISTRY
from tests.contract.on_redis import OnRedis
from tests.live import free_port
from tests.support import Replica, http_scope, new_replica, run_app
from tests.values import new_ticket

pytestmark = pytest.mark.anyio
ROUTE = "GET /things"


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def requests(status: int, code: str, fault: str) -> float:
    labels = {"route": ROUTE, "method": "GET", "status": str(status), "code": code, "fault": fault}
    return sample("bff_requests_total", **labels)


async def ask(app: ASGIApp, path: str = "/api/things") -> None:
    layer = RequestLayer(app, RequestPolicy((), (), Cors(()), StreamLimit(8)), monotonic=lambda: 0.0)
    await run_app(layer, http_scope(path=path))


def raising(error: Exception) -> ASGIApp:
    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        request_context(scope).route = ROUTE
        raise error

    return app


def answering(status: int) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request_context(scope).route = ROUTE
        await PlainTextResponse("", status)(scope, receive, send)

    return app


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (NoSession(), "none"),
        (BodyTooLarge(), "none"),
        (StoreUnavailable(), "redis"),
        (UpstreamUnavailable(), "emporix"),
        (UpstreamTimeout(), "emporix"),
        (BadUpstreamAnswer(), "emporix"),
        (Paused(), "emporix"),
        (NotAsked(), "proxy"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BffError) else value,
)
async def test_a_request_is_counted_with_its_error_and_who_failed(error: BffError, fault: str) -> None:
    before = requests(error.status, error.code, fault)
    await ask(raising(error))
    assert requests(error.status, error.code, fault) == before + 1


async def test_an_error_that_nobody_expected_is_the_proxys() -> None:
    before = requests(500, "internal_error", "proxy")
    await ask(raising(RuntimeError()))
    assert requests(500, "internal_error", "proxy") == before + 1


@pytest.mark.parametrize(("status", "fault"), [(200, "none"), (404, "none"), (503, "emporix")])
async def test_what_emporix_answered_is_no_error_of_the_proxy(status: int, fault: str) -> None:
    before = requests(status, "none", fault)
    await ask(answering(status))
    assert requests(status, "none", fault) == before + 1


async def test_a_status_that_http_does_not_know_has_no_label_of_its_own() -> None:
    labels = {"route": ROUTE, "method": "GET", "status": "other", "code": "none", "fault": "none"}
    before = sample("bff_requests_total", **labels)
    await ask(answering(299))
    assert sample("bff_requests_total", **labels) == before + 1


async def test_how_long_a_request_took_is_counted_by_area_and_by_route() -> None:
    def count() -> tuple[float, float]:
        return sample("bff_request_seconds_count", area="api"), sample("bff_route_seconds_count", route=ROUTE)

    area, route = count()
    await ask(answering(200))
    assert count() == (area + 1, route + 1)


async def test_a_refusal_is_counted_with_its_cause() -> None:
    before = sample("bff_refusals_total", code="csrf_failed", cause="site")
    await ask(raising(CsrfFailed(cause="site")))
    assert sample("bff_refusals_total", code="csrf_failed", cause="site") == before + 1


async def refusals(browser: httpx2.AsyncClient) -> None:
    """Be refused for every cause that one client can have without Emporix."""
    preflight = {"Origin": "https://evil.test", "Access-Control-Request-Method": "POST"}
    app = {"X-Session-Transport": "header", "Origin": "https://evil.test"}
    await browser.options("/auth/login", headers=preflight)
    await browser.post("/auth/login", headers=app)
    await browser.get("/api/no/such/route")
    await browser.get("/auth/session", headers={"Origin": "https://evil.test"})
    await browser.get("/auth/session", headers={"Sec-Fetch-Site": "cross-site"})
    await browser.get("/auth/sso/main", headers={"Sec-Fetch-Dest": "iframe"})
    del browser.headers["X-CSRF"]
    await browser.get("/auth/session")


async def test_every_check_names_itself(replica: Replica) -> None:
    causes = [
        ("origin_not_allowed", "preflight"),
        ("origin_not_allowed", "carrier"),
        ("route_not_allowed", "none"),
        ("csrf_failed", "origin"),
        ("csrf_failed", "site"),
        ("csrf_failed", "navigation"),
        ("csrf_failed", "header"),
    ]

    def counted() -> list[float]:
        return [sample("bff_refusals_total", code=code, cause=cause) for code, cause in causes]

    before = counted()
    async with replica.browser() as browser:
        await refusals(browser)
    assert counted() == [count + 1 for count in before]


async def test_what_is_asked_of_redis_is_timed_by_operation(replica: Replica) -> None:
    operations = ("create", "load", "lock", "unlock", "retire")

    def counted() -> list[float]:
        return [sample("bff_redis_seconds_count", operation=one) for one in operations]

    before = counted()
    held = await replica.guest()
    await replica.stored(held)
    async with replica.ports.locks.hold(held.ticket):
        pass
    await replica.store.retire(held.ticket, EndReason.ENDED)
    assert counted() == [count + 1 for count in before]


async def test_a_redis_that_is_not_there_is_counted_by_operation() -> None:
    labels = {"operation": "load", "error": "connection"}
    before = sample("bff_redis_errors_total", **labels)
    async with new_replica(f"redis://127.0.0.1:{free_port()}") as one:
        with pytest.raises(StoreUnavailable):
            await one.store.load_fresh(new_ticket())
    assert sample("bff_redis_errors_total", **labels) == before + 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), "timeout"),
        (RedisTimeoutError(), "timeout"),
        (RedisConnectionError(), "connection"),
        (OSError(), "connection"),
        (AuthenticationError(), "refused"),
        (ReadOnlyError(), "refused"),
        (OutOfMemoryError(), "refused"),
        (RedisError(), "other"),
    ],
)
async def test_failures_of_redis_are_of_few_kinds(error: Exception, kind: str) -> None:
    assert failure_kind(error) == kind


async def test_a_limit_is_timed_and_counted_as_an_operation_of_redis(redis_url: str) -> None:
    def counted() -> tuple[float, float]:
        failed = sample("bff_redis_errors_total", operation="limit", error="connection")
        return sample("bff_redis_seconds_count", operation="limit"), failed

    timed, failed = counted()
    for url in (redis_url, f"redis://127.0.0.1:{free_port()}"):
        async with OnRedis(url) as one:
            await one.open().limits.guest("192.0.2.1")
    assert counted() == (timed + 2, failed + 1)


async def test_the_wait_for_a_lock_is_counted_for_renewals_by_its_end(redis_url: str) -> None:
    outcomes = ("acquired", "shared", "gave up")

    def counted() -> list[float]:
        return [sample("bff_renewal_lock_seconds_count", outcome=outcome) for outcome in outcomes]

    async with OnRedis(redis_url) as one:
        locks, ticket, before = one.open(lock_times=LockTimes(wait=0.1)).locks, new_ticket(), counted()
        async with locks.hold(ticket, renews=True):
            async with locks.hold(ticket, renews=True, unless=lambda _: True):
                pass
            with pytest.raises(NotAsked):
                async with locks.hold(ticket, renews=True):
                    pass
        async with locks.hold(ticket):
            pass
    assert counted() == [count + 1 for count in before]


def series() -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (one.name, tuple(sorted(one.labels.items())))
        for metric in REGISTRY.collect()
        for one in metric.samples
    }


async def hostile(browser: httpx2.AsyncClient, mark: str) -> None:
    """Send requests that have `mark` wherever a client can put a word."""
    fields = {
        "X-Request-Id": mark,
        "User-Agent": mark,
        "X-Forwarded-For": mark,
        "Origin": f"https://{mark}.test",
    }
    body = {"email": f"{mark}@example.com", "password": mark, "currency": mark, "siteCode": mark}
    for path in (f"/{mark}", f"/api/{mark}/x", f"/auth/{mark}", f"/auth/sso/{mark}", f"/livez?{mark}"):
        for method in ("GET", "POST", mark.upper()):
            await browser.request(method, path)
            await browser.request(method, path, headers=fields)
    for path in ("/auth/anonymous", "/auth/signup", "/auth/login", "/auth/exchange", "/auth/opt-in"):
        await browser.post(path, json=body | {"token": mark})
    await browser.get("/auth/session", headers={"X-Session-Id": mark})
    await browser.get("/auth/session", headers={"Cookie": f"bff={mark}; {mark}=1"})
    await browser.delete(f"/auth/sessions/{mark}")
    await browser.get(f"/api/product/acmeshop/products/{mark}?q={mark}", headers={"X-Session-Begin": mark})
    await browser.put("/auth/legal-entity", json={"legalEntityId": mark})


async def test_nothing_that_clients_send_becomes_a_label(redis_url: str) -> None:
    async with new_replica(redis_url) as one, one.browser() as browser:
        await hostile(browser, secrets.token_hex(8))
        before = series()
        marks = [secrets.token_hex(8) for _ in range(20)]
        for mark in marks:
            await hostile(browser, mark)
        new = series() - before
    assert not [one for one in series() for mark in marks if mark in str(one).lower()]
    assert len(new) < 20, new
