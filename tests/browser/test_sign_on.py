"""Single sign-on with a provider on another site: what Strict keeps at home, and how the way back can fail."""

import uuid
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect

from tests.browser.shopping import (
    add_to_cart,
    expect_cart,
    expect_customer,
    expect_nobody,
    expect_nothing_readable,
    jar,
    log_in,
    session_cookie,
    sign_on,
    to_provider,
    visit,
)
from tests.browser.shops import Demo, Shop
from tests.live import ADA

pytestmark = pytest.mark.browser

_ITEMS = "/cart/{tenant}/carts/{cartId}/items"
_ME = "/customer/{tenant}/me"
_SOCIAL_LOGIN = "/customer/{tenant}/socialLogin"
_USED = "That sign-in was used before, or it took too long. Please start again."


def _mail() -> str:
    return f"{uuid.uuid4().hex}@example.com"


def _callbacks(context: BrowserContext) -> list[Request]:
    """Return the list that every return from the provider is added to."""
    found: list[Request] = []

    def note(request: Request) -> None:
        if "/callback?" in request.url:
            found.append(request)

    context.on("request", note)
    return found


def _continue(page: Page) -> None:
    page.get_by_role("button", name="Continue").click()


def _expect_refusal(page: Page, shop_url: str, message: str) -> None:
    """Expect the shop to say why, and its address to have forgotten it."""
    expect(page.locator("#messages")).to_have_text(message)
    expect(page).to_have_url(f"{shop_url}/")


def test_the_demo_offers_its_provider_and_signs_on(context: BrowserContext, demo: Demo) -> None:
    page, email = visit(context, demo.url), _mail()
    sign_on(page, demo.url, email)
    session_cookie(context)
    expect_nothing_readable(page, session=True)


def test_a_strict_cookie_stays_home_and_the_guest_is_still_found(context: BrowserContext, shop: Shop) -> None:
    callbacks, email = _callbacks(context), _mail()
    page = visit(context, shop.url)
    start = shop.seen()
    name = add_to_cart(page, 0, quantity=2)
    (guest,) = {one["sessionId"] for one in shop.asked(start, _ITEMS)}
    cookie = session_cookie(context)
    start = shop.seen()
    sign_on(page, shop.url, email)

    (callback,) = callbacks
    sent = callback.all_headers()
    assert sent["sec-fetch-site"] == "cross-site"
    carried = [pair.split("=")[0] for pair in sent["cookie"].split("; ")]
    assert len(carried) == 1
    assert carried[0].startswith("bff-sso-")
    (login,) = shop.asked(start, _SOCIAL_LOGIN)
    assert (login["status"], login["bearer"], login["sessionId"]) == (200, "anonymous", guest)
    assert {one["sessionId"] for one in shop.asked(start, _ME)} == {guest}
    assert session_cookie(context) != cookie
    expect_cart(page, name, articles=2)
    expect_nothing_readable(page, session=True)
    assert shop.leaked() == []


def test_a_sign_on_without_a_guest_begins_one(context: BrowserContext, shop: Shop) -> None:
    page, email = visit(context, shop.url), _mail()
    assert context.cookies() == []
    sign_on(page, shop.url, email)
    session_cookie(context)
    add_to_cart(page, 0)
    expect_customer(page, email, email)


def test_a_cancelled_form_comes_back_as_the_guest_and_says_so(context: BrowserContext, shop: Shop) -> None:
    page = visit(context, shop.url)
    name = add_to_cart(page, 0)
    cookie = session_cookie(context)
    to_provider(page)
    with page.expect_request(f"{shop.url}/?sso_error=access_denied"):
        page.get_by_role("button", name="Cancel").click()
    _expect_refusal(page, shop.url, "You cancelled the sign-in. You are who you were before.")
    assert session_cookie(context) == cookie
    expect(page.locator("#session-facts .kind")).to_have_text("anonymous")
    expect_cart(page, name, articles=1)
    page.reload()
    expect(page.locator("#session-facts .kind")).to_have_text("anonymous")
    expect(page.locator("#messages")).to_be_empty()


