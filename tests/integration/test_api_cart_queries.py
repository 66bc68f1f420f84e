"""Whose cart a query names is the proxy's to say."""

import pytest

from tests.integration.wire import CART_ECHO, PRODUCT_ECHO, Watch, send
from tests.live import ADA, GRACE, LiveProxy, Sandbox

SPELLINGS = (
    "sessionId",
    "SESSIONID",
    "sessionid",
    "%73essionId",
    "sess%69on%49d",
    "+sessionId",
    "sessionId%00",
)


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("separator", ["&", ";"])
def test_a_guests_query_names_its_own_session(
    proxy: LiveProxy, sandbox: Sandbox, name: str, separator: str
) -> None:
    watch = Watch(sandbox)
    query = separator.join(["a=1", f"{name}=stolen", "b=2", f"{name}=stolen", "a=3"])
    arrived = send(proxy, "GET", f"/api{CART_ECHO}?{query}").json()["query"]
    own = watch.of(CART_ECHO)[0]["sessionId"]
    assert own is not None
    assert arrived == separator.join(["a=1", f"sessionId={own}", "b=2", "a=3"])


def test_a_guest_can_not_name_a_customer(proxy: LiveProxy) -> None:
    answer = send(proxy, "GET", f"/api{CART_ECHO}?customerId=10000001&siteCode=main&%63ustomerid=10000001")
    assert answer.json()["query"] == "siteCode=main"


def test_a_customers_query_names_the_customer_alone(proxy: LiveProxy, sandbox: Sandbox) -> None:
    watch = Watch(sandbox)
    with proxy.browser() as browser:
        assert browser.post("/auth/login", json=GRACE).status_code == 200
        answer = browser.get(f"/api{CART_ECHO}?customerId=10000001&sessionId=stolen&siteCode=main")
    record = watch.of(CART_ECHO)[0]
    assert record["customer"] not in {None, "10000001"}
    wanted = f"customerId={record['customer']}&sessionId={record['sessionId']}&siteCode=main"
    assert answer.json()["query"] == wanted


def test_nothing_is_added_where_the_query_names_nobody(proxy: LiveProxy) -> None:
    assert send(proxy, "GET", f"/api{CART_ECHO}?sessionIds=1&xcustomerId=2&session=3").json()["query"] == (
        "sessionIds=1&xcustomerId=2&session=3"
    )


def test_a_query_outside_the_cart_is_left_alone(proxy: LiveProxy) -> None:
    query = "sessionId=a&customerId=b"
    assert send(proxy, "GET", f"/api{PRODUCT_ECHO}?{query}").json()["query"] == query


def test_another_guests_cart_is_out_of_reach(proxy: LiveProxy, sandbox: Sandbox) -> None:
    watch = Watch(sandbox)
    path = "/api/cart/acmeshop/carts?siteCode=main"
    with proxy.browser() as victim, proxy.browser() as thief, proxy.browser() as customer:
        cart = victim.get(f"{path}&create=true").json()["id"]
        session = watch.of("/cart/acmeshop/carts")[0]["sessionId"]
        assert thief.get(f"{path}&sessionId={session}").status_code == 404
        customer.post("/auth/login", json=ADA)
        found = customer.get(f"{path}&sessionId={session}")
        assert found.status_code == 404 or found.json()["id"] != cart
        assert victim.get(path).json()["id"] == cart
