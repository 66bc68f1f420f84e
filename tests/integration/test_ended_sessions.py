"""What an id that has just ended still gets: whoever looks or begins goes on at once, what needs a session is a 401."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.integration.visitors import (
    CARTS,
    ME,
    NONE,
    PRODUCTS,
    carrying,
    customer,
    emporix_session,
    eventually,
    issued,
    problem,
    set_cookies,
)
from tests.live import ADA, TENANT, LiveProxy, Sandbox

NEEDING = [
    ("POST", "/auth/refresh"),
    ("GET", "/auth/validate"),
    ("PUT", "/auth/legal-entity"),
    ("GET", "/auth/sessions"),
    ("DELETE", "/auth/sessions"),
    ("DELETE", "/auth/sessions/x"),
    ("GET", f"{CARTS}?siteCode=main"),
    ("POST", CARTS),
    ("GET", ME),
    ("GET", f"/api/order-v2/{TENANT}/orders"),
]


def logged_out(browser: httpx2.Client, proxy: LiveProxy, _sandbox: Sandbox) -> str:
    """Log out in another tab."""
    with carrying(proxy, browser.cookies["bff"]) as other_tab:
        assert other_tab.post("/auth/logout").status_code == 204
    return "no_session"


def ended_elsewhere(_browser: httpx2.Client, proxy: LiveProxy, _sandbox: Sandbox) -> str:
    """End all other sessions from another browser."""
    with customer(proxy) as another:
        assert another.delete("/auth/sessions").status_code == 204
    return "no_session"


def expired(browser: httpx2.Client, proxy: LiveProxy, sandbox: Sandbox) -> str:
    """Have upstream refuse the renewal that another tab asks for."""
    sandbox.control("POST", "/revoke", {"sessionId": emporix_session(browser, sandbox)})
    with carrying(proxy, browser.cookies["bff"]) as other_tab:
        problem(other_tab.post("/auth/refresh"), 401, "session_expired")
    return "session_expired"


def answer_lost(browser: httpx2.Client, proxy: LiveProxy, _sandbox: Sandbox) -> str:
    """Log out, and lose the connection before the answer has come."""
    address = urlsplit(proxy.url)
    with closing(socket.create_connection((address.hostname or "", address.port or 0))) as connection:
        head = "POST /auth/logout HTTP/1.1\r\nHost: proxy\r\nX-CSRF: 1\r\nContent-Length: 0\r\n"
        connection.sendall(f"{head}Cookie: bff={browser.cookies['bff']}\r\n\r\n".encode())
        eventually(lambda: browser.get("/auth/session").json()["kind"] == "none")
    return "no_session"


Ending = Callable[[httpx2.Client, LiveProxy, Sandbox], str]
ENDINGS: list[Ending] = [logged_out, ended_elsewhere, expired, answer_lost]


@pytest.fixture(params=ENDINGS, ids=lambda ending: ending.__name__)
def left(
    request: pytest.FixtureRequest, proxy: LiveProxy, sandbox: Sandbox
) -> Iterator[tuple[httpx2.Client, str]]:
    """A browser that still carries what has ended, and what it is told where it needs a session."""
    with customer(proxy) as browser:
        cookie = browser.cookies["bff"]
        told = request.param(browser, proxy, sandbox)
        with carrying(proxy, cookie) as late:
            yield late, told


def test_what_needs_a_session_is_told_how_it_ended_and_keeps_the_cookie(
    left: tuple[httpx2.Client, str],
) -> None:
    late, told = left
    for method, path in NEEDING:
        answer = late.request(method, path, json={"legalEntityId": None} if method == "PUT" else None)
        problem(answer, 401, told)
        assert not set_cookies(answer), path
        assert answer.headers["x-session-version"] == "0", path


def test_looking_and_public_reads_are_served_as_without_a_session(left: tuple[httpx2.Client, str]) -> None:
    late, _ = left
    view, products = late.get("/auth/session"), late.get(PRODUCTS)
    assert (view.status_code, view.json(), products.status_code) == (200, NONE, 200)
    for answer in (view, products, late.post("/auth/logout")):
        assert not set_cookies(answer)
        assert answer.headers["x-session-version"] == "0"


@pytest.mark.parametrize(("path", "status"), [("/auth/anonymous", 201), ("/auth/login", 200)])
def test_whoever_begins_gets_a_new_session_at_once(
    left: tuple[httpx2.Client, str], proxy: LiveProxy, path: str, status: int
) -> None:
    late, _ = left
    answer = late.post(path, json=ADA if path == "/auth/login" else None)
    assert answer.status_code == status, answer.text
    with carrying(proxy, issued(answer)) as again:
        assert again.get("/auth/session").json() | {"idleExpiresAt": ""} == answer.json() | {
            "idleExpiresAt": ""
        }
        assert again.get(CARTS, params={"siteCode": "main", "create": "true"}).status_code == 200


def test_a_sign_up_begins_at_once_and_a_wrong_password_is_only_that(left: tuple[httpx2.Client, str]) -> None:
    late, _ = left
    mail = f"new-{id(late)}@shop.example"
    problem(late.post("/auth/login", json=ADA | {"password": "wrong"}), 401, "invalid_credentials")
    assert late.post("/auth/signup", json={"email": mail, "password": "tall-green-kettle"}).status_code == 201


def test_an_app_goes_on_in_the_same_way(proxy: LiveProxy) -> None:
    with proxy.app() as app:
        old = app.post("/auth/login", json=ADA).json()["sessionId"]
    with proxy.app(old) as app:
        assert app.post("/auth/logout").status_code == 204
        assert app.get("/auth/session").json() == NONE
        problem(app.get(ME), 401, "no_session")
        assert app.get(PRODUCTS).status_code == 200
        began = app.post("/auth/anonymous")
        assert began.status_code == 201
        assert began.json()["sessionId"] != old


@pytest.mark.parametrize("again", [False, True])
def test_an_id_that_a_login_replaced_begins_nothing(proxy: LiveProxy, *, again: bool) -> None:
    with proxy.browser() as browser:
        assert browser.post("/auth/anonymous").status_code == 201
        if again:
            assert browser.post("/auth/login", json=ADA).status_code == 200
        old = browser.cookies["bff"]
        assert browser.post("/auth/login", json=ADA).status_code == 200
        with carrying(proxy, old) as late:
            for path in ("/auth/anonymous", "/auth/login", "/auth/signup", "/auth/exchange", "/auth/opt-in"):
                answer = late.post(path, json=ADA | {"token": "x"})
                problem(answer, 401, "session_rotated")
                assert not set_cookies(answer)
        assert browser.get("/auth/session").json()["kind"] == "customer"
