"""What a page of somebody else's can do to a visitor who is logged in here: nothing.

It is tried from another site, where the Strict cookie stays at home, and from another port of the shop's own
host, which browsers count as the same site: the cookie travels, and only the proof of origin stands in the way.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.shopping import add_to_cart, expect_customer, jar, log_in, session_cookie, visit
from tests.browser.shops import Exchange, Shop
from tests.live import GRACE, TENANT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.parametrize(
        "foreign", ["127.0.0.1", "localhost"], ids=["another site", "same site"], indirect=True
    ),
]

_CART = f"/api/cart/{TENANT}/carts?siteCode=main&create=true"
_ATTEMPTS = {
    "GET": ["/auth/session", "/auth/validate", "/auth/sessions", _CART, "/auth/sso/sandbox?return_to=/"],
    "POST": ["/auth/logout", "/auth/anonymous", "/auth/refresh", "/auth/login", "/auth/exchange", _CART],
}
_PROVEN = ("/auth/session", "/auth/logout", _CART)
_SIGN_ON = "/auth/sso/sandbox?return_to=/"
_FETCH = "([url, init]) => fetch(url, init).then(answer => answer.text(), error => error.name)"
_SUBMIT = """([name, value]) => {
    const field = document.createElement("input");
    Object.assign(field, {name, value});
    document.forms[0].append(field);
    document.forms[0].submit();
}"""
_EMBED = """([tag, address]) => new Promise(done => {
    const node = document.createElement(tag);
    node.onload = () => done("load");
    node.onerror = () => done("error");
    Object.assign(node, tag === "link" ? {rel: "stylesheet", href: address} : {src: address});
    document.body.append(node);
})"""


class _Page(BaseHTTPRequestHandler):
    """An empty page for every path; what it does is decided by the test."""

    def do_GET(self) -> None:
        body = b"<!doctype html><title>Free coffee</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def foreign_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


@pytest.fixture
def foreign(request: pytest.FixtureRequest, foreign_port: int) -> str:
    """The address of a page on this host that is not the shop's."""
    return f"http://{request.param}:{foreign_port}/"


@contextmanager
def _attacked(context: BrowserContext, shop: Shop, address: str) -> Iterator[Page]:
    """Lead a customer with a cart to a foreign page, and hold the world against what it was before."""
    victim = visit(context, shop.url)
    log_in(victim)
    add_to_cart(victim, 0)
    articles = victim.locator("#cart-count").inner_text()
    version = victim.locator("#session-facts dd").nth(3).inner_text()
    cookie, records, start = session_cookie(context), shop.sessions(), shop.seen()
    page = context.new_page()
    page.goto(address)
    shop.exchanges.clear()
    yield page
    assert shop.sandbox.log_since(start) == []
    assert jar(context).keys() == {"bff"}
    assert session_cookie(context) == cookie
    assert shop.sessions() <= records
    victim.reload()
    expect_customer(victim, "Ada", "ada@example.com")
    assert victim.locator("#session-facts dd").nth(3).inner_text() == version
    expect(victim.locator("#cart-count")).to_have_text(articles)


def _tried(shop: Shop, page: Page) -> list[Exchange]:
    """Return what the foreign page has sent to the shop."""
    theirs = {("origin", page.url.rstrip("/")), ("referer", page.url)}
    return [one for one in shop.exchanges if theirs & one.headers.items()]


@pytest.mark.parametrize("mode", ["no-cors", "cors"])
def test_requests_of_a_foreign_script_change_and_tell_nothing(
    context: BrowserContext, shop: Shop, foreign: str, mode: str
) -> None:
    with _attacked(context, shop, foreign) as page:
        for method, paths in _ATTEMPTS.items():
            for path in paths:
                init = {"method": method, "credentials": "include"}
                if method == "POST":
                    init["body"] = json.dumps(GRACE)
                # A resource policy of same-origin keeps even the opaque answer away.
                assert page.evaluate(_FETCH, [shop.url + path, init | {"mode": mode}]) == "TypeError", path
        tried = _tried(shop, page)
        assert len(tried) == sum(map(len, _ATTEMPTS.values()))
        assert {(one.status, tuple(one.set_cookie)) for one in tried} == {(403, ())}
        assert {"bff=" in one.headers.get("cookie", "") for one in tried} == {"localhost" in foreign}


