"""Renewals: what refusals, outages and both clocks do to a session."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx2
import pytest

from bff.app import Proxy
from bff.config.settings import load_settings
from tests.integration.visitors import (
    ANONYMOUS_LOGIN,
    ANONYMOUS_REFRESH,
    CARTS,
    CUSTOMER_REFRESH,
    ME,
    calls,
    carrying,
    cleared,
    customer,
    emporix_session,
    eventually,
    fault,
    guest,
    issued,
    knob,
    problem,
    seen,
    set_cookies,
)
from tests.live import TENANT, LiveProxy, Sandbox, environment
from tests.threaded import ThreadedProxy, threaded

_RENEWALS = {"anonymous": ANONYMOUS_REFRESH, "customer": CUSTOMER_REFRESH}
_REFUSALS = ["bad_request", "unauthorized", "apigee"]
LONGEST_PAUSE = 31
"""Seconds after which whatever has failed is asked again."""
_OUTAGES = ["error", "html", "throttled", "garbage", "empty", "no_access_token", "disconnect"]


@pytest.fixture
def clocked(sandbox: Sandbox, redis_url: str) -> Iterator[ThreadedProxy]:
    """A proxy whose clock the test moves."""
    with threaded(environment(sandbox, redis_url)) as proxy:
        yield proxy


def _revoked(browser: httpx2.Client, sandbox: Sandbox) -> tuple[str, str]:
    """Revoke the tokens of a visitor upstream; return the cookie and the Emporix session that had them."""
    session = emporix_session(browser, sandbox)
    sandbox.control("POST", "/revoke", {"sessionId": session})
    return browser.cookies["bff"], session


@pytest.mark.anyio
@pytest.mark.parametrize(("skew", "renewed"), [("60", False), ("120", True)])
async def test_a_token_is_renewed_as_long_before_its_end_as_is_set(
    sandbox: Sandbox, redis_url: str, skew: str, *, renewed: bool
) -> None:
    origin, begin, later = "http://127.0.0.1:8080", datetime.now(UTC).timestamp(), 0
    settings = environment(sandbox, redis_url, BFF_PUBLIC_ORIGIN=origin, BFF_REFRESH_SKEW_SECONDS=skew)
    proxy = Proxy(load_settings(settings), clock=lambda: begin + later)
    transport, headers = httpx2.ASGITransport(proxy), {"X-CSRF": "1"}
    async with httpx2.AsyncClient(transport=transport, base_url=origin, headers=headers) as browser:
        assert (await browser.post("/auth/anonymous")).status_code == 201
        before, later = seen(sandbox), 3599 - 90
        await browser.get(CARTS)
    await proxy.aclose()
    assert (ANONYMOUS_REFRESH in calls(sandbox, before)) is renewed


def test_refresh_renews_now_and_keeps_the_session(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        session, before = emporix_session(browser, sandbox), seen(sandbox)
        answer = browser.post("/auth/refresh")
        assert (answer.status_code, answer.json()["kind"]) == (200, "anonymous")
        assert calls(sandbox, before) == [ANONYMOUS_REFRESH]
        assert not set_cookies(answer)
        assert emporix_session(browser, sandbox) == session
    with customer(proxy) as browser:
        session, before = emporix_session(browser, sandbox), seen(sandbox)
        version = browser.get("/auth/session").json()["version"]
        answer = browser.post("/auth/refresh")
        assert (answer.status_code, answer.json()["kind"], answer.json()["version"]) == (
            200,
            "customer",
            version,
        )
        assert CUSTOMER_REFRESH in calls(sandbox, before)
        assert not set_cookies(answer)
        assert emporix_session(browser, sandbox) == session


def test_without_a_session_there_is_nothing_to_refresh_or_validate(
    proxy: LiveProxy, sandbox: Sandbox
) -> None:
    before = seen(sandbox)
    with proxy.browser() as browser:
        for answer in (browser.post("/auth/refresh"), browser.get("/auth/validate")):
            problem(answer, 401, "no_session")
            assert not set_cookies(answer)
    assert calls(sandbox, before) == []


@pytest.mark.parametrize("refusal", _REFUSALS)
def test_refused_renewal_ends_a_customer_session(proxy: LiveProxy, sandbox: Sandbox, refusal: str) -> None:
    knob(sandbox, refreshRefusal=refusal)
    with customer(proxy) as browser:
        old, _ = _revoked(browser, sandbox)
        answer = browser.post("/auth/refresh")
        problem(answer, 401, "session_expired")
        assert cleared(answer)
        assert browser.get("/auth/session").json()["kind"] == "none"
        with carrying(proxy, old) as late:
            looked = late.get("/auth/session")
            assert (looked.status_code, looked.json()["kind"]) == (200, "none")
            assert not set_cookies(looked)
            for again in (late.post("/auth/refresh"), late.get(ME)):
                problem(again, 401, "session_expired")
                assert not set_cookies(again)


@pytest.mark.parametrize("how", ["revoke", "expire"])
def test_a_refusal_on_the_api_clears_the_cookie_exactly_once(
    proxy: LiveProxy, sandbox: Sandbox, how: str
) -> None:
    with customer(proxy) as browser:
        cookie, session = browser.cookies["bff"], emporix_session(browser, sandbox)
        sandbox.control("POST", f"/{how}", {"sessionId": session})

    def look(_index: int) -> httpx2.Response:
        with carrying(proxy, cookie) as client:
            return client.get(ME)

    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(look, range(8)), look(8)]
    for answer in answers:
        problem(answer, 401, "session_expired")
    assert sum(len(set_cookies(answer)) for answer in answers) == 1
    assert sum(cleared(answer) for answer in answers) == 1


@pytest.mark.parametrize("refusal", _REFUSALS)
def test_a_refused_guest_is_replaced_by_a_new_one(proxy: LiveProxy, sandbox: Sandbox, refusal: str) -> None:
    knob(sandbox, refreshRefusal=refusal)
    with guest(proxy) as browser:
        old, session = _revoked(browser, sandbox)
        answer = browser.post("/auth/refresh")
        assert (answer.status_code, answer.json()["kind"]) == (200, "anonymous")
        assert issued(answer) != old
        assert emporix_session(browser, sandbox) != session


def test_a_guest_refused_on_the_api_is_served_as_the_new_one(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        _, session = _revoked(browser, sandbox)
        answer = browser.get(CARTS, params={"siteCode": "main", "create": "true"})
        assert answer.status_code == 200
        assert issued(answer)
        assert answer.json()["sessionId"] != session
        assert emporix_session(browser, sandbox) == answer.json()["sessionId"]


def test_a_guest_refused_in_many_requests_is_replaced_once(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        cookie, _ = _revoked(browser, sandbox)
    before = seen(sandbox)

    def look(_index: int) -> httpx2.Response:
        with carrying(proxy, cookie) as client:
            return client.get(CARTS, params={"siteCode": "main", "create": "true"})

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(look, range(6)))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert all(issued(answer) for answer in answers)
    assert len({answer.json()["sessionId"] for answer in answers}) == 1
    assert calls(sandbox, before).count(ANONYMOUS_LOGIN) == 1


def test_an_access_token_that_upstream_forgot_is_renewed_and_the_call_repeated(
    proxy: LiveProxy, sandbox: Sandbox
) -> None:
    with customer(proxy) as browser:
        session = emporix_session(browser, sandbox)
        sandbox.control("POST", "/revoke", {"sessionId": session, "access": True})
        before = seen(sandbox)
        answer = browser.get(ME)
        assert (answer.status_code, answer.json()["firstName"]) == (200, "Ada")
        assert not set_cookies(answer)
        done = calls(sandbox, before)
        assert (done.count(CUSTOMER_REFRESH), done.count("GET /customer/{tenant}/me")) == (1, 2)
        assert emporix_session(browser, sandbox) == session


@pytest.mark.parametrize("kind", ["anonymous", "customer"])
def test_an_outage_at_a_forced_renewal_ends_nothing(
    clocked: ThreadedProxy, sandbox: Sandbox, kind: str
) -> None:
    knob(sandbox, customerRotation="tolerant")  # one of the outages loses an answer to a token that was used
    with guest(clocked) if kind == "anonymous" else customer(clocked) as browser:
        session = emporix_session(browser, sandbox)
        for outage in _OUTAGES:
            fault(sandbox, _RENEWALS[kind], outage, retryAfter=7)
            answer = browser.post("/auth/refresh")
            problem(answer, 503, "upstream_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert not set_cookies(answer)
            sandbox.control("DELETE", "/faults")
            assert browser.get("/auth/session").json()["kind"] == kind
            clocked.outlast_pauses(LONGEST_PAUSE)
        assert browser.post("/auth/refresh").status_code == 200
        assert emporix_session(browser, sandbox) == session


def test_the_wait_that_upstream_asks_for_is_passed_on_and_kept(
    clocked: ThreadedProxy, sandbox: Sandbox
) -> None:
    with guest(clocked) as browser:
        fault(sandbox, _RENEWALS["anonymous"], "throttled", retryAfter=17)
        before = seen(sandbox)
        assert browser.post("/auth/refresh").headers["retry-after"] == "17"
        for _ in range(29):
            assert 15 <= int(browser.post("/auth/refresh").headers["retry-after"]) <= 17
        assert calls(sandbox, before).count(ANONYMOUS_REFRESH) == 1


@pytest.mark.parametrize("kind", ["anonymous", "customer"])
def test_an_outage_with_an_ended_token_is_a_503_that_keeps_the_session(
    clocked: ThreadedProxy, sandbox: Sandbox, kind: str
) -> None:
    knob(sandbox, anonymousExpiresIn=1, customerExpiresIn=1, customerRotation="tolerant")
    with guest(clocked) if kind == "anonymous" else customer(clocked) as browser:
        knob(sandbox, anonymousExpiresIn=3599)
        for outage in [*_OUTAGES, "stall"]:
            clocked.outlast_pauses(LONGEST_PAUSE)
            fault(sandbox, _RENEWALS[kind], outage)
            before = seen(sandbox)
            answer = browser.get(CARTS, params={"siteCode": "main"})
            problem(answer, 503, "upstream_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert not set_cookies(answer)
            done = calls(sandbox, before)
            assert _RENEWALS[kind] in done
            assert "GET /cart/{tenant}/carts" not in done
            sandbox.control("DELETE", "/faults")
        answers: list[httpx2.Response] = []

        def answered() -> bool:
            clocked.outlast_pauses(LONGEST_PAUSE)
            answers.append(browser.get(CARTS, params={"siteCode": "main", "create": "true"}))
            return answers[-1].status_code != 503  # the last refresh still hangs, and then has begun a pause

        eventually(answered)
        answer = answers[-1]
        assert answer.status_code == 200
        assert not set_cookies(answer)
        assert browser.get("/auth/session").json()["kind"] == kind


@pytest.mark.parametrize("kind", ["anonymous", "customer"])
def test_an_outage_with_a_token_that_is_still_good_goes_unnoticed(
    clocked: ThreadedProxy, sandbox: Sandbox, kind: str
) -> None:
    knob(sandbox, anonymousExpiresIn=20, customerExpiresIn=20, customerRotation="tolerant")
    match = _RENEWALS[kind]
    for outage in [*_OUTAGES, "stall"]:
        clocked.outlast_pauses(LONGEST_PAUSE)
        with guest(clocked) if kind == "anonymous" else customer(clocked) as browser:
            session = emporix_session(browser, sandbox)
            clocked.ahead += 10.5  # a token is due for its second half at the latest
            fault(sandbox, match, outage)
            before = seen(sandbox)
            answer = browser.get(CARTS, params={"siteCode": "main", "create": "true"})
            assert answer.status_code == 200
            assert not set_cookies(answer)
            done = [f"{one['method']} {one['path']}" for one in sandbox.log_since(before)]
            assert match.replace("{tenant}", TENANT) in done
            sandbox.control("DELETE", "/faults")
            assert emporix_session(browser, sandbox) == session


def test_a_refresh_token_about_to_end_renews_a_token_that_is_good(
    clocked: ThreadedProxy, sandbox: Sandbox
) -> None:
    knob(sandbox, customerRefreshExpiresIn=16)
    with customer(clocked) as browser:
        session, before = emporix_session(browser, sandbox), seen(sandbox)
        clocked.ahead = 8.5
        assert browser.get(ME).status_code == 200
        assert CUSTOMER_REFRESH in calls(sandbox, before)
        assert emporix_session(browser, sandbox) == session


def test_a_customer_whose_refresh_token_has_ended_is_served_and_must_log_in_to_renew(
    proxy: LiveProxy, sandbox: Sandbox
) -> None:
    knob(sandbox, customerRefreshExpiresIn=1)
    with customer(proxy) as browser:
        time.sleep(1.2)
        assert browser.get(ME).status_code == 200
        answer = browser.post("/auth/refresh")
        problem(answer, 401, "reauthentication_required")
        assert not set_cookies(answer)
        problem(
            browser.put("/auth/legal-entity", json={"legalEntityId": "LE-100"}),
            401,
            "reauthentication_required",
        )
        assert browser.get(ME).status_code == 200
