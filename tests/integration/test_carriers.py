"""The two carriers: an app's header beside a browser's cookie, and what neither accepts."""

import base64
import string
from collections.abc import Iterator

import httpx2
import pytest

from tests.integration.visitors import (
    CARTS,
    ME,
    NONE,
    PRODUCTS,
    VIEW,
    calls,
    carrying,
    cleared,
    customer,
    emporix_session,
    guest,
    problem,
    seen,
    set_cookies,
)
from tests.live import ADA, LiveProxy, Sandbox, environment

ADDRESSES = f"{ME}/addresses"
# What does not open is malformed, or counts as nobody, who may not do what a customer may.
UNOPENED = {(400, "invalid_session"), (401, "login_required")}
_URL_SAFE = string.ascii_letters + string.digits + "-_"


def _app_guest(proxy: LiveProxy) -> str:
    with proxy.app() as app:
        answer = app.post("/auth/anonymous")
        assert answer.status_code == 201
        assert not set_cookies(answer)
        return str(answer.json()["sessionId"])


def _cookie(proxy: LiveProxy) -> str:
    with guest(proxy) as browser:
        return browser.cookies["bff"]


def removed_at_most(answer: httpx2.Response) -> bool:
    """Say whether an answer does no more to the cookie than remove one that was never a session's."""
    return cleared(answer) if answer.status_code == 400 else not set_cookies(answer)


def _flipped(value: str) -> Iterator[bytes]:
    """Change every byte of a value in turn: to another of its alphabet, and to one outside of it."""
    for at, byte in enumerate(value.encode("ascii")):
        other = _URL_SAFE[(_URL_SAFE.index(chr(byte)) + 1) % len(_URL_SAFE)].encode()
        for put in (other, bytes([byte | 0x80]), b"!"):
            yield value[:at].encode() + put + value[at + 1 :].encode()


def test_an_app_is_told_its_session_id_when_it_changes_and_no_other_time(
    proxy: LiveProxy, sandbox: Sandbox
) -> None:
    with proxy.app() as starting:
        began = starting.post("/auth/anonymous")
    first = began.json()["sessionId"]
    assert (began.status_code, set(began.json())) == (201, VIEW | {"sessionId"})
    with proxy.app(first) as app:
        session = emporix_session(app, sandbox)
        quiet = [app.get("/auth/session"), app.post("/auth/refresh"), app.post("/auth/anonymous")]
        assert [answer.status_code for answer in quiet] == [200] * 3
        logged_in = app.post("/auth/login", json=ADA)
        second = logged_in.json()["sessionId"]
        assert (logged_in.status_code, logged_in.json()["kind"]) == (200, "customer")
        assert second != first
        late = app.get("/auth/session")
        assert late.json()["kind"] == "anonymous"
        problem(app.post("/auth/refresh"), 401, "session_rotated")
    with proxy.app(second) as app:
        assert emporix_session(app, sandbox) == session
        assert app.get(ME).json()["firstName"] == "Ada"
        quiet += [late, app.get("/auth/session"), app.post("/auth/refresh"), app.get("/auth/validate")]
        quiet.append(app.put("/auth/legal-entity", json={"legalEntityId": "LE-100"}))
        ended = app.post("/auth/logout")
        assert (ended.status_code, ended.content) == (204, b"")
        problem(app.get(ME), 401, "no_session")
        assert app.get("/auth/session").json() == NONE
        assert app.post("/auth/logout").status_code == 204
    assert not [answer for answer in quiet if "sessionId" in answer.json()]
    assert not [answer for answer in (*quiet, began, logged_in, ended) if set_cookies(answer)]


def test_an_app_may_begin_with_a_login_or_a_sign_up(proxy: LiveProxy) -> None:
    with proxy.app() as app:
        answer = app.post("/auth/login", json=ADA)
        assert (answer.status_code, answer.json()["kind"]) == (200, "customer")
        failed = app.post("/auth/login", json=ADA | {"password": "not-the-right-one"})
        body = problem(failed, 401, "invalid_credentials")
    for session_id, kind in ((answer.json()["sessionId"], "customer"), (body["sessionId"], "anonymous")):
        with proxy.app(session_id) as app:
            assert app.get("/auth/session").json()["kind"] == kind


