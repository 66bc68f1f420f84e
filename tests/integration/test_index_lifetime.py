"""How long the proxy knows a customer's other sessions: as long as a session may last, not as long as it may idle."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.integration.visitors import ME, problem, seen
from tests.live import TENANT, LiveProxy, Sandbox, environment
from tests.resilience.outages import OwnRedis

IDLE, LONGEST = 1000, 10_000
CHANGE = f"/api/customer/{TENANT}/password/change"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OwnRedis]:
    store = OwnRedis(tmp_path / "redis")
    yield store
    store.stop()


def pass_seconds(store: OwnRedis, seconds: int) -> None:
    """Bring the end of every key nearer, as if so much time had passed in Redis."""
    with store.client() as client:
        for key in client.scan_iter(count=1000):
            left = client.pttl(key)
            if left > 0:
                client.pexpire(key, left - seconds * 1000)


def used(*browsers: httpx2.Client) -> None:
    """Use sessions, which begins their idle lifetime anew."""
    for browser in browsers:
        assert browser.get("/auth/session").json()["kind"] == "customer"


def test_a_password_change_ends_sessions_that_were_begun_long_before(
    sandbox: Sandbox, store: OwnRedis
) -> None:
    account = {"email": f"long-{seen(sandbox)}@example.com", "password": "the-first-password"}
    sandbox.control("POST", "/customers", account)
    lifetimes = {"BFF_CUSTOMER_IDLE_SECONDS": str(IDLE), "BFF_CUSTOMER_MAX_SECONDS": str(LONGEST)}
    with (
        LiveProxy(environment(sandbox, store.url, **lifetimes)) as proxy,
        proxy.browser() as old,
        proxy.browser() as other,
    ):
        for browser in (old, other):
            assert browser.post("/auth/login", json=account).status_code == 200
        for _ in range(3):
            pass_seconds(store, IDLE * 9 // 10)
            used(old, other)
        assert [row["current"] for row in old.get("/auth/sessions").json()].count(False) == 1
        change = {"currentPassword": account["password"], "newPassword": "the-second-password"}
        assert old.post(CHANGE, json=change).is_success
        problem(other.get(ME), 401, "no_session")
        used(old)
