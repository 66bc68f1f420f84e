"""Somebody goes away in the middle: the client, the answer, a whole replica, or the session itself."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.integration.visitors import eventually, heeding_pauses
from tests.integration.wire import (
    ANONYMOUS_LOGIN,
    ANONYMOUS_REFRESH,
    CUSTOMER_REFRESH,
    Watch,
    dial,
    head,
)
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment
from tests.resilience.outages import expire, reached, session_of

SITES = f"/api/site/{TENANT}/sites"
ORDERS = f"/api/order-v2/{TENANT}/orders"
LOGIN = f"/customer/{TENANT}/login"


def hold(
    sandbox: Sandbox, path: str, *, kind: str = "delay", seconds: float = 1.5, method: str = "GET"
) -> None:
    """Let upstream do what it is asked at once, and answer late or never."""
    fault = {"match": f"{method} {path}", "kind": kind, "delay": seconds, "times": 1}
    sandbox.control("POST", "/faults", fault)


def rotate(sandbox: Sandbox, how: str) -> None:
    sandbox.control("PATCH", "/knobs", {"anonymousRotation": how, "customerRotation": how})


@pytest.fixture
def guest(proxy: LiveProxy, sandbox: Sandbox) -> Iterator[httpx2.Client]:
    with proxy.browser() as browser:
        assert browser.post("/auth/anonymous").status_code == 201
        yield browser


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as one:
        yield one


@pytest.mark.parametrize("kind", ["guest", "customer"])
def test_a_client_that_leaves_during_a_renewal_loses_nothing(
    proxy: LiveProxy, sandbox: Sandbox, guest: httpx2.Client, kind: str
) -> None:
    rotate(sandbox, "strict")
    if kind == "customer":
        assert guest.post("/auth/login", json=ADA).status_code == 200
    path, refresh = (SITES, ANONYMOUS_REFRESH) if kind == "guest" else (ORDERS, CUSTOMER_REFRESH)
    expire(sandbox, session_of(sandbox, guest))
    hold(sandbox, refresh)
    watch = Watch(sandbox)
    with dial(proxy) as connection:
        connection.sendall(head(proxy, f"GET {path} HTTP/1.1", [f"Cookie: bff={guest.cookies['bff']}"]))
        reached(watch, refresh)
    answer = guest.get(path)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert len(watch.of(refresh)) == 1


def test_a_client_that_leaves_during_the_first_guest_leaves_the_proxy_well(
    proxy: LiveProxy, sandbox: Sandbox
) -> None:
    hold(sandbox, ANONYMOUS_LOGIN)
    watch = Watch(sandbox)
    with dial(proxy) as connection:
        connection.sendall(head(proxy, f"GET /api/cart/{TENANT}/carts?siteCode=main HTTP/1.1"))
        reached(watch, ANONYMOUS_LOGIN)
    with proxy.browser() as browser:
        assert browser.post("/auth/anonymous").status_code == 201


def test_a_client_that_leaves_during_a_login_leaves_no_half_a_session(
    proxy: LiveProxy, sandbox: Sandbox, guest: httpx2.Client
) -> None:
    hold(sandbox, LOGIN, method="POST")
    watch = Watch(sandbox)
    body = b'{"email":"ada@example.com","password":"correct-horse-battery"}'
    fields = [
        f"Cookie: bff={guest.cookies['bff']}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    with dial(proxy) as connection:
        connection.sendall(head(proxy, "POST /auth/login HTTP/1.1", fields) + body)
        reached(watch, LOGIN)
    eventually(lambda: guest.post("/auth/refresh").status_code == 401)
    assert guest.get("/auth/session").json()["kind"] == "anonymous"  # a safe request, as the guest it was
    with proxy.browser() as browser:
        assert browser.post("/auth/login", json=ADA).status_code == 200


@pytest.mark.parametrize("kind", ["guest", "customer"])
def test_a_renewal_whose_answer_is_lost_is_made_again_where_upstream_allows_it(
    sandbox: Sandbox, guest: httpx2.Client, kind: str
) -> None:
    rotate(sandbox, "tolerant")
    if kind == "customer":
        assert guest.post("/auth/login", json=ADA).status_code == 200
    path, refresh = (SITES, ANONYMOUS_REFRESH) if kind == "guest" else (ORDERS, CUSTOMER_REFRESH)
    expire(sandbox, session_of(sandbox, guest))
    hold(sandbox, refresh, kind="lost", seconds=0)
    first = guest.get(path)
    assert (first.status_code, first.json()["code"]) == (503, "upstream_unavailable")
    assert int(first.headers["retry-after"]) > 0
    assert "set-cookie" not in first.headers
    assert heeding_pauses(lambda: guest.get(path)).status_code == 200


def test_a_guest_whose_only_refresh_token_is_lost_becomes_another_guest(
    sandbox: Sandbox, guest: httpx2.Client
) -> None:
    rotate(sandbox, "strict")
    expire(sandbox, session_of(sandbox, guest))
    hold(sandbox, ANONYMOUS_REFRESH, kind="lost", seconds=0)
    assert guest.get(SITES).status_code == 503
    before = guest.cookies["bff"]
    healed = heeding_pauses(lambda: guest.get(SITES))
    assert healed.status_code == 200
    assert len(healed.headers.get_list("set-cookie")) == 1
    assert guest.cookies["bff"] != before
    assert guest.get("/auth/session").json()["kind"] == "anonymous"


def test_a_customer_whose_only_refresh_token_is_lost_must_log_in_again(
    sandbox: Sandbox, guest: httpx2.Client
) -> None:
    rotate(sandbox, "strict")
    assert guest.post("/auth/login", json=ADA).status_code == 200
    expire(sandbox, session_of(sandbox, guest))
    hold(sandbox, CUSTOMER_REFRESH, kind="lost", seconds=0)
    first = guest.get(ORDERS)
    assert (first.status_code, "set-cookie" in first.headers) == (503, False)
    ended = heeding_pauses(lambda: guest.get(ORDERS))
    assert (ended.status_code, ended.json()["code"]) == (401, "session_expired")
    assert "Max-Age=0" in ended.headers["set-cookie"]


def test_a_logout_during_a_login_wins(
    sandbox: Sandbox, guest: httpx2.Client, pool: ThreadPoolExecutor
) -> None:
    hold(sandbox, LOGIN, method="POST")
    watch = Watch(sandbox)
    cookie = {"Cookie": f"bff={guest.cookies['bff']}"}
    late = pool.submit(guest.post, "/auth/login", json=ADA, headers=cookie)
    reached(watch, LOGIN)
    logout = guest.post("/auth/logout", headers=cookie)
    assert (logout.status_code, "Max-Age=0" in logout.headers["set-cookie"]) == (204, True)
    login = late.result()
    assert login.status_code == 401
    assert "set-cookie" not in login.headers
    assert guest.post("/auth/refresh", headers=cookie).status_code == 401
    # The customer's token that came too late is nobody's any more.
    assert len(watch.of(f"/customer/{TENANT}/logout")) == 1
    session = watch.of(LOGIN)[0]["sessionId"]
    assert sandbox.control("GET", "/sessions")[session]["ended"] is True


@pytest.mark.parametrize("kind", ["guest", "customer"])
def test_a_logout_during_a_renewal_wins(
    sandbox: Sandbox, guest: httpx2.Client, pool: ThreadPoolExecutor, kind: str
) -> None:
    if kind == "customer":
        assert guest.post("/auth/login", json=ADA).status_code == 200
    refresh = ANONYMOUS_REFRESH if kind == "guest" else CUSTOMER_REFRESH
    session = session_of(sandbox, guest)
    expire(sandbox, session)
    hold(sandbox, refresh)
    watch = Watch(sandbox)
    cookie = {"Cookie": f"bff={guest.cookies['bff']}"}
    late = pool.submit(guest.get, SITES, headers=cookie)
    reached(watch, refresh)
    assert guest.post("/auth/logout", headers=cookie).status_code == 204
    answer = late.result()
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    again = guest.post("/auth/refresh", headers=cookie)
    assert (again.status_code, "set-cookie" in again.headers) == (401, False)
    if kind == "customer":
        assert sandbox.control("GET", "/sessions")[session]["liveAccessTokens"] == 0


def test_a_slow_read_does_not_undo_the_login_that_overtook_it(
    sandbox: Sandbox, guest: httpx2.Client, pool: ThreadPoolExecutor
) -> None:
    path = f"/cart/{TENANT}/carts/__echo__"
    hold(sandbox, path)
    watch = Watch(sandbox)
    late = pool.submit(guest.get, f"/api{path}", headers={"Cookie": f"bff={guest.cookies['bff']}"})
    reached(watch, path)
    assert guest.post("/auth/login", json=ADA).status_code == 200
    answer = late.result()
    assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
    assert guest.get("/auth/session").json()["kind"] == "customer"


@pytest.mark.parametrize("kind", ["guest", "customer"])
def test_a_replica_killed_during_a_renewal_logs_nobody_out(
    sandbox: Sandbox, redis_url: str, pool: ThreadPoolExecutor, kind: str
) -> None:
    rotate(sandbox, "tolerant")
    environ = environment(sandbox, redis_url)
    with LiveProxy(environ) as doomed, LiveProxy(environ) as other, other.browser() as browser:
        assert browser.post("/auth/anonymous").status_code == 201
        if kind == "customer":
            assert browser.post("/auth/login", json=ADA).status_code == 200
        path, refresh = (SITES, ANONYMOUS_REFRESH) if kind == "guest" else (ORDERS, CUSTOMER_REFRESH)
        expire(sandbox, session_of(sandbox, browser))
        hold(sandbox, refresh, seconds=8)
        watch = Watch(sandbox)
        cookie = f"Cookie: bff={browser.cookies['bff']}"
        with dial(doomed) as connection:
            connection.sendall(head(doomed, f"GET {path} HTTP/1.1", [cookie]))
            reached(watch, refresh)
            doomed.stop(signal.SIGKILL)
        waiting = browser.get(path)
        assert (waiting.status_code, waiting.json()["code"]) == (503, "upstream_unavailable")
        assert int(waiting.headers["retry-after"]) > 0
        assert "set-cookie" not in waiting.headers
        assert browser.get("/auth/session").json()["kind"] == ("anonymous" if kind == "guest" else "customer")
        healed = browser.get(path)
        assert (healed.status_code, "set-cookie" in healed.headers) == (200, False), (
            "the lock outlived its holder"
        )
        assert len(watch.of(refresh)) == 2
