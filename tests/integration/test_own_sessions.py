"""A customer's own sessions from outside: listed, ended one by one, all at once, by a new password, by an operator."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from bff.config.embedded_redis import EmbeddedRedis
from tests.commands import settings_only
from tests.integration.signing import last_session, provider_token
from tests.integration.visitors import (
    ME,
    NONE,
    carrying,
    cleared,
    guest,
    instant,
    problem,
    seen,
    set_cookies,
)
from tests.live import TENANT, LiveProxy, Sandbox, environment, new_key

ROW = {"ref", "current", "createdAt", "lastSeenAt", "carrier", "userAgent"}
CHANGE = f"/api/customer/{TENANT}/password/change"
PASSWORD = "long-enough-a-password"


@pytest.fixture
def account(sandbox: Sandbox) -> dict[str, str]:
    """A customer of the test's own."""
    one = {"email": f"own-{seen(sandbox)}-{id(sandbox)}@example.com", "password": PASSWORD}
    sandbox.control("POST", "/customers", one)
    return one


@contextmanager
def logged_in(proxy: LiveProxy, account: dict[str, str], **headers: str) -> Iterator[httpx2.Client]:
    with proxy.browser(**headers) as browser:
        assert browser.post("/auth/login", json=account).status_code == 200
        yield browser


@contextmanager
def app_of(proxy: LiveProxy, account: dict[str, str]) -> Iterator[httpx2.Client]:
    with proxy.app() as app:
        session_id = app.post("/auth/login", json=account).json()["sessionId"]
    with proxy.app(session_id) as app:
        yield app


def rows(client: httpx2.Client) -> list[dict[str, Any]]:
    answer = client.get("/auth/sessions")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return list(answer.json())


def ended(client: httpx2.Client) -> None:
    """Assert that a session is over, and that nobody is told to forget it."""
    assert client.get("/auth/session").json() == NONE
    for answer in (client.get(ME), client.get("/auth/sessions"), client.post("/auth/refresh")):
        problem(answer, 401, "no_session")
        assert not set_cookies(answer)


