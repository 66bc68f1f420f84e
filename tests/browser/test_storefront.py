"""The demo's page in a real browser, from the first look to the order and out again."""

import re
import uuid

import pytest
from playwright.sync_api import BrowserContext, Page, Response, expect

from tests.browser.shopping import (
    add_to_cart,
    expect_cart,
    expect_customer,
    expect_nothing_readable,
    log_in,
    log_out,
    session_cookie,
    visit,
)
from tests.browser.shops import Demo, Shop, tokens_in

pytestmark = pytest.mark.browser


def _check_out(page: Page) -> str:
    page.locator("#cart-open").click()
    page.locator("#checkout-open").click()
    page.locator("#checkout-submit").click()
    expect(page.locator("#order-number")).to_have_text(re.compile(r"\S+"))
    number = page.locator("#order-number").inner_text()
    page.keyboard.press("Escape")
    expect(page.locator("#cart-count")).to_have_text("0")
    return number


def test_looking_around_costs_no_session(context: BrowserContext, demo: Demo) -> None:
    page = visit(context, demo.url)
    page.locator("#categories .chip").nth(1).click()
    expect(page.locator("#call-rows")).to_contain_text("assignments")
    expect(page.locator("#session-facts .kind")).to_have_text("none")
    expect(page.locator("#counter-summary")).to_contain_text("no session")
    assert context.cookies() == []
    expect_nothing_readable(page, session=False)


def test_a_visitor_shops_from_first_look_to_order_and_leaves(context: BrowserContext, demo: Demo) -> None:
    page = visit(context, demo.url)
    log_in(page)
    stayed = add_to_cart(page, 0)
    log_out(page)
    assert context.cookies() == []
    expect_nothing_readable(page, session=False)

    brought = add_to_cart(page, 1, quantity=2)
    expect(page.locator("#session-facts .kind")).to_have_text("anonymous")
    guest = session_cookie(context)
    expect_nothing_readable(page, session=True)
    expect_cart(page, brought, articles=2)

    log_in(page)
    customer = session_cookie(context)
    assert customer != guest
    expect_nothing_readable(page, session=True)
    expect_cart(page, stayed, brought, articles=3)

    number = _check_out(page)
    page.locator("#account-open").click()
    expect(page.locator("#orders")).to_contain_text(number)
    page.keyboard.press("Escape")
    expect_nothing_readable(page, session=True)

    log_out(page)
    assert context.cookies() == []
    expect(page.locator("#cart-count")).to_have_text("0")
    again = add_to_cart(page, 2)
    expect_cart(page, again, articles=1)
    assert session_cookie(context) not in {guest, customer}
    expect_nothing_readable(page, session=True)


def test_a_reload_finds_the_same_visitor_without_anything_kept_by_script(
    context: BrowserContext, demo: Demo
) -> None:
    page = visit(context, demo.url)
    log_in(page)
    cookie = session_cookie(context)
    page.reload()
    expect_customer(page, "Ada", "ada@example.com")
    assert session_cookie(context) == cookie
    expect_nothing_readable(page, session=True)


def test_the_tools_renew_and_validate_behind_the_same_cookie(context: BrowserContext, demo: Demo) -> None:
    page = visit(context, demo.url)
    log_in(page)
    cookie = session_cookie(context)
    page.locator("#account-open").click()
    page.locator("#refresh").click()
    expect(page.locator("#account-dialog [data-status]")).to_contain_text("The tokens are new.")
    page.locator("#validate").click()
    expect(page.locator("#validation")).to_contain_text("customer")
    assert session_cookie(context) == cookie


