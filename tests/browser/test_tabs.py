"""Tabs of one browser share one session: what one does, the others notice."""

import uuid

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.shopping import (
    add_to_cart,
    expect_cart,
    expect_customer,
    expect_nobody,
    expect_nothing_readable,
    jar,
    log_in,
    log_out,
    session_cookie,
    sign_on,
    to_provider,
    visit,
)
from tests.browser.shops import Demo, Shop

pytestmark = pytest.mark.browser

_NO_LONGER = "You are no longer logged in: it happened in another tab, another device or on the server."


def _submit_soon(page: Page) -> None:
    """Send the provider's form without waiting for what comes of it."""
    page.evaluate("() => { setTimeout(() => document.querySelector('[value=continue]').click(), 50); }")


@pytest.mark.parametrize("provider", ["on the same site", "on another site"])
def test_two_tabs_that_sign_on_at_once_both_end_logged_in(
    context: BrowserContext, demo: Demo, shop: Shop, provider: str
) -> None:
    url = demo.url if provider == "on the same site" else shop.url
    email = f"{uuid.uuid4().hex}@example.com"
    one = visit(context, url)
    name = add_to_cart(one, 0)
    two = visit(context, url)
    for tab in (one, two):
        to_provider(tab)
        tab.locator("[name=email]").fill(email)
    assert len([cookie for cookie in jar(context) if cookie.startswith("bff-sso-")]) == 2
    for tab in (one, two):
        _submit_soon(tab)
    for tab in (one, two):
        tab.wait_for_url(f"{url}/")
    for tab in (one, two):
        tab.reload()
        expect_customer(tab, email, email)
        expect_cart(tab, name, articles=1)
    session_cookie(context)
    expect_nothing_readable(two, session=True)


def test_a_second_sign_on_after_the_first_ends_logged_in_too(context: BrowserContext, shop: Shop) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    one = visit(context, shop.url)
    add_to_cart(one, 0)
    two = visit(context, shop.url)
    to_provider(two)
    two.locator("[name=email]").fill(email)
    sign_on(one, shop.url, email)
    two.get_by_role("button", name="Continue").click()
    two.wait_for_url(f"{shop.url}/")
    expect_customer(two, email, email)
    one.locator("#categories .chip").nth(1).click()
    expect_customer(one, email, email)
    session_cookie(context)


def test_a_logout_in_one_tab_shows_as_another_version_in_the_other(
    context: BrowserContext, demo: Demo
) -> None:
    one, two = visit(context, demo.url), visit(context, demo.url)
    log_in(one)
    two.locator("#categories .chip").nth(1).click()
    expect_customer(two, "Ada", "ada@example.com")
    expect(two.locator("#messages")).to_contain_text("You are now logged in as ada@example.com")
    log_out(one)
    with two.expect_response("**/api/category/**") as answer:
        two.locator("#categories .chip").nth(2).click()
    assert (answer.value.status, answer.value.headers["x-session-version"]) == (200, "0")
    expect_nobody(two)
    expect(two.locator("#messages")).to_have_text(_NO_LONGER)
    assert context.cookies() == []


def test_a_page_that_learns_late_whose_session_it_has_calls_that_no_news(
    context: BrowserContext, demo: Demo
) -> None:
    log_in(visit(context, demo.url))
    page, held = context.new_page(), list[Route]()

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/auth/session", hold)  # the first request for the view; later ones have a query
    page.goto(demo.url)
    expect_customer(page, "Ada", "ada@example.com")
    assert len(held) == 1
    assert page.locator("#messages").inner_text() == ""
    held[0].continue_()


def test_a_slow_call_of_one_tab_does_not_undo_the_logout_of_the_other(
    context: BrowserContext, shop: Shop
) -> None:
    one, two = visit(context, shop.url), visit(context, shop.url)
    add_to_cart(one, 0)
    log_in(one)
    slow = {"match": "GET /category/{tenant}/categories", "kind": "delay", "delay": 3, "times": 1}
    shop.sandbox.control("POST", "/faults", slow)
    start = shop.seen()
    with two.expect_response("**/assignments**") as late:
        two.locator("#categories .chip").nth(1).click()
        while not shop.asked(start, "/category/{tenant}/categories/{categoryId}/assignments"):
            two.wait_for_timeout(20)
        log_out(one)
        assert context.cookies() == []
    assert late.value.status in {200, 401}
    assert late.value.header_value("set-cookie") is None
    assert context.cookies() == []
    two.locator("#categories .chip").nth(2).click()
    expect_nobody(two)


def test_two_tabs_add_to_one_cart(context: BrowserContext, demo: Demo) -> None:
    one = visit(context, demo.url)
    first = add_to_cart(one, 0)
    two = visit(context, demo.url)
    second = add_to_cart(two, 1)
    one.reload()
    expect_cart(one, first, second, articles=2)
    expect_cart(two, first, second, articles=2)


def test_a_session_ended_from_another_device_is_told_to_the_tab(context: BrowserContext, shop: Shop) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    browser = context.browser
    assert browser is not None
    page = visit(context, shop.url)
    sign_on(page, shop.url, email)
    with browser.new_context(viewport={"width": 1280, "height": 900}) as device:
        other = visit(device, shop.url)
        sign_on(other, shop.url, email)
        other.locator("#account-open").click()
        expect(other.locator("#sessions li")).to_have_count(2)
        other.get_by_role("button", name="End it").click()
        expect(other.locator("#sessions li")).to_have_count(1)
        page.locator("#account-open").click()
        expect_nobody(page)
        other.keyboard.press("Escape")
        expect_customer(other, email, email)
