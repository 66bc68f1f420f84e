"""Which headers of an upstream response are never sent to the client, and which ones the proxy sets instead."""

import pytest

from tests.integration.visitors import PRODUCTS
from tests.integration.wire import CART_ECHO, PRODUCT_ECHO, Upstream, reply, send
from tests.live import TENANT, LiveProxy

COUNTRIES = f"/api/country/{TENANT}/countries"
DROPPED = (
    *("Set-Cookie", "Set_Cookie", "Set-Cookie2", "Server", "Via", "X-Powered-By"),
    *("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"),
    *("Access_Control_Allow_Origin", "Access-Control-Max-Age"),
    *("Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Trailer", "Upgrade"),
    *("X-Session-Version", "X-Session-Id", "X_Session_Id", "X-Request-Id", "X-CSRF"),
    *("saas-token", "Authorization", "session-id", "X-Hop"),
)


@pytest.mark.parametrize("name", DROPPED)
def test_a_response_header_that_the_upstream_may_not_set_is_removed(
    wired: LiveProxy, upstream: Upstream, name: str
) -> None:
    whole = reply("200 OK", f"{name}: smuggled", "X-Passes: yes", body=b"{}")
    upstream.answers(whole.replace(b"Connection: close", b"Connection: close, X-Hop"))
    answer = send(wired, "GET", PRODUCTS)
    assert answer.status == 200
    assert not [field for field in answer.fields if "smuggled" in field[1]]
    assert answer.all("x-passes") == ["yes"]


@pytest.mark.parametrize("echo", [PRODUCT_ECHO, CART_ECHO])
def test_the_unwanted_headers_of_the_sandbox_are_removed(proxy: LiveProxy, echo: str) -> None:
    answer = send(proxy, "GET", f"/api{echo}?setcookie=1")
    assert answer.status == 200
    assert answer.json()["query"] == "setcookie=1"
    assert not any("upstream=1" in value for value in answer.all("set-cookie"))
    for name in ("server", "access-control-allow-origin", "x-hop", "keep-alive"):
        assert answer.all(name) == []
    (version,) = answer.all("x-session-version")
    assert (version == "0") is (echo == PRODUCT_ECHO)
    assert version.isdecimal()


def test_every_response_has_the_session_version(proxy: LiveProxy) -> None:
    with proxy.browser() as browser:
        assert browser.get(f"/api{PRODUCT_ECHO}").headers["x-session-version"] == "0"
        version = browser.post("/auth/anonymous").json()["version"]
        for path, status in ((PRODUCT_ECHO, 200), (f"/customer/{TENANT}/me/addresses", 401)):
            answer = browser.get(f"/api{path}?setcookie=1")
            assert answer.status_code == status
            assert answer.headers.get_list("x-session-version") == [str(version)]


def test_cors_headers_come_from_the_proxy(proxy: LiveProxy) -> None:
    answer = send(proxy, "GET", f"/api{PRODUCT_ECHO}?setcookie=1", f"Origin: {proxy.url}")
    assert answer.all("access-control-allow-origin") == [proxy.url]
    assert answer.all("access-control-allow-credentials") == ["true"]


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("{upstream}/cart/acmeshop/carts/1?x=y#f", "/api/cart/acmeshop/carts/1?x=y#f"),
        ("/cart/acmeshop/carts/1?x=%41", "/api/cart/acmeshop/carts/1?x=%41"),
        ("//{host}/a", "/api/a"),
        ("{upstream}", "/api/"),
        ("https://elsewhere.example/a?b", "https://elsewhere.example/a?b"),
        ("//elsewhere.example/a", "//elsewhere.example/a"),
    ],
)
@pytest.mark.parametrize("status", ["201 Created", "302 Found", "307 Temporary Redirect"])
def test_a_location_on_the_upstream_is_rewritten_to_the_proxy(
    wired: LiveProxy, upstream: Upstream, location: str, seen: str, status: str
) -> None:
    where = location.format(upstream=upstream.url, host=upstream.url.removeprefix("http://"))
    upstream.answers(reply(status, f"Location: {where}"))
    answer = send(wired, "GET", PRODUCTS)
    assert answer.status == int(status[:3])
    assert answer.all("location") == [seen]
    assert len(upstream.seen) == 1


def test_no_redirect_is_followed(proxy: LiveProxy) -> None:
    answer = send(proxy, "GET", f"/api{PRODUCT_ECHO}?location=/product/acmeshop/products")
    assert (answer.status, answer.all("location")) == (302, ["/api/product/acmeshop/products"])


def test_no_response_contains_the_upstream_host(wired: LiveProxy, upstream: Upstream) -> None:
    upstream.answers(
        reply("302 Found", f"Location: {upstream.url}/..%2f/x", f"Content-Location: {upstream.url}/y")
    )
    host = upstream.url.removeprefix("http://")
    assert not [field for field in send(wired, "GET", PRODUCTS).fields if host in field[1]]


@pytest.mark.parametrize("says", ["public, max-age=600", "max-age=1, immutable", "no-cache", "s-maxage=9"])
@pytest.mark.parametrize("echo", [PRODUCT_ECHO, CART_ECHO])
def test_a_response_is_not_cacheable_whatever_the_upstream_allows(
    proxy: LiveProxy, echo: str, says: str
) -> None:
    answer = send(proxy, "GET", f"/api{echo}?cache={says.replace(' ', '%20')}")
    assert answer.status == 200
    assert answer.all("cache-control") == ["private, no-store"]


def test_an_error_of_the_upstream_is_not_cacheable(proxy: LiveProxy) -> None:
    answer = send(proxy, "GET", f"/api{PRODUCT_ECHO}?status=404&cache=max-age=60")
    assert answer.all("cache-control") == ["private, no-store"]


@pytest.mark.parametrize(
    ("says", "kept"),
    [
        ("public, max-age=600, s-maxage=9999", "private, max-age=600"),
        ("no-store, max-age=600", "private, no-store"),
        ("no-cache", "private, no-cache"),
    ],
)
def test_only_the_browser_may_cache_master_data(
    wired: LiveProxy, upstream: Upstream, says: str, kept: str
) -> None:
    fields = [f"Cache-Control: {says}", "Expires: Thu, 01 Jan 2099 00:00:00 GMT", "Pragma: public", "Age: 0"]
    upstream.answers(reply("200 OK", *fields, body=b"[]"))
    answer = send(wired, "GET", COUNTRIES)
    assert answer.all("cache-control") == [kept]
    assert (answer.all("expires"), answer.all("pragma")) == ([], [])


def test_master_data_is_not_cacheable_without_permission_of_the_upstream(proxy: LiveProxy) -> None:
    answer = send(proxy, "GET", COUNTRIES)
    assert (answer.status, answer.all("cache-control")) == (200, ["private, no-store"])


def test_a_304_with_a_content_length_has_no_body(wired: LiveProxy, upstream: Upstream) -> None:
    upstream.answers(reply("304 Not Modified", 'ETag: "v1"', "Content-Length: 500", length=False))
    answer = send(wired, "GET", PRODUCTS)
    assert (answer.status, answer.body, answer.all("etag")) == (304, b"", ['"v1"'])
    assert not [line for line in wired.log_lines() if line["event"] == "unexpected"]


def test_an_invalid_status_is_a_bad_upstream_answer(wired: LiveProxy, upstream: Upstream) -> None:
    upstream.answers(reply("799 What", body=b"{}"))
    answer = send(wired, "GET", PRODUCTS)
    assert (answer.status, answer.json()["code"]) == (502, "bad_upstream_answer")
