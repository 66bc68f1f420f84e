"""Paths and queries that another server could read differently are refused as received."""

import pytest

from tests.integration.wire import (
    ANONYMOUS_LOGIN,
    CART_ECHO,
    PRODUCT_ECHO,
    Watch,
    answer_on,
    dial,
    head,
    send,
)
from tests.live import LiveProxy, Sandbox

SEGMENTS = {
    "dot segment": "/product/acmeshop/./products",
    "dot dot segment": "/product/acmeshop/products/../../../oauth/token",
    "dot dot at the end": "/product/acmeshop/products/..",
    "dot at the end": "/product/acmeshop/products/.",
    "dot dot with a parameter": "/product/acmeshop/products/..;a=b",
    "escaped dot": "/product/acmeshop/products/%2e",
    "escaped dot dot": "/product/acmeshop/products/%2e%2e/x",
    "half escaped dot dot": "/product/acmeshop/products/.%2E/x",
    "escaped unreserved": "/product/acmeshop/%70roducts",
    "double slash": "/product//acmeshop/products",
    "double slash at the start": "//product/acmeshop/products",
    "slash at the end": "/product/acmeshop/products/",
    "escaped slash": "/product/acmeshop/products/a%2fb",
    "escaped slash upper": "/product/acmeshop/products/a%2Fb",
    "escaped backslash": "/product/acmeshop/products/a%5cb",
    "escaped backslash upper": "/product/acmeshop/products/..%5C..",
    "backslash": "/product/acmeshop/products/a\\b",
    "backslash dot dot": "/product/acmeshop/products\\..\\..",
    "escaped nul": "/product/acmeshop/products/a%00b",
    "escaped control": "/product/acmeshop/products/a%0d%0aX:1",
    "escaped delete": "/product/acmeshop/products/a%7f",
    "escaped hash": "/product/acmeshop/products/a%23b",
    "hash": "/product/acmeshop/products/a#b",
    "double escape": "/product/acmeshop/products/%252e%252e",
    "broken escape": "/product/acmeshop/products/a%2",
    "no escape": "/product/acmeshop/products/a%zzb",
    "no UTF-8": "/product/acmeshop/products/%ff%fe",
    "overlong UTF-8": "/product/acmeshop/products/%c0%ae%c0%ae",
    "raw latin": "/product/acmeshop/products/\xe9",
    "raw C1": "/product/acmeshop/products/\x85",
    "raw control": "/product/acmeshop/products/a\x01b",
    "raw tab": "/product/acmeshop/products/a\tb",
    "raw delete": "/product/acmeshop/products/a\x7fb",
    "raw nul": "/product/acmeshop/products/a\x00b",
    "quote": '/product/acmeshop/products/"',
    "angle": "/product/acmeshop/products/<a>",
    "pipe": "/product/acmeshop/products/a|b",
    "caret": "/product/acmeshop/products/a^b",
    "braces": "/product/acmeshop/products/{a}",
    "raw latin query": "/product/acmeshop/products?a=\xe9",
    "raw control query": "/product/acmeshop/products?a=\x01",
    "parameter alone": "/product/acmeshop/;a=b/products",
    "too long": "/product/acmeshop/products/" + "a" * 9000,
    "too long a query": "/product/acmeshop/products?a=" + "a" * 9000,
}


@pytest.mark.parametrize("target", SEGMENTS.values(), ids=SEGMENTS.keys())
def test_an_ambiguous_target_is_refused_and_not_sent_upstream(
    proxy: LiveProxy, sandbox: Sandbox, target: str
) -> None:
    watch = Watch(sandbox)
    answer = send(proxy, "GET", f"/api{target}")
    assert answer.status == 400
    assert answer.all("set-cookie") == []
    assert watch.records() == []


@pytest.mark.parametrize("target", [SEGMENTS["dot dot segment"], SEGMENTS["hash"], SEGMENTS["escaped slash"]])
def test_a_refused_target_gets_a_problem_response(proxy: LiveProxy, target: str) -> None:
    answer = send(proxy, "GET", f"/api{target}")
    assert (answer.json()["code"], answer.json()["status"]) == ("invalid_request", 400)
    assert answer.all("content-type") == ["application/problem+json"]


@pytest.mark.parametrize(
    "target",
    [
        "/api/../oauth/token",
        "/auth/../api/product/acmeshop/products",
        "//api/product/acmeshop/products",
        "/%61pi/product/acmeshop/products",
        "/ap%69/oauth/token",
        "\\api\\product",
        "*",
    ],
)
def test_no_other_spelling_of_the_prefix_reaches_upstream(
    proxy: LiveProxy, sandbox: Sandbox, target: str
) -> None:
    watch = Watch(sandbox)
    assert send(proxy, "GET", target).status in {400, 404}
    assert watch.records() == []


def test_a_raw_hash_in_the_query_is_refused(proxy: LiveProxy, sandbox: Sandbox) -> None:
    watch = Watch(sandbox)
    assert send(proxy, "GET", f"/api{PRODUCT_ECHO}?a=b#c").status == 400
    assert watch.of(PRODUCT_ECHO) == []


AUTHORITIES = pytest.mark.parametrize(
    "authority", ["http://127.0.0.1:{port}", "http://evil.example", "https://user@evil.example"]
)


@AUTHORITIES
def test_the_authority_of_an_absolute_target_is_not_used(
    proxy: LiveProxy, sandbox: Sandbox, authority: str
) -> None:
    watch = Watch(sandbox)
    answer = send(proxy, "GET", authority.format(port=proxy.port) + f"/api{PRODUCT_ECHO}")
    assert b"evil.example" not in answer.body
    assert {one["path"] for one in watch.records()} <= {PRODUCT_ECHO, ANONYMOUS_LOGIN}


@pytest.mark.parametrize("path", ["", "/product/acmeshop/products/..", "//"])
def test_an_absolute_target_with_an_ambiguous_path_is_refused(
    proxy: LiveProxy, sandbox: Sandbox, path: str
) -> None:
    watch = Watch(sandbox)
    assert send(proxy, "GET", f"http://127.0.0.1:{proxy.port}/api{path}").status in {400, 404}
    assert watch.records() == []


def test_a_second_request_cannot_be_smuggled_in_the_first(proxy: LiveProxy, sandbox: Sandbox) -> None:
    watch = Watch(sandbox)
    smuggled = f"GET {CART_ECHO}?hidden=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with dial(proxy) as connection:
        start = head(proxy, f"PUT /api{CART_ECHO} HTTP/1.1", [f"Content-Length: {len(smuggled)}"])
        connection.sendall(start + smuggled)
        assert answer_on(connection).json()["bodyLength"] == len(smuggled)
    assert [one["method"] for one in watch.of(CART_ECHO)] == ["PUT"]


@pytest.mark.parametrize(
    "line", ["X-A: 1\r\n Folded: 2", "X-A : 1", "X A: 1", "X-A: a\x00b", "X-A: a\rb", ": x"]
)
def test_a_malformed_header_is_not_sent_upstream(proxy: LiveProxy, sandbox: Sandbox, line: str) -> None:
    watch = Watch(sandbox)
    with dial(proxy) as connection:
        connection.sendall(head(proxy, f"GET /api{PRODUCT_ECHO} HTTP/1.1", [line]))
        assert answer_on(connection).status == 400
    assert watch.of(PRODUCT_ECHO) == []
