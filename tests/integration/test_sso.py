"""Single sign-on from outside: there and back by hand, as a browser goes."""

import base64
import hashlib
import re
from html import unescape
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.integration.signing import (
    APP_ORIGIN,
    INVALID,
    SOCIAL,
    Ear,
    asked,
    begun,
    consented,
    last_session,
    navigating,
    returned,
    signed_on,
    view,
)
from tests.integration.visitors import calls, carrying, fault, problem, seen, set_cookies
from tests.integration.wire import send
from tests.live import ADA, GRACE, LiveProxy, Sandbox


def attempts(browser: httpx2.Client) -> list[str]:
    """Return the names of the attempts that a browser carries."""
    return [cookie.name for cookie in browser.cookies.jar if cookie.name.startswith("bff-sso-")]


def guest_of(browser: httpx2.Client) -> None:
    answer = browser.post("/auth/anonymous", headers={"X-CSRF": "1", "Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 201


def test_the_provider_is_asked_with_state_and_challenge(sso: LiveProxy, sandbox: Sandbox) -> None:
    before = seen(sandbox)
    with navigating(sso) as browser:
        address = begun(browser, return_to="/account")
        assert address.startswith(f"{sandbox.url}/idp/authorize?")
        query = asked(address)
        assert query["redirect_uri"] == f"{sso.url}/auth/sso/main/callback"
        assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
        assert (query["client_id"], query["scope"]) == ("shop-at-idp", "openid email")
        config, _, random = query["state"].partition("--")
        assert config == "site_DE"
        assert len(base64.urlsafe_b64decode(random)) >= 16
        assert len(query["code_challenge"]) == 43
        plain = asked(begun(browser, "plain"))
        assert not plain["state"].startswith("site_DE")
        assert "scope" not in plain
    assert calls(sandbox, before) == []


def test_the_attempts_cookie_is_lax_and_lives_ten_minutes(sso: LiveProxy) -> None:
    with navigating(sso) as browser:
        answer = browser.get("/auth/sso/main")
        (field,) = set_cookies(answer)
        ((name, morsel),) = SimpleCookie(field).items()
        assert name.startswith("bff-sso-")
        assert (morsel["samesite"], morsel["path"], morsel["max-age"]) == ("Lax", "/", "600")
        assert morsel["httponly"] is True
        assert not morsel["domain"]
        query = asked(answer.headers["location"])
        assert query["code_challenge"] not in morsel.value
        digest = hashlib.sha256(morsel.value.encode()).digest()
        assert query["code_challenge"] != base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_a_sign_on_logs_in_on_the_guests_own_emporix_session(sso: LiveProxy, sandbox: Sandbox) -> None:
    with navigating(sso) as browser:
        guest_of(browser)
        session, guest, version = (
            last_session(sandbox, browser),
            browser.cookies["bff"],
            view(browser)["version"],
        )
        before = seen(sandbox)
        signed_on(browser)
        (record,) = [one for one in sandbox.log_since(before) if one["path"].endswith("/socialLogin")]
        assert (record["status"], record["bearer"], record["sessionId"]) == (200, "anonymous", session)
        assert "session-id" in record["headerNames"]
        assert set(record["query"]) == {"code", "redirect_uri", "code_verifier"}
        logged_in = view(browser)
        assert (logged_in["kind"], logged_in["customer"]) == ("customer", {"email": ADA["email"]})
        assert logged_in["version"] > version
        assert browser.cookies["bff"] != guest
        assert last_session(sandbox, browser) == session
        assert sandbox.control("GET", "/sessions")[session]["email"] == ADA["email"]
        assert attempts(browser) == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_visitor_from_another_site_is_sent_here_once_more_with_what_they_asked(
    sso: LiveProxy, sandbox: Sandbox, site: str
) -> None:
    with navigating(sso) as browser:
        query = "return_to=/account&ui_locales=de"
        answer = browser.get(f"/auth/sso/main?{query}", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert not set_cookies(answer)
        (address,) = re.findall(r'http-equiv="refresh" content="0;url=([^"]+)"', answer.text)
        again = urlsplit(unescape(address))
        assert (again.netloc, again.path) == ("", "/auth/sso/main")
        assert again.query.startswith(query)
        answer = browser.get(unescape(address), headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.headers["location"].startswith(f"{sandbox.url}/idp/authorize?")


def test_what_they_asked_is_no_markup_on_the_way(sso: LiveProxy) -> None:
    query = "ui_locales=\"><script>alert('1')</script>&lt=1"
    answer = send(sso, "GET", f"/auth/sso/main?{query}", "Sec-Fetch-Site: cross-site")
    assert answer.status == 200
    page = answer.body.decode()
    assert "<script" not in page
    (address,) = re.findall(r'http-equiv="refresh" content="0;url=([^"]+)">$', page)
    assert urlsplit(unescape(address)).query.startswith(query)


def test_a_visitor_from_another_site_whose_cookie_came_along_goes_on(sso: LiveProxy) -> None:
    with navigating(sso) as browser:
        guest_of(browser)
        assert browser.get("/auth/sso/main", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 302


def test_lifetimes_that_come_as_texts_are_read(sso: LiveProxy, sandbox: Sandbox) -> None:
    sandbox.control("PATCH", "/knobs", {"socialExpiresIn": 1000, "socialRefreshExpiresIn": 2000})
    with navigating(sso) as browser:
        signed_on(browser)
        headers = {"X-CSRF": "1", "Sec-Fetch-Site": "same-origin"}
        before = seen(sandbox)
        answer = browser.get("/auth/validate", headers=headers)
        assert 900 < answer.json()["expiresIn"] <= 1000
        assert calls(sandbox, before) == ["GET /customer/{tenant}/validateauthtoken"]


def test_without_a_session_a_guest_is_begun_at_the_end_only(sso: LiveProxy, sandbox: Sandbox) -> None:
    with navigating(sso) as browser:
        before = seen(sandbox)
        address = consented(begun(browser))
        assert "bff" not in browser.cookies
        assert "GET /customerlogin/auth/anonymous/login" not in calls(sandbox, before)
        returned(browser, address)
        assert view(browser)["kind"] == "customer"
        assert calls(sandbox, before)[-3:] == [
            "GET /customerlogin/auth/anonymous/login",
            SOCIAL,
            "GET /customer/{tenant}/validateauthtoken",
        ]


def test_the_guest_goes_on_although_its_strict_cookie_stays_at_home(sso: LiveProxy, sandbox: Sandbox) -> None:
    with navigating(sso) as browser:
        guest_of(browser)
        session = last_session(sandbox, browser)
        address = consented(begun(browser))
        browser.cookies.delete("bff")
        returned(browser, address)
        assert view(browser)["kind"] == "customer"
        assert last_session(sandbox, browser) == session


def test_a_customer_who_signs_on_as_another_ends_first(sso: LiveProxy, sandbox: Sandbox) -> None:
    with navigating(sso) as browser:
        signed_on(browser)
        old, session = browser.cookies["bff"], last_session(sandbox, browser)
        signed_on(browser, GRACE["email"], "plain")
        assert view(browser)["customer"] == {"email": GRACE["email"]}
        assert last_session(sandbox, browser) != session
        assert sandbox.control("GET", "/sessions")[session]["ended"] is True
    with carrying(sso, old) as late:
        problem(late.get("/auth/session"), 401, "session_rotated")


@pytest.mark.parametrize("target", ["/account?tab=1#top", f"{APP_ORIGIN}/welcome?x=1"])
def test_the_browser_ends_where_it_wanted_to(sso: LiveProxy, target: str) -> None:
    with navigating(sso) as browser:
        returned(browser, consented(begun(browser, return_to=target)), target)


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "/\\evil.example", "https://evil.example/", f"{APP_ORIGIN}.evil.example/", "javascript:alert(1)",
     f"{APP_ORIGIN}@evil.example", "/\t/evil.example", "evil", "/\r\nSet-Cookie: a=b", f"{APP_ORIGIN}:444/"],
)  # fmt: skip
def test_nobody_is_sent_elsewhere(sso: LiveProxy, target: str) -> None:
    with navigating(sso) as browser:
        answer = browser.get("/auth/sso/main", params={"return_to": target})
        problem(answer, 400, "invalid_request")
        assert "location" not in answer.headers
        assert not set_cookies(answer)


def test_several_attempts_at_once_all_finish(sso: LiveProxy) -> None:
    with navigating(sso) as browser:
        addresses = [consented(begun(browser, return_to=f"/tab/{number}")) for number in range(5)]
        assert len(attempts(browser)) == 5
        for number in (3, 0, 4, 1, 2):
            returned(browser, addresses[number], f"/tab/{number}")
        assert attempts(browser) == []
        assert view(browser)["kind"] == "customer"


def test_a_browser_keeps_five_attempts_and_the_newest_of_them(sso: LiveProxy) -> None:
    with navigating(sso) as browser:
        for _ in range(7):
            begun(browser)
        address = begun(browser)
        assert len(attempts(browser)) == 5
        returned(browser, consented(address))


@pytest.mark.parametrize("blank", [b"\xa0", b"\x85"])
def test_an_attempt_under_another_name_is_not_taken(sso: LiveProxy, blank: bytes) -> None:
    """Another host of the domain may set such a cookie, but none with the prefix of ours."""
    with navigating(sso) as attacker:
        address = consented(begun(attacker))
        ((name, value),) = attacker.cookies.items()
    target = address.removeprefix(sso.url)
    planted = send(sso, "GET", target, b"Cookie: " + blank + f"{name}={value}".encode())
    assert (planted.status, planted.all("location")) == (302, [INVALID])
    own = send(sso, "GET", target, f"Cookie: {name}={value}")
    assert (own.status, own.all("location")) == (302, ["/"])


def test_a_flood_of_attempts_gets_a_short_answer(sso: LiveProxy) -> None:
    flood = "; ".join(f"bff-sso-{number}=x" for number in range(5000))
    answer = send(sso, "GET", "/auth/sso/main", "Sec-Fetch-Dest: document", f"Cookie: {flood}")
    assert answer.status == 302
    assert 1 < len(answer.all("set-cookie")) < 20


def test_a_state_is_used_once_even_with_its_cookie_kept(sso: LiveProxy, sandbox: Sandbox) -> None:
    with navigating(sso) as browser, navigating(sso) as thief:
        address = consented(begun(browser))
        thief.cookies.update(browser.cookies)
        returned(browser, address)
        before = seen(sandbox)
        answer = returned(thief, address, INVALID)
        assert "bff=" not in "".join(
            field for field in set_cookies(answer) if not field.startswith("bff-sso-")
        )
        assert calls(sandbox, before) == []
        assert view(thief)["kind"] == "none"


def test_a_state_of_another_provider_is_refused(sso: LiveProxy, sandbox: Sandbox) -> None:
    with navigating(sso) as browser:
        address = consented(begun(browser, "plain"))
        before = seen(sandbox)
        returned(browser, address.replace("/sso/plain/", "/sso/main/"), INVALID)
        assert calls(sandbox, before) == []


@pytest.mark.parametrize("query", ["", "?code=x", "?state=x&code=y", "?state=site_DE--x&error=access_denied"])
def test_a_state_that_nobody_began_is_refused(sso: LiveProxy, sandbox: Sandbox, query: str) -> None:
    before = seen(sandbox)
    with navigating(sso) as browser:
        answer = returned(browser, f"/auth/sso/main/callback{query}", INVALID)
        assert not set_cookies(answer)
    assert calls(sandbox, before) == []


def test_a_cancelled_form_is_told_and_keeps_the_guest(sso: LiveProxy, sandbox: Sandbox) -> None:
    with navigating(sso) as browser:
        guest_of(browser)
        session = last_session(sandbox, browser)
        address = consented(begun(browser, return_to="/cart"), action="cancel")
        returned(browser, address, "/cart?sso_error=access_denied")
        assert view(browser)["kind"] == "anonymous"
        assert last_session(sandbox, browser) == session


def test_a_providers_error_is_told_in_our_own_words(sso: LiveProxy) -> None:
    with navigating(sso) as browser:
        query = asked(begun(browser, return_to="/cart"))
        params = {
            "state": query["state"],
            "error": "temporarily_unavailable",
            "error_description": "<b>secret</b>",
        }
        answer = browser.get("/auth/sso/main/callback", params=params)
        assert (answer.status_code, answer.headers["location"]) == (302, "/cart?sso_error=provider_error")


@pytest.mark.parametrize("path", ["/auth/sso/unknown", "/auth/sso/unknown/callback?state=a&code=b"])
def test_an_unknown_provider_is_not_found(sso: LiveProxy, path: str) -> None:
    with navigating(sso) as browser:
        problem(browser.get(path), 404, "not_found")


@pytest.mark.parametrize(
    "path", ["main?return_to=/&return_to=/a", "main/callback?state=a&state=b", "main/callback?code=a&code=a"]
)
def test_duplicate_parameters_are_refused(sso: LiveProxy, path: str) -> None:
    with navigating(sso) as browser:
        problem(browser.get(f"/auth/sso/{path}"), 400, "invalid_request")


def test_a_wrong_verifier_is_refused_by_the_provider(sso: LiveProxy) -> None:
    with navigating(sso) as browser, navigating(sso) as attacker:
        stolen = asked(consented(begun(attacker)))["code"]
        state = asked(begun(browser))["state"]
        answer = browser.get("/auth/sso/main/callback", params={"state": state, "code": stolen})
        assert answer.headers["location"] == "/?sso_error=invalid_credentials"
        assert view(browser)["kind"] == "none", "what a Strict cookie may hold is not replaced"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("bad_tenant", "bad_upstream_answer"),
        ("unauthorized_invalid", "invalid_credentials"),
        ("forbidden", "forbidden"),
        ("throttled", "too_many_requests"),
        ("error", "upstream_unavailable"),
        ("html", "upstream_unavailable"),
        ("disconnect", "upstream_unavailable"),
        ("garbage", "bad_upstream_answer"),
        ("empty", "bad_upstream_answer"),
        ("no_access_token", "bad_upstream_answer"),
        ("stall", "upstream_timeout"),
    ],
)
def test_trouble_upstream_is_told_in_the_address_and_keeps_the_guest(
    sso: LiveProxy, sandbox: Sandbox, kind: str, code: str
) -> None:
    with navigating(sso) as browser:
        guest_of(browser)
        session = last_session(sandbox, browser)
        address = consented(begun(browser, return_to="/cart"))
        fault(sandbox, SOCIAL, kind)
        answer = returned(browser, address, f"/cart?sso_error={code}")
        assert not [field for field in set_cookies(answer) if not field.startswith("bff-sso-")]
        sandbox.control("DELETE", "/faults")
        assert view(browser)["kind"] == "anonymous"
        assert last_session(sandbox, browser) == session


def test_a_code_is_never_sent_twice(sso: LiveProxy, sandbox: Sandbox) -> None:
    with navigating(sso) as browser:
        address = consented(begun(browser))
        before = seen(sandbox)
        fault(sandbox, SOCIAL, "lost", times=1)
        returned(browser, address, "/?sso_error=upstream_unavailable")
        assert calls(sandbox, before).count(SOCIAL) == 1


def test_an_unknown_customer_without_autoprovisioning_is_refused(sso: LiveProxy, sandbox: Sandbox) -> None:
    sandbox.control("PATCH", "/knobs", {"autoprovision": False})
    with navigating(sso) as browser:
        address = consented(begun(browser), "stranger-at-sso@example.com")
        returned(browser, address, "/?sso_error=invalid_credentials")


def test_no_token_is_in_any_redirect_or_log_line(sso: LiveProxy, sandbox: Sandbox) -> None:
    with navigating(sso) as browser:
        ear = Ear(browser)
        signed_on(browser)
        view(browser)
        assert ear.secrets_of(sandbox) == []


def test_neither_code_nor_state_is_logged(sso: LiveProxy, sandbox: Sandbox) -> None:
    with navigating(sso) as browser:
        address = consented(begun(browser))
        returned(browser, address)
    query = asked(address)
    for secret in sandbox.secrets() | {query["code"], query["state"], query["state"].partition("--")[2]}:
        assert secret not in sso.log
