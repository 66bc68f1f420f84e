"""Rates: how often one account, one address and one visitor may try."""

import secrets
import uuid
from collections.abc import Iterator

import httpx2
import pytest

from tests.integration.visitors import calls, eventually, problem, seen, set_cookies
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment


def _address() -> str:
    """Return an address that no other test has been."""
    raw = uuid.uuid4().hex
    return "2001:db8:" + ":".join(raw[at : at + 4] for at in range(0, 24, 4))


@pytest.fixture(scope="module")
def strict(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    """A proxy that lets through few logins and guests, and believes its peer about addresses."""
    settings = environment(
        sandbox_process,
        redis_url,
        BFF_LOGIN_RATE="3/600",
        BFF_GUEST_RATE="4/600",
        BFF_ACCOUNT_RATE="2/600",
        BFF_REFRESH_RATE="2/600",
        BFF_TRUSTED_PROXIES="127.0.0.0/8, 10.0.0.0/8",
    )
    with LiveProxy(settings) as proxy:
        yield proxy


def _login(proxy: LiveProxy, email: str, forwarded: str) -> httpx2.Response:
    account = {"email": email, "password": "a-guess-at-it"}
    with proxy.browser(**{"X-Forwarded-For": forwarded}) as browser:
        return browser.post("/auth/login", json=account)


def test_a_stranger_locks_no_customer_out(strict: LiveProxy) -> None:
    stranger = _address()
    answers = [_login(strict, ADA["email"], stranger) for _ in range(40)]
    assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 37
    with strict.browser(**{"X-Forwarded-For": _address()}) as browser:
        assert browser.post("/auth/login", json=ADA).status_code == 200


def test_guesses_at_one_account_are_counted_over_all_subnets_of_one_site(
    strict: LiveProxy, sandbox: Sandbox
) -> None:
    email = f"{uuid.uuid4().hex}@example.com"
    site = ":".join(_address().split(":")[:3])
    for number in range(30):
        problem(_login(strict, email, f"{site}:{number:x}::1"), 401, "invalid_credentials")
    before = seen(sandbox)
    for spelling in (email, email.upper(), f" {email} "):
        answer = _login(strict, spelling, f"{site}:ffff::{len(spelling)}")
        problem(answer, 429, "too_many_requests")
        assert 600 < int(answer.headers["retry-after"]) <= 36_000
        assert not set_cookies(answer)
    assert calls(sandbox, before) == []
    problem(_login(strict, email, _address()), 401, "invalid_credentials")
    another = f"{uuid.uuid4().hex}@example.com"
    problem(_login(strict, another, f"{site}:fffe::1"), 401, "invalid_credentials")


def test_guesses_from_one_address_are_counted_over_all_accounts(strict: LiveProxy, sandbox: Sandbox) -> None:
    address = _address()
    for _ in range(3):
        email = f"{uuid.uuid4().hex}@example.com"
        problem(_login(strict, email, address), 401, "invalid_credentials")
    before = seen(sandbox)
    answer = _login(strict, f"{uuid.uuid4().hex}@example.com", address)
    problem(answer, 429, "too_many_requests")
    assert int(answer.headers["retry-after"]) >= 1
    assert calls(sandbox, before) == []


def test_guests_of_one_address_are_counted(strict: LiveProxy, sandbox: Sandbox) -> None:
    address = _address()
    with strict.browser(**{"X-Forwarded-For": address}) as browser:
        kept = ""
        for _ in range(4):
            assert browser.post("/auth/anonymous").status_code == 201
            assert browser.post("/auth/anonymous").status_code == 200
            kept = browser.cookies["bff"]
            browser.cookies.clear()
        before = seen(sandbox)
        for path in ("/auth/anonymous", "/auth/signup"):
            answer = browser.post(path, json=ADA)
            problem(answer, 429, "too_many_requests")
            assert int(answer.headers["retry-after"]) >= 1
            assert not set_cookies(answer)
        assert calls(sandbox, before) == []
        browser.cookies.set("bff", kept)
        assert browser.post("/auth/anonymous").status_code == 200
    with strict.browser(**{"X-Forwarded-For": _address()}) as browser:
        assert browser.post("/auth/anonymous").status_code == 201


@pytest.mark.parametrize(
    "path",
    [
        "/auth/signup",
        f"/api/customer/{TENANT}/signup",
        f"/api/customer/{TENANT}/signup/optin/refresh_token",
        f"/api/customer/{TENANT}/password/reset",
        f"/api/customer/{TENANT}/password/reset/update",
        f"/api/customer/{TENANT}/password/change",
        f"/api/customer/{TENANT}/me/accounts/internal/email/change",
        f"/api/customer/{TENANT}/me/accounts/internal/email/change/confirm",
    ],
)
def test_accounts_mails_and_passwords_have_a_rate(strict: LiveProxy, sandbox: Sandbox, path: str) -> None:
    address, body = _address(), {"email": "nobody@example.com", "password": "a-guess-at-it"}
    with strict.browser(**{"X-Forwarded-For": address}) as browser:
        assert browser.post("/auth/login", json=ADA).status_code == 200
        assert [browser.post(path, json=body).status_code == 429 for _ in range(2)] == [False] * 2
        before = seen(sandbox)
        answer = browser.post(path, json=body)
        problem(answer, 429, "too_many_requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 600
        assert calls(sandbox, before) == []
        assert browser.post("/auth/refresh").status_code == 200
        browser.headers["X-Forwarded-For"] = _address()
        assert browser.post(path, json=body).status_code != 429


def test_a_client_asks_for_a_refresh_only_so_often(strict: LiveProxy, sandbox: Sandbox) -> None:
    with strict.browser(**{"X-Forwarded-For": _address()}) as browser:
        assert browser.post("/auth/login", json=ADA).status_code == 200
        assert browser.post("/auth/refresh").status_code == 200
        assert browser.put("/auth/legal-entity", json={"legalEntityId": "LE-100"}).status_code == 200
        before = seen(sandbox)
        for answer in (
            browser.post("/auth/refresh"),
            browser.put("/auth/legal-entity", json={"legalEntityId": None}),
        ):
            problem(answer, 429, "too_many_requests")
            assert not set_cookies(answer)
        assert calls(sandbox, before) == []
        assert browser.get("/auth/session").json()["kind"] == "customer"


@pytest.mark.parametrize(
    "spelling",
    [
        "{made_up}, {caller}",
        "{caller}, 10.1.2.3",
        "{made_up}, {caller}, 10.9.9.9, 127.0.0.1",
        "nonsense, {caller}",
    ],
)
def test_the_right_most_address_that_is_not_a_trusted_proxy_counts(strict: LiveProxy, spelling: str) -> None:
    caller = _address()

    def start() -> httpx2.Response:
        forwarded = spelling.format(made_up=_address(), caller=caller)
        with strict.browser(**{"X-Forwarded-For": forwarded}) as browser:
            return browser.post("/auth/anonymous")

    assert [start().status_code for _ in range(6)] == [201] * 4 + [429] * 2


def test_an_untrusted_peer_is_not_believed_about_addresses(sandbox: Sandbox, redis_url: str) -> None:
    settings = environment(
        sandbox,
        redis_url,
        BFF_GUEST_RATE=f"2/{600 + secrets.randbelow(10_000)}",
        BFF_TRUSTED_PROXIES="10.0.0.0/8",
    )
    with LiveProxy(settings) as proxy:

        def start() -> int:
            with proxy.browser(**{"X-Forwarded-For": _address()}) as browser:
                return browser.post("/auth/anonymous").status_code

        assert [start() for _ in range(4)] == [201, 201, 429, 429]


def test_a_rate_lets_through_again_after_its_time(sandbox: Sandbox, redis_url: str) -> None:
    with LiveProxy(environment(sandbox, redis_url, BFF_GUEST_RATE="1/2")) as proxy:

        def start() -> int:
            with proxy.browser() as browser:
                return browser.post("/auth/anonymous").status_code

        assert start() == 201
        eventually(lambda: start() == 429)
        eventually(lambda: start() == 201)
