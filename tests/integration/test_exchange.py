"""Trading an identity provider's token, and the code of an app that ran the redirect itself."""

import base64
import hashlib
import secrets

import httpx2
import pytest

from tests.integration.signing import (
    EXCHANGE,
    SOCIAL,
    Ear,
    asked,
    consented,
    last_session,
    provider_token,
    view,
)
from tests.integration.visitors import (
    VIEW,
    calls,
    cleared,
    customer,
    fault,
    guest,
    issued,
    knob,
    problem,
    seen,
    set_cookies,
)
from tests.live import ADA, GRACE, LiveProxy, Sandbox

BACK = "https://app.example/back"
TROUBLE = [
    ("forbidden", 403, "forbidden"),
    ("bad_tenant", 502, "bad_upstream_answer"),
    ("throttled", 429, "too_many_requests"),
    ("error", 503, "upstream_unavailable"),
    ("html", 503, "upstream_unavailable"),
    ("disconnect", 503, "upstream_unavailable"),
    ("lost", 503, "upstream_unavailable"),
    ("garbage", 502, "bad_upstream_answer"),
    ("empty", 502, "bad_upstream_answer"),
    ("no_access_token", 502, "bad_upstream_answer"),
    ("stall", 504, "upstream_timeout"),
]


def an_apps_code(sandbox: Sandbox, email: str = ADA["email"]) -> dict[str, str]:
    """Run the redirect as an app does, and return what it then sends."""
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    query = {"response_type": "code", "redirect_uri": BACK, "code_challenge": challenge, "state": "s"}
    address = str(httpx2.URL(f"{sandbox.url}/idp/authorize", params=query))
    return {"code": asked(consented(address, email))["code"], "redirectUri": BACK, "codeVerifier": verifier}


