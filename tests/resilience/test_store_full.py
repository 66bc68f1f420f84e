"""A Redis that answers and takes no writes: what is there is served, and nothing begins that nobody could keep."""

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import redis

from tests.contract.backends import PROGRAMS, serving
from tests.integration.wire import ANONYMOUS_LOGIN, ANONYMOUS_REFRESH, Watch
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment
from tests.resilience.outages import expire, session_of

pytestmark = pytest.mark.skipif(not PROGRAMS, reason="needs a Redis whose limits can be set")

SITES = f"/api/site/{TENANT}/sites"
CART = f"/api/cart/{TENANT}/carts?siteCode=main&create=true"
TOUCHED_AFTER_SECONDS = 1.1


@pytest.fixture
def server() -> Iterator[Any]:
    with serving(next(iter(PROGRAMS))) as url, redis.Redis.from_url(url) as client:
        yield client


@pytest.fixture
def shop(server: Any, sandbox: Sandbox) -> Iterator[LiveProxy]:
    port = server.connection_pool.connection_kwargs["port"]
    with LiveProxy(environment(sandbox, f"redis://127.0.0.1:{port}")) as proxy:
        yield proxy


@pytest.fixture
def guest(shop: LiveProxy) -> Iterator[httpx2.Client]:
    with shop.browser() as browser:
        assert browser.post("/auth/anonymous").status_code == 201
        yield browser


def full(server: Any, *, now: bool) -> None:
    server.config_set("maxmemory", "1" if now else "0")


def read_only(server: Any, *, now: bool) -> None:
    """Make it the replica of a server that is not there."""
    if now:
        server.replicaof("127.0.0.1", 1)
    else:
        server.replicaof("NO", "ONE")


def unavailable(answer: httpx2.Response) -> bool:
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert "set-cookie" not in answer.headers
    return True


@pytest.mark.parametrize("state", [full, read_only])
def test_a_store_that_takes_no_writes_still_serves_reads_and_begins_nothing(
    server: Any, shop: LiveProxy, sandbox: Sandbox, guest: httpx2.Client, state: Any
) -> None:
    cart = guest.get(CART).json()["id"]
    session = session_of(sandbox, guest)
    state(server, now=True)
    watch = Watch(sandbox)
    time.sleep(TOUCHED_AFTER_SECONDS)
    for _ in range(3):
        assert guest.get("/auth/session").json()["kind"] == "anonymous"
        read = guest.get(CART)
        assert (read.status_code, read.json()["id"]) == (200, cart)
    with shop.browser() as other:
        for method, path in (("POST", "/auth/anonymous"), ("GET", CART), ("POST", "/auth/login")):
            assert unavailable(other.request(method, path, json=ADA if "login" in path else None))
    assert unavailable(guest.post("/auth/login", json=ADA))
    assert watch.of(ANONYMOUS_LOGIN) + watch.of(f"/customer/{TENANT}/login") == []
    expire(sandbox, session)
    assert unavailable(guest.get(CART))
    assert watch.of(ANONYMOUS_REFRESH) == []
    state(server, now=False)
    healed = guest.get(CART)
    assert (healed.status_code, healed.json()["id"]) == (200, cart)
