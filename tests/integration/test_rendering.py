"""A server that renders pages for visitors: with `X-Session-Begin: never` its calls begin no session."""

import pytest

from tests.integration.visitors import (
    CARTS,
    ME,
    PRODUCTS,
    calls,
    carrying,
    customer,
    guest,
    problem,
    seen,
    set_cookies,
)
from tests.live import ADA, LiveProxy, Sandbox

RENDERING = {"X-Session-Begin": "never"}
CART = f"{CARTS}?siteCode=main"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", CART),
        ("POST", CARTS),
        ("GET", ME),
        ("POST", "/auth/anonymous"),
        ("POST", "/auth/login"),
        ("POST", "/auth/signup"),
        ("POST", "/auth/exchange"),
    ],
)
def test_no_guest_is_begun_while_a_page_is_rendered(
    proxy: LiveProxy, sandbox: Sandbox, method: str, path: str
) -> None:
    body = ADA | {"token": "x"} if path.startswith("/auth/") and path != "/auth/anonymous" else None
    with proxy.browser(**RENDERING) as server:
        before = seen(sandbox)
        answer = server.request(method, path, json=body)
        problem(answer, 401, "no_session")
        assert not set_cookies(answer)
        assert answer.headers["x-session-version"] == "0"
        assert calls(sandbox, before) == []


def test_what_costs_no_session_is_rendered_without_one(proxy: LiveProxy) -> None:
    with proxy.browser(**RENDERING) as server:
        for path in (PRODUCTS, "/auth/session"):
            answer = server.get(path)
            assert answer.status_code == 200
            assert not set_cookies(answer)


def test_a_visitors_cookie_that_comes_along_is_served(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser, carrying(proxy, browser.cookies["bff"], **RENDERING) as server:
        assert server.get(f"{CART}&create=true").status_code == 200
    with customer(proxy) as browser, carrying(proxy, browser.cookies["bff"], **RENDERING) as server:
        assert server.get(ME).json()["contactEmail"] == ADA["email"]


def test_a_login_on_a_session_that_stands_is_no_beginning(proxy: LiveProxy) -> None:
    with customer(proxy) as browser, carrying(proxy, browser.cookies["bff"], **RENDERING) as server:
        assert server.post("/auth/login", json=ADA).status_code == 200


def test_an_app_says_it_in_the_same_way(proxy: LiveProxy) -> None:
    with proxy.app() as app:
        answer = app.post("/auth/anonymous", headers=RENDERING)
        problem(answer, 401, "no_session")
        assert "sessionId" not in answer.json()


@pytest.mark.parametrize("value", ["", "always", "0"])
def test_a_value_that_nobody_knows_is_refused(proxy: LiveProxy, value: str) -> None:
    with proxy.browser(**{"X-Session-Begin": value}) as server:
        for path in (PRODUCTS, "/auth/session", CART):
            problem(server.get(path), 400, "invalid_request")
