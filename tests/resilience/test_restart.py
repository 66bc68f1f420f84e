"""What outlives a process: sessions do, and nobody is asked for anything."""

import signal
from pathlib import Path

import httpx2
import pytest

from bff.config.embedded_redis import locate_server
from tests.integration.wire import ANONYMOUS_LOGIN, ANONYMOUS_REFRESH, Watch, dial, head
from tests.live import ADA, GRACE, TENANT, LiveProxy, Sandbox, environment, new_key
from tests.resilience.outages import expire, reached, session_of

CART = f"/api/cart/{TENANT}/carts?siteCode=main&create=true"
real = pytest.mark.skipif(locate_server() is None, reason="fakeredis forgets")


def carrying(proxy: LiveProxy, cookie: str) -> httpx2.Client:
    return proxy.browser(Cookie=f"bff={cookie}")


@real
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_sessions_outlive_a_restart_on_the_embedded_redis(sandbox: Sandbox, tmp_path: Path, how: int) -> None:
    environ = environment(sandbox, f"embedded:{tmp_path / 'redis'}")
    with LiveProxy(environ) as proxy, proxy.browser() as guest, proxy.browser() as customer:
        cart = guest.get(CART).json()["id"]
        assert customer.post("/auth/login", json=ADA).status_code == 200
        view = customer.get("/auth/session?slide=false").json()
        with proxy.app() as app:
            carried = app.post("/auth/login", json=GRACE).json()["sessionId"]
        cookies = guest.cookies["bff"], customer.cookies["bff"]
        code = proxy.stop(how)
        assert code == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    watch = Watch(sandbox)
    with LiveProxy(environ, port=proxy.port) as proxy:
        with carrying(proxy, cookies[0]) as guest:
            assert guest.get(CART).json()["id"] == cart
        with carrying(proxy, cookies[1]) as customer:
            again = customer.get("/auth/session?slide=false").json()
            assert customer.get(f"/api/customer/{TENANT}/me").json()["firstName"] == "Ada"
        with proxy.app(carried) as app:
            assert app.get("/auth/session").json()["customer"] == {"email": GRACE["email"]}
    for name in ("kind", "customer", "version", "createdAt", "expiresAt"):
        assert again[name] == view[name]
    assert watch.of(ANONYMOUS_LOGIN) == []


@real
def test_an_ended_session_stays_ended_over_a_restart(sandbox: Sandbox, tmp_path: Path) -> None:
    environ = environment(sandbox, f"embedded:{tmp_path / 'redis'}")
    with LiveProxy(environ) as proxy, proxy.browser() as customer:
        assert customer.post("/auth/login", json=ADA).status_code == 200
        cookie = customer.cookies["bff"]
        assert customer.post("/auth/logout").status_code == 204
        proxy.stop(signal.SIGTERM)
    with LiveProxy(environ, port=proxy.port) as proxy, carrying(proxy, cookie) as customer:
        assert customer.get(f"/api/customer/{TENANT}/me").status_code == 401


def test_a_new_key_in_front_keeps_old_sessions_and_its_removal_ends_them(
    sandbox: Sandbox, redis_url: str
) -> None:
    environ = environment(sandbox, redis_url)
    old, new = environ["BFF_KEYS"], new_key()
    with LiveProxy(environ) as proxy, proxy.browser() as guest:
        cart = guest.get(CART).json()["id"]
        cookie = guest.cookies["bff"]
    with LiveProxy(environ | {"BFF_KEYS": f"{new},{old}"}) as proxy, carrying(proxy, cookie) as guest:
        answer = guest.get(CART)
        assert (answer.json()["id"], "set-cookie" in answer.headers) == (cart, False)
    with LiveProxy(environ | {"BFF_KEYS": new}) as proxy, carrying(proxy, cookie) as guest:
        assert guest.get("/auth/session").json()["kind"] == "none"
        answer = guest.get(CART)
        assert answer.json()["id"] != cart
        assert "set-cookie" in answer.headers


def test_a_renewal_under_way_is_finished_before_the_end(sandbox: Sandbox, redis_url: str) -> None:
    """A token that upstream has changed is stored even though the process was told to end and its client left."""
    refresh = ANONYMOUS_REFRESH
    sandbox.control("PATCH", "/knobs", {"anonymousRotation": "strict"})
    environ = environment(sandbox, redis_url)
    with LiveProxy(environ) as ending, LiveProxy(environ) as other, other.browser() as guest:
        assert guest.post("/auth/anonymous").status_code == 201
        expire(sandbox, session_of(sandbox, guest))
        sandbox.control(
            "POST", "/faults", {"match": f"GET {refresh}", "kind": "delay", "delay": 2, "times": 1}
        )
        watch = Watch(sandbox)
        with dial(ending) as connection:
            cookie = f"Cookie: bff={guest.cookies['bff']}"
            connection.sendall(head(ending, f"GET /api/site/{TENANT}/sites HTTP/1.1", [cookie]))
            reached(watch, refresh)
        assert ending.stop(signal.SIGTERM) == 0
        assert guest.get(f"/api/site/{TENANT}/sites").status_code == 200
        assert len(watch.of(refresh)) == 1
