"""The route table from outside: a request that it does not allow is refused and not sent upstream."""

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import httpx2
import pytest

from tests.integration.wire import Watch, send
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment

INTERCEPTED = (
    "GET /customerlogin/auth/anonymous/login?tenant=acmeshop&client_id=storefront",
    "GET /customerlogin/auth/anonymous/refresh?tenant=acmeshop&client_id=storefront&refresh_token=x",
    "POST /customer/acmeshop/login",
    "GET /customer/acmeshop/logout",
    "GET /customer/acmeshop/refreshauthtoken",
    "GET /customer/acmeshop/validateauthtoken",
    "POST /customer/acmeshop/socialLogin",
    "POST /customer/acmeshop/exchangeauthtoken",
    "GET /customer/acmeshop/signup/optin/token",
    "POST /oauth/token",
)
UNKNOWN = (
    "GET /",
    "GET /nothing",
    "GET /product",
    "GET /product/acmeshop",
    "GET /product/acmeshop/products/1/2",
    "POST /product/acmeshop/products",
    "PATCH /product/acmeshop/products/1",
    "GET /PRODUCT/acmeshop/products",
    "GET /product/acmeshop/Products",
    "GET /__sandbox__/issued",
    "GET /api/product/acmeshop/products",
    "TRACE /product/acmeshop/products",
    "CONNECT /product/acmeshop/products",
    "PURGE /product/acmeshop/products",
    "get /product/acmeshop/products",
)
MALFORMED = frozenset({"GET /", "get /product/acmeshop/products"})


def never() -> Iterator[tuple[str, str]]:
    table = tomllib.loads(files("bff.api").joinpath("routes.toml").read_text("utf-8"))["never"]
    for key in table:
        methods, _, template = key.partition(" ")
        path = "/".join(
            TENANT if part == "{tenant}" else "x1" if part.startswith(("{", "**")) else part
            for part in template.split("/")
        )
        yield from ((method, path) for method in methods.split(","))


def refused(answer: httpx2.Response, code: str = "route_not_allowed") -> bool:
    return answer.status_code == 403 and answer.json()["code"] == code


def test_every_never_route_is_refused_even_for_a_customer(proxy: LiveProxy, sandbox: Sandbox) -> None:
    routes = list(never())
    assert len(routes) > 300
    with proxy.browser() as browser:
        assert browser.post("/auth/login", json=ADA).status_code == 200
        watch = Watch(sandbox)
        open_ones = [
            (method, path)
            for method, path in routes
            if (answer := browser.request(method, f"/api{path}")).status_code != 403
            or (method != "HEAD" and answer.json()["code"] != "route_not_allowed")
        ]
    assert open_ones == []
    assert watch.records() == []


@pytest.mark.parametrize("call", [*INTERCEPTED, *UNKNOWN])
def test_a_request_that_is_not_in_the_table_is_refused(proxy: LiveProxy, sandbox: Sandbox, call: str) -> None:
    watch = Watch(sandbox)
    answer = send(proxy, *call.replace(" ", " /api", 1).split(" "))
    assert answer.status == (400 if call in MALFORMED else 403)
    assert answer.all("set-cookie") == []
    assert watch.records() == []


@pytest.mark.parametrize("call", sorted({*INTERCEPTED, *UNKNOWN} - MALFORMED))
def test_a_refused_route_gets_a_problem_with_its_reason(proxy: LiveProxy, call: str) -> None:
    method, _, target = call.partition(" ")
    answer = send(proxy, method, f"/api{target}")
    assert (answer.status, answer.json()["code"]) == (403, "route_not_allowed")
    assert answer.all("content-type") == ["application/problem+json"]


@pytest.mark.parametrize(
    "path", ["/product/othershop/products", "/cart/ACMESHOP/carts", "/site/acmeshop2/sites"]
)
def test_a_path_of_another_tenant_is_refused(proxy: LiveProxy, sandbox: Sandbox, path: str) -> None:
    watch = Watch(sandbox)
    with proxy.browser() as browser:
        assert refused(browser.get(f"/api{path}"), "forbidden")
        assert "set-cookie" not in browser.get(f"/api{path}").headers
    assert watch.records() == []