def test_an_app_whose_guest_is_replaced_learns_the_new_id(proxy: LiveProxy, sandbox: Sandbox) -> None:
    first = _app_guest(proxy)
    with proxy.app(first) as app:
        sandbox.control("POST", "/revoke", {"sessionId": emporix_session(app, sandbox)})
        answer = app.post("/auth/refresh")
        assert answer.status_code == 200
        second = answer.json()["sessionId"]
        assert second != first
    with proxy.app(second) as app:
        session = emporix_session(app, sandbox)
        sandbox.control("POST", "/revoke", {"sessionId": session})
        answer = app.get(CARTS, params={"siteCode": "main", "create": "true"})
        assert answer.status_code == 200
        third = answer.headers["x-session-id"]
        assert third not in {first, second}
    with proxy.app(third) as app:
        assert emporix_session(app, sandbox) == answer.json()["sessionId"]


def test_an_app_whose_customer_is_refused_gets_no_cookie_cleared(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with proxy.app() as app:
        session_id = app.post("/auth/login", json=ADA).json()["sessionId"]
    with proxy.app(session_id) as app:
        sandbox.control("POST", "/revoke", {"sessionId": emporix_session(app, sandbox)})
        for answer in (app.post("/auth/refresh"), app.get(ME), app.post("/auth/refresh")):
            assert "sessionId" not in problem(answer, 401, "session_expired")
            assert not set_cookies(answer)


def test_what_belongs_to_one_carrier_is_refused_on_the_other(proxy: LiveProxy) -> None:
    session_id, cookie = _app_guest(proxy), _cookie(proxy)
    with carrying(proxy, session_id) as browser:
        answer = browser.get("/auth/session")
        problem(answer, 401, "no_session")
        assert not set_cookies(answer)
    with proxy.app(cookie) as app:
        answer = app.get("/auth/session")
        problem(answer, 401, "no_session")
        assert not set_cookies(answer)
    with carrying(proxy, cookie) as browser, proxy.app(session_id) as app:
        assert browser.get("/auth/session").json()["kind"] == "anonymous"
        assert app.get("/auth/session").json()["kind"] == "anonymous"


def test_a_page_gets_no_session_id_where_it_sends_no_origin(proxy: LiveProxy, sandbox: Sandbox) -> None:
    """A script could read the id, and take it away; a GET to the page's own origin has no `Origin`."""
    with proxy.app() as page:
        before = seen(sandbox)
        answer = page.get(CARTS, headers={"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"})
        problem(answer, 403, "origin_not_allowed")
        assert "x-session-id" not in answer.headers
        assert not calls(sandbox, before)


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", ""])
@pytest.mark.parametrize("path", ["/auth/session", ME, PRODUCTS])
def test_browsers_may_not_use_the_apps_carrier(
    proxy: LiveProxy, sandbox: Sandbox, origin: str, path: str
) -> None:
    session_id, before = _app_guest(proxy), seen(sandbox)
    with proxy.app(session_id) as app:
        for one in (origin or proxy.url, proxy.url):
            answer = app.get(path, headers={"Origin": one, "X-CSRF": "1"})
            problem(answer, 403, "origin_not_allowed")
    with proxy.app() as app:
        answer = app.post("/auth/anonymous", headers={"Origin": origin or proxy.url, "X-CSRF": "1"})
        problem(answer, 403, "origin_not_allowed")
    assert calls(sandbox, before) == []


def test_both_carriers_at_once_are_refused(proxy: LiveProxy, sandbox: Sandbox) -> None:
    session_id, cookie = _app_guest(proxy), _cookie(proxy)
    before = seen(sandbox)
    with carrying(proxy, cookie) as browser:
        for headers in ({"X-Session-Id": session_id}, {"X-Session-Transport": "header"}):
            for answer in (
                browser.get("/auth/session", headers=headers),
                browser.post("/auth/login", json=ADA, headers=headers),
                browser.post("/auth/logout", headers=headers),
                browser.get(PRODUCTS, headers=headers),
            ):
                problem(answer, 400, "invalid_request")
                assert not set_cookies(answer)
    assert calls(sandbox, before) == []


@pytest.mark.parametrize("value", ["cookie", "Header", "header,header", "", "1"])
def test_an_unknown_transport_is_refused(proxy: LiveProxy, sandbox: Sandbox, value: str) -> None:
    before = seen(sandbox)
    with proxy.browser(**{"X-Session-Transport": value}) as client:
        problem(client.post("/auth/anonymous"), 400, "invalid_request")
    assert calls(sandbox, before) == []


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "AAAA",
        "=" * 20,
        "../../etc",
        "%00",
        "a" * 512,
        "a" * 65536,
        base64.b64encode(b"x" * 90).decode(),
    ],
    ids=lambda value: f"{value[:8]}-{len(value)}",
)
def test_a_session_id_that_is_none_is_refused(proxy: LiveProxy, sandbox: Sandbox, value: str) -> None:
    before = seen(sandbox)
    with proxy.app(value) as app:
        for answer in (app.get("/auth/session"), app.get(ME), app.post("/auth/anonymous")):
            problem(answer, 400, "invalid_session")
            assert not set_cookies(answer)
    assert calls(sandbox, before) == []


