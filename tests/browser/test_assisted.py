"""Assisted buying: the dashboard opens the shop with a customer's tokens in the address."""

from urllib.parse import urlencode

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.shopping import expect_customer, expect_nobody, expect_nothing_readable, session_cookie
from tests.browser.shops import Shop
from tests.live import ADA, CLIENT_ID, TENANT

pytestmark = pytest.mark.browser


def _handed_over(shop: Shop) -> dict[str, str]:
    """Return what the dashboard adds to the shop's address."""
    with httpx2.Client(base_url=shop.sandbox.url, trust_env=False) as upstream:
        query = {"tenant": TENANT, "client_id": CLIENT_ID}
        anonymous = upstream.get("/customerlogin/auth/anonymous/login", params=query).json()
        bearer = {"authorization": f"Bearer {anonymous['access_token']}"}
        issued = upstream.post(f"/customer/{TENANT}/login", json=ADA, headers=bearer).json()
    return {
        "customerToken": issued["access_token"],
        "customerTokenExpiresIn": str(issued["expires_in"]),
        "saasToken": issued["saas_token"],
    }


def _opened(context: BrowserContext, shop: Shop, handed: dict[str, str], *, agrees: bool) -> Page:
    page = context.new_page()
    page.on("dialog", lambda dialog: dialog.accept() if agrees else dialog.dismiss())
    with page.expect_event("dialog"):
        page.goto(f"{shop.url}/?a=1&{urlencode(handed)}#products")
    return page


def test_the_employee_shops_as_the_customer_and_no_address_keeps_a_token(
    context: BrowserContext, shop: Shop
) -> None:
    handed = _handed_over(shop)
    page = _opened(context, shop, handed, agrees=True)
    expect_customer(page, "Ada", ADA["email"])
    session_cookie(context)
    assert page.url == f"{shop.url}/?a=1#products"
    page.goto(f"{shop.url}/?b=2")
    page.go_back()
    assert page.url == f"{shop.url}/?a=1#products"
    expect_nothing_readable(page, session=True)
    assert not [one for one in shop.exchanges if handed["customerToken"] in one.headers.get("referer", "")]
    assert shop.leaked() == []


def test_a_link_of_another_site_logs_nobody_in(context: BrowserContext, shop: Shop) -> None:
    page = _opened(context, shop, _handed_over(shop), agrees=False)
    expect_nobody(page)
    assert context.cookies() == []
    assert page.url == f"{shop.url}/?a=1#products"
