"""Whose session a sign-on promotes, where the browser's session changed while the visitor was at the provider."""

import httpx2

from tests.integration.signing import begun, consented, last_session, navigating, returned, view
from tests.integration.visitors import carrying, set_cookies
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


def test_a_sign_on_goes_on_although_the_browsers_session_ended_meanwhile(
    sso: LiveProxy, sandbox: Sandbox
) -> None:
    with navigating(sso) as browser:
        first = begin_guest(browser, sandbox)
        address = consented(begun(browser))
        with carrying(sso, browser.cookies["bff"]) as other_tab:
            assert other_tab.post("/auth/logout").status_code == 204
        returned(browser, address)
        assert view(browser)["customer"] == {"email": ADA["email"]}
        assert last_session(sandbox, browser) != first


def test_an_id_that_a_login_has_replaced_finishes_no_sign_on(sso: LiveProxy, sandbox: Sandbox) -> None:
    with navigating(sso) as browser:
        begin_guest(browser, sandbox)
        address = consented(begun(browser))
        with carrying(sso, browser.cookies["bff"]) as other_tab:
            assert other_tab.post("/auth/login", json=ADA).status_code == 200
        answer = returned(browser, address, "/?sso_error=session_rotated")
        assert not [field for field in set_cookies(answer) if field.startswith("bff=")]


def test_a_sign_on_whose_guest_logged_in_meanwhile_finishes_where_the_cookie_stays_at_home(
    sso: LiveProxy, sandbox: Sandbox
) -> None:
    with navigating(sso) as browser:
        first = begin_guest(browser, sandbox)
        address = consented(begun(browser))
        with carrying(sso, browser.cookies["bff"]) as other_tab:
            assert other_tab.post("/auth/login", json=ADA).status_code == 200
        browser.cookies.delete("bff")
        returned(browser, address)
        assert view(browser)["kind"] == "customer"
        assert last_session(sandbox, browser) != first
