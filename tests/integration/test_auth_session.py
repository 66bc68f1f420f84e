"""`GET /auth/session`, `POST /auth/anonymous` and sign-up: views, statuses and cookies."""

import re
import uuid
from collections.abc import Iterator
from http.cookies import SimpleCookie

import httpx2
import pytest

from tests.integration.visitors import (
    CARTS,
    CUSTOMER_REFRESH,
    NONE,
    PRODUCTS,
    VIEW,
    calls,
    cleared,
    customer,
    emporix_session,
    fault,
    guest,
    instant,
    issued,
    knob,
    problem,
    seen,
    set_cookies,
)
from tests.live import ADA, LiveProxy, Sandbox, environment

_DAY = 86400
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture(scope="module")
def https_proxy(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    """A proxy that browsers reach over https, through something that ends TLS."""
    settings = environment(
        sandbox_process, redis_url, BFF_PUBLIC_ORIGIN="https://shop.example", BFF_COOKIE_SAMESITE="lax"
    )
    with LiveProxy(settings) as proxy:
        yield proxy


def _attributes(answer: httpx2.Response) -> tuple[str, dict[str, str | None]]:
    (field,) = set_cookies(answer)
    pair, *attributes = field.split("; ")
    split = (one.partition("=") for one in attributes)
    return pair.partition("=")[0], {name.lower(): value or None for name, _, value in split}


def test_looking_without_a_session_creates_nothing_and_calls_nobody(
    proxy: LiveProxy, sandbox: Sandbox
) -> None:
    before = seen(sandbox)
    with proxy.browser() as browser:
        for _ in range(3):
            answer = browser.get("/auth/session")
            assert answer.status_code == 200
            assert answer.json() == NONE
            assert not set_cookies(answer)
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-type"] == "application/json"
    assert seen(sandbox) == before


def test_the_guest_view_has_every_member(proxy: LiveProxy) -> None:
    with proxy.browser() as browser:
        answer = browser.post("/auth/anonymous")
        view = answer.json()
        assert (answer.status_code, set(view)) == (201, VIEW)
        assert (view["kind"], view["customer"], view["legalEntityId"]) == ("anonymous", None, None)
        assert (view["initialPassword"], type(view["version"])) == (False, int)
        assert all(_RFC_3339.fullmatch(view[name]) for name in ("createdAt", "idleExpiresAt", "expiresAt"))
        created = instant(view["createdAt"])
        assert (instant(view["expiresAt"]) - created).total_seconds() == pytest.approx(7 * _DAY, abs=1)
        assert (instant(view["idleExpiresAt"]) - created).total_seconds() == pytest.approx(_DAY, abs=1)
        looked = browser.get("/auth/session").json()
        assert looked | {"idleExpiresAt": None} == view | {"idleExpiresAt": None}


def test_the_customer_view_has_every_member(proxy: LiveProxy) -> None:
    with proxy.browser() as browser:
        answer = browser.post("/auth/login", json=ADA)
        view = answer.json()
        assert (answer.status_code, set(view)) == (200, VIEW)
        assert (view["kind"], view["customer"]) == ("customer", {"email": ADA["email"]})
        assert (view["legalEntityId"], view["initialPassword"]) == (None, False)
        created = instant(view["createdAt"])
        assert (instant(view["expiresAt"]) - created).total_seconds() == pytest.approx(90 * _DAY, abs=1)
        assert (instant(view["idleExpiresAt"]) - created).total_seconds() == pytest.approx(14 * _DAY, abs=1)


def test_an_initial_password_shows_in_the_view(proxy: LiveProxy, sandbox: Sandbox) -> None:
    account = {"email": f"{uuid.uuid4().hex}@example.com", "password": "given-by-an-employee"}
    sandbox.control("POST", "/customers", account | {"initialPassword": True})
    with proxy.browser() as browser:
        assert browser.post("/auth/login", json=account).json()["initialPassword"] is True
        assert browser.get("/auth/session").json()["initialPassword"] is True


def test_a_second_start_finds_the_session_that_stands(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with proxy.browser() as browser:
        first = browser.post("/auth/anonymous")
        before = seen(sandbox)
        second = browser.post("/auth/anonymous", json={"siteCode": "main"})
        assert (first.status_code, second.status_code) == (201, 200)
        assert second.json()["createdAt"] == first.json()["createdAt"]
        assert not set_cookies(second)
        assert calls(sandbox, before) == []
    with customer(proxy) as browser:
        again = browser.post("/auth/anonymous")
        assert (again.status_code, again.json()["kind"]) == (200, "customer")
        assert not set_cookies(again)


def test_a_guest_starts_in_the_context_that_was_asked_for(proxy: LiveProxy, sandbox: Sandbox) -> None:
    wanted = {"siteCode": "main", "currency": "USD", "language": "de", "targetLocation": "US"}
    with proxy.browser() as browser:
        before = seen(sandbox)
        assert browser.post("/auth/anonymous", json=wanted).status_code == 201
        (record,) = sandbox.log_since(before)
        assert record["query"].items() >= wanted.items()


def test_a_looking_guest_slides_unless_it_asks_not_to(proxy: LiveProxy) -> None:
    with guest(proxy) as browser:
        still = [browser.get("/auth/session?slide=false").json()["idleExpiresAt"] for _ in range(3)]
        assert len(set(still)) == 1
        moved = browser.get("/auth/session").json()["idleExpiresAt"]
        assert instant(moved) > instant(still[0])
        assert browser.get("/auth/session?slide=false").json()["idleExpiresAt"] == moved


def test_slide_is_true_or_false_and_other_parameters_are_nobodys(proxy: LiveProxy) -> None:
    with guest(proxy) as browser:
        problem(browser.get("/auth/session?slide=perhaps"), 400, "invalid_request")
        assert browser.get("/auth/session?utm_source=mail&slide=true").status_code == 200


def test_a_cookie_is_sent_once_and_again_only_for_a_new_id(proxy: LiveProxy) -> None:
    with proxy.browser() as browser:
        first = issued(browser.post("/auth/anonymous"))
        same = [
            browser.get("/auth/session"),
            browser.post("/auth/anonymous"),
            browser.post("/auth/refresh"),
            browser.get(CARTS, params={"siteCode": "main"}),
            browser.get(PRODUCTS),
            browser.get("/auth/validate"),
        ]
        assert not [answer for answer in same if set_cookies(answer)]
        second = issued(browser.post("/auth/login", json=ADA))
        assert second != first
        same = [
            browser.get("/auth/session"),
            browser.post("/auth/refresh"),
            browser.get("/auth/validate"),
            browser.put("/auth/legal-entity", json={"legalEntityId": "LE-100"}),
            browser.get(CARTS, params={"siteCode": "main"}),
        ]
        assert not [answer for answer in same if set_cookies(answer)]


def test_the_cookie_of_a_loopback_origin(proxy: LiveProxy) -> None:
    with proxy.browser() as browser:
        name, attributes = _attributes(browser.post("/auth/anonymous"))
        age = attributes.pop("max-age")
        assert (name, attributes) == ("bff", {"path": "/", "httponly": None, "samesite": "Strict"})
        assert 7 * _DAY - 60 <= int(age or 0) <= 7 * _DAY
        name, attributes = _attributes(browser.post("/auth/login", json=ADA))
        assert 90 * _DAY - 60 <= int(attributes["max-age"] or 0) <= 90 * _DAY
        answer = browser.post("/auth/logout")
        assert cleared(answer)
        name, attributes = _attributes(answer)
        assert (name, attributes) == (
            "bff",
            {"path": "/", "httponly": None, "samesite": "Strict", "max-age": "0"},
        )


def test_the_cookie_of_an_https_origin(https_proxy: LiveProxy, sandbox: Sandbox) -> None:
    expected: dict[str, str | None] = {"path": "/", "httponly": None, "samesite": "Lax", "secure": None}
    with https_proxy.browser(Origin="https://shop.example") as browser:
        answer = browser.post("/auth/anonymous")
        name, attributes = _attributes(answer)
        assert attributes.pop("max-age") is not None
        assert (name, attributes) == ("__Host-bff", expected)
        value = SimpleCookie(set_cookies(answer)[0])["__Host-bff"].value
        held = {"Cookie": f"__Host-bff={value}"}
        assert browser.get("/auth/session", headers=held).json()["kind"] == "anonymous"
        plain = {"Cookie": f"bff={value}"}
        assert browser.get("/auth/session", headers=plain).json()["kind"] == "none"
        name, attributes = _attributes(browser.post("/auth/logout", headers=held))
        assert (name, attributes) == ("__Host-bff", expected | {"max-age": "0"})


def test_signup_starts_a_guest_and_logs_nobody_in(proxy: LiveProxy, sandbox: Sandbox) -> None:
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": "long-enough-secret"}
    with proxy.browser() as browser:
        answer = browser.post("/auth/signup", json=body)
        assert answer.status_code == 201
        assert set(answer.json()) == {"id"}
        assert issued(answer)
        assert browser.get("/auth/session").json()["kind"] == "anonymous"
        assert browser.post("/auth/login", json=body).status_code == 200
        session = emporix_session(browser, sandbox)
        assert sandbox.control("GET", "/sessions")[session]["customer"] == answer.json()["id"]


def test_signup_with_an_address_that_has_an_account_conflicts(proxy: LiveProxy) -> None:
    with guest(proxy) as browser:
        answer = browser.post("/auth/signup", json=ADA)
        assert ADA["email"] not in str(problem(answer, 409, "account_exists"))
        assert not set_cookies(answer)
        assert browser.get("/auth/session").json()["kind"] == "anonymous"


def test_signup_that_upstream_refuses_names_the_fields(proxy: LiveProxy) -> None:
    body = {
        "email": f"{uuid.uuid4().hex}@example.com",
        "password": "long-enough-secret",
        "customerDetails": {"preferredCurrency": "EURO"},
    }
    with guest(proxy) as browser:
        told = problem(browser.post("/auth/signup", json=body), 400, "invalid_request")
        assert "customerDetails.preferredCurrency" in told["detail"]


def test_signup_by_a_customer_keeps_the_customer(proxy: LiveProxy) -> None:
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": "long-enough-secret"}
    with customer(proxy) as browser:
        answer = browser.post("/auth/signup", json=body)
        assert answer.status_code == 201
        assert not set_cookies(answer)
        assert browser.get("/auth/session").json()["customer"] == {"email": ADA["email"]}


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("no_access_token", 502, "bad_upstream_answer"),
        ("garbage", 502, "bad_upstream_answer"),
        ("empty", 502, "bad_upstream_answer"),
        ("invalid_api_key", 502, "bad_upstream_answer"),
        ("error", 503, "upstream_unavailable"),
        ("disconnect", 503, "upstream_unavailable"),
        ("html", 503, "upstream_unavailable"),
        ("throttled", 429, "too_many_requests"),
    ],
)
def test_a_guest_that_upstream_does_not_give_is_an_error_and_no_session(
    proxy: LiveProxy, sandbox: Sandbox, kind: str, status: int, code: str
) -> None:
    fault(sandbox, "GET /customerlogin/auth/anonymous/login", kind)
    with proxy.browser() as browser:
        answer = browser.post("/auth/anonymous")
        problem(answer, status, code)
        assert not set_cookies(answer)
        if status in {429, 503}:
            assert int(answer.headers["retry-after"]) >= 1
        sandbox.control("DELETE", "/faults")
        assert browser.get("/auth/session").json()["kind"] == "none"
        assert browser.post("/auth/anonymous").status_code == 201


def test_the_client_id_is_what_upstream_is_shown(sandbox: Sandbox, redis_url: str) -> None:
    with (
        LiveProxy(environment(sandbox, redis_url, BFF_CLIENT_ID="nobodys")) as proxy,
        proxy.browser() as browser,
    ):
        problem(browser.post("/auth/anonymous"), 502, "bad_upstream_answer")


@pytest.mark.parametrize("names", [{"camelNames": False}, {"snakeNames": False}], ids=["snake", "camel"])
def test_tokens_are_read_in_either_spelling(
    proxy: LiveProxy, sandbox: Sandbox, names: dict[str, bool]
) -> None:
    knob(sandbox, **names)
    with customer(proxy) as browser:
        session = emporix_session(browser, sandbox)
        before = seen(sandbox)
        assert browser.post("/auth/refresh").status_code == 200
        assert CUSTOMER_REFRESH in calls(sandbox, before)
        assert emporix_session(browser, sandbox) == session
        assert browser.get("/auth/validate").json()["kind"] == "customer"