def test_going_back_and_sending_the_form_again_is_refused_and_keeps_the_session(
    context: BrowserContext, shop: Shop
) -> None:
    page, email = visit(context, shop.url), _mail()
    sign_on(page, shop.url, email)
    cookie, start = session_cookie(context), shop.seen()
    page.go_back()
    expect(page.get_by_role("heading", name="Sandbox sign-in")).to_be_visible()
    with page.expect_request(f"{shop.url}/?sso_error=login_state_invalid"):
        _continue(page)
    _expect_refusal(page, shop.url, _USED)
    expect_customer(page, email, email)
    assert session_cookie(context) == cookie
    assert shop.asked(start, _SOCIAL_LOGIN) == []


@pytest.mark.parametrize("brought_back", [False, True], ids=["cookie-gone", "cookie-put-back"])
def test_a_callback_works_once(context: BrowserContext, shop: Shop, brought_back: bool) -> None:  # noqa: FBT001
    callbacks, email = _callbacks(context), _mail()
    page = visit(context, shop.url)
    to_provider(page)
    (attempt,) = [cookie for name, cookie in jar(context).items() if name.startswith("bff-sso-")]
    assert (attempt["httpOnly"], attempt["sameSite"]) == (True, "Lax")
    page.locator("[name=email]").fill(email)
    _continue(page)
    expect_customer(page, email, email)
    (callback,) = callbacks
    cookie, start = session_cookie(context), shop.seen()
    if brought_back:
        context.add_cookies(
            [
                {
                    "name": attempt["name"],
                    "value": attempt["value"],
                    "url": shop.url,
                    "httpOnly": True,
                    "sameSite": "Lax",
                }
            ]
        )
    page.goto(callback.url)
    _expect_refusal(page, shop.url, _USED)
    expect_customer(page, email, email)
    assert session_cookie(context) == cookie
    assert shop.asked(start, _SOCIAL_LOGIN) == []


def test_a_callback_that_another_browser_began_logs_nobody_in(context: BrowserContext, shop: Shop) -> None:
    """The login CSRF: an attacker's code and state, opened by somebody else."""
    with httpx2.Client(trust_env=False) as attacker:
        begun = attacker.get(f"{shop.url}/auth/sso/sandbox")
        asked = urlsplit(begun.headers["location"])
        form = dict(parse_qsl(asked.query)) | {"email": _mail(), "action": "continue"}
        prepared = attacker.post(f"{shop.sandbox.url}/idp/authorize", data=form).headers["location"]
    assert "code=" in prepared
    start = shop.seen()
    page = visit(context, shop.url)
    page.goto(prepared)
    _expect_refusal(page, shop.url, _USED)
    expect_nobody(page)
    assert context.cookies() == []
    assert shop.asked(start, _SOCIAL_LOGIN) == []


def test_signing_on_over_a_customer_gives_the_other_customer(context: BrowserContext, shop: Shop) -> None:
    page, email = visit(context, shop.url), _mail()
    log_in(page)
    cookie = session_cookie(context)
    page.goto(f"{shop.url}/auth/sso/sandbox?return_to=/")
    page.locator("[name=email]").fill(email)
    _continue(page)
    expect_customer(page, email, email)
    assert ADA["email"] not in page.locator("#session-facts").inner_text()
    assert session_cookie(context) != cookie


def test_an_address_cannot_put_words_into_the_shop(context: BrowserContext, shop: Shop) -> None:
    page = context.new_page()
    page.goto(f"{shop.url}/?a=1&sso_error=%3Cb%3ECall%20us%20at%20555%3C/b%3E#products")
    expect(page.locator("#messages")).to_have_text("The sign-in did not work. Please try again.")
    expect(page).to_have_url(f"{shop.url}/?a=1#products")
