"""Emporix refuses a token of the wrong kind with a 403 or a 401, nobody says which: neither ends a session.

An operator's routes send the caller's token where the sandbox wants one of the other kind.
"""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.integration.visitors import ANONYMOUS_REFRESH, CUSTOMER_REFRESH, calls, customer, guest, knob, seen
from tests.live import TENANT, LiveProxy, Sandbox, environment

ORDERS = f"/api/order-v2/{TENANT}/orders"
RESET = f"/api/customer/{TENANT}/password/reset"
ROUTES = """[routes]
"GET /order-v2/{tenant}/orders" = "session"
"POST /customer/{tenant}/password/reset" = "session"
"""
KINDS = pytest.mark.parametrize(("kind", "status"), [("forbidden", 403), ("unauthorized", 401)])


@pytest.fixture(scope="module")
def mixed_process(
    sandbox_process: Sandbox, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveProxy]:
    file = tmp_path_factory.mktemp("routes") / "routes.toml"
    file.write_text(ROUTES)
    with LiveProxy(environment(sandbox_process, redis_url, BFF_ROUTES_FILE=str(file))) as proxy:
        yield proxy


@pytest.fixture
def mixed(mixed_process: LiveProxy, sandbox: Sandbox) -> LiveProxy:
    return mixed_process


def view(browser: httpx2.Client) -> dict[str, Any]:
    seen_now = browser.get("/auth/session").json()
    return {name: seen_now[name] for name in ("kind", "customer", "version", "createdAt")}


def asked_of(sandbox: Sandbox, since: int, *wanted: str) -> list[int]:
    """Return how often upstream was asked each of these."""
    made = calls(sandbox, since)
    return [made.count(one) for one in wanted]


@KINDS
def test_a_guest_where_a_customer_is_wanted_stays_the_guest(
    mixed: LiveProxy, sandbox: Sandbox, kind: str, status: int
) -> None:
    knob(sandbox, wrongKind=kind)
    with guest(mixed) as browser:
        before, since = view(browser), seen(sandbox)
        answer = browser.get(ORDERS)
        assert (answer.status_code, view(browser)) == (status, before)
        # A 401 may mean that the token has ended, so it is renewed and the call made once more; a 403 does not.
        wanted = [2, 1] if status == 401 else [1, 0]
        assert asked_of(sandbox, since, "GET /order-v2/{tenant}/orders", ANONYMOUS_REFRESH) == wanted
        assert browser.get(f"/api/product/{TENANT}/products").status_code == 200


@KINDS
def test_a_customer_where_a_guest_is_wanted_stays_logged_in(
    mixed: LiveProxy, sandbox: Sandbox, kind: str, status: int
) -> None:
    knob(sandbox, wrongKind=kind)
    with customer(mixed) as browser:
        before, since = view(browser), seen(sandbox)
        answer = browser.post(RESET, json={"email": "nobody@example.com"})
        assert (answer.status_code, view(browser)) == (status, before)
        wanted = [2, 1] if status == 401 else [1, 0]
        assert asked_of(sandbox, since, "POST /customer/{tenant}/password/reset", CUSTOMER_REFRESH) == wanted
        assert browser.get(ORDERS).status_code == 200
