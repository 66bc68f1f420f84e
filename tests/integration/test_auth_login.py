"""Login and logout: who a session belongs to before, after and meanwhile."""

from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.integration.visitors import (
    CARTS,
    CUSTOMER_LOGIN,
    ME,
    PRODUCTS,
    calls,
    carrying,
    customer,
    emporix_session,
    fault,
    guest,
    issued,
    knob,
    live_tokens,
    problem,
    seen,
    set_cookies,
)
from tests.live import ADA, GRACE, TENANT, LiveProxy, Sandbox

_WRONG = ADA | {"password": "not-the-right-one"}


def test_login_without_a_session_starts_a_guest_first(proxy: LiveProxy, sandbox: Sandbox) -> None:
    before = seen(sandbox)
    with proxy.browser() as browser:
        answer = browser.post("/auth/login", json=ADA)
        assert (answer.status_code, answer.json()["kind"]) == (200, "customer")
        assert issued(answer)
        assert calls(sandbox, before) == ["GET /customerlogin/auth/anonymous/login", CUSTOMER_LOGIN]
        assert sandbox.log_since(before)[1]["bearer"] == "anonymous"


def test_login_keeps_the_emporix_session_and_counts_a_version(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        session = emporix_session(browser, sandbox)
        version = browser.get("/auth/session").json()["version"]
        view = browser.post("/auth/login", json=ADA).json()
        assert view["version"] > version
        assert emporix_session(browser, sandbox) == session
        assert browser.get(ME).headers["x-session-version"] == str(view["version"])


def test_a_failed_login_leaves_the_guest_and_its_cart(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        cart = browser.get(CARTS, params={"siteCode": "main", "create": "true"}).json()["id"]
        before = browser.get("/auth/session?slide=false").json()
        for account in (_WRONG, {"email": "nobody@example.com", "password": "does-not-matter"}):
            answer = browser.post("/auth/login", json=account)
            problem(answer, 401, "invalid_credentials")
            assert not set_cookies(answer)
        after = browser.get("/auth/session?slide=false").json()
        assert after | {"idleExpiresAt": None} == before | {"idleExpiresAt": None}
        assert browser.get(CARTS, params={"siteCode": "main"}).json()["id"] == cart


def test_a_failed_login_without_a_session_hands_out_the_guest(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with proxy.browser() as browser:
        answer = browser.post("/auth/login", json=_WRONG)
        problem(answer, 401, "invalid_credentials")
        assert issued(answer)
        assert browser.get("/auth/session").json()["kind"] == "anonymous"
        before = seen(sandbox)
        assert browser.post("/auth/login", json=ADA).status_code == 200
        assert calls(sandbox, before) == [CUSTOMER_LOGIN]


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("error", 503, "upstream_unavailable"),
        ("html", 503, "upstream_unavailable"),
        ("disconnect", 503, "upstream_unavailable"),
        ("throttled", 429, "too_many_requests"),
        ("garbage", 502, "bad_upstream_answer"),
        ("empty", 502, "bad_upstream_answer"),
        ("no_access_token", 502, "bad_upstream_answer"),
        ("forbidden", 403, "forbidden"),
    ],
)
def test_a_login_that_upstream_does_not_answer_well_changes_nothing(
    proxy: LiveProxy, sandbox: Sandbox, kind: str, status: int, code: str
) -> None:
    with guest(proxy) as browser:
        session = emporix_session(browser, sandbox)
        fault(sandbox, "POST /customer/{tenant}/login", kind, retryAfter=7)
        answer = browser.post("/auth/login", json=ADA)
        problem(answer, status, code)
        assert not set_cookies(answer)
        if status in {429, 503}:
            assert int(answer.headers["retry-after"]) >= 1
        sandbox.control("DELETE", "/faults")
        assert browser.get("/auth/session").json()["kind"] == "anonymous"
        assert emporix_session(browser, sandbox) == session


def test_a_login_that_upstream_never_answers_is_a_timeout(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        fault(sandbox, "POST /customer/{tenant}/login", "stall")
        answer = browser.post("/auth/login", json=ADA)
        problem(answer, 504, "upstream_timeout")
        assert not set_cookies(answer)
        assert browser.get("/auth/session").json()["kind"] == "anonymous"


@pytest.mark.parametrize("ended", [{"access": True}, {}], ids=["access-token", "all-tokens"])
def test_login_survives_a_guest_whose_tokens_upstream_forgot(
    proxy: LiveProxy, sandbox: Sandbox, ended: dict[str, bool]
) -> None:
    with guest(proxy) as browser:
        session = emporix_session(browser, sandbox)
        sandbox.control("POST", "/revoke", {"sessionId": session} | ended)
        assert browser.post("/auth/login", json=ADA).json()["kind"] == "customer"
        assert (emporix_session(browser, sandbox) == session) is bool(ended)


def test_logins_submitted_together_give_one_customer_session(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        cookie = browser.cookies["bff"]
    before = seen(sandbox)

    def submit(_index: int) -> httpx2.Response:
        with carrying(proxy, cookie) as client:
            return client.post("/auth/login", json=ADA)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(submit, range(6)))
    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert issued(won[0])
    for answer in answers:
        if answer is not won[0]:
            problem(answer, 401, "session_rotated")
            assert not set_cookies(answer)
    assert calls(sandbox, before).count(CUSTOMER_LOGIN) == 1


def test_login_on_a_customer_ends_that_one_here_and_upstream(proxy: LiveProxy, sandbox: Sandbox) -> None:
    knob(sandbox, anonymousValidAfterLogin=False)
    with customer(proxy) as browser:
        old, session = browser.cookies["bff"], emporix_session(browser, sandbox)
        answer = browser.post("/auth/login", json=GRACE)
        assert (answer.status_code, answer.json()["customer"]) == (200, {"email": GRACE["email"]})
        assert issued(answer) != old
        assert emporix_session(browser, sandbox) != session
    assert sandbox.control("GET", "/sessions")[session]["ended"] is True
    assert live_tokens(sandbox, session) == 0
    with carrying(proxy, old) as late:
        for late_answer in (late.get("/auth/session"), late.get(ME), late.post("/auth/refresh")):
            problem(late_answer, 401, "session_rotated")
            assert not set_cookies(late_answer)


def test_a_failed_login_on_a_customer_leaves_the_customer(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with customer(proxy) as browser:
        session = emporix_session(browser, sandbox)
        answer = browser.post("/auth/login", json=_WRONG)
        problem(answer, 401, "invalid_credentials")
        assert not set_cookies(answer)
        assert browser.get("/auth/session").json()["customer"] == {"email": ADA["email"]}
        assert emporix_session(browser, sandbox) == session
    assert sandbox.control("GET", "/sessions")[session]["ended"] is False


def test_another_customer_in_the_same_browser_has_a_greater_version(proxy: LiveProxy) -> None:
    with customer(proxy) as browser:
        version = browser.get("/auth/session").json()["version"]
        assert browser.post("/auth/login", json=GRACE).json()["version"] > version


def test_the_old_id_still_reads_as_the_guest_and_writes_nothing(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        old = browser.cookies["bff"]
        cart = browser.get(CARTS, params={"siteCode": "main", "create": "true"}).json()["id"]
        browser.post("/auth/login", json=ADA)
        with carrying(proxy, old) as late:
            view = late.get("/auth/session")
            assert (view.json()["kind"], view.json()["customer"]) == ("anonymous", None)
            shown = late.get(f"{CARTS}/{cart}")
            assert (shown.status_code, shown.json()["id"]) == (200, cart)
            reads = [view, shown, late.get(PRODUCTS), late.head("/auth/session")]
            assert [answer.status_code for answer in reads] == [200] * 4
            problem(late.get(f"/api/order-v2/{TENANT}/orders"), 401, "login_required")
            before = seen(sandbox)
            writes = [
                late.post("/auth/login", json=ADA),
                late.post("/auth/logout"),
                late.post("/auth/anonymous"),
                late.post("/auth/refresh"),
                late.put("/auth/legal-entity", json={"legalEntityId": None}),
                late.post(f"{CARTS}/{cart}/items", json={"product": {"id": "morning-ledge"}}),
                late.delete(f"{CARTS}/{cart}"),
            ]
            for answer in writes:
                problem(answer, 401, "session_rotated")
            assert not [answer for answer in reads + writes if set_cookies(answer)]
            assert calls(sandbox, before) == []
        assert browser.get("/auth/session").json()["kind"] == "customer"


def test_the_old_id_is_validated_as_the_guest_it_was(proxy: LiveProxy) -> None:
    with guest(proxy) as browser:
        old = browser.cookies["bff"]
        browser.post("/auth/login", json=ADA)
        with carrying(proxy, old) as late:
            answer = late.get("/auth/validate")
            assert not set_cookies(answer)
            assert (answer.status_code, answer.json().get("kind")) == (200, "anonymous")
