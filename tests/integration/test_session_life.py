"""How long sessions last: idle and absolute ends, what is left of a dead id, and the keys' rotation."""

import time
from collections.abc import Iterator
from http.cookies import SimpleCookie

import httpx2
import pytest
import redis

from tests.integration.visitors import (
    NONE,
    calls,
    carrying,
    customer,
    emporix_session,
    eventually,
    guest,
    instant,
    problem,
    seen,
    set_cookies,
)
from tests.live import ADA, LiveProxy, Sandbox, environment, new_key
from tests.threaded import ThreadedProxy, threaded

_IDLE, _MAX = 4, 9
_TOMBSTONE_SECONDS = 30


@pytest.fixture
def brief(sandbox: Sandbox, redis_url: str) -> Iterator[ThreadedProxy]:
    """A proxy whose sessions last but seconds, by a clock that the test moves."""
    lifetimes = {
        "BFF_GUEST_IDLE_SECONDS": str(_IDLE),
        "BFF_GUEST_MAX_SECONDS": str(_MAX),
        "BFF_CUSTOMER_IDLE_SECONDS": str(_IDLE),
        "BFF_CUSTOMER_MAX_SECONDS": str(_MAX),
    }
    with threaded(environment(sandbox, redis_url, **lifetimes)) as proxy:
        yield proxy


def _kind(client: httpx2.Client, query: str = "") -> str:
    answer = client.get(f"/auth/session{query}")
    assert answer.status_code == 200, answer.text
    assert not set_cookies(answer)
    return str(answer.json()["kind"])


def _max_age(answer: httpx2.Response) -> int:
    (field,) = set_cookies(answer)
    return int(SimpleCookie(field)["bff"]["max-age"])


def test_an_idle_session_ends_though_it_is_looked_at_without_sliding(
    brief: ThreadedProxy, sandbox: Sandbox
) -> None:
    with guest(brief) as browser:
        cookie, session = browser.cookies["bff"], emporix_session(browser, sandbox)
        with carrying(brief, cookie) as tab:
            idle = tab.get("/auth/session?slide=false").json()["idleExpiresAt"]
            while _kind(tab, "?slide=false") == "anonymous":
                assert tab.get("/auth/session?slide=false").json().get("idleExpiresAt") in {idle, None}
                brief.ahead += 0.2
            answer = tab.get("/auth/session")
            assert answer.json() == NONE
            assert not set_cookies(answer)
            began = tab.post("/auth/anonymous")
            assert began.status_code == 201
            browser.cookies.clear()
            browser.cookies.set("bff", SimpleCookie(set_cookies(began)[0])["bff"].value)
        assert emporix_session(browser, sandbox) != session


@pytest.mark.parametrize("kind", ["anonymous", "customer"])
def test_use_extends_the_idle_lifetime_and_never_the_absolute_one(brief: ThreadedProxy, kind: str) -> None:
    with brief.browser() as browser:
        began = browser.post("/auth/anonymous")
        if kind == "customer":
            began = browser.post("/auth/login", json=ADA)
        view = began.json()
        lasts = (instant(view["expiresAt"]) - instant(view["createdAt"])).total_seconds()
        assert lasts == pytest.approx(_MAX, abs=0.1)
        assert view["kind"] == kind
        assert _MAX - 2 <= _max_age(began) <= _MAX
        with carrying(brief, browser.cookies["bff"]) as tab:
            views = []
            while (latest := tab.get("/auth/session").json())["kind"] != "none":
                views.append(latest)
                brief.ahead += 0.2
        assert {one["expiresAt"] for one in views} == {view["expiresAt"]}
        ends = instant(view["expiresAt"])
        assert all(instant(one["idleExpiresAt"]) <= ends for one in views)
        first_idle_end = instant(view["idleExpiresAt"])
        assert instant(views[-1]["idleExpiresAt"]) > first_idle_end


def test_a_login_begins_both_lifetimes_anew(brief: ThreadedProxy) -> None:
    with brief.browser() as browser:
        first = browser.post("/auth/anonymous").json()
        brief.ahead = 1.5
        answer = browser.post("/auth/login", json=ADA)
        assert instant(answer.json()["expiresAt"]) > instant(first["expiresAt"])
        assert _MAX - 2 <= _max_age(answer) <= _MAX