def test_nothing_like_a_token_reaches_the_demo_page(context: BrowserContext, demo: Demo) -> None:
    answers: list[Response] = []
    context.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - the driver marks it
    page = visit(context, demo.url)
    add_to_cart(page, 3)
    log_in(page)
    page.locator("#account-open").click()
    page.locator("#refresh").click()
    page.locator("#validate").click()
    expect(page.locator("#validation")).to_contain_text("customer")
    page.keyboard.press("Escape")
    content = page.content()
    log_out(page)
    paths = {answer.url.removeprefix(demo.url) for answer in answers}
    assert paths >= {"/", "/auth/login", "/auth/refresh", "/auth/validate", "/auth/logout", "/demo/redis"}
    for answer in answers:
        said = [f"{one['name']}: {one['value']}" for one in answer.headers_array()]
        body = "" if answer.status == 204 else answer.text()
        assert tokens_in("\n".join([*said, body])) == [], answer.url
    assert tokens_in(content) == []


def test_what_looks_like_a_token_is_told_from_what_does_not(context: BrowserContext, shop: Shop) -> None:
    log_in(visit(context, shop.url))
    issued = shop.sandbox.secrets()
    assert len(issued) >= 4
    assert all(tokens_in(f'{{"x":"{token}"}}') == [token] for token in issued)


def test_no_issued_token_leaves_while_a_visitor_shops(context: BrowserContext, shop: Shop) -> None:
    page = visit(context, shop.url)
    before = shop.sandbox.secrets()
    add_to_cart(page, 0)
    page.locator("#account-open").click()
    page.locator("#show-signup").click()
    form = page.locator("#signup-form")
    email = f"{uuid.uuid4().hex}@example.com"
    fields = {"firstName": "Edith", "lastName": "Clarke", "email": email, "password": "long-enough"}
    for name, value in fields.items():
        form.locator(f"[name={name}]").fill(value)
    form.locator("[type=submit]").click()
    expect_customer(page, "Edith", email)
    page.locator("#account-open").click()
    page.locator("#refresh").click()
    expect(page.locator("#account-dialog [data-status]")).to_contain_text("The tokens are new.")
    page.keyboard.press("Escape")
    _check_out(page)
    content = page.content()
    log_out(page)
    assert len(shop.sandbox.secrets() - before) >= 6
    assert not [token for token in shop.sandbox.secrets() if token in content]
    assert shop.leaked() == []
    assert any(b"bff=;" in one for one in shop.sent)  # the recording works: it has seen the logout


def test_the_guest_after_a_logout_has_another_emporix_session(context: BrowserContext, shop: Shop) -> None:
    page = visit(context, shop.url)
    start = shop.seen()
    add_to_cart(page, 0)
    (guest,) = {one["sessionId"] for one in shop.asked(start, "/cart/{tenant}/carts/{cartId}/items")}
    log_in(page)
    log_out(page)
    start = shop.seen()
    add_to_cart(page, 0)
    (later,) = {one["sessionId"] for one in shop.asked(start, "/cart/{tenant}/carts/{cartId}/items")}
    assert guest
    assert later
    assert later != guest


def test_the_panel_tells_sessions_from_what_else_redis_holds(context: BrowserContext, demo: Demo) -> None:
    page = visit(context, demo.url)
    log_in(page)
    rows = page.locator("#redis-rows tr")
    expect(rows.locator("td").filter(has_text=re.compile("^index$"))).not_to_have_count(0)
    page.locator("#counter-refresh").click()
    note = re.compile(r"^[1-9]\d* sessions?,( [1-9]\d* ended,)? [1-9]\d* other keys?\.")
    expect(page.locator("#redis-note")).to_have_text(note)
    kinds = page.locator("#redis-rows tr td:nth-child(2)").all_inner_texts()
    places = [0 if kind == "session" else 1 if kind == "ended session" else 2 for kind in kinds]
    assert places == sorted(places)
    assert {"session", "index"} <= set(kinds)
    for row in rows.all():
        kind, _, size, value = row.locator("td").all_inner_texts()
        if kind == "session":
            assert int(size) > 0
            assert len(value) >= 60
        else:
            assert size == "–"
            assert value.startswith("–")
