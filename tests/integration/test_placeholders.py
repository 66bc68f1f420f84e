"""A stock storefront's walk from outside: it forgets tokens instead of logging out, and merges carts by itself."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.integration.stock import ANONYMOUS, CARTS, CUSTOMER, Stock
from tests.integration.visitors import ANONYMOUS_REFRESH, CUSTOMER_REFRESH, calls, fault, knob, seen
from tests.live import GRACE, TENANT, LiveProxy, Sandbox, environment

ORDERS = f"/order-v2/{TENANT}/orders"
ORDER = f"/checkout/{TENANT}/checkouts/order"
PRODUCTS = f"/product/{TENANT}/products"


@pytest.fixture(scope="module")
def drop_in_process(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    settings = environment(sandbox_process, redis_url, BFF_DROP_IN="true")
    with LiveProxy(settings, "--workers", "2", group=True) as proxy:
        yield proxy


@pytest.fixture
def drop_in(drop_in_process: LiveProxy, sandbox: Sandbox) -> LiveProxy:
    """A proxy with two workers and no site whose carts it would merge."""
    return drop_in_process


def item(product: str) -> dict[str, object]:
    yrn = f"urn:yaas:saasag:caasproduct:product:{TENANT};{product}"
    return {"itemYrn": yrn, "product": {"id": product}, "quantity": 1}


def fills_a_cart(shop: Stock, product: str) -> str:
    query = {"siteCode": "main", "create": "true", "sessionId": shop.session_id}
    cart = str(shop.ask("GET", CARTS, params=query).json()["id"])
    assert shop.ask("POST", f"{CARTS}/{cart}/items", json=item(product)).status_code == 201
    return cart


def products_in(answer: httpx2.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {one["product"]["id"] for one in answer.json()["items"]}


def owner_of_orders(sandbox: Sandbox, since: int) -> list[str | None]:
    """Return as which customer orders were placed, as upstream saw it."""
    return [one["customer"] for one in sandbox.log_since(since) if one["path"] == ORDER]


def refused(answer: httpx2.Response) -> None:
    assert answer.status_code == 401, answer.text
    assert set(answer.json()) == {"fault"}
    assert answer.headers["content-type"] == "application/json"


def test_a_storefront_that_forgets_instead_of_logging_out(drop_in: LiveProxy, sandbox: Sandbox) -> None:
    with Stock(drop_in) as shop:
        guest = shop.begin()
        cart = fills_a_cart(shop, "morning-ledge")

        ada = shop.login()
        assert ada["session_id"] == guest["sessionId"]
        own = shop.ask("GET", CARTS, params={"siteCode": "main", "create": "true"}).json()["id"]
        assert own != cart
        shop.bearer = guest["access_token"]
        found = shop.ask("GET", CARTS, params={"siteCode": "main", "sessionId": shop.session_id})
        assert (found.json()["id"], products_in(found)) == (cart, {"morning-ledge"})
        shop.bearer = ada["access_token"]
        assert shop.ask("POST", f"{CARTS}/{own}/merge", json={"carts": [cart]}).status_code == 200
        assert products_in(shop.ask("GET", f"{CARTS}/{own}")) == {"morning-ledge"}
        assert shop.name() == "Ada"

        shop.bearer = guest["access_token"]  # "sign out"
        assert shop.name() == "Anonymous"
        refused(shop.ask("GET", ORDERS))
        refused(shop.ask("GET", f"{CUSTOMER}/me/addresses"))
        assert shop.begin()["access_token"] == guest["access_token"]
        before = seen(sandbox)
        order = {"cartId": fills_a_cart(shop, "morning-ledge"), "customer": {"guest": True}}
        placed = shop.ask("POST", ORDER, json=order, headers={"saas-token": ada["saas_token"]})
        assert placed.status_code == 200, placed.text
        assert owner_of_orders(sandbox, before) == [None]

        grace = shop.login(GRACE)
        assert shop.name() == "Grace"
        shop.bearer = ada["access_token"]
        refused(shop.ask("GET", f"{CUSTOMER}/me"))
        shop.bearer = grace["access_token"]
        assert shop.ask("GET", ORDERS).json() == []
        assert shop.ear.secrets_of(sandbox, ids=False) == []


def test_a_storefronts_calls_from_first_visit_to_order_are_all_known(
    drop_in: LiveProxy, sandbox: Sandbox
) -> None:
    """What the official storefront asks for a page, a cart and a checkout, beside the calls above."""
    before = seen(sandbox)
    with Stock(drop_in) as shop:
        shop.begin()
        asked: list[tuple[str, str, object]] = [
            ("GET", f"/caas-indexing/{TENANT}/project/configuration", None),
            ("GET", f"/session-context/{TENANT}/me/context", None),
            ("GET", f"/site/{TENANT}/sites?expand=mixin:*", None),
            ("GET", f"/catalog/{TENANT}/catalogs?publishedSite=main", None),
            ("GET", f"/category/{TENANT}/category-trees", None),
            ("GET", f"/category/{TENANT}/categories/shop/assignments?withSubcategories=true", None),
            ("GET", f"/category/{TENANT}/assignments/references/cloudbank", None),
            ("GET", f"/category/{TENANT}/categories/table/parents", None),
            ("GET", f"/availability/{TENANT}/availability?site=main", None),
            ("POST", f"/product/{TENANT}/search", {"yrns": ["urn:x;cloudbank"]}),
            ("GET", f"/shipping/{TENANT}/main/zones?expand=methods,fees", None),
            (
                "POST",
                f"/shipping/{TENANT}/findSite?windowsLimit=15",
                {"postalCode": "10115", "country": "DE"},
            ),
            ("GET", f"/payment-gateway/{TENANT}/paymentmodes/frontend", None),
        ]
        for method, path, body in asked:
            assert shop.ask(method, path, json=body).status_code == 200, path
        cart = fills_a_cart(shop, "cloudbank")
        ada = shop.login()
        for path in (f"/iam/{TENANT}/users/me/scopes", f"/customer-management/{TENANT}/legal-entities",
                     f"/quote/{TENANT}/quotes", "/reward-points/public/customer"):  # fmt: skip
            assert shop.ask("GET", path).status_code == 200, path
        own = shop.ask("GET", CARTS, params={"siteCode": "main", "create": "true"}).json()["id"]
        assert shop.ask("POST", f"{CARTS}/{own}/merge", json={"carts": [cart]}).status_code == 200
        order = {"cartId": own, "shipping": {"methodId": "standard", "amount": 4.2}}
        placed = shop.ask("POST", ORDER, json=order, headers={"saas-token": ada["saas_token"]})
        assert placed.status_code == 200, placed.text
        (shown,) = [one for one in shop.ask("GET", ORDERS).json() if one["id"] == placed.json()["orderId"]]
        picture = shown["entries"][0]["product"]["images"][0]["url"]
        assert httpx2.get(picture, trust_env=False).headers["content-type"] == "image/svg+xml"
    assert [one for one in calls(sandbox, before) if "(no route)" in one] == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda shop: shop.ask("GET", PRODUCTS),
        lambda shop: shop.ask("GET", CARTS, params={"siteCode": "main"}),
        lambda shop: shop.ask("GET", f"{CUSTOMER}/me"),
        lambda shop: shop.ask("PATCH", f"{CUSTOMER}/me", json={}),
        lambda shop: shop.ask("GET", ORDERS),
        lambda shop: shop.ask("POST", f"{CUSTOMER}/signup", json=GRACE),
        lambda shop: shop.ask("POST", f"{CUSTOMER}/login", json=GRACE),
        lambda shop: shop.ask("GET", f"{CUSTOMER}/logout"),
        lambda shop: shop.ask("GET", f"{CUSTOMER}/validateauthtoken"),
        lambda shop: shop.ask("GET", f"{CUSTOMER}/refreshauthtoken", params={"refreshToken": shop.bearer}),
        lambda shop: shop.ask("POST", f"{CUSTOMER}/exchangeauthtoken?subjectAccessToken=x"),
        lambda shop: shop.ask("POST", f"{CUSTOMER}/socialLogin?code=x&redirect_uri=y"),
        lambda shop: shop.ask("GET", f"{CUSTOMER}/signup/optin/x"),
    ],
)
@pytest.mark.parametrize("whose", ["nobody's", "another session's", "an ended customer's", "no cookie"])
def test_a_placeholder_that_is_not_this_sessions_is_refused_and_nothing_goes_upstream(
    drop_in: LiveProxy, sandbox: Sandbox, whose: str, ask: Callable[[Stock], httpx2.Response]
) -> None:
    with Stock(drop_in) as shop, Stock(drop_in) as other:
        other.begin()
        ada = other.login()
        if whose == "an ended customer's":
            other.ask("GET", f"{CUSTOMER}/logout", params={"accessToken": ada["access_token"]})
            shop.http.cookies = other.http.cookies
        shop.begin()
        if whose == "no cookie":
            shop.http.cookies.clear()
        else:
            shop.bearer = "x" if whose == "nobody's" else ada["access_token"]
        before = seen(sandbox)
        answer = ask(shop)
        refused(answer)
        assert "set-cookie" not in answer.headers
        assert sandbox.log_since(before) == []


def test_a_customer_whose_login_ended_is_told_and_the_guest_goes_on(
    drop_in: LiveProxy, sandbox: Sandbox
) -> None:
    with Stock(drop_in) as shop:
        guest = shop.begin()
        cart = fills_a_cart(shop, "morning-ledge")
        ada = shop.login()
        fault(sandbox, CUSTOMER_REFRESH, "unauthorized_invalid")
        fault(sandbox, "GET /customer/{tenant}/me", "unauthorized_expired", times=1)
        refused(shop.ask("GET", f"{CUSTOMER}/me"))
        refused(shop.ask("GET", f"{CUSTOMER}/me"))
        params = {"refreshToken": ada["refresh_token"]}
        refused(shop.ask("GET", f"{CUSTOMER}/refreshauthtoken", params=params))
        shop.bearer = guest["access_token"]
        assert shop.name() == "Anonymous"
        assert products_in(shop.ask("GET", f"{CARTS}/{cart}")) == {"morning-ledge"}


def test_the_guests_token_is_renewed_once_for_all_that_call_beside_a_customer(
    drop_in: LiveProxy, sandbox: Sandbox
) -> None:
    knob(sandbox, anonymousExpiresIn=1)
    with Stock(drop_in) as shop:
        guest = shop.begin()
        shop.login()
        knob(sandbox, anonymousExpiresIn=3599)
        threading.Event().wait(1.1)  # the token's own lifetime, in whole seconds
        before = seen(sandbox)
        cookie = shop.http.cookies["bff"]

        def read(_: int) -> httpx2.Response:
            with httpx2.Client(base_url=drop_in.url, trust_env=False, timeout=30) as client:
                headers = {"Authorization": f"Bearer {guest['access_token']}", "Cookie": f"bff={cookie}"}
                return client.get(f"/api{CUSTOMER}/me", headers=headers)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(read, range(8)))
        assert {(one.status_code, one.json()["firstName"]) for one in answers} == {(200, "Anonymous")}
        assert calls(sandbox, before).count(ANONYMOUS_REFRESH) == 1
        assert shop.name() == "Ada"


def test_without_a_site_in_the_settings_a_named_site_merges_nothing(
    drop_in: LiveProxy, sandbox: Sandbox
) -> None:
    with Stock(drop_in) as shop:
        shop.begin(siteCode="main")
        fills_a_cart(shop, "morning-ledge")
        before = seen(sandbox)
        shop.login()
        context = "GET /session-context/{tenant}/me/context"
        assert calls(sandbox, before) == [
            context,
            "POST /customer/{tenant}/login",
            context,
        ]  # no cart is touched


def test_a_call_with_csrf_and_no_authorization_goes_by_the_cookie_alone(drop_in: LiveProxy) -> None:
    with Stock(drop_in) as shop:
        guest = shop.begin()
        shop.login()
        shop.bearer = ""
        shop.http.headers["X-CSRF"] = "1"
        assert shop.name() == "Ada"
        shop.bearer = guest["access_token"]
        assert shop.name() == "Anonymous"


def test_a_login_by_cookie_leaves_the_guest_to_its_placeholder(drop_in: LiveProxy) -> None:
    with Stock(drop_in) as shop:
        shop.begin()
        cart = fills_a_cart(shop, "morning-ledge")
        headers = {"X-CSRF": "1"}
        shop.http.post(drop_in.url + "/auth/login", json=GRACE, headers=headers).raise_for_status()
        assert shop.name() == "Anonymous"
        assert products_in(shop.ask("GET", f"{CARTS}/{cart}")) == {"morning-ledge"}
        shop.http.post(drop_in.url + "/auth/logout", headers=headers).raise_for_status()
        refused(shop.ask("GET", f"{CUSTOMER}/me"))
        refused(shop.ask("GET", ANONYMOUS.replace("login", "refresh"), params={"refresh_token": "x"}))