def test_a_providers_token_logs_in_on_the_guests_own_session(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        session, old, before_view = last_session(sandbox, browser), browser.cookies["bff"], view(browser)
        answer = browser.post("/auth/exchange", json={"token": provider_token(sandbox)})
        body = answer.json()
        assert (answer.status_code, set(body)) == (200, VIEW)
        assert (body["kind"], body["customer"]) == ("customer", {"email": ADA["email"]})
        assert body["version"] > before_view["version"]
        assert issued(answer) != old
        assert last_session(sandbox, browser) == session
        (logout,) = [browser.post("/auth/logout")]
        assert cleared(logout)


def test_the_config_goes_along_and_an_unknown_one_is_refused(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        before = seen(sandbox)
        refused = browser.post("/auth/exchange", json={"token": provider_token(sandbox), "config": "site_XX"})
        problem(refused, 401, "invalid_credentials")
        assert not set_cookies(refused)
        answer = browser.post("/auth/exchange", json={"token": provider_token(sandbox), "config": "site_DE"})
        assert answer.status_code == 200
        tried = [one["query"].get("config") for one in sandbox.log_since(before) if "exchange" in one["path"]]
        assert tried == ["site_XX", "site_DE"]


@pytest.mark.parametrize("token", ["forged", "a.b.c"])
def test_a_token_that_upstream_does_not_know_is_refused(
    proxy: LiveProxy, sandbox: Sandbox, token: str
) -> None:
    with guest(proxy) as browser:
        answer = browser.post("/auth/exchange", json={"token": token})
        problem(answer, 401, "invalid_credentials")
        assert not set_cookies(answer)
        assert view(browser)["kind"] == "anonymous"


def test_an_expired_token_is_refused(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        answer = browser.post("/auth/exchange", json={"token": provider_token(sandbox, life=-1)})
        problem(answer, 401, "invalid_credentials")


def test_an_unknown_customer_is_made_or_refused_as_the_tenant_has_it(
    proxy: LiveProxy, sandbox: Sandbox
) -> None:
    token = provider_token(sandbox, f"new-{secrets.token_hex(4)}@example.com")
    with proxy.browser() as browser:
        knob(sandbox, autoprovision=False)
        problem(browser.post("/auth/exchange", json={"token": token}), 401, "invalid_credentials")
        knob(sandbox, autoprovision=True)
        assert browser.post("/auth/exchange", json={"token": token}).json()["kind"] == "customer"


@pytest.mark.parametrize(
    "body",
    [{}, {"token": ""}, {"token": None}, {"token": 5}, {"token": "x" * 9_501}, {"token": "x" * 20_000},
     {"token": "x" * 9_000, "config": "c" * 600}, {"token": "t", "config": ""}, {"token": "t", "config": 5}],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_before_anything_is_asked(
    proxy: LiveProxy, sandbox: Sandbox, body: dict[str, object]
) -> None:
    before = seen(sandbox)
    with proxy.browser() as browser:
        told = problem(browser.post("/auth/exchange", json=body), 400, "invalid_request")
        assert "'token'" in told["detail"] or "'config'" in told["detail"] or "too long" in told["detail"]
    assert calls(sandbox, before) == []


def test_a_token_too_long_for_an_address_once_escaped_is_refused(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        before = seen(sandbox)
        problem(browser.post("/auth/exchange", json={"token": "/" * 4_000}), 400, "invalid_request")
        assert calls(sandbox, before) == []


@pytest.mark.parametrize(("kind", "status", "code"), TROUBLE)
def test_an_exchange_that_upstream_does_not_answer_well_changes_nothing(
    proxy: LiveProxy, sandbox: Sandbox, kind: str, status: int, code: str
) -> None:
    with guest(proxy) as browser:
        session = last_session(sandbox, browser)
        fault(sandbox, EXCHANGE, kind, retryAfter=7)
        answer = browser.post("/auth/exchange", json={"token": provider_token(sandbox)})
        problem(answer, status, code)
        assert not set_cookies(answer)
        if status in {429, 503}:
            assert int(answer.headers["retry-after"]) >= 1
        sandbox.control("DELETE", "/faults")
        assert view(browser)["kind"] == "anonymous"
        assert kind == "lost" or last_session(sandbox, browser) == session


def test_a_customer_who_exchanges_ends_first(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with customer(proxy) as browser:
        session = last_session(sandbox, browser)
        answer = browser.post("/auth/exchange", json={"token": provider_token(sandbox, GRACE["email"])})
        assert answer.json()["customer"] == {"email": GRACE["email"]}
        assert sandbox.control("GET", "/sessions")[session]["ended"] is True


@pytest.mark.parametrize("kind", ["error", "unauthorized_invalid", "garbage"])
def test_a_sign_on_does_not_depend_on_whose_it_is(proxy: LiveProxy, sandbox: Sandbox, kind: str) -> None:
    fault(sandbox, "GET /customer/{tenant}/validateauthtoken", kind)
    with proxy.browser() as browser:
        token = provider_token(sandbox, f"nameless-{kind.replace('_', '-')}@example.com")
        body = browser.post("/auth/exchange", json={"token": token}).json()
        assert body["kind"] == "customer"
        assert [row["current"] for row in browser.get("/auth/sessions").json()] == [True]


def test_a_session_whose_address_upstream_withheld_is_still_its_customers(
    proxy: LiveProxy, sandbox: Sandbox
) -> None:
    with proxy.browser() as nameless, customer(proxy) as browser:
        fault(sandbox, "GET /customer/{tenant}/validateauthtoken", "error")
        assert nameless.post("/auth/exchange", json={"token": provider_token(sandbox)}).status_code == 200
        sandbox.control("DELETE", "/faults")
        assert browser.delete("/auth/sessions").status_code == 204
        problem(nameless.get("/auth/sessions"), 401, "no_session")


def test_an_apps_code_logs_in_over_its_header(sso: LiveProxy, sandbox: Sandbox) -> None:
    with sso.app() as app:
        session_id = app.post("/auth/anonymous").json()["sessionId"]
    with sso.app(session_id) as app:
        session = last_session(sandbox, app)
        answer = app.post("/auth/sso/main/code", json=an_apps_code(sandbox))
        body = answer.json()
        assert (answer.status_code, set(body)) == (200, VIEW | {"sessionId"})
        assert (body["kind"], body["customer"]) == ("customer", {"email": ADA["email"]})
        assert body["sessionId"] != session_id
        assert not set_cookies(answer)
        problem(app.post("/auth/refresh"), 401, "session_rotated")
    with sso.app(body["sessionId"]) as app:
        assert last_session(sandbox, app) == session


def test_a_code_over_the_cookie_logs_in_and_needs_no_session(sso: LiveProxy, sandbox: Sandbox) -> None:
    with sso.browser() as browser:
        answer = browser.post("/auth/sso/plain/code", json=an_apps_code(sandbox))
        assert (answer.status_code, set(answer.json())) == (200, VIEW)
        assert issued(answer)
        assert view(browser)["kind"] == "customer"
        browser.headers.pop("X-CSRF")
        problem(browser.post("/auth/sso/plain/code", json=an_apps_code(sandbox)), 403, "csrf_failed")


@pytest.mark.parametrize(
    "change",
    [{"code": "forged"}, {"redirectUri": "https://other.example/"}, {"codeVerifier": "w" * 43}, {"codeVerifier": None}],
)  # fmt: skip
def test_a_code_that_does_not_fit_is_refused(
    sso: LiveProxy, sandbox: Sandbox, change: dict[str, str | None]
) -> None:
    with guest(sso) as browser:
        answer = browser.post("/auth/sso/main/code", json=an_apps_code(sandbox) | change)
        problem(answer, 401, "invalid_credentials")
        assert not set_cookies(answer)
        assert view(browser)["kind"] == "anonymous"


def test_a_code_works_once(sso: LiveProxy, sandbox: Sandbox) -> None:
    code = an_apps_code(sandbox)
    with guest(sso) as first, guest(sso) as second:
        assert first.post("/auth/sso/main/code", json=code).status_code == 200
        problem(second.post("/auth/sso/main/code", json=code), 401, "invalid_credentials")


def test_a_code_for_an_unknown_provider_is_not_found(sso: LiveProxy, sandbox: Sandbox) -> None:
    before = seen(sandbox)
    with guest(sso) as browser:
        problem(
            browser.post("/auth/sso/unknown/code", json={"code": "c", "redirectUri": BACK}), 404, "not_found"
        )
    assert SOCIAL not in calls(sandbox, before)


@pytest.mark.parametrize(("kind", "status", "code"), [one for one in TROUBLE if one[0] != "stall"])
def test_trouble_with_an_apps_code_keeps_the_guest(
    sso: LiveProxy, sandbox: Sandbox, kind: str, status: int, code: str
) -> None:
    with guest(sso) as browser:
        fault(sandbox, SOCIAL, kind)
        problem(browser.post("/auth/sso/main/code", json=an_apps_code(sandbox)), status, code)
        sandbox.control("DELETE", "/faults")
        assert view(browser)["kind"] == "anonymous"


def test_no_token_comes_back(sso: LiveProxy, sandbox: Sandbox) -> None:
    with sso.browser() as browser, sso.app() as app:
        ear = Ear(browser, app)
        browser.post("/auth/exchange", json={"token": provider_token(sandbox), "config": "site_XX"})
        browser.post("/auth/exchange", json={"token": provider_token(sandbox)})
        app.post("/auth/exchange", json={"token": provider_token(sandbox)})
        app.post("/auth/sso/main/code", json=an_apps_code(sandbox))
        browser.get("/auth/validate")
        assert ear.secrets_of(sandbox) == []
    for secret in sandbox.secrets():
        assert secret not in sso.log
