"""Whose session a sign-on promotes, where the browser's session changed while the visitor was at the provider."""

import httpx2

from tests.integration.signing import begun, consented, last_session, navigating, returned, view
from tests.integration.visitors import carrying
from tests.live import ADA, LiveProxy, Sandbox

PAGE = {"X-CSRF": "1", "Sec-Fetch-Site": "same-origin"}


def begin_guest(browser: httpx2.Client, sandbox: Sandbox) -> str:
    """Begin a guest and return its Emporix session."""
    assert browser.post("/auth/anonymous", headers=PAGE).status_code == 201
    return last_session(sandbox, browser)


def test_the_session_that_the_browser_carries_goes_before_the_one_that_began_the_sign_on(
    sso: LiveProxy, sandbox: Sandbox
) -> None:
    with navigating(sso) as browser:
        first = begin_guest(browser, sandbox)
        kept = browser.cookies["bff"]
        address = consented(begun(browser))
        browser.cookies.delete("bff")
        second = begin_guest(browser, sandbox)
        assert second != first
        returned(browser, address)
        logged_in = view(browser)
        assert (logged_in["kind"], logged_in["customer"]) == ("customer", {"email": ADA["email"]})
        assert last_session(sandbox, browser) == second
    with carrying(sso, kept) as other:
        assert other.get("/auth/session").json()["kind"] == "anonymous"
        assert last_session(sandbox, other) == first


def test_the_session_that_began_the_sign_on_goes_on_where_the_browser_carries_none(
    sso: LiveProxy, sandbox: Sandbox
) -> None:
    with navigating(sso) as browser:
        first = begin_guest(browser, sandbox)
        address = consented(begun(browser))
        browser.cookies.delete("bff")
        returned(browser, address)
        assert last_session(sandbox, browser) == first