def test_a_session_id_twice_is_refused(proxy: LiveProxy) -> None:
    session_id = _app_guest(proxy)
    headers = [("X-Session-Id", session_id), ("X-Session-Id", session_id)]
    answer = httpx2.get(f"{proxy.url}/auth/session", headers=headers, trust_env=False)
    problem(answer, 400, "invalid_request")


def test_a_changed_cookie_opens_nothing_whichever_byte_it_is(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with customer(proxy) as browser, httpx2.Client(base_url=proxy.url, trust_env=False) as client:
        cookie = browser.cookies["bff"]
        before = seen(sandbox)
        for changed in _flipped(cookie):
            answer = client.get(ADDRESSES, headers={b"X-CSRF": b"1", b"Cookie": b"bff=" + changed})
            assert (answer.status_code, answer.json()["code"]) in UNOPENED
            assert removed_at_most(answer)
        assert calls(sandbox, before) == []
        assert browser.get(ME).status_code == 200


def test_a_changed_session_id_opens_nothing_whichever_byte_it_is(proxy: LiveProxy, sandbox: Sandbox) -> None:
    session_id, before = _app_guest(proxy), seen(sandbox)
    with httpx2.Client(base_url=proxy.url, trust_env=False) as client:
        for changed in _flipped(session_id):
            answer = client.get(ADDRESSES, headers={b"X-Session-Id": changed})
            assert (answer.status_code, answer.json()["code"]) in UNOPENED
        for kept in range(1, len(session_id), 7):
            answer = client.get(ADDRESSES, headers={"X-Session-Id": session_id[:kept]})
            assert (answer.status_code, answer.json()["code"]) in UNOPENED
    assert calls(sandbox, before) == []


def test_a_shortened_lengthened_or_endless_cookie_opens_nothing(proxy: LiveProxy, sandbox: Sandbox) -> None:
    cookie, before = _cookie(proxy), seen(sandbox)
    odd = [cookie[:kept] for kept in range(0, len(cookie), 5)]
    odd += [cookie + "A", cookie + "=", cookie + "==", f'"{cookie}"', cookie * 2, "A" * 65536, cookie[::-1]]
    for value in odd:
        with carrying(proxy, value) as browser:
            answer = browser.get(ADDRESSES)
            assert (answer.status_code, answer.json()["code"]) in UNOPENED
            assert removed_at_most(answer)
    assert len(calls(sandbox, before)) == 0


@pytest.mark.parametrize("value", ["x", "e30.e30.", "A" * 200, "A" * 513])
def test_what_was_never_a_session_is_to_be_thrown_away(proxy: LiveProxy, value: str) -> None:
    with carrying(proxy, value) as browser, proxy.app(value) as app:
        for method, path in (("GET", "/auth/session"), ("POST", "/auth/login"), ("GET", PRODUCTS)):
            body = ADA if method == "POST" else None
            refused, told = browser.request(method, path, json=body), app.request(method, path, json=body)
            problem(refused, 400, "invalid_session")
            assert cleared(refused)
            problem(told, 400, "invalid_session")
            assert not set_cookies(told)
            assert refused.headers["x-session-version"] == told.headers["x-session-version"] == "0"


def test_a_damaged_session_id_is_to_be_thrown_away(proxy: LiveProxy) -> None:
    session_id = _app_guest(proxy)
    middle = len(session_id) // 2
    other = "A" if session_id[middle] != "A" else "B"
    for damaged in (session_id[:middle] + other + session_id[middle + 1 :], session_id[:middle]):
        with proxy.app(damaged) as app:
            for path in ("/auth/anonymous", "/auth/refresh"):
                answer = app.post(path)
                problem(answer, 400, "invalid_session")
                assert "sessionId" not in answer.json()


def test_what_no_key_opens_counts_as_nothing_and_is_overwritten(proxy: LiveProxy) -> None:
    cookie = _cookie(proxy)
    tampered = cookie[:-1] + ("A" if cookie[-1] != "A" else "Q")
    with carrying(proxy, tampered) as browser:
        assert browser.get("/auth/session").json()["kind"] == "none"
        (field,) = set_cookies(browser.post("/auth/login", json=ADA))
        assert "Max-Age=0" not in field


def test_a_cookie_twice_is_refused(proxy: LiveProxy, sandbox: Sandbox) -> None:
    one, other = _cookie(proxy), _cookie(proxy)
    before = seen(sandbox)
    for value in (f"bff={one}; bff={other}", f"bff={one}; bff={one}", f"bff=; bff={one}"):
        headers = {"X-CSRF": "1", "Cookie": value}
        answer = httpx2.get(f"{proxy.url}/auth/session", headers=headers, trust_env=False)
        problem(answer, 400, "invalid_request")
        assert not set_cookies(answer)
    assert calls(sandbox, before) == []


def test_a_thousand_cookies_are_read_or_refused(proxy: LiveProxy) -> None:
    cookie = _cookie(proxy)
    with proxy.browser() as browser:
        crowd = "; ".join(f"c{index}={index}" for index in range(1000))
        answer = browser.get("/auth/session", headers={"Cookie": f"{crowd}; bff={cookie}"})
        assert answer.json()["kind"] == "anonymous"
        same = "; ".join([f"bff={cookie}"] * 1000)
        problem(browser.get("/auth/session", headers={"Cookie": same}), 400, "invalid_request")
        fields = [("X-CSRF", "1"), *[("Cookie", f"c{index}=x") for index in range(1000)]]
        many = httpx2.get(f"{proxy.url}/auth/session", headers=fields, trust_env=False)
        assert many.status_code == 200 or 400 <= many.status_code < 500


def test_other_names_are_no_session(proxy: LiveProxy) -> None:
    cookie = _cookie(proxy)
    for name in ("__Host-bff", "BFF", "xbff", "bff2", " bff2"):
        with carrying(proxy, cookie, name.strip()) as browser:
            assert browser.get("/auth/session").json()["kind"] == "none"


def test_a_session_of_another_proxys_key_does_not_open(
    proxy: LiveProxy, sandbox: Sandbox, redis_url: str
) -> None:
    with LiveProxy(environment(sandbox, redis_url)) as other:
        cookie = _cookie(other)
    with carrying(proxy, cookie) as browser:
        answer = browser.get("/auth/session")
        assert answer.json()["kind"] == "none"
        assert not set_cookies(answer)