@pytest.mark.parametrize("start", [False, True], ids=["nobody", "guest"])
def test_a_route_for_customers_requires_a_login(proxy: LiveProxy, sandbox: Sandbox, *, start: bool) -> None:
    with proxy.browser() as browser:
        if start:
            browser.post("/auth/anonymous")
        watch = Watch(sandbox)
        for method, path in (("GET", "/order-v2/acmeshop/orders"), ("PATCH", "/customer/acmeshop/me")):
            answer = browser.request(method, f"/api{path}")
            assert (answer.status_code, answer.json()["code"]) == (401, "login_required")
            assert "set-cookie" not in answer.headers
        assert watch.records() == []
        assert browser.post("/auth/login", json=ADA).status_code == 200
        assert browser.get("/api/order-v2/acmeshop/orders").status_code == 200


def test_an_anonymous_route_uses_the_shared_token_for_a_customer(proxy: LiveProxy, sandbox: Sandbox) -> None:
    path = "/customer/acmeshop/password/reset"
    with proxy.browser() as browser:
        browser.post("/auth/anonymous")
        watch = Watch(sandbox)
        assert browser.post(f"/api{path}", json={"email": "nobody@example.com"}).status_code == 204
        assert browser.post("/auth/login", json=ADA).status_code == 200
        assert browser.post(f"/api{path}", json={"email": "nobody@example.com"}).status_code == 204
        login = watch.of("/customer/acmeshop/login")[0]
    guest, customer = watch.of(path)
    assert (guest["bearer"], guest["sessionId"]) == ("anonymous", login["sessionId"])
    assert customer["bearer"] == "anonymous"
    assert customer["sessionId"] != login["sessionId"]


ROUTES = """
[routes]
"GET /price/{tenant}/prices" = "on"
"GET /product/{tenant}/products" = "off"
"POST,PATCH /cart/{tenant}/carts/{cartId}" = "session session-id"
"GET /acme/{tenant}/things/{id}" = "customer"
"GET /currency/{tenant}/currencies" = "session"
"""


@pytest.fixture(scope="module")
def tailored(
    sandbox_process: Sandbox, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveProxy]:
    file = tmp_path_factory.mktemp("routes") / "routes.toml"
    file.write_text(ROUTES)
    with LiveProxy(environment(sandbox_process, redis_url, BFF_ROUTES_FILE=str(file))) as proxy:
        yield proxy


def test_an_opt_in_route_is_refused_until_a_file_allows_it(
    proxy: LiveProxy, tailored: LiveProxy, sandbox: Sandbox
) -> None:
    path = "/price/acmeshop/prices"
    watch = Watch(sandbox)
    with proxy.browser() as shut, tailored.browser() as opened:
        assert refused(shut.get(f"/api{path}"))
        assert not refused(opened.get(f"/api{path}"))
    assert [one["bearer"] for one in watch.of(path)] == ["anonymous"]


def test_a_file_can_refuse_a_route_without_affecting_others(tailored: LiveProxy, sandbox: Sandbox) -> None:
    watch = Watch(sandbox)
    with tailored.browser() as browser:
        assert refused(browser.get("/api/product/acmeshop/products"))
        assert browser.head("/api/product/acmeshop/products").status_code == 403
        assert watch.records() == []
        assert browser.get("/api/product/acmeshop/products/__echo__").status_code == 200


def test_a_file_can_add_and_replace_routes(tailored: LiveProxy, sandbox: Sandbox) -> None:
    watch = Watch(sandbox)
    with tailored.browser() as browser:
        assert browser.post("/api/cart/acmeshop/carts/__echo__").json()["method"] == "POST"
        assert browser.get("/api/acme/acmeshop/things/1").json()["code"] == "login_required"
        assert refused(browser.get("/api/acme/othershop/things/1"), "forbidden")
        assert browser.get("/api/currency/acmeshop/currencies").status_code == 200
    own = {one["sessionId"] for one in watch.of("/currency/acmeshop/currencies")}
    assert own == {watch.of("/cart/acmeshop/carts/__echo__")[0]["sessionId"]}


@pytest.mark.parametrize(
    "line",
    [
        '"POST /customer/{tenant}/login" = "session"',
        '"POST /oauth/token" = "public"',
        '"GET /iam/{tenant}/users/{userId}" = "on"',
        '"GET /product/{tenant}/products" = "everybody"',
        '"GET /../{tenant}" = "public"',
    ],
)
def test_the_proxy_does_not_start_with_an_invalid_route_file(
    sandbox: Sandbox, redis_url: str, tmp_path: Path, line: str
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(f"[routes]\n{line}\n")
    with pytest.raises(RuntimeError, match="ended with 2"):
        LiveProxy(environment(sandbox, redis_url, BFF_ROUTES_FILE=str(file)))
