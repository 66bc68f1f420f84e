"""Logout: what ends here and upstream, and what nothing may bring back."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.visitors import (
    CARTS,
    CUSTOMER_REFRESH,
    ME,
    arrived,
    carrying,
    cleared,
    customer,
    emporix_session,
    eventually,
    fault,
    guest,
    knob,
    live_tokens,
    problem,
    seen,
    set_cookies,
)
from tests.live import ADA, TENANT, LiveProxy, Sandbox


def test_a_slow_request_undoes_neither_login_nor_logout(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser, ThreadPoolExecutor(2) as pool:
        for change, status in (("login", 200), ("logout", 204)):
            before = seen(sandbox)
            fault(sandbox, f"GET /cart/{TENANT}/carts", "delay", delay=2, times=1)
            late = carrying(proxy, browser.cookies["bff"])
            slow = pool.submit(late.get, CARTS, params={"siteCode": "main", "create": "true"})
            arrived(sandbox, before, "GET /cart/{tenant}/carts")
            changed = browser.post(f"/auth/{change}", json=ADA)
            assert changed.status_code == status
            answer = slow.result()
            assert answer.status_code == 200
            assert not set_cookies(answer)
            late.close()


def test_logout_ends_the_session_here_and_the_token_upstream(proxy: LiveProxy, sandbox: Sandbox) -> None:
    knob(sandbox, anonymousValidAfterLogin=False)
    with customer(proxy) as browser:
        old, session = browser.cookies["bff"], emporix_session(browser, sandbox)
        assert live_tokens(sandbox, session) > 0
        answer = browser.post("/auth/logout")
        assert (answer.status_code, answer.content) == (204, b"")
        assert cleared(answer)
        assert live_tokens(sandbox, session) == 0
        again = browser.post("/auth/logout")
        assert again.status_code == 204
        assert not set_cookies(again)
    with carrying(proxy, old) as late:
        again = late.post("/auth/logout")
        assert again.status_code == 204
        assert not set_cookies(again)
        for late_answer in (late.get(ME), late.post("/auth/refresh")):
            problem(late_answer, 401, "no_session")
            assert not set_cookies(late_answer)


@pytest.mark.parametrize(
    "kind", ["error", "disconnect", "unauthorized_invalid", "throttled", "html", "stall"]
)
def test_logout_succeeds_whatever_upstream_says(proxy: LiveProxy, sandbox: Sandbox, kind: str) -> None:
    with customer(proxy) as browser:
        fault(sandbox, "GET /customer/{tenant}/logout", kind)
        answer = browser.post("/auth/logout")
        assert answer.status_code == 204
        assert cleared(answer)
        assert browser.get("/auth/session").json()["kind"] == "none"


def test_a_guest_that_leaves_comes_back_as_another(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        session = emporix_session(browser, sandbox)
        answer = browser.post("/auth/logout")
        assert answer.status_code == 204
        assert cleared(answer)
        assert browser.post("/auth/anonymous").status_code == 201
        assert emporix_session(browser, sandbox) != session


def test_logout_counts_a_version(proxy: LiveProxy) -> None:
    with customer(proxy) as browser:
        version = browser.get("/auth/session").json()["version"]
        browser.post("/auth/logout")
        assert browser.post("/auth/anonymous").json()["version"] > version


def test_a_renewal_that_a_logout_overtakes_revives_nothing(proxy: LiveProxy, sandbox: Sandbox) -> None:
    knob(sandbox, anonymousValidAfterLogin=False, logoutKillsRefresh=False)
    with customer(proxy) as browser, ThreadPoolExecutor(1) as pool:
        cookie, session = browser.cookies["bff"], emporix_session(browser, sandbox)
        fault(sandbox, "GET /customer/{tenant}/refreshauthtoken", "delay", delay=2, times=1)
        before = seen(sandbox)
        with carrying(proxy, cookie) as late:
            renewal = pool.submit(late.post, "/auth/refresh")
            arrived(sandbox, before, CUSTOMER_REFRESH)
            assert cleared(browser.post("/auth/logout"))
            answer = renewal.result()
            assert answer.status_code == 401
            assert not set_cookies(answer)
            problem(late.get(ME), 401, "no_session")
        eventually(lambda: live_tokens(sandbox, session) == 0)
