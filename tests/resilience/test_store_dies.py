"""The store dies in the middle of something that upstream has done already, or just before it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bff.config.embedded_redis import locate_server
from tests.integration.visitors import (
    CARTS,
    CUSTOMER_LOGIN,
    calls,
    emporix_session,
    eventually,
    guest,
    problem,
    seen,
    set_cookies,
)
from tests.integration.wire import PATIENCE
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment
from tests.resilience.gate import Gate
from tests.resilience.outages import OwnRedis

pytestmark = pytest.mark.skipif(
    locate_server() is None, reason="an imitation knows no users and keeps nothing"
)

CHANGE = f"/customer/{TENANT}/password/change"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OwnRedis]:
    store = OwnRedis(tmp_path / "redis")
    yield store
    store.stop()


@dataclass
class Limited:
    """A user of that Redis whose keys can be taken away and given back."""

    store: OwnRedis
    url: str

    @classmethod
    def of(cls, store: OwnRedis) -> "Limited":
        parts = urlsplit(store.url)
        limited = cls(
            store, parts._replace(netloc=f"proxy:secret@{parts.netloc.rpartition('@')[2]}").geturl()
        )
        limited.let("~*")
        return limited

    def no_new_keys(self) -> None:
        """Let it use the keys that are there, and what belongs to them, count, and make no other keys."""
        with self.store.client() as client:
            there = [key.decode() for key in client.scan_iter(count=1000)]
        assert there
        self.let("~bff:limits*", *(f"~{key}*" for key in there))

    def let(self, *keys: str) -> None:
        with self.store.client() as client:
            client.execute_command("ACL", "SETUSER", "proxy", "reset", "on", ">secret", "+@all", *keys)


def test_a_login_whose_customer_cannot_be_stored_leaves_the_guest_and_its_cart(
    sandbox: Sandbox, store: OwnRedis
) -> None:
    user = Limited.of(store)
    with LiveProxy(environment(sandbox, user.url)) as proxy, guest(proxy) as browser:
        cart = browser.get(CARTS, params={"siteCode": "main", "create": "true"}).json()["id"]
        session, cookie = emporix_session(browser, sandbox), browser.cookies["bff"]
        user.no_new_keys()
        before = seen(sandbox)
        answer = browser.post("/auth/login", json=ADA)
        problem(answer, 503, "store_unavailable")
        assert set_cookies(answer) == []
        assert CUSTOMER_LOGIN in calls(sandbox, before), "it has to fail after upstream's yes"
        user.let("~*")
        assert browser.get("/auth/session").json()["kind"] == "anonymous"
        assert browser.post("/auth/refresh").status_code == 200, (
            "a session that may only be read is no session"
        )
        assert browser.get(CARTS, params={"siteCode": "main"}).json()["id"] == cart
        assert (emporix_session(browser, sandbox), browser.cookies["bff"]) == (session, cookie)


def test_a_password_change_that_upstream_has_made_succeeds_though_the_other_sessions_cannot_be_ended(
    sandbox: Sandbox, store: OwnRedis
) -> None:
    account = {"email": f"change-{seen(sandbox)}@example.com", "password": "the-first-password"}
    sandbox.control("POST", "/customers", account)
    change = {"currentPassword": account["password"], "newPassword": "the-second-password"}
    with Gate(sandbox.url) as gate, ThreadPoolExecutor(1) as pool:
        environ = environment(sandbox, store.url, BFF_UPSTREAM_URL=gate.url)
        with LiveProxy(environ) as proxy, proxy.browser() as browser:
            assert browser.post("/auth/login", json=account).status_code == 200
            with gate.holding(CHANGE) as held:
                call = pool.submit(browser.post, f"/api{CHANGE}", json=change)
                assert held.arrived.wait(PATIENCE)
                store.stop()
            answer = call.result()
            assert answer.status_code in {200, 204}, answer.text
            assert set_cookies(answer) == []
            errors = [one for one in proxy.log_lines() if one.get("level") == "error"]
            assert [one.get("code") for one in errors] == ["store_unavailable"], (
                "an operator must learn of it"
            )
            store.start()
            eventually(lambda: browser.get("/auth/session").status_code == 200)
            account["password"] = change["newPassword"]
            assert browser.post("/auth/login", json=account).status_code == 200
