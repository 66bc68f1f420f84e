"""The main job over real sockets: a guest and a customer shop through the proxy."""

import uuid

import httpx2
import pytest

from tests.integration.visitors import CARTS, ME, PRODUCTS, calls, emporix_session, issued, seen, set_cookies
from tests.live import ADA, GRACE, TENANT, LiveProxy, Sandbox

_CHECKOUT = f"/api/checkout/{TENANT}/checkouts/order"


def _record(kept: list[str], answer: httpx2.Response) -> None:
    answer.read()
    kept.append(
        "\n".join([*(f"{name}: {value}" for name, value in answer.headers.multi_items()), answer.text])
    )


def _filled_cart(browser: httpx2.Client) -> str:
    """Put two of the first product into the open cart and return the cart's id."""
    product = browser.get(PRODUCTS).json()[0]["id"]
    cart = browser.get(CARTS, params={"siteCode": "main", "create": "true"}).json()["id"]
    added = browser.post(f"{CARTS}/{cart}/items", json={"product": {"id": product}, "quantity": 2})
    assert added.status_code == 201, added.text
    return str(cart)


def test_a_visitor_shops_from_first_look_to_order_and_leaves(proxy: LiveProxy, sandbox: Sandbox) -> None:
    email, password = f"{uuid.uuid4().hex}@example.com", "long-enough-secret"
    kept: list[str] = []
    with proxy.browser() as browser:
        browser.event_hooks = {"response": [lambda answer: _record(kept, answer)]}
        assert browser.get("/auth/session").json()["kind"] == "none"
        began = browser.post("/auth/anonymous")
        assert (began.status_code, began.json()["kind"]) == (201, "anonymous")
        guest_cookie = issued(began)
        guest_cart = _filled_cart(browser)
        session = emporix_session(browser, sandbox)
        assert guest_cart in sandbox.control("GET", "/sessions")[session]["openCartIds"]

        body = {"email": email, "password": password, "customerDetails": {"firstName": "Edith"}}
        signed_up = browser.post("/auth/signup", json=body)
        assert signed_up.status_code == 201
        number = signed_up.json()["id"]
        assert signed_up.json() == {"id": number}
        logged_in = browser.post("/auth/login", json={"email": email, "password": password})
        assert logged_in.status_code == 200
        assert logged_in.json()["customer"] == {"email": email}
        assert issued(logged_in) != guest_cookie
        assert emporix_session(browser, sandbox) == session
        me = browser.get(ME).json()
        assert (me["customerNumber"], me["firstName"]) == (number, "Edith")

        cart = _filled_cart(browser)
        before = seen(sandbox)
        ordered = browser.post(_CHECKOUT, json={"cartId": cart, "customer": {"id": number}})
        assert ordered.status_code == 200, ordered.text
        (record,) = sandbox.log_since(before)
        assert (record["saasToken"], record["bearer"], record["customer"]) == (True, "customer", number)
        orders = browser.get(f"/api/order-v2/{TENANT}/orders").json()
        assert [order["id"] for order in orders] == [ordered.json()["orderId"]]

        refreshed = browser.post("/auth/refresh")
        assert (refreshed.status_code, refreshed.json()["kind"]) == (200, "customer")
        valid = browser.get("/auth/validate")
        assert valid.status_code == 200
        assert (valid.json()["kind"], valid.json()["email"]) == ("customer", email)

        before = seen(sandbox)
        assert browser.post("/auth/logout").status_code == 204
        assert "bff" not in browser.cookies
        assert calls(sandbox, before) == ["GET /customer/{tenant}/logout"]
        assert sandbox.log_since(before)[0]["status"] == 204
        assert sandbox.control("GET", "/sessions")[session]["ended"] is True
        assert browser.get("/auth/session").json()["kind"] == "none"

        assert browser.post("/auth/anonymous").status_code == 201
        assert emporix_session(browser, sandbox) != session
    secrets = sandbox.secrets()
    assert len(secrets) >= 8
    assert not [value for value in secrets if any(value in one for one in kept)]
    assert not [value for value in secrets if value in proxy.log]


def test_the_auth_answers_name_no_emporix_session(proxy: LiveProxy, sandbox: Sandbox) -> None:
    kept: list[str] = []
    with proxy.browser() as browser:
        browser.event_hooks = {"response": [lambda answer: _record(kept, answer)]}
        browser.post("/auth/anonymous")
        browser.get("/auth/validate")
        browser.post("/auth/login", json=ADA)
        browser.get("/auth/validate")
        browser.put("/auth/legal-entity", json={"legalEntityId": "LE-100"})
        browser.get("/auth/session")
        browser.post("/auth/refresh")
        browser.post("/auth/logout")
    assert len(kept) == 8
    named = sandbox.control("GET", "/issued")["sessionIds"]
    assert named
    assert not [value for value in named if any(value in one for one in kept)]


def test_a_guest_orders_without_a_saas_token(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with proxy.browser() as browser:
        browser.post("/auth/anonymous")
        cart = _filled_cart(browser)
        before = seen(sandbox)
        ordered = browser.post(_CHECKOUT, json={"cartId": cart, "customer": {"guest": True}})
        assert ordered.status_code == 200, ordered.text
        (record,) = sandbox.log_since(before)
        assert (record["saasToken"], record["bearer"]) == (False, "anonymous")


def test_the_catalogue_is_read_without_a_session(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with proxy.browser() as browser:
        assert browser.get(PRODUCTS).status_code == 200
        before = seen(sandbox)
        answer = browser.get(PRODUCTS)
        assert answer.status_code == 200
        assert not set_cookies(answer)
        assert calls(sandbox, before) == ["GET /product/{tenant}/products"]
        assert browser.get("/auth/session").json()["kind"] == "none"


@pytest.mark.parametrize("first", [ADA, GRACE], ids=["ada-first", "grace-first"])
def test_two_visitors_never_see_each_other(proxy: LiveProxy, first: dict[str, str]) -> None:
    second = GRACE if first is ADA else ADA
    with proxy.browser() as one, proxy.browser() as other:
        assert one.post("/auth/login", json=first).status_code == 200
        assert other.post("/auth/login", json=second).status_code == 200
        for _ in range(5):
            assert one.get(ME).json()["contactEmail"] == first["email"]
            assert other.get(ME).json()["contactEmail"] == second["email"]
