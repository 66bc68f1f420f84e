"""Redis is dead, or silent, or comes back: 503 and nothing lost, never a new guest, never a logout."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from bff.config.embedded_redis import locate_server
from tests.integration.visitors import eventually
from tests.integration.wire import ANONYMOUS_LOGIN, ANONYMOUS_REFRESH, CUSTOMER_REFRESH, Watch
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment
from tests.resilience.outages import OwnRedis, end_locks, expire, reached, session_of, silent_server

pytestmark = pytest.mark.skipif(locate_server() is None, reason="needs a Redis that can be stopped")

SITES = f"/api/site/{TENANT}/sites"
ORDERS = f"/api/order-v2/{TENANT}/orders"
CART = f"/api/cart/{TENANT}/carts?siteCode=main&create=true"
LOGIN = f"/customer/{TENANT}/login"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnRedis]:
    redis = OwnRedis(tmp_path / "redis")
    yield redis
    redis.stop()


@pytest.fixture
def shop(own: OwnRedis, sandbox: Sandbox) -> Iterator[LiveProxy]:
    with LiveProxy(environment(sandbox, own.url)) as proxy:
        yield proxy


@pytest.fixture
def guest(shop: LiveProxy) -> Iterator[httpx2.Client]:
    with shop.browser() as browser:
        assert browser.post("/auth/anonymous").status_code == 201
        yield browser


def unavailable(answer: httpx2.Response) -> bool:
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert "set-cookie" not in answer.headers
    return True


def assert_everything_is_503_and_nothing_happens(
    shop: LiveProxy, sandbox: Sandbox, guest: httpx2.Client
) -> None:
    cookie = guest.cookies["bff"]
    watch = Watch(sandbox)
    calls = [
        ("GET", CART, None),
        ("GET", SITES, None),
        ("GET", ORDERS, None),
        ("GET", "/auth/session", None),
        ("GET", "/auth/validate", None),
        ("POST", "/auth/anonymous", None),
        ("POST", "/auth/refresh", None),
        ("POST", "/auth/login", ADA),
        ("POST", "/auth/logout", None),
    ]
    for method, path, body in calls:
        assert unavailable(guest.request(method, path, json=body)), path
    assert watch.records() == []
    assert guest.cookies["bff"] == cookie
    assert guest.get("/livez").text == "ok"
    ready = guest.get("/readyz")
    assert (ready.status_code, ready.text) == (503, "not ready")


def test_a_dead_store_is_503_and_heals_by_itself(
    own: OwnRedis, shop: LiveProxy, sandbox: Sandbox, guest: httpx2.Client
) -> None:
    cart = guest.get(CART).json()["id"]
    own.stop()
    assert_everything_is_503_and_nothing_happens(shop, sandbox, guest)
    own.start()
    eventually(lambda: guest.get("/readyz").status_code == 200)
    healed = guest.get(CART)
    assert (healed.status_code, healed.json()["id"]) == (200, cart)
    assert "set-cookie" not in healed.headers


def test_a_silent_store_is_503_and_heals_by_itself(
    own: OwnRedis, shop: LiveProxy, sandbox: Sandbox, guest: httpx2.Client
) -> None:
    cart = guest.get(CART).json()["id"]
    with own.frozen():
        assert_everything_is_503_and_nothing_happens(shop, sandbox, guest)
    eventually(lambda: guest.get("/readyz").status_code == 200)
    healed = guest.get(CART)
    assert (healed.status_code, healed.json()["id"]) == (200, cart)
    assert guest.get("/auth/session").json()["kind"] == "anonymous"


def test_a_crowd_at_a_silent_store_does_not_silence_the_proxy(
    own: OwnRedis, shop: LiveProxy, sandbox: Sandbox, guest: httpx2.Client
) -> None:
    with own.frozen(), ThreadPoolExecutor(100) as pool:
        answers = [pool.submit(guest.get, SITES) for _ in range(100)]
        assert guest.get("/livez").text == "ok"
        assert all(unavailable(answer.result()) for answer in answers)
    eventually(lambda: guest.get("/readyz").status_code == 200)
    assert guest.get(SITES).status_code == 200


def test_a_proxy_starts_without_its_store(sandbox: Sandbox) -> None:
    with silent_server() as url, LiveProxy(environment(sandbox, url)) as proxy, proxy.browser() as browser:
        watch = Watch(sandbox)
        assert browser.get("/livez").text == "ok"
        assert browser.get("/readyz").status_code == 503
        assert browser.get("/auth/session").json()["kind"] == "none"
        assert unavailable(browser.get(SITES))
        assert watch.records() == []


@pytest.mark.parametrize(
    ("method", "path"), [("GET", CART), ("POST", "/auth/anonymous"), ("POST", "/auth/login")]
)
def test_a_dead_store_begins_no_guest(
    own: OwnRedis, shop: LiveProxy, sandbox: Sandbox, method: str, path: str
) -> None:
    own.stop()
    watch = Watch(sandbox)
    with shop.browser() as browser:
        assert unavailable(browser.request(method, path, json=ADA if "login" in path else None))
    assert watch.of(ANONYMOUS_LOGIN) == []


def test_the_proxys_own_token_still_serves_the_catalogue(own: OwnRedis, shop: LiveProxy) -> None:
    with shop.browser() as browser:
        assert browser.get(SITES).status_code == 200
        own.stop()
        assert browser.get(SITES).status_code == 200


@pytest.mark.parametrize("kind", ["guest", "customer"])
def test_a_store_that_dies_during_a_renewal_loses_no_token(
    own: OwnRedis, shop: LiveProxy, sandbox: Sandbox, guest: httpx2.Client, kind: str
) -> None:
    sandbox.control("PATCH", "/knobs", {"anonymousRotation": "strict", "customerRotation": "strict"})
    if kind == "customer":
        assert guest.post("/auth/login", json=ADA).status_code == 200
    path, refresh = (SITES, ANONYMOUS_REFRESH) if kind == "guest" else (ORDERS, CUSTOMER_REFRESH)
    session = session_of(sandbox, guest)
    with shop.browser() as other:
        assert other.get(SITES).status_code == 200  # so that the proxy's own token is there
    expire(sandbox, session)
    sandbox.control("POST", "/faults", {"match": f"GET {refresh}", "kind": "delay", "delay": 1.5, "times": 1})
    watch = Watch(sandbox)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(guest.get, path)
        reached(watch, refresh)
        own.stop()
        assert unavailable(asked.result())
    own.start()
    eventually(lambda: guest.get("/readyz").status_code == 200)
    end_locks(own.url)
    healed = guest.get(path)
    assert (healed.status_code, "set-cookie" in healed.headers) == (200, False)
    assert guest.get("/auth/session").json()["kind"] == ("anonymous" if kind == "guest" else "customer")
    assert len(watch.of(refresh)) == 1
    assert watch.of(ANONYMOUS_LOGIN) == []


def test_a_store_that_dies_during_a_login_leaves_nobody_logged_in(
    own: OwnRedis, sandbox: Sandbox, guest: httpx2.Client
) -> None:
    sandbox.control("POST", "/faults", {"match": f"POST {LOGIN}", "kind": "delay", "delay": 1.5, "times": 1})
    watch = Watch(sandbox)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(guest.post, "/auth/login", json=ADA)
        reached(watch, LOGIN)
        own.stop()
        assert unavailable(asked.result())
    # What upstream gave is taken back: no customer's token lives that nobody holds.
    assert len(watch.of(f"/customer/{TENANT}/logout")) == 1
    own.start()
    eventually(lambda: guest.get("/readyz").status_code == 200)
    end_locks(own.url)
    assert guest.get("/auth/session").json()["kind"] == "anonymous"