def _outlast_tombstones(redis_url: str) -> None:
    """Let the time pass that a tombstone may be kept; what would last longer stays."""
    with redis.Redis.from_url(redis_url) as store:
        for key in store.scan_iter(_type="hash"):
            if store.hexists(key, "t") and store.pttl(key) <= _TOMBSTONE_SECONDS * 1000:
                store.delete(key)


def test_a_dead_id_is_answered_for_a_while_and_then_is_nobodys(
    proxy: LiveProxy, sandbox: Sandbox, redis_url: str
) -> None:
    with guest(proxy) as browser:
        rotated = browser.cookies["bff"]
        browser.post("/auth/login", json=ADA)
        left = browser.cookies["bff"]
        browser.post("/auth/logout")
    with customer(proxy) as browser:
        expired = browser.cookies["bff"]
        sandbox.control("POST", "/revoke", {"sessionId": emporix_session(browser, sandbox)})
        problem(browser.post("/auth/refresh"), 401, "session_expired")
    told = {rotated: "session_rotated", left: "no_session", expired: "session_expired"}
    for cookie, code in told.items():
        with carrying(proxy, cookie) as late:
            answer = late.post("/auth/refresh")
            problem(answer, 401, code)
            assert not set_cookies(answer)
    _outlast_tombstones(redis_url)
    for cookie in told:
        with carrying(proxy, cookie) as late:

            def forgotten(late: httpx2.Client = late) -> bool:
                answer = late.get("/auth/session")
                assert not set_cookies(answer)
                if answer.status_code != 200 or answer.json() != NONE:
                    return False
                time.sleep(0.2)  # who looks is told nothing of an end, and a refresh is rated
                refused = late.post("/auth/refresh")
                return (refused.status_code, refused.json()["code"]) == (401, "no_session")

            eventually(forgotten)
            before = seen(sandbox)
            answer = late.post("/auth/anonymous")
            assert answer.status_code == 201
            assert len(set_cookies(answer)) == 1
            assert calls(sandbox, before) == ["GET /customerlogin/auth/anonymous/login"]


def test_sessions_outlive_the_proxy_process(sandbox: Sandbox, redis_url: str) -> None:
    settings = environment(sandbox, redis_url)
    with LiveProxy(settings) as first, customer(first) as browser:
        cookie, view = browser.cookies["bff"], browser.get("/auth/session?slide=false").json()
    with LiveProxy(settings) as second, carrying(second, cookie) as browser:
        assert browser.get("/auth/session?slide=false").json() == view


def test_keys_are_rotated_without_a_logout_and_a_removed_key_ends_its_sessions(
    sandbox: Sandbox, redis_url: str
) -> None:
    old, new = new_key(), new_key()
    settings = environment(sandbox, redis_url)
    with LiveProxy(settings | {"BFF_KEYS": old}) as proxy:
        with customer(proxy) as browser:
            cookie, session = browser.cookies["bff"], emporix_session(browser, sandbox)
        with proxy.app() as app:
            session_id = app.post("/auth/anonymous").json()["sessionId"]
    with LiveProxy(settings | {"BFF_KEYS": f"{new},{old}"}) as proxy:
        with carrying(proxy, cookie) as browser, proxy.app(session_id) as app:
            assert _kind(browser) == "customer"
            assert emporix_session(browser, sandbox) == session
            assert browser.post("/auth/refresh").status_code == 200
            assert _kind(app) == "anonymous"
        with customer(proxy) as browser:
            newer = browser.cookies["bff"]
        with carrying(proxy, cookie) as browser:
            assert _kind(browser) == "customer"
    with LiveProxy(settings | {"BFF_KEYS": new}) as proxy:
        with carrying(proxy, newer) as browser:
            assert _kind(browser) == "customer"
        with proxy.browser() as browser:
            browser.cookies.set("bff", cookie, domain="127.0.0.1", path="/")
            answer = browser.get("/auth/session")
            assert answer.json()["kind"] == "none"
            assert not set_cookies(answer)
            assert browser.post("/auth/anonymous").status_code == 201
            assert browser.cookies["bff"] != cookie
        with proxy.app(session_id) as app:
            assert _kind(app) == "none"
            assert app.post("/auth/anonymous").json()["sessionId"] != session_id