def test_a_foreign_script_may_not_send_the_proof(context: BrowserContext, shop: Shop, foreign: str) -> None:
    with _attacked(context, shop, foreign) as page:
        for path in _PROVEN:
            for headers in (
                {"X-CSRF": "1"},
                {"X-Session-Transport": "header"},
                {"Authorization": "Bearer x"},
            ):
                init = {"method": "POST", "credentials": "include", "headers": headers}
                assert page.evaluate(_FETCH, [shop.url + path, init]) == "TypeError"
        tried = _tried(shop, page)
        assert len(tried) >= len(_PROVEN)
        assert {one.method for one in tried} == {"OPTIONS"}


@pytest.mark.parametrize("encoding", ["application/x-www-form-urlencoded", "text/plain"])
def test_a_foreign_form_is_refused(context: BrowserContext, shop: Shop, foreign: str, encoding: str) -> None:
    with _attacked(context, shop, foreign) as page:
        for path in ("/auth/logout", "/auth/login", "/auth/anonymous", _CART):
            page.goto(foreign)
            page.set_content(f'<form method="post" action="{shop.url}{path}" enctype="{encoding}"></form>')
            shop.exchanges.clear()
            with page.expect_navigation() as gone:
                page.evaluate(_SUBMIT, [json.dumps(GRACE)[:-1] + ', "x": "', '"}'])
            assert gone.value is not None
            assert gone.value.status == 403
            assert gone.value.json()["code"] == "csrf_failed"
            (tried,) = [one for one in shop.exchanges if one.method == "POST"]
            assert tried.set_cookie == []
            assert ("bff=" in tried.headers.get("cookie", "")) == ("localhost" in foreign)


@pytest.mark.parametrize("tag", ["img", "script", "link"])
def test_what_a_foreign_page_embeds_begins_no_sign_on(
    context: BrowserContext, shop: Shop, foreign: str, tag: str
) -> None:
    with _attacked(context, shop, foreign) as page:
        assert page.evaluate(_EMBED, [tag, shop.url + _SIGN_ON]) == "error"
        (tried,) = _tried(shop, page)
        assert (tried.path, tried.status, tried.set_cookie) == ("/auth/sso/sandbox", 403, [])


@pytest.mark.parametrize("path", ["/", "/auth/session", "/livez"])
def test_the_shop_is_not_shown_in_a_foreign_frame(
    context: BrowserContext, shop: Shop, foreign: str, path: str
) -> None:
    with _attacked(context, shop, foreign) as page:
        page.evaluate(_EMBED, ["iframe", shop.url + path])
        (frame,) = page.main_frame.child_frames
        while frame.url in {"", "about:blank"}:
            page.wait_for_timeout(20)
        assert frame.url == "chrome-error://chromewebdata/"


def test_a_foreign_frame_begins_no_sign_on(context: BrowserContext, shop: Shop, foreign: str) -> None:
    with _attacked(context, shop, foreign) as page:
        page.evaluate(_EMBED, ["iframe", shop.url + _SIGN_ON])
        (tried,) = _tried(shop, page)
        assert tried.headers["sec-fetch-dest"] == "iframe"
        assert (tried.path, tried.status, tried.set_cookie) == ("/auth/sso/sandbox", 403, [])


def test_a_link_from_a_foreign_page_opens_the_shop_as_the_customer(
    context: BrowserContext, shop: Shop, foreign: str
) -> None:
    with _attacked(context, shop, foreign) as page:
        pass
    page.set_content(f'<a href="{shop.url}/">to the shop</a>')
    page.get_by_role("link").click()
    expect_customer(page, "Ada", "ada@example.com")
    name = add_to_cart(page, 1)
    page.locator("#cart-open").click()
    expect(page.locator("#cart-lines")).to_contain_text(name)