def operated(proxy: LiveProxy, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bff", "sessions", *arguments]
    env = settings_only(proxy.environ)
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_a_customer_sees_their_sessions_over_both_carriers(proxy: LiveProxy, account: dict[str, str]) -> None:
    with logged_in(proxy, account, **{"User-Agent": "Browser/1"}) as browser, app_of(proxy, account) as app:
        listed = rows(browser)
        assert [set(row) for row in listed] == [ROW, ROW]
        assert [(row["carrier"], row["current"]) for row in listed] == [("header", False), ("cookie", True)]
        assert listed[1]["userAgent"] == "Browser/1"
        for row in listed:
            assert instant(row["createdAt"]) <= instant(row["lastSeenAt"])
        assert instant(listed[0]["createdAt"]) >= instant(listed[1]["createdAt"])
        seen_by_app = rows(app)
        assert [row["current"] for row in seen_by_app] == [True, False]
        assert [row["ref"] for row in seen_by_app] == [row["ref"] for row in listed]


def test_an_address_in_other_letters_is_the_same_customer(proxy: LiveProxy, account: dict[str, str]) -> None:
    loud = account | {"email": account["email"].upper()}
    with logged_in(proxy, account) as browser, logged_in(proxy, loud) as other:
        assert len(rows(browser)) == len(rows(other)) == 2


def test_a_providers_sign_on_is_among_them(
    proxy: LiveProxy, sandbox: Sandbox, account: dict[str, str]
) -> None:
    with logged_in(proxy, account) as browser, proxy.browser() as other:
        other.post("/auth/exchange", json={"token": provider_token(sandbox, account["email"])})
        assert len(rows(browser)) == 2


def test_a_ref_opens_nothing(proxy: LiveProxy, account: dict[str, str]) -> None:
    with logged_in(proxy, account) as browser:
        (row,) = rows(browser)
        assert row["ref"] not in browser.cookies["bff"]
    with carrying(proxy, row["ref"]) as client:
        problem(client.get(ME), 400, "invalid_session")
    with proxy.app(row["ref"]) as app:
        problem(app.get(ME), 400, "invalid_session")


def test_one_is_ended_by_its_ref(proxy: LiveProxy, account: dict[str, str]) -> None:
    with (
        logged_in(proxy, account) as browser,
        app_of(proxy, account) as app,
        logged_in(proxy, account) as third,
    ):
        (theirs,) = [row for row in rows(app) if row["current"]]
        answer = browser.delete(f"/auth/sessions/{theirs['ref']}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert not set_cookies(answer)
        ended(app)
        assert len(rows(browser)) == len(rows(third)) == 2
        problem(browser.delete(f"/auth/sessions/{theirs['ref']}"), 404, "not_found")


def test_all_others_are_ended_at_once(proxy: LiveProxy, account: dict[str, str]) -> None:
    with (
        logged_in(proxy, account) as browser,
        app_of(proxy, account) as app,
        logged_in(proxy, account) as third,
    ):
        answer = browser.delete("/auth/sessions")
        assert answer.status_code == 204
        assert not set_cookies(answer)
        ended(app)
        ended(third)
        assert [row["current"] for row in rows(browser)] == [True]
        assert browser.delete("/auth/sessions").status_code == 204
        assert browser.get(ME).status_code == 200


def test_ending_the_own_one_is_a_logout(proxy: LiveProxy, sandbox: Sandbox, account: dict[str, str]) -> None:
    with logged_in(proxy, account) as browser:
        session, old = last_session(sandbox, browser), browser.cookies["bff"]
        (row,) = rows(browser)
        answer = browser.delete(f"/auth/sessions/{row['ref']}")
        assert answer.status_code == 204
        assert cleared(answer)
        assert sandbox.control("GET", "/sessions")[session]["ended"] is True
    with carrying(proxy, old) as late:
        ended(late)


def test_another_customers_session_is_not_found(
    proxy: LiveProxy, sandbox: Sandbox, account: dict[str, str]
) -> None:
    stranger = {"email": f"stranger-{seen(sandbox)}@example.com", "password": PASSWORD}
    sandbox.control("POST", "/customers", stranger)
    with logged_in(proxy, account) as browser, logged_in(proxy, stranger) as other:
        (row,) = rows(other)
        problem(browser.delete(f"/auth/sessions/{row['ref']}"), 404, "not_found")
        for ref in ("x", "%2e%2e", "*", row["ref"].lower(), "a" * 500):
            answer = browser.delete(f"/auth/sessions/{ref}")
            assert answer.status_code in {400, 404}
        browser.delete("/auth/sessions")
        assert other.get(ME).status_code == 200


def test_a_customer_whose_address_looks_alike_sees_and_ends_nothing_of_anothers(
    proxy: LiveProxy, sandbox: Sandbox
) -> None:
    bank = f"bank-{seen(sandbox)}-{id(proxy)}.example"
    victim, stranger = (
        {"email": f"kunde@{gross}{bank}", "password": PASSWORD} for gross in ("gross", "groß")
    )
    for one in (victim, stranger):
        sandbox.control("POST", "/customers", one)
    with logged_in(proxy, victim) as theirs, logged_in(proxy, stranger) as browser:
        (mine,) = rows(browser)
        (row,) = rows(theirs)
        assert row["ref"] != mine["ref"]
        problem(browser.delete(f"/auth/sessions/{row['ref']}"), 404, "not_found")
        assert browser.delete("/auth/sessions").status_code == 204
        change = {"currentPassword": PASSWORD, "newPassword": "another-long-password"}
        assert browser.post(CHANGE, json=change).status_code == 204
        assert operated(proxy, "end", "--customer", stranger["email"]).stdout == "1 session(s) ended\n"
        assert theirs.get(ME).status_code == 200


def test_the_list_is_for_customers_with_a_proof(proxy: LiveProxy, account: dict[str, str]) -> None:
    asks = (("GET", "/auth/sessions"), ("DELETE", "/auth/sessions"), ("DELETE", "/auth/sessions/x"))
    with guest(proxy) as browser, proxy.browser() as nobody:
        for method, path in asks:
            problem(browser.request(method, path), 401, "login_required")
            problem(nobody.request(method, path), 401, "login_required")
    with logged_in(proxy, account) as browser, logged_in(proxy, account) as other:
        browser.headers.pop("X-CSRF")
        for method, path in asks:
            problem(browser.request(method, path), 403, "csrf_failed")
        assert other.get(ME).status_code == 200


def customer_records(store: redis.Redis) -> Iterator[bytes]:
    """Records with a customer's idle lifetime. Locks and rate limits are keys of other types."""
    for key in store.scan_iter(match="bff:*", count=1000, _type="HASH"):
        if store.hget(key, "i") == b"1209600000":
            yield key


def test_the_index_repairs_itself(sandbox: Sandbox, account: dict[str, str], tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as own, LiveProxy(environment(sandbox, own.url)) as proxy:
        store = redis.Redis.from_url(own.url)
        with logged_in(proxy, account) as browser:
            mine = set(customer_records(store))
            with logged_in(proxy, account):
                (lost,) = set(customer_records(store)) - mine
                assert len(rows(browser)) == 2
                store.delete(lost)
                assert [row["current"] for row in rows(browser)] == [True]
            indexes = store.keys(f"bff:{TENANT}:of:*")
            assert [store.hlen(index) for index in indexes] == [1] * len(indexes)
            assert store.delete(*indexes) > 0
            assert [row["current"] for row in rows(browser)] == [True]
        store.close()


def test_a_new_password_ends_the_others(proxy: LiveProxy, account: dict[str, str]) -> None:
    with (
        logged_in(proxy, account) as browser,
        app_of(proxy, account) as app,
        logged_in(proxy, account) as third,
    ):
        wrong = {"currentPassword": "not-this-one", "newPassword": "another-long-password"}
        assert browser.post(CHANGE, json=wrong).status_code == 400
        assert len(rows(browser)) == 3
        answer = browser.post(CHANGE, json=wrong | {"currentPassword": PASSWORD})
        assert answer.status_code == 204
        assert not set_cookies(answer)
        ended(app)
        ended(third)
        assert browser.get(ME).status_code == 200
        assert [row["current"] for row in rows(browser)] == [True]


def test_operators_list_and_end_one_customers_sessions(proxy: LiveProxy, account: dict[str, str]) -> None:
    with logged_in(proxy, account) as browser, app_of(proxy, account) as app, guest(proxy) as bystander:
        refs = [row["ref"] for row in rows(browser)]
        listed = operated(proxy, "list", "--customer", account["email"].upper())
        assert (listed.returncode, listed.stderr) == (0, "2 session(s)\n")
        assert [line.split()[0] for line in listed.stdout.splitlines()] == refs
        assert browser.cookies["bff"] not in listed.stdout
        done = operated(proxy, "end", "--customer", account["email"])
        assert (done.returncode, done.stdout) == (0, "2 session(s) ended\n")
        ended(app)
        with carrying(proxy, browser.cookies["bff"]) as late:
            ended(late)
        assert bystander.get("/auth/session").json()["kind"] == "anonymous"
        assert operated(proxy, "list", "--customer", account["email"]).stderr == "0 session(s)\n"


def test_operators_end_everybody(sandbox: Sandbox, account: dict[str, str], tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as own, LiveProxy(environment(sandbox, own.url)) as proxy:
        with logged_in(proxy, account) as browser, guest(proxy) as bystander:
            done = operated(proxy, "end", "--all")
            assert (done.returncode, done.stdout.endswith(" session(s) ended\n")) == (0, True)
            ended(browser)
            ended(bystander)
        with proxy.browser() as browser:
            assert browser.get(f"/api/product/{TENANT}/products").status_code == 200
            assert browser.post("/auth/login", json=account).status_code == 200


@pytest.mark.parametrize(
    "arguments", [("end",), ("list",), ("end", "--all", "--customer", "a@example.com"), ()]
)
def test_an_operators_command_names_whom_it_means(proxy: LiveProxy, arguments: tuple[str, ...]) -> None:
    assert operated(proxy, *arguments).returncode == 2


def test_sessions_of_before_a_new_key_are_listed_and_ended(
    sandbox: Sandbox, redis_url: str, account: dict[str, str]
) -> None:
    old, new = new_key(), new_key()
    with (
        LiveProxy(environment(sandbox, redis_url, BFF_KEYS=old)) as proxy,
        logged_in(proxy, account) as browser,
    ):
        cookie = browser.cookies["bff"]
    with (
        LiveProxy(environment(sandbox, redis_url, BFF_KEYS=f"{new},{old}")) as proxy,
        logged_in(proxy, account) as browser,
        carrying(proxy, cookie) as earlier,
    ):
        assert len(rows(browser)) == 2
        assert [row["current"] for row in rows(earlier)] == [False, True]
        assert browser.delete("/auth/sessions").status_code == 204
        ended(earlier)
