"""What a visitor does on the demo's page, and what is always true of it."""

from playwright.sync_api import BrowserContext, Cookie, Page, expect

READABLE = "[document.cookie, localStorage.length, sessionStorage.length]"


def visit(context: BrowserContext, url: str) -> Page:
    """Open the shop in a tab of its own and wait until it is put together."""
    page = context.new_page()
    page.goto(f"{url}/")
    ready(page)
    return page


def ready(page: Page) -> None:
    """Wait for the products and their prices."""
    expect(page.locator("#grid .card-open").first).to_be_visible()
    expect(page.locator("#grid .price").first).to_contain_text("€")


def add_to_cart(page: Page, number: int, quantity: int = 1) -> str:
    """Put the product at this place of the page into the cart and return its name."""
    card = page.locator("#grid .card-open").nth(number)
    name = card.locator(".card-name").inner_text()
    card.click()
    page.locator("#product-quantity").fill(str(quantity))
    page.get_by_role("button", name="Add to cart").click()
    expect(page.locator("#product-dialog [data-status]")).to_have_text(f"{name} is in your cart.")
    page.keyboard.press("Escape")
    return name


def log_in(page: Page) -> None:
    """Log in as the demo customer."""
    page.locator("#account-open").click()
    page.locator("#demo-fill").click()
    page.locator("#login-form [type=submit]").click()
    expect_customer(page, "Ada", "ada@example.com")


def log_out(page: Page) -> None:
    page.locator("#account-open").click()
    page.locator("#logout").click()
    expect_nobody(page)


def to_provider(page: Page) -> None:
    """Leave for the identity provider's page by the shop's own button."""
    page.locator("#account-open").click()
    page.get_by_role("link", name="Sign in with sandbox").click()
    expect(page.get_by_role("heading", name="Sandbox sign-in")).to_be_visible()


def sign_on(page: Page, shop_url: str, email: str) -> None:
    """Sign on with the identity provider and come back."""
    to_provider(page)
    page.locator("[name=email]").fill(email)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{shop_url}/")
    ready(page)
    expect_customer(page, email, email)


def expect_customer(page: Page, name: str, email: str) -> None:
    """Expect the page to greet this customer, and its panel to name the same one."""
    expect(page.locator("#account-open")).to_have_text(name)
    expect(page.locator("#session-facts .kind")).to_have_text("customer")
    expect(page.locator("#session-facts")).to_contain_text(email)


def expect_nobody(page: Page) -> None:
    """Expect the page to know of no session."""
    expect(page.locator("#account-open")).to_have_text("Log in")
    expect(page.locator("#session-facts .kind")).to_have_text("none")


def expect_cart(page: Page, *names: str, articles: int) -> None:
    """Expect these products and this many articles in the cart."""
    expect(page.locator("#cart-count")).to_have_text(str(articles))
    page.locator("#cart-open").click()
    expect(page.locator("#cart-lines .line-name")).to_have_count(len(names))
    assert set(page.locator("#cart-lines .line-name").all_inner_texts()) == set(names)
    page.keyboard.press("Escape")


def expect_nothing_readable(page: Page, *, session: bool) -> None:
    """Script finds nothing in this browser, and the panel says the same."""
    assert page.evaluate(READABLE) == ["", 0, 0]
    shown = {
        "document.cookie": "none: the session cookie is HttpOnly" if session else "none",
        "localStorage": "0 entries",
        "sessionStorage": "0 entries",
        "Emporix tokens": "none, ever",
    }
    expect(page.locator("#browser-facts dt")).to_have_text([*shown])
    expect(page.locator("#browser-facts dd")).to_have_text([*shown.values()])
    expect(page.locator("#counter-summary")).to_contain_text(" 0 readable here ")


def jar(context: BrowserContext) -> dict[str, Cookie]:
    """Return every cookie of the browser by name."""
    return {cookie["name"]: cookie for cookie in context.cookies()}


def session_cookie(context: BrowserContext) -> str:
    """Return the session cookie's value; there is no other cookie, and no script can read it."""
    (cookie,) = context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("bff", True, "Strict")
    return cookie["value"]
