"""The saas token ends on its own clock, and only a new login gives another."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from tests.integration.signing import provider_token
from tests.integration.visitors import calls, cleared, customer, guest, knob, problem, seen, set_cookies
from tests.live import ADA, TENANT, LiveProxy, Sandbox

CHECKOUT = f"/api/checkout/{TENANT}/checkouts/order"
RETURNS = f"/api/return/{TENANT}/returns"
ORDERS = f"/api/order-v2/{TENANT}/orders"


@contextmanager
def with_an_old_token(proxy: LiveProxy, sandbox: Sandbox) -> Iterator[httpx2.Client]:
    """A customer whose saas token had ended when it came."""
    knob(sandbox, saasExpiresIn=-5)
    with customer(proxy) as browser:
        knob(sandbox, saasExpiresIn=14_400)
        yield browser


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", CHECKOUT),
        ("POST", RETURNS),
        ("PUT", f"{RETURNS}/r1"),
        ("PATCH", f"{RETURNS}/r1"),
        ("DELETE", f"{RETURNS}/r1"),
    ],
)
def test_what_needs_the_token_is_not_sent_without_it(
    proxy: LiveProxy, sandbox: Sandbox, method: str, path: str
) -> None:
    with with_an_old_token(proxy, sandbox) as browser:
        before = seen(sandbox)
        answer = browser.request(method, path, json={"cartId": "c"})
        problem(answer, 401, "reauthentication_required")
        assert not set_cookies(answer)
        assert calls(sandbox, before) == []
        assert browser.get("/auth/session").json()["kind"] == "customer"


def test_what_may_go_without_it_still_goes(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with with_an_old_token(proxy, sandbox) as browser:
        before = seen(sandbox)
        assert browser.get(ORDERS).status_code == 200
        assert browser.post(f"/api/cart/{TENANT}/carts", json={"currency": "EUR"}).status_code in {201, 409}
        assert [one["saasToken"] for one in sandbox.log_since(before)] == [False, False]
    with customer(proxy) as browser:
        before = seen(sandbox)
        browser.get(ORDERS)
        assert [one["saasToken"] for one in sandbox.log_since(before)] == [True]


@pytest.mark.parametrize(
    ("in_refresh", "status", "sent"), [("absent", 401, []), ("null", 401, []), ("present", 400, [True])]
)
def test_a_renewal_brings_it_back_only_where_emporix_sends_one(
    proxy: LiveProxy, sandbox: Sandbox, in_refresh: str, status: int, sent: list[bool]
) -> None:
    knob(sandbox, refreshedSaas=in_refresh)
    with with_an_old_token(proxy, sandbox) as browser:
        assert browser.post("/auth/refresh").status_code == 200
        before = seen(sandbox)
        assert browser.post(CHECKOUT, json={"cartId": "c"}).status_code == status
        assert [one["saasToken"] for one in sandbox.log_since(before)] == sent


@pytest.mark.parametrize("in_refresh", ["absent", "null"])
def test_a_renewal_without_one_keeps_the_one_that_is_there(
    proxy: LiveProxy, sandbox: Sandbox, in_refresh: str
) -> None:
    knob(sandbox, refreshedSaas=in_refresh)
    with customer(proxy) as browser:
        assert browser.post("/auth/refresh").status_code == 200
        before = seen(sandbox)
        assert browser.post(CHECKOUT, json={"cartId": "c"}).status_code == 400
        assert [one["saasToken"] for one in sandbox.log_since(before)] == [True]


def test_a_renewal_does_not_bring_it_back_and_a_login_does(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with with_an_old_token(proxy, sandbox) as browser:
        assert browser.post("/auth/refresh").status_code == 200
        assert browser.put("/auth/legal-entity", json={"legalEntityId": "LE-100"}).status_code == 200
        problem(browser.post(CHECKOUT, json={"cartId": "c"}), 401, "reauthentication_required")
        assert browser.post("/auth/login", json=ADA).status_code == 200
        before = seen(sandbox)
        assert browser.post(CHECKOUT, json={"cartId": "c"}).status_code == 400
        assert [one["saasToken"] for one in sandbox.log_since(before)] == [True]


def test_an_exchange_brings_one_too(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with with_an_old_token(proxy, sandbox) as browser:
        browser.post("/auth/exchange", json={"token": provider_token(sandbox)})
        assert browser.post(CHECKOUT, json={"cartId": "c"}).status_code == 400


def test_a_guest_needs_none(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        before = seen(sandbox)
        answer = browser.post(CHECKOUT, json={"cartId": "c", "customer": {"guest": True}})
        assert (answer.status_code, answer.json()["message"]) == (400, "The cart was not found")
        assert [one["saasToken"] for one in sandbox.log_since(before)] == [False]


def test_a_logout_works_without_one(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with with_an_old_token(proxy, sandbox) as browser:
        assert cleared(browser.post("/auth/logout"))
