"""Existing Emporix clients in drop-in mode: what they call beyond the reference, and how they are refused."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.integration.wire import Watch, send
from tests.live import ADA, CLIENT_ID, TENANT, LiveProxy, Sandbox, environment

ANONYMOUS = "/api/customerlogin/auth/anonymous/login"
ADDRESS = f"/customer/{TENANT}/me/addresses/home"
PRESET = (
    ("GET", f"/availability/{TENANT}/availability", "anonymous"),
    ("PUT", ADDRESS, "customer"),
    ("GET", f"/caas-customer/{TENANT}/customers", "customer"),
    ("PATCH", f"/caas-customer/{TENANT}/customers/C1", "customer"),
    ("GET", f"/caas-indexing/{TENANT}/project/configuration", "anonymous"),
    ("POST", f"/product/{TENANT}/search", "anonymous"),
    ("GET", "/reward-points/public/customer/redeemOptions", "customer"),
)
COMPANIES = (
    ("GET", f"/customer-management/{TENANT}/legal-entities"),
    ("POST", f"/customer-management/{TENANT}/legal-entities/search"),
)


@pytest.fixture(scope="module")
def stock_process(
    sandbox_process: Sandbox, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveProxy]:
    file = tmp_path_factory.mktemp("routes") / "routes.toml"
    file.write_text('[routes]\n"GET /iam/{tenant}/groups" = "on"\n')
    environ = environment(sandbox_process, redis_url, BFF_DROP_IN="true", BFF_ROUTES_FILE=str(file))
    with LiveProxy(environ) as proxy:
        yield proxy


@pytest.fixture
def stock(stock_process: LiveProxy, sandbox: Sandbox) -> LiveProxy:
    return stock_process


@pytest.fixture
def client(stock: LiveProxy) -> Iterator[httpx2.Client]:
    """A client that holds the placeholder of a guest's token and knows nothing of the proxy."""
    with httpx2.Client(base_url=stock.url, trust_env=False, timeout=30) as client:
        tokens = client.get(ANONYMOUS, params={"tenant": TENANT, "client_id": CLIENT_ID}).json()
        client.headers["authorization"] = f"Bearer {tokens['access_token']}"
        yield client


@pytest.mark.parametrize(("method", "path", "token"), PRESET)
def test_what_they_call_beyond_the_reference_is_open_to_them(
    stock: LiveProxy, sandbox: Sandbox, method: str, path: str, token: str
) -> None:
    with stock.browser() as browser:
        if token == "customer":
            assert browser.post("/auth/login", json=ADA).status_code == 200
        watch = Watch(sandbox)
        browser.request(method, f"/api{path}", json=None if method == "GET" else {})
    assert [one["bearer"] for one in watch.of(path, method)] == [token]


@pytest.mark.parametrize(("method", "path", "token"), PRESET)
def test_it_is_closed_elsewhere(
    proxy: LiveProxy, sandbox: Sandbox, method: str, path: str, token: str
) -> None:
    with proxy.browser() as browser:
        if token == "customer":
            assert browser.post("/auth/login", json=ADA).status_code == 200
        watch = Watch(sandbox)
        answer = browser.request(method, f"/api{path}", json=None if method == "GET" else {})
    assert (answer.status_code, answer.json()["code"]) == (403, "route_not_allowed")
    assert watch.records() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"/customer/{TENANT}/me"),
        ("DELETE", f"/caas-customer/{TENANT}/customers/C1"),
        ("POST", f"/caas-customer/{TENANT}/login"),
        ("POST", f"/iam/{TENANT}/groups"),
        ("GET", f"/customer-management/{TENANT}/locations"),
    ],
)
def test_what_is_near_it_stays_closed(stock: LiveProxy, sandbox: Sandbox, method: str, path: str) -> None:
    with stock.browser() as browser:
        assert browser.post("/auth/login", json=ADA).status_code == 200
        watch = Watch(sandbox)
        assert browser.request(method, f"/api{path}").json()["code"] == "route_not_allowed"
    assert watch.records() == []


@pytest.mark.parametrize(("method", "path"), [*COMPANIES, ("GET", f"/iam/{TENANT}/groups")])
def test_a_customer_reads_companies_and_the_groups_that_an_operator_opened(
    stock: LiveProxy, sandbox: Sandbox, method: str, path: str
) -> None:
    with stock.browser() as browser:
        assert browser.post("/auth/login", json=ADA).status_code == 200
        watch = Watch(sandbox)
        browser.request(method, f"/api{path}", json=None if method == "GET" else {})
    assert [one["bearer"] for one in watch.of(path, method)] == ["customer"]


def test_one_trailing_slash_is_taken_off_before_matching_and_sending(
    client: httpx2.Client, sandbox: Sandbox
) -> None:
    watch = Watch(sandbox)
    answer = client.post(f"/api/customer/{TENANT}/password/reset/", json={"email": "nobody@example.com"})
    assert answer.status_code == 204
    assert client.get(f"/api/product/{TENANT}/products/?pageSize=1").status_code == 200
    assert client.get(f"{ANONYMOUS}/", params={"tenant": TENANT, "client_id": CLIENT_ID}).status_code == 200
    assert [(one["path"], one["query"]) for one in watch.records()] == [
        (f"/customer/{TENANT}/password/reset", {}),
        (f"/product/{TENANT}/products", {"pageSize": "1"}),
    ]


@pytest.mark.parametrize("ending", ["//", "/%2F", "/%2f", "%2F", "/./"])
def test_no_other_ending_is(stock: LiveProxy, sandbox: Sandbox, ending: str) -> None:
    watch = Watch(sandbox)
    assert send(stock, "GET", f"/api/product/{TENANT}/products{ending}").status == 400
    assert watch.records() == []


def test_a_trailing_slash_is_no_path_elsewhere(proxy: LiveProxy, sandbox: Sandbox) -> None:
    watch = Watch(sandbox)
    with proxy.browser() as browser:
        assert browser.get(f"/api/product/{TENANT}/products/").status_code == 400
    assert watch.records() == []


def test_their_refusals_have_emporix_shape(client: httpx2.Client) -> None:
    refused = client.get(f"/api/order-v2/{TENANT}/salesorders")
    assert (refused.status_code, refused.json()["status"]) == (403, 403)
    assert refused.json()["type"] == "route_not_allowed"
    assert set(refused.json()) == {"status", "type", "message", "moreInfo", "details"}
    assert refused.headers["content-type"] == "application/json"
    login = client.get(f"/api/order-v2/{TENANT}/orders")
    assert login.status_code == 401
    assert login.json()["fault"]["detail"]["errorcode"] == "login_required"
    foreign = client.get("/api/product/othershop/products")
    assert (foreign.status_code, foreign.json()["type"]) == (403, "forbidden")
    assert client.get(f"/api/product/{TENANT}/a%2Fb").json()["type"] == "invalid_request"


def test_a_page_that_knows_the_proxy_gets_problem_details(stock: LiveProxy) -> None:
    with stock.browser() as browser:
        refused = browser.get(f"/api/order-v2/{TENANT}/salesorders")
    assert refused.headers["content-type"] == "application/problem+json"
    assert (refused.status_code, refused.json()["code"]) == (403, "route_not_allowed")
