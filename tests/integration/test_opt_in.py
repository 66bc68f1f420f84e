"""Double opt-in: the mail's token activates the account and logs it in."""

import secrets

import pytest

from tests.integration.signing import OPT_IN, Ear, last_session, view
from tests.integration.visitors import VIEW, calls, fault, guest, issued, knob, problem, seen, set_cookies
from tests.live import TENANT, LiveProxy, Sandbox

MATCH = f"GET /customer/{TENANT}/signup/optin/"


def signed_up(proxy: LiveProxy, sandbox: Sandbox) -> tuple[dict[str, str], str]:
    """Sign somebody up and return the account and the token of the mail that came."""
    knob(sandbox, optIn=True)
    account = {"email": f"new-{secrets.token_hex(5)}@example.com", "password": "long-enough-a-password"}
    with proxy.browser() as browser:
        assert browser.post("/auth/signup", json=account).status_code == 201
        problem(browser.post("/auth/login", json=account), 401, "invalid_credentials")
    (mail,) = [one for one in sandbox.control("GET", "/mails") if one["to"] == account["email"]]
    return account, mail["token"]


def test_the_mails_token_activates_and_logs_in(proxy: LiveProxy, sandbox: Sandbox) -> None:
    account, token = signed_up(proxy, sandbox)
    with guest(proxy) as browser:
        session, old = last_session(sandbox, browser), browser.cookies["bff"]
        answer = browser.post("/auth/opt-in", json={"token": token})
        body = answer.json()
        assert (answer.status_code, set(body)) == (200, VIEW)
        assert (body["kind"], body["customer"]) == ("customer", {"email": account["email"]})
        assert issued(answer) != old
        assert last_session(sandbox, browser) == session
    with proxy.browser() as browser:
        assert browser.post("/auth/login", json=account).json()["kind"] == "customer"


def test_an_opt_in_starts_a_guest_where_there_is_none(proxy: LiveProxy, sandbox: Sandbox) -> None:
    _, token = signed_up(proxy, sandbox)
    before = seen(sandbox)
    with proxy.browser() as browser:
        assert browser.post("/auth/opt-in", json={"token": token}).json()["kind"] == "customer"
    assert calls(sandbox, before)[:2] == ["GET /customerlogin/auth/anonymous/login", OPT_IN]


def test_an_app_opts_in_over_its_header(proxy: LiveProxy, sandbox: Sandbox) -> None:
    account, token = signed_up(proxy, sandbox)
    with proxy.app() as app:
        body = app.post("/auth/opt-in", json={"token": token}).json()
        assert body["customer"] == {"email": account["email"]}
    with proxy.app(body["sessionId"]) as app:
        assert app.get("/auth/session").json()["kind"] == "customer"


def test_a_used_token_is_refused(proxy: LiveProxy, sandbox: Sandbox) -> None:
    _, token = signed_up(proxy, sandbox)
    with guest(proxy) as first, guest(proxy) as second:
        assert first.post("/auth/opt-in", json={"token": token}).status_code == 200
        answer = second.post("/auth/opt-in", json={"token": token})
        problem(answer, 401, "invalid_credentials")
        assert not set_cookies(answer)
        assert view(second)["kind"] == "anonymous"


@pytest.mark.parametrize("token", ["wrong", "../../login", "a/b", "a?b#c", "%2e%2e", "é", "."])
def test_a_wrong_token_is_refused_and_reaches_nothing_else(
    proxy: LiveProxy, sandbox: Sandbox, token: str
) -> None:
    with guest(proxy) as browser:
        before = seen(sandbox)
        answer = browser.post("/auth/opt-in", json={"token": token})
        assert answer.status_code in {400, 401}
        problem(answer, answer.status_code, answer.json()["code"])
        assert set(calls(sandbox, before)) <= {OPT_IN, "GET (no route)"}
        assert view(browser)["kind"] == "anonymous"


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": None}, {"token": 5}, {"token": "x" * 1025}])
def test_an_opt_in_without_a_token_is_no_request(
    proxy: LiveProxy, sandbox: Sandbox, body: dict[str, object]
) -> None:
    before = seen(sandbox)
    with proxy.browser() as browser:
        problem(browser.post("/auth/opt-in", json=body), 400, "invalid_request")
    assert calls(sandbox, before) == []


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("forbidden", 403, "forbidden"),
        ("throttled", 429, "too_many_requests"),
        ("error", 503, "upstream_unavailable"),
        ("html", 503, "upstream_unavailable"),
        ("disconnect", 503, "upstream_unavailable"),
        ("garbage", 502, "bad_upstream_answer"),
        ("empty", 502, "bad_upstream_answer"),
        ("no_access_token", 502, "bad_upstream_answer"),
        ("stall", 504, "upstream_timeout"),
    ],
)
def test_an_opt_in_that_upstream_does_not_answer_well_changes_nothing(
    proxy: LiveProxy, sandbox: Sandbox, kind: str, status: int, code: str
) -> None:
    _, token = signed_up(proxy, sandbox)
    with guest(proxy) as browser:
        fault(sandbox, MATCH, kind)
        answer = browser.post("/auth/opt-in", json={"token": token})
        problem(answer, status, code)
        assert not set_cookies(answer)
        assert view(browser)["kind"] == "anonymous"


def test_no_token_comes_back_or_is_logged(proxy: LiveProxy, sandbox: Sandbox) -> None:
    _, token = signed_up(proxy, sandbox)
    with proxy.browser() as browser:
        ear = Ear(browser)
        browser.post("/auth/opt-in", json={"token": token})
        browser.post("/auth/opt-in", json={"token": token})
        assert ear.secrets_of(sandbox) == []
        assert token not in "".join(ear.heard)
    for secret in sandbox.secrets() | {token}:
        assert secret not in proxy.log
